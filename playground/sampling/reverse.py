"""The reverse process: diffusers' schedulers walked step by step, so that every step can be seen."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING

import torch
from torch import Generator, Tensor

from playground.sampling.forward import predictions

if TYPE_CHECKING:
    from diffusers import SchedulerMixin

# x_t [batch, channels, size, size] and t (a scalar tensor) -> the network's prediction, same shape as x_t
Denoiser = Callable[[Tensor, Tensor], Tensor]

STOCHASTIC = frozenset({"ddpm", "sde_dpmpp", "euler_a"})


@dataclass(frozen=True)
class Step:
    """One point of the reverse trajectory; pictures are [batch, channels, size, size]."""

    index: int
    total: int
    t: float
    x_t: Tensor  # the noisy picture that the network looked at, at unit variance
    x_next: Tensor  # what the sampler made of it; after the last step, the picture
    predict: Callable[[], tuple[Tensor, Tensor]]  # what the network predicted: the clean picture and the noise

    @cached_property
    def predicted(self) -> tuple[Tensor, Tensor]:
        """Worked out when somebody looks: in most steps nobody does, and it takes as long as the sampler."""
        return self.predict()

    @property
    def x0(self) -> Tensor:
        """The clean picture that the network predicted."""
        return self.predicted[0]

    @property
    def eps(self) -> Tensor:
        """The noise that the network predicted."""
        return self.predicted[1]


def build_scheduler(sampler: str, noise_schedule: Mapping[str, object]) -> SchedulerMixin:
    """A fresh scheduler for one request. `noise_schedule` must spell out every beta: nothing is left to defaults."""
    from playground.sampling import schedulers  # and diffusers with it, which the first page need not wait for

    return schedulers.build_scheduler(sampler, noise_schedule)


def guided(predict: Callable[[Tensor, Tensor, Tensor], Tensor], labels: Tensor, guidance_scale: float) -> Denoiser:
    """Classifier-free guidance (Ho and Salimans 2022): away from "any" and towards the labels, `guidance_scale` times.

    Scale 1 asks the network once with the labels, 0 once without them; anything else twice, in one batch.
    """
    nothing = torch.zeros_like(labels)
    if guidance_scale == 0 or not labels.any():
        return lambda x_t, t: predict(x_t, t.expand(len(x_t)), nothing)
    if guidance_scale == 1:
        return lambda x_t, t: predict(x_t, t.expand(len(x_t)), labels)

    def denoise(x_t: Tensor, t: Tensor) -> Tensor:
        both = predict(torch.cat([x_t, x_t]), t.expand(2 * len(x_t)), torch.cat([nothing, labels]))
        without, towards = both.chunk(2)
        return without + guidance_scale * (towards - without)

    return denoise


def step_options(scheduler: SchedulerMixin, eta: float, generators: list[Generator]) -> dict[str, object]:
    """The arguments that only some schedulers' `step` takes."""
    from diffusers import (  # whoever made the scheduler has waited for it
        DDIMScheduler,
        DDPMScheduler,
        DPMSolverMultistepScheduler,
        EulerAncestralDiscreteScheduler,
    )

    if isinstance(scheduler, DDIMScheduler):  # diffusers' own as well as ours
        return {"eta": eta, "generator": generators}
    if isinstance(scheduler, (DDPMScheduler, DPMSolverMultistepScheduler, EulerAncestralDiscreteScheduler)):
        return {"generator": generators}
    return {}


def set_steps(scheduler: SchedulerMixin, steps: int) -> None:
    """Choose the noise levels that `steps` steps visit.

    The spacing of diffusers ends some step counts (61, 103, 121 ...) in one level too many, -1, by a rounding error; a
    count smaller by a hair gives the same levels without it.
    """
    scheduler.set_timesteps(steps)
    if scheduler.timesteps[-1] < 0:
        scheduler.set_timesteps(steps * (1 - 1e-9))


@torch.inference_mode()
def reverse(
    denoise: Denoiser,
    scheduler: SchedulerMixin,
    noise: Tensor,
    steps: int,
    generators: Sequence[Generator],
    eta: float = 0.0,
) -> Iterator[Step]:
    """Walk noise back to pictures (Ho et al. 2020, Algorithm 2, with any diffusers scheduler), yielding every step.

    `noise` is [batch, channels, size, size] at unit variance; `generators`, one per picture, feed stochastic samplers.
    """
    set_steps(scheduler, steps)
    yield from descend(denoise, scheduler, noise * scheduler.init_noise_sigma, generators, eta)


@torch.inference_mode()
def descend(
    denoise: Denoiser,
    scheduler: SchedulerMixin,
    sample: Tensor,
    generators: Sequence[Generator],
    eta: float = 0.0,
    begin: int = 0,
    end: int | None = None,
) -> Iterator[Step]:
    """The part of the reverse process from the scheduler's timestep number `begin` up to, not including, number `end`.

    `sample` is in the scheduler's own units. What a solver remembers lies in `scheduler`, where the noise on the way
    stands in `generators`: going on with both of them and the last `x_next` is the same as never having paused.
    """
    options = step_options(scheduler, eta, list(generators))
    alphas_cumprod, levels = scheduler.alphas_cumprod.tolist(), scheduler.timesteps.tolist()
    total = len(levels)
    for index, t in list(enumerate(scheduler.timesteps))[begin:end]:
        x_t = scheduler.scale_model_input(sample, t)
        output = denoise(x_t, t)
        predict = partial(
            predictions, scheduler.config.prediction_type, x_t, output, alphas_cumprod[round(levels[index])]
        )
        sample = scheduler.step(output, t, sample, **options).prev_sample
        yield Step(index, total, float(levels[index]), x_t, sample, predict)
