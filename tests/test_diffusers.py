"""Our diffusion folder opens in plain diffusers, and theirs open here."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from diffusers import DDPMPipeline, DDPMScheduler, UNet2DModel
from safetensors.torch import load_file, save_file
from torch import Tensor

from playground.models import DamagedWeights, Diffusion, Model, load_model, save_model
from playground.recipe import SAMPLERS
from playground.sampling.noise import draw_noise, seeded_generators
from playground.sampling.reverse import build_scheduler, guided, reverse
from playground.zoo import Zoo

ANY = torch.zeros(3, 2, dtype=torch.long)


def assert_same_output(network: Diffusion, unet: UNet2DModel) -> None:
    """ "Any" asks exactly the plain UNet."""
    config = unet.config
    x_t = torch.randn(3, config.in_channels, config.sample_size, config.sample_size)
    labels = torch.zeros(3, len(network.cardinalities), dtype=torch.long)
    t = torch.tensor([0, 400, 999]) % network.noise_schedule["num_train_timesteps"]
    with torch.inference_mode():
        assert torch.equal(network(x_t, t, labels), unet(x_t, t).sample)


def test_our_folder_opens_and_runs_in_plain_diffusers(tiny_network: Callable[..., Model], tmp_path: Path) -> None:
    save_model(tiny_network("diffusion", 32, 3, (4, 5)), tmp_path)
    pipeline = DDPMPipeline.from_pretrained(tmp_path)
    assert type(pipeline) is DDPMPipeline
    assert pipeline.scheduler.config.prediction_type == "v_prediction"
    assert_same_output(load_model(tmp_path), pipeline.unet)
    pipeline.set_progress_bar_config(disable=True)
    pictures = pipeline(2, generator=seeded_generators([0, 1]), num_inference_steps=3).images
    assert [picture.size for picture in pictures] == [(32, 32)] * 2


def test_the_trained_folder_opens_in_plain_diffusers(real_zoo: Zoo) -> None:
    cards = [card for dataset in real_zoo.datasets() for card in real_zoo.cards(dataset.name, "diffusion")]
    assert cards
    for card in cards:
        pipeline = DDPMPipeline.from_pretrained(card.folder)
        assert_same_output(real_zoo.open(card.dataset, card.model).network, pipeline.unet)


FOREIGN_SCHEDULES = {
    "defaults": {},
    "as google/ddpm-cifar10-32": {"variance_type": "fixed_large"},
    "cosine without clipping": {"beta_schedule": "squaredcos_cap_v2", "clip_sample": False},
    "predicting the picture": {"prediction_type": "sample"},
    "own betas": {"trained_betas": torch.linspace(0.001, 0.1, 40).tolist()},
}


def foreign_pipeline(schedule: dict[str, object], **unet: object) -> DDPMPipeline:
    """A small unconditional pipeline of another maker, with attention and 40 noise levels."""
    torch.manual_seed(0)
    network = UNet2DModel(
        sample_size=16,
        **{"in_channels": 3, "out_channels": 3, **unet},
        layers_per_block=1,
        block_out_channels=(8, 16),
        down_block_types=("DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D"),
        norm_num_groups=4,
        attention_head_dim=8,
    ).eval()
    pipeline = DDPMPipeline(network, DDPMScheduler(**{"num_train_timesteps": 40, **schedule}))
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


@pytest.mark.parametrize("name", FOREIGN_SCHEDULES)
def test_a_foreign_folder_opens_here_and_samples_like_diffusers(name: str, tmp_path: Path) -> None:
    pipeline = foreign_pipeline(FOREIGN_SCHEDULES[name])
    pipeline.save_pretrained(tmp_path)
    network = Diffusion.load(tmp_path).eval()
    assert network.cardinalities == ()
    assert_same_output(network, pipeline.unet)
    expected = pipeline(3, generator=seeded_generators(range(3)), num_inference_steps=40, output_type="np").images
    generators = seeded_generators(range(3))
    noise = draw_noise(generators, (3, 16, 16))
    scheduler = build_scheduler("ddpm", network.noise_schedule)
    *_, last = reverse(guided(network, ANY, 1.0), scheduler, noise, 40, generators)
    ours = (last.x_next / 2 + 0.5).clamp(0, 1).movedim(1, -1)
    torch.testing.assert_close(ours, torch.from_numpy(expected), atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", FOREIGN_SCHEDULES)
def test_every_sampler_runs_a_foreign_model_over_its_own_noise_levels(name: str, tmp_path: Path) -> None:
    pipeline = foreign_pipeline(FOREIGN_SCHEDULES[name])
    pipeline.save_pretrained(tmp_path)
    network = Diffusion.load(tmp_path).eval()
    has_euler = network.noise_schedule["prediction_type"] != "sample"  # diffusers' Euler does not know that kind
    for sampler in [name for name in SAMPLERS if has_euler or not name.startswith("euler")]:
        scheduler = build_scheduler(sampler, network.noise_schedule)
        assert torch.equal(scheduler.alphas_cumprod, pipeline.scheduler.alphas_cumprod)
        generators = seeded_generators([0])
        noise = draw_noise(generators, (3, 16, 16))
        *_, last = reverse(guided(network, ANY[:1], 1.0), scheduler, noise, 5, generators)
        assert torch.isfinite(last.x_next).all()


def broken(folder: Path, change: Callable[[dict[str, Tensor]], dict[str, Tensor]]) -> None:
    path = folder / "unet" / "diffusion_pytorch_model.safetensors"
    save_file(change(load_file(path)), path)


@pytest.mark.parametrize("case", ["missing", "surplus", "learned variance", "class table", "other levels"])
def test_a_foreign_folder_that_does_not_fit_is_refused(case: str, tmp_path: Path) -> None:
    options = {
        "learned variance": {"out_channels": 6},
        "class table": {"num_class_embeds": 10},
    }
    schedule = {"rescale_betas_zero_snr": True} if case == "other levels" else {}
    foreign_pipeline(schedule, **options.get(case, {})).save_pretrained(tmp_path)
    if case == "missing":
        broken(tmp_path, lambda tensors: dict(list(tensors.items())[1:]))
    if case == "surplus":
        broken(tmp_path, lambda tensors: {**tensors, "one_too_many": torch.zeros(1)})
    with pytest.raises(DamagedWeights, match="cannot be opened"):
        load_model(tmp_path)


def test_only_safetensors_are_opened(tmp_path: Path) -> None:
    foreign_pipeline({}).save_pretrained(tmp_path, safe_serialization=False)
    assert list(tmp_path.rglob("*.bin"))
    with pytest.raises(DamagedWeights):
        load_model(tmp_path)


def test_a_folder_does_not_say_where_its_weights_were_read_before(
    tiny_network: Callable[..., Model], tmp_path: Path
) -> None:
    save_model(tiny_network("diffusion"), tmp_path / "first")
    save_model(load_model(tmp_path / "first"), tmp_path / "second")
    for path in (tmp_path / "second").rglob("*.json"):
        assert str(tmp_path) not in path.read_text(), path.name


def test_the_model_index_names_only_what_diffusers_needs(tiny_network: Callable[..., Model], tmp_path: Path) -> None:
    save_model(tiny_network("diffusion"), tmp_path)
    index = json.loads((tmp_path / "model_index.json").read_text())
    assert index == {
        "_class_name": "DDPMPipeline",
        "unet": ["diffusers", "UNet2DModel"],
        "scheduler": ["diffusers", "DDPMScheduler"],
    }
