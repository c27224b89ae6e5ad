"""An atlas of a model's neurons: what each reads, its strongest pictures, its neighbours."""

from dataclasses import dataclass

import pandas as pd
import torch
from tqdm.auto import tqdm

from featpurity.experiments.inputs import Embedded, Inputs
from featpurity.metrics import purity
from featpurity.report import display_names


@dataclass(frozen=True)
class Atlas:
    """All neurons of all models.

    Attributes
    ----------
    neurons : DataFrame
        A row a model and neuron: rank (1 for the purest), mean_abs_cos with the others over both
        towers, for each tower the nearest neuron and the cosine with it (image_nearest, image_cos,
        text_nearest, text_cos); and which class of which data set stands out most (dataset,
        best_class) and by how much (contrast).
    strongest, weakest : dict of str to int64 tensor of shape (d, n_shown)
        Of each model, pictures of the first data set with the largest and smallest values.
    """

    neurons: pd.DataFrame
    strongest: dict[str, torch.Tensor]
    weakest: dict[str, torch.Tensor]

    def renamed(self, models=None, datasets=None):
        """The same under the names that readers see, of `featpurity.report.display_names`."""
        called = models or {}
        strongest, weakest = (
            {called.get(name, name): places for name, places in of_models.items()}
            for of_models in (self.strongest, self.weakest)
        )
        return Atlas(display_names.renamed(self.neurons, models, datasets), strongest, weakest)


def atlas(inputs: Inputs, n_shown: int = 6) -> Atlas:
    """Look at every neuron of every model.

    Parameters
    ----------
    inputs : Inputs
    n_shown : int
        Strongest and weakest pictures of a neuron, at most as many as the first data set has.
    """
    tables, strongest, weakest = [], {}, {}
    for model, clip in tqdm(inputs.models.items(), desc="neurons"):
        seen = {name: inputs.embedded[model, name] for name in inputs.data}
        images = next(iter(seen.values())).images
        n_shown = min(n_shown, len(images))
        strongest[model] = images.topk(n_shown, dim=0).indices.T
        weakest[model] = images.topk(n_shown, dim=0, largest=False).indices.T
        table = neighbours(clip).join(what_it_reads(seen, inputs.data))
        table.insert(0, "model", model)
        tables.append(table)
    return Atlas(pd.concat(tables, ignore_index=True), strongest, weakest)


def neighbours(clip) -> pd.DataFrame:
    """Rank by purity, and the nearest neuron in each tower by |cos|: a row a neuron."""
    towers = {"image": clip.image_neurons.cpu(), "text": clip.text_neurons.cpu()}
    scores = purity.purity_scores(*towers.values()) / (2 * (clip.d - 1))
    order = purity.purity_order(*towers.values())
    ranks = torch.empty_like(order)
    ranks[order] = torch.arange(1, clip.d + 1)
    table = pd.DataFrame(
        dict(neuron=range(clip.d), rank=ranks.numpy(), mean_abs_cos=scores.numpy())
    )
    for tower, neurons in towers.items():
        cosines = purity.cosine_matrix(neurons)
        nearest = cosines.abs().argmax(1)
        table[f"{tower}_nearest"] = nearest.numpy()
        table[f"{tower}_cos"] = cosines.gather(1, nearest[:, None])[:, 0].numpy()
        table[f"{tower}_mean_abs_cos"] = cosines.abs().sum(1).numpy() / (clip.d - 1)
    return table


def class_contrast(one: Embedded) -> torch.Tensor:
    """How far each class stands out in each neuron: float tensor of shape (n_classes, d).

    The mean over the class's images less the mean over all, in standard deviations over all images.
    A class without images has 0.
    """
    n_classes = len(one.classifier)
    sums = torch.zeros(n_classes, one.images.shape[1]).index_add_(0, one.labels, one.images)
    counts = torch.bincount(one.labels, minlength=n_classes)[:, None]
    means = sums / counts.clamp(min=1)
    spread = one.images.std(0, correction=0).clamp(min=1e-12)
    return (means - one.images.mean(0)) / spread * (counts > 0)


def what_it_reads(seen: dict[str, Embedded], data) -> pd.DataFrame:
    """The class that stands out most in each neuron, over all data sets: a row a neuron."""
    best = []
    for name, one in seen.items():
        contrast, which = class_contrast(one).max(0)
        best.append([(value, name, data[name].classes[i]) for value, i in zip(contrast, which)])
    chosen = [max(of_neuron, key=lambda found: found[0]) for of_neuron in zip(*best)]
    columns = {"contrast": [float(value) for value, _, _ in chosen]}
    columns["dataset"] = [name for _, name, _ in chosen]
    return pd.DataFrame(columns | {"best_class": [best_class for *_, best_class in chosen]})


def plane(images: torch.Tensor, kept: torch.Tensor | None = None, most: int = 1000):
    """The first two principal components of some unit embeddings: float tensor of shape (m, 2).

    Parameters
    ----------
    images : float tensor of shape (n, d)
    kept : int64 tensor, optional
        The neurons that are kept; all by default.
    most : int
        Only the first so many images.
    """
    chosen = images[:most] if kept is None else images[:most, kept]
    centred = chosen - chosen.mean(0)
    _, _, directions = torch.linalg.svd(centred, full_matrices=False)
    return centred @ directions[:2].T
