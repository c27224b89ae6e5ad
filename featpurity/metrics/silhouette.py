"""The silhouette of the classes for the cosine metric: exact, with each image's influence on it.

The mean cosine distance of an image to a class is 1 - u . m, with u the image's unit vector and m
the mean of the class's unit vectors. So the score costs n x classes x d, not n^2 x d.

References
----------
Rousseeuw (1987), Silhouettes: a graphical aid to the interpretation and validation of cluster
analysis. Efron (1982), The Jackknife, the Bootstrap and Other Resampling Plans, section 6.3 (the
infinitesimal jackknife).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from featpurity.metrics.inputs import Array, check_embeddings, check_kept, check_order, row_blocks
from featpurity.metrics.intervals import Estimate, bootstrap_weights, seed_of

# Up to this many numbers, all is computed in double precision, which takes hardly any time.
SMALL = 2**18
# Single precision gives a mean distance to about 1e-7. Images closer than this to both classes are
# measured again in double precision, so that no score is off by more than about 1e-6.
CLOSE = 0.1
# Two mean distances below this are only rounding: the pictures are the same, and the score is 0, as
# scikit-learn has it for 0 / 0.
SAME = 1e-12
# Norms that single precision can hold: the squares of others may be too small or large for it.
SHORT, LONG = 1e-15, 1e15
# With classes of fewer images, intervals from influences are too narrow: the infinitesimal
# jackknife takes the score as linear in the images' weights, but an image's mean distance to the
# one or two others of its class is not.
FEW = 5


def is_defined(labels: torch.Tensor) -> bool:
    """Whether the silhouette exists: 2 classes or more, and some class of several images."""
    return 2 <= len(labels.unique()) < len(labels)


def silhouette(embeddings: Array, labels: Array) -> float:
    """Exact mean silhouette of the classes for the cosine metric.

    Equal to scikit-learn's `silhouette_score(..., metric="cosine")` in double precision to 1e-6.

    Parameters
    ----------
    embeddings : float tensor or array of shape (n, d)
        Of any length; normalised here. A row of zeros is at distance 1 from everything.
    labels : int64 tensor or array of shape (n,)

    Returns
    -------
    float
        In [-1, 1]. An image scores 0 if it is alone in its class, or within rounding of both
        classes: copies of one picture.

    Raises
    ------
    ValueError
        For fewer than 2 classes, as many classes as images, shapes that do not fit, or NaN.
    """
    embeddings, groups = _checked(embeddings, labels)
    return _neighbours(embeddings, groups).scores().mean().item()


def silhouette_influence(embeddings: Array, labels: Array) -> torch.Tensor:
    """Influence of each image on the silhouette: the gradient by its weight, times n.

    An image of weight w counts like w copies of it in a bootstrap sample: w times in the mean of
    the scores, and w times in the mean distance of every other image to its class. The spread of
    the influences gives that of the score over samples of images (the infinitesimal jackknife). For
    the difference of two models' scores, take the difference of their influences on the same
    images.

    Parameters
    ----------
    embeddings, labels
        As in `silhouette`; the cost is that of two silhouettes.

    Returns
    -------
    influence : float64 tensor of shape (n,)
        On the device of the embeddings. The standard error of the silhouette is
        sqrt(sum (v - mean v)^2) / n, see `intervals.influence_interval`.
    """
    embeddings, groups = _checked(embeddings, labels)
    near = _neighbours(embeddings, groups)
    scores = near.scores()
    # The slopes of each image's score, (b - a) / max(a, b), by its distances a to its own class and
    # b to the nearest other one. The slopes of a and b by the weight of an image i of these classes
    # are (distance to i - a) / (N - 1) and (distance to i - b) / N.
    counts = near.counts
    longer = near.longer
    tighter = near.outside > near.inside
    slope_inside = torch.where(tighter, -1 / longer, -near.outside / longer.square())
    slope_outside = torch.where(tighter, near.inside / longer.square(), 1 / longer)
    slope_inside = slope_inside / (counts[groups] - 1)
    slope_outside = slope_outside / counts[near.nearest]
    slope_inside = slope_inside.masked_fill(near.fixed, 0)
    slope_outside = slope_outside.masked_fill(near.fixed, 0)
    # How the weight of image i moves all scores: constant_c - u_i . vector_c for its class c.
    constants = torch.zeros_like(counts)
    constants.index_add_(0, groups, slope_inside * (1 - near.inside))
    constants.index_add_(0, near.nearest, slope_outside * (1 - near.outside))
    embeddings, lengths = _with_lengths(embeddings, near.dtype)
    vectors = _class_sums(embeddings, groups, len(counts), slope_inside / lengths, near.dtype)
    vectors += _class_sums(
        embeddings, near.nearest, len(counts), slope_outside / lengths, near.dtype
    )
    vectors = vectors.to(near.dtype)
    moved = constants[groups]
    for rows in row_blocks(len(embeddings), embeddings.shape[1], vectors):
        along = (embeddings[rows].to(near.dtype) * vectors[groups[rows]]).sum(1)
        moved[rows] -= along / lengths[rows]
    return scores - scores.mean() + moved


def silhouette_curve(
    embeddings: Array, labels: Array, order: Array, kept: Sequence[int]
) -> torch.Tensor:
    """Silhouette of the pruned image embeddings for some numbers of kept neurons.

    Parameters
    ----------
    embeddings : float tensor or array of shape (n, d)
    labels : int64 tensor or array of shape (n,)
    order : int64 tensor or array of shape (d,)
        A permutation of the neurons; its first k are kept.
    kept : sequence of int
        The numbers k, each in 1 .. d.

    Returns
    -------
    silhouettes : float tensor of shape (len(kept),)
        Each the silhouette of the k kept columns, which the cosine metric normalises again.
    """
    embeddings, groups = _checked(embeddings, labels)
    d = embeddings.shape[1]
    order = check_order(order, d).to(embeddings.device)
    kept = check_kept(kept, d)
    ordered = embeddings[:, order]  # once: gathering columns costs as much as the score
    return torch.tensor([_neighbours(ordered[:, :k], groups).scores().mean() for k in kept])


def estimate_silhouettes(
    models: Sequence[Array], labels: Array, n_bootstrap: int = 0, pictures: str = ""
) -> Estimate:
    """Silhouettes of several models on the same images, with their intervals.

    Parameters
    ----------
    models, labels
        As in `bootstrap_silhouettes`.
    n_bootstrap : int
        Bootstrap draws; 0 uses the influences, which take only the time of a few silhouettes. Their
        intervals are too narrow with classes of fewer than `FEW` images.
    pictures : str
        Key of the pictures (`LabelledImages.images_key`): the same key gives the same draws.

    Returns
    -------
    estimate : Estimate
        With a value of shape (len(models),).
    """
    values = torch.tensor(
        [silhouette(embeddings, labels) for embeddings in models], dtype=torch.float64
    )
    if n_bootstrap:
        draws = bootstrap_silhouettes(models, labels, n_bootstrap, seed_of(pictures))
        return Estimate(values, draws, drawn=True)
    influences = torch.stack([silhouette_influence(embeddings, labels) for embeddings in models], 1)
    return Estimate(values.to(influences.device), influences)


def bootstrap_silhouettes(
    models: Sequence[Array], labels: Array, n_draws: int = 1000, seed: int = 0
) -> torch.Tensor:
    """Bootstrap draws of the silhouette, paired over models that embedded the same images.

    Parameters
    ----------
    models : list of float tensors or arrays of shape (n, d)
        Embeddings of the same n images by each model; d may differ.

    Returns
    -------
    draws : float64 tensor of shape (n_draws, len(models))
        Silhouettes of resampled sets of images, shifted so that their mean is the score of the
        images as they are. Unshifted they are too high: copies of an image are at distance 0, which
        different images never are. `silhouette_influence` gives the same intervals in the time of a
        few draws.
    """
    if not isinstance(models, Sequence) or not models:
        raise ValueError(
            f"models: expected a list of embeddings, one a model, got {type(models).__name__}"
        )
    checked = [_checked(embeddings, labels) for embeddings in models]
    n, device = len(checked[0][1]), checked[0][1].device

    def silhouettes(weights):
        return torch.stack(
            [
                (weights * _neighbours(embeddings, groups, weights).scores()).sum() / weights.sum()
                for embeddings, groups in checked
            ]
        )

    draws = torch.stack(list(map(silhouettes, bootstrap_weights(n, n_draws, seed, device))))
    return draws - draws.mean(0) + silhouettes(torch.ones(n, device=device))


@dataclass
class _Neighbours:
    """Mean distance of each image to its own class and to the nearest other one, with that class.

    Tensors have shape (n,) but for `counts` (n_classes,), the images of each class; `own` is that
    count for each image's class, `dtype` the precision of all distances.
    """

    inside: torch.Tensor
    outside: torch.Tensor
    nearest: torch.Tensor
    counts: torch.Tensor
    own: torch.Tensor
    dtype: torch.dtype

    @property
    def longer(self):
        """The larger of the two distances."""
        return torch.maximum(self.inside, self.outside)

    @property
    def fixed(self):
        """Which images score 0 whatever the weights: alone in a class or equal to all that count.

        All images do if a bootstrap sample holds only one class.
        """
        return (self.own <= 1) | self.outside.isinf() | (self.longer < SAME)

    def scores(self):
        """The silhouette of each image, float64 of shape (n,)."""
        return ((self.outside - self.inside) / self.longer).masked_fill(self.fixed, 0)


def _checked(embeddings, labels):
    """Embeddings, and labels as 0 .. n_classes-1, checked as scikit-learn does."""
    embeddings, labels = check_embeddings(embeddings, labels)
    present, groups = labels.unique(return_inverse=True)
    if not is_defined(labels):
        raise ValueError(
            "the silhouette needs 2 .. n - 1 classes for n images, "
            f"got {len(present)} classes for {len(labels)} images"
        )
    return embeddings, groups


def _neighbours(embeddings, groups, weights=None):
    """`_Neighbours` of the images, where image i counts `weights[i]` times (by default once)."""
    n_classes = int(groups.max()) + 1
    ones = torch.ones(len(groups), dtype=torch.float64, device=groups.device)
    weights = ones if weights is None else weights.double()
    counts = ones.new_zeros(n_classes).index_add_(0, groups, weights)
    dtype = embeddings.dtype if embeddings.numel() > SMALL else torch.float64
    embeddings, lengths = _with_lengths(embeddings, dtype)
    means = _means(embeddings, lengths, groups, counts, weights, dtype)
    found = _distances(embeddings, lengths, groups, means, counts)
    near = _Neighbours(*found, counts, counts[groups], dtype)
    close = (near.longer < CLOSE).nonzero().flatten()
    if len(close) and near.dtype == torch.float32:
        near.dtype = torch.float64
        embeddings, lengths = _with_lengths(embeddings, near.dtype)
        means = _means(embeddings, lengths, groups, counts, weights, near.dtype)
        for rows in row_blocks(len(close), embeddings.shape[1], means):
            some = close[rows]
            found = _distances(embeddings[some], lengths[some], groups[some], means, counts)
            near.inside[some], near.outside[some], near.nearest[some] = found
    return near


def _distances(embeddings, lengths, groups, means, counts):
    """(inside, outside, nearest) of some images, computed in the means' precision, as float64."""
    found = []
    for rows in row_blocks(len(embeddings), means.shape[1] + len(means), means):
        own = groups[rows]
        # Dividing the products by the lengths saves a copy of the images as unit vectors.
        products = embeddings[rows].to(means.dtype) @ means.T
        to_class = 1 - products / lengths[rows, None]  # (rows, n_classes)
        to_class[:, counts == 0] = torch.inf  # absent from a bootstrap sample
        to_own = to_class.gather(1, own[:, None])[:, 0].double()
        to_class.scatter_(1, own[:, None], torch.inf)
        outside, nearest = to_class.min(1)
        # A mean over the other images: an image is at distance 0 from itself, a row of zeros at 1.
        # The clamp keeps a class of one finite; its image scores 0.
        itself = lengths[rows].isinf().double()
        inside = (to_own * counts[own] - itself) / (counts[own] - 1).clamp(min=1)
        found.append((inside.clamp(min=0), outside.double().clamp(min=0), nearest))
    return [torch.cat(part) for part in zip(*found)]


def _means(embeddings, lengths, groups, counts, weights, dtype):
    sums = _class_sums(embeddings, groups, len(counts), weights / lengths, dtype)
    return (sums / counts.clamp(min=1)[:, None]).to(dtype)


def _class_sums(embeddings, groups, n_classes, weights, dtype):
    """Weighted sum of each class's rows: float64 of shape (n_classes, d)."""
    d = embeddings.shape[1]
    weights = weights.to(dtype)
    sums = torch.zeros(n_classes, d, dtype=torch.float64, device=embeddings.device)
    for rows in row_blocks(len(embeddings), d, sums):
        weighted = embeddings[rows].to(dtype) * weights[rows, None]
        sums += weighted.new_zeros(n_classes, d).index_add_(0, groups[rows], weighted)
    return sums


def _with_lengths(embeddings, dtype):
    """Embeddings, and the norms (n,) of their rows, computed in precision `dtype`.

    Rows far too short or too long for it are scaled first; a row of zeros, which has no direction,
    counts as infinitely long.
    """
    blocks = row_blocks(*embeddings.shape, embeddings.new_empty(0, dtype=dtype))
    lengths = torch.cat([embeddings[rows].to(dtype).norm(dim=1) for rows in blocks])
    odd = ((lengths < SHORT) | (lengths > LONG)).nonzero().flatten()
    largest = embeddings[odd].abs().amax(1)
    odd, largest = odd[largest > 0], largest[largest > 0]
    if len(odd):
        scaled = embeddings[odd] / largest[:, None]
        embeddings = embeddings.index_copy(0, odd, scaled)
        lengths[odd] = scaled.to(dtype).norm(dim=1)
    return embeddings, lengths.masked_fill(lengths == 0, torch.inf)
