"""Measure what counts as normal, and how well spoiled pictures are told from it: `evaluation DATASET --anomalies`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from playground.anomalies.defects import SPOILERS, spoil
from playground.anomalies.detectors import NOISES, STRENGTHS, detectors, others_for, rebuild, scores
from playground.anomalies.norms import FILE, load_norms
from playground.datasets import Dataset
from playground.engine import Engines
from playground.evaluation.samples import Precision
from playground.evaluation.table import NOTHING, grid, replace_between
from playground.models import Diffusion
from playground.zoo import Entry, Zoo

MOST_PICTURES = 500
NUM_QUANTILES = {"normal": 101, "spoiled": 21}
BATCH = 50
TABLED = (None, 0.1, 0.3, 0.5)  # strengths that stand in the README


def auroc(normal: Tensor, spoiled: Tensor) -> float:
    """Chance that a spoiled picture's score is higher than a normal one's, equal ones counting half."""
    higher = (spoiled[:, None] > normal[None]).double() + 0.5 * (spoiled[:, None] == normal[None]).double()
    return float(higher.mean())


def picture_sets(zoo: Zoo, dataset: Dataset, most: int = MOST_PICTURES) -> dict[str, Tensor]:
    """Held-out pictures, evenly chosen, under "normal", and the same ones with each defect; [n, channels, size, size].

    Picture k is spoiled as the page spoils it under seed k.
    """
    reference = zoo.reference(dataset.name)
    chosen = np.linspace(0, len(reference.images) - 1, min(most, len(reference.images))).round().astype(int).tolist()
    normal = torch.cat([reference.picture(k)[0] for k in chosen])
    sets = {"normal": normal}
    for defect in SPOILERS:
        others = others_for(defect, dataset.name, zoo)
        numbered = enumerate(zip(normal, chosen, strict=True))
        sets[defect] = torch.stack([spoil(picture, defect, others, k, number) for k, (picture, number) in numbered])
    return sets


def scores_of(entry: Entry, pictures: Tensor, strength: float) -> Tensor:
    """The score of each picture, the k-th in noises of its own."""
    found = []
    for first in range(0, len(pictures), BATCH):
        some = pictures[first : first + BATCH]
        seeds = range(first * NOISES, (first + len(some)) * NOISES)
        found.append(scores(entry, some, rebuild(entry, some, strength, seeds)))
    return torch.cat(found).double()


def quantiles(values: Tensor, kind: str) -> list[float]:
    """At even shares from 0 to 1, rounded to four digits."""
    found = np.quantile(values.numpy(), np.linspace(0, 1, NUM_QUANTILES[kind]))
    return [float(f"{value:.4g}") for value in found]


def measure_row(entry: Entry, sets: Mapping[str, Tensor], strength: float | None) -> dict[str, object]:
    """The norm of one detector at one strength, as `playground.anomalies.norms` reads it."""
    found = {name: scores_of(entry, pictures, strength or STRENGTHS[0]) for name, pictures in sets.items()}
    return {
        "strength": strength,
        "normal": quantiles(found["normal"], "normal"),
        "spoiled": {defect: quantiles(found[defect], "spoiled") for defect in SPOILERS},
        "auroc": {defect: round(auroc(found["normal"], found[defect]), 4) for defect in SPOILERS},
    }


def measure_norms(
    zoo: Zoo, dataset: Dataset, command: str, models: Sequence[str] = (), most: int = MOST_PICTURES
) -> Path:
    """Write the norms of a data set's detectors beside its models; returns the file.

    Only those of `models` are measured, where such are named; what stands there of others is kept.
    """
    sets = picture_sets(zoo, dataset, most)
    path = zoo.root / dataset.name / FILE
    known = json.loads(path.read_text())["models"] if models else {}
    measured = {}
    for card in detectors(zoo, dataset.name):
        if models and card.model not in models:
            measured |= {card.model: known[card.model]} if card.model in known else {}
            continue
        entry = zoo.open(card.dataset, card.model)
        strengths = STRENGTHS if isinstance(entry.network, Diffusion) else (None,)
        rows = [measure_row(entry, sets, strength) for strength in tqdm(strengths, desc=card.model)]
        measured[card.model] = {"sha256": card.facts["sha256"], "command": command, "rows": rows}
    unfinished = path.with_suffix(".part")
    content = {"pictures": len(sets["normal"]), "models": measured}
    unfinished.write_text(json.dumps(content, separators=(",", ":")) + "\n")
    unfinished.replace(path)
    return path


def table(zoo: Zoo) -> str:
    """How well each detector tells spoiled pictures from normal ones, for every data set that was measured."""
    rows, counts = [], []
    for dataset in zoo.datasets():
        norms = load_norms(zoo, dataset.name)
        if norms.rows:
            counts.append(f"{norms.pictures} of `{dataset.name}`")
        for (model, strength), norm in norms.rows.items():
            if strength not in TABLED:
                continue
            deep = NOTHING if strength is None else f"{strength:g}"
            rows.append([dataset.name, f"`{model}`", deep, *(f"{norm.auroc[defect]:.3f}" for defect in SPOILERS)])
    said = (
        "AUROC: the chance that a spoiled picture is found stranger than a normal one; 0.5 is guessing, below it the "
        f"spoiled one looks *more* normal. Measured by `python -m playground.evaluation DATASET --anomalies` on "
        f"held-out pictures ({', '.join(counts)}), each as it is and with each defect."
    )
    return "\n\n".join([grid(["data set", "model", "strength", *SPOILERS], rows), said])


def measure_anomalies(
    root: Path, dataset: Dataset, models: Sequence[str], command: str, precision: Precision, readme: Path
) -> None:
    """Measure the norms of a data set's detectors, or of some of them, and renew the README's table."""
    engines = Engines() if precision == "engine" else None
    zoo = Zoo(root, fit=engines) if engines else Zoo(root)
    for card in detectors(zoo, dataset.name) if engines else ():
        if card.family == "diffusion" and (not models or card.model in models):
            engines.make_ready(zoo, card)
    print(f"wrote {measure_norms(zoo, dataset, command, models)}")
    text = readme.read_text() if readme.exists() else ""
    readme.write_text(replace_between(text, "anomalies", table(zoo), "Anomaly detection"))
