"""The Stop button of the tabs inside diffusion, pressed in a real browser: the work ends within one step."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from types import ModuleType

import pytest
from playwright.sync_api import Browser, Page, expect

from playground.generate import Frame, generate
from playground.recipe import Recipe
from playground.ui import branch, hand
from playground.ui.wishes import Wishes
from playground.zoo import Zoo
from tests.browser import serving, visiting

Visit = Callable[..., Page]
PACE_S = 0.2


@pytest.fixture(scope="module")
def address(tiny_zoo: Zoo) -> Iterator[str]:
    with serving(tiny_zoo) as served:
        yield served


@pytest.fixture
def open_tiny_page(address: str, chromium: Browser) -> Iterator[Visit]:
    with visiting(address, chromium) as visit:
        yield visit


@pytest.mark.parametrize(
    ("module", "query"),
    [
        (branch, "task=branch&model=ddpm&steps=50&seed=3"),  # stopped on the trunk
        (branch, "task=decide&model=ddpm&steps=5&seed=3&count=11&change=0,3"),  # stopped after the trunk
        (hand, "task=edit&model=ddpm&steps=50&strength=1.0&seed=3&count=2"),
        (hand, "task=blend&model=ddpm&steps=50&seed=3&seed_to=8&count=4"),
    ],
)
def test_stop_ends_the_work_within_one_step_and_what_follows_is_drawn(
    open_tiny_page: Visit, monkeypatch: pytest.MonkeyPatch, module: ModuleType, query: str
) -> None:
    made: list[Recipe] = []
    at_stop: list[int] = []

    def slowly(recipe: Recipe, zoo: Zoo) -> Iterator[Frame]:
        for frame in generate(recipe, zoo):
            time.sleep(PACE_S)
            made.append(recipe)
            yield frame

    stop = Wishes.stop
    monkeypatch.setattr(module, "generate", slowly)
    monkeypatch.setattr(Wishes, "stop", lambda *args: (at_stop.append(len(made)), stop(*args))[1])
    page = open_tiny_page(query=query)
    task = Recipe(task=query.split("&")[0].partition("=")[2]).task
    deadline = time.monotonic() + 60
    while not any(recipe.task == task for recipe in made) and time.monotonic() < deadline:
        page.wait_for_timeout(50)
    status = page.locator(f"#{module.NAME}-status")
    expect(status).to_contain_text("t =", use_inner_text=True)
    page.locator(f"#{module.NAME}-stop").click()
    expect(status).to_contain_text("Stopped after step", use_inner_text=True)
    page.wait_for_timeout(1000 * 3 * PACE_S)
    assert len(made) - at_stop[0] <= 1
    unfinished = "#branch-decide" if task == "decide" else f"#{module.NAME}-view"
    expect(page.locator(f"{unfinished} a.pg-save")).to_have_count(0)

    monkeypatch.setattr(module, "generate", generate)
    page.locator(f"#{module.NAME}-seed input").fill("4")
    page.locator(f"#{module.NAME}-seed input").press("Tab")
    expect(page.locator(f"#{module.NAME}-view a.pg-save").first).to_be_visible()
    expect(status).to_contain_text("Done.", use_inner_text=True)
