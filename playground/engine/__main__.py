"""`python -m playground.engine`: convert and race every diffusion network ahead of time, and tell the outcome."""

from __future__ import annotations

import argparse
import logging
import os
from importlib.util import find_spec
from pathlib import Path

from playground.datasets.base import PRETRAINED_FOLDER
from playground.device import share_threads
from playground.engine.cache import Cache
from playground.engine.choice import Engines, diffusion_cards, subject_of
from playground.zoo import Card, Zoo


def convert_all(zoo: Zoo, cards: list[Card], cache: Cache) -> None:
    """Convert what is not in the cache yet."""
    from playground.engine.openvino import convert, is_converted  # an extra

    for card in cards:
        subject = subject_of(zoo.open(card.dataset, card.model).network, card)
        if not is_converted(subject, cache):
            convert(subject, cache)


def report(engines: Engines, zoo: Zoo, cards: list[Card]) -> None:
    """Race every network and print what was found."""
    for card in cards:
        subject = subject_of(zoo.open(card.dataset, card.model).network, card)
        name, _ = engines.best(subject)
        found = engines.found(subject)
        print(f"{subject.name}: {name}")
        for form, times in found.milliseconds.items():
            shown = ", ".join(f"{spent:.1f} ms for {batch}" for batch, spent in times.items())
            print(f"  {form}: {shown}; differs by {found.errors[form]:.1e}")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m playground.engine", description=__doc__)
    parser.add_argument("--root", type=Path, default=PRETRAINED_FOLDER, help="the folder of the models")
    parser.add_argument("--cache", type=Path, help="where conversions are kept")
    parser.add_argument(
        "--behind",
        action="store_true",
        help="give way to a page that is served beside, and race the first network alone",
    )
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    share_threads()
    zoo, cache = Zoo(options.root), Cache(options.cache)
    cards = diffusion_cards(zoo)
    if options.behind:
        os.nice(10)
    if find_spec("openvino") is not None:
        convert_all(zoo, cards, cache)
    report(Engines(cache), zoo, cards[:1] if options.behind else cards)


if __name__ == "__main__":
    main()
