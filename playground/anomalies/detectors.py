"""How strange a picture is to each family, none of which was ever shown a spoiled one or is told what it looks at.

An autoencoder gives back what it knows (Sakurada and Yairi 2014), and so does a diffusion model that cleans a picture
which was half drowned in noise (AnoDDPM, Wyatt et al. 2022): what they leave out is where the anomaly is. A
discriminator only says how real a picture is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from playground import drawing, limits
from playground.anomalies.defects import spoil
from playground.comparison import is_teaching_model
from playground.datasets import DATASETS
from playground.generate import given, realness
from playground.models import GAN, VAE, Diffusion
from playground.recipe import Recipe
from playground.render import heat, named_rows, pictures_of
from playground.sampling.editing import sdedit
from playground.sampling.noise import draw_noise, seeded_generators
from playground.sampling.reverse import build_scheduler, guided
from playground.zoo import Card, Entry, Zoo

STRENGTHS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6)  # how deep into the noise, of which each needs norms of its own
STEPS, SAMPLER = 20, "ddim"  # of the whole way down; the sampler adds no noise of its own
NOISES = 2  # that a picture is drowned in, and the mean taken of what comes back


@dataclass(frozen=True)
class Finding:
    """What one detector makes of one picture."""

    card: Card
    score: float  # the larger, the stranger
    rebuilt: Tensor | None  # what the model gives back, [1, channels, size, size]; None where it only judges
    residual: Tensor | None  # how far each pixel is from that, [size, size], as a share of the way from black to white


def detectors(zoo: Zoo, dataset: str) -> list[Card]:
    """One of our own models a family, that is not there for its map, nor made for a few steps from pure noise."""
    chosen: dict[str, Card] = {}
    for card in zoo.cards(dataset):
        if not card.is_quick and not is_teaching_model(card, zoo):
            chosen.setdefault(card.family, card)
    return list(chosen.values())


def any_label(entry: Entry, count: int) -> Tensor:
    return torch.zeros(count, len(entry.dataset.attributes), dtype=torch.long)


@torch.inference_mode()
def rebuild(entry: Entry, pictures: Tensor, strength: float, seeds: Sequence[int]) -> Tensor | None:
    """What a model gives back of pictures [n, channels, size, size]; None of a GAN, which cannot take one in.

    `strength` and `seeds`, `NOISES` of them a picture, matter to diffusion alone.
    """
    match entry.network:
        case VAE() as network:
            labels = any_label(entry, len(pictures))
            return network.decode(network.encode(pictures, labels)[0], labels)
        case Diffusion() as network:
            drowned = pictures.repeat_interleave(NOISES, 0)
            generators = seeded_generators(seeds)
            denoise = guided(entry.predict, any_label(entry, len(drowned)), 1.0)
            scheduler = build_scheduler(SAMPLER, network.noise_schedule)
            noise = draw_noise(generators, entry.shape)
            *_, step = sdedit(denoise, scheduler, drowned, noise, STEPS, strength, generators)
            return step.x_next.clamp(-1, 1).unflatten(0, (-1, NOISES)).mean(1)
        case _:
            return None


@torch.inference_mode()
def scores(entry: Entry, pictures: Tensor, rebuilt: Tensor | None) -> Tensor:
    """How strange each picture is, [n]: its distance from what the model gives back (root mean square, as a share of
    the way from black to white), or a discriminator's chance of finding it less real than a real one."""
    if isinstance(entry.network, GAN):
        return 1 - realness(entry, pictures, any_label(entry, len(pictures)))
    return (pictures - rebuilt).square().mean((1, 2, 3)).sqrt() / 2


def residuals(pictures: Tensor, rebuilt: Tensor) -> Tensor:
    """How far each pixel is from what the model gives back, in the channel where most: [n, size, size] in [0, 1]."""
    return (pictures - rebuilt).abs().amax(1) / 2


def strangers_to(dataset: str) -> str:
    """The data set that pictures of other things come from: the next one with as many channels, else the next one."""
    names = list(DATASETS)
    after = names.index(dataset) + 1
    others = [name for name in (*names[after:], *names[:after]) if name != dataset]
    alike = [name for name in others if DATASETS[name].channels == DATASETS[dataset].channels]
    return (alike or others)[0]


def others_for(defect: str, dataset: str, zoo: Zoo) -> Tensor:
    """The pictures that a defect takes something from, uint8 [n, channels, size, size]."""
    return zoo.reference(strangers_to(dataset) if defect == "stranger" else dataset).images


def check(recipe: Recipe, zoo: Zoo) -> None:
    """Raises ValueError with a sentence for what no detector here can be shown."""
    if not zoo.cards(recipe.dataset):
        zoo.card(recipe.dataset, recipe.model)  # refuses, naming the data sets that are here
    if recipe.strength not in STRENGTHS:
        named = ", ".join(map(str, STRENGTHS))
        raise ValueError(f"strength must be one of {named} to find anomalies, got {limits.shown(recipe.strength)}")


def shown_picture(recipe: Recipe, zoo: Zoo, is_painted: bool = True) -> tuple[Tensor, Tensor]:
    """The picture as it was, and as detectors are shown it: spoiled, then painted over; [1, channels, size, size]."""
    check(recipe, zoo)
    seen = x0 = given(recipe, zoo)
    if recipe.defect != "none":
        others = others_for(recipe.defect, recipe.dataset, zoo)
        seen = spoil(x0[0], recipe.defect, others, recipe.seed, recipe.picture)[None]
    if recipe.paint and is_painted:
        colour, is_on_it = drawing.unpack_paint(recipe.paint, DATASETS[recipe.dataset].shape)
        seen = torch.where(is_on_it, colour, seen)
    return x0, seen


def examine(recipe: Recipe, zoo: Zoo) -> list[Finding]:
    """What every detector makes of the recipe's picture."""
    _, seen = shown_picture(recipe, zoo)
    seeds = [(recipe.seed + k) % (limits.MAX_SEED + 1) for k in range(NOISES)]
    found = []
    for card in detectors(zoo, recipe.dataset):
        entry = zoo.open(card.dataset, card.model)
        rebuilt = rebuild(entry, seen, recipe.strength, seeds)
        score = float(scores(entry, seen, rebuilt)[0])
        found.append(Finding(card, score, rebuilt, None if rebuilt is None else residuals(seen, rebuilt)[0]))
    return found


def sheet(seen: Tensor, findings: Sequence[Finding]) -> np.ndarray:
    """The picture shown, what each detector gives back and where that differs, as one picture to keep; uint8."""
    shown = seen.expand(1, 3, -1, -1)
    blank = torch.ones_like(shown)
    rows = []
    for finding in findings:
        cells = [blank, blank]
        if finding.rebuilt is not None:
            cells = [finding.rebuilt.expand_as(shown), pictures_of(heat(finding.residual))]
        rows.append(torch.cat([shown, *cells]))
    names = [f"{finding.card.model}\nscore {finding.score:.3f}" for finding in findings]
    return named_rows(rows, names, ["shown", "given back", "differs"])
