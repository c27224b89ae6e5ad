"""Intervals: over images from influences or by the bootstrap, Student's t over seeds, and chance.

The influence of an image on a statistic is the statistic's gradient by the image's weight, times n.
The standard error over samples of images is sqrt(sum (v - mean v)^2) / n of the influences v (the
infinitesimal jackknife), in one pass where the bootstrap takes thousands. What is added, subtracted
or averaged over the same images has the sum, difference or mean of the influences as its own. The
influences on a mean over images are the images' own values.

References
----------
Efron (1982), The Jackknife, the Bootstrap and Other Resampling Plans, section 6.3.
Efron & Tibshirani (1993), An Introduction to the Bootstrap, chapter 13 (percentile intervals).
"""

import pandas as pd
import torch
from scipy import stats

from featpurity.metrics.inputs import as_tensor, check_finite


def standard_error(influence):
    """Standard error of a statistic from the influences of n images.

    Parameters
    ----------
    influence : float tensor of shape (n, ...)
        For a mean over images the images' own values will do: a constant changes nothing.

    Returns
    -------
    error : float64 tensor of shape (...)
    """
    if len(influence) < 2 or not torch.isfinite(influence).all():
        raise ValueError(
            f"influence: expected finite numbers of at least 2 images, got {len(influence)}"
        )
    influence = influence.double()
    return (influence - influence.mean(0)).square().sum(0).sqrt() / len(influence)


def influence_interval(value, influence, level=0.95):
    """Normal interval of a statistic from the influences of n images.

    It covers the value that samples of as many images have in the mean.

    Parameters
    ----------
    value : float or float tensor of shape (...)
    influence : float tensor of shape (n, ...)
    level : float in (0, 1)

    Returns
    -------
    low, high : float64 tensors of shape (...)
    """
    half = stats.norm.ppf((1 + level) / 2) * standard_error(influence)
    value = torch.as_tensor(value, dtype=torch.float64, device=half.device)
    return value - half, value + half


def mean_interval(values, influences, pictures, level=0.95):
    """Mean of a statistic over data sets, and its interval over their images.

    Parameters
    ----------
    values : sequence of float
        One a data set.
    influences : sequence of float tensors of shape (n,)
        One a data set, each with its own n.
    pictures : sequence of str
        Which pictures each data set shows (`LabelledImages.images_key`). Data sets that ask
        different questions about the same pictures vary together; others are independent.

    Returns
    -------
    mean, low, high : float
    """
    shared = {}
    for influence, key in zip(influences, pictures, strict=True):
        shared[key] = shared.get(key, 0) + influence.double()
    error = sum(standard_error(total).item() ** 2 for total in shared.values()) ** 0.5 / len(values)
    mean = sum(map(float, values)) / len(values)
    half = stats.norm.ppf((1 + level) / 2) * error
    return mean, mean - half, mean + half


def bootstrap_weights(n, n_draws, seed=0, device="cpu"):
    """How often each image stands in each bootstrap sample: yields float tensors of shape (n,).

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
    values : tensor or array of shape (n,) or (n, m)
        One number an image, or m of them (say, right predictions of m models): their draws are
        paired.

    Returns
    -------
    draws : float tensor of shape (n_draws,) or (n_draws, m)
    """
    values = as_tensor(values, "values", "shape (n,) or (n, m)").float()
    if values.ndim not in (1, 2) or 0 in values.shape:
        raise ValueError(
            f"values: expected shape (n,) or (n, m) with n >= 1, got {tuple(values.shape)}"
        )
    check_finite(values, "values")
    n = len(values)
    return torch.stack(
        [weights @ values / n for weights in bootstrap_weights(n, n_draws, seed, values.device)]
    )


def interval(draws, level=0.95):
    """Percentile interval of bootstrap draws (n_draws, ...): two tensors, low and high, of shape
    (...).
    """
    draws = as_tensor(draws, "draws", "shape (n_draws, ...)")
    if draws.ndim == 0 or len(draws) < 2 or not torch.isfinite(draws).all():
        raise ValueError(
            f"draws: expected at least 2 finite draws, got them of shape {tuple(draws.shape)}"
        )
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
