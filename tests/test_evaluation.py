"""The yardsticks against known answers, the pictures against the app's own door, and the command from end to end."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.linalg
import torch
from torch import Tensor

from playground.datasets import DATASETS, Dataset, Pictures
from playground.evaluation import features, metrics, samples
from playground.evaluation.__main__ import main, write_metrics
from playground.evaluation.features import FeatureTraining, extract, make_features
from playground.evaluation.measure import Ruler
from playground.evaluation.metrics import frechet_distance, gaussian_distance, nearest_distance, precision_recall
from playground.evaluation.samples import (
    Source,
    WeightsChangedError,
    asked_labels,
    draw,
    sample,
    settings_of,
    weights_of,
)
from playground.evaluation.table import replace_section
from playground.generate import last, usual
from playground.models import DamagedWeights
from playground.models.features import FeatureConfig, FeatureNetwork, load_features, predicted_labels, save_features
from playground.recipe import DEFAULT
from playground.zoo import Zoo, read_card

MODELS = ("ae2", "vae2", "vae", "gan", "ddpm")


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return next(iter(DATASETS.values()))


@pytest.fixture(scope="module")
def pictures(dataset: Dataset) -> dict[str, Pictures]:
    """Real pictures in two small splits, from those that stand in `pretrained/`."""
    reference = dataset.load_reference()
    train, held_out = slice(0, 4000), slice(4000, 4600)
    return {
        "train": Pictures(reference.images[train], reference.labels[train]),
        "held_out": Pictures(reference.images[held_out], reference.labels[held_out]),
    }


@pytest.fixture(scope="module")
def features_folder(dataset: Dataset, pictures: dict[str, Pictures], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A feature network after a few seconds of training."""
    folder = tmp_path_factory.mktemp("learned") / "features"
    training = FeatureTraining(images=8_000, max_rotation=0, max_shift=0, max_zoom=0, dropout=0)
    make_features(dataset, pictures["train"], pictures["held_out"], folder, "pytest", training)
    return folder


def test_the_feature_network_learns_no_picture_that_is_read_afterwards(
    dataset: Dataset, pictures: dict[str, Pictures], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    held_out = pictures["held_out"]
    composing = replace(dataset, held_out=lambda labels: labels[:, 0] == 4)  # as if no model had been shown a 3
    is_3 = held_out.labels[:, 0] == 4
    mask = features.learned_from(composing, held_out, 0.5)
    assert mask.sum() == round(0.5 * is_3.sum())
    assert not mask[~is_3].any()
    assert not features.learned_from(composing, held_out, 0).any()
    shown: list[Pictures] = []

    def once(config: FeatureConfig, train: Pictures, training: FeatureTraining) -> FeatureNetwork:
        shown.append(train)
        return FeatureNetwork(config)

    monkeypatch.setattr(features, "train_features", once)
    training = FeatureTraining(never_trained_share=0.5)
    make_features(composing, pictures["train"], held_out, tmp_path / "features", "pytest", training)
    learned = shown[0].images[len(pictures["train"].images) :]
    assert np.array_equal(learned, np.concatenate([held_out.images[mask]] * features.REPEATS))
    ruler = Ruler(composing, tmp_path / "features", pictures["train"], held_out)
    assert len(ruler.never_trained_labels) == (is_3 & ~mask).sum()
    assert len(ruler.held_out_labels) == (~is_3).sum()
    assert ruler.facts["held_out_images"] == (~mask).sum()


# distances


def test_gaussian_distance_is_the_closed_form_for_parallel_covariances() -> None:
    axes, _ = torch.linalg.qr(normal(5, 5))
    spread_a, spread_b = normal(5, seed=1).abs(), normal(5, seed=2).abs()
    mean_a, mean_b = normal(5, seed=3), normal(5, seed=4)
    cov_a, cov_b = (axes * spread_a**2) @ axes.T, (axes * spread_b**2) @ axes.T
    expected = ((mean_a - mean_b) ** 2).sum() + ((spread_a - spread_b) ** 2).sum()
    assert gaussian_distance(mean_a, cov_a, mean_b, cov_b) == pytest.approx(float(expected), rel=1e-9)


def test_gaussian_distance_agrees_with_another_matrix_square_root() -> None:
    a, b = normal(8, 8), normal(8, 8, seed=1)
    cov_a, cov_b, mean = a @ a.T, b @ b.T, torch.zeros(8, dtype=torch.float64)
    root = scipy.linalg.sqrtm((cov_a @ cov_b).numpy()).real
    expected = float(torch.trace(cov_a + cov_b)) - 2 * np.trace(root)
    assert gaussian_distance(mean, cov_a, mean, cov_b) == pytest.approx(expected, rel=1e-6)


def test_frechet_distance_is_zero_for_equal_sets_and_the_square_of_a_shift() -> None:
    features = normal(200, 6).float()
    shift = torch.tensor([3.0, 0, 4.0, 0, 0, 0])
    assert frechet_distance(features, features) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(features, features.flip(0)) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(features, features + shift) == pytest.approx(25, rel=1e-5)


def test_frechet_distance_of_a_set_twice_as_wide_is_its_variance() -> None:
    features = normal(300, 4)
    features = features - features.mean(0)
    assert frechet_distance(features, 2 * features) == pytest.approx(float(features.var(0).sum()), rel=1e-9)


def test_frechet_distance_bears_features_that_never_vary() -> None:
    flat, wide = normal(50, 3), normal(50, 3, seed=1)
    flat[:, 2] = wide[:, 2] = 1.5
    distance = frechet_distance(flat, wide)
    assert distance == pytest.approx(frechet_distance(flat[:, :2], wide[:, :2]), abs=1e-6)


def test_precision_and_recall_of_equal_and_of_distant_sets() -> None:
    real = normal(100, 4)
    assert precision_recall(real, real) == (1.0, 1.0)
    assert precision_recall(real, real + 100) == (0.0, 0.0)


def test_precision_and_recall_see_a_missing_and_an_invented_half() -> None:
    here, there = normal(60, 3), normal(60, 3, seed=1) + 50
    both = torch.cat([here, there])
    assert precision_recall(both, here) == (1.0, 0.5)  # half of what is real never appears
    assert precision_recall(here, both) == (0.5, 1.0)  # half of what appears is not real


@pytest.mark.parametrize("chunk", [7, 1000])
def test_precision_and_recall_follow_the_definition(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "CHUNK", chunk)
    real, fake = normal(40, 2), normal(30, 2, seed=1) + 1

    def inside(point: Tensor, others: Tensor, k: int) -> bool:
        for row, centre in enumerate(others):
            to_the_rest = sorted(math.dist(centre, other) for j, other in enumerate(others) if j != row)
            if math.dist(point, centre) <= to_the_rest[k - 1]:
                return True
        return False

    precision = sum(inside(point, real, 3) for point in fake) / len(fake)
    recall = sum(inside(point, fake, 3) for point in real) / len(real)
    assert 0 < precision < 1
    assert 0 < recall < 1
    assert precision_recall(real, fake) == pytest.approx((precision, recall))


def test_nearest_distance_is_zero_for_copies_and_the_step_for_a_lattice() -> None:
    train = torch.cartesian_prod(torch.arange(9.0), torch.arange(9.0))
    assert nearest_distance(train[10:20], train) == pytest.approx(0, abs=1e-3)
    assert nearest_distance(train[10:20] + torch.tensor([0.25, 0.0]), train) == pytest.approx(0.25, abs=1e-3)


# the feature network


def test_feature_network_learns_and_states_its_accuracy(features_folder: Path, pictures: dict[str, Pictures]) -> None:
    network, facts = load_features(features_folder)
    held_out = pictures["held_out"]
    read = predicted_labels(network, extract(network, held_out.images)).numpy()
    shares = (read == held_out.labels).mean(0)
    assert (shares > 0.85).all()
    assert list(facts["held_out_accuracy"].values()) == pytest.approx(shares.tolist(), abs=1e-5)


def test_feature_network_round_trips(features_folder: Path, tmp_path: Path, pictures: dict[str, Pictures]) -> None:
    network, facts = load_features(features_folder)
    save_features(network, tmp_path / "features", {"dataset": facts["dataset"]})
    again, _ = load_features(tmp_path / "features")
    few = pictures["held_out"].images[:20]
    assert torch.equal(extract(network, few), extract(again, few))
    assert (tmp_path / "features" / "model.safetensors").stat().st_size < 1_000_000


def test_damaged_feature_network_is_refused(features_folder: Path, tmp_path: Path) -> None:
    weights = bytearray((features_folder / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    for file in features_folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    load_features(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(weights)
    with pytest.raises(DamagedWeights, match="train it again"):
        load_features(tmp_path)


@pytest.mark.parametrize(("size", "channels", "cardinalities"), [(32, 1, (10,)), (48, 3, (4, 2, 7)), (64, 3, (19, 21))])
def test_feature_network_suits_every_size_and_every_attribute(
    size: int, channels: int, cardinalities: tuple[int, ...]
) -> None:
    network = FeatureNetwork(FeatureConfig(size, channels, cardinalities)).eval()
    images = np.zeros((3, channels, size, size), np.uint8)
    features = extract(network, images)
    assert features.shape == (3, 64)
    assert [tuple(logits.shape) for logits in network.classify(features)] == [(3, n) for n in cardinalities]
    read = predicted_labels(network, features)
    assert read.shape == (3, len(cardinalities))
    assert (read >= 1).all()
    assert (read <= torch.tensor(cardinalities)).all()


def test_zoo_never_takes_the_feature_network_for_a_model(
    features_folder: Path, tiny_zoo: Zoo, tmp_path: Path, dataset: Dataset, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / dataset.name
    folder.mkdir()
    (folder / "features").symlink_to(features_folder)
    (folder / "vae").symlink_to(tiny_zoo.root / dataset.name / "vae")
    with caplog.at_level(logging.WARNING):
        assert [card.model for card in Zoo(tmp_path).cards(dataset.name)] == ["vae"]
    assert not caplog.records


# the pictures that are measured


def source_of(zoo: Zoo, dataset: Dataset, model: str, steps: int = 3) -> Source:
    weights = weights_of(zoo.card(dataset.name, model).facts)
    settings = settings_of(dataset, zoo.card(dataset.name, model))
    return Source(zoo.root, dataset.name, model, weights, settings, steps, "float32", 1)


@pytest.mark.parametrize("model", MODELS)
def test_measured_pictures_are_the_ones_the_app_shows(model: str, tiny_zoo: Zoo, dataset: Dataset) -> None:
    entry = source_of(tiny_zoo, dataset, model).open()
    labels = torch.tensor([[4], [0], [10]])
    measured = draw(entry, labels, (5, 6, 7), 3, "float32")
    for k, label in enumerate([4, 0, 10]):
        recipe = replace(usual(dataset), model=model, labels=(label,), seed=5 + k, steps=3)
        shown = last(recipe, tiny_zoo).pictures
        torch.testing.assert_close(measured[k : k + 1], shown, atol=1e-5, rtol=0)


def test_bfloat16_pictures_hardly_differ(tiny_zoo: Zoo, dataset: Dataset) -> None:
    entry = source_of(tiny_zoo, dataset, "ddpm").open()
    labels = torch.ones(4, 1, dtype=torch.long)
    exact, rough = (draw(entry, labels, range(4), 5, precision) for precision in ("float32", "bf16"))
    assert rough.dtype == torch.float32
    assert 0 < float((exact - rough).abs().mean()) < 0.02


def test_pictures_by_the_apps_own_engine_are_those_that_it_shows(
    tiny_zoo: Zoo, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLAYGROUND_CACHE", str(tmp_path))
    entry = replace(source_of(tiny_zoo, dataset, "ddpm"), precision="engine").open()
    labels = torch.ones(3, 1, dtype=torch.long)
    measured = draw(entry, labels, range(3), 5, "engine")
    assert entry.predict.is_settled
    exact = draw(entry, labels, range(3), 5, "float32")
    assert float((exact - measured).abs().mean()) < 0.02


def test_asked_labels_have_the_proportions_of_the_held_out_set() -> None:
    held_out = np.sort(np.random.default_rng(1).integers(1, 6, (50, 2)), axis=0)
    labels = asked_labels(held_out, 50)
    assert sorted(map(tuple, labels)) == sorted(map(tuple, held_out))
    assert np.array_equal(asked_labels(held_out, 20), labels[:20])  # a smaller measurement begins a larger one
    assert len(set(map(tuple, labels[:20]))) > 3  # sorted files do not make a small one lopsided
    assert np.array_equal(asked_labels(held_out, 120)[50:100], labels)


def test_interrupted_sampling_goes_on_where_it_stopped(
    tiny_zoo: Zoo, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(samples, "BATCH", 4)
    source = source_of(tiny_zoo, dataset, "vae")
    labels = asked_labels(dataset.load_reference().labels, 11)
    whole = sample(source, labels, dataset.shape, tmp_path / "whole")
    assert whole.shape == (11, *dataset.shape)

    drawn: list[int] = []
    draw_batch = samples.draw_batch

    def interrupted(*arguments: object) -> np.ndarray:
        if len(drawn) == 1:
            raise KeyboardInterrupt
        drawn.append(arguments[-1])
        return draw_batch(*arguments)

    def counted(*arguments: object) -> np.ndarray:
        drawn.append(arguments[-1])
        return draw_batch(*arguments)

    monkeypatch.setattr(samples, "draw_batch", interrupted)
    with pytest.raises(KeyboardInterrupt):
        sample(source, labels, dataset.shape, tmp_path / "parts")
    monkeypatch.setattr(samples, "draw_batch", counted)
    assert np.array_equal(sample(source, labels, dataset.shape, tmp_path / "parts"), whole)
    assert drawn == [0, 4, 8]
    assert np.array_equal(sample(source, labels[:5], dataset.shape, tmp_path / "parts"), whole[:5])
    assert drawn == [0, 4, 8]  # nothing is made twice

    other = labels % 10 + 1
    assert not np.array_equal(sample(source, other, dataset.shape, tmp_path / "parts"), whole)
    assert drawn == [0, 4, 8, 0, 4, 8]  # pictures of other labels are not taken for these


def test_two_processes_make_the_same_pictures_as_one(tiny_zoo: Zoo, dataset: Dataset, tmp_path: Path) -> None:
    source = source_of(tiny_zoo, dataset, "gan")
    labels = asked_labels(dataset.load_reference().labels, 150)
    alone = sample(source, labels, dataset.shape, tmp_path / "1")
    assert np.array_equal(sample(source, labels, dataset.shape, tmp_path / "2", processes=2), alone)


def test_pictures_of_other_weights_are_never_measured(tiny_zoo: Zoo, dataset: Dataset) -> None:
    source = source_of(tiny_zoo, dataset, "vae")
    other = replace(source, weights=(("model.safetensors", "0" * 64),))
    assert other.name != source.name
    assert replace(source, steps=50).name != source.name
    assert replace(source, precision="bf16").name != source.name
    with pytest.raises(WeightsChangedError, match="weights changed"):
        other.open()


# the command


@pytest.fixture(scope="module")
def measured(
    dataset: Dataset,
    pictures: dict[str, Pictures],
    features_folder: Path,
    write_tiny_zoo: Callable[[Path], Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Path, list[str]]:
    """A folder where the command has measured tiny random models of every family, and the command's arguments."""
    home = tmp_path_factory.mktemp("measured")
    write_tiny_zoo(home / "pretrained")
    (home / "pretrained" / dataset.name / "features").symlink_to(features_folder)
    arrays = {f"{split}_images": part.images[:400] for split, part in pictures.items()}
    arrays |= {f"{split}_labels": part.labels[:400] for split, part in pictures.items()}
    np.savez(home / f"{dataset.name}.npz", **arrays)
    begin, end = f"<!-- quality:{dataset.name} -->", f"<!-- /quality:{dataset.name} -->"
    (home / "README.md").write_text(f"# Title\n\nBefore.\n\n{begin}\nold table\n{end}\n\nAfter.\n")
    for name in MODELS:
        card = home / "pretrained" / dataset.name / name / "card.json"
        (home / f"{name}.json").write_text(card.read_text())
    options = ["--samples", "40", "--steps", "3", "--ladder", "1", "2", "--ladder-samples", "20", "--repeats", "1"]
    places = {"--root": home / "pretrained", "--work": home / "work", "--readme": home / "README.md"}
    arguments = [dataset.name, *options, *(str(part) for pair in places.items() for part in pair)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("playground.datasets.base.DATA_FOLDER", home)
        assert main(arguments) == 0
    return home, arguments


def test_command_puts_figures_into_every_card_and_leaves_the_rest(
    measured: tuple[Path, list[str]], dataset: Dataset
) -> None:
    home, _ = measured
    zoo = Zoo(home / "pretrained")
    assert {card.model for card in zoo.cards(dataset.name)} == set(MODELS)
    for name in MODELS:
        card = zoo.card(dataset.name, name)
        before = json.loads((home / f"{name}.json").read_text())
        assert {key: value for key, value in card.facts.items() if key != "metrics"} == before
        figures = card.metrics
        assert figures["samples"] == 40
        assert figures["weights_sha256"] == before["sha256"]
        assert figures["frechet_distance"] > figures["frechet_floor"] > 0
        assert figures["frechet_ratio"] == pytest.approx(
            figures["frechet_distance"] / figures["frechet_floor"], rel=1e-2
        )
        assert 0 <= figures["precision"] <= 1
        assert 0 <= figures["recall"] <= 1
        assert set(figures["milliseconds_per_picture"]) == {"batch_1", "batch_16"}
        assert all(value > 0 for value in figures["milliseconds_per_picture"].values())
        assert figures["feature_net"].startswith(f"{dataset.name}/features ")
        assert min(figures["feature_net_accuracy"].values()) > 0.85
        assert (home / "work" / dataset.name / name / "sheet-100.png").exists()


def test_only_models_that_listen_have_condition_accuracy(measured: tuple[Path, list[str]], dataset: Dataset) -> None:
    zoo = Zoo(measured[0] / "pretrained")
    told = {name: zoo.card(dataset.name, name).metrics.get("condition_accuracy") for name in MODELS}
    assert told["ae2"] is None
    assert told["vae2"] is None
    for name in ("vae", "gan", "ddpm"):
        assert list(told[name]) == [attribute.name for attribute in dataset.attributes]
        assert all(0 <= share <= 1 for share in told[name].values())


def test_diffusion_has_a_ladder_of_steps_on_equal_counts(measured: tuple[Path, list[str]], dataset: Dataset) -> None:
    figures = Zoo(measured[0] / "pretrained").card(dataset.name, "ddpm").metrics
    assert [(rung["steps"], rung["samples"]) for rung in figures["ladder"]] == [(1, 20), (2, 20), (3, 20)]
    assert all(rung["frechet_distance"] > 0 for rung in figures["ladder"])
    assert (figures["steps"], figures["network_evaluations"]) == (3, 6)  # guidance asks twice
    assert (figures["sampler"], figures["guidance_scale"]) == (DEFAULT.sampler, DEFAULT.guidance_scale)
    assert figures["sampling_precision"] == "float32"


def test_readme_table_is_replaced_and_holds_every_model(measured: tuple[Path, list[str]], dataset: Dataset) -> None:
    text = (measured[0] / "README.md").read_text()
    assert text.startswith("# Title\n\nBefore.\n")
    assert text.endswith("\n\nAfter.\n")
    assert "old table" not in text
    rows = [line for line in text.splitlines() if line.startswith("|")]
    for name in (*(f"`{model}`" for model in MODELS), "real pictures"):
        assert sum(row.startswith(f"| {name} | 40 |") for row in rows) == 1
    widths = {row.count("|") for row in rows[: 2 + len(MODELS) + 1]}
    assert len(widths) == 1


def test_measuring_one_model_again_keeps_the_others(
    measured: tuple[Path, list[str]], dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, arguments = measured
    monkeypatch.setattr("playground.datasets.base.DATA_FOLDER", home)
    monkeypatch.setattr(samples, "draw_batch", None)  # every picture is there already
    text = (home / "README.md").read_text()
    card = home / "pretrained" / dataset.name / "vae" / "card.json"
    before = json.loads(card.read_text())["metrics"]
    assert main([dataset.name, "vae", *arguments[1:]]) == 0
    after = json.loads(card.read_text())["metrics"]
    assert {**after, "milliseconds_per_picture": 0} == {**before, "milliseconds_per_picture": 0}
    changed = [
        (old, new)
        for old, new in zip(text.splitlines(), (home / "README.md").read_text().splitlines(), strict=True)
        if old != new
    ]
    assert all(old.startswith("| `vae` ") for old, _ in changed)


def test_table_is_appended_once_and_then_replaced(dataset: Dataset) -> None:
    once = replace_section("# Title\n", dataset, r"first \1")
    assert once.startswith("# Title\n\n## Quality: ")
    assert replace_section(once, dataset, r"first \1") == once
    assert replace_section(once, dataset, "second") == once.replace(r"first \1", "second")


def test_figures_of_old_weights_never_reach_a_card(measured: tuple[Path, list[str]], dataset: Dataset) -> None:
    card = read_card(measured[0] / "pretrained" / dataset.name / "gan")
    text = (card.folder / "card.json").read_text()
    with pytest.raises(WeightsChangedError, match="weights changed"):
        write_metrics(card, {**card.metrics, "weights_sha256": {"model.safetensors": "0" * 64}})
    assert (card.folder / "card.json").read_text() == text


def test_command_answers_mistakes_with_a_sentence(
    measured: tuple[Path, list[str]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    home, arguments = measured
    monkeypatch.setattr("playground.datasets.base.DATA_FOLDER", home)
    assert main([arguments[0], "nobody", *arguments[1:]]) == 1
    assert "model must be one of ae2" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main([*arguments, "--samples", "0"])
    assert "must be 10 or more" in capsys.readouterr().err
    monkeypatch.setattr("playground.datasets.base.DATA_FOLDER", home / "nowhere")
    assert main(arguments) == 1
    assert "python -m playground.datasets" in capsys.readouterr().err
