"""One training loop for all families: moving average, checkpoints, resume, sample sheets, a log of losses, snapshots.

Every random draw of step k comes from a generator seeded by (seed, k, process), so a run that was interrupted and
resumed walks exactly the path of one that was not.
"""

from __future__ import annotations

import csv
import json
import math
import os
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from playground.datasets import Dataset, Pictures
from playground.models.storage import load_model, save_model
from playground.training.card import hardware, write_card
from playground.training.ema import EMA
from playground.training.objectives import Objective
from playground.training.record import Record, to_bytes

HELD_OUT_FOR_FACTS = 2_000


@dataclass(frozen=True)
class Settings:
    """How to train; `images` is the number of pictures shown in all, over all processes."""

    images: int
    batch_size: int = 64
    learning_rate: float = 1e-3
    final_learning_rate: float = 2e-5
    warmup_images: int = 5_000
    ema_half_life_images: float = 10_000
    max_gradient_norm: float = 1.0
    seed: int = 0
    precision: str = "bf16"  # "no" for float32
    save_every_s: float = 180.0
    snapshots: bool = False
    record: bool = False


def learning_rate(settings: Settings, images_seen: int, begun_at: int = 0) -> float:
    """Linear warm-up from the first picture of this run, and a half cosine down to `final_learning_rate`."""
    warm = min(1.0, (images_seen - begun_at + settings.batch_size) / settings.warmup_images)
    cosine = 0.5 * (1 + math.cos(math.pi * min(1.0, images_seen / settings.images)))
    return warm * (settings.final_learning_rate + (settings.learning_rate - settings.final_learning_rate) * cosine)


def snapshot_counts(images: int, per_decade: int = 2) -> list[int]:
    """Counts of images seen at which snapshots are kept, evenly spaced in the logarithm from 1,000 to `images`."""
    num = max(2, round(math.log10(max(images, 1001) / 1000) * per_decade) + 1)
    return sorted({int(count) for count in np.geomspace(1000, images, num)})


def as_pictures(images: np.ndarray) -> Tensor:
    """uint8 [n, channels, size, size] -> [-1, 1]."""
    return torch.from_numpy(images).float() / 127.5 - 1


def step_generator(seed: int, step: int, process: int) -> torch.Generator:
    return torch.Generator().manual_seed(int(np.random.SeedSequence([seed, step, process]).generate_state(1)[0]))


def average_gradients(accelerator: Accelerator, parameters: list[Tensor]) -> None:
    """Make every process hold the mean of all processes' gradients."""
    if accelerator.num_processes == 1:
        return
    held = [parameter for parameter in parameters if parameter.grad is not None]
    flat = accelerator.reduce(torch.cat([parameter.grad.flatten() for parameter in held]), reduction="mean")
    for parameter, piece in zip(held, flat.split([p.numel() for p in held]), strict=True):
        parameter.grad.copy_(piece.view_as(parameter.grad))


def save_sheet(pictures: Tensor, columns: int, path: Path) -> None:
    """Write pictures in [-1, 1] as one contact sheet."""
    n, channels, height, width = pictures.shape
    cells = to_bytes(pictures).view(-1, columns, channels, height, width)
    sheet = cells.permute(0, 3, 1, 4, 2).reshape(n // columns * height, columns * width, channels).numpy()
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(sheet.squeeze(-1) if channels == 1 else sheet).save(path)


def sheet_labels(dataset: Dataset, held_out: Pictures, rows: int = 10, columns: int = 10) -> np.ndarray:
    """What a sample sheet asks for, [rows x columns, attributes]: the values of the only attribute, a row each, or
    where there are several the labels of held-out pictures, a column each (the last in turn left to the network)."""
    if len(dataset.attributes) == 1:
        values = np.arange(rows) % dataset.cardinalities[0] + 1
        return values.repeat(columns)[:, None]
    labels = np.tile(held_out.labels[:columns], (rows, 1))
    labels[::2, -1] = 0
    return labels


class Run:
    """One training run: its networks, optimisers and place on disk."""

    def __init__(
        self,
        objective: Objective,
        dataset: Dataset,
        model: str,
        settings: Settings,
        *,
        train: Pictures,
        held_out: Pictures,
        output: Path,
        work: Path,
        command: str,
    ) -> None:
        self.accelerator = Accelerator(
            mixed_precision=settings.precision, cpu=not torch.cuda.is_available(), step_scheduler_with_optimizer=False
        )
        self.objective, self.dataset, self.model, self.settings = objective, dataset, model, settings
        self.output, self.work, self.command = output, work, command
        device = self.accelerator.device
        objective.network.to(device, memory_format=torch.channels_last)
        self.ema = EMA(objective.network, settings.ema_half_life_images)
        self.optimizers = {
            name: torch.optim.Adam(player.parameters(), lr=settings.learning_rate, betas=objective.betas, fused=True)
            for name, player in objective.players.items()
        }
        self.images = as_pictures(train.images).to(device)
        self.labels = torch.from_numpy(train.labels).to(device)
        self.held_out = held_out
        self.step, self.images_seen, self.seconds = 0, 0, 0.0
        self.begun_at = 0  # pictures that the weights had seen already where the optimisers were new

    @property
    def checkpoint(self) -> Path:
        return self.work / "state.pt"

    def save_checkpoint(self) -> None:
        """Write all that resuming needs, atomically: a run killed while writing leaves the old state whole."""
        state = {
            "network": self.objective.network.state_dict(),
            "ema": self.ema.network.state_dict(),
            "optimizers": {name: optimizer.state_dict() for name, optimizer in self.optimizers.items()},
            "step": self.step,
            "images_seen": self.images_seen,
            "seconds": self.seconds,
            "begun_at": self.begun_at,
        }
        self.work.mkdir(parents=True, exist_ok=True)
        torch.save(state, self.checkpoint.with_suffix(".tmp"))
        os.replace(self.checkpoint.with_suffix(".tmp"), self.checkpoint)

    def resume(self) -> bool:
        """Continue from the checkpoint, where there is one."""
        if not self.checkpoint.exists():
            return False
        state = torch.load(self.checkpoint, map_location="cpu", weights_only=True)
        self.objective.network.load_state_dict(state["network"])
        self.ema.network.load_state_dict(state["ema"])
        for name, optimizer in self.optimizers.items():
            optimizer.load_state_dict(state["optimizers"][name])
        self.step, self.images_seen, self.seconds = state["step"], state["images_seen"], state["seconds"]
        self.begun_at = state["begun_at"]
        return True

    def continue_from(self, folder: Path) -> None:
        """Go on from published weights, which are averaged ones, with new optimisers that are warmed up again.

        What is learned beside them, as a student's judge, begins as in a new run; so does a part that the network has
        only now. Raises ValueError where what is published is not itself a part of what is learned.
        """
        card, published = json.loads((folder / "card.json").read_text()), load_model(folder).state_dict()
        for network in (self.objective.network, self.ema.network):
            shown = self.objective.shown(network)
            if all(shown is not part for part in network.modules()):
                raise ValueError(f"{self.model} cannot go on from {folder}: what is published is not what is trained")
            if shown.load_state_dict(published, strict=False).unexpected_keys:
                raise ValueError(f"{self.model} cannot go on from {folder}: it has parts that are not there any more")
        self.step = card["images_seen"] // self.settings.batch_size
        self.images_seen = self.begun_at = card["images_seen"]
        self.seconds = card["seconds"]

    def train_step(self) -> dict[str, float]:
        """Every player's turn on one batch; returns the losses."""
        settings, accelerator = self.settings, self.accelerator
        generator = step_generator(settings.seed, self.step, accelerator.process_index)
        share = settings.batch_size // accelerator.num_processes
        chosen = torch.randint(len(self.images), (share,), generator=generator).to(self.images.device)
        x0 = self.images[chosen].contiguous(memory_format=torch.channels_last)
        labels = self.labels[chosen]
        rate = learning_rate(settings, self.images_seen, self.begun_at)
        scalars = {}
        for name, player in self.objective.players.items():
            optimizer, parameters = self.optimizers[name], list(player.parameters())
            for group in optimizer.param_groups:
                group["lr"] = rate
            with accelerator.autocast():
                parts = self.objective.losses(name, x0, labels, generator, self.images_seen / settings.images)
            parts["loss"].backward()
            average_gradients(accelerator, parameters)
            norm = torch.nn.utils.clip_grad_norm_(parameters, settings.max_gradient_norm)
            if torch.isfinite(norm):
                optimizer.step()
            optimizer.zero_grad()
            scalars |= {f"{name}/{part}": value.item() for part, value in parts.items()}
        self.step += 1
        self.images_seen += share * accelerator.num_processes
        self.ema.update(self.objective.network, self.images_seen, settings.batch_size)
        return scalars

    @torch.inference_mode()
    def publish(self, folder: Path) -> None:
        """Write the averaged weights, their card and a sample sheet as the app will find them."""
        network = self.ema.network
        few = slice(0, HELD_OUT_FOR_FACTS)
        device = self.accelerator.device
        x0 = as_pictures(self.held_out.images[few]).to(device)
        facts = self.objective.finish(network, x0, torch.from_numpy(self.held_out.labels[few]).to(device))
        save_model(self.objective.shown(network), folder)
        card = {
            "dataset": self.dataset.name,
            "model": self.model,
            "command": self.command,
            "seed": self.settings.seed,
            "images_seen": self.images_seen,
            "images_planned": self.settings.images,
            "seconds": round(self.seconds),
            "hardware": hardware(),
            "parameters": sum(p.numel() for p in self.objective.shown(network).parameters()),
            "facts": facts,
        }
        write_card(folder, card)

    @torch.inference_mode()
    def draw_sheet(self) -> None:
        labels = torch.from_numpy(sheet_labels(self.dataset, self.held_out))
        pictures = self.objective.sheet(self.ema.network, labels.to(self.accelerator.device)).cpu()
        save_sheet(pictures, 10, self.work / "sheets" / f"{self.images_seen:09d}.png")

    def new_record(self) -> Record:
        """Of a training that has not begun: each value of the first attribute a few times, or as a sheet asks."""
        labels = sheet_labels(self.dataset, self.held_out, rows=10, columns=2)
        facts = {"command": self.command, "seed": self.settings.seed, "images_planned": self.settings.images}
        return Record(self.work / "history", self.model, labels, {**facts, "hardware": hardware()})

    @torch.inference_mode()
    def record_if_due(self, record: Record, losses: dict[str, list[float]]) -> None:
        """At its next moment: what the averaged weights make of fixed noise, and the mean losses, begun anew then."""
        while record.next_moment is not None and self.images_seen >= record.next_moment:
            labels = torch.from_numpy(record.labels).to(self.accelerator.device)
            pictures = self.objective.sheet(self.ema.network, labels).cpu()
            record.add(self.images_seen, pictures, {name: sum(values) / len(values) for name, values in losses.items()})
            losses.clear()

    def log(self, scalars: dict[str, float]) -> None:
        path = self.work / "losses.csv"
        is_new = not path.exists()
        with path.open("a", newline="") as file:
            writer = csv.writer(file)
            if is_new:
                writer.writerow(["images_seen", "seconds", "name", "value"])
            for name, value in scalars.items():
                writer.writerow([self.images_seen, round(self.seconds, 1), name, f"{value:.6g}"])

    def train(self) -> None:
        """Run to `settings.images`, saving as it goes."""
        settings, leads = self.settings, self.accelerator.is_main_process
        self.work.mkdir(parents=True, exist_ok=True)
        pending = [n for n in snapshot_counts(settings.images) if n > self.images_seen] if settings.snapshots else []
        bar = tqdm(total=settings.images, initial=self.images_seen, unit="img", disable=not leads, mininterval=5)
        last_save = clock = time.monotonic()
        sums: dict[str, list[float]] = {}
        record = self.new_record() if settings.record and leads and self.images_seen == 0 else None
        since_recorded: dict[str, list[float]] = {}
        if record:
            self.record_if_due(record, since_recorded)
        while self.images_seen < settings.images:
            for name, value in self.train_step().items():
                sums.setdefault(name, []).append(value)
                if record:
                    since_recorded.setdefault(name, []).append(value)
            if record:
                self.record_if_due(record, since_recorded)
            self.seconds += time.monotonic() - clock
            clock = time.monotonic()
            bar.update(self.images_seen - bar.n)
            if not leads:
                continue
            if self.step % 100 == 0:
                means = {name: sum(values) / len(values) for name, values in sums.items()}
                self.log(means)
                bar.set_postfix({name.split("/")[-1]: f"{value:.4g}" for name, value in means.items()}, refresh=False)
                sums = {}
            while pending and self.images_seen >= pending[0]:
                self.publish(self.work / "snapshots" / f"{pending.pop(0):09d}")
            if clock - last_save > settings.save_every_s:
                self.save_checkpoint()
                self.draw_sheet()
                self.publish(self.output)
                last_save = clock = time.monotonic()
        bar.close()
        if leads:
            self.save_checkpoint()
            self.draw_sheet()
            self.publish(self.output)
        self.accelerator.end_training()
