"""How good are samples, and how good is the chain that made them? Numbers of ArviZ, and a distance to the target."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Diagnosis:
    """What chains say of themselves; NaN where too few or unmoved draws say nothing."""

    effective: float  # independent samples that the draws are worth
    r_hat: float  # spread of all chains together over that within each: 1 when they agree
    autocorrelation: np.ndarray  # [lags], of the coordinate that mixes worst, 1 at lag 0


def diagnose(draws: np.ndarray, most_lags: int = 100) -> Diagnosis:
    """Rank-normalised split R-hat, bulk effective sample size (Vehtari et al. 2021) and autocorrelation.

    draws [steps, chains, 2]; of the two coordinates the one that mixes worse counts.
    """
    from arviz_stats.base import array_stats  # a third of a second, only where somebody asks

    steps, chains, _ = draws.shape
    lags = min(most_lags, steps)
    nothing = Diagnosis(math.nan, math.nan, np.full(lags, math.nan))
    by_chain = np.ascontiguousarray(draws.transpose(2, 1, 0))  # [2, chains, steps]
    if steps < 4 or not (by_chain.std(axis=(1, 2)) > 0).all():
        return nothing
    with np.errstate(divide="ignore", invalid="ignore"):  # chains that stand still, each at its own place
        effective = [float(array_stats.ess(one, method="bulk")) for one in by_chain]
        r_hat = [float(array_stats.rhat(one, method="rank")) if chains > 1 else math.nan for one in by_chain]
        worst = int(np.argmin(effective))
        own = array_stats.autocov(by_chain[worst], axis=-1)[:, :lags].mean(0)
    return Diagnosis(min(effective), max(r_hat), together(by_chain[worst], own))


def together(draws: np.ndarray, own: np.ndarray) -> np.ndarray:
    """Autocorrelation about the mean of all chains (Vehtari et al. 2021, eq. 10), so that chains that are stuck in
    different places do not look as if they mixed; draws [chains, steps], `own` their mean autocovariance [lags]."""
    chains, steps = draws.shape
    within = own[0] * steps / (steps - 1)
    between = draws.mean(1).var(ddof=1) if chains > 1 else 0.0
    total = within * (steps - 1) / steps + between
    return np.clip(1 - (within - own * steps / (steps - 1)) / total, -1, 1)


def mean_apart(x: Tensor) -> float:
    """How far two different points of x [n, d] are apart in the mean; n > 1."""
    return float(torch.cdist(x, x).sum() / (len(x) * (len(x) - 1)))


def energy_distance(x: Tensor, y: Tensor, y_apart: float | None = None) -> float:
    """2 E|X - Y| - E|X - X'| - E|Y - Y'| of points [n, d] and [m, d] (Székely and Rizzo 2013), without bias.

    0 in the mean where both come from one distribution, so single values may lie a little below; n, m > 1. `y_apart` is
    `mean_apart(y)` where it is known already.
    """
    apart = mean_apart(y) if y_apart is None else y_apart
    return float(2 * torch.cdist(x, y).mean() - mean_apart(x) - apart)
