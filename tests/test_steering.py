"""Edits, in-painting and branches through the door: every task's promise, for every sampler and data set."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from playground import drawing
from playground.datasets import DATASETS
from playground.generate import check, decision_steps, evaluations_per_picture, generate, last
from playground.recipe import SAMPLERS, Recipe
from playground.sampling.editing import num_repaint_steps
from playground.zoo import Zoo

DATASET = next(iter(DATASETS.values()))
SIZE = DATASET.size
PLAIN = Recipe(dataset=DATASET.name, model="ddpm", labels=(3,), seed=5, count=2, steps=6, guidance_scale=1.5)


def packed(*boxes: tuple[slice, slice], level: int = 15) -> str:
    """The text of a picture that is black but for the given boxes."""
    brightness = np.zeros((SIZE, SIZE), np.uint8)
    for box in boxes:
        brightness[box] = level * 17
    return drawing.pack(brightness)


MASK = packed((slice(8, 20), slice(10, 24)))
EDITS = [
    replace(PLAIN, task="edit", picture=3, strength=0.5),
    replace(PLAIN, task="edit", drawing=packed((slice(4, 28), slice(14, 18))), strength=0.8),
    replace(PLAIN, task="inpaint", sampler="ddpm", mask=MASK, jump_length=2, resamples=2),
    replace(PLAIN, task="inpaint", sampler="ddim", mask=MASK, drawing=packed((slice(4, 28), slice(14, 18)))),
    replace(PLAIN, task="blend", seed_to=9, sampler="dpmpp"),
    replace(PLAIN, task="branch", branch_at=3, branch_with=("label", "guidance"), change=(0, 8), branch_guidance=3.0),
    replace(PLAIN, task="branch", branch_at=2, branch_with=("paint", "seed"), paint=MASK, seed_to=77),
    replace(PLAIN, task="decide", change=(0, 8), count=4),
]
every_edit = pytest.mark.parametrize("chosen", EDITS, ids=lambda r: f"{r.task}-{'-'.join(r.branch_with)}")
every_sampler = pytest.mark.parametrize("sampler", SAMPLERS)


@every_edit
def test_every_task_counts_its_work_and_ends(tiny_zoo: Zoo, chosen: Recipe) -> None:
    frames = list(generate(chosen, tiny_zoo))
    assert [frame.is_last for frame in frames] == [False] * (len(frames) - 1) + [True]
    assert frames[-1].network_evaluations == evaluations_per_picture(chosen)
    assert frames[-1].pictures.shape == (chosen.count, *DATASET.shape)
    assert float(frames[-1].pictures.abs().max()) <= 1
    assert torch.equal(last(chosen, tiny_zoo).pictures, frames[-1].pictures)


@every_edit
def test_closing_it_stops_the_work_within_one_step(
    tiny_zoo: Zoo, chosen: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    network = tiny_zoo.open(chosen.dataset, chosen.model).network
    handle = network.unet.register_forward_hook(lambda *_: asked.append(1))
    try:
        frames = generate(chosen, tiny_zoo)
        next(frames)
        next(frames)
        frames.close()
        assert len(asked) <= 2
    finally:
        handle.remove()


@every_sampler
@pytest.mark.parametrize("eta", [0.0, 0.7])
def test_a_branch_with_nothing_changed_has_the_bytes_of_its_trunk(tiny_zoo: Zoo, sampler: str, eta: float) -> None:
    trunk = replace(PLAIN, sampler=sampler, eta=eta)
    expected = [frame.step.x_next for frame in generate(trunk, tiny_zoo)]
    for at in (0, 1, 4, trunk.steps):
        changes = {"branch_with": ("paint", "label", "guidance"), "change": (0, 3), "branch_guidance": 1.5}
        for same in ({}, changes):
            run = generate(replace(trunk, task="branch", branch_at=at, **same), tiny_zoo)
            for frame, theirs in zip(run, expected, strict=True):
                assert torch.equal(frame.step.x_next, theirs)


@every_sampler
def test_a_branch_at_the_beginning_is_a_picture_of_its_own(tiny_zoo: Zoo, sampler: str) -> None:
    trunk = replace(PLAIN, sampler=sampler)
    for changes, alone in (
        ({"branch_with": ("label",), "change": (0, 8)}, {"labels": (8,)}),
        ({"branch_with": ("guidance",), "branch_guidance": 3.0}, {"guidance_scale": 3.0}),
        ({"branch_with": ("seed",), "seed_to": 400}, {"seed": 400}),
    ):
        branch = last(replace(trunk, task="branch", **changes), tiny_zoo).pictures
        assert torch.equal(branch, last(replace(trunk, **alone), tiny_zoo).pictures)


@every_sampler
def test_strength_one_is_a_picture_made_of_nothing(tiny_zoo: Zoo, sampler: str) -> None:
    plain = replace(PLAIN, sampler=sampler)
    edit = replace(plain, task="edit", picture=4, strength=1.0)
    assert torch.equal(last(edit, tiny_zoo).pictures, last(plain, tiny_zoo).pictures)
    assert evaluations_per_picture(edit) == evaluations_per_picture(plain)


@pytest.mark.parametrize("sampler", ["ddpm", "ddim"])
def test_in_painting_leaves_known_pixels_exactly_as_they_were(wide_zoo: Zoo, sampler: str) -> None:
    for dataset in wide_zoo.datasets():
        chosen = Recipe(
            dataset=dataset.name, model="ddpm", task="inpaint", sampler=sampler, picture=6, mask=MASK, steps=8,
            jump_length=3, resamples=3, count=2, guidance_scale=1.0,
        )  # fmt: skip
        x0, _ = wide_zoo.reference(dataset.name).picture(6)
        mask = drawing.unpack_mask(MASK, dataset.shape)[0, 0]
        frame = last(chosen, wide_zoo)
        assert torch.equal(frame.pictures[..., ~mask], x0[..., ~mask].expand(2, -1, -1))
        assert not torch.equal(frame.pictures[0], frame.pictures[1])
        assert frame.network_evaluations == num_repaint_steps(8, 3, 3)


def test_each_picture_of_a_decision_is_the_branch_that_it_stands_for(tiny_zoo: Zoo) -> None:
    chosen = replace(PLAIN, task="decide", change=(0, 8), count=4, steps=9)
    assert decision_steps(chosen) == [0, 3, 6, 9]
    together = last(chosen, tiny_zoo).pictures
    for k, at in enumerate(decision_steps(chosen)):
        alone = replace(chosen, task="branch", count=1, branch_at=at, branch_with=("label",))
        torch.testing.assert_close(together[k], last(alone, tiny_zoo).pictures[0], atol=1e-5, rtol=0)


REFUSALS = [
    (replace(PLAIN, task="inpaint", sampler="ddpm"), "^mask must mark the pixels"),
    (replace(PLAIN, task="inpaint", sampler="heun", mask=MASK), "^sampler must be one of ddpm, ddim, got 'heun'"),
    (replace(PLAIN, task="inpaint", sampler="ddpm", mask="abc"), "^mask "),
    (replace(PLAIN, task="edit", drawing="abc"), "^drawing "),
    (replace(PLAIN, task="edit", picture=9_999, dataset=list(DATASETS)[1]), "^picture must be"),
    (replace(PLAIN, task="branch", branch_at=7), "^branch_at must be a whole number from 0 to 6"),
    (replace(PLAIN, task="branch", branch_with=("paint",), paint="abc"), "^paint "),
    (replace(PLAIN, task="branch", branch_with=("label",)), "^change must be an attribute"),
    (replace(PLAIN, task="decide", change=(4, 1)), "^change must be a whole number from 0 to 0"),
    (replace(PLAIN, task="decide", change=(0, 11)), "^change must be a whole number from 0 to 10"),
    (replace(PLAIN, task="edit", model="gan"), "^task edit is not something that gan can do"),
    (replace(PLAIN, task="branch", model="vae"), "^task branch is not something that vae can do"),
    (replace(PLAIN, task="edit", strength=1.0, steps=1000, count=16), "network evaluations"),
    (
        replace(PLAIN, task="inpaint", sampler="ddpm", mask=MASK, steps=200, resamples=10, count=4),
        r"^steps x pictures must be at most 4000 network evaluations, this recipe needs \d+",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("chosen", "message"), REFUSALS)
def test_what_cannot_be_done_is_refused_before_any_work(wide_zoo: Zoo, chosen: Recipe, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check(chosen, wide_zoo)


def test_a_weak_edit_costs_less_than_a_strong_one(tiny_zoo: Zoo) -> None:
    weak = replace(PLAIN, task="edit", strength=0.3, steps=20)
    check(weak, tiny_zoo)
    assert evaluations_per_picture(weak) == 2 * 6
    assert evaluations_per_picture(replace(weak, sampler="heun")) == 2 * 11


def test_paint_is_packed_with_what_it_leaves_alone() -> None:
    text = packed((slice(0, 4), slice(0, 4)))
    picture, mask = drawing.unpack_paint(text, DATASET.shape)
    assert int(mask.sum()) == 16
    assert set(picture[mask].tolist()) == {1.0}
    picture, mask = drawing.unpack_paint(packed((slice(0, 4), slice(0, 4)), level=1), (3, SIZE, SIZE))
    assert picture.shape == (1, 3, SIZE, SIZE)
    assert set(picture[mask.expand_as(picture)].tolist()) == {-1.0}
