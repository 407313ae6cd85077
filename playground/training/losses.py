"""The losses of the three families, each as its paper writes it."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def relativistic_loss(winner_logits: Tensor, loser_logits: Tensor) -> Tensor:
    """softplus(-(winner - loser)), [batch]: each real picture is judged against a fake one (Jolicoeur-Martineau 2018).

    The discriminator plays with the real pictures as winners, the generator with the fake ones.
    """
    return F.softplus(loser_logits - winner_logits)


def zero_centred_penalty(logits: Tensor, pictures: Tensor) -> Tensor:
    """Squared norm of the discriminator's gradient at each picture, [batch] (R1, R2; Mescheder et al. 2018)."""
    (gradient,) = torch.autograd.grad(logits.sum(), pictures, create_graph=True)
    return gradient.float().square().flatten(1).sum(1)


def min_snr_weight(alphas_cumprod: Tensor, gamma: float = 5.0) -> Tensor:
    """Weight of the v-prediction error, min(SNR, gamma) / (SNR + 1) (Hang et al. 2023), for each noise level."""
    snr = alphas_cumprod / (1 - alphas_cumprod)
    return snr.clamp(max=gamma) / (snr + 1)
