"""A trained network in the fastest form that this machine has: measured, never assumed, and decided once a process."""

from playground.engine.cache import Cache
from playground.engine.choice import Engines, Tuned, Verdict
from playground.engine.here import kinds_here
from playground.engine.kinds import Kind, Subject

__all__ = ["Cache", "Engines", "Kind", "Subject", "Tuned", "Verdict", "kinds_here"]
