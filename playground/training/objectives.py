"""What each family learns: its players, the loss each of them lowers, a sheet of samples, facts for its card.

The loop in `loop.py` knows only this interface; a family differs from another by nothing but its objective.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from inspect import signature
from typing import Protocol

import torch
from diffusers import DPMSolverMultistepScheduler
from torch import Generator, Tensor, nn

from playground.datasets import Dataset
from playground.models import Model
from playground.models.conditioning import drop_labels
from playground.models.diffusion import Diffusion, DiffusionConfig, add_noise, velocity
from playground.models.gan import GAN, GANConfig
from playground.models.vae import VAE, VAEConfig, kl_per_dimension, reconstruction_loss, sample_posterior
from playground.training.losses import discriminator_losses, min_snr_weight, relativistic_loss

SHEET_LATENT_SEED = 1234

Dropout = float | tuple[float, ...]  # of labels in training: one chance for all attributes, or one for each


class Objective(Protocol):
    """One family's side of the training loop."""

    network: nn.Module  # all weights, the ones whose moving average is kept
    players: dict[str, nn.Module]  # who is optimised, in turn; usually one
    betas: tuple[float, float]  # of Adam

    def losses(
        self, player: str, x0: Tensor, labels: Tensor, generator: Generator, progress: float
    ) -> dict[str, Tensor]:
        """Scalars of one turn; "loss" is the one to lower. `progress` runs from 0 to 1 over the training."""

    def shown(self, network: nn.Module) -> Model:
        """The model that is published, all of `network` or a part of it."""

    def sheet(self, network: nn.Module, labels: Tensor) -> Tensor:
        """Pictures of fixed noise for each row of labels, to watch the training by."""

    def finish(self, network: nn.Module, x0: Tensor, labels: Tensor) -> dict[str, object]:
        """Measure on held-out pictures what the page needs to know of a trained network; facts go into the card."""


def noise_like(x: Tensor, generator: Generator) -> Tensor:
    return torch.randn(x.shape, generator=generator).to(x.device)


class VAEObjective:
    """Evidence lower bound; without KL and noise when the network is a plain autoencoder."""

    betas = (0.9, 0.99)

    def __init__(
        self, config: VAEConfig, beta: float = 1.0, label_dropout: Dropout = 0.15, drop_all: float = 0.0
    ) -> None:
        self.network = VAE(config)
        self.players = {"vae": self.network}
        self.beta = beta
        self.label_dropout = label_dropout
        self.drop_all = drop_all

    def losses(
        self, player: str, x0: Tensor, labels: Tensor, generator: Generator, progress: float
    ) -> dict[str, Tensor]:
        labels = drop_labels(labels, self.label_dropout, generator, self.drop_all)
        mu, logvar = self.network.encode(x0, labels)
        z = sample_posterior(mu, logvar, noise_like(mu, generator))
        recon_loss = reconstruction_loss(self.network.decode_logits(z, labels), x0).mean()
        if logvar is None:
            return {"loss": recon_loss, "recon_loss": recon_loss}
        kl = kl_per_dimension(mu, logvar).sum(1).mean()
        warm = min(1.0, progress / 0.1)  # KL fades in over the first tenth, so that no dimension is given up early
        return {"loss": recon_loss + warm * self.beta * kl, "recon_loss": recon_loss, "kl": kl}

    def shown(self, network: VAE) -> VAE:
        return network

    def sheet(self, network: VAE, labels: Tensor) -> Tensor:
        noise = torch.randn(
            len(labels), network.config.latent_dim, generator=Generator().manual_seed(SHEET_LATENT_SEED)
        )
        return network.decode(noise, labels)

    def finish(self, network: VAE, x0: Tensor, labels: Tensor) -> dict[str, object]:
        mu, logvar = network.encode(x0, labels)
        spread = mu.abs().quantile(0.99, dim=0)
        facts: dict[str, object] = {"latent_extent": [round(v, 4) for v in spread.tolist()]}
        if logvar is not None:
            facts["kl_per_dimension"] = [round(v, 4) for v in kl_per_dimension(mu, logvar).mean(0).tolist()]
        return facts


class GANObjective:
    """Relativistic pairing loss with zero-centred penalties on real and fake (R3GAN, Huang et al. 2024).

    `pixel_shift` is added to every pixel that the finished generator writes, in units of [-1, 1]: where pictures have a
    plain background, a haze that is left on it in few of them goes beyond the end of the scale.
    """

    betas = (0.0, 0.99)

    def __init__(
        self,
        config: GANConfig,
        gamma: tuple[float, float] = (2.0, 1.0),
        penalty_every: int = 4,
        label_dropout: Dropout = 0.1,
        drop_all: float = 0.0,
        pixel_shift: float = 0.0,
    ) -> None:
        self.network = GAN(config)
        self.players = {"discriminator": self.network.discriminator, "generator": self.network.generator}
        self.gamma = gamma
        self.penalty_every = penalty_every
        self.label_dropout = label_dropout
        self.drop_all = drop_all
        self.pixel_shift = pixel_shift

    def losses(
        self, player: str, x0: Tensor, labels: Tensor, generator: Generator, progress: float
    ) -> dict[str, Tensor]:
        labels = drop_labels(labels, self.label_dropout, generator, self.drop_all)
        z = torch.randn(len(x0), self.network.config.latent_dim, generator=generator).to(x0.device)
        if player == "generator":
            self.network.discriminator.requires_grad_(False)
            fake = self.network.generator(z, labels)
            logits = self.network.discriminator(torch.cat([x0, fake]), torch.cat([labels, labels]))
            real_logits, fake_logits = logits.chunk(2)
            self.network.discriminator.requires_grad_(True)
            return {"loss": relativistic_loss(fake_logits, real_logits).mean()}
        with torch.no_grad():
            fake = self.network.generator(z, labels)
        start, end = self.gamma
        gamma = end + (start - end) * (1 - min(1.0, 2 * progress))  # settles at `end` half-way
        return discriminator_losses(self.network.discriminator, x0, fake, labels, generator, gamma, self.penalty_every)

    def shown(self, network: GAN) -> GAN:
        if not self.pixel_shift:
            return network
        finished = deepcopy(network)
        generator = finished.generator
        with torch.no_grad():
            (generator.pixels if generator.fine is None else generator.fine.pixels).bias += self.pixel_shift
        return finished

    def sheet(self, network: GAN, labels: Tensor) -> Tensor:
        noise = torch.randn(
            len(labels), network.config.latent_dim, generator=Generator().manual_seed(SHEET_LATENT_SEED)
        )
        return network.generator(noise, labels)

    def finish(self, network: GAN, x0: Tensor, labels: Tensor) -> dict[str, object]:
        network.measure_w(Generator().manual_seed(0))

        def quantiles(known: Tensor) -> list[float]:
            logits = network.discriminator(x0, known)
            return [round(v, 3) for v in logits.quantile(torch.linspace(0.005, 0.995, 100)).tolist()]

        facts = {"asked": quantiles(labels), "any": quantiles(torch.zeros_like(labels))}
        for asked in asked_patterns(labels.shape[1]):
            facts["".join(map(str, asked))] = quantiles(labels * torch.tensor(asked, device=labels.device))
        return {"real_logits": facts}


def asked_patterns(num_attributes: int) -> list[tuple[int, ...]]:
    """Which attributes may be asked for, 1 for asked: each alone, and all but each one; none where there is but one."""
    if num_attributes == 1:
        return []
    alone = [tuple(int(k == one) for k in range(num_attributes)) for one in range(num_attributes)]
    return sorted({*alone, *(tuple(1 - flag for flag in pattern) for pattern in alone)})


class DiffusionObjective:
    """Predict v at a random noise level (Ho et al. 2020, Algorithm 1; v and weight as in `losses`)."""

    betas = (0.9, 0.99)

    def __init__(
        self,
        config: DiffusionConfig,
        label_dropout: Dropout = 0.15,
        drop_all: float = 0.0,
        snr_gamma: float = 5.0,
        snr_floor: float = 0.0,
    ) -> None:
        self.network = Diffusion.from_config(config)
        self.players = {"ddpm": self.network}
        self.label_dropout = label_dropout
        self.drop_all = drop_all  # guidance leads away from a picture of which nothing is asked
        self.snr_gamma, self.snr_floor = snr_gamma, snr_floor
        self.alphas_cumprod = self.network.scheduler().alphas_cumprod

    def losses(
        self, player: str, x0: Tensor, labels: Tensor, generator: Generator, progress: float
    ) -> dict[str, Tensor]:
        labels = drop_labels(labels, self.label_dropout, generator, self.drop_all)
        eps = noise_like(x0, generator)
        # one noise level from each of `batch` equal slices: the same distribution, a steadier gradient
        slices = (torch.arange(len(x0)) + torch.rand(len(x0), generator=generator)) / len(x0)
        t = (slices * len(self.alphas_cumprod)).long()
        a = self.alphas_cumprod[t].to(x0.device)[:, None, None, None]
        v = self.network(add_noise(x0, eps, a), t.to(x0.device), labels)
        error = (v.float() - velocity(x0, eps, a)).square().mean((1, 2, 3))
        weight = min_snr_weight(a[:, 0, 0, 0], self.snr_gamma, self.snr_floor)
        return {"loss": (weight * error).mean(), "v_error": error.mean().detach()}

    def shown(self, network: Diffusion) -> Diffusion:
        return network

    def sheet(self, network: Diffusion, labels: Tensor) -> Tensor:
        scheduler = DPMSolverMultistepScheduler.from_config(
            network.noise_schedule, timestep_spacing="trailing", thresholding=True, sample_max_value=1.0
        )
        scheduler.set_timesteps(12)
        shape = (len(labels), network.unet.config.in_channels, *(network.unet.config.sample_size,) * 2)
        x_t = torch.randn(shape, generator=Generator().manual_seed(SHEET_LATENT_SEED))
        for t in scheduler.timesteps:
            v = network(x_t, t.expand(len(x_t)), labels)
            x_t = scheduler.step(v, t, x_t).prev_sample
        return x_t

    def finish(self, network: Diffusion, x0: Tensor, labels: Tensor) -> dict[str, object]:
        return {}


def build_objective(model: str, dataset: Dataset) -> Objective:
    """The objective that makes `pretrained/<dataset>/<model>`.

    Raises KeyError for a model that is not one of `MODELS`.
    """
    config, options = MODELS[model]
    declared = dataset.training.get(model, {})
    config = replace(
        config,
        size=dataset.size,
        channels=dataset.channels,
        cardinalities=dataset.cardinalities if config.cardinalities is not None else (),
        **{name: value for name, value in declared.items() if hasattr(config, name)},
    )
    objective = OBJECTIVES[type(config)]
    own = {name: value for name, value in declared.items() if name in signature(objective).parameters}
    return objective(config, **{**options, **own})


OBJECTIVES = {VAEConfig: VAEObjective, GANConfig: GANObjective, DiffusionConfig: DiffusionObjective}

# cardinalities None: the model is told nothing, so that its map of the latent space holds every kind of picture
MODELS: dict[str, tuple[VAEConfig | GANConfig | DiffusionConfig, dict[str, object]]] = {
    "ae2": (VAEConfig(0, 0, None, latent_dim=2, is_variational=False), {}),
    "vae2": (VAEConfig(0, 0, None, latent_dim=2), {}),
    "vae": (VAEConfig(0, 0, (), latent_dim=24), {"beta": 2.0}),  # dearer codes: what the prior draws is legible
    "gan": (GANConfig(0, 0, ()), {}),
    "ddpm": (DiffusionConfig(0, 0, ()), {}),
}
