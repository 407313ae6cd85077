"""Live tabs: the page keeps what their controls say and asks for the view by itself, with none of gradio's events between.

An event of gradio's copies the state of every control that it hears, several times over: more work for the page than
a small network's pictures are for the machine.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import gradio as gr
from gradio.components import Component

from playground.ui import views
from playground.ui.door import read
from playground.ui.lanes import PAGE_SCRIPT, QUIET
from playground.ui.page import Page

MEET = (
    f"({PAGE_SCRIPT})().then(() => window.playgroundLive(props.tab)"
    ".meet(server.answer, (html) => { props.value = html; }, props.failed));"
)


def live_view(
    page: Page, tab: str, chosen: Mapping[str, Component], draw: Callable[[dict[Component, object]], object]
) -> gr.HTML:
    """A tab's view, which follows whatever control moves; `draw` makes it of the controls' values.

    The newest values are answered, whoever moved them: the visitor, a reset button, the dice or a link.
    """
    held = list(chosen.values())

    def answer(values: list[object]) -> str | None:
        """The view of all controls' values, in their order; None where it stays as it is."""
        try:
            known = read(held, values)
        except ValueError as refusal:
            return views.refusal(page.words, str(refusal))
        drawn = draw(dict(zip(held, known, strict=True)))
        return drawn if isinstance(drawn, str) else None

    view = gr.HTML(
        js_on_load=MEET,
        server_functions=[answer],
        tab=tab,
        failed=views.failure(page.words),
        elem_id=f"{tab}-view",
    )
    for place, component in enumerate(held):
        moved = f"(value) => {{ window.playgroundLive?.('{tab}').move({place}, value); }}"
        component.change(None, component, None, js=moved, queue=False, **QUIET)
    return view


def begin(tab: str) -> str:
    """The script that lets a live tab begin with the values of all its controls."""
    return f"async (...values) => {{ await ({PAGE_SCRIPT})(); window.playgroundLive('{tab}').begin(values); }}"
