"""Data augmentation: readers that learn from a few real pictures, and from pictures made up beside them, in a race.

All readers are the same network from the same first weights, and see as many pictures; what differs is what they learn
from. They are marked on real pictures that neither they nor any model have learned from (the classification accuracy
score of Ravuri and Vinyals 2019, but beside real pictures).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from playground import limits
from playground.comparison import is_teaching_model
from playground.datasets import DATASETS
from playground.generate import as_made, draw_pictures, usual
from playground.models.features import FeatureConfig, FeatureNetwork
from playground.recipe import Recipe
from playground.render import named_rows
from playground.zoo import Card, Reference, Zoo

UPDATES, BATCH = 160, 64
MARKED_EVERY = 20  # updates
MOST_MARKED = 1000  # real pictures
WIDTHS, FEATURE_DIM = (16, 32, 48), 64  # of a reader
LEARNING_RATE, WEIGHT_DECAY = 3e-3, 1e-2
MOST_TURN, MOST_ZOOM, MOST_SHIFT = 12.0, 0.1, 0.1  # degrees; shares of the side
DRAWN_AT_ONCE = 32
REAL, MOVED, ALL = "real", "moved", "all"  # sources that are no model's
NUM_SHOWN = 12


@dataclass(frozen=True)
class Lot:
    """Pictures to learn from: [n, channels, size, size] in [-1, 1], and the value of each, [n] from 0."""

    pictures: Tensor
    values: Tensor

    def __add__(self, other: Lot) -> Lot:
        return Lot(torch.cat([self.pictures, other.pictures]), torch.cat([self.values, other.values]))


@dataclass(frozen=True)
class Stand:
    """How one reader does so far."""

    source: str  # `REAL`, `MOVED`, `ALL`, or a model's name
    num_made: int  # pictures that a model made for it, so far
    num_learned_from: int
    shown: Tensor  # some of what it learns from beside the real ones, [up to NUM_SHOWN, channels, size, size]
    marks: tuple[float, ...] = ()  # share of the real pictures read right, after every `MARKED_EVERY` updates


@dataclass(frozen=True)
class Moment:
    """The race, on its way or finished."""

    progress: float  # of all work, from 0 to 1
    update: int  # of `UPDATES`
    num_marked: int  # real pictures that the marks are shares of
    stands: Mapping[str, Stand]

    @property
    def is_last(self) -> bool:
        return self.update == UPDATES


def helpers(zoo: Zoo, dataset: str) -> list[Card]:
    """One of our own models a family: of diffusion the one that was made for few steps, if there is one."""
    chosen: dict[str, Card] = {}
    for card in zoo.cards(dataset):
        if not is_teaching_model(card, zoo) and (card.family not in chosen or card.is_quick):
            chosen[card.family] = card
    return list(chosen.values())


def check(recipe: Recipe, zoo: Zoo) -> None:
    """Raises ValueError with a sentence for what cannot be raced here."""
    if not zoo.cards(recipe.dataset):
        zoo.card(recipe.dataset, recipe.model)  # refuses, naming the data sets that are here
    limits.whole("target", recipe.target, 0, len(DATASETS[recipe.dataset].attributes) - 1)


def halves(num: int) -> tuple[np.ndarray, np.ndarray]:
    """Which held-out pictures may be learned from, and which ones mark: the same for all races."""
    order = np.random.default_rng(num).permutation(num)
    return order[: num // 2], order[num // 2 :][:MOST_MARKED]


def lot_of(reference: Reference, numbers: Sequence[int], target: int) -> Lot:
    chosen = torch.as_tensor(np.asarray(numbers, np.int64))
    return Lot(reference.images[chosen].float() / 127.5 - 1, reference.labels[chosen, target] - 1)


def some_of_each(values: np.ndarray, pool: np.ndarray, num_each: int, rng: np.random.Generator) -> list[int]:
    """Numbers of `num_each` pictures of every value (fewer where the pool has no more); values [n] of all pictures."""
    mixed = rng.permutation(pool)
    return [int(k) for value in np.unique(values[pool]) for k in mixed[values[mixed] == value][:num_each]]


def wishes(reference: Reference, pool: np.ndarray, target: int, num_each: int, rng: np.random.Generator) -> Tensor:
    """What a model is asked for, [n, attributes]: every value equally often, all else as some real picture has it."""
    labels = reference.labels[torch.as_tensor(pool)]
    rows = []
    for value in labels[:, target].unique().tolist():
        alike = labels[labels[:, target] == value]
        rows.append(alike[torch.as_tensor(rng.integers(len(alike), size=num_each))])
    return torch.cat(rows)


def made_by(card: Card, labels: Tensor, seed: int, zoo: Zoo) -> Iterator[Tensor]:
    """A model's pictures for `labels` as its tab begins, `DRAWN_AT_ONCE` at a time; picture k is made from seed + k."""
    entry = zoo.open(card.dataset, card.model)
    steps = min(as_made(usual(entry.dataset), card).steps, max(1, limits.MAX_NETWORK_EVALUATIONS // len(labels)))
    for first in range(0, len(labels), DRAWN_AT_ONCE):
        some = labels[first : first + DRAWN_AT_ONCE]
        seeds = [(seed + first + k) % (limits.MAX_SEED + 1) for k in range(len(some))]
        yield draw_pictures(entry, some, seeds, steps, entry.predict).clamp(-1, 1)


def moved(pictures: Tensor, generator: Generator) -> Tensor:
    """Each turned, zoomed and shifted a little; what comes in from outside repeats the edge."""
    n = len(pictures)
    turn, zoom, right, down = 2 * torch.rand(4, n, generator=generator) - 1
    angle, scale = turn * math.radians(MOST_TURN), 1 + zoom * MOST_ZOOM
    rows = [angle.cos() * scale, -angle.sin() * scale, right * 2 * MOST_SHIFT]
    rows += [angle.sin() * scale, angle.cos() * scale, down * 2 * MOST_SHIFT]
    where = F.affine_grid(torch.stack(rows, 1).view(n, 2, 3), list(pictures.shape), align_corners=False)
    return F.grid_sample(pictures, where, padding_mode="border", align_corners=False)


class Pupil:
    """A reader and what it learns from."""

    def __init__(self, lot: Lot, num_values: int, seed: int, is_moved: bool = False) -> None:
        self.lot, self.is_moved = lot, is_moved
        self.generator = Generator().manual_seed(seed)
        channels, size = lot.pictures.shape[1:3]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.network = FeatureNetwork(FeatureConfig(size, channels, (num_values,), WIDTHS, FEATURE_DIM))
        parameters = self.network.parameters()
        self.optimizer = torch.optim.AdamW(parameters, LEARNING_RATE, weight_decay=WEIGHT_DECAY, fused=True)

    def update(self, number: int) -> None:
        """Learn from one batch; the rate falls along a half cosine."""
        chosen = torch.randint(len(self.lot.values), (BATCH,), generator=self.generator)
        pictures = self.lot.pictures[chosen]
        if self.is_moved:
            pictures = moved(pictures, self.generator)
        for group in self.optimizer.param_groups:
            group["lr"] = LEARNING_RATE * 0.5 * (1 + math.cos(math.pi * number / UPDATES))
        (logits,) = self.network.classify(self.network(pictures))
        self.optimizer.zero_grad()
        F.cross_entropy(logits, self.lot.values[chosen]).backward()
        self.optimizer.step()

    @torch.inference_mode()
    def mark(self, lot: Lot) -> float:
        """Share of a lot's pictures read right."""
        self.network.eval()
        (logits,) = self.network.classify(self.network(lot.pictures))
        self.network.train()
        return float((logits.argmax(1) == lot.values).float().mean())


def race(recipe: Recipe, zoo: Zoo) -> Iterator[Moment]:
    """Draw what the models add, then teach all readers side by side, yielding after every piece of work.

    Raises ValueError before any work for a recipe that cannot be raced.
    """
    check(recipe, zoo)
    dataset, reference, target = DATASETS[recipe.dataset], zoo.reference(recipe.dataset), recipe.target
    pool, marking = halves(len(reference.images))
    rng = np.random.default_rng(recipe.seed)
    values = reference.labels[:, target].numpy()
    few = lot_of(reference, some_of_each(values, pool, recipe.real_each, rng), target)
    every, test = lot_of(reference, pool, target), lot_of(reference, marking, target)
    labels = wishes(reference, pool, target, recipe.made_each, rng)
    mixed = torch.as_tensor(rng.permutation(len(labels)))  # so that what is shown is not of one value
    labels = labels[mixed]
    examples = few.pictures[torch.as_tensor(rng.permutation(len(few.values))[:NUM_SHOWN])]
    generator = Generator().manual_seed(recipe.seed)
    stands = {
        REAL: Stand(REAL, 0, len(few.values), examples),
        MOVED: Stand(MOVED, 0, len(few.values), moved(examples, generator)),
    }
    lots = {REAL: few, MOVED: few}
    cards = helpers(zoo, recipe.dataset)
    work = len(cards) * math.ceil(len(labels) / DRAWN_AT_ONCE) + UPDATES
    done = 0
    for card in cards:
        pictures = torch.empty(0, *dataset.shape)
        for some in made_by(card, labels, recipe.seed, zoo):
            pictures = torch.cat([pictures, some])
            learned_from = len(few.values) + len(pictures)
            stands[card.model] = Stand(card.model, len(pictures), learned_from, pictures[:NUM_SHOWN])
            done += 1
            yield Moment(done / work, 0, len(test.values), dict(stands))
        lots[card.model] = few + Lot(pictures, labels[:, target] - 1)
    lots[ALL] = every
    shown = every.pictures[torch.as_tensor(rng.permutation(len(every.values))[:NUM_SHOWN])]
    stands[ALL] = Stand(ALL, 0, len(every.values), shown)
    num_values = dataset.attributes[target].num_values
    pupils = {name: Pupil(lot, num_values, recipe.seed, name == MOVED) for name, lot in lots.items()}
    for number in range(UPDATES):
        for pupil in pupils.values():
            pupil.update(number)
        if (number + 1) % MARKED_EVERY == 0:
            stands = {
                name: replace(stand, marks=(*stand.marks, pupils[name].mark(test))) for name, stand in stands.items()
            }
        yield Moment((done + number + 1) / work, number + 1, len(test.values), dict(stands))


def sheet(moment: Moment) -> np.ndarray:
    """What every reader learned from and how well it reads, as one picture to keep; uint8 [h, w, 3]."""
    stands = moment.stands.values()
    most = max(len(stand.shown) for stand in stands)
    rows = [torch.cat([stand.shown, torch.ones(most - len(stand.shown), *stand.shown.shape[1:])]) for stand in stands]
    names = [f"{stand.source}, {stand.num_learned_from}\nreads {100 * stand.marks[-1]:.1f} %" for stand in stands]
    return named_rows(rows, names, [""] * most, cell=64)
