"""The steps of a run of diffusion as the page shows them again: a scrubber to step by hand, a film to keep."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import gradio as gr
import torch
from torch import Tensor

from playground import render
from playground.recipe import Recipe
from playground.sampling.reverse import Step
from playground.ui import views
from playground.ui.text import Words

MOST_PICTURES = 4
MOST_STEPS = 26
FILM_FACTOR, FILM_MS = 3, 120
AWAY = ["pg-away"]  # the class of what is hidden
TEXT = {
    "film_step": ("step", "단계"),
    "film_x_t": ("x<sub>t</sub>: what the network sees", "x<sub>t</sub>: 신경망이 보는 것"),
    "film_x0": ("predicted x<sub>0</sub>: what it takes to be beneath", "예측한 x<sub>0</sub>: 그 밑에 있다고 보는 것"),
    "film_save": ("Save film", "영상 저장"),
    "film_stop": ("■ Stop", "■ 멈추기"),
    "film_waiting": ("Waiting for its turn …", "차례를 기다리는 중 …"),
    "film_progress": ("step {step} of {total}, t = {t}", "{total}단계 가운데 {step}단계, t = {t}"),
    "film_done": (
        "Done. Drag the slider under the pictures, or press ▶, to see every step again.",
        "끝났습니다. 그림 아래 막대를 끌거나 ▶를 눌러 모든 단계를 다시 보세요.",
    ),
    "film_stopped": ("Stopped after step {step} of {total}.", "{total}단계 가운데 {step}단계에서 멈췄습니다."),
    "film_stopped_early": ("Stopped before it began.", "시작하기 전에 멈췄습니다."),
}


@dataclass
class Film:
    """Evenly chosen steps of a run: of each, x_t and the predicted clean picture of the first few pictures in a row."""

    chosen: frozenset[int]
    total: int
    numbers: list[int] = field(default_factory=list)  # of the kept steps, from 1
    times: list[float] = field(default_factory=list)
    x_t: list[Tensor] = field(default_factory=list)  # [channels, h, pictures x w] a step
    x0: list[Tensor] = field(default_factory=list)

    @classmethod
    def of(cls, first: Step) -> Film:
        return cls(frozenset(render.evenly_chosen(first.total, MOST_STEPS)), first.total)

    def add(self, step: Step) -> None:
        """Keep the step if it is a chosen one, or the last."""
        if step.index in self.chosen:
            is_last = step.index == step.total - 1
            self.numbers.append(step.index + 1)
            self.times.append(step.t)
            self.x_t.append(side_by_side(step.x_t))
            self.x0.append(side_by_side(step.x_next if is_last else step.x0))


def side_by_side(pictures: Tensor) -> Tensor:
    """[n, channels, h, w] -> the first few of them in a row, [channels, h, n x w]."""
    return torch.cat(list(pictures[:MOST_PICTURES]), dim=-1)


def panel(rows: Sequence[Tensor], caption: str, alt: str) -> str:
    """One column a step; the page shows the column that the scrubber is at."""
    uri = render.data_uri(render.to_png(render.trajectory_sprite([rows])))
    letters = rows[0].shape[-1] / rows[0].shape[-2]
    style = f"--pg-letters:{letters:g};background-image:url({uri})"
    return views.figure(f'<div class="pg-cell" role="img" aria-label="{alt}" style="{style}"></div>', caption)


def scrubber(words: Words, film: Film) -> str:
    """Every kept step, to step by hand or to play; the page moves it without a request."""
    last = len(film.numbers) - 1
    numbers, times = (",".join(f"{value:.0f}" for value in values) for values in (film.numbers, film.times))
    panels = panel(film.x_t, words.both("film_x_t"), "x_t") + panel(film.x0, words.both("film_x0"), "predicted x0")
    return (
        f'<div class="pg-making pg-reel" data-scrub data-steps="{numbers}" data-times="{times}" '
        f'style="--columns:{last + 1};--rows:1;--column:{last};--row:0">'
        f'<div class="pg-panels">{panels}</div>'
        '<div class="pg-scrub"><button type="button" data-play aria-label="play">▶\ufe0e</button>'
        f'<input type="range" min="0" max="{last}" value="{last}" step="1" aria-label="step">'
        f"<output>{words.both('film_step')} <b data-step>{film.numbers[-1]}</b> / {film.total} · "
        f"t = <b data-t>{film.times[-1]:.0f}</b></output></div></div>"
    )


def save_link(words: Words, film: Film, recipe: Recipe) -> str:
    """The predicted clean pictures, step by step, as a film."""
    content = render.animation(torch.stack(film.x0), FILM_FACTOR, FILM_MS)
    return views.save_link(words, "film_save", content, views.file_name(recipe, "webp"), "image/webp")


def shown_if(is_wanted: bool) -> dict[str, object]:
    """A part of the page that stays there while it is hidden: canvases keep their picture, links reach every control."""
    return gr.update(elem_classes=[] if is_wanted else AWAY)


def progress(words: Words, step: Step) -> str:
    """Where a run is."""
    said = words.both("film_progress", step=step.index + 1, total=step.total, t=f"{step.t:.0f}")
    return views.progress((step.index + 1) / step.total, said)


def ended(words: Words, step: Step) -> str:
    """How a run ended: by itself, or because the visitor said so."""
    if step.index == step.total - 1:
        return views.status(words.both("film_done"))
    return views.status(words.both("film_stopped", step=step.index + 1, total=step.total))
