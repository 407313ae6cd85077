"""Exponential moving average of weights, counted in pictures rather than steps."""

from __future__ import annotations

import copy

import torch
from torch import nn


class EMA:
    """A slowly following copy of a network (half-life in pictures, shorter in the beginning; Karras et al. 2020)."""

    def __init__(self, network: nn.Module, half_life_images: float, rampup: float = 0.05) -> None:
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        self.half_life_images = half_life_images
        self.rampup = rampup

    @torch.no_grad()
    def update(self, network: nn.Module, images_seen: int, batch_size: int) -> None:
        half_life = min(self.half_life_images, images_seen * self.rampup)
        keep = 0.5 ** (batch_size / max(half_life, 1e-8))
        for average, weight in zip(self.network.parameters(), network.parameters(), strict=True):
            average.lerp_(weight, 1 - keep)
        for average, buffer in zip(self.network.buffers(), network.buffers(), strict=True):
            average.copy_(buffer)
