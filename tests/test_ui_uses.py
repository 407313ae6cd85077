"""Journeys through what models are good for, in a real browser: anomaly detection and data augmentation."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from playground.anomalies.defects import SPOILERS
from playground.anomalies.detectors import examine
from playground.anomalies.norms import load_norms
from playground.recipe import Recipe
from playground.render import recipe_of
from playground.zoo import Zoo
from tests.browser import DESKTOP, PHONE
from tests.journey import changes, choose, fits_the_screen, open_tab, query, shown_recipe, slider

Visit = Callable[..., Page]


def saved(page: Page, tab: str) -> bytes:
    link = page.locator(f"#{tab}-view a.pg-save")
    expect(link).to_be_visible(timeout=150_000)
    return base64.b64decode(link.get_attribute("href").partition(",")[2])


def says(page: Page, wanted: str) -> None:
    page.wait_for_function(
        "wanted => document.querySelector('#anomaly-view [data-query]')?.dataset.query.includes(wanted)", arg=wanted
    )


def verdicts(page: Page) -> list[bool]:
    """Whether each detector raises the alarm, in order."""
    chips = page.locator("#anomaly-view .pg-jury .pg-verdict")
    return chips.evaluate_all("chips => chips.map((chip) => chip.classList.contains('pg-alarm'))")


@pytest.mark.parametrize("width", [DESKTOP, PHONE])
def test_a_visitor_spoils_a_picture_and_sees_who_notices(open_page: Visit, real_zoo: Zoo, width: int) -> None:
    page = open_page(width)
    open_tab(page, "anomaly")
    saved(page, "anomaly")
    first = shown_recipe(page, "anomaly")
    assert (first.task, first.defect) == ("anomaly", "scratch")
    changes(page, "anomaly", lambda: choose(page, "anomaly-defect", "A piece is missing"))
    says(page, "defect=hole")
    assert page.locator("#anomaly-view [data-model]").count() == 3
    assert page.locator("#anomaly-view .pg-evidence img").count() == 6, "the police gives nothing back"
    assert recipe_of(saved(page, "anomaly")) == shown_recipe(page, "anomaly")
    shown = shown_recipe(page, "anomaly")
    norms = load_norms(real_zoo, shown.dataset)
    found = {f.card.model: f.score > norms.of(f.card, shown.strength).threshold(shown.false_alarms)
             for f in examine(shown, real_zoo)}  # fmt: skip
    assert verdicts(page) == list(found.values())
    rows = page.locator("#anomaly-view .pg-caught tr")
    assert rows.count() == 1 + len(SPOILERS)
    expect(page.locator("#anomaly-view .pg-caught .pg-here")).to_contain_text("A piece is missing", use_inner_text=True)
    assert fits_the_screen(page)
    page.locator("[data-language=ko]").click()
    expect(page.locator("#anomaly-view")).to_contain_text("얼마나 자주 잡아낼까요?", use_inner_text=True)
    expect(page.locator("#anomaly-view")).not_to_contain_text("How often is it caught?", use_inner_text=True)


def test_who_allows_more_false_alarms_catches_more(open_page: Visit, real_zoo: Zoo) -> None:
    page = open_page(query="task=anomaly&defect=patch&strength=0.3&false_alarms=0.01")
    says(page, "false_alarms=0.01")

    def caught() -> list[int]:
        return [
            int(re.sub(r"\D", "", text)) for text in page.locator("#anomaly-view .pg-caught td b").all_inner_texts()
        ]

    few = caught()
    slider(page, "anomaly-false-alarms").fill("0.2")
    says(page, "false_alarms=0.2")
    many = caught()
    assert all(a <= b for a, b in zip(few, many, strict=True))
    assert sum(many) > sum(few)
    recipe = shown_recipe(page, "anomaly")
    norms = load_norms(real_zoo, recipe.dataset)
    vae = real_zoo.card(recipe.dataset, "vae")
    expected = [round(100 * norms.of(vae, 0.3).caught(defect, 0.2)) for defect in SPOILERS]
    assert many[::3] == pytest.approx(expected, abs=1)


def test_painting_on_a_normal_picture_raises_the_alarm(open_page: Visit) -> None:
    page = open_page(query="task=anomaly&defect=none&picture=4&strength=0.3&seed=3")
    says(page, "task=anomaly")
    saved(page, "anomaly")
    assert verdicts(page)[0] is False
    canvas = page.locator("#anomaly-paint canvas")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    page.mouse.move(box["x"] + 0.1 * box["width"], box["y"] + 0.1 * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + 0.9 * box["width"], box["y"] + 0.15 * box["height"], steps=12)
    page.mouse.up()
    says(page, "paint=")
    page.wait_for_function(
        "document.querySelector('#anomaly-view .pg-jury .pg-verdict').classList.contains('pg-alarm')"
    )
    mine = saved(page, "anomaly")
    other = open_page(PHONE, locale="ko-KR", query=query(page, "anomaly"))
    assert saved(other, "anomaly") == mine


def test_an_anomaly_s_mistake_gets_a_sentence(open_page: Visit) -> None:
    page = open_page(query="task=anomaly&defect=blot&strength=0.3")
    saved(page, "anomaly")
    page.locator("#anomaly-seed input").fill("-1")
    page.locator("#anomaly-seed input").press("Tab")
    expect(page.locator("#anomaly-view .pg-error")).to_contain_text("seed must be a whole number from 0 to 4294967295")
    bad = open_page(query="task=anomaly&defect=rust")
    expect(bad.locator("#notice")).to_contain_text("defect must be one of none, scratch")


@pytest.mark.parametrize("path", ["hangul", "faces"])
def test_other_data_sets_detect_too(open_page: Visit, path: str) -> None:
    page = open_page(PHONE, query="defect=turned&task=anomaly&strength=0.3", path=path)
    assert recipe_of(saved(page, "anomaly")).dataset == path
    assert page.locator("#anomaly-view [data-model]").count() == 3
    assert fits_the_screen(page), "also where every share in the table is 100 %"


def test_readers_race_and_a_link_runs_the_same_race(open_page: Visit) -> None:
    page = open_page()
    open_tab(page, "augment")
    expect(page.locator("#augment-view .pg-progress")).to_be_visible(timeout=30_000)
    sources = page.locator("#augment-view [data-source]").evaluate_all("rows => rows.map((r) => r.dataset.source)")
    assert sources == ["real", "moved", "vae", "gan", "instant", "all"]
    png = saved(page, "augment")
    assert recipe_of(png) == shown_recipe(page, "augment") == Recipe(task="augment")
    marks = [
        float(re.sub(r"[^\d.]", "", text)) for text in page.locator("#augment-view .pg-reading b").all_inner_texts()
    ]
    assert marks[-1] > 90
    assert min(marks[2:5]) > marks[0]
    assert page.locator("#augment-view .pg-diet img").count() == 6 * 12
    assert fits_the_screen(page)
    other = open_page(PHONE, locale="ko-KR", query="task=augment&real_each=1&made_each=5&seed=3")
    assert recipe_of(saved(other, "augment")) == Recipe(task="augment", real_each=1, made_each=5, seed=3)
    assert fits_the_screen(other)
    expect(other.locator("#augment-view")).to_contain_text("진짜 그림만", use_inner_text=True)


def test_a_newer_race_ends_the_older_one(open_page: Visit) -> None:
    page = open_page(query="task=augment&made_each=50")
    expect(page.locator("#augment-view .pg-progress")).to_be_visible(timeout=30_000)
    slider(page, "augment-made-each").fill("2")
    png = saved(page, "augment")
    assert recipe_of(png).made_each == 2
    page.locator("#augment-seed input").fill("-1")
    page.locator("#augment-seed input").press("Tab")
    expect(page.locator("#augment-view .pg-error")).to_contain_text("seed must be a whole number")
