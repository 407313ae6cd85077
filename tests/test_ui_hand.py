"""A visitor's journey with a picture of their own: noised and cleaned, with a hole, and walked; in a real browser."""

from __future__ import annotations

import io
import re
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page as Browser
from playwright.sync_api import expect

from playground.drawing import unpack_mask
from playground.recipe import from_query
from playground.render import recipe_of
from playground.ui import hand
from playground.zoo import Zoo
from tests.browser import DESKTOP, PHONE
from tests.journey import choose, fits_the_screen, open_tab, pictures, query, shown_recipe

Visit = Callable[..., Browser]


def finished(page: Browser) -> list[bytes]:
    expect(page.locator("#hand-view a.pg-save").first).to_be_visible()
    return pictures(page, "hand")


def again(page: Browser, act: Callable[[], object]) -> list[bytes]:
    """The finished pictures after `act()` has begun another run."""
    link = query(page, "hand")
    act()
    page.wait_for_function(
        "old => { const b = document.querySelector('#hand-view [data-query]'); return b && b.dataset.query !== old"
        " && document.querySelector('#hand-view a.pg-save'); }",
        arg=page.locator("#hand-view [data-query]").get_attribute("data-query") or link,
        timeout=60_000,
    )
    return finished(page)


def drag(page: Browser, canvas_id: str) -> None:
    """A stroke over the upper part of a canvas."""
    canvas = page.locator(f"#{canvas_id} canvas")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    page.mouse.move(box["x"] + 0.3 * box["width"], box["y"] + 0.3 * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + 0.7 * box["width"], box["y"] + 0.35 * box["height"], steps=8)
    page.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 0.7 * box["height"], steps=8)
    page.mouse.up()


def pixels(png: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(png)) as image:
        return np.asarray(image.convert("L"))


@pytest.mark.parametrize("width", [DESKTOP, PHONE])
def test_a_drawing_is_made_again_a_hole_is_filled_and_noise_is_walked(open_page: Visit, width: int) -> None:
    page = open_page(width)
    open_tab(page, "hand")
    first = finished(page)
    assert len(first) == 2 + 4
    assert recipe_of(first[2]) == shown_recipe(page, "hand")
    drawn = again(page, lambda: drag(page, "hand-drawing"))
    assert shown_recipe(page, "hand").drawing
    assert drawn[0] != first[0]
    expect(page.locator("#hand-view")).to_contain_text("differs by", use_inner_text=True)
    assert fits_the_screen(page)

    choose(page, "hand-task", "Fill a hole")
    expect(page.locator("#hand-status")).to_contain_text("Paint over a part of the picture", use_inner_text=True)
    holed = again(page, lambda: drag(page, "hand-mask"))
    given, hole = pixels(holed[0]), pixels(holed[1])
    recipe = shown_recipe(page, "hand")
    assert (recipe.task, recipe.sampler) == ("inpaint", "ddpm")
    mask = unpack_mask(recipe.mask, (1, *given.shape))[0, 0].numpy()
    assert 0 < mask.mean() < 0.9
    assert np.array_equal(hole[~mask], given[~mask])
    for made in holed[2:]:
        assert np.array_equal(pixels(made)[~mask], given[~mask])
        assert not np.array_equal(pixels(made)[mask], given[mask])
    assert fits_the_screen(page)

    walked = again(page, lambda: choose(page, "hand-task", "Walk or double exposure"))
    num = len(walked) // 2
    assert num == shown_recipe(page, "hand").count
    assert (walked[0], walked[num - 1]) == (walked[num], walked[-1]), "both rows have the same ends"
    assert walked[1 : num - 1] != walked[num + 1 : -1]
    assert fits_the_screen(page)
    page.locator("[data-language=ko]").click()
    expect(page.locator("#hand-view")).to_contain_text("이중 노출", use_inner_text=True)


def test_a_link_opens_the_same_pictures_in_another_browser(open_page: Visit) -> None:
    page = open_page(query="task=edit&model=ddpm&picture=7&strength=0.5&seed=9&count=2&steps=10")
    mine = finished(page)
    other = open_page(PHONE, locale="ko-KR", query=query(page, "hand"))
    assert finished(other) == mine
    scrub = other.locator("#hand-view [data-scrub] input[type=range]")
    scrub.fill("0")
    expect(other.locator("#hand-view [data-scrub] [data-step]")).to_have_text("1")


def test_a_mistake_gets_a_sentence(open_page: Visit) -> None:
    page = open_page(query="task=edit&model=ddpm&seed=5&count=2&steps=4")
    finished(page)
    page.locator("#hand-seed input").fill("-1")
    page.locator("#hand-seed input").press("Tab")
    expect(page.locator("#hand-status .pg-error")).to_contain_text("seed must be a whole number from 0 to 4294967295")
    bad = open_page(query="task=edit&model=ddpm&strength=2")
    expect(bad.locator("#notice")).to_contain_text(re.compile("strength must be a number from 0 to 1"))


def test_the_tab_shows_its_own_links_only(tiny_zoo: Zoo) -> None:
    for task in hand.TASKS:
        assert hand.shows(from_query(f"task={task}&model=ddpm"), tiny_zoo)
    assert not hand.shows(from_query("task=branch&model=ddpm"), tiny_zoo)
    with pytest.raises(ValueError, match="steps must be"):
        hand.shows(from_query("task=edit&model=ddpm&steps=900"), tiny_zoo)
