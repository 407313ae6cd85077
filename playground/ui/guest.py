"""What the page says of a guest, wherever it may be chosen: that it is one, and what that means."""

from __future__ import annotations

from collections.abc import Sequence

from playground.ui.text import Table, Words
from playground.zoo import Card

TEXT: Table = {
    "guest_note": (
        "A <b>guest</b>, <code>{title}</code>: a pipeline from elsewhere, neither trained nor measured here. It was never "
        "told what its pictures show, so it hears nothing of what you ask for; its pictures are {width} × {height} pixels.",
        "<b>손님</b> <code>{title}</code>: 다른 곳에서 온 모델입니다. 여기서 학습하지 않았고 품질도 재지 않았습니다. 무엇이 그려진 그림인지 "
        "배운 적이 없어서 고른 조건을 듣지 못합니다. 그림의 크기는 {width} × {height}화소입니다.",
    ),
}


def title_key(card: Card) -> str:
    return f"model_{card.model}"


def titles(cards: Sequence[Card]) -> Table:
    """The names of guests, under the keys that model pickers look for; no title holds a letter that HTML minds."""
    named = {title_key(card): card.facts["facts"]["title"] for card in cards}
    return {key: (f"{title} (guest)", f"{title} (손님)") for key, title in named.items()}


def note(words: Words, card: Card) -> str:
    """That a model is a guest, in a paragraph; nothing for one of our own."""
    if not card.is_guest:
        return ""
    _, height, width = card.numbers("shape", 3)
    said = words.both("guest_note", title=card.facts["facts"]["title"], width=width, height=height)
    return f'<p class="pg-note">{said}</p>'
