"""The data sets, one file each; everything else learns about them from the declarations here."""

from playground.datasets.base import Attribute, Dataset, DownloadError, Pictures, Writing
from playground.datasets.digits import DIGITS
from playground.datasets.faces import FACES
from playground.datasets.hangul import HANGUL

DATASETS: dict[str, Dataset] = {dataset.name: dataset for dataset in (DIGITS, HANGUL, FACES)}

__all__ = ["DATASETS", "Attribute", "Dataset", "DownloadError", "Pictures", "Writing"]
