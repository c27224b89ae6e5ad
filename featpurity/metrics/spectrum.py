"""What no rotation of the shared space can change in a tower's neurons: the singular values.

A CLIP model stays the same when both projections are multiplied by one rotation: every cosine
between embeddings stays, and so does every accuracy and silhouette. The neurons become others, but
the matrix (d, width) of these rows keeps its singular values and its right singular vectors, which
are directions of the trunk's features.

References
----------
Roy & Vetterli (2007), The effective rank: a measure of effective dimensionality, EUSIPCO.
Mezzadri (2007), How to generate random matrices from the classical compact groups.
"""

from collections.abc import Iterator

import torch

from featpurity.metrics.inputs import Array, as_tensor
from featpurity.metrics.purity import check_neurons


def random_rotations(d: int, n: int, seed: int = 0) -> Iterator[torch.Tensor]:
    """Yield n random rotations or reflections, float32 of shape (d, d), uniform over all of them.

    The same d and seed give the same matrices. QR of normal numbers, with the signs of R's diagonal
    moved into Q (Mezzadri 2007).
    """
    generator = torch.Generator().manual_seed(seed)
    for _ in range(n):
        q, r = torch.linalg.qr(torch.randn(d, d, generator=generator, dtype=torch.float64))
        yield (q * r.diagonal().sign()).float()


def participation_ratio(neurons: Array) -> float:
    """How many directions share the squared singular values s: (sum s)^2 / sum s^2.

    Parameters
    ----------
    neurons : float tensor or array of shape (d, width)

    Returns
    -------
    float
        In [1, min(d, width)]: 1 if all neurons point the same way, the maximum if all singular
        values are equal.
    """
    squared = torch.linalg.svdvals(check_neurons(neurons).double()).square()
    return (squared.sum().square() / squared.square().sum()).item()


def effective_rank(neurons: Array) -> float:
    """The exponential of the entropy of the singular values, as shares of their sum.

    Parameters
    ----------
    neurons : float tensor or array of shape (d, width)

    Returns
    -------
    float
        In [1, min(d, width)] (Roy & Vetterli 2007).
    """
    shares = torch.linalg.svdvals(check_neurons(neurons).double())
    shares = shares / shares.sum()
    return torch.special.entr(shares).sum().exp().item()


def shared_component(neurons: Array) -> tuple[float, torch.Tensor]:
    """The direction of the trunk's features that the neurons share most, and its share.

    Parameters
    ----------
    neurons : float tensor or array of shape (d, width)

    Returns
    -------
    share : float
        Of the sum of all squared weights, in [1 / min(d, width), 1].
    direction : float tensor of shape (width,)
        The first right singular vector, of unit length; its sign makes its largest entry positive.
    """
    _, values, directions = torch.linalg.svd(check_neurons(neurons).double(), full_matrices=False)
    share = (values[0].square() / values.square().sum()).item()
    first = directions[0]
    return share, (first * first[first.abs().argmax()].sign()).float()


def without_direction(neurons: Array, direction: Array) -> torch.Tensor:
    """The neurons without what they read along one direction of the trunk's features.

    Parameters
    ----------
    neurons : float tensor or array of shape (d, width)
    direction : float tensor or array of shape (width,)
        Of any length but 0, say from `shared_component`, or the mean trunk feature.

    Returns
    -------
    neurons : float tensor of shape (d, width)
        Each orthogonal to the direction.
    """
    neurons = check_neurons(neurons)
    direction = as_tensor(direction, "direction", "shape (width,)").to(neurons)
    if direction.shape != neurons.shape[1:] or not 0 < direction.norm() < torch.inf:
        raise ValueError(
            f"direction: expected finite numbers of shape ({neurons.shape[1]},), not all 0, "
            f"got shape {tuple(direction.shape)}"
        )
    direction = direction / direction.norm()
    return neurons - (neurons @ direction)[:, None] * direction
