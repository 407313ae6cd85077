"""Denoising diffusion (Ho et al. 2020) around diffusers' UNet2DModel, predicting v (Salimans and Ho 2022).

diffusers takes seconds to import, so it is imported where it is used: the first page need not wait for it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from playground.models.conditioning import AttributeEmbedding

if TYPE_CHECKING:
    from diffusers import DDPMScheduler, UNet2DModel

# Every value is written out: schedulers made `from_config` fall back to their own defaults for whatever is missing.
NOISE_SCHEDULE = {
    "num_train_timesteps": 1000,
    "beta_start": 0.0001,
    "beta_end": 0.02,
    "beta_schedule": "linear",
    "prediction_type": "v_prediction",
    "clip_sample": True,
    "clip_sample_range": 1.0,
}

# The pipelines that a folder may be saved for, by their scheduler; few steps must begin where the noise is pure.
PIPELINES: dict[str, tuple[str, dict[str, object]]] = {
    "DDPMScheduler": ("DDPMPipeline", {}),
    "DDIMScheduler": ("DDIMPipeline", {"timestep_spacing": "trailing"}),
}

LARGE = 20_000  # numbers in a matrix whose room counts: nine tenths of our UNets are such


@dataclass(frozen=True)
class DiffusionConfig:
    size: int
    channels: int
    cardinalities: tuple[int, ...]
    block_out_channels: tuple[int, ...] = (16, 32, 64, 128)
    layers_per_block: int = 1
    norm_num_groups: int = 4
    attention_head_dim: int = 32


def component_folder(folder: Path, name: str) -> Path:
    """Where a pipeline keeps its "unet" or "scheduler": in a folder of that name, or (early ones) beside the index."""
    return folder / name if (folder / name).is_dir() else folder


def stored_cardinalities(folder: Path) -> tuple[int, ...]:
    """How many values each label has that the model in `folder` is told; none for anybody else's pipeline."""
    config = folder / "conditioner" / "config.json"
    return tuple(json.loads(config.read_text())["cardinalities"]) if config.exists() else ()


def narrow(unet: UNet2DModel) -> UNet2DModel:
    """The UNet as it is written, in place: large matrices as 8-bit floats (e4m3, Micikevicius et al. 2022), all else in
    half precision. Who reads the file gets them in the precision that they work in, 3 % of their size off.
    """
    unet.half()
    for weight in unet.parameters():
        if weight.ndim > 1 and weight.numel() > LARGE:
            weight.data = weight.data.to(torch.float8_e4m3fn)
    return unet


def build_unet(config: DiffusionConfig) -> UNet2DModel:
    from diffusers import UNet2DModel

    levels = len(config.block_out_channels)
    return UNet2DModel(
        sample_size=config.size,
        in_channels=config.channels,
        out_channels=config.channels,
        layers_per_block=config.layers_per_block,
        block_out_channels=config.block_out_channels,
        down_block_types=("DownBlock2D",) * levels,
        up_block_types=("UpBlock2D",) * levels,
        norm_num_groups=config.norm_num_groups,
        attention_head_dim=config.attention_head_dim,
        class_embed_type="identity",
    )


class Diffusion(nn.Module):
    """A UNet that is told the labels as a vector added to its time embedding; "any" adds the zero vector.

    Without labels it is exactly the unconditional UNet2DModel that diffusers' pipeline opens from the same folder;
    `scheduler_name` is the pipeline's scheduler, one of `PIPELINES`.
    """

    def __init__(
        self,
        unet: UNet2DModel,
        cardinalities: tuple[int, ...],
        noise_schedule: dict[str, object],
        scheduler_name: str = "DDPMScheduler",
    ) -> None:
        super().__init__()
        self.scheduler_name = scheduler_name
        self.unet = unet
        self.conditioner = AttributeEmbedding(cardinalities, 4 * unet.config.block_out_channels[0])
        self.noise_schedule = dict(noise_schedule)

    @property
    def cardinalities(self) -> tuple[int, ...]:
        return tuple(table.num_embeddings - 1 for table in self.conditioner.tables)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of a picture: (channels, size, size)."""
        size = self.unet.config.sample_size
        return (self.unet.config.in_channels, *([size] * 2 if isinstance(size, int) else size))

    @classmethod
    def from_config(cls, config: DiffusionConfig) -> Diffusion:
        return cls(build_unet(config), config.cardinalities, NOISE_SCHEDULE)

    def scheduler(self) -> DDPMScheduler:
        """A fresh scheduler of the network's own noise levels; schedulers count their steps, so never share one."""
        from diffusers import DDPMScheduler

        return DDPMScheduler(**self.noise_schedule)

    def forward(self, x_t: Tensor, t: Tensor, labels: Tensor) -> Tensor:
        """x_t [batch, channels, size, size], t [batch] -> the network's prediction (v for our own weights)."""
        known = labels[:, : len(self.conditioner.tables)]
        return self.unet(x_t, t, class_labels=self.conditioner(known)).sample

    def save(self, folder: Path) -> None:
        """Write a folder that a plain pipeline of diffusers opens; the conditioner lies beside the UNet."""
        import diffusers

        # where these weights were read from before is no business of the folder's
        config = {name: value for name, value in self.unet.config.items() if name != "_name_or_path"}
        plain = diffusers.UNet2DModel.from_config({**config, "class_embed_type": None})
        plain.load_state_dict(self.unet.state_dict())
        narrow(plain).save_pretrained(folder / "unet")
        pipeline, options = PIPELINES[self.scheduler_name]
        kind = getattr(diffusers, self.scheduler_name)
        kind.from_config({**self.noise_schedule, **options}).save_pretrained(folder / "scheduler")
        index = {
            "_class_name": pipeline,
            "unet": ["diffusers", "UNet2DModel"],
            "scheduler": ["diffusers", self.scheduler_name],
        }
        (folder / "model_index.json").write_text(json.dumps(index, indent=2) + "\n")
        (folder / "conditioner").mkdir(exist_ok=True)
        (folder / "conditioner" / "config.json").write_text(json.dumps({"cardinalities": self.cardinalities}) + "\n")
        tables = {name: value.half().contiguous() for name, value in self.conditioner.state_dict().items()}
        save_file(tables, folder / "conditioner" / "model.safetensors")

    @classmethod
    def load(cls, folder: Path) -> Diffusion:
        """Open our own folder, or any of an unconditional `DDPMPipeline` or `DDIMPipeline` (then without labels).

        Raises ValueError where the weights are not exactly the UNet's, or the noise levels are not plain betas.
        """
        from diffusers import DDPMScheduler, UNet2DModel

        unet_folder, scheduler_folder = (component_folder(folder, name) for name in ("unet", "scheduler"))
        unet, report = UNet2DModel.from_pretrained(
            unet_folder,
            class_embed_type="identity",
            use_safetensors=True,
            local_files_only=True,
            low_cpu_mem_usage=False,  # it would take a package that only training needs, and warn where that is missing
            output_loading_info=True,
        )
        if any(report.values()):  # diffusers would fill what is missing with random numbers
            raise ValueError("the UNet's weights are not those that its config asks for")
        if unet.config.out_channels != unet.config.in_channels:
            raise ValueError("the UNet must predict one value a pixel; learned variances are not supported")
        stated = json.loads((scheduler_folder / "scheduler_config.json").read_text())
        schedule = {key: stated.get(key, default) for key, default in cls.defaults().items()}
        levels = DDPMScheduler.from_config(stated).alphas_cumprod
        if not torch.equal(DDPMScheduler(**schedule).alphas_cumprod, levels):
            raise ValueError("the scheduler's noise levels are not those of its betas")
        cardinalities = stored_cardinalities(folder)
        name = stated.get("_class_name")
        model = cls(unet.float(), cardinalities, schedule, name if name in PIPELINES else "DDPMScheduler")
        if cardinalities:
            model.conditioner.load_state_dict(load_file(folder / "conditioner" / "model.safetensors"))
        return model

    @staticmethod
    def defaults() -> dict[str, object]:
        """What diffusers assumes where a scheduler's file is silent, for the values that decide the noise."""
        unsaid = {"prediction_type": "epsilon", "trained_betas": None, "variance_type": "fixed_small"}
        return {**NOISE_SCHEDULE, **unsaid}


def velocity(x0: Tensor, eps: Tensor, alphas_cumprod: Tensor) -> Tensor:
    """v = sqrt(a) eps - sqrt(1 - a) x0 (Salimans and Ho 2022), a broadcast over the picture."""
    return alphas_cumprod.sqrt() * eps - (1 - alphas_cumprod).sqrt() * x0


def add_noise(x0: Tensor, eps: Tensor, alphas_cumprod: Tensor) -> Tensor:
    """x_t = sqrt(a) x0 + sqrt(1 - a) eps: the forward process in one jump (Ho et al. 2020, eq. 4)."""
    return alphas_cumprod.sqrt() * x0 + (1 - alphas_cumprod).sqrt() * eps
