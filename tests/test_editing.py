"""SDEdit, RePaint and branches against closed forms, diffusers' own cut, and the trunk's bytes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

import pytest
import torch
from diffusers import DDPMScheduler
from torch import Generator, Tensor

from playground.models import Diffusion, Model
from playground.models.diffusion import NOISE_SCHEDULE, velocity
from playground.recipe import SAMPLERS
from playground.sampling.branching import Leg, painted_over, reverse_in_legs
from playground.sampling.editing import noised, num_repaint_steps, repaint, repaint_levels, sdedit, steps_left
from playground.sampling.noise import draw_noise, seeded_generators
from playground.sampling.reverse import STOCHASTIC, Step, build_scheduler, guided, reverse, set_steps

ALPHAS_CUMPROD = DDPMScheduler(**NOISE_SCHEDULE).alphas_cumprod
MEAN, SPREAD = 0.1, 0.25  # of the Gaussian pictures whose exact predictor is known
GIVEN = 0.45  # every pixel of the picture that is edited
SHAPE = (1, 64, 64)
every_sampler = pytest.mark.parametrize("sampler", SAMPLERS)


def exact_velocity(x_t: Tensor, t: Tensor) -> Tensor:
    """E[v | x_t] when every pixel of a clean picture is drawn from N(MEAN, SPREAD^2)."""
    a = ALPHAS_CUMPROD[int(t)]
    x0 = MEAN + a.sqrt() * SPREAD**2 / (a * SPREAD**2 + 1 - a) * (x_t - a.sqrt() * MEAN)
    return velocity(x0, (x_t - a.sqrt() * x0) / (1 - a).sqrt(), a)


@pytest.fixture(scope="module")
def network(tiny_network: Callable[..., Model]) -> Diffusion:
    return tiny_network("diffusion", size=16)


def begun(seeds: Sequence[int], shape: tuple[int, ...] = (1, 16, 16)) -> tuple[list[Generator], Tensor]:
    generators = seeded_generators(seeds)
    return generators, draw_noise(generators, shape)


def edited(x0: Tensor, sampler: str, steps: int, strength: float, eta: float = 0.0) -> list[Step]:
    generators, noise = begun(range(4), SHAPE)
    return list(
        sdedit(exact_velocity, build_scheduler(sampler, NOISE_SCHEDULE), x0, noise, steps, strength, generators, eta)
    )


def first_order(levels: list[float], eta: float) -> tuple[float, float]:
    """(slope, noise): the end of first-order steps over these levels is slope x (x_t - its mean) + N(0, noise^2).

    With Gaussian pictures every step of Song et al. 2021, eq. 12, is a line plus noise. Euler's step is the one with
    eta 0, and DDPM's and ancestral Euler's the one with eta 1.
    """
    slope, variance = 1.0, 0.0
    for here, there in zip(levels, [*levels[1:], None], strict=True):
        a = float(ALPHAS_CUMPROD[int(here)])
        b = 1.0 if there is None else float(ALPHAS_CUMPROD[int(there)])
        sigma2 = eta**2 * (1 - b) / (1 - a) * (1 - a / b)
        total = a * SPREAD**2 + 1 - a  # the variance of x_t
        factor = (b * a) ** 0.5 * SPREAD**2 / total + ((1 - b - sigma2) * (1 - a)) ** 0.5 / total
        slope, variance = factor * slope, factor**2 * variance + sigma2
    return slope, variance**0.5


def exact(a: float, is_stochastic: bool) -> tuple[float, float]:
    """The same of a walk in infinitely many steps from signal level `a`: along the path of equal probability, or a draw
    from x0 given x_t."""
    total = a * SPREAD**2 + 1 - a
    if is_stochastic:
        return math.sqrt(a) * SPREAD**2 / total, SPREAD * math.sqrt((1 - a) / total)
    return SPREAD / math.sqrt(total), 0.0


class TestSDEdit:
    @every_sampler
    @pytest.mark.parametrize("strength", [0.3, 0.6, 0.9])
    def test_mean_and_spread_are_those_of_the_closed_form(self, sampler: str, strength: float) -> None:
        run = edited(torch.full((1, *SHAPE), GIVEN), sampler, 150, strength)
        a = float(ALPHAS_CUMPROD[int(run[0].t)])
        eta = {"ddim": 0.0, "euler": 0.0, "ddpm": 1.0, "euler_a": 1.0}.get(sampler)
        limit = exact(a, sampler in STOCHASTIC)
        slope, noise = limit if eta is None else first_order([step.t for step in run], eta)
        assert (slope, noise) == pytest.approx(limit, abs=0.03)
        mean = MEAN + slope * math.sqrt(a) * (GIVEN - MEAN)
        spread = math.sqrt(slope**2 * (1 - a) + noise**2)
        result = run[-1].x_next
        assert abs(float(result.mean()) - mean) < 0.002 + 4 * spread / 128
        assert float(result.std()) == pytest.approx(spread, rel=0.03)

    @every_sampler
    @pytest.mark.parametrize("steps", [1, 2, 7, 20])
    def test_strength_one_is_sampling_to_the_byte(self, network: Diffusion, sampler: str, steps: int) -> None:
        denoise = guided(network, torch.tensor([[3], [0]]), 1.5)
        generators, noise = begun([4, 5])
        edit = sdedit(
            denoise, build_scheduler(sampler, NOISE_SCHEDULE), torch.rand(1, 1, 16, 16), noise, steps, 1.0, generators
        )
        generators, noise = begun([4, 5])
        plain = reverse(denoise, build_scheduler(sampler, NOISE_SCHEDULE), noise, steps, generators)
        for ours, theirs in zip(edit, plain, strict=True):
            assert torch.equal(ours.x_next, theirs.x_next)
            assert (ours.index, ours.total, ours.t) == (theirs.index, theirs.total, theirs.t)

    @every_sampler
    @pytest.mark.parametrize("steps", [2, 7, 20, 61])
    @pytest.mark.parametrize("strength", [0.2, 0.5, 0.75, 1.0])
    def test_timesteps_are_cut_as_diffusers_cuts_them(self, sampler: str, steps: int, strength: float) -> None:
        scheduler = build_scheduler(sampler, NOISE_SCHEDULE)
        set_steps(scheduler, steps)
        theirs = scheduler.timesteps[max(steps - min(int(steps * strength), steps), 0) * scheduler.order :]
        generators, noise = begun([0], (1, 2, 2))
        run = list(sdedit(exact_velocity, scheduler, torch.zeros(1, 1, 2, 2), noise, steps, strength, generators))
        if int(steps * strength) == 0:  # they do nothing at all
            assert len(run) == 1
        else:
            assert [step.t for step in run] == theirs.tolist()
        assert [step.index for step in run] == list(range(len(run)))
        assert all(step.total == len(run) for step in run)

    @every_sampler
    def test_it_begins_with_the_picture_noised_to_the_first_level(self, sampler: str) -> None:
        x0 = torch.linspace(-1, 1, 64 * 64).view(1, *SHAPE)
        first = edited(x0, sampler, 20, 0.5)[0]
        a = ALPHAS_CUMPROD[int(first.t)]
        _, noise = begun(range(4), SHAPE)
        torch.testing.assert_close(first.x_t, a.sqrt() * x0 + (1 - a).sqrt() * noise, atol=1e-4, rtol=0)

    def test_no_strength_leaves_more_than_all_steps_or_less_than_one(self) -> None:
        for steps in (1, 3, 20, 1000):
            counts = [steps_left(steps, strength / 100) for strength in range(101)]
            assert counts == sorted(counts)
            assert (counts[0], counts[-1]) == (1, steps)


CORRELATION = 0.8


def correlated_velocity(x_t: Tensor, t: Tensor) -> Tensor:
    """E[v | x_t] for pictures [..., 2] of pairs of pixels from N(0, SPREAD^2) each, with CORRELATION between them."""
    a = ALPHAS_CUMPROD[int(t)]
    covariance = SPREAD**2 * torch.tensor([[1.0, CORRELATION], [CORRELATION, 1.0]])
    x0 = x_t @ (a.sqrt() * covariance @ torch.linalg.inv(a * covariance + (1 - a) * torch.eye(2)))
    return velocity(x0, (x_t - a.sqrt() * x0) / (1 - a).sqrt(), a)


KNOWN = 0.4


def repaint_moments(steps: int, jump_length: int, resamples: int) -> tuple[float, float]:
    """Mean and spread of the new pixel beside KNOWN at the end of RePaint with DDPM's steps, exactly: with Gaussian
    pictures all of it is matrices and noise."""
    scheduler = build_scheduler("ddpm", NOISE_SCHEDULE)
    set_steps(scheduler, steps)
    signal = torch.cat([torch.ones(1), ALPHAS_CUMPROD[scheduler.timesteps.flip(0)]]).double()
    covariance = SPREAD**2 * torch.tensor([[1.0, CORRELATION], [CORRELATION, 1.0]]).double()
    one = torch.eye(2).double()
    mean, spread = torch.zeros(2).double(), one.clone()
    for level, later in pairwise(repaint_levels(steps, jump_length, resamples)):
        a, b = signal[level], signal[later]
        if later > level:
            mean, spread = (b / a).sqrt() * mean, b / a * spread + (1 - b / a) * one
            continue
        best = a.sqrt() * covariance @ torch.linalg.inv(a * covariance + (1 - a) * one)  # x_t -> E[x0 | x_t]
        sigma2 = (1 - b) / (1 - a) * (1 - a / b)
        step = b.sqrt() * best + ((1 - b - sigma2) / (1 - a)).sqrt() * (one - a.sqrt() * best)
        mean, spread = step @ mean, step @ spread @ step.T + sigma2 * one
        mean[0] = b.sqrt() * KNOWN
        spread[0, 1] = spread[1, 0] = 0
        spread[0, 0] = 1 - b
    return float(mean[1]), float(spread[1, 1].sqrt())


class TestRePaint:
    @pytest.mark.parametrize("sampler", ["ddpm", "ddim"])
    @pytest.mark.parametrize(("steps", "jump_length", "resamples"), [(50, 10, 1), (50, 5, 4), (100, 20, 10)])
    def test_a_new_pixel_has_the_mean_and_spread_of_the_closed_form(
        self, sampler: str, steps: int, jump_length: int, resamples: int
    ) -> None:
        generators, noise = begun([0], (1, 3000, 2))
        x0, mask = torch.tensor([KNOWN, -1.0]).expand(1, 1, 3000, 2), torch.tensor([False, True]).expand(1, 1, 3000, 2)
        *_, last = repaint(
            correlated_velocity, build_scheduler(sampler, NOISE_SCHEDULE), x0, mask, noise, steps, jump_length,
            resamples, generators, 1.0,
        )  # fmt: skip
        assert torch.equal(last.x_next[..., 0], x0[..., 0])
        mean, spread = repaint_moments(steps, jump_length, resamples)
        new = last.x_next[..., 1]
        assert abs(float(new.mean()) - mean) < 4 * spread / 3000**0.5
        assert float(new.std()) == pytest.approx(spread, rel=4 / (2 * 3000) ** 0.5)

    def test_resampling_draws_the_new_pixel_towards_what_suits_the_known_one(self) -> None:
        wanted = CORRELATION * KNOWN
        errors = [abs(repaint_moments(250, 10, resamples)[0] - wanted) for resamples in (1, 2, 5, 10, 40)]
        assert errors == sorted(errors, reverse=True)
        assert errors[-1] < errors[0] / 2

    @pytest.mark.parametrize("resamples", [1, 3])
    def test_known_pixels_come_back_exactly_and_others_are_new(self, network: Diffusion, resamples: int) -> None:
        x0 = torch.rand(1, 1, 16, 16) * 2 - 1
        mask = torch.zeros(1, 1, 16, 16, dtype=torch.bool)
        mask[..., 4:9, 3:12] = True
        generators, noise = begun([1, 2])
        denoise = guided(network, torch.tensor([[3], [3]]), 1.0)
        run = list(
            repaint(denoise, build_scheduler("ddpm", NOISE_SCHEDULE), x0, mask, noise, 12, 3, resamples, generators)
        )
        assert len(run) == run[0].total == num_repaint_steps(12, 3, resamples)
        assert [step.index for step in run] == list(range(len(run)))
        last, known, new = run[-1].x_next, ~mask.expand(2, 1, 16, 16), mask.expand(2, 1, 16, 16)
        assert torch.equal(last[known], x0.expand(2, 1, 16, 16)[known])
        assert not torch.equal(last[0], last[1])
        assert torch.isfinite(last).all()
        assert (last[new] != x0.expand(2, 1, 16, 16)[new]).all()
        alone = repaint(
            guided(network, torch.tensor([[3]]), 1.0), build_scheduler("ddpm", NOISE_SCHEDULE), x0, mask,
            noise[1:], 12, 3, resamples, [begun([2])[0][0]],
        )  # fmt: skip
        *_, single = alone
        torch.testing.assert_close(single.x_next[0], last[1], atol=1e-5, rtol=0)

    def test_with_nothing_known_and_no_resampling_it_is_plain_sampling(self, network: Diffusion) -> None:
        """Without noise on the way, whose stream is also asked for the known pixels'."""
        mask = torch.ones(1, 1, 16, 16, dtype=torch.bool)
        denoise = guided(network, torch.tensor([[3]]), 1.0)
        _, noise = begun([1])
        run = repaint(
            denoise, build_scheduler("ddim", NOISE_SCHEDULE), torch.zeros(1, 1, 16, 16), mask, noise, 9, 3, 1,
            seeded_generators([7]), 0.0,
        )  # fmt: skip
        plain = reverse(denoise, build_scheduler("ddim", NOISE_SCHEDULE), noise, 9, seeded_generators([8]), 0.0)
        for ours, theirs in zip(run, plain, strict=True):
            torch.testing.assert_close(ours.x_next, theirs.x_next, atol=1e-5, rtol=0)

    def test_the_way_goes_down_by_one_and_up_by_the_jump(self) -> None:
        assert repaint_levels(7, 3, 1) == [7, 6, 5, 4, 3, 2, 1, 0]
        assert repaint_levels(7, 3, 2) == [7, 6, 5, 4, 7, 6, 5, 4, 3, 2, 1, 4, 3, 2, 1, 0]
        for steps in (1, 2, 10, 50):
            for jump_length in (1, 3, 10, 60):
                for resamples in (1, 2, 5):
                    levels = repaint_levels(steps, jump_length, resamples)
                    moves = {b - a for a, b in pairwise(levels)}
                    assert moves <= {-1, jump_length}
                    assert (levels[0], levels[-1], max(levels)) == (steps, 0, steps)
                    stretches = max(0, math.ceil((steps - jump_length) / jump_length))
                    assert num_repaint_steps(steps, jump_length, resamples) == steps + stretches * jump_length * (
                        resamples - 1
                    )


class TestBranch:
    def trunk(self, network: Diffusion, sampler: str, steps: int, labels: Tensor, eta: float) -> list[Step]:
        generators, noise = begun([5, 6])
        scheduler = build_scheduler(sampler, NOISE_SCHEDULE)
        return list(reverse(guided(network, labels, 1.5), scheduler, noise, steps, generators, eta))

    @every_sampler
    @pytest.mark.parametrize("eta", [0.0, 0.7])
    def test_a_branch_with_nothing_changed_has_the_trunks_bytes(
        self, network: Diffusion, sampler: str, eta: float
    ) -> None:
        labels, steps = torch.tensor([[3], [0]]), 9
        trunk = self.trunk(network, sampler, steps, labels, eta)
        for at in range(steps + 1):
            generators, noise = begun([5, 6])
            legs = [Leg(0, guided(network, labels, 1.5)), Leg(at, guided(network, labels, 1.5))]
            run = reverse_in_legs(legs, build_scheduler(sampler, NOISE_SCHEDULE), noise, steps, generators, eta)
            for ours, theirs in zip(run, trunk, strict=True):
                assert torch.equal(ours.x_t, theirs.x_t)
                assert torch.equal(ours.x_next, theirs.x_next)
                assert (ours.index, ours.total, ours.t) == (theirs.index, theirs.total, theirs.t)

    @every_sampler
    def test_another_label_leaves_everything_before_it_as_it_was(self, network: Diffusion, sampler: str) -> None:
        labels, others, steps, at = torch.tensor([[3], [0]]), torch.tensor([[7], [7]]), 8, 3
        trunk = self.trunk(network, sampler, steps, labels, 0.0)
        generators, noise = begun([5, 6])
        legs = [Leg(0, guided(network, labels, 1.5)), Leg(at, guided(network, others, 1.5))]
        run = list(reverse_in_legs(legs, build_scheduler(sampler, NOISE_SCHEDULE), noise, steps, generators))
        first = at * (len(run) + 1) // (steps + 1) if sampler != "heun" else 2 * at
        for k, (ours, theirs) in enumerate(zip(run, trunk, strict=True)):
            assert torch.equal(ours.x_t, theirs.x_t) == (k <= first)
            assert torch.equal(ours.x_next, theirs.x_next) == (k < first)

    @every_sampler
    def test_other_noise_on_the_way_changes_only_what_has_any(self, network: Diffusion, sampler: str) -> None:
        labels, steps, at = torch.tensor([[3], [0]]), 6, 2
        trunk = self.trunk(network, sampler, steps, labels, 0.0)
        generators, noise = begun([5, 6])
        legs = [Leg(0, guided(network, labels, 1.5)), Leg(at, guided(network, labels, 1.5), seeded_generators([8, 9]))]
        *_, last = reverse_in_legs(legs, build_scheduler(sampler, NOISE_SCHEDULE), noise, steps, generators)
        assert torch.equal(last.x_next, trunk[-1].x_next) == (sampler not in STOCHASTIC)

    @every_sampler
    def test_what_is_painted_lies_under_the_noise_and_the_rest_stays(self, network: Diffusion, sampler: str) -> None:
        labels, steps, at = torch.tensor([[3], [0]]), 8, 4
        trunk = self.trunk(network, sampler, steps, labels, 0.0)
        mask = torch.zeros(1, 1, 16, 16, dtype=torch.bool)
        mask[..., :5, :7] = True
        picture = torch.full((1, 1, 16, 16), -0.5)
        generators, noise = begun([5, 6])
        denoise = guided(network, labels, 1.5)
        legs = [Leg(0, denoise), Leg(at, denoise, touch=painted_over(picture, mask, noise))]
        run = list(reverse_in_legs(legs, build_scheduler(sampler, NOISE_SCHEDULE), noise, steps, generators))
        k = 2 * at if sampler == "heun" else at
        a = ALPHAS_CUMPROD[int(run[k].t)]
        painted = a.sqrt() * picture + (1 - a).sqrt() * noise
        where = mask.expand_as(noise)
        torch.testing.assert_close(run[k].x_t[where], painted[where], atol=1e-4, rtol=0)
        torch.testing.assert_close(run[k].x_t[~where], trunk[k].x_t[~where], atol=1e-6, rtol=0)
        assert not torch.equal(run[-1].x_next, trunk[-1].x_next)
        assert torch.isfinite(run[-1].x_next).all()

    @every_sampler
    def test_noised_pictures_have_the_schedulers_own_scale(self, sampler: str) -> None:
        scheduler = build_scheduler(sampler, NOISE_SCHEDULE)
        set_steps(scheduler, 10)
        t = scheduler.timesteps[4]
        x0, noise = torch.full((2, 1, 4, 4), 0.3), torch.randn(2, 1, 4, 4, generator=torch.Generator().manual_seed(0))
        a = ALPHAS_CUMPROD[int(t)]
        unit = scheduler.scale_model_input(noised(scheduler, x0, noise, t), t)
        torch.testing.assert_close(unit, a.sqrt() * x0 + (1 - a).sqrt() * noise, atol=1e-4, rtol=0)
