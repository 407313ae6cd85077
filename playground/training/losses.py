"""The losses of the three families, each as its paper writes it."""

from __future__ import annotations

import torch
from torch import Generator, Tensor, nn
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


def discriminator_losses(
    discriminator: nn.Module,
    real: Tensor,
    fake: Tensor,
    labels: Tensor,
    generator: Generator,
    gamma: float,
    penalty_every: int,
) -> dict[str, Tensor]:
    """The discriminator's turn on real and fake pictures of the same labels, each [batch, channels, size, size].

    The penalties, half of `gamma` times r1 + r2 (R3GAN, Huang et al. 2024), cost more than all the rest: they are taken
    at random once in `penalty_every` turns, and count as much more.
    """
    penalise = int(torch.randint(penalty_every, (), generator=generator)) == 0
    pictures = torch.cat([real, fake]).detach().requires_grad_(penalise)
    logits = discriminator(pictures, torch.cat([labels, labels]))
    real_logits, fake_logits = logits.chunk(2)
    parts = {"loss": relativistic_loss(real_logits, fake_logits).mean()}
    parts["certainty"] = torch.sigmoid(real_logits - fake_logits).mean().detach()
    if penalise:
        r1, r2 = zero_centred_penalty(logits, pictures).chunk(2)
        parts["loss"] = parts["loss"] + penalty_every * gamma / 2 * (r1 + r2).mean()
        parts |= {"r1": r1.mean().detach(), "r2": r2.mean().detach()}
    return parts


def min_snr_weight(alphas_cumprod: Tensor, gamma: float = 5.0, floor: float = 0.0) -> Tensor:
    """Weight of the v-prediction error, min(SNR, gamma) / (SNR + 1) (Hang et al. 2023), for each noise level.

    `floor` is the least SNR that counts (1 is the truncated SNR of Salimans and Ho 2022): without it the levels of most
    noise, at which the colour of a large plain area is settled, weigh next to nothing.
    """
    snr = alphas_cumprod / (1 - alphas_cumprod)
    return snr.clamp(floor, gamma) / (snr + 1)
