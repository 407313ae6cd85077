"""Anomalies: how pictures are spoiled, what detectors make of them, what counts as normal, and how that is measured."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from playground.anomalies import detectors
from playground.anomalies.defects import HOLE_RADIUS, SPOILERS, spoil
from playground.anomalies.detectors import NOISES, STRENGTHS, Finding, examine, others_for, rebuild, shown_picture
from playground.anomalies.norms import FILE, Norm, load_norms
from playground.datasets import DATASETS
from playground.datasets.base import PRETRAINED_FOLDER
from playground.drawing import pack
from playground.evaluation.anomalies import auroc, measure_norms, picture_sets, scores_of, table
from playground.evaluation.table import replace_between
from playground.recipe import DEFECTS, Recipe
from playground.zoo import Zoo

README = (Path(__file__).resolve().parents[1] / "README.md").read_text()
ANOMALY = Recipe(task="anomaly", picture=4, defect="scratch", seed=3, strength=0.3)


def picture_and_others(zoo: Zoo, dataset: str, defect: str, number: int = 0) -> tuple[Tensor, Tensor]:
    return zoo.reference(dataset).picture(number)[0][0], others_for(defect, dataset, zoo)


def test_every_defect_can_be_chosen() -> None:
    assert ("none", *SPOILERS) == DEFECTS


@pytest.mark.parametrize("dataset", DATASETS)
@pytest.mark.parametrize("defect", SPOILERS)
def test_a_seed_spoils_a_picture_always_in_the_same_way(dataset: str, defect: str, real_zoo: Zoo) -> None:
    picture, others = picture_and_others(real_zoo, dataset, defect)
    before = picture.clone()
    spoiled = [spoil(picture, defect, others, seed, 0) for seed in range(8)]
    assert torch.equal(picture, before)
    assert torch.equal(spoiled[0], spoil(picture, defect, others, 0, 0))
    for other in spoiled:
        assert other.shape == picture.shape
        assert other.abs().max() <= 1.001
    assert sum(not torch.equal(other, picture) for other in spoiled) >= 7  # a patch may be of the same colour
    if defect != "turned":
        assert any(not torch.equal(spoiled[0], other) for other in spoiled[1:])


def test_defects_are_what_they_say(real_zoo: Zoo) -> None:
    name = next(iter(DATASETS))
    picture, others = picture_and_others(real_zoo, name, "hole")
    size = picture.shape[-1]
    changed = {defect: (spoil(picture, defect, others, 5, 0) - picture)[0] for defect in ("scratch", "hole", "blot")}
    scratched = changed["scratch"] != 0
    assert (changed["scratch"][scratched] > 0).all(), "white on a dark picture"
    assert (changed["hole"] <= 0).all(), "only ink is lost"
    rows, columns = torch.nonzero(changed["hole"], as_tuple=True)
    for extent in (rows, columns):
        assert extent.max() - extent.min() <= 2 * HOLE_RADIUS * size
    blot = spoil(picture, "blot", others, 5, 0)[0]
    assert (blot[changed["blot"] != 0] == 0).all()
    assert torch.equal(spoil(picture, "turned", others, 5, 0), picture.flip(1, 2))
    bright = -picture
    assert ((spoil(bright, "scratch", others, 5, 0) - bright) <= 0).all(), "black on a bright one"
    blank = torch.full_like(picture, -1.0)
    assert torch.equal(spoil(blank, "hole", others, 5, 0), blank), "where nothing is drawn, nothing can be missing"


def test_a_patch_is_another_picture_s_and_a_stranger_another_data_set_s(real_zoo: Zoo) -> None:
    name = next(iter(DATASETS))
    picture, others = picture_and_others(real_zoo, name, "patch")
    patched = spoil(picture, "patch", others, 1, 0)
    moved = (patched != picture).any(0)
    found = [(patched[:, moved] == (other.float() / 127.5 - 1)[:, moved]).all() for other in others]
    assert any(found)
    assert detectors.strangers_to(name) != name
    strangers = others_for("stranger", name, real_zoo)
    stranger = spoil(picture, "stranger", strangers, 1, 0)
    assert stranger.shape == picture.shape
    for own in DATASETS:  # whatever their sizes and colours
        for other in DATASETS:
            shown = real_zoo.reference(own).picture(0)[0][0]
            stranger = spoil(shown, "stranger", real_zoo.reference(other).images, 1, 0)
            assert stranger.shape == shown.shape
            assert stranger.abs().max() <= 1.001


def test_one_model_of_each_family_detects_and_none_that_is_there_for_its_map(tiny_zoo: Zoo, real_zoo: Zoo) -> None:
    assert [card.model for card in detectors.detectors(tiny_zoo, "digits")] == ["vae", "gan", "ddpm"]
    for dataset in real_zoo.datasets():
        cards = detectors.detectors(real_zoo, dataset.name)
        assert [card.family for card in cards] == ["vae", "gan", "diffusion"]
        assert not any(card.is_quick for card in cards)


def test_paint_lies_over_the_defect_and_a_drawing_is_spoiled_like_a_picture(tiny_zoo: Zoo) -> None:
    levels = np.zeros((32, 32), np.uint8)
    levels[:4] = 255
    painted = replace(ANOMALY, paint=pack(levels))
    x0, seen = shown_picture(painted, tiny_zoo)
    _, bare = shown_picture(painted, tiny_zoo, is_painted=False)
    assert (seen[:, :, :4] == 1).all()
    assert torch.equal(seen[:, :, 4:], bare[:, :, 4:])
    assert torch.equal(bare, shown_picture(ANOMALY, tiny_zoo)[1])
    assert torch.equal(x0, tiny_zoo.reference("digits").picture(4)[0])
    drawn = replace(ANOMALY, drawing=pack(levels), defect="turned")
    x0, seen = shown_picture(drawn, tiny_zoo)
    assert (x0[:, :, :4] == 1).all()
    assert torch.equal(seen, x0.flip(2, 3))


@pytest.mark.parametrize(
    ("chosen", "said"),
    [
        ({"strength": 0.35}, "strength must be one of"),
        ({"picture": 9_999, "dataset": "faces"}, "picture must be"),
        ({"dataset": "nothing"}, "dataset must be one of"),
        ({"drawing": "AAAA"}, "drawing"),
    ],
)
def test_what_cannot_be_shown_is_refused(chosen: dict[str, object], said: str, real_zoo: Zoo) -> None:
    with pytest.raises(ValueError, match=said):
        examine(replace(ANOMALY, **chosen), real_zoo)


def by_model(found: list[Finding]) -> dict[str, Finding]:
    return {finding.card.model: finding for finding in found}


def test_only_what_a_detector_uses_changes_what_it_finds(tiny_zoo: Zoo) -> None:
    usual = by_model(examine(ANOMALY, tiny_zoo))
    deeper = by_model(examine(replace(ANOMALY, strength=0.6), tiny_zoo))
    assert usual["gan"].rebuilt is None
    assert usual["gan"].residual is None
    for model in ("vae", "gan"):
        assert usual[model].score == deeper[model].score
    assert usual["ddpm"].score != deeper["ddpm"].score
    again = by_model(examine(ANOMALY, tiny_zoo))
    assert [f.score for f in usual.values()] == [f.score for f in again.values()]


def test_score_and_map_say_how_far_it_is_from_what_is_given_back(tiny_zoo: Zoo) -> None:
    _, seen = shown_picture(ANOMALY, tiny_zoo)
    for finding in examine(ANOMALY, tiny_zoo):
        if finding.rebuilt is None:
            assert 0 <= finding.score <= 1
            continue
        difference = (seen - finding.rebuilt)[0] / 2
        assert finding.score == pytest.approx(float(difference.square().mean().sqrt()), rel=1e-5)
        assert torch.allclose(finding.residual, difference.abs().amax(0))


def test_diffusion_gives_back_the_mean_over_its_noises_whatever_stands_beside(tiny_zoo: Zoo) -> None:
    entry = tiny_zoo.open("digits", "ddpm")
    pictures = torch.cat([tiny_zoo.reference("digits").picture(k)[0] for k in range(2)])
    both = rebuild(entry, pictures, 0.3, [10, 11, 20, 21])
    assert torch.allclose(both[1:], rebuild(entry, pictures[1:], 0.3, [20, 21]), atol=1e-5)
    assert not torch.allclose(both[1:], rebuild(entry, pictures[1:], 0.3, [20, 22]), atol=1e-3)
    assert NOISES == 2


@pytest.mark.parametrize("dataset", DATASETS)
def test_the_trained_models_find_a_scratch_and_where_it_is(dataset: str, real_zoo: Zoo) -> None:
    higher, ahead = {"vae": 0, "ddpm": 0}, {"vae": 0, "ddpm": 0}
    for picture in range(6):
        recipe = replace(ANOMALY, dataset=dataset, picture=picture)
        x0, seen = shown_picture(recipe, real_zoo)
        normal = by_model(examine(replace(recipe, defect="none"), real_zoo))
        spoiled = by_model(examine(recipe, real_zoo))
        is_spoiled = (seen != x0)[0].any(0)
        for model in higher:
            higher[model] += spoiled[model].score > normal[model].score
            residual = spoiled[model].residual
            ahead[model] += residual[is_spoiled].mean() > 2 * residual[~is_spoiled].mean()
    assert min(higher.values()) >= 5
    assert min(ahead.values()) >= 5


NORM = Norm([0.0, 1.0, 2.0, 3.0, 4.0], {"scratch": [2.0, 3.0, 4.0, 5.0, 6.0]}, {"scratch": 0.8})


def test_a_norm_ranks_a_score_and_counts_what_is_caught() -> None:
    assert [NORM.share_below(score) for score in (-1, 0, 1, 3.5, 9)] == [0, 0, 0.25, 0.875, 1]
    assert NORM.threshold(0.25) == 3
    assert NORM.caught("scratch", 0.25) == 0.75
    assert NORM.threshold(0) == 4
    shares = [NORM.caught("scratch", allowed) for allowed in (0, 0.1, 0.2, 0.3)]
    assert shares == sorted(shares), "who allows more alarms catches more"
    for defect in ("scratch", "none"):
        assert NORM.extent(defect) == pytest.approx((0.04, 5.92))


def test_a_chance_of_being_stranger_counts_equal_scores_half() -> None:
    assert auroc(torch.tensor([1.0, 2.0]), torch.tensor([3.0, 4.0])) == 1
    assert auroc(torch.tensor([1.0, 2.0]), torch.tensor([2.0])) == 0.75
    assert auroc(torch.tensor([1.0, 1.0]), torch.tensor([1.0])) == 0.5


@pytest.fixture
def measured(tmp_path: Path, write_tiny_zoo: Callable[..., Path]) -> Zoo:
    zoo = Zoo(write_tiny_zoo(tmp_path / "pretrained"))
    measure_norms(zoo, zoo.datasets()[0], "pytest", most=6)
    return zoo


def test_what_is_measured_is_what_the_page_scores(measured: Zoo) -> None:
    (dataset,) = measured.datasets()
    norms = load_norms(measured, dataset.name)
    assert norms.pictures == 6
    assert set(norms.rows) == {("vae", None), ("gan", None), *(("ddpm", strength) for strength in STRENGTHS)}
    sets = picture_sets(measured, dataset, 6)
    assert list(sets) == ["normal", *SPOILERS]
    for (model, strength), norm in norms.rows.items():
        entry = measured.open(dataset.name, model)
        found = {name: scores_of(entry, some, strength or 0.1) for name, some in sets.items()}
        assert norm.normal[0] == pytest.approx(float(found["normal"].min()), rel=1e-3)
        assert norm.normal[-1] == pytest.approx(float(found["normal"].max()), rel=1e-3)
        assert norm.auroc["hole"] == pytest.approx(auroc(found["normal"], found["hole"]), abs=1e-4)
    recipe = Recipe(task="anomaly", defect="scratch", strength=0.1)  # the first picture under seed 0, in its noises
    assert torch.equal(shown_picture(recipe, measured)[1][0], sets["scratch"][0])
    for finding in examine(recipe, measured):
        entry = measured.open(dataset.name, finding.card.model)
        assert finding.score == pytest.approx(float(scores_of(entry, sets["scratch"], 0.1)[0]), rel=1e-3)


def test_one_model_can_be_measured_again_and_the_others_are_kept(measured: Zoo) -> None:
    (dataset,) = measured.datasets()
    before = load_norms(measured, dataset.name)
    path = measured.root / dataset.name / FILE
    damaged(path, lambda c: [c["models"][model].update(command="before") for model in c["models"]])
    damaged(path, lambda c: vae_row(c).update(normal=[0.0, 1.0]))
    measure_norms(measured, dataset, "again", ["vae"], most=6)
    commands = {model: found["command"] for model, found in json.loads(path.read_text())["models"].items()}
    assert commands == {"vae": "again", "gan": "before", "ddpm": "before"}
    assert load_norms(measured, dataset.name) == before


def damaged(path: Path, change: Callable[[dict], object]) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def vae_row(content: dict) -> dict:
    return content["models"]["vae"]["rows"][0]


@pytest.mark.parametrize(
    "change",
    [
        lambda c: c.pop("models"),
        lambda c: vae_row(c).update(normal=[2.0, 1.0]),
        lambda c: vae_row(c).update(normal=[1.0]),
        lambda c: vae_row(c).update(normal=[0.0, float("nan")]),
        lambda c: vae_row(c).update(normal="abc"),
        lambda c: vae_row(c)["spoiled"].pop("hole"),
        lambda c: vae_row(c)["auroc"].update(hole=2),
        lambda c: c["models"].update(vae=[]),
    ],
)
def test_damaged_norms_are_left_out_with_a_line(
    measured: Zoo, change: Callable[[dict], object], caplog: pytest.LogCaptureFixture
) -> None:
    damaged(measured.root / "digits" / FILE, change)
    assert load_norms(measured, "digits").rows == {}
    assert FILE in caplog.text


def test_norms_of_other_weights_are_left_out(measured: Zoo) -> None:
    damaged(measured.root / "digits" / FILE, lambda c: c["models"]["vae"].update(sha256={"model.safetensors": "0"}))
    assert {model for model, _ in load_norms(measured, "digits").rows} == {"gan", "ddpm"}
    shutil.rmtree(measured.root / "digits" / "gan")
    assert {model for model, _ in load_norms(Zoo(measured.root), "digits").rows} == {"ddpm"}
    (measured.root / "digits" / FILE).unlink()
    assert load_norms(measured, "digits").rows == {}


@pytest.mark.parametrize("dataset", DATASETS)
def test_the_published_norms_are_of_the_published_weights(dataset: str, real_zoo: Zoo) -> None:
    norms = load_norms(real_zoo, dataset)
    assert {model for model, _ in norms.rows} == {card.model for card in detectors.detectors(real_zoo, dataset)}
    assert norms.pictures == 500
    content = json.loads((PRETRAINED_FOLDER / dataset / FILE).read_text())
    for measured in content["models"].values():
        assert re.fullmatch(
            rf"python -m playground\.evaluation {dataset} [a-z2 ]*--anomalies[^/]*", measured["command"]
        )


def test_the_readme_s_table_is_the_one_of_the_published_norms(real_zoo: Zoo) -> None:
    assert replace_between(README, "anomalies", table(real_zoo), "Anomaly detection") == README
