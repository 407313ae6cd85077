"""Arrays -> pictures: PNG bytes, sheets, strips, the noise of a seed, the sprite of a trajectory."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

from playground import limits
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
    try:
        with Image.open(io.BytesIO(png), formats=["PNG"]) as image:
            if image.width * image.height > limits.MAX_PIXELS:
                raise Image.DecompressionBombError
            text = image.text.get(RECIPE_KEY)
    except Image.DecompressionBombError as error:  # ours, or Pillow's own where the app has set its limit
        raise ValueError(f"a picture must have at most {limits.MAX_PIXELS:,} pixels") from error
    except (OSError, SyntaxError) as error:  # what Pillow makes of damaged files
        raise ValueError("this is not a readable PNG picture") from error
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


HEAT = np.array([(0, 0, 4), (87, 16, 110), (188, 55, 84), (249, 142, 9), (252, 255, 164)], np.float64)
HEAT_LIMIT = 0.5  # what is shown in the brightest colour; the same for all pictures, or a normal one would glow, too


def heat(values: Tensor) -> np.ndarray:
    """Shares [h, w] from 0 to 1 as colours, from black over red to bright yellow; uint8 [h, w, 3]."""
    at = (values / HEAT_LIMIT).clamp(0, 1).numpy()
    places = np.linspace(0, 1, len(HEAT))
    return np.stack([np.interp(at, places, HEAT[:, k]) for k in range(3)], -1).round().astype(np.uint8)


def pictures_of(pixels: np.ndarray) -> Tensor:
    """uint8 [h, w, channels] -> [1, channels, h, w] in [-1, 1]."""
    return torch.from_numpy(pixels).movedim(-1, 0)[None].float() / 127.5 - 1


def evenly_chosen(total: int, most: int) -> list[int]:
    """At most `most` (2 or more) of the numbers 0 .. total - 1, evenly spaced, the first and the last included."""
    if total <= most:
        return list(range(total))
    return [round(k * (total - 1) / (most - 1)) for k in range(most)]


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


def codes_picture(
    codes: np.ndarray, spread: np.ndarray | None, colours: Sequence[tuple[int, int, int]], extent: Sequence[float]
) -> np.ndarray:
    """Where encoded pictures lie on a 2-D latent map; uint8 [side, side, 3].

    codes [n, 2] are means, `spread` [n, 2] their standard deviations (ellipses) or None (points), `colours` one each;
    the map reaches from -extent to +extent.
    """
    side = 480
    canvas = Image.new("RGB", (side, side), (250, 250, 252))
    brush = ImageDraw.Draw(canvas, "RGBA")
    brush.line([(side / 2, 0), (side / 2, side)], fill=(0, 0, 0, 40))
    brush.line([(0, side / 2), (side, side / 2)], fill=(0, 0, 0, 40))
    for k, (x, y) in enumerate(codes):
        centre = (side / 2 * (1 + x / extent[0]), side / 2 * (1 - y / extent[1]))
        radii = (
            (2.0, 2.0)
            if spread is None
            else [max(2.0, side / 2 * s / e) for s, e in zip(spread[k], extent, strict=True)]
        )
        box = (centre[0] - radii[0], centre[1] - radii[1], centre[0] + radii[0], centre[1] + radii[1])
        brush.ellipse(box, fill=(*colours[k], 200 if spread is None else 90))
    return np.asarray(canvas)


def moments_chart(mu: Tensor, logvar: Tensor | None, order: Sequence[int], extent: float) -> str:
    """Mean and spread of each latent dimension as an SVG: a dot at mu, a bar of one sigma, the prior's band behind."""
    row, width, middle = max(15, 90 // len(order)), 300, 165
    scale = 125 / max(extent, 1e-6)
    height = row * len(order) + 8
    parts = [f'<svg viewBox="0 0 {width} {height}" class="pg-chart" role="img" aria-label="mean and spread">']
    if logvar is not None:
        parts.append(
            f'<rect x="{middle - scale:.1f}" y="0" width="{2 * scale:.1f}" height="{height}" class="pg-prior"/>'
        )
    parts.append(f'<line x1="{middle}" x2="{middle}" y1="0" y2="{height}" class="pg-axis"/>')
    for rank, k in enumerate(order):
        y = row * rank + row // 2 + 4
        x = middle + scale * float(mu[k])
        parts.append(f'<text x="2" y="{y + 4}" class="pg-tick">z{k + 1}</text>')
        if logvar is not None:
            sigma = scale * float(torch.exp(0.5 * logvar[k]))
            parts.append(f'<line x1="{x - sigma:.1f}" x2="{x + sigma:.1f}" y1="{y}" y2="{y}" class="pg-spread"/>')
        parts.append(f'<circle cx="{x:.1f}" cy="{y}" r="3.2" class="pg-mean"/>')
    return "".join(parts) + "</svg>"


def named_rows(
    rows: Sequence[Tensor], names: Sequence[str], titles: Sequence[str], cell: int = 128, gap: int = 8
) -> np.ndarray:
    """Rows of pictures [n, channels, h, w], each beside its name, with a title above every column; uint8 [h, w, 3].

    Names may have several lines; both are drawn in Pillow's own font, which knows no Hangul.
    """
    font = ImageFont.load_default(14)
    factor = max(1, cell // rows[0].shape[-1])
    side = rows[0].shape[-1] * factor + gap
    brush = ImageDraw.Draw(Image.new("L", (1, 1)))
    left = round(max(brush.multiline_textbbox((0, 0), name, font=font)[2] for name in names)) + 3 * gap
    top = 4 * gap
    canvas = Image.new("RGB", (left + side * len(titles), top + side * len(rows)), "white")
    brush = ImageDraw.Draw(canvas)
    for column, title in enumerate(titles):
        brush.text((left + side * column + (side - gap) / 2, top - gap), title, "black", font, anchor="mb")
    for row, (pictures, name) in enumerate(zip(rows, names, strict=True)):
        y = top + side * row
        brush.multiline_text((gap, y + (side - gap) / 2), name, "black", font, anchor="lm", spacing=6)
        for column, pixels in enumerate(to_uint8(pictures)):
            image = to_image(enlarged(pixels, max(1, cell // pixels.shape[1])))
            if image.width != side - gap:  # a row of pictures of another size
                image = image.resize((side - gap, side - gap), Image.Resampling.BOX)
            canvas.paste(image, (left + side * column, y))
    return np.asarray(canvas)
