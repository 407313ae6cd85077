"""One model's quality and speed as a mapping for its card, and the same figures of real pictures to hold it against."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from playground.datasets import Dataset, Pictures
from playground.evaluation.features import accuracy, all_right, chosen, extract, learned_from
from playground.evaluation.metrics import frechet_distance, nearest_distance, precision_recall
from playground.evaluation.samples import (
    Precision,
    Source,
    asked_labels,
    draw,
    sample,
    settings_of,
    weights_of,
)
from playground.generate import as_made, evaluations_per_picture, last, usual
from playground.models import Diffusion, Model
from playground.models.features import load_features
from playground.recipe import Recipe
from playground.render import sheet, to_image
from playground.training.card import processor
from playground.zoo import Card, Zoo

TIMED_BATCHES = (1, 16)
SHEET_PICTURES, SHEET_COLUMNS = 100, 10
FEW = (1, 2, 4)  # the ladder of a model made for few steps
AT_ONCE = "at_once"  # among shares by attribute: all that make a combination right in the same picture

Metrics = dict[str, object]


@dataclass(frozen=True)
class Plan:
    """How much to measure."""

    samples: int = 10_000
    steps: int = 50  # of diffusion, for the main figures
    ladder: tuple[int, ...] = (20, 50, 250)  # steps whose distances are compared with one another
    ladder_samples: int = 1_000
    precision: Precision = "float32"  # of diffusion's network while the pictures are made
    processes: int = 1
    threads: int = 1  # of each process
    repeats: int = 5  # of each timing


class Ruler:
    """The feature network and the features of the real pictures: what every model of a data set is measured with.

    Distances are to the held-out pictures whose combination of labels training knows: the others, where a data set has
    such, are another distribution; only whether they are drawn as asked is measured on them.
    """

    def __init__(self, dataset: Dataset, folder: Path, train: Pictures, held_out: Pictures) -> None:
        self.dataset = dataset
        self.network, self.facts = load_features(folder)
        share = self.facts.get("training", {}).get("never_trained_share", 0.0)
        held_out = chosen(held_out, ~learned_from(dataset, held_out, share))
        never = dataset.never_trained(held_out.labels)
        self.held_out_labels, self.never_trained_labels = held_out.labels[~never], held_out.labels[never]
        self.real = extract(self.network, held_out.images[~never])  # [n, feature_dim]
        self.never_trained = extract(self.network, held_out.images[never]) if never.any() else self.real[:0]
        self.train = extract(self.network, train.images)

    @property
    def name(self) -> str:
        """Which network this is, so that figures made with another are not compared with these."""
        (digest,) = self.facts["sha256"].values()
        return f"{self.dataset.name}/features {digest[:12]}"

    def conditions(self, features: Tensor, asked: np.ndarray) -> Metrics:
        """How often the network reads what was asked for: each attribute, and all that make a combination at once."""
        attributes = [attribute.name for attribute in self.dataset.attributes]
        labels = torch.from_numpy(asked)
        shares: Metrics = dict(accuracy(self.network, features, labels, attributes))
        if len(attributes) > 1:
            columns = [attributes.index(name) for name in self.dataset.combined or attributes]
            shares[AT_ONCE] = all_right(self.network, features, labels, columns)
        return shares

    @property
    def accuracy(self) -> Mapping[str, float]:
        """Share of the held-out pictures that the network reads right, per attribute."""
        return self.facts["held_out_accuracy"]

    def training_features(self, num: int) -> Tensor:
        """Features of `num` training pictures chosen at random, the same ones every time."""
        order = np.random.default_rng(0).permutation(len(self.train))[:num]
        return self.train[torch.from_numpy(order)]

    def floor(self, num: int) -> float:
        """Fréchet distance of `num` training pictures to the held-out ones: as near as real pictures come."""
        return frechet_distance(self.real, self.training_features(num))

    @cached_property
    def held_out_nearest(self) -> float:
        return nearest_distance(self.real, self.train)


def rounded(value: float) -> float:
    """Four significant digits; more would be noise."""
    return float(f"{value:.4g}")


def is_conditional(network: Model) -> bool:
    """Whether the model listens to labels at all."""
    return bool((network if isinstance(network, Diffusion) else network.config).cardinalities)


def real_metrics(ruler: Ruler, num: int) -> Metrics:
    """What `num` training pictures get in a model's place: the best that can be asked for."""
    features = ruler.training_features(num)
    precision, recall = precision_recall(ruler.real, features)
    read = {"known": (ruler.conditions(ruler.real, ruler.held_out_labels), len(ruler.real))}
    if len(ruler.never_trained):
        shares = ruler.conditions(ruler.never_trained, ruler.never_trained_labels)
        read["never trained"] = (shares, len(ruler.never_trained))
    return {
        "samples": len(features),
        "frechet_distance": rounded(ruler.floor(num)),
        "frechet_ratio": 1.0,
        "precision": rounded(precision),
        "recall": rounded(recall),
        "condition_accuracy": read["known"][0],
        "read": read,  # what the network makes of held-out pictures, by kind of combination: shares and their number
        "nearest_training_ratio": 1.0,
    }


def quality(ruler: Ruler, images: np.ndarray, asked: np.ndarray | None) -> Metrics:
    """Distances of a model's pictures, uint8 [n, channels, size, size], to the real ones.

    `asked` are the labels they were made for, [n, attributes], or None for a model that listens to none.
    """
    features = extract(ruler.network, images)
    precision, recall = precision_recall(ruler.real, features)
    distance, floor = frechet_distance(ruler.real, features), ruler.floor(len(images))
    metrics: Metrics = {
        "feature_net": ruler.name,
        "feature_net_accuracy": dict(ruler.accuracy),
        "samples": len(images),
        "held_out": len(ruler.real),
        "frechet_distance": rounded(distance),
        "frechet_floor": rounded(floor),
        "frechet_ratio": rounded(distance / floor),
        "precision": rounded(precision),
        "recall": rounded(recall),
        # 1: as far from the training pictures as new real ones are; towards 0: copies of them
        "nearest_training_ratio": rounded(nearest_distance(features, ruler.train) / ruler.held_out_nearest),
    }
    if asked is not None:
        metrics["condition_accuracy"] = ruler.conditions(features, asked)
    return metrics


def composition(ruler: Ruler, source: Source, plan: Plan, work: Path) -> Metrics:
    """Whether combinations that were in no training picture are drawn as asked; nothing where the data set has none."""
    num = min(plan.samples, len(ruler.never_trained_labels))
    if not num:
        return {}
    asked = asked_labels(ruler.never_trained_labels, num)
    images = sample(source, asked, ruler.dataset.shape, work / "never-trained", plan.processes)
    shares = ruler.conditions(extract(ruler.network, images), asked)
    return {"never_trained_accuracy": shares, "never_trained_samples": num}


def left_open(ruler: Ruler, source: Source, plan: Plan, work: Path) -> Metrics:
    """Whether combinations are drawn as asked when every other attribute is left to the model, as the app begins.

    Nothing for a data set all of whose attributes make the combination, or that keeps none from training.
    """
    attributes = [attribute.name for attribute in ruler.dataset.attributes]
    open_ones = [name for name in attributes if name not in ruler.dataset.combined]
    num = min(plan.samples, len(ruler.never_trained_labels))
    if not num or not open_ones:
        return {}
    shares = {}
    for kind, labels in (("known", ruler.held_out_labels), ("never_trained", ruler.never_trained_labels)):
        asked = asked_labels(labels, num).copy()
        asked[:, [attributes.index(name) for name in open_ones]] = 0
        images = sample(source, asked, ruler.dataset.shape, work / f"open-{kind.replace('_', '-')}", plan.processes)
        found = ruler.conditions(extract(ruler.network, images), asked)
        shares[kind] = {name: share for name, share in found.items() if name not in open_ones}
    return {"left_open": open_ones, "open_accuracy": shares, "open_samples": num}


def ladder(ruler: Ruler, source: Source, labels: np.ndarray, plan: Plan, work: Path) -> Metrics:
    """Fréchet distance of a diffusion model after few and many steps, each on the same number of pictures."""
    rungs = []
    for steps in sorted({*plan.ladder, source.steps}):
        images = sample(replace(source, steps=steps), labels, ruler.dataset.shape, work, plan.processes)
        distance = frechet_distance(ruler.real, extract(ruler.network, images))
        rungs.append({"steps": steps, "samples": len(images), "frechet_distance": rounded(distance)})
    return {"ladder": rungs, "ladder_floor": rounded(ruler.floor(len(labels)))}


def speed(root: Path, recipe: Recipe, repeats: int) -> Metrics:
    """Milliseconds a picture through the app's own door, alone and in a full batch: float32, one thread, median."""
    threads_before = torch.get_num_threads()
    torch.set_num_threads(1)
    zoo = Zoo(root)
    milliseconds = {}
    for count in TIMED_BATCHES:
        batch = replace(recipe, count=count)
        last(batch, zoo)  # opens the model and warms up
        seconds = []
        for _ in range(repeats):
            begin = time.perf_counter()
            last(batch, zoo)
            seconds.append(time.perf_counter() - begin)
        milliseconds[f"batch_{count}"] = rounded(1000 * statistics.median(seconds) / count)
    conditions = f"float32, median of {repeats}, {processor()}"
    torch.set_num_threads(threads_before)
    return {"milliseconds_per_picture": milliseconds, "timing": conditions}


def sheet_labels(ruler: Ruler) -> Tensor:
    """What a contact sheet asks for: combinations never trained on, or else the first attribute's values in turn."""
    if len(ruler.never_trained_labels):
        return torch.from_numpy(asked_labels(ruler.never_trained_labels, SHEET_PICTURES))
    labels = torch.zeros(SHEET_PICTURES, len(ruler.dataset.attributes), dtype=torch.long)
    labels[:, 0] = torch.arange(SHEET_PICTURES) % ruler.dataset.cardinalities[0] + 1
    return labels


def save_sheet(source: Source, labels: Tensor, path: Path) -> None:
    """Seeds 0, 1 ... as a contact sheet to look at."""
    pictures = draw(source.open(), labels, range(SHEET_PICTURES), source.steps, source.precision)
    path.parent.mkdir(parents=True, exist_ok=True)
    to_image(sheet(pictures, SHEET_COLUMNS)).save(path)


def measure(card: Card, ruler: Ruler, plan: Plan, root: Path, work: Path) -> Metrics:
    """Sample the model and measure it; its pictures and a contact sheet of 100 stay in `work`.

    Raises WeightsChangedError when the weights change meanwhile.
    """
    is_diffusion = card.family == "diffusion"
    source = Source(
        root,
        card.dataset,
        card.model,
        weights_of(card.facts),
        settings_of(ruler.dataset, card),
        steps=card.settings.get("steps", plan.steps) if is_diffusion else 1,
        precision=plan.precision if is_diffusion else "float32",
        threads=plan.threads,
    )
    opened = source.open()
    hears_labels = is_conditional(opened.network)
    save_sheet(source, sheet_labels(ruler), work / f"sheet-{SHEET_PICTURES}.png")
    asked = asked_labels(ruler.held_out_labels, plan.samples)
    images = sample(source, asked, ruler.dataset.shape, work, plan.processes if is_diffusion else 1)
    metrics = quality(ruler, images, asked if hears_labels else None)
    if hears_labels:
        metrics |= composition(ruler, source, plan, work) | left_open(ruler, source, plan, work)
    labels = (1,) * len(ruler.dataset.attributes) if hears_labels else ()
    recipe = replace(as_made(usual(ruler.dataset), card), labels=labels, steps=source.steps)
    if is_diffusion:
        compared = replace(plan, ladder=FEW) if card.is_quick else plan
        metrics |= {
            "steps": source.steps,
            "sampler": recipe.sampler,
            "guidance_scale": recipe.guidance_scale,
            "sampling_precision": opened.predict.name if source.precision == "engine" else source.precision,
            "network_evaluations": evaluations_per_picture(recipe),
            **ladder(ruler, source, asked_labels(ruler.held_out_labels, plan.ladder_samples), compared, work),
        }
    else:
        setting = "truncation_psi" if card.family == "gan" else "temperature"
        metrics |= {"steps": 1, "network_evaluations": 1, setting: getattr(recipe, setting)}
    return {**metrics, **speed(root, recipe, plan.repeats), "weights_sha256": dict(source.weights)}
