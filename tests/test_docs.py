"""The README speaks of what is there: every model, sampler, limit and command."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path

import pytest

from playground import limits
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
