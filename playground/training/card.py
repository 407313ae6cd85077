"""The facts about a trained model, written beside its weights."""

from __future__ import annotations

import json
import platform
from pathlib import Path

import torch

from playground.datasets.base import sha256


def hardware() -> str:
    """What a training runs on: the accelerators, or the processor where there are none."""
    if torch.cuda.is_available():
        return f"{torch.cuda.device_count()} x {torch.cuda.get_device_name(0)}"
    return processor()


def processor() -> str:
    """The processor and the threads that torch may use of it."""
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        name = next((ln.split(":", 1)[1].strip() for ln in cpuinfo.open() if ln.startswith("model name")), name)
    return f"{name}, {torch.get_num_threads()} thread(s)"


def write_card(folder: Path, facts: dict[str, object]) -> None:
    """Write `card.json`: `facts` and the sha256 of every weight file; figures measured on older weights go."""
    hashes = {str(path.relative_to(folder)): sha256(path) for path in sorted(folder.rglob("*.safetensors"))}
    (folder / "card.json").write_text(json.dumps({**facts, "sha256": hashes}, indent=2) + "\n")
