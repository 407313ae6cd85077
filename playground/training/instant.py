"""A diffusion network taught to arrive in one to four steps: consistency with its teacher, and a judge of the result.

The student begins as a copy of its teacher. It learns to see, from any place on the teacher's path, the picture at the
path's end (consistency distillation, Song et al. 2023, with the teacher's guidance walked in), and to make that picture
pass for a real one (adversarial distillation, Sauer et al. 2024), where consistency alone would blur.
"""

from __future__ import annotations

import copy
from inspect import signature
from pathlib import Path

import torch
from torch import Generator, Tensor, nn

from playground.datasets import Dataset
from playground.datasets.base import PRETRAINED_FOLDER
from playground.models import load_model
from playground.models.conditioning import drop_labels
from playground.models.diffusion import Diffusion, add_noise
from playground.models.gan import Discriminator
from playground.recipe import Recipe
from playground.sampling.forward import clipped, predictions
from playground.sampling.reverse import build_scheduler, guided, reverse
from playground.training.losses import discriminator_losses, relativistic_loss
from playground.training.objectives import SHEET_LATENT_SEED, Dropout, noise_like

STUDENT, TEACHER, JUDGE = "instant", "ddpm", "gan"  # models of one data set: who learns, of whom, who judges
# full fresh noise at every step, as a consistency model is sampled; guidance is in the weights already. How many steps
# serve a data set best is measured: `steps` in its `training`
SETTINGS = {"sampler": "ddim", "steps": 2, "eta": 1.0, "guidance_scale": 1.0}
AT_PURE_NOISE = 0.4  # share of pictures that begin where the first step does


class Apprentice(nn.Module):
    """The student and the judge of its pictures: all that is learned, and all that a checkpoint keeps."""

    def __init__(self, student: Diffusion, judge: Discriminator) -> None:
        super().__init__()
        self.student = student
        self.judge = judge


def predicted_x0(network: Diffusion, x_t: Tensor, t: Tensor, labels: Tensor, a: Tensor) -> Tensor:
    """The clean picture that `network` sees in x_t; `a` is alphas_cumprod[t], [batch, 1, 1, 1]."""
    output = network(x_t, t, labels).float()
    return predictions(network.noise_schedule["prediction_type"], x_t, output, a)[0].clamp(-1, 1)


def pseudo_huber(found: Tensor, wanted: Tensor, knee: float = 0.03) -> Tensor:
    """sqrt(mean squared error + knee^2) - knee, [batch]: far errors count by their length, near ones by its square."""
    return ((found - wanted).square().mean((1, 2, 3)) + knee**2).sqrt() - knee


class InstantObjective:
    """Teacher's path, student's jump, judge's verdict."""

    betas = (0.0, 0.99)

    def __init__(
        self,
        teacher: Diffusion,
        judge: Discriminator,
        guidance_scale: float,
        label_dropout: Dropout = 0.15,
        drop_all: float = 0.0,
        consistency_weight: float = 2.0,
        path_steps: int = 16,
        gamma: float = 1.0,
        penalty_every: int = 4,
        steps: int = SETTINGS["steps"],
    ) -> None:
        student = copy.deepcopy(teacher)
        student.scheduler_name = "DDIMScheduler"
        self.network = Apprentice(student, judge).requires_grad_(True).train()
        self.players = {"judge": self.network.judge, "student": self.network.student}
        self.teacher = teacher.eval().requires_grad_(False)
        self.guidance_scale = guidance_scale
        self.label_dropout, self.drop_all = label_dropout, drop_all
        self.consistency_weight, self.path_steps = consistency_weight, path_steps
        self.gamma, self.penalty_every = gamma, penalty_every
        self.settings = {**SETTINGS, "steps": steps}
        self.alphas_cumprod = teacher.scheduler().alphas_cumprod

    def signal(self, t: Tensor) -> Tensor:
        """alphas_cumprod at t, 1 (a clean picture) below 0; [batch, 1, 1, 1]."""
        a = torch.where(t < 0, 1.0, self.alphas_cumprod.to(t.device)[t.clamp(min=0)])
        return a[:, None, None, None]

    def starts(self, count: int, generator: Generator) -> Tensor:
        """Noise levels to jump from, [count]: pure noise often, the others evenly.

        Down to the lowest, where no jump of a few begins: what is seen from a level is what the level above is taught.
        """
        levels = len(self.alphas_cumprod)
        t = torch.randint(levels, (count,), generator=generator)
        return torch.where(torch.rand(count, generator=generator) < AT_PURE_NOISE, levels - 1, t)

    @torch.no_grad()
    def further_down(self, x_t: Tensor, t: Tensor, labels: Tensor) -> Tensor:
        """What the student itself sees one step of the teacher's guided path (DDIM) further down; near its end, the
        teacher's own picture."""

        def teach(x: Tensor, _: Tensor, known: Tensor) -> Tensor:
            return self.teacher(
                x, t.repeat(len(x) // len(t)), known
            ).float()  # a noise level a picture, not one for all

        denoise = guided(teach, labels, self.guidance_scale)
        a, s = self.signal(t), t - len(self.alphas_cumprod) // self.path_steps
        x0, _ = predictions(self.teacher.noise_schedule["prediction_type"], x_t, denoise(x_t, t[0]), a)
        x0, eps = clipped(x_t, x0, a)
        x_s = add_noise(x0, eps, self.signal(s))
        seen = predicted_x0(self.network.student, x_s, s.clamp(min=0), labels, self.signal(s.clamp(min=0)))
        return torch.where((s < 0)[:, None, None, None], x0, seen)

    def losses(
        self, player: str, x0: Tensor, labels: Tensor, generator: Generator, progress: float
    ) -> dict[str, Tensor]:
        labels = drop_labels(labels, self.label_dropout, generator, self.drop_all)
        eps = noise_like(x0, generator)
        t = self.starts(len(x0), generator).to(x0.device)
        a = self.signal(t)
        x_t = add_noise(x0, eps, a)
        judge = self.network.judge
        if player == "student":
            judge.requires_grad_(False)
            fake = predicted_x0(self.network.student, x_t, t, labels, a)
            real_logits, fake_logits = judge(torch.cat([x0, fake]), torch.cat([labels, labels])).chunk(2)
            judge.requires_grad_(True)
            fooling = relativistic_loss(fake_logits, real_logits).mean()
            consistency = pseudo_huber(fake, self.further_down(x_t, t, labels)).mean()
            loss = fooling + self.consistency_weight * consistency
            return {"loss": loss, "fooling": fooling.detach(), "consistency": consistency.detach()}
        with torch.no_grad():
            fake = predicted_x0(self.network.student, x_t, t, labels, a)
        return discriminator_losses(judge, x0, fake, labels, generator, self.gamma, self.penalty_every)

    def shown(self, network: Apprentice) -> Diffusion:
        return network.student

    def sheet(self, network: Apprentice, labels: Tensor) -> Tensor:
        student, seeded = network.student, Generator().manual_seed(SHEET_LATENT_SEED)
        shape = (len(labels), student.unet.config.in_channels, *(student.unet.config.sample_size,) * 2)
        noise = torch.randn(shape, generator=seeded)
        made = self.settings
        scheduler = build_scheduler(made["sampler"], student.noise_schedule)
        denoise = guided(student, labels, made["guidance_scale"])
        *_, step = reverse(denoise, scheduler, noise, made["steps"], [seeded] * len(labels), made["eta"])
        return step.x_next

    def finish(self, network: Apprentice, x0: Tensor, labels: Tensor) -> dict[str, object]:
        return {"settings": dict(self.settings), "teacher": TEACHER}


def build_student(dataset: Dataset, root: Path = PRETRAINED_FOLDER) -> InstantObjective:
    """The objective that makes `pretrained/<dataset>/instant` of the data set's diffusion model and discriminator.

    Labels are left out as often as in the teacher's own training. Raises FileNotFoundError where either is missing.
    """
    for model in (TEACHER, JUDGE):
        if not (root / dataset.name / model).is_dir():
            raise FileNotFoundError(
                f"{STUDENT} learns from {TEACHER} and {JUDGE} of {dataset.name}: train {model} first"
            )
    teacher, judge = (load_model(root / dataset.name / model) for model in (TEACHER, JUDGE))
    learnt, own = dataset.training.get(TEACHER, {}), dataset.training.get(STUDENT, {})
    options = {"label_dropout": learnt.get("label_dropout", 0.15), "drop_all": learnt.get("drop_all", 0.0), **own}
    known = signature(InstantObjective).parameters
    guidance_scale = Recipe(**{"dataset": dataset.name, **dataset.defaults}).guidance_scale
    return InstantObjective(
        teacher, judge.discriminator, guidance_scale, **{name: v for name, v in options.items() if name in known}
    )
