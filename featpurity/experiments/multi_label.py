"""Experiment 10, pictures of several classes: do cosines find the pictures of each class?

The measure is mean average precision, as in CLIP benchmarks on Pascal VOC.
"""

from dataclasses import dataclass

import pandas as pd

from featpurity.experiments import gains
from featpurity.experiments.inputs import Inputs
from featpurity.metrics.average_precision import (
    chance_average_precision,
    estimate_average_precision,
)
from featpurity.report.display_names import Renamed

COLUMNS = ["model", "dataset", "images", "classes", "chance"]
COLUMNS += ["average_precision", "average_precision_low", "average_precision_high"]


@dataclass(frozen=True)
class MultiLabel(Renamed):
    """The tables for data sets whose pictures show several classes.

    Attributes
    ----------
    precision : DataFrame
        A row for each model and data set: images, classes that some image shows, mean average
        precision with its 95 % interval over images, and chance, that of a random order.
    effects : DataFrame
        Differences of the models' precisions, see `featpurity.report.results.effect`.
    """

    precision: pd.DataFrame
    effects: pd.DataFrame


def rank(inputs: Inputs, pairs: list[tuple[str, str]]) -> MultiLabel:
    """Mean average precision of all models on all data sets, and differences of pairs of models.

    Parameters
    ----------
    inputs : Inputs
        With data sets whose pictures show several classes, see `Inputs.of_several_classes`. Without
        any, the tables are empty.
    pairs : list of (str, str)
        Names of models: the second is compared with the first.
    """
    rows, found = [], {}
    for (model, name), (images, classifier, labels) in inputs.embedded.items():
        scores, truth = images.float() @ classifier.float().T, labels.bool()
        estimate = estimate_average_precision(scores, truth)
        low, high = estimate.interval(0, 1)
        shown = truth.any(0)
        rows.append(
            dict(
                model=model,
                dataset=name,
                images=len(truth),
                classes=int(shown.sum()),
                chance=chance_average_precision(truth),
                average_precision=estimate.value.item(),
                average_precision_low=low.item(),
                average_precision_high=high.item(),
            )
        )
        found[model, name] = estimate
    precision = pd.DataFrame(rows, columns=COLUMNS)
    return MultiLabel(precision, gains.by_dataset("multi_label_laclip", inputs, found, pairs))
