"""Which device and how many threads; the ZeroGPU decorator that is nothing elsewhere."""

from __future__ import annotations

import ctypes
import gc
import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path

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


CGROUP = Path("/sys/fs/cgroup")
POLITENESS = 5  # of a job's threads, in steps of `nice`


def cores(cgroup: Path = CGROUP) -> int:
    """How many cores this process may keep busy: those it may run on, or as many as its container is given time of."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = (cgroup / "cpu.max").read_text().split()
        return max(1, min(allowed, round(int(quota) / int(period))))
    except (OSError, ValueError):  # no such file, or "max" in it: no limit
        return allowed


def share_threads() -> int:
    """Give each of the two lanes half of the cores; two lanes that each want all of them wait for one another."""
    threads = max(1, cores() // 2)
    torch.set_num_threads(threads)
    return threads


def job_threads() -> int:
    """Threads of an engine whose threads wait without holding a core: one each, the live lane gets in between."""
    return cores()


def step_back() -> None:
    """Let every thread that is not a job's go first; where the system knows no such thing for threads, nothing."""
    if sys.platform == "linux":
        thread = threading.get_native_id()
        os.setpriority(os.PRIO_PROCESS, thread, os.getpriority(os.PRIO_PROCESS, thread) + POLITENESS)


def job_helpers() -> Executor:
    """Threads that calculate the parts of a job at once, each with a lane's share of the cores.

    They spin for nobody and step back for live answers, so a job may have all cores while nobody touches anything.
    """
    return ThreadPoolExecutor(4, "job", step_back)  # two for each of two jobs that meet


def give_back_memory() -> None:
    """Let the system have what is free here but still held for later, where it knows how (glibc).

    What is left is there to stay, and no later garbage collection goes through it: a full one took 0.28 s, in which
    nobody was answered.
    """
    gc.collect()
    gc.freeze()
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", lambda kept: None)  # other C libraries have none
        trim(0)


def job_seconds(recipe: object, *_: object) -> int:
    """An upper estimate of the GPU seconds that a recipe needs, declared to ZeroGPU's scheduler."""
    return min(60, 5 + int(0.004 * recipe.steps * recipe.count))
