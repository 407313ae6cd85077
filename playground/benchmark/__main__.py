"""`python -m playground.benchmark`: measure, and write a table and a plot into the README."""

from __future__ import annotations

import argparse
import json
import logging
from pathlib import Path

from playground.benchmark import report
from playground.benchmark.page import ROOT, measure_page
from playground.benchmark.sampling import measure_sampling
from playground.datasets.base import PRETRAINED_FOLDER
from playground.device import cores
from playground.engine import Cache, Engines
from playground.engine.choice import diffusion_cards
from playground.engine.kinds import processor, versions
from playground.zoo import Card, Zoo

PARTS = ("pipelines", "engines", "peak", "start", "browser", "batches")  # the last one where there is a GPU
IMAGES = "tests/screenshots"


def parsed(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m playground.benchmark", description=__doc__)
    parser.add_argument("--dataset", help="whose diffusion model is measured (default: the first that has one)")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS), help="what to measure")
    parser.add_argument("--steps", type=int, default=20, help="of the reverse process")
    parser.add_argument("--repeats", type=int, default=9, help="of each measurement")
    parser.add_argument("--root", type=Path, default=PRETRAINED_FOLDER, help="the folder of the models")
    parser.add_argument("--cache", type=Path, help="where conversions are kept")
    parser.add_argument("--readme", type=Path, default=ROOT / "README.md", help="where the tables go")
    parser.add_argument("--print", action="store_true", dest="print_only", help="leave the README as it is")
    parser.add_argument("--json", type=Path, help="write all figures here as well")
    return parser.parse_args(arguments)


def measured_first(zoo: Zoo, dataset: str | None) -> list[Card]:
    """Every diffusion model, the one to be measured first; SystemExit where there is none."""
    cards = diffusion_cards(zoo)
    cards.sort(key=lambda card: dataset is not None and card.dataset != dataset)
    if not cards or dataset not in (None, cards[0].dataset):
        raise SystemExit("There is no such diffusion model.")
    return cards


def main(arguments: list[str] | None = None) -> None:
    options = parsed(arguments)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    parts = set(options.parts)
    cache = Cache(options.cache)
    engines = Engines(cache)
    zoo = Zoo(options.root, fit=engines)
    cards = measured_first(zoo, options.dataset)
    made = {"processor": processor(), "cores": cores(), "repeats": options.repeats}
    made["versions"] = ", ".join(f"{name} {version}" for name, version in versions().items())
    figures: dict[str, object] = {"made": made}
    if parts & {"start", "browser"}:  # first, while this process has done nothing
        engines.convert_missing(zoo, cards)  # or the app would, beside what is measured
        environment = {"PLAYGROUND_CACHE": str(cache.folder.resolve())}
        figures |= measure_page(options.steps, options.repeats, environment, parts)
    figures |= measure_sampling(zoo, engines, cards[0], options.steps, options.repeats, parts)
    content = report.section(figures, IMAGES)
    print(content)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")
    if options.print_only:
        return
    folder = options.readme.resolve().parent
    options.readme.write_text(report.replace_section(options.readme.read_text(), content))
    if "pipelines" in figures:
        (folder / IMAGES).mkdir(parents=True, exist_ok=True)
        (folder / IMAGES / report.PLOT).write_text(report.plot(figures["pipelines"]))


if __name__ == "__main__":
    main()
