"""Measure the models of a data set: `python -m playground.evaluation DATASET [MODEL ...]`.

Fills the "metrics" of every card and the data set's table in the README. Pictures made for it are kept under
`.checkpoints/`, so that an interrupted measurement goes on where it stopped. With `--anomalies` it measures instead how
strange every family finds held-out pictures, as they are and spoiled, for the page and another table.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import get_args

import torch

from playground.datasets import DATASETS, Dataset
from playground.datasets.base import PRETRAINED_FOLDER, ROOT
from playground.evaluation.anomalies import measure_anomalies
from playground.evaluation.features import make_features, training_for
from playground.evaluation.measure import Metrics, Plan, Ruler, measure, real_metrics
from playground.evaluation.samples import Precision, WeightsChangedError
from playground.evaluation.table import replace_section, section
from playground.models import DamagedWeights
from playground.models.features import FACTS_FILE
from playground.zoo import Card, Zoo

MIN_PICTURES = 10  # fewer have no covariance worth the name


def at_least(low: int) -> Callable[[str], int]:
    """A type for argparse: whole numbers from `low` up."""

    def number(text: str) -> int:
        if int(text) < low:
            raise argparse.ArgumentTypeError(f"must be {low} or more, got {text}")
        return int(text)

    return number


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m playground.evaluation",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    numbers = {"metavar": "N", "type": at_least(1)}
    enough = {"metavar": "N", "type": at_least(MIN_PICTURES)}
    parser.add_argument("dataset", choices=sorted(DATASETS))
    parser.add_argument("models", nargs="*", metavar="MODEL", help="which models (all of the data set)")
    parser.add_argument("--train-features", action="store_true", help="train the feature network anew and stop")
    parser.add_argument("--anomalies", action="store_true", help="measure the detection of anomalies and stop")
    parser.add_argument("--feature-images", help="pictures shown to it (as the data set declares)", **numbers)
    parser.add_argument("--samples", default=Plan.samples, help="pictures a model (%(default)s)", **enough)
    parser.add_argument("--steps", default=Plan.steps, help="diffusion steps, main figures (%(default)s)", **numbers)
    parser.add_argument("--ladder", default=Plan.ladder, nargs="*", help="diffusion steps to compare", **numbers)
    parser.add_argument("--ladder-samples", default=Plan.ladder_samples, help="pictures for each", **enough)
    parser.add_argument(
        "--precision", choices=get_args(Precision), default=Plan.precision, help="of diffusion's network"
    )
    parser.add_argument("--processes", default=Plan.processes, help="that make pictures (%(default)s)", **numbers)
    parser.add_argument("--threads", default=Plan.threads, help="of each process (%(default)s)", **numbers)
    parser.add_argument("--repeats", default=Plan.repeats, help="of each timing (%(default)s)", **numbers)
    parser.add_argument("--root", type=Path, default=PRETRAINED_FOLDER, help="where the models are (pretrained/)")
    parser.add_argument("--work", type=Path, default=ROOT / ".checkpoints", help="where pictures are kept")
    parser.add_argument("--readme", type=Path, default=ROOT / "README.md", help="whose table is replaced")
    return parser.parse_args(arguments)


def write_metrics(card: Card, metrics: Metrics) -> None:
    """Put `metrics` into the card as it is on disk now, everything else untouched.

    Raises WeightsChangedError when the card speaks of other weights than those measured.
    """
    path = card.folder / "card.json"
    facts = json.loads(path.read_text())
    if facts["sha256"] != metrics["weights_sha256"]:
        raise WeightsChangedError(f"{card.model}: its weights changed while it was being measured")
    unfinished = path.with_suffix(".part")
    unfinished.write_text(json.dumps({**facts, "metrics": metrics}, indent=2, ensure_ascii=False) + "\n")
    unfinished.replace(path)


def write_table(dataset: Dataset, cards: Sequence[Card], ruler: Ruler, real: Metrics, readme: Path) -> None:
    """Renew the README's table from the cards, leaving out figures made with another feature network."""
    measured = []
    for card in cards:
        if card.metrics.get("feature_net") == ruler.name:
            measured.append(card)
        elif card.metrics:
            print(f"{card.model}: left out of the table, it was measured with another feature network", file=sys.stderr)
    if not measured:
        return
    text = readme.read_text() if readme.exists() else ""
    readme.write_text(replace_section(text, dataset, section(dataset, measured, real, ruler.name)))


def main(arguments: Sequence[str] | None = None) -> int:
    options = parse(arguments)
    dataset = DATASETS[options.dataset]
    torch.set_num_threads(options.threads)
    command = "python -m playground.evaluation " + " ".join(sys.argv[1:] if arguments is None else arguments)
    if options.anomalies:
        measure_anomalies(options.root, dataset, options.models, command, options.precision, options.readme)
        return 0
    try:
        train, held_out = dataset.load("train"), dataset.load("held_out")
    except FileNotFoundError as error:
        print(error, file=sys.stderr)
        return 1
    folder = options.root / dataset.name / "features"
    if options.train_features or not (folder / FACTS_FILE).exists():
        training = training_for(dataset)
        if options.feature_images:
            training = replace(training, images=options.feature_images)
        make_features(dataset, train, held_out, folder, command, training)
    if options.train_features:
        return 0
    plan = Plan(
        samples=options.samples,
        steps=options.steps,
        ladder=tuple(options.ladder),
        ladder_samples=options.ladder_samples,
        precision=options.precision,
        processes=options.processes,
        threads=options.threads,
        repeats=options.repeats,
    )
    zoo = Zoo(options.root)
    try:
        ruler = Ruler(dataset, folder, train, held_out)
        cards = [zoo.card(dataset.name, model) for model in options.models] or zoo.cards(dataset.name)
    except (DamagedWeights, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    status = 0
    for card in cards:
        try:
            metrics = measure(card, ruler, plan, options.root, options.work / dataset.name / card.model)
            write_metrics(card, metrics)
            print(f"{card.model}: Fréchet distance {metrics['frechet_distance']} ({metrics['frechet_ratio']} x real)")
        except (DamagedWeights, WeightsChangedError) as error:
            print(error, file=sys.stderr)
            status = 1
    write_table(
        dataset, Zoo(options.root).cards(dataset.name), ruler, real_metrics(ruler, plan.samples), options.readme
    )
    return status


if __name__ == "__main__":
    sys.exit(main())
