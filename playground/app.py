"""The tabs in order, the queue and the server's limits; a table of contents."""

from __future__ import annotations

import logging
import os
from types import ModuleType

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # before gradio is imported
os.environ.setdefault("GRADIO_ANALYTICS_CACHE_FREQUENCY", "1000")

import gradio as gr
from gradio.components import Component
from PIL import Image

from playground import limits
from playground.device import share_threads
from playground.recipe import from_query
from playground.ui import api, compare, diffusion, gan, vae
from playground.ui.door import Door
from playground.ui.lanes import LIVE
from playground.ui.page import Page, Tab, updates_for
from playground.ui.text import COMMON, Words, attribute_table
from playground.ui.theme import CSS, JS, theme
from playground.zoo import Zoo

log = logging.getLogger(__name__)

TABS: tuple[ModuleType, ...] = (vae, gan, diffusion, compare)
LINK_FIELDS_TO_IGNORE = {"lang", "__theme"}


def build(zoo: Zoo) -> gr.Blocks:
    """The whole page over the models of `zoo`; its words stand at `demo.words`."""
    dataset = zoo.datasets()[0]
    words = Words(COMMON, attribute_table(dataset), *(module.TEXT for module in TABS))
    page = Page(zoo, dataset, words)
    with Door(title="Generative Playground", delete_cache=(600, 3600)) as demo:
        gr.HTML(header(words))
        notice = gr.HTML(visible=False, elem_id="notice")
        tabs: list[Tab] = []
        panels: list[gr.Tab] = []
        with gr.Tabs(elem_id="tabs") as selector:
            for module in TABS:
                if not module.can_show(page):
                    log.warning("no model for the %s tab", module.NAME)
                    continue
                with gr.Tab(words.label(f"tab_{module.NAME}"), id=module.NAME, elem_id=f"tab-{module.NAME}") as panel:
                    tabs.append(module.build(page))
                    panels.append(panel)

        def restore(request: gr.Request) -> dict[Component, object]:
            return restored(page, tabs, selector, notice, dict(request.query_params))

        controls = [component for tab in tabs for component in tab.controls.values()]
        opened = demo.load(restore, None, [selector, notice, *controls], queue=False, api_visibility="private")
        for tab, panel in zip(tabs, panels, strict=True):
            if tab.ask is None:
                opened.then(tab.draw, tab.inputs, tab.outputs, **tab.options)
            else:  # a job waits until somebody looks
                looked = opened.then if tab is tabs[0] else panel.select
                looked(tab.ask, tab.inputs, tab.outputs, **LIVE).then(tab.draw, None, tab.outputs, **tab.options)
        api.register(zoo)
    demo.words = words
    return demo


def header(words: Words) -> str:
    buttons = "".join(
        f'<button type="button" data-language="{code}">{name}</button>'
        for code, name in (("ko", "한국어"), ("en", "English"))
    )
    return (
        f'<header class="pg-head"><div class="pg-words"><h1>{words.both("page_title")}</h1>'
        f'<p>{words.both("page_lead")}</p></div><div class="pg-languages">{buttons}</div></header>'
    )


def restored(page: Page, tabs: list[Tab], selector: gr.Tabs, notice: gr.HTML, query: dict[str, str]) -> dict:
    """Every control as the link says; a link that says something impossible opens the usual page with a sentence."""
    query = {name: text for name, text in query.items() if name not in LINK_FIELDS_TO_IGNORE}
    if not query:
        return {notice: gr.update(visible=False)}
    try:
        recipe = from_query(query)
        tab = next((tab for tab in tabs if tab.shows(recipe, page.zoo)), None)
        if tab is None:
            raise ValueError(f"no tab here shows the task {recipe.task}")
    except ValueError as refusal:
        sentence = f'<p class="pg-error" role="alert">{page.words.both("link_refused", why=refusal)}</p>'
        return {notice: gr.update(value=sentence, visible=True)}
    return {selector: gr.Tabs(selected=tab.name), **updates_for(tab.controls, recipe)}


def launch(demo: gr.Blocks, **options: object) -> tuple:
    """Serve the page: loopback unless the host says otherwise, no share link, public only what is meant to be."""
    Image.MAX_IMAGE_PIXELS = limits.MAX_PIXELS
    demo.queue(max_size=limits.MAX_QUEUE, api_open=False, default_concurrency_limit=2)
    return demo.launch(
        theme=theme(),
        css=CSS,
        js=JS,
        i18n=demo.words.i18n,
        run_history=False,
        show_error=False,
        ssr_mode=False,
        enable_monitoring=False,
        max_file_size=limits.MAX_UPLOAD,
        max_threads=16,
        state_session_capacity=limits.MAX_SESSIONS,
        footer_links=["api", "settings"],
        pwa=False,
        share=False,
        **options,
    )


def main() -> None:
    """Open the playground over `pretrained/`."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    share_threads()
    zoo = Zoo()
    if not zoo.datasets():
        raise SystemExit("There are no models in pretrained/: train one with `python -m playground.training`.")
    launch(build(zoo))
