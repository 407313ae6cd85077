"""The ladder of steps: its cells are recipes, its distances are distances, and its work has an end."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from playground import generate as door
from playground import ladder, limits
from playground.datasets import DATASETS
from playground.generate import by_word, evaluations_per_picture, last
from playground.ladder import RUNGS, Cell, climb, distance, rungs_of, settled_from
from playground.recipe import SAMPLERS, Recipe
from playground.zoo import Zoo

LADDER = Recipe(task="ladder", model="ddpm", seed=42, samplers=("ddim", "dpmpp"))


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ladders of few rungs, for networks that need not be good."""
    monkeypatch.setattr(ladder, "RUNGS", {"steps": (1, 3, 5), "guidance": (0, 1, 3)})
    monkeypatch.setattr(ladder, "REFERENCES", {"steps": 5, "guidance": 1})


def finished(recipe: Recipe, zoo: Zoo) -> dict[str, list[Cell]]:
    cells: dict[str, list[Cell]] = {}
    for cell in climb(recipe, zoo):
        if cell.is_last:
            cells.setdefault(cell.sampler, []).append(cell)
    return cells


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize("kind", RUNGS)
def test_every_cell_is_what_its_own_recipe_makes(tiny_zoo: Zoo, kind: str) -> None:
    recipe = replace(LADDER, ladder=kind, labels=(4,), samplers=("ddim", "sde_dpmpp", "heun"), steps=4)
    found = finished(recipe, tiny_zoo)
    assert tuple(found) == recipe.samplers
    for sampler, cells in found.items():
        assert [cell.rung for cell in cells] == list(ladder.RUNGS[kind])
        for cell in cells:
            own = cell.recipe
            assert (own.task, own.sampler, own.seed, own.labels, own.count) == ("sample", sampler, 42, (4,), 1)
            assert getattr(own, ladder.FIELDS[kind]) == cell.rung
            assert torch.equal(cell.picture, last(own, tiny_zoo).pictures[0])
            assert cell.network_evaluations == evaluations_per_picture(own)
            assert cell.seconds > 0
        assert len({cell.recipe for cell in cells}) == len(cells)


@pytest.mark.usefixtures("short")
def test_the_cheap_rungs_of_all_samplers_come_first_and_every_step_is_seen(tiny_zoo: Zoo) -> None:
    cells = list(climb(LADDER, tiny_zoo))
    assert len(cells) == 2 * (1 + 3 + 5)
    assert [(cell.rung, cell.sampler) for cell in cells if cell.is_last] == [
        (rung, sampler) for rung in (1, 3, 5) for sampler in LADDER.samplers
    ]
    for before, after in pairwise(cells):
        if not before.is_last:
            assert (after.rung, after.sampler) == (before.rung, before.sampler)
            assert after.progress > before.progress


@pytest.mark.usefixtures("short")
def test_distances_are_to_the_longest_run_or_to_the_guidance_that_was_trained(tiny_zoo: Zoo) -> None:
    for recipe in (LADDER, replace(LADDER, ladder="guidance", labels=(4,), steps=4)):
        for cells in finished(recipe, tiny_zoo).values():
            found = ladder.distances(recipe, cells, tiny_zoo)
            reference = cells[-1] if recipe.ladder == "steps" else cells[1]
            assert found[cells.index(reference)] == 0
            assert found == [pytest.approx(distance(cell.picture, reference.picture)) for cell in cells]
            assert ladder.distances(recipe, cells[: cells.index(reference)], tiny_zoo) is None


def test_distance_is_the_root_mean_square_of_what_is_seen() -> None:
    a, b = torch.full((1, 4, 4), -1.0), torch.full((1, 4, 4), 1.0)
    assert distance(a, b) == distance(b, a) == 2
    assert distance(3 * a, a) == 0, "beyond black there is only black"
    half = torch.cat([a, b], 2)
    assert distance(half, torch.full((1, 4, 8), -1.0)) == pytest.approx(2 / math.sqrt(2))
    x, y = torch.rand(2, 3, 5, 5, generator=torch.Generator().manual_seed(0)) * 2 - 1
    assert distance(x, y) == pytest.approx(float(np.sqrt(np.mean((x.numpy() - y.numpy()) ** 2))), rel=1e-6)


@given(st.lists(st.floats(0, 2), min_size=1, max_size=12), st.floats(0, 2))
def test_settled_is_the_first_place_after_which_nothing_is_far(found: list[float], within: float) -> None:
    found[-1] = 0.0  # the reference itself
    place = settled_from(found, within)
    assert all(value <= within for value in found[place:])
    assert place == 0 or found[place - 1] > within


def test_a_solver_of_second_order_settles_on_the_trained_digits(real_zoo: Zoo) -> None:
    recipe = replace(LADDER, samplers=("dpmpp",))
    runs = [
        last(replace(rung, seed=34), real_zoo).pictures[0] for rung in rungs_of(recipe, real_zoo) if rung.steps <= 50
    ]
    far = [distance(run, runs[-1]) for run in runs]
    assert far[-2] < far[-3] < far[0], "20 steps are nearer to 50 than 10 are, and those nearer than one"


@pytest.mark.usefixtures("short")
def test_a_ladder_that_is_closed_asks_the_network_no_more(tiny_zoo: Zoo, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = []
    denoise = door.denoise

    def counted(*args: object) -> object:
        for frame in denoise(*args):
            steps.append(frame.step.index)
            yield frame

    monkeypatch.setattr(door, "denoise", counted)
    climbing = climb(LADDER, tiny_zoo)
    for _ in range(4):
        next(climbing)
    climbing.close()
    assert len(steps) == 4


@pytest.mark.parametrize("kind", RUNGS)
@pytest.mark.parametrize("labels", [(), (4,)])
def test_the_cost_said_before_is_the_sum_of_the_cells(tiny_zoo: Zoo, kind: str, labels: tuple[int, ...]) -> None:
    recipe = replace(LADDER, ladder=kind, labels=labels, samplers=("ddim", "heun"))
    total = sum(evaluations_per_picture(rung) for rung in rungs_of(recipe, tiny_zoo))
    assert ladder.total_evaluations(recipe, tiny_zoo) == total
    assert len(rungs_of(recipe, tiny_zoo)) == 16


def test_a_ladder_of_everything_at_once_is_refused_before_any_work(tiny_zoo: Zoo) -> None:
    everything = replace(LADDER, samplers=SAMPLERS, labels=(4,))
    assert ladder.total_evaluations(everything, tiny_zoo) > limits.MAX_NETWORK_EVALUATIONS
    with pytest.raises(ValueError, match=r"at most 4000 network evaluations, this ladder needs \d+"):
        next(climb(everything, tiny_zoo))
    ladder.check_ladder(replace(LADDER, samplers=()), tiny_zoo)
    ladder.check_ladder(replace(LADDER, samplers=(), labels=(4,)), tiny_zoo)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"model": "vae"}, "model must be a diffusion model to go up a ladder, not vae"),
        ({"labels": (99,)}, "digit must be a whole number from 0 to 10, got 99"),
        ({"dataset": "nothing"}, "dataset must be one of"),
        ({"text": "abc"}, "text needs a data set whose pictures are characters"),
    ],
)
def test_an_impossible_ladder_is_a_sentence(tiny_zoo: Zoo, wrong: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        next(climb(replace(LADDER, **wrong), tiny_zoo))


@pytest.mark.parametrize(
    "wrong", [{"ladder": "stairs"}, {"samplers": ("ddim", "ddim")}, {"samplers": ("magic",)}, {"samplers": "ddim"}]
)
def test_a_recipe_holds_no_other_ladder(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(wrong))} must be"):
        Recipe(**wrong)


@pytest.mark.usefixtures("short")
def test_a_word_climbs_as_one_picture_and_the_sheet_holds_every_cell(wide_zoo: Zoo) -> None:
    dataset = list(DATASETS.values())[1]
    recipe = replace(LADDER, dataset=dataset.name, text=dataset.writing.example, samplers=("ddim",))
    (cells,) = finished(recipe, wide_zoo).values()
    for cell in cells:
        assert cell.picture.shape == (dataset.channels, dataset.size, 2 * dataset.size)
        assert torch.equal(cell.picture, by_word(last(cell.recipe, wide_zoo), cell.recipe).pictures[0])
    assert ladder.sheet(recipe, cells).shape[1] > 3 * 2 * dataset.size
    assert ladder.total_evaluations(recipe, wide_zoo) == 2 * 2 * (1 + 3 + 5)
