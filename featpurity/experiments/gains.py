"""One model's gains over another, for each data set and on average."""

from collections.abc import Mapping

import pandas as pd

from featpurity.experiments.inputs import Inputs
from featpurity.labels import OVERALL
from featpurity.metrics import intervals
from featpurity.metrics.intervals import Estimate
from featpurity.report import results


def by_dataset(
    claim: str,
    inputs: Inputs,
    estimates: Mapping[tuple[str, str], Estimate | None],
    pairs: list[tuple[str, str]],
    lowest: float = 0,
) -> pd.DataFrame:
    """Rows of effects, each pair's second model minus the first, per data set and for their mean.

    Parameters
    ----------
    claim : str
        The claim's id in the list of claims.
    inputs : Inputs
    estimates : dict of (model, data set) to Estimate
        Of one statistic; data sets where some model has None do not count.
    pairs : list of (str, str)
        Names of models.
    lowest : float, default 0
        The statistic's lowest possible value; the highest is 1.

    Returns
    -------
    DataFrame
        See `featpurity.report.results.effect`.
    """
    known = [
        name
        for name in inputs.data
        if all(estimates[model, name] is not None for model in inputs.models)
    ]
    pictures = [inputs.data[name].images_key for name in known]
    rows, most = [], 1 - lowest
    for before, after in pairs if known else []:
        found = {name: estimates[after, name] - estimates[before, name] for name in known}
        found[OVERALL] = intervals.mean_estimate(list(found.values()), pictures)
        for name, gain in found.items():
            ends, compared = gain.interval(-most, most), f"{after} minus {before}"
            rows.append(results.effect(claim, compared, gain.value, *ends, dataset=name))
    # Without rows, columns of numbers would have dtype object, and pass it on when concatenated.
    numbers = dict.fromkeys(results.EFFECT[3:], float)
    return pd.DataFrame(rows, columns=results.EFFECT).astype(numbers)
