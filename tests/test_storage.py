"""Weights in 8 bits: how near they stay, that they stay the same when saved again, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from playground.models import DiffusionConfig, load_model, save_model
from playground.models.diffusion import LARGE, Diffusion
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


@pytest.fixture(scope="module")
def unet() -> Diffusion:
    """With matrices on both sides of what counts as large."""
    torch.manual_seed(0)
    return Diffusion.from_config(DiffusionConfig(8, 1, (3,), block_out_channels=(16, 64), norm_num_groups=4)).eval()


def test_large_matrices_of_a_unet_come_back_as_near_as_8_bit_floats_are(unet: Diffusion, tmp_path: Path) -> None:
    save_model(unet, tmp_path)
    back = load_model(tmp_path).unet.state_dict()
    sizes = set()
    for name, weight in unet.unet.state_dict().items():
        is_large = weight.ndim > 1 and weight.numel() > LARGE
        sizes.add(is_large)
        error = float((back[name] - weight).norm() / weight.norm().clamp(min=1e-12))
        assert error < (0.04 if is_large else 0.001), name
        assert back[name].dtype == torch.float32
    assert sizes == {True, False}


def test_a_unets_file_takes_little_more_than_a_byte_a_number_and_stays_the_same_when_saved_again(
    unet: Diffusion, tmp_path: Path
) -> None:
    save_model(unet, tmp_path / "once")
    save_model(load_model(tmp_path / "once"), tmp_path / "twice")
    once, twice = (next((tmp_path / name / "unet").glob("*.safetensors")) for name in ("once", "twice"))
    assert once.read_bytes() == twice.read_bytes()
    numbers = sum(weight.numel() for weight in unet.unet.parameters())
    small = sum(w.numel() for w in unet.unet.parameters() if w.ndim == 1 or w.numel() <= LARGE)
    assert once.stat().st_size < numbers + small + 40_000  # and the header
