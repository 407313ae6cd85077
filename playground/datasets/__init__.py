"""The data sets, one file each; everything else learns about them from the declarations here."""

from playground.datasets.base import Attribute, Dataset, DownloadError, Pictures
from playground.datasets.digits import DIGITS

DATASETS: dict[str, Dataset] = {dataset.name: dataset for dataset in (DIGITS,)}

__all__ = ["DATASETS", "Attribute", "Dataset", "DownloadError", "Pictures"]
