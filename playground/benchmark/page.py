"""The app as a visitor meets it: started afresh, opened in Chromium, sliders moved, pictures waited for."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

from playground.benchmark.timing import medians, percentile
from playground.engine.choice import ALL_READY

ROOT = Path(__file__).resolve().parents[2]
MOVES = 4  # of a slider for each repeat: so few milliseconds that only many of them have a 95th percentile
COUNTS = (1, 16)  # pictures of a diffusion run
LONG_JOB = 4, 1000  # pictures and steps of the job that runs beside a slider
PATIENCE_S = 300  # for a start, or for one event, on a machine that is busy

Figures = dict[str, object]

# Everything is clocked in the page itself: from the event to the picture in the document.
PROBES = """
window.probe = {
  pictures(view) {  // all of them: the noise that they begin with may stay as it is
    return [...document.querySelectorAll(`${view} img.pg-picture`)].map((image) => image.src).join();
  },
  move(slider, value) {
    const input = document.querySelector(`${slider} input[type=range]`);
    input.value = value;
    input.dispatchEvent(new Event("input", { bubbles: true }));
  },
  changed(view, before, patience) {
    return new Promise((resolve, reject) => {
      const place = document.querySelector(view);
      const end = setTimeout(() => { watcher.disconnect(); reject(new Error("nothing changed")); }, patience);
      const watcher = new MutationObserver(() => {
        const now = window.probe.pictures(view);
        if (!now || now === before) return;
        clearTimeout(end);
        watcher.disconnect();
        resolve(performance.now());
      });
      watcher.observe(place, { childList: true, subtree: true, attributes: true });
    });
  },
  async answer({ slider, view, value, patience }) {
    const seen = window.probe.changed(view, window.probe.pictures(view), patience);
    const begin = performance.now();
    window.probe.move(slider, value);
    return (await seen) - begin;
  },
  async drag({ slider, view, values, milliseconds }) {
    let shown = window.probe.pictures(view);
    let updates = 0;
    const watcher = new MutationObserver(() => {
      const now = window.probe.pictures(view);
      if (now && now !== shown) updates++;
      shown = now || shown;
    });
    watcher.observe(document.querySelector(view), { childList: true, subtree: true, attributes: true });
    const begin = performance.now();
    for (let k = 0; performance.now() - begin < milliseconds; k++) {
      window.probe.move(slider, values[k % values.length]);
      await new Promise(requestAnimationFrame);
    }
    const took = performance.now() - begin;
    watcher.disconnect();
    return (1000 * updates) / took;
  },
  keepBusy() {  // a job ends sooner than everything beside it is measured: begin it again
    window.busy = setInterval(() => {
      const done = document.querySelector("#diffusion-view a.pg-save");
      if (!done || done === window.ended) return;
      window.ended = done;
      document.querySelector("#diffusion-go").click();
    }, 50);
  },
  rest() {
    clearInterval(window.busy);
    document.querySelector("#diffusion-stop").click();
  },
  run({ patience }) {
    return new Promise((resolve, reject) => {
      const view = document.querySelector("#diffusion-view");
      const end = setTimeout(() => { watcher.disconnect(); reject(new Error("no result")); }, patience);
      let preview = null;
      const begin = performance.now();
      const watcher = new MutationObserver(() => {
        const done = view.querySelector("a.pg-save");
        if (!done && preview === null && view.querySelector("img, .pg-cell")) preview = performance.now() - begin;
        if (!done || preview === null) return;
        clearTimeout(end);
        watcher.disconnect();
        resolve({ preview, whole: performance.now() - begin });
      });
      watcher.observe(view, { childList: true, subtree: true, attributes: true });
      document.querySelector("#diffusion-go").click();
    });
  },
};
"""


@dataclass(frozen=True)
class Live:
    """A control of the live lane and the view that answers it."""

    name: str
    slider: str
    view: str
    values: tuple[float, ...]


LIVE = (
    Live("VAE, temperature", "#vae-temperature", "#vae-view", tuple(round(0.4 + 0.05 * k, 2) for k in range(13))),
    Live("GAN, truncation", "#gan-truncation-psi", "#gan-view", tuple(round(0.4 + 0.05 * k, 2) for k in range(13))),
)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def memory_mb(process: int, field: str) -> float:
    """`VmRSS` (now) or `VmHWM` (at the most) of a process."""
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) / 1024
    raise ValueError(f"the system does not tell {field}")


@dataclass(frozen=True)
class Served:
    """The app in a process of its own."""

    address: str
    process: subprocess.Popen
    log: Path
    first_page_s: float  # from the command to the first answer

    def wait_until_ready(self) -> None:
        """Until everything is converted and the first diffusion network has its engine, or a while has passed."""
        deadline = time.monotonic() + PATIENCE_S
        while ALL_READY not in self.log.read_text() and time.monotonic() < deadline:
            time.sleep(0.2)


@contextmanager
def served(environment: Mapping[str, str]) -> Iterator[Served]:
    """Start `app.py`, wait for its first page, and end it afterwards."""
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    with tempfile.NamedTemporaryFile("w", suffix=".log") as log:
        begin = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, str(ROOT / "app.py")],
            cwd=ROOT,
            env={**os.environ, "GRADIO_SERVER_PORT": str(port), **environment},
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            wait_for(address, process)
            yield Served(address, process, Path(log.name), time.perf_counter() - begin)
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()


def wait_for(address: str, process: subprocess.Popen) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError("the app ended before it served a page")
        try:
            with urllib.request.urlopen(address, timeout=PATIENCE_S) as answer:
                answer.read()
                return
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.05)
    raise RuntimeError("the app served no page")


@contextmanager
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=arguments)
        yield browser
        browser.close()


def visit(browser: Browser, address: str, query: str = "") -> Page:
    """A page of its own, with the clocks in it, once its first picture is there."""
    page = browser.new_page(viewport={"width": 1440, "height": 900}, locale="en-US")
    page.set_default_timeout(1000 * PATIENCE_S)
    page.add_init_script(PROBES)
    page.goto(f"{address.rstrip('/')}/?{query}")
    return page


def look_at(page: Page, family: str) -> None:
    """Open a family's tab and wait for its first picture to come to rest."""
    page.locator(f"#tab-{family}-button").click()
    page.locator(f"#{family}-view img.pg-picture").first.wait_for()
    page.wait_for_timeout(500)


def live_answers(page: Page, live: Live, repeats: int) -> Figures:
    """From a slider's move to the new picture, and new pictures a second while it is dragged."""
    look_at(page, live.name.split(",")[0].lower())
    question = {"slider": live.slider, "view": live.view, "patience": 1000 * PATIENCE_S}
    milliseconds = []
    stands_at = float(page.locator(f"{live.slider} input[type=range]").input_value())
    # far apart, never to where it stands
    moves = [live.values[5 * k % len(live.values)] for k in range(MOVES * repeats + 3)]
    for value in moves[moves[0] == stands_at :][: MOVES * repeats + 2]:
        milliseconds.append(page.evaluate("q => probe.answer(q)", {**question, "value": value}))
    values = [*live.values, *live.values[-2:0:-1]]
    drag = {"slider": live.slider, "view": live.view, "values": values, "milliseconds": 2000}
    milliseconds = milliseconds[2:]
    return {
        "median": medians({"it": milliseconds})["it"],
        "p95": percentile(milliseconds, 0.95),
        "updates": page.evaluate("q => probe.drag(q)", drag),
    }


def diffusion_runs(browser: Browser, address: str, count: int, steps: int, repeats: int) -> Figures:
    """From "go" to the first preview and to the finished pictures."""
    page = visit(browser, address, f"v=1&model=ddpm&count={count}&steps={steps}&seed=1")
    page.locator("#diffusion-view a.pg-save").first.wait_for()
    runs = [page.evaluate("q => probe.run(q)", {"patience": 1000 * PATIENCE_S}) for _ in range(repeats + 1)][1:]
    page.close()
    return {name: medians({"it": [run[name] for run in runs]})["it"] for name in ("preview", "whole")}


@contextmanager
def job_running(browser: Browser, address: str, count: int, steps: int) -> Iterator[None]:
    """Somebody else's diffusion jobs, one after the other, from the first preview until they are stopped."""
    page = visit(browser, address, f"v=1&model=ddpm&count={count}&steps={steps}&seed=7")
    page.locator("#diffusion-view :is(img, .pg-cell)").first.wait_for()
    page.evaluate("() => probe.keepBusy()")
    try:
        yield
    finally:
        page.evaluate("() => probe.rest()")
        page.close()


def measure_page(steps: int, repeats: int, environment: Mapping[str, str], parts: set[str]) -> Figures:
    """The parts of the benchmark that need the app running."""
    figures: Figures = {}
    with served(environment) as app:
        app.wait_until_ready()
        time.sleep(2)
        figures["start"] = {"first_page": app.first_page_s, "at_rest": memory_mb(app.process.pid, "VmRSS")}
        if "browser" in parts:
            with chromium() as browser:
                page = visit(browser, app.address)
                idle = {live.name: live_answers(page, live, repeats) for live in LIVE}
                runs = {str(count): diffusion_runs(browser, app.address, count, steps, repeats) for count in COUNTS}
                with job_running(browser, app.address, *LONG_JOB):
                    busy = {live.name: live_answers(page, live, repeats) for live in LIVE}
                with job_running(browser, app.address, max(COUNTS), steps):
                    turns = {
                        str(count): diffusion_runs(browser, app.address, count, steps, repeats) for count in COUNTS
                    }
            figures["browser"] = {"idle": idle, "busy": busy, "runs": runs, "turns": turns, "steps": steps}
        figures["start"]["peak"] = memory_mb(app.process.pid, "VmHWM")
    return figures
