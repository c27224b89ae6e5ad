"""Intervals over images: influences against textbook formulas and the bootstrap."""

import numpy as np
import pytest
import torch
from scipy import stats

from featpurity.metrics import intervals
from featpurity.metrics.silhouette import bootstrap_silhouettes


def test_bootstrap_interval_of_a_mean_is_the_textbook_one():
    values = torch.randn(2000, generator=torch.Generator().manual_seed(0))
    low, high = intervals.interval(intervals.bootstrap_means(values, n_draws=4000))
    half = 1.96 * values.std().item() / 2000**0.5
    assert low.item() == pytest.approx(values.mean().item() - half, abs=0.1 * half)
    assert high.item() == pytest.approx(values.mean().item() + half, abs=0.1 * half)


def test_bootstrap_of_two_models_is_paired():
    right = (torch.rand(500, generator=torch.Generator().manual_seed(0)) < 0.5).float()
    better = right.clone()
    better[:20] = 1.0
    draws = intervals.bootstrap_means(torch.stack([right, better], 1), n_draws=200)
    # Unpaired draws would differ with either sign; a model that is right wherever the other is never loses.
    assert (draws[:, 1] >= draws[:, 0]).all() and draws.shape == (200, 2)


def test_the_interval_of_a_mean_from_influences_is_the_textbook_one():
    values = torch.randn(50, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    low, high = intervals.influence_interval(values.mean(0), values)
    half = 1.96 * values.std(0, correction=0) / 50**0.5
    torch.testing.assert_close(high - low, 2 * half, rtol=1e-4, atol=0)
    torch.testing.assert_close((high + low) / 2, values.mean(0))


def test_intervals_of_an_accuracy_cover_it():
    generator = torch.Generator().manual_seed(0)
    right = torch.rand(300, 2000, generator=generator) < 0.8
    low, high = intervals.influence_interval(right.double().mean(0), right)
    assert 0.93 <= ((low <= 0.8) & (0.8 <= high)).double().mean().item() <= 0.97


@pytest.mark.parametrize("n, share", [(8, 0.9), (50, 0.98), (100, 0.99), (300, 0.8)])
def test_intervals_of_shares_hold_the_truth_also_where_nearly_all_are_right(n, share):
    generator = torch.Generator().manual_seed(0)
    right = (torch.rand(n, 4000, generator=generator) < share).float()
    low, high = intervals.estimate_means(right).interval(0, 1)
    assert ((low <= share) & (share <= high)).double().mean() >= 0.94
    worse = (torch.rand(n, 4000, generator=generator) < share).float()  # models as good
    low, high = intervals.estimate_means(right - worse).interval()
    assert ((low <= 0) & (high >= 0)).double().mean() >= 0.93


def test_a_few_images_that_are_all_right_do_not_settle_it():
    both = intervals.estimate_means(torch.ones(8, 2))
    low, high = both.interval(0, 1)
    assert (low < 0.8).all() and (high == 1).all()
    low, high = (both[1] - both[0]).interval()
    assert low < -0.2 and high > 0.2
    drawn = intervals.estimate_means(torch.ones(8), n_bootstrap=100)
    assert drawn.interval()[0] == pytest.approx(low.item() + 1)


@pytest.mark.parametrize("n", [10, 50, 1000])
def test_intervals_of_a_share_cover_it_also_where_few_images_are_wrong(n):
    right = torch.arange(n + 1)  # all samples that there can be
    samples = (torch.arange(n)[:, None] < right).float()
    low, high = intervals.estimate_means(samples).interval(0, 1)
    shares = torch.cat([1 - torch.logspace(-4, -0.31, 200), torch.tensor([0.5, 0.8])]).double()
    for share in shares:
        holds = (low <= share) & (share <= high)
        assert stats.binom.pmf(right, n, share)[holds].sum() > 0.93
    assert low[-1].item() == pytest.approx(1 - 3 / n)  # of all right: the rule of three


def test_one_value_more_than_the_draws_is_rarely_taken_for_another():
    draws = torch.randn(4000, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    decided = 0
    for value, *others in draws.tolist():
        others = torch.tensor(others)
        low, high = intervals.beyond_draws(value - others.mean().item(), others.std().item(), 5)
        decided += not low <= 0 <= high
    assert decided / 4000 == pytest.approx(0.05, abs=0.012)


def test_the_mean_over_data_sets_pairs_those_of_the_same_pictures():
    generator = torch.Generator().manual_seed(0)
    a, b = torch.randn(2, 400, generator=generator, dtype=torch.float64)
    c = torch.randn(90, generator=generator, dtype=torch.float64)
    half = _half_width([a, b, c], ["x", "x", "y"])
    error = (stats.sem(a + b, ddof=0) ** 2 + stats.sem(c, ddof=0) ** 2) ** 0.5 / 3
    unseen = (3 / 400 + 3 / 400 + 3 / 90) / 3  # the rule of three
    assert half == pytest.approx(((1.96 * error) ** 2 + unseen**2) ** 0.5, rel=1e-4)
    assert _half_width([a, b, c], ["x", "x", "y"], 4000) == pytest.approx(half, rel=0.05)
    assert _half_width([a, -a], ["x", "y"]) > 0.05 and _half_width([a, -a], ["x", "x"]) < 0.01


def test_other_pictures_are_drawn_independently():
    values = torch.randn(400, generator=torch.Generator().manual_seed(0))
    plain = _half_width([values, values], ["x", "y"])
    assert _half_width([values, values], ["x", "y"], 4000) == pytest.approx(plain, rel=0.05)


def _half_width(values, pictures, n_bootstrap=0):
    """Half the interval of the mean over data sets."""
    each = [intervals.estimate_means(*of) for of in zip(values, [n_bootstrap] * 9, pictures)]
    low, high = intervals.mean_estimate(each, pictures).interval()
    return ((high - low) / 2).item()


@pytest.mark.parametrize("influence", [torch.ones(1), torch.tensor([1.0, torch.nan])])
def test_influences_that_say_nothing_are_refused(influence):
    with pytest.raises(ValueError, match="finite numbers of at least 2 images"):
        intervals.standard_error(influence)


@pytest.mark.parametrize(
    "measure, message",
    [
        (lambda: intervals.interval(torch.arange(5), 95), "level: expected a share .*, got 95"),
        (lambda: intervals.interval(torch.arange(5), 0), "level: expected a share .*, got 0"),
        (lambda: intervals.bootstrap_means(torch.ones(3), 0), "n_draws: expected 1 or more, got 0"),
        (
            lambda: bootstrap_silhouettes([torch.eye(4)], torch.tensor([0, 0, 1, 1]), 0),
            "n_draws: expected 1 or more, got 0",
        ),
        (lambda: intervals.t_interval([1.0, np.inf]), "at least 2 finite values"),
    ],
)
def test_numbers_that_make_no_interval_are_refused(measure, message):
    with pytest.raises(ValueError, match=message):
        measure()
