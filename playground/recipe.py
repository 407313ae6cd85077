"""Recipe: everything a visitor chose, checked. A link holds it, a saved PNG carries it, a test pins it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cache
from typing import TypeVar
from urllib.parse import parse_qsl, urlencode

from playground import limits

VERSION = 1
TASKS = ("sample", "walk", "map", "encode", "judge", "compare", "change", "forward", "ladder")
TASKS += ("edit", "inpaint", "blend", "branch", "decide")  # what a diffusion model does with a picture, or on its way
TASKS += ("anomaly", "augment")  # what models are of use for
FAMILY_TASKS = ("sample", "walk", "map", "encode", "judge")  # what one model does, in its own family's tab
SAMPLERS = ("ddpm", "ddim", "dpmpp", "sde_dpmpp", "unipc", "euler", "euler_a", "heun")
SCHEDULES = ("linear", "scaled_linear", "cosine", "sigmoid")
LADDERS = ("steps", "guidance")
DEFECTS = ("none", "scratch", "hole", "blot", "patch", "turned", "stranger")  # see `playground.anomalies.defects`
BRANCHINGS = ("label", "seed", "guidance", "paint")  # as `change`, `seed_to`, `branch_guidance` and `paint` say


@dataclass(frozen=True)
class Recipe:
    """One frozen, checked choice; making one with a bad value raises ValueError with a sentence naming the field.

    Old links stay true because only what differs from these defaults is written: a default never changes its value
    without a new VERSION.
    """

    dataset: str = "digits"
    model: str = "vae"
    task: str = "sample"
    labels: tuple[int, ...] = ()  # one per attribute, 0 or missing = any
    text: str = ""  # a word to write, for data sets of characters, instead of the leading labels
    change: tuple[int, ...] = ()  # one thing to change: an attribute's place from 0, and the label that it gets
    seed: int = 0  # picture k is made from seed + k
    count: int = 1
    seed_to: int = 1  # where a walk ends
    temperature: float = 0.9  # 1 draws z as widely as the prior says; a little less is more legible
    truncation_psi: float = 1.0
    shifts: tuple[float, ...] = ()  # standard deviations along the leading latent directions
    point: tuple[float, ...] = ()  # a place on the map of a 2-D latent space, instead of the seed's
    steps: int = 20
    sampler: str = "sde_dpmpp"
    eta: float = 0.0
    guidance_scale: float = 1.25
    picture: int = 0  # which held-out picture to encode or judge
    drawing: str = ""  # the visitor's own picture (see `playground.drawing`), instead of a held-out one
    models: tuple[str, ...] = ()  # which models a comparison sets side by side; none = those that it usually does
    t: int = 300  # how far the forward process has gone
    schedule: str = "linear"  # the forward process's noise levels
    ladder: str = "steps"  # what a ladder goes up in
    samplers: tuple[str, ...] = ()  # which samplers go up a ladder side by side; none = those that usually do
    strength: float = 0.4  # how far a given picture is noised before it is denoised: 1 forgets it
    mask: str = ""  # the pixels to make new, packed as `drawing` is: any level but 0
    resamples: int = 4  # how often in-painting walks each stretch of `jump_length` steps
    jump_length: int = 5
    branch_at: int = 0  # after how many steps a branch leaves its trunk
    branch_with: tuple[str, ...] = ()  # what is different from there on, of `BRANCHINGS`
    branch_guidance: float = 4.0
    paint: str = ""  # levels 1 .. 15 are painted from black to white, level 0 leaves a pixel as it is
    defect: str = "none"  # what is wrong with a picture that detectors of anomalies are shown
    false_alarms: float = 0.05  # share of normal pictures that a detector may take for anomalies
    target: int = 0  # the attribute's place that readers learn to read
    real_each: int = 3  # real pictures of every value that they learn from
    made_each: int = 30  # and pictures of every value that a model adds

    def __post_init__(self) -> None:
        def put(name: str, value: object) -> None:
            object.__setattr__(self, name, value)

        for name in ("dataset", "model"):
            put(name, limits.identifier(name, getattr(self, name)))
        put("task", limits.one_of("task", self.task, TASKS))
        put("sampler", limits.one_of("sampler", self.sampler, SAMPLERS))
        labels = limits.sequence("labels", self.labels, limits.MAX_ATTRIBUTES)
        put("labels", tuple(limits.whole("labels", label, 0, limits.MAX_ATTRIBUTE_VALUES) for label in labels))
        change = limits.sequence("change", self.change, 2)
        if len(change) == 1:
            raise ValueError(f"change must be an attribute and its new label or nothing, got {limits.shown(change)}")
        highest = (limits.MAX_ATTRIBUTES - 1, limits.MAX_ATTRIBUTE_VALUES)
        put("change", tuple(limits.whole("change", v, 0, high) for v, high in zip(change, highest, strict=False)))
        put("text", limits.plain_text("text", self.text, limits.MAX_TEXT_CHARACTERS))
        for name in ("seed", "seed_to"):
            put(name, limits.whole(name, getattr(self, name), 0, limits.MAX_SEED))
        put("count", limits.whole("count", self.count, 1, limits.MAX_COUNT))
        put("steps", limits.whole("steps", self.steps, 1, limits.MAX_STEPS))
        put("picture", limits.whole("picture", self.picture, 0, limits.MAX_REFERENCE))
        put("temperature", limits.real("temperature", self.temperature, 0, limits.MAX_TEMPERATURE))
        put("truncation_psi", limits.real("truncation_psi", self.truncation_psi, 0, limits.MAX_TRUNCATION))
        put("eta", limits.real("eta", self.eta, 0, 1))
        put("guidance_scale", limits.real("guidance_scale", self.guidance_scale, 0, limits.MAX_GUIDANCE))
        shifts = limits.sequence("shifts", self.shifts, limits.MAX_SHIFTS)
        put("shifts", tuple(limits.real("shifts", v, -limits.MAX_SHIFT, limits.MAX_SHIFT) for v in shifts))
        point = limits.sequence("point", self.point, 2)
        if len(point) == 1:
            raise ValueError(f"point must be two numbers or none, got {limits.shown(point)}")
        put("point", tuple(limits.real("point", v, -limits.MAX_POINT, limits.MAX_POINT) for v in point))
        put("drawing", limits.base64_text("drawing", self.drawing, limits.MAX_DRAWING_CHARACTERS))
        models = limits.sequence("models", self.models, limits.MAX_COMPARED)
        put("models", tuple(limits.identifier("models", name) for name in models))
        if len(set(self.models)) < len(self.models):
            raise ValueError(f"models must be different from one another, got {limits.shown(self.models)}")
        put("t", limits.whole("t", self.t, 0, limits.MAX_TIMESTEP))
        put("schedule", limits.one_of("schedule", self.schedule, SCHEDULES))
        put("ladder", limits.one_of("ladder", self.ladder, LADDERS))
        samplers = limits.sequence("samplers", self.samplers, len(SAMPLERS))
        put("samplers", tuple(limits.one_of("samplers", name, SAMPLERS) for name in samplers))
        if len(set(self.samplers)) < len(self.samplers):
            raise ValueError(f"samplers must be different from one another, got {limits.shown(self.samplers)}")
        put("strength", limits.real("strength", self.strength, 0, 1))
        for name in ("mask", "paint"):
            put(name, limits.base64_text(name, getattr(self, name), limits.MAX_DRAWING_CHARACTERS))
        put("resamples", limits.whole("resamples", self.resamples, 1, limits.MAX_RESAMPLES))
        put("jump_length", limits.whole("jump_length", self.jump_length, 1, limits.MAX_JUMP))
        put("branch_at", limits.whole("branch_at", self.branch_at, 0, limits.MAX_STEPS))
        put("branch_guidance", limits.real("branch_guidance", self.branch_guidance, 0, limits.MAX_GUIDANCE))
        put("defect", limits.one_of("defect", self.defect, DEFECTS))
        put("target", limits.whole("target", self.target, 0, limits.MAX_ATTRIBUTES - 1))
        put("real_each", limits.whole("real_each", self.real_each, 1, limits.MAX_REAL_EACH))
        put("made_each", limits.whole("made_each", self.made_each, 1, limits.MAX_MADE_EACH))
        put("false_alarms", limits.real("false_alarms", self.false_alarms, 0, limits.MAX_FALSE_ALARMS))
        branch_with = limits.sequence("branch_with", self.branch_with, len(BRANCHINGS))
        put("branch_with", tuple(limits.one_of("branch_with", name, BRANCHINGS) for name in branch_with))

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seed of each picture."""
        return tuple((self.seed + k) % (limits.MAX_SEED + 1) for k in range(self.count))


DEFAULT = Recipe()
Kind = TypeVar("Kind")  # `Recipe`, or another frozen dataclass of its conduct whose every field has a default


@cache
def usual_fields(kind: type) -> dict[str, object]:
    """Every field of a recipe in which nothing was chosen. Not to be changed: all who ask get the same."""
    return vars(kind())


def to_dict(recipe: Kind) -> dict[str, object]:
    """What differs from the defaults, with the version."""
    usual = usual_fields(type(recipe))
    return {"v": VERSION, **{name: value for name, value in vars(recipe).items() if value != usual[name]}}


def from_dict(values: Mapping[str, object], kind: type[Kind] = Recipe) -> Kind:
    """The recipe of a mapping that `to_dict` made; raises ValueError for another version or an unknown field."""
    if not isinstance(values, Mapping):
        raise ValueError(f"a recipe must be a mapping of fields to values, got {limits.shown(values)}")
    values = dict(values)
    limits.whole("v", values.pop("v", VERSION), VERSION, VERSION)
    known = {field.name for field in fields(kind)}
    for name in values:
        if name not in known:
            raise ValueError(f"{limits.shown(name)} is not part of a recipe")
    return kind(**values)


def to_json(recipe: Recipe) -> str:
    return json.dumps(to_dict(recipe))


def from_json(text: str) -> Recipe:
    """The recipe of `to_json`'s text; raises ValueError for anything else."""
    try:
        values = json.loads(text)
    except (ValueError, TypeError, RecursionError):  # not JSON, not text, nested thousands deep
        values = None
    if not isinstance(values, dict):
        raise ValueError("a recipe must be a JSON object")
    return from_dict(values)


def to_query(recipe: Kind) -> str:
    """The recipe as the query of a link, such as `v=1&model=gan&labels=8&seed=42`."""
    chosen = to_dict(recipe)
    text = {k: ",".join(map(str, v)) if isinstance(v, tuple) else v for k, v in chosen.items()}
    return urlencode(text, safe=",")


def from_query(query: str | Mapping[str, str], kind: type[Kind] = Recipe) -> Kind:
    """The recipe of a link's query; raises ValueError with a sentence for anything that is not one."""
    pairs = dict(parse_qsl(query, keep_blank_values=True)) if isinstance(query, str) else dict(query)
    known = {**vars(kind()), "v": VERSION}
    values: dict[str, object] = {}
    for name, text in pairs.items():
        default = known.get(name)
        if type(default) is str or default is None:
            values[name] = text
        elif type(default) is tuple:
            item = {"labels": int, "change": int, "models": str, "samplers": str, "branch_with": str}.get(name, float)
            values[name] = tuple(number(part, item) for part in text.split(",")) if text else ()
        else:
            values[name] = number(text, type(default))
    return from_dict(values, kind)


def number(text: str, kind: type[int] | type[float] | type[str]) -> int | float | str:
    """The number that `text` spells, or the text as it is, for the recipe's own check to refuse."""
    try:
        return kind(text)
    except ValueError:
        return text
