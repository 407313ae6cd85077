"""Weights on disk: safetensors beside a readable config; nothing is ever unpickled.

VAE and GAN keep their matrices in 8 bits a number, a scale a row, and all else in half precision: half its room, for an
error of under a hundredth of a weight's size. A diffusion model's folder is diffusers' own, which knows no such scales:
its large matrices are 8-bit floats.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from playground.models.diffusion import Diffusion
from playground.models.gan import GAN, GANConfig
from playground.models.vae import VAE, VAEConfig

Model = VAE | GAN | Diffusion
SINGLE_FILE = {"vae": (VAE, VAEConfig), "gan": (GAN, GANConfig)}
SCALE = ".scale"  # ends the name of what a matrix's rows are multiplied by
TOP = 127  # of int8, both ways
CLIPS = (1.0, 0.95, 0.9, 0.85, 0.8, 0.75, 0.7)  # a row's outliers may be cut where the rest gains more by it


class DamagedWeights(ValueError):  # noqa: N818
    """A model folder that must not be run: the message names the file and what is wrong with it."""


def in_eight_bits(weight: Tensor) -> tuple[Tensor, Tensor]:
    """A matrix (or more dimensions, the first being rows) as int8 of its shape and float32 scales, [rows].

    Of several places to cut a row's outliers the one with the least squared error is taken.
    """
    rows = weight.float().flatten(1)
    largest = rows.abs().amax(1, keepdim=True).clamp(min=1e-12)
    scales = torch.stack([clip * largest / TOP for clip in CLIPS])  # [clips, rows, 1]
    levels = (rows / scales).round().clamp(-TOP, TOP)  # [clips, rows, columns]
    best = (levels * scales - rows).square().sum(2).argmin(0)  # [rows]
    row = torch.arange(len(rows), device=rows.device)
    return levels[best, row].to(torch.int8).view_as(weight), scales[best, row, 0]


def packed(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What is written for a network's weights: matrices in 8 bits beside their scales, all else in half precision."""
    stored = {}
    for name, weight in weights.items():
        if weight.ndim > 1:
            stored[name], stored[name + SCALE] = in_eight_bits(weight)
        else:
            stored[name] = weight.half()
    return {name: value.contiguous() for name, value in stored.items()}


def unpacked(stored: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The float32 weights that `packed` wrote.

    Raises ValueError where a matrix and its scales do not belong together.
    """
    weights = {}
    for name, value in stored.items():
        if value.dtype != torch.int8:
            weights[name] = value.float()
            continue
        scales = stored.get(name + SCALE)
        if scales is None or scales.shape != value.shape[:1]:
            raise ValueError(f"{name} is not beside a scale for each of its rows")
        weights[name] = value.float() * scales.float().view(-1, *[1] * (value.ndim - 1))
    used = {name + SCALE for name, value in stored.items() if value.dtype == torch.int8}
    return {name: value for name, value in weights.items() if name not in used}


def save_model(model: Model, folder: Path) -> None:
    """Write `model` so that `load_model(folder)` gives it back, weights rounded as this module says."""
    folder.mkdir(parents=True, exist_ok=True)
    if isinstance(model, Diffusion):
        model.save(folder)
        return
    family = next(name for name, (kind, _) in SINGLE_FILE.items() if isinstance(model, kind))
    config = {"family": family, **asdict(model.config)}
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    save_file(packed(model.state_dict()), folder / "model.safetensors")


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
    model.load_state_dict(unpacked(load_file(folder / "model.safetensors")), assign=True)
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
