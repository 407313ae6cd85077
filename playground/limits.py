"""Every number a visitor may not exceed, and the checks at the door.

Each check returns the value in its right type or raises ValueError with a sentence that names the field, its limits and
the value. Below the door nothing is checked again.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

MAX_SEED = 2**32 - 1
MAX_COUNT = 16
MAX_STEPS = 1000
MAX_TIMESTEP = 999  # the noise levels are t = 0 .. 999
MAX_NETWORK_EVALUATIONS = 4000  # pictures x steps x (2 with guidance, 2 with Heun): about half a minute on two cores
MAX_TEMPERATURE = 2.0
MAX_TRUNCATION = 1.5
MAX_SHIFT = 4.0  # standard deviations along a latent direction
MAX_SHIFTS = 12
MAX_COMPARED = 8
MAX_POINT = 50.0
MAX_GUIDANCE = 10.0
MAX_RESAMPLES = 10
MAX_JUMP = 50  # steps that in-painting goes back up at once
MAX_REFERENCE = 9_999
MAX_ATTRIBUTES = 8
MAX_ATTRIBUTE_VALUES = 256
MAX_TEXT_CHARACTERS = 64  # as typed: letters that make one syllable count one by one
MAX_DRAWING_CHARACTERS = 4_000
MAX_UPLOAD = "1mb"
MAX_BODY_BYTES = 1_000_000  # of a request that uploads nothing
MAX_PIXELS = 2_000_000
MAX_QUEUE = 32
MAX_LIVE_AT_ONCE = 4
MAX_LIVE_EVALUATIONS = 48  # of a diffusion network at every touch: about a third of a second on two cores
MAX_MODELS_IN_MEMORY = 16
MAX_SESSIONS = 200
MAX_SCRUB_FRAMES = 100
MAX_GUESTS = 4  # pipelines from elsewhere, named when the app is started
MAX_GUEST_SIDE = 256  # pixels
MAX_GUEST_PARAMETERS = 150_000_000
MAX_GUEST_GFLOP = 1500  # a request and a thread: about half a minute, as `MAX_NETWORK_EVALUATIONS` is for our own
MAX_CHAINS = 256
MAX_CHAIN_STEPS = 50_000  # chains x steps: every step of every chain travels to the page
MAX_PLANE = 3.2  # coordinates in the plane that the chains walk in
MAX_STRIDE = 3.0  # of a chain's random step, in the same units
MAX_LEVELS = 50
MAX_DRAWN_POINTS = 150
MAX_UPDATES = 4000  # of networks trained while the visitor watches: about half a minute on two cores
MAX_DISCRIMINATOR_STEPS = 5
MAX_LEARNING_RATE = 0.02
MAX_TRAININGS_IN_MEMORY = 24
MAX_PENALTY = 2.0
MAX_BETA = 5.0
MAX_FALSE_ALARMS = 0.3  # share of normal pictures
MAX_REAL_EACH = 20  # real pictures of a value that a reader learns from
MAX_MADE_EACH = 50  # and that a model adds


def shown(value: object) -> str:
    """The value as a short piece of a sentence."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # thousands of digits, or of lists within lists
        text = f"a {type(value).__name__} too long to show"
    return text if len(text) <= 40 else text[:37] + "..."


def whole(name: str, value: object, low: int, high: int) -> int:
    """`value` as an int in [low, high]."""
    if type(value) is float and value.is_integer():
        value = int(value)
    if type(value) is not int or not low <= value <= high:
        raise ValueError(f"{name} must be a whole number from {low} to {high}, got {shown(value)}")
    return value


def real(name: str, value: object, low: float, high: float) -> float:
    """`value` as a finite float in [low, high]."""
    if type(value) not in (int, float) or not low <= value <= high:  # NaN and infinity lie in no range
        raise ValueError(f"{name} must be a number from {low:g} to {high:g}, got {shown(value)}")
    return float(value)


def one_of(name: str, value: object, choices: Sequence[str]) -> str:
    if type(value) is not str or value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(choices)}, got {shown(value)}")
    return value


def identifier(name: str, value: object) -> str:
    """A short lower-case name, safe as part of a path."""
    if type(value) is not str or not re.fullmatch(r"[a-z][a-z0-9_-]{0,31}", value):
        raise ValueError(
            f"{name} must be 1 to 32 lower-case letters, digits, - and _, a letter first, got {shown(value)}"
        )
    return value


def sequence(name: str, value: object, longest: int) -> tuple:
    if not isinstance(value, (list, tuple)) or len(value) > longest:
        raise ValueError(f"{name} must be a list of at most {longest} values, got {shown(value)}")
    return tuple(value)


def plain_text(name: str, value: object, longest: int) -> str:
    """Printable characters on one line."""
    if type(value) is not str or len(value) > longest or not value.isprintable():
        raise ValueError(f"{name} must be one line of at most {longest} characters, got {shown(value)}")
    return value


def base64_text(name: str, value: object, longest: int) -> str:
    if type(value) is not str or len(value) > longest or not re.fullmatch(r"[A-Za-z0-9_-]*", value):
        raise ValueError(f"{name} must be at most {longest} letters, digits, - and _, got {shown(value)}")
    return value
