"""Train one model: `python -m playground.training DATASET MODEL` (under `accelerate launch` on several processes)."""

from __future__ import annotations

import argparse
import shutil
import sys
from dataclasses import fields, replace
from pathlib import Path

import torch

from playground.datasets import DATASETS
from playground.datasets.base import PRETRAINED_FOLDER, ROOT
from playground.training.instant import STUDENT, build_student
from playground.training.loop import Run, Settings
from playground.training.objectives import MODELS, build_objective

SETTINGS = {
    "ae2": Settings(images=150_000, learning_rate=2e-3),
    "vae2": Settings(images=150_000, learning_rate=2e-3),
    "vae": Settings(images=240_000, learning_rate=2e-3),
    "gan": Settings(images=900_000, learning_rate=5e-4, final_learning_rate=5e-5, max_gradient_norm=100.0),
    "ddpm": Settings(images=360_000, ema_half_life_images=15_000),
    "instant": Settings(images=150_000, learning_rate=1e-4, final_learning_rate=1e-5, max_gradient_norm=10.0),
}

KEPT = {
    "snapshots": "keep averaged weights at log-spaced counts of images",
    "record": "keep pictures of fixed noise, and the losses, at log-spaced counts of images (of a new run)",
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m playground.training", description=__doc__)
    parser.add_argument("dataset", choices=sorted(DATASETS))
    parser.add_argument("model", choices=sorted([*MODELS, STUDENT]))
    for setting in fields(Settings):
        flag = f"--{setting.name.replace('_', '-')}"
        if setting.name in KEPT:
            parser.add_argument(flag, action="store_const", const=True, help=KEPT[setting.name])
        else:
            parser.add_argument(flag, type=type(getattr(SETTINGS["ddpm"], setting.name)))
    parser.add_argument("--threads", type=int, help="threads of one process (the library's choice otherwise)")
    parser.add_argument("--restart", action="store_true", help="forget the checkpoint and begin again")
    parser.add_argument(
        "--go-on",
        action="store_true",
        help="where there is no checkpoint, begin with the weights in pretrained/DATASET/MODEL and new optimisers",
    )
    parser.add_argument("--output", type=Path, help="where the model goes (default: pretrained/DATASET/MODEL)")
    arguments = parser.parse_args()

    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    given = {f.name: getattr(arguments, f.name) for f in fields(Settings)}
    given = {name: value for name, value in given.items() if value is not None}
    dataset = DATASETS[arguments.dataset]
    names = {f.name for f in fields(Settings)}
    declared = {k: v for k, v in dataset.training.get(arguments.model, {}).items() if k in names}
    settings = replace(SETTINGS[arguments.model], **{**declared, **given})
    torch.manual_seed(settings.seed)  # the networks' first weights
    try:
        train, held_out = dataset.load("train"), dataset.load("held_out")
        objective = build_student(dataset) if arguments.model == STUDENT else build_objective(arguments.model, dataset)
    except FileNotFoundError as error:
        print(error, file=sys.stderr)
        return 1
    output = arguments.output or PRETRAINED_FOLDER / dataset.name / arguments.model
    work = ROOT / ".checkpoints" / dataset.name / arguments.model
    if arguments.output is not None:  # beside the model, whose folder holds nothing but what the app opens
        work = output.with_name(f"{output.name}-work")
    if arguments.restart:
        shutil.rmtree(work, ignore_errors=True)
    run = Run(
        objective,
        dataset,
        arguments.model,
        settings,
        train=train,
        held_out=held_out,
        output=output,
        work=work,
        command="python -m playground.training " + " ".join(sys.argv[1:]),
    )
    if run.resume():
        print(f"resuming after {run.images_seen:,} pictures")
    elif arguments.go_on:
        try:
            run.continue_from(PRETRAINED_FOLDER / dataset.name / arguments.model)
        except (FileNotFoundError, ValueError) as error:
            print(error, file=sys.stderr)
            return 1
        print(f"going on from the published weights of {run.images_seen:,} pictures")
    run.train()
    return 0


if __name__ == "__main__":
    sys.exit(main())
