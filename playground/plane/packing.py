"""Walks and lessons as short texts of numbers, for a page that draws them itself."""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from playground import limits
from playground.plane.learning import Judged, Lesson
from playground.plane.walks import MOST_MEASURED, WITH_CHAINS, Ruler, Walk
from playground.sampling.diagnostics import Diagnosis
from playground.sampling.mixture import Mixture
from playground.sampling.paths import grid

REACH = 2 * limits.MAX_PLANE  # packed coordinates end here; a chain that flew farther is shown at the edge
SIDE = 48  # of a density's picture
ARROWS = 13  # a side
MOST_LEVELS = 24
PLENTY = 4.0  # the score at which an arrow is about as long as it gets

ScoreAt = Callable[[Tensor, float], Tensor]  # places [n, 2] and a signal level -> score [n, 2]


def packed(values: np.ndarray) -> str:
    """Numbers as base64 of their bytes, little end first."""
    return base64.b64encode(np.ascontiguousarray(values).astype(values.dtype.newbyteorder("<")).tobytes()).decode()


def coordinates(x: np.ndarray) -> np.ndarray:
    """Places in the plane as int16, 32767 for `REACH`."""
    inside = np.clip(np.nan_to_num(x, nan=REACH, posinf=REACH, neginf=-REACH), -REACH, REACH)
    return np.round(inside / REACH * 32767).astype(np.int16)


def shares(x: np.ndarray) -> np.ndarray:
    """Numbers in [0, 1] as uint8."""
    return np.round(255 * np.clip(np.nan_to_num(x), 0, 1)).astype(np.uint8)


def verdicts(surface: np.ndarray) -> np.ndarray:
    """How real each place looks, [0, 1], as uint8: stretched until the most decided place is 0 or 255."""
    away = np.nan_to_num(surface) - 0.5
    return shares(0.5 + 0.5 * away / max(float(np.abs(away).max()), 1e-4))


def chosen(total: int, most: int) -> np.ndarray:
    """At most `most` of the numbers 0 .. total - 1, evenly spaced, both ends included."""
    return np.unique(np.round(np.linspace(0, total - 1, min(total, most))).astype(int))


def middles(side: int) -> Tensor:
    """The middles of side x side equal squares of the plane, row by row from the top left, [side * side, 2]."""
    edge = limits.MAX_PLANE * (1 - 1 / side)
    return grid(edge, edge, side).double()


def density_picture(target: Mixture) -> np.ndarray:
    """How likely each place is beside the likeliest one, uint8 [SIDE, SIDE]; square roots, so that tails are seen."""
    log_p = target.log_density(middles(SIDE))
    return shares(torch.exp(0.5 * (log_p - log_p.max())).view(SIDE, SIDE).numpy())


def arrow_picture(score: Tensor) -> np.ndarray:
    """Scores [n, 2] as int8: the direction, and a length that grows ever slower."""
    length = score.norm(dim=1, keepdim=True).clamp_min(1e-12)
    shown = (score / length * torch.tanh(length / PLENTY)).nan_to_num()
    return np.round(127 * shown.numpy()).astype(np.int8)


def walk_message(
    method: str, walk: Walk, ruler: Ruler, floor: float, score_at: ScoreAt | None, found: Diagnosis | None
) -> dict[str, object]:
    """Everything that the page draws of a finished walk."""
    steps, chains, _ = walk.proposals.shape
    levels = np.unique(walk.alphas_cumprod)
    levels = levels[chosen(len(levels), MOST_LEVELS)]
    nearest = np.abs(walk.alphas_cumprod[:, None] - levels).argmin(1)
    targets = [ruler.target.noised(float(a)) if a < 1 else ruler.target for a in levels]
    measured = chosen(steps + 1, MOST_MEASURED)
    places = [torch.from_numpy(walk.positions[k]) for k in measured]
    are_known = [bool(x.isfinite().all()) for x in places]
    message: dict[str, object] = {
        "method": method,
        "steps": steps,
        "chains": chains,
        "reach": REACH,
        "plane": limits.MAX_PLANE,
        "isChain": method in WITH_CHAINS,
        "positions": packed(coordinates(walk.positions)),
        "levels": [round(math.sqrt(1 - a), 3) for a in walk.alphas_cumprod],
        "pictures": packed(np.stack([density_picture(target) for target in targets])),
        "side": SIDE,
        "pictureOf": nearest.tolist(),
        "measured": measured.tolist(),
        "distances": numbers(
            [ruler.distance(x) if known else math.nan for x, known in zip(places, are_known, strict=True)]
        ),
        "modes": [ruler.modes_reached(x) if known else 0 for x, known in zip(places, are_known, strict=True)],
        "numModes": ruler.target.num_modes,
        "floor": round(floor, 4) if math.isfinite(floor) else None,
        "autocorrelation": [] if found is None else numbers(found.autocorrelation),
    }
    if not walk.is_accepted.all():
        message["proposals"] = packed(coordinates(walk.proposals))
        message["accepted"] = packed(walk.is_accepted.astype(np.uint8))
    if score_at is not None:
        message["arrows"] = packed(np.stack([arrow_picture(score_at(middles(ARROWS), float(a))) for a in levels]))
        message["arrowSide"] = ARROWS
    return message


def numbers(values: Sequence[float]) -> list[float | None]:
    """Numbers for a page, null where there is none."""
    return [round(float(value), 4) if math.isfinite(value) else None for value in values]


def lesson_head(points: Tensor, total: int, num_modes: int, floor: float) -> dict[str, object]:
    """What all lessons of one training have in common, [n, 2] points to learn from included."""
    return {
        "total": total,
        "reach": REACH,
        "plane": limits.MAX_PLANE,
        "points": packed(coordinates(points.numpy())),
        "numModes": num_modes,
        "floor": round(floor, 4),
    }


def lesson_line(lesson: Lesson, name: str) -> dict[str, object]:
    """What became of one network after one update."""
    judged: Judged = lesson.looks[name]
    line: dict[str, object] = {
        "update": lesson.update,
        "losses": numbers(lesson.losses.get(name, ())),
        "distance": numbers([judged.distance])[0],
        "modes": judged.modes,
        "samples": packed(coordinates(judged.look.samples.numpy())),
    }
    if judged.look.mesh is not None:
        line["mesh"] = packed(coordinates(judged.look.mesh.numpy()))
    if judged.look.surface is not None:
        line["surface"] = packed(verdicts(judged.look.surface.numpy()))
    if judged.look.arrows is not None:
        line["arrows"] = packed(arrow_picture(judged.look.arrows.reshape(-1, 2)))
    return line
