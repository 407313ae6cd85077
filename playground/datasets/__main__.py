"""Fetch, check and write a data set: `python -m playground.datasets NAME`."""

from __future__ import annotations

import argparse
import sys

from playground.datasets import DATASETS, DownloadError


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m playground.datasets", description=__doc__)
    parser.add_argument("dataset", choices=sorted(DATASETS))
    dataset = DATASETS[parser.parse_args().dataset]
    try:
        file = dataset.write()
    except DownloadError as error:
        print(f"{dataset.name}: {error}", file=sys.stderr)
        return 1
    for split in ("train", "held_out"):
        print(
            f"{split}: {len(dataset.load(split).images):,} pictures of {dataset.size}x{dataset.size}x{dataset.channels}"
        )
    print(f"written to {file.relative_to(file.parents[1])} ({file.stat().st_size / 1e6:.1f} MB)")
    print(f"reference pictures: {dataset.reference_file.stat().st_size / 1e6:.1f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
