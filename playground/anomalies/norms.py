"""What counts as normal: the scores of held-out pictures as they are and spoiled, as measured by the evaluation."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from playground.anomalies.defects import SPOILERS
from playground.zoo import Card, Zoo

log = logging.getLogger(__name__)

FILE = "anomalies.json"


@dataclass(frozen=True)
class Norm:
    """Scores of one detector, as quantiles at even shares from 0 to 1, rising."""

    normal: Sequence[float]
    spoiled: Mapping[str, Sequence[float]]  # by defect
    auroc: Mapping[str, float]  # chance that a spoiled picture scores higher than a normal one, by defect

    def share_below(self, score: float) -> float:
        """Of normal pictures, that are less strange."""
        return float(below(self.normal, score))

    def threshold(self, false_alarms: float) -> float:
        """The score above which a picture counts as an anomaly, for that share of normal pictures."""
        return float(np.quantile(self.normal, 1 - false_alarms))

    def caught(self, defect: str, false_alarms: float) -> float:
        """Share of the pictures with a defect that count as anomalies."""
        return 1 - float(below(self.spoiled[defect], self.threshold(false_alarms)))

    def extent(self, defect: str) -> tuple[float, float]:
        """Scores between which nearly all pictures lie, normal or with this defect (any, where it is none of them)."""
        spoiled = [self.spoiled[defect]] if defect in self.spoiled else list(self.spoiled.values())
        every = (self.normal, *spoiled)
        return min(float(np.quantile(v, 0.01)) for v in every), max(float(np.quantile(v, 0.98)) for v in every)


def below(quantiles: Sequence[float], scores: float | np.ndarray) -> np.ndarray:
    """For each score the share of those with these quantiles that are lower, of the same shape."""
    return np.interp(scores, quantiles, np.linspace(0, 1, len(quantiles)), left=0.0, right=1.0)


@dataclass(frozen=True)
class Norms:
    """Of all detectors of a data set; empty where nobody has measured them with the weights that are here."""

    pictures: int
    rows: Mapping[tuple[str, float | None], Norm]  # by model and strength, which is None where it does not matter

    def of(self, card: Card, strength: float) -> Norm | None:
        return self.rows.get((card.model, strength), self.rows.get((card.model, None)))


NOTHING = Norms(0, {})


def load_norms(zoo: Zoo, dataset: str) -> Norms:
    """The measured norms of those models whose weights are the measured ones; damaged ones are left out with a line in
    the log."""
    path = zoo.root / dataset / FILE
    if not path.is_file():
        return NOTHING
    cards = {card.model: card for card in zoo.cards(dataset)}
    try:
        found = json.loads(path.read_text())
        rows = {
            (model, row["strength"]): read(row)
            for model, measured in found["models"].items()
            if model in cards and measured["sha256"] == cards[model].facts["sha256"]
            for row in measured["rows"]
        }
        return Norms(int(found["pictures"]), rows)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        log.warning("left out: %s of %s cannot be read (%s)", FILE, dataset, type(error).__name__)
        return NOTHING


def read(row: Mapping[str, object]) -> Norm:
    """Raises ValueError, KeyError or TypeError for what is no norm."""
    norm = Norm(row["normal"], {d: row["spoiled"][d] for d in SPOILERS}, {d: row["auroc"][d] for d in SPOILERS})
    for values in (norm.normal, *norm.spoiled.values()):
        rising = all(a <= b for a, b in pairwise(values))
        if len(values) < 2 or not rising or not all(math.isfinite(value) for value in values):
            raise ValueError("quantiles must be finite and rise")
    if not all(0 <= share <= 1 for share in norm.auroc.values()):
        raise ValueError("a chance must be from 0 to 1")
    return norm
