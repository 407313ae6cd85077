"""Training and measuring the feature network of a data set (see `playground.models.features`)."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
import torch
from torch import Generator, Tensor
from torch.nn import functional as F
from tqdm import tqdm

from playground.datasets import Dataset, Pictures
from playground.models.features import FeatureConfig, FeatureNetwork, load_features, predicted_labels, save_features
from playground.training.card import processor
from playground.training.loop import as_pictures

EXTRACTION_BATCH = 250
REPEATS = 4  # of a held-out picture that is learned from, among many more of the training set


@dataclass(frozen=True)
class FeatureTraining:
    """How the feature network is trained; angles in degrees, shifts as a share of the picture."""

    images: int = 600_000
    batch_size: int = 100
    learning_rate: float = 4e-3
    weight_decay: float = 0.02
    dropout: float = 0.2
    max_rotation: float = 12.0
    max_shift: float = 0.07
    max_zoom: float = 0.12
    never_trained_share: float = 0.0  # of the held-out pictures whose combinations no model was shown
    seed: int = 0


def learned_from(dataset: Dataset, held_out: Pictures, share: float) -> np.ndarray:
    """Which held-out pictures the feature network learns from, a mask: a share of those of combinations never trained.

    A ruler that never saw two values together reads one of them wrong, however well it was drawn. No model learns from
    these pictures, and nothing is read from them afterwards.
    """
    never = np.flatnonzero(dataset.never_trained(held_out.labels))
    mask = np.zeros(len(held_out.labels), bool)
    mask[never[: round(share * len(never))]] = True
    return mask


def chosen(pictures: Pictures, mask: np.ndarray) -> Pictures:
    return Pictures(pictures.images[mask], pictures.labels[mask])


def moved(x0: Tensor, training: FeatureTraining, generator: Generator) -> Tensor:
    """Each picture turned, zoomed and shifted a little, at random."""
    angle, zoom, shift_x, shift_y = 2 * torch.rand(4, len(x0), generator=generator) - 1
    angle = angle * math.radians(training.max_rotation)
    scale = torch.exp(zoom * training.max_zoom)
    cos, sin = torch.cos(angle) * scale, torch.sin(angle) * scale
    shift_x, shift_y = 2 * training.max_shift * shift_x, 2 * training.max_shift * shift_y  # the grid runs from -1 to 1
    theta = torch.stack([torch.stack([cos, -sin, shift_x], 1), torch.stack([sin, cos, shift_y], 1)], 1)
    grid = F.affine_grid(theta, list(x0.shape), align_corners=False)
    return F.grid_sample(x0, grid, mode="bilinear", padding_mode="border", align_corners=False)


def epochs(num: int, batch_size: int, generator: Generator) -> Iterator[np.ndarray]:
    """Batches of indices without end; every picture once before any comes again."""
    while True:
        order = torch.randperm(num, generator=generator).numpy()
        yield from (order[start : start + batch_size] for start in range(0, num - batch_size + 1, batch_size))


def train_features(config: FeatureConfig, train: Pictures, training: FeatureTraining | None = None) -> FeatureNetwork:
    """Train on labelled pictures, the losses of all attributes added up; products in bfloat16; on the CPU."""
    training = training or FeatureTraining()
    generator = Generator().manual_seed(training.seed)
    torch.manual_seed(training.seed)  # the first weights and the dropout
    network = FeatureNetwork(config).to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.AdamW(network.parameters(), training.learning_rate, weight_decay=training.weight_decay)
    batch_size = min(training.batch_size, len(train.images))
    num_steps = max(1, training.images // batch_size)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, training.learning_rate, num_steps, pct_start=0.2)
    batches = epochs(len(train.images), batch_size, generator)
    bar = tqdm(range(num_steps), desc="feature network", unit="step", mininterval=5)
    for _ in bar:
        batch = next(batches)
        x0 = moved(as_pictures(train.images[batch]), training, generator).contiguous(memory_format=torch.channels_last)
        targets = torch.from_numpy(train.labels[batch]) - 1  # [batch, attributes], from 0
        with torch.autocast("cpu", torch.bfloat16):
            features = F.dropout(network(x0), training.dropout)
            all_logits = network.classify(features)
        loss = sum(F.cross_entropy(logits.float(), targets[:, k]) for k, logits in enumerate(all_logits))
        loss.backward()
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        bar.set_postfix(loss=f"{loss.item():.3f}", refresh=False)
    return network.eval().requires_grad_(False).to(memory_format=torch.contiguous_format)


@torch.no_grad()
def extract(network: FeatureNetwork, images: np.ndarray) -> Tensor:
    """uint8 [n, channels, size, size] -> features [n, feature_dim], float32."""
    pieces = [as_pictures(images[k : k + EXTRACTION_BATCH]) for k in range(0, len(images), EXTRACTION_BATCH)]
    return torch.cat([network(piece) for piece in pieces])


def accuracy(network: FeatureNetwork, features: Tensor, labels: Tensor, names: Sequence[str]) -> dict[str, float]:
    """For each attribute the share of pictures that the network reads as labelled; labels [n, attributes] from 1."""
    hits = (predicted_labels(network, features) == labels).double().mean(0)
    return {name: round(share, 5) for name, share in zip(names, hits.tolist(), strict=True)}


def all_right(network: FeatureNetwork, features: Tensor, labels: Tensor, columns: Sequence[int]) -> float:
    """Share of pictures of which the network reads every one of some attributes as labelled."""
    hits = predicted_labels(network, features)[:, columns] == labels[:, columns]
    return round(float(hits.all(1).double().mean()), 5)


def only(kind: type, declared: Mapping[str, object]) -> dict[str, object]:
    """What a data set declares that is a field of `kind`."""
    return {field.name: declared[field.name] for field in fields(kind) if field.name in declared}


def training_for(dataset: Dataset) -> FeatureTraining:
    """How the data set's feature network is trained unless told otherwise."""
    return FeatureTraining(**only(FeatureTraining, dataset.training.get("features", {})))


def make_features(
    dataset: Dataset, train: Pictures, held_out: Pictures, folder: Path, command: str, training: FeatureTraining
) -> None:
    """Train the data set's feature network, measure it as it will be loaded, and write it with its facts."""
    begin = time.perf_counter()
    declared = dataset.training.get("features", {})
    config = FeatureConfig(dataset.size, dataset.channels, dataset.cardinalities, **only(FeatureConfig, declared))
    mask = learned_from(dataset, held_out, training.never_trained_share)
    more, held_out = chosen(held_out, mask), chosen(held_out, ~mask)
    images = np.concatenate([train.images, *[more.images] * REPEATS])
    labels = np.concatenate([train.labels, *[more.labels] * REPEATS])
    network = train_features(config, Pictures(images, labels), training)
    facts = {
        "dataset": dataset.name,
        "command": command,
        "images_seen": training.images,
        "seconds": round(time.perf_counter() - begin),
        "hardware": processor(),
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        "training": asdict(training),
    }
    save_features(network, folder, facts)
    rounded, _ = load_features(folder)
    names = [attribute.name for attribute in dataset.attributes]
    labels = torch.from_numpy(held_out.labels)
    features = extract(rounded, held_out.images)
    facts["held_out_accuracy"] = accuracy(rounded, features, labels, names)
    never = torch.from_numpy(dataset.never_trained(held_out.labels))
    if never.any():
        facts["never_trained_accuracy"] = accuracy(rounded, features[never], labels[never], names)
    facts["held_out_images"] = len(held_out.images)
    save_features(rounded, folder, facts)
