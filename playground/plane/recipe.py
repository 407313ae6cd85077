"""PlaneRecipe: everything a visitor of the plane chose, checked; links hold it as they hold a `Recipe`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from playground import limits
from playground.recipe import from_query, to_query

TASK = "chains"  # what a link to the plane says first, so that nobody takes it for one to pictures
TARGETS = ("hills", "moons", "ring", "drawn")
LANGEVIN = ("unadjusted", "adjusted")
SAMPLERS = ("ddpm", "ddim", "dpmpp")
GRID = 64  # a drawn point is one of GRID x GRID places, two letters of a link
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
MIN_STRIDE = 0.01


@dataclass(frozen=True)
class PlaneRecipe:
    """One frozen, checked choice; making one with a bad value raises ValueError with a sentence naming the field.

    Old links stay true because only what differs from these defaults is written: a default never changes its value
    without a new VERSION.
    """

    target: str = "hills"
    points: str = ""  # a drawn target's: two letters a point, across and up
    seed: int = 0  # chain k from seed + k; the networks' weights and batches from seed
    chains: int = 40
    steps: int = 200
    start: tuple[float, ...] = ()  # where all chains begin; nowhere = each at its own standard normal noise
    proposal_size: float = 0.6  # of Metropolis, the standard deviation of a proposal
    step_size: float = 0.15  # of Langevin, the standard deviation of its random push
    langevin: str = "unadjusted"
    levels: int = 10
    sampler: str = "ddpm"
    updates: int = 2000
    lr_generator: float = 0.001
    lr_discriminator: float = 0.001
    discriminator_steps: int = 1
    penalty: float = 0.0
    beta: float = 1.0

    def __post_init__(self) -> None:
        def put(name: str, value: object) -> None:
            object.__setattr__(self, name, value)

        for name, choices in (("target", TARGETS), ("langevin", LANGEVIN), ("sampler", SAMPLERS)):
            put(name, limits.one_of(name, getattr(self, name), choices))
        put("points", limits.base64_text("points", self.points, 2 * limits.MAX_DRAWN_POINTS))
        if len(self.points) % 2:
            raise ValueError(f"points must be pairs of letters, got {limits.shown(self.points)}")
        if self.target == "drawn" and not self.points:
            raise ValueError("points must hold at least one point where the target is drawn")
        for name, low, high in (
            ("seed", 0, limits.MAX_SEED),
            ("chains", 1, limits.MAX_CHAINS),
            ("steps", 1, limits.MAX_STEPS),
            ("levels", 1, limits.MAX_LEVELS),
            ("updates", 1, limits.MAX_UPDATES),
            ("discriminator_steps", 1, limits.MAX_DISCRIMINATOR_STEPS),
        ):
            put(name, limits.whole(name, getattr(self, name), low, high))
        if self.chains * self.steps > limits.MAX_CHAIN_STEPS:
            raise ValueError(
                f"chains x steps must be at most {limits.MAX_CHAIN_STEPS:,}, got {self.chains} x {self.steps}"
            )
        start = limits.sequence("start", self.start, 2)
        if len(start) == 1:
            raise ValueError(f"start must be two numbers or none, got {limits.shown(start)}")
        put("start", tuple(limits.real("start", v, -limits.MAX_PLANE, limits.MAX_PLANE) for v in start))
        for name, low, high in (
            ("proposal_size", MIN_STRIDE, limits.MAX_STRIDE),
            ("step_size", MIN_STRIDE, limits.MAX_STRIDE),
            ("lr_generator", 0, limits.MAX_LEARNING_RATE),
            ("lr_discriminator", 0, limits.MAX_LEARNING_RATE),
            ("penalty", 0, limits.MAX_PENALTY),
            ("beta", 0, limits.MAX_BETA),
        ):
            put(name, limits.real(name, getattr(self, name), low, high))

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seed of each chain."""
        return tuple((self.seed + k) % (limits.MAX_SEED + 1) for k in range(self.chains))

    @property
    def drawn_points(self) -> tuple[tuple[float, float], ...]:
        """The drawn points in the plane, each at the middle of its place on the grid."""
        places = [limits.MAX_PLANE * ((2 * LETTERS.index(letter) + 1) / GRID - 1) for letter in self.points]
        return tuple(zip(places[::2], places[1::2], strict=True))


def to_link(recipe: PlaneRecipe) -> str:
    """The recipe as the query of a link, such as `task=chains&v=1&target=moons`."""
    return f"task={TASK}&{to_query(recipe)}"


def from_link(said: Mapping[str, str]) -> PlaneRecipe:
    """The recipe of a link's query; raises ValueError with a sentence for anything that is not one."""
    return from_query({name: text for name, text in said.items() if (name, text) != ("task", TASK)}, PlaneRecipe)
