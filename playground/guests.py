"""Guests: unconditional diffusion pipelines from elsewhere, named when the app is started.

A guest is a folder that diffusers' `DDPMPipeline` or `DDIMPipeline` was saved to, or the id of one on the Hugging Face
hub, which is fetched once, at the start. Only JSON and safetensors are read, nothing in it is run, and everything is
checked before its network gets any memory. What cannot be opened is left out with a sentence in the log.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch.utils.flop_counter import FlopCounterMode

from playground import limits
from playground.datasets.base import sha256
from playground.models import DamagedWeights, Diffusion, load_model
from playground.models.diffusion import PIPELINES, component_folder
from playground.zoo import GUEST, Card

if TYPE_CHECKING:
    from diffusers import UNet2DModel

log = logging.getLogger(__name__)

VARIABLE = "PLAYGROUND_PIPELINES"  # for hosts that start the app without options: several are parted by commas
WEIGHTS = "diffusion_pytorch_model.safetensors"
DESCRIPTIONS = ("model_index.json", "config.json", "scheduler_config.json", "*/config.json", "*/scheduler_config.json")
HUB_ID = r"[\w.-]+/[\w.-]+"
PREDICTIONS = ("epsilon", "sample", "v_prediction")
LONGEST_NAME = 32  # of a model in a recipe


class Unwelcome(ValueError):  # noqa: N818
    """A pipeline that cannot be a guest: the message says why, for whoever named it."""


def named(arguments: Sequence[str] | None, environment: Mapping[str, str] = os.environ) -> list[str]:
    """The pipelines that the command line and then the environment name, each once."""
    parser = argparse.ArgumentParser(prog="python app.py", description="Open the playground over pretrained/.")
    parser.add_argument(
        "--pipeline",
        action="append",
        default=[],
        metavar="FOLDER_OR_HUB_ID",
        help="an unconditional DDPMPipeline or DDIMPipeline that joins the Diffusion and Compare tabs; may be repeated "
        f"(${VARIABLE} names more, parted by commas)",
    )
    options = parser.parse_args(arguments)
    others = (name.strip() for name in environment.get(VARIABLE, "").split(","))
    return list(dict.fromkeys(name for name in (*options.pipeline, *others) if name))


def invited(names: Sequence[str]) -> list[Card]:
    """The cards of all that can be guests, with a line in the log for each of the others."""
    cards: list[Card] = []
    for name in names:
        try:
            if len(cards) == limits.MAX_GUESTS:
                raise Unwelcome(f"there is room for {limits.MAX_GUESTS}")
            cards.append(invite(name, [card.model for card in cards]))
        except Unwelcome as reason:
            log.warning("%s is left out: %s", name, reason)
    return cards


def invite(name: str, taken: Sequence[str] = ()) -> Card:
    """The card of the pipeline that `name` names, which belongs to no data set yet.

    Raises Unwelcome with a sentence for one that cannot be opened here, or is too large.
    """
    folder = resolved(name)
    check_index(folder)
    unet = laid_out(described(component_folder(folder, "unet") / "config.json"))
    num_levels = levels_of(described(component_folder(folder, "scheduler") / "scheduler_config.json"))
    parameters = limits_kept(unet)
    most = most_evaluations(unet)
    weights = weights_of(folder, name)
    try:
        load_model(folder)
    except DamagedWeights as damage:
        why = damage.__cause__ if type(damage.__cause__) is ValueError else damage
        raise Unwelcome(f"its weights cannot be used: {why}") from damage
    shape = Diffusion(unet, (), {}).shape
    facts = {
        "parameters": parameters,
        "sha256": {weights.relative_to(folder).as_posix(): sha256(weights)},
        "facts": {"title": title_of(name), "shape": list(shape), "most_evaluations": most, "num_levels": num_levels},
    }
    return Card("", model_name(name, taken), GUEST, folder, facts)


def title_of(name: str) -> str:
    """What a pipeline is called on the page: its id, or its folder's own name without the way to it."""
    shown = name if is_hub_id(name) else Path(name).expanduser().resolve().name
    return re.sub(r"[^\w./ -]", "_", shown)[:60]


def model_name(name: str, taken: Sequence[str]) -> str:
    """What recipes call it, such as "guest-ddpm-cat-256"; a number follows where that is taken."""
    words = re.sub(r"[^a-z0-9]+", "-", title_of(name).split("/")[-1].lower()).strip("-")
    plain = f"guest-{words}"[:LONGEST_NAME].strip("-")
    candidates = (plain, *(f"{plain[: LONGEST_NAME - 2]}-{k}" for k in range(2, limits.MAX_GUESTS + 1)))
    return next(candidate for candidate in candidates if candidate not in taken)


def is_hub_id(name: str) -> bool:
    return not Path(name).expanduser().exists() and re.fullmatch(HUB_ID, name) is not None and name[0] not in "./~"


def resolved(name: str) -> Path:
    """The pipeline's folder; of a hub id, where its descriptions (not yet its weights) have been fetched to."""
    if is_hub_id(name):
        return fetched(name, DESCRIPTIONS)
    folder = Path(name).expanduser()
    if not folder.is_dir():
        raise Unwelcome("there is no such folder, and it is no id of a repository on the hub (owner/name)")
    return folder.resolve()


def fetched(hub_id: str, patterns: Sequence[str]) -> Path:
    """The folder with these files of a repository on the hub; what was fetched at an earlier start needs no network."""
    from huggingface_hub import snapshot_download  # one of diffusers' own requirements

    try:
        return Path(snapshot_download(hub_id, allow_patterns=list(patterns)))
    except Exception as error:  # a name that is wrong, a network that is not there, a door that is locked
        kind = type(error).__name__
        raise Unwelcome(f"the hub could not be asked for it ({kind}): is there a network, is the id right?") from error


def weights_of(folder: Path, name: str) -> Path:
    """The file of weights, fetched for a hub id; nothing but safetensors is ever opened."""
    inside = (component_folder(folder, "unet") / WEIGHTS).relative_to(folder)
    if is_hub_id(name):
        fetched(name, [inside.as_posix()])
    if not (folder / inside).is_file():
        raise Unwelcome(
            f"it has no {inside.as_posix()}; weights in other files (.bin, .ckpt) are pickles, which can run code, and "
            "are never opened: save it again with `save_pretrained`"
        )
    return folder / inside


def described(path: Path) -> dict[str, object]:
    """The JSON object in one of the pipeline's files."""
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError, RecursionError) as error:
        raise Unwelcome(f"its {path.name} is not there or cannot be read") from error
    if not isinstance(found, dict):
        raise Unwelcome(f"its {path.name} holds no JSON object")
    return found


def check_index(folder: Path) -> None:
    """A `DDPMPipeline` or `DDIMPipeline` of diffusers' own UNet and scheduler, and nothing else."""
    index = described(folder / "model_index.json")
    kinds = [pipeline for pipeline, _ in PIPELINES.values()]
    if index.get("_class_name") not in kinds:
        raise Unwelcome(f"it must be a {' or '.join(kinds)}, not a {limits.shown(index.get('_class_name'))}")
    if index.get("unet") != ["diffusers", "UNet2DModel"]:
        raise Unwelcome(f"its unet must be diffusers' UNet2DModel, not {limits.shown(index.get('unet'))}")
    if index.get("scheduler") not in [["diffusers", name] for name in PIPELINES]:
        raise Unwelcome(f"its scheduler must be one of {', '.join(PIPELINES)} of diffusers")


def laid_out(config: Mapping[str, object]) -> UNet2DModel:
    """The network of a config, without memory for its numbers."""
    from diffusers import UNet2DModel

    if config.get("_class_name") != "UNet2DModel":
        raise Unwelcome(f"its unet must be a UNet2DModel, not a {limits.shown(config.get('_class_name'))}")
    if config.get("class_embed_type") is not None or config.get("num_class_embeds") is not None:
        raise Unwelcome("its UNet is conditional: it must be told a class, and only unconditional ones are understood")
    try:
        with torch.device("meta"):
            return UNet2DModel.from_config(dict(config))
    except Exception as error:  # whatever a config can say that is none
        raise Unwelcome("its unet/config.json describes no network that can be built") from error


def levels_of(config: Mapping[str, object]) -> int:
    """How many noise levels a scheduler's config has, once they are found to be such as the samplers here can walk."""
    from diffusers import DDPMScheduler

    prediction = config.get("prediction_type", "epsilon")
    if prediction not in PREDICTIONS:
        raise Unwelcome(f"its prediction_type must be one of {', '.join(PREDICTIONS)}, not {limits.shown(prediction)}")
    levels = config.get("num_train_timesteps", limits.MAX_STEPS)
    if type(levels) is not int or not 2 <= levels <= limits.MAX_STEPS:
        raise Unwelcome(f"its num_train_timesteps must be 2 to {limits.MAX_STEPS}, not {limits.shown(levels)}")
    try:
        alphas_cumprod = DDPMScheduler.from_config(dict(config)).alphas_cumprod
    except Exception as error:
        raise Unwelcome("its scheduler_config.json describes no scheduler that can be built") from error
    if len(alphas_cumprod) != levels or not bool(((alphas_cumprod > 0) & (alphas_cumprod < 1)).all()):
        raise Unwelcome("its noise levels must all lie between no noise and nothing but noise")
    return levels


def limits_kept(unet: UNet2DModel) -> int:
    """The number of parameters, once everything about the network is found to be within bounds."""
    config = unet.config
    size = config.sample_size if isinstance(config.sample_size, (list, tuple)) else [config.sample_size] * 2
    if len(set(size)) != 1 or type(size[0]) is not int or not 1 <= size[0] <= limits.MAX_GUEST_SIDE:
        raise Unwelcome(
            f"its pictures must be square, of at most {limits.MAX_GUEST_SIDE} pixels a side: its sample_size is "
            f"{limits.shown(config.sample_size)}"
        )
    if config.in_channels not in (1, 3):
        raise Unwelcome(f"its pictures must have 1 channel (grey) or 3 (colour), not {config.in_channels}")
    if config.out_channels != config.in_channels:
        raise Unwelcome("its UNet must predict one value a pixel: learned variances are not understood")
    parameters = sum(parameter.numel() for parameter in unet.parameters())
    if parameters > limits.MAX_GUEST_PARAMETERS:
        raise Unwelcome(f"it must have at most {limits.MAX_GUEST_PARAMETERS:,} parameters, and has {parameters:,}")
    return parameters


def operations(unet: UNet2DModel) -> int:
    """Multiplications and additions of one pass for one picture, counted without doing them."""
    shape = Diffusion(unet, (), {}).shape
    counter = FlopCounterMode(display=False)
    try:
        with counter, torch.no_grad():
            unet(torch.zeros(1, *shape, device="meta"), torch.zeros(1, device="meta"))
    except Exception as error:  # a side that cannot be halved so often, attention that does not fit its channels
        raise Unwelcome("its UNet cannot be run on pictures of its own sample_size") from error
    return counter.get_total_flops()


def most_evaluations(unet: UNet2DModel) -> int:
    """How many passes for one picture a request may ask for; on more threads they are sooner done, and more allowed."""
    each, allowed = operations(unet), int(1e9 * limits.MAX_GUEST_GFLOP) * torch.get_num_threads()
    most = allowed // max(1, each)
    if most < 1:
        raise Unwelcome(f"one step takes {each / 1e9:,.0f} billion operations, a request may {allowed / 1e9:,.0f}")
    return min(most, limits.MAX_NETWORK_EVALUATIONS)
