"""A small canvas over a picture: to mark pixels, or to paint them."""

from __future__ import annotations

from typing import Literal

import gradio as gr

from playground.ui.page import Page, static

TEXT = {
    "paint_mark": ("Mark", "표시"),
    "paint_erase": ("Erase", "지우개"),
    "paint_white": ("White", "하양"),
    "paint_black": ("Black", "검정"),
    "paint_clear": ("Clear", "모두 지우기"),
}
BRUSHES = {
    "mask": {"paint_mark": 15, "paint_erase": 0},
    "paint": {"paint_white": 15, "paint_black": 1, "paint_erase": 0},
}


def pad(page: Page, elem_id: str, kind: Literal["mask", "paint"], said: str, columns_by: str = "") -> gr.HTML:
    """A canvas; its value is the text of `playground.drawing.pack`, 0 where nothing is, its `background` a picture.

    Where `columns_by` selects a slider, the background is a row of pictures, of which the slider says which is meant.
    """
    brushes = "".join(
        f'<button type="button" data-level="{level}" aria-pressed="{"true" if k == 0 else "false"}">{page.words.both(key)}</button>'
        for k, (key, level) in enumerate(BRUSHES[kind].items())
    )
    template = (
        f'<p class="pg-note">{said}</p>'
        f'<canvas class="pg-canvas" width="288" height="288" tabindex="0" aria-label="{kind}" data-kind="{kind}" '
        f'data-size="{page.dataset.size}" data-columns-by="{columns_by}"></canvas>'
        f'<div class="pg-bar pg-pick pg-brushes">{brushes}'
        f'<button type="button" data-clear>{page.words.both("paint_clear")}</button></div>'
    )
    return gr.HTML("", html_template=template, js_on_load=static("paint_pad.js"), background="", elem_id=elem_id)
