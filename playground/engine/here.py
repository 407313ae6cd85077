"""The forms that this machine can try: torch's, OpenVINO's if it is installed, CUDA's if there is a GPU."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec

import torch

from playground.device import IS_ZERO_GPU, job_helpers
from playground.engine.cache import Cache
from playground.engine.kinds import REFERENCE, CapturedOnCuda, Kind, Predict, Subject, in_halves, traced


def kinds_here(cache: Cache) -> tuple[Kind, ...]:
    """Every form that this machine can try, the reference first."""
    helpers = job_helpers()

    def recorded(dtype: torch.dtype) -> Callable[[Subject], Predict]:
        return lambda subject: in_halves(traced(subject, dtype), helpers)

    kinds = [
        REFERENCE,
        Kind("torch float32 traced", True, recorded(torch.float32)),
        Kind("torch bfloat16 traced", False, recorded(torch.bfloat16)),
    ]
    if find_spec("openvino") is not None:
        from playground.engine.openvino import openvino_kinds  # an extra; a third of a second to import

        kinds += openvino_kinds(cache, helpers)
    if torch.cuda.is_available() and not IS_ZERO_GPU:
        kinds.append(Kind("cuda bfloat16", False, CapturedOnCuda))
    return tuple(kinds)
