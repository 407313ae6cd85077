"""A visitor's journey back along a run and into its branches, in a real browser."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from urllib.parse import unquote

import pytest
from playwright.sync_api import Locator, expect
from playwright.sync_api import Page as Browser

from playground.recipe import Recipe, from_query
from playground.render import recipe_of
from playground.ui import branch
from playground.zoo import Zoo
from tests.browser import DESKTOP, PHONE
from tests.journey import fits_the_screen, open_tab

Visit = Callable[..., Browser]


def finished(page: Browser, place: str) -> Locator:
    """A run whose picture can be saved."""
    section = page.locator(f"#branch-{place}")
    expect(section.locator("a.pg-save").first).to_be_visible()
    return section


def recipe_in(section: Locator) -> Recipe:
    return from_query(unquote(section.locator("[data-query]").get_attribute("data-query")))


def end_of(section: Locator) -> bytes:
    return base64.b64decode(section.locator(".pg-end img").get_attribute("src").partition(",")[2])


@pytest.mark.parametrize("width", [DESKTOP, PHONE])
def test_a_visitor_rewinds_a_run_and_branches_off(open_page: Visit, width: int) -> None:
    page = open_page(width)
    open_tab(page, "branch")
    trunk, first = finished(page, "trunk"), finished(page, "lane0")
    assert recipe_in(trunk).branch_with == ()
    assert recipe_in(first) == recipe_of(end_of(first))
    assert end_of(trunk) != end_of(first)
    trunk.locator("[data-k]").nth(5).click()
    at = int(trunk.locator("[data-k]").nth(5).get_attribute("data-k"))
    expect(page.locator("#branch-branch-at input[type=range]")).to_have_value(str(at))
    expect(trunk.locator(".pg-chosen")).to_have_attribute("data-k", str(at))
    page.locator("#branch-change [data-label='4']").click()
    page.locator("#branch-go").click()
    second = finished(page, "lane1")
    recipe = recipe_in(second)
    assert (recipe.branch_at, recipe.change, recipe.branch_with) == (at, (0, 4), ("label",))
    assert recipe_in(finished(page, "lane0")).branch_at != at, "the first branch stays"
    expect(second).to_contain_text(f"From step {at}", use_inner_text=True)
    assert fits_the_screen(page)
    page.locator("[data-language=ko]").click()
    expect(second).to_contain_text(f"{at}단계부터", use_inner_text=True)


def test_pixels_painted_on_the_way_make_a_branch_that_a_link_restores(open_page: Visit) -> None:
    page = open_page(query="task=branch&model=ddpm&seed=5&steps=10&branch_at=4&branch_with=paint&guidance_scale=1")
    same = finished(page, "lane0")
    expect(same).to_contain_text("not one pixel differs from the trunk", use_inner_text=True)
    canvas = page.locator("#branch-paint canvas")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    page.mouse.move(box["x"] + 40, box["y"] + 60)
    page.mouse.down()
    page.mouse.move(box["x"] + 200, box["y"] + 66, steps=8)
    page.mouse.up()
    page.wait_for_timeout(500)
    page.locator("#branch-go").click()
    painted = finished(page, "lane1")
    recipe = recipe_in(painted)
    assert recipe.paint
    assert end_of(painted) != end_of(finished(page, "trunk"))
    link = unquote(painted.locator("[data-query]").get_attribute("data-query"))
    other = open_page(PHONE, query=link)
    assert end_of(finished(other, "lane0")) == end_of(painted)


def test_when_it_was_decided_is_found_and_each_cell_is_a_recipe(open_page: Visit) -> None:
    page = open_page(query="task=decide&model=ddpm&seed=5&steps=10&change=0,8&count=11")
    decided = finished(page, "decide")
    images = decided.locator("img.pg-picture")
    expect(images).to_have_count(branch.DECISIONS)
    sources = images.evaluate_all("all => all.map((image) => image.src)")
    recipes = [recipe_of(base64.b64decode(source.partition(",")[2])) for source in sources]
    assert [recipe.branch_at for recipe in recipes] == list(range(11))
    expect(decided.locator("p.pg-lead")).to_contain_text(re.compile("decided|became|become"))


def test_a_mistake_gets_a_sentence_and_stop_stops(open_page: Visit) -> None:
    page = open_page(query="task=branch&model=ddpm&seed=5&steps=50&branch_at=4&branch_with=label&change=0,8")
    stop = page.locator("#branch-stop")
    expect(page.locator("#branch-status .pg-progress")).to_be_visible()
    stop.click()
    expect(page.locator("#branch-status")).to_contain_text(
        re.compile(r"Stopped after step \d+ of 50"), use_inner_text=True
    )
    page.locator("#branch-seed input").fill("-1")
    page.locator("#branch-seed input").press("Tab")
    expect(page.locator("#branch-status .pg-error")).to_contain_text("seed must be a whole number from 0 to 4294967295")
    bad = open_page(query="task=branch&model=ddpm&steps=400")
    expect(bad.locator("#notice")).to_contain_text("steps must be a whole number from 2 to 50")


# ---- without a browser


def test_the_tab_shows_its_own_links_only(tiny_zoo: Zoo) -> None:
    assert branch.shows(from_query("task=branch&model=ddpm"), tiny_zoo)
    assert branch.shows(from_query("task=decide&model=ddpm&count=11&change=0,3"), tiny_zoo)
    assert not branch.shows(from_query("task=edit&model=ddpm"), tiny_zoo)
    with pytest.raises(ValueError, match="count must be"):
        branch.shows(from_query("task=decide&model=ddpm&count=4"), tiny_zoo)


def test_trees_are_few_and_a_visitor_has_one() -> None:
    trees = branch.Trees(most=3)
    trunk, made = (
        Recipe(task="branch", model="ddpm"),
        [Recipe(task="branch", branch_at=k) for k in range(branch.LANES + 1)],
    )
    for name in "abcd":
        trees.plant(name, branch.Tree(trunk, None))
    assert trees.of("a") is None
    assert [trees.lane("d", recipe) for recipe in made] == [*range(branch.LANES), 0]
    assert trees.lane("d", made[2]) == 2
    assert trees.of("c").branches == ()
