"""A visitor's journey through the Diffusion tab, in a real browser; and what a newer wish does to an older one."""

from __future__ import annotations

import base64
import io
import re
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from PIL import Image
from playwright.sync_api import Locator, Page, Route, expect

from playground import render
from playground.generate import Frame, generate
from playground.ladder import CLOSE
from playground.recipe import DEFAULT, Recipe
from playground.sampling.reverse import STOCHASTIC
from playground.ui import diffusion
from playground.ui.wishes import Wishes
from playground.zoo import Zoo
from tests.browser import DESKTOP, PHONE
from tests.journey import choose, finished, fits_the_screen, kept_gif, open_tab, query, shown_recipe

Visit = Callable[..., Page]
PREVIEWS = """() => {
  window.previews = [];
  const status = document.querySelector("#diffusion-status");
  new MutationObserver(() => {
    const step = /step (\\d+) of/.exec(status.textContent);
    if (step && window.previews.at(-1) !== step[1]) window.previews.push(step[1]);
  }).observe(status, { childList: true, subtree: true, characterData: true });
}"""


class Spy:
    """Stands in for `generate`: the same frames at a walking pace, and counts of what was worked on."""

    def __init__(self, pace_s: float = 0.0) -> None:
        self.pace_s = pace_s
        self.steps = 0
        self.recipes: list[Recipe] = []
        self.running = 0
        self.most_running = 0

    def __call__(self, recipe: Recipe, zoo: Zoo) -> Iterator[Frame]:
        self.recipes.append(recipe)
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            with closing(generate(recipe, zoo)) as frames:
                for frame in frames:
                    self.steps += 1
                    time.sleep(self.pace_s)
                    yield frame
        finally:
            self.running -= 1


@pytest.fixture
def spy(monkeypatch: pytest.MonkeyPatch) -> Spy:
    watching = Spy(0.05)
    monkeypatch.setattr(diffusion, "generate", watching)
    monkeypatch.setattr(diffusion, "PREVIEW_EVERY_S", 0.5)  # leave a loaded machine time to click
    return watching


def status(page: Page) -> Locator:
    return page.locator("#diffusion-status .pg-status")


def saved_png(page: Page) -> bytes:
    link = page.locator("#diffusion-view a.pg-save").first.get_attribute("href")
    return base64.b64decode(link.split(",", 1)[1])


def pixels(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)))


def sprite(cell: Locator) -> np.ndarray:
    """The picture behind a window of the scrubber, uint8 [h, w]."""
    style = cell.get_attribute("style")
    return pixels(base64.b64decode(re.search(r"base64,([^)\"]+)", style).group(1)))


def heights(curve: Locator) -> list[float]:
    """The points of a curve of changes as shares of its height."""
    points = curve.locator("polyline").get_attribute("points").split()
    return [1 - float(point.split(",")[1]) / 100 for point in points]


def place(page: Page) -> str:
    """Where the windows of the scrubber stand over their pictures."""
    cells = page.locator("#diffusion-view .pg-cell")
    places = cells.evaluate_all("cells => cells.map((cell) => getComputedStyle(cell).backgroundPosition)")
    assert len(places) == 4
    assert len(set(places)) == 1, "all windows must show the same step"
    return places[0]


@pytest.mark.parametrize("width", [DESKTOP, PHONE])
def test_a_picture_forms_and_every_step_can_be_seen_again(
    open_page: Visit, real_zoo: Zoo, monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    page = open_page(width)
    open_tab(page, "diffusion")
    finished(page, "diffusion", count=4, steps=DEFAULT.steps, sampler=DEFAULT.sampler)
    monkeypatch.setattr(diffusion, "generate", Spy(0.1))
    page.evaluate(PREVIEWS)
    page.locator("#diffusion-steps-10").click()
    recipe = finished(page, "diffusion", steps=10)
    previews = [int(step) for step in page.evaluate("window.previews")]
    assert len(previews) >= 3
    assert previews == sorted(previews)
    assert previews[-1] < 10

    steps = [frame.step for frame in generate(recipe, real_zoo)]
    cells = page.locator("#diffusion-view .pg-cell")
    shown = {panel: [[getattr(step, panel)[k] for step in steps] for k in range(4)] for panel in ("x_t", "eps", "x0")}
    seen = [[x0.clamp(-1, 1) for x0 in row] for row in shown["x0"]]
    shown["change"] = [[new - old for old, new in pairwise([row[0], *row])] for row in seen]
    for rows, cell in zip(shown.values(), cells.all(), strict=True):
        difference = sprite(cell).astype(int) - render.trajectory_sprite(rows)[:, :, 0]
        assert np.abs(difference).max() <= 1

    output = page.locator("#diffusion-view output")
    slider = page.locator("#diffusion-view input[type=range]")
    assert place(page) == "100% 0%"
    expect(output).to_contain_text("10 / 10")
    slider.fill("0")
    assert place(page) == "0% 0%"
    expect(output).to_contain_text("1 / 10 · t = 999")
    slider.press("ArrowRight")
    assert place(page) != "0% 0%"
    expect(output).to_contain_text("2 / 10 · t = 899")
    curves = page.locator("#diffusion-view [data-change]")
    expect(curves).to_have_count(4)
    expect(curves.nth(0)).to_be_visible()
    page.locator("[data-row='1']").click()
    assert place(page).endswith(" 33.3333%")
    expect(curves.nth(0)).to_be_hidden()
    expect(curves.nth(1)).to_be_visible()
    for k in range(4):
        moved = [float(np.sqrt(((new - old) ** 2).mean())) for old, new in pairwise(seen[k])]
        assert heights(curves.nth(k)) == pytest.approx([v / max(*moved, 2 * CLOSE) for v in moved], abs=0.02)
        far = [float(np.sqrt(((x0 - seen[k][-1]) ** 2).mean())) for x0 in seen[k]]
        settled = next((n for n in range(10) if max(far[n:]) <= CLOSE), 9)
        expect(curves.nth(k).locator("u")).to_have_count(1 if settled < 9 else 0)
        if settled < 9:
            expect(curves.nth(k)).to_contain_text(f"from step {settled + 1} on")
    page.locator("[data-play]").click()
    expect(output).to_contain_text("10 / 10")
    assert place(page) == "100% 33.3333%"
    assert fits_the_screen(page)


def test_the_making_is_saved_as_a_gif(open_page: Visit, real_zoo: Zoo) -> None:
    page = open_page(query="model=ddpm&labels=4&seed=99&count=2&steps=6&guidance_scale=2.0")
    recipe = finished(page, "diffusion", steps=6)
    page.locator("#diffusion-view [data-row='1']").click()
    film = kept_gif(page, "#diffusion-view [data-keep]")
    steps = [frame.step for frame in generate(recipe, real_zoo)]
    assert len(film) == len(steps)
    pad, side = 8, 160  # five screen pixels to one of the picture
    for frame, step in zip(film, steps, strict=True):
        for place, shown in enumerate((step.x_t[1], step.eps[1], step.x0[1])):
            left = pad + place * (side + pad)
            cell = frame[pad : pad + side : 5, left : left + side : 5, :1].astype(int)
            difference = np.abs(cell - render.to_uint8(shown))
            assert difference.mean() < 4, "a GIF's colours are few, but no others"


def test_on_a_phone_the_picture_forms_beside_the_button(open_page: Visit) -> None:
    page = open_page(PHONE)
    open_tab(page, "diffusion")
    finished(page, "diffusion")
    button, panels = (page.locator(place).bounding_box() for place in ("#diffusion-go", "#diffusion-view .pg-panels"))
    assert 0 < panels["y"] - (button["y"] + button["height"]) < 150


def test_stop_ends_the_work_within_one_step(open_page: Visit, spy: Spy, monkeypatch: pytest.MonkeyPatch) -> None:
    page = open_page(query="model=ddpm&steps=1000&seed=3")
    expect(status(page)).to_contain_text("of 1000, t =")
    at_stop = []
    stop = Wishes.stop
    monkeypatch.setattr(Wishes, "stop", lambda *args: (at_stop.append(spy.steps), stop(*args))[1])
    page.locator("#diffusion-stop").click()
    expect(status(page)).to_contain_text("Stopped after step")
    assert spy.steps - at_stop[0] <= 1
    expect(status(page)).to_contain_text(f"Stopped after step {spy.steps} of 1000")
    page.wait_for_timeout(300)
    assert spy.running == 0
    expect(page.locator("#diffusion-view .pg-cell")).to_have_count(4)
    expect(page.locator("#diffusion-view output")).to_contain_text(f"{spy.steps} / 1000")
    expect(page.locator("#diffusion-view a.pg-save")).to_have_count(0)  # what is not finished has no recipe to keep


def test_a_newer_choice_ends_the_work_on_an_older_one(open_page: Visit, spy: Spy) -> None:
    page = open_page(query="model=ddpm&steps=1000&seed=3")
    expect(status(page)).to_contain_text("of 1000, t =")
    for digit in ("1", "2", "3", "4"):
        choose(page, "diffusion-labels-0", digit)
    page.locator("#diffusion-steps-5").click()
    finished(page, "diffusion", labels=(5,), steps=5)
    assert spy.recipes[-1].labels == (5,)
    assert spy.running == 0
    assert spy.most_running == 1
    assert len(spy.recipes) <= 6  # the first, and at most one for each change
    page.wait_for_timeout(300)
    assert spy.recipes[-1].steps == 5, "an older wish came back"


def test_leaving_the_page_ends_the_work(open_page: Visit, spy: Spy) -> None:
    page = open_page(query="model=ddpm&steps=1000&seed=3")
    expect(status(page)).to_contain_text("of 1000, t =")
    page.context.close()
    deadline = time.monotonic() + 5
    while spy.running and time.monotonic() < deadline:
        time.sleep(0.05)
    assert spy.running == 0
    assert spy.steps < 200


def test_visitors_take_turns_and_get_their_own_pictures(open_page: Visit, spy: Spy) -> None:
    first = open_page(query="model=ddpm&steps=1000&seed=3")
    expect(status(first)).to_contain_text("of 1000, t =")
    second = open_page(query="model=ddpm&steps=5&seed=77&count=1")
    expect(status(second)).to_contain_text("Waiting for its turn")
    first.locator("#diffusion-stop").click()
    recipe = finished(second, "diffusion", seed=77, steps=5)
    assert spy.most_running == 1
    assert shown_recipe(first, "diffusion").seed == 3
    assert render.recipe_of(saved_png(second)) == recipe


def test_a_link_gives_the_same_bytes_in_another_browser(open_page: Visit) -> None:
    page = open_page(query="model=ddpm&labels=4&seed=99&count=2&steps=12&sampler=ddim&eta=0.5&guidance_scale=2.0")
    recipe = finished(page, "diffusion", seed=99)
    assert (recipe.steps, recipe.sampler, recipe.eta, recipe.guidance_scale) == (12, "ddim", 0.5, 2.0)
    other = open_page(PHONE, locale="ko-KR", query=query(page, "diffusion"))
    finished(other, "diffusion", seed=99)
    assert saved_png(other) == saved_png(page)
    assert render.recipe_of(saved_png(other)) == recipe
    for field, value in {"steps": "12", "count": "2", "eta": "0.5", "guidance-scale": "2"}.items():
        assert other.locator(f"#diffusion-{field} input[type=number]").input_value() == value
    assert other.locator("#diffusion-seed input").input_value() == "99"
    expect(other.locator("#diffusion-sampler input:checked")).to_have_value("ddim")

    expect(page.locator("#diffusion-eta")).to_be_visible()
    choose(page, "diffusion-sampler", "Heun")
    expect(page.locator("#diffusion-eta")).to_be_hidden()
    expect(page.locator("#diffusion-sampler-note")).to_contain_text("asks the network twice")
    assert finished(page, "diffusion", sampler="heun").eta == 0, "a control that is not there says nothing"


def test_an_impossible_recipe_is_a_sentence_and_harms_nothing(open_page: Visit) -> None:
    page = open_page(query="model=ddpm&count=5&steps=1000")
    refusal = page.locator("#diffusion-status .pg-error")
    expect(refusal).to_contain_text("at most 4000 network evaluations, this recipe needs 5000")
    expect(status(page)).to_contain_text("take fewer steps or fewer pictures")
    expect(page.locator("#diffusion-cost .pg-over")).to_be_visible()
    page.locator("#diffusion-steps-5").click()
    finished(page, "diffusion", steps=5, count=5)
    expect(refusal).to_have_count(0)
    page.locator("#diffusion-seed input").fill("")
    expect(refusal).to_contain_text("seed must be a whole number from 0 to 4294967295")
    page.locator("#diffusion-seed input").fill("8")
    finished(page, "diffusion", seed=8)


def test_the_digit_picker_gives_that_digit(open_page: Visit, real_zoo: Zoo) -> None:
    page = open_page(query="model=ddpm&count=8&seed=40&steps=12")
    finished(page, "diffusion", count=8)
    choose(page, "diffusion-labels-0", "7")
    recipe = finished(page, "diffusion", labels=(8,))
    sheet = pixels(saved_png(page))[::8, ::8]
    made = torch.from_numpy(sheet.reshape(2, 32, 4, 32).swapaxes(1, 2).reshape(8, -1).astype(np.float32))
    reference = real_zoo.reference(recipe.dataset)
    distances = torch.cdist(made, reference.images.flatten(1).float())
    nearest = distances.topk(5, largest=False).indices  # five real pictures that each is most like
    looks_like = reference.labels[:, 0][nearest].mode(1).values
    assert (looks_like == 8).sum() >= 7


def test_a_walk_goes_somewhere_and_ends_in_a_film(open_page: Visit) -> None:
    page = open_page(query="model=ddpm&labels=4&seed=5&count=6&steps=5")
    finished(page, "diffusion", task="sample")
    choose(page, "diffusion-task", "Walk between two seeds")
    recipe = finished(page, "diffusion", task="walk", sampler=diffusion.WALKER)
    assert recipe.sampler not in STOCHASTIC, "fresh noise at every step drowns the noise that is walked"
    strip = page.locator("#diffusion-view .pg-strip img")
    expect(strip).to_have_count(6)
    assert len(set(strip.evaluate_all("images => images.map((image) => image.src)"))) == 6
    expect(page.locator("#diffusion-view img.pg-film")).to_be_visible()
    expect(page.locator("#diffusion-view [data-row]")).to_have_count(4)
    page.locator("#diffusion-seed-to input").fill("9")
    finished(page, "diffusion", task="walk", seed_to=9)
    choose(page, "diffusion-task", "Make pictures")
    expect(page.locator("#diffusion-seed-to")).to_be_hidden()
    assert finished(page, "diffusion", task="sample").seed_to == DEFAULT.seed_to


def test_only_the_newest_wish_is_worked_on_and_only_once() -> None:
    wishes, recipe = Wishes(), Recipe(model="ddpm")
    assert wishes.take("ann") is None
    assert wishes.want("ann", recipe)
    assert not wishes.want("ann", replace(recipe)), "the same wish twice is one"
    first = wishes.take("ann")
    assert first.recipe == recipe
    assert wishes.take("ann") is None
    assert wishes.want("ann", recipe, again=True)
    assert not wishes.is_newest("ann", first)
    assert wishes.is_newest("ben", first), "another visitor's wishes change nothing"
    second = wishes.take("ann")
    wishes.want("ann", None)
    assert not wishes.is_newest("ann", second)
    assert wishes.take("ann") is None


def test_a_wish_stopped_before_its_turn_is_never_worked_on() -> None:
    wishes = Wishes()
    wishes.want("ann", Recipe(model="ddpm"))
    assert wishes.stop("ann").is_stopped
    assert wishes.take("ann") is None
    assert wishes.stop("ben") is None


def test_forgotten_visitors_keep_what_they_are_being_given() -> None:
    wishes = Wishes(most=2)
    wishes.want("ann", Recipe(seed=1))
    taken = wishes.take("ann")
    for visitor in ("ben", "cat"):
        wishes.want(visitor, Recipe(seed=2))
    assert wishes.newest("ann") is None
    assert wishes.is_newest("ann", taken)


@pytest.mark.parametrize("total", [1, 2, 99, 100, 101, 999, 1000])
def test_scrub_columns_are_even_and_hold_both_ends(total: int) -> None:
    chosen = render.evenly_chosen(total, 100)
    assert chosen[0] == 0
    assert chosen[-1] == total - 1
    assert len(chosen) == min(total, 100)
    assert (
        set(np.diff(chosen)) <= {(total - 1) // 99, (total - 1) // 99 + 1} if total > 100 else chosen == [*range(total)]
    )


def test_what_a_link_says_comes_about_though_the_page_lost_it_on_the_way(open_page: Visit) -> None:
    """A control that comes to the page in the moment of the answer may keep its own value: here three of them do."""
    page, lost = open_page(), []

    def lose(route: Route) -> None:
        response = route.fetch()
        answer = response.json()
        if len(answer.get("data", ())) > 50:  # every control of the page
            for place, held in enumerate(answer["data"]):
                if held in (37, 3, "ddim"):
                    lost.append(held)
                    answer["data"][place] = {"__type__": "update"}
        route.fulfill(response=response, json=answer)

    page.route("**/run/predict*", lose)
    page.goto(f"{page.url}?model=ddpm&steps=37&count=3&sampler=ddim&seed=5&labels=3")
    recipe = finished(page, "diffusion")
    assert {37, 3, "ddim"} <= set(lost)
    assert (recipe.steps, recipe.count, recipe.sampler, recipe.seed, recipe.labels) == (37, 3, "ddim", 5, (3,))
