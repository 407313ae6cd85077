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
        total = torch.zeros(labels.shape[0], self.dim, device=labels.device)  # `len` would be fixed in a trace
        for column, table in enumerate(self.tables):
            total = total + table(labels[:, column])
        return total


def drop_labels(
    labels: Tensor, each: float | Sequence[float], generator: torch.Generator, everything: float = 0.0
) -> Tensor:
    """Set labels to "any" at random: each attribute with its own probability, and now and then all of a picture's.

    labels are [batch, attributes]; `each` is one probability for all attributes or one for each of them.
    """
    keep = torch.rand(labels.shape, generator=generator) >= torch.tensor(each)
    if everything:
        keep &= torch.rand(len(labels), 1, generator=generator) >= everything
    return labels * keep.to(labels.device)
