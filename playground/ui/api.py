"""The playground for programs: end points with plain names that take a recipe's fields and answer in JSON.

Every answer holds the recipe, the query of the link that opens it in the page, and PNG pictures in base64 that carry the
recipe too. While an end point works it sends {"progress": share done} after every step; its last message is the answer.
A value that cannot be is refused with a sentence that names the field and its limits.
"""

from __future__ import annotations

import base64
import logging
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import asdict

import gradio as gr
from torch import Tensor

from playground import limits, render
from playground.comparison import Row, compare, compared_models, sheet, timed
from playground.generate import Encoding, Frame, generate
from playground.recipe import DEFAULT, SAMPLERS, Recipe, to_dict, to_query
from playground.ui.lanes import JOB
from playground.zoo import Card, Zoo

log = logging.getLogger(__name__)

Answer = dict[str, object]
LANE = {name: JOB[name] for name in ("concurrency_id", "concurrency_limit")}
LIMITS = (  # that a caller can meet
    "MAX_SEED",
    "MAX_COUNT",
    "MAX_STEPS",
    "MAX_NETWORK_EVALUATIONS",
    "MAX_TEMPERATURE",
    "MAX_TRUNCATION",
    "MAX_SHIFT",
    "MAX_SHIFTS",
    "MAX_POINT",
    "MAX_GUIDANCE",
    "MAX_COMPARED",
)


def png_text(pixels: object, recipe: Recipe) -> str:
    return base64.b64encode(render.to_png(pixels, recipe)).decode()


def picture_text(picture: Tensor, recipe: Recipe) -> str:
    """A picture [channels, h, w] as a PNG in base64, the same bytes that the page shows."""
    return png_text(render.to_uint8(picture), recipe)


def about(recipe: Recipe) -> Answer:
    """What every answer begins with."""
    return {"recipe": to_dict(recipe), "link": to_query(recipe)}


def progress(frame: Frame) -> float:
    return 1.0 if frame.step is None else (frame.step.index + 1) / frame.step.total


def made(recipe: Recipe, frame: Frame) -> list[Answer]:
    """The pictures of a frame, each with what is known about it."""
    pictures = [{"png": picture_text(picture, recipe)} for picture in frame.pictures]
    for k, picture in enumerate(pictures):
        if recipe.task in ("sample", "encode"):
            picture["seed"] = recipe.seeds[k * recipe.count // len(pictures)]  # one for all of a word
        if frame.realness is not None:
            picture["realness"] = float(frame.realness[k])
    return pictures


def numbers(encoding: Encoding, recipe: Recipe) -> Answer:
    """What an encoder says of a picture, in nats; "logvar" and the KL are null for a plain autoencoder."""

    def values(vector: Tensor | None) -> list[float] | None:
        return None if vector is None else vector.tolist()

    return {
        "x0": picture_text(encoding.x0[0], recipe),
        "reconstruction": picture_text(encoding.reconstruction[0], recipe),
        "mu": values(encoding.mu),
        "logvar": values(encoding.logvar),
        "recon_loss": encoding.recon_loss,
        "kl": encoding.kl,
        "kl_per_dimension": values(encoding.kl_per_dimension),
    }


def run(recipe: Recipe, zoo: Zoo) -> Iterator[Answer]:
    """Do what a recipe of one model says."""
    with closing(generate(recipe, zoo)) as frames:
        for frame, seconds in timed(frames):
            yield result(recipe, frame, seconds) if frame.is_last else {"progress": progress(frame)}


def result(recipe: Recipe, frame: Frame, seconds: float) -> Answer:
    answer = about(recipe) | {"seconds": seconds, "network_evaluations": frame.network_evaluations}
    encoding = {} if frame.encoding is None else numbers(frame.encoding, recipe)
    return answer | encoding | {"pictures": made(recipe, frame)}


def run_comparison(recipe: Recipe, zoo: Zoo) -> Iterator[Answer]:
    """Do what a recipe of several models says."""
    num_rows = len(compared_models(recipe, zoo))
    finished: list[Row] = []
    with closing(compare(recipe, zoo)) as rows:
        for row in rows:
            if row.frame.is_last:
                finished.append(row)
                yield {"progress": len(finished) / num_rows}
            else:
                yield {"progress": (len(finished) + progress(row.frame)) / num_rows}
    answers = [
        about(row.recipe)
        | {
            "model": row.card.model,
            "family": row.card.family,
            "parameters": row.card.parameters,
            "metrics": dict(row.card.metrics),
            "seconds": row.seconds,
            "network_evaluations": row.frame.network_evaluations,
            "pictures": made(row.recipe, row.frame),
        }
        for row in finished
    ]
    yield about(recipe) | {"rows": answers, "sheet": png_text(sheet(finished), recipe)}


def answered(work: Callable[[], Iterator[Answer]]) -> Iterator[Answer]:
    """What `work` answers; a refusal or a fault reaches the caller as a sentence, never as a trace."""
    try:
        yield from work()
    except ValueError as refusal:
        raise gr.Error(str(refusal), print_exception=False) from refusal
    except Exception:
        log.exception("an API call failed")
        raise gr.Error("Something went wrong on our side. Please try again.", print_exception=False) from None


def described(card: Card) -> Answer:
    """A model; a guest's pictures have a shape of their own, and it may be asked for less work."""
    facts = {
        "model": card.model,
        "family": card.family,
        "parameters": card.parameters,
        "metrics": dict(card.metrics),
    }
    if card.is_guest:
        facts |= {"shape": card.numbers("shape", 3), "most_network_evaluations": card.most_evaluations}
    return facts


def inventory(zoo: Zoo) -> Answer:
    """What there is to ask for."""
    return {
        "datasets": [
            {
                "dataset": dataset.name,
                "title": dict(dataset.title),
                "shape": list(dataset.shape),
                "attributes": [
                    {"name": attribute.name, "values": [value["en"] for value in attribute.values]}
                    for attribute in dataset.attributes
                ],
                "models": [described(card) for card in (*zoo.cards(dataset.name), *zoo.guests(dataset.name))],
            }
            for dataset in zoo.datasets()
        ],
        "samplers": list(SAMPLERS),
        "defaults": asdict(DEFAULT),
        "limits": {name.lower(): getattr(limits, name) for name in LIMITS},
    }


def register(zoo: Zoo) -> None:
    """Add the end points to the Blocks that are being built."""

    def sample(
        model: str = DEFAULT.model,
        labels: list[int] = DEFAULT.labels,
        text: str = DEFAULT.text,
        seed: int = DEFAULT.seed,
        count: int = DEFAULT.count,
        temperature: float = DEFAULT.temperature,
        truncation_psi: float = DEFAULT.truncation_psi,
        shifts: list[float] = DEFAULT.shifts,
        point: list[float] = DEFAULT.point,
        steps: int = DEFAULT.steps,
        sampler: str = DEFAULT.sampler,
        eta: float = DEFAULT.eta,
        guidance_scale: float = DEFAULT.guidance_scale,
        dataset: str = DEFAULT.dataset,
    ) -> Iterator[Answer]:
        """Make `count` pictures, picture k from seed + k.

        labels: one number an attribute, 0 for any (see /models). text: a word, for data sets of characters; each of the
        `count` words is written from one noise and takes the place of the leading labels. VAE: temperature, shifts along the most informative
        latent dimensions, point on the map of a 2-D model. GAN: truncation_psi, shifts along the main directions of w.
        Diffusion: steps, sampler, eta, guidance_scale.
        """
        fields = {"model": model, "labels": labels, "text": text, "seed": seed, "count": count, "dataset": dataset}
        fields |= {"temperature": temperature, "truncation_psi": truncation_psi, "shifts": shifts, "point": point}
        fields |= {"steps": steps, "sampler": sampler, "eta": eta, "guidance_scale": guidance_scale}
        yield from answered(lambda: run(Recipe(task="sample", **fields), zoo))

    def walk(
        model: str = DEFAULT.model,
        labels: list[int] = DEFAULT.labels,
        text: str = DEFAULT.text,
        seed: int = DEFAULT.seed,
        seed_to: int = DEFAULT.seed_to,
        count: int = 8,
        temperature: float = DEFAULT.temperature,
        truncation_psi: float = DEFAULT.truncation_psi,
        shifts: list[float] = DEFAULT.shifts,
        steps: int = DEFAULT.steps,
        sampler: str = DEFAULT.sampler,
        eta: float = DEFAULT.eta,
        guidance_scale: float = DEFAULT.guidance_scale,
        dataset: str = DEFAULT.dataset,
    ) -> Iterator[Answer]:
        """Make `count` pictures on the great circle (slerp) from the noise of `seed` to that of `seed_to`."""
        fields = {"model": model, "labels": labels, "text": text, "seed": seed, "seed_to": seed_to, "count": count}
        fields |= {"temperature": temperature, "truncation_psi": truncation_psi, "shifts": shifts, "dataset": dataset}
        fields |= {"steps": steps, "sampler": sampler, "eta": eta, "guidance_scale": guidance_scale}
        yield from answered(lambda: run(Recipe(task="walk", **fields), zoo))

    def encode(
        model: str = DEFAULT.model,
        picture: int = DEFAULT.picture,
        drawing: str = DEFAULT.drawing,
        labels: list[int] = DEFAULT.labels,
        seed: int = DEFAULT.seed,
        count: int = DEFAULT.count,
        temperature: float = DEFAULT.temperature,
        dataset: str = DEFAULT.dataset,
    ) -> Iterator[Answer]:
        """Encode a held-out picture, or a drawing in the text form of `playground.drawing.pack` with its labels.

        Answers mean and log-variance, reconstruction, reconstruction loss and KL in nats, and `count` pictures decoded
        from samples of the posterior.
        """
        fields = {"model": model, "picture": picture, "drawing": drawing, "labels": labels, "seed": seed}
        fields |= {"count": count, "temperature": temperature, "dataset": dataset}
        yield from answered(lambda: run(Recipe(task="encode", **fields), zoo))

    def judge(
        model: str = "gan",
        picture: int = DEFAULT.picture,
        drawing: str = DEFAULT.drawing,
        labels: list[int] = DEFAULT.labels,
        dataset: str = DEFAULT.dataset,
    ) -> Iterator[Answer]:
        """Ask a GAN's discriminator about a held-out picture or a drawing.

        "realness" is the chance that it finds the picture more real than a real one; 0.5 means that it cannot tell.
        """
        fields = {"model": model, "picture": picture, "drawing": drawing, "labels": labels, "dataset": dataset}
        yield from answered(lambda: run(Recipe(task="judge", **fields), zoo))

    def compare_models(
        models: list[str] = DEFAULT.models,
        labels: list[int] = DEFAULT.labels,
        text: str = DEFAULT.text,
        seed: int = DEFAULT.seed,
        count: int = DEFAULT.count,
        steps: int = DEFAULT.steps,
        sampler: str = DEFAULT.sampler,
        eta: float = DEFAULT.eta,
        guidance_scale: float = DEFAULT.guidance_scale,
        dataset: str = DEFAULT.dataset,
    ) -> Iterator[Answer]:
        """Make the same seeds and labels with several models (none named: the usual ones), a row each.

        Answers pictures, time without loading, network evaluations a picture, parameters and measured quality of each
        model, and a sheet of all rows.
        """
        fields = {"models": models, "labels": labels, "text": text, "seed": seed, "count": count, "steps": steps}
        fields |= {"sampler": sampler, "eta": eta, "guidance_scale": guidance_scale, "dataset": dataset}
        yield from answered(lambda: run_comparison(Recipe(task="compare", **fields), zoo))

    def models() -> Answer:
        """List data sets, their attributes, their models with measured quality, samplers, defaults and limits."""
        return inventory(zoo)

    for name, function in (
        ("sample", sample),
        ("walk", walk),
        ("encode", encode),
        ("judge", judge),
        ("compare", compare_models),
    ):
        gr.api(function, api_name=name, **LANE)
    gr.api(models, api_name="models", queue=False)
