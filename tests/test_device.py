"""The decorator that is nothing away from ZeroGPU, the share of threads, and the seconds that a recipe declares."""

from __future__ import annotations

import gc
import os
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

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
        for cores, expected in ((1, 1), (2, 1), (3, 1), (8, 4)):
            monkeypatch.setattr(device, "cores", lambda cores=cores: cores)
            assert device.share_threads() == torch.get_num_threads() == expected
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        ("max 100000", 16),  # no limit
        ("200000 100000", 2),
        ("150000 100000", 2),
        ("10000 100000", 1),  # a tenth of a core still needs a thread
        ("9900000 100000", 16),  # more time than there are cores
        ("", 16),
        (None, 16),
    ],
)
def test_a_container_counts_the_cores_that_it_is_given_time_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str | None, expected: int
) -> None:
    monkeypatch.setattr(device.os, "sched_getaffinity", lambda process: set(range(16)), raising=False)
    if limit is not None:
        (tmp_path / "cpu.max").write_text(f"{limit}\n")
    assert device.cores(tmp_path) == expected


def test_where_a_process_is_bound_to_no_cores_the_machines_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(device.os, "sched_getaffinity", raising=False)
    for cores, expected in ((4, 4), (None, 1)):
        monkeypatch.setattr(device.os, "cpu_count", lambda cores=cores: cores)
        assert device.cores(tmp_path) == expected


@pytest.mark.skipif(sys.platform != "linux", reason="threads have no priorities of their own")
def test_helpers_step_back_and_nobody_else_does() -> None:
    before = os.getpriority(os.PRIO_PROCESS, 0)
    with device.job_helpers() as helpers:
        work = helpers.submit(lambda: os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))
        assert work.result() == min(19, before + device.POLITENESS)
    assert os.getpriority(os.PRIO_PROCESS, 0) == before


def test_memory_is_given_back_where_the_system_takes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    there = [object() for _ in range(3)]  # of the kinds that are looked through, the list alone
    device.give_back_memory()
    assert gc.get_freeze_count() > 0
    assert not any(kept is there for kept in gc.get_objects()), "looked through at every collection"
    monkeypatch.setattr(device.ctypes, "CDLL", lambda name: object())  # a C library without glibc's word for it
    device.give_back_memory()


def test_declared_seconds_grow_with_the_work_up_to_a_minute() -> None:
    one = device.job_seconds(DEFAULT)
    more = device.job_seconds(replace(DEFAULT, steps=limits.MAX_STEPS, count=4))
    most = device.job_seconds(replace(DEFAULT, steps=limits.MAX_STEPS, count=limits.MAX_COUNT))
    assert 1 <= one < more <= most <= 60


def test_without_an_accelerator_both_lanes_are_the_cpu() -> None:
    if not torch.cuda.is_available():
        assert device.JOB_DEVICE == device.LIVE_DEVICE == torch.device("cpu")
