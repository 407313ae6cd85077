"""Noise from seeds and paths through latent space, against closed forms."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from playground.limits import MAX_SEED
from playground.sampling.noise import draw_noise, seeded_generators, seeded_noise
from playground.sampling.paths import grid, lerp, slerp, walk

seeds = st.integers(0, MAX_SEED)
weights = st.floats(0, 1)


def vectors(seed: int, dim: int = 16) -> tuple[Tensor, Tensor]:
    a, b = torch.randn(2, dim, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return a, b


@given(st.lists(seeds, min_size=1, max_size=6), st.data())
def test_noise_k_depends_on_seed_k_alone(chosen: list[int], data: st.DataObject) -> None:
    noise = seeded_noise(chosen, (1, 4, 4))
    assert noise.shape == (len(chosen), 1, 4, 4)
    assert noise.dtype == torch.float32
    order = data.draw(st.permutations(range(len(chosen))))
    assert torch.equal(seeded_noise([chosen[k] for k in order], (1, 4, 4)), noise[list(order)])
    for k, seed in enumerate(chosen):
        assert torch.equal(seeded_noise([seed], (1, 4, 4))[0], noise[k])


def test_noise_does_not_touch_the_global_generator_nor_depend_on_it() -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = seeded_noise([5], (8,))
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert torch.equal(seeded_noise([5], (8,)), first)


def test_noise_is_standard_normal_and_different_seeds_are_independent() -> None:
    noise = seeded_noise([*range(8), MAX_SEED], (1, 64, 64)).flatten(1)  # [9, 4096]
    assert noise.mean().abs() < 4 / noise.numel() ** 0.5
    assert (noise.std() - 1).abs() < 4 / (2 * noise.numel()) ** 0.5
    correlation = torch.corrcoef(noise) - torch.eye(9)
    assert correlation.abs().max() < 5 / 64


def test_a_generator_goes_on_where_its_last_draw_ended() -> None:
    generators = seeded_generators([3, 4])
    first, second = draw_noise(generators, (5,)), draw_noise(generators, (5,))
    assert torch.equal(first, seeded_noise([3, 4], (5,)))
    assert not torch.equal(first, second)


@given(seeds, weights)
def test_lerp_is_the_weighted_sum(seed: int, weight: float) -> None:
    a, b = vectors(seed)
    torch.testing.assert_close(lerp(a, b, weight), (1 - weight) * a + weight * b)


@given(seeds, weights)
def test_slerp_of_unit_vectors_stays_on_the_circle_at_its_share_of_the_angle(seed: int, weight: float) -> None:
    a, b = (v / v.norm() for v in vectors(seed))
    angle = math.acos(float(a @ b))
    between = slerp(a, b, weight)
    assert float(between.norm()) == pytest.approx(1)
    assert float(between @ a) == pytest.approx(math.cos(weight * angle))
    assert float(between @ b) == pytest.approx(math.cos((1 - weight) * angle))


@given(seeds, weights)
def test_slerp_keeps_ends_and_symmetry(seed: int, weight: float) -> None:
    a, b = vectors(seed)
    torch.testing.assert_close(slerp(a, b, 0.0), a)
    torch.testing.assert_close(slerp(a, b, 1.0), b)
    torch.testing.assert_close(slerp(a, b, weight), slerp(b, a, 1 - weight))


@given(seeds, weights, st.floats(0.1, 2) | st.floats(-2, -0.1))
def test_slerp_between_parallel_vectors_is_the_straight_line(seed: int, weight: float, scale: float) -> None:
    a, _ = vectors(seed)
    torch.testing.assert_close(slerp(a, scale * a, weight), lerp(a, scale * a, weight), atol=1e-9, rtol=1e-9)


def test_slerp_of_pictures_has_their_shape_and_the_middle_keeps_their_loudness() -> None:
    a, b = seeded_noise([0, 1], (3, 32, 32))
    assert slerp(a, b, 0.5).shape == (3, 32, 32)
    assert float(slerp(a, b, 0.5).std()) == pytest.approx(1, abs=0.05)
    assert float(lerp(a, b, 0.5).std()) == pytest.approx(0.5**0.5, abs=0.05)  # what slerp is there to avoid


@given(seeds, st.integers(2, 12))
def test_a_walk_goes_from_end_to_end_in_equal_angles(seed: int, num: int) -> None:
    a, b = (v / v.norm() for v in vectors(seed))
    path = walk(a, b, num)
    assert path.shape == (num, 16)
    torch.testing.assert_close(path[0], a)
    torch.testing.assert_close(path[-1], b)
    step = math.acos(float(a @ b)) / (num - 1)
    for here, there in pairwise(path):
        assert float(here @ there) == pytest.approx(math.cos(step))


def test_a_walk_of_one_is_its_beginning() -> None:
    a, b = vectors(0)
    assert torch.equal(walk(a, b, 1), a[None])


@given(st.floats(0.1, 50), st.floats(0.1, 50), st.integers(2, 9))
def test_a_grid_is_row_by_row_from_the_top_left(x: float, y: float, side: int) -> None:
    points = grid(x, y, side)
    assert points.shape == (side * side, 2)
    for row in range(side):
        for column in range(side):
            expected = (-x + 2 * x * column / (side - 1), y - 2 * y * row / (side - 1))
            assert points[row * side + column].tolist() == pytest.approx(expected, abs=1e-4)
