"""Guests: pipelines from elsewhere are opened, bounded and drawn with as diffusers does, or refused in a sentence."""

from __future__ import annotations

import json
import logging
import pickle
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from diffusers import DDIMPipeline, DDIMScheduler, DDPMPipeline, DDPMScheduler, UNet2DConditionModel, UNet2DModel
from safetensors.torch import load_file, save_file

from playground import guests, limits
from playground.comparison import compare, sheet
from playground.datasets import DATASETS
from playground.generate import as_made, check, last
from playground.guests import VARIABLE, Unwelcome, invite, invited, named
from playground.models import Model, save_model
from playground.recipe import SAMPLERS, Recipe, from_query, to_query
from playground.sampling.noise import seeded_generators
from playground.sampling.reverse import build_scheduler
from playground.zoo import Zoo

FIRST, SECOND = list(DATASETS)[:2]
LEVELS, SIDE = 40, 16


def tiny_unet(**changed: object) -> UNet2DModel:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        settings = {"sample_size": SIDE, "in_channels": 3, "out_channels": 3, "layers_per_block": 1}
        settings |= {"block_out_channels": (8, 16), "norm_num_groups": 4, "attention_head_dim": 8}
        settings |= {
            "down_block_types": ("DownBlock2D", "AttnDownBlock2D"),
            "up_block_types": ("AttnUpBlock2D", "UpBlock2D"),
        }
        return UNet2DModel(**{**settings, **changed}).eval()


def tiny_pipeline(schedule: dict[str, object] | None = None, **unet: object) -> DDPMPipeline:
    pipeline = DDPMPipeline(tiny_unet(**unet), DDPMScheduler(**{"num_train_timesteps": LEVELS, **(schedule or {})}))
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A small pipeline as `save_pretrained` leaves it."""
    tiny_pipeline().save_pretrained(tmp_path / "My pipeline")
    return tmp_path / "My pipeline"


@pytest.fixture(scope="module")
def hosting(wide_zoo: Zoo, tmp_path_factory: pytest.TempPathFactory) -> Zoo:
    """The tiny models of two data sets, and one guest whose pictures are of another size and in colour."""
    folder = tmp_path_factory.mktemp("guests") / "colours"
    tiny_pipeline().save_pretrained(folder)
    return Zoo(wide_zoo.root, guests=invited([str(folder)]))


def rewrite(path: Path, **changed: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changed}))


# ---- who is named, and who may come in


def test_command_line_and_environment_name_guests() -> None:
    environment = {VARIABLE: " owner/name , ./folder,,a b"}
    assert named(["--pipeline", "one", "--pipeline", "./folder"], environment) == [
        "one",
        "./folder",
        "owner/name",
        "a b",
    ]
    assert named([], {}) == []


def test_a_folder_becomes_a_card_named_after_it(folder: Path) -> None:
    card = invite(str(folder))
    assert (card.model, card.family) == ("guest-my-pipeline", "guest")
    assert card.facts["facts"]["title"] == "My pipeline"
    assert card.parameters == sum(p.numel() for p in tiny_unet().parameters())
    assert card.num_levels == LEVELS
    assert card.metrics == {}


def test_names_are_such_as_recipes_can_hold_and_all_different(folder: Path, tmp_path: Path) -> None:
    long = Path(shutil.copytree(folder, tmp_path / ("X" * 60)))
    korean = Path(shutil.copytree(folder, tmp_path / "<손님> {x}"))
    same = Path(shutil.copytree(folder, tmp_path / "elsewhere" / folder.name))
    cards = invited([str(long), str(korean), str(folder), str(same)])
    assert [card.model for card in cards][1:] == ["guest-x", "guest-my-pipeline", "guest-my-pipeline-2"]
    for card in cards:
        assert Recipe(model=card.model).model == card.model
    assert cards[1].facts["facts"]["title"] == "_손님_ _x_"


def test_ddim_pipelines_and_early_folders_without_subfolders_are_welcome(folder: Path, tmp_path: Path) -> None:
    DDIMPipeline(tiny_unet(), DDIMScheduler(num_train_timesteps=LEVELS)).save_pretrained(tmp_path / "ddim")
    assert invite(str(tmp_path / "ddim")).num_levels == LEVELS
    flat = tmp_path / "flat"
    flat.mkdir()
    for path in (folder / "model_index.json", *folder.glob("*/*")):
        shutil.copy(path, flat)
    assert invite(str(flat)).facts["sha256"].keys() == {"diffusion_pytorch_model.safetensors"}
    early = {".to_q.": ".query.", ".to_k.": ".key.", ".to_v.": ".value.", ".to_out.0.": ".proj_attn."}
    tensors = load_file(flat / "diffusion_pytorch_model.safetensors")
    for now, then in early.items():
        tensors = {name.replace(now, then): tensor for name, tensor in tensors.items()}
    assert any(".query." in name for name in tensors)
    save_file(tensors, flat / "diffusion_pytorch_model.safetensors")
    assert invite(str(flat)).parameters == invite(str(folder)).parameters


def test_the_checkpoints_of_a_training_that_goes_on_do_not_matter(folder: Path, tiny_zoo: Zoo) -> None:
    zoo = Zoo(tiny_zoo.root, guests=[invite(str(folder))])
    shutil.copytree(folder / "unet", folder / "checkpoint-500" / "unet")
    assert zoo.open(FIRST, "guest-my-pipeline").shape == (3, SIDE, SIDE)


def test_our_own_folder_is_a_guest_that_hears_nothing(
    tiny_network: Callable[..., Model], tmp_path: Path, tiny_zoo: Zoo
) -> None:
    save_model(tiny_network("diffusion", cardinalities=(4, 5)), tmp_path / "ddpm")
    zoo = Zoo(tiny_zoo.root, guests=[invite(str(tmp_path / "ddpm"))])
    pipeline = DDPMPipeline.from_pretrained(tmp_path / "ddpm")
    pipeline.scheduler = build_scheduler("ddpm", pipeline.scheduler.config)
    pipeline.set_progress_bar_config(disable=True)
    expected = pipeline(1, generator=seeded_generators([3]), num_inference_steps=4, output_type="np").images
    found = last(Recipe(model="guest-ddpm", seed=3, steps=4, sampler="ddpm"), zoo).pictures
    torch.testing.assert_close((found / 2 + 0.5).movedim(1, -1), torch.from_numpy(expected), atol=1e-5, rtol=0)


REFUSED = {
    "no folder": "no such folder",
    "no index": "model_index.json is not there",
    "index is no JSON": "model_index.json is not there or cannot be read",
    "other pipeline": "must be a DDPMPipeline or DDIMPipeline, not a 'StableDiffusionPipeline'",
    "own code": "unet must be diffusers' UNet2DModel, not",
    "other scheduler": "scheduler must be one of DDPMScheduler, DDIMScheduler",
    "told a class": "UNet is conditional",
    "told a text": "unet must be a UNet2DModel, not a 'UNet2DConditionModel'",
    "nonsense config": "describes no network that can be built",
    "odd side": "cannot be run on pictures of its own sample_size",
    "large pictures": "square, of at most 256 pixels a side: its sample_size is 512",
    "wide pictures": "must be square",
    "no side": "its sample_size is None",
    "four channels": "1 channel (grey) or 3 (colour), not 4",
    "learned variance": "learned variances are not understood",
    "other prediction": "prediction_type must be one of epsilon, sample, v_prediction, not 'flow'",
    "too many levels": "num_train_timesteps must be 2 to 1000, not 4000",
    "no noise": "noise levels must all lie between",
    "only noise": "noise levels must all lie between",
    "pickle": "weights in other files (.bin, .ckpt) are pickles",
    "renamed pickle": "weights cannot be used: the header",
    "missing tensor": "weights are not those that its config asks for",
    "not finite": "not finite",
}


def damage(folder: Path, case: str) -> Path:
    index, weights = folder / "model_index.json", folder / "unet" / "diffusion_pytorch_model.safetensors"
    unet, scheduler = folder / "unet" / "config.json", folder / "scheduler" / "scheduler_config.json"
    match case:
        case "no folder":
            return folder / "nowhere"
        case "no index":
            index.unlink()
        case "index is no JSON":
            index.write_text("{")
        case "other pipeline":
            rewrite(index, _class_name="StableDiffusionPipeline")
        case "own code":
            rewrite(index, unet=["my_module", "UNet2DModel"])
        case "other scheduler":
            rewrite(index, scheduler=["diffusers", "PNDMScheduler"])
        case "told a class":
            rewrite(unet, num_class_embeds=10)
        case "told a text":
            UNet2DConditionModel(
                sample_size=SIDE,
                block_out_channels=(32,),
                down_block_types=("DownBlock2D",),
                up_block_types=("UpBlock2D",),
            ).save_pretrained(folder / "unet")
        case "nonsense config":
            rewrite(unet, block_out_channels=["wide", "wider"])
        case "odd side":
            rewrite(unet, sample_size=15)
        case "large pictures":
            rewrite(unet, sample_size=512)
        case "wide pictures":
            rewrite(unet, sample_size=[16, 32])
        case "no side":
            rewrite(unet, sample_size=None)
        case "four channels":
            rewrite(unet, in_channels=4, out_channels=4)
        case "learned variance":
            rewrite(unet, out_channels=6)
        case "other prediction":
            rewrite(scheduler, prediction_type="flow")
        case "too many levels":
            rewrite(scheduler, num_train_timesteps=4000)
        case "no noise":
            rewrite(scheduler, beta_start=0.0, beta_end=0.0)
        case "only noise":
            rewrite(scheduler, rescale_betas_zero_snr=True)
        case "pickle":
            weights.unlink()
            torch.save(tiny_unet().state_dict(), weights.with_suffix(".bin"))
        case "renamed pickle":
            weights.write_bytes(pickle.dumps({"a": 1}))
        case "missing tensor":
            save_file(dict(list(load_file(weights).items())[1:]), weights)
        case "not finite":
            save_file({name: value * float("nan") for name, value in load_file(weights).items()}, weights)
    return folder


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_opened_is_refused_with_a_sentence(case: str, folder: Path) -> None:
    with pytest.raises(Unwelcome) as refusal:
        invite(str(damage(folder, case)))
    assert REFUSED[case] in str(refusal.value)
    assert str(folder.parent) not in str(refusal.value)


def test_too_many_parameters_are_refused_before_they_get_memory(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rewrite(folder / "unet" / "config.json", block_out_channels=[4096, 8192])  # 7 thousand million parameters
    with pytest.raises(Unwelcome, match=r"at most 150,000,000 parameters, and has \d"):
        invite(str(folder))


def test_a_pipeline_that_cannot_come_leaves_a_line_in_the_log_and_the_rest_work(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        cards = invited([str(folder / "nowhere"), str(folder)])
    assert [card.model for card in cards] == ["guest-my-pipeline"]
    assert "nowhere is left out: there is no such folder" in caplog.text
    assert "Traceback" not in caplog.text


def test_there_is_room_for_a_few(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    cards = invited([str(folder)] * (limits.MAX_GUESTS + 1))
    assert len({card.model for card in cards}) == limits.MAX_GUESTS
    assert f"there is room for {limits.MAX_GUESTS}" in caplog.text


def test_a_hub_id_is_fetched_once_and_without_a_pickle(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def fetch(hub_id: str, patterns: list[str]) -> Path:
        assert hub_id == "owner/some-ddpm"
        asked.extend(patterns)
        return folder

    monkeypatch.setattr(guests, "fetched", fetch)
    card = invite("owner/some-ddpm")
    assert (card.model, card.facts["facts"]["title"]) == ("guest-some-ddpm", "owner/some-ddpm")
    assert all(pattern.endswith((".json", ".safetensors")) for pattern in asked)


def test_without_a_network_a_hub_id_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*_: object, **__: object) -> str:
        raise OSError("[Errno -2] Name or service not known")

    monkeypatch.setattr("huggingface_hub.snapshot_download", offline)
    with pytest.raises(Unwelcome, match=r"could not be asked for it .*is there a network"):
        invite("owner/some-ddpm")


# ---- what it draws


@pytest.mark.parametrize("prediction_type", guests.PREDICTIONS)
@pytest.mark.parametrize("channels", [1, 3])
def test_a_guest_draws_what_its_own_pipeline_draws(
    prediction_type: str, channels: int, tmp_path: Path, tiny_zoo: Zoo
) -> None:
    schedule = {"prediction_type": prediction_type, "variance_type": "fixed_large"}
    pipeline = tiny_pipeline(schedule, in_channels=channels, out_channels=channels)
    pipeline.save_pretrained(tmp_path / "theirs")
    zoo = Zoo(tiny_zoo.root, guests=invited([str(tmp_path / "theirs")]))
    recipe = Recipe(dataset=FIRST, model="guest-theirs", seed=7, count=3, steps=LEVELS, sampler="ddpm")
    expected = pipeline(
        3, generator=seeded_generators(recipe.seeds), num_inference_steps=LEVELS, output_type="np"
    ).images
    found = last(recipe, zoo).pictures
    assert found.shape == (3, channels, SIDE, SIDE)
    torch.testing.assert_close((found / 2 + 0.5).movedim(1, -1), torch.from_numpy(expected), atol=1e-5, rtol=0)


@pytest.mark.parametrize("prediction_type", guests.PREDICTIONS)
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_sampler_walks_every_prediction_type(
    sampler: str, prediction_type: str, tmp_path: Path, tiny_zoo: Zoo
) -> None:
    tiny_pipeline({"prediction_type": prediction_type}).save_pretrained(tmp_path / "theirs")
    zoo = Zoo(tiny_zoo.root, guests=invited([str(tmp_path / "theirs")]))
    frame = last(Recipe(model="guest-theirs", steps=6, sampler=sampler), zoo)
    assert torch.isfinite(frame.step.x_next).all()


def test_euler_ancestral_is_the_same_walk_whatever_the_network_predicts() -> None:
    """A network that predicts the picture, and the same one asked for the noise, end at the same picture."""
    ends = []
    for kind in ("epsilon", "sample"):
        scheduler = build_scheduler("euler_a", {"num_train_timesteps": 1000, "prediction_type": kind})
        scheduler.set_timesteps(8)
        (generator,) = seeded_generators([0])
        sample = torch.randn(1, 1, 4, 4, generator=generator) * scheduler.init_noise_sigma
        for t, sigma in zip(scheduler.timesteps, scheduler.sigmas, strict=False):
            x0 = (scheduler.scale_model_input(sample, t) * 0.7).tanh()
            output = x0 if kind == "sample" else (sample - x0) / sigma
            sample = scheduler.step(output, t, sample, generator=[generator]).prev_sample
        ends.append(sample)
    torch.testing.assert_close(*ends, atol=1e-4, rtol=0)


def test_a_guest_stands_on_every_page_with_one_network_for_all(hosting: Zoo) -> None:
    for name in (FIRST, SECOND):
        assert [card.model for card in hosting.guests(name)] == ["guest-colours"]
        assert all(not card.is_guest for card in hosting.cards(name))
        assert last(Recipe(dataset=name, model="guest-colours", steps=2), hosting).pictures.shape == (1, 3, SIDE, SIDE)
    assert hosting.open(FIRST, "guest-colours").network is hosting.open(SECOND, "guest-colours").network


def test_guests_drive_none_of_our_own_models_out_of_memory(folder: Path, tiny_zoo: Zoo) -> None:
    zoo = Zoo(tiny_zoo.root, capacity=1, guests=[invite(str(folder))])
    own = zoo.open(FIRST, "vae")
    zoo.open(FIRST, "guest-my-pipeline")
    assert zoo.open(FIRST, "vae") is own


def test_a_guest_walks_between_two_seeds(hosting: Zoo) -> None:
    recipe = Recipe(model="guest-colours", task="walk", count=3, seed=1, seed_to=2, steps=3, sampler="ddim")
    walked = last(recipe, hosting).pictures
    (alone,) = last(replace(recipe, task="sample", count=1), hosting).pictures
    torch.testing.assert_close(walked[0], alone, atol=1e-5, rtol=0)


def test_a_guests_recipe_survives_its_link(hosting: Zoo) -> None:
    recipe = Recipe(dataset=SECOND, model="guest-colours", seed=5, steps=3, sampler="dpmpp")
    again = from_query(to_query(recipe))
    assert again == recipe
    assert torch.equal(last(again, hosting).pictures, last(recipe, hosting).pictures)


IMPOSSIBLE = {
    "labels must be left open for guest-colours": {"labels": (3,)},
    "text must be left open for guest-colours": {"text": "가"},
    "steps must be a whole number from 1 to 40": {"steps": 41},
    "task edit is not something that guest-colours can do": {"task": "edit"},
    "task judge is not something": {"task": "judge"},
    "task branch is not something": {"task": "branch"},
}


@pytest.mark.parametrize("sentence", IMPOSSIBLE)
def test_what_a_guest_cannot_do_is_said_in_a_sentence(sentence: str, hosting: Zoo) -> None:
    with pytest.raises(ValueError, match=sentence):
        check(Recipe(**{"model": "guest-colours", "steps": 4, **IMPOSSIBLE[sentence]}), hosting)


# ---- how much it may ask for


def test_the_work_allowed_shrinks_with_the_pixels(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_GUEST_GFLOP", 1)
    small = invite(str(folder)).most_evaluations
    rewrite(folder / "unet" / "config.json", sample_size=2 * SIDE)
    large = invite(str(folder)).most_evaluations
    assert 4 <= small / large < 8  # four times the pixels; attention grows with their square
    monkeypatch.setattr(limits, "MAX_GUEST_GFLOP", 1e-3)
    with pytest.raises(Unwelcome, match="billion operations"):
        invite(str(folder))


def test_the_operations_of_a_pass_are_counted_right() -> None:
    """Against a count by hand of a UNet that is all convolutions of one width and one linear layer a block."""
    with torch.device("meta"):
        unet = tiny_unet(
            block_out_channels=(8,),
            down_block_types=("DownBlock2D",),
            up_block_types=("UpBlock2D",),
            add_attention=False,
        )
    convolutions = [module for module in unet.modules() if isinstance(module, torch.nn.Conv2d)]
    linears = [module for module in unet.modules() if isinstance(module, torch.nn.Linear)]
    operations = sum(2 * SIDE**2 * module.weight.numel() for module in convolutions)
    operations += sum(2 * module.weight.numel() for module in linears)
    assert guests.most_evaluations(unet) == min(
        limits.MAX_NETWORK_EVALUATIONS, int(limits.MAX_GUEST_GFLOP * torch.get_num_threads() * 1e9 / operations)
    )
    assert guests.operations(unet) == operations


def test_too_much_work_is_refused_and_a_comparison_takes_fewer_steps(hosting: Zoo) -> None:
    heavy = [replace(card, facts={**card.facts, "facts": {**card.facts["facts"], "most_evaluations": 9}})
             for card in hosting.guests(FIRST)]  # fmt: skip
    zoo = Zoo(hosting.root, guests=heavy)
    with pytest.raises(ValueError, match="at most 9 network evaluations for guest-colours, this recipe needs 12"):
        check(Recipe(model="guest-colours", count=2, steps=6), zoo)
    recipe = Recipe(task="compare", models=("vae", "guest-colours"), count=2, steps=6, labels=(3,))
    assert [row.frame.network_evaluations for row in compare(recipe, zoo) if row.frame.is_last] == [1, 4]
    for sampler in ("heun", "ddim"):
        check(as_made(replace(recipe, task="sample", sampler=sampler), heavy[0]), zoo)


@pytest.mark.parametrize("asked", [{"labels": (3,)}, {"dataset": SECOND, "text": DATASETS[SECOND].writing.example}])
def test_a_comparison_sets_a_guest_beside_our_own(asked: dict[str, object], hosting: Zoo) -> None:
    recipe = Recipe(task="compare", models=("guest-colours", "vae"), count=2, steps=3, **asked)
    rows = [row for row in compare(recipe, hosting) if row.frame.is_last]
    assert [row.card.model for row in rows] == ["vae", "guest-colours"]
    guest = rows[1]
    assert guest.frame.pictures.shape == (2, 3, SIDE, SIDE)
    assert not guest.recipe.labels
    assert not guest.recipe.text
    assert torch.equal(last(guest.recipe, hosting).pictures, guest.frame.pictures)
    assert sheet(rows).ndim == 3


def test_guests_take_part_only_where_they_are_named(hosting: Zoo, wide_zoo: Zoo) -> None:
    plain = Recipe(task="compare", steps=2)
    ours, theirs = ([row.card.model for row in compare(plain, zoo) if row.frame.is_last] for zoo in (hosting, wide_zoo))
    assert ours == theirs
