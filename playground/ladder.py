"""How many steps are enough? One seed, more and more steps or guidance, several samplers, and how far each still is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from playground import limits
from playground.comparison import timed
from playground.datasets import DATASETS
from playground.generate import by_word, check, evaluations_per_picture, generate, num_characters
from playground.recipe import DEFAULT, Recipe
from playground.render import named_rows
from playground.zoo import Zoo

RUNGS: Mapping[str, tuple[float, ...]] = {
    "steps": (1, 2, 5, 10, 20, 50, 100, 250),
    "guidance": (0, 0.5, 1, 1.5, 2, 3, 5, 8),
}
FEW = (1, 2, 3, 4, 6, 8, 12, 16)  # steps, for a model that was made for a few
FIELDS = {"steps": "steps", "guidance": "guidance_scale"}  # of a recipe, that each ladder goes up in
REFERENCES = {"steps": 250, "guidance": 1}  # the rung that the others are measured from: the longest run; as trained
CLOSE = 0.1  # RMS distance between two pictures that few would notice
USUAL_SAMPLERS = ("ddim", "dpmpp", "sde_dpmpp")


@dataclass(frozen=True)
class Cell:
    """One rung of one sampler's ladder, finished or on its way."""

    sampler: str
    rung: float
    recipe: Recipe  # makes this picture alone, in the family's tab
    progress: float  # of the work, from 0 to 1
    picture: Tensor  # [channels, h, w], a word as one wide picture; the predicted clean one until it is finished
    seconds: float  # that the model has worked
    network_evaluations: int

    @property
    def is_last(self) -> bool:
        return self.progress == 1


def distance(first: Tensor, second: Tensor) -> float:
    """Root mean square over all values of two pictures as they are shown, clipped to [-1, 1]; 2 is black from white."""
    return float((first.clamp(-1, 1) - second.clamp(-1, 1)).square().mean().sqrt())


def settled_from(distances: Sequence[float], within: float) -> int:
    """The first place from which on every distance stays `within`; the last place where none before it does."""
    place = len(distances) - 1
    while place > 0 and distances[place - 1] <= within:
        place -= 1
    return place


def samplers_of(recipe: Recipe) -> tuple[str, ...]:
    return recipe.samplers or USUAL_SAMPLERS


def places_of(recipe: Recipe, zoo: Zoo) -> tuple[float, ...]:
    """The rungs of a ladder, which stay among few steps for a model that was made for few."""
    return FEW if zoo.card(recipe.dataset, recipe.model).is_quick and recipe.ladder == "steps" else RUNGS[recipe.ladder]


def reference_of(recipe: Recipe, zoo: Zoo) -> float:
    """The rung that the others are measured from."""
    places = places_of(recipe, zoo)
    return places[-1] if places is FEW else REFERENCES[recipe.ladder]


def rungs_of(recipe: Recipe, zoo: Zoo) -> list[Recipe]:
    """Every cell's own recipe, the cheap ones of all samplers first."""
    plain = {name: getattr(DEFAULT, name) for name in ("ladder", "samplers")}
    base = replace(recipe, task="sample", count=1, **plain)
    eta = {sampler: recipe.eta if sampler == "ddim" else DEFAULT.eta for sampler in samplers_of(recipe)}
    return [
        replace(base, sampler=sampler, eta=eta[sampler], **{FIELDS[recipe.ladder]: rung})
        for rung in places_of(recipe, zoo)
        for sampler in samplers_of(recipe)
    ]


def total_evaluations(recipe: Recipe, zoo: Zoo) -> int:
    """How many times the whole ladder asks the network, every character counted."""
    characters = num_characters(recipe, DATASETS[recipe.dataset])
    return characters * sum(evaluations_per_picture(rung) for rung in rungs_of(recipe, zoo))


def require_diffusion(recipe: Recipe, zoo: Zoo) -> None:
    """Raises ValueError with a sentence for a model that takes no steps."""
    if zoo.card(recipe.dataset, recipe.model).family != "diffusion":
        raise ValueError(f"model must be a diffusion model to go up a ladder, not {recipe.model}")


def check_ladder(recipe: Recipe, zoo: Zoo) -> None:
    """Raises ValueError with a sentence for a ladder that cannot be climbed."""
    require_diffusion(recipe, zoo)
    for rung in rungs_of(recipe, zoo):
        check(rung, zoo)
    total = total_evaluations(recipe, zoo)
    if total > limits.MAX_NETWORK_EVALUATIONS:
        raise ValueError(
            f"steps x samplers must be at most {limits.MAX_NETWORK_EVALUATIONS} network evaluations, "
            f"this ladder needs {total}"
        )


def climb(recipe: Recipe, zoo: Zoo) -> Iterator[Cell]:
    """Make every cell's picture, the cheap ones first, yielding the cell after every step.

    Closing the generator stops the work within a step. Raises ValueError before any work when the whole is too much.
    """
    check_ladder(recipe, zoo)
    for rung in rungs_of(recipe, zoo):
        for frame, seconds in timed(generate(rung, zoo)):
            picture = by_word(frame, rung).pictures[0]
            progress = 1.0 if frame.is_last else min(0.99, (frame.step.index + 1) / frame.step.total)
            place = getattr(rung, FIELDS[recipe.ladder])
            yield Cell(rung.sampler, place, rung, progress, picture, seconds, frame.network_evaluations)


def distances(recipe: Recipe, cells: Sequence[Cell], zoo: Zoo) -> list[float] | None:
    """How far each finished cell of one sampler is from the ladder's reference; None until that is finished."""
    place = reference_of(recipe, zoo)
    reference = next((cell for cell in cells if cell.rung == place), None)
    if reference is None:
        return None
    return [distance(cell.picture, reference.picture) for cell in cells]


def enough(cells: Sequence[Cell], found: Sequence[float]) -> float | None:
    """The fewest steps from which on every longer run looks like the longest; None where only that one does."""
    place = settled_from(found, CLOSE)
    return cells[place].rung if place < len(cells) - 1 else None


def sheet(recipe: Recipe, cells: Sequence[Cell]) -> np.ndarray:
    """All finished cells as one picture to keep, a row a sampler, a column a rung; uint8 [h, w, 3]."""
    rows = [torch.stack([cell.picture for cell in cells if cell.sampler == name]) for name in samplers_of(recipe)]
    titles = [
        f"{rung:g}{' steps' if recipe.ladder == 'steps' else ' x'}" for rung in dict.fromkeys(c.rung for c in cells)
    ]
    return named_rows(rows, samplers_of(recipe), titles, cell=96)
