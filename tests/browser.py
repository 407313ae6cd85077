"""A real browser on a real server: fixtures for one journey per tab."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from playground.app import build, launch
from playground.zoo import Zoo

PHONE, DESKTOP = 390, 1440  # CSS pixels
expect.set_options(timeout=60_000)  # a loaded machine is slow, not wrong


@contextmanager
def serving(zoo: Zoo) -> Iterator[str]:
    """The address of all pages over the models of `zoo`, served by this very process."""
    for dataset in zoo.datasets():
        for card in zoo.cards(dataset.name):
            zoo.open(card.dataset, card.model)
    demo = build(zoo)
    _, address, _ = launch(demo, prevent_thread_lock=True, quiet=True)
    yield address
    demo.close()


@pytest.fixture(scope="session")
def server(real_zoo: Zoo) -> Iterator[str]:
    """The address of the playground over the trained weights."""
    with serving(real_zoo) as address:
        yield address


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        options = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=options)
        yield browser
        browser.close()


@pytest.fixture
def open_page(server: str, chromium: Browser) -> Iterator[Callable[..., Page]]:
    """The pages over the trained weights, as `visiting` opens them."""
    with visiting(server, chromium) as visit:
        yield visit


@contextmanager
def visiting(server: str, chromium: Browser) -> Iterator[Callable[..., Page]]:
    """width, locale, query, path -> a page in a browser of its own; in the end nothing may have gone wrong or away."""
    contexts, wrongs = [], []

    def watch(page: Page) -> None:
        page.on("pageerror", lambda error: wrongs.append(str(error)))
        page.on("request", lambda r: None if r.url.startswith((server, "data:", "blob:")) else wrongs.append(r.url))

    def visit(width: int = DESKTOP, locale: str = "en-US", query: str = "", path: str = "") -> Page:
        context = chromium.new_context(
            locale=locale, viewport={"width": width, "height": 900}, has_touch=width < 500, accept_downloads=True
        )
        contexts.append(context)
        page = context.new_page()
        watch(page)
        page.goto(f"{server}{path}?{query}" if query else f"{server}{path}")
        return page

    yield visit
    for context in contexts:
        context.close()
    assert wrongs == []
