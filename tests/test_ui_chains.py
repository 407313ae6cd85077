"""A visitor's journey from Markov chains to diffusion, in a real browser; and what the tab's handlers answer."""

from __future__ import annotations

import itertools
import math
import re
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace

import gradio as gr
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from playwright.sync_api import Browser as Chromium
from playwright.sync_api import Page as Browser
from playwright.sync_api import expect

from playground import limits
from playground.plane.learning import LEARNERS, Trainings
from playground.plane.recipe import PlaneRecipe, from_link, to_link
from playground.plane.walks import METHODS, diagnosis, walk
from playground.ui import chains
from playground.ui.chains_words import TEXT
from playground.ui.page import Page, Tab
from playground.ui.text import COMMON, Words
from playground.ui.wishes import Wishes
from playground.zoo import Zoo
from tests.browser import DESKTOP, PHONE, serving, visiting
from tests.journey import fits_the_screen, kept_gif, open_tab, query, slider

Visit = Callable[..., Browser]
FEW = "task=chains&start=-2.6,-2.6&chains=20&steps=60&updates=30"


@pytest.fixture(scope="module")
def visit(tiny_zoo: Zoo, chromium: Chromium) -> Iterator[Visit]:
    with serving(tiny_zoo) as address, visiting(address, chromium) as opened:
        yield opened


def linked(page: Browser) -> PlaneRecipe:
    """The recipe that "Copy link" would put into the address."""
    pairs = (pair.partition("=") for pair in query(page, "chains").split("&"))
    return from_link({name: text for name, _, text in pairs})


def painted(page: Browser, panel: str, kind: str = "data-plane") -> bytes:
    return page.locator(f"#chains-{panel} canvas[{kind}]").evaluate("c => c.toDataURL()").encode()


def held(page: Browser) -> int:
    """Stop the walks; the step they stand at."""
    player = page.locator("[data-player=walk]")
    expect(player.locator("[data-total]")).not_to_have_text("0")
    if player.locator("[data-play]").get_attribute("aria-pressed") == "true":
        player.locator("[data-play]").click()
    return int(player.locator("[data-at]").inner_text())


def drawn(page: Browser) -> dict[str, bytes]:
    """What every walk's picture shows now, by method."""
    return {method: painted(page, f"walk-{method}") for method in METHODS}


def changed_since(page: Browser, before: dict[str, bytes]) -> set[str]:
    return {method for method, picture in drawn(page).items() if picture != before[method]}


def wait_until_changed(page: Browser, before: dict[str, bytes], methods: set[str]) -> None:
    """Until these walks' pictures are others: each panel takes up its own answer, one after the other."""
    deadline = time.monotonic() + 15
    while not methods <= changed_since(page, before):
        assert time.monotonic() < deadline, f"of {methods} only {changed_since(page, before)} changed"
        page.wait_for_timeout(50)


def learnt(page: Browser) -> None:
    expect(page.locator("#chains-status")).to_contain_text("Learnt.", use_inner_text=True)


# ---- in a browser


@pytest.mark.parametrize("width", [DESKTOP, PHONE])
def test_a_visitor_watches_the_chains_and_steps_by_hand(visit: Visit, width: int) -> None:
    page = visit(width)
    open_tab(page, "chains")
    expect(page.locator("#chains-view [data-query]")).to_be_visible()
    recipe = linked(page)
    assert recipe == chains.FIRST
    at = page.locator("[data-player=walk] [data-at]")
    expect(at).not_to_have_text("0")  # it plays by itself
    held(page)
    page.locator("[data-player=walk] [data-range]").fill("10")
    expect(at).to_have_text("10")
    before = {method: painted(page, f"walk-{method}") for method in METHODS if method != "learned"}
    assert len(set(before.values())) == len(before)
    page.locator("[data-player=walk] [data-forth]").click()
    expect(at).to_have_text("11")
    assert all(painted(page, f"walk-{method}") != picture for method, picture in before.items())
    page.locator("[data-player=walk] [data-back]").click()
    assert all(painted(page, f"walk-{method}") == picture for method, picture in before.items())
    finished = walk(recipe, "metropolis")
    found = diagnosis(finished)
    said = page.locator("#chains-facts-metropolis")
    expect(said).to_contain_text(f"accepted {100 * finished.is_accepted.mean():.0f} %", use_inner_text=True)
    expect(said).to_contain_text(f"worth {found.effective:,.0f} independent", use_inner_text=True)
    expect(said).to_contain_text(f"R̂ = {found.r_hat:.2f}", use_inner_text=True)
    strip = painted(page, "walk-langevin", "data-under")
    for name in ("autocorrelation", "distance"):
        page.locator(f"[data-player=walk] [data-strip={name}]").click()
        expect(page.locator(f"#chains-walk-langevin [data-of={name}]")).to_be_visible()
        assert painted(page, "walk-langevin", "data-under") != strip
    assert fits_the_screen(page)
    page.locator("[data-language=ko]").click()
    expect(said).to_contain_text("받아들임", use_inner_text=True)
    expect(page.locator("#tab-chains .pg-terms")).to_contain_text("유효 표본 크기", use_inner_text=True)
    expect(page.locator("#tab-chains .pg-terms")).not_to_contain_text("effective", use_inner_text=True)


def test_a_click_into_a_picture_moves_the_start_and_a_slider_only_its_own_chain(visit: Visit) -> None:
    page = visit(query=FEW)
    learnt(page)
    held(page)
    page.locator("[data-player=walk] [data-range]").fill("0")
    plane = page.locator("#chains-walk-langevin canvas[data-plane]")
    side = plane.bounding_box()["width"]
    before = drawn(page)
    plane.click(position={"x": side * 0.75, "y": side * 0.25})
    expect(page.locator("#chains-view [data-query*='start=1.']")).to_be_visible()
    assert np.allclose(linked(page).start, (limits.MAX_PLANE / 2, limits.MAX_PLANE / 2), atol=0.05)
    wait_until_changed(page, before, set(METHODS))
    page.locator("[data-player=walk] [data-range]").fill("30")
    before = drawn(page)
    slider(page, "chains-levels").fill("3")
    expect(page.locator("#chains-view [data-query*='levels=3']")).to_be_visible()
    wait_until_changed(page, before, {"annealed"})
    page.wait_for_timeout(300)  # any other would have followed
    assert changed_since(page, before) == {"annealed"}
    page.locator("#chains-start [data-noise]").click()
    expect(page.locator("#chains-view [data-query*='start']")).to_have_count(0)


@pytest.mark.parametrize("width", [DESKTOP, PHONE])
def test_networks_learn_live_and_the_last_chain_asks_one_of_them(visit: Visit, width: int) -> None:
    page = visit(width, query=f"{FEW}&seed={width}")
    expect(page.locator("#chains-view [data-query]")).to_be_visible()
    learnt(page)
    expect(page.locator("#chains-walk-learned .pg-empty")).to_have_count(0)
    expect(page.locator("[data-player=learn] [data-at]")).to_have_text("30")
    pictures = {name: painted(page, f"learn-{name}") for name in LEARNERS}
    assert len(set(pictures.values())) == len(LEARNERS)
    page.locator("#chains-lesson-collapse").click()
    expect(page.locator("#chains-view [data-query*='lr_generator=0.01']")).to_be_visible()
    page.wait_for_timeout(500)
    learnt(page)
    assert linked(page).lr_discriminator == 0.0001
    page.locator("[data-player=learn] [data-range]").fill("30")
    changed = {name for name in LEARNERS if painted(page, f"learn-{name}") != pictures[name]}
    assert changed == {"gan"}, "only what depends on it learns anew"
    assert fits_the_screen(page)


def test_stop_stops_the_lesson(visit: Visit) -> None:
    page = visit(query="task=chains&chains=5&steps=20&updates=4000&seed=77")
    expect(page.locator("#chains-status .pg-progress")).to_be_visible()
    page.locator("#chains-stop").click()
    expect(page.locator("#chains-status")).to_contain_text(re.compile(r"Stopped after update \d+ of 4000"))
    expect(page.locator("#chains-walk-learned .pg-absent")).to_be_visible()


@pytest.mark.parametrize("width", [DESKTOP, PHONE])
def test_a_drawn_target_travels_in_a_link(visit: Visit, width: int) -> None:
    page = visit(width, query=FEW)
    expect(page.locator("#chains-view [data-query]")).to_be_visible()
    page.locator("#chains-target label", has_text="draw your own").click()
    expect(page.locator("#chains-notice")).to_contain_text("at least one point")
    pad = page.locator("#chains-points canvas")
    pad.scroll_into_view_if_needed()
    box = pad.bounding_box()
    page.mouse.move(box["x"] + 0.25 * box["width"], box["y"] + 0.25 * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + 0.75 * box["width"], box["y"] + 0.25 * box["height"], steps=8)
    page.mouse.up()
    expect(page.locator("#chains-view [data-query*='points=']")).to_be_visible()
    expect(page.locator("#chains-notice p")).to_have_count(0)
    recipe = linked(page)
    places = np.array(recipe.drawn_points)
    assert len(places) >= 5
    assert np.allclose(places[:, 1], limits.MAX_PLANE / 2, atol=0.1)
    assert np.allclose(np.sort(places[:, 0])[[0, -1]], [-limits.MAX_PLANE / 2, limits.MAX_PLANE / 2], atol=0.1)
    other = visit(DESKTOP, query=query(page, "chains"))
    expect(other.locator("#chains-view [data-query*='points=']")).to_be_visible()
    assert linked(other) == recipe
    expect(other.locator("#chains-points [data-left]").first).to_have_text(str(limits.MAX_DRAWN_POINTS - len(places)))


def test_a_link_restores_every_control(visit: Visit) -> None:
    wanted = PlaneRecipe(
        target="ring", seed=9, chains=12, steps=50, start=(1.5, -0.5), proposal_size=0.9, step_size=0.2,
        langevin="adjusted", levels=7, sampler="ddim", updates=20, lr_generator=0.002, lr_discriminator=0.003,
        discriminator_steps=2, penalty=0.5, beta=2.0,
    )  # fmt: skip
    page = visit(query=to_link(wanted))
    expect(page.locator(f"#chains-view [data-query='{to_link(wanted)}']")).to_be_visible()
    learnt(page)
    assert linked(page) == wanted, "no late answer brings back another link"
    expect(page.locator("#chains-facts-langevin")).to_contain_text("accepted", use_inner_text=True)  # MALA


def test_the_animation_is_saved_as_a_gif(visit: Visit) -> None:
    page = visit(query=FEW)
    learnt(page)
    held(page)
    film = kept_gif(page, "[data-player=walk] [data-save]")
    assert len(film) == 40
    frames = [film[k].astype(int) for k in (0, -1)]
    for k in range(len(METHODS)):  # every panel moves
        part = slice(8 + 208 * k, 8 + 208 * k + 200)
        assert np.abs(frames[0][:, part] - frames[1][:, part]).mean() > 0.5
    expect(page.locator("[data-player=walk] [data-save]")).to_contain_text("Save GIF", use_inner_text=True)


def test_a_mistake_gets_a_sentence_and_a_bad_link_too(visit: Visit) -> None:
    page = visit(query=FEW)
    learnt(page)
    page.locator("#chains-seed input").fill("-1")
    page.locator("#chains-seed input").press("Tab")
    expect(page.locator("#chains-notice .pg-error")).to_contain_text("seed must be a whole number from 0 to 4294967295")
    page.locator("#chains-seed input").fill("5")
    page.locator("#chains-seed input").press("Tab")
    expect(page.locator("#chains-view [data-query*='seed=5']")).to_be_visible()
    expect(page.locator("#chains-notice .pg-error")).to_have_count(0)
    for said, sentence in (
        ("chains=256&steps=1000", "chains x steps must be at most"),
        ("target=drawn", "points must hold at least one point"),
        ("step_size=nan", "step_size must be"),
        ("labels=3", "is not part of a recipe"),
    ):
        bad = visit(query=f"task=chains&{said}")
        expect(bad.locator("#notice [role=alert]")).to_contain_text(sentence)


# ---- without a browser


@pytest.fixture(scope="module")
def page(tiny_zoo: Zoo) -> Page:
    return Page(tiny_zoo, tiny_zoo.datasets()[0], Words(COMMON, TEXT))


@pytest.fixture(scope="module")
def tab(page: Page) -> Tab:
    with gr.Blocks():
        return chains.build(page)


def values_of(tab: Tab, **said: object) -> dict[object, object]:
    """What the controls hold, some of them as `said`."""
    return {component: said.get(name, component.value) for name, component in tab.controls.items()}


def visitor(name: str = "somebody") -> object:
    return SimpleNamespace(session_hash=name)


def answered(tab: Tab, **said: object) -> tuple[str, set[str]]:
    """The notice above the walks, and the methods that were drawn."""
    named = {part.elem_id: text for part, text in tab.ask(values_of(tab, **said), visitor()).items()}
    drawn = {method for method in METHODS if isinstance(named.get(f"chains-walk-{method}"), dict)}
    return named["chains-notice"], drawn


def test_it_stands_at_home_only(wide_zoo: Zoo) -> None:
    first, second = wide_zoo.datasets()
    words = Words(COMMON, TEXT)
    assert chains.can_show(Page(wide_zoo, first, words))
    assert not chains.can_show(Page(wide_zoo, second, words))


WRONG = [
    ("seed", None), ("seed", math.nan), ("seed", 1.5), ("seed", "x"), ("chains", 0), ("chains", 4.5), ("chains", True),
    ("chains", 1e9), ("steps", math.inf), ("steps", -3), ("target", "cat"), ("target", None),
    ("langevin", ["adjusted"]),
    ("start", [1.0]), ("start", [math.nan, 0.0]), ("start", {"x": 1}), ("start", [9.0, 0.0]), ("levels", 51),
    ("proposal_size", 0), ("step_size", math.nan), ("sampler", "heun"), ("beta", -1), ("updates", 10**9),
    ("lr_generator", "much"), ("discriminator_steps", 0), ("penalty", [1]),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_a_bad_value_gets_a_sentence_that_names_it_and_nothing_is_walked(tab: Tab, name: str, value: object) -> None:
    notice, drawn = answered(tab, **{name: value})
    assert f"{name} must be" in notice
    assert drawn == set()
    assert answered(tab, chains=3, steps=5) == ("", set(METHODS)), "the next visitor is served"


@pytest.mark.parametrize("points", [None, 7, "a", "!!", "ab" * 1000, {"a": 1}])
def test_bad_points_get_a_sentence(tab: Tab, points: object) -> None:
    notice, drawn = answered(tab, target="drawn", points=points)
    assert "points must" in notice
    assert drawn == set()


@given(
    st.fixed_dictionaries({
        name: st.one_of(st.none(), st.floats(), st.integers(), st.text(max_size=4), st.lists(st.floats(), max_size=3))
        for name in ("chains", "steps", "start", "proposal_size", "levels")
    })
)  # fmt: skip
def test_whatever_comes_there_is_an_answer_and_work_is_bounded(tab: Tab, said: dict[str, object]) -> None:
    try:
        PlaneRecipe(**said)
    except ValueError:
        notice, drawn = answered(tab, **said)
        assert "must be" in notice
        assert drawn == set()


def test_nothing_drawn_yet_is_no_mistake(tab: Tab) -> None:
    notice, _ = answered(tab, target="drawn", points="")
    assert "at least one point" in notice
    assert "pg-error" not in notice


def test_points_are_forgotten_where_the_target_is_not_drawn(tab: Tab) -> None:
    assert chains.recipe_of(tab.controls, values_of(tab, target="ring", points="abcd")).points == ""


def room(page: Page) -> chains.Room:
    return chains.Room(page, Trainings(), Wishes())


def test_a_lesson_is_taught_once_and_every_word_of_it_stays(page: Page) -> None:
    here, recipe = room(page), chains.learnt_part(PlaneRecipe(updates=6))
    assert here.wishes.want("a", recipe)
    first = list(chains.taught(here, "a"))
    assert set(first[-1][1]) == set(LEARNERS)
    for before, after in itertools.pairwise(first):
        assert all(after[1][name].startswith(text) for name, text in before[1].items())
    assert not here.wishes.want("a", recipe)
    assert list(chains.taught(here, "a")) == []
    here.wishes.want("b", recipe)
    assert list(chains.taught(here, "b")) == [first[-1]], "kept, not taught again"
    assert chains.drawn_walks(here, PlaneRecipe(updates=6, chains=3, steps=5), ["learned"])["learned"][0]["steps"] == 5
    assert chains.drawn_walks(here, PlaneRecipe(updates=7), ["learned"])["learned"] == ({}, "")


def test_a_newer_wish_or_a_stop_ends_a_lesson_within_one_update(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[int] = []

    def counted(*args: object) -> Iterator[object]:
        for lesson in learn(*args):
            taken.append(lesson.update)
            yield lesson

    learn = chains.learn
    monkeypatch.setattr(chains, "learn", counted)
    for end in (lambda here: here.wishes.stop("a"), lambda here: here.wishes.want("a", None)):
        here = room(page)
        here.wishes.want("a", chains.learnt_part(PlaneRecipe(updates=500)))
        going = chains.taught(here, "a")
        next(going)
        known = taken[-1]
        end(here)
        said = list(going)
        assert taken[-1] <= known + 1
        assert "Stopped after update" in said[-1][0]
        assert len(here.trainings) == 0


def test_what_only_the_walks_need_is_no_new_lesson() -> None:
    same = chains.learnt_part(PlaneRecipe(chains=3, steps=9, start=(1.0, 1.0), proposal_size=2.0, levels=3))
    assert same == chains.learnt_part(PlaneRecipe())
    assert chains.learnt_part(PlaneRecipe(beta=2.0)) != same


def test_a_fault_of_ours_becomes_a_sentence_and_the_next_visitor_is_served(
    tab: Tab, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as broken:
        broken.setattr(chains, "walk", lambda *args: 1 / 0)
        notice, drawn = answered(tab)
        assert "Something went wrong on our side" in notice
        assert "ZeroDivision" not in notice
        assert drawn == set()
    assert answered(tab, chains=3, steps=5)[0] == ""


def test_every_preset_is_a_recipe_and_collapse_collapses() -> None:
    for said in [*chains.SITUATIONS.values(), *chains.LESSONS_TO_TRY.values()]:
        PlaneRecipe(**said)
    told = {}
    for name in ("healthy", "collapse"):
        *_, last = chains.learn(PlaneRecipe(updates=800, **chains.LESSONS_TO_TRY[name]), ["gan"])
        told[name] = last.looks["gan"]
    assert told["healthy"].modes >= 6
    assert told["collapse"].modes <= 3
    assert told["collapse"].distance > 5 * told["healthy"].distance


def test_every_word_is_there_in_both_languages() -> None:
    for key, pair in TEXT.items():
        assert all(text.strip() for text in pair), key
        english, korean = (set(re.findall(r"{(\w+)}", text)) for text in pair)
        assert english == korean, key
