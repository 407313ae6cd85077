"""Three networks learn the same points at the same time: a denoiser, a GAN and a VAE, one update after another."""

from __future__ import annotations

import copy
import math
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from playground import limits
from playground.models.plane import PlaneDenoiser, PlaneGAN, PlaneVAE, initialise
from playground.plane.recipe import PlaneRecipe
from playground.plane.walks import NOISE_SCHEDULE, NoisePredictor, Ruler, alphas_cumprod, reverse_moves, target_of
from playground.sampling.mixture import Mixture
from playground.sampling.noise import seeded_generators, seeded_noise
from playground.sampling.paths import grid
from playground.sampling.reverse import build_scheduler

NUM_POINTS = 1000  # examples to learn from
NUM_SHOWN = 250  # samples drawn after an update
BATCH = 128
MOST_SHOWN = 180  # updates after which the page is shown what became of the networks
SAMPLING_STEPS = 10
ARROWS = 14  # a side
SURFACE = 32  # a side
MESH = 11  # a side
MESH_EXTENT = 2.0
FIELD_NOISE = 0.3  # the noise at which the denoiser's arrows are shown
AVERAGED = 0.99  # share of the moving average that a denoiser's update leaves
DENOISER_RATE = 8e-3
VAE_RATE = 5e-3
GAN_BETAS = (0.5, 0.99)


@dataclass(frozen=True)
class Look:
    """What a network makes of the plane after some updates."""

    samples: Tensor  # [NUM_SHOWN, 2]
    mesh: Tensor | None = None  # [MESH, MESH, 2], where a net over z lands in the plane
    surface: Tensor | None = None  # [SURFACE, SURFACE] in [0, 1], top left first: how real each place looks
    arrows: Tensor | None = None  # [ARROWS, ARROWS, 2], top left first: the score that the denoiser believes in


class Learner(Protocol):
    """A network that learns from batches, and can be looked at."""

    loss_names: tuple[str, ...]

    def update(self, batch: Tensor, again: Iterator[Tensor]) -> tuple[float, ...]:
        """Learn from points [n, 2], and more batches if need be; the losses before."""

    def look(self, z: Tensor) -> Look:
        """What the network makes of noise [NUM_SHOWN, 2]."""


class DenoiserLearner:
    """Noise is mixed into each point, the network has to say which (Ho et al. 2020, Algorithm 1)."""

    loss_names = ("diffusion",)

    def __init__(self, generator: Generator) -> None:
        self.generator = generator
        self.network = initialise(PlaneDenoiser(), generator)
        self.averaged = copy.deepcopy(self.network).requires_grad_(False)
        self.optimizer = torch.optim.Adam(self.network.parameters(), DENOISER_RATE, (0.9, 0.99), fused=True)
        self.alphas_cumprod = alphas_cumprod().float()
        self.num_updates = 0

    def update(self, batch: Tensor, again: Iterator[Tensor]) -> tuple[float, ...]:
        batch = torch.cat([batch, next(again)])  # its error is the noisiest of all, and the cheapest
        n, levels = len(batch), len(self.alphas_cumprod)
        spread = (torch.arange(n) + torch.rand(n, generator=self.generator)) * (levels / n)  # every part of the levels
        a = self.alphas_cumprod[spread.long().clamp(max=levels - 1)]
        eps = torch.randn(n, 2, generator=self.generator)
        x_t = a.sqrt()[:, None] * batch + (1 - a).sqrt()[:, None] * eps
        loss = (self.network(x_t, a) - eps).square().mean()
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.num_updates += 1
        rate = 1 - min(AVERAGED, self.num_updates / (10 + self.num_updates))
        torch._foreach_lerp_(list(self.averaged.parameters()), [p.detach() for p in self.network.parameters()], rate)
        return (loss.item(),)

    def predictor(self) -> NoisePredictor:
        return noise_predictor(self.averaged)

    @torch.inference_mode()
    def look(self, z: Tensor) -> Look:
        generators = seeded_generators([0] * len(z))  # the sampler adds no noise of its own
        scheduler = build_scheduler("dpmpp", NOISE_SCHEDULE)
        *_, last = reverse_moves(self.predictor(), scheduler, z.double(), SAMPLING_STEPS, generators)
        return Look(last.x, arrows=score_field(self.predictor(), 1 - FIELD_NOISE**2))


def noise_predictor(network: PlaneDenoiser) -> NoisePredictor:
    """A network as the samplers ask it."""

    @torch.inference_mode()
    def predict(x_t: Tensor, a: float) -> Tensor:
        return network(x_t.float(), torch.full((len(x_t),), a)).double()

    return predict


def score_field(predict: NoisePredictor, a: float) -> Tensor:
    """The score that a noise predictor stands for at signal level a, over the plane; [ARROWS, ARROWS, 2]."""
    edge = limits.MAX_PLANE * (1 - 1 / ARROWS)
    return (-predict(grid(edge, edge, ARROWS).double(), a) / math.sqrt(1 - a)).view(ARROWS, ARROWS, 2)


class GANLearner:
    """The generator learns to fool, the discriminator to tell (Goodfellow et al. 2014, non-saturating)."""

    loss_names = ("discriminator", "generator")

    def __init__(self, generator: Generator, recipe: PlaneRecipe) -> None:
        self.generator = generator
        self.recipe = recipe
        self.network = initialise(PlaneGAN(), generator)
        rates = (recipe.lr_generator, recipe.lr_discriminator)
        parts = (self.network.generator, self.network.discriminator)
        self.optimizers = [
            torch.optim.Adam(part.parameters(), rate, GAN_BETAS, fused=True)
            for part, rate in zip(parts, rates, strict=True)
        ]

    def update(self, batch: Tensor, again: Iterator[Tensor]) -> tuple[float, ...]:
        for turn in range(self.recipe.discriminator_steps):
            discriminator_loss = self.teach_discriminator(batch if turn == 0 else next(again))
        return discriminator_loss, self.teach_generator(len(batch))

    def fake(self, n: int) -> Tensor:
        return self.network.generator(torch.randn(n, 2, generator=self.generator))

    def teach_discriminator(self, real: Tensor) -> float:
        with torch.no_grad():
            fake = self.fake(len(real))
        both = torch.cat([real, fake]).requires_grad_()
        logits = self.network.judge(both)
        real_logits, fake_logits = logits.chunk(2)
        loss = F.softplus(-real_logits).mean() + F.softplus(fake_logits).mean()
        if self.recipe.penalty > 0:  # zero-centred, on both sides (Mescheder et al. 2018)
            (gradient,) = torch.autograd.grad(logits.sum(), both, create_graph=True)
            loss = loss + self.recipe.penalty * gradient.square().sum(1).mean()
        self.optimizers[1].zero_grad()
        loss.backward()
        self.optimizers[1].step()
        return loss.item()

    def teach_generator(self, n: int) -> float:
        loss = F.softplus(-self.network.judge(self.fake(n))).mean()
        self.optimizers[0].zero_grad()
        loss.backward()
        self.optimizers[0].step()
        return loss.item()

    @torch.inference_mode()
    def look(self, z: Tensor) -> Look:
        edge = limits.MAX_PLANE * (1 - 1 / SURFACE)
        surface = self.network.judge(grid(edge, edge, SURFACE)).sigmoid().view(SURFACE, SURFACE)
        mesh = self.network.generator(grid(MESH_EXTENT, MESH_EXTENT, MESH)).view(MESH, MESH, 2)
        return Look(self.network.generator(z), mesh, surface)


class VAELearner:
    """Squeeze a point into a cloud over z, unfold it again, pay for the cloud (Kingma and Welling 2014)."""

    loss_names = ("recon_loss", "kl")

    def __init__(self, generator: Generator, recipe: PlaneRecipe) -> None:
        self.generator = generator
        self.beta = recipe.beta
        self.network = initialise(PlaneVAE(), generator)
        self.optimizer = torch.optim.Adam(self.network.parameters(), VAE_RATE, fused=True)
        self.blur = torch.randn(NUM_SHOWN, 2, generator=generator)

    def update(self, batch: Tensor, again: Iterator[Tensor]) -> tuple[float, ...]:
        mu, logvar = self.network.encode(batch)
        z = mu + torch.exp(0.5 * logvar) * torch.randn(mu.shape, generator=self.generator)
        log_sigma = self.network.log_sigma  # learnt too (Rybkin et al. 2021)
        missed = (batch - self.network.decode(z)).square().sum(1)
        recon_loss = (missed / (2 * torch.exp(2 * log_sigma)) + 2 * log_sigma + math.log(2 * math.pi)).mean()
        kl = 0.5 * (mu.square() + logvar.exp() - 1 - logvar).sum(1).mean()
        self.optimizer.zero_grad()
        (recon_loss + self.beta * kl).backward()
        self.optimizer.step()
        return recon_loss.item(), kl.item()

    @torch.inference_mode()
    def look(self, z: Tensor) -> Look:
        samples = self.network.decode(z) + self.network.log_sigma.exp() * self.blur[: len(z)]
        return Look(samples, self.network.decode(grid(MESH_EXTENT, MESH_EXTENT, MESH)).view(MESH, MESH, 2))


LEARNERS = ("diffusion", "gan", "vae")
LEARNT_FROM = {  # the fields of a recipe that each training depends on
    "diffusion": ("target", "points", "seed", "updates"),
    "gan": (
        "target",
        "points",
        "seed",
        "updates",
        "lr_generator",
        "lr_discriminator",
        "discriminator_steps",
        "penalty",
    ),
    "vae": ("target", "points", "seed", "updates", "beta"),
}


@dataclass(frozen=True)
class Judged:
    """A look at a network, with how good its samples are."""

    look: Look
    distance: float
    modes: int


@dataclass(frozen=True)
class Lesson:
    """What stands after an update; `looks` only after those that are to be shown."""

    update: int
    total: int
    losses: dict[str, tuple[float, ...]]
    looks: dict[str, Judged] = field(default_factory=dict)
    denoiser: PlaneDenoiser | None = None  # after the last update, where one was taught


def shown_updates(total: int, most: int = MOST_SHOWN) -> list[int]:
    """At most `most` of the updates 0 .. total, the ends included, closer together at the beginning."""
    if total < most:
        return list(range(total + 1))
    return sorted({round(total * (k / (most - 1)) ** 2) for k in range(most)})


def examples(target: Mixture, seed: int) -> Tensor:
    """The points that all networks learn from, [NUM_POINTS, 2], float32."""
    return target.sample(NUM_POINTS, Generator().manual_seed(seed)).float()


def batches(points: Tensor, generator: Generator) -> Iterator[Tensor]:
    """Random points again and again, [BATCH, 2], without end."""
    while True:
        yield points[torch.randint(len(points), (BATCH,), generator=generator)]


def build_learner(name: str, recipe: PlaneRecipe) -> Learner:
    generator = Generator().manual_seed(recipe.seed)
    if name == "diffusion":
        return DenoiserLearner(generator)
    return GANLearner(generator, recipe) if name == "gan" else VAELearner(generator, recipe)


def learn(recipe: PlaneRecipe, names: Sequence[str] = LEARNERS) -> Iterator[Lesson]:
    """Train the named networks side by side, yielding before the first update and after every one.

    None depends on which others learn beside it.
    """
    target = target_of(recipe)
    points, ruler = examples(target, recipe.seed), Ruler.of(target)
    learners = {name: build_learner(name, recipe) for name in names}
    supply = {name: batches(points, Generator().manual_seed(recipe.seed)) for name in names}
    z = seeded_noise([(recipe.seed + k) % (limits.MAX_SEED + 1) for k in range(NUM_SHOWN)], (2,))
    shown = set(shown_updates(recipe.updates))
    losses: dict[str, tuple[float, ...]] = {}
    for update in range(recipe.updates + 1):
        if update > 0:
            losses = {name: learner.update(next(supply[name]), supply[name]) for name, learner in learners.items()}
        looks = {name: judged(learner.look(z), ruler) for name, learner in learners.items()} if update in shown else {}
        is_last = update == recipe.updates and "diffusion" in learners
        denoiser = learners["diffusion"].averaged if is_last else None
        yield Lesson(update, recipe.updates, losses, looks, denoiser)


def judged(look: Look, ruler: Ruler) -> Judged:
    samples = look.samples.double().nan_to_num(limits.MAX_POINT).clamp(-limits.MAX_POINT, limits.MAX_POINT)
    return Judged(look, ruler.distance(samples), ruler.modes_reached(samples))


@dataclass(frozen=True)
class Training:
    """A finished training: what was shown of it, and the denoiser if that is what learnt."""

    shown: str
    denoiser: PlaneDenoiser | None = None


class Trainings:
    """Finished trainings by what they depend on, so that nothing is learnt twice in a row; at most a few."""

    def __init__(self, most: int = limits.MAX_TRAININGS_IN_MEMORY) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[object, ...], Training] = OrderedDict()

    @staticmethod
    def key(name: str, recipe: PlaneRecipe) -> tuple[object, ...]:
        used = recipe if recipe.target == "drawn" else replace(recipe, points="")
        return name, *(getattr(used, field_name) for field_name in LEARNT_FROM[name])

    def keep(self, name: str, recipe: PlaneRecipe, training: Training) -> None:
        with self._lock:
            self._kept[self.key(name, recipe)] = training
            self._kept.move_to_end(self.key(name, recipe))
            while len(self._kept) > self._most:
                self._kept.popitem(last=False)

    def find(self, name: str, recipe: PlaneRecipe) -> Training | None:
        return self._kept.get(self.key(name, recipe))

    def __len__(self) -> int:
        return len(self._kept)
