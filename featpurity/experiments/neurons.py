"""An atlas of neurons: what each reads, its strongest pictures, its neighbours."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd
import torch
from tqdm.auto import tqdm

from featpurity.data.datasets import LabelledImages
from featpurity.data.pairs import CaptionedImages
from featpurity.experiments.inputs import Embedded, Inputs
from featpurity.experiments.what_neurons_know import information
from featpurity.features.extract import embed_texts
from featpurity.metrics import purity
from featpurity.models.clip import ClipModel, measuring_device, neurons_by_tower
from featpurity.report.display_names import Renamed

N_CLASSES = 8  # in a neuron's profile
ALIKE = 1e-3  # of classes with equal contrasts, as in a pair, the positive one is first
N_CAPTIONS = 3


@dataclass(frozen=True)
class Atlas(Renamed):
    """All neurons of all models.

    Attributes
    ----------
    neurons : DataFrame
        A row for each model and neuron: rank (1 for the purest), mean_abs_cos with the others over
        both towers; for each tower the nearest neuron and the cosine with it (image_nearest,
        image_cos, text_nearest, text_cos); the data set that it knows best (dataset), the class of
        it that stands out most, upwards or downwards (best_class), and by how much (contrast).
    profiles : DataFrame
        Each neuron's class profile: a row for each class, of all data sets, that stands out most,
        upwards or downwards, with its contrast; the largest first.
    captions : DataFrame
        A row for each of a neuron's strongest captions: caption, and value, the neuron's coordinate
        of that text's unit embedding.
    strongest, weakest : dict of str to int64 tensor of shape (d, n_shown)
        By model, the first data set's pictures with the largest and smallest values.
    """

    neurons: pd.DataFrame
    profiles: pd.DataFrame
    captions: pd.DataFrame
    strongest: dict[str, torch.Tensor]
    weakest: dict[str, torch.Tensor]


def atlas(
    inputs: Inputs, captioned: CaptionedImages | None = None, n_shown: int = 6, **options: Any
) -> Atlas:
    """Describe every neuron of every model.

    Parameters
    ----------
    inputs : Inputs
    captioned : CaptionedImages, optional
        Its captions and first rewrites are candidates for the strongest captions.
    n_shown : int
        Number of strongest and of weakest pictures per neuron, at most all of the first data set.
    **options
        Store, precision and batch size of `featpurity.features.extract.text_trunk_features`.
    """
    texts = list(dict.fromkeys(captioned.captions + captioned.best_captions)) if captioned else []
    tables, profiles, captions, strongest, weakest = [], [], [], {}, {}
    for model, clip in tqdm(inputs.models.items(), desc="neurons"):
        seen = {name: inputs.embedded[model, name] for name in inputs.data}
        images = next(iter(seen.values())).images
        n_shown = min(n_shown, len(images))
        strongest[model] = images.topk(n_shown, dim=0).indices.T.cpu()
        weakest[model] = images.topk(n_shown, dim=0, largest=False).indices.T.cpu()
        known = information(inputs, model).argmax(0)
        profile = class_profiles(seen, inputs.data, known)
        knows = pd.Series([list(seen)[place] for place in known])
        tables.append(neighbours(clip).join(best_classes(profile, knows)).assign(model=model))
        profiles.append(profile.assign(model=model))
        if texts:
            units = embed_texts(clip, texts, device=measuring_device(clip), **options)
            captions.append(strongest_captions(texts, units).assign(model=model))
    neurons, profiles = (_with_model_first(parts) for parts in (tables, profiles))
    captions = _with_model_first(captions or [strongest_captions([], None).assign(model="")])
    return Atlas(neurons, profiles, captions, strongest, weakest)


def neighbours(clip: ClipModel) -> pd.DataFrame:
    """Rank by purity, and the nearest neuron in each tower by |cos|: a row per neuron."""
    towers = neurons_by_tower(clip)
    scores = purity.mean_abs_cos(*towers.values())
    ranks = purity.purity_order(*towers.values()).argsort() + 1
    table = pd.DataFrame(
        dict(neuron=range(clip.d), rank=ranks.numpy(), mean_abs_cos=scores.numpy())
    )
    for tower, neurons in towers.items():
        cosines = purity.cosine_matrix(neurons)
        nearest = cosines.abs().argmax(1)
        table[f"{tower}_nearest"] = nearest.numpy()
        table[f"{tower}_cos"] = cosines.gather(1, nearest[:, None])[:, 0].numpy()
        table[f"{tower}_mean_abs_cos"] = cosines.abs().sum(1).numpy() / (clip.d - 1)
        table[f"{tower}_chance"] = purity.chance_level(neurons.shape[1])
    return table


def class_contrast(embedded: Embedded) -> torch.Tensor:
    """How far each class stands out in each neuron: float tensor of shape (n_classes, d).

    The mean over the class's images minus the mean over all, in standard deviations over all
    images; 0 for a class without images.
    """
    n_classes = len(embedded.classifier)
    sums = embedded.images.new_zeros(n_classes, embedded.images.shape[1])
    sums.index_add_(0, embedded.labels, embedded.images)
    counts = torch.bincount(embedded.labels, minlength=n_classes)[:, None]
    means = sums / counts.clamp(min=1)
    spread = embedded.images.std(0, correction=0).clamp(min=1e-12)
    return (means - embedded.images.mean(0)) / spread * (counts > 0)


def class_profiles(
    seen: dict[str, Embedded], data: Mapping[str, LabelledImages], known: torch.Tensor
) -> pd.DataFrame:
    """The `N_CLASSES` classes of all data sets that stand out most in each neuron, up or down.

    Parameters
    ----------
    seen : dict of str to Embedded
    data : dict of str to LabelledImages
    known : int64 tensor of shape (d,)
        The place in `seen` of the data set that each neuron knows best: the class of it that stands
        out most is always in the profile.

    Returns
    -------
    profiles : DataFrame
        Columns neuron, dataset, class_name and contrast, a neuron's classes from the largest
        contrast to the smallest.
    """
    names = [(name, class_name) for name in seen for class_name in data[name].classes]
    place_of = {name: place for place, name in enumerate(seen)}
    places = torch.tensor([place_of[name] for name, _ in names])
    contrasts = torch.cat([class_contrast(one).cpu() for one in seen.values()])  # (all classes, d)
    largeness = _standing_out(contrasts)
    own = largeness.where(places[:, None] == known, -torch.inf).argmax(0)
    largeness[own, torch.arange(contrasts.shape[1])] = torch.inf
    rows = []
    for neuron, chosen in enumerate(largeness.topk(min(N_CLASSES, len(names)), dim=0).indices.T):
        values = contrasts[chosen, neuron]
        for place in values.argsort(descending=True).tolist():
            dataset, class_name = names[chosen[place]]
            rows.append((neuron, dataset, class_name, values[place].item()))
    return pd.DataFrame(rows, columns=["neuron", "dataset", "class_name", "contrast"])


def best_classes(profiles: pd.DataFrame, knows: pd.Series) -> pd.DataFrame:
    """The class that describes each neuron: columns dataset, best_class and contrast.

    It is the class that stands out most in the data set that the neuron knows best, by `knows`.
    """
    own = profiles[profiles.dataset == profiles.neuron.map(knows)]
    most = _standing_out(own.contrast).groupby(own.neuron).idxmax()
    return own.loc[most].set_index("neuron").rename(columns={"class_name": "best_class"})


def _standing_out(contrasts):
    """How far classes stand out, up or down; see `ALIKE`."""
    return abs(contrasts) + ALIKE * contrasts


def strongest_captions(
    texts: list[str], units: torch.Tensor | None, most: int = N_CAPTIONS
) -> pd.DataFrame:
    """The texts with the largest value of each neuron: columns neuron, caption and value.

    Parameters
    ----------
    texts : list of str of length n
    units : float tensor of shape (n, d)
        Their unit embeddings; unused without texts.
    most : int
        Texts per neuron.
    """
    rows = []
    if texts:
        values, places = units.topk(min(most, len(texts)), dim=0)
        for neuron in range(units.shape[1]):
            best = zip(places[:, neuron].tolist(), values[:, neuron].tolist())
            rows += [(neuron, texts[place], value) for place, value in best]
    return pd.DataFrame(rows, columns=["neuron", "caption", "value"])


def _with_model_first(tables):
    table = pd.concat(tables, ignore_index=True)
    return table[["model", *table.columns.drop("model")]]
