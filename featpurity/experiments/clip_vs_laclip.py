"""Experiment 1: compare pairs of models that saw the same pictures with different captions.

Every model's accuracy and silhouette are estimates from the same images, so that the difference of
two models has its own interval.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import nan

import pandas as pd
import torch
from tqdm.auto import tqdm

from featpurity.experiments.gains import by_dataset
from featpurity.experiments.inputs import Inputs
from featpurity.metrics import intervals, purity, silhouette, spectrum, zeroshot
from featpurity.metrics.intervals import Estimate
from featpurity.models.clip import ClipModel, neurons_by_tower
from featpurity.report import results
from featpurity.report.display_names import Renamed

MEASURES = ("accuracy", "silhouette")
LOWEST = {"accuracy": 0, "mean_recall": 0, "silhouette": -1}  # possible values; the highest is 1


@dataclass(frozen=True)
class Comparison(Renamed):
    """The tables of experiment 1.

    Attributes
    ----------
    accuracy : DataFrame
        A row for each model and data set: accuracy, silhouette and mean recall over the classes
        with their 95 % intervals, top-5 accuracy (with more than 5 classes), the number of classes,
        of those with images (shown_classes), and of images in the smallest of these. The silhouette
        is empty where it is not defined (one class, one picture per class).
    neurons : DataFrame
        A row for each model and tower: average and maximum |cos|, the error and chance.
    effects : DataFrame
        A row for each claim and data set, see `featpurity.report.results.effect`.
    """

    accuracy: pd.DataFrame
    neurons: pd.DataFrame
    effects: pd.DataFrame


def compare(inputs: Inputs, pairs: list[tuple[str, str]], n_bootstrap: int = 0) -> Comparison:
    """Measure all models, and the second of each pair against the first.

    Parameters
    ----------
    inputs : Inputs
    pairs : list of (str, str)
        Names of models, such as without and with rewritten captions, or before and after
        fine-tuning.
    n_bootstrap : int
        Draws of the images for the intervals; 0 uses the images' influences instead.
    """
    estimates = estimate(inputs, n_bootstrap)
    neurons = neurons_table(inputs.models)
    found = [gains(inputs, estimates, pairs)]
    found += [pd.DataFrame(purity_gains(inputs.models, neurons, pairs))] if pairs else []
    effects = pd.concat(found, ignore_index=True)
    if len({model for pair in pairs for model in pair}) == 2 * len(pairs):  # none is named twice
        effects = pd.concat([effects, over_pairs(effects, len(pairs))], ignore_index=True)
    return Comparison(accuracy_table(inputs, estimates), neurons, effects)


def estimate(inputs: Inputs, n_bootstrap: int = 0) -> dict[tuple[str, str], Estimate]:
    """Accuracy and silhouette of all models, of shape (n_models,), by (measure, data set)."""
    estimates = {}
    for name, dataset in tqdm(inputs.data.items(), desc="accuracy and silhouette"):
        drawing = n_bootstrap, dataset.images_key
        of_models = [inputs.embedded[model, name] for model in inputs.models]
        right = torch.stack(
            [zeroshot.right_predictions(*embedded) for embedded in of_models], 1
        ).float()
        estimates["accuracy", name] = intervals.estimate_means(right, *drawing)
        labels = of_models[0].labels
        if silhouette.is_defined(labels):
            images = [embedded.images for embedded in of_models]
            found = silhouette.estimate_silhouettes(images, labels, *drawing)
            estimates["silhouette", name] = found
    return estimates


def accuracy_table(inputs: Inputs, estimates: Mapping[tuple[str, str], Estimate]) -> pd.DataFrame:
    """A row for each model and data set, with intervals of accuracy, silhouette and mean recall."""
    rows = []
    for name, dataset in inputs.data.items():
        _, counts = torch.as_tensor(dataset.labels).unique(return_counts=True)
        smallest = counts.min().item()
        for i, (model, clip) in enumerate(inputs.models.items()):
            row = dict(model=model, dataset=name, neurons=clip.d, images=len(dataset))
            row |= dict(classes=len(dataset.classes), shown_classes=len(counts))
            row["smallest_class"] = smallest
            for measure in MEASURES:
                known = estimates.get((measure, name))
                row |= _with_interval(measure, known and known[i])
            embedded, many = inputs.embedded[model, name], len(dataset.classes) > 5
            row["accuracy_top5"] = zeroshot.accuracy(*embedded, top=5) if many else None
            right = zeroshot.right_predictions(*embedded)
            recall = zeroshot.estimate_recall(right, embedded.labels)
            rows.append(row | _with_interval("mean_recall", recall))
    return pd.DataFrame(rows)


def _with_interval(measure, estimate):
    """Three columns of a row, which are NaN without an estimate."""
    if estimate is None:
        return {measure: nan, f"{measure}_low": nan, f"{measure}_high": nan}
    low, high = (end.item() for end in estimate.interval(LOWEST[measure], 1))
    return {measure: estimate.value.item(), f"{measure}_low": low, f"{measure}_high": high}


def gains(
    inputs: Inputs, estimates: Mapping[tuple[str, str], Estimate], pairs: list[tuple[str, str]]
) -> pd.DataFrame:
    """Accuracy and silhouette of each pair's second model minus the first, for each data set.

    Their means are over the data sets where the measure is defined.
    """
    found = []
    for measure in MEASURES:
        of_models = {
            (model, name): estimates[measure, name][i] if (measure, name) in estimates else None
            for name in inputs.data
            for i, model in enumerate(inputs.models)
        }
        claim, lowest = f"{measure}_laclip", LOWEST[measure]
        found.append(by_dataset(claim, inputs, of_models, pairs, lowest))
    return pd.concat(found, ignore_index=True)


def neurons_table(models: Mapping[str, ClipModel]) -> pd.DataFrame:
    """Purity of each tower's neurons: a row for each model and tower.

    Beside the average |cos| are that of as many random directions (chance), the mean over rotations
    of the shared space (rotated), the neurons' effective rank, and the share of their squared
    weights along one direction (shared).
    """
    rows = []
    for model, clip in models.items():
        for tower, neurons in neurons_by_tower(clip).items():
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
                    chance=purity.chance_average(d, width),
                    rotated=purity.expected_abs_cos(neurons),
                    effective_rank=spectrum.effective_rank(neurons),
                    shared=spectrum.shared_component(neurons)[0],
                )
            )
    return pd.DataFrame(rows)


def purity_gains(
    models: Mapping[str, ClipModel], neurons: pd.DataFrame, pairs: list[tuple[str, str]]
) -> list[dict]:
    """How much purer each tower of a pair's second model is: rows of effects.

    For towers of different sizes, chance is subtracted from each average |cos|. With equally many
    neurons, neuron j of one is paired with neuron j of the other, as neurons from one start vary
    together. Between other models this pairing means nothing, and the error is as if the two were
    independent.
    """
    cos, rows = neurons.set_index(["model", "tower"]), []
    for before, after in pairs:
        for tower in ("image", "text"):
            a, b = cos.loc[(before, tower)], cos.loc[(after, tower)]
            gain = a.avg_abs_cos - b.avg_abs_cos - (a.chance - b.chance)
            if a.neurons == b.neurons:
                both = (neurons_by_tower(models[name])[tower] for name in (before, after))
                error = purity.difference_error(*both)
            else:
                error = (a.error**2 + b.error**2) ** 0.5
            ends = intervals.normal_interval(gain, error)
            claim, compared = f"purity_laclip_{tower}", f"{before} minus {after}"
            rows.append(results.effect(claim, compared, gain, *ends))
    return rows


def over_pairs(effects: pd.DataFrame, n_pairs: int) -> pd.DataFrame:
    """Rows of effects: each effect's mean over the pairs, with Student's t interval over them.

    If pairs differ only in their training seed, this is an interval over training runs, which no
    single pair gives. Fewer than three pairs would say nothing, and give no rows.
    """
    if n_pairs < intervals.FEWEST_VALUES:
        return effects.head(0)
    clip, laclip = f"{n_pairs} CLIP models", f"{n_pairs} LaCLIP models"
    rows = []
    for (claim, dataset), part in effects.groupby(["claim", "dataset"], sort=False):
        cosines = claim.startswith("purity")  # lower is purer, so CLIP minus LaCLIP
        compared = f"{clip} minus {laclip}" if cosines else f"{laclip} minus {clip}"
        rows.append(results.mean_effect(claim, compared, part.effect, dataset))
    return pd.DataFrame(rows)
