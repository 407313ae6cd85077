"""The decorator that is nothing away from ZeroGPU, the share of threads, and the seconds that a recipe declares."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from playground import device, limits
from playground.recipe import DEFAULT


def double(number: int) -> int:
    return 2 * number


@pytest.mark.parametrize("decorate", [device.zero_gpu, device.zero_gpu(), device.zero_gpu(duration=5)])
def test_away_from_zero_gpu_the_decorator_changes_nothing(decorate: Callable) -> None:
    assert decorate(double) is double


def test_both_lanes_get_their_share_of_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    before = torch.get_num_threads()
    try:
        for cores, expected in ((1, 1), (2, 1), (3, 1), (8, 4), (None, 1)):
            monkeypatch.setattr(device.os, "cpu_count", lambda cores=cores: cores)
            assert device.share_threads() == torch.get_num_threads() == expected
    finally:
        torch.set_num_threads(before)


def test_declared_seconds_grow_with_the_work_up_to_a_minute() -> None:
    one = device.job_seconds(DEFAULT)
    more = device.job_seconds(replace(DEFAULT, steps=limits.MAX_STEPS, count=4))
    most = device.job_seconds(replace(DEFAULT, steps=limits.MAX_STEPS, count=limits.MAX_COUNT))
    assert 1 <= one < more <= most <= 60


def test_without_an_accelerator_both_lanes_are_the_cpu() -> None:
    if not torch.cuda.is_available():
        assert device.JOB_DEVICE == device.LIVE_DEVICE == torch.device("cpu")
