"""Variational autoencoder (Kingma and Welling 2014) and, the same network without noise, the plain autoencoder."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from playground.models.conditioning import AttributeEmbedding

GROUPS = 8


@dataclass(frozen=True)
class VAEConfig:
    size: int
    channels: int
    cardinalities: tuple[int, ...]  # empty: the network is told nothing about the picture
    latent_dim: int
    widths: tuple[int, ...] = (32, 64, 96)
    hidden_dim: int = 128
    is_variational: bool = True


def stage(in_channels: int, out_channels: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 3, stride=stride, padding=1),
        nn.GroupNorm(GROUPS, out_channels),
        nn.SiLU(),
    )


class Encoder(nn.Module):
    """Pictures -> the mean and log-variance of q(z | x, labels)."""

    def __init__(self, config: VAEConfig) -> None:
        super().__init__()
        before = (config.channels, *config.widths[:-1])
        self.stages = nn.Sequential(
            *(nn.Sequential(stage(a, b, stride=2), stage(b, b)) for a, b in zip(before, config.widths, strict=True))
        )
        side = config.size // 2 ** len(config.widths)
        self.hidden = nn.Linear(config.widths[-1] * side**2, config.hidden_dim)
        self.condition = AttributeEmbedding(config.cardinalities, config.hidden_dim)
        self.moments = nn.Linear(config.hidden_dim, 2 * config.latent_dim)

    def forward(self, x0: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        hidden = self.hidden(self.stages(x0).flatten(1)) + self.condition(labels)
        mu, logvar = self.moments(F.silu(hidden)).float().chunk(2, dim=1)
        return mu, logvar.clamp(-12.0, 8.0)


class Decoder(nn.Module):
    """Latent vectors -> logits of pixel brightness; `2 * sigmoid - 1` makes them pictures in [-1, 1]."""

    def __init__(self, config: VAEConfig) -> None:
        super().__init__()
        self.side = config.size // 2 ** len(config.widths)
        widths = config.widths[::-1]
        after = (*widths[1:], widths[-1])
        self.latent = nn.Linear(config.latent_dim, config.hidden_dim)
        self.condition = AttributeEmbedding(config.cardinalities, config.hidden_dim)
        self.hidden = nn.Linear(config.hidden_dim, widths[0] * self.side**2)
        self.stages = nn.Sequential(
            *(
                nn.Sequential(stage(a, a), nn.Upsample(scale_factor=2, mode="nearest"), stage(a, b))
                for a, b in zip(widths, after, strict=True)
            )
        )
        self.pixels = nn.Conv2d(after[-1], config.channels, 3, padding=1)

    def forward(self, z: Tensor, labels: Tensor) -> Tensor:
        hidden = self.hidden(F.silu(self.latent(z) + self.condition(labels)))
        return self.pixels(self.stages(hidden.unflatten(1, (-1, self.side, self.side)))).float()


class VAE(nn.Module):
    """Encoder and decoder over a small latent space; with `is_variational=False` the plain autoencoder."""

    def __init__(self, config: VAEConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)

    def encode(self, x0: Tensor, labels: Tensor) -> tuple[Tensor, Tensor | None]:
        """[batch, channels, size, size] -> mu and logvar, each [batch, latent_dim]; an autoencoder has no logvar."""
        mu, logvar = self.encoder(x0, self._known(labels))
        return mu, logvar if self.config.is_variational else None

    def decode_logits(self, z: Tensor, labels: Tensor) -> Tensor:
        return self.decoder(z, self._known(labels))

    def decode(self, z: Tensor, labels: Tensor) -> Tensor:
        """[batch, latent_dim] -> pictures in [-1, 1]."""
        return 2 * torch.sigmoid(self.decode_logits(z, labels)) - 1

    def _known(self, labels: Tensor) -> Tensor:
        return labels[:, : len(self.config.cardinalities)]


def sample_posterior(mu: Tensor, logvar: Tensor | None, noise: Tensor) -> Tensor:
    """z = mu + sigma * noise (the reparametrisation trick); a plain autoencoder's code is a point."""
    return mu if logvar is None else mu + torch.exp(0.5 * logvar) * noise


def kl_per_dimension(mu: Tensor, logvar: Tensor) -> Tensor:
    """KL(q(z|x) || N(0, 1)) in nats of each latent dimension, [batch, latent_dim] (Kingma and Welling 2014, app. B)."""
    return 0.5 * (mu.square() + logvar.exp() - 1 - logvar)


def reconstruction_loss(logits: Tensor, x0: Tensor) -> Tensor:
    """-log p(x | z) in nats per picture, [batch]: binary cross-entropy of brightness in [0, 1], summed over pixels."""
    target = (x0 + 1) / 2
    return F.binary_cross_entropy_with_logits(logits, target, reduction="none").flatten(1).sum(1)
