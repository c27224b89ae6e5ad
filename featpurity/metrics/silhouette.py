"""The silhouette of the classes for the cosine metric, exact, and its bootstrap draws.

References
----------
Rousseeuw (1987), Silhouettes: a graphical aid to the interpretation and validation of cluster analysis."""

import torch
import torch.nn.functional as F

from featpurity.metrics.intervals import bootstrap_weights
from featpurity.metrics.zeroshot import check_embeddings


def silhouette(embeddings, labels):
    """Exact mean silhouette of the classes for the cosine metric.

    The mean cosine distance of an image to a class is 1 - u . S / N, with u the image's unit
    vector, S the sum of the class's unit vectors and N their number. So the score costs n x classes
    x d, not n^2 x d, and is equal to scikit-learn's `silhouette_score(..., metric="cosine")`.

    Parameters
    ----------
    embeddings : float tensor of shape (n, d)
        Of any length; normalised here. A row of zeros is at distance 1 from everything.
    labels : int64 tensor of shape (n,)

    Returns
    -------
    float
        In [-1, 1]. An image that is alone in its class scores 0.

    Raises
    ------
    ValueError
        For fewer than 2 classes, as many classes as images, shapes that do not fit, or NaN.
    """
    check_embeddings(embeddings, labels)
    groups, n_classes = _groups(labels)
    unit = F.normalize(embeddings.double(), dim=1)
    weights = unit.new_ones(len(unit))
    return _weighted_silhouette(unit, groups, n_classes, weights).item()


def silhouette_curve(embeddings, labels, order, kept):
    """Silhouette of the pruned image embeddings for some numbers of kept neurons.

    Parameters
    ----------
    embeddings : float tensor of shape (n, d)
    labels : int64 tensor of shape (n,)
    order : int64 tensor of shape (d,)
        A permutation of the neurons; its first k are kept.
    kept : sequence of int
        The numbers k, each in 1 .. d.

    Returns
    -------
    silhouettes : float tensor of shape (len(kept),)
        Each the silhouette of the k kept columns, which the cosine metric normalises anew.
    """
    d = embeddings.shape[1]
    if order.shape != (d,) or not torch.equal(
        order.sort().values, torch.arange(d, device=order.device)
    ):
        raise ValueError(
            f"order: expected a permutation of 0 .. {d - 1}, got shape {tuple(order.shape)}"
        )
    wrong = [k for k in kept if not 1 <= k <= d]
    if wrong:
        raise ValueError(f"kept: expected numbers of neurons in 1 .. {d}, got {wrong}")
    ordered = embeddings[:, order]
    return torch.tensor([silhouette(ordered[:, :k], labels) for k in kept])


def _groups(labels):
    """Labels as 0 .. n_classes-1, checked as scikit-learn does."""
    present, groups = labels.unique(return_inverse=True)
    if not 2 <= len(present) < len(labels):
        raise ValueError(
            f"the silhouette needs 2 .. n - 1 classes for n images, got {len(present)} classes for {len(labels)} images"
        )
    return groups, len(present)


def _weighted_silhouette(unit, groups, n_classes, weights):
    """Mean silhouette when image i stands `weights[i]` times in the sample (a bootstrap draw has
    such weights).
    """
    counts = weights.new_zeros(n_classes).index_add_(0, groups, weights)  # (n_classes,)
    sums = unit.new_zeros(n_classes, unit.shape[1]).index_add_(0, groups, unit * weights[:, None])
    to_class = counts - unit @ sums.T  # (n, n_classes) summed distances to every class
    own = groups[:, None]
    # A row's distance to itself is 0, also for a row of zeros, whose cosine with itself is not 1.
    itself = 1 - (unit * unit).sum(1)
    # The guards keep empty and single classes finite; their images score 0 below.
    inside = (to_class.gather(1, own)[:, 0] - itself) / (counts[groups] - 1).clamp(min=1)
    to_other = (to_class / counts.clamp(min=1)).masked_fill_(counts == 0, torch.inf)
    outside = to_other.scatter_(1, own, torch.inf).amin(1)
    score = (outside - inside) / torch.maximum(outside, inside).clamp(
        min=torch.finfo(unit.dtype).tiny
    )
    alone_or_absent = (counts[groups] <= 1) | outside.isinf()
    return (weights * score.masked_fill(alone_or_absent, 0)).sum() / weights.sum()


def bootstrap_silhouettes(models, labels, n_draws=1000, seed=0):
    """Bootstrap draws of the silhouette, paired over models that embedded the same images.

    Parameters
    ----------
    models : list of float tensors of shape (n, d)
        Embeddings of the same n images by each model; d may differ.

    Returns
    -------
    draws : float tensor of shape (n_draws, len(models))
        Silhouettes of resampled sets of images, shifted so that their mean is the score of the
        images as they are. Unshifted they are too high: copies of one image are at distance 0, as
        different images never are.
    """
    for embeddings in models:
        check_embeddings(embeddings, labels)
    groups, n_classes = _groups(labels)
    units = [F.normalize(embeddings.float(), dim=1) for embeddings in models]

    def silhouettes(weights):
        return torch.stack(
            [_weighted_silhouette(unit, groups, n_classes, weights) for unit in units]
        )

    draws = torch.stack(
        list(map(silhouettes, bootstrap_weights(len(labels), n_draws, seed, labels.device)))
    )
    return draws - draws.mean(0) + silhouettes(units[0].new_ones(len(labels)))
