"""Intervals over images: influences against textbook formulas and the bootstrap."""

import pytest
import torch
from scipy import stats

from featpurity.metrics import intervals


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


def test_the_mean_over_data_sets_pairs_those_of_the_same_pictures():
    generator = torch.Generator().manual_seed(0)
    a, b = torch.randn(2, 400, generator=generator, dtype=torch.float64)
    c = torch.randn(90, generator=generator, dtype=torch.float64)
    half = _half_width([a, b, c], ["x", "x", "y"])
    error = (stats.sem(a + b, ddof=0) ** 2 + stats.sem(c, ddof=0) ** 2) ** 0.5 / 3
    assert half == pytest.approx(1.96 * error, rel=1e-4)
    assert _half_width([a, b, c], ["x", "x", "y"], 4000) == pytest.approx(half, rel=0.05)
    assert _half_width([a, -a], ["x", "y"]) > 0.05 and _half_width([a, -a], ["x", "x"]) < 1e-9


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
