"""A compact modern GAN: no normalisation, residual blocks, mapping network z -> w (after R3GAN, Huang et al. 2024)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from playground.models.conditioning import AttributeEmbedding

SLOPE = 0.2
GAIN = math.sqrt(2 / (1 + SLOPE**2))  # of a leaky ReLU (He et al. 2015)


@dataclass(frozen=True)
class GANConfig:
    size: int
    channels: int
    cardinalities: tuple[int, ...]
    latent_dim: int = 64
    w_dim: int = 64
    widths: tuple[int, ...] = (96, 64, 64)  # from the coarsest stage upwards
    patch: int = 2  # pixels a side that the finest stage writes at once (pixel shuffle)
    fine_width: int = 0  # channels that go over the picture once more, pixel by pixel; 0 leaves it as it was written
    fine_sight: int = 0  # channels with which the discriminator looks at single pixels; 0: at patches alone


def leaky_clamp(x: Tensor, slope: float = 0.1) -> Tensor:
    """Clamp to [-1, 1] with some slope left outside, so that a saturated pixel can still learn (tanh's cannot)."""
    return torch.lerp(F.hardtanh(x), x, slope)


def scaled_conv(in_channels: int, out_channels: int, kernel: int, gain: float = GAIN) -> nn.Conv2d:
    conv = nn.Conv2d(in_channels, out_channels, kernel, padding=kernel // 2)
    nn.init.normal_(conv.weight, std=gain / math.sqrt(in_channels * kernel**2))
    nn.init.zeros_(conv.bias)
    return conv


def scaled_linear(in_features: int, out_features: int, gain: float) -> nn.Linear:
    """A linear layer that keeps (gain 1) or scales the spread of what enters it."""
    linear = nn.Linear(in_features, out_features)
    nn.init.normal_(linear.weight, std=gain / math.sqrt(in_features))
    nn.init.zeros_(linear.bias)
    return linear


class StyledBlock(nn.Module):
    """Residual block whose channels are scaled by the style; starts as the identity, as Fixup does."""

    def __init__(self, in_channels: int, out_channels: int, w_dim: int) -> None:
        super().__init__()
        self.style = scaled_linear(w_dim, in_channels + out_channels, gain=0.3)
        self.skip = (
            scaled_conv(in_channels, out_channels, 1, gain=1.0) if in_channels != out_channels else nn.Identity()
        )
        self.first = scaled_conv(in_channels, out_channels, 3)
        self.second = scaled_conv(out_channels, out_channels, 3, gain=0.25)
        self.split = (in_channels, out_channels)

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        before, between = (1 + self.style(w))[:, :, None, None].split(self.split, dim=1)
        hidden = self.first(F.leaky_relu(x, SLOPE) * before)
        return self.skip(x) + self.second(F.leaky_relu(hidden, SLOPE) * between)


class FineStage(nn.Module):
    """What a patch that is written at once leaves to be desired at its seams and within: a correction at full size.

    Starts as no correction at all.
    """

    def __init__(self, in_channels: int, config: GANConfig) -> None:
        super().__init__()
        width = config.fine_width
        self.features = scaled_conv(in_channels, width * config.patch**2, 3)
        self.shuffle = nn.PixelShuffle(config.patch)
        self.mix = scaled_conv(width + config.channels, width, 3)
        self.pixels = scaled_conv(width, config.channels, 3, gain=0.0)

    def forward(self, x: Tensor, written: Tensor) -> Tensor:
        """x [batch, in_channels, side, side], written [batch, channels, patch x side, patch x side] -> its shape."""
        features = torch.cat([self.shuffle(self.features(x)), written], 1)
        return written + self.pixels(F.leaky_relu(self.mix(F.leaky_relu(features, SLOPE)), SLOPE))


class Generator(nn.Module):
    """z -> w by the mapping network; w and labels -> picture in [-1, 1]."""

    def __init__(self, config: GANConfig) -> None:
        super().__init__()
        widths = config.widths
        self.mapping = nn.Sequential(
            scaled_linear(config.latent_dim, config.w_dim, GAIN),
            nn.LeakyReLU(SLOPE),
            scaled_linear(config.w_dim, config.w_dim, GAIN),
            nn.LeakyReLU(SLOPE),
            scaled_linear(config.w_dim, config.w_dim, gain=1.5),  # as loud as the labels, or z goes unheard
        )
        self.condition = AttributeEmbedding(config.cardinalities, config.w_dim)
        self.seed_side = config.size // config.patch // 2 ** (len(widths) - 1)
        self.seed = scaled_linear(config.w_dim, widths[0] * self.seed_side**2, gain=1.0)
        # two blocks a stage, one at the finest, where a block costs most
        self.stages = nn.ModuleList()
        for a, b in zip((widths[0], *widths[:-1]), widths, strict=True):
            self.stages.append(nn.ModuleList([StyledBlock(a, b, config.w_dim), StyledBlock(b, b, config.w_dim)]))
        del self.stages[-1][1]
        self.pixels = scaled_conv(widths[-1], config.channels * config.patch**2, 3, gain=1.0)
        self.shuffle = nn.PixelShuffle(config.patch)
        self.fine = FineStage(widths[-1], config) if config.fine_width else None

    def map(self, z: Tensor) -> Tensor:
        """[batch, latent_dim] -> w, [batch, w_dim]; z is brought to unit length per dimension first."""
        return self.mapping(z * torch.rsqrt(z.square().mean(1, keepdim=True) + 1e-8))

    def synthesize(self, w: Tensor, labels: Tensor) -> Tensor:
        """w [batch, w_dim] and labels -> pictures, in [-1, 1] but for a little overshoot."""
        style = w + self.condition(labels)
        x = self.seed(style).unflatten(1, (-1, self.seed_side, self.seed_side))
        for index, stage in enumerate(self.stages):
            if index:
                x = F.interpolate(x, scale_factor=2, mode="nearest")
            for block in stage:
                x = block(x, style)
        x = F.leaky_relu(x, SLOPE)
        written = self.shuffle(self.pixels(x))
        return leaky_clamp((written if self.fine is None else self.fine(x, written)).float())

    def forward(self, z: Tensor, labels: Tensor) -> Tensor:
        return self.synthesize(self.map(z), labels)


class PlainBlock(nn.Module):
    """Residual block of the discriminator."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.skip = (
            scaled_conv(in_channels, out_channels, 1, gain=1.0) if in_channels != out_channels else nn.Identity()
        )
        self.first = scaled_conv(in_channels, out_channels, 3)
        self.second = scaled_conv(out_channels, out_channels, 3, gain=0.25)

    def forward(self, x: Tensor) -> Tensor:
        return self.skip(x) + self.second(F.leaky_relu(self.first(F.leaky_relu(x, SLOPE)), SLOPE))


class FineSight(nn.Module):
    """What the discriminator sees of single pixels, which a patch taken in at once hides.

    A 3x3 look at patches of 3x3 pixels in colour is 243 numbers, more than the channels that it goes into: grain that
    those do not see, nobody takes off the generator's pictures. Starts as nothing seen.
    """

    def __init__(self, out_channels: int, config: GANConfig) -> None:
        super().__init__()
        self.features = scaled_conv(config.channels, config.fine_sight, 3)
        self.unshuffle = nn.PixelUnshuffle(config.patch)
        self.seen = scaled_conv(config.fine_sight * config.patch**2, out_channels, 1, gain=0.0)

    def forward(self, x0: Tensor) -> Tensor:
        """[batch, channels, size, size] -> [batch, out_channels, size / patch, size / patch]."""
        return self.seen(self.unshuffle(F.leaky_relu(self.features(x0), SLOPE)))


class Discriminator(nn.Module):
    """Picture and labels -> one logit, larger for "more real"; the labels are projected (Miyato and Koyama 2018)."""

    def __init__(self, config: GANConfig) -> None:
        super().__init__()
        widths = config.widths[::-1]
        self.unshuffle = nn.PixelUnshuffle(config.patch)
        self.pixels = scaled_conv(config.channels * config.patch**2, widths[0], 3, gain=1.0)
        self.fine = FineSight(widths[0], config) if config.fine_sight else None
        self.stages = nn.ModuleList([nn.Sequential(PlainBlock(widths[0], widths[0]))])
        for a, b in pairwise(widths):
            self.stages.append(nn.Sequential(PlainBlock(a, b), PlainBlock(b, b)))
        side = config.size // config.patch // 2 ** (len(widths) - 1)
        self.features = nn.Linear(widths[-1] * side**2, 128)
        self.real = nn.Linear(128, 1)
        self.condition = AttributeEmbedding(config.cardinalities, 128)

    def forward(self, x0: Tensor, labels: Tensor) -> Tensor:
        """[batch, channels, size, size] -> [batch]."""
        x = self.pixels(self.unshuffle(x0))
        if self.fine is not None:
            x = x + self.fine(x0)
        for index, stage in enumerate(self.stages):
            x = stage(F.avg_pool2d(x, 2) if index else x)
        features = F.leaky_relu(self.features(F.leaky_relu(x, SLOPE).flatten(1)), SLOPE).float()
        return self.real(features).float()[:, 0] + (features * self.condition(labels)).sum(1) / math.sqrt(128)


class GAN(nn.Module):
    """Generator, discriminator, and what the page needs of w: its mean, main directions and their spread."""

    def __init__(self, config: GANConfig) -> None:
        super().__init__()
        self.config = config
        self.generator = Generator(config)
        self.discriminator = Discriminator(config)
        self.register_buffer("w_mean", torch.zeros(config.w_dim))
        self.register_buffer(
            "w_directions", torch.zeros(config.w_dim, config.w_dim)
        )  # row k: k-th direction x its spread

    @torch.no_grad()
    def measure_w(self, generator: torch.Generator, samples: int = 20_000) -> None:
        """Fill `w_mean` and `w_directions` with the principal components of w (GANSpace, Härkönen et al. 2020)."""
        w = self.generator.map(torch.randn(samples, self.config.latent_dim, generator=generator))
        self.w_mean.copy_(w.mean(0))
        _, scale, rows = torch.linalg.svd(w - self.w_mean, full_matrices=False)
        self.w_directions.copy_(rows * (scale / math.sqrt(samples))[:, None])

    def truncate(self, w: Tensor, truncation_psi: float) -> Tensor:
        """Pull w towards its mean (Karras et al. 2019): psi 1 leaves it, psi 0 makes every picture the average one."""
        return self.w_mean + truncation_psi * (w - self.w_mean)
