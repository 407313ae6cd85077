"""The parts of the page of chains: its controls, the panels that show the plane, the bar that plays them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import gradio as gr
from gradio.components import Component

from playground import limits
from playground.plane.recipe import GRID, LETTERS, PlaneRecipe
from playground.plane.walks import WITH_CHAINS
from playground.ui import controls
from playground.ui.lanes import LIVE
from playground.ui.page import static
from playground.ui.text import Words

NAME = "chains"
FIRST = PlaneRecipe(start=(-2.6, -2.6))  # what a visitor finds: far from everything
STRIPS = ("trace", "autocorrelation", "distance")

Chosen = dict[str, Component]  # controls by field of a `PlaneRecipe`


def elem(field: str) -> str:
    return controls.elem(NAME, field)


def updates_of(chosen: Mapping[str, Component], said: Mapping[str, object]) -> dict[Component, object]:
    """The value of every control that makes the page say what `said` says of some fields."""
    return {chosen[name]: list(value) if isinstance(value, tuple) else value for name, value in said.items()}


# ---- controls


def slider(words: Words, field: str, low: float, high: float, step: float, key: str = "") -> Chosen:
    """A slider for a recipe field, worded by `key` or the field's own name."""
    key, value = key or field, getattr(FIRST, field)
    made = gr.Slider(
        low,
        high,
        value,
        step=step,
        precision=0 if isinstance(value, int) else None,
        label=words.label(key),
        info=words.label(f"{key}_info") if f"{key}_info" in words.table else None,
        min_width=100,
        elem_id=elem(field),
    )
    return {field: made}


def radio(words: Words, field: str, choices: Sequence[str], key: str = "", info: object = None) -> Chosen:
    key = key or field
    pairs = [(words.label(f"{key}_{choice}"), choice) for choice in choices]
    made = gr.Radio(
        pairs, value=getattr(FIRST, field), label=words.label(key), info=info, elem_id=elem(field), min_width=100
    )
    return {field: made}


def points_pad(words: Words) -> Chosen:
    """A white canvas to put points on; its value is the text of a recipe's `points`."""
    said = words.both("points_here", left="LEFT").replace("LEFT", "<b data-left></b>")
    template = (
        f'<div class="pg-pad"><canvas class="pg-canvas pg-points" width="256" height="256" aria-label="drawing" '
        f'data-grid="{GRID}" data-most="{limits.MAX_DRAWN_POINTS}" data-letters="{LETTERS}"></canvas>'
        f'<div><p>{said}</p><div class="pg-bar"><button type="button" data-clear>{words.both("draw_clear")}</button></div></div></div>'
    )
    return {"points": gr.HTML("", html_template=template, js_on_load=static("chains_pad.js"), elem_id=elem("points"))}


def start_picker(words: Words) -> Chosen:
    """Where all chains begin: two boxes, filled by clicking into a picture, and a button for noise."""
    template = (
        f'<div class="pg-start pg-bar" data-most="{limits.MAX_PLANE}"><b>{words.both("start")}</b>'
        '<label>x <input type="number" step="0.1" data-x aria-label="x"></label>'
        '<label>y <input type="number" step="0.1" data-y aria-label="y"></label>'
        f'<button type="button" data-noise>{words.both("start_noise")}</button>'
        f"<small>{words.both('start_info')}</small></div>"
    )
    value, script = list(FIRST.start), static("chains_start.js")
    return {"start": gr.HTML(value, html_template=template, js_on_load=script, elem_id=elem("start"))}


def presets(words: Words, kind: str, sets: Mapping[str, Mapping[str, object]], chosen: Chosen) -> None:
    """Buttons that put several controls at once into a telling situation."""
    for name, said in sets.items():
        button = gr.Button(words.label(f"{kind}_{name}"), size="sm", min_width=60, elem_id=elem(f"{kind}_{name}"))
        changes = updates_of(chosen, said)
        button.click(partial(dict, changes), None, list(changes), **LIVE)


# ---- what is shown


def player(words: Words, room: str, script: str | None, counted: str, strips: Sequence[str] = ()) -> gr.HTML:
    """The bar that plays all panels of a room: play, single steps, scrubber, speed, what stands below, saving."""

    def buttons(kind: str, names: Sequence[str], first: str, key: str) -> str:
        made = (
            f'<button type="button" data-{kind}="{name}" aria-pressed="{str(name == first).lower()}">'
            f"{words.both(f'{key}_{name}')}</button>"
            for name in names
        )
        return f'<span class="pg-group">{"".join(made)}</span>'

    below = f'<span class="pg-under">{words.both("under")}</span>{buttons("strip", strips, STRIPS[0], "strip")}'
    template = (
        f'<div class="pg-player" data-player="{room}"><div class="pg-scrub">'
        '<button type="button" data-play aria-label="play">▶\ufe0e</button>'
        '<button type="button" class="pg-one" data-back aria-label="one step back">◀\ufe0e</button>'
        '<button type="button" class="pg-one" data-forth aria-label="one step on">▶\ufe0e</button>'
        '<input type="range" min="0" max="0" value="0" step="1" aria-label="step" data-range>'
        f"<output>{words.both(counted)} <b data-at>0</b> / <span data-total>0</span></output></div>"
        f'<div class="pg-bar">{buttons("speed", ("slow", "normal", "fast"), "normal", "play")}{below if strips else ""}'
        f'<button type="button" class="pg-end" data-save="{NAME}-{room}.gif">{words.both("chains_save")}</button></div></div>'
    )
    return gr.HTML(html_template=template, js_on_load=script, elem_id=f"{NAME}-{room}-player")


def panel(words: Words, room: str, name: str, title: str, values: Mapping[str, object], under: str) -> gr.HTML:
    """One picture of the plane: heading, a sentence, the canvas, the numbers of the step shown, the strip below."""
    floor = words.both("now_floor", floor="FLOOR").replace("FLOOR", "<b data-floor></b>")
    waiting = f'<p class="pg-absent">{words.both("waiting_for_network")}</p>' if name == "learned" else ""
    is_noised = room == "walk" and name not in WITH_CHAINS
    level = f'<span class="pg-level">{words.both("now_level")} <b data-level></b></span>' if is_noised else ""
    template = (
        f'<figure class="pg-panel" data-room="{room}" data-panel="{name}"><h3>{words.both(title)}</h3>'
        f'<p class="pg-note pg-says">{words.both(f"{title}_says", **values)}</p>'
        f'<div class="pg-sheet"><canvas class="pg-plane" data-plane></canvas>{waiting}</div>'
        f'<p class="pg-now"><span>{words.both("now_distance")} <b data-distance></b> <small>{floor}</small></span>'
        f'<span class="pg-modes">{words.both("now_modes")} <b data-modes></b></span>{level}</p>'
        f'<canvas class="pg-strip-canvas" data-under></canvas>{under}</figure>'
    )
    nothing, script = {} if room == "walk" else "", static("chains_panel.js")
    return gr.HTML(nothing, html_template=template, js_on_load=script, elem_id=f"{NAME}-{room}-{name}")


def walk_captions(words: Words, method: str) -> str:
    correlation = "strip_autocorrelation_says" if method in WITH_CHAINS else "strip_autocorrelation_none"
    keys = {"trace": "strip_trace_says", "autocorrelation": correlation, "distance": "strip_distance_says"}
    return "".join(f'<p class="pg-caption" data-of="{strip}">{words.both(keys[strip])}</p>' for strip in STRIPS)


def fold(words: Words, title: str, key: str) -> gr.HTML:
    return gr.HTML(f'<details class="pg-more"><summary>{words.both(title)}</summary><p>{words.both(key)}</p></details>')


def heading(words: Words, part: str, **values: object) -> str:
    title, lead = words.both(f"{part}_title"), words.both(f"{part}_lead", **values)
    return f'<h2 class="pg-title">{title}</h2><p class="pg-lead">{lead}</p>'


def glossary(words: Words) -> str:
    """What every number says of a chain, a sentence each, and how it is computed behind a fold."""
    terms = "".join(
        f"<div><dt>{words.both(f'term_{term}')}</dt><dd>{words.both(f'term_{term}_says')}</dd></div>" for term in TERMS
    )
    more = f'<details class="pg-more"><summary>{words.both("numbers")}</summary><p>{words.both("numbers_more")}</p></details>'
    return f'<section class="pg-terms"><h3>{words.both("terms")}</h3><dl>{terms}</dl>{more}</section>'


TERMS = ("acceptance", "trace", "autocorrelation", "ess", "r_hat", "distance")
