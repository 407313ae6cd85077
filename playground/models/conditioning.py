"""One conditioning for all families: a vector per attribute value, summed; "any" adds nothing."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class AttributeEmbedding(nn.Module):
    """Sum of one learned vector per attribute; label 0 ("any") is the zero vector.

    `cardinalities` holds the number of values of each attribute; labels are [batch, attributes] with 0..cardinality.
    """

    def __init__(self, cardinalities: Sequence[int], dim: int) -> None:
        super().__init__()
        self.dim = dim
        self.tables = nn.ModuleList(nn.Embedding(values + 1, dim, padding_idx=0) for values in cardinalities)

    def forward(self, labels: Tensor) -> Tensor:
        """[batch, attributes] -> [batch, dim]."""
        total = torch.zeros(len(labels), self.dim, device=labels.device)
        for column, table in enumerate(self.tables):
            total = total + table(labels[:, column])
        return total


def drop_labels(labels: Tensor, probability: float, generator: torch.Generator) -> Tensor:
    """Set each attribute of each picture to "any" with the given probability, so that every one may be left out."""
    keep = torch.rand(labels.shape, generator=generator).to(labels.device) >= probability
    return labels * keep
