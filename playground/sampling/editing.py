"""Beginning from a given picture instead of noise: SDEdit, and in-painting with RePaint."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from torch import Generator, Tensor

from playground.sampling.forward import predictions
from playground.sampling.noise import draw_noise
from playground.sampling.reverse import Denoiser, Step, descend, set_steps, step_options

if TYPE_CHECKING:
    from diffusers import SchedulerMixin


def steps_left(steps: int, strength: float) -> int:
    """How many of the steps a picture noised to `strength` has before it, cut as diffusers' img2img pipelines do.

    At least one: there is nothing to see of a reverse process without steps.
    """
    return max(1, min(int(steps * strength), steps))


def noised(scheduler: SchedulerMixin, x0: Tensor, noise: Tensor, t: Tensor) -> Tensor:
    """x0 at the noise level of timestep t, in the scheduler's own units (Ho et al. 2020, eq. 4)."""
    return scheduler.add_noise(x0, noise, t.expand(len(noise)))


@torch.inference_mode()
def sdedit(
    denoise: Denoiser,
    scheduler: SchedulerMixin,
    x0: Tensor,
    noise: Tensor,
    steps: int,
    strength: float,
    generators: Sequence[Generator],
    eta: float = 0.0,
) -> Iterator[Step]:
    """Noise a picture up to `strength` and denoise it from there (Meng et al. 2022), yielding every step.

    x0 is [1 or batch, channels, size, size], noise [batch, channels, size, size]. Strength 1 forgets x0 altogether: it
    begins from the pure noise, as a picture made of nothing does.
    """
    set_steps(scheduler, steps)
    num = steps_left(steps, strength)
    begin = (steps - num) * scheduler.order  # Heun's steps are two timesteps each
    sample = noise * scheduler.init_noise_sigma
    if strength < 1:
        if hasattr(scheduler, "set_begin_index"):
            scheduler.set_begin_index(begin)
        sample = noised(scheduler, x0.expand_as(noise), noise, scheduler.timesteps[begin])
    for step in descend(denoise, scheduler, sample, generators, eta, begin):
        yield replace(step, index=step.index - begin, total=step.total - begin)


def repaint_levels(steps: int, jump_length: int, resamples: int) -> list[int]:
    """The noise levels that RePaint visits, from `steps` (pure noise) to 0 (clean), as steps that remain.

    Wherever a stretch of `jump_length` steps ends, it goes back up that far and down again until it has walked the
    stretch `resamples` times (Lugmayr et al. 2022, Algorithm 1 and appendix B).
    """
    again = dict.fromkeys(range(1, steps - jump_length + 1, jump_length), resamples - 1)
    level, visited = steps, [steps]
    while level > 0:
        level -= 1
        visited.append(level)
        if again.get(level, 0) > 0:
            again[level] -= 1
            level += jump_length
            visited.append(level)
    return visited


def num_repaint_steps(steps: int, jump_length: int, resamples: int) -> int:
    """How many times RePaint asks the network for one picture."""
    visited = repaint_levels(steps, jump_length, resamples)
    return sum(later < level for level, later in pairwise(visited))


@torch.inference_mode()
def repaint(
    denoise: Denoiser,
    scheduler: SchedulerMixin,
    x0: Tensor,
    mask: Tensor,
    noise: Tensor,
    steps: int,
    jump_length: int,
    resamples: int,
    generators: Sequence[Generator],
    eta: float = 0.0,
) -> Iterator[Step]:
    """Make the masked pixels new so that they suit the others (Lugmayr et al. 2022, Algorithm 1), yielding every step.

    x0 is [1, channels, size, size], mask [1, 1, size, size] is true where pixels are new, noise [batch, channels, size,
    size]. After every step the known pixels are set to x0, noised to the level reached; at the end they are x0 exactly.
    `scheduler` must remember nothing of the steps before (DDPM, DDIM), since going back up would make that untrue.
    """

    def predict(x_t: Tensor, output: Tensor, a: Tensor) -> tuple[Tensor, Tensor]:
        clean, eps = predictions(scheduler.config.prediction_type, x_t, output, a)
        return torch.where(mask, clean, x0), eps

    set_steps(scheduler, steps)
    options = step_options(scheduler, eta, list(generators))
    signal = torch.cat([torch.ones(1), scheduler.alphas_cumprod[scheduler.timesteps.flip(0)]])  # by level, 1 at level 0
    shape = noise.shape[1:]
    x, index, total = noise, 0, num_repaint_steps(steps, jump_length, resamples)
    visited = repaint_levels(steps, jump_length, resamples)
    for level, later in pairwise(visited):
        if later > level:  # back up: q(x_later | x_level)
            ratio = signal[later] / signal[level]
            x = ratio.sqrt() * x + (1 - ratio).sqrt() * draw_noise(generators, shape)
            continue
        t = scheduler.timesteps[steps - level]
        output = denoise(x, t)
        new = scheduler.step(output, t, x, **options).prev_sample
        known = x0.expand_as(x)
        if later > 0:
            known = signal[later].sqrt() * known + (1 - signal[later]).sqrt() * draw_noise(generators, shape)
        x_next = torch.where(mask, new, known)
        yield Step(index, total, float(t), x, x_next, partial(predict, x, output, signal[level]))
        x, index = x_next, index + 1
