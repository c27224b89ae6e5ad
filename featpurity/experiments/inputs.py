"""Inputs of an experiment: models, data sets, and each model's embeddings of each data set."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePath
from typing import Any, NamedTuple

import pandas as pd
import torch

from featpurity.data.catalog import FOLDER
from featpurity.data.datasets import LabelledImages, load_dataset, load_splits
from featpurity.data.prompts import prompt_set
from featpurity.features.extract import (
    each_image_trunk_features,
    embed_classes,
    labels_on,
    prompts_for,
    unit_embeddings,
)
from featpurity.files import check_list
from featpurity.labels import labels_of
from featpurity.metrics.purity import check_neurons
from featpurity.models.clip import ClipModel, measuring_device, neurons_by_tower
from featpurity.models.load import check_weights, load_model


class Embedded(NamedTuple):
    """One data set embedded by one model, in the order in which the metrics take it.

    Attributes
    ----------
    images : float tensor of shape (n, d), unit rows
    classifier : float tensor of shape (n_classes, d), unit rows
    labels : int64 tensor of shape (n,)
        Or (n, n_classes), 0 or 1, where a picture may show several classes.
    """

    images: torch.Tensor
    classifier: torch.Tensor
    labels: torch.Tensor


class Training(NamedTuple):
    """The training images of a data set, embedded by one model.

    Attributes
    ----------
    images : float tensor of shape (n, d), unit rows
    labels : int64 tensor of shape (n,)
    """

    images: torch.Tensor
    labels: torch.Tensor


@dataclass(frozen=True)
class Inputs:
    """Models and data sets by name, and what the metrics need of each two of them.

    Attributes
    ----------
    models : dict of str to ClipModel
    data : dict of str to LabelledImages
    embedded : dict of (model, data set) to Embedded
        On the model's `measuring_device`.
    training : dict of (model, data set) to Training
        Likewise; for data sets with training images, if these were asked for.
    training_data : dict of str to LabelledImages
        The training images, by data set.
    """

    models: dict[str, ClipModel]
    data: dict[str, LabelledImages]
    embedded: dict[tuple[str, str], Embedded]
    training: dict[tuple[str, str], Training] = field(default_factory=dict)
    training_data: dict[str, LabelledImages] = field(default_factory=dict)

    def of_one_class(self) -> "Inputs":
        """The inputs with only the data sets whose pictures show one class each."""
        return self._only(lambda labels: labels.ndim == 1)

    def of_several_classes(self) -> "Inputs":
        """The inputs with only the data sets whose pictures may show several classes."""
        return self._only(lambda labels: labels.ndim == 2)

    def _only(self, chosen):
        embedded = {key: seen for key, seen in self.embedded.items() if chosen(seen.labels)}
        names = {name for _, name in embedded}
        data = {name: data for name, data in self.data.items() if name in names}
        return replace(self, data=data, embedded=embedded)


def load(
    models: dict[str, str | Path] | list[str | Path],
    datasets: dict[str, str | Path] | list[str | Path],
    prompts: str | list[str] = "paper",
    *,
    store: str | Path | None = None,
    labels: Mapping[str, str] | None = None,
    data_root: str | Path | None = None,
    class_names: str = "words",
    unreadable: str = "raise",
    preprocess: str = "native",
    precision: str = "fp32",
    device: str = "auto",
    trunks: bool = True,
    training: bool = False,
) -> Inputs:
    """Load models and data sets, and embed each data set with each model.

    Parameters
    ----------
    models, datasets : dict of str to str or Path, or list of str or Path
        What `featpurity.load_model` and `featpurity.load_dataset` take; a dict's keys are the names
        in the tables. For a data set, a Path is a folder of class folders.
    prompts : str or list of str
        A prompt set, see `featpurity.data.prompts`.
    store : str or Path, optional
        Where to keep trunk features, so that no tower runs twice on the same picture.
    labels : dict of str to str, optional
        What to call models and data sets; a path's default label is its last part, see
        `featpurity.labels.labels_of`.
    data_root, class_names, unreadable
        See `featpurity.load_dataset`.
    preprocess, device
        See `featpurity.load_model`.
    precision : {"fp32", "bf16", "fp16"}
    trunks : bool
        Whether the models keep their trunks, which embed what is not stored. Without them, a dozen
        models take no more memory than one.
    training : bool
        Whether to embed training images too, where data sets have them.

    Raises
    ------
    ValueError, FileNotFoundError
        Before any tower runs: for unknown names, missing files, unreadable pictures or weights of
        another architecture. Later, as models load one after the other: for broken numbers or
        neurons of norm 0.
    """
    models, datasets = names("models", models), names("datasets", datasets)
    sources, shown = by_label(models, labels), by_label(datasets, labels)
    for source in sources.values():
        check_weights(source)
    reading = dict(root=data_root, class_names=class_names, unreadable=unreadable)
    splits = {
        label: load_splits(name, training=training, **reading) for label, name in shown.items()
    }
    data = {label: parts[0] for label, parts in splits.items()}
    training_data = {label: parts[1] for label, parts in splits.items() if len(parts) > 1}
    loaded, embedded, trained = {}, {}, {}
    for model, source in sources.items():
        clip = load_model(source, device, preprocess)
        for tower, neurons in neurons_by_tower(clip).items():
            check_neurons(neurons, f"{model}: {tower}_neurons")
        tested, taught = _embed_splits(clip, splits, prompts, store, precision)
        embedded |= {(model, name): seen for name, seen in tested.items()}
        trained |= {(model, name): seen for name, seen in taught.items()}
        loaded[model] = clip if trunks else clip.without_trunks()
    return Inputs(loaded, data, embedded, trained, training_data)


def by_label(given: list[str] | dict[str, str], labels: Mapping | None = None) -> dict[str, str]:
    """Names of models or data sets from `names`, by their labels in the tables."""
    if isinstance(given, dict):
        return given
    return {label: name for name, label in labels_of(given, labels).items()}


def names(what: str, given: Any) -> list[str] | dict[str, str]:
    """Check names of models or data sets, and turn paths into str.

    Parameters
    ----------
    what : {"models", "datasets"}
    given : list of str or Path, or a dict of str to these

    Raises
    ------
    ValueError
        For anything else, or a list with a name twice.
    """
    check_list(what, str(given) if isinstance(given, PurePath) else given)
    if not isinstance(given, Iterable):
        raise ValueError(f"{what}: expected a list of names, got {given!r:.80}")
    labelled = isinstance(given, dict)
    keys, listed = (list(given), list(given.values())) if labelled else ([], list(given))
    for key in keys:
        if not isinstance(key, str):
            raise ValueError(f"{what}: expected keys that are names, each a str, got {key!r:.80}")
    taken_by = {"models": "load_model", "datasets": "load_dataset"}[what]
    for name in listed:
        if not isinstance(name, str | PurePath):
            raise ValueError(
                f"{what}: expected a name as {taken_by} takes it, got {name!r:.80}; of what is "
                "loaded already, give the name or the file that it was loaded from"
            )
    folder = FOLDER if what == "datasets" else ""
    listed = [f"{folder}{name}" if isinstance(name, PurePath) else name for name in listed]
    if twice := [name for name in listed if not labelled and listed.count(name) > 1]:
        raise ValueError(f"{what}: {twice[0]} stands there twice")
    return dict(zip(keys, listed)) if labelled else listed


def load_data(
    datasets: dict[str, str | Path] | list[str | Path],
    data_root: str | Path | None = None,
    class_names: str = "words",
    unreadable: str = "raise",
    labels: Mapping[str, str] | None = None,
) -> dict[str, LabelledImages]:
    """Data sets by label: dict of str to LabelledImages; see `featpurity.load_dataset`."""
    return {
        label: load_dataset(name, data_root, class_names, unreadable)
        for label, name in by_label(names("datasets", datasets), labels).items()
    }


def embed(
    clip: ClipModel,
    data: Mapping[str, LabelledImages],
    prompts: str,
    store: str | Path | None = None,
    precision: str = "fp32",
) -> dict[str, Embedded]:
    """Several data sets embedded by one model, by name, on its `measuring_device`.

    All prompts and pictures are checked before the model runs.
    """
    splits = {name: [dataset] for name, dataset in data.items()}
    return _embed_splits(clip, splits, prompts, store, precision)[0]


def _embed_splits(clip, splits, prompts, store, precision):
    """Embed data sets and their training images with a model: Embedded and Training, by name."""
    templates = {name: prompt_set(prompts, test.name) for name, (test, *_) in splits.items()}
    for name, (test, *_) in splits.items():
        prompts_for(clip, test.classes, templates[name])  # raises before any tower runs
    options, device = dict(store=store, precision=precision), measuring_device(clip)
    parts = [(name, part) for name, parts in splits.items() for part in parts]
    features = each_image_trunk_features([clip], [part for _, part in parts], **options)
    embedded, trained = {}, {}
    for (name, part), (of_clip,) in zip(parts, features):
        images = unit_embeddings(clip, clip.project_image, of_clip, device)
        labels = labels_on(device, part)
        if name in embedded:
            trained[name] = Training(images, labels)
            continue
        classes = part.classes, templates[name]
        classifier = embed_classes(clip, *classes, **options, device=device)
        embedded[name] = Embedded(images, classifier, labels)
    return embedded, trained


def examples(dataset: LabelledImages, count: int = 8) -> tuple[list, list[str]]:
    """The first pictures of a data set's classes, each class in turn, and their class names.

    Parameters
    ----------
    dataset : LabelledImages
    count : int
        Number of pictures; all of them in a smaller data set.
    """
    labels = pd.Series(torch.as_tensor(dataset.labels).numpy())
    turns = labels.groupby(labels).cumcount()  # the first of every class, then the second
    chosen = turns.sort_values(kind="stable").index[:count].tolist()
    return [dataset[i][0] for i in chosen], [dataset.classes[labels[i]] for i in chosen]
