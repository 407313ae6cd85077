"""Every value of every attribute, to press: the one thing to change."""

from __future__ import annotations

from collections.abc import Sequence

import gradio as gr
from gradio.components import Component

from playground.ui import controls
from playground.ui.page import Page, static
from playground.ui.text import attribute_key, value_key


def value_name(page: Page, index: int, label: int) -> str:
    """The word for a label of an attribute, in both languages."""
    attribute = page.dataset.attributes[index]
    return page.words.both(value_key(page.dataset, attribute.name, label) if label else "any")


def swatch(page: Page, index: int, label: int) -> str:
    """A dot in the value's colour, where the value is one."""
    colours = page.dataset.attributes[index].colours
    return f'<i class="pg-swatch" style="--pg-swatch:{colours[label - 1]}"></i>' if colours and label else ""


def board(page: Page) -> str:
    """Every value of every attribute, to press."""
    groups = []
    for index, attribute in enumerate(page.dataset.attributes):
        chips = "".join(
            f'<button type="button" data-place="{index}" data-label="{label}" aria-pressed="false">'
            f"{swatch(page, index, label)}{value_name(page, index, label)}</button>"
            for label in range(1, attribute.num_values + 1)
        )
        name = page.words.both(attribute_key(page.dataset, attribute.name))
        groups.append(f'<div class="pg-chips" role="group"><b>{name}</b><div>{chips}</div></div>')
    return f'<div class="pg-board">{"".join(groups)}</div>'


def chooser(page: Page, tab: str, first: Sequence[int]) -> dict[str, Component]:
    """What to change; its value is [place of the attribute, label]."""
    chips = gr.HTML(
        list(first),
        html_template=board(page),
        js_on_load=static("chips.js"),
        elem_id=controls.elem(tab, "change"),
    )
    return {"change": chips}
