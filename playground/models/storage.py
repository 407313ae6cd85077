"""Weights on disk: safetensors in half precision beside a readable config; nothing is ever unpickled."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from playground.models.diffusion import Diffusion
from playground.models.gan import GAN, GANConfig
from playground.models.vae import VAE, VAEConfig

Model = VAE | GAN | Diffusion
SINGLE_FILE = {"vae": (VAE, VAEConfig), "gan": (GAN, GANConfig)}


class DamagedWeights(ValueError):  # noqa: N818
    """A model folder that must not be run: the message names the file and what is wrong with it."""


def save_model(model: Model, folder: Path) -> None:
    """Write `model` so that `load_model(folder)` gives it back, weights rounded to half precision."""
    folder.mkdir(parents=True, exist_ok=True)
    if isinstance(model, Diffusion):
        model.save(folder)
        return
    family = next(name for name, (kind, _) in SINGLE_FILE.items() if isinstance(model, kind))
    config = {"family": family, **asdict(model.config)}
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    save_file({k: v.half().contiguous() for k, v in model.state_dict().items()}, folder / "model.safetensors")


def reject_repeats(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """The JSON object of these pairs; raises ValueError where a name stands twice, which most readers let through."""
    if len({name for name, _ in pairs}) < len(pairs):
        raise ValueError("a name stands twice in the header")
    return dict(pairs)


def check_header(path: Path) -> None:
    """Raise ValueError when the header of a safetensors file names a tensor, or anything else, twice."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length > path.stat().st_size:
            raise ValueError("the header is longer than the file")
        json.loads(file.read(length), object_pairs_hook=reject_repeats)


def load_single_file(folder: Path) -> VAE | GAN:
    """Open a folder of `config.json` and `model.safetensors`.

    The network is laid out without memory first, so that a config that asks for too much is refused before it gets it.
    """
    config = json.loads((folder / "config.json").read_text())
    kind, config_kind = SINGLE_FILE[config.pop("family")]
    with torch.device("meta"):
        model = kind(config_kind(**{k: tuple(v) if isinstance(v, list) else v for k, v in config.items()}))
    weights = {name: weight.float() for name, weight in load_file(folder / "model.safetensors").items()}
    model.load_state_dict(weights, assign=True)
    return model


def load_model(folder: Path) -> Model:
    """Open a model folder; weights come back as float32 on the CPU, in evaluation mode, without gradients.

    Raises DamagedWeights when names, shapes or numbers are not what the folder's config promises.
    """
    try:
        for path in folder.rglob("*.safetensors"):
            check_header(path)
        is_pipeline = (folder / "model_index.json").exists()
        model = Diffusion.load(folder) if is_pipeline else load_single_file(folder)
    except Exception as error:  # whatever a broken file provokes in the libraries below, the answer is the same
        raise DamagedWeights(f"{folder.name}: cannot be opened ({type(error).__name__})") from error
    for name, weight in model.state_dict().items():
        if not torch.isfinite(weight).all():
            raise DamagedWeights(f"{folder.name}: {name} holds values that are not finite")
    return model.eval().requires_grad_(False)
