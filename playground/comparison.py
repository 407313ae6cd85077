"""All families side by side: one recipe, the same seeds and labels, one row a model."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from playground import limits
from playground.generate import Frame, as_made, check, generate
from playground.recipe import DEFAULT, Recipe
from playground.render import named_rows
from playground.zoo import Card, Zoo

DIFFUSION_FIELDS = ("steps", "sampler", "eta", "guidance_scale")


@dataclass(frozen=True)
class Row:
    """One model's part of a comparison, finished or on its way."""

    card: Card
    recipe: Recipe  # makes this row's pictures alone
    frame: Frame
    seconds: float  # that this model has worked: neither loading, nor what happened between two steps


def is_teaching_model(card: Card, zoo: Zoo) -> bool:
    """Whether a model is there for its map: a latent space of two numbers, no ear for labels."""
    return card.family == "vae" and zoo.open(card.dataset, card.model).network.config.latent_dim == 2


def usual_models(zoo: Zoo, dataset: str) -> list[Card]:
    """What a comparison sets side by side unless told otherwise: all of our own but the teaching models."""
    cards = zoo.cards(dataset)
    return [card for card in cards if not is_teaching_model(card, zoo)] or cards


def compared_models(recipe: Recipe, zoo: Zoo) -> list[Card]:
    """The models of a comparison, by family in the order of the tabs, guests last.

    Raises ValueError for one that is not here.
    """
    cards = zoo.cards(recipe.dataset)
    if not cards:
        zoo.card(recipe.dataset, recipe.model)  # refuses, naming the data sets that are here
    if not recipe.models:
        return usual_models(zoo, recipe.dataset)
    cards = [*cards, *zoo.guests(recipe.dataset)]
    for name in recipe.models:
        limits.one_of("models", name, [card.model for card in cards])
    return [card for card in cards if card.model in recipe.models]


def alone(recipe: Recipe, card: Card) -> Recipe:
    """The recipe of one model's pictures in a comparison, for its own family's tab."""
    unused = () if card.takes_steps else DIFFUSION_FIELDS
    plain = {name: getattr(DEFAULT, name) for name in ("models", *unused)}
    return as_made(replace(recipe, task="sample", **plain), card)


def compare(recipe: Recipe, zoo: Zoo) -> Iterator[Row]:
    """Make every model's pictures, one model after another, yielding its row after every piece of work.

    Each model may use the whole of `limits.MAX_NETWORK_EVALUATIONS`. Raises ValueError before any work, and with all
    models already loaded, when one of them cannot do what the recipe says.
    """
    cards = compared_models(recipe, zoo)
    parts = [as_made(recipe, card) for card in cards]
    for part in parts:
        check(part, zoo)
    for card, part in zip(cards, parts, strict=True):
        for frame, seconds in timed(generate(part, zoo)):
            yield Row(card, alone(recipe, card), frame, seconds)


def timed(frames: Iterator[Frame]) -> Iterator[tuple[Frame, float]]:
    """Each frame with the seconds spent on making it and those before, leaving out the time between asking for them."""
    seconds = 0.0
    while True:
        begin = time.perf_counter()
        frame = next(frames, None)
        seconds += time.perf_counter() - begin
        if frame is None:
            return
        yield frame, seconds


def sheet(rows: Sequence[Row]) -> np.ndarray:
    """All rows as one picture to keep, each beside its model's name, each column under its seed; uint8 [h, w, 3].

    Of a text, every word is a row of its own and every character a column.
    """
    seeds = rows[0].recipe.seeds
    evaluations = [f"{row.frame.network_evaluations} x network" for row in rows]
    if not rows[0].recipe.text:
        names = [f"{row.card.model}\n{cost}" for row, cost in zip(rows, evaluations, strict=True)]
        return named_rows([row.frame.pictures for row in rows], names, [f"seed {s}" for s in seeds])
    words = [row.frame.pictures.chunk(len(seeds)) for row in rows]
    names = [
        f"{row.card.model}, seed {seed}\n{cost}" for row, cost in zip(rows, evaluations, strict=True) for seed in seeds
    ]
    return named_rows([word for row in words for word in row], names, [""] * len(words[0][0]))
