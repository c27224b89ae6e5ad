"""Maps of a model's embeddings of pictures in a plane, before and after a change.

An embedding's plane is that of its two leading principal components. Components have no sign, and
near-equal ones no order, so each plane is turned to match the first as well as possible.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import nan
from pathlib import Path

import pandas as pd
import torch
import torch.nn.functional as F

from featpurity.data.datasets import LabelledImages
from featpurity.experiments.inputs import Inputs
from featpurity.features.extract import embed_images
from featpurity.metrics import purity, silhouette
from featpurity.models.clip import ClipModel, measuring_device, neurons_by_tower
from featpurity.models.projections import read_projections
from featpurity.report import wording
from featpurity.report.display_names import Renamed

N_SHOWN = 160  # pictures per map


@dataclass(frozen=True)
class Maps(Renamed):
    """The same pictures in several planes.

    Attributes
    ----------
    points : DataFrame
        A row for each plane and picture: plane, image (its place in the data set), x, y, in units
        of the unit embeddings.
    classes : DataFrame
        A row for each data set and picture: dataset, image, class_name; for all data sets of these
        pictures.
    separation : DataFrame
        A row for each plane and data set: plane, dataset, silhouette of all images in the embedding
        (not in the plane; empty where undefined) and shown, the plane's share of the variance.
    """

    points: pd.DataFrame
    classes: pd.DataFrame
    separation: pd.DataFrame


def by_separation(of_models: Iterable[Maps]) -> list[str]:
    """Data sets by the separation of their classes in several models' first planes, largest first.

    This is the order of the maps' colourings, the same for all of these maps.
    """
    before = [
        found.separation[found.separation.plane == found.points.plane.iloc[0]]
        for found in of_models
    ]
    means = pd.concat(before).groupby("dataset", sort=False).silhouette.mean()
    return means.sort_values(ascending=False, kind="stable").index.tolist()


def pruned(inputs: Inputs, model: str) -> Maps:
    """The first data set's pictures with all of a model's neurons, and with each half by purity."""
    images, clip = inputs.embedded[model, next(iter(inputs.data))].images, inputs.models[model]
    order = purity.purity_order(*neurons_by_tower(clip).values())
    half = clip.d // 2
    embedded = {f"all {clip.d} neurons": images}
    embedded[f"the {half} purest"] = F.normalize(images[:, order[:half]], dim=1)
    embedded[f"the {half} least pure"] = F.normalize(images[:, order[-half:]], dim=1)
    return maps(embedded, inputs.data)


def misaligned(
    clip: ClipModel,
    data: Mapping[str, LabelledImages],
    checkpoints: dict[float, Path],
    store: str | Path | None = None,
    precision: str = "fp32",
) -> Maps:
    """The first data set's pictures before and after training on swapped captions.

    Parameters
    ----------
    clip : ClipModel
        The model whose projections were trained.
    data : dict of str to LabelledImages
    checkpoints : dict of float to Path
        Fine-tuned projections, by the ratio of misaligned captions.
    store, precision
        See `featpurity.features.extract.embed_images`.

    Raises
    ------
    FileNotFoundError
        If a checkpoint is missing.
    """
    models = {"before training": clip}
    for ratio, path in checkpoints.items():
        called = (
            f"{wording.percent(ratio)} of the captions swapped" if ratio else "no caption swapped"
        )
        models[called] = read_projections(path, clip)
    first, stored = next(iter(data.values())), dict(store=store, precision=precision)
    return maps(
        {
            name: embed_images(model, first, device=measuring_device(model), **stored)[0]
            for name, model in models.items()
        },
        data,
    )


def maps(
    embedded: dict[str, torch.Tensor], data: Mapping[str, LabelledImages], most: int = N_SHOWN
) -> Maps:
    """Planes of several embeddings of the first data set's pictures.

    Parameters
    ----------
    embedded : dict of str to float tensor of shape (n, d)
        Unit rows, by the plane's name.
    data : dict of str to LabelledImages
        The first data set, and others; those with the same pictures colour the maps too.
    most : int
        Number of pictures shown, spread evenly over the data set. Planes and silhouettes are of
        all.
    """
    first = next(iter(data.values()))
    alike = {
        name: dataset for name, dataset in data.items() if dataset.images_key == first.images_key
    }
    n = len(next(iter(embedded.values())))
    shown = torch.linspace(0, n - 1, min(most, n)).round().long()
    points, separation, before = [], [], None
    for name, images in embedded.items():
        where, share = plane(images)
        before = where if before is None else before
        x, y = aligned(where, before)[shown].T.tolist()
        points.append(pd.DataFrame(dict(plane=name, image=shown.tolist(), x=x, y=y)))
        for dataset, same in alike.items():
            own = torch.as_tensor(same.labels)
            score = silhouette.silhouette(images, own) if silhouette.is_defined(own) else nan
            separation.append(dict(plane=name, dataset=dataset, silhouette=score, shown=share))
    classes = [
        dict(dataset=dataset, image=place, class_name=same.classes[int(same.labels[place])])
        for dataset, same in alike.items()
        for place in shown.tolist()
    ]
    tables = pd.concat(points, ignore_index=True), pd.DataFrame(classes), pd.DataFrame(separation)
    return Maps(*tables)


def plane(images: torch.Tensor) -> tuple[torch.Tensor, float]:
    """The plane of the two leading principal components.

    Parameters
    ----------
    images : float tensor of shape (n, d)

    Returns
    -------
    points : float tensor of shape (n, 2)
    share : float
        Of the variance, in [0, 1].
    """
    centred = images - images.mean(0)
    _, values, directions = torch.linalg.svd(centred, full_matrices=False)
    share = (values[:2].square().sum() / values.square().sum().clamp(min=1e-12)).item()
    return centred @ directions[:2].T, share


def aligned(points: torch.Tensor, before: torch.Tensor) -> torch.Tensor:
    """Points (n, 2), rotated and reflected to be as near as possible to `before` (n, 2).

    References
    ----------
    Schönemann (1966), A generalized solution of the orthogonal Procrustes problem.
    """
    left, _, right = torch.linalg.svd(points.T @ before)
    return points @ (left @ right)
