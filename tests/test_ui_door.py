"""How a call's values reach a tab: as gradio reads them, but without a trip to a thread for each."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor

import anyio.to_thread
import gradio as gr
import pytest

from playground.ui.door import Door

VALUES = [7, "b", ["x", "y"], 2.5, "word", "<b>", True]


def listening(kind: type[gr.Blocks]) -> gr.Blocks:
    """A page with one listener that hears one control of each plain kind."""
    with kind() as page:
        heard = [
            gr.Slider(0, 10, precision=0),
            gr.Radio([("B", "b"), ("C", "c")], type="index"),
            gr.CheckboxGroup(["x", "y"]),
            gr.Number(),
            gr.Textbox(),
            gr.HTML(),
            gr.Checkbox(),
        ]
        gr.Button().click(lambda *values: None, heard, None)
    return page


def waited_for(answer: Coroutine[None, None, list[object]]) -> list[object]:
    """Its result, from a loop of its own: a browser that other tests share keeps one in this thread."""
    with ThreadPoolExecutor(1) as elsewhere:
        return elsewhere.submit(asyncio.run, answer).result()


def read(page: gr.Blocks, values: list[object]) -> list[object]:
    (listener,) = page.fns.values()
    return waited_for(page.preprocess_data(listener, list(values), None))


def test_plain_values_are_read_as_gradio_reads_them_and_where_they_arrive(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = read(listening(gr.Blocks), VALUES)
    assert expected[1] == 0, "a control does read its value, a radio's place here"

    def no_trip(*_: object, **__: object) -> None:
        raise AssertionError("sent to a thread")

    monkeypatch.setattr(anyio.to_thread, "run_sync", no_trip)
    assert read(listening(Door), VALUES) == expected


def test_a_control_of_the_visitors_own_session_reads_its_value() -> None:
    page = listening(Door)
    (listener,) = page.fns.values()
    state = gr.state_holder.SessionState(page)
    slider, radio = listener.inputs[:2]
    changed = gr.Radio([("C", "c"), ("B", "b")], type="index", render=False)
    state[radio._id] = changed
    values = waited_for(page.preprocess_data(listener, list(VALUES), state))
    assert values[:2] == [7, 1]
    assert state[slider._id] is not None


def test_values_that_take_time_still_go_to_a_thread() -> None:
    with Door() as page:
        gr.Button().click(lambda *values: None, [gr.Slider(0, 10), gr.Image()], None)
    assert read(page, [3, None]) == [3, None]


@pytest.mark.parametrize(("place", "value"), [(0, 11), (1, "z"), (2, ["w"])])
def test_a_value_that_its_control_cannot_hold_is_refused_in_a_sentence(place: int, value: object) -> None:
    values = [*VALUES[:place], value, *VALUES[place + 1 :]]
    with pytest.raises(gr.Error, match="must be"):
        read(listening(Door), values)
