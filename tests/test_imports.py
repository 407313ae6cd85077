"""The direction of imports, held by walking the syntax trees."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import playground
from playground.datasets import DATASETS
from playground.recipe import DEFAULT

PACKAGE = Path(playground.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))

# A room imports only rooms before it. Evaluation stands after the door, through which it has its pictures made.
ROOMS = (
    "limits",
    "drawing",
    "recipe",
    "device",
    "datasets",
    "models",
    "sampling",
    "training",
    "zoo",
    "history",
    "guests",
    "engine",
    "generate",
    "plane",
    "render",
    "comparison",
    "edits",
    "ladder",
    "anomalies",
    "augmentation",
    "evaluation",
    "benchmark",
    "ui",
    "app",
)
FORBIDDEN = {  # beyond the order
    "models": {"sampling", "training", "recipe", "limits"},
    "sampling": {"models", "datasets", "recipe", "limits"},
    **{
        room: {"training", "evaluation", "benchmark"}
        for room in ROOMS
        if room not in {"training", "evaluation", "benchmark", "models", "sampling"}
    },
}
DEVELOPMENT_ONLY = {"accelerate", "tqdm", "scipy", "pytest", "hypothesis", "playwright"}  # not in requirements.txt
STRANGERS = {  # other people's packages that a room must not know
    **{room: {"gradio"} | DEVELOPMENT_ONLY for room in ROOMS},
    "training": {"gradio"},
    "evaluation": {"gradio"},
    "benchmark": {"gradio"},
    "limits": {"torch", "numpy", "gradio", "diffusers", "PIL"},
    "recipe": {"torch", "numpy", "gradio", "diffusers", "PIL"},
    "models": {"gradio", "PIL"} | DEVELOPMENT_ONLY,
    "sampling": {"gradio", "PIL", "safetensors"} | DEVELOPMENT_ONLY,
    "render": {"gradio", "diffusers"} | DEVELOPMENT_ONLY,
    "ui": DEVELOPMENT_ONLY | {"torchvision", "diffusers", "safetensors"},
    "app": DEVELOPMENT_ONLY,
}


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")


def imports_of(path: Path) -> Iterator[str]:
    """The full dotted name of everything that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}: a relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def room_of(module: str) -> str | None:
    """The room of a dotted name inside the package; None for the package itself."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 and parts[0] == "playground" else None


def test_every_room_is_known() -> None:
    assert {room_of(module_of(path)) for path in FILES} - {None} == set(ROOMS)


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_imports_run_one_way(path: Path) -> None:
    own = room_of(module_of(path))
    for name in imports_of(path):
        other = room_of(name)
        if other is None or other == own:
            continue
        assert ROOMS.index(other) < ROOMS.index(own), f"{own} must not import {name}"
        assert other not in FORBIDDEN.get(own, ()), f"{own} must not import {name}"


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_a_room_knows_only_its_own_tools(path: Path) -> None:
    own = room_of(module_of(path))
    found = {name.split(".")[0] for name in imports_of(path)}
    assert not found & STRANGERS.get(own, {"gradio"})


def test_a_tab_never_imports_another_tab() -> None:
    tabs = {  # a tab is a module that builds itself
        path
        for path in (PACKAGE / "ui").glob("*.py")
        if any(isinstance(node, ast.FunctionDef) and node.name == "build" for node in ast.parse(path.read_text()).body)
    }
    assert {path.stem for path in tabs} >= {"vae", "gan", "diffusion"}
    for path in tabs:
        others = {module_of(tab) for tab in tabs - {path}}
        for name in imports_of(path):
            assert name not in others, f"{module_of(path)} imports {name}"
            assert name.rpartition(".")[0] not in others, f"{module_of(path)} imports {name}"


def strings_of(path: Path) -> Iterator[tuple[int, str]]:
    """Every string in a file's code with its line, docstrings left out."""
    tree = ast.parse(path.read_text())
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef))
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node.lineno, node.value


def mentions(text: str, name: str) -> bool:
    """Whether a text speaks of a data set or an attribute as part of a path or a link; `</name>` closes an element."""
    return bool(re.search(rf"{name}/|(?<!<)/{name}|dataset={name}", text))


@pytest.mark.parametrize("dataset", DATASETS.values(), ids=DATASETS)
def test_only_its_own_file_knows_a_data_set_and_its_attributes(dataset: object) -> None:
    names = {dataset.name, *(attribute.name for attribute in dataset.attributes)}
    found = [
        (module_of(path), line, text)
        for path in FILES
        if path.name != f"{dataset.name}.py"
        for line, text in strings_of(path)
        if text in names or any(mentions(text, name) for name in names)
    ]
    if dataset.name == DEFAULT.dataset:  # the one default of an empty link
        found = [place for place in found if place[0] != "playground.recipe" or place[2] != dataset.name]
    assert found == []
    importers = [module_of(p) for p in FILES if any(f".datasets.{dataset.name}" in name for name in imports_of(p))]
    assert importers == ["playground.datasets"]


DANGEROUS = {"eval", "exec", "compile", "__import__"}


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_nothing_is_unpickled_or_evaluated_in_the_app(path: Path) -> None:
    own = room_of(module_of(path))
    if own not in ("training", "datasets", "evaluation"):  # a checkpoint and a checked source, on the maker's machine
        assert not {name.split(".")[0] for name in imports_of(path)} & {"pickle", "joblib", "dill", "marshal", "shelve"}
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        assert called not in DANGEROUS, f"{module_of(path)}:{node.lineno} calls {called}"
        options = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
        if called == "torch.load":
            assert own == "training"
            assert options.get("weights_only") == "True"
        if called == "np.load":
            assert options.get("allow_pickle") == "False"
        if called.endswith("from_pretrained"):
            assert options.get("use_safetensors") == "True"
            assert "trust_remote_code" not in options
        assert options.get("shell") != "True"
        assert options.get("share") != "True"


def test_the_first_page_does_not_wait_for_diffusers() -> None:
    """It is the slowest import of all, and nothing of it is seen before a diffusion tab is opened."""
    lines = (
        "import sys",
        "from playground.app import build",
        "from playground.zoo import Zoo",
        "build(Zoo())",
        "sys.exit('diffusers' in sys.modules)",
    )
    assert subprocess.run([sys.executable, "-c", "\n".join(lines)], cwd=PACKAGE.parent, check=False).returncode == 0
