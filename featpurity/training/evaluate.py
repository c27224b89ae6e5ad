"""Zero-shot accuracy and recall as functions of the neurons, for watching a training."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

from featpurity.data.datasets import LabelledImages
from featpurity.data.prompts import prompt_set
from featpurity.features.extract import (
    classifier_of,
    image_trunk_features,
    prompts_for,
    text_trunk_features,
)
from featpurity.metrics.zeroshot import mean_per_class_recall, right_predictions
from featpurity.models.clip import ClipModel


def zero_shot(
    clip: ClipModel, datasets: dict[str, tuple], device: str | torch.device | None = None
) -> Callable:
    """A function from neurons to zero-shot accuracy and mean recall on some data sets.

    Parameters
    ----------
    clip : ClipModel
        For its biases.
    datasets : dict of name -> (image_features, labels, prompt_features)
        Trunk features (n, width_image) and labels (n,) of the images, trunk features of the prompts
        (n_classes, n_templates, width_text). A tensor of images that data sets share is projected
        once.
    device : str or torch.device, optional
        Where the training runs; by default where the features are.

    Returns
    -------
    evaluate : callable
        ``evaluate(image_neurons, text_neurons)`` -> dict with ``accuracy_<name>`` and
        ``mean_recall_<name>`` (over the classes), both in [0, 1], and their means over the data
        sets, ``accuracy`` and ``mean_recall``.
    """
    moved = {}

    def move(tensor):  # keeps a tensor that several data sets share one
        if tensor is None:
            return None
        if id(tensor) not in moved:
            moved[id(tensor)] = tensor.to(device or tensor.device)
        return moved[id(tensor)]

    def unit(features, neurons, bias):
        return F.normalize(F.linear(features, neurons, bias), dim=-1)

    image_bias, text_bias = move(clip.image_bias), move(clip.text_bias)
    datasets = {name: tuple(map(move, parts)) for name, parts in datasets.items()}

    @torch.no_grad()
    def evaluate(image_neurons, text_neurons):
        embedded, found, recalls = {}, {}, {}
        for name, (images, labels, prompts) in datasets.items():
            if id(images) not in embedded:
                embedded[id(images)] = unit(images, image_neurons, image_bias)
            units = unit(prompts, text_neurons, text_bias)  # (classes, templates, d)
            right = right_predictions(embedded[id(images)], classifier_of(units), labels).cpu()
            found[f"accuracy_{name}"] = right.float().mean().item()
            recalls[f"mean_recall_{name}"] = mean_per_class_recall(right, labels.cpu()).item()
        means = {
            "accuracy": sum(found.values()) / len(found),
            "mean_recall": sum(recalls.values()) / len(recalls),
        }
        return found | recalls | means

    return evaluate


def zero_shot_on(
    clip: ClipModel,
    datasets: Sequence[LabelledImages],
    prompts: str,
    store: str | Path | None = None,
    workers: int = 0,
    **options: Any,
) -> Callable:
    """`zero_shot` on labelled images, with trunk features that may come from the store.

    Parameters
    ----------
    clip : ClipModel
    datasets : list of LabelledImages
        Data sets of the same pictures share one pass of the tower and one projection.
    prompts : str
        A prompt set, see `featpurity.data.prompts`.
    store, workers, **options
        See `featpurity.features.extract.each_image_trunk_features`.

    Returns
    -------
    evaluate : callable, see `zero_shot`; it computes on the model's device
    """
    images, parts = {}, {}
    for dataset in datasets:
        templates = prompt_set(prompts, dataset=dataset.name)
        texts = text_trunk_features(
            clip, prompts_for(clip, dataset.classes, templates), store, **options
        )
        texts = texts.unflatten(0, (-1, len(templates)))  # (classes, templates, width)
        if dataset.images_key not in images:
            images[dataset.images_key] = image_trunk_features(
                clip, dataset, store, workers=workers, **options
            )
        parts[dataset.name] = images[dataset.images_key], torch.as_tensor(dataset.labels), texts
    return zero_shot(clip, parts, clip.device)
