"""The reverse process taken up again on the way, with something changed from there on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Generator, Tensor

from playground.sampling.editing import noised
from playground.sampling.reverse import Denoiser, Step, descend, set_steps

if TYPE_CHECKING:
    from diffusers import SchedulerMixin

# (scheduler, the sample in its own units, the timestep to come) -> the sample to go on with
Touch = Callable[["SchedulerMixin", Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Leg:
    """A stretch of the reverse process that begins after so many steps; what is None stays as it was."""

    begin: int
    denoise: Denoiser
    generators: Sequence[Generator] | None = None
    touch: Touch | None = None


@torch.inference_mode()
def reverse_in_legs(
    legs: Sequence[Leg],
    scheduler: SchedulerMixin,
    noise: Tensor,
    steps: int,
    generators: Sequence[Generator],
    eta: float = 0.0,
) -> Iterator[Step]:
    """`reverse`, walked in legs: one process, one solver's memory, one stream of noise a picture, yielding every step.

    The legs stand in order, the first begins at 0; one that begins at `steps` is never reached. With nothing changed
    between them the bytes are those of `reverse`.
    """
    set_steps(scheduler, steps)
    sample = noise * scheduler.init_noise_sigma
    ends = [leg.begin for leg in legs[1:]] + [steps]
    for leg, later in zip(legs, ends, strict=True):
        begin, end = (min(k * scheduler.order, len(scheduler.timesteps)) for k in (leg.begin, later))
        generators = leg.generators or generators
        if leg.touch is not None and begin < len(scheduler.timesteps):
            sample = leg.touch(scheduler, sample, scheduler.timesteps[begin])
        for step in descend(leg.denoise, scheduler, sample, generators, eta, begin, end):
            yield step
            sample = step.x_next


def painted_over(picture: Tensor, mask: Tensor, noise: Tensor) -> Touch:
    """Sets pixels on the way: where `mask` [1, 1, size, size] is true, `picture` [1, channels, size, size] comes to lie
    under the noise that the process began with."""

    def touch(scheduler: SchedulerMixin, sample: Tensor, t: Tensor) -> Tensor:
        return torch.where(mask, noised(scheduler, picture.expand_as(noise), noise, t), sample)

    return touch
