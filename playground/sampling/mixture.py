"""Targets in the plane whose density and score are known exactly at every noise level: mixtures of round Gaussians."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Generator, Tensor


@dataclass(frozen=True)
class Mixture:
    """p(x) = sum_k weights[k] N(x; means[k], spreads[k]^2 I) in the plane; float64 throughout."""

    means: Tensor  # [components, 2]
    spreads: Tensor  # [components], standard deviations
    weights: Tensor  # [components], summing to 1
    modes: Tensor  # [components], which hill of the density each belongs to, from 0

    @property
    def num_modes(self) -> int:
        return int(self.modes.max()) + 1

    @property
    def mean(self) -> Tensor:
        return self.weights @ self.means  # [2]

    @property
    def covariance(self) -> Tensor:
        away = self.means - self.mean
        within = (self.weights @ self.spreads.square()) * torch.eye(2, dtype=away.dtype)
        return within + (self.weights[:, None] * away).T @ away  # [2, 2]

    def log_parts(self, x: Tensor) -> Tensor:
        """log(weights[k] N(x; means[k], spreads[k]^2 I)) of points [n, 2]; [n, components]."""
        squared = (x[:, None] - self.means).square().sum(2)
        variances = self.spreads.square()
        return self.weights.log() - squared / (2 * variances) - (2 * math.pi * variances).log()

    def log_density(self, x: Tensor) -> Tensor:
        """log p of points [n, 2]; [n]."""
        return self.log_parts(x).logsumexp(1)

    def score(self, x: Tensor) -> Tensor:
        """The gradient of log p at points [n, 2]; [n, 2]."""
        pull = self.log_parts(x).softmax(1) / self.spreads.square()  # [n, components]
        return pull @ self.means - pull.sum(1, keepdim=True) * x

    def noised(self, alpha_cumprod: float) -> Mixture:
        """The exact density of sqrt(a) x + sqrt(1 - a) eps (Ho et al. 2020, eq. 4): again a mixture."""
        a = alpha_cumprod
        spreads = (a * self.spreads.square() + (1 - a)).sqrt()
        return Mixture(math.sqrt(a) * self.means, spreads, self.weights, self.modes)

    def sample(self, num: int, generator: Generator) -> Tensor:
        """Independent exact samples, [num, 2]."""
        chosen = torch.multinomial(self.weights, num, replacement=True, generator=generator)
        eps = torch.randn(num, 2, generator=generator, dtype=self.means.dtype)
        return self.means[chosen] + self.spreads[chosen, None] * eps

    def modes_reached(self, x: Tensor, within: float = 3.0, share: float = 0.25) -> int:
        """On how many hills points [n, 2] lie: at least `share` of those that belong there, each no farther than
        `within` spreads from a component's mean."""
        nearest, component = (torch.cdist(x, self.means) / self.spreads).min(1)
        found = torch.bincount(self.modes[component[nearest <= within]], minlength=self.num_modes)
        due = torch.zeros(self.num_modes, dtype=self.weights.dtype).index_add_(0, self.modes, self.weights) * len(x)
        return int((found >= (share * due).clamp_min(1)).sum())


def evenly_weighted(means: Tensor, spread: float, modes: Tensor | None = None) -> Mixture:
    """Components [k, 2] of one spread and one weight; on one hill unless `modes` says otherwise."""
    k = len(means)
    one_hill = torch.zeros(k, dtype=torch.int64)
    full = torch.full((k,), 1.0, dtype=torch.float64)
    return Mixture(means.double(), spread * full, full / k, one_hill if modes is None else modes)


def circle(num: int, radius: float) -> Tensor:
    """`num` places evenly on a circle, [num, 2]."""
    angles = 2 * math.pi * torch.arange(num, dtype=torch.float64) / num
    return radius * torch.stack([angles.cos(), angles.sin()], dim=1)


def two_moons() -> Mixture:
    """Two interlocking half circles."""
    angles = math.pi * torch.linspace(0, 1, 24, dtype=torch.float64)
    upper = torch.stack([angles.cos(), angles.sin()], dim=1)
    lower = torch.stack([1 - angles.cos(), 0.5 - angles.sin()], dim=1)
    centre = torch.tensor([0.5, 0.25], dtype=torch.float64)
    modes = torch.arange(2).repeat_interleave(24)
    return evenly_weighted(1.5 * (torch.cat([upper, lower]) - centre), 0.14, modes)


def ring() -> Mixture:
    """One closed circle."""
    return evenly_weighted(circle(48, 1.9), 0.16)


def eight_hills() -> Mixture:
    """Eight separate round hills on a circle."""
    return evenly_weighted(circle(8, 2.0), 0.2, torch.arange(8))


def hills_at(points: Sequence[tuple[float, float]]) -> Mixture:
    """A small hill at each of the visitor's points."""
    return evenly_weighted(torch.tensor(points, dtype=torch.float64), 0.15)
