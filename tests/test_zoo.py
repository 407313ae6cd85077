"""The zoo: lists what is whole, refuses what is damaged or hostile, keeps few models, may be asked by many threads."""

from __future__ import annotations

import json
import logging
import os
import pickle
import shutil
import struct
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from playground.datasets import DATASETS
from playground.datasets.base import sha256
from playground.generate import last
from playground.models import DamagedWeights, load_model
from playground.recipe import Recipe
from playground.training.instant import STUDENT
from playground.zoo import FAMILIES, Zoo, read_card

DATASET = next(iter(DATASETS))
MODELS = ("ae2", "vae", "vae2", "gan", "ddpm")  # in the order of the zoo


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, write_tiny_zoo: Callable[[Path], Path]) -> Path:
    return write_tiny_zoo(tmp_path_factory.mktemp("whole"))


@pytest.fixture
def root(whole: Path, tmp_path: Path) -> Path:
    """A copy of a whole zoo, to be damaged."""
    return Path(shutil.copytree(whole, tmp_path / "secret-place" / "pretrained"))


def weights_of(folder: Path) -> Path:
    return next(path for path in sorted(folder.rglob("*.safetensors")) if "conditioner" not in path.parts)


def change_card(folder: Path, **facts: object) -> None:
    card = json.loads((folder / "card.json").read_text())
    (folder / "card.json").write_text(json.dumps({**card, **facts}))


def write_hashes(folder: Path) -> None:
    """Make the card true again, so that only what stands in the files can give them away."""
    paths = folder.rglob("*.safetensors")
    change_card(folder, sha256={p.relative_to(folder).as_posix(): sha256(p) for p in paths if p.is_file()})


def change_weights(folder: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    tensors = load_file(weights_of(folder))
    change(tensors)
    save_file(tensors, weights_of(folder))


def change_header(folder: Path, change: Callable[[str, int], str]) -> None:
    """Rewrite the JSON header of the weights; `change` gets it and the number of bytes behind it."""
    content = weights_of(folder).read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    header = change(content[8 : 8 + length].decode(), len(content) - 8 - length).encode()
    weights_of(folder).write_bytes(struct.pack("<Q", len(header)) + header + content[8 + length :])


def put_nan(tensors: dict[str, torch.Tensor]) -> None:
    next(iter(tensors.values())).view(-1)[0] = float("nan")


def put_infinity(tensors: dict[str, torch.Tensor]) -> None:
    next(iter(tensors.values())).view(-1)[0] = float("inf")


def widen(tensors: dict[str, torch.Tensor]) -> None:
    name = next(iter(tensors))
    tensors[name] = torch.cat([tensors[name]] * 2)


def first_key(header: str) -> str:
    return next(key for key in json.loads(header) if key != "__metadata__")


def repeat_first_key(header: str, _: int) -> str:
    key = first_key(header)
    return f"{{{json.dumps(key)}:{json.dumps(json.loads(header)[key])},{header.lstrip()[1:]}"


def four_terabytes(header: str, _: int) -> str:
    entries = json.loads(header)
    entries[first_key(header)] |= {"shape": [2**40]}
    return json.dumps(entries)


def overlapping(header: str, _: int) -> str:
    entries = {key: value for key, value in json.loads(header).items() if key != "__metadata__"}
    first, second = list(entries)[:2]
    entries[second]["data_offsets"] = entries[first]["data_offsets"]
    return json.dumps(entries)


class Canary:
    """A pickle that would write a file when it is opened."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (os.mkdir, (str(self.path),))


def canary_of(folder: Path) -> Path:
    return folder.parents[2] / "canary"


def make_pickle(folder: Path) -> None:
    weights_of(folder).write_bytes(pickle.dumps({"weight": Canary(canary_of(folder))}))


def make_torch_pickle(folder: Path) -> None:
    torch.save({"weight": Canary(canary_of(folder))}, weights_of(folder))


def add_pickle_beside(folder: Path) -> None:
    """Only the pickle is left under the names that libraries fall back to."""
    weights_of(folder).unlink()
    for name in ("pytorch_model.bin", "diffusion_pytorch_model.bin", "model.pt", "model.ckpt"):
        torch.save({"weight": Canary(canary_of(folder))}, folder / name)
        torch.save({"weight": Canary(canary_of(folder))}, (weights_of_folder(folder)) / name)


def weights_of_folder(folder: Path) -> Path:
    return folder / "unet" if (folder / "unet").is_dir() else folder


def config_of(folder: Path) -> Path:
    return weights_of_folder(folder) / "config.json"


def enlarge_config(folder: Path) -> None:
    config = json.loads(config_of(folder).read_text())
    large = {"block_out_channels": [512, 1024]} if "block_out_channels" in config else {"widths": [2**20, 2**20]}
    config_of(folder).write_text(json.dumps({**config, **large}))


def take_config_of_another_family(folder: Path) -> None:
    other = folder.parent / ("gan" if folder.name != "gan" else "vae") / "config.json"
    shutil.copy(other, config_of(folder))


def replace_by_folder(folder: Path) -> None:
    path = weights_of(folder)
    path.unlink()
    path.mkdir()


def on_weights(change: Callable[[Path], object]) -> Callable[[Path], object]:
    return lambda folder: change(weights_of(folder))


DAMAGES: dict[
    str, tuple[Callable[[Path], object], bool]
] = {  # what is done to the folder; is the card made true again?
    "empty": (on_weights(lambda path: path.write_bytes(b"")), True),
    "truncated": (on_weights(lambda path: path.write_bytes(path.read_bytes()[:-100])), True),
    "junk appended": (on_weights(lambda path: path.write_bytes(path.read_bytes() + b"junk")), True),
    "random bytes": (on_weights(lambda path: path.write_bytes(os.urandom(5000))), True),
    "a web page": (on_weights(lambda path: path.write_bytes(b"<!doctype html><title>Not found</title>")), True),
    "header too long": (on_weights(lambda path: path.write_bytes(b"\xff" * 8 + path.read_bytes()[8:])), True),
    "one bit flipped": (on_weights(lambda path: path.write_bytes(path.read_bytes()[:-1] + b"\x01")), False),
    "NaN weights": (lambda folder: change_weights(folder, put_nan), True),
    "infinite weights": (lambda folder: change_weights(folder, put_infinity), True),
    "wrong shape": (lambda folder: change_weights(folder, widen), True),
    "a tensor missing": (lambda folder: change_weights(folder, lambda t: t.pop(next(iter(t)))), True),
    "a tensor too many": (lambda folder: change_weights(folder, lambda t: t.update(more=torch.zeros(1))), True),
    "a name twice": (lambda folder: change_header(folder, repeat_first_key), True),
    "four terabytes": (lambda folder: change_header(folder, four_terabytes), True),
    "overlapping tensors": (lambda folder: change_header(folder, overlapping), True),
    "pickle": (make_pickle, True),
    "torch pickle": (make_torch_pickle, True),
    "pickles for fall-backs": (add_pickle_beside, True),
    "weights missing": (on_weights(Path.unlink), False),
    "folder for a file": (replace_by_folder, False),
    "another file": (lambda folder: shutil.copy(weights_of(folder), folder / "more.safetensors"), False),
    "no hashes": (lambda folder: change_card(folder, sha256={}), False),
    "hashes of a wrong type": (lambda folder: change_card(folder, sha256=5), False),
    "card missing": (lambda folder: (folder / "card.json").unlink(), False),
    "card not JSON": (lambda folder: (folder / "card.json").write_text("{"), False),
    "card not text": (lambda folder: (folder / "card.json").write_bytes(b"\xff\xfe\x00"), False),
    "card a list": (lambda folder: (folder / "card.json").write_text("[1]"), False),
    "card nested deep": (lambda folder: (folder / "card.json").write_text("[" * 100_000), False),
    "card of no facts": (lambda folder: change_card(folder, facts=None), False),
    "card of no parameters": (lambda folder: change_card(folder, parameters="many"), False),
    "card of another model": (lambda folder: change_card(folder, model="other"), False),
    "card of impossible settings": (lambda folder: change_card(folder, facts={"settings": {"steps": 0}}), False),
    "card of settings that are none": (lambda folder: change_card(folder, facts={"settings": [4]}), False),
    "card of a strange data set": (lambda folder: change_card(folder, dataset=["x"]), False),
    "config missing": (lambda folder: config_of(folder).unlink(), False),
    "config not JSON": (lambda folder: config_of(folder).write_text("{"), False),
    "config of another family": (take_config_of_another_family, False),
    "config of a far larger network": (enlarge_config, False),
}


@pytest.mark.parametrize("model", ["vae", "gan", "ddpm"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_model_never_loads_and_the_rest_works(
    root: Path, model: str, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    folder = root / DATASET / model
    change, is_card_mended = DAMAGES[damage]
    change(folder)
    if is_card_mended:
        write_hashes(folder)

    begin = time.process_time()
    with caplog.at_level(logging.WARNING):
        zoo = Zoo(root)
    with pytest.raises(ValueError, match=r"model must be one of|DamagedWeights|: ") as refusal:
        zoo.open(DATASET, model)
    assert time.process_time() - begin < 2
    ours = [record.getMessage() for record in caplog.records if record.name.startswith("playground")]
    for message in (str(refusal.value), *ours):
        assert "secret-place" not in message
        assert "Traceback" not in message
    assert not canary_of(folder).exists()

    for other in set(MODELS) - {model}:
        assert torch.isfinite(last(Recipe(dataset=DATASET, model=other, steps=1), zoo).pictures).all()


def test_the_canary_would_have_sung(tmp_path: Path) -> None:
    pickle.loads(pickle.dumps(Canary(tmp_path / "canary")))
    assert (tmp_path / "canary").exists()


def test_damages_to_the_labels_tables_are_refused_too(root: Path) -> None:
    folder = root / DATASET / "ddpm"
    path = folder / "conditioner" / "model.safetensors"
    tensors = load_file(path)
    for broken in ({}, {k: v[:-1] for k, v in tensors.items()}, {k: v * torch.nan for k, v in tensors.items()}):
        save_file(broken, path)
        write_hashes(folder)
        with pytest.raises(DamagedWeights):
            Zoo(root).open(DATASET, "ddpm")


@pytest.mark.parametrize(
    ("model", "facts"),
    [
        ("vae", {}),
        ("vae", {"latent_extent": [1.0] * 5}),
        ("vae", {"latent_extent": [1.0] * 4, "kl_per_dimension": [1.0] * 5}),
        ("vae", {"latent_extent": [1.0] * 5, "kl_per_dimension": [float("nan")] * 5}),
        ("ae2", {"latent_extent": [1.0, "2"]}),
        ("ae2", {"latent_extent": [1.0, 10**400]}),
        ("gan", {"real_logits": {"asked": [0.0]}}),
        ("gan", {"real_logits": {"asked": [0.0], "any": []}}),
        ("gan", {"real_logits": [0.0]}),
    ],
)
def test_a_model_whose_card_lacks_a_needed_number_is_refused(root: Path, model: str, facts: dict) -> None:
    change_card(root / DATASET / model, facts=facts)
    with pytest.raises(DamagedWeights, match=f"{model}: its card"):
        Zoo(root).open(DATASET, model)


def test_weights_changed_after_the_start_are_refused(root: Path) -> None:
    zoo = Zoo(root)
    change_weights(root / DATASET / "vae", lambda tensors: next(iter(tensors.values())).mul_(2))
    with pytest.raises(DamagedWeights, match="not the file that the card was written for"):
        zoo.open(DATASET, "vae")


def test_an_empty_or_missing_folder_is_an_empty_zoo(tmp_path: Path) -> None:
    for root in (tmp_path, tmp_path / "nowhere"):
        zoo = Zoo(root)
        assert zoo.datasets() == []
        with pytest.raises(ValueError, match=r"^dataset must be one of"):
            zoo.open(DATASET, "vae")


def test_a_stray_file_or_folder_harms_nobody(root: Path) -> None:
    (root / "note.txt").write_text("x")
    (root / DATASET / "notes").mkdir()
    (root / "unknown" / "vae").mkdir(parents=True)
    (root / "unknown" / "vae" / "card.json").write_text("{}")
    assert [card.model for card in Zoo(root).cards(DATASET)] == list(MODELS)


def test_cards_come_by_family_in_the_order_of_the_tabs(tiny_zoo: Zoo) -> None:
    cards = tiny_zoo.cards(DATASET)
    assert [card.model for card in cards] == list(MODELS)
    assert [card.family for card in cards] == ["vae"] * 3 + ["gan", "diffusion"]
    for family in FAMILIES:
        assert tiny_zoo.cards(DATASET, family) == [card for card in cards if card.family == family]
    assert tiny_zoo.cards("nowhere") == []
    assert tiny_zoo.datasets() == [DATASETS[DATASET]]


def test_a_name_that_is_not_there_is_a_sentence_naming_what_there_is(tiny_zoo: Zoo) -> None:
    with pytest.raises(ValueError, match=r"^model must be one of ae2, vae, vae2, gan, ddpm, got 'vqvae'$"):
        tiny_zoo.open(DATASET, "vqvae")
    with pytest.raises(ValueError, match=f"^dataset must be one of {DATASET}, got 'cats'$"):
        tiny_zoo.open("cats", "vae")


def test_at_most_n_models_are_kept_the_least_recently_used_goes(root: Path) -> None:
    zoo = Zoo(root, capacity=2)
    first, second = zoo.open(DATASET, "vae"), zoo.open(DATASET, "gan")
    assert zoo.open(DATASET, "vae") is first  # now "gan" is the older one
    zoo.open(DATASET, "ddpm")
    assert zoo.open(DATASET, "vae") is first
    assert zoo.open(DATASET, "gan") is not second
    assert len(zoo._loaded) == 2


def test_many_threads_share_one_copy_of_a_model(root: Path) -> None:
    zoo = Zoo(root)
    with ThreadPoolExecutor(16) as pool:
        entries = list(pool.map(lambda k: zoo.open(DATASET, MODELS[k % 5]), range(80)))
    assert len({id(entry) for entry in entries}) == 5


def test_threads_and_a_small_zoo_never_get_the_wrong_model_nor_too_many(root: Path) -> None:
    zoo = Zoo(root, capacity=2)

    def ask(k: int) -> bool:
        entry = zoo.open(DATASET, MODELS[k % 5])
        return entry.card.model == MODELS[k % 5] and len(zoo._loaded) <= 2

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(ask, range(60)))


def test_references_are_the_held_out_pictures(real_zoo: Zoo) -> None:
    for dataset in real_zoo.datasets():
        held_out = dataset.load_reference()
        x0, labels = real_zoo.reference(dataset.name).picture(7)
        assert x0.shape == (1, *dataset.shape)
        assert torch.equal(((x0 + 1) * 127.5).round().byte()[0], torch.from_numpy(held_out.images[7]))
        assert labels.tolist() == [held_out.labels[7].tolist()]
        assert real_zoo.reference(dataset.name) is real_zoo.reference(dataset.name)


def test_every_trained_model_is_there_whole_and_opens(real_zoo: Zoo) -> None:
    assert [card.model for card in real_zoo.cards(DATASET)] == [*MODELS, STUDENT]
    for card in real_zoo.cards(DATASET):
        entry = real_zoo.open(DATASET, card.model)
        assert entry.card.facts["sha256"] == read_card(card.folder).facts["sha256"]
        stored = sum(parameter.numel() for parameter in load_model(card.folder).parameters())
        assert card.parameters == stored
        for path in card.folder.rglob("*"):
            assert not path.is_file() or path.suffix in (".json", ".safetensors"), path.name
            assert path.stat().st_size < 10_000_000
        for field in ("command", "seed", "images_seen", "seconds", "hardware", "parameters", "facts", "sha256"):
            assert field in card.facts


def test_latent_dimensions_are_ranked_by_what_they_say(tiny_zoo: Zoo) -> None:
    entry = tiny_zoo.open(DATASET, "vae")
    kl = entry.card.facts["facts"]["kl_per_dimension"]
    assert [kl[k] for k in entry.latent_order] == sorted(kl, reverse=True)
    assert tiny_zoo.open(DATASET, "ae2").latent_order == [0, 1]
    assert [tiny_zoo.open(DATASET, model).num_shifts for model in MODELS] == [2, 5, 2, 6, 0]
