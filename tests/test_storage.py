"""8-bit weights: how near they stay, that they stay the same when saved again, and what is refused."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from playground.models.storage import SCALE, TOP, in_eight_bits, packed, unpacked

SHAPES = [(5, 7), (4, 3, 3, 3), (1, 1)]


@pytest.mark.parametrize("shape", SHAPES)
def test_normal_weights_come_back_within_a_hundredth_of_their_size(shape: tuple[int, ...]) -> None:
    weight = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    back = unpacked(packed({"weight": weight}))["weight"]
    assert back.shape == weight.shape
    assert float((back - weight).norm() / weight.norm()) < 0.01


@given(seed=st.integers(0, 2**20), outlier=st.floats(1, 100))
def test_cutting_an_outlier_is_never_worse_than_keeping_it(seed: int, outlier: float) -> None:
    weight = torch.randn(3, 50, generator=torch.Generator().manual_seed(seed))
    weight[0, 0] = outlier
    levels, scales = in_eight_bits(weight)
    plain = weight.abs().amax(1, keepdim=True) / TOP
    kept = (weight / plain).round() * plain
    error, plain_error = ((x - weight).square().sum(1) for x in (levels * scales[:, None], kept))
    assert bool((error <= plain_error * (1 + 1e-5)).all())


@given(seed=st.integers(0, 2**20))
def test_saved_again_nothing_is_lost(seed: int) -> None:
    weights = {"a": torch.randn(6, 20, generator=torch.Generator().manual_seed(seed)), "b": torch.ones(3)}
    once = unpacked(packed(weights))
    twice = unpacked(packed(once))
    for name, weight in once.items():
        torch.testing.assert_close(twice[name], weight, rtol=1e-5, atol=0)


def test_rows_of_nothing_stay_nothing() -> None:
    weight = torch.zeros(3, 4)
    weight[1] = 1.0
    back = unpacked(packed({"table": weight}))["table"]
    torch.testing.assert_close(back, weight)
    assert not back[[0, 2]].any()


def test_a_matrix_without_its_scales_is_refused() -> None:
    stored = packed({"weight": torch.ones(2, 3)})
    with pytest.raises(ValueError, match="weight is not beside a scale"):
        unpacked({"weight": stored["weight"]})
    with pytest.raises(ValueError, match="weight is not beside a scale"):
        unpacked({"weight": stored["weight"], "weight" + SCALE: torch.ones(3)})


def test_a_scale_of_no_matrix_is_a_name_of_its_own() -> None:
    """So that the network, which has no such weight, refuses it."""
    assert set(unpacked({"a": torch.ones(2, 2), "a" + SCALE: torch.ones(2)})) == {"a", "a" + SCALE}
