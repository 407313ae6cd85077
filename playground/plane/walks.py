"""From a recipe to walking chains: five ways from one start to samples of one target."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Generator, Tensor

from playground.plane.recipe import PlaneRecipe
from playground.sampling import chains, mixture
from playground.sampling.chains import Move
from playground.sampling.diagnostics import Diagnosis, diagnose, energy_distance, mean_apart
from playground.sampling.mixture import Mixture
from playground.sampling.noise import draw_noise, seeded_generators
from playground.sampling.reverse import build_scheduler, reverse

if TYPE_CHECKING:
    from diffusers import SchedulerMixin

METHODS = ("metropolis", "langevin", "annealed", "diffusion", "learned")
WITH_CHAINS = ("metropolis", "langevin")  # every step of which is a draw from the target
# Every value is written out: schedulers made `from_config` fall back to their own defaults for whatever is missing.
NOISE_SCHEDULE = {
    "num_train_timesteps": 1000,
    "beta_start": 0.0001,
    "beta_end": 0.02,
    "beta_schedule": "linear",
    "prediction_type": "epsilon",
    "clip_sample": False,
    "clip_sample_range": 1.0,
}
NUM_EXACT = 512
NUM_REPEATS = 20
MOST_MEASURED = 40  # steps at which the distance to the target is taken
EXACT_SEED = 20260  # of the exact samples that everything is measured against

# x_t [n, 2] and its signal level -> the noise in it, [n, 2]
NoisePredictor = Callable[[Tensor, float], Tensor]


@dataclass(frozen=True)
class Walk:
    """A finished walk of all chains: where they were, and what they did."""

    positions: np.ndarray  # [steps + 1, chains, 2], the start included
    proposals: np.ndarray  # [steps, chains, 2]
    is_accepted: np.ndarray  # [steps, chains]
    alphas_cumprod: np.ndarray  # [steps], the noise level that each step looked at


def target_of(recipe: PlaneRecipe) -> Mixture:
    if recipe.target == "drawn":
        return mixture.hills_at(recipe.drawn_points)
    return {"hills": mixture.eight_hills, "moons": mixture.two_moons, "ring": mixture.ring}[recipe.target]()


def start_of(recipe: PlaneRecipe, generators: list[Generator]) -> Tensor:
    """Where the chains begin, [chains, 2]: each at its own noise, drawn in any case, or all at the place chosen."""
    noise = draw_noise(generators, (2,)).double()
    return torch.tensor(recipe.start, dtype=torch.float64).expand_as(noise).clone() if recipe.start else noise


def alphas_cumprod() -> Tensor:
    """The signal levels of the noise schedule, [1000], float64."""
    return build_scheduler("ddpm", NOISE_SCHEDULE).alphas_cumprod.double()


def exact_noise(target: Mixture) -> NoisePredictor:
    """What a perfect network would say: eps = -sqrt(1 - a) * score of the noised target (Song et al. 2021)."""
    return lambda x_t, a: -math.sqrt(1 - a) * target.noised(a).score(x_t)


def reverse_moves(
    predict: NoisePredictor, scheduler: SchedulerMixin, start: Tensor, steps: int, generators: list[Generator]
) -> Iterator[Move]:
    """The reverse process as moves of chains: diffusers' scheduler over points instead of pictures."""
    levels, always = scheduler.alphas_cumprod.double(), torch.ones(len(start), dtype=torch.bool)
    for step in reverse(lambda x_t, t: predict(x_t, float(levels[int(t)])), scheduler, start, steps, generators):
        yield Move(step.index, step.x_next, step.x_next, always, float(levels[int(step.t)]))


def moves(recipe: PlaneRecipe, method: str, predict: NoisePredictor | None = None) -> Iterator[Move]:
    """The steps of one method, one at a time; `predict` is the trained network's where the method is "learned"."""
    target, generators = target_of(recipe), seeded_generators(recipe.seeds)
    start = start_of(recipe, generators)
    rest = (start, recipe.step_size, recipe.steps, generators)
    if method == "metropolis":
        return chains.metropolis(target.log_density, start, recipe.proposal_size, recipe.steps, generators)
    if method == "langevin" and recipe.langevin == "adjusted":
        return chains.adjusted_langevin(target.log_density, target.score, *rest)
    if method == "langevin":
        return chains.langevin(target.score, *rest)
    if method == "annealed":
        levels = chains.noise_levels(recipe.levels, float(alphas_cumprod()[-1]))
        scores = {a: target.noised(a).score for a in levels}
        return chains.annealed_langevin(scores.__getitem__, start, recipe.step_size, levels, recipe.steps, generators)
    predict = exact_noise(target) if method == "diffusion" else predict
    return reverse_moves(predict, build_scheduler(recipe.sampler, NOISE_SCHEDULE), start, recipe.steps, generators)


def walk(recipe: PlaneRecipe, method: str, predict: NoisePredictor | None = None) -> Walk:
    """All steps of one method."""
    begun = start_of(recipe, seeded_generators(recipe.seeds))
    made = list(moves(recipe, method, predict))
    return Walk(
        torch.stack([begun, *(move.x for move in made)]).numpy(),
        torch.stack([move.proposal for move in made]).numpy(),
        torch.stack([move.is_accepted for move in made]).numpy(),
        np.array([move.alpha_cumprod for move in made]),
    )


def diagnosis(finished: Walk) -> Diagnosis:
    """What the chains say of themselves once the first half, their way from the start, is left out."""
    draws = finished.positions[1:]
    return diagnose(draws[len(draws) // 2 :])


@dataclass(frozen=True)
class Ruler:
    """Measures how far points are from a target, against samples that are exact."""

    target: Mixture
    exact: Tensor  # [NUM_EXACT, 2]
    exact_apart: float  # how far apart they are in the mean

    @classmethod
    def of(cls, target: Mixture) -> Ruler:
        exact = target.sample(NUM_EXACT, Generator().manual_seed(EXACT_SEED))
        return cls(target, exact, mean_apart(exact))

    def distance(self, points: Tensor) -> float:
        """Energy distance of points [n, 2] from the target; NaN for a single point."""
        return energy_distance(points, self.exact, self.exact_apart) if len(points) > 1 else math.nan

    def floor(self, num: int) -> float:
        """What `num` exact samples reach 19 times out of 20; below it nobody can tell points from exact samples."""
        generator = Generator().manual_seed(EXACT_SEED + 1)
        found = [self.distance(self.target.sample(num, generator)) for _ in range(NUM_REPEATS)]
        return sorted(found)[-2]

    def modes_reached(self, points: Tensor) -> int:
        return self.target.modes_reached(points)
