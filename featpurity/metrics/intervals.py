"""Intervals: the bootstrap over images, Student's t over seeds, and what chance alone would give.

References
----------
Efron & Tibshirani (1993), An Introduction to the Bootstrap, chapter 13 (percentile intervals)."""

import pandas as pd
import torch
from scipy import stats


def bootstrap_weights(n, n_draws, seed=0, device="cpu"):
    """How often each of n images stands in each bootstrap sample: yields `n_draws` float tensors of shape (n,).

    The same n and seed give the same draws, so statistics of two models on the same images stay
    paired.
    """
    generator = torch.Generator().manual_seed(seed)
    for _ in range(n_draws):
        drawn = torch.randint(n, (n,), generator=generator)
        yield torch.bincount(drawn, minlength=n).float().to(device)


def bootstrap_means(values, n_draws=1000, seed=0):
    """Bootstrap draws of the mean over images of one or several quantities.

    Parameters
    ----------
    values : tensor of shape (n,) or (n, m)
        One number an image, or m of them (say, right predictions of m models): their draws are
        paired.

    Returns
    -------
    draws : float tensor of shape (n_draws,) or (n_draws, m)
    """
    values = values.float()
    n = len(values)
    return torch.stack(
        [weights @ values / n for weights in bootstrap_weights(n, n_draws, seed, values.device)]
    )


def interval(draws, level=0.95):
    """Percentile interval of bootstrap draws (n_draws, ...): two tensors, low and high, of shape
    (...).
    """
    if not torch.isfinite(draws).all() or len(draws) < 2:
        raise ValueError(f"draws: expected at least 2 finite draws, got {len(draws)}")
    edge = (1 - level) / 2
    return torch.quantile(draws.double(), edge, dim=0), torch.quantile(
        draws.double(), 1 - edge, dim=0
    )


def t_interval(values, level=0.95):
    """Student's t interval of the mean of a few independent values (say, one a seed): low, high."""
    values = pd.Series(values, dtype=float)
    if len(values) < 2 or values.isna().any():
        raise ValueError(
            f"an interval over seeds needs at least 2 finite values, got {values.tolist()}"
        )
    if values.nunique() == 1:
        return values.iloc[0], values.iloc[0]
    return stats.t.interval(level, len(values) - 1, loc=values.mean(), scale=stats.sem(values))


def slope(ratios, values):
    """Least-squares slope of a quantity against the ratio, for one seed."""
    return stats.linregress(ratios, values).slope


def at_chance(accuracy, n_images, n_classes):
    """Whether an accuracy (share of images) is no more than guessing one of n_classes would give.

    A binomial test, one-sided at 2.5 %, which an interval of 95 % matches. Guessing is right once
    in n_classes; a model that always names the largest of unequal classes can do better than that.
    """
    return (
        stats.binomtest(
            round(accuracy * n_images), n_images, 1 / n_classes, alternative="greater"
        ).pvalue
        > 0.025
    )
