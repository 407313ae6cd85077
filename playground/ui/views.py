"""HTML of what a tab shows. Words come in both languages and the page hides one; pictures are data URIs."""

from __future__ import annotations

import html
from collections.abc import Sequence

import numpy as np
from torch import Tensor

from playground import render
from playground.datasets import Dataset
from playground.recipe import Recipe, to_query
from playground.ui.text import PER_CENT, Words

SAVED_FACTOR = 8  # a saved picture is this many times larger than the network's
FILM_FACTOR = 6  # and an animation's
MOST_SAVED_SIDE = 256  # pixels that one picture is enlarged to
SMOOTH_FROM = 128  # pixels a side: a picture that may be shown smaller than it is


def picture(pixels: np.ndarray, alt: str, recipe: Recipe | None = None, classes: str = "pg-picture") -> str:
    """uint8 [h, w, channels] as an <img> at its own size; the page enlarges it."""
    uri = render.data_uri(render.to_png(pixels, recipe))
    return f'<img {shape_of(pixels, classes)} src="{uri}" alt="{html.escape(alt)}" draggable="false">'


def shape_of(pixels: np.ndarray, classes: str = "pg-picture") -> str:
    """The class and style of a picture's element: a word is as many times wider than high as it has characters."""
    height, width = pixels.shape[:2]
    classes += " pg-smooth" if height >= SMOOTH_FROM else ""
    if height == width:
        return f'class="{classes}"'
    return f'class="{classes} pg-word" style="--pg-letters:{width / height:g}"'


def never_trained(words: Words, dataset: Dataset, recipe: Recipe) -> str:
    """What must be said of characters of the recipe's text that no training picture shows; else nothing."""
    if not recipe.text:
        return ""
    rows = dataset.writing.spell(recipe.text)
    labels = np.array([[*row, *[0] * (len(dataset.attributes) - len(row))] for row in rows])
    new = dict.fromkeys(dataset.writing.text(rows[k]) for k in np.flatnonzero(dataset.never_trained(labels)))
    return f'<p class="pg-note">{words.both("never_trained", characters=" ".join(new))}</p>' if new else ""


def figure(image: str, caption: str) -> str:
    return f"<figure>{image}<figcaption>{caption}</figcaption></figure>"


def fold(words: Words, title: str, *keys: str) -> str:
    """Paragraphs behind a title that opens them."""
    said = "".join(f"<p>{words.both(key)}</p>" for key in keys)
    return f'<details class="pg-fold"><summary>{words.both(title)}</summary>{said}</details>'


def took(words: Words, seconds: float) -> str:
    if seconds < 1:
        return words.both("took_ms", ms=f"{seconds * 1000:.0f}" if seconds >= 0.01 else f"{seconds * 1000:.1f}")
    return words.both("took_s", s=f"{seconds:.1f}")


def save_link(words: Words, key: str, content: bytes, file_name: str, kind: str = "image/png") -> str:
    uri = render.data_uri(content, kind)
    return f'<a class="pg-save" download="{html.escape(file_name)}" href="{uri}">{words.both(key)}</a>'


def keep_button(words: Words, file_name: str, of: str = "") -> str:
    """Saves an animation that the page itself draws: of the scrubber in the same view, or of the element `of`."""
    source = f' data-of="{html.escape(of)}"' if of else ""
    return f'<button type="button" data-keep="{html.escape(file_name)}"{source}>{words.both("download_walk")}</button>'


def file_name(recipe: Recipe, ending: str = "png") -> str:
    return f"{recipe.dataset}-{recipe.model}-{recipe.task}-{recipe.seed}.{ending}"


def saved_factor(pictures: Tensor) -> int:
    """How many times larger pictures [n, channels, h, w] are saved; large ones need less of it."""
    return max(1, min(SAVED_FACTOR, MOST_SAVED_SIDE // pictures.shape[-2]))


def bar(
    words: Words,
    recipe: Recipe,
    saved: np.ndarray | None,
    facts: Sequence[str] = (),
    extra: str = "",
    factor: int = SAVED_FACTOR,
) -> str:
    """The row above a result: copy its link, save it as PNG with the recipe inside, and the facts about it.

    `saved` is the uint8 picture to save, `factor` times larger; None while there is nothing finished.
    """
    query = html.escape(to_query(recipe), quote=True)
    done = html.escape(words.both("copied"), quote=True)
    parts = [f'<button type="button" data-query="{query}" data-done="{done}">{words.both("copy_link")}</button>']
    if saved is not None:
        png = render.to_png(render.enlarged(saved, factor), recipe)
        parts.append(save_link(words, "download_png", png, file_name(recipe)))
    parts.append(extra)
    if facts:
        parts.append(f'<span class="pg-facts">{" · ".join(facts)}</span>')
    return f'<div class="pg-bar">{"".join(parts)}</div>'


def columns_for(n: int, pictures: Tensor | None = None, most: int = 4) -> int:
    """How many pictures [n, channels, h, w] stand side by side on a wide page: fewer when they are wide."""
    letters = 1 if pictures is None else pictures.shape[-1] // pictures.shape[-2]
    return min(n, most if letters == 1 else max(1, 8 // letters))


def grid(figures: Sequence[str], columns: int | None = None) -> str:
    return f'<div class="pg-grid" style="--pg-columns:{columns or columns_for(len(figures))}">{"".join(figures)}</div>'


def percent(share: float, digits: int = 1) -> str:
    return f"{100 * share:.{digits}f}{PER_CENT}"


def noise_strip(words: Words, seeds: Sequence[int], noise: Tensor, most: int = 4) -> str:
    """The noise that the first few seeds make, as small pictures; noise is [n, d] or [n, channels, h, w]."""
    shown = [
        f"<span>{picture(render.noise_picture(noise[k]), f'noise of seed {seed}')}{words.both('noise_of', seed=seed)}</span>"
        for k, seed in enumerate(seeds[:most])
    ]
    return f'<div class="pg-noise">{"".join(shown)}</div>'


def walk_view(words: Words, recipe: Recipe, pictures: Tensor, facts: Sequence[str]) -> str:
    """A walk as a film that goes there and back, and as a strip of all its pictures."""
    factor, columns = saved_factor(pictures), columns_for(len(pictures), pictures, len(pictures))
    film = render.animation(pictures, min(FILM_FACTOR, factor))
    cells = [picture(render.to_uint8(p), f"step {k + 1} of {len(pictures)}", recipe) for k, p in enumerate(pictures)]
    extra = save_link(words, "download_walk", film, file_name(recipe, "webp"), "image/webp")
    shape = shape_of(render.to_uint8(pictures[0]), "pg-picture pg-film")
    film_image = f'<img {shape} src="{render.data_uri(film, "image/webp")}" alt="walk">'
    return view(
        bar(words, recipe, render.sheet(pictures, columns), facts, extra, factor),
        film_image,
        f'<div class="pg-strip">{"".join(cells)}</div>',
        f'<p class="pg-note">{words.both("walk_caption")}</p>',
    )


def view(*parts: str) -> str:
    return f'<div class="pg-view">{"".join(parts)}</div>'


def refusal(words: Words, why: str) -> str:
    return view(f'<p class="pg-error" role="alert">{words.both("refused", why=why)}</p>')


def failure(words: Words) -> str:
    return view(f'<p class="pg-error" role="alert">{words.both("failed")}</p>')


def status(said: str, classes: str = "") -> str:
    """One line that tells how a job stands."""
    return f'<p class="pg-status {classes}">{said}</p>'


def progress(share: float, said: str) -> str:
    """A bar that is full at a share of 1, over the line that tells how far a job has come."""
    return f'<div class="pg-progress"><i style="width:{100 * share:.1f}%"></i></div>{status(said)}'
