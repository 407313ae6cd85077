"""Take the README's pictures of the page: `python -m tests.screenshots` (needs Chromium)."""

from __future__ import annotations

import io
import shutil
from pathlib import Path

from PIL import Image
from playwright.sync_api import expect, sync_playwright

from playground.app import build, launch
from playground.zoo import Zoo

FOLDER = Path(__file__).parent / "screenshots"
WIDTH, HEIGHT = 1200, 760  # CSS pixels
LARGE = 100_000  # bytes
SCALE = 0.75  # of the pictures: 900 pixels are as many as a README has room for
VIEWS = {  # file name: tab, path and query, height
    "compare-faces": ("compare", "faces?task=compare&seed=11&count=6&labels=9,4,0,4,2", 1990),  # all families' rows
    "change-faces": ("change", "faces?task=change&change=0,10&seed=2&count=4", 1240),
    "vae-map": ("vae", "?model=vae2&task=map&point=0.8,-0.9", HEIGHT),
    "vae-encode": ("vae", "?task=encode&picture=4&count=4", HEIGHT),
    "gan": ("gan", "?model=gan&seed=7&count=8", HEIGHT),
    "diffusion": ("diffusion", "?model=ddpm&labels=8&seed=5&count=4&steps=20", 1400),  # down to what it drew
    "growth": ("growth", "?task=growth", 980),
    "anomaly-faces": ("anomaly", "faces?task=anomaly&defect=hole&picture=16&seed=5&strength=0.3", 1720),
    "augment": ("augment", "?task=augment&seed=1", 1530),  # all readers' rows
    "chains": ("chains", "?task=chains&start=-2.6,-2.6&updates=400", 980),  # the walks, with all that is below them
}


def save_small(screenshot: bytes, path: Path) -> None:
    """A page is mostly flat colour, which WebP keeps whole in little room; one full of faces is kept nearly so."""
    with Image.open(io.BytesIO(screenshot)) as image:
        image.convert("RGB").save(path, lossless=True, quality=100, method=6)
        if path.stat().st_size > LARGE:
            image.convert("RGB").save(path, quality=90, method=6)


def main() -> None:
    """Serve the page, open every view at its own size, save what there is to see."""
    demo = build(Zoo())
    _, address, _ = launch(demo, prevent_thread_lock=True, quiet=True)
    FOLDER.mkdir(exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(device_scale_factor=SCALE)
        for name, (tab, query, height) in VIEWS.items():
            page.set_viewport_size({"width": WIDTH, "height": height})
            page.goto(f"{address}{query}")
            there = page.locator(f"#{tab}-view :is(img.pg-picture, [data-query], .pg-cell)")
            expect(there.first).to_be_visible(timeout=30_000)
            if tab == "augment":
                expect(page.locator(f"#{tab}-view a.pg-save")).to_be_visible(timeout=120_000)
            if tab == "growth":  # on the way
                page.locator("#growth-view input[type=range]").fill("9")
            page.wait_for_timeout(4000)  # longer than any other of these takes to finish
            save_small(page.screenshot(), FOLDER / f"{name}.webp")
        browser.close()
    demo.close()


if __name__ == "__main__":
    main()
