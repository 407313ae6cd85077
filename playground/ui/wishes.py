"""What each visitor wants from the job lane: a newer wish ends the work on the older one, so nothing piles up.

A job does not bring its own recipe: it takes the newest wish when its turn comes, however long ago it joined the queue.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass

from playground import limits
from playground.recipe import Recipe


@dataclass(eq=False)
class Wish:
    """One thing asked for; compared by identity, since the same recipe may be asked for twice."""

    recipe: Recipe | None  # None: the controls say something impossible, nothing is to be done
    is_taken: bool = False  # a job works on it, or has
    is_stopped: bool = False


class Wishes:
    """The newest wish of each visitor, by session; the visitors seen longest ago are forgotten."""

    def __init__(self, most: int = limits.MAX_SESSIONS) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._newest: OrderedDict[str, Wish] = OrderedDict()

    def want(self, visitor: str, recipe: Recipe | None, again: bool = False) -> bool:
        """Make `recipe` the visitor's newest wish; False when it already is and is not wanted `again`."""
        with self._lock:
            wish = self._newest.get(visitor)
            if wish is not None and wish.recipe == recipe and not again:
                return False
            self._newest[visitor] = Wish(recipe)
            self._newest.move_to_end(visitor)
            while len(self._newest) > self._most:
                self._newest.popitem(last=False)
            return True

    def newest(self, visitor: str) -> Wish | None:
        return self._newest.get(visitor)

    def take(self, visitor: str) -> Wish | None:
        """The visitor's newest wish for one job to work on; None when there is nothing left to do."""
        with self._lock:
            wish = self._newest.get(visitor)
            if wish is None or wish.recipe is None or wish.is_taken or wish.is_stopped:
                return None
            wish.is_taken = True
            return wish

    def is_newest(self, visitor: str, wish: Wish) -> bool:
        """Whether to go on with a wish that was taken; a forgotten visitor's is worked to its end."""
        return self._newest.get(visitor, wish) is wish

    def stop(self, visitor: str) -> Wish | None:
        """Mark the visitor's newest wish as no longer wanted: its job ends after the step it is in."""
        with self._lock:
            wish = self._newest.get(visitor)
            if wish is not None:
                wish.is_stopped = True
            return wish
