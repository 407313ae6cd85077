"""The reverse process: diffusers' schedulers walked step by step, so that every step can be seen."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from diffusers import (
    DDIMScheduler,
    DDPMScheduler,
    DPMSolverMultistepScheduler,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    HeunDiscreteScheduler,
    SchedulerMixin,
    UniPCMultistepScheduler,
)
from diffusers.schedulers.scheduling_ddim import DDIMSchedulerOutput
from diffusers.schedulers.scheduling_euler_ancestral_discrete import EulerAncestralDiscreteSchedulerOutput
from diffusers.utils.torch_utils import randn_tensor
from torch import Generator, Tensor

# x_t [batch, channels, size, size] and t (a scalar tensor) -> the network's prediction, same shape as x_t
Denoiser = Callable[[Tensor, Tensor], Tensor]

TRAILING = {"timestep_spacing": "trailing"}  # start at the last noise level, where the noise really is pure


class DDIM(DDIMScheduler):
    """DDIM whose every step ends where the next one begins.

    diffusers' own goes down by `num_train_timesteps // steps` levels each time, which misses the next level, and in the
    end the clean picture, wherever `steps` does not divide the number of levels.
    """

    def step(
        self, model_output: Tensor, timestep: Tensor, sample: Tensor, eta: float, generator: list[Generator]
    ) -> DDIMSchedulerOutput:
        """One step of Song et al. 2021, eq. 12, with the predicted picture clipped."""
        later = self.timesteps[self.timesteps < timestep]
        a = self.alphas_cumprod[timestep]
        a_next = self.alphas_cumprod[later[0]] if len(later) else self.final_alpha_cumprod
        x0, eps = predictions(self.config.prediction_type, sample, model_output, a)
        if self.config.clip_sample:
            x0 = x0.clamp(-self.config.clip_sample_range, self.config.clip_sample_range)
        sigma = eta * ((1 - a_next) / (1 - a) * (1 - a / a_next)).sqrt()
        x_next = a_next.sqrt() * x0 + (1 - a_next - sigma**2).sqrt() * eps
        if eta > 0:
            x_next = x_next + sigma * randn_tensor(sample.shape, generator, sample.device, sample.dtype)
        return DDIMSchedulerOutput(prev_sample=x_next, pred_original_sample=x0)


class EulerAncestral(EulerAncestralDiscreteScheduler):
    """Euler ancestral that also follows a network which predicts the clean picture; diffusers' own refuses that one."""

    def step(
        self, model_output: Tensor, timestep: Tensor, sample: Tensor, generator: list[Generator]
    ) -> EulerAncestralDiscreteSchedulerOutput:
        """Towards the predicted picture and a little too far, then fresh noise to make up for it."""
        if self.config.prediction_type != "sample":
            return super().step(model_output, timestep, sample, generator=generator)
        if self.step_index is None:
            self._init_step_index(timestep)
        sigma, sigma_next = self.sigmas[self.step_index], self.sigmas[self.step_index + 1]
        up = sigma_next * (1 - sigma_next**2 / sigma**2).sqrt()
        down = (sigma_next**2 - up**2).sqrt()
        noise = randn_tensor(sample.shape, generator, sample.device, sample.dtype)
        x_next = model_output + down / sigma * (sample - model_output) + up * noise
        self._step_index += 1
        return EulerAncestralDiscreteSchedulerOutput(prev_sample=x_next, pred_original_sample=model_output)


SCHEDULERS: dict[str, tuple[type[SchedulerMixin], Mapping[str, object]]] = {
    "ddpm": (DDPMScheduler, {}),
    "ddim": (DDIM, {}),
    "dpmpp": (DPMSolverMultistepScheduler, {}),
    "sde_dpmpp": (DPMSolverMultistepScheduler, {"algorithm_type": "sde-dpmsolver++"}),
    "unipc": (UniPCMultistepScheduler, {}),
    "euler": (EulerDiscreteScheduler, {}),
    "euler_a": (EulerAncestral, {}),
    "heun": (HeunDiscreteScheduler, {}),
}
STOCHASTIC = frozenset({"ddpm", "sde_dpmpp", "euler_a"})


@dataclass(frozen=True)
class Step:
    """One point of the reverse trajectory; pictures are [batch, channels, size, size]."""

    index: int
    total: int
    t: float
    x_t: Tensor  # the noisy picture that the network looked at, at unit variance
    x0: Tensor  # the clean picture it predicted
    eps: Tensor  # the noise it predicted
    x_next: Tensor  # what the sampler made of it; after the last step, the picture


def build_scheduler(sampler: str, noise_schedule: Mapping[str, object]) -> SchedulerMixin:
    """A fresh scheduler for one request. `noise_schedule` must spell out every beta: nothing is left to defaults."""
    kind, options = SCHEDULERS[sampler]
    if issubclass(kind, (DPMSolverMultistepScheduler, UniPCMultistepScheduler)):  # their name for the same clip
        options = {**options, "thresholding": noise_schedule["clip_sample"], "sample_max_value": 1.0}
    return kind.from_config({**noise_schedule, **TRAILING, **options})


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


def predictions(prediction_type: str, x_t: Tensor, output: Tensor, a: Tensor) -> tuple[Tensor, Tensor]:
    """The clean picture and the noise that a network's output stands for at signal level `a` = alphas_cumprod[t]."""
    if prediction_type == "v_prediction":
        return a.sqrt() * x_t - (1 - a).sqrt() * output, (1 - a).sqrt() * x_t + a.sqrt() * output
    if prediction_type == "sample":
        return output, (x_t - a.sqrt() * output) / (1 - a).sqrt()
    return (x_t - (1 - a).sqrt() * output) / a.sqrt(), output


def step_options(scheduler: SchedulerMixin, eta: float, generators: list[Generator]) -> dict[str, object]:
    """The arguments that only some schedulers' `step` takes."""
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
    alphas_cumprod = scheduler.alphas_cumprod.to(sample.device)
    total = len(scheduler.timesteps)
    for index, t in list(enumerate(scheduler.timesteps))[begin:end]:
        x_t = scheduler.scale_model_input(sample, t)
        output = denoise(x_t, t)
        a = alphas_cumprod[int(t.round())]
        x0, eps = predictions(scheduler.config.prediction_type, x_t, output, a)
        sample = scheduler.step(output, t, sample, **options).prev_sample
        yield Step(index, total, float(t), x_t, x0, eps, sample)
