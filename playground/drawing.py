"""What a visitor draws, paints or marks as a short text, so that it fits in a link."""

from __future__ import annotations

import base64
import zlib

import numpy as np
import torch
from torch import Tensor

LEVELS = 16


def pack(brightness: np.ndarray) -> str:
    """uint8 [size, size] -> text: 16 grey levels, two pixels a byte, deflated, base64 for links."""
    levels = (brightness.astype(np.uint16) * (LEVELS - 1) + 127) // 255
    pairs = levels.astype(np.uint8).reshape(-1, 2)
    packed = zlib.compress((pairs[:, 0] << 4 | pairs[:, 1]).tobytes(), 9)
    return base64.urlsafe_b64encode(packed).decode().rstrip("=")


def unpack(text: str, shape: tuple[int, int, int]) -> Tensor:
    """The text of `pack` -> a picture [1, channels, size, size] in [-1, 1].

    Raises ValueError when the text is not a drawing of this size.
    """
    channels, height, width = shape
    picture = unpack_levels("drawing", text, height, width).float() / (LEVELS - 1) * 2 - 1
    return picture.expand(1, channels, height, width).clone()


def unpack_paint(text: str, shape: tuple[int, int, int]) -> tuple[Tensor, Tensor]:
    """What is painted over a picture: the paint [1, channels, size, size] in [-1, 1], and where [1, 1, size, size]."""
    channels, height, width = shape
    levels = unpack_levels("paint", text, height, width)
    picture = (levels.float() - 1) / (LEVELS - 2) * 2 - 1
    return picture.expand(1, channels, height, width).clone(), levels > 0


def unpack_mask(text: str, shape: tuple[int, int, int]) -> Tensor:
    """The marked pixels, true or false, [1, 1, size, size]."""
    return unpack_levels("mask", text, *shape[1:]) > 0


def unpack_levels(name: str, text: str, height: int, width: int) -> Tensor:
    """The text of `pack` -> its levels from 0 to 15, int [1, 1, height, width].

    Raises ValueError, naming the field, when the text is not a drawing of this size.
    """
    num_bytes = height * width // 2
    try:
        inflater = zlib.decompressobj()
        raw = inflater.decompress(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)), num_bytes + 1)
    except (ValueError, zlib.error):
        raise ValueError(f"{name} is not readable") from None
    if len(raw) != num_bytes:
        raise ValueError(f"{name} must be {width} by {height} pixels")
    both = np.frombuffer(raw, dtype=np.uint8)
    levels = np.stack([both >> 4, both & 15], axis=1).reshape(1, 1, height, width)
    return torch.from_numpy(levels.astype(np.int64))
