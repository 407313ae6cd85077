"""Paths through a space of noise or latent vectors."""

from __future__ import annotations

import torch
from torch import Tensor


def lerp(a: Tensor, b: Tensor, weight: float) -> Tensor:
    """The straight line from a (weight 0) to b (weight 1)."""
    return a + weight * (b - a)


def slerp(a: Tensor, b: Tensor, weight: float) -> Tensor:
    """The great circle from a to b (Shoemake 1985), which keeps the length that a normal vector typically has.

    Falls back to the straight line where the two (anti)parallel vectors leave the circle undefined.
    """
    cosine = torch.dot(a.flatten(), b.flatten()) / (a.norm() * b.norm()).clamp_min(1e-12)
    angle = torch.arccos(cosine.clamp(-1, 1))
    if torch.sin(angle) < 1e-4:
        return lerp(a, b, weight)
    return (torch.sin((1 - weight) * angle) * a + torch.sin(weight * angle) * b) / torch.sin(angle)


def walk(a: Tensor, b: Tensor, num: int) -> Tensor:
    """`num` places evenly spaced on the great circle from a to b, both ends included; [num, *a.shape]."""
    if num == 1:
        return a[None]
    return torch.stack([slerp(a, b, k / (num - 1)) for k in range(num)])


def grid(extent_x: float, extent_y: float, side: int) -> Tensor:
    """side x side points of the rectangle [-extent, extent], row by row from the top left; [side * side, 2]."""
    x = torch.linspace(-extent_x, extent_x, side)
    y = torch.linspace(extent_y, -extent_y, side)
    return torch.stack([x.repeat(side), y.repeat_interleave(side)], dim=1)
