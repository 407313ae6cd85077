"""Networks small enough to be trained while somebody watches: a denoiser, a VAE and a GAN for points in the plane."""

from __future__ import annotations

import itertools
import math

import torch
from torch import Generator, Tensor, nn

WIDTH = 64
NUM_WAVES = 6
SHARPNESS = 5.0  # how much more than usual a denoiser's first layer minds the place: small details are seen early


def perceptron(*widths: int) -> nn.Sequential:
    """Linear layers of these widths with SiLU between them."""
    layers: list[nn.Module] = []
    for k, (before, after) in enumerate(itertools.pairwise(widths)):
        layers += [nn.SiLU()] if k else []
        layers.append(nn.Linear(before, after))
    return nn.Sequential(*layers)


def initialise(network: nn.Module, generator: Generator) -> nn.Module:
    """torch's usual random weights, but from one generator: uniform in [-b, b] with b = 1 / sqrt(inputs)."""
    with torch.no_grad():
        for layer in network.modules():
            if isinstance(layer, nn.Linear):
                bound = 1 / math.sqrt(layer.in_features)
                layer.weight.uniform_(-bound, bound, generator=generator)
                layer.bias.uniform_(-bound, bound, generator=generator)
    return network


class PlaneDenoiser(nn.Module):
    """Says which part of a noisy point is noise (Ho et al. 2020), told the noise level as waves of its logarithm."""

    def __init__(self) -> None:
        super().__init__()
        self.network = perceptron(2 + 2 * NUM_WAVES, WIDTH, WIDTH, WIDTH, 2)
        self.register_buffer("frequencies", 2.0 ** torch.arange(NUM_WAVES) / 8)

    def forward(self, x_t: Tensor, alpha_cumprod: Tensor) -> Tensor:
        """x_t [n, 2] at signal levels [n] -> the noise in it, [n, 2]."""
        log_snr = torch.log(alpha_cumprod / (1 - alpha_cumprod))[:, None]
        phase = log_snr * self.frequencies
        return self.network(torch.cat([SHARPNESS * x_t, phase.sin(), phase.cos()], dim=1))


class PlaneVAE(nn.Module):
    """x -> N(mu, exp(logvar)) over two latent numbers -> N(decoded, sigma^2 I), one sigma for all of the plane."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = perceptron(2, WIDTH, WIDTH, 4)
        self.decoder = perceptron(2, WIDTH, WIDTH, 2)
        self.log_sigma = nn.Parameter(torch.zeros(()))

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """x [n, 2] -> mu and logvar, [n, 2] each."""
        mu, logvar = self.encoder(x).chunk(2, dim=1)
        return mu, logvar

    def decode(self, z: Tensor) -> Tensor:
        return self.decoder(z)


class PlaneGAN(nn.Module):
    """A generator z [n, 2] -> x [n, 2] and the discriminator that judges it, x -> logits [n]."""

    def __init__(self) -> None:
        super().__init__()
        self.generator = perceptron(2, WIDTH, WIDTH, WIDTH, 2)
        self.discriminator = perceptron(2, WIDTH, WIDTH, WIDTH, 1)

    def judge(self, x: Tensor) -> Tensor:
        return self.discriminator(x)[:, 0]
