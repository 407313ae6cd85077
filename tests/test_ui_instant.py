"""A model made for a few steps: its settings come and go with it, its pictures follow every touch."""

from __future__ import annotations

import base64
import json
import re
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from playwright.sync_api import Browser, Page, expect

from playground import ladder, limits, render
from playground.datasets import DATASETS
from playground.generate import Frame, generate, last, usual
from playground.models import save_model
from playground.recipe import Recipe
from playground.training.card import write_card
from playground.training.instant import SETTINGS, STUDENT, InstantObjective
from playground.ui import diffusion, instant
from playground.ui.lanes import LiveGate
from playground.ui.page import Page as Surroundings
from playground.ui.text import COMMON, Words
from playground.ui.wishes import Wishes
from playground.zoo import Zoo, read_card
from tests.browser import serving, visiting
from tests.journey import choose, finished, fits_the_screen, open_tab, pictures, shown_recipe, slider

Visit = Callable[..., Page]
DRAG = """(range, values) => { for (const value of values) {
  range.value = value;
  range.dispatchEvent(new Event("input", { bubbles: true }));
} }"""


def write_student(root: Path, dataset: str) -> None:
    """An `instant` beside a `ddpm`, as its training begins: the teacher's weights, and a card with the settings."""
    zoo = Zoo(root)
    teacher, judge = (zoo.open(dataset, model).network for model in ("ddpm", "gan"))
    objective = InstantObjective(teacher, judge.discriminator, 1.0)
    folder = root / dataset / STUDENT
    save_model(objective.shown(objective.network), folder)
    facts = objective.finish(objective.network, None, None)
    write_card(folder, {**read_card(root / dataset / "ddpm").facts, "model": folder.name, "facts": facts})


@pytest.fixture(scope="module")
def student_zoo(tmp_path_factory: pytest.TempPathFactory, write_tiny_zoo: Callable[..., Path]) -> Zoo:
    """Tiny networks of two data sets; the first has a student of its diffusion model, the second has none."""
    root = write_tiny_zoo(tmp_path_factory.mktemp("pretrained"), *list(DATASETS.values())[:2])
    write_student(root, "digits")
    return Zoo(root)


@pytest.fixture(scope="module")
def address(student_zoo: Zoo) -> Iterator[str]:
    with serving(student_zoo) as served:
        yield served


@pytest.fixture
def open_students_page(address: str, chromium: Browser) -> Iterator[Visit]:
    with visiting(address, chromium) as visit:
        yield visit


@pytest.fixture
def surroundings(student_zoo: Zoo) -> Surroundings:
    words = Words(COMMON, diffusion.TEXT, instant.TEXT)
    return Surroundings(student_zoo, DATASETS["digits"], words, LiveGate(1, patience_s=0.05))


def quick(**chosen: object) -> Recipe:
    return Recipe(model="instant", **{**SETTINGS, **chosen})


def saved_png(page: Page) -> bytes:
    link = page.locator("#diffusion-view a.pg-save").first.get_attribute("href")
    return base64.b64decode(link.partition(",")[2])


def everything(page: Page) -> tuple[object, ...]:
    """All pictures of a result: the one to keep, the single ones, those behind the scrubber."""
    cells = page.locator("#diffusion-view .pg-cell")
    return (
        saved_png(page),
        pictures(page, "diffusion"),
        cells.evaluate_all("all => all.map((one) => one.style.cssText)"),
    )


def number_in(page: Page, field: str) -> str:
    return page.locator(f"#diffusion-{field} input[type=number]").input_value()


def status(page: Page) -> str:
    return page.locator("#diffusion-status").inner_text()


def test_a_model_that_was_made_for_settings_is_named_and_gives_them_to_the_controls_and_takes_them_back(
    open_students_page: Visit,
) -> None:
    page = open_students_page()
    open_tab(page, "diffusion")
    start = usual(DATASETS["digits"])
    finished(page, "diffusion", model="ddpm", steps=start.steps)
    expect(page.locator("#diffusion-guest")).to_contain_text("Pick Instant diffusion", use_inner_text=True)
    slider(page, "diffusion-steps").fill("50")
    finished(page, "diffusion", model="ddpm", steps=50)

    choose(page, "diffusion-model", "Instant diffusion, 1–4 steps")
    recipe = finished(page, "diffusion", model="instant")
    assert {name: getattr(recipe, name) for name in SETTINGS} == SETTINGS
    assert (number_in(page, "steps"), number_in(page, "eta"), number_in(page, "guidance-scale")) == (
        str(SETTINGS["steps"]),
        "1",
        "1",
    )
    expect(page.locator("#diffusion-sampler input:checked")).to_have_value("ddim")
    expect(slider(page, "diffusion-steps")).to_have_attribute("max", str(instant.MOST_STEPS))
    expect(page.locator("#diffusion-few-3")).to_be_visible()
    expect(page.locator("#diffusion-steps-1000")).to_be_hidden()
    expect(page.locator("#diffusion-guest")).to_contain_text("A student of ddpm", use_inner_text=True)
    expect(page.locator("#diffusion-status")).to_contain_text("Live: move anything", use_inner_text=True)

    choose(page, "diffusion-model", "Diffusion, many steps")
    recipe = finished(page, "diffusion", model="ddpm", steps=start.steps)
    assert all(getattr(recipe, name) == getattr(start, name) for name in SETTINGS)
    expect(slider(page, "diffusion-steps")).to_have_attribute("max", str(limits.MAX_STEPS))
    expect(page.locator("#diffusion-few-3")).to_be_hidden()
    assert fits_the_screen(page)
    page.locator("[data-language=ko]").click()
    expect(page.locator("#diffusion-model")).to_contain_text("즉석 확산, 1~4단계")


@pytest.mark.parametrize(
    "query",
    [
        "model=instant&labels=4&seed=9&count=3&steps=2&sampler=ddim&eta=0.5&guidance_scale=2.0",
        "model=instant&seed=9&count=2&steps=50",  # more than follows a touch: a link draws it all the same
        "model=instant&seed=2",  # says by its silence what every recipe says: the recipe's own defaults
    ],
)
def test_a_link_is_made_as_it_says_whatever_the_card_states(open_students_page: Visit, query: str) -> None:
    page = open_students_page(query=query)
    wanted = dict(pair.split("=") for pair in query.split("&"))
    recipe = finished(page, "diffusion", model="instant", seed=int(wanted["seed"]))
    expected = {name: getattr(Recipe(), name) for name in SETTINGS}
    expected |= {k: type(expected[k])(v) for k, v in wanted.items() if k in expected}
    assert {name: getattr(recipe, name) for name in SETTINGS} == expected
    assert number_in(page, "steps") == str(expected["steps"])
    page.wait_for_timeout(500)
    assert shown_recipe(page, "diffusion") == recipe, "the card's settings must not come after the link's"
    choose(page, "diffusion-model", "Diffusion, many steps")  # also after a link the settings are given back
    finished(
        page,
        "diffusion",
        model="ddpm",
        steps=usual(DATASETS["digits"]).steps,
        sampler=usual(DATASETS["digits"]).sampler,
    )


def test_the_pictures_follow_every_touch_without_the_queue_and_are_the_jobs_own_bytes(
    open_students_page: Visit, student_zoo: Zoo
) -> None:
    page = open_students_page()
    open_tab(page, "diffusion")
    finished(page, "diffusion", model="ddpm")
    choose(page, "diffusion-model", "Instant")
    finished(page, "diffusion", model="instant", steps=SETTINGS["steps"])
    queued: list[str] = []
    page.on("request", lambda request: queued.append(request.url) if "queue/join" in request.url else None)
    slider(page, "diffusion-steps").evaluate(DRAG, [3, 2, 1, 2, 3])
    finished(page, "diffusion", steps=3)
    choose(page, "diffusion-labels-0", "7")
    finished(page, "diffusion", labels=(8,))
    page.locator("#diffusion-seed input").fill("77")
    recipe = finished(page, "diffusion", seed=77)
    assert recipe == quick(steps=3, labels=(8,), seed=77, count=diffusion.FIRST_COUNT)
    assert queued == []
    live = everything(page)
    assert render.recipe_of(live[0]) == recipe
    made = [render.to_png(pixels, recipe) for pixels in render.to_uint8(last(recipe, student_zoo).pictures)]
    assert all(png in live[1] for png in made)
    page.locator("#diffusion-go").click()
    expect(page.locator("#diffusion-status")).to_contain_text("Done.", use_inner_text=True)
    assert queued
    assert everything(page) == live
    slider(page, "diffusion-steps").fill("2")
    finished(page, "diffusion", steps=2)
    assert "Live" in status(page), "after the button the touches go on"


def test_a_single_step_has_nothing_to_scrub_over(open_students_page: Visit) -> None:
    page = open_students_page(query="model=instant&steps=1&sampler=ddim&eta=1.0&guidance_scale=1.0&count=2")
    finished(page, "diffusion", steps=1)
    making = page.locator("#diffusion-view .pg-making")
    shown = making.locator(".pg-panels figure:visible")
    expect(shown).to_have_count(3)
    expect(making.locator(".pg-scrub")).to_be_hidden()
    assert fits_the_screen(page)
    slider(page, "diffusion-steps").fill("2")
    finished(page, "diffusion", steps=2)
    expect(shown).to_have_count(4)
    expect(making.locator(".pg-scrub")).to_be_visible()


def test_more_work_than_the_live_lane_bears_asks_for_the_button(open_students_page: Visit) -> None:
    page = open_students_page(query="model=instant&steps=4&sampler=ddim&eta=1.0&guidance_scale=1.0&count=4")
    finished(page, "diffusion", steps=4, count=4)
    before = pictures(page, "diffusion")
    slider(page, "diffusion-count").fill("13")
    over = f"52 network passes are too many to follow every touch (at most {limits.MAX_LIVE_EVALUATIONS})"
    expect(page.locator("#diffusion-status")).to_contain_text(over, use_inner_text=True)
    page.wait_for_timeout(500)
    assert pictures(page, "diffusion") == before
    page.locator("#diffusion-go").click()
    finished(page, "diffusion", count=13)
    slider(page, "diffusion-count").fill("12")
    finished(page, "diffusion", count=12)
    assert "Live" in status(page)


def test_a_data_set_without_a_student_shows_none_of_it(open_students_page: Visit) -> None:
    page = open_students_page(path="hangul")
    open_tab(page, "diffusion")
    finished(page, "diffusion", model="ddpm")
    for part in ("model", "few-3"):
        expect(page.locator(f"#diffusion-{part}")).to_be_hidden()
    expect(page.locator("#diffusion-guest")).to_have_text("")
    expect(slider(page, "diffusion-steps")).to_have_attribute("max", str(limits.MAX_STEPS))


def test_its_ladder_stays_among_few_steps_and_is_sampled_as_it_was_made_for(student_zoo: Zoo) -> None:
    recipe = Recipe(task="ladder", model="instant", seed=5, samplers=("ddim", "dpmpp"), eta=1.0, guidance_scale=1.0)
    cells = [cell for cell in ladder.climb(recipe, student_zoo) if cell.is_last]
    found: dict[str, list[ladder.Cell]] = {name: [c for c in cells if c.sampler == name] for name in recipe.samplers}
    for sampler, climbed in found.items():
        assert [cell.rung for cell in climbed] == list(ladder.FEW)
        assert {cell.recipe.eta for cell in climbed} == {1.0 if sampler == "ddim" else 0.0}
        assert ladder.distances(recipe, climbed[:-1], student_zoo) is None, "measured from the longest run"
        assert ladder.distances(recipe, climbed, student_zoo)[-1] == 0
    made = last(quick(steps=4, seed=5), student_zoo).pictures[0]
    assert torch.equal(found["ddim"][3].picture, made)
    teacher = replace(recipe, model="ddpm")
    assert [r.steps for r in ladder.rungs_of(teacher, student_zoo)][::2] == list(ladder.RUNGS["steps"])


def test_the_ladder_and_the_comparison_speak_of_it(open_students_page: Visit) -> None:
    page = open_students_page(query="task=ladder&model=instant&samplers=ddim&seed=5")
    cells = page.locator("#ladder-ddim a[data-recipe]")
    expect(cells).to_have_count(len(ladder.FEW))
    assert "eta=1.0" in cells.nth(3).get_attribute("data-recipe")
    assert "steps=4" in cells.nth(3).get_attribute("data-recipe")
    open_tab(page, "compare")
    row = page.locator("#compare-view [data-model=instant]")
    expect(row).to_contain_text("Instant diffusion, 1–4 steps", use_inner_text=True)
    expect(row).to_contain_text(f"DDIM, steps {SETTINGS['steps']}, guidance 1", use_inner_text=True)
    expect(row.locator("img.pg-picture")).to_have_count(6)


@pytest.mark.parametrize("tab", ["branch", "hand"])
def test_the_tabs_inside_take_its_settings_too(open_students_page: Visit, tab: str) -> None:
    page = open_students_page()
    open_tab(page, tab)
    made = page.locator(f"#{tab}-view [data-query*='sampler=ddim']").first
    choose(page, f"{tab}-model", "Instant")
    expect(made).to_have_attribute("data-query", re.compile(f"model=instant.*steps={SETTINGS['steps']}"))
    choose(page, f"{tab}-model", "Diffusion, many")
    expect(made).to_have_count(0)
    last_made = page.locator(f"#{tab}-view [data-query]").first
    expect(last_made).to_have_attribute("data-query", re.compile("model=ddpm(?!.*steps)"))


def test_a_turn_is_the_same_however_often_and_in_whatever_order_it_is_noticed(surroundings: Surroundings) -> None:
    start = ("ddpm", "ddpm")
    turn = instant.turned("instant", start)
    assert instant.turned("instant", turn) == turn == ("instant", "ddpm")
    assert instant.settings_after(surroundings, turn) == SETTINGS
    back = instant.turned("ddpm", turn)
    assert instant.settings_after(surroundings, back) == {
        name: getattr(usual(surroundings.dataset), name) for name in SETTINGS
    }
    assert instant.settings_after(surroundings, ("ddpm", "ddpm")) == {}


def test_a_newer_wish_ends_a_live_picture_within_a_step(
    surroundings: Surroundings, monkeypatch: pytest.MonkeyPatch
) -> None:
    wishes, steps = Wishes(), []
    newer = quick(seed=2)

    def interrupted(recipe: Recipe, zoo: Zoo) -> Iterator[Frame]:
        for frame in generate(recipe, zoo):
            steps.append(recipe.seed)
            if len(steps) == 2:
                wishes.want("ann", newer)
            yield frame

    monkeypatch.setattr(diffusion, "generate", interrupted)
    wishes.want("ann", quick(seed=1))
    assert diffusion.at_once(surroundings, wishes, "ann") == {}
    assert steps == [1, 1]
    shown = diffusion.at_once(surroundings, wishes, "ann")
    assert "seed=2" in shown["view"]
    assert diffusion.at_once(surroundings, wishes, "ann") == {}, "a wish is worked on once"


def test_a_full_live_lane_and_a_fault_leave_a_sentence_and_the_wish_can_be_wished_again(
    surroundings: Surroundings, monkeypatch: pytest.MonkeyPatch
) -> None:
    wishes, recipe = Wishes(), quick(seed=3)
    wishes.want("ann", recipe)
    busy = surroundings.gate.run(lambda: diffusion.at_once(surroundings, wishes, "ann"))  # its only place is taken
    assert set(busy) == {"state"}
    assert "busy" in busy["state"]
    assert wishes.want("ann", recipe)
    with monkeypatch.context() as patch:
        patch.setattr(diffusion, "generate", lambda *_: (_ for _ in ()).throw(RuntimeError("out of memory")))
        failed = diffusion.at_once(surroundings, wishes, "ann")
    assert "went wrong" in failed["state"]
    assert "memory" not in failed["state"]
    assert wishes.want("ann", recipe)
    assert "seed=3" in diffusion.at_once(surroundings, wishes, "ann")["view"]


def test_a_visitor_begins_with_the_plain_model_in_every_tab(address: str) -> None:
    config = json.loads(urllib.request.urlopen(f"{address}config").read())
    pickers = {
        component["props"]["elem_id"]: component["props"]["value"]
        for component in config["components"]
        if str(component["props"].get("elem_id", "")).endswith("-model")
    }
    for tab in ("diffusion", "ladder", "branch", "hand"):
        assert pickers[f"{tab}-model"] == "ddpm"
