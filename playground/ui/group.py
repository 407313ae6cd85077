"""Tabs that stand together under one title of the top row, so that the row does not grow with every view."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import ModuleType

import gradio as gr

from playground.ui.page import Page, Tab
from playground.ui.text import Table

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Group:
    """A title in English and Korean over tab modules, which stay as they are; removed by deleting its line."""

    NAME: str
    title: tuple[str, str]
    members: tuple[ModuleType, ...]

    @property
    def TEXT(self) -> Table:  # noqa: N802 - as a tab module spells it
        return {f"tab_{self.NAME}": self.title}

    def can_show(self, page: Page) -> bool:
        return any(module.can_show(page) for module in self.members)


@dataclass(frozen=True)
class Placed:
    """A finished tab where it stands in the page."""

    tab: Tab
    panel: gr.Tab
    selected: Mapping[gr.Tabs, str] = field(default_factory=dict)  # what opens it: the choice in every row of tabs
    is_inner: bool = False  # in a row within a tab, which the page shows only when that is opened


def every(entries: Sequence[ModuleType | Group]) -> Iterator[ModuleType | Group]:
    """Everything that has a title and words: tabs, groups, and the tabs in them."""
    for entry in entries:
        yield entry
        if isinstance(entry, Group):
            yield from entry.members


def place(
    page: Page,
    entries: Sequence[ModuleType | Group],
    elem_id: str,
    outer: Mapping[gr.Tabs, str] | None = None,
) -> list[Placed]:
    """A row of tabs, groups with a row of their own; `outer` is what opens this row, if it is within another."""
    placed: list[Placed] = []
    with gr.Tabs(elem_id=elem_id, overflow_behavior="wrap") as row:  # a phone shows every tab, too
        for entry in entries:
            if not entry.can_show(page):
                log.info("%s has nothing for the tab %s", page.dataset.name, entry.NAME)
                continue
            label = page.words.label(f"tab_{entry.NAME}")
            selected = {**(outer or {}), row: entry.NAME}
            with gr.Tab(label, id=entry.NAME, elem_id=f"tab-{entry.NAME}") as panel:
                if isinstance(entry, Group):
                    placed += place(page, entry.members, f"{elem_id}-{entry.NAME}", selected)
                else:
                    placed.append(Placed(entry.build(page), panel, selected, outer is not None))
    return placed
