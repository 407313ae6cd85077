"""Conversions and verdicts kept between starts: in the user's cache folder, bounded, never in the project's own."""

from __future__ import annotations

import json
import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

log = logging.getLogger(__name__)

MAX_BYTES = 384 * 2**20  # those of six networks take 220 MB, those of their last weights wait to be dropped
CONVERSION = "model.xml"  # what a conversion's folder holds, beside the numbers in model.bin


def usual_folder() -> Path:
    """`$PLAYGROUND_CACHE`, or a folder of the playground's in the user's cache; OSError where there is no home."""
    stated = os.getenv("PLAYGROUND_CACHE")
    if stated:
        return Path(stated)
    try:
        return Path(os.getenv("XDG_CACHE_HOME") or Path.home() / ".cache") / "generative-playground"
    except RuntimeError as error:
        raise OSError(str(error)) from error


def probe(folder: Path) -> Path:
    """The folder, made and tried; OSError where nothing can be written."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder):
        return folder


class Cache:
    """A folder of conversions (a folder each) and verdicts (a JSON file each), named by what they depend on.

    Where the usual folder cannot be written, a temporary one serves until the process ends.
    """

    def __init__(self, folder: Path | None = None, max_bytes: int = MAX_BYTES) -> None:
        self.max_bytes = max_bytes
        try:
            self.folder = probe(folder or usual_folder())
        except OSError as error:
            log.warning("the cache folder cannot be written (%s): conversions last until the end", error.strerror)
            self._until_the_end = tempfile.TemporaryDirectory(prefix="generative-playground-")
            self.folder = Path(self._until_the_end.name)

    def conversion(self, key: str) -> Path:
        """Where the conversion of this key stands, or would stand."""
        return self.folder / key / CONVERSION

    def keep(self, key: str, write: Callable[[Path], object]) -> None:
        """Have a conversion written, seen by others only when it is whole; then drop the oldest above the bound."""
        with tempfile.TemporaryDirectory(dir=self.folder, prefix="unfinished-") as unfinished:
            write(Path(unfinished) / CONVERSION)
            self.forget(key)
            os.rename(unfinished, self.folder / key)
            Path(unfinished).mkdir()  # for the context to remove
        self.trim(key)

    def forget(self, key: str) -> None:
        shutil.rmtree(self.folder / key, ignore_errors=True)

    def trim(self, newest: str) -> None:
        """Drop the conversions used longest ago until the rest fits; the newest always stays."""
        by_age = sorted(self.folder.glob(f"*/{CONVERSION}"), key=lambda path: path.stat().st_mtime, reverse=True)
        total = 0
        for path in by_age:
            total += sum(file.stat().st_size for file in path.parent.iterdir())
            if total > self.max_bytes and path.parent.name != newest:
                self.forget(path.parent.name)

    def verdict(self, key: str) -> Mapping[str, object] | None:
        """What was measured under this key; None where nothing was, or it cannot be read."""
        try:
            found = json.loads((self.folder / f"{key}.json").read_text())
        except (OSError, ValueError, RecursionError):
            return None
        return found if isinstance(found, dict) else None

    def remember(self, key: str, verdict: Mapping[str, object]) -> None:
        with tempfile.NamedTemporaryFile("w", dir=self.folder, suffix=".unfinished", delete=False) as file:
            json.dump(verdict, file, indent=2)
        os.replace(file.name, self.folder / f"{key}.json")
