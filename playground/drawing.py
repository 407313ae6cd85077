"""A visitor's drawing as a short text, so that it fits in a link."""

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
    num_bytes = height * width // 2
    try:
        inflater = zlib.decompressobj()
        raw = inflater.decompress(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)), num_bytes + 1)
    except (ValueError, zlib.error):
        raise ValueError("drawing is not readable") from None
    if len(raw) != num_bytes:
        raise ValueError(f"drawing must be {width} by {height} pixels")
    both = np.frombuffer(raw, dtype=np.uint8)
    levels = np.stack([both >> 4, both & 15], axis=1).reshape(height, width)
    picture = torch.from_numpy(levels.astype(np.float32)) / (LEVELS - 1) * 2 - 1
    return picture.expand(1, channels, height, width).clone()
