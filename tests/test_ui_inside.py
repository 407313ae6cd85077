"""Journeys through the tabs inside diffusion, in a real browser: the forward process and the ladder of steps."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Callable

import numpy as np
import pytest
import torch
from PIL import Image
from playwright.sync_api import Page, expect

from playground import ladder, limits
from playground.recipe import SCHEDULES, from_query
from playground.render import recipe_of, to_uint8
from playground.sampling.forward import diffuse, signal_levels
from playground.sampling.noise import seeded_noise
from playground.ui.forward import packed
from playground.zoo import Zoo
from tests.browser import DESKTOP, PHONE
from tests.journey import choose, fits_the_screen, kept_gif, open_tab, shown_recipe, slider

Visit = Callable[..., Page]


def canvas(page: Page, selector: str) -> np.ndarray:
    """What a canvas shows, in its own pixels, uint8 [h, w, 3]."""
    uri = page.locator(selector).evaluate("canvas => canvas.toDataURL('image/png')")
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))))[:, :, :3]


def saved(page: Page, tab: str) -> bytes:
    link = page.locator(f"#{tab}-view a.pg-save")
    expect(link).to_be_visible(timeout=150_000)
    return base64.b64decode(link.get_attribute("href").partition(",")[2])


SCRUB = """(range, t) => { range.value = t; range.dispatchEvent(new Event("input", { bubbles: true })); }"""


def scrub(page: Page, t: int) -> None:
    """Drag the time and hold it: letting go is another event."""
    page.locator("#forward-t .pg-time").evaluate(SCRUB, t)


def let_go(page: Page, t: int) -> None:
    scrub(page, t)
    page.locator("#forward-t .pg-time").dispatch_event("change")


def settled(page: Page, said: str) -> None:
    expect(page.locator(f"#forward-view [data-query*='{said}']")).to_be_visible()


def expected_picture(page: Page, zoo: Zoo, schedule: str, t: int) -> np.ndarray:
    """x_t as the library makes it, uint8 [h, w, 3]."""
    recipe = shown_recipe(page, "forward")
    reference = zoo.reference(recipe.dataset)
    x0 = reference.picture(recipe.picture)[0][0]
    (noise,) = seeded_noise([recipe.seed], tuple(x0.shape))
    x_t = to_uint8(diffuse(x0, noise, signal_levels(schedule)[t]))
    return np.broadcast_to(x_t, (*x_t.shape[:2], 3))


@pytest.mark.parametrize("width", [DESKTOP, PHONE])
def test_a_picture_drowns_without_a_request(open_page: Visit, real_zoo: Zoo, width: int) -> None:
    page = open_page(width)
    open_tab(page, "forward")
    saved(page, "forward")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    for t in (0, 350, 999):
        scrub(page, t)
        for selector, schedule in ((".pg-sum [data-noisy]", "linear"), *((f"[data-noisy={s}]", s) for s in SCHEDULES)):
            difference = canvas(page, selector).astype(int) - expected_picture(page, real_zoo, schedule, t)
            assert np.abs(difference).max() <= 1, (t, schedule)
    assert asked == []
    expect(page.locator("#forward-t output")).to_contain_text(re.compile(r"t = 999 · SNR = 0.000040"))
    expect(page.locator("#forward-t output em")).to_be_visible()
    expect(page.locator("#forward-t [data-of=linear] p")).to_contain_text("drowned from t = 674", use_inner_text=True)
    let_go(page, 350)
    settled(page, "t=350")
    expect(page.locator("#forward-t output em")).to_be_hidden()
    assert shown_recipe(page, "forward").t == 350
    assert recipe_of(saved(page, "forward")) == shown_recipe(page, "forward")
    assert fits_the_screen(page)
    page.locator("[data-language=ko]").click()
    expect(page.locator("#forward-t h3")).to_have_text("같은 그림, 같은 잡음, 네 가지 스케줄", use_inner_text=True)
    expect(page.get_by_role("tab", name="정방향 과정")).to_be_visible()


def test_the_drowning_is_saved_as_a_gif(open_page: Visit, real_zoo: Zoo) -> None:
    page = open_page(query="task=forward&picture=3&seed=8&schedule=cosine")
    settled(page, "schedule=cosine")
    film = kept_gif(page, "#forward-view [data-keep]")
    times = np.linspace(0, 999, 40).round().astype(int)
    assert len(film) == len(times)
    pad, side = 8, 160
    for k in (0, 12, 39):
        wanted = expected_picture(page, real_zoo, "cosine", int(times[k])).astype(int)
        assert np.abs(film[k][pad : pad + side : 5, pad : pad + side : 5].astype(int) - wanted).mean() < 4
    clean = expected_picture(page, real_zoo, "cosine", 0).astype(int)
    beside = film[39][pad : pad + side : 5, 2 * pad + side : 2 * pad + 2 * side : 5].astype(int)
    assert np.abs(beside - clean).mean() < 8  # the picture that the noise is mixed into stays beside it


def test_another_schedule_picture_and_drawing_are_drowned_the_same_way(open_page: Visit, real_zoo: Zoo) -> None:
    page = open_page()
    open_tab(page, "forward")
    saved(page, "forward")
    choose(page, "forward-schedule", "Cosine")
    settled(page, "schedule=cosine")
    expect(page.locator("#forward-t .pg-schedule.pg-on")).to_contain_text("Cosine", use_inner_text=True)
    slider(page, "forward-picture").fill("9")
    settled(page, "picture=9")
    t = shown_recipe(page, "forward").t
    shown = canvas(page, ".pg-sum [data-noisy]").astype(int)
    assert np.abs(shown - expected_picture(page, real_zoo, "cosine", t)).max() <= 1
    pad = page.locator("#forward-drawing canvas")
    pad.scroll_into_view_if_needed()
    box = pad.bounding_box()
    page.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 0.2 * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 0.8 * box["height"], steps=5)
    page.mouse.up()
    settled(page, "drawing=")
    clean = canvas(page, "[data-clean]")
    assert clean.max() > 200
    assert (clean > 128).mean() < 0.3, "a line, not the held-out picture"


@pytest.mark.parametrize("path", ["", "hangul"])
def test_a_link_into_the_forward_process_restores_all_of_it(open_page: Visit, real_zoo: Zoo, path: str) -> None:
    said = "task=forward&seed=99&picture=12&t=612&schedule=sigmoid"
    page = open_page(PHONE, path=path, query=f"dataset={path}&{said}" if path else said)
    settled(page, "t=612")
    recipe = shown_recipe(page, "forward")
    assert (recipe.task, recipe.seed, recipe.picture, recipe.t, recipe.schedule) == ("forward", 99, 12, 612, "sigmoid")
    expect(page.locator("#forward-t .pg-time")).to_have_value("612")
    expect(page.locator("#forward-schedule input:checked")).to_have_value("sigmoid")
    expect(page.locator("#forward-seed input")).to_have_value("99")
    expect(page.locator("#forward-t .pg-ready")).to_be_visible()
    shown = canvas(page, ".pg-sum [data-noisy]").astype(int)
    assert np.abs(shown - expected_picture(page, real_zoo, "sigmoid", 612)).max() <= 1
    other = open_page(path=path, query=f"dataset={path}&{said}" if path else said)
    settled(other, "t=612")
    assert saved(other, "forward") == saved(page, "forward")


def test_a_forward_recipe_that_cannot_be_is_a_sentence(open_page: Visit) -> None:
    page = open_page(query="task=forward&t=1000")
    expect(page.locator("#notice [role=alert]")).to_contain_text("t must be a whole number from 0 to 999, got 1000")
    page = open_page(query="task=forward&drawing=abc")
    expect(page.locator("#forward-view [role=alert]")).to_contain_text("drawing is not readable")


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ladders that a loaded machine can climb while somebody waits."""
    monkeypatch.setattr(ladder, "RUNGS", {"steps": (1, 2, 5, 10), "guidance": (0, 1, 3)})
    monkeypatch.setattr(ladder, "REFERENCES", {"steps": 10, "guidance": 1})


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize("width", [DESKTOP, PHONE])
def test_a_ladder_is_climbed_and_every_cell_opens_as_its_recipe(open_page: Visit, width: int) -> None:
    page = open_page(width, query="model=ddpm&task=ladder&seed=34&samplers=dpmpp,ddpm")
    assert recipe_of(saved(page, "ladder")) == shown_recipe(page, "ladder")
    recipe = shown_recipe(page, "ladder")
    assert (recipe.task, recipe.samplers, recipe.seed) == ("ladder", ("ddpm", "dpmpp"), 34)
    rows = page.locator("#ladder-view section:visible")
    expect(rows).to_have_count(2)
    for row in rows.all():
        expect(row.locator("a[data-recipe]")).to_have_count(4)
        expect(row).to_contain_text(re.compile(r"distance 0\.\d\d"), use_inner_text=True)
    expect(page.locator("#ladder-cost")).to_contain_text("36 network passes", use_inner_text=True)
    assert fits_the_screen(page)
    link = page.locator("#ladder-dpmpp a[data-recipe]").nth(2)
    wanted, picture = from_query(link.get_attribute("data-recipe")), link.locator("img").get_attribute("src")
    assert (wanted.sampler, wanted.steps, wanted.seed, wanted.task) == ("dpmpp", 5, 34, "sample")
    page.locator("[data-language=ko]").click()
    expect(page.locator("#ladder-view")).to_contain_text("거리", use_inner_text=True)
    link.click()
    # a control that is set asks for itself: on a slow machine a recipe that is half the link's comes before it
    expect(page.locator("#diffusion-view [data-query*='steps=5&sampler=dpmpp']")).to_be_visible()
    expect(page.locator("#diffusion-view a.pg-save")).to_be_visible()
    assert shown_recipe(page, "diffusion") == wanted
    assert page.locator("#diffusion-view .pg-grid img").get_attribute("src") == picture


@pytest.mark.usefixtures("short")
def test_a_ladder_opened_by_hand_is_climbed_with_what_the_controls_begin_with(open_page: Visit) -> None:
    page = open_page(locale="ko-KR")
    page.locator("#tab-inside-button").click()
    expect(page.locator("#tab-ladder-button")).to_have_text("몇 단계면 될까?")
    page.locator("#tab-ladder-button").click()
    expect(page.locator("#ladder-ladder input[value=steps]")).to_be_checked()
    saved(page, "ladder")
    assert shown_recipe(page, "ladder").samplers == ladder.USUAL_SAMPLERS


@pytest.mark.usefixtures("short")
def test_too_high_a_ladder_is_a_sentence_and_guidance_has_a_ladder_of_its_own(
    open_page: Visit, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = open_page(query="model=ddpm&task=ladder&ladder=guidance&labels=8&samplers=dpmpp&steps=4")
    saved(page, "ladder")
    expect(page.locator("#ladder-dpmpp a[data-recipe]")).to_have_count(3)
    assert shown_recipe(page, "ladder").steps == 4
    monkeypatch.setattr(limits, "MAX_NETWORK_EVALUATIONS", 10)
    slider(page, "ladder-steps").fill("5")
    refusal = page.locator("#ladder-top .pg-error")
    expect(refusal).to_contain_text("at most 10 network evaluations, this ladder needs 20")
    monkeypatch.undo()


def test_a_ladder_without_a_diffusion_model_is_a_sentence(open_page: Visit) -> None:
    page = open_page(query="task=ladder")
    expect(page.locator("#notice [role=alert]")).to_contain_text("model must be a diffusion model to go up a ladder")


def test_what_the_page_is_sent_is_finer_than_a_screen() -> None:
    values = torch.cat([torch.linspace(-1, 1, 999), seeded_noise([5], (9999,))[0]])
    unpacked = np.frombuffer(base64.b64decode(packed(values)), "<i2") / 4096
    assert np.abs(unpacked - values.numpy()).max() < 0.5 / 127.5 / 10
