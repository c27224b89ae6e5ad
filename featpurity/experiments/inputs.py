"""What an experiment starts from: models, data sets, and what each model makes of each data set."""

from collections import Counter
from dataclasses import dataclass
from typing import NamedTuple

import torch

from featpurity.data.datasets import LabelledImages, load_dataset
from featpurity.data.prompts import prompt_set
from featpurity.features.extract import embed_classes, embed_images
from featpurity.files import check_list
from featpurity.labels import labels_of
from featpurity.models.clip import ClipModel
from featpurity.models.load import load_model


class Embedded(NamedTuple):
    """One data set in the eyes of one model, in the order in which the metrics take it.

    Attributes
    ----------
    images : float tensor of shape (n, d), unit rows
    classifier : float tensor of shape (n_classes, d), unit rows
    labels : int64 tensor of shape (n,)
    """

    images: torch.Tensor
    classifier: torch.Tensor
    labels: torch.Tensor


@dataclass(frozen=True)
class Inputs:
    """Models and data sets by name, and for each two of them what the metrics need.

    Attributes
    ----------
    models : dict of str to ClipModel
    data : dict of str to LabelledImages
    embedded : dict of (model, data set) to Embedded
    """

    models: dict[str, ClipModel]
    data: dict[str, LabelledImages]
    embedded: dict[tuple[str, str], Embedded]


def load(
    models: dict[str, str] | list[str],
    datasets: list[str],
    prompts: str = "paper",
    *,
    store=None,
    labels: dict[str, str] | None = None,
    data_root=None,
    class_names: str = "words",
    unreadable: str = "raise",
    preprocess: str = "native",
    precision: str = "fp32",
    device: str = "auto",
) -> Inputs:
    """Load models and data sets, and embed each data set with each model.

    Parameters
    ----------
    models : dict of str to str, or list of str
        What `featpurity.load_model` takes; the keys of a dict are what the tables call them.
    datasets : list of str
        What `featpurity.load_dataset` takes.
    prompts : str
        A prompt set, see `featpurity.data.prompts`.
    store : str or Path, optional
        Where trunk features are kept, so that no tower runs twice on the same picture.
    labels : dict of str to str, optional
        What to call models and data sets; of a path the last part is its label where none is
        given, see `featpurity.labels.labels_of`.
    data_root, class_names, unreadable
        See `featpurity.load_dataset`.
    preprocess, device
        See `featpurity.load_model`.
    precision : {"fp32", "bf16", "fp16"}

    Raises
    ------
    ValueError, FileNotFoundError
        For unknown names and missing files, before any tower runs.
    """
    check_list("models", models)
    named = models if isinstance(models, dict) else labels_of(models, labels)
    sources = named if isinstance(models, dict) else {one: name for name, one in named.items()}
    loaded = {name: load_model(source, device, preprocess) for name, source in sources.items()}
    data = load_data(datasets, data_root, class_names, unreadable, labels)
    embedded = {
        (model, name): one
        for model, clip in loaded.items()
        for name, one in embed(clip, data, prompts, store, precision).items()
    }
    return Inputs(loaded, data, embedded)


def load_data(datasets, data_root=None, class_names="words", unreadable="raise", labels=None):
    """Data sets by label: dict of str to LabelledImages; see `featpurity.load_dataset`."""
    check_list("datasets", datasets)
    return {
        label: load_dataset(name, data_root, class_names, unreadable)
        for name, label in labels_of(datasets, labels).items()
    }


def embed(clip, data, prompts, store=None, precision="fp32"):
    """What one model makes of several data sets: dict of name to Embedded."""
    embedded = {}
    for name, dataset in data.items():
        images, labels = embed_images(clip, dataset, store=store, precision=precision)
        templates = prompt_set(prompts, dataset=dataset.name)
        classifier = embed_classes(
            clip, dataset.classes, templates, store=store, precision=precision
        )
        embedded[name] = Embedded(images, classifier, labels)
    return embedded


def neurons_by_tower(clip: ClipModel) -> dict[str, torch.Tensor]:
    """The neurons of both towers on the CPU, (d, width) each, as "image" and "text"."""
    return {"image": clip.image_neurons.cpu(), "text": clip.text_neurons.cpu()}


def has_silhouette(labels) -> bool:
    """Whether the silhouette is defined: 2 classes or more, and some class of several images."""
    return 2 <= len(labels.unique()) < len(labels)


def examples(dataset, count: int = 8):
    """The first pictures of several classes of a data set, in turn: pictures and their classes.

    Parameters
    ----------
    dataset : LabelledImages
    count : int
        As many pictures, or all of a smaller data set.
    """
    labels = torch.as_tensor(dataset.labels).tolist()
    seen, places = Counter(), []
    for place, label in enumerate(labels):
        places.append((seen[label], place))  # the first of every class, then the second
        seen[label] += 1
    chosen = [place for _, place in sorted(places)[:count]]
    return [dataset[i][0] for i in chosen], [dataset.classes[labels[i]] for i in chosen]
