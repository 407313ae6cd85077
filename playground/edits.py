"""Change one thing: the same seed with one label changed, before and after, and what was kept of everything else."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from playground import limits
from playground.comparison import alone
from playground.datasets import DATASETS
from playground.generate import Frame, check, generate, spelled
from playground.models.diffusion import stored_cardinalities
from playground.recipe import DEFAULT, Recipe
from playground.render import named_rows
from playground.zoo import Card, Reader, Zoo

VISIBLE = 0.2  # how far a channel must move, of the 2 from black to white, for its pixel to count as changed

Source = Literal["seed", "encoded"]


@dataclass(frozen=True)
class Kept:
    """What a change did, over all pictures of a row; what was read is None where no network reads the data set."""

    changed: Tensor  # which pixels are visibly different, [n, size, size]
    read_before: Tensor | None  # labels [n, attributes] as the network that reads them sees them, from 1
    read_after: Tensor | None

    @property
    def share_changed(self) -> float:
        """Of all pixels."""
        return float(self.changed.float().mean())

    def num_as_asked(self, attribute: int, label: int) -> int:
        """In how many pictures the changed attribute now reads as asked."""
        return int((self.read_after[:, attribute] == label).sum())

    def num_kept(self, attribute: int) -> int:
        """In how many pictures an attribute reads as it did before."""
        return int((self.read_after[:, attribute] == self.read_before[:, attribute]).sum())


@dataclass(frozen=True)
class Edit:
    """One row: a model's pictures before and after the change, finished or on their way."""

    card: Card
    source: Source
    recipe: Recipe  # makes `before` alone, in its family's tab
    labels: tuple[int, ...]  # asked for before the change, one an attribute
    changed_labels: tuple[int, ...]
    progress: float  # of the work, from 0 to 1
    before: Tensor | None = None  # [n, channels, size, size]
    after: Tensor | None = None
    x0: Tensor | None = None  # the real picture that was encoded, [1, channels, size, size]
    kept: Kept | None = None  # once both are finished

    @property
    def is_last(self) -> bool:
        return self.kept is not None


def is_told(card: Card, zoo: Zoo) -> bool:
    """Whether a model draws what it is asked for; a diffusion model need not be opened for that."""
    if card.family == "diffusion":
        return bool(stored_cardinalities(card.folder))
    return bool(zoo.open(card.dataset, card.model).network.config.cardinalities)


def rows_of(dataset: str, zoo: Zoo) -> list[tuple[Card, Source]]:
    """Every model that can change one thing, by family; an encoder also on a real picture."""
    rows: list[tuple[Card, Source]] = []
    for card in zoo.cards(dataset):
        if is_told(card, zoo):
            rows.append((card, "seed"))
            if card.family == "vae":
                rows.append((card, "encoded"))
    return rows


def wanted_change(recipe: Recipe, zoo: Zoo) -> tuple[int, int]:
    """The changed attribute's place and its new label; raises ValueError with a sentence where there is no such."""
    if not zoo.cards(recipe.dataset):
        zoo.card(recipe.dataset, recipe.model)  # refuses, naming the data sets that are here
    attributes = DATASETS[recipe.dataset].attributes
    if not attributes:
        raise ValueError(f"change needs a data set with attributes, and {recipe.dataset} has none")
    if len(recipe.change) != 2:
        raise ValueError(f"change must be an attribute and its new label, got {limits.shown(recipe.change)}")
    index = limits.whole("change", recipe.change[0], 0, len(attributes) - 1)
    return index, limits.whole("change", recipe.change[1], 1, attributes[index].num_values)


def with_label(labels: Sequence[int], index: int, label: int) -> tuple[int, ...]:
    """The labels with one of them changed."""
    return tuple(label if place == index else old for place, old in enumerate(labels))


def both_sides(recipe: Recipe, zoo: Zoo) -> tuple[Recipe, Recipe]:
    """The recipe before and after its change, every label said; a text of one character becomes its labels.

    Raises ValueError with a sentence for a change that cannot be made.
    """
    index, label = wanted_change(recipe, zoo)
    dataset = DATASETS[recipe.dataset]
    leading, *more = spelled(recipe, dataset)
    if more and index < len(leading):
        raise ValueError(f"text must be one character to change a part of it, got {1 + len(more)}")
    missing = (0,) * (len(dataset.attributes) - len(recipe.labels))
    labels = (*(leading if not more else ()), *(recipe.labels + missing)[0 if more else len(leading) :])
    before = replace(recipe, labels=labels, text=recipe.text if more else "", change=())
    return before, replace(before, labels=with_label(labels, index, label))


def measure(before: Tensor, after: Tensor, reader: Reader | None) -> Kept:
    """What a change from `before` to `after`, each [n, channels, size, size], did and left."""
    return Kept(
        changed=(after - before).abs().amax(1) > VISIBLE,
        read_before=None if reader is None else reader.read(before),
        read_after=None if reader is None else reader.read(after),
    )


def change(recipe: Recipe, zoo: Zoo, rows: Sequence[tuple[Card, Source]] | None = None) -> Iterator[Edit]:
    """Make the recipe's pictures with every model, before and after its change, yielding after every piece of work.

    `rows` are all of `rows_of` unless given. Raises ValueError before any work when one of them cannot do it.
    """
    before, after = both_sides(recipe, zoo)
    rows = rows_of(recipe.dataset, zoo) if rows is None else rows
    if not rows:
        raise ValueError(f"change needs a model of {recipe.dataset} that listens to labels")
    limits.whole("picture", recipe.picture, 0, len(zoo.reference(recipe.dataset).images) - 1)
    for card, _ in rows:
        check(alone(before, card), zoo)
        check(alone(after, card), zoo)
    reader = zoo.reader(recipe.dataset)
    for card, source in rows:
        if source == "encoded":
            yield change_encoded(before, card, recipe.change, zoo, reader)
        else:
            yield from change_sampled(alone(before, card), card, after.labels, zoo, reader)


def change_sampled(
    recipe: Recipe, card: Card, other: tuple[int, ...], zoo: Zoo, reader: Reader | None
) -> Iterator[Edit]:
    """A model's own pictures: the same seeds, hence the same noise wherever noise is drawn, with the `other` labels."""
    recipe = replace(recipe, picture=DEFAULT.picture)
    edit = Edit(card, "seed", recipe, recipe.labels, other, 0.0)
    for frame in generate(recipe, zoo):
        edit = replace(edit, before=frame.pictures, progress=0.5 * progress_of(frame))
        yield edit
    for frame in generate(replace(recipe, labels=other), zoo):
        edit = replace(edit, after=frame.pictures, progress=0.5 + 0.5 * progress_of(frame))
        if frame.is_last:
            edit = replace(edit, kept=measure(edit.before, edit.after, reader))
        yield edit


def progress_of(frame: Frame) -> float:
    """How much of its work a frame has behind it, from 0 to 1."""
    return 1.0 if frame.step is None else (frame.step.index + 1) / frame.step.total


@torch.inference_mode()
def change_encoded(recipe: Recipe, card: Card, change: tuple[int, int], zoo: Zoo, reader: Reader | None) -> Edit:
    """A held-out picture encoded with its own labels; its code decoded with them, and with one of them changed."""
    network = zoo.open(card.dataset, card.model).network
    x0, labels = zoo.reference(recipe.dataset).picture(recipe.picture)
    own = tuple(labels[0].tolist())
    other = with_label(own, *change)
    mu, _ = network.encode(x0, labels)
    before, after = network.decode(mu, labels), network.decode(mu, torch.tensor([other]))
    shown = replace(alone(recipe, card), task="encode", labels=(), count=1)
    return Edit(card, "encoded", shown, own, other, 1.0, before, after, x0, measure(before, after, reader))


def sheet(edits: Sequence[Edit]) -> np.ndarray:
    """All finished rows as one picture to keep, the pictures after the change under those before; uint8 [h, w, 3]."""
    most = max(len(edit.before) for edit in edits)
    rows: list[Tensor] = []
    names: list[str] = []
    for edit in edits:
        for moment, pictures in (("before", edit.before), ("after", edit.after)):
            blank = torch.ones(most - len(pictures), *pictures.shape[1:])
            rows.append(torch.cat([pictures, blank]))
            names.append(f"{edit.card.model}, {edit.source}\n{moment}")
    seeds = next((edit.recipe.seeds for edit in edits if edit.source == "seed"), ("-",))
    return named_rows(rows, names, [f"seed {seed}" for seed in seeds for _ in range(most // len(seeds))])
