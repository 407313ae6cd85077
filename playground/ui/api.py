"""The playground for programs: end points with plain names that take a recipe's fields and answer in JSON.

Every answer holds the recipe, the query of the link that opens it in the page, and PNG pictures in base64 that carry the
recipe too. While an end point works it sends {"progress": share done} after every step; its last message is the answer.
A value that cannot be is refused with a sentence that names the field and its limits.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import asdict

import gradio as gr

from playground import limits
from playground.recipe import DEFAULT, SAMPLERS, Recipe
from playground.ui.answers import Answer, run, run_comparison, run_link
from playground.ui.lanes import JOB
from playground.zoo import Card, Zoo

log = logging.getLogger(__name__)

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

    def open_link(link: str = "") -> Iterator[Answer]:
        """Do what a link of the page says: what "Copy link" gives, or any recipe's query.

        For every task that the page has. "change" answers rows with pictures before and after and what was kept,
        "ladder" a row a sampler with the distance of each rung, "forward" the picture at t by every noise schedule, "anomaly"
        a row a detector with its score, "augment" a row a reader with its marks, everything else what /sample does.
        """
        yield from answered(lambda: run_link(link, zoo))

    def models() -> Answer:
        """List data sets, their attributes, their models with measured quality, samplers, defaults and limits."""
        return inventory(zoo)

    for name, function in (
        ("sample", sample),
        ("walk", walk),
        ("encode", encode),
        ("judge", judge),
        ("compare", compare_models),
        ("open", open_link),
    ):
        gr.api(function, api_name=name, **LANE)
    gr.api(models, api_name="models", queue=False)
