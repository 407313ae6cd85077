"""The benchmark: its clocks, what it compares, what it writes, and its probes in a real page."""

from __future__ import annotations

import json
import os
import re
import resource
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from playwright.sync_api import Browser

from playground.app import build
from playground.benchmark import __main__ as command
from playground.benchmark import page, report, sampling
from playground.benchmark.timing import interleaved, medians, percentile
from playground.datasets import DATASETS
from playground.engine import Cache, Engines, Kind
from playground.engine.kinds import REFERENCE, traced
from playground.zoo import Zoo

DATASET = next(iter(DATASETS))
TRACED = Kind("torch float32 traced", True, lambda subject: traced(subject, torch.float32))


def test_works_take_turns_after_one_to_warm_up() -> None:
    order: list[str] = []
    found = interleaved({name: lambda name=name: order.append(name) for name in "ab"}, 3)
    assert "".join(order) == "abababab"
    assert {name: len(values) for name, values in found.items()} == {"a": 3, "b": 3}
    assert medians({"a": [3.0, 1.0, 2.0]}) == {"a": 2.0}


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=60), st.sampled_from([0.05, 0.5, 0.95, 1.0]))
def test_percentile_is_numpys(values: list[float], share: float) -> None:
    assert percentile(values, share) == np.percentile(values, 100 * share, method="inverted_cdf")


@pytest.fixture(scope="module")
def bench(tiny_zoo: Zoo, tmp_path_factory: pytest.TempPathFactory) -> sampling.Bench:
    engines = Engines(Cache(tmp_path_factory.mktemp("cache")), [REFERENCE, TRACED])
    zoo = Zoo(tiny_zoo.root, fit=engines)
    return sampling.Bench.of(zoo, engines, zoo.card(DATASET, "ddpm"), steps=4, repeats=1)


def test_the_pipelines_make_the_same_pictures(bench: sampling.Bench) -> None:
    rows = sampling.against_pipelines(bench)
    assert [(row["pipeline"], row["batch"]) for row in rows] == [
        (name, batch) for name in ("DDPMPipeline", "DDIMPipeline") for batch in (1, 16)
    ]
    for row in rows:
        assert row["reference_difference"]["largest"] < 127.5 * 1e-4  # or another work would be timed
        assert row["difference"]["largest"] < 127.5 * 1e-4
        assert all(seconds > 0 for seconds in row["seconds"].values())
    assert json.loads(json.dumps(rows)) == rows


def test_large_batches_are_the_same_work_for_both(bench: sampling.Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    made: dict[str, torch.Tensor] = {}

    def once(works: dict[str, object], repeats: int) -> dict[str, list[float]]:
        made.update({name: work() for name, work in works.items()})
        return {"pipeline": [2.0], "ours": [0.5]}

    monkeypatch.setattr(sampling, "interleaved", once)
    (row,) = sampling.in_large_batches(bench, "cpu", batches=[3])
    assert row == {"batch": 3, "pictures_per_second": {"pipeline": 1.5, "ours": 6.0}}
    assert made["ours"].shape == made["pipeline"].shape == (3, *DATASETS[DATASET].shape)


def test_pictures_a_second_stand_in_the_section() -> None:
    rows = [{"batch": 1024, "pictures_per_second": {"pipeline": 200.0, "ours": 1000.0}}]
    section = report.section({**FIGURES, "gpu": "some GPU", "batches": rows}, "pictures")
    assert "| pictures a second on some GPU |" in section
    assert "| 1,024 at once | 200 | 1,000 | 5 |" in section
    assert "pictures a second" not in report.section(FIGURES, "pictures")


def test_every_engine_is_measured_and_the_reference_differs_from_nothing(bench: sampling.Bench) -> None:
    rows = sampling.every_engine(bench)
    assert [row["engine"] for row in rows] == [REFERENCE.name, TRACED.name]
    assert [row["engine"] for row in rows if row["is_chosen"]] == [bench.chosen]
    assert rows[0]["difference"] == {"largest": 0.0, "median": 0.0}
    assert rows[1]["difference"]["largest"] < 127.5 * 1e-3
    assert all(set(row["milliseconds"]) == {"1", "16"} for row in rows)


def test_operations_over_the_peak_are_a_share(bench: sampling.Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampling, "peak_flops", lambda dtype, repeats: 1e12 if dtype == torch.float32 else 4e12)
    rows = [
        {"engine": "torch float32", "milliseconds": {"1": 1.0, "16": 8.0}},
        {"engine": "openvino bfloat16", "milliseconds": {"1": 0.5, "16": 4.0}},
    ]
    exact, rough = sampling.share_of_peak(bench, rows)
    operations = exact["operations"]
    first = bench.subject.network.unet.conv_in
    assert operations > 2 * first.weight.numel() * DATASETS[DATASET].size ** 2  # more than its first layer's
    assert exact["share"] == {"1": pytest.approx(operations / 1e9), "16": pytest.approx(2 * operations / 1e9)}
    assert rough["share"]["16"] == pytest.approx(operations / 1e9)


def test_the_peak_is_that_of_real_work() -> None:
    assert 1e8 < sampling.peak_flops(torch.float32, 1) < 1e15


def test_grey_levels_are_those_of_eight_bits() -> None:
    ours, theirs = -torch.ones(3, 1, 2, 2), -torch.ones(3, 1, 2, 2)
    ours[1] = 1
    ours[2, 0, 0, 0] += 2 / 255
    assert sampling.grey_levels(ours, theirs) == {"largest": 255.0, "median": pytest.approx(0.25)}


FIGURES = {
    "made": {"processor": "P x 2", "repeats": 3, "versions": "torch 1"},
    "model": "some/ddpm",
    "chosen": "fast",
    "threads": 1,
    "steps": 20,
    "pipelines": [
        {
            "pipeline": "DDIMPipeline",
            "batch": batch,
            "seconds": {"pipeline": 4.0 * batch, "ours": 1.0 * batch, "reference": 3.0},
            "difference": {"largest": 12.3, "median": 0.25},
            "reference_difference": {"largest": 1e-5, "median": 0.0},
        }
        for batch in (1, 16)
    ],
    "engines": [
        {
            "engine": name,
            "is_chosen": name == "fast",
            "milliseconds": {"1": ms, "16": 10 * ms},
            "pass_error": 1e-3,
            "difference": {"largest": 1.0, "median": 0.1},
        }
        for name, ms in (("torch float32", 20.0), ("fast", 5.0))
    ],
    "peak": [
        {"engine": name, "share": {"1": 0.25, "16": 0.5}, "peak": 3e11, "operations": 2.4e8}
        for name in ("torch float32", "fast")
    ],
    "start": {"first_page": 6.5, "at_rest": 700.0, "peak": 900.0},
    "browser": {
        "idle": {"VAE": {"median": 20.0, "p95": 30.0, "updates": 40.0}},
        "busy": {"VAE": {"median": 25.0, "p95": 60.0, "updates": 33.0}},
        "runs": {"1": {"preview": 100.0, "whole": 400.0}},
        "turns": {"1": {"preview": 350.0, "whole": 650.0}},
        "steps": 20,
    },
}


class TestReport:
    def test_tables_hold_the_figures(self) -> None:
        content = report.section(FIGURES, "images")
        assert "| `DDIMPipeline`, 16 at once | 64 | 16 | 4 | 3 | 12 (0.25) | 1e-05 (0) |" in content
        assert "| **fast** | 5 | 50 | 4 | 4 | 1.0e-03 | 1 (0.1) | 25 % | 50 % |" in content
        assert "| VAE | 20 | 30 | 25 | 60 | 40 | 33 |" in content
        assert "| 1 at once, 20 steps | 100 | 400 | 350 | 650 |" in content
        assert "somebody else has 1 pictures of 20 steps" in content
        assert "| command to first page | 6.5 s |" in content
        for table in re.findall(r"(?:^\|.*\n?)+", content, re.MULTILINE):
            assert len({line.count("|") for line in table.strip().split("\n")}) == 1

    @pytest.mark.parametrize("parts", [(), ("engines",), ("start",), ("pipelines", "engines"), ("start", "browser")])
    def test_parts_stand_alone(self, parts: tuple[str, ...]) -> None:
        always = ("made", "model", "chosen", "threads", "steps")
        content = report.section({key: FIGURES[key] for key in (*always, *parts)}, "images")
        assert content.count("| --- |") == sum({"browser": 2}.get(part, 1) for part in parts)

    def test_the_readme_is_changed_between_the_markers_alone(self) -> None:
        once = report.replace_section("# Title\n\nwords\n", "first \\1")
        assert once.startswith("# Title\n\nwords\n\n## Speed\n\n<!-- benchmark -->\n\nfirst \\1\n\n<!-- /benchmark -->")
        twice = report.replace_section(once + "\nafter\n", "second")
        assert twice == once.replace("first \\1", "second") + "\nafter\n"

    def test_the_plot_is_svg_with_a_bar_each(self) -> None:
        root = ET.fromstring(report.plot(FIGURES["pipelines"]))
        width, height = (float(root.get(side)) for side in ("width", "height"))
        bars = [
            {key: float(bar.get(key)) for key in ("x", "y", "width", "height")} for bar in root if "rect" in bar.tag
        ]
        assert len(bars) == 4
        assert bars[0]["width"] == pytest.approx(4 * bars[1]["width"])
        assert all(bar["x"] + bar["width"] < width and bar["y"] + bar["height"] <= height for bar in bars)
        assert [t.text for t in root if "text" in t.tag].count("here") == 2


def test_the_command_writes_tables_and_plot(tiny_zoo: Zoo, tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("# Title\n")
    places = {"root": tiny_zoo.root, "cache": tmp_path / "cache", "readme": tmp_path / "README.md"}
    options = [
        word for name, path in {**places, "json": tmp_path / "all.json"}.items() for word in (f"--{name}", str(path))
    ]
    command.main([*options, "--parts", "pipelines", "engines", "--steps", "2", "--repeats", "1"])
    readme = (tmp_path / "README.md").read_text()
    assert "DDIMPipeline" in readme
    assert "torch float32" in readme
    (picture,) = re.findall(r"!\[[^]]*\]\(([^)]+)\)", readme)
    assert ET.fromstring((tmp_path / picture).read_text()).tag.endswith("svg")
    figures = json.loads((tmp_path / "all.json").read_text())
    assert figures["model"] == f"{DATASET}/ddpm"


def test_an_unknown_data_set_is_a_sentence(tiny_zoo: Zoo, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"^There is no such diffusion model\.$"):
        command.main(["--root", str(tiny_zoo.root), "--cache", str(tmp_path), "--dataset", "none", "--print"])


class TestPage:
    def test_memory_is_what_the_system_says(self) -> None:
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        assert page.memory_mb(os.getpid(), "VmHWM") == pytest.approx(most, rel=0.02)
        assert page.memory_mb(os.getpid(), "VmRSS") <= most + 1
        with pytest.raises(ValueError, match="does not tell"):
            page.memory_mb(os.getpid(), "VmNothing")

    def test_an_app_that_cannot_start_is_an_error(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "app.py").write_text("raise SystemExit('no')")
        monkeypatch.setattr(page, "ROOT", tmp_path)
        with pytest.raises(RuntimeError, match="ended before"), page.served({}):
            pass

    @pytest.mark.parametrize("live", page.LIVE, ids=lambda live: live.name)
    def test_a_slider_is_clocked_in_the_page(self, server: str, chromium: Browser, live: page.Live) -> None:
        opened = page.visit(chromium, server)
        found = page.live_answers(opened, live, 2)
        opened.close()
        assert 0 < found["median"] <= found["p95"]
        assert found["updates"] > 0

    def test_diffusion_is_clocked_in_the_page_and_beside_a_job(self, server: str, chromium: Browser) -> None:
        runs = page.diffusion_runs(chromium, server, count=1, steps=8, repeats=1)
        assert 0 < runs["preview"] <= runs["whole"]
        with page.job_running(chromium, server, *page.LONG_JOB):
            opened = page.visit(chromium, server)
            assert page.live_answers(opened, page.LIVE[0], 2)["median"] > 0
            opened.close()
        with page.job_running(chromium, server, 16, 20):
            in_turn = page.diffusion_runs(chromium, server, count=1, steps=8, repeats=1)
        assert 0 < in_turn["preview"] <= in_turn["whole"]


def test_probes_name_controls_that_exist(real_zoo: Zoo) -> None:
    there = {component["props"].get("elem_id") for component in build(real_zoo).get_config_file()["components"]}
    wanted = {live.slider[1:] for live in page.LIVE} | {live.view[1:] for live in page.LIVE}
    assert wanted | {"diffusion-go", "diffusion-stop", "diffusion-status", "diffusion-view"} <= there
