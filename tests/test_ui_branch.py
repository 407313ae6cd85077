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
from playground.ui.page import Page
from playground.ui.text import COMMON, Words, attribute_table
from playground.ui.wishes import Wishes
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


def test_a_mistake_gets_a_sentence(open_page: Visit) -> None:
    page = open_page(query="task=branch&model=ddpm&seed=5&steps=4&branch_at=2&branch_with=label&change=0,8")
    finished(page, "lane0")
    page.locator("#branch-seed input").fill("-1")
    page.locator("#branch-seed input").press("Tab")
    expect(page.locator("#branch-status .pg-error")).to_contain_text("seed must be a whole number from 0 to 4294967295")
    bad = open_page(query="task=branch&model=ddpm&steps=400")
    expect(bad.locator("#notice")).to_contain_text("steps must be a whole number from 2 to 50")


# ---- without a browser


@pytest.fixture
def page(tiny_zoo: Zoo) -> Page:
    dataset = tiny_zoo.datasets()[0]
    return Page(tiny_zoo, dataset, Words(COMMON, attribute_table(dataset), branch.TEXT))


@pytest.mark.parametrize("after", [2, 12, 20])  # in the trunk, and in what comes after it
@pytest.mark.parametrize("asked", ["task=branch&branch_at=3&branch_with=label", "task=decide&count=11"])
def test_stop_ends_the_work_within_one_step(page: Page, asked: str, after: int) -> None:
    recipe = from_query(f"{asked}&model=ddpm&steps=12&seed=4&change=0,8&guidance_scale=1")
    looks: list[int] = []
    unet = page.zoo.open(recipe.dataset, "ddpm").network.unet
    handle = unet.register_forward_hook(lambda *_: looks.append(1))
    wishes, trees = Wishes(), branch.Trees()
    wishes.want("me", recipe)
    last = {}
    try:
        for news in branch.show(page, wishes, trees, "me"):
            last = news or last
            if len(looks) == after:
                wishes.stop("me")
        assert after <= len(looks) <= after + 1
    finally:
        handle.remove()
    if after != 12:  # there it was stopped when the trunk had just ended
        assert "Stopped after step" in last["state"]


def test_a_newer_wish_ends_the_older_one_and_keeps_its_trunk(page: Page) -> None:
    old, new = (
        from_query(f"task=branch&model=ddpm&steps=6&branch_at={k}&branch_with=label&change=0,8") for k in (2, 4)
    )
    wishes, trees = Wishes(), branch.Trees()
    wishes.want("me", old)
    places = set()
    for news in branch.show(page, wishes, trees, "me"):
        places |= set(news)
        if news.get("lane0"):
            wishes.want("me", new)
    assert trees.of("me").trunk == branch.trunk_of(new)
    later = set().union(*branch.show(page, wishes, trees, "me"))
    assert "trunk" in places
    assert later == {"state", "lane1"}, "the same trunk is not walked again"


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
