"""How models learned: the records of their trainings that stand beside them, checked."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from PIL import Image

from playground.datasets import Dataset
from playground.datasets.base import sha256
from playground.zoo import FAMILIES, Zoo

log = logging.getLogger(__name__)

FOLDER = "history"
RECORDED = {"vae": "vae", "gan": "gan", "ddpm": "diffusion"}  # model -> its family


class DamagedRecordError(ValueError):
    """A record that is not what its facts were written for."""


@dataclass(frozen=True)
class History:
    """One training: what the same noise became at every moment, and the losses on the way."""

    model: str
    family: str
    counts: Sequence[int]  # pictures seen at each moment, the first one 0
    num_pictures: int
    sprite: bytes  # WebP, a row a picture and a column a moment
    losses: Mapping[str, Sequence[float | None]]  # by player and name, a mean a moment; None before any


def read_history(folder: Path, model: str, dataset: Dataset) -> History:
    """The record of a model's training in `folder`.

    Raises DamagedRecordError when it is not there, or not whole.
    """
    try:
        facts = json.loads((folder / f"{model}.json").read_text())
        path = folder / f"{model}.webp"
        if sha256(path) != facts["sha256"]:
            raise ValueError("other pictures than the facts were written for")
        counts, num_pictures = facts["counts"], len(facts["labels"])
        if len(counts) < 2 or counts[0] != 0 or not all(a < b for a, b in pairwise(counts)):
            raise ValueError("moments out of order")
        with Image.open(path, formats=["WEBP"]) as image:
            if image.size != (len(counts) * dataset.size, num_pictures * dataset.size):
                raise ValueError("pictures of another size")
        for values in facts["losses"].values():
            if len(values) != len(counts) or not all(v is None or math.isfinite(v) for v in values):
                raise ValueError("losses that are no numbers")
        return History(model, RECORDED[model], counts, num_pictures, path.read_bytes(), facts["losses"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DamagedRecordError(f"{model}: the record of its training cannot be read ({error})") from error


def histories(zoo: Zoo, dataset: Dataset) -> list[History]:
    """The records of a data set, by family in the order of the tabs; a damaged one is left out with a log line."""
    found = []
    folder = zoo.root / dataset.name / FOLDER
    for model in sorted(RECORDED, key=lambda name: FAMILIES.index(RECORDED[name])):
        if (folder / f"{model}.json").is_file():
            try:
                found.append(read_history(folder, model, dataset))
            except DamagedRecordError as damage:
                log.warning("left out: %s", damage)
    return found
