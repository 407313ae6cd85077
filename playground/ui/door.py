"""The page's door for hand-made calls: gradio alone answers a value that does not suit its control with nothing at all."""

from __future__ import annotations

from collections.abc import Sequence

import gradio as gr
from gradio.block_function import BlockFunction
from gradio.components import Component
from gradio.state_holder import SessionState

from playground.limits import shown


class Door(gr.Blocks):
    """Blocks that refuse a wrong number of values, and values that a control cannot hold, in a sentence."""

    def validate_inputs(self, block_fn: BlockFunction, inputs: Sequence[object]) -> None:
        if len(inputs) != len(block_fn.inputs):
            raise gr.Error(f"values must be {len(block_fn.inputs)} in number, got {len(inputs)}", print_exception=False)

    async def preprocess_data(
        self, block_fn: BlockFunction, inputs: list, state: SessionState | None, explicit_call: bool = False
    ) -> list:
        self.validate_inputs(block_fn, inputs)
        try:
            return await super().preprocess_data(block_fn, inputs, state, explicit_call)
        except Exception as error:
            raise gr.Error(refusal(block_fn.inputs, inputs), print_exception=False) from error


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
