"""A comparison: which models, in which order, the same pictures as alone, a fair clock, an end when nobody looks."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from playground import comparison, limits
from playground.comparison import alone, compare, compared_models, sheet, timed, usual_models
from playground.datasets import DATASETS
from playground.generate import Frame, last
from playground.recipe import DEFAULT, Recipe
from playground.render import recipe_of, to_png, to_uint8
from playground.zoo import FAMILIES, Zoo

NAME = next(iter(DATASETS))
ASKED = Recipe(task="compare", labels=(3,), seed=11, count=3, steps=4)


@pytest.fixture
def zoo_of_few_steps(tiny_zoo: Zoo, tmp_path: Path) -> Zoo:
    """The tiny zoo's diffusion model, and beside it the same one as if made for two steps without guidance."""
    for name in ("ddpm", "instant"):
        shutil.copytree(tiny_zoo.root / NAME / "ddpm", tmp_path / NAME / name)
    path = tmp_path / NAME / "instant" / "card.json"
    card = json.loads(path.read_text())
    settings = {"steps": 2, "sampler": "ddim", "eta": 1.0, "guidance_scale": 1.0}
    path.write_text(json.dumps({**card, "model": "instant", "facts": {**card["facts"], "settings": settings}}))
    return Zoo(tmp_path)


def last_rows(recipe: Recipe, zoo: Zoo) -> list[comparison.Row]:
    return [row for row in compare(recipe, zoo) if row.frame.is_last]


def test_usual_models_are_one_of_each_family_without_the_flat_ones(tiny_zoo: Zoo) -> None:
    assert [card.model for card in usual_models(tiny_zoo, NAME)] == ["vae", "gan", "ddpm"]
    assert [card.family for card in compared_models(ASKED, tiny_zoo)] == list(FAMILIES)


def test_rows_come_in_the_order_of_the_tabs_however_they_were_named(tiny_zoo: Zoo) -> None:
    recipe = replace(ASKED, models=("ddpm", "ae2", "gan"))
    seen = [row.card.model for row in compare(recipe, tiny_zoo)]
    assert seen == ["ae2", "gan", *["ddpm"] * 4]
    assert [row.card.model for row in last_rows(recipe, tiny_zoo)] == ["ae2", "gan", "ddpm"]


def test_a_model_that_is_not_here_is_a_sentence_naming_those_that_are(tiny_zoo: Zoo) -> None:
    with pytest.raises(ValueError, match=r"^models must be one of ae2, vae, vae2, gan, ddpm, got 'no'$"):
        next(compare(replace(ASKED, models=("gan", "no")), tiny_zoo))


@pytest.mark.parametrize("models", [(), ("gan",)])
def test_a_data_set_that_is_not_here_is_a_sentence_naming_those_that_are(
    tiny_zoo: Zoo, models: tuple[str, ...]
) -> None:
    with pytest.raises(ValueError, match=f"^dataset must be one of {NAME}, got 'faces'$"):
        next(compare(replace(ASKED, dataset="faces", models=models), tiny_zoo))


def test_a_model_made_for_few_steps_takes_its_own_and_its_recipe_says_so(zoo_of_few_steps: Zoo) -> None:
    teacher, student = last_rows(replace(ASKED, guidance_scale=2.0), zoo_of_few_steps)
    assert (teacher.recipe.steps, teacher.frame.network_evaluations) == (ASKED.steps, 2 * ASKED.steps)
    assert (student.recipe.steps, student.frame.network_evaluations) == (2, 2)
    assert (student.recipe.sampler, student.recipe.eta, student.recipe.guidance_scale) == ("ddim", 1.0, 1.0)
    assert torch.equal(student.frame.pictures, last(student.recipe, zoo_of_few_steps).pictures)


def test_a_row_holds_the_pictures_that_its_own_recipe_makes(tiny_zoo: Zoo) -> None:
    rows = last_rows(replace(ASKED, models=("ae2", "vae2", "vae", "gan", "ddpm")), tiny_zoo)
    assert len(rows) == 5
    for row in rows:
        assert row.recipe.task == "sample"
        assert row.recipe.seeds == ASKED.seeds
        assert torch.equal(row.frame.pictures, last(row.recipe, tiny_zoo).pictures)


def test_a_rows_own_recipe_says_only_what_its_family_uses(tiny_zoo: Zoo) -> None:
    recipe = replace(ASKED, sampler="ddim", guidance_scale=2.0, eta=0.5, models=("gan", "ddpm"))
    forger, painter = (alone(recipe, tiny_zoo.card(NAME, model)) for model in ("gan", "ddpm"))
    plain = replace(recipe, task="sample", models=())
    assert forger == replace(
        plain,
        model="gan",
        steps=DEFAULT.steps,
        sampler=DEFAULT.sampler,
        eta=0,
        guidance_scale=DEFAULT.guidance_scale,
    )
    assert painter == replace(plain, model="ddpm")


def test_nothing_runs_when_one_model_would_do_too_much(tiny_zoo: Zoo, monkeypatch: pytest.MonkeyPatch) -> None:
    started = []
    monkeypatch.setattr(comparison, "generate", lambda recipe, zoo: started.append(recipe))
    with pytest.raises(ValueError, match=f"at most {limits.MAX_NETWORK_EVALUATIONS} network evaluations"):
        list(compare(replace(ASKED, steps=1000, count=16), tiny_zoo))
    assert started == []


class Clock:
    """A clock that moves when it is told to, so that no busy machine can falsify what is measured with it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr(comparison.time, "perf_counter", lambda: self.now)

    def passes(self, seconds: float) -> None:
        self.now += seconds


def test_the_clock_counts_work_and_not_the_time_between_two_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)

    def work() -> Iterator[Frame]:
        for k in range(3):
            clock.passes(1)
            yield Frame(torch.zeros(1, 1, 2, 2) if k == 2 else None, 0.0, k)

    seconds = []
    for _, so_far in timed(work()):
        seconds.append(so_far)
        clock.passes(100)
    assert seconds == [1, 2, 3]


def test_loading_is_over_before_any_clock_starts(tiny_zoo: Zoo, monkeypatch: pytest.MonkeyPatch) -> None:
    zoo, clock = Zoo(tiny_zoo.root), Clock(monkeypatch)
    load = Zoo.open

    def slow(self: Zoo, dataset: str, model: str) -> object:
        if (dataset, model) not in self._loaded:
            clock.passes(100)
        return load(self, dataset, model)

    monkeypatch.setattr(Zoo, "open", slow)
    assert [row.seconds for row in last_rows(replace(ASKED, count=1), zoo)] == [0, 0, 0]
    assert clock.now >= 300


def test_no_family_is_judged_while_it_is_timed(tiny_zoo: Zoo, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("the discriminator was asked")

    monkeypatch.setattr("playground.generate.realness", refuse)
    assert [row.frame.realness for row in last_rows(replace(ASKED, models=("gan",)), tiny_zoo)] == [None]


def test_closing_a_comparison_ends_the_work_in_it(tiny_zoo: Zoo, monkeypatch: pytest.MonkeyPatch) -> None:
    network = tiny_zoo.open(NAME, "ddpm").network
    calls = []
    monkeypatch.setattr(network, "forward", lambda *args: calls.append(1) or type(network).forward(network, *args))
    rows = compare(replace(ASKED, steps=50, models=("ddpm",)), tiny_zoo)
    for _ in range(3):
        next(rows)
    rows.close()
    assert len(calls) == 3


def test_the_sheet_shows_every_picture_in_its_row_and_column(tiny_zoo: Zoo) -> None:
    rows = last_rows(ASKED, tiny_zoo)
    canvas = sheet(rows)
    assert canvas.shape[2] == 3
    columns, lines = set(), set()
    for line, row in enumerate(rows):
        for column, pixels in enumerate(to_uint8(row.frame.pictures)):
            cell = np.repeat(pixels.repeat(4, 0).repeat(4, 1), 3, axis=2)
            windows = np.lib.stride_tricks.sliding_window_view(canvas, cell.shape)[:, :, 0]
            corner = windows[:, :, 0, 0, 0] == cell[0, 0, 0]
            places = [(y, x) for y, x in np.argwhere(corner) if np.array_equal(windows[y, x], cell)]
            assert len(places) == 1
            lines.add((line, places[0][0]))
            columns.add((column, places[0][1]))
    assert (len(lines), len(columns)) == (3, 3)
    assert recipe_of(to_png(canvas, ASKED)) == ASKED
    assert to_png(sheet(last_rows(ASKED, tiny_zoo)), ASKED) == to_png(canvas, ASKED)
