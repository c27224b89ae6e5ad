"""Experiment 1: models that saw the same pictures under other captions, compared two by two.

Accuracy and silhouette come with paired bootstrap draws over the images: the same images are drawn
for every model, so that the difference of two models has an interval of its own.
"""

from dataclasses import dataclass
from math import nan
from typing import NamedTuple

import pandas as pd
import torch
from tqdm.auto import tqdm

from featpurity.experiments.inputs import Inputs, has_silhouette
from featpurity.metrics import intervals, purity, silhouette, spectrum, zeroshot
from featpurity.report import display_names, results

MEASURES = ("accuracy", "silhouette")
FEWEST_PAIRS = 3  # over which an interval says something


class Sample(NamedTuple):
    """A measure of all models on one data set: values (n_models,), draws (n_draws, n_models)."""

    values: torch.Tensor
    draws: torch.Tensor


@dataclass(frozen=True)
class Comparison:
    """The tables of experiment 1.

    Attributes
    ----------
    accuracy : DataFrame
        A row a model and data set: accuracy, silhouette and their 95 % intervals, top-5 accuracy
        (with more than 5 classes) and mean recall over the classes. Where the
        silhouette is not defined (one class, one picture a class) it is empty.
    neurons : DataFrame
        A row a model and tower: average and maximum |cos|, the error and chance.
    effects : DataFrame
        A row a claim and data set, see `featpurity.report.results.effect`.
    """

    accuracy: pd.DataFrame
    neurons: pd.DataFrame
    effects: pd.DataFrame

    def renamed(self, models=None, datasets=None):
        """The same under the names that readers see, of `featpurity.report.display_names`."""
        tables = self.accuracy, self.neurons, self.effects
        return Comparison(*(display_names.renamed(table, models, datasets) for table in tables))


def compare(inputs: Inputs, pairs: list[tuple[str, str]], n_bootstrap: int = 500) -> Comparison:
    """Measure all models, and the second of each pair against the first.

    Parameters
    ----------
    inputs : Inputs
    pairs : list of (str, str)
        Names of models: without and with rewritten captions, before and after fine-tuning.
    n_bootstrap : int
        Draws of the images.
    """
    samples = bootstrap(inputs, n_bootstrap)
    neurons = neurons_table(inputs.models)
    effects = pd.DataFrame(
        gains(samples, list(inputs.models), pairs) + purity_gains(neurons, pairs)
    )
    effects = pd.concat([effects, over_pairs(effects, len(pairs))], ignore_index=True)
    return Comparison(accuracy_table(inputs, samples), neurons, effects)


def bootstrap(inputs: Inputs, n_bootstrap: int) -> dict[tuple[str, str], Sample]:
    """Accuracy and silhouette with their draws, by (measure, data set)."""
    samples = {}
    for name in tqdm(inputs.data, desc="bootstrap"):
        of_models = [inputs.embedded[model, name] for model in inputs.models]
        right = torch.stack([zeroshot.right_predictions(*one) for one in of_models], 1).float()
        samples["accuracy", name] = Sample(
            right.mean(0), intervals.bootstrap_means(right, n_bootstrap)
        )
        labels = of_models[0].labels
        if has_silhouette(labels):
            images = [one.images for one in of_models]
            scores = [silhouette.silhouette(one, labels) for one in images]
            samples["silhouette", name] = Sample(
                torch.tensor(scores, dtype=torch.float64),
                silhouette.bootstrap_silhouettes(images, labels, n_bootstrap),
            )
    return samples


def accuracy_table(inputs: Inputs, samples: dict[tuple[str, str], Sample]) -> pd.DataFrame:
    """A row a model and data set, with the intervals of accuracy and silhouette."""
    rows = []
    for name, dataset in inputs.data.items():
        ends = {
            measure: intervals.interval(samples[measure, name].draws)
            for measure in MEASURES
            if (measure, name) in samples
        }
        for i, (model, clip) in enumerate(inputs.models.items()):
            row = dict(model=model, dataset=name, neurons=clip.d, images=len(dataset))
            row["classes"] = len(dataset.classes)
            for measure in MEASURES:
                known = measure in ends
                row[measure] = samples[measure, name].values[i].item() if known else nan
                row[f"{measure}_low"] = ends[measure][0][i].item() if known else nan
                row[f"{measure}_high"] = ends[measure][1][i].item() if known else nan
            one, many = inputs.embedded[model, name], len(dataset.classes) > 5
            row["accuracy_top5"] = zeroshot.accuracy(*one, top=5) if many else None
            right = zeroshot.right_predictions(*one)
            row["mean_recall"] = zeroshot.mean_per_class_recall(right, one.labels).item()
            rows.append(row)
    return pd.DataFrame(rows)


def gains(samples, names, pairs):
    """Accuracy and silhouette of each pair's second model minus the first: rows of effects.

    Data sets come first, then their means; a mean is over those where the measure is defined.
    """
    ordered = {key: samples[key] for measure in MEASURES for key in samples if key[0] == measure}
    for measure in MEASURES:
        known = [sample for key, sample in samples.items() if key[0] == measure]
        if known:  # the values in single precision, as the draws are
            values = torch.stack([sample.values.float() for sample in known]).mean(0)
            draws = torch.stack([sample.draws for sample in known]).mean(0)
            ordered[measure, "mean"] = Sample(values, draws)
    rows = []
    for before, after in pairs:
        a, b = names.index(before), names.index(after)
        for (measure, name), (values, draws) in ordered.items():
            gain = values.float()[b] - values.float()[a]
            ends = intervals.interval(draws[:, b] - draws[:, a])
            claim, compared = f"{measure}_laclip", f"{after} minus {before}"
            rows.append(results.effect(claim, compared, gain, *ends, dataset=name))
    return rows


def neurons_table(models) -> pd.DataFrame:
    """How pure each tower's neurons are: a row a model and tower.

    Beside the average |cos| stand what random directions give (chance), what the same neurons give
    on average when the shared space is rotated (rotated), their effective rank, and the share of
    their squared weights that lies along one direction (shared).
    """
    rows = []
    for model, clip in models.items():
        towers = {"image": clip.image_neurons.cpu(), "text": clip.text_neurons.cpu()}
        for tower, neurons in towers.items():
            d, width = neurons.shape
            rows.append(
                dict(
                    model=model,
                    tower=tower,
                    neurons=d,
                    width=width,
                    avg_abs_cos=purity.avg_abs_cos(neurons),
                    error=purity.avg_abs_cos_error(neurons),
                    max_abs_cos=purity.max_abs_cos(neurons),
                    chance=purity.chance_level(width),
                    rotated=purity.expected_abs_cos(neurons),
                    effective_rank=spectrum.effective_rank(neurons),
                    shared=spectrum.shared_component(neurons)[0],
                )
            )
    return pd.DataFrame(rows)


def purity_gains(neurons, pairs):
    """How much purer each tower of a pair's second model is: rows of effects."""
    cos, rows = neurons.set_index(["model", "tower"]), []
    for before, after in pairs:
        for tower in ("image", "text"):
            a, b = cos.loc[(before, tower)], cos.loc[(after, tower)]
            gain, error = a.avg_abs_cos - b.avg_abs_cos, (a.error**2 + b.error**2) ** 0.5
            ends = gain - 1.96 * error, gain + 1.96 * error
            claim, compared = f"purity_laclip_{tower}", f"{before} minus {after}"
            rows.append(results.effect(claim, compared, gain, *ends))
    return rows


def over_pairs(effects: pd.DataFrame, n_pairs: int) -> pd.DataFrame:
    """Each effect's mean over the pairs, with Student's t interval over them: rows of effects.

    Pairs that differ in the seed of their training alone make it an interval over training runs,
    which no pair has of its own. Of fewer than three pairs it would say nothing: no rows.
    """
    if n_pairs < FEWEST_PAIRS:
        return effects.head(0)
    clip, laclip = f"{n_pairs} CLIP models", f"{n_pairs} LaCLIP models"
    rows = []
    for (claim, dataset), part in effects.groupby(["claim", "dataset"], sort=False):
        cosines = claim.startswith("purity")  # lower is purer: CLIP minus LaCLIP
        compared = f"{clip} minus {laclip}" if cosines else f"{laclip} minus {clip}"
        ends = intervals.t_interval(part.effect)
        rows.append(results.effect(claim, compared, part.effect.mean(), *ends, dataset=dataset))
    return pd.DataFrame(rows)
