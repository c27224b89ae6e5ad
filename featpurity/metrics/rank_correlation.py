"""Rank correlation of two measures of some models, within groups of them.

More compute makes a model better and may change its purity too. Over models of several scales the
two can therefore move together, or in opposite directions, whatever purity has to do with accuracy.
So a model is ranked only among those of its architecture and scale, which differ in their data
alone: see `featpurity.models.rungs`.

References
----------
Taylor (1987), Kendall's and Spearman's correlation coefficients in the presence of a blocking
variable. Bonett & Wright (2000), Sample size requirements for estimating Pearson, Kendall and
Spearman correlations.
"""

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np
import pandas as pd

from featpurity.metrics.intervals import NORMAL_95


def group_ranks(values: Sequence[float], groups: Sequence) -> np.ndarray:
    """Ranks in each group, centred at 0 and divided by its size: float (n,); ties share a mean."""
    by_group = pd.Series(np.asarray(values, dtype=float)).groupby(np.asarray(groups))
    size = by_group.transform("size")
    return ((by_group.rank() - (size + 1) / 2) / size).to_numpy()


def can_be_ranked(x: Sequence[float], y: Sequence[float], groups: Sequence | None = None) -> bool:
    """Whether each measure varies within some group, so that there is a rank correlation."""
    groups = np.full(len(x), "all") if groups is None else groups
    return all(group_ranks(values, groups).any() for values in (x, y))


def rank_correlation(
    x: Sequence[float],
    y: Sequence[float],
    groups: Sequence | None = None,
    n_permutations: int = 9999,
) -> dict[str, float]:
    """Rank correlation of two measures of some models, within groups of them.

    Parameters
    ----------
    x, y : float array-likes of shape (n,)
    groups : array-like of shape (n,), optional
        Only models of one group are ranked against one another. All are one group by default.
    n_permutations : int
        Random orders within each group that give the p-value.

    Returns
    -------
    dict
        models, groups : int
            Those that count: a model alone in its group cannot be compared.
        spearman : float in [-1, 1]
            The correlation of `group_ranks`. For groups of equal size without ties, the mean of
            their Spearman correlations.
        low, high : float
            Its 95 % interval: Fisher's z with Bonett and Wright's variance, with a degree of
            freedom less for each further group. A perfect correlation, whose variance would be 0,
            counts as one with two neighbours swapped. Strong correlations (above 0.8) in small
            groups come out too weak, so the interval errs towards 0.
        kendall : float in [-1, 1]
            Pairs within groups that agree in order, minus those that disagree, as a share (tau-b
            where there are ties).
        p : float
            Share of the permutations whose |spearman| is at least as large, with the observed order
            counted as one more permutation.

    Raises
    ------
    ValueError
        For shapes that do not fit, NaN, a measure that varies in no group, or fewer models than 3
        more than groups.
    """
    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    groups = np.full(x.shape, "all") if groups is None else np.asarray(groups)
    if x.ndim != 1 or not x.shape == y.shape == groups.shape or not np.isfinite([x, y]).all():
        raise ValueError(
            "expected finite x, y and groups of one shape (n,), "
            f"got {x.shape}, {y.shape}, {groups.shape}"
        )
    if pd.isna(groups).any():
        raise ValueError("groups: expected a group of every model, got NaN")
    sizes = check_groups(groups)
    ranks = group_ranks(x, groups), group_ranks(y, groups)
    if not can_be_ranked(x, y, groups):
        counts = " and ".join(str(len(np.unique(values))) for values in (x, y))
        raise ValueError(
            f"expected measures that differ within some group, got {counts} different values"
        )
    length = math.sqrt(np.prod([ranked @ ranked for ranked in ranks]))
    spearman = float(ranks[0] @ ranks[1] / length)
    low, high = _interval(spearman, sizes)
    shuffled = _shuffled(ranks[1], groups, n_permutations)
    shuffled = shuffled @ ranks[0] / length  # (n_permutations,)
    as_large = np.count_nonzero(np.abs(shuffled) >= abs(spearman) - 1e-12)
    return dict(
        models=sum(sizes),
        groups=len(sizes),
        spearman=spearman,
        low=low,
        high=high,
        kendall=_kendall(x, y, groups),
        p=(1 + as_large) / (1 + n_permutations),
    )


def check_groups(groups: Sequence) -> list[int]:
    """Sizes of the groups of two or more models; a ValueError if they are too few to compare.

    Parameters
    ----------
    groups : sequence of n
        The group of each model.
    """
    counts = Counter(np.asarray(groups).tolist())
    sizes = [size for size in counts.values() if size > 1]
    if sum(sizes) - len(sizes) < 3:
        raise ValueError(
            "too few models to rank within their groups: expected one group of 4, two that hold 5, "
            "or more, got "
            + (", ".join(f"{size} of {name!r}" for name, size in counts.items()) or "none")
        )
    return sizes


def _kendall(x, y, groups):
    together = groups[:, None] == groups
    # Which of each two is larger: (n, n).
    a, b = (np.sign(values[:, None] - values) * together for values in (x, y))
    return float((a * b).sum() / math.sqrt((a * a).sum() * (b * b).sum()))


def _interval(spearman, sizes):
    """95 % interval of a rank correlation within groups of these sizes."""
    # The sum of squares of all ranks, as `group_ranks` scales them.
    squares = sum((size**2 - 1) / (12 * size) for size in sizes)
    # The correlation once two neighbours in the largest group change places.
    nearly_one = 1 - 1 / (max(sizes) ** 2 * squares)
    counted = min(max(spearman, -nearly_one), nearly_one)
    half = NORMAL_95 * math.sqrt((1 + counted**2 / 2) / (sum(sizes) - len(sizes) - 2))
    low, high = (math.tanh(math.atanh(counted) + end) for end in (-half, half))
    return min(low, spearman), max(high, spearman)


def _shuffled(ranks, groups, n_permutations):
    """Ranks in random orders within their groups: float array (n_permutations, n)."""
    generator, drawn = np.random.default_rng(0), np.tile(ranks, (n_permutations, 1))
    for group in np.unique(groups):
        drawn[:, groups == group] = generator.permuted(drawn[:, groups == group], axis=1)
    return drawn
