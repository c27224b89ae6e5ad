"""Changes with the share of swapped captions, seed by seed."""

import pandas as pd
import pytest

from featpurity.report import over_seeds


def runs(*seeds, ratios=(0.0, 0.1, 0.3, 0.8)):
    rows = [
        dict(seed=seed, ratio=ratio, cos=value)
        for seed, curve in enumerate(seeds)
        for ratio, value in zip(ratios, curve)
    ]
    return pd.DataFrame(rows[::-1])


def test_a_change_is_the_last_minus_the_first_of_each_seed():
    found = over_seeds.differences(runs([1, 5, 5, 2], [2, 9, 9, 3.1], [5, 0, 0, 6.2]), "cos")
    assert found.tolist() == pytest.approx([1, 1.1, 1.2])


@pytest.mark.parametrize(
    "curves, told",
    [
        ([[0, 1, 2, 3], [0, 1.1, 2, 3.1]], ""),
        ([[0, 1, 3, 2], [1, 2, 4, 3.01]], "not monotone: rises to 30 %, falls after"),
        ([[0, 1, 3, 2], [1, 2, 4, 9]], ""),  # whether it falls is chance
        ([[3, 1, 2, 0], [4, 2, 3, 1]], "not monotone: falls to 10 %, rises to 30 %, falls after"),
        ([[0, 2, 1.9, 1], [1, 3, 3, 2]], "not monotone: rises to 10 %, falls after"),
    ],
)
def test_a_curve_turns_where_neighbouring_changes_have_both_signs(curves, told):
    assert over_seeds.turns(runs(*curves), "cos") == told


def test_a_change_is_told_with_its_turn():
    assert over_seeds.told(runs([0, 1], [1, 2], ratios=(0, 1)), "cos") == "+1.000"
    peak = runs([0, 1, 3, 2], [1, 2, 4, 3])
    assert over_seeds.told(peak, "cos") == "+2.000 (not monotone: rises to 30 %, falls after)"


def test_only_curves_that_turn_are_noted():
    effects = pd.DataFrame(dict(comparison=["random swaps"] * 2, turns=["", "not monotone"]))
    said = over_seeds.noted(effects, pd.Series(["Image tower", "Text tower"]))
    assert said == " Text tower, random swaps: not monotone."
