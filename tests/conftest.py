"""What the tests stand on: one thread, the weights in `pretrained/`, a zoo of tiny random networks of every family."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import settings

from playground.datasets import DATASETS, Dataset
from playground.models import GANConfig, Model, VAEConfig, save_model
from playground.models.diffusion import DiffusionConfig
from playground.training.card import write_card
from playground.training.loop import as_pictures
from playground.training.objectives import DiffusionObjective, GANObjective, Objective, VAEObjective
from playground.zoo import Zoo

pytest_plugins = ("tests.browser",)

torch.set_num_threads(1)
settings.register_profile("here", deadline=None, max_examples=60, derandomize=True)
settings.load_profile("here")


def build_tiny_objective(kind: str, size: int, channels: int, cardinalities: tuple[int, ...], flat: bool) -> Objective:
    shape = {"size": size, "channels": channels, "cardinalities": cardinalities}
    latent_dim = 2 if flat else 5
    if kind in ("ae", "vae"):
        return VAEObjective(
            VAEConfig(**shape, latent_dim=latent_dim, widths=(8, 8), hidden_dim=16, is_variational=kind == "vae")
        )
    if kind == "gan":
        return GANObjective(GANConfig(**shape, latent_dim=latent_dim, w_dim=6, widths=(8, 8)))
    return DiffusionObjective(DiffusionConfig(**shape, block_out_channels=(8, 16), attention_head_dim=8))


@pytest.fixture(scope="session")
def tiny_objective() -> Callable[..., Objective]:
    """kind -> a new objective with a small random network of that kind, the same one for the same seed."""

    def build(
        kind: str,
        size: int = 32,
        channels: int = 1,
        cardinalities: tuple[int, ...] = (10,),
        flat: bool = False,
        seed: int = 0,
    ) -> Objective:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            return build_tiny_objective(kind, size, channels, cardinalities, flat)

    return build


@pytest.fixture(scope="session")
def tiny_network(tiny_objective: Callable[..., Objective]) -> Callable[..., Model]:
    """kind -> a new small random network of that kind, in evaluation mode."""
    return lambda *args, **options: tiny_objective(*args, **options).network.eval().requires_grad_(False)


def write_tiny_model(folder: Path, objective: Objective, dataset: Dataset, x0: torch.Tensor, y: torch.Tensor) -> None:
    """A model folder as training leaves it: weights, and a card with facts measured on `x0` and its labels `y`."""
    network = objective.network.eval()
    with torch.inference_mode():
        facts = objective.finish(network, x0, y)
    save_model(network, folder)
    card = {
        "dataset": dataset.name,
        "model": folder.name,
        "command": "pytest",
        "seed": 0,
        "images_seen": 0,
        "images_planned": 0,
        "seconds": 0,
        "hardware": "none",
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        "facts": facts,
    }
    write_card(folder, card)


@pytest.fixture(scope="session")
def write_tiny_zoo(tiny_objective: Callable[..., Objective]) -> Callable[..., Path]:
    """root and data sets (by default the first one) -> root, with random-weight models of every family under it.

    Only the first data set has models with a latent space of two numbers.
    """

    def write(root: Path, *datasets: Dataset) -> Path:
        first = next(iter(DATASETS.values()))
        for dataset in datasets or (first,):
            write_models(root, dataset, has_flat_models=dataset is first)
        return root

    def write_models(root: Path, dataset: Dataset, has_flat_models: bool) -> None:
        held_out = dataset.load_reference()
        x0, y = as_pictures(held_out.images[:64]), torch.from_numpy(held_out.labels[:64])
        shape = {"size": dataset.size, "channels": dataset.channels}
        labelled = {**shape, "cardinalities": dataset.cardinalities}
        plain = {**shape, "cardinalities": (), "flat": True}
        models = {"ae2": ("ae", plain), "vae2": ("vae", plain)} if has_flat_models else {}
        models |= {"vae": ("vae", labelled), "gan": ("gan", labelled), "ddpm": ("diffusion", labelled)}
        for name, (kind, options) in models.items():
            write_tiny_model(root / dataset.name / name, tiny_objective(kind, **options), dataset, x0, y)

    return write


@pytest.fixture(scope="session")
def tiny_zoo(tmp_path_factory: pytest.TempPathFactory, write_tiny_zoo: Callable[[Path], Path]) -> Zoo:
    """Every family with random weights, fast to run: ae2, vae2, vae, gan and ddpm of the first data set."""
    return Zoo(write_tiny_zoo(tmp_path_factory.mktemp("pretrained")))


@pytest.fixture(scope="session")
def wide_zoo(tmp_path_factory: pytest.TempPathFactory, write_tiny_zoo: Callable[..., Path]) -> Zoo:
    """The tiny zoo, and vae, gan and ddpm of a second data set that has several attributes of many values."""
    return Zoo(write_tiny_zoo(tmp_path_factory.mktemp("pretrained"), *list(DATASETS.values())[:2]))


@pytest.fixture(scope="session")
def real_zoo() -> Zoo:
    """The trained weights that stand in `pretrained/`."""
    return Zoo()


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)
