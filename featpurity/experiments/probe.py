"""Experiment 10, linear probes: logistic regression on the models' image embeddings.

Where a data set has training images, probes train on these and are tested on all test images.
Accuracies with all of them compare with published ones of probes on embeddings (those of Radford et
al. use features before the projection). Elsewhere, probes train on one half of the images and are
tested on the other, which only compares the models of one run.
"""

from dataclasses import dataclass
from math import nan
from typing import NamedTuple

import pandas as pd
import torch
from tqdm.auto import tqdm

from featpurity.experiments import gains
from featpurity.experiments.inputs import Inputs
from featpurity.metrics import intervals, linear_probe, zeroshot
from featpurity.report.display_names import Renamed

SHOTS = (1, 4, 16)  # training images of each class
TRAINED_ON = {True: "training images", False: "half of the images"}  # True with training images
COLUMNS = ["model", "dataset", "classes", "trained_on", "shots", "training_images", "test_images"]
COLUMNS += ["strength", "accuracy", "mean_recall", "accuracy_low", "accuracy_high"]


class Split(NamedTuple):
    """Indices of images to train on, to choose the strength on, and to test on."""

    train: torch.Tensor
    valid: torch.Tensor
    test: torch.Tensor


@dataclass(frozen=True)
class Probes(Renamed):
    """The tables of the probes.

    Attributes
    ----------
    accuracy : DataFrame
        A row for each model, data set and number of shots (those of `SHOTS` below the images per
        class, and "all"): one of `TRAINED_ON`, training and test images, strength, accuracy with
        its 95 % interval, and mean recall of the classes; empty if the training images are of one
        class.
    effects : DataFrame
        Differences of models' accuracies with all training images, see
        `featpurity.report.results.effect`.
    """

    accuracy: pd.DataFrame
    effects: pd.DataFrame


def probe(inputs: Inputs, pairs: list[tuple[str, str]]) -> Probes:
    """Train probes on embeddings of all models and data sets, with the same images for every model.

    Parameters
    ----------
    inputs : Inputs
        With data sets whose pictures show one class each; without any, the tables are empty. Probes
        train on its `training` where a data set has it.
    pairs : list of (str, str)
        Names of models: the second is compared with the first.
    """
    rows, estimates = [], {}
    for (model, name), embedded in tqdm(inputs.embedded.items(), desc="linear probes"):
        images, _, labels = (part.cpu() for part in embedded)  # scikit-learn computes there
        n, training = len(labels), inputs.training.get((model, name))
        if training:
            images = torch.cat([images, training.images.cpu()])
            labels = torch.cat([labels, training.labels.cpu()])
        split = split_of(n, len(labels) - n)
        most = int(labels[split.train].bincount().max()) if len(split.train) else 0
        fewer = [shots for shots in SHOTS if shots < most]
        for shots in [*fewer, None]:
            row = dict(model=model, dataset=name, classes=len(inputs.data[name].classes))
            row |= dict(trained_on=TRAINED_ON[bool(training)], shots=str(shots or "all"))
            found, more = _train_one(images, labels, split, shots)
            rows.append(row | more)
        # The last is of all training images.
        estimates[model, name] = None if found is None else intervals.estimate_means(found)
    accuracy = pd.DataFrame(rows, columns=COLUMNS)
    return Probes(accuracy, gains.by_dataset("probe_laclip", inputs, estimates, pairs))


def split_of(n: int, n_training: int = 0) -> Split:
    """How to divide n images, after which come n_training images to train on.

    Without the latter, half of the n train and the others are for the test. A tenth of those that
    train choose the strength first.
    """
    order = torch.randperm(n_training or n, generator=torch.Generator().manual_seed(0))
    if n_training:
        test, training = torch.arange(n), n + order
    else:
        test, training = order[: n // 2], order[n // 2 :]
    valid = max(1, len(training) // 10)
    return Split(training[valid:], training[:valid], test)


def _train_one(
    images: torch.Tensor, labels: torch.Tensor, split: Split, shots: int | None = None
) -> tuple[torch.Tensor | None, dict]:
    """Which test images a probe has right, float64 of shape (n_test,), and its row in the table.

    None instead if the training images are of one class, or fewer than 2 images are for the test.
    """
    train = split.train
    if shots and len(train):
        train = train[linear_probe.few_shot(labels[train], shots)]
    # As in Radford et al., all of them train once some have chosen the strength.
    last = train if shots else torch.cat([train, split.valid])
    row = dict(training_images=len(last), test_images=len(split.test))
    if len(labels[train].unique()) < 2 or len(split.test) < 2:
        return None, row | dict(
            strength=nan, accuracy=nan, mean_recall=nan, accuracy_low=nan, accuracy_high=nan
        )
    apart = images[split.valid], labels[split.valid]
    strength = linear_probe.best_strength(images[train], labels[train], *apart)
    predicted = linear_probe.probe(images[last], labels[last], images[split.test], strength)
    right = (predicted == labels[split.test]).double()
    low, high = intervals.estimate_means(right).interval(0, 1)
    recall = zeroshot.mean_per_class_recall(right, labels[split.test]).item()
    row |= dict(strength=strength, accuracy=right.mean().item(), mean_recall=recall)
    return right, row | dict(accuracy_low=low.item(), accuracy_high=high.item())
