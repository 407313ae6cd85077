"""What every tab is given, what every tab gives back, and how control values become a recipe."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import gradio as gr
from gradio.components import Component

from playground.datasets import Dataset
from playground.datasets.base import UnfinishedTextError
from playground.recipe import Recipe
from playground.ui import views
from playground.ui.lanes import LiveGate
from playground.ui.text import Words
from playground.ui.wishes import Wishes
from playground.zoo import Zoo

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Page:
    """The surroundings of a tab."""

    zoo: Zoo
    dataset: Dataset
    words: Words
    gate: LiveGate = field(default_factory=LiveGate)


@dataclass(frozen=True)
class Tab:
    """A finished tab: its controls by recipe field, and the event that draws what they say.

    Fields that hold several values have one control each, named `labels.0`, `shifts.3` and so on.
    """

    name: str
    controls: Mapping[str, Component]
    draw: Callable[[dict[Component, object]], object]  # handler over a set of inputs
    outputs: list[Component]
    shows: Callable[[Recipe, Zoo], bool]  # whether a link with this recipe opens here
    options: Mapping[str, object]  # the lane's event options
    ask: Callable[..., object] | None = None  # job lane: notes at once, unqueued, what `draw` is to do in its turn
    # for a tab with a recipe of its own, whose links say `task=<name>`: the controls as such a link says
    restore: Callable[[Mapping[str, str]], dict[Component, object]] | None = None

    @property
    def inputs(self) -> set[Component]:
        return set(self.controls.values())


def recipe_from(
    page: Page, controls: Mapping[str, Component], values: Mapping[Component, object], **fixed: object
) -> Recipe:
    """The recipe that the controls say; raises ValueError with a sentence for a bad value."""
    chosen: dict[str, object] = {}
    for name, component in controls.items():
        whole, _, index = name.partition(".")
        if index:  # places without a control of their own (a text says them) stay 0
            numbers = chosen.setdefault(whole, [])
            numbers += [0] * (int(index) - len(numbers)) + [values[component]]
        else:
            chosen[name] = values[component]
    if str(chosen.get("text", "")).strip():
        page.dataset.writing.spell(chosen["text"])  # half a character is not a wish yet; an empty box leaves all open
    for name in ("labels", "shifts"):  # what ends in "any" or in unmoved sliders says nothing
        while chosen.get(name) and chosen[name][-1] == 0:
            chosen[name].pop()
    return Recipe(**{"dataset": page.dataset.name, **chosen, **fixed})


def first_character(page: Page, text: str) -> str:
    """What a drawing is taken for: the first character of the word in the box."""
    return page.dataset.writing.text(page.dataset.writing.spell(text)[0]) if text else ""


def only(recipe: Recipe, *names: str) -> Recipe:
    """The recipe with nothing but its model, its task and the named fields, so that a link says only what matters."""
    return Recipe(**{name: getattr(recipe, name) for name in ("dataset", "model", "task", *names)})


def updates_for(controls: Mapping[str, Component], recipe: Recipe) -> dict[Component, object]:
    """The value of every control that makes the page say `recipe`; a list that says nothing leaves its control as it is."""
    updates = {}
    for name, component in controls.items():
        whole, _, index = name.partition(".")
        value = getattr(recipe, whole)
        if isinstance(value, tuple) and not index:
            if not value:
                continue
            value = list(value)
        if index:
            value = value[int(index)] if int(index) < len(value) else 0
        updates[component] = value
    return updates


def answered(page: Page, work: Callable[[], str]) -> object:
    """The view that `work` makes in the live lane; a visitor's mistake or our fault becomes a sentence in its place."""
    try:
        return page.gate.run(work)
    except UnfinishedTextError:
        return gr.skip()
    except ValueError as refusal:
        return views.refusal(page.words, str(refusal))
    except Exception:
        log.exception("a live view failed")
        return views.failure(page.words)


def streamed(page: Page, work: Callable[[], Iterator[object]], on_trouble: Callable[[str], object]) -> Iterator[object]:
    """What `work` yields in the job lane; a mistake or a fault ends the stream with a sentence, placed by `on_trouble`."""
    try:
        yield from work()
    except ValueError as refusal:
        yield on_trouble(views.refusal(page.words, str(refusal)))
    except Exception:
        log.exception("a job failed")
        yield on_trouble(views.failure(page.words))


def granted(
    page: Page,
    wishes: Wishes,
    visitor: str,
    work: Callable[[Recipe], Iterator[object]],
    on_trouble: Callable[[str], object],
) -> Iterator[object]:
    """What `work` yields of the visitor's newest wish, as long as it is the newest; None where nothing is left to do.

    A mistake or a fault ends it as in `streamed`.
    """
    wish = wishes.take(visitor)
    if wish is None:
        yield None
        return
    with closing(streamed(page, lambda: work(wish.recipe), on_trouble)) as shown:
        for news in shown:
            if not wishes.is_newest(visitor, wish):
                return
            yield news


def granted_view(
    page: Page, wishes: Wishes, visitor: str, work: Callable[[Recipe], Iterator[object]]
) -> Iterator[object]:
    """What `granted` yields, for a tab of one output: a sentence takes its place, and nothing new leaves it as it is."""
    with closing(granted(page, wishes, visitor, work, lambda sentence: sentence)) as shown:
        for news in shown:
            yield gr.skip() if news is None else news


def static(name: str) -> str:
    """The text of a script that lies beside this module."""
    return (Path(__file__).parent / name).read_text()


def on_any(controls: Mapping[str, Component]) -> list[object]:
    """The event of every control that fires whoever moved it: the visitor, a reset button, the dice or a link."""
    return [component.change for component in controls.values()]


def hidden_unless(wanted: str, chosen: object) -> dict[str, object]:
    return gr.update(visible=chosen == wanted)
