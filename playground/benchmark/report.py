"""The figures as tables and a plot, and their place in the README."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping, Sequence

BEGIN, END = "<!-- benchmark -->", "<!-- /benchmark -->"
PLOT = "benchmark.svg"  # beside the screenshots

Figures = Mapping[str, object]


def grid(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; all columns but the first hold numbers."""
    lines = [heads, ["---", *["---:"] * (len(heads) - 1)], *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def number(value: float) -> str:
    """Three significant digits."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def levels(difference: Figures) -> str:
    """Grey levels: the worst pixel, and the median picture's mean."""
    largest, median = (f"{value:.0f}" if value >= 10 else f"{value:.2g}" for value in difference.values())
    return f"{largest} ({median})"


def pipelines_table(rows: Sequence[Figures], chosen: str) -> str:
    heads = ["same pictures", "diffusers, s", "here, s", "× faster", "on torch float32, s", "differs by", "on float32"]
    cells = []
    for row in rows:
        seconds = row["seconds"]
        cells.append(
            [
                f"`{row['pipeline']}`, {row['batch']} at once",
                number(seconds["pipeline"]),
                number(seconds["ours"]),
                number(seconds["pipeline"] / seconds["ours"]),
                number(seconds["reference"]),
                levels(row["difference"]),
                levels(row["reference_difference"]),
            ]
        )
    note = (
        f"The app runs on {chosen} here. Differences in 8-bit grey levels: the worst pixel of all pictures (in "
        "brackets the median picture's mean)."
    )
    return f"{grid(heads, cells)}\n\n{note}"


def engines_table(rows: Sequence[Figures], peak: Sequence[Figures]) -> str:
    batches = list(rows[0]["milliseconds"])
    reference = rows[0]["milliseconds"]
    shares = {row["engine"]: row["share"] for row in peak}
    heads = ["engine", *(f"{b} at once, ms a pass" for b in batches), *(f"× ({b})" for b in batches)]
    heads += ["one pass differs by", "pictures differ by", *(f"of the peak ({b})" for b in batches if shares)]
    cells = []
    for row in rows:
        name = f"**{row['engine']}**" if row["is_chosen"] else row["engine"]
        cells.append(
            [
                name,
                *(number(row["milliseconds"][batch]) for batch in batches),
                *(number(reference[batch] / row["milliseconds"][batch]) for batch in batches),
                f"{row['pass_error']:.1e}",
                levels(row["difference"]),
                *(f"{100 * shares[row['engine']][batch]:.0f} %" for batch in batches if shares),
            ]
        )
    note = (
        "In bold the one that the app chose. One pass: relative L2 distance from torch float32; pictures: grey levels "
        "as above."
    )
    if peak:
        by_precision = {("float32" if "float32" in row["engine"] else "bfloat16"): row["peak"] for row in peak}
        most = ", ".join(f"{number(value / 1e9)} GFLOP/s in {name}" for name, value in by_precision.items())
        note += (
            f" One pass for one picture takes {number(peak[0]['operations'] / 1e9)} GFLOP; the peak is the best of a "
            f"large matrix product and a large 3x3 convolution in torch on all cores: {most}."
        )
    return f"{grid(heads, cells)}\n\n{note}"


def batches_table(rows: Sequence[Figures], gpu: str, chosen: str) -> str:
    heads = [f"pictures a second on {gpu}", "diffusers, `DDIMPipeline`", f"here, {chosen}", "× faster"]
    cells = []
    for row in rows:
        pipeline, ours = (row["pictures_per_second"][name] for name in ("pipeline", "ours"))
        cells.append([f"{row['batch']:,} at once", number(pipeline), number(ours), number(ours / pipeline)])
    return grid(heads, cells)


def browser_table(figures: Figures) -> str:
    heads = ["in the page", "idle, median ms", "idle, p95", "a job running, median ms", "a job running, p95"]
    heads += ["updates a second while dragged", "with a job running"]
    rows = []
    for name, idle in figures["idle"].items():
        busy = figures["busy"][name]
        timed = [number(each[key]) for each in (idle, busy) for key in ("median", "p95")]
        rows.append([name, *timed, number(idle["updates"]), number(busy["updates"])])
    steps, runs = figures["steps"], []
    for count, run in figures["runs"].items():
        timed = [number(each[key]) for each in (run, figures["turns"][count]) for key in ("preview", "whole")]
        runs.append([f"{count} at once, {steps} steps", *timed])
    run_heads = ["diffusion in the page", "first preview, ms", "finished, ms"]
    run_heads += ["first preview in turn with somebody's jobs, ms", "finished so"]
    most = max(map(int, figures["runs"]))
    note = f"Jobs take turns: somebody else has {most} pictures of {steps} steps made all the time."
    return "\n\n".join([grid(heads, rows), grid(run_heads, runs), note])


def start_table(figures: Figures) -> str:
    rows = [
        ["command to first page", f"{number(figures['first_page'])} s"],
        ["memory at rest, engines ready", f"{number(figures['at_rest'])} MB"],
        ["memory at the most, in this run", f"{number(figures['peak'])} MB"],
    ]
    return grid(["the app", ""], rows)


def section(figures: Figures, folder: str) -> str:
    """Everything between the markers; `folder` is where the plot lies, as the README says it."""
    made = figures["made"]
    shared = f"as two halves of its batch, of {figures['threads']} thread(s) each, that step back for live answers"
    job = shared if figures["chosen"].endswith("traced") else "on its engine's own threads"
    conditions = (
        f"Made by `python -m playground.benchmark` in one run on {made['processor']}; `{figures['model']}`, "
        f"{figures['steps']} steps, medians of {made['repeats']}, everything in turns. Libraries: {made['versions']}. "
        f"diffusers' pipelines have all cores; so has a job here, {job}."
    )
    parts = [f"![Seconds for 16 pictures, and for one]({folder}/{PLOT})", conditions]
    if "pipelines" in figures:
        parts.append(pipelines_table(figures["pipelines"], figures["chosen"]))
    if "engines" in figures:
        parts.append(engines_table(figures["engines"], figures.get("peak", [])))
    if "batches" in figures:
        parts.append(batches_table(figures["batches"], figures["gpu"], figures["chosen"]))
    if "browser" in figures:
        parts.append(browser_table(figures["browser"]))
    if "start" in figures:
        parts.append(start_table(figures["start"]))
    return "\n\n".join(parts)


def replace_section(readme: str, content: str) -> str:
    """The README with `content` between the markers, or under a heading at its end where it has none."""
    block = f"{BEGIN}\n\n{content}\n\n{END}"
    if BEGIN in readme and END in readme:
        return re.sub(f"{re.escape(BEGIN)}.*?{re.escape(END)}", lambda _: block, readme, flags=re.DOTALL)
    return f"{readme.rstrip()}\n\n## Speed\n\n{block}\n".lstrip()


def plot(rows: Sequence[Figures]) -> str:
    """Bars of seconds, diffusers' pipeline above ours, as SVG that reads on light and dark ground."""
    bar, gap, left, width = 22, 14, 250, 420
    most = {batch: max(row["seconds"]["pipeline"] for row in rows if row["batch"] == batch) for batch in (1, 16)}
    lines, y = [], 34
    for row in rows:
        longest = most[row["batch"]]
        names = (("pipeline", f"diffusers {row['pipeline']}", "#8b93a7"), ("ours", "here", "#6d5efc"))
        lines.append(text(left, y, f"{row['batch']} picture{'s' * (row['batch'] > 1)} at once", weight="600"))
        y += 10
        for key, name, colour in names:
            seconds = row["seconds"][key]
            length = max(2.0, width * seconds / max(longest, row["seconds"]["ours"]))
            lines.append(text(left - 10, y + 16, name, anchor="end"))
            lines.append(f'<rect x="{left}" y="{y}" width="{length:.1f}" height="{bar}" rx="4" fill="{colour}"/>')
            lines.append(text(left + length + 8, y + 16, f"{number(seconds)} s"))
            y += bar + 4
        y += gap + 10
    size = f'viewBox="0 0 {left + width + 90} {y}" width="{left + width + 90}" height="{y}"'
    style = "text{font:14px system-ui,sans-serif;fill:#57606a}@media(prefers-color-scheme:dark){text{fill:#c9d1d9}}"
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size}><style>{style}</style>{"".join(lines)}</svg>\n'


def text(x: float, y: float, words: str, anchor: str = "start", weight: str = "400") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-weight="{weight}">{html.escape(words)}</text>'
