"""A visitor's journey through the Compare tab, in a real browser; and what a row says of a model's quality."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import replace

import httpx
import pytest
from playwright.sync_api import Page as Browser
from playwright.sync_api import expect

from playground.recipe import Recipe, from_query
from playground.render import recipe_of
from playground.ui import compare, gan
from playground.ui.page import Page
from playground.ui.text import COMMON, Words, attribute_key, attribute_table
from playground.zoo import Card, Zoo
from tests.browser import DESKTOP, PHONE
from tests.journey import fits_the_screen, open_tab, query, shown_recipe

Visit = Callable[..., Browser]


def finished(page: Browser) -> bytes:
    """Wait for the last row; the picture to save."""
    save = page.locator("#compare-view a.pg-save")
    expect(save).to_be_visible()
    return base64.b64decode(save.get_attribute("href").partition(",")[2])


def rows(page: Browser) -> list[dict]:
    """Every row as the page shows it: its model, its pictures with where they stand, its facts."""
    return page.locator("#compare-view section.pg-family").evaluate_all(
        """rows => rows.map((row) => ({
            model: row.dataset.model,
            sources: [...row.querySelectorAll("img")].map((image) => image.src),
            middles: [...row.querySelectorAll("img")].map((image) => {
                const box = image.getBoundingClientRect(); return box.left + box.width / 2; }),
            rights: [...row.querySelectorAll("img")].map((image) => image.getBoundingClientRect().right),
            facts: row.querySelector(".pg-costs").innerText,
        }))"""
    )


def type_into(page: Browser, control: str, text: str) -> None:
    page.locator(f"#compare-{control}").fill(text)
    page.locator(f"#compare-{control}").press("Tab")


def answer_of(server: str, end_point: str, recipe: Recipe) -> dict:
    """What the API answers to a recipe."""
    info = httpx.get(f"{server}gradio_api/info").json()["named_endpoints"][f"/{end_point}"]
    values = [getattr(recipe, parameter["parameter_name"]) for parameter in info["parameters"]]
    joined = httpx.post(f"{server}gradio_api/call/{end_point}", json={"data": values}, timeout=30).json()
    events = httpx.get(f"{server}gradio_api/call/{end_point}/{joined['event_id']}", timeout=30).text.split("\n\n")
    assert events[-2].startswith("event: complete")
    return json.loads(events[-2].partition("\ndata: ")[2])[0]


@pytest.mark.parametrize("width", [DESKTOP, PHONE])
def test_every_family_stands_in_a_row_in_line_with_its_seeds(open_page: Visit, width: int) -> None:
    page = open_page(width)
    expect(page.locator("#vae-view img, #gan-view img").first).to_be_attached()
    assert page.locator("#compare-view section").count() == 0  # nobody looks yet: no work is done
    open_tab(page, "compare")
    finished(page)
    shown, recipe = rows(page), shown_recipe(page, "compare")
    assert [row["model"] for row in shown] == list(recipe.models)
    assert len(shown) == page.locator("#compare-models input:checked").count()
    seeds = page.locator("#compare-view .pg-seeds figure").evaluate_all(
        "figures => figures.map((f) => { const box = f.getBoundingClientRect(); return box.left + box.width / 2; })"
    )
    assert len(seeds) == recipe.count == 6
    for row in shown:
        assert row["middles"] == pytest.approx(seeds, abs=1)
        assert max(row["rights"]) <= width
        assert len(set(row["sources"])) == recipe.count
        assert re.search(r"Time\s+[\d.]+ m?s\s", row["facts"])
        assert re.search(r"Parameters\s+[\d.]+ [kM]", row["facts"])
    for seed in recipe.seeds:
        expect(page.locator("#compare-view .pg-seeds")).to_contain_text(f"seed {seed}")
    assert fits_the_screen(page)
    change_language(page)


def change_language(page: Browser) -> None:
    """The other language's words are there at once, and no handler was asked for them."""
    first = page.locator("#compare-view section").first
    before = [row["sources"] for row in rows(page)]
    expect(first).to_contain_text("Parameters", use_inner_text=True)
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.locator("[data-language=ko]").click()
    expect(first).to_contain_text("매개변수", use_inner_text=True)
    expect(first).not_to_contain_text("Parameters", use_inner_text=True)
    expect(page.locator("#compare-models")).to_contain_text("모델")
    expect(page.locator(".pg-glossary")).to_contain_text("프레셰 거리", use_inner_text=True)
    assert [url for url in requests if "/assets/" not in url and not url.startswith(("data:", "blob:"))] == []
    assert [row["sources"] for row in rows(page)] == before


def test_a_link_gives_the_same_bytes_in_another_browser_and_through_the_api(open_page: Visit, server: str) -> None:
    page = open_page(query="task=compare&labels=8&seed=42&count=3&steps=4&sampler=ddim&guidance_scale=2.0")
    mine = finished(page)
    recipe = shown_recipe(page, "compare")
    assert recipe_of(mine) == recipe
    assert (recipe.sampler, recipe.guidance_scale, recipe.labels, recipe.count) == ("ddim", 2.0, (8,), 3)
    other = open_page(PHONE, locale="ko-KR", query=query(page, "compare"))
    assert finished(other) == mine
    assert [row["sources"] for row in rows(other)] == [row["sources"] for row in rows(page)]
    assert other.locator("#compare-seed input").input_value() == "42"
    assert other.locator("#compare-models input:checked").count() == len(recipe.models)
    assert base64.b64decode(answer_of(server, "compare", recipe)["sheet"]) == mine
    for row in rows(page):  # every row is what its model makes alone, and its pictures say how
        shown = [base64.b64decode(source.partition(",")[2]) for source in row["sources"]]
        own = recipe_of(shown[0])
        assert (own.task, own.model, own.seed, own.labels) == ("sample", row["model"], 42, (8,))
        alone = answer_of(server, "sample", own)["pictures"]
        assert [base64.b64decode(picture["png"]) for picture in alone] == shown


def test_the_newest_choice_replaces_the_one_that_still_runs(open_page: Visit) -> None:
    page = open_page(query="task=compare&count=2&steps=250&seed=3")
    diffusion = page.locator("#compare-view section[data-model=ddpm]")
    expect(diffusion.locator("h3")).to_contain_text(re.compile(r"step \d+ of 250"))
    type_into(page, "steps input[type=number]", "2")
    expect(diffusion.locator(".pg-costs")).to_contain_text(re.compile(r"passes\s*2\s"), use_inner_text=True)
    finished(page)
    assert shown_recipe(page, "compare").steps == 2
    models = shown_recipe(page, "compare").models
    page.locator("#compare-models input:checked").last.click()
    expect(page.locator("#compare-view section.pg-family")).to_have_count(len(models) - 1)
    assert shown_recipe(page, "compare").models == models[:-1]


def test_a_mistake_that_is_typed_gets_a_sentence_and_leaves_the_rows(open_page: Visit) -> None:
    page = open_page(query="task=compare&seed=42&count=2&steps=3")
    before = finished(page)
    for typed in ("99999999999", "-1", "4.5", ""):
        type_into(page, "seed input", typed)
        error = page.locator("#compare-view .pg-error")
        expect(error).to_contain_text("seed must be a whole number from 0 to 4294967295")
        expect(error).to_contain_text(f"got {typed or None}")
    type_into(page, "seed input", "42")
    assert finished(page) == before


def test_a_link_that_the_tab_cannot_show_says_why(open_page: Visit) -> None:
    page = open_page(query="task=compare&count=9")
    expect(page.locator("#notice")).to_contain_text("count must be a whole number from 1 to 8")


# ---- quality, without a browser


@pytest.fixture(scope="module")
def page(tiny_zoo: Zoo) -> Page:
    dataset = tiny_zoo.datasets()[0]
    return Page(tiny_zoo, dataset, Words(COMMON, attribute_table(dataset), gan.TEXT, compare.TEXT))


def measured(card: Card, **metrics: object) -> Card:
    return replace(card, facts={**card.facts, "metrics": metrics})


def english(text: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", re.sub(r'<span lang="ko">.*?</span>', "", text))).strip()


def everything(page: Page) -> Mapping[str, object]:
    return {
        "feature_net": "features",
        "samples": 10000,
        "frechet_distance": 3.456,
        "frechet_floor": 1.2,
        "frechet_ratio": 2.88,
        "precision": 0.934,
        "recall": 0.8812,
        "condition_accuracy": {attribute.name: 0.991 for attribute in page.dataset.attributes},
        "steps": 50,
        "sampler": "dpmpp",
        "guidance_scale": 1.25,
        "network_evaluations": 100,
        "milliseconds_per_picture": {"batch_1": 12.0},
    }


def test_measured_quality_stands_with_its_number_of_pictures_and_its_feature_net(page: Page) -> None:
    card = measured(page.zoo.card(page.dataset.name, "ddpm"), **everything(page))
    said = english("".join(compare.quality(page, card)))
    assert "Fréchet distance 3.46 2.9 × real" in said
    assert "Precision 93.4 %" in said
    assert "Recall 88.1 %" in said
    for attribute in page.dataset.attributes:
        assert f"{page.words.table[attribute_key(page.dataset, attribute.name)][0]} as asked 99.1 %" in said
    how = english(compare.measured_how(page.words, card))
    assert "10,000 pictures" in how
    assert "“features”" in how
    assert "DPM-Solver++, steps 50 , guidance 1.25" in how
    assert "1.20 apart" in how


def test_steps_are_said_of_diffusion_alone(page: Page) -> None:
    card = measured(page.zoo.card(page.dataset.name, "gan"), **everything(page))
    assert "steps" not in english(compare.measured_how(page.words, card))


@pytest.mark.parametrize("missing", ["samples", "feature_net", None])
def test_a_figure_without_its_number_of_pictures_or_feature_net_is_not_shown(page: Page, missing: str | None) -> None:
    metrics = {} if missing is None else {name: v for name, v in everything(page).items() if name != missing}
    card = measured(page.zoo.card(page.dataset.name, "gan"), **metrics)
    said = "".join(compare.quality(page, card))
    assert english(said) == "Quality: not measured yet"
    assert "아직 측정하지 않음" in said
    assert compare.measured_how(page.words, card) == ""


@pytest.mark.parametrize("name", ["frechet_distance", "frechet_ratio", "frechet_floor", "precision", "recall"])
def test_a_figure_that_is_missing_leaves_the_others(page: Page, name: str) -> None:
    metrics = {key: value for key, value in everything(page).items() if key not in (name, "condition_accuracy")}
    card = measured(page.zoo.card(page.dataset.name, "gan"), **metrics)
    said = english("".join(compare.quality(page, card)) + compare.measured_how(page.words, card))
    pieces = {"Fréchet": "frechet_distance", "Precision": "precision", "Recall": "recall", "apart": "frechet_floor"}
    assert {key for word, key in pieces.items() if word in said} == set(pieces.values()) - {name}


def test_a_link_comes_back_from_the_tab(page: Page) -> None:
    recipe = from_query("task=compare&seed=4&models=gan,vae&steps=7")
    assert compare.shows(recipe, page.zoo)
    assert not compare.shows(replace(recipe, task="sample", models=()), page.zoo)
    for wrong in ({"count": 9}, {"steps": 251}, {"models": ("no",)}):
        with pytest.raises(ValueError, match=f"^{next(iter(wrong))} must be"):
            compare.shows(replace(recipe, **wrong), page.zoo)
