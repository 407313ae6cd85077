"""The tabs in order, the queue and the server's limits; a table of contents."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Sequence
from types import ModuleType

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # before gradio is imported
os.environ.setdefault("GRADIO_ANALYTICS_CACHE_FREQUENCY", "1000")

import gradio as gr
from gradio.components import Component
from gradio.events import Dependency
from PIL import Image
from starlette.middleware import Middleware

from playground import limits
from playground.datasets import Dataset
from playground.device import share_threads
from playground.engine import Engines
from playground.guests import invited, named
from playground.ui import (
    anomaly,
    api,
    augment,
    branch,
    chains,
    change,
    compare,
    diffusion,
    forward,
    gan,
    growth,
    guest,
    hand,
    instant,
    ladder,
    vae,
)
from playground.ui.bodies import SmallBodies
from playground.ui.door import Door
from playground.ui.group import Group, Placed, every, place
from playground.ui.lanes import HELD, LIVE, QUIET, RESTORED, SETTLED, LiveGate
from playground.ui.live import begin
from playground.ui.page import Page
from playground.ui.pages import RightPage, paths_of, restored, said_by, switch
from playground.ui.text import COMMON, Words, attribute_table
from playground.ui.theme import CSS, JS, theme
from playground.zoo import Zoo

INSIDE = Group("inside", ("Inside diffusion", "확산 속으로"), (forward, ladder, branch, hand))
USES = Group("uses", ("What for?", "어디에 쓸까"), (anomaly, augment))
TABS: tuple[ModuleType | Group, ...] = (vae, gan, diffusion, INSIDE, growth, compare, change, USES, chains)


def build(zoo: Zoo) -> gr.Blocks:
    """A page for every data set that has models, the first one at home; their words stand at `demo.words`."""
    datasets = zoo.datasets()
    tables = [guest.TEXT, instant.TEXT, *(guest.titles(zoo.guests(dataset.name)) for dataset in datasets[:1])]
    words = Words(COMMON, *map(attribute_table, datasets), *tables, *(entry.TEXT for entry in every(TABS)))
    gate = LiveGate()  # one for all pages: they share a machine
    demo = Door(title="Generative Playground", delete_cache=(600, 3600))
    demo.words, demo.paths = words, paths_of(datasets)
    for dataset in datasets:
        is_home = dataset is datasets[0]
        with demo if is_home else demo.route(dataset.title["en"], demo.paths[dataset.name]):
            build_page(demo, Page(zoo, dataset, words, gate), is_home)
            if is_home:
                api.register(zoo)
    return demo


def build_page(demo: gr.Blocks, page: Page, is_home: bool) -> None:
    """The page of one data set: header, tabs, and what happens when it is opened."""
    gr.HTML(header(page.words, page.zoo.datasets(), page.dataset))
    notice = gr.HTML(visible=False, elem_id="notice")
    wanted = gr.Textbox(visible=False)  # what a link says of the controls, for the page to see whether it came about
    placed = place(page, TABS, "tabs")
    # at home, a link that names no data set means the recipe's default one
    implied = {} if is_home else {"dataset": page.dataset.name}

    def restore(request: gr.Request) -> dict[Component, object]:
        updates = restored(page, placed, notice, said_by(request.query_params, implied))
        said = {place: updates[control] for place, control in enumerate(controls) if control in updates}
        return {**updates, wanted: json.dumps(said) if said else ""}

    controls = [component for each in placed for component in each.tab.controls.values()]
    rows = list(dict.fromkeys(row for each in placed for row in each.selected))
    opened = demo.load(restore, None, [notice, wanted, *rows, *controls], queue=False, **QUIET)
    there = opened.then(None, js=RESTORED, queue=False, **QUIET)
    there.then(None, [wanted, *controls], controls, js=HELD, queue=False, **QUIET)
    for each in placed:
        draw_when_seen(each, opened, there)


def draw_when_seen(placed: Placed, opened: Dependency, there: Dependency) -> None:
    """A live tab of the first row is drawn at once, and again where a link's values had yet to come to the page; a job,
    and what a group hides, waits until somebody looks."""
    tab = placed.tab
    if tab.ask is not None:  # the first tab of a row is selected as soon as it is there
        looked = placed.panel.select(None, js=SETTLED, **LIVE).then(tab.ask, tab.inputs, tab.outputs, **LIVE)
        looked.then(tab.draw, None, tab.outputs, **tab.options)
    elif placed.is_inner:
        placed.panel.select(None, js=SETTLED, **LIVE).then(tab.draw, tab.inputs, tab.outputs, **tab.options)
    else:
        for known in (opened, there):
            known.then(None, list(tab.controls.values()), None, js=begin(tab.name), queue=False, **QUIET)


def header(words: Words, datasets: Sequence[Dataset], here: Dataset) -> str:
    buttons = "".join(
        f'<button type="button" data-language="{code}">{name}</button>'
        for code, name in (("ko", "한국어"), ("en", "English"))
    )
    # gradio reads a tab's title once and never again: the page's script takes it from here when the language changes
    titles = "".join(
        f'<span data-title-of="tab-{entry.NAME}-button">{words.both(f"tab_{entry.NAME}")}</span>'
        for entry in every(TABS)
    )
    return (
        f'<header class="pg-head"><div class="pg-words"><h1>{words.both("page_title")}</h1>'
        f'<p>{words.both("page_lead")}</p></div><div class="pg-languages">{buttons}</div>'
        f"{switch(words, datasets, here)}<div hidden>{titles}</div></header>"
    )


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
        app_kwargs={"middleware": [Middleware(SmallBodies), Middleware(RightPage, demo.paths)]},
        **options,
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Open the playground over `pretrained/`, with the guests that the command line and the environment name."""
    names = named(arguments)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)  # gradio asks its own server whether it has come up
    share_threads()
    guests = invited(names)
    engines = Engines()
    zoo = Zoo(fit=engines, guests=guests)
    if not zoo.datasets():
        raise SystemExit("There are no models in pretrained/: train one with `python -m playground.training`.")
    demo = build(zoo)
    launch(demo, prevent_thread_lock=True)
    engines.prepare_behind(zoo)  # once the page is there, which must not wait for it
    demo.block_thread()
