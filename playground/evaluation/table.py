"""The quality table of a data set, as Markdown between two markers of the README."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from playground.datasets import Dataset
from playground.evaluation.measure import AT_ONCE
from playground.zoo import Card

Metrics = Mapping[str, object]
NOTHING = "–"


def grid(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; the first column is text, the others are numbers."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def percent(share: float | None) -> str:
    return NOTHING if share is None else f"{100 * share:.1f} %"


def number(value: float | None) -> str:
    """Three significant digits, thousands apart, no exponent."""
    return NOTHING if value is None else f"{value:,.{2 if value < 10 else 1 if value < 100 else 0}f}"


def quality_row(name: str, metrics: Metrics, dataset: Dataset, parameters: int | None) -> list[str]:
    accuracies = metrics.get("condition_accuracy", {})
    milliseconds = metrics.get("milliseconds_per_picture", {})
    return [
        name,
        f"{metrics['samples']:,}",
        number(metrics["frechet_distance"]),
        number(metrics["frechet_ratio"]),
        percent(metrics["precision"]),
        percent(metrics["recall"]),
        percent(accuracies.get(asked_column(dataset)[0])),
        number(metrics["nearest_training_ratio"]),
        str(metrics.get("network_evaluations", NOTHING)),
        number(milliseconds.get("batch_1")),
        number(milliseconds.get("batch_16")),
        NOTHING if parameters is None else f"{parameters:,}",
    ]


def asked_column(dataset: Dataset) -> tuple[str, str]:
    """The share that the quality table shows, and its title: the only attribute's, or that of a whole combination."""
    if len(dataset.attributes) == 1:
        return dataset.attributes[0].name, f"{dataset.attributes[0].title['en'].lower()} as asked"
    return AT_ONCE, f"{' + '.join(dataset.combined) or 'all'} as asked"


def conditions_table(dataset: Dataset, cards: Sequence[Card], real: Metrics) -> str:
    """Each attribute's share of pictures drawn as asked, known and never trained combinations apart; else empty."""
    if len(dataset.attributes) == 1:
        return ""
    names = [attribute.name for attribute in dataset.attributes]
    columns = [*names, AT_ONCE]

    def row(name: str, kind: str, shares: Mapping[str, float], num: object) -> list[str]:
        return [name, f"{num:,} {kind}", *(percent(shares.get(column)) for column in columns)]

    rows = []
    for card in cards:
        metrics = card.metrics
        if "condition_accuracy" in metrics:
            rows.append(row(f"`{card.model}`", "known", metrics["condition_accuracy"], metrics["samples"]))
        if "never_trained_accuracy" in metrics:
            shares, num = metrics["never_trained_accuracy"], metrics["never_trained_samples"]
            rows.append(row(f"`{card.model}`", "never trained", shares, num))
        for kind, shares in metrics.get("open_accuracy", {}).items():
            said = f"{kind.replace('_', ' ')}, {' and '.join(metrics['left_open'])} left open"
            rows.append(row(f"`{card.model}`", said, shares, metrics["open_samples"]))
    for kind, (shares, num) in real.get("read", {}).items():
        rows.append(row("real pictures", kind, shares, num))
    return grid(["model", "combinations", *names, asked_column(dataset)[1]], rows)


def quality_table(dataset: Dataset, cards: Sequence[Card], real: Metrics) -> str:
    header = [
        "model",
        "pictures",
        "Fréchet distance",
        "× real",
        "precision",
        "recall",
        asked_column(dataset)[1],
        "nearest training picture",
        "network evaluations",
        "ms per picture",
        "ms, 16 at once",
        "parameters",
    ]
    rows = [quality_row(f"`{card.model}`", card.metrics, dataset, card.parameters) for card in cards]
    return grid(header, [*rows, quality_row("real pictures", real, dataset, None)])


SETTINGS = {"temperature": "temperature", "truncation_psi": "truncation", "guidance_scale": "guidance"}


def ladder_table(cards: Sequence[Card]) -> str:
    """Steps against distance for every diffusion model; empty where there is none."""
    rows = []
    for card in cards:
        rungs = card.metrics.get("ladder", [])
        for rung in rungs:
            share = rung["frechet_distance"] / rungs[-1]["frechet_distance"]
            pictures = f"{rung['samples']:,}"
            steps = str(rung["steps"])
            rows.append([f"`{card.model}`", steps, pictures, number(rung["frechet_distance"]), number(share)])
    return grid(["model", "steps", "pictures", "Fréchet distance", "× most steps"], rows) if rows else ""


def explanation(dataset: Dataset, cards: Sequence[Card], real: Metrics, net: str) -> str:
    """What the columns mean and what they were measured with."""
    read = ", ".join(
        f"{name} {percent(share)}" for name, share in real["condition_accuracy"].items() if name != AT_ONCE
    )
    diffusion = [
        f"`{card.model}` runs {card.metrics['steps']} steps of {card.metrics['sampler']} "
        f"({card.metrics['sampling_precision']} while the pictures are made)."
        for card in cards
        if "ladder" in card.metrics
    ]
    drawn = [
        f"`{card.model}` with {name} {card.metrics[setting]:g}"
        for card in cards
        for setting, name in SETTINGS.items()
        if setting in card.metrics
    ]
    timings = sorted({f"Times: {card.metrics['timing']}." for card in cards})
    held_out = max((card.metrics["held_out"] for card in cards), default=0)
    return " ".join(
        [
            f"Measured by `python -m playground.evaluation {dataset.name}` in the features of `{net}`, a classifier",
            f"trained here that reads held-out pictures right in {read}. The models' pictures, asked for in the",
            f'proportions of the {held_out:,} held-out ones, are compared with those; "real pictures" are as many',
            'pictures of the training set, and "× real" is the distance in units of theirs. Precision and recall:',
            "nearest neighbours, k = 3. *As asked*: how often the classifier reads what was asked for. *Nearest",
            "training picture*: median distance to it, 1 for new real pictures, near 0 for copies.",
            *diffusion,
            f"Pictures are drawn as the page begins: {', '.join(drawn)}.",
            *timings,
        ]
    )


def section(dataset: Dataset, cards: Sequence[Card], real: Metrics, net: str) -> str:
    """Everything between the markers; `cards` hold metrics, all made with the feature network named `net`."""
    tables = [quality_table(dataset, cards, real), conditions_table(dataset, cards, real), ladder_table(cards)]
    parts = [*tables, explanation(dataset, cards, real, net)]
    return "\n\n".join(part for part in parts if part)


def replace_section(readme: str, dataset: Dataset, content: str) -> str:
    """The README with `content` between the data set's markers, or appended under a heading where it has none."""
    return replace_between(readme, f"quality:{dataset.name}", content, f"Quality: {dataset.title['en']}")


def replace_between(readme: str, marker: str, content: str, title: str) -> str:
    """The README with `content` between the two comments of a marker, or appended under a title where it has none."""
    begin, end = f"<!-- {marker} -->", f"<!-- /{marker} -->"
    block = f"{begin}\n\n{content}\n\n{end}"
    if begin in readme and end in readme:
        return re.sub(f"{re.escape(begin)}.*?{re.escape(end)}", lambda _: block, readme, flags=re.DOTALL)
    return f"{readme.rstrip()}\n\n## {title}\n\n{block}\n".lstrip()
