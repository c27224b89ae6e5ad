"""Experiment 10, pictures of several classes: do a model's cosines find the pictures of each class?

Mean average precision, as CLIP benchmarks measure it on Pascal VOC.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import nan

import pandas as pd
import torch

from featpurity.experiments.inputs import Inputs
from featpurity.metrics import intervals, zeroshot
from featpurity.report import display_names, results

COLUMNS = ["model", "dataset", "images", "classes", "chance"]
COLUMNS += ["average_precision", "average_precision_low", "average_precision_high"]


@dataclass(frozen=True)
class MultiLabel:
    """The tables of the data sets whose pictures show several classes.

    Attributes
    ----------
    precision : DataFrame
        A row a model and data set: images, the classes that some image shows, mean average
        precision, its 95 % interval over images, and chance, the mean share of images of a class.
    effects : DataFrame
        Differences of the models' precisions, see `featpurity.report.results.effect`.
    """

    precision: pd.DataFrame
    effects: pd.DataFrame

    def renamed(
        self, models: Mapping[str, str] | None = None, datasets: Mapping[str, str] | None = None
    ) -> "MultiLabel":
        """The same under the names that readers see, of `featpurity.report.display_names`."""
        tables = self.precision, self.effects
        return MultiLabel(*(display_names.renamed(table, models, datasets) for table in tables))


def rank(inputs: Inputs, pairs: list[tuple[str, str]]) -> MultiLabel:
    """Mean average precision of all models on all data sets, and the differences of pairs.

    Parameters
    ----------
    inputs : Inputs
        Of data sets whose pictures show several classes, see `Inputs.of_several_classes`; the
        tables of none are empty.
    pairs : list of (str, str)
        Names of models: the second is compared with the first.
    """
    rows, found = [], {}
    for (model, name), (images, classifier, labels) in inputs.embedded.items():
        scores, truth = images.float() @ classifier.float().T, labels.bool()
        value = zeroshot.mean_average_precision(scores, truth)
        influence = zeroshot.mean_average_precision_influence(scores, truth)
        found[model, name] = value, influence
        shown = truth.any(0)
        low, high = _interval(value, influence)
        rows.append(
            dict(
                model=model,
                dataset=name,
                images=len(truth),
                classes=int(shown.sum()),
                chance=truth[:, shown].float().mean().item(),
                average_precision=value,
                average_precision_low=low,
                average_precision_high=high,
            )
        )
    precision = pd.DataFrame(rows, columns=COLUMNS)
    return MultiLabel(precision, gains(inputs, found, pairs))


def gains(
    inputs: Inputs,
    found: Mapping[tuple[str, str], tuple[float, torch.Tensor]],
    pairs: list[tuple[str, str]],
) -> pd.DataFrame:
    """Each pair's second model minus the first, by data set and on average: rows of effects."""
    rows = []
    known = [name for name, data in inputs.data.items() if len(data) > 1]
    for before, after in pairs if known else []:
        compared = f"{after} minus {before}"
        means = [found[after, name][0] - found[before, name][0] for name in known]
        influences = [found[after, name][1] - found[before, name][1] for name in known]
        for name, mean, influence in zip(known, means, influences):
            ends = intervals.influence_interval(mean, influence)
            rows.append(results.effect("multi_label_laclip", compared, mean, *ends, dataset=name))
        pictures = [inputs.data[name].images_key for name in known]
        mean = intervals.mean_interval(means, influences, pictures)
        rows.append(results.effect("multi_label_laclip", compared, *mean))
    return pd.DataFrame(rows, columns=results.EFFECT)


def _interval(value, influence):
    """Low and high; of a single image there is no interval."""
    if len(influence) < 2:
        return nan, nan
    return tuple(end.item() for end in intervals.influence_interval(value, influence))
