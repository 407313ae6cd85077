"""Training: schedules against closed forms, and real runs of tiny networks, interrupted, resumed and spread."""

from __future__ import annotations

import csv
import json
import math
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState
from diffusers import DDIMPipeline, DDIMScheduler
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch import nn

from playground.datasets import DATASETS, Attribute, Dataset, Pictures, base
from playground.models import DiffusionConfig, GANConfig, VAEConfig, load_model
from playground.models.diffusion import add_noise, velocity
from playground.models.storage import save_model
from playground.recipe import Recipe
from playground.sampling.reverse import guided
from playground.training import __main__ as command
from playground.training import instant, objectives, record
from playground.training.card import write_card
from playground.training.ema import EMA
from playground.training.loop import (
    Run,
    Settings,
    as_pictures,
    learning_rate,
    save_sheet,
    snapshot_counts,
    step_generator,
)
from playground.training.objectives import Objective, build_objective

SIZE = 16
TINY = {  # by the names of the real models, so that the whole command can be run
    "ae2": (VAEConfig(0, 0, None, latent_dim=2, widths=(8, 8), hidden_dim=16, is_variational=False), {}),
    "vae": (VAEConfig(0, 0, (), latent_dim=4, widths=(8, 8), hidden_dim=16), {}),
    "gan": (GANConfig(0, 0, (), latent_dim=4, w_dim=8, widths=(8, 8)), {}),
    "ddpm": (DiffusionConfig(0, 0, (), block_out_channels=(8, 16), attention_head_dim=8), {}),
}
SETTINGS = Settings(images=320, batch_size=16, learning_rate=2e-3, warmup_images=64, precision="no")


def bright_or_dark(n: int, seed: int = 0) -> Pictures:
    """Pictures that are bright where their label is 1 and dark where it is 2, with a little noise."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(1, 3, (n, 1))
    level = np.where(labels == 1, 200, 50)[:, :, None, None]
    return Pictures((level + rng.integers(-20, 20, (n, 1, SIZE, SIZE))).astype(np.uint8), labels)


TOY = Dataset(
    name="toy",
    title={"en": "Toy", "ko": "장난감"},
    size=SIZE,
    channels=1,
    attributes=(
        Attribute("light", {"en": "Light", "ko": "빛"}, ({"en": "on", "ko": "켬"}, {"en": "off", "ko": "끔"})),
    ),
    licence="none",
    attribution="made here",
    build=lambda: {"train": bright_or_dark(256), "held_out": bright_or_dark(32, seed=1)},
    num_reference=32,
)


@pytest.fixture(autouse=True)
def tiny_models(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tiny networks under the real names, and an accelerator that has not been asked for another precision."""
    for name in list(objectives.MODELS):
        monkeypatch.delitem(objectives.MODELS, name)
    for name, entry in TINY.items():
        monkeypatch.setitem(objectives.MODELS, name, entry)
    AcceleratorState._reset_state(reset_partial_state=True)


def work_of(output: Path) -> Path:
    return output.with_name(f"{output.name}-work")


def tiny_run(
    model: str, output: Path, settings: Settings = SETTINGS, first_weights: int = 0, dataset: Dataset = TOY
) -> Run:
    torch.manual_seed(first_weights)
    splits = dataset.build()
    return Run(
        build_objective(model, dataset),
        dataset,
        model,
        settings,
        train=splits["train"],
        held_out=splits["held_out"],
        output=output,
        work=work_of(output),
        command="pytest",
    )


every_model = pytest.mark.parametrize("model", TINY)


class TestSchedules:
    @given(st.integers(1_001, 10_000_000))
    def test_snapshots_are_evenly_spaced_in_the_logarithm(self, images: int) -> None:
        counts = snapshot_counts(images)
        assert counts[0] == 1000
        assert counts[-1] == images
        if len(counts) > 2:
            ratios = np.array(counts[1:]) / counts[:-1]
            assert ratios.max() / ratios.min() < 1.01
            assert abs(math.log10(ratios[0]) - 0.5) < 0.15  # two a decade

    def test_learning_rate_warms_up_in_a_line_and_falls_along_half_a_cosine(self) -> None:
        s = Settings(images=100_000, batch_size=100, learning_rate=1e-3, final_learning_rate=1e-5, warmup_images=5_000)
        assert learning_rate(s, 0) == pytest.approx(1e-3 / 50)
        assert learning_rate(s, 2_400) == pytest.approx(0.5 * (1e-5 + 0.99e-3 * (1 + math.cos(0.024 * math.pi)) / 2))
        assert learning_rate(s, 50_000) == pytest.approx((1e-3 + 1e-5) / 2)
        assert learning_rate(s, 100_000) == pytest.approx(1e-5)
        after = [learning_rate(s, n) for n in range(5_000, 100_001, 500)]
        assert after == sorted(after, reverse=True)

    def test_an_average_forgets_half_in_a_half_life(self) -> None:
        network = nn.Linear(1, 1)
        nn.init.zeros_(network.weight)
        ema = EMA(network, half_life_images=1_000)
        nn.init.ones_(network.weight)
        for step in range(10):
            ema.update(network, images_seen=1_000_000 + 100 * step, batch_size=100)
        assert float(ema.network.weight) == pytest.approx(0.5, abs=1e-5)

    def test_an_average_is_quicker_in_the_beginning_and_copies_buffers(self) -> None:
        network = nn.BatchNorm1d(1)
        ema = EMA(network, half_life_images=1_000_000, rampup=0.05)
        network.weight.data.fill_(3.0)
        network.running_mean.fill_(7.0)
        ema.update(network, images_seen=2_000, batch_size=100)  # a half-life of 100 pictures
        assert float(ema.network.weight) == pytest.approx(2.0)
        assert float(ema.network.running_mean) == 7.0
        assert not ema.network.weight.requires_grad

    def test_the_average_is_a_copy(self) -> None:
        network = nn.Linear(1, 1)
        ema = EMA(network, 100)
        before = ema.network.weight.clone()
        network.weight.data += 1
        assert torch.equal(ema.network.weight, before)

    def test_every_step_and_process_has_its_own_noise(self) -> None:
        draws = {
            (seed, step, process): torch.randn(4, generator=step_generator(seed, step, process)).sum().item()
            for seed in range(3)
            for step in range(3)
            for process in range(3)
        }
        assert len(set(draws.values())) == 27
        assert torch.randn(4, generator=step_generator(1, 2, 0)).sum().item() == draws[1, 2, 0]


def scalars(work: Path, name: str) -> list[float]:
    with (work / "losses.csv").open(newline="") as file:
        return [float(row["value"]) for row in csv.DictReader(file) if row["name"] == name]


LONG = replace(SETTINGS, images=3_200, snapshots=True, record=True)  # 200 steps


class TestRuns:
    @pytest.fixture(scope="class")
    def finished(self, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
        """model -> the output folder of a run to the end."""
        folders: dict[str, Path] = {}

        def run(model: str) -> Path:
            if model not in folders:
                folders[model] = tmp_path_factory.mktemp("runs") / TOY.name / model
                tiny_run(model, folders[model], LONG).train()
            return folders[model]

        return run

    @pytest.mark.parametrize(
        ("model", "loss"), [("ae2", "vae/recon_loss"), ("vae", "vae/recon_loss"), ("ddpm", "ddpm/v_error")]
    )
    def test_the_loss_falls(self, finished: Callable[[str], Path], model: str, loss: str) -> None:
        values = scalars(work_of(finished(model)), loss)
        assert len(values) == 2  # one mean every 100 steps
        assert values[-1] < values[0] * 0.98

    @pytest.mark.parametrize("model", ["vae", "gan", "ddpm"])
    def test_a_trained_network_makes_bright_and_dark_as_asked(
        self, finished: Callable[[str], Path], model: str
    ) -> None:
        network = load_model(finished(model))
        labels = torch.tensor([[1]] * 32 + [[2]] * 32)
        with torch.inference_mode():
            pictures = build_objective(model, TOY).sheet(network, labels)
        bright, dark = pictures.mean((1, 2, 3)).chunk(2)
        real = as_pictures(np.array([200, 50], np.uint8))
        assert bright.mean() > dark.mean() + 0.4
        assert abs(bright.mean() - real[0]) < 0.4
        assert abs(dark.mean() - real[1]) < 0.4

    @every_model
    def test_a_run_leaves_weights_card_log_sheet_and_snapshots(
        self, finished: Callable[[str], Path], model: str
    ) -> None:
        folder = finished(model)
        card = json.loads((folder / "card.json").read_text())
        network = load_model(folder)
        assert (card["dataset"], card["model"], card["command"], card["seed"]) == ("toy", model, "pytest", 0)
        assert card["images_seen"] == card["images_planned"] == 3_200
        assert card["parameters"] == sum(parameter.numel() for parameter in network.parameters())
        assert card["hardware"]
        assert set(card["sha256"]) == {path.relative_to(folder).as_posix() for path in folder.rglob("*.safetensors")}
        assert not list(folder.rglob("*.pt")), "nothing that is not for the app"
        with Image.open(work_of(folder) / "sheets" / "000003200.png") as sheet:
            assert sheet.size == (10 * SIZE, 10 * SIZE)
        snapshots = sorted((work_of(folder) / "snapshots").iterdir())
        assert [int(path.name) for path in snapshots] == snapshot_counts(3_200)
        first, last = load_model(snapshots[0]).state_dict(), load_model(snapshots[-1]).state_dict()
        assert any(not torch.equal(first[name], last[name]) for name in last)
        trained = network.state_dict()
        assert all(torch.equal(last[name], trained[name]) for name in last)
        seen = [json.loads((path / "card.json").read_text())["images_seen"] for path in snapshots]
        assert seen == sorted(seen)
        assert seen[-1] == 3_200

    @every_model
    def test_a_record_holds_the_same_noise_at_every_moment_and_the_losses_between(
        self, finished: Callable[[str], Path], model: str
    ) -> None:
        folder = finished(model)
        facts = json.loads((work_of(folder) / "history" / f"{model}.json").read_text())
        assert facts["counts"][0] == 0
        for seen, planned in zip(facts["counts"], record.moments(), strict=False):
            assert planned <= seen < planned + SETTINGS.batch_size
        assert [n for n in record.moments() if n <= 3_200] == record.moments()[: len(facts["counts"])]
        objective = build_objective(model, TOY)
        names = {f"{player}/loss" for player in objective.players}
        assert names <= facts["losses"].keys()
        for values in facts["losses"].values():
            assert [value is None for value in values] == [True] + [False] * (len(facts["counts"]) - 1)
        with Image.open(work_of(folder) / "history" / f"{model}.webp") as image:
            columns = np.asarray(image.convert("L")).reshape(len(facts["labels"]), SIZE, len(facts["counts"]), SIZE)
        assert not np.array_equal(columns[:, :, 0], columns[:, :, -1])
        assert len(np.unique(columns)) <= record.SHADES

    def test_recording_changes_nothing_in_the_training(self, tmp_path: Path) -> None:
        found = []
        for kept in (False, True):
            run = tiny_run("gan", tmp_path / f"{kept}" / "gan", replace(SETTINGS, record=kept))
            run.train()
            found.append(run.ema.network.state_dict())
        assert all(torch.equal(found[0][name], found[1][name]) for name in found[0])
        assert [path.parent.name for path in tmp_path.rglob("gan.webp")] == ["history"]

    def test_a_training_that_is_resumed_is_not_recorded_from_its_middle(self, tmp_path: Path) -> None:
        settings = replace(SETTINGS, record=True)
        first = tiny_run("vae", tmp_path / "vae", replace(settings, images=160))
        first.train()
        again = tiny_run("vae", tmp_path / "vae", settings)
        assert again.resume()
        before = (work_of(tmp_path / "vae") / "history" / "vae.json").read_text()
        again.train()
        assert (work_of(tmp_path / "vae") / "history" / "vae.json").read_text() == before

    def test_facts_of_a_vae_are_measured_on_held_out_pictures(self, finished: Callable[[str], Path]) -> None:
        facts = json.loads((finished("vae") / "card.json").read_text())["facts"]
        network = load_model(finished("vae"))
        held_out = TOY.build()["held_out"]
        mu, logvar = network.encode(as_pictures(held_out.images), torch.from_numpy(held_out.labels))
        kl = 0.5 * (mu**2 + logvar.exp() - 1 - logvar).mean(0)
        assert facts["kl_per_dimension"] == pytest.approx(kl.tolist(), rel=0.05, abs=0.01)  # weights are halved on disk
        assert facts["latent_extent"] == pytest.approx(mu.abs().quantile(0.99, dim=0).tolist(), rel=0.05, abs=0.01)

    @pytest.mark.parametrize("dataset", DATASETS.values(), ids=DATASETS)
    def test_noise_levels_weigh_what_the_data_set_declares(self, dataset: Dataset) -> None:
        declared = dataset.training.get("ddpm", {})
        objective = build_objective("ddpm", dataset)
        assert objective.snr_gamma == declared.get("snr_gamma", 5.0)
        assert objective.snr_floor == declared.get("snr_floor", 0.0)

    def test_a_finished_generator_is_shifted_as_declared_and_the_one_in_training_is_not(self) -> None:
        config = replace(TINY["gan"][0], size=SIZE, channels=1, cardinalities=(2,))
        objective = objectives.GANObjective(config, pixel_shift=-0.1)
        trained, shown = objective.network.generator, objective.shown(objective.network).generator
        before = trained.pixels.bias.clone()
        z, labels = torch.randn(4, 4), torch.ones(4, 1, dtype=torch.long)
        inside = trained(z, labels).abs() < 0.8  # where nothing is clamped
        assert inside.any()
        assert torch.allclose((shown(z, labels) - trained(z, labels))[inside], torch.tensor(-0.1), atol=1e-6)
        assert torch.equal(trained.pixels.bias, before)

    def test_facts_of_a_gan_are_its_main_directions_and_how_real_pictures_look(
        self, finished: Callable[[str], Path]
    ) -> None:
        facts = json.loads((finished("gan") / "card.json").read_text())["facts"]
        network = load_model(finished("gan"))
        assert network.w_directions.norm(dim=1)[0] > 0
        held_out = TOY.build()["held_out"]
        logits = network.discriminator(as_pictures(held_out.images), torch.from_numpy(held_out.labels))
        asked = facts["real_logits"]["asked"]
        assert asked == sorted(asked)
        assert len(asked) == len(facts["real_logits"]["any"]) == 100
        assert np.median(asked) == pytest.approx(float(logits.median()), abs=0.1)

    @every_model
    def test_interrupted_and_resumed_is_bit_for_bit_uninterrupted(self, model: str, tmp_path: Path) -> None:
        whole = tiny_run(model, tmp_path / "whole")
        whole.train()

        stopped = tiny_run(model, tmp_path / "stopped")
        for _ in range(8):
            stopped.train_step()
        stopped.save_checkpoint()
        for _ in range(3):  # lost work
            stopped.train_step()
        resumed = tiny_run(model, tmp_path / "stopped", first_weights=99)
        assert resumed.resume()
        assert (resumed.step, resumed.images_seen) == (8, 8 * 16)
        resumed.train()

        assert resumed.step == whole.step == 20
        for ours, theirs in (
            (resumed.objective.network, whole.objective.network),
            (resumed.ema.network, whole.ema.network),
        ):
            expected = theirs.state_dict()
            assert all(torch.equal(value, expected[name]) for name, value in ours.state_dict().items())
        hashes = [json.loads((tmp_path / n / "card.json").read_text())["sha256"] for n in ("whole", "stopped")]
        assert hashes[0] == hashes[1]

    def test_one_of_several_processes_resumes_too(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        run = tiny_run("ae2", tmp_path)
        run.train_step()
        run.save_checkpoint()
        again = tiny_run("ae2", tmp_path)
        # what a launcher of several processes calls the processor, and torch cannot load to
        monkeypatch.setattr(type(again.accelerator), "device", torch.device("cpu", 0))
        assert again.resume()
        assert again.step == 1

    def test_going_on_from_published_weights_begins_with_them_and_warms_up_again(
        self, finished: Callable[[str], Path], tmp_path: Path
    ) -> None:
        run = tiny_run("ddpm", tmp_path, first_weights=99)
        published = load_model(finished("ddpm")).state_dict()
        seen = json.loads((finished("ddpm") / "card.json").read_text())["images_seen"]
        run.continue_from(finished("ddpm"))
        for network in (run.objective.network, run.ema.network):
            assert all(torch.equal(value, published[name]) for name, value in network.state_dict().items())
        assert (run.images_seen, run.begun_at, run.step) == (seen, seen, seen // 16)
        assert not any(optimizer.state for optimizer in run.optimizers.values())
        longer = Settings(images=10 * seen, warmup_images=seen)
        assert learning_rate(longer, seen, seen) < learning_rate(longer, seen)
        assert learning_rate(longer, 2 * seen, seen) == learning_rate(longer, 2 * seen)
        run.save_checkpoint()
        again = tiny_run("ddpm", tmp_path)
        assert again.resume()
        assert again.begun_at == seen

    def test_a_part_that_the_network_has_only_now_begins_as_in_a_new_run(
        self, finished: Callable[[str], Path], tmp_path: Path
    ) -> None:
        published = load_model(finished("gan")).state_dict()
        keener = replace(TOY, training={**TOY.training, "gan": {**TOY.training.get("gan", {}), "fine_sight": 4}})
        run = tiny_run("gan", tmp_path, dataset=keener)
        run.continue_from(finished("gan"))
        weights = run.objective.network.state_dict()
        assert {name for name in weights if name not in published} == {
            f"discriminator.fine.{layer}.{part}" for layer in ("features", "seen") for part in ("weight", "bias")
        }
        assert all(torch.equal(weights[name], value) for name, value in published.items())
        run.train_step()
        run.publish(tmp_path)
        with pytest.raises(ValueError, match="parts that are not there any more"):
            tiny_run("gan", tmp_path).continue_from(tmp_path)

    def test_what_is_not_all_published_cannot_go_on_from_it(
        self, finished: Callable[[str], Path], tmp_path: Path
    ) -> None:
        run = tiny_run("gan", tmp_path)
        run.continue_from(finished("gan"))
        run.objective.pixel_shift = -0.1
        with pytest.raises(ValueError, match="what is published is not what is trained"):
            run.continue_from(finished("gan"))

    def test_a_run_killed_while_writing_leaves_the_old_checkpoint(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        run = tiny_run("ae2", tmp_path)
        run.train_step()
        run.save_checkpoint()
        before = run.checkpoint.read_bytes()

        def half(_: object, path: Path) -> None:
            path.write_bytes(b"half")
            raise KeyboardInterrupt

        monkeypatch.setattr(torch, "save", half)
        run.train_step()
        with pytest.raises(KeyboardInterrupt):
            run.save_checkpoint()
        assert run.checkpoint.read_bytes() == before

    def test_a_step_whose_gradient_is_not_finite_changes_no_weight(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        run = tiny_run("ae2", tmp_path)
        before = {name: value.clone() for name, value in run.objective.network.state_dict().items()}
        losses = run.objective.losses
        monkeypatch.setattr(run.objective, "losses", lambda *args: {"loss": losses(*args)["loss"] * torch.inf})
        run.train_step()
        after = run.objective.network.state_dict()
        assert all(torch.equal(value, after[name]) for name, value in before.items())

    @every_model
    def test_the_first_step_does_what_adam_says(self, model: str, tmp_path: Path) -> None:
        """Adam's first step moves every weight by the learning rate, against the sign of its gradient."""
        run = tiny_run(model, tmp_path)
        before = {name: p.detach().clone() for name, p in run.objective.network.named_parameters()}
        run.train_step()
        rate = learning_rate(SETTINGS, 0)
        moved = torch.cat([(p - before[name]).flatten() for name, p in run.objective.network.named_parameters()])
        assert moved.abs().max() <= rate * 1.001
        assert (moved.abs() > 0.9 * rate).double().mean() > 0.4


class TestSheets:
    @pytest.mark.parametrize("channels", [1, 3])
    def test_picture_k_stands_at_its_row_and_column(self, channels: int, tmp_path: Path) -> None:
        images = np.random.default_rng(0).integers(0, 256, (6, channels, 4, 4), dtype=np.uint8)
        save_sheet(as_pictures(images), 3, tmp_path / "sheet.png")
        pixels = np.asarray(Image.open(tmp_path / "sheet.png")).reshape(8, 12, channels)
        for k in range(6):
            top, left = k // 3 * 4, k % 3 * 4
            assert np.array_equal(pixels[top : top + 4, left : left + 4], images[k].transpose(1, 2, 0))

    def test_a_new_card_forgets_what_was_measured_on_older_weights(self, tmp_path: Path) -> None:
        (tmp_path / "model.safetensors").write_bytes(b"new")
        (tmp_path / "card.json").write_text('{"metrics": {"frechet": 1}, "model": "vae"}')
        write_card(tmp_path, {"model": "vae"})
        card = json.loads((tmp_path / "card.json").read_text())
        assert card == {"model": "vae", "sha256": {"model.safetensors": base.sha256(tmp_path / "model.safetensors")}}


class TestCommand:
    @pytest.fixture(autouse=True)
    def place(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        monkeypatch.setattr(base, "DATA_FOLDER", tmp_path / "data")
        monkeypatch.setattr(base, "PRETRAINED_FOLDER", tmp_path / "pretrained")
        monkeypatch.setitem(command.DATASETS, TOY.name, TOY)
        return tmp_path

    def call(self, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
        monkeypatch.setattr(sys, "argv", ["training", TOY.name, *arguments])
        return command.main()

    def test_without_the_data_set_it_says_how_to_get_it(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
    ) -> None:
        assert self.call(monkeypatch, "ae2") == 1
        assert capsys.readouterr().err == "Toy is not built yet: run `python -m playground.datasets toy` first\n"

    def test_it_trains_resumes_and_restarts(
        self, place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
    ) -> None:
        TOY.write()
        options = ("ae2", "--images", "320", "--batch-size", "16", "--precision", "no", "--output", str(place / "ae2"))
        assert self.call(monkeypatch, *options) == 0
        first = (place / "ae2" / "model.safetensors").read_bytes()
        card = json.loads((place / "ae2" / "card.json").read_text())
        assert card["images_seen"] == 320
        assert self.call(monkeypatch, *options) == 0
        assert "resuming after 320 pictures" in capsys.readouterr().out
        assert self.call(monkeypatch, *options, "--seed", "1", "--restart") == 0
        assert "resuming" not in capsys.readouterr().out
        assert (place / "ae2" / "model.safetensors").read_bytes() != first
        assert self.call(monkeypatch, *options, "--seed", "0", "--restart") == 0
        assert (place / "ae2" / "model.safetensors").read_bytes() == first  # the same seed, the same weights

    def test_it_goes_on_from_published_weights_where_there_is_no_checkpoint(
        self, place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
    ) -> None:
        TOY.write()
        monkeypatch.setattr(command, "PRETRAINED_FOLDER", place / "published")
        options = ("ae2", "--batch-size", "16", "--precision", "no")
        published = str(place / "published" / TOY.name / "ae2")
        assert self.call(monkeypatch, *options, "--images", "160", "--output", published) == 0
        options = (*options, "--images", "320", "--go-on", "--output", str(place / "ae2"))
        assert self.call(monkeypatch, *options) == 0
        assert "going on from the published weights of 160 pictures" in capsys.readouterr().out
        card = json.loads((place / "ae2" / "card.json").read_text())
        assert (card["images_seen"], card["command"].count("--go-on")) == (320, 1)
        assert self.call(monkeypatch, *options) == 0
        assert "resuming after 320 pictures" in capsys.readouterr().out
        assert self.call(monkeypatch, "vae", "--go-on", "--precision", "no", "--output", str(place / "vae")) == 1
        assert "card.json" in capsys.readouterr().err  # nothing of that name is published

    def test_a_setting_of_zero_is_a_setting(self, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        TOY.write()
        found: list[Settings] = []
        monkeypatch.setattr(Run, "train", lambda run: found.append(run.settings))
        output = ("--output", str(place / "ae2"))
        self.call(monkeypatch, "ae2", "--save-every-s", "0", "--final-learning-rate", "0", "--snapshots", *output)
        self.call(monkeypatch, "ae2", "--record", *output)
        assert (found[0].save_every_s, found[0].final_learning_rate, found[0].snapshots) == (0, 0, True)
        assert (found[0].record, found[1].record) == (False, True)
        assert found[1] == replace(command.SETTINGS["ae2"], record=True)


DRIVER = """
import sys
from pathlib import Path

import torch

torch.set_num_threads(1)
from playground.datasets import base
from playground.training import __main__ as command
from playground.training import objectives
from playground.training.loop import Run, average_gradients
from tests.test_training import TINY, TOY

base.DATA_FOLDER = Path(sys.argv.pop(1))
objectives.MODELS.update(TINY)
command.DATASETS[TOY.name] = TOY
train = Run.train


def train_and_tell(run):
    weight = torch.nn.Parameter(torch.zeros(1))
    weight.grad = torch.full((1,), float(run.accelerator.process_index))
    average_gradients(run.accelerator, [weight])
    facts = f"{run.accelerator.num_processes} {float(weight.grad)}"
    train(run)
    torch.save(run.objective.network.state_dict(), base.DATA_FOLDER / f"{run.accelerator.process_index}.pt")
    (base.DATA_FOLDER / f"{run.accelerator.process_index}.txt").write_text(facts)


Run.train = train_and_tell
sys.exit(command.main())
"""


def averaged_training(objective: Objective, settings: Settings, steps: int, num_processes: int) -> nn.Module:
    """What several processes promise: one Adam step a batch along the mean of every share's gradient."""
    images, labels = as_pictures(TOY.build()["train"].images), torch.from_numpy(TOY.build()["train"].labels)
    parameters = list(objective.network.parameters())
    adam = torch.optim.Adam(parameters, betas=objective.betas)
    share = settings.batch_size // num_processes
    for step in range(steps):
        seen = step * settings.batch_size
        loss = 0.0
        for process in range(num_processes):
            generator = step_generator(settings.seed, step, process)
            chosen = torch.randint(len(images), (share,), generator=generator)
            parts = objective.losses("vae", images[chosen], labels[chosen], generator, seen / settings.images)
            loss = loss + parts["loss"] / num_processes
        adam.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, settings.max_gradient_norm)
        for group in adam.param_groups:
            group["lr"] = learning_rate(settings, seen)
        adam.step()
    return objective.network


def test_two_processes_hold_the_same_weights_those_of_averaged_gradients(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(base, "DATA_FOLDER", tmp_path)
    monkeypatch.setattr(base, "PRETRAINED_FOLDER", tmp_path / "pretrained")
    TOY.write()
    (tmp_path / "driver.py").write_text(DRIVER)
    # "multi_gpu" is accelerate's word for several processes of its own; without GPUs they meet over gloo
    settings = replace(command.SETTINGS["vae"], images=320, batch_size=16, warmup_images=64, precision="no")
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2"]
    launch += ["--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0"]
    options = ["vae", "--images", "320", "--batch-size", "16", "--warmup-images", "64", "--precision", "no"]
    root = Path(__file__).parents[1]
    done = subprocess.run(
        [*launch, str(tmp_path / "driver.py"), str(tmp_path), TOY.name, *options, "--output", str(tmp_path / "vae")],
        env={
            **os.environ,
            "PYTHONPATH": str(root),
            "OMP_NUM_THREADS": "1",
            "CUDA_VISIBLE_DEVICES": "",
            "HF_HOME": str(tmp_path / "hf"),
        },
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert [(tmp_path / f"{k}.txt").read_text() for k in range(2)] == [
        "2 0.5",
        "2 0.5",
    ]  # processes, and the mean of 0 and 1
    first, second = (torch.load(tmp_path / f"{k}.pt", weights_only=True) for k in range(2))
    assert all(torch.equal(value, second[name]) for name, value in first.items())

    torch.manual_seed(settings.seed)
    expected = averaged_training(build_objective("vae", TOY), settings, steps=20, num_processes=2).state_dict()
    for name, value in first.items():
        if not re.search(r"stages\..*\.0\.bias$", name):  # a normalisation follows: no gradient but rounding errors
            torch.testing.assert_close(value, expected[name], atol=1e-4, rtol=0, msg=name)
    assert load_model(tmp_path / "vae")
    assert json.loads((tmp_path / "vae" / "card.json").read_text())["images_seen"] == 320


class TestInstant:
    """The student of few steps, of a teacher and a judge that were trained first."""

    @pytest.fixture(scope="class")
    def masters(self, tmp_path_factory: pytest.TempPathFactory) -> Path:
        """A folder with a tiny trained ddpm and gan."""
        root = tmp_path_factory.mktemp("masters")
        for model in (instant.TEACHER, instant.JUDGE):
            torch.manual_seed(0)
            config, options = TINY[model]
            config = replace(config, size=SIZE, channels=1, cardinalities=TOY.cardinalities)
            save_model(objectives.OBJECTIVES[type(config)](config, **options).network, root / TOY.name / model)
        return root

    def run(self, masters: Path, output: Path, settings: Settings = SETTINGS) -> Run:
        splits = TOY.build()
        return Run(
            instant.build_student(TOY, masters),
            TOY,
            instant.STUDENT,
            settings,
            train=splits["train"],
            held_out=splits["held_out"],
            output=output,
            work=work_of(output),
            command="pytest",
        )

    def test_it_begins_as_its_teacher_and_the_teacher_stays_as_it_is(self, masters: Path, tmp_path: Path) -> None:
        run = self.run(masters, tmp_path / "instant")
        teacher, student = run.objective.teacher, run.objective.network.student
        before = {name: value.clone() for name, value in teacher.state_dict().items()}
        assert all(torch.equal(value, before[name]) for name, value in student.state_dict().items())
        for _ in range(3):
            run.train_step()
        assert all(torch.equal(value, before[name]) for name, value in teacher.state_dict().items())
        assert any(not torch.equal(value, before[name]) for name, value in student.state_dict().items())

    def test_a_student_that_sees_the_end_of_every_path_is_consistent(self, masters: Path) -> None:
        """All pictures are one picture: then the right answer is known at every noise level, to both."""
        objective = instant.build_student(TOY, masters)
        picture = torch.rand(1, 1, SIZE, SIZE, generator=torch.Generator().manual_seed(0)) * 2 - 1

        def knows(x_t: torch.Tensor, t: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
            a = objective.signal(t)
            return velocity(picture, (x_t - a.sqrt() * picture) / (1 - a).sqrt(), a)

        for network in (objective.teacher, objective.network.student):
            network.forward = knows
        t = torch.tensor([999, 700, 250, 30])
        eps = torch.randn(4, 1, SIZE, SIZE, generator=torch.Generator().manual_seed(1))
        x_t = add_noise(picture, eps, objective.signal(t))
        labels = torch.tensor([[1], [0], [2], [1]])
        assert torch.allclose(objective.further_down(x_t, t, labels), picture.expand(4, -1, -1, -1), atol=1e-3)
        seen = instant.predicted_x0(objective.network.student, x_t, t, labels, objective.signal(t))
        assert instant.pseudo_huber(seen, objective.further_down(x_t, t, labels)).max() < 1e-4

    def test_further_down_goes_along_the_guided_path(self, masters: Path) -> None:
        """One DDIM step of the teacher, checked against diffusers'; the student looks at where it ends."""
        objective = instant.build_student(TOY, masters)
        objective.guidance_scale = 3.0
        where = {}
        objective.network.student.forward = lambda x, t, labels: where.update(x=x, t=t) or torch.zeros_like(x)
        x_t = torch.randn(2, 1, SIZE, SIZE, generator=torch.Generator().manual_seed(1))
        labels = torch.tensor([[1], [2]])
        objective.further_down(x_t, torch.tensor([624, 624]), labels)
        scheduler = DDIMScheduler.from_config(objective.teacher.noise_schedule)
        scheduler.set_timesteps(16)  # strides of 62 levels, as ours
        output = guided(objective.teacher, labels, 3.0)(x_t, torch.tensor(624))
        assert where["t"].tolist() == [562, 562]
        step = scheduler.step(output, 624, x_t, use_clipped_model_output=True)
        assert torch.allclose(where["x"], step.prev_sample, atol=1e-5)

    def test_what_it_becomes_is_a_pipeline_of_diffusers_and_a_model_of_ours(
        self, masters: Path, tmp_path: Path
    ) -> None:
        run = self.run(masters, tmp_path / "instant")
        run.train()
        pipeline = DDIMPipeline.from_pretrained(tmp_path / "instant")
        pipeline.set_progress_bar_config(disable=True)
        pictures = pipeline(batch_size=2, num_inference_steps=4, eta=1.0, output_type="np").images
        assert pictures.shape == (2, SIZE, SIZE, 1)
        model = load_model(tmp_path / "instant")
        assert model.scheduler_name == "DDIMScheduler"
        card = json.loads((tmp_path / "instant" / "card.json").read_text())
        assert card["parameters"] == sum(p.numel() for p in model.parameters())
        assert Recipe(**card["facts"]["settings"]).steps == instant.SETTINGS["steps"]
        assert list((work_of(tmp_path / "instant") / "sheets").iterdir())

    def test_a_data_set_says_in_how_many_steps_its_student_is_asked(self, masters: Path) -> None:
        one = replace(TOY, training={**TOY.training, instant.STUDENT: {"steps": 1}})
        objective = instant.build_student(one, masters)
        assert objective.finish(objective.network, None, None)["settings"] == {**instant.SETTINGS, "steps": 1}
        assert objective.sheet(objective.network, torch.tensor([[1], [2]])).shape == (2, 1, SIZE, SIZE)

    def test_interrupted_and_resumed_it_walks_the_same_path(self, masters: Path, tmp_path: Path) -> None:
        whole = self.run(masters, tmp_path / "whole")
        whole.train()
        first = self.run(masters, tmp_path / "parts")
        for _ in range(7):
            first.train_step()
        first.save_checkpoint()
        second = self.run(masters, tmp_path / "parts")
        assert second.resume()
        second.train()
        for one, other in zip(whole.ema.network.parameters(), second.ema.network.parameters(), strict=True):
            assert torch.equal(one, other)

    def test_it_goes_on_from_a_published_student_before_the_first_judge(self, masters: Path, tmp_path: Path) -> None:
        first = self.run(masters, tmp_path / "instant")
        first.train()
        run = self.run(masters, tmp_path / "longer")
        judge = {name: value.clone() for name, value in run.objective.network.judge.state_dict().items()}
        run.continue_from(tmp_path / "instant")
        published = load_model(tmp_path / "instant").state_dict()
        for network in (run.objective.network, run.ema.network):
            assert all(torch.equal(value, published[name]) for name, value in network.student.state_dict().items())
            assert all(torch.equal(value, judge[name]) for name, value in network.judge.state_dict().items())
        assert run.images_seen == first.images_seen
        run.train_step()

    def test_without_a_teacher_it_says_who_is_missing(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError, match="train ddpm first"):
            instant.build_student(TOY, tmp_path)
