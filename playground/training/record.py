"""A record of how a model learns: pictures of fixed noise and the losses, at moments evenly spaced in the logarithm."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor

from playground.datasets.base import sha256

FIRST_IMAGES, LAST_IMAGES, NUM_MOMENTS = 250, 128_000, 19  # the first moment is before any training
SHADES = 32  # of each channel: half the room of all 256, and nobody sees it in pictures so small


def moments() -> list[int]:
    """Counts of pictures seen: none, then `FIRST_IMAGES` to `LAST_IMAGES`, each the same factor after the last."""
    return [0, *np.geomspace(FIRST_IMAGES, LAST_IMAGES, NUM_MOMENTS - 1).round().astype(int).tolist()]


class Record:
    """What has been recorded so far of one training; written anew at every moment, so that it may stop after any.

    `folder` gets a lossless WebP with a row a picture and a column a moment, and a JSON file with the counts of
    pictures seen, the labels asked for, and a value a moment of every loss (null where there is none).
    """

    def __init__(self, folder: Path, model: str, labels: np.ndarray, facts: Mapping[str, object]) -> None:
        self.folder, self.model, self.labels, self.facts = folder, model, labels, facts
        self.counts: list[int] = []
        self.columns: list[np.ndarray] = []  # uint8 [n x size, size, channels] each
        self.losses: list[dict[str, float]] = []

    @property
    def next_moment(self) -> int | None:
        """How many pictures the training must have seen for the next entry; None when all are there."""
        planned = moments()
        return planned[len(self.counts)] if len(self.counts) < len(planned) else None

    def add(self, images_seen: int, pictures: Tensor, losses: Mapping[str, float]) -> None:
        """Pictures [n, channels, size, size] in [-1, 1], and the mean losses since the last moment."""
        self.counts.append(images_seen)
        self.columns.append(np.concatenate(list(in_shades(to_bytes(pictures).movedim(1, -1).numpy()))))
        self.losses.append(dict(losses))
        self.write()

    def write(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"{self.model}.webp"
        pixels = np.concatenate(self.columns, axis=1)
        Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels).save(path, lossless=True, method=6)
        names = sorted({name for losses in self.losses for name in losses})
        curves = {name: [rounded(losses.get(name)) for losses in self.losses] for name in names}
        facts = {"counts": self.counts, "labels": self.labels.tolist(), "losses": curves, "sha256": sha256(path)}
        (self.folder / f"{self.model}.json").write_text(json.dumps({**self.facts, **facts}) + "\n")


def to_bytes(pictures: Tensor) -> Tensor:
    """Pictures in [-1, 1] -> uint8 of the same shape."""
    return ((pictures.clamp(-1, 1) + 1) * 127.5).round().byte()


def in_shades(pixels: np.ndarray) -> np.ndarray:
    """uint8 -> the nearest of `SHADES` evenly spaced values from 0 to 255."""
    return np.round(np.round(pixels / 255 * (SHADES - 1)) * (255 / (SHADES - 1))).astype(np.uint8)


def rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.4g}")
