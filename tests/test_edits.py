"""Change one thing: the same seed on both sides, what is measured of what was kept, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from playground import edits, limits
from playground.datasets import DATASETS
from playground.edits import Edit
from playground.generate import last
from playground.models.features import FeatureConfig, FeatureNetwork, save_features
from playground.recipe import Recipe
from playground.zoo import Reader, Zoo

CHANGE = Recipe(task="change", labels=(8,), change=(0, 4), seed=42, count=3, steps=4, picture=5)


def finished(recipe: Recipe, zoo: Zoo) -> dict[str, Edit]:
    return {f"{edit.card.model}-{edit.source}": edit for edit in edits.change(recipe, zoo) if edit.is_last}


@pytest.fixture(scope="module")
def rows(tiny_zoo: Zoo) -> dict[str, Edit]:
    return finished(CHANGE, tiny_zoo)


@pytest.fixture
def reader() -> Reader:
    """A network of two attributes with random weights: what it reads is nonsense, but always the same nonsense."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = FeatureNetwork(FeatureConfig(32, 1, (5, 3), widths=(8, 8), feature_dim=16))
    return Reader(network.eval().requires_grad_(False), {})


def test_every_model_that_listens_has_a_row_and_the_encoder_two(rows: dict[str, Edit]) -> None:
    assert list(rows) == ["vae-seed", "vae-encoded", "gan-seed", "ddpm-seed"]


@pytest.mark.parametrize("model", ["vae", "gan", "ddpm"])
def test_both_sides_are_what_the_model_makes_of_the_same_seeds(
    model: str, rows: dict[str, Edit], tiny_zoo: Zoo
) -> None:
    edit = rows[f"{model}-seed"]
    alone = Recipe(model=model, labels=(8,), seed=42, count=3, steps=4)
    assert torch.equal(edit.before, last(alone, tiny_zoo).pictures)
    assert torch.equal(edit.after, last(replace(alone, labels=(4,)), tiny_zoo).pictures)
    assert torch.equal(edit.before, last(edit.recipe, tiny_zoo).pictures)  # its link opens what is shown
    assert (edit.labels, edit.changed_labels) == ((8,), (4,))
    assert not torch.equal(edit.before, edit.after)


def test_an_encoded_picture_is_decoded_from_one_code_with_its_own_label_and_with_the_new_one(
    rows: dict[str, Edit], tiny_zoo: Zoo
) -> None:
    edit = rows["vae-encoded"]
    x0, labels = tiny_zoo.reference(CHANGE.dataset).picture(CHANGE.picture)
    assert torch.equal(edit.x0, x0)
    assert edit.labels == tuple(labels[0].tolist())  # its own, not those asked for
    assert edit.changed_labels == (4,)
    encoding = last(edit.recipe, tiny_zoo).encoding
    assert edit.recipe.task == "encode"
    assert torch.allclose(edit.before, encoding.reconstruction, atol=1e-5)
    network = tiny_zoo.open(CHANGE.dataset, "vae").network
    assert torch.allclose(edit.after, network.decode(encoding.mu[None], torch.tensor([[4]])), atol=1e-5)


def test_a_change_to_what_already_is_changes_nothing(tiny_zoo: Zoo) -> None:
    for name, edit in finished(replace(CHANGE, change=(0, 8)), tiny_zoo).items():
        if name != "vae-encoded":
            assert torch.equal(edit.before, edit.after)
            assert edit.kept.share_changed == 0


def test_progress_rises_to_one_and_before_is_ready_first(tiny_zoo: Zoo) -> None:
    seen = [edit for edit in edits.change(CHANGE, tiny_zoo) if edit.card.model == "ddpm"]
    progress = [edit.progress for edit in seen]
    assert progress == sorted(progress)
    assert (progress[0], progress[-1]) == (pytest.approx(0.5 / CHANGE.steps), 1.0)
    assert [edit.after is None for edit in seen] == [k < CHANGE.steps for k in range(len(seen))]
    assert [edit.is_last for edit in seen] == [False] * (len(seen) - 1) + [True]


def test_changed_pixels_are_those_whose_any_channel_moved_visibly() -> None:
    before = torch.zeros(2, 3, 4, 4)
    after = before.clone()
    after[0, 1, 0, 0] = edits.VISIBLE + 0.01  # one channel is enough
    after[0, :, 0, 1] = edits.VISIBLE - 0.01  # all three by less are not
    after[1, 2, 3, 3] = -1.0
    kept = edits.measure(before, after, None)
    assert kept.changed.nonzero().tolist() == [[0, 0, 0], [1, 3, 3]]
    assert kept.share_changed == pytest.approx(2 / 32)
    assert kept.read_after is None


def test_what_is_kept_is_counted_by_what_the_network_reads(reader: Reader) -> None:
    pictures = torch.rand(40, 1, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    before, after = pictures[:20], torch.cat([pictures[:5], pictures[25:40]])  # five stay as they were
    kept = edits.measure(before, after, reader)
    read = [reader.network.classify(reader.network(p)) for p in (before, after)]
    for column, cardinality in enumerate((5, 3)):
        old, new = (logits[column].argmax(1) + 1 for logits in read)
        assert kept.num_kept(column) == int((old == new).sum()) >= 5
        asked = [kept.num_as_asked(column, label) for label in range(1, cardinality + 1)]
        assert asked == [int((new == label).sum()) for label in range(1, cardinality + 1)]
        assert sum(asked) == 20


def test_the_network_that_reads_is_found_beside_the_models_and_a_damaged_one_is_left_out(
    reader: Reader, tmp_path: pytest.TempPathFactory
) -> None:
    folder = tmp_path / "digits" / "features"
    assert Zoo(tmp_path).reader("digits") is None
    save_features(reader.network, folder, {"held_out_accuracy": {"digit": 0.5}})
    found = Zoo(tmp_path).reader("digits")
    pictures = torch.rand(9, 1, 32, 32, generator=torch.Generator().manual_seed(1)) * 2 - 1
    assert found.accuracy == {"digit": 0.5}
    labels = found.read(pictures)
    assert labels.shape == (9, 2)
    assert labels.min() >= 1
    assert (labels <= torch.tensor([5, 3])).all()
    (folder / "model.safetensors").write_bytes(b"x" + (folder / "model.safetensors").read_bytes()[1:])
    assert Zoo(tmp_path).reader("digits") is None


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"change": ()}, "change must be an attribute and its new label"),
        ({"change": (1, 1)}, "change must be a whole number from 0 to 0, got 1"),
        ({"change": (0, 0)}, "change must be a whole number from 1 to 10, got 0"),
        ({"change": (0, 11)}, "change must be a whole number from 1 to 10, got 11"),
        ({"dataset": "nowhere"}, "dataset must be one of"),
        ({"labels": (11,)}, "must be a whole number from 0 to 10"),
        ({"picture": limits.MAX_REFERENCE, "dataset": "hangul", "change": (3, 2)}, "picture must be|dataset must be"),
        ({"text": "8"}, "text needs a data set whose pictures are characters"),
        ({"steps": 1000, "count": 16}, "steps x pictures must be at most"),
    ],
)
def test_what_cannot_be_changed_is_refused_before_any_work(wrong: dict, says: str, tiny_zoo: Zoo) -> None:
    with pytest.raises(ValueError, match=says):
        next(edits.change(replace(CHANGE, **wrong), tiny_zoo))


def test_all_rows_fit_on_one_sheet(rows: dict[str, Edit]) -> None:
    sheet = edits.sheet(list(rows.values()))
    assert sheet.ndim == 3
    height, width, channels = sheet.shape
    assert channels == 3
    assert height > 2 * len(rows) * 128
    assert width > 3 * 128
    assert np.ptp(sheet) == 255


class TestCharacters:
    """On a data set of characters, where a text says the leading labels."""

    @pytest.fixture
    def asked(self, wide_zoo: Zoo) -> Recipe:
        dataset = next(d for d in wide_zoo.datasets() if d.writing is not None)
        place = len(dataset.attributes) - 1
        return Recipe(
            dataset=dataset.name, task="change", text="각", labels=(0,) * place + (2,), change=(place, 5), steps=2
        )

    def test_one_character_is_its_labels(self, asked: Recipe, wide_zoo: Zoo) -> None:
        dataset = DATASETS[asked.dataset]
        (spelled,) = dataset.writing.spell(asked.text)
        before, after = edits.both_sides(asked, wide_zoo)
        assert (before.text, before.labels, after.labels) == ("", (*spelled, 2), (*spelled, 5))
        _, other = edits.both_sides(replace(asked, change=(0, 9)), wide_zoo)
        assert other.labels == (9, *spelled[1:], 2)

    def test_a_word_changes_its_hand_but_not_its_letters(self, asked: Recipe, wide_zoo: Zoo) -> None:
        word = replace(asked, text="한글", count=2)
        before, after = edits.both_sides(word, wide_zoo)
        assert before.text == after.text == "한글"
        assert (before.labels[-1], after.labels[-1]) == (2, 5)
        row = finished(word, wide_zoo)["gan-seed"]
        assert row.before.shape[0] == row.after.shape[0] == 4
        with pytest.raises(ValueError, match="text must be one character to change a part of it, got 2"):
            edits.both_sides(replace(word, change=(0, 9)), wide_zoo)
