"""The forward process against closed forms, and against diffusers' own."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from diffusers import DDPMScheduler

from playground import recipe
from playground.models.diffusion import NOISE_SCHEDULE
from playground.sampling.forward import (
    DROWNED_SNR,
    NUM_TIMESTEPS,
    SCHEDULES,
    diffuse,
    drowned_from,
    signal_levels,
    signal_to_noise,
)
from playground.sampling.noise import seeded_noise

FIRST_BETA, LAST_BETA = 0.0001, 0.02


def betas(schedule: str) -> np.ndarray:
    """Each schedule's betas as its authors write them down, float64."""
    along = np.arange(NUM_TIMESTEPS) / (NUM_TIMESTEPS - 1)
    if schedule == "linear":
        return FIRST_BETA + along * (LAST_BETA - FIRST_BETA)
    if schedule == "scaled_linear":
        return (math.sqrt(0.00085) + along * (math.sqrt(0.012) - math.sqrt(0.00085))) ** 2
    if schedule == "sigmoid":
        return FIRST_BETA + (LAST_BETA - FIRST_BETA) / (1 + np.exp(6 - 12 * along))
    f = np.cos((np.arange(NUM_TIMESTEPS + 1) / NUM_TIMESTEPS + 0.008) / 1.008 * math.pi / 2) ** 2
    return np.minimum(1 - f[1:] / f[:-1], 0.999)


def test_every_schedule_of_a_recipe_is_there_and_ours_is_the_models() -> None:
    assert tuple(SCHEDULES) == recipe.SCHEDULES
    assert SCHEDULES["linear"].items() <= NOISE_SCHEDULE.items()
    assert NOISE_SCHEDULE["num_train_timesteps"] == NUM_TIMESTEPS


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_signal_levels_are_the_products_of_their_authors_betas(schedule: str) -> None:
    expected = np.cumprod(1 - betas(schedule))
    assert signal_levels(schedule).numpy() == pytest.approx(expected, rel=2e-4, abs=1e-9)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_signal_levels_are_diffusers_own_to_the_bit(schedule: str) -> None:
    theirs = DDPMScheduler(num_train_timesteps=NUM_TIMESTEPS, **SCHEDULES[schedule])
    assert torch.equal(signal_levels(schedule), theirs.alphas_cumprod)


def test_the_cosine_schedules_signal_is_a_cosine() -> None:
    at = torch.arange(1, NUM_TIMESTEPS) / NUM_TIMESTEPS
    angle = [((at + 0.008) / 1.008) * math.pi / 2, torch.tensor(0.008 / 1.008 * math.pi / 2)]
    expected = (angle[0].cos() / angle[1].cos()) ** 2
    assert torch.allclose(signal_levels("cosine")[: NUM_TIMESTEPS - 1], expected, atol=1e-4)


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("t", [0, 1, 420, 998, 999])
def test_one_jump_is_diffusers_add_noise(schedule: str, t: int) -> None:
    x0, noise = torch.rand(3, 2, 8, 8) * 2 - 1, seeded_noise([1, 2, 3], (2, 8, 8))
    theirs = DDPMScheduler(num_train_timesteps=NUM_TIMESTEPS, **SCHEDULES[schedule])
    times = torch.tensor([t, 17, 600])
    expected = theirs.add_noise(x0, noise, times)
    assert torch.equal(diffuse(x0, noise, signal_levels(schedule)[times]), expected)
    assert torch.equal(diffuse(x0[0], noise[0], signal_levels(schedule)[t]), expected[0])


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_one_jump_has_the_mean_and_spread_of_all_its_small_steps(schedule: str) -> None:
    """x_t = sqrt(1 - beta) x_{t-1} + sqrt(beta) eps, walked in closed form: what is left of x0, and the variance."""
    share, variance = 1.0, 0.0
    a = signal_levels(schedule).double()
    for t, beta in enumerate(betas(schedule)):
        share *= math.sqrt(1 - beta)
        variance = (1 - beta) * variance + beta
        assert float(a[t].sqrt()) == pytest.approx(share, rel=1e-3, abs=1e-4)
        assert float(1 - a[t]) == pytest.approx(variance, rel=1e-3, abs=1e-6)


def test_many_jumps_scatter_as_the_closed_form_says() -> None:
    a = signal_levels("linear")[300]
    x_t = diffuse(torch.full((1, 1, 1), 0.6), seeded_noise(range(4000), (1, 1, 1)), a)
    deviation = float((1 - a).sqrt())
    assert float(x_t.mean()) == pytest.approx(0.6 * float(a.sqrt()), abs=4 * deviation / 4000**0.5)
    assert float(x_t.std()) == pytest.approx(deviation, rel=4 / (2 * 4000) ** 0.5)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_drowned_is_where_the_ratio_first_falls_below_the_line(schedule: str) -> None:
    snr = signal_to_noise(signal_levels(schedule))
    t = drowned_from(signal_levels(schedule))
    assert snr[t] < DROWNED_SNR <= snr[t - 1]
    assert (snr.diff() < 0).all(), "a ratio that only falls crosses the line once"
    shares = signal_levels(schedule)[t]
    assert float(shares.sqrt() / (1 - shares).sqrt()) == pytest.approx(0.1, rel=0.02)


def test_a_schedule_that_leaves_the_picture_visible_never_drowns_it() -> None:
    assert drowned_from(signal_levels("scaled_linear"), snr=0.004) is None
    assert drowned_from(torch.tensor([0.9, 0.5])) is None
