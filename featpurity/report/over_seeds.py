"""What a measure does as more captions are swapped, every seed compared with itself."""

from itertools import pairwise

import pandas as pd
from scipy.stats import linregress

from featpurity.metrics import intervals
from featpurity.report import published, wording

SPAN = published.RATIOS[1] - published.RATIOS[0]  # of ratios, over which a slope is told


def differences(runs: pd.DataFrame, column: str) -> pd.Series:
    """A measure at the highest ratio minus at the lowest, by seed.

    Parameters
    ----------
    runs : DataFrame
        Of one kind of swap: a row a seed and ratio.
    column : str
    """
    measured = _by_ratio(runs, column)
    return measured[measured.columns[-1]] - measured[measured.columns[0]]


def along_line(runs: pd.DataFrame, column: str) -> pd.Series:
    """A measure's change over the paper's range, on the straight line through all ratios, by seed.

    Parameters as in `differences`.
    """
    slopes = {seed: linregress(of.ratio, of[column]).slope for seed, of in runs.groupby("seed")}
    return SPAN * pd.Series(slopes)


def turns(runs: pd.DataFrame, column: str) -> str:
    """Where a curve turns that a straight line is drawn through; "" for one that does not.

    It turns where it changes one way between two neighbouring ratios and the other way between
    others, both with 95 % intervals over the seeds beside 0. What a step may be by chance is left
    out. Parameters as in `differences`.

    Returns
    -------
    str
        As "not monotone: rises to 30 %, falls after".
    """
    measured, steps = _by_ratio(runs, column), []
    for start, end in pairwise(measured.columns):
        low, high = intervals.t_interval(measured[end] - measured[start])
        if low > 0 or high < 0:
            steps.append((low > 0, start, end))
    means, parts = measured.mean(), []
    for (rising, _, end), (rises_next, start, _) in pairwise(steps):
        if rising != rises_next:
            between = means.loc[end:start]
            turn = between.idxmax() if rising else between.idxmin()
            parts.append(f"{_verb(rising)} to {100 * turn:g} %")
    return f"not monotone: {', '.join(parts)}, {_verb(steps[-1][0])} after" if parts else ""


def told(runs: pd.DataFrame, column: str) -> str:
    """The mean change in words, as "+0.098", and where the curve turns."""
    found, turn = wording.plus(differences(runs, column).mean(), 3), turns(runs, column)
    return f"{found} ({turn})" if turn else found


def noted(effects: pd.DataFrame, of: pd.Series) -> str:
    """A sentence on each effect whose curve turns (column turns), `of` says of what; else ""."""
    rows = zip(of, effects.comparison, effects.turns)
    return "".join(f" {what}, {comparison}: {turn}." for what, comparison, turn in rows if turn)


def _by_ratio(runs, column):
    """A row a seed, a column a ratio, in rising order."""
    return runs.pivot(index="seed", columns="ratio", values=column)


def _verb(rising):
    return "rises" if rising else "falls"
