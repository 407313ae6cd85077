"""Rows that several tabs share. Each returns its components by the recipe field that they set."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import gradio as gr
from gradio.components import Component

from playground import limits
from playground.datasets import Attribute
from playground.generate import usual
from playground.ui.lanes import QUIET
from playground.ui.page import Page, static
from playground.ui.text import attribute_key, hint_key, value_key
from playground.ui.theme import swatches_class

MOST_RADIO_VALUES = 12
MOST_NARROW_VALUES = 5  # buttons that fit into half a row


def elem(tab: str, field: str) -> str:
    """The id of a control in the page, such as `gan-seed`."""
    return f"{tab}-{field.replace('.', '-').replace('_', '-')}"


def model_picker(
    page: Page, tab: str, family: str, first: str | None = None, has_guests: bool = False
) -> dict[str, Component]:
    """Which of a family's models draws, or a guest; named by `model_<name>` where a tab has words for it.

    Unless told otherwise it begins with one that was made for no settings of its own.
    """
    cards = page.zoo.cards(page.dataset.name, family)
    own, plain = [card.model for card in cards], [card.model for card in cards if not card.settings]
    names = own + [card.model for card in page.zoo.guests(page.dataset.name) if has_guests]
    titles = [
        (page.words.label(f"model_{name}") if f"model_{name}" in page.words.table else name, name) for name in names
    ]
    picker = gr.Radio(
        titles,
        value=first if first in names else (plain or own or names)[-1],
        label=page.words.label("model"),
        info=page.words.label("model_info"),
        elem_id=elem(tab, "model"),
        visible=len(names) > 1,
    )
    return {"model": picker}


def label_pickers(page: Page, tab: str, first: Sequence[int] = ()) -> dict[str, Component]:
    """One picker an attribute, "any" first: buttons for a few values, a list for many; two in a row where they fit.

    They begin at the labels `first`, or at "any".

    For a data set of characters the box for a word takes the place of the attributes that a word says.
    """
    controls, writing = {}, page.dataset.writing
    said = 0 if writing is None else len(writing.spell(writing.example)[0])
    for row in picker_rows(page.dataset.attributes[said:]):
        with gr.Row():
            for index in (said + place for place in row):
                controls[f"labels.{index}"] = label_picker(page, tab, index, *first[index : index + 1])
    return controls


def text_box(page: Page, tab: str) -> dict[str, Component]:
    """Where a word is typed; nothing for a data set whose pictures are no characters."""
    writing = page.dataset.writing
    if writing is None:
        return {}
    box = gr.Textbox(
        writing.example,
        label=page.words.label("text"),
        info=page.words.label(hint_key(page.dataset)),
        max_length=limits.MAX_TEXT_CHARACTERS,
        elem_id=elem(tab, "text"),
        elem_classes="pg-text",
    )
    return {"text": box}


def picker_rows(attributes: Sequence[Attribute]) -> Iterator[list[int]]:
    """The attributes' places row by row: many buttons need a row of their own, everything else stands in pairs."""
    row = []
    for index, attribute in enumerate(attributes):
        if MOST_NARROW_VALUES < attribute.num_values <= MOST_RADIO_VALUES:
            yield from ([row] if row else [])
            row = []
            yield [index]
            continue
        row.append(index)
        if len(row) == 2:
            yield row
            row = []
    if row:
        yield row


def label_picker(page: Page, tab: str, index: int, first: int = 0) -> Component:
    attribute = page.dataset.attributes[index]
    choices = [(page.words.label("any"), 0)]
    for label in range(1, attribute.num_values + 1):
        choices.append((page.words.label(value_key(page.dataset, attribute.name, label)), label))
    said = {
        "value": first,
        "label": page.words.label(attribute_key(page.dataset, attribute.name)),
        "elem_classes": [swatches_class(page.dataset, attribute)] if attribute.colours else None,
        "min_width": 130,
        "elem_id": elem(tab, f"labels.{index}"),
    }
    if attribute.num_values <= MOST_RADIO_VALUES:
        return gr.Radio(choices, **said)
    return gr.Dropdown(choices, filterable=False, **said)  # typing would add to the words that stand there


def seed_row(page: Page, tab: str, field: str = "seed", value: int = 0) -> dict[str, Component]:
    """The seed box with its dice and "last" button; the buttons change the box in the page, without a request.

    The box states no limits and rounds nothing: gradio would refuse in silence, the recipe does it with a sentence.
    """
    with gr.Group():
        seed = gr.Number(
            value,
            label=page.words.label(field),
            info=page.words.label(f"{field}_info"),
            elem_id=elem(tab, field),
        )
        with gr.Row():
            dice = gr.Button(page.words.label("dice"), size="sm", min_width=80, elem_id=elem(tab, f"{field}-dice"))
            last = gr.Button(page.words.label("last_seed"), size="sm", min_width=80, elem_id=elem(tab, f"{field}-last"))
    key = elem(tab, field)
    dice.click(None, seed, seed, js=f"(seed) => window.playgroundDice('{key}', seed)", queue=False, **QUIET)
    last.click(None, seed, seed, js=f"(seed) => window.playgroundLast('{key}', seed)", queue=False, **QUIET)
    return {field: seed}


def count_slider(page: Page, tab: str, value: int = 4, most: int = limits.MAX_COUNT) -> dict[str, Component]:
    slider = gr.Slider(
        1,
        most,
        value,
        step=1,
        precision=0,
        label=page.words.label("count"),
        info=page.words.label("count_info"),
        elem_id=elem(tab, "count"),
    )
    return {"count": slider}


def task_picker(page: Page, tab: str, tasks: Sequence[str]) -> dict[str, Component]:
    """What the tab does, one button a task, worded by `task_<name>`."""
    choices = [(page.words.label(f"task_{task}"), task) for task in tasks]
    return {"task": gr.Radio(choices, value=tasks[0], label=page.words.label("task"), elem_id=elem(tab, "task"))}


def plain_slider(page: Page, tab: str, field: str, low: float, high: float, step: float) -> dict[str, Component]:
    """A slider for a recipe field, worded by `<field>` and `<field>_info`, at the field's default."""
    slider = gr.Slider(
        low,
        high,
        getattr(usual(page.dataset), field),
        step=step,
        label=page.words.label(field),
        info=page.words.label(f"{field}_info"),
        elem_id=elem(tab, field),
    )
    return {field: slider}


def shift_sliders(page: Page, tab: str, num: int) -> dict[str, Component]:
    """Sliders along the leading latent directions, in standard deviations; 0 is where the seed put the picture."""
    sliders = {}
    for first in range(0, num, 2):
        with gr.Row():
            for k in range(first, min(first + 2, num)):
                sliders[f"shifts.{k}"] = gr.Slider(
                    -limits.MAX_SHIFT,
                    limits.MAX_SHIFT,
                    0,
                    step=0.05,
                    label=f"{k + 1}",
                    min_width=130,
                    elem_id=elem(tab, f"shifts.{k}"),
                )
    return sliders


def drawing_pad(page: Page, tab: str) -> dict[str, Component]:
    """A black canvas to draw on; its value is the text of `playground.drawing.pack`, its event is `drawn`."""
    clear = page.words.both("draw_clear")
    template = (
        f'<p class="pg-note">{page.words.both("draw_here")}</p>'
        f'<canvas class="pg-canvas" width="256" height="256" tabindex="0" aria-label="drawing" '
        f'data-size="{page.dataset.size}" data-extent="{page.dataset.ink_extent}"></canvas>'
        f'<div class="pg-bar"><button type="button" data-clear>{clear}</button></div>'
    )
    pad = gr.HTML(
        "",
        html_template=template,
        js_on_load=static("drawing_pad.js"),
        elem_id=elem(tab, "drawing"),
    )
    return {"drawing": pad}


def picture_slider(page: Page, tab: str) -> dict[str, Component]:
    """Which of the held-out pictures to look at."""
    slider = gr.Slider(
        0,
        min(limits.MAX_REFERENCE, page.dataset.num_reference - 1),
        0,
        step=1,
        precision=0,
        label=page.words.label("picture"),
        info=page.words.label("picture_info"),
        elem_id=elem(tab, "picture"),
    )
    return {"picture": slider}
