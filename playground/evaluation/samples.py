"""Pictures to measure: a model's own, made as the app makes them, in larger batches and kept so that no work is lost.

Picture k has seed k and the k-th of the labels asked for, and depends on nothing else; so a set that was interrupted
goes on where it stopped, a larger one begins with a smaller one, and processes may share the work.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from playground.datasets import Dataset
from playground.engine import Engines
from playground.generate import as_made, draw_pictures, usual
from playground.models import Diffusion
from playground.render import to_uint8
from playground.zoo import Card, Entry, Zoo

BATCH = 100
SAVE_EVERY_S = 30.0

Precision = Literal["float32", "bf16", "engine"]  # the last one: whatever form the app runs a network in here


class WeightsChangedError(RuntimeError):
    """A model was trained on while it was being measured, so that figures and weights would not belong together."""


@dataclass(frozen=True)
class Source:
    """Which model to sample, and how; `steps` and `precision` matter to diffusion alone."""

    root: Path  # the folder a Zoo is opened on
    dataset: str
    model: str
    weights: tuple[tuple[str, str], ...]  # file and sha256, as the card listed them when the measurement began
    settings: tuple[tuple[str, object], ...]  # the app's defaults that shape this family's pictures
    steps: int
    precision: Precision
    threads: int

    def open(self) -> Entry:
        """The model; raises WeightsChangedError when the measurement began with others."""
        engines = Engines() if self.precision == "engine" else None
        zoo = Zoo(self.root, fit=engines) if engines else Zoo(self.root)
        entry = zoo.open(self.dataset, self.model)
        if weights_of(entry.card.facts) != self.weights:
            raise WeightsChangedError(f"{self.model}: its weights changed while it was being measured")
        if engines:
            engines.make_ready(zoo, entry.card)
        elif isinstance(entry.network, Diffusion):
            entry.network.to(memory_format=torch.channels_last)
        return entry

    @property
    def name(self) -> str:
        """A file name that says what the pictures were made with."""
        digest = hashlib.sha256(repr((self.weights, self.settings)).encode()).hexdigest()
        return f"samples-{self.steps}-{self.precision}-{digest[:12]}.npz"


SHAPING = {  # the fields of a recipe that pictures depend on beside seed and labels, by family
    "vae": ("temperature",),
    "gan": ("truncation_psi",),
    "diffusion": ("sampler", "eta", "guidance_scale"),
}


def settings_of(dataset: Dataset, card: Card) -> tuple[tuple[str, object], ...]:
    """What the app begins with for a model, so that pictures made with other settings are not taken for these."""
    chosen = as_made(usual(dataset), card)
    return tuple((name, getattr(chosen, name)) for name in SHAPING[card.family])


def weights_of(facts: dict[str, object]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(facts["sha256"].items()))


def asked_labels(held_out_labels: np.ndarray, num: int) -> np.ndarray:
    """Labels in the proportions of the held-out set: its own ones in a fixed random order; [num, attributes]."""
    order = np.random.default_rng(0).permutation(len(held_out_labels))
    return held_out_labels[order[np.arange(num) % len(order)]]


def predictor(entry: Entry, precision: Precision) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """What answers for the network: itself, itself with its matrix products in bfloat16, or its engine.

    The sampler's sums stay in float32.
    """
    network = entry.network
    if precision != "bf16":
        return network if precision == "float32" else entry.predict

    def predict(x_t: Tensor, t: Tensor, labels: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            return network(x_t, t, labels).float()

    return predict


def draw(entry: Entry, labels: Tensor, seeds: Sequence[int], steps: int, precision: Precision) -> Tensor:
    """One picture per seed as the app begins; labels [n, attributes] -> [n, channels, size, size]."""
    return draw_pictures(entry, labels, seeds, steps, predictor(entry, precision))


def draw_batch(entry: Entry, source: Source, labels: np.ndarray, first: int) -> np.ndarray:
    """Pictures `first`, `first + 1` ... as bytes, uint8 [n, channels, size, size]."""
    seeds = range(first, first + len(labels))
    pictures = draw(entry, torch.from_numpy(labels), seeds, source.steps, source.precision)
    return np.ascontiguousarray(np.moveaxis(to_uint8(pictures), -1, 1))


def draw_batch_elsewhere(source: Source, labels: np.ndarray, first: int) -> np.ndarray:
    """`draw_batch` in a process that holds no model yet; opening one takes far less time than a batch of diffusion."""
    torch.set_num_threads(source.threads)
    return draw_batch(source.open(), source, labels, first)


def batches(source: Source, labels: np.ndarray, first: int, processes: int) -> Iterator[np.ndarray]:
    """Pictures `first` to the last, in order, a batch at a time."""
    starts = range(first, len(labels), BATCH)
    wanted = [labels[start : start + BATCH] for start in starts]
    if processes == 1:
        entry = source.open()
        yield from (draw_batch(entry, source, rows, start) for rows, start in zip(wanted, starts, strict=True))
        return
    # a fresh interpreter each: forking a process whose torch already runs threads can hang
    with ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("spawn")) as pool:
        try:
            yield from pool.map(draw_batch_elsewhere, repeat(source), wanted, starts)
        finally:
            pool.shutdown(cancel_futures=True)


def load_cached(path: Path, labels: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Pictures made earlier for the same labels, as many as there are; uint8 [up to len(labels), *shape]."""
    if path.exists():
        with np.load(path, allow_pickle=False) as arrays:
            images, made_for = arrays["images"][: len(labels)], arrays["labels"][: len(labels)]
        if images.shape[1:] == shape and np.array_equal(made_for, labels[: len(made_for)]):
            return images
    return np.empty((0, *shape), np.uint8)


def save_cached(path: Path, images: np.ndarray, labels: np.ndarray) -> None:
    """Write atomically: a run killed while writing leaves the older file whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".part.npz")
    np.savez_compressed(unfinished, images=images, labels=labels[: len(images)])
    os.replace(unfinished, path)


def sample(source: Source, labels: np.ndarray, shape: tuple[int, ...], folder: Path, processes: int = 1) -> np.ndarray:
    """The model's pictures for `labels` [n, attributes], uint8 [n, *shape]; made once and kept in `folder`."""
    path = folder / source.name
    made = [load_cached(path, labels, shape)]
    num = saved = len(made[0])
    if num == len(labels):
        return made[0]
    last_save = time.monotonic()
    title = f"{source.model}, {source.steps} step(s)"
    with tqdm(total=len(labels), initial=num, desc=title, unit="img", mininterval=5) as bar:
        try:
            for images in batches(source, labels, num, processes):
                made.append(images)
                num += len(images)
                bar.update(len(images))
                if time.monotonic() - last_save > SAVE_EVERY_S:
                    save_cached(path, np.concatenate(made), labels)
                    saved, last_save = num, time.monotonic()
        finally:
            if num > saved:
                save_cached(path, np.concatenate(made), labels)
    return np.concatenate(made)
