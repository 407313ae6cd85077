"""The feature network: a compact classifier of the data set's attributes, whose last hidden layer the metrics look at.

Distances between sets of pictures need a space in which "alike" means something. The usual one, Inception trained on
photographs (Heusel et al. 2017), knows nothing of digits or syllables; a network trained on the very data set does.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from playground.datasets.base import sha256
from playground.models.storage import DamagedWeights

FACTS_FILE = "features.json"  # not card.json: the zoo must never take this folder for a generative model
WEIGHTS_FILE = "model.safetensors"
LAST_SIDE = 4  # pixels a side that are left when the features are taken


@dataclass(frozen=True)
class FeatureConfig:
    size: int
    channels: int
    cardinalities: tuple[int, ...]
    widths: tuple[int, ...] = (32, 64, 96)  # a stage halves the picture; the last width repeats until 4x4 are left
    feature_dim: int = 64


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
