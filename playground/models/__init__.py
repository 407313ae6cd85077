"""The networks, torch only: what each family is, without data, training or sampling."""

from playground.models.diffusion import Diffusion, DiffusionConfig
from playground.models.gan import GAN, GANConfig
from playground.models.storage import DamagedWeights, Model, load_model, save_model
from playground.models.vae import VAE, VAEConfig

__all__ = [
    "GAN",
    "VAE",
    "DamagedWeights",
    "Diffusion",
    "DiffusionConfig",
    "GANConfig",
    "Model",
    "VAEConfig",
    "load_model",
    "save_model",
]
