"""What every journey through the page asks of it."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable
from urllib.parse import unquote

import numpy as np
from PIL import Image, ImageSequence
from playwright.sync_api import Locator, Page, expect

from playground.recipe import Recipe, from_query

FINISHED = """(place) => {
  const view = document.querySelector(place);
  return view && view.querySelector("a.pg-save") ? view.querySelector("[data-query]").dataset.query : null;
}"""


def pictures(page: Page, tab: str) -> list[bytes]:
    """The bytes of every picture in a tab's result, in order."""
    images = page.locator(f"#{tab}-view img.pg-picture")
    expect(images.first).to_be_visible(timeout=15_000)
    sources = images.evaluate_all("images => images.map((image) => image.src)")
    return [base64.b64decode(source.split(",", 1)[1]) for source in sources]


def shown_recipe(page: Page, tab: str) -> Recipe:
    """The recipe that a tab's "Copy link" button would put into the address."""
    return from_query(query(page, tab))


def query(page: Page, tab: str) -> str:
    button = page.locator(f"#{tab}-view [data-query]")
    expect(button).to_be_visible(timeout=15_000)
    return unquote(button.get_attribute("data-query"))


def finished(page: Page, tab: str, **wanted: object) -> Recipe:
    """Waits until a finished result with these recipe fields is shown; its recipe."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        link = page.evaluate(FINISHED, f"#{tab}-view")
        recipe = link and from_query(link)
        if recipe and all(getattr(recipe, name) == value for name, value in wanted.items()):
            return recipe
        page.wait_for_timeout(50)
    raise AssertionError(f"no result with {wanted}; the status says: {page.locator(f'#{tab}-status').inner_text()}")


def changes(page: Page, tab: str, act: Callable[[], object]) -> list[bytes]:
    """The pictures after `act()` has changed them; fails when they stay as they were."""
    before = pictures(page, tab)
    act()
    deadline = time.monotonic() + 15
    while pictures(page, tab) == before:
        assert time.monotonic() < deadline, "the pictures stayed as they were"
        page.wait_for_timeout(50)
    page.wait_for_timeout(400)  # a later answer may still replace this one
    return pictures(page, tab)


def open_tab(page: Page, tab: str) -> None:
    """Open a tab by its English title, and the group that it stands in before it."""
    for name in (GROUP_OF.get(tab), tab):
        if name is not None:
            page.get_by_role("tab", name=TAB_TITLES[name], exact=True).click()


def choose(page: Page, elem_id: str, words: str) -> None:
    page.locator(f"#{elem_id} label").filter(has_text=words).first.click()


def choose_from_list(page: Page, elem_id: str, words: str) -> None:
    """Choose in a list that opens when it is clicked."""
    page.locator(f"#{elem_id} input").click()
    page.get_by_role("option", name=words, exact=True).click()


def slider(page: Page, elem_id: str) -> Locator:
    return page.locator(f"#{elem_id} input[type=range]")


def kept_gif(page: Page, button: str) -> list[np.ndarray]:
    """The frames of the animation that a button saves, uint8 [h, w, 3] each."""
    with page.expect_download() as download:
        page.locator(button).click()
    with Image.open(download.value.path()) as film:
        assert film.format == "GIF"
        return [np.asarray(frame.convert("RGB")) for frame in ImageSequence.Iterator(film)]


def fits_the_screen(page: Page) -> bool:
    """Whether nothing makes the page scroll sideways."""
    return page.evaluate("document.documentElement.scrollWidth <= window.innerWidth + 1")


TAB_TITLES = {
    "vae": "VAE",
    "gan": "GAN",
    "diffusion": "Diffusion",
    "inside": "Inside diffusion",
    "forward": "Forward process",
    "ladder": "How many steps?",
    "branch": "Rewind and branch",
    "hand": "From your hand",
    "growth": "How they learned",
    "compare": "Compare",
    "change": "Change one thing",
    "uses": "What for?",
    "anomaly": "Anomaly detection",
    "augment": "Data augmentation",
    "chains": "Markov chains → diffusion",
}
GROUPS = {"inside": ("forward", "ladder", "branch", "hand"), "uses": ("anomaly", "augment")}
GROUP_OF = {tab: group for group, tabs in GROUPS.items() for tab in tabs}
