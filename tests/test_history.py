"""How models learned: the records beside the weights are whole, damaged ones are left out, the page scrubs them."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from playwright.sync_api import Page, expect

from playground.datasets import DATASETS
from playground.datasets.base import PRETRAINED_FOLDER
from playground.history import FOLDER, RECORDED, DamagedRecordError, histories, read_history
from playground.training.record import moments
from playground.ui.growth import CURVES
from playground.zoo import Zoo
from tests.browser import DESKTOP, PHONE
from tests.journey import fits_the_screen, open_tab

Visit = Callable[..., Page]
NAME = "digits"
PUBLISHED = PRETRAINED_FOLDER / NAME / FOLDER


def pictures_of(model: str) -> tuple[np.ndarray, list[list[int]]]:
    """uint8 [pictures, moments, size, size] and the labels."""
    facts = json.loads((PUBLISHED / f"{model}.json").read_text())
    size = DATASETS[NAME].size
    with Image.open(PUBLISHED / f"{model}.webp") as image:
        pixels = np.asarray(image.convert("L")).reshape(len(facts["labels"]), size, len(facts["counts"]), size)
    return pixels.transpose(0, 2, 1, 3).copy(), facts["labels"]


def test_every_family_is_recorded_at_the_same_moments(real_zoo: Zoo) -> None:
    found = histories(real_zoo, DATASETS[NAME])
    assert [history.family for history in found] == list(CURVES)
    for history in found:
        assert history.counts[0] == 0
        assert history.counts[-1] > 60_000
        for seen, planned in zip(history.counts, moments(), strict=False):
            assert planned <= seen < planned + 64
        names = {name.rpartition("/")[2] for name in history.losses}
        assert set(CURVES[history.family]) <= names
        facts = json.loads((PUBLISHED / f"{history.model}.json").read_text())
        assert re.fullmatch(
            rf"python -m playground\.training {NAME} {history.model} --record( --threads \d)?", facts["command"]
        )


@pytest.mark.parametrize("model", RECORDED)
def test_what_is_asked_for_is_learned_from_nothing(model: str, real_zoo: Zoo) -> None:
    pictures, labels = pictures_of(model)
    reader = real_zoo.reader(NAME)

    def share_read(moment: int) -> float:
        shown = torch.from_numpy(pictures[:, moment, None]).float() / 127.5 - 1
        return float((reader.read(shown) == torch.tensor(labels)).float().mean())

    assert share_read(0) < 0.4
    assert share_read(-1) > 0.8


def test_the_police_loses_its_certainty(real_zoo: Zoo) -> None:
    gan = next(h for h in histories(real_zoo, DATASETS[NAME]) if h.family == "gan")
    certainty = [v for v in gan.losses["discriminator/certainty"] if v is not None]
    assert max(certainty) > certainty[-1] + 0.05
    assert certainty.index(max(certainty)) < len(certainty) / 2


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    folder = tmp_path / NAME / FOLDER
    shutil.copytree(PUBLISHED, folder)
    return folder


def rewrite(folder: Path, change: Callable[[dict], object]) -> None:
    path = folder / "vae.json"
    facts = json.loads(path.read_text())
    change(facts)
    path.write_text(json.dumps(facts))


@pytest.mark.parametrize(
    "change",
    [
        lambda facts: facts.pop("counts"),
        lambda facts: facts["counts"].reverse(),
        lambda facts: facts["counts"].append(10**9),
        lambda facts: facts["labels"].pop(),
        lambda facts: facts["losses"]["vae/kl"].pop(),
        lambda facts: facts["losses"].update({"vae/kl": [float("nan")] * len(facts["counts"])}),
        lambda facts: facts["losses"].update({"vae/kl": "x" * len(facts["counts"])}),
        lambda facts: facts.update(sha256="0"),
    ],
)
def test_a_damaged_record_is_left_out_with_a_line(
    copied: Path, change: Callable[[dict], object], caplog: pytest.LogCaptureFixture
) -> None:
    rewrite(copied, change)
    with pytest.raises(DamagedRecordError, match="vae"):
        read_history(copied, "vae", DATASETS[NAME])
    found = histories(Zoo(copied.parents[1]), DATASETS[NAME])
    assert [history.model for history in found] == ["gan", "ddpm"]
    assert "left out: vae" in caplog.text


def test_a_record_without_its_pictures_is_left_out_and_none_is_none(copied: Path) -> None:
    (copied / "gan.webp").unlink()
    zoo = Zoo(copied.parents[1])
    assert [history.model for history in histories(zoo, DATASETS[NAME])] == ["vae", "ddpm"]
    shutil.rmtree(copied)
    assert histories(zoo, DATASETS[NAME]) == []


DRAG = """([moment]) => {
  const range = document.querySelector("#growth-view input[type=range]");
  range.value = moment;
  range.dispatchEvent(new Event("input", { bubbles: true }));
}"""


def seen(page: Page) -> int:
    return int(page.locator("#growth-view .pg-scrub [lang=en] b").inner_text().replace(",", ""))


@pytest.mark.parametrize("width", [DESKTOP, PHONE])
def test_a_visitor_drags_through_the_training_without_a_request(open_page: Visit, width: int) -> None:
    page = open_page(width)
    open_tab(page, "growth")
    expect(page.locator("#growth-view .pg-crowd")).to_have_count(3)
    last = seen(page)
    assert last > 60_000
    cell = page.locator("#growth-view [data-model=gan] .pg-cell").nth(5)
    before = cell.screenshot()
    asked: list[str] = []
    page.on("request", lambda request: None if request.url.startswith("data:") else asked.append(request.url))
    page.evaluate(DRAG, [1])
    assert seen(page) < 300
    assert cell.screenshot() != before
    certainty = page.locator("#growth-view [data-model=gan] .pg-loss b").inner_text()
    page.evaluate(DRAG, [9])
    assert page.locator("#growth-view [data-model=gan] .pg-loss b").inner_text() != certainty
    page.locator("#growth-view [data-play]").click()
    page.wait_for_function("() => document.querySelector('#growth-view input[type=range]').value > 11")
    assert asked == []
    assert fits_the_screen(page)
    page.locator("[data-language=ko]").click()
    expect(page.locator("#growth-view")).to_contain_text("경찰의 확신", use_inner_text=True)


def test_a_link_opens_it_and_a_data_set_without_records_has_no_such_tab(open_page: Visit) -> None:
    page = open_page(query="task=growth")
    expect(page.locator("#growth-view .pg-crowd")).to_have_count(3)
    without = next(name for name in DATASETS if not (PRETRAINED_FOLDER / name / FOLDER).is_dir())
    other = open_page(path=without)
    expect(other.get_by_role("tab", name="Compare", exact=True)).to_be_visible()
    assert other.get_by_role("tab", name="How they learned", exact=True).count() == 0
