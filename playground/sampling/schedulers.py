"""diffusers' schedulers by our samplers' names; imported when the first one is needed, for diffusers takes its time."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from functools import lru_cache
from itertools import pairwise

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
from diffusers.schedulers.scheduling_ddpm import DDPMSchedulerOutput
from diffusers.schedulers.scheduling_euler_ancestral_discrete import EulerAncestralDiscreteSchedulerOutput
from diffusers.utils.torch_utils import randn_tensor
from torch import Generator, Tensor

from playground.sampling.forward import clipped, predictions

TRAILING = {"timestep_spacing": "trailing"}  # start at the last noise level, where the noise really is pure


class DDIM(DDIMScheduler):
    """DDIM whose every step ends where the next one begins, and whose noise goes with its clipped picture.

    diffusers' own goes down by `num_train_timesteps // steps` levels each time, which misses the next level, and in the
    end the clean picture, wherever `steps` does not divide the number of levels; and it goes on with the noise that the
    network predicted unless it is told `use_clipped_model_output`.
    """

    def set_timesteps(self, *arguments: object, **options: object) -> None:
        super().set_timesteps(*arguments, **options)
        levels = [*self.alphas_cumprod[self.timesteps].tolist(), float(self.final_alpha_cumprod)]
        self._levels = dict(zip(self.timesteps.tolist(), pairwise(levels), strict=True))

    def step(
        self, model_output: Tensor, timestep: Tensor, sample: Tensor, eta: float, generator: list[Generator]
    ) -> DDIMSchedulerOutput:
        """One step of Song et al. 2021, eq. 12, with the predicted picture clipped."""
        a, a_next = self._levels[int(timestep)]
        x0, eps = predictions(self.config.prediction_type, sample, model_output, a)
        if self.config.clip_sample:
            x0, eps = clipped(sample, x0, a, self.config.clip_sample_range)
        sigma = eta * ((1 - a_next) / (1 - a) * (1 - a / a_next)) ** 0.5
        x_next = a_next**0.5 * x0 + max(0.0, 1 - a_next - sigma**2) ** 0.5 * eps
        if eta > 0:
            x_next = x_next + sigma * randn_tensor(sample.shape, generator, sample.device, sample.dtype)
        return DDIMSchedulerOutput(prev_sample=x_next, pred_original_sample=x0)


class DDPM(DDPMScheduler):
    """DDPM with the numbers of every step worked out beforehand, by diffusers' own operations: the same to the bit.

    diffusers works them out anew in each step, which takes a tenth as long as a small network.
    """

    def set_timesteps(self, *arguments: object, **options: object) -> None:
        super().set_timesteps(*arguments, **options)
        a = self.alphas_cumprod[self.timesteps]
        a_next = torch.cat([a[1:], self.one.view(1)])
        kept = a / a_next
        variance = ((1 - a_next) / (1 - a) * (1 - kept)).clamp(min=1e-20)
        columns = (
            a**0.5,
            (1 - a) ** 0.5,
            a_next**0.5 * (1 - kept) / (1 - a),
            kept**0.5 * (1 - a_next) / (1 - a),
            variance**0.5,
        )
        self._numbers = torch.stack(columns, 1).tolist()
        self._place = {t: k for k, t in enumerate(self.timesteps.tolist())}

    def step(
        self, model_output: Tensor, timestep: Tensor, sample: Tensor, generator: list[Generator]
    ) -> DDPMSchedulerOutput:
        """One step of Ho et al. 2020, eq. 7, with the predicted picture clipped."""
        config = self.config
        if config.prediction_type != "v_prediction" or config.variance_type != "fixed_small" or config.thresholding:
            return super().step(model_output, timestep, sample, generator=generator)
        t = int(timestep)
        signal, noise, of_picture, of_sample, sigma = self._numbers[self._place[t]]
        x0 = signal * sample - noise * model_output
        if config.clip_sample:
            x0 = x0.clamp(-config.clip_sample_range, config.clip_sample_range)
        x_next = of_picture * x0 + of_sample * sample
        if t > 0:
            x_next = x_next + sigma * randn_tensor(sample.shape, generator, sample.device, sample.dtype)
        return DDPMSchedulerOutput(prev_sample=x_next, pred_original_sample=x0)


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


class StaticClip:
    """The clip to [-1, 1] that dynamic thresholding with a `sample_max_value` of 1 comes to, without its quantiles."""

    def _threshold_sample(self, sample: Tensor) -> Tensor:
        return sample.clamp(-1, 1)


class DPMSolver(StaticClip, DPMSolverMultistepScheduler):
    pass


class UniPC(StaticClip, UniPCMultistepScheduler):
    pass


SCHEDULERS: dict[str, tuple[type[SchedulerMixin], Mapping[str, object]]] = {
    "ddpm": (DDPM, {}),
    "ddim": (DDIM, {}),
    "dpmpp": (DPMSolver, {}),
    "sde_dpmpp": (DPMSolver, {"algorithm_type": "sde-dpmsolver++"}),
    "unipc": (UniPC, {}),
    "euler": (EulerDiscreteScheduler, {}),
    "euler_a": (EulerAncestral, {}),
    "heun": (HeunDiscreteScheduler, {}),
}


def build_scheduler(sampler: str, noise_schedule: Mapping[str, object]) -> SchedulerMixin:
    """A fresh scheduler for one request. `noise_schedule` must spell out every beta: nothing is left to defaults.

    It shares with others what no scheduler writes into: its tensors, in whose place it puts new ones, and its config.
    """
    pattern = pattern_of(sampler, json.dumps(dict(noise_schedule)))
    shared = [pattern.config, *(value for value in vars(pattern).values() if isinstance(value, Tensor))]
    return copy.deepcopy(pattern, {id(value): value for value in shared})


@lru_cache(maxsize=64)
def pattern_of(sampler: str, schedule: str) -> SchedulerMixin:
    """What is copied for every request, which takes a small part of the time; the schedule comes as JSON."""
    noise_schedule = json.loads(schedule)
    kind, options = SCHEDULERS[sampler]
    if issubclass(kind, (DPMSolverMultistepScheduler, UniPCMultistepScheduler)):  # their name for the same clip
        options = {**options, "thresholding": noise_schedule["clip_sample"], "sample_max_value": 1.0}
    return kind.from_config({**noise_schedule, **TRAILING, **options})
