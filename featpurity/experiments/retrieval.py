"""Experiment 10, retrieval: does an image find one of its captions, and a caption its image?"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy.stats import hypergeom
from tqdm.auto import tqdm

from featpurity.data.pairs import CaptionedImages
from featpurity.features.extract import embed_texts, image_trunk_features, unit_embeddings
from featpurity.labels import OVERALL
from featpurity.metrics import intervals
from featpurity.metrics.retrieval import KS, retrieval_ranks
from featpurity.models.clip import ClipModel
from featpurity.report import results
from featpurity.report.display_names import Renamed

MEASURES = [f"{way} @{k}" for way in ("image to text", "text to image") for k in KS]


@dataclass(frozen=True)
class Retrieval(Renamed):
    """The tables of retrieval.

    Attributes
    ----------
    recall : DataFrame
        A row a model and measure: recall, its 95 % interval, and chance, what a random order gives.
    effects : DataFrame
        Differences of the models' recalls; "mean" is the mean recall over all measures. See
        `featpurity.report.results.effect`.
    images, captions : int
        How many there are.
    """

    recall: pd.DataFrame
    effects: pd.DataFrame
    images: int
    captions: int


def retrieve(
    models: dict[str, ClipModel],
    captioned: CaptionedImages,
    pairs: list[tuple[str, str]],
    **options: Any,
) -> Retrieval:
    """Recall of all models, and of the second of each pair less that of the first.

    Parameters
    ----------
    models : dict of str to ClipModel
    captioned : CaptionedImages
        An image that stands there several times has several captions.
    pairs : list of (str, str)
        Names of models that are compared.
    **options
        Store, precision and batch size of `featpurity.features.extract.text_trunk_features`.
    """
    owners, first = owners_of(captioned)
    found = {}
    for name, clip in tqdm(models.items(), desc="retrieval"):
        images = image_trunk_features(clip, captioned, **options)[first]
        images = unit_embeddings(clip, clip.project_image, images)
        texts = embed_texts(clip, captioned.best_captions, **options)
        found[name] = recalls(*retrieval_ranks(images, texts, owners, max(KS)), owners)
    recall = recall_table(found, chances(owners))
    return Retrieval(recall, gains(found, pairs), len(first), len(owners))


def owners_of(captioned: CaptionedImages) -> tuple[torch.Tensor, torch.Tensor]:
    """Which image each caption belongs to (n_captions,), and the first row of each image."""
    owners, _ = pd.factorize(np.array(captioned.image_names or range(len(captioned))))
    _, first = np.unique(owners, return_index=True)
    return torch.as_tensor(owners), torch.as_tensor(first)


def recalls(
    of_images: torch.Tensor, of_texts: torch.Tensor, owners: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Recalls, and the influence of each image, which is drawn together with its captions.

    Parameters
    ----------
    of_images, of_texts, owners : int64 tensors
        Of `retrieval_ranks` and `owners_of`.

    Returns
    -------
    values : float64 tensor of shape (6,)
        In the order of `MEASURES`.
    influences : float64 tensor of shape (n_images, 6)
        See `featpurity.metrics.intervals`.
    """
    ks = torch.tensor(KS)
    of_images = (of_images[:, None] < ks).double()  # (n_images, 3)
    of_texts = (of_texts[:, None] < ks).double()  # (n_captions, 3)
    values = torch.cat([of_images.mean(0), of_texts.mean(0)])
    by_image = intervals.influence_by_owner(of_texts, owners)
    return values, torch.cat([of_images - of_images.mean(0), by_image], 1)


def chances(owners: torch.Tensor) -> list[float]:
    """Recalls of a random order, in the order of `MEASURES`."""
    counts, n_captions = torch.bincount(owners).numpy(), len(owners)
    of_images = [hypergeom.sf(0, n_captions, counts, min(k, n_captions)).mean().item() for k in KS]
    return of_images + [min(1.0, k / len(counts)) for k in KS]


def recall_table(
    found: Mapping[str, tuple[torch.Tensor, torch.Tensor]], chance: list[float]
) -> pd.DataFrame:
    """A row a model and measure."""
    rows = []
    for model, (values, influences) in found.items():
        ends = intervals.Estimate(values, influences).interval(0, 1)
        columns = zip(MEASURES, values.tolist(), *(end.tolist() for end in ends), chance)
        for measure, value, low, high, at_random in columns:
            known = dict(recall=value, recall_low=low, recall_high=high, chance=at_random)
            rows.append(dict(model=model, measure=measure, **known))
    return pd.DataFrame(rows)


def gains(
    found: Mapping[str, tuple[torch.Tensor, torch.Tensor]], pairs: list[tuple[str, str]]
) -> pd.DataFrame:
    """Each pair's second model minus the first: rows of effects, a measure each and their mean."""
    rows = []
    for before, after in pairs:
        values, influences = (b - a for a, b in zip(found[before], found[after]))
        columns = {name: (values[i], influences[:, i]) for i, name in enumerate(MEASURES)}
        columns[OVERALL] = values.mean(), influences.mean(1)
        for name, (gain, influence) in columns.items():
            ends = intervals.influence_interval(gain, influence)
            compared = f"{after} minus {before}"
            rows.append(results.effect("retrieval_laclip", compared, gain, *ends, dataset=name))
    return pd.DataFrame(rows, columns=results.EFFECT)
