"""Chains, samplers and their diagnostics against closed forms, on targets whose density is known exactly."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
from diffusers import DDPMScheduler
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from torch import Tensor

from playground import limits
from playground.plane.recipe import GRID, LANGEVIN, LETTERS, SAMPLERS, TARGETS, PlaneRecipe
from playground.plane.walks import (
    METHODS,
    NOISE_SCHEDULE,
    Ruler,
    alphas_cumprod,
    diagnosis,
    exact_noise,
    moves,
    reverse_moves,
    start_of,
    target_of,
    walk,
)
from playground.recipe import from_dict, from_query, to_dict, to_query
from playground.sampling.chains import (
    NOISE_FLOOR,
    adjusted_langevin,
    annealed_langevin,
    langevin,
    level_step_size,
    metropolis,
    noise_levels,
)
from playground.sampling.diagnostics import diagnose, energy_distance
from playground.sampling.mixture import Mixture, eight_hills, hills_at, ring, two_moons
from playground.sampling.noise import seeded_generators
from playground.sampling.reverse import build_scheduler

DRAWN = "AAAA__zz8f"
RECIPES = {name: PlaneRecipe(target=name, points=DRAWN if name == "drawn" else "") for name in TARGETS}
MIXTURES = {"hills": eight_hills, "moons": two_moons, "ring": ring, "drawn": lambda: hills_at([(-1, 2), (1.5, 0)])}
EXACT = METHODS[:4]


def uneven() -> Mixture:
    """Three overlapping hills of different weight and width: mixes quickly, and has nothing symmetric about it."""
    return Mixture(
        torch.tensor([[-0.8, 0.3], [0.7, 0.6], [0.2, -0.9]], dtype=torch.float64),
        torch.tensor([0.5, 0.7, 0.6], dtype=torch.float64),
        torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64),
        torch.arange(3),
    )


def one_hill(mean: tuple[float, float] = (0.9, -0.4), spread: float = 0.5) -> Mixture:
    one = torch.ones(1, dtype=torch.float64)
    return Mixture(torch.tensor([mean], dtype=torch.float64), spread * one, one, torch.zeros(1, dtype=torch.int64))


def starts(num: int, seed: int = 0) -> Tensor:
    return torch.randn(num, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def agrees(x: Tensor, target: Mixture, effective: float | None = None) -> None:
    """Mean and every entry of the covariance of points [n, 2] within 4.5 standard errors of the target's."""
    n = len(x) if effective is None else effective
    away = x - target.mean
    assert ((x.mean(0) - target.mean).abs() < 4.5 * x.std(0) / math.sqrt(n)).all()
    products = away[:, :, None] * away[:, None, :]
    error = (products.mean(0) - target.covariance).abs()
    assert (error < 4.5 * products.std(0) / math.sqrt(n)).all()


# the targets


@pytest.mark.parametrize("name", MIXTURES)
@pytest.mark.parametrize("a", [1.0, 0.7, 0.05, 4e-5])
def test_the_noised_score_is_the_gradient_of_the_noised_log_density(name: str, a: float) -> None:
    target = MIXTURES[name]().noised(a)
    x = (3 * starts(50)).requires_grad_()
    (gradient,) = torch.autograd.grad(target.log_density(x).sum(), x)
    torch.testing.assert_close(target.score(x), gradient, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", MIXTURES)
@pytest.mark.parametrize("a", [1.0, 0.4])
def test_the_noised_density_integrates_to_one_and_has_the_moments_it_says(name: str, a: float) -> None:
    target = MIXTURES[name]().noised(a)
    side = torch.linspace(-7, 7, 561, dtype=torch.float64)
    x = torch.cartesian_prod(side, side)
    p = torch.cat([target.log_density(part) for part in x.split(20_000)]).exp() * (side[1] - side[0]) ** 2
    assert p.sum().item() == pytest.approx(1, abs=1e-9)
    torch.testing.assert_close(p @ x, target.mean, rtol=0, atol=1e-8)
    away = x - target.mean
    torch.testing.assert_close((p[:, None] * away).T @ away, target.covariance, rtol=0, atol=1e-8)


@pytest.mark.parametrize("a", [0.9, 0.2])
def test_noising_samples_gives_samples_of_the_noised_mixture(a: float) -> None:
    target = uneven()
    x0 = target.sample(40_000, torch.Generator().manual_seed(1))
    agrees(x0, target)
    agrees(math.sqrt(a) * x0 + math.sqrt(1 - a) * starts(40_000, 2), target.noised(a))


def test_exact_samples_lie_in_the_cells_as_often_as_the_density_says() -> None:
    target = one_hill()
    x = target.sample(20_000, torch.Generator().manual_seed(0))
    for k in range(2):
        assert stats.kstest(x[:, k].numpy(), "norm", (target.mean[k].item(), 0.5)).pvalue > 1e-3


def test_hills_are_counted_where_enough_points_lie() -> None:
    target = eight_hills()
    x = target.sample(400, torch.Generator().manual_seed(0))
    assert target.num_modes == 8
    assert target.modes_reached(x) == 8
    right = x[x[:, 0] > 1.0]
    assert target.modes_reached(right) == 3
    straggler = torch.cat([right[:100], target.means[4:5]])  # one of 101 where an eighth belongs
    assert target.modes_reached(straggler) == 3
    assert target.modes_reached(torch.full((50, 2), 9.0, dtype=torch.float64)) == 0


# the chains


def pooled(made: Iterator, after: int) -> tuple[Tensor, np.ndarray]:
    """All positions after the first `after` steps: [draws, 2] and [steps, chains, 2]."""
    kept = torch.stack([move.x for move in itertools.islice(made, after, None)])
    return kept.flatten(0, 1), kept.numpy()


@pytest.mark.parametrize("kind", ["metropolis", "mala"])
def test_a_chain_that_rejects_keeps_the_target(kind: str) -> None:
    target, generators = uneven(), seeded_generators(range(64))
    begin = target.sample(64, torch.Generator().manual_seed(5))
    if kind == "metropolis":
        made = metropolis(target.log_density, begin, 1.2, 1500, generators)
    else:
        made = adjusted_langevin(target.log_density, target.score, begin, 0.9, 1500, generators)
    x, draws = pooled(made, 50)
    effective = diagnose(draws).effective
    assert effective > 2000
    agrees(x, target, effective)


@pytest.mark.parametrize("step_size", [0.2, 0.5, 0.8])
def test_unadjusted_langevin_has_the_spread_of_its_closed_form(step_size: float) -> None:
    """On N(m, s^2) the chain is x' - m = (1 - e^2 / 2 s^2)(x - m) + e xi: an AR(1) whose variance is known."""
    target, generators = one_hill(), seeded_generators(range(64))
    factor = 1 - step_size**2 / (2 * 0.5**2)
    variance = step_size**2 / (1 - factor**2)
    x, draws = pooled(langevin(target.score, starts(64), step_size, 1500, generators), 300)
    effective = diagnose(draws).effective
    agrees(
        x, one_hill(spread=math.sqrt(variance)), min(effective, x.numel() / 2 * (1 - abs(factor)) / (1 + abs(factor)))
    )
    assert variance > 0.5**2  # larger steps blur: the bias that rejecting removes


@pytest.mark.parametrize("kind", ["metropolis", "mala"])
def test_detailed_balance_between_cells(kind: str) -> None:
    """In equilibrium as many chains go from cell to cell as come back; the same count catches an asymmetric rule."""
    target, generators = uneven(), seeded_generators(range(200))
    begin = target.sample(200, torch.Generator().manual_seed(6))
    if kind == "metropolis":
        made = metropolis(target.log_density, begin, 0.8, 600, generators)
    else:
        made = adjusted_langevin(target.log_density, target.score, begin, 0.8, 600, generators)
    assert worst_imbalance(begin, made) < 4.5


def test_the_balance_test_sees_a_chain_without_rejection() -> None:
    target = uneven()
    begin = target.sample(200, torch.Generator().manual_seed(6))
    assert worst_imbalance(begin, drifting(begin, 600)) > 10


def drifting(x: Tensor, steps: int) -> Iterator:
    """A chain that runs in circles: it leaves the plane's quarters evenly filled, yet balances nothing in detail."""
    generator = torch.Generator().manual_seed(0)
    for _ in range(steps):
        turned = torch.stack([x[:, 1], -x[:, 0]], dim=1)
        x = torch.where(torch.rand(len(x), 1, generator=generator) < 0.3, turned, x)
        yield type("Move", (), {"x": x})


def worst_imbalance(x: Tensor, made: Iterator) -> float:
    """Largest |flow - flow back| of all pairs of cells, in standard deviations of a fair coin."""
    flow = torch.zeros(9, 9, dtype=torch.float64)
    before = cell(x)
    for move in made:
        after = cell(move.x)
        flow.view(-1).index_add_(0, 9 * before + after, torch.ones(len(after), dtype=torch.float64))
        before = after
    both = flow + flow.T
    far = (both > 50) & ~torch.eye(9, dtype=torch.bool)
    assert far.sum() > 8
    return ((flow - flow.T).abs() / both.sqrt())[far].max().item()


def cell(x: Tensor) -> Tensor:
    column, row = (torch.bucketize(x[:, k].contiguous(), torch.tensor([-0.5, 0.5]).double()) for k in range(2))
    return 3 * row + column


def test_metropolis_moves_or_stays_and_never_lowers_without_a_chance() -> None:
    target = uneven()
    before = starts(32)
    for move in metropolis(target.log_density, before, 0.8, 50, seeded_generators(range(32))):
        assert torch.equal(move.x, torch.where(move.is_accepted[:, None], move.proposal, before))
        uphill = target.log_density(move.proposal) > target.log_density(before)
        assert move.is_accepted[uphill].all()
        before = move.x


def test_annealed_langevin_with_one_level_is_langevin() -> None:
    target = two_moons()
    plain = langevin(target.score, starts(8), 0.1, 30, seeded_generators(range(8)))
    annealed = annealed_langevin(
        lambda a: target.noised(a).score, starts(8), 0.1, noise_levels(1, 4e-5), 30, seeded_generators(range(8))
    )
    for one, other in zip(plain, annealed, strict=True):
        torch.testing.assert_close(one.x, other.x, rtol=1e-9, atol=1e-9)


@given(st.integers(1, 50), st.floats(1e-5, 0.2))
def test_noise_levels_fall_geometrically_and_end_at_the_target(num: int, end: float) -> None:
    levels = noise_levels(num, end)
    assert len(levels) == num
    assert levels[-1] == 1
    noise = [math.sqrt(1 - a) for a in levels[:-1]]
    if num > 1:
        assert noise[0] == pytest.approx(math.sqrt(1 - end))
    if num > 2:
        assert noise[-1] == pytest.approx(NOISE_FLOOR)
    for one, two, three in zip(noise, noise[1:], noise[2:], strict=False):
        assert two / one == pytest.approx(three / two)
    assert level_step_size(0.1, 1.0) == 0.1


@pytest.mark.parametrize(("steps", "levels"), [(200, 10), (7, 10), (10, 10), (23, 4), (1, 5)])
def test_annealed_langevin_goes_through_its_levels_in_order_and_ends_at_the_target(steps: int, levels: int) -> None:
    target, chosen = ring(), noise_levels(levels, 4e-5)
    made = annealed_langevin(lambda a: target.noised(a).score, starts(2), 0.1, chosen, steps, seeded_generators([0, 1]))
    seen = [move.alpha_cumprod for move in made]
    assert len(seen) == steps
    assert seen == sorted(seen)
    assert seen[-1] == 1
    counts = [seen.count(a) for a in chosen]
    assert max(counts) - min(counts) <= 1


def test_annealed_langevin_ends_with_the_targets_mean_and_spread() -> None:
    target, n = uneven(), 3000
    levels = noise_levels(8, 4e-5)
    made = annealed_langevin(
        lambda a: target.noised(a).score,
        torch.full((n, 2), 2.5).double(),
        0.06,
        levels,
        800,
        seeded_generators(range(n)),
    )
    *_, last = made
    agrees(last.x, target)


# the reverse process


def ddpm_closed_form(mean: float, variance: float, steps: int) -> tuple[float, float]:
    """Mean and variance that DDPM's reverse chain from N(0, 1) reaches on N(mean, variance): it is linear."""
    scheduler = DDPMScheduler.from_config({**NOISE_SCHEDULE, "timestep_spacing": "trailing"})
    scheduler.set_timesteps(steps)
    levels = [float(scheduler.alphas_cumprod[t]) for t in scheduler.timesteps] + [1.0]
    m, v = 0.0, 1.0
    for a, a_next in itertools.pairwise(levels):
        noised = a * variance + 1 - a  # the variance at this level; the score is -(x - sqrt(a) mean) / noised
        slope = math.sqrt(a) * variance / noised  # x0 = mean + slope (x - sqrt(a) mean)
        beta = 1 - a / a_next
        towards_x0 = math.sqrt(a_next) * beta / (1 - a)  # Ho et al. 2020, eq. 7
        towards_x = math.sqrt(1 - beta) * (1 - a_next) / (1 - a)
        shift = towards_x0 * (1 - slope * math.sqrt(a)) * mean
        gain = towards_x0 * slope + towards_x
        m = shift + gain * m
        v = gain**2 * v + (beta * (1 - a_next) / (1 - a) if a_next < 1 else 0)
    return m, v


@pytest.mark.parametrize("steps", [5, 40, 200])
def test_ddpm_with_the_exact_score_is_its_closed_form(steps: int) -> None:
    target, n = one_hill(), 1500
    generators = seeded_generators(range(n))
    made = reverse_moves(exact_noise(target), build_scheduler("ddpm", NOISE_SCHEDULE), starts(n, 9), steps, generators)
    *_, last = made
    closed = [ddpm_closed_form(mean, 0.25, steps) for mean in target.mean.tolist()]
    for k, (m, v) in enumerate(closed):
        x = last.x[:, k]
        assert abs(x.mean().item() - m) < 4.5 * math.sqrt(v / n)
        assert abs(x.var().item() - v) < 4.5 * v * math.sqrt(2 / n)
    if steps == 200:  # and the closed form tends to the target
        assert closed[0] == pytest.approx((0.9, 0.25), abs=0.02)


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("make", [uneven, two_moons])
def test_reverse_diffusion_with_the_exact_score_has_the_targets_mean_and_spread(
    sampler: str, make: Callable[[], Mixture]
) -> None:
    target, n = make(), 1000
    made = reverse_moves(
        exact_noise(target), build_scheduler(sampler, NOISE_SCHEDULE), starts(n, 3), 300, seeded_generators(range(n))
    )
    *_, last = made
    agrees(last.x.double(), target)


def test_one_ddim_step_is_the_probability_flow_between_gaussians() -> None:
    """For one hill the flow is known: (x - sqrt(a) m) / spread at level a stays what it is."""
    target, x = one_hill(), starts(64)
    levels = alphas_cumprod()
    made = list(
        reverse_moves(
            exact_noise(target), build_scheduler("ddim", NOISE_SCHEDULE), x, 1000, seeded_generators(range(64))
        )
    )
    first = target.noised(float(levels[-1]))
    whitened = (x - first.mean) / first.spreads
    torch.testing.assert_close(made[-1].x.double(), target.mean + 0.5 * whitened, rtol=0, atol=0.02)


# diagnostics


def ar1(phi: float, chains: int, steps: int, seed: int = 0) -> np.ndarray:
    """Stationary AR(1) chains of variance 1, [steps, chains, 2]."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(chains, 2))
    made = []
    for _ in range(steps):
        x = phi * x + math.sqrt(1 - phi**2) * rng.normal(size=x.shape)
        made.append(x)
    return np.stack(made)


@pytest.mark.parametrize("phi", [-0.3, 0.0, 0.5, 0.9])
def test_effective_sample_size_and_autocorrelation_of_an_ar1_chain(phi: float) -> None:
    chains, steps = 8, 10_000
    found = diagnose(ar1(phi, chains, steps))
    assert found.effective == pytest.approx(chains * steps * (1 - phi) / (1 + phi), rel=0.12)
    assert found.r_hat == pytest.approx(1, abs=0.01)
    np.testing.assert_allclose(found.autocorrelation[:20], phi ** np.arange(20), atol=0.05)


def test_r_hat_and_autocorrelation_see_chains_that_are_stuck_in_different_places() -> None:
    draws = ar1(0.2, 8, 1000)
    draws[:, :, 0] += 5 * (np.arange(8) % 2)
    found = diagnose(draws)
    assert found.r_hat > 1.5
    assert found.effective < 40
    assert (found.autocorrelation[:50] > 0.7).all()


def test_unsplit_r_hat_is_the_ratio_that_gelman_and_rubin_define() -> None:
    """For normal chains of known shift the rank-normalised value stays near sqrt(1 + between / within)."""
    draws = np.random.default_rng(0).normal(size=(20_000, 6, 2))
    draws[:, :, 1] += 0.1 * np.arange(6)
    between = (0.1 * np.arange(6)).var(ddof=0)
    assert diagnose(draws).r_hat == pytest.approx(math.sqrt(1 + between), abs=0.02)


@pytest.mark.parametrize("shape", [(3, 4, 2), (1, 1, 2), (50, 3, 2)])
def test_too_few_or_unmoved_draws_say_nothing(shape: tuple[int, ...]) -> None:
    found = diagnose(np.ones(shape))
    assert math.isnan(found.effective)
    assert math.isnan(found.r_hat)


def test_chains_that_stand_still_at_their_own_places_do_not_look_as_if_they_mixed() -> None:
    found = diagnose(np.broadcast_to(np.random.default_rng(0).normal(size=(1, 5, 2)), (40, 5, 2)).copy())
    assert not found.effective > 8
    assert not found.r_hat < 2


def test_one_chain_has_an_effective_size_but_no_r_hat_of_chains() -> None:
    found = diagnose(ar1(0.5, 1, 20_000))
    assert found.effective == pytest.approx(20_000 / 3, rel=0.2)
    assert math.isnan(found.r_hat)


@pytest.mark.parametrize("shift", [0.0, 1.0, 3.0])
def test_energy_distance_of_shifted_normals(shift: float) -> None:
    """In one dimension E|X - Y| of N(0, 1) and N(d, 1) is 2/sqrt(pi) exp(-d^2/4) + d (2 Phi(d/sqrt 2) - 1)."""
    quantiles = stats.norm.ppf((np.arange(2000) + 0.5) / 2000)[:, None]
    x, y = torch.from_numpy(quantiles), torch.from_numpy(quantiles + shift)

    def apart(d: float) -> float:
        return 2 / math.sqrt(math.pi) * math.exp(-(d**2) / 4) + d * (2 * stats.norm.cdf(d / math.sqrt(2)) - 1)

    assert energy_distance(x, y) == pytest.approx(2 * apart(shift) - 2 * apart(0), abs=0.01)


def test_exact_samples_stay_below_the_floor_and_chains_in_a_corner_do_not() -> None:
    ruler = Ruler.of(eight_hills())
    floor = ruler.floor(60)
    found = [ruler.distance(ruler.target.sample(60, torch.Generator().manual_seed(s))) for s in range(100)]
    assert sum(value <= floor for value in found) >= 80
    assert abs(np.mean(found)) < 0.01
    assert ruler.distance(torch.full((60, 2), -2.0).double() + 0.1 * starts(60)) > 10 * floor
    assert math.isnan(ruler.distance(starts(1)))


# recipes


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("method", EXACT)
@pytest.mark.parametrize("langevin", LANGEVIN)
def test_a_chain_is_its_own_whatever_walks_beside_it(target: str, method: str, langevin: str) -> None:
    recipe = replace(RECIPES[target], steps=70, langevin=langevin, seed=3)
    many, one = walk(replace(recipe, chains=5), method), walk(replace(recipe, chains=1, seed=5), method)
    np.testing.assert_allclose(many.positions[:, 2:3], one.positions, rtol=0, atol=1e-9)
    assert many.positions.shape == (71, 5, 2)
    again = walk(replace(recipe, chains=5), method)
    assert np.array_equal(many.positions, again.positions)
    assert np.array_equal(many.proposals, again.proposals)


def test_a_longer_walk_of_a_chain_begins_as_the_shorter_one() -> None:
    recipe = PlaneRecipe(chains=3, steps=100)
    short, long = walk(recipe, "metropolis"), walk(replace(recipe, steps=333), "metropolis")
    assert np.array_equal(short.positions, long.positions[:101])


@pytest.mark.parametrize("start", [(), (-2.5, 1.0)])
def test_all_methods_begin_at_the_same_place(start: tuple[float, ...]) -> None:
    recipe = PlaneRecipe(start=start, chains=7, steps=5, seed=11)
    begun = start_of(recipe, seeded_generators(recipe.seeds)).numpy()
    for method in EXACT:
        assert np.array_equal(walk(recipe, method).positions[0], begun)
    if start:
        assert (begun == np.array(start)).all()
    else:
        assert np.array_equal(begun[0], torch.randn(2, generator=torch.Generator().manual_seed(11)).double().numpy())


@pytest.mark.parametrize("method", EXACT)
def test_every_method_takes_its_steps_one_at_a_time(method: str) -> None:
    asked = moves(PlaneRecipe(steps=1000, chains=50), method)
    first = next(asked)
    asked.close()
    assert first.index == 0
    with pytest.raises(StopIteration):
        next(asked)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_step_of_the_budget_is_taken(sampler: str) -> None:
    for method in EXACT:
        made = list(moves(PlaneRecipe(steps=61, chains=2, sampler=sampler), method))
        assert [move.index for move in made] == list(range(61))


def test_a_chain_from_a_far_corner_forgets_it_with_noise_levels_and_not_without() -> None:
    """The lesson of the page: same start, same budget."""
    recipe = PlaneRecipe(target="hills", start=(-2.6, -2.6), chains=100, steps=200)
    target = target_of(recipe)
    reached = {m: target.modes_reached(torch.from_numpy(walk(recipe, m).positions[-1])) for m in EXACT}
    assert reached["langevin"] <= 2
    assert reached["annealed"] >= 7
    assert reached["diffusion"] == 8


def test_only_chains_whose_every_step_is_a_draw_are_diagnosed_after_their_first_half() -> None:
    finished = walk(PlaneRecipe(target="ring", chains=8, steps=400), "metropolis")
    found, by_hand = diagnosis(finished), diagnose(finished.positions[201:])
    assert (found.effective, found.r_hat) == (by_hand.effective, by_hand.r_hat)
    assert 8 < found.effective < 8 * 200


WRONG = {
    "target": ["", "sun", None, 3],
    "points": ["A", "A+", "AA" * (limits.MAX_DRAWN_POINTS + 1), None],
    "seed": [-1, 1.5, 2**32, math.nan, True, None],
    "chains": [0, limits.MAX_CHAINS + 1, 2.5, "4"],
    "steps": [0, limits.MAX_STEPS + 1, math.inf],
    "start": [(1.0,), (1, 2, 3), (9.0, 0.0), (math.nan, 0.0), "ab"],
    "proposal_size": [0, -1, math.nan, limits.MAX_STRIDE + 1, None, True],
    "step_size": [0, math.inf, "0.1"],
    "langevin": ["mala", None],
    "levels": [0, limits.MAX_LEVELS + 1],
    "sampler": ["heun", None, "sde_dpmpp"],
    "updates": [0, limits.MAX_UPDATES + 1, math.nan],
    "lr_generator": [-0.1, limits.MAX_LEARNING_RATE * 2, math.nan],
    "lr_discriminator": [-0.1, limits.MAX_LEARNING_RATE * 2],
    "discriminator_steps": [0, limits.MAX_DISCRIMINATOR_STEPS + 1],
    "penalty": [-1, limits.MAX_PENALTY + 1],
    "beta": [-0.5, limits.MAX_BETA + 1, math.nan],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in WRONG.items() for value in values])
def test_a_bad_value_is_refused_with_a_sentence_that_names_it(name: str, value: object) -> None:
    with pytest.raises(ValueError, match=f"^{name} must be"):
        PlaneRecipe(**{name: value})


def test_work_is_bounded_by_chains_times_steps() -> None:
    PlaneRecipe(chains=50, steps=1000)
    with pytest.raises(ValueError, match="chains x steps"):
        PlaneRecipe(chains=51, steps=1000)
    with pytest.raises(ValueError, match="points must hold"):
        PlaneRecipe(target="drawn")


RECIPE_VALUES = st.builds(
    PlaneRecipe,
    target=st.sampled_from(TARGETS[:3]),
    points=st.integers(0, limits.MAX_DRAWN_POINTS).flatmap(
        lambda n: st.text(alphabet=LETTERS, min_size=2 * n, max_size=2 * n)
    ),
    seed=st.integers(0, limits.MAX_SEED),
    chains=st.integers(1, 50),
    steps=st.integers(1, limits.MAX_STEPS),
    start=st.just(()) | st.tuples(*[st.floats(-limits.MAX_PLANE, limits.MAX_PLANE)] * 2),
    proposal_size=st.floats(0.01, limits.MAX_STRIDE),
    step_size=st.floats(0.01, limits.MAX_STRIDE),
    langevin=st.sampled_from(LANGEVIN),
    levels=st.integers(1, limits.MAX_LEVELS),
    sampler=st.sampled_from(SAMPLERS),
    updates=st.integers(1, limits.MAX_UPDATES),
    lr_generator=st.floats(0, limits.MAX_LEARNING_RATE),
    lr_discriminator=st.floats(0, limits.MAX_LEARNING_RATE),
    discriminator_steps=st.integers(1, limits.MAX_DISCRIMINATOR_STEPS),
    penalty=st.floats(0, limits.MAX_PENALTY),
    beta=st.floats(0, limits.MAX_BETA),
)


@given(RECIPE_VALUES)
def test_a_recipe_survives_its_link(recipe: PlaneRecipe) -> None:
    assert from_query(to_query(recipe), PlaneRecipe) == recipe
    assert from_dict(to_dict(recipe), PlaneRecipe) == recipe


def test_a_link_says_what_differs_and_the_defaults_never_change() -> None:
    assert to_query(PlaneRecipe()) == "v=1"
    moved = PlaneRecipe(target="moons", start=(-1.0, 0.5), seed=4)
    assert to_query(moved) == "v=1&target=moons&seed=4&start=-1.0,0.5"
    assert from_query("", PlaneRecipe) == PlaneRecipe()
    with pytest.raises(ValueError, match="not part of a recipe"):
        from_query("model=gan", PlaneRecipe)
    with pytest.raises(ValueError, match="steps must be"):
        from_query("steps=many", PlaneRecipe)


@given(st.lists(st.tuples(st.integers(0, GRID - 1), st.integers(0, GRID - 1)), min_size=1, max_size=20))
def test_drawn_points_stand_where_they_were_put(places: list[tuple[int, int]]) -> None:
    letters = "".join(LETTERS[k] for place in places for k in place)
    recipe = PlaneRecipe(target="drawn", points=letters)
    half = limits.MAX_PLANE / GRID
    for (x, y), (column, row) in zip(recipe.drawn_points, places, strict=True):
        assert x == pytest.approx(-limits.MAX_PLANE + half * (2 * column + 1))
        assert y == pytest.approx(-limits.MAX_PLANE + half * (2 * row + 1))
    torch.testing.assert_close(target_of(recipe).means, torch.tensor(recipe.drawn_points, dtype=torch.float64))
