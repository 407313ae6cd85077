"""The page's door for hand-made calls: gradio alone answers a value that does not suit its control with nothing at all."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import gradio as gr
from gradio.block_function import BlockFunction
from gradio.components import Component
from gradio.state_holder import SessionState

from playground.limits import shown

PLAIN = (gr.Checkbox, gr.CheckboxGroup, gr.Dropdown, gr.HTML, gr.Number, gr.Radio, gr.Slider, gr.Textbox)


class Door(gr.Blocks):
    """Blocks that refuse a wrong number of values, and values that a control cannot hold, in a sentence.

    Values of plain controls are read where they arrive: gradio would send each of a slider's twenty neighbours to a
    thread and back, which takes longer than a small network.
    """

    def validate_inputs(self, block_fn: BlockFunction, inputs: Sequence[object]) -> None:
        if len(inputs) != len(block_fn.inputs):
            raise gr.Error(f"values must be {len(block_fn.inputs)} in number, got {len(inputs)}", print_exception=False)

    async def preprocess_data(
        self, block_fn: BlockFunction, inputs: list, state: SessionState | None, explicit_call: bool = False
    ) -> list:
        self.validate_inputs(block_fn, inputs)
        try:
            if not block_fn.preprocess or block_fn.component_prop_inputs or not all(map(is_plain, block_fn.inputs)):
                return await super().preprocess_data(block_fn, inputs, state, explicit_call)
            unread = copy.copy(block_fn)
            unread.preprocess = False
            values = await super().preprocess_data(unread, inputs, state, explicit_call)
            here = [block if state is None else state.get(block._id, block) for block in block_fn.inputs]
            return [block.preprocess(value) for block, value in zip(here, values, strict=True)]
        except Exception as error:
            raise gr.Error(refusal(block_fn.inputs, inputs), print_exception=False) from error


def is_plain(component: Component) -> bool:
    """Whether a control's value is a number or a word, which takes no time to read."""
    return isinstance(component, PLAIN)


def read(components: Sequence[Component], values: object) -> list[object]:
    """What plain controls read in values that came without an event; raises ValueError with a sentence for bad ones."""
    if not isinstance(values, list) or len(values) != len(components):
        raise ValueError(f"values must be {len(components)} in number, got {shown(values)}")
    try:
        return [component.preprocess(value) for component, value in zip(components, values, strict=True)]
    except Exception as error:
        raise ValueError(refusal(components, values)) from error


def refusal(components: Sequence[Component], values: Sequence[object]) -> str:
    """The sentence for the first component that cannot take its value."""
    for component, value in zip(components, values, strict=True):
        try:
            component.preprocess(value)
        except Exception:
            return f"{field_of(component)} must be {rule_of(component)}, got {shown(value)}"
    return "one of the values does not suit its control"


def field_of(component: Component) -> str:
    """The recipe field that a control sets, from its id in the page such as `gan-seed`."""
    _, _, field = (component.elem_id or "").partition("-")
    return (field or component.get_block_name()).replace("-", "_")


def rule_of(component: Component) -> str:
    """What a control takes."""
    low, high = getattr(component, "minimum", None), getattr(component, "maximum", None)
    if low is not None and high is not None:
        return f"a number from {low:.12g} to {high:.12g}"
    choices = getattr(component, "choices", None)
    if choices:
        return f"one of {', '.join(str(value) for _, value in choices)}"
    return "a value that its control can hold"
