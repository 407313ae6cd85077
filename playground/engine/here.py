"""The forms that this machine can try: torch's, OpenVINO's if it is installed, CUDA's if there is a GPU."""

from __future__ import annotations

from importlib.util import find_spec

import torch

from playground.device import IS_ZERO_GPU
from playground.engine.cache import Cache
from playground.engine.kinds import REFERENCE, CapturedOnCuda, Kind, channels_last


def kinds_here(cache: Cache) -> tuple[Kind, ...]:
    """Every form that this machine can try, the reference first."""
    kinds = [
        REFERENCE,
        Kind("torch float32 channels_last", True, lambda subject: channels_last(subject.network, torch.float32)),
        Kind("torch bfloat16 channels_last", False, lambda subject: channels_last(subject.network, torch.bfloat16)),
    ]
    if find_spec("openvino") is not None:
        from playground.engine.openvino import openvino_kinds  # an extra; a third of a second to import

        kinds += openvino_kinds(cache)
    if torch.cuda.is_available() and not IS_ZERO_GPU:
        kinds.append(Kind("cuda bfloat16", False, CapturedOnCuda))
    return tuple(kinds)
