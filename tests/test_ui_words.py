"""A visitor's word, typed in a real browser and written by every family with trained weights."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from playground.recipe import from_query
from playground.render import recipe_of
from tests.browser import DESKTOP, PHONE
from tests.journey import changes, choose, choose_from_list, fits_the_screen, open_tab, pictures, query, shown_recipe

Visit = Callable[..., Page]
NAME = "김하늘"
PATH = "hangul"


def words_in(page: Page, tab: str) -> list[tuple[int, int]]:
    """Width and height of every word that a tab shows, in the networks' own pixels."""
    images = page.locator(f"#{tab}-view img.pg-word")
    return [tuple(size) for size in images.evaluate_all("all => all.map((i) => [i.naturalWidth, i.naturalHeight])")]


def write(page: Page, tab: str, word: str) -> None:
    page.locator(f"#{tab}-text textarea").fill(word)


@pytest.mark.parametrize("width", [DESKTOP, PHONE])
@pytest.mark.parametrize("tab", ["vae", "gan"])
def test_a_name_is_written_in_many_hands_as_it_is_typed(open_page: Visit, tab: str, width: int) -> None:
    page = open_page(width, path=PATH)
    open_tab(page, tab)
    pictures(page, tab)
    changes(page, tab, lambda: write(page, tab, NAME))
    assert words_in(page, tab) == [(3 * 32, 32)] * 8
    recipe = shown_recipe(page, tab)
    assert (recipe.text, recipe.labels, recipe.count) == (NAME, (), 8)
    changes(page, tab, lambda: choose_from_list(page, f"{tab}-labels-3", "Nanum Pen Script"))
    assert shown_recipe(page, tab).labels == (0, 0, 0, 11)
    assert fits_the_screen(page)


def test_half_a_syllable_waits_and_what_is_not_hangul_gets_a_sentence(open_page: Visit) -> None:
    page = open_page(path=PATH)
    open_tab(page, "gan")
    before = pictures(page, "gan")
    write(page, "gan", "ㄱ")
    page.wait_for_timeout(600)
    assert pictures(page, "gan") == before
    changes(page, "gan", lambda: write(page, "gan", "긷ㅎ"))
    assert words_in(page, "gan") == []  # one syllable, so far: a picture as high as it is wide
    write(page, "gan", "hello")
    expect(page.locator("#gan-view [role=alert]")).to_contain_text("text must be whole Hangul syllables such as 한글")
    write(page, "gan", "가나다라마바사아자차카타파")
    expect(page.locator("#gan-view [role=alert]")).to_contain_text("text must be 1 to 12 Hangul syllables, got 13")
    write(page, "gan", "다시")
    expect(page.locator("#gan-view img.pg-word")).to_have_count(8)


def test_the_page_says_when_a_syllable_was_never_in_training(open_page: Visit) -> None:
    page = open_page(path=PATH, locale="ko-KR")
    open_tab(page, "gan")
    pictures(page, "gan")
    note = page.locator("#gan-view .pg-note", has_text="이 글자를 통째로 본 적이 없습니다")
    expect(note).to_have_count(0)
    write(page, "gan", "견뷁가힣")  # held out whole, known, known, outside the standard
    expect(note).to_contain_text("견")
    expect(note).to_contain_text("힣")
    expect(note).not_to_contain_text("가:")


@pytest.mark.parametrize("tab", ["vae", "gan"])
def test_a_walk_goes_from_hand_to_hand_while_the_word_stays(open_page: Visit, tab: str) -> None:
    page = open_page(path=PATH, query=f"model={tab}&task=walk&text={NAME}&seed=3&seed_to=9&count=5")
    expect(page.locator(f"#{tab}-view .pg-film")).to_be_visible()
    strip = page.locator(f"#{tab}-view .pg-strip img.pg-word")
    expect(strip).to_have_count(5)
    page.wait_for_timeout(400)  # an answer to a part of the link may still come before the whole one
    expect(strip).to_have_count(5)
    assert len(set(strip.evaluate_all("all => all.map((i) => i.src)"))) == 5
    assert page.locator(f"#{tab}-text textarea").input_value() == NAME


@pytest.mark.parametrize("width", [DESKTOP, PHONE])
def test_diffusion_writes_the_word_step_by_step(open_page: Visit, width: int) -> None:
    page = open_page(width, path=PATH, query=f"model=ddpm&text={NAME}&count=2&steps=4&seed=5")
    expect(page.locator("#diffusion-view a.pg-save")).to_be_visible(timeout=30_000)
    expect(page.locator("#diffusion-view .pg-grid img.pg-word")).to_have_count(2)
    box = page.locator("#diffusion-view .pg-cell").first.bounding_box()
    assert box["width"] / box["height"] == pytest.approx(3, abs=0.1)
    expect(page.locator("#diffusion-cost")).to_contain_text("× 6 =")
    assert shown_recipe(page, "diffusion").text == NAME
    assert fits_the_screen(page)


@pytest.mark.parametrize("width", [DESKTOP, PHONE])
def test_every_model_writes_a_name_and_the_card_can_be_kept(open_page: Visit, width: int, tmp_path: Path) -> None:
    page = open_page(width, path=PATH, locale="ko-KR")
    pictures(page, "vae")
    page.get_by_role("tab", name="비교").click()
    expect(page.locator("#compare-view a.pg-save")).to_be_visible(timeout=30_000)
    write(page, "compare", NAME)
    expect(page.locator("#compare-view a.pg-save")).to_have_count(0)
    expect(page.locator("#compare-view a.pg-save")).to_be_visible(timeout=30_000)
    assert words_in(page, "compare") == [(3 * 32, 32)] * 12, "the student of few steps writes, too"
    with page.expect_download() as download:
        page.locator("#compare-view a.pg-save").click()
    download.value.save_as(tmp_path / "card.png")
    card = (tmp_path / "card.png").read_bytes()
    assert recipe_of(card) == from_query(query(page, "compare"))
    assert recipe_of(card).text == NAME
    assert Image.open(io.BytesIO(card)).width >= 3 * 128
    assert fits_the_screen(page)


def test_a_drawn_syllable_is_judged_as_the_first_one_of_the_word(open_page: Visit) -> None:
    page = open_page(path=PATH)
    open_tab(page, "gan")
    pictures(page, "gan")
    choose(page, "gan-task", "Show the police a picture")
    canvas = page.locator("#gan-drawing canvas")
    expect(canvas).to_be_visible()
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    page.mouse.move(box["x"] + 0.3 * box["width"], box["y"] + 0.3 * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + 0.7 * box["width"], box["y"] + 0.7 * box["height"], steps=4)
    page.mouse.up()
    expect(page.locator("#gan-view [data-query*='drawing=']")).to_be_visible()
    assert shown_recipe(page, "gan").text == "한"
