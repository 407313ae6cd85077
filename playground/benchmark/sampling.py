"""Networks and sampling: every engine, the same work done by diffusers' pipelines, and what the processor could do."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from diffusers import DDIMPipeline, DDIMScheduler, DDPMPipeline, DDPMScheduler, DiffusionPipeline, UNet2DModel
from torch import Tensor
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from playground.benchmark.timing import interleaved, medians
from playground.device import cores, share_threads
from playground.engine import Engines, Subject
from playground.engine.choice import Form, subject_of
from playground.engine.kinds import REFERENCE
from playground.generate import last, usual
from playground.recipe import Recipe
from playground.sampling.noise import draw_noise, seeded_generators
from playground.sampling.reverse import build_scheduler, guided, reverse
from playground.zoo import Card, Zoo

BATCHES = (1, 16)
LARGE_BATCHES = (1, 16, 64, 256, 1024)  # for a GPU, which small ones leave idle
PIPELINES = {"ddpm": (DDPMPipeline, DDPMScheduler), "ddim": (DDIMPipeline, DDIMScheduler)}
OPTIONS = {DDIMPipeline: {"use_clipped_model_output": True}}  # noise that goes with the clipped picture, as ours

Figures = dict[str, object]


@dataclass(frozen=True)
class Bench:
    """One diffusion model with all engines that could be built for it."""

    zoo: Zoo  # as the app opens it
    card: Card
    subject: Subject
    forms: Mapping[str, Form]
    chosen: str
    steps: int
    repeats: int

    @classmethod
    def of(cls, zoo: Zoo, engines: Engines, card: Card, steps: int, repeats: int) -> Bench:
        """Convert, build and race; `zoo` then answers with the winner."""
        engines.convert_missing(zoo, [card])
        entry = zoo.open(card.dataset, card.model)
        subject = subject_of(entry.network, card)
        with torch.inference_mode():
            forms = engines.build(subject, engines.kinds())
        chosen, predict = engines.best(subject)
        entry.predict.offer(chosen, predict)
        return cls(
            zoo, card, subject, {**forms, chosen: replace(forms[chosen], predict=predict)}, chosen, steps, repeats
        )

    def zoo_on(self, form: str) -> Zoo:
        """The same models, this one on another engine."""
        predict = self.forms[form].predict
        return Zoo(self.zoo.root, fit=lambda network, card: predict if card.folder == self.card.folder else network)

    def recipe(self, **choices: object) -> Recipe:
        return replace(
            usual(self.zoo.open(self.card.dataset, self.card.model).dataset), model=self.card.model, **choices
        )


def with_threads(number: int, work: Callable[[], object]) -> Callable[[], object]:
    """The work with another number of torch's threads."""

    def run() -> object:
        before = torch.get_num_threads()
        torch.set_num_threads(number)
        try:
            return work()
        finally:
            torch.set_num_threads(before)

    return run


def grey_levels(ours: Tensor, theirs: Tensor) -> Figures:
    """How far pictures in [-1, 1] are apart, in 8-bit grey levels: the worst pixel, and the median picture's mean."""
    distance = 127.5 * (ours - theirs).abs().flatten(1)
    return {"largest": float(distance.max()), "median": float(distance.mean(1).median())}


def pipeline_of(card: Card, sampler: str, noise_schedule: Mapping[str, object]) -> DiffusionPipeline:
    """diffusers' own pipeline over the same weights and noise levels."""
    kind, scheduler = PIPELINES[sampler]
    unet = UNet2DModel.from_pretrained(card.folder, subfolder="unet", use_safetensors=True, local_files_only=True)
    pipeline = kind(unet.float().eval(), scheduler.from_config({**noise_schedule, "timestep_spacing": "trailing"}))
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def pictures_of(pipeline: DiffusionPipeline, seeds: Sequence[int], steps: int) -> Tensor:
    """[seeds, channels, size, size] in [-1, 1]."""
    generators = seeded_generators(seeds)
    options = {"num_inference_steps": steps, "output_type": "np", **OPTIONS.get(type(pipeline), {})}
    made = pipeline(len(generators), generator=generators, **options).images
    return torch.from_numpy(made).permute(0, 3, 1, 2) * 2 - 1


def against_pipelines(bench: Bench) -> list[Figures]:
    """The same pictures by diffusers' pipelines, with all cores as they come, and by ours, as the app runs."""
    rows = []
    plain = bench.zoo_on(REFERENCE.name)
    for sampler in PIPELINES:
        pipeline = pipeline_of(bench.card, sampler, bench.subject.network.noise_schedule)
        for batch in BATCHES:
            recipe = bench.recipe(
                sampler=sampler, eta=0.0, guidance_scale=1.0, steps=bench.steps, count=batch, labels=(), text=""
            )
            last(recipe, bench.zoo)
            works = {
                "pipeline": with_threads(cores(), lambda p=pipeline, r=recipe: pictures_of(p, r.seeds, r.steps)),
                "ours": lambda r=recipe: last(r, bench.zoo),
                "reference": lambda r=recipe: last(r, plain),
            }
            theirs = pictures_of(pipeline, recipe.seeds, recipe.steps)
            rows.append(
                {
                    "pipeline": type(pipeline).__name__,
                    "batch": batch,
                    "seconds": medians(interleaved(works, bench.repeats)),
                    "difference": grey_levels(last(recipe, bench.zoo).pictures, theirs),
                    "reference_difference": grey_levels(last(recipe, plain).pictures, theirs),
                }
            )
    return rows


@torch.inference_mode()
def in_large_batches(bench: Bench, device: str, batches: Sequence[int] = LARGE_BATCHES) -> list[Figures]:
    """Pictures a second in ever larger batches: diffusers' pipeline on `device`, and ours on the engine of the app."""
    network, predict = bench.subject.network, bench.forms[bench.chosen].predict
    pipeline = pipeline_of(bench.card, "ddim", network.noise_schedule).to(device)
    rows = []
    for batch in batches:
        nothing = torch.zeros(batch, bench.subject.num_labels, dtype=torch.long)

        def ours(batch: int = batch, nothing: Tensor = nothing) -> Tensor:
            generators = seeded_generators(range(batch))
            noise = draw_noise(generators, network.shape)
            scheduler = build_scheduler("ddim", network.noise_schedule)
            for step in reverse(guided(predict, nothing, 1.0), scheduler, noise, bench.steps, generators):
                pictures = step.x_next
            return pictures

        works = {"pipeline": partial(pictures_of, pipeline, range(batch), bench.steps), "ours": ours}
        seconds = medians(interleaved(works, bench.repeats))
        rows.append({"batch": batch, "pictures_per_second": {name: batch / seconds[name] for name in works}})
    return rows


@torch.inference_mode()
def every_engine(bench: Bench) -> list[Figures]:
    """One pass of the network on every engine, and how far its finished pictures are from the reference's."""
    for form in bench.forms.values():
        form.predict(*bench.subject.examples(max(BATCHES)))
    seconds = {}
    for batch in BATCHES:
        inputs = bench.subject.examples(batch)
        works = {name: lambda f=form, i=inputs: f.predict(*i) for name, form in bench.forms.items()}
        seconds[batch] = medians(interleaved(works, bench.repeats))
    recipe = bench.recipe(steps=bench.steps, count=max(BATCHES), labels=(), text="")
    expected = last(recipe, bench.zoo_on(REFERENCE.name)).pictures
    return [
        {
            "engine": name,
            "is_chosen": name == bench.chosen,
            "milliseconds": {str(batch): 1000 * seconds[batch][name] for batch in BATCHES},
            "pass_error": form.error,
            "difference": grey_levels(last(recipe, bench.zoo_on(name)).pictures, expected),
        }
        for name, form in bench.forms.items()
    ]


@torch.inference_mode()
def peak_flops(dtype: torch.dtype, repeats: int) -> float:
    """Operations a second that the processor reaches in a large 3x3 convolution or matrix product, the better one."""
    side = 1024
    a, b = torch.randn(side, side).to(dtype), torch.randn(side, side).to(dtype)
    x = torch.randn(16, 128, 32, 32).to(dtype).contiguous(memory_format=torch.channels_last)
    weight = torch.randn(128, 128, 3, 3).to(dtype).contiguous(memory_format=torch.channels_last)
    works = {"product": lambda: a @ b, "convolution": lambda: F.conv2d(x, weight, padding=1)}
    seconds = {name: min(values) for name, values in interleaved(works, repeats).items()}
    operations = {"product": 2 * side**3, "convolution": 2 * 16 * 128 * 128 * 9 * 32 * 32}
    return max(operations[name] / seconds[name] for name in works)


def share_of_peak(bench: Bench, engines: list[Figures]) -> list[Figures]:
    """The network's operations a second over the most that was measured in the same precision, all cores."""
    x_t, t, labels = bench.subject.examples(1)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        bench.subject.network(x_t, t, labels)
    operations = counter.get_total_flops()
    measured = {
        name: with_threads(cores(), lambda d=dtype: peak_flops(d, bench.repeats))()
        for name, dtype in (("float32", torch.float32), ("bfloat16", torch.bfloat16))
    }
    rows = []
    for row in engines:
        precision = "float32" if "float32" in row["engine"] else "bfloat16"
        shares = {
            batch: int(batch) * operations / (milliseconds / 1000) / measured[precision]
            for batch, milliseconds in row["milliseconds"].items()
        }
        rows.append({"engine": row["engine"], "share": shares, "peak": measured[precision], "operations": operations})
    return rows


def measure_sampling(root_zoo: Zoo, engines: Engines, card: Card, steps: int, repeats: int, parts: set[str]) -> Figures:
    """The parts of the benchmark that need no page."""
    threads = share_threads()
    bench = Bench.of(root_zoo, engines, card, steps, repeats)
    figures: Figures = {"model": bench.subject.name, "chosen": bench.chosen, "threads": threads, "steps": steps}
    if "pipelines" in parts:
        figures["pipelines"] = against_pipelines(bench)
    if parts & {"engines", "peak"}:
        figures["engines"] = every_engine(bench)
    if "peak" in parts:
        figures["peak"] = share_of_peak(bench, figures["engines"])
    if "batches" in parts and torch.cuda.is_available():
        figures["gpu"] = torch.cuda.get_device_name()
        figures["batches"] = in_large_batches(bench, "cuda")
    return figures
