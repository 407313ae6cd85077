"""How the page looks: gradio's theme, our style sheet and the page's own script."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import gradio as gr

from playground.datasets import DATASETS, Attribute, Dataset

FONTS = ["Pretendard", "Noto Sans KR", "NanumGothic", "system-ui", "sans-serif"]  # all local: the page loads no font


def swatches_class(dataset: Dataset, attribute: Attribute) -> str:
    """The class of a row of buttons, "any" first, that show the colours of an attribute's values."""
    return f"pg-swatches-{dataset.name}-{attribute.name}"


def swatch_rules(datasets: Iterable[Dataset]) -> str:
    """The colour of every such button."""
    return "".join(
        f".{swatches_class(dataset, attribute)} label:nth-of-type({k + 1}) {{ --pg-swatch: {colour}; }}\n"
        for dataset in datasets
        for attribute in dataset.attributes
        for k, colour in enumerate(attribute.colours, 1)
    )


SHEETS = ("page.css", "steer.css")
CSS = "".join((Path(__file__).parent / name).read_text() for name in SHEETS) + swatch_rules(DATASETS.values())
# gradio takes one function: what several tabs share stands at its beginning
JS = "async () => {" + "".join((Path(__file__).parent / name).read_text() for name in ("gif.js", "page.js")) + "}"


def theme() -> gr.themes.Base:
    return gr.themes.Soft(
        primary_hue="indigo", neutral_hue="slate", radius_size="md", font=FONTS, font_mono=["ui-monospace", "monospace"]
    )
