"""A ladder of models that differ in the quality of their data: are purer ones better?"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import nan
from typing import Any

import pandas as pd
import torch
from tqdm.auto import tqdm

from featpurity.data.datasets import LabelledImages
from featpurity.experiments.clip_vs_laclip import neurons_table
from featpurity.experiments.inputs import embed
from featpurity.metrics import intervals, rank_correlation, silhouette, zeroshot
from featpurity.models.load import load_model
from featpurity.models.names import resolve
from featpurity.models.rungs import rungs as named_rungs
from featpurity.report import results

FEWEST = 4  # models in a group that is ranked by itself
TOWERS, MEASURES = ("image", "text"), ("accuracy", "silhouette")
CORRELATIONS = ["tower", "measure", "over", "models", "groups", "spearman", "low", "high"]
CORRELATIONS += ["kendall", "p", "verdict"]


@dataclass(frozen=True)
class Ladder:
    """The tables of the ladder.

    Attributes
    ----------
    models : DataFrame
        A row per model: group and data; means over the data sets of accuracy (with its interval),
        silhouette and mean recall; both towers' average |cos|, alone and as a multiple of chance.
    by_dataset : DataFrame
        A row for each model and data set: accuracy, mean recall over the classes with the lower end
        of its 95 % interval, and silhouette.
    neurons : DataFrame
        A row for each model and tower.
    correlations : DataFrame
        A row for each tower and measure, within groups (with a verdict) and over all models.
    by_group : DataFrame
        A row for each tower and group of at least `FEWEST` models.
    """

    models: pd.DataFrame
    by_dataset: pd.DataFrame
    neurons: pd.DataFrame
    correlations: pd.DataFrame
    by_group: pd.DataFrame


def rungs(models: list[str]) -> pd.DataFrame:
    """Group and data of each model, from its name; see `featpurity.models.rungs`."""
    found = named_rungs([resolve(model) for model in models])
    rank_correlation.check_groups([rung.group for rung in found])
    rows = [dict(model=rung.model, group=rung.group, data=rung.data) for rung in found]
    return pd.DataFrame(rows)


def climb(
    models: list[str],
    data: Mapping[str, LabelledImages],
    prompts: str,
    n_bootstrap: int = 0,
    *,
    device: str = "auto",
    preprocess: str = "native",
    **options: Any,
) -> Ladder:
    """Measure models one after the other, and rank them by purity, accuracy and silhouette.

    Parameters
    ----------
    models : list of str
        What `featpurity.load_model` takes.
    data : dict of str to LabelledImages
    prompts : str
        A prompt set, see `featpurity.data.prompts`.
    n_bootstrap : int
        Draws of the images for the accuracies' intervals; 0 uses the images' influences instead.
    device, preprocess
        See `featpurity.load_model`.
    **options
        ``store, precision`` of `featpurity.experiments.inputs.embed`.
    """
    neurons, right, rows = [], {name: [] for name in data}, []
    groups = rungs(models)
    for rung in tqdm(groups.to_dict("records"), desc="models"):
        clip = load_model(rung["model"], device, preprocess)
        neurons.append(neurons_table({rung["model"]: clip}))
        for name, embedded in embed(clip, data, prompts, **options).items():
            images, classifier, labels = embedded
            hits = zeroshot.right_predictions(*embedded)
            right[name].append(hits)
            recall = zeroshot.estimate_recall(hits, labels)
            about = dict(dataset=name, images=len(labels), classes=len(classifier))
            about["shown_classes"] = len(labels.unique())
            about |= dict(accuracy=hits.float().mean().item(), mean_recall=recall.value.item())
            about["mean_recall_low"] = recall.interval()[0].item()
            score = silhouette.silhouette(images, labels) if silhouette.is_defined(labels) else nan
            rows.append(rung | about | dict(silhouette=score))
    by_dataset = pd.DataFrame(rows)
    neurons = pd.concat(neurons, ignore_index=True).drop(columns="max_abs_cos")
    neurons["times_chance"] = neurons.avg_abs_cos / neurons.chance
    pictures = [dataset.images_key for dataset in data.values()]
    table = _models(groups, by_dataset, neurons, right, pictures, n_bootstrap)
    return Ladder(table, by_dataset, neurons, correlations(table), by_group(table))


def correlations(models: pd.DataFrame) -> pd.DataFrame:
    """Rank correlation of purity with accuracy and silhouette, within groups and over all.

    A measure that is equal for all models has no row.
    """
    rows = []
    for tower in TOWERS:
        for measure in MEASURES:
            if models[measure].isna().any():  # the silhouette is not defined on any data set
                continue
            pure, value = -models[f"{tower}_times_chance"], models[measure]
            for over, groups in {"within groups": models.group, "all models": None}.items():
                if not rank_correlation.can_be_ranked(pure, value, groups):
                    continue
                found = rank_correlation.rank_correlation(pure, value, groups)
                about = dict(tower=tower, measure=measure, over=over, **found)
                if groups is not None:
                    about["verdict"] = results.verdict(found["low"], found["high"])
                rows.append(about)
    return pd.DataFrame(rows, columns=CORRELATIONS)


def by_group(models: pd.DataFrame) -> pd.DataFrame:
    """Correlation of purity with accuracy in each group of at least `FEWEST` models.

    A group whose models do not differ in both has no row.
    """
    rows = []
    for group, part in models.groupby("group", sort=False):
        for tower in TOWERS:
            measures = -part[f"{tower}_times_chance"], part.accuracy
            if len(part) >= FEWEST and rank_correlation.can_be_ranked(*measures):
                about = dict(group=group, tower=tower)
                rows.append(about | rank_correlation.rank_correlation(*measures))
    columns = ["group", "tower", "models", "spearman", "low", "high", "kendall", "p"]
    return pd.DataFrame(rows, columns=columns)


def _models(groups, by_dataset, neurons, right, pictures, n_bootstrap):
    """A row per model; the accuracies' intervals are over the same images for every model."""
    hits = [torch.stack(of_models, 1).float() for of_models in right.values()]  # (n, models) each
    accuracies = [
        intervals.estimate_means(of_models, n_bootstrap, key)
        for of_models, key in zip(hits, pictures)
    ]
    low, high = intervals.mean_estimate(accuracies, pictures).interval(0, 1)  # (models,) each
    measured = by_dataset.groupby("model", sort=False)[[*MEASURES, "mean_recall"]].mean()
    models = groups.join(measured, on="model")
    models = models.assign(accuracy_low=low.tolist(), accuracy_high=high.tolist())
    wide = neurons.pivot(index="model", columns="tower", values=["avg_abs_cos", "times_chance"])
    wide.columns = [f"{tower}_{measure}" for measure, tower in wide.columns]
    return models.join(wide, on="model")
