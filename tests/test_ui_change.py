"""A visitor's journey through the tab that changes one thing, in a real browser; and what its rows say."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser as Chromium
from playwright.sync_api import Locator, expect
from playwright.sync_api import Page as Browser

from playground import edits
from playground.datasets import DATASETS
from playground.recipe import Recipe, from_query
from playground.render import recipe_of
from playground.ui import change
from playground.ui.page import Page
from playground.ui.text import COMMON, Words, attribute_table
from playground.zoo import Zoo
from tests.browser import DESKTOP, PHONE, serving, visiting
from tests.journey import fits_the_screen, open_tab, query, shown_recipe

Visit = Callable[..., Browser]


def finished(page: Browser) -> bytes:
    """Wait for the last row; the picture to save."""
    save = page.locator("#change-view a.pg-save")
    expect(save).to_be_visible()
    return base64.b64decode(save.get_attribute("href").partition(",")[2])


def press(page: Browser, place: int, label: int) -> Locator:
    chip = page.locator(f"#change-change [data-place='{place}'][data-label='{label}']")
    chip.click()
    return chip


def sides(page: Browser, row: str) -> tuple[list[str], list[str]]:
    """The pictures of a row before and after the change."""
    found = [
        page.locator(f"#change-view [data-row='{row}'] img.pg-{side}").evaluate_all("all => all.map((i) => i.src)")
        for side in ("before", "after")
    ]
    return found[0], found[1]


@pytest.mark.parametrize("width", [DESKTOP, PHONE])
def test_a_visitor_presses_what_should_be_different_and_wipes(open_page: Visit, width: int) -> None:
    page = open_page(width)
    open_tab(page, "change")
    finished(page)
    rows = page.locator("#change-view [data-row]").evaluate_all("rows => rows.map((row) => row.dataset.row)")
    assert rows == ["vae-seed", "vae-encoded", "gan-seed", "ddpm-seed", "instant-seed"]
    first = shown_recipe(page, "change")
    old = {row: sides(page, row) for row in rows}
    new = first.change[1] % 10 + 1
    chip = press(page, 0, new)
    expect(chip).to_have_attribute("aria-pressed", "true")
    assert page.locator("#change-change [aria-pressed=true]").count() == 1
    page.wait_for_function(
        f"document.querySelector('#change-view [data-query]').dataset.query.includes('change=0,{new}')"
    )
    saved = finished(page)
    recipe = shown_recipe(page, "change")
    assert recipe.change == (0, new)
    assert recipe_of(saved) == recipe
    for row in rows:
        before, after = sides(page, row)
        assert before == old[row][0], "what was before the change stays"
        assert after != old[row][1]
        assert len(before) == len(after) == (1 if row.endswith("encoded") else recipe.count)
    expect(page.locator("#change-view")).to_contain_text("Pixels changed", use_inner_text=True)
    expect(page.locator("#change-view")).to_contain_text(re.compile(r"\d of 4"), use_inner_text=True)
    assert fits_the_screen(page)
    wipes(page)
    page.locator("[data-language=ko]").click()
    expect(page.locator("#change-view")).to_contain_text("달라진 화소", use_inner_text=True)
    expect(page.locator("#change-view")).not_to_contain_text("Pixels changed", use_inner_text=True)


def shown_share(picture: Locator) -> float:
    """How much of the picture before the change its clip leaves to be seen."""
    clip = picture.evaluate("image => getComputedStyle(image).clipPath")
    box = picture.evaluate("image => image.getBoundingClientRect().width")
    right = re.match(r"inset\(0(?:px)? (.+?) 0(?:px)? 0(?:px)?\)", clip).group(1)
    amounts = re.findall(r"(-?[\d.]+)(%|px)", right)
    total = sum(float(v) / (100 if unit == "%" else box) for v, unit in amounts) if "calc" not in right else None
    if total is None:  # calc(100% - x)
        total = 1 - float(amounts[-1][0]) / (100 if amounts[-1][1] == "%" else box)
    return 1 - total


def wipes(page: Browser) -> None:
    """The slider, the keyboard and a finger move the border in every picture of a row, and in no other row."""
    row, other = (page.locator(f"#change-view [data-row='{name}']") for name in ("gan-seed", "ddpm-seed"))
    slider, pictures = row.locator("[data-wipe]"), row.locator("img.pg-before")
    assert shown_share(pictures.first) == pytest.approx(0.5, abs=0.01)
    slider.fill("80")
    for k in range(pictures.count()):
        assert shown_share(pictures.nth(k)) == pytest.approx(0.8, abs=0.01)
    slider.press("ArrowLeft")
    assert shown_share(pictures.first) == pytest.approx(0.79, abs=0.01)
    wipe = row.locator(".pg-wipe").last
    wipe.scroll_into_view_if_needed()
    box = wipe.bounding_box()
    wipe.click(position={"x": box["width"] * 0.25, "y": box["height"] / 2})
    assert shown_share(pictures.first) == pytest.approx(0.25, abs=0.03)
    assert float(slider.input_value()) == pytest.approx(25, abs=3)
    assert shown_share(other.locator("img.pg-before").first) == pytest.approx(0.5, abs=0.01)


def test_a_link_opens_the_same_change_in_another_browser(open_page: Visit) -> None:
    page = open_page(query="task=change&labels=3&change=0,9&seed=7&count=2&picture=11")
    mine = finished(page)
    recipe = shown_recipe(page, "change")
    assert (recipe.labels, recipe.change, recipe.seed, recipe.count, recipe.picture) == ((3,), (0, 9), 7, 2, 11)
    other = open_page(PHONE, locale="ko-KR", query=query(page, "change"))
    assert finished(other) == mine
    chip = other.locator("#change-change [aria-pressed=true]")
    assert (chip.get_attribute("data-place"), chip.get_attribute("data-label")) == ("0", "9")
    assert other.locator("#change-seed input").input_value() == "7"


def test_a_mistake_gets_a_sentence_and_a_bad_link_too(open_page: Visit) -> None:
    page = open_page(query="task=change&change=0,3&seed=5&count=2")
    finished(page)
    page.locator("#change-seed input").fill("-1")
    page.locator("#change-seed input").press("Tab")
    expect(page.locator("#change-view .pg-error")).to_contain_text("seed must be a whole number from 0 to 4294967295")
    bad = open_page(query="task=change&change=4,1")
    expect(bad.locator("#notice")).to_contain_text("change must be a whole number from 0 to 0")


@pytest.fixture(scope="module")
def coloured(tmp_path_factory: pytest.TempPathFactory, write_tiny_zoo: Callable[..., object]) -> Zoo:
    """Random networks for a data set some of whose values are colours."""
    dataset = next(d for d in DATASETS.values() if any(a.colours for a in d.attributes))
    return Zoo(write_tiny_zoo(tmp_path_factory.mktemp("pretrained"), dataset))


@pytest.fixture(scope="module")
def visit_coloured(coloured: Zoo, chromium: Chromium) -> Iterator[Visit]:
    with serving(coloured) as address, visiting(address, chromium) as visit:
        yield visit


@pytest.mark.parametrize("width", [DESKTOP, PHONE])
def test_colours_are_shown_where_they_are_chosen(visit_coloured: Visit, coloured: Zoo, width: int) -> None:
    (dataset,) = coloured.datasets()
    place = next(k for k, a in enumerate(dataset.attributes) if a.colours)
    wanted = [tuple(int(c[k : k + 2], 16) for k in (1, 3, 5)) for c in dataset.attributes[place].colours]
    page = visit_coloured(width)
    open_tab(page, "change")
    finished(page)
    on_the_board = page.locator(f"#change-change [data-place='{place}'] .pg-swatch").evaluate_all(
        "dots => dots.map((dot) => getComputedStyle(dot).backgroundColor)"
    )
    assert [tuple(map(int, re.findall(r"\d+", colour))) for colour in on_the_board] == wanted
    page.locator("#change-view").scroll_into_view_if_needed()
    assert fits_the_screen(page)
    open_tab(page, "vae")
    in_the_picker = page.locator(f"#vae-labels-{place} label").evaluate_all(
        "all => all.map((l) => getComputedStyle(l.querySelector('span'), '::before').backgroundColor)"
    )
    assert [tuple(map(int, re.findall(r"\d+", colour))) for colour in in_the_picker[1:]] == wanted
    assert fits_the_screen(page)


# ---- without a browser


@pytest.fixture(scope="module")
def page(tiny_zoo: Zoo) -> Page:
    dataset = tiny_zoo.datasets()[0]
    return Page(tiny_zoo, dataset, Words(COMMON, attribute_table(dataset), change.TEXT))


def test_without_a_network_that_reads_only_pixels_are_counted(page: Page) -> None:
    recipe = Recipe(task="change", labels=(2,), change=(0, 3), count=2, steps=2)
    for edit in edits.change(recipe, page.zoo):
        if edit.is_last:
            said = "".join(change.facts(page, edit, recipe.change))
            assert f"{100 * edit.kept.share_changed:.1f}\u00a0%" in said
            assert " of 2" not in said
            faded = change.only_changed(edit)
            assert bool((faded[edit.kept.changed[:, None]] == edit.after[edit.kept.changed[:, None]]).all())
            assert bool((faded[~edit.kept.changed[:, None]] >= 0.7 - 0.3).all())


def test_what_cannot_be_counted_is_said(page: Page) -> None:
    assert "no network yet that reads" in change.glossary(page)


def test_the_tab_shows_its_own_links_only(page: Page) -> None:
    assert change.shows(from_query("task=change&change=0,3"), page.zoo)
    assert not change.shows(from_query("task=compare"), page.zoo)
    with pytest.raises(ValueError, match="count must be"):
        change.shows(from_query("task=change&change=0,3&count=9"), page.zoo)


def test_the_first_wish_changes_something(page: Page) -> None:
    labels, (place, label) = change.first_wish(page)
    assert labels[place] != label
    before, after = edits.both_sides(Recipe(task="change", labels=labels, change=(place, label)), page.zoo)
    assert sum(a != b for a, b in zip(before.labels, after.labels, strict=True)) == 1
