"""Which device and how many threads; the ZeroGPU decorator that is nothing elsewhere."""

from __future__ import annotations

import os
from collections.abc import Callable

try:  # on ZeroGPU it must come before anything that touches CUDA
    from spaces import GPU as zero_gpu  # noqa: N811
except ImportError:

    def zero_gpu(function: Callable | None = None, **_: object) -> Callable:
        """The same call forms as `spaces.GPU`; leaves the function as it is."""
        return function if callable(function) else lambda decorated: decorated


import torch

IS_ZERO_GPU = os.getenv("SPACES_ZERO_GPU", "").lower() in {"1", "t", "true"}
JOB_DEVICE = torch.device("cuda" if IS_ZERO_GPU or torch.cuda.is_available() else "cpu")
LIVE_DEVICE = torch.device("cpu" if IS_ZERO_GPU else JOB_DEVICE)


def share_threads() -> int:
    """Give each of the two lanes half of the cores; two lanes that each want all of them wait for one another."""
    threads = max(1, (os.cpu_count() or 2) // 2)
    torch.set_num_threads(threads)
    return threads


def job_threads() -> int:
    """Threads of an engine whose threads wait without holding a core: all of them, the live lane gets in between."""
    return os.cpu_count() or 1


def job_seconds(recipe: object, *_: object) -> int:
    """An upper estimate of the GPU seconds that a recipe needs, declared to ZeroGPU's scheduler."""
    return min(60, 5 + int(0.004 * recipe.steps * recipe.count))
