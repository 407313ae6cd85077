"""What is in `pretrained/`: lists it, checks it, loads it, keeps at most N models in memory."""

from __future__ import annotations

import json
import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from playground import limits
from playground.datasets import DATASETS, Dataset
from playground.datasets.base import PRETRAINED_FOLDER, sha256
from playground.models import GAN, VAE, DamagedWeights, Diffusion, Model, load_model
from playground.models.features import FeatureNetwork, load_features, predicted_labels
from playground.recipe import Recipe

log = logging.getLogger(__name__)

FAMILIES = ("vae", "gan", "diffusion")  # in the order of the tabs
GUEST = "guest"  # in a family's place: a diffusion pipeline from elsewhere, told nothing and measured by nobody
READER_FOLDER = "features"


@dataclass(frozen=True)
class Card:
    """The facts about a model: of our own as `card.json` beside its weights states them, of a guest as it was found."""

    dataset: str
    model: str
    family: str
    folder: Path
    facts: Mapping[str, object]  # the whole of card.json

    @property
    def metrics(self) -> Mapping[str, object]:
        """Measured quality, empty before `python -m playground.evaluation` has run."""
        return self.facts.get("metrics", {})

    @property
    def parameters(self) -> int:
        return self.facts["parameters"]

    @property
    def is_guest(self) -> bool:
        return self.family == GUEST

    @property
    def takes_steps(self) -> bool:
        """Whether it walks from noise to pictures, as diffusion does."""
        return self.family in ("diffusion", GUEST)

    @property
    def most_evaluations(self) -> int:
        """Pictures x steps that one request may ask for: fewer of a guest whose every step is much work."""
        return self.facts["facts"].get("most_evaluations", limits.MAX_NETWORK_EVALUATIONS)

    @property
    def num_levels(self) -> int:
        """Noise levels that it was trained on, which is as many steps as it can take."""
        return self.facts["facts"].get("num_levels", limits.MAX_STEPS)

    @property
    def settings(self) -> Mapping[str, object]:
        """Recipe fields that a model was made for, such as a few steps, where it cannot do with those of others."""
        return self.facts["facts"].get("settings", {})

    @property
    def is_quick(self) -> bool:
        """Whether it was made for a number of steps of its own, which is few."""
        return "steps" in self.settings

    def numbers(self, fact: str, count: int | None = None) -> list[float]:
        """A measured list such as "latent_extent"; a dot leads to a list within.

        Raises DamagedWeights unless there are `count` finite numbers (any count of at least one for None).
        """
        found: object = self.facts["facts"]
        for name in fact.split("."):
            found = found.get(name) if isinstance(found, dict) else None
        if not isinstance(found, list) or len(found) != (count or max(1, len(found))):
            raise DamagedWeights(f"{self.model}: its card does not state {fact}")
        if not all(type(value) in (int, float) and abs(value) < 1e9 for value in found):
            raise DamagedWeights(f"{self.model}: its card states a {fact} of other things than numbers")
        return found


@dataclass(frozen=True)
class Reference:
    """Held-out pictures: images uint8 [n, channels, size, size], labels [n, attributes] from 1."""

    images: Tensor
    labels: Tensor

    def picture(self, index: int) -> tuple[Tensor, Tensor]:
        """Picture `index` as [1, channels, size, size] in [-1, 1] and its labels [1, attributes]."""
        return self.images[index : index + 1].float() / 127.5 - 1, self.labels[index : index + 1]


@dataclass(frozen=True)
class Reader:
    """The network that reads attributes in a data set's pictures, trained on nothing else."""

    network: FeatureNetwork
    accuracy: Mapping[str, float]  # share of held-out pictures read right, by attribute

    @torch.inference_mode()
    def read(self, pictures: Tensor) -> Tensor:
        """[n, channels, size, size] in [-1, 1] -> labels [n, attributes], from 1."""
        return predicted_labels(self.network, self.network(pictures))


@dataclass(frozen=True)
class Entry:
    """A model ready to use: network in evaluation mode, card, data set. Read-only, shared by all requests."""

    network: Model
    card: Card
    dataset: Dataset
    predict: Callable[..., Tensor]  # the network itself, or a faster form of it

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of a picture that it makes: the data set's, but a guest has its own."""
        return self.network.shape if self.card.is_guest else self.dataset.shape

    @cached_property
    def latent_order(self) -> list[int]:
        """Latent dimensions of a VAE, the most informative (by KL) first."""
        kl = self.card.facts["facts"].get("kl_per_dimension")
        return sorted(range(len(kl)), key=lambda k: -kl[k]) if kl else list(range(self.network.config.latent_dim))

    @cached_property
    def num_shifts(self) -> int:
        """How many latent directions a visitor may move along."""
        if isinstance(self.network, Diffusion):
            return 0
        dims = self.network.config.w_dim if isinstance(self.network, GAN) else self.network.config.latent_dim
        return min(limits.MAX_SHIFTS, dims)


def family_of(folder: Path) -> str:
    if (folder / "model_index.json").exists():
        return "diffusion"
    return json.loads((folder / "config.json").read_text())["family"]


def read_card(folder: Path) -> Card:
    """The card in `folder`; raises DamagedWeights when it is missing, unreadable or another model's."""
    try:
        facts = json.loads((folder / "card.json").read_text())
        card = Card(facts["dataset"], facts["model"], family_of(folder), folder, facts)
        is_whole = type(facts["parameters"]) is int and type(facts["facts"]) is dict and type(facts["sha256"]) is dict
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise DamagedWeights(f"{folder.name}: its card cannot be read ({type(error).__name__})") from error
    if not is_whole:
        raise DamagedWeights(f"{folder.name}: its card does not state parameters, facts and sha256")
    if (card.dataset, card.model) != (folder.parent.name, folder.name):
        raise DamagedWeights(f"{folder.name}: its card is another model's")
    try:
        Recipe(**card.settings)
    except (TypeError, ValueError) as error:
        raise DamagedWeights(f"{folder.name}: its card states settings that no recipe can have") from error
    return card


def check_hashes(card: Card) -> None:
    """Raise DamagedWeights unless the weight files are exactly those that the card lists.

    A guest's folder may hold others, such as the checkpoints of its training: they are never opened.
    """
    listed = card.facts["sha256"]
    found = {path.relative_to(card.folder).as_posix() for path in card.folder.rglob("*.safetensors") if path.is_file()}
    if not listed or (found != set(listed) and not card.is_guest) or not found >= set(listed):
        raise DamagedWeights(f"{card.model}: its weight files are not those that the card lists")
    for name, expected in listed.items():
        if sha256(card.folder / name) != expected:
            raise DamagedWeights(f"{card.model}: {name} is not the file that the card was written for")


def check_facts(card: Card, network: Model) -> None:
    """Raise DamagedWeights unless the card states every measured number that this network is used with."""
    if isinstance(network, VAE):
        card.numbers("latent_extent", network.config.latent_dim)
        if network.config.is_variational:
            card.numbers("kl_per_dimension", network.config.latent_dim)
    if isinstance(network, GAN):
        card.numbers("real_logits.asked")
        card.numbers("real_logits.any")
        for pattern in card.facts["facts"]["real_logits"]:
            card.numbers(f"real_logits.{pattern}")


def as_it_is(network: Model, _: Card) -> Callable[..., Tensor]:
    return network


class Zoo:
    """The models under one folder. A damaged one is left out with a line in the log; the rest work.

    `fit` gives what is to be asked for predictions in a network's place. `guests` join every data set, beside its own.
    """

    def __init__(
        self,
        root: Path = PRETRAINED_FOLDER,
        capacity: int = limits.MAX_MODELS_IN_MEMORY,
        fit: Callable[[Model, Card], Callable[..., Tensor]] = as_it_is,
        guests: Sequence[Card] = (),
    ) -> None:
        self.root = root
        self._fit = fit
        self._lock = threading.Lock()
        self._loaded: OrderedDict[tuple[str, str], Entry] = OrderedDict()
        self._references: dict[str, Reference] = {}
        self._readers: dict[str, Reader | None] = {}
        self._cards = {(card.dataset, card.model): card for card in self._find()}
        self._guests = {
            (dataset.name, card.model): replace(card, dataset=dataset.name)
            for dataset in self.datasets()
            for card in guests
        }
        self.capacity = capacity + len(self._guests)  # a guest, which all data sets share, drives out none of our own

    def _find(self) -> list[Card]:
        cards = []
        for path in sorted(self.root.glob("*/*/card.json")):
            try:
                card = read_card(path.parent)
                check_hashes(card)
            except DamagedWeights as damage:
                log.warning("left out: %s", damage)
                continue
            if card.dataset in DATASETS and card.family in FAMILIES:
                cards.append(card)
        return cards

    def datasets(self) -> list[Dataset]:
        """The data sets that have at least one model."""
        return [dataset for name, dataset in DATASETS.items() if any(key[0] == name for key in self._cards)]

    def cards(self, dataset: str, family: str | None = None) -> list[Card]:
        """Our own models of a data set, by family in the order of the tabs, then by name."""
        found = [card for card in self._cards.values() if card.dataset == dataset and family in (None, card.family)]
        return sorted(found, key=lambda card: (FAMILIES.index(card.family), card.model))

    def guests(self, dataset: str) -> list[Card]:
        """The pipelines from elsewhere, in the order in which they were named."""
        return [card for key, card in self._guests.items() if key[0] == dataset]

    def card(self, dataset: str, model: str) -> Card:
        """Raises ValueError, naming what there is, for a model that is not here."""
        if (dataset, model) in self._guests:
            return self._guests[dataset, model]
        if (dataset, model) not in self._cards:
            if not any(key[0] == dataset for key in self._cards):
                here = ", ".join(d.name for d in self.datasets())
                raise ValueError(f"dataset must be one of {here}, got {limits.shown(dataset)}")
            here = ", ".join(card.model for card in (*self.cards(dataset), *self.guests(dataset)))
            raise ValueError(f"model must be one of {here}, got {limits.shown(model)}")
        return self._cards[dataset, model]

    def open(self, dataset: str, model: str) -> Entry:
        """The model, loaded on first use; raises ValueError where there is none or its weights are damaged."""
        card = self.card(dataset, model)
        with self._lock:
            entry = self._loaded.get((dataset, model))
            if entry is None:
                entry = self._load(card)
                self._loaded[dataset, model] = entry
                while len(self._loaded) > self.capacity:
                    self._loaded.popitem(last=False)
            self._loaded.move_to_end((dataset, model))
            return entry

    def _load(self, card: Card) -> Entry:
        """The model from its folder, or from memory where a guest is in use on another data set's page."""
        dataset = DATASETS[card.dataset]
        if card.is_guest:
            loaded = [entry for entry in self._loaded.values() if entry.card.is_guest]
            for twin in (entry for entry in loaded if entry.card.folder == card.folder):
                return replace(twin, card=card, dataset=dataset)
        check_hashes(card)
        network = load_model(card.folder)
        check_facts(card, network)
        if not isinstance(network, Diffusion):  # whose engine lays out a copy of its own
            network.to(memory_format=torch.channels_last)  # a tenth to a fifth faster on processors, the same on others
        return Entry(network, card, dataset, self._fit(network, card))

    def reference(self, dataset: str) -> Reference:
        """The held-out pictures of a data set."""
        with self._lock:
            if dataset not in self._references:
                pictures = DATASETS[dataset].load_reference()
                self._references[dataset] = Reference(
                    torch.from_numpy(pictures.images), torch.from_numpy(pictures.labels)
                )
            return self._references[dataset]

    def reader(self, dataset: str) -> Reader | None:
        """The network that reads a data set's pictures; None where there is none, or a damaged one."""
        with self._lock:
            if dataset not in self._readers:
                self._readers[dataset] = self._find_reader(self.root / dataset / READER_FOLDER)
            return self._readers[dataset]

    def _find_reader(self, folder: Path) -> Reader | None:
        if not folder.is_dir():
            return None
        try:
            network, facts = load_features(folder)
        except DamagedWeights as damage:
            log.warning("left out: %s", damage)
            return None
        return Reader(network, facts.get("held_out_accuracy", {}))
