"""How near is a picture to its captions, raw and rewritten, and to another picture's caption?"""

from dataclasses import dataclass
from typing import Any

import pandas as pd
import torch
from tqdm.auto import tqdm

from featpurity.data.pairs import CaptionedImages
from featpurity.experiments.retrieval import owners_of
from featpurity.features.extract import embed_texts, image_trunk_features, unit_embeddings
from featpurity.metrics import intervals
from featpurity.models.clip import ClipModel, measuring_device
from featpurity.report.display_names import Renamed

RAW, REWRITTEN, OTHER = "raw", "rewritten", "of another picture"


@dataclass(frozen=True)
class Cosines(Renamed):
    """Cosines of pictures with texts.

    Attributes
    ----------
    values : dict of (model, kind) to float tensor of shape (n,)
        In [-1, 1], one per pair. The kinds are "raw", "rewritten" (where there are such captions)
        and, for chance, "of another picture": the raw caption of the last pair before it that shows
        another picture.
    table : DataFrame
        A row for each model and kind: mean with its 95 % interval over pictures (low, high),
        standard deviation (spread), and the share of pairs whose cosine is larger than with the
        other picture's caption (above).
    """

    values: dict[tuple[str, str], torch.Tensor]
    table: pd.DataFrame


def measure(models: dict[str, ClipModel], captioned: CaptionedImages, **options: Any) -> Cosines:
    """Measure the cosines of every model.

    Parameters
    ----------
    models : dict of str to ClipModel
    captioned : CaptionedImages
    **options
        Store, precision and batch size of `featpurity.features.extract.text_trunk_features`.
    """
    owners, first = owners_of(captioned)
    if len(first) < 2:
        raise ValueError(
            f"{captioned.name}: expected pairs of at least 2 pictures, got {len(first)}"
        )
    others = _of_another_picture(owners)
    rewritten = torch.tensor([bool(texts) for texts in captioned.rewrites])
    both, values, rows = captioned.captions + captioned.best_captions, {}, []
    for model, clip in tqdm(models.items(), desc="captions"):
        features, device = image_trunk_features(clip, captioned, **options), measuring_device(clip)
        images = unit_embeddings(clip, clip.project_image, features, device)
        texts = embed_texts(clip, both, device=device, **options)
        raw, best = texts.split(len(captioned))
        chance = (images * raw[others]).sum(1).cpu()
        found = {RAW: (images * raw).sum(1).cpu()}
        if rewritten.any():
            found[REWRITTEN] = (images * best).sum(1).cpu()
        for kind, cosines in (found | {OTHER: chance}).items():
            chosen = rewritten if kind == REWRITTEN else torch.ones_like(rewritten)
            parts = (part[chosen] for part in (cosines, chance, owners))
            values[model, kind] = cosines[chosen]
            rows.append(dict(model=model, captions=kind, **_summary(*parts, kind)))
    return Cosines(values, pd.DataFrame(rows))


def _of_another_picture(owners):
    """For each pair, the last one of another picture before it, wrapping round at the first."""
    others = torch.arange(len(owners)).roll(1)
    while (same := owners[others] == owners).any():
        others[same] = (others[same] - 1) % len(owners)
    return others


def _summary(cosines, other, owners, kind):
    _, owners = owners.unique(return_inverse=True)
    by_picture = intervals.influence_by_owner(cosines, owners)
    low, high = intervals.Estimate(cosines.mean(), by_picture).interval()
    above = None if kind == OTHER else (cosines > other).double().mean().item()
    ends = dict(mean=cosines.mean().item(), low=low.item(), high=high.item())
    return ends | dict(spread=cosines.std().item(), above=above, pairs=len(cosines))
