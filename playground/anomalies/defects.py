"""Ways to spoil a picture, decided by a seed; a detector is to notice them without having been told of any."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

INK = 0.5  # how far a channel must be from the corner's colour for a pixel to belong to what is drawn

# Shares of a picture's side
SCRATCH_WIDTH, BLOT_RADIUS, HOLE_RADIUS, PATCH_RADIUS = 1 / 16, 1 / 8, 1 / 8, 1 / 6


def some_ink(picture: Tensor, rng: np.random.Generator) -> tuple[int, int]:
    """Row and column of a pixel of what is drawn in [channels, size, size]; the middle where nothing is."""
    size = picture.shape[-1]
    rows, columns = torch.nonzero((picture - picture[:, :1, :1]).abs().amax(0) > INK, as_tuple=True)
    if len(rows) == 0:
        return size // 2, size // 2
    chosen = int(rng.integers(len(rows)))
    return int(rows[chosen]), int(columns[chosen])


def offsets(picture: Tensor, centre: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """How far every pixel lies below and to the right of the centre, as shares of the side."""
    size = picture.shape[-1]
    along = torch.arange(size)
    down, right = torch.meshgrid(along - centre[0], along - centre[1], indexing="ij")
    return down / size, right / size


def square(picture: Tensor, centre: tuple[int, int], radius: float) -> Tensor:
    down, right = offsets(picture, centre)
    return (down.abs() <= radius) & (right.abs() <= radius)


def scratch(picture: Tensor, other: Tensor, rng: np.random.Generator) -> Tensor:
    """A straight line through what is drawn, white on a dark picture and black on a bright one."""
    down, right = offsets(picture, some_ink(picture, rng))
    angle = rng.uniform(0, math.pi)
    is_on_it = (down * math.cos(angle) - right * math.sin(angle)).abs() < SCRATCH_WIDTH / 2
    return torch.where(is_on_it, 1.0 if picture.mean() < 0 else -1.0, picture)


def hole(picture: Tensor, other: Tensor, rng: np.random.Generator) -> Tensor:
    """A square of what is drawn is gone: the corner's colour is there."""
    return torch.where(square(picture, some_ink(picture, rng), HOLE_RADIUS), picture[:, :1, :1], picture)


def blot(picture: Tensor, other: Tensor, rng: np.random.Generator) -> Tensor:
    """A disc of middle grey."""
    down, right = offsets(picture, some_ink(picture, rng))
    return torch.where(down.square() + right.square() <= BLOT_RADIUS**2, 0.0, picture)


def patch(picture: Tensor, other: Tensor, rng: np.random.Generator) -> Tensor:
    """A square of another picture of the same kind, from the same place."""
    return torch.where(square(picture, some_ink(picture, rng), PATCH_RADIUS), other, picture)


def turned(picture: Tensor, other: Tensor, rng: np.random.Generator) -> Tensor:
    """Upside down."""
    return picture.flip(1, 2)


def stranger(picture: Tensor, other: Tensor, rng: np.random.Generator) -> Tensor:
    """A picture of other things altogether, brought to the same size, in grey where there are no colours."""
    channels, size = picture.shape[:2]
    if channels == 1:
        other = other.mean(0, keepdim=True)
    return F.interpolate(other[None], (size, size), mode="bilinear", antialias=True)[0].expand_as(picture)


# [channels, size, size] in [-1, 1], another picture (of a shape of its own for `stranger`), chance -> the spoiled one
Spoiler = Callable[[Tensor, Tensor, np.random.Generator], Tensor]
SPOILERS: Mapping[str, Spoiler] = {
    "scratch": scratch,
    "hole": hole,
    "blot": blot,
    "patch": patch,
    "turned": turned,
    "stranger": stranger,
}


def spoil(picture: Tensor, defect: str, others: Tensor, seed: int, number: int) -> Tensor:
    """The picture [channels, size, size] with a defect of `SPOILERS`, the same one for the same seed and number.

    `others`, uint8 [n, channels, size, size], are the pictures that a patch is cut from, or that a stranger is one of.
    """
    rng = np.random.default_rng([list(SPOILERS).index(defect), seed, number])
    other = others[int(rng.integers(len(others)))].float() / 127.5 - 1
    return SPOILERS[defect](picture, other, rng).clone()
