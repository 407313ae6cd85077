"""The feature network: a compact classifier of the data set's attributes, whose last hidden layer the metrics look at.

Distances between sets of pictures need a space in which "alike" means something. The usual one, Inception trained on
photographs (Heusel et al. 2017), knows nothing of digits or syllables; a network trained on the very data set does.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Generator, Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from playground.datasets import Dataset, Pictures
from playground.datasets.base import sha256
from playground.models import DamagedWeights
from playground.training.card import processor
from playground.training.loop import as_pictures

FACTS_FILE = "features.json"  # not card.json: the zoo must never take this folder for a generative model
WEIGHTS_FILE = "model.safetensors"
LAST_SIDE = 4  # pixels a side that are left when the features are taken
EXTRACTION_BATCH = 250


@dataclass(frozen=True)
class FeatureConfig:
    size: int
    channels: int
    cardinalities: tuple[int, ...]
    widths: tuple[int, ...] = (32, 64, 96)  # a stage halves the picture; the last width repeats until 4x4 are left
    feature_dim: int = 64


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
    seed: int = 0


def stage(in_channels: int, out_channels: int) -> nn.Sequential:
    """Half the size, then once more at that size."""
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(),
        nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(),
    )


class FeatureNetwork(nn.Module):
    """Pictures -> a feature vector -> for each attribute the logits of its values."""

    def __init__(self, config: FeatureConfig) -> None:
        super().__init__()
        self.config = config
        num_stages = max(len(config.widths), round(math.log2(config.size / LAST_SIDE)))
        widths = (*config.widths, *[config.widths[-1]] * (num_stages - len(config.widths)))
        before = (config.channels, *widths[:-1])
        self.stages = nn.Sequential(*(stage(a, b) for a, b in zip(before, widths, strict=True)))
        self.hidden = nn.Linear(widths[-1] * (config.size // 2**num_stages) ** 2, config.feature_dim)
        self.heads = nn.ModuleList(nn.Linear(config.feature_dim, values) for values in config.cardinalities)

    def forward(self, x0: Tensor) -> Tensor:
        """[batch, channels, size, size] in [-1, 1] -> features, [batch, feature_dim]."""
        return F.silu(self.hidden(self.stages(x0).flatten(1)))

    def classify(self, features: Tensor) -> list[Tensor]:
        """Features -> logits, one [batch, values] per attribute."""
        return [head(features) for head in self.heads]


def predicted_labels(network: FeatureNetwork, features: Tensor) -> Tensor:
    """The likeliest value of each attribute, [batch, attributes], counted from 1 as labels are."""
    return torch.stack([logits.argmax(1) + 1 for logits in network.classify(features)], dim=1)


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
        chosen = next(batches)
        x0 = moved(as_pictures(train.images[chosen]), training, generator).contiguous(memory_format=torch.channels_last)
        targets = torch.from_numpy(train.labels[chosen]) - 1  # [batch, attributes], from 0
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


def save_features(network: FeatureNetwork, folder: Path, facts: dict[str, object]) -> None:
    """Write weights (half precision), config and facts so that `load_features(folder)` gives them back."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = {
        name: (value.half() if value.is_floating_point() else value).contiguous()
        for name, value in network.state_dict().items()
    }
    save_file(weights, folder / WEIGHTS_FILE)
    (folder / "config.json").write_text(json.dumps(asdict(network.config), indent=2) + "\n")
    facts = {**facts, "sha256": {WEIGHTS_FILE: sha256(folder / WEIGHTS_FILE)}}
    (folder / FACTS_FILE).write_text(json.dumps(facts, indent=2) + "\n")


def load_features(folder: Path) -> tuple[FeatureNetwork, dict[str, object]]:
    """The feature network in `folder`, float32 and in evaluation mode, and its facts.

    Raises DamagedWeights when the files are not those that the facts were written for.
    """
    try:
        facts = json.loads((folder / FACTS_FILE).read_text())
        config = json.loads((folder / "config.json").read_text())
        if sha256(folder / WEIGHTS_FILE) != facts["sha256"][WEIGHTS_FILE]:
            raise ValueError("hash")
        network = FeatureNetwork(
            FeatureConfig(**{k: tuple(v) if isinstance(v, list) else v for k, v in config.items()})
        )
        network.load_state_dict(load_file(folder / WEIGHTS_FILE))
    except Exception as error:  # as in models.storage: whatever a broken file provokes, the answer is the same
        raise DamagedWeights(f"{folder.name}: the feature network cannot be opened; train it again") from error
    return network.eval().requires_grad_(False), facts


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
    network = train_features(config, train, training)
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
