"""A visitor's journey through the VAE tab, in a real browser."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from playground import render
from playground.generate import last
from playground.zoo import Zoo
from tests.browser import DESKTOP, PHONE
from tests.journey import changes, choose, finished, fits_the_screen, pictures, query, shown_recipe, slider

Visit = Callable[..., Page]


@pytest.mark.parametrize("width", [DESKTOP, PHONE])
def test_sliders_dice_and_temperature_change_what_is_drawn(open_page: Visit, width: int) -> None:
    page = open_page(width)
    assert len(pictures(page, "vae")) == 4 + 8  # the noise of four seeds, and eight pictures
    assert fits_the_screen(page)

    first_slider = slider(page, "vae-shifts-0")
    changes(page, "vae", lambda: first_slider.press("ArrowRight"))
    assert shown_recipe(page, "vae").shifts == (0.05,)

    seed = page.locator("#vae-seed input")
    before = seed.input_value()
    changes(page, "vae", page.locator("#vae-seed-dice").click)
    assert shown_recipe(page, "vae").seed != int(before)
    changes(page, "vae", page.locator("#vae-seed-last").click)
    assert seed.input_value() == before

    alike = changes(page, "vae", lambda: (first_slider.fill("0"), slider(page, "vae-temperature").fill("0")))
    assert len({Image.open(io.BytesIO(png)).tobytes() for png in alike[4:]}) == 1


@pytest.mark.parametrize("width", [DESKTOP, PHONE])
def test_dragging_over_the_map_draws_the_place_and_its_link_gives_the_same_bytes(open_page: Visit, width: int) -> None:
    page = open_page(width)
    pictures(page, "vae")
    choose(page, "vae-task", "Map of the latent space")
    area = page.locator("#vae-point .pg-map").first
    expect(area).to_be_visible()
    expect(page.locator("#vae-view")).to_contain_text("z = (")
    area.scroll_into_view_if_needed()
    box = area.bounding_box()

    def drag() -> None:
        page.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 0.5 * box["height"])
        page.mouse.down()
        page.mouse.move(box["x"] + 0.8 * box["width"], box["y"] + 0.2 * box["height"], steps=6)
        page.mouse.up()

    changes(page, "vae", drag)
    recipe = shown_recipe(page, "vae")
    assert recipe.point[0] > 0
    assert recipe.point[1] > 0
    moved = changes(page, "vae", lambda: area.press("ArrowLeft"))
    assert shown_recipe(page, "vae").point[0] < recipe.point[0]
    assert fits_the_screen(page)

    other = open_page(width, "ko-KR", query(page, "vae"))
    expect(other.locator("#vae-view")).to_contain_text("z = (")
    assert pictures(other, "vae") == moved


def test_encoding_a_held_out_picture_shows_the_numbers_that_the_door_gives(open_page: Visit) -> None:
    page = open_page(query="model=vae2&task=encode&picture=17&count=4")
    view = page.locator("#vae-view")
    recipe = finished(page, "vae", task="encode", picture=17, count=4)
    expect(view).to_contain_text("reconstruction loss")
    encoding = last(recipe, Zoo()).encoding
    expect(view).to_contain_text(f"{encoding.recon_loss:.1f} nats")
    expect(view).to_contain_text(f"{encoding.kl:.1f} nats")
    assert len(pictures(page, "vae")) == 2 + 4


def test_a_drawing_is_encoded_and_travels_in_its_link(open_page: Visit) -> None:
    page = open_page(query="model=vae2&task=encode")
    canvas = page.locator("#vae-drawing canvas")
    expect(canvas).to_be_visible()
    pictures(page, "vae")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()

    def draw_a_seven() -> None:
        corners = [(0.3, 0.25), (0.7, 0.25), (0.45, 0.8)]
        places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in corners]
        page.mouse.move(*places[0])
        page.mouse.down()
        for place in places[1:]:
            page.mouse.move(*place, steps=6)
        page.mouse.up()

    drawn = changes(page, "vae", draw_a_seven)
    recipe = shown_recipe(page, "vae")
    assert recipe.drawing
    assert pictures(open_page(query=query(page, "vae")), "vae") == drawn


def test_a_walk_is_a_strip_and_an_animation_to_keep(open_page: Visit, tmp_path: Path) -> None:
    page = open_page(query="model=vae2&task=walk&seed=3&seed_to=9&count=5")
    expect(page.locator("#vae-view .pg-strip img")).to_have_count(5)
    with page.expect_download() as download:
        page.locator("#vae-view a[download$='.webp']").click()
    download.value.save_as(tmp_path / "walk.webp")
    assert Image.open(tmp_path / "walk.webp").n_frames == 8


def test_a_saved_picture_holds_its_recipe(open_page: Visit, tmp_path: Path) -> None:
    page = open_page()
    pictures(page, "vae")
    with page.expect_download() as download:
        page.locator("#vae-view a[download$='.png']").click()
    download.value.save_as(tmp_path / "saved.png")
    assert render.recipe_of((tmp_path / "saved.png").read_bytes()) == shown_recipe(page, "vae")


def test_the_language_switches_at_run_time_without_a_request(open_page: Visit) -> None:
    page = open_page(locale="ko-KR")
    pictures(page, "vae")
    expect(page.locator("h1")).to_have_text("생성 모델 놀이터", use_inner_text=True)
    expect(page.locator("#vae-seed")).to_contain_text("시드")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if "/gradio_api/" in request.url else None)
    tabs = page.get_by_role("tab")
    korean = ["VAE", "GAN", "확산", "확산 속으로", "배우는 과정", "비교", "하나만 바꾸기", "어디에 쓸까"]
    expect(tabs).to_have_text([*korean, "마르코프 체인 → 확산"])
    page.locator("[data-language=en]").click()
    expect(page.locator("h1")).to_have_text("Generative Playground", use_inner_text=True)
    expect(page.locator("#vae-seed")).to_contain_text("Seed")
    english = [
        "VAE",
        "GAN",
        "Diffusion",
        "Inside diffusion",
        "How they learned",
        "Compare",
        "Change one thing",
        "What for?",
    ]
    expect(tabs).to_have_text([*english, "Markov chains → diffusion"])
    assert asked == []
    page.reload()
    expect(page.locator("h1")).to_have_text("Generative Playground", use_inner_text=True)
    expect(tabs).to_have_text([*english, "Markov chains → diffusion"])


@pytest.mark.parametrize(
    ("bad", "named"), [("seed=-1", "seed"), ("model=nothing", "model"), ("count=4.5", "count"), ("truth=1", "truth")]
)
def test_an_impossible_link_opens_the_usual_page_with_a_sentence(open_page: Visit, bad: str, named: str) -> None:
    page = open_page(query=bad)
    expect(page.locator("#notice [role=alert]")).to_contain_text(named)
    assert pictures(page, "vae")


def test_an_impossible_value_gets_a_sentence_and_the_next_one_works(open_page: Visit) -> None:
    page = open_page()
    pictures(page, "vae")
    seed = page.locator("#vae-seed input")
    seed.fill("")
    seed.press("Tab")
    expect(page.locator("#vae-view [role=alert]")).to_contain_text("seed must be a whole number")
    seed.fill("12")
    seed.press("Tab")
    expect(page.locator("#vae-view [role=alert]")).to_have_count(0)
    assert shown_recipe(page, "vae").seed == 12
