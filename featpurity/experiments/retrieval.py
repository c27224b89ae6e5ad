"""Experiment 10, retrieval: does an image find one of its captions, and a caption its image?"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy.stats import hypergeom
from tqdm.auto import tqdm

from featpurity.data.pairs import CaptionedImages
from featpurity.features.extract import embed_texts, image_trunk_features, unit_embeddings
from featpurity.labels import OVERALL
from featpurity.metrics.intervals import Estimate
from featpurity.metrics.retrieval import KS, estimate_recalls, retrieval_ranks
from featpurity.models.clip import ClipModel, measuring_device
from featpurity.report import results
from featpurity.report.display_names import Renamed

MEASURES = [f"{way} @{k}" for way in ("image to text", "text to image") for k in KS]


@dataclass(frozen=True)
class Retrieval(Renamed):
    """The tables of retrieval.

    Attributes
    ----------
    recall : DataFrame
        A row for each model and measure: recall with its 95 % interval, and chance, that of a
        random order.
    effects : DataFrame
        Differences of models' recalls; "mean" is the mean recall over all measures. See
        `featpurity.report.results.effect`.
    images, captions : int
        Their numbers.
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
    """Recall of all models, and that of each pair's second model minus the first.

    Parameters
    ----------
    models : dict of str to ClipModel
    captioned : CaptionedImages
        An image that occurs several times has several captions.
    pairs : list of (str, str)
        Names of models to compare.
    **options
        Store, precision and batch size of `featpurity.features.extract.text_trunk_features`.
    """
    owners, first = owners_of(captioned)
    found = {}
    for name, clip in tqdm(models.items(), desc="retrieval"):
        images = image_trunk_features(clip, captioned, **options)[first]
        device = measuring_device(clip)
        images = unit_embeddings(clip, clip.project_image, images, device)
        texts = embed_texts(clip, captioned.best_captions, device=device, **options)
        ranks = retrieval_ranks(images, texts, owners, max(KS))
        found[name] = estimate_recalls(*ranks, owners)
    recall = recall_table(found, chances(owners))
    return Retrieval(recall, gains(found, pairs), len(first), len(owners))


def owners_of(captioned: CaptionedImages) -> tuple[torch.Tensor, torch.Tensor]:
    """Which image each caption belongs to (n_captions,), and the first row of each image."""
    owners, _ = pd.factorize(np.array(captioned.image_names or range(len(captioned))))
    _, first = np.unique(owners, return_index=True)
    return torch.as_tensor(owners), torch.as_tensor(first)


def chances(owners: torch.Tensor) -> list[float]:
    """Recalls of a random order, in the order of `MEASURES`."""
    counts, n_captions = torch.bincount(owners).numpy(), len(owners)
    of_images = [hypergeom.sf(0, n_captions, counts, min(k, n_captions)).mean().item() for k in KS]
    return of_images + [min(1.0, k / len(counts)) for k in KS]


def recall_table(found: Mapping[str, Estimate], chance: list[float]) -> pd.DataFrame:
    """A row for each model and measure, see `Retrieval`."""
    rows = []
    for model, recalls in found.items():
        ends = recalls.interval(0, 1)
        columns = zip(MEASURES, recalls.value.tolist(), *(end.tolist() for end in ends), chance)
        for measure, value, low, high, at_random in columns:
            known = dict(recall=value, recall_low=low, recall_high=high, chance=at_random)
            rows.append(dict(model=model, measure=measure, **known))
    return pd.DataFrame(rows)


def gains(found: Mapping[str, Estimate], pairs: list[tuple[str, str]]) -> pd.DataFrame:
    """Rows of effects, each pair's second model minus the first: per measure and for their mean."""
    rows = []
    for before, after in pairs:
        gain = found[after] - found[before]
        gains = {name: gain[i] for i, name in enumerate(MEASURES)}
        gains[OVERALL] = replace(gain, value=gain.value.mean(), spread=gain.spread.mean(1))
        for name, one in gains.items():
            ends, compared = one.interval(-1, 1), f"{after} minus {before}"
            effect = results.effect("retrieval_laclip", compared, one.value, *ends, dataset=name)
            rows.append(effect)
    return pd.DataFrame(rows, columns=results.EFFECT)
