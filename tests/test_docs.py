"""The README speaks of what is there: every model, sampler, limit and command."""

from __future__ import annotations

import json
import re
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

import pytest
import torch

from playground import limits
from playground.datasets.base import sha256
from playground.models import load_model
from playground.recipe import SAMPLERS
from playground.training.objectives import MODELS
from playground.zoo import Zoo

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()
LIMITS = {name: value for name, value in vars(limits).items() if name.startswith("MAX_")}


@pytest.mark.parametrize("name", sorted({*MODELS, *SAMPLERS}))
def test_every_model_and_sampler_is_explained(name: str) -> None:
    assert f"`{name}`" in README


@pytest.mark.parametrize("name", sorted(LIMITS))
def test_every_limit_is_stated_with_its_number(name: str) -> None:
    assert re.search(rf"^\| `{name}` \| {re.escape(str(LIMITS[name]))} \|", README, re.MULTILINE)


def test_every_model_in_pretrained_has_measured_figures_in_the_readme() -> None:
    zoo = Zoo()
    for dataset in zoo.datasets():
        table = README.split(f"<!-- quality:{dataset.name} -->")[1].split(f"<!-- /quality:{dataset.name} -->")[0]
        for card in zoo.cards(dataset.name):
            assert card.metrics["frechet_distance"] > 0
            assert f"{card.model}" in table


@pytest.mark.parametrize(("model", "least"), [("gan", 3), ("vae", 2)])
def test_snapshots_are_whole_and_each_is_another(model: str, least: int) -> None:
    folders = sorted((ROOT / "pretrained" / "digits" / "snapshots" / model).iterdir())
    assert len(folders) >= least
    latent_dim = load_model(folders[0]).config.latent_dim
    z, labels = torch.randn(8, latent_dim, generator=torch.Generator().manual_seed(0)), torch.arange(1, 9)[:, None]
    drawn = []
    for folder in folders:
        card, network = json.loads((folder / "card.json").read_text()), load_model(folder)
        assert card["sha256"] == {"model.safetensors": sha256(folder / "model.safetensors")}
        assert (card["dataset"], card["model"], card["images_seen"]) == ("digits", model, int(folder.name))
        drawn.append(network.generator(z, labels) if model == "gan" else network.decode(z, labels))
    assert all((a - b).abs().mean() > 0.01 for a, b in pairwise(drawn))


def test_every_command_exists() -> None:
    for module in set(re.findall(r"python -m ([\w.]+)", README)):
        assert find_spec(module) is not None


def test_every_picture_is_there() -> None:
    for path in re.findall(r"!\[[^]]*\]\(([^)]+)\)", README):
        assert (ROOT / path).stat().st_size < 1_000_000


def test_front_matter_names_the_gradio_that_is_pinned() -> None:
    pinned = re.search(r"^gradio==(\S+)$", (ROOT / "requirements.txt").read_text(), re.MULTILINE).group(1)
    assert f'sdk_version: "{pinned}"' in README
    assert (ROOT / re.search(r"^app_file: (\S+)$", README, re.MULTILINE).group(1)).exists()


def test_everything_is_pinned_exactly_and_no_file_is_too_large() -> None:
    for name in ("requirements.txt", "requirements-dev.txt"):
        for line in (ROOT / name).read_text().split("\n"):
            assert not line or line.startswith("-r ") or re.fullmatch(r"[a-z0-9-]+==[\w.]+", line)
    weights = [path for path in (ROOT / "pretrained").rglob("*") if path.is_file()]
    assert max(path.stat().st_size for path in weights) < 10_000_000
