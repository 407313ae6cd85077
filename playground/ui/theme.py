"""How the page looks: gradio's theme, our style sheet and the page's own script."""

from __future__ import annotations

from pathlib import Path

import gradio as gr

FONTS = ["Pretendard", "Noto Sans KR", "NanumGothic", "system-ui", "sans-serif"]  # all local: the page loads no font
CSS = (Path(__file__).parent / "page.css").read_text()
JS = (Path(__file__).parent / "page.js").read_text()


def theme() -> gr.themes.Base:
    return gr.themes.Soft(
        primary_hue="indigo", neutral_hue="slate", radius_size="md", font=FONTS, font_mono=["ui-monospace", "monospace"]
    )
