"""Distances between sets of pictures, measured on their features; all in double precision.

`real` and `fake` are features, [n, d] and [m, d], of pictures of the data set and of a model.
"""

from __future__ import annotations

import torch
from torch import Tensor

CHUNK = 1_000  # rows of a distance matrix that are in memory at once
NEIGHBOURS = 3  # k of Kynkäänniemi et al. 2019


def moments(features: Tensor) -> tuple[Tensor, Tensor]:
    """Mean [d] and covariance [d, d] (unbiased) of features [n, d]."""
    features = features.double()
    return features.mean(0), torch.cov(features.T)


def square_root(matrix: Tensor) -> Tensor:
    """The symmetric square root of a symmetric positive semidefinite matrix [d, d]."""
    values, vectors = torch.linalg.eigh(matrix)
    return (vectors * values.clamp_min(0).sqrt()) @ vectors.T


def gaussian_distance(mean_a: Tensor, cov_a: Tensor, mean_b: Tensor, cov_b: Tensor) -> float:
    """Squared Fréchet distance between two Gaussians (Dowson and Landau 1982); means [d], covariances [d, d].

    |m_a - m_b|^2 + Tr(C_a + C_b - 2 (C_a C_b)^(1/2)); the last trace is that of (C_a^(1/2) C_b C_a^(1/2))^(1/2), whose
    symmetry makes the eigenvalues real, so that a rank-deficient covariance does no harm.
    """
    root = square_root(cov_a)
    cross = torch.linalg.eigvalsh(root @ cov_b @ root).clamp_min(0).sqrt().sum()
    distance = (mean_a - mean_b).square().sum() + torch.trace(cov_a) + torch.trace(cov_b) - 2 * cross
    return max(0.0, float(distance))


def frechet_distance(real: Tensor, fake: Tensor) -> float:
    """Fréchet distance of Heusel et al. 2017 ("FID" where the features are Inception's), 0 for equal sets."""
    return gaussian_distance(*moments(real), *moments(fake))


def distances(a: Tensor, b: Tensor) -> Tensor:
    """Euclidean distance of every row of a [n, d] to every row of b [m, d]; [n, m], double."""
    a, b = a.double(), b.double()
    squares = a.square().sum(1)[:, None] + b.square().sum(1)[None] - 2 * a @ b.T
    return squares.clamp_min(0).sqrt()


def neighbour_radii(features: Tensor, neighbours: int = NEIGHBOURS) -> Tensor:
    """Distance of each row of [n, d] to its k-th nearest other row, [n]."""
    nearest = [
        distances(rows, features).kthvalue(neighbours + 1, dim=1).values  # the nearest of all is the row itself
        for rows in features.split(CHUNK)
    ]
    return torch.cat(nearest)


def covered(points: Tensor, centres: Tensor, radii: Tensor) -> float:
    """Share of points [n, d] that lie within the ball [radii] of at least one centre [m, d]."""
    inside = [(distances(rows, centres) <= radii).any(1) for rows in points.split(CHUNK)]
    return float(torch.cat(inside).double().mean())


def precision_recall(real: Tensor, fake: Tensor, neighbours: int = NEIGHBOURS) -> tuple[float, float]:
    """Improved precision and recall (Kynkäänniemi et al. 2019).

    Precision is the share of fakes that lie among the real ones, recall the share of real ones that lie among the
    fakes; "among" is within the distance of one of them to its k-th nearest neighbour of its own kind.
    """
    precision = covered(fake, real, neighbour_radii(real, neighbours))
    recall = covered(real, fake, neighbour_radii(fake, neighbours))
    return precision, recall


def nearest_distance(points: Tensor, train: Tensor) -> float:
    """Median distance of points [n, d] to the nearest row of train [m, d]: near 0 where they are copies of it."""
    chunks = points.float().split(CHUNK)
    train = train.float()  # single precision does for a median and halves the time
    return float(torch.cat([torch.cdist(rows, train).min(1).values for rows in chunks]).median())
