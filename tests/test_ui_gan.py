"""A visitor's journey through the GAN tab, in a real browser."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from playground.generate import last
from playground.zoo import Zoo
from tests.browser import DESKTOP, PHONE
from tests.journey import changes, choose, fits_the_screen, open_tab, pictures, query, shown_recipe, slider

Visit = Callable[..., Page]


@pytest.mark.parametrize("width", [DESKTOP, PHONE])
def test_the_police_judges_every_picture_and_directions_move_them(open_page: Visit, width: int) -> None:
    page = open_page(width)
    open_tab(page, "gan")
    pictures(page, "gan")
    view = page.locator("#gan-view")
    expect(view.locator(".pg-meter")).to_have_count(8)
    choose(page, "gan-labels-0", "7")
    expect(page.locator("#gan-labels-0 input:checked")).to_have_value("8")
    changes(page, "gan", lambda: slider(page, "gan-shifts-0").press("ArrowRight"))
    changes(page, "gan", lambda: slider(page, "gan-truncation-psi").fill("0.3"))
    recipe = shown_recipe(page, "gan")
    assert (recipe.labels, recipe.truncation_psi, recipe.shifts) == ((8,), 0.3, (0.05,))
    chance = last(recipe, Zoo()).realness[0]
    expect(view.locator("figcaption").first).to_contain_text(f"{100 * chance:.0f} %")
    assert fits_the_screen(page)


LINES = """text => {
  const range = document.createRange(), walker = document.createTreeWalker(text, NodeFilter.SHOW_TEXT), lines = {};
  for (let node = walker.nextNode(); node; node = walker.nextNode())
    for (let k = 0; k < node.length; k++) {
      range.setStart(node, k); range.setEnd(node, k + 1);
      const box = range.getBoundingClientRect();
      if (box.width) lines[Math.round(box.bottom)] = (lines[Math.round(box.bottom)] ?? "") + node.data[k];
    }
  return Object.values(lines);
}"""  # the text as it stands, line by line


def test_korean_lines_end_between_words_and_a_lone_picture_says_what_its_number_is(open_page: Visit) -> None:
    page = open_page(PHONE, locale="ko-KR", query="model=gan&seed=7&count=8")
    captions = page.locator("#gan-view figcaption")
    expect(captions).to_have_count(8)
    chances = last(shown_recipe(page, "gan"), Zoo()).realness
    for caption, chance in zip(captions.all(), chances, strict=True):
        assert caption.evaluate(LINES)[1].endswith(f" {100 * chance:.0f}\u00a0%")
    lead = page.locator("#tab-gan .pg-lead, .pg-lead").filter(has_text="위조범").first
    words, lines = lead.inner_text().split(), lead.evaluate(LINES)
    assert len(lines) > 2
    assert [word for line in lines for word in line.split()] == words, "no word stands on two lines"
    page.goto(page.url.split("?")[0] + "?model=gan&seed=7&count=1")
    expect(page.locator("#gan-view figcaption")).to_have_count(1)
    expect(page.locator("#gan-view figcaption")).to_contain_text("진짜보다 진짜 같아 보일 확률")


def test_a_link_gives_the_same_bytes_in_another_browser(open_page: Visit) -> None:
    page = open_page(query="model=gan&labels=4&seed=99&count=3&shifts=1.5,-2.0&truncation_psi=0.8")
    expect(page.locator("#gan-view .pg-meter")).to_have_count(3)
    mine = pictures(page, "gan")
    assert page.locator("#gan-seed input").input_value() == "99"
    other = open_page(locale="ko-KR", query=query(page, "gan"))
    expect(other.locator("#gan-view .pg-meter")).to_have_count(3)
    assert pictures(other, "gan") == mine
    assert other.locator("#gan-shifts-1 input[type=number]").input_value() == "-2"


@pytest.mark.parametrize("width", [DESKTOP, PHONE])
def test_your_own_counterfeit_is_judged(open_page: Visit, width: int) -> None:
    page = open_page(width)
    open_tab(page, "gan")
    pictures(page, "gan")
    choose(page, "gan-task", "Show the police a picture")
    canvas = page.locator("#gan-drawing canvas")
    expect(canvas).to_be_visible()
    expect(page.locator("#gan-view .pg-meter")).to_have_count(1)
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()

    def scribble() -> None:
        page.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 0.2 * box["height"])
        page.mouse.down()
        page.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 0.8 * box["height"], steps=5)
        page.mouse.up()

    changes(page, "gan", scribble)
    assert shown_recipe(page, "gan").drawing
    changes(page, "gan", page.locator("#gan-drawing [data-clear]").click)
    assert not shown_recipe(page, "gan").drawing


def test_a_walk_between_two_seeds_begins_and_ends_at_them(open_page: Visit) -> None:
    page = open_page(query="model=gan&task=walk&labels=3&seed=5&seed_to=6&count=6")
    expect(page.locator("#gan-view .pg-strip img")).to_have_count(6)
    strip = pictures(page, "gan")[1:]
    assert len(set(strip)) == 6
