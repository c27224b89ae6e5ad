"""Intervals over images (influences, bootstrap) and over seeds (Student's t); tests of chance.

An image's influence on a statistic is the statistic's gradient with respect to the image's weight,
times n. With influences v, the standard error over samples of images is sqrt(sum (v - mean v)^2) /
n (the infinitesimal jackknife): one pass where the bootstrap takes thousands. A sum, difference or
mean of statistics of the same images has the sum, difference or mean of their influences. The
influences on a mean over images are the images' own values.

References
----------
Efron (1982), The Jackknife, the Bootstrap and Other Resampling Plans, section 6.3.
Efron & Tibshirani (1993), An Introduction to the Bootstrap, chapter 13 (percentile intervals).
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import inf, nan

import numpy as np
import pandas as pd
import torch
from scipy import stats
from torch import Tensor

from featpurity.metrics.inputs import Array, as_tensor, check_finite

NORMAL_95 = stats.norm.ppf(0.975)  # standard deviations on either side
FEWEST_VALUES = 3  # for a Student's t interval that says something


def standard_error(influence: Tensor) -> Tensor:
    """Standard error of a statistic from the influences of n images.

    Parameters
    ----------
    influence : float tensor of shape (n, ...)
        For a mean over images, the images' own values will do: an offset changes nothing.

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


def influence_interval(value: float | Tensor, influence: Tensor) -> tuple[Tensor, Tensor]:
    """Normal 95 % interval of a statistic from the influences of n images.

    It covers the mean of the statistic over samples of n images.

    Parameters
    ----------
    value : float or float tensor of shape (...)
    influence : float tensor of shape (n, ...)

    Returns
    -------
    low, high : float64 tensors of shape (...)
    """
    half = NORMAL_95 * standard_error(influence)
    value = torch.as_tensor(value, dtype=torch.float64, device=half.device)
    return value - half, value + half


def normal_interval(value: float, error: float) -> tuple[float, float]:
    """95 % interval (low, high) of a value with a normal error of standard deviation `error`."""
    return value - NORMAL_95 * error, value + NORMAL_95 * error


def mean_influence(influences: Sequence[Tensor], pictures: Sequence[str]) -> Tensor:
    """Influences of all images on the mean of a statistic over data sets.

    Parameters
    ----------
    influences : sequence of float tensors of shape (n, ...)
        One per data set, each with its own n.
    pictures : sequence of str
        Key of each data set's pictures (`LabelledImages.images_key`). Data sets that ask different
        questions about the same pictures vary together; others are independent.

    Returns
    -------
    influence : float64 tensor of shape (N, ...)
        N counts each picture once.
    """
    shared = {}
    for influence, key in zip(influences, pictures, strict=True):
        influence = influence.double() - influence.double().mean(0)
        shared[key] = shared[key] + influence if key in shared else influence
    total = sum(map(len, shared.values()))
    scaled = [total / len(influence) * influence for influence in shared.values()]
    return torch.cat(scaled) / len(influences)


def influence_by_owner(values: Tensor, owners: Tensor) -> Tensor:
    """Influence of each owner on the mean of values that are drawn together with it.

    Parameters
    ----------
    values : float tensor of shape (n, ...)
        Of captions, say, where each image is drawn with all its captions.
    owners : int64 tensor of shape (n,)
        The owner of each value, in 0 .. n_owners - 1.

    Returns
    -------
    influence : float64 tensor of shape (n_owners, ...)
        The mean is a ratio of two sums over owners, as the number of values per owner varies too.
    """
    centred = values.double() - values.double().mean(0)
    sums = centred.new_zeros(int(owners.max()) + 1, *centred.shape[1:])
    return sums.index_add_(0, owners, centred) * len(sums) / len(values)


@dataclass(frozen=True)
class Estimate:
    """Statistics of a sample of images, and what gives their intervals.

    `-` subtracts estimates from the same images; `[...]` picks some of the statistics.

    Attributes
    ----------
    value : float tensor of shape (...)
    spread : float tensor of shape (n_draws, ...) or (n, ...)
        Bootstrap draws, of the same images for all statistics, or the influence of each image.
    drawn : bool
        Whether `spread` holds draws.
    unseen : float
        Variance added to what the images show: where all of them are right, the next one need not
        be.
    """

    value: Tensor
    spread: Tensor
    drawn: bool = False
    unseen: float = 0.0

    def interval(self, lowest: float = -inf, highest: float = inf) -> tuple[Tensor, Tensor]:
        """95 % interval within `lowest` .. `highest`: two float64 (...); NaN for a single image."""
        if len(self.spread) < 2:
            return (torch.full_like(self.value, torch.nan, dtype=torch.float64),) * 2
        value = self.value.double()
        low, high = interval(self.spread) if self.drawn else influence_interval(value, self.spread)
        # Variances add, so on either side the squared half-widths do.
        unseen = NORMAL_95**2 * self.unseen
        low = value - ((value - low).clamp(min=0) ** 2 + unseen).sqrt()
        high = value + ((high - value).clamp(min=0) ** 2 + unseen).sqrt()
        return low.clamp(min=lowest), high.clamp(max=highest)

    def __sub__(self, other: Estimate) -> Estimate:
        unseen = max(self.unseen, other.unseen)
        return replace(
            self, value=self.value - other.value, spread=self.spread - other.spread, unseen=unseen
        )

    def __getitem__(self, some: int) -> Estimate:
        return replace(self, value=self.value[..., some], spread=self.spread[..., some])


def seed_of(pictures: str) -> int:
    """Seed for draws of pictures, from their key: other pictures are drawn independently."""
    return zlib.crc32(pictures.encode())


def variance_unseen(n: float) -> float:
    """Variance of a share's mean that n images cannot show: the rule of three.

    Where all n images are right, the 95 % interval begins at 1 - 3 / n. Without this variance it
    would have no width, and with few wrong images it would cover the truth far too rarely.
    """
    return (3 / NORMAL_95 / n) ** 2


def estimate_means(values: Tensor, n_bootstrap: int = 0, pictures: str = "") -> Estimate:
    """Mean over images of one or several shares, or differences of shares, with its interval.

    `variance_unseen` is added to what the images show.

    Parameters
    ----------
    values : float tensor of shape (n,) or (n, m)
        One number per image, or m of them, each in [-1, 1].
    n_bootstrap : int
        Bootstrap draws; 0 uses the influences, which are the values themselves.
    pictures : str
        Key of the pictures (`LabelledImages.images_key`): the same key gives the same draws.
    """
    drawn = n_bootstrap > 0
    spread = bootstrap_means(values, n_bootstrap, seed_of(pictures)) if drawn else values
    return Estimate(values.mean(0), spread, drawn, variance_unseen(len(values)))


def mean_estimate(estimates: Sequence[Estimate], pictures: Sequence[str]) -> Estimate:
    """Mean of a statistic over data sets, with its interval over their images.

    Parameters
    ----------
    estimates : sequence of Estimate
        One per data set, all with draws or all with influences.
    pictures : sequence of str
        Key of each data set's pictures, as in `mean_influence`.
    """
    drawn, spreads = estimates[0].drawn, [estimate.spread for estimate in estimates]
    spread = torch.stack(spreads).mean(0) if drawn else mean_influence(spreads, pictures)
    value = torch.stack([estimate.value for estimate in estimates]).mean(0)
    # An upper bound, as if the next image were the same in all data sets.
    unseen = sum(estimate.unseen**0.5 for estimate in estimates) / len(estimates)
    return Estimate(value, spread, drawn, unseen**2)


def bootstrap_weights(
    n: int, n_draws: int, seed: int = 0, device: str | torch.device = "cpu"
) -> Iterator[Tensor]:
    """Yield how often each image is in each bootstrap sample: float tensors of shape (n,).

    The same n and seed give the same draws, so statistics of two models on the same images stay
    paired.
    """
    if n_draws < 1:
        raise ValueError(f"n_draws: expected 1 or more, got {n_draws}")
    generator = torch.Generator().manual_seed(seed)
    for _ in range(n_draws):
        drawn = torch.randint(n, (n,), generator=generator)
        yield torch.bincount(drawn, minlength=n).float().to(device)


def bootstrap_means(values: Array, n_draws: int = 1000, seed: int = 0) -> Tensor:
    """Bootstrap draws of the mean over images of one or several quantities.

    Parameters
    ----------
    values : tensor or array of shape (n,) or (n, m)
        One number per image, or m of them (say, right predictions of m models) with paired draws.

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


def interval(draws: Array, level: float = 0.95) -> tuple[Tensor, Tensor]:
    """Percentile interval of bootstrap draws (n_draws, ...): low and high, tensors (...)."""
    if not 0 < level < 1:
        raise ValueError(f"level: expected a share above 0 and below 1, got {level}")
    draws = as_tensor(draws, "draws", "shape (n_draws, ...)")
    if draws.ndim == 0 or len(draws) < 2 or not torch.isfinite(draws).all():
        raise ValueError(
            f"draws: expected at least 2 finite draws, got them of shape {tuple(draws.shape)}"
        )
    edges = torch.tensor([(1 - level) / 2, (1 + level) / 2]).to(draws.double())
    low, high = torch.quantile(draws.double(), edges, dim=0)
    return low, high


def t_interval(values: Sequence[float]) -> tuple[float, float]:
    """Student's t 95 % interval (low, high) of the mean of independent values, say one per seed."""
    values = pd.Series(values, dtype=float)
    if len(values) < 2 or not np.isfinite(values).all():
        raise ValueError(
            f"an interval over seeds needs at least 2 finite values, got {values.tolist()}"
        )
    if values.nunique() == 1:
        return values.iloc[0], values.iloc[0]
    return stats.t.interval(0.95, len(values) - 1, loc=values.mean(), scale=stats.sem(values))


def beyond_draws(value: float, spread: float, n_draws: int) -> tuple[float, float]:
    """95 % interval of a value minus the mean of n draws; if it holds 0, the value may be a draw.

    Parameters
    ----------
    value : float
        The difference.
    spread : float
        Standard deviation of the draws, with divisor n - 1.
    n_draws : int
        With fewer than two, both ends are NaN.
    """
    if n_draws < 2:
        return nan, nan
    half = stats.t.ppf(0.975, n_draws - 1) * spread * (1 + 1 / n_draws) ** 0.5
    return value - half, value + half


def at_chance(accuracy: float, recall_low: float, n_images: int, n_classes: int) -> bool:
    """Whether predictions are no better than guessing one of n_classes.

    Parameters
    ----------
    accuracy : float
        Share of images.
    recall_low : float
        Lower end of the 95 % interval of the mean per-class recall. A model that always names one
        class has a recall of 1 / n_classes, whatever the class sizes; if it names the largest
        class, its accuracy is higher than that.
    n_images, n_classes : int
        Only classes with images count. The accuracy must also be above 1 / n_classes, by a
        one-sided binomial test at 2.5 %: with one image per class, the recall's interval shows no
        spread.
    """
    found = stats.binomtest(round(accuracy * n_images), n_images, 1 / n_classes, "greater")
    return found.pvalue > 0.025 or not recall_low > 1 / n_classes
