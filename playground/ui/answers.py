"""What programs are answered: what a recipe says, done, with pictures as PNG in base64 that carry the recipe."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from contextlib import closing

from torch import Tensor

from playground import augmentation, edits, ladder, limits, render
from playground.anomalies.detectors import examine, shown_picture
from playground.anomalies.detectors import sheet as found_sheet
from playground.anomalies.norms import load_norms
from playground.comparison import Row, compare, compared_models, sheet, timed
from playground.datasets import DATASETS
from playground.generate import Encoding, Frame, generate, given
from playground.recipe import Recipe, from_query, to_dict, to_query
from playground.sampling.forward import SCHEDULES, diffuse, signal_levels, signal_to_noise
from playground.sampling.noise import seeded_noise
from playground.zoo import Zoo

MAX_LINK_CHARACTERS = 4 * limits.MAX_DRAWING_CHARACTERS

Answer = dict[str, object]


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


def run_change(recipe: Recipe, zoo: Zoo) -> Iterator[Answer]:
    """Change one thing with every model: before, after, and what was kept of everything else."""
    rows = edits.rows_of(recipe.dataset, zoo)
    finished: list[edits.Edit] = []
    with closing(edits.change(recipe, zoo, rows)) as made:
        for edit in made:
            if edit.is_last:
                finished.append(edit)
            yield {"progress": (len(finished) + (0 if edit.is_last else edit.progress)) / len(rows)}
    attributes = DATASETS[recipe.dataset].attributes
    place, label = recipe.change
    answers = []
    for edit in finished:
        read = (
            {}
            if edit.kept.read_after is None
            else {
                "num_as_asked": edit.kept.num_as_asked(place, label),
                "num_kept": {a.name: edit.kept.num_kept(k) for k, a in enumerate(attributes) if k != place},
            }
        )
        answers.append(
            about(edit.recipe)
            | {"model": edit.card.model, "source": edit.source, "share_changed": edit.kept.share_changed}
            | read
            | {name: [picture_text(p, recipe) for p in getattr(edit, name)] for name in ("before", "after")}
        )
    yield about(recipe) | {"rows": answers, "sheet": png_text(edits.sheet(finished), recipe)}


def run_ladder(recipe: Recipe, zoo: Zoo) -> Iterator[Answer]:
    """Go up a ladder with every sampler: pictures, seconds, and how far each is from the ladder's reference."""
    ladder.check_ladder(recipe, zoo)
    num_cells = len(ladder.rungs_of(recipe, zoo))
    finished: list[ladder.Cell] = []
    with closing(ladder.climb(recipe, zoo)) as made:
        for cell in made:
            if cell.is_last:
                finished.append(cell)
            yield {"progress": (len(finished) + (0 if cell.is_last else cell.progress)) / num_cells}
    rows = []
    for sampler in ladder.samplers_of(recipe):
        cells = [cell for cell in finished if cell.sampler == sampler]
        found = ladder.distances(recipe, cells, zoo)
        answers = [
            about(cell.recipe)
            | {"rung": cell.rung, "distance": far, "seconds": cell.seconds}
            | {"network_evaluations": cell.network_evaluations, "png": picture_text(cell.picture, cell.recipe)}
            for cell, far in zip(cells, found, strict=True)
        ]
        rows.append({"sampler": sampler, "cells": answers})
    yield about(recipe) | {"rows": rows, "sheet": png_text(ladder.sheet(recipe, finished), recipe)}


def run_forward(recipe: Recipe, zoo: Zoo) -> Iterator[Answer]:
    """The recipe's picture and noise, mixed at its t as every noise schedule has it."""
    if not zoo.cards(recipe.dataset):
        zoo.card(recipe.dataset, recipe.model)  # refuses, naming the data sets that are here
    (x0,) = given(recipe, zoo)
    (noise,) = seeded_noise([recipe.seed], x0.shape)
    answers = []
    for schedule in SCHEDULES:
        a = signal_levels(schedule)[recipe.t]
        facts = {"schedule": schedule, "alpha_cumprod": float(a), "snr": float(signal_to_noise(a))}
        answers.append(facts | {"png": picture_text(diffuse(x0, noise, a), recipe)})
    yield about(recipe) | {"x0": picture_text(x0, recipe), "schedules": answers}


def run_anomaly(recipe: Recipe, zoo: Zoo) -> Iterator[Answer]:
    """How strange the recipe's picture is to every detector; ranks and alarms only where norms were measured."""
    x0, seen = shown_picture(recipe, zoo)
    norms = load_norms(zoo, recipe.dataset)
    findings = examine(recipe, zoo)
    rows = []
    for finding in findings:
        row = {"model": finding.card.model, "family": finding.card.family, "score": finding.score}
        norm = norms.of(finding.card, recipe.strength)
        if norm is not None:
            threshold = norm.threshold(recipe.false_alarms)
            row |= {
                "stranger_than": norm.share_below(finding.score),
                "threshold": threshold,
                "is_anomaly": finding.score > threshold,
                "auroc": dict(norm.auroc),
            }
        if finding.rebuilt is not None:
            row["rebuilt"] = picture_text(finding.rebuilt[0], recipe)
            row["residual"] = png_text(render.heat(finding.residual), recipe)
        rows.append(row)
    pictures = {"x0": picture_text(x0[0], recipe), "shown": picture_text(seen[0], recipe)}
    yield about(recipe) | pictures | {"rows": rows, "sheet": png_text(found_sheet(seen, findings), recipe)}


def run_augmentation(recipe: Recipe, zoo: Zoo) -> Iterator[Answer]:
    """Race readers that learn from a few real pictures and from made ones: what each learned from, and its marks."""
    with closing(augmentation.race(recipe, zoo)) as moments:
        for moment in moments:
            yield {"progress": moment.progress}
    rows = [
        {
            "source": stand.source,
            "num_learned_from": stand.num_learned_from,
            "num_made": stand.num_made,
            "marks": list(stand.marks),
        }
        for stand in moment.stands.values()
    ]
    marked = {"num_marked": moment.num_marked, "marked_every": augmentation.MARKED_EVERY}
    yield about(recipe) | marked | {"rows": rows, "sheet": png_text(augmentation.sheet(moment), recipe)}


RUNS = {
    "compare": run_comparison,
    "change": run_change,
    "ladder": run_ladder,
    "forward": run_forward,
    "anomaly": run_anomaly,
    "augment": run_augmentation,
}


def run_link(link: str, zoo: Zoo) -> Iterator[Answer]:
    """Do what a link of the page says: its query, or the whole address."""
    query = limits.plain_text("link", link, MAX_LINK_CHARACTERS).rpartition("?")[2]
    recipe = from_query(query)
    yield from RUNS.get(recipe.task, run)(recipe, zoo)
