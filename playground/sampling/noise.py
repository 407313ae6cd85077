"""Noise from seeds: a picture's seed is its own."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Generator, Tensor


def seeded_generators(seeds: Sequence[int]) -> list[Generator]:
    return [Generator().manual_seed(seed) for seed in seeds]


def draw_noise(generators: Sequence[Generator], shape: tuple[int, ...]) -> Tensor:
    """The next normal draw of each generator, [len(generators), *shape], CPU, float32."""
    return torch.stack([torch.randn(shape, generator=generator) for generator in generators])


def seeded_noise(seeds: Sequence[int], shape: tuple[int, ...]) -> Tensor:
    """Noise where picture i depends on seeds[i] alone; [len(seeds), *shape], CPU, float32."""
    return draw_noise(seeded_generators(seeds), shape)
