"""The forward process: a picture drowns in noise, at the pace of a noise schedule."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import pairwise

import torch
from torch import Tensor

NUM_TIMESTEPS = 1000
DROWNED_SNR = 0.01  # the picture's amplitude is a tenth of the noise's

# Every beta as its authors set it, in diffusers' words: Ho et al. 2020 (what our own models learn with); the latent
# diffusion of Rombach et al. 2022; Nichol and Dhariwal 2021, eq. 17; Xu et al. 2022 (GeoDiff).
SCHEDULES: Mapping[str, Mapping[str, object]] = {
    "linear": {"beta_schedule": "linear", "beta_start": 0.0001, "beta_end": 0.02},
    "scaled_linear": {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012},
    "cosine": {"beta_schedule": "squaredcos_cap_v2"},
    "sigmoid": {"beta_schedule": "sigmoid", "beta_start": 0.0001, "beta_end": 0.02},
}


def betas(beta_schedule: str, beta_start: float = 0.0, beta_end: float = 0.0) -> Tensor:
    """How much noise each step adds, [NUM_TIMESTEPS]: to the bit what diffusers' schedulers make of these words."""
    if beta_schedule == "linear":
        return torch.linspace(beta_start, beta_end, NUM_TIMESTEPS)
    if beta_schedule == "scaled_linear":
        return torch.linspace(beta_start**0.5, beta_end**0.5, NUM_TIMESTEPS) ** 2
    if beta_schedule == "sigmoid":
        return torch.sigmoid(torch.linspace(-6, 6, NUM_TIMESTEPS)) * (beta_end - beta_start) + beta_start
    kept = [math.cos((k / NUM_TIMESTEPS + 0.008) / 1.008 * math.pi / 2) ** 2 for k in range(NUM_TIMESTEPS + 1)]
    return torch.tensor([min(1 - after / before, 0.999) for before, after in pairwise(kept)])


def signal_levels(schedule: str) -> Tensor:
    """alphas_cumprod [NUM_TIMESTEPS] of a schedule: how much of the picture's power is left at each t."""
    return torch.cumprod(1 - betas(**SCHEDULES[schedule]), 0)


def signal_to_noise(alphas_cumprod: Tensor) -> Tensor:
    """SNR(t) = alphas_cumprod / (1 - alphas_cumprod) (Kingma et al. 2021, eq. 3)."""
    return alphas_cumprod / (1 - alphas_cumprod)


def diffuse(x0: Tensor, noise: Tensor, alphas_cumprod: Tensor) -> Tensor:
    """x_t in one jump (Ho et al. 2020, eq. 4); x0, noise [..., channels, h, w], one signal level or one a picture."""
    a = alphas_cumprod.reshape(*alphas_cumprod.shape, 1, 1, 1)
    return a.sqrt() * x0 + (1 - a).sqrt() * noise


def predictions(prediction_type: str, x_t: Tensor, output: Tensor, a: Tensor | float) -> tuple[Tensor, Tensor]:
    """The clean picture and the noise that a network's output stands for at signal level `a` = alphas_cumprod[t]."""
    signal, spread = a**0.5, (1 - a) ** 0.5
    if prediction_type == "v_prediction":
        return signal * x_t - spread * output, spread * x_t + signal * output
    if prediction_type == "sample":
        return output, (x_t - signal * output) / spread
    return (x_t - spread * output) / signal, output


def clipped(x_t: Tensor, x0: Tensor, a: Tensor | float, extent: float = 1.0) -> tuple[Tensor, Tensor]:
    """The clean picture clipped to [-extent, extent], and the noise that then makes up the rest of x_t.

    Were the noise left as predicted, the two would no longer make x_t, and under strong guidance a deterministic
    sampler would drift further from any picture with every step.
    """
    x0 = x0.clamp(-extent, extent)
    return x0, (x_t - a**0.5 * x0) / (1 - a) ** 0.5


def drowned_from(alphas_cumprod: Tensor, snr: float = DROWNED_SNR) -> int | None:
    """The first t at which the signal-to-noise ratio has fallen below `snr`; None where it never does."""
    below = torch.nonzero(signal_to_noise(alphas_cumprod) < snr)
    return int(below[0]) if len(below) else None
