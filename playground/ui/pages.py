"""One page a data set: where each stands, the switch between them, and what a link opens."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from urllib.parse import parse_qsl

import gradio as gr
from gradio.components import Component
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from playground import limits
from playground.datasets import Dataset
from playground.generate import as_text
from playground.recipe import from_query
from playground.ui.group import Placed
from playground.ui.page import Page, updates_for
from playground.ui.text import Words, title_key

HOME = ""


def paths_of(datasets: Sequence[Dataset]) -> dict[str, str]:
    """Data set -> path of its page: the first one is at home, every other one under its own name."""
    return {dataset.name: dataset.name if k else HOME for k, dataset in enumerate(datasets)}


def switch(words: Words, datasets: Sequence[Dataset], here: Dataset) -> str:
    """Links from data set to data set, relative so that they hold behind any proxy; nothing where there is one page."""
    if len(datasets) == 1:
        return ""
    links = []
    for dataset in datasets:
        current = ' aria-current="page"' if dataset is here else ""
        address = html.escape(f"./{paths_of(datasets)[dataset.name]}")
        links.append(f'<a href="{address}" data-page{current}>{words.both(title_key(dataset))}</a>')
    return (
        f'<nav class="pg-datasets" aria-labelledby="datasets-title">'
        f'<span id="datasets-title">{words.both("datasets")}</span>{"".join(links)}</nav>'
    )


class RightPage:
    """ASGI: answers a link that speaks of another page's data set with that page's address, before anything is shown."""

    def __init__(self, app: ASGIApp, paths: Mapping[str, str]) -> None:
        self.app = app
        self.paths = paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        address = self.other_address(scope) if scope["type"] == "http" else None
        if address is None:
            await self.app(scope, receive, send)
        else:
            await RedirectResponse(address, status_code=307)(scope, receive, send)

    def other_address(self, scope: Scope) -> str | None:
        """Where a request for a page belongs, relative to it; None where it is right, or no request for a page."""
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        here, query = path.strip("/"), scope["query_string"].decode("latin-1")
        if scope["method"] not in ("GET", "HEAD") or here not in self.paths.values():
            return None
        wanted = self.paths.get(dict(parse_qsl(query)).get("dataset"), here)
        is_folder = here != HOME and path.endswith("/")  # gradio would send it on, but without its query
        if wanted == here and not is_folder:
            return None
        return f"{'../' if is_folder else './'}{wanted}" + (f"?{query}" if query else "")


def said_by(query: Mapping[str, str], implied: Mapping[str, str]) -> dict[str, str]:
    """What a link says of a recipe, without what is for the page or its host; with `implied` if it says anything."""
    said = {name: text for name, text in query.items() if name != "lang" and not name.startswith("__")}
    return {**implied, **said} if said else {}


def restored(page: Page, placed: Sequence[Placed], notice: gr.HTML, said: Mapping[str, str]) -> dict[Component, object]:
    """Every control as the link says; a link that says something impossible opens the usual page with a sentence."""
    if not said:
        return {notice: gr.update(visible=False)}
    try:
        opened, updates = opened_by(page, placed, said)
    except ValueError as refusal:
        sentence = f'<p class="pg-error" role="alert">{page.words.both("link_refused", why=refusal)}</p>'
        return {notice: gr.update(value=sentence, visible=True)}
    return {**{row: gr.Tabs(selected=name) for row, name in opened.selected.items()}, **updates}


def opened_by(page: Page, placed: Sequence[Placed], said: Mapping[str, str]) -> tuple[Placed, dict[Component, object]]:
    """The tab that a link opens, and its controls as the link says."""
    own = next((each for each in placed if each.tab.restore and said.get("task") == each.tab.name), None)
    if own is not None:  # it has a recipe of its own kind
        return own, own.tab.restore(said)
    recipe = from_query(said)
    opened = next((each for each in placed if each.tab.shows(recipe, page.zoo)), None)
    if opened is None:
        raise ValueError(f"no tab here shows the task {recipe.task}")
    limits.one_of("dataset", recipe.dataset, [page.dataset.name])  # another page's is led there before
    return opened, updates_for(opened.tab.controls, as_text(recipe, page.dataset))
