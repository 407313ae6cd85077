"""Arrays -> pictures: PNG bytes, sheets, strips, the noise of a seed, the sprite of a trajectory."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

from playground.recipe import Recipe, from_json, to_json

RECIPE_KEY = "recipe"


def to_uint8(pictures: Tensor) -> np.ndarray:
    """[..., channels, h, w] in [-1, 1] -> uint8 [..., h, w, channels]."""
    return ((pictures.clamp(-1, 1) + 1) * 127.5).round().byte().movedim(-3, -1).numpy()


def sheet(pictures: Tensor, columns: int, gap: int = 0, background: int = 255) -> np.ndarray:
    """[n, channels, h, w] -> one uint8 picture of `columns` across, `gap` pixels between them."""
    cells = to_uint8(pictures)
    n, height, width, channels = cells.shape
    rows = -(-n // columns)
    canvas = np.full((rows * (height + gap) - gap, columns * (width + gap) - gap, channels), background, np.uint8)
    for k, cell in enumerate(cells):
        top, left = k // columns * (height + gap), k % columns * (width + gap)
        canvas[top : top + height, left : left + width] = cell
    return canvas


def enlarged(pixels: np.ndarray, factor: int) -> np.ndarray:
    """Each pixel becomes a square of `factor` pixels a side."""
    return pixels.repeat(factor, axis=0).repeat(factor, axis=1)


def to_image(pixels: np.ndarray) -> Image.Image:
    return Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)


def to_png(pixels: np.ndarray, recipe: Recipe | None = None) -> bytes:
    """uint8 [h, w, channels] -> PNG; the recipe, when given, travels in a text chunk named "recipe"."""
    info = PngInfo()
    if recipe is not None:
        info.add_text(RECIPE_KEY, to_json(recipe))
    buffer = io.BytesIO()
    to_image(pixels).save(buffer, "PNG", pnginfo=info, compress_level=1)
    return buffer.getvalue()


def recipe_of(png: bytes) -> Recipe:
    """The recipe inside a PNG that this playground saved; raises ValueError where there is none."""
    with Image.open(io.BytesIO(png), formats=["PNG"]) as image:
        text = image.text.get(RECIPE_KEY)
    if text is None:
        raise ValueError("this picture holds no recipe")
    return from_json(text)


def data_uri(content: bytes, kind: str = "image/png") -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def mosaic(vector: Tensor, limit: float = 2.5) -> np.ndarray:
    """A vector as a small grey mosaic, row by row: mid-grey is 0, white is +limit; uint8 [h, w, 1]."""
    columns = max(1, int(np.ceil(np.sqrt(len(vector)))))
    padded = torch.zeros(-(-len(vector) // columns) * columns)
    padded[: len(vector)] = vector
    return to_uint8((padded / limit).view(1, -1, columns))


def noise_picture(noise: Tensor, limit: float = 2.5) -> np.ndarray:
    """Noise as pixels: a vector [d] as a mosaic, a picture [channels, h, w] as it is; uint8 [h, w, channels]."""
    return mosaic(noise, limit) if noise.ndim == 1 else to_uint8(noise / limit)


def trajectory_sprite(rows: Sequence[Sequence[Tensor]]) -> np.ndarray:
    """Rows of pictures [channels, h, w], one column a step, as one picture that a page can show a column of."""
    return np.concatenate([np.concatenate([to_uint8(p) for p in row], axis=1) for row in rows], axis=0)


def animation(pictures: Tensor, factor: int = 6, milliseconds: int = 60) -> bytes:
    """[n, channels, h, w] -> a looping lossless WebP that goes there and back."""
    frames = [to_image(enlarged(pixels, factor)) for pixels in to_uint8(pictures)]
    frames += frames[-2:0:-1]
    buffer = io.BytesIO()
    frames[0].save(
        buffer, "WEBP", save_all=True, append_images=frames[1:], duration=milliseconds, loop=0, lossless=True
    )
    return buffer.getvalue()
