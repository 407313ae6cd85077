"""The one door to all families: `generate(recipe, zoo)` yields Frames, tensors and facts, no pictures files.

Progress, preview, cancel and tests come from the same `yield`; closing the generator stops the work.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from playground import drawing, limits
from playground.datasets import DATASETS, Dataset
from playground.models import GAN, VAE, Diffusion
from playground.models.vae import kl_per_dimension, reconstruction_loss, sample_posterior
from playground.recipe import DEFAULT, Recipe
from playground.sampling.branching import Leg, painted_over, reverse_in_legs
from playground.sampling.editing import num_repaint_steps, repaint, sdedit, steps_left
from playground.sampling.noise import draw_noise, seeded_generators, seeded_noise
from playground.sampling.paths import grid, walk
from playground.sampling.reverse import Step, build_scheduler, guided, reverse
from playground.zoo import Card, Entry, Zoo

MAP_SIDE = 15
STEERED = ("edit", "inpaint", "blend", "branch", "decide")  # tasks of diffusion alone
INPAINTERS = ("ddpm", "ddim")  # samplers that remember nothing of the steps before, so that one may go back up
NORMAL_99 = 2.576  # half of the width that holds 99 % of a standard normal distribution


@dataclass(frozen=True)
class Encoding:
    """What an encoder says of one picture: numbers in nats, vectors [latent_dim]."""

    x0: Tensor  # the picture, [1, channels, size, size]
    mu: Tensor
    logvar: Tensor | None  # None for a plain autoencoder: a point, not a distribution
    reconstruction: Tensor  # [1, channels, size, size]
    recon_loss: float
    kl: float | None
    kl_per_dimension: Tensor | None


@dataclass(frozen=True)
class Frame:
    """A picture-to-be: what there is to see after so much work, with the facts about it."""

    finished: Tensor | None  # the pictures as they are in the end; None while diffusion is on its way
    seconds: float  # since the work began
    network_evaluations: int  # of one picture, so far
    step: Step | None = None  # diffusion: where the reverse process stands
    z: Tensor | None = None  # VAE and GAN: the latent vectors used, [n, latent_dim]; one for all of a word
    encoding: Encoding | None = None
    realness: Tensor | None = None  # GAN: chance of looking more real than a real picture, [n] in [0, 1]

    @property
    def is_last(self) -> bool:
        return self.finished is not None

    @cached_property
    def pictures(self) -> Tensor:
        """[n, channels, size, size] in [-1, 1], CPU; of a text: word by word, character by character.

        On the way, the clean ones that diffusion predicts.
        """
        return self.step.x0.clamp(-1, 1) if self.finished is None else self.finished


def usual(dataset: Dataset) -> Recipe:
    """The recipe that a data set's page begins with, and that its models are measured with."""
    return Recipe(dataset=dataset.name, **dataset.defaults)


def as_made(recipe: Recipe, card: Card) -> Recipe:
    """The recipe for this model, with the settings that it was made for where its card states such.

    A guest takes as many of the steps as it may: in the company of others nobody chose them for it.
    """
    made = replace(recipe, model=card.model, **card.settings)
    if not card.is_guest:
        return made
    most = max(1, card.most_evaluations // recipe.count)
    most = (most + 1) // 2 if recipe.sampler == "heun" else most
    return as_heard(replace(made, steps=min(recipe.steps, most, card.num_levels)), card)


def as_heard(recipe: Recipe, card: Card) -> Recipe:
    """The recipe without what this model cannot hear: a guest was never told what its pictures show."""
    if not card.is_guest:
        return recipe
    return replace(recipe, labels=DEFAULT.labels, text=DEFAULT.text, guidance_scale=DEFAULT.guidance_scale)


def spelled(recipe: Recipe, dataset: Dataset) -> list[tuple[int, ...]]:
    """The leading labels of each character of the recipe's text; of one picture that has none where there is no text.

    Raises ValueError with a sentence for a text that the data set cannot write.
    """
    if not recipe.text:
        return [()]
    if dataset.writing is None:
        raise ValueError(f"text needs a data set whose pictures are characters, which {dataset.name} is not")
    return dataset.writing.spell(recipe.text)


def labels_for(recipe: Recipe, entry: Entry, count: int) -> Tensor:
    """The labels of `count` pictures (or words: all characters of the first, then all of the second ...).

    Missing labels are "any"; a text takes the place of the leading ones. [count x characters, attributes].
    """
    if entry.card.is_guest:
        return torch.zeros(count, len(entry.network.cardinalities), dtype=torch.long)
    attributes = entry.dataset.attributes
    if len(recipe.labels) > len(attributes):
        raise ValueError(f"labels must be at most {len(attributes)} for {entry.dataset.name}, got {len(recipe.labels)}")
    row = [*recipe.labels, *[0] * (len(attributes) - len(recipe.labels))]
    for attribute, label in zip(attributes, row, strict=True):
        limits.whole(attribute.name, label, 0, attribute.num_values)
    rows = [[*leading, *row[len(leading) :]] for leading in spelled(recipe, entry.dataset)]
    return torch.tensor(rows).repeat(count, 1)


def by_lot(labels: Tensor, seeds: Sequence[int], known: Tensor) -> Tensor:
    """The labels, [len(seeds) x characters, attributes], with every "any" as a row of `known`, [n, attributes], has it
    that the picture's seed draws; it is the same for all characters of a word.

    A model made for a few steps has no time to make up its mind: of what nobody asked it gives all pictures the same.
    """
    rows = [int(np.random.default_rng([len(known), seed]).integers(len(known))) for seed in seeds]
    return torch.where(labels > 0, labels, for_each_character(known[rows], labels))


def as_text(recipe: Recipe, dataset: Dataset) -> Recipe:
    """The recipe with its leading labels as a text, where they say a whole character; else the recipe as it is."""
    writing = dataset.writing
    if writing is None or recipe.text:
        return recipe
    num = len(writing.spell(writing.example)[0])
    leading, rest = recipe.labels[:num], recipe.labels[num:]
    if len(leading) < num or 0 in leading or any(map(int.__gt__, leading, dataset.cardinalities)):
        return recipe
    return replace(recipe, text=writing.text(leading), labels=(0,) * num * any(rest) + rest * any(rest))


def num_characters(recipe: Recipe, dataset: Dataset) -> int:
    """How many pictures are made from each noise: the length of the recipe's text, or 1."""
    return len(spelled(recipe, dataset))


def by_word(frame: Frame, recipe: Recipe) -> Frame:
    """The frame with each word as one wide picture, judged as a whole; the same frame where there is no text."""
    if not recipe.text:
        return frame

    def wide(pictures: Tensor) -> Tensor:
        """[n x characters, channels, h, w] -> [n, channels, h, characters x w]."""
        letters = len(pictures) // recipe.count
        return pictures.unflatten(0, (recipe.count, letters)).permute(0, 2, 3, 1, 4).flatten(3)

    finished, step, realness = frame.finished, frame.step, frame.realness
    if finished is not None:
        finished = wide(finished)
    if step is not None:
        step = replace(
            step,
            x_t=wide(step.x_t),
            x_next=wide(step.x_next),
            predict=lambda step=step: (wide(step.x0), wide(step.eps)),
        )
    if realness is not None:
        realness = realness.view(recipe.count, -1).mean(1)
    return replace(frame, finished=finished, step=step, realness=realness)


def for_each_character(values: Tensor, labels: Tensor) -> Tensor:
    """Noise or latent vectors [n, ...] -> [len(labels), ...]: all characters of a word are made from the same one."""
    return values.repeat_interleave(len(labels) // len(values), dim=0)


def asks_per_step(recipe: Recipe) -> int:
    """How many times a diffusion recipe asks its network at a noise level: twice where guidance compares."""
    scales = {recipe.guidance_scale}
    is_told = any(recipe.labels) or bool(recipe.text)
    if recipe.task in ("branch", "decide"):
        is_told = is_told or "label" in recipe.branch_with or recipe.task == "decide"
        scales |= {recipe.branch_guidance} if "guidance" in recipe.branch_with else set()
    return 2 if is_told and scales - {0.0, 1.0} else 1


def evaluations_per_picture(recipe: Recipe) -> int:
    """How many times a diffusion recipe asks its network for one picture, at most."""
    if recipe.task == "inpaint":
        return asks_per_step(recipe) * num_repaint_steps(recipe.steps, recipe.jump_length, recipe.resamples)
    steps = steps_left(recipe.steps, recipe.strength) if recipe.task == "edit" else recipe.steps
    return asks_per_step(recipe) * (2 * steps - 1 if recipe.sampler == "heun" else steps)


def check(recipe: Recipe, zoo: Zoo) -> Entry:
    """Open the recipe's model and check what only the model knows; raises ValueError with a sentence."""
    entry = zoo.open(recipe.dataset, recipe.model)
    if entry.card.is_guest:
        check_heard(recipe, entry.card)
    characters = len(labels_for(recipe, entry, 1))
    if characters > 1 and recipe.task in ("encode", "judge", "inpaint", "edit", "branch", "decide"):
        raise ValueError(f"text must be one character for the task {recipe.task}, got {characters}")
    family = entry.card.family
    suits = {"sample": True, "walk": True, "compare": True, "map": family == "vae", "encode": family == "vae"}
    suits |= {"judge": family == "gan"} | dict.fromkeys(STEERED, family == "diffusion")
    if not suits.get(recipe.task, False):
        raise ValueError(f"task {recipe.task} is not something that {recipe.model} can do")
    if len(recipe.shifts) > entry.num_shifts:
        raise ValueError(
            f"shifts must be at most {entry.num_shifts} values for {recipe.model}, got {len(recipe.shifts)}"
        )
    is_flat = family == "vae" and entry.network.config.latent_dim == 2
    if (recipe.point or recipe.task == "map") and not is_flat:
        raise ValueError(f"point needs a model with a two-dimensional latent space, not {recipe.model}")
    if recipe.task in ("encode", "judge", "edit", "inpaint") and not recipe.drawing:
        limits.whole("picture", recipe.picture, 0, len(zoo.reference(recipe.dataset).images) - 1)
    if recipe.task in STEERED:
        check_steering(recipe, entry)
    if entry.card.takes_steps:
        total, most = evaluations_per_picture(recipe) * recipe.count * characters, entry.card.most_evaluations
        if total > most:
            whose = f" for {recipe.model}" if entry.card.is_guest else ""
            raise ValueError(
                f"steps x pictures must be at most {most} network evaluations{whose}, this recipe needs {total}"
            )
    return entry


def check_heard(recipe: Recipe, card: Card) -> None:
    """Raise ValueError with a sentence for what no guest can hear, or has no noise levels for."""
    for name in ("labels", "text"):
        if any(getattr(recipe, name)):
            raise ValueError(f"{name} must be left open for {card.model}: it was never told what its pictures show")
    limits.whole("steps", recipe.steps, 1, card.num_levels)


def check_steering(recipe: Recipe, entry: Entry) -> None:
    """Check what only edits, in-painting and branches use; raises ValueError with a sentence."""
    if recipe.drawing:
        drawing.unpack(recipe.drawing, entry.dataset.shape)
    if recipe.task == "inpaint":
        limits.one_of("sampler", recipe.sampler, INPAINTERS)
        if not recipe.mask:
            raise ValueError("mask must mark the pixels that are to be made new")
        drawing.unpack_mask(recipe.mask, entry.dataset.shape)
    if recipe.task == "branch":
        limits.whole("branch_at", recipe.branch_at, 0, recipe.steps)
        if "paint" in recipe.branch_with and recipe.paint:
            drawing.unpack_paint(recipe.paint, entry.dataset.shape)
    if "label" in recipe.branch_with or recipe.task == "decide":
        changed_labels(recipe, entry, labels_for(recipe, entry, 1))


def changed_labels(recipe: Recipe, entry: Entry, labels: Tensor) -> Tensor:
    """The labels [n, attributes] with the recipe's one thing changed; raises ValueError where there is none such."""
    attributes = entry.dataset.attributes
    if len(recipe.change) != 2 or not attributes:
        raise ValueError(f"change must be an attribute and its new label, got {limits.shown(recipe.change)}")
    place = limits.whole("change", recipe.change[0], 0, len(attributes) - 1)
    changed = labels.clone()
    changed[:, place] = limits.whole("change", recipe.change[1], 0, attributes[place].num_values)
    return changed


def generate(recipe: Recipe, zoo: Zoo) -> Iterator[Frame]:
    """Do what the recipe says, yielding a Frame after every piece of work, the last one with `is_last`.

    Raises ValueError before any work when the recipe does not suit the model.
    """
    entry = check(recipe, zoo)
    match entry.network:
        case VAE():
            frames = encode(recipe, entry, zoo) if recipe.task == "encode" else decode(recipe, entry)
        case GAN():
            frames = judge(recipe, entry, zoo) if recipe.task == "judge" else fabricate(recipe, entry)
        case Diffusion():
            frames = denoise(recipe, entry, zoo)
    yield from frames


def last(recipe: Recipe, zoo: Zoo) -> Frame:
    """The finished frame of a recipe."""
    *_, frame = generate(recipe, zoo)
    return frame


def start_noise(recipe: Recipe, shape: tuple[int, ...]) -> Tensor:
    """The noise that the recipe's seeds make: one draw a picture, or a walk from one seed's to another's."""
    if recipe.task in ("walk", "blend"):
        first, second = seeded_noise((recipe.seed, recipe.seed_to), shape)
        return walk(first, second, recipe.count)
    return seeded_noise(recipe.seeds, shape)


def latent_spread(entry: Entry) -> Tensor:
    """The standard deviation to draw z with: 1 for a VAE; an autoencoder has no prior, so as wide as its own codes."""
    if entry.network.config.is_variational:
        return torch.ones(entry.network.config.latent_dim)
    return torch.tensor(entry.card.facts["facts"]["latent_extent"]) / NORMAL_99


def latent_vectors(recipe: Recipe, entry: Entry) -> Tensor:
    """The z that a VAE recipe decodes, [n, latent_dim]."""
    if recipe.point:
        return torch.tensor([recipe.point])
    if recipe.task == "map":
        extent = entry.card.facts["facts"]["latent_extent"]
        return grid(extent[0], extent[1], MAP_SIDE)
    z = start_noise(recipe, (entry.network.config.latent_dim,)) * recipe.temperature * latent_spread(entry)
    for rank, shift in enumerate(recipe.shifts):
        z[:, entry.latent_order[rank]] += shift * latent_spread(entry)[entry.latent_order[rank]]
    return z


@torch.inference_mode()
def decode(recipe: Recipe, entry: Entry) -> Iterator[Frame]:
    """VAE: latent vectors -> pictures."""
    begin = time.perf_counter()
    z = latent_vectors(recipe, entry)
    labels = labels_for(recipe, entry, len(z))
    pictures = entry.network.decode(for_each_character(z, labels), labels)
    yield Frame(pictures, time.perf_counter() - begin, 1, z=z)


def given(recipe: Recipe, zoo: Zoo) -> Tensor:
    """The visitor's drawing, or a held-out picture; [1, channels, size, size].

    Raises ValueError with a sentence where there is no such picture, or the drawing is none.
    """
    if recipe.drawing:
        return drawing.unpack(recipe.drawing, DATASETS[recipe.dataset].shape)
    reference = zoo.reference(recipe.dataset)
    limits.whole("picture", recipe.picture, 0, len(reference.images) - 1)
    return reference.picture(recipe.picture)[0]


def given_picture(recipe: Recipe, entry: Entry, zoo: Zoo) -> tuple[Tensor, Tensor]:
    """The visitor's drawing with the labels asked for, or a held-out picture with its own labels."""
    if recipe.drawing:
        return drawing.unpack(recipe.drawing, entry.dataset.shape), labels_for(recipe, entry, 1)
    return zoo.reference(recipe.dataset).picture(recipe.picture)


@torch.inference_mode()
def encode(recipe: Recipe, entry: Entry, zoo: Zoo) -> Iterator[Frame]:
    """VAE: one picture -> its place in the latent space, its reconstruction, and `count` samples of the posterior."""
    begin = time.perf_counter()
    x0, labels = given_picture(recipe, entry, zoo)
    network = entry.network
    mu, logvar = network.encode(x0, labels)
    logits = network.decode_logits(mu, labels)
    dims = None if logvar is None else kl_per_dimension(mu, logvar)[0]
    encoding = Encoding(
        x0=x0,
        mu=mu[0],
        logvar=None if logvar is None else logvar[0],
        reconstruction=2 * torch.sigmoid(logits) - 1,
        recon_loss=float(reconstruction_loss(logits, x0)[0]),
        kl=None if dims is None else float(dims.sum()),
        kl_per_dimension=dims,
    )
    noise = seeded_noise(recipe.seeds, (network.config.latent_dim,)) * recipe.temperature
    z = sample_posterior(mu, logvar, noise).expand(recipe.count, -1)
    pictures = network.decode(z, labels.expand(recipe.count, -1))
    yield Frame(pictures, time.perf_counter() - begin, 2, z=z, encoding=encoding)


def nearest_pattern(entry: Entry, labels: Tensor) -> str:
    """The name in the card of real pictures' logits measured with (most nearly) the same attributes asked for."""
    asked = "".join(str(int(label > 0)) for label in labels[0])
    if "1" not in asked or "0" not in asked:
        return "asked" if "1" in asked else "any"
    patterns = [name for name in entry.card.facts["facts"]["real_logits"] if name.isdigit()]
    return min(patterns, key=lambda name: sum(a != b for a, b in zip(name, asked, strict=True)), default="asked")


def realness(entry: Entry, pictures: Tensor, labels: Tensor) -> Tensor:
    """Chance that the discriminator finds each picture more real than a real one (relativistic; 0.5: undecided)."""
    real_logits = torch.tensor(entry.card.facts["facts"]["real_logits"][nearest_pattern(entry, labels)])
    logits = entry.network.discriminator(pictures, labels)
    return torch.sigmoid(logits[:, None] - real_logits[None]).mean(1)


@torch.inference_mode()
def fabricate(recipe: Recipe, entry: Entry) -> Iterator[Frame]:
    """GAN: seeds -> z -> w -> pictures, and the discriminator's verdict on each, outside comparisons."""
    begin = time.perf_counter()
    network = entry.network
    z = start_noise(recipe, (network.config.latent_dim,))
    labels = labels_for(recipe, entry, len(z))
    w = network.truncate(network.generator.map(z), recipe.truncation_psi)
    for rank, shift in enumerate(recipe.shifts):
        w = w + shift * network.w_directions[rank]
    pictures = network.generator.synthesize(for_each_character(w, labels), labels).clamp(-1, 1)
    verdict = None if recipe.task == "compare" else realness(entry, pictures, labels)
    yield Frame(pictures, time.perf_counter() - begin, 1, z=z, realness=verdict)


@torch.inference_mode()
def judge(recipe: Recipe, entry: Entry, zoo: Zoo) -> Iterator[Frame]:
    """GAN: the discriminator's verdict on a drawing or a held-out picture."""
    begin = time.perf_counter()
    x0, labels = given_picture(recipe, entry, zoo)
    verdict = realness(entry, x0, labels)
    yield Frame(x0, time.perf_counter() - begin, 1, realness=verdict)


def denoise(recipe: Recipe, entry: Entry, zoo: Zoo) -> Iterator[Frame]:
    """Diffusion: noise -> pictures, one Frame a step; its pictures are the predicted clean ones until the last."""
    begin = time.perf_counter()
    each = evaluations_per_picture(recipe)
    for step in trajectory(recipe, entry, zoo):
        finished = step.x_next.clamp(-1, 1) if step.index == step.total - 1 else None
        done = each * (step.index + 1) // step.total
        yield Frame(finished, time.perf_counter() - begin, done, step=step)


def trajectory(recipe: Recipe, entry: Entry, zoo: Zoo) -> Iterator[Step]:
    """The steps of a diffusion recipe."""
    labels = labels_for(recipe, entry, recipe.count)
    is_walk = recipe.task in ("walk", "blend")
    seeds = [recipe.seed] * recipe.count if is_walk or recipe.task == "decide" else recipe.seeds
    is_begun_otherwise = recipe.task == "branch" and "seed" in recipe.branch_with and recipe.branch_at == 0
    if is_begun_otherwise:
        seeds = other_seeds(recipe)
    if entry.card.is_quick:
        labels = by_lot(labels, seeds, zoo.reference(recipe.dataset).labels)
    generators = seeded_generators([seed for seed in seeds for _ in range(len(labels) // recipe.count)])
    noise = draw_noise(generators, entry.shape)
    if is_walk:  # other beginnings; the noise on the way stays that of the first seed's own picture
        noise = for_each_character(start_noise(recipe, entry.shape), labels)
    scheduler = build_scheduler(recipe.sampler, entry.network.noise_schedule)
    asked = guided(entry.predict, labels, recipe.guidance_scale)
    way = (recipe.steps, generators, recipe.eta)
    match recipe.task:
        case "edit":
            x0, _ = given_picture(recipe, entry, zoo)
            return sdedit(asked, scheduler, x0, noise, recipe.steps, recipe.strength, generators, recipe.eta)
        case "inpaint":
            x0, _ = given_picture(recipe, entry, zoo)
            mask = drawing.unpack_mask(recipe.mask, entry.dataset.shape)
            jumps = (recipe.jump_length, recipe.resamples)
            return repaint(asked, scheduler, x0, mask, noise, recipe.steps, *jumps, generators, recipe.eta)
        case "branch":
            return reverse_in_legs([Leg(0, asked), branch(recipe, entry, labels, noise)], scheduler, noise, *way)
        case "decide":
            return reverse_in_legs(decisions(recipe, entry, labels), scheduler, noise, *way)
        case _:
            return reverse(asked, scheduler, noise, *way)


def other_seeds(recipe: Recipe) -> list[int]:
    """The seeds of the noise in a branch with another seed."""
    return [(recipe.seed_to + k) % (limits.MAX_SEED + 1) for k in range(recipe.count)]


def branch(recipe: Recipe, entry: Entry, labels: Tensor, noise: Tensor) -> Leg:
    """The part of a branch that is its own: from `branch_at` on, what `branch_with` names is different."""
    scale, generators, touch = recipe.guidance_scale, None, None
    if "label" in recipe.branch_with:
        labels = changed_labels(recipe, entry, labels)
    if "guidance" in recipe.branch_with:
        scale = recipe.branch_guidance
    if "seed" in recipe.branch_with and recipe.branch_at > 0:
        generators = seeded_generators(other_seeds(recipe))
        draw_noise(generators, entry.dataset.shape)  # their own beginning: what follows is their noise on the way
    if "paint" in recipe.branch_with and recipe.paint:
        touch = painted_over(*drawing.unpack_paint(recipe.paint, entry.dataset.shape), noise)
    return Leg(recipe.branch_at, guided(entry.predict, labels, scale), generators, touch)


def decision_steps(recipe: Recipe) -> list[int]:
    """After how many steps each picture of the task "decide" hears the other label: evenly from 0 (from the beginning
    on) to all of them (never)."""
    return [round(k * recipe.steps / max(1, recipe.count - 1)) for k in range(recipe.count)]


def decisions(recipe: Recipe, entry: Entry, labels: Tensor) -> list[Leg]:
    """One picture many times over; a leg begins wherever one of them hears the other label from there on."""
    others, heard_from = changed_labels(recipe, entry, labels), torch.tensor(decision_steps(recipe))
    legs = []
    for begin in sorted({0, *heard_from.tolist()} - {recipe.steps}):
        asked = torch.where((heard_from <= begin)[:, None], others, labels)
        legs.append(Leg(begin, guided(entry.predict, asked, recipe.guidance_scale)))
    return legs


@torch.inference_mode()
def draw_pictures(
    entry: Entry, labels: Tensor, seeds: Sequence[int], steps: int, predict: Callable[[Tensor, Tensor, Tensor], Tensor]
) -> Tensor:
    """One picture per seed with the app's default controls; labels [n, attributes] -> [n, channels, size, size].

    `predict` answers for the network of a diffusion model, and `steps` are the ones that it takes.
    """
    network, chosen = entry.network, as_made(usual(entry.dataset), entry.card)
    match network:
        case VAE():
            z = seeded_noise(seeds, (network.config.latent_dim,)) * chosen.temperature * latent_spread(entry)
            return network.decode(z, labels)
        case GAN():
            w = network.generator.map(seeded_noise(seeds, (network.config.latent_dim,)))
            return network.generator.synthesize(network.truncate(w, chosen.truncation_psi), labels).clamp(-1, 1)
        case Diffusion():
            generators = seeded_generators(seeds)
            noise = draw_noise(generators, entry.dataset.shape).contiguous(memory_format=torch.channels_last)
            scheduler = build_scheduler(chosen.sampler, network.noise_schedule)
            if entry.card.is_quick:
                labels = by_lot(labels, seeds, torch.from_numpy(entry.dataset.load_reference().labels))
            denoise = guided(predict, labels, chosen.guidance_scale)
            *_, step = reverse(denoise, scheduler, noise, steps, generators, chosen.eta)
            return step.x_next
