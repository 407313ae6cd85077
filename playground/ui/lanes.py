"""Two lanes: live controls answer at once, unqueued and newest wins; long jobs wait in one queue and stream."""

from __future__ import annotations

import threading
from collections.abc import Callable

import gradio as gr

from playground import limits

# The page says in its own words what it does. "Hidden" alone is not enough: gradio's client would still keep a status of
# every output of every event that ever ran, and look all of them up in the whole page at each event.
QUIET = {"show_progress": "hidden", "show_progress_on": [], "api_visibility": "private"}
LIVE = {**QUIET, "queue": False, "trigger_mode": "always_last"}
JOB = {**QUIET, "concurrency_id": "jobs", "concurrency_limit": 1, "trigger_mode": "once"}
# the first events of a page may come before its script does
PAGE_SCRIPT = "async () => { while (!window.playgroundLive) await new Promise((resolve) => setTimeout(resolve, 20)); }"
RESTORED = f"async () => {{ await ({PAGE_SCRIPT})(); await window.playgroundRestored(); }}"
SETTLED = f"async () => {{ await ({PAGE_SCRIPT})(); await window.playgroundSettled(); }}"
ONCE_SETTLED = {**LIVE, "js": "(...values) => window.playgroundOnceSettled(values)"}
HELD = "(said, ...values) => window.playgroundHeld(said, values)"
NEWEST_WINS = {**JOB, "trigger_mode": "always_last"}  # for jobs that a newer wish ends (see `wishes`)


class LiveGate:
    """Lets only so many live answers be computed at once; a control moved meanwhile asks again by itself."""

    def __init__(self, at_once: int = limits.MAX_LIVE_AT_ONCE, patience_s: float = 2.0) -> None:
        self._places = threading.BoundedSemaphore(at_once)
        self._patience_s = patience_s

    def run(self, work: Callable[[], object]) -> object:
        """The work's answer, or gradio's "leave everything as it is" when no place came free in time."""
        if not self._places.acquire(timeout=self._patience_s):
            return gr.skip()
        try:
            return work()
        finally:
            self._places.release()
