"""Markov chains that end in samples: from accepting and rejecting to following the score through noise levels.

All chains of a call move together, [chains, 2]; chain k depends on its own generator alone. Every step is yielded.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import torch
from torch import Generator, Tensor

LogDensity = Callable[[Tensor], Tensor]  # [chains, 2] -> [chains], up to a constant
Score = Callable[[Tensor], Tensor]  # [chains, 2] -> [chains, 2], the gradient of the log density

BLOCK = 64  # draws ahead: a chain's noise at step i is the same however many steps follow
NOISE_FLOOR = 0.2  # the noise below which annealed Langevin's steps shrink no further


@dataclass(frozen=True)
class Move:
    """One step of all chains."""

    index: int
    x: Tensor  # [chains, 2], where the chains are after the step
    proposal: Tensor  # [chains, 2], where they wanted to go
    is_accepted: Tensor  # [chains], bool
    alpha_cumprod: float = 1.0  # noise level whose density the step looked at: 1 is the target, 0 pure noise


def draws(generators: Sequence[Generator]) -> Iterator[tuple[Tensor, Tensor]]:
    """For each step a standard normal [chains, 2] and the log of a uniform [chains], without end."""
    while True:
        normal = torch.stack([torch.randn(BLOCK, 2, generator=g, dtype=torch.float64) for g in generators], dim=1)
        uniform = torch.stack([torch.rand(BLOCK, generator=g, dtype=torch.float64) for g in generators], dim=1)
        yield from zip(normal, uniform.log(), strict=True)


def metropolis(
    log_density: LogDensity, start: Tensor, proposal_size: float, steps: int, generators: Sequence[Generator]
) -> Iterator[Move]:
    """Random-walk Metropolis (Metropolis et al. 1953): propose x + size * xi, accept with probability min(1, p'/p)."""
    x, log_p = start, log_density(start)
    for index, (xi, log_u) in enumerate(islice(draws(generators), steps)):
        proposal = x + proposal_size * xi
        log_p_there = log_density(proposal)
        is_accepted = log_u < log_p_there - log_p
        x = torch.where(is_accepted[:, None], proposal, x)
        log_p = torch.where(is_accepted, log_p_there, log_p)
        yield Move(index, x, proposal, is_accepted)


def langevin_step(x: Tensor, score: Tensor, step_size: float, xi: Tensor) -> Tensor:
    """x + size^2/2 * score + size * xi (Langevin dynamics, Euler-Maruyama): uphill, and a random push."""
    return x + step_size**2 / 2 * score + step_size * xi


def langevin(
    score: Score, start: Tensor, step_size: float, steps: int, generators: Sequence[Generator]
) -> Iterator[Move]:
    """Unadjusted Langevin (Roberts and Tweedie 1996): every step is taken, so large ones blur the target."""
    x, always = start, torch.ones(len(start), dtype=torch.bool)
    for index, (xi, _) in enumerate(islice(draws(generators), steps)):
        x = langevin_step(x, score(x), step_size, xi)
        yield Move(index, x, x, always)


def adjusted_langevin(
    log_density: LogDensity,
    score: Score,
    start: Tensor,
    step_size: float,
    steps: int,
    generators: Sequence[Generator],
) -> Iterator[Move]:
    """MALA (Roberts and Tweedie 1996): a Langevin step as proposal, accepted or rejected so that p is kept exactly."""

    def log_forth(x_from: Tensor, score_from: Tensor, x_to: Tensor) -> Tensor:
        missed = x_to - langevin_step(x_from, score_from, step_size, torch.zeros_like(x_from))
        return -missed.square().sum(1) / (2 * step_size**2)

    x, log_p, s = start, log_density(start), score(start)
    for index, (xi, log_u) in enumerate(islice(draws(generators), steps)):
        proposal = langevin_step(x, s, step_size, xi)
        log_p_there, s_there = log_density(proposal), score(proposal)
        log_ratio = log_p_there - log_p + log_forth(proposal, s_there, x) - log_forth(x, s, proposal)
        is_accepted = log_u < log_ratio
        x, s = (torch.where(is_accepted[:, None], new, old) for new, old in ((proposal, x), (s_there, s)))
        log_p = torch.where(is_accepted, log_p_there, log_p)
        yield Move(index, x, proposal, is_accepted)


def noise_levels(num: int, alpha_cumprod_end: float) -> list[float]:
    """`num` signal levels a: the last is the target itself (a = 1), the others' noise sqrt(1 - a) falls geometrically
    from that of `alpha_cumprod_end` to `NOISE_FLOOR`."""
    top = math.sqrt(1 - alpha_cumprod_end)
    shares = [k / max(1, num - 2) for k in range(num - 1)]
    return [1 - (top * (NOISE_FLOOR / top) ** share) ** 2 for share in shares] + [1.0]


def level_step_size(step_size: float, alpha_cumprod: float) -> float:
    """Steps as long as the noise allows (Song and Ermon 2019, Algorithm 1): `step_size` at the target itself."""
    return step_size * max(1.0, math.sqrt(1 - alpha_cumprod) / NOISE_FLOOR)


def annealed_langevin(
    score_at: Callable[[float], Score],
    start: Tensor,
    step_size: float,
    levels: Sequence[float],
    steps: int,
    generators: Sequence[Generator],
) -> Iterator[Move]:
    """Langevin on ever less noised versions of the target (Song and Ermon 2019), `steps` in all, shared by the levels.

    `score_at(a)` is the score of the target noised to signal level a; with fewer steps than levels some are left out.
    """
    x, always = start, torch.ones(len(start), dtype=torch.bool)
    for index, (xi, _) in enumerate(islice(draws(generators), steps)):
        a = levels[len(levels) - 1 - (steps - 1 - index) * len(levels) // steps]
        x = langevin_step(x, score_at(a)(x), level_step_size(step_size, a), xi)
        yield Move(index, x, x, always, a)
