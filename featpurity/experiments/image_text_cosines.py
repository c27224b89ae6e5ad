"""How near is a picture to its captions, raw and rewritten, and how near to any other's?"""

from dataclasses import dataclass
from typing import Any

import pandas as pd
import torch
import torch.nn.functional as F
from tqdm.auto import tqdm

from featpurity.data.pairs import CaptionedImages
from featpurity.features.extract import embed_texts, image_trunk_features
from featpurity.metrics import intervals
from featpurity.models.clip import ClipModel
from featpurity.report import display_names

RAW, REWRITTEN, OTHER = "raw", "rewritten", "of another picture"


@dataclass(frozen=True)
class Cosines:
    """Cosines of pictures with texts.

    Attributes
    ----------
    values : dict of (model, kind) to float tensor of shape (n,)
        In [-1, 1], a pair each. The kinds are "raw", "rewritten" where there are such captions, and
        "of another picture", the raw captions moved on by one picture: what chance gives.
    table : DataFrame
        A row a model and kind: mean with its 95 % interval over pairs (low, high), standard
        deviation (spread), and above, the share of pairs whose cosine is larger than that with the
        other picture's caption.
    """

    values: dict[tuple[str, str], torch.Tensor]
    table: pd.DataFrame

    def renamed(self, models: dict[str, str]) -> "Cosines":
        """The same under the names of models that readers see."""
        values = {(models.get(model, model), kind): v for (model, kind), v in self.values.items()}
        return Cosines(values, display_names.renamed(self.table, models))


def measure(models: dict[str, ClipModel], captioned: CaptionedImages, **options: Any) -> Cosines:
    """Cosines of every model.

    Parameters
    ----------
    models : dict of str to ClipModel
    captioned : CaptionedImages
    **options
        Store, precision and batch size of `featpurity.features.extract.text_trunk_features`.
    """
    if len(captioned) < 2:
        raise ValueError(f"{captioned.name}: expected at least 2 pairs, got {len(captioned)}")
    rewritten = torch.tensor([bool(texts) for texts in captioned.rewrites])
    values, rows = {}, []
    for model, clip in tqdm(models.items(), desc="captions"):
        features = image_trunk_features(clip, captioned, **options)
        images = F.normalize(clip.project_image(features.to(clip.device)).float(), dim=1).cpu()
        texts = embed_texts(clip, captioned.captions + captioned.best_captions, **options)
        raw, best = texts.split(len(captioned))
        other = (images * raw.roll(1, 0)).sum(1)
        found = {RAW: (images * raw).sum(1)}
        if rewritten.any():
            found[REWRITTEN] = (images * best).sum(1)[rewritten]
        for kind, cosines in {**found, OTHER: other}.items():
            chance = other[rewritten] if kind == REWRITTEN else other
            values[model, kind] = cosines
            rows.append(dict(model=model, captions=kind, **_summary(cosines, chance, kind)))
    return Cosines(values, pd.DataFrame(rows))


def _summary(cosines, other, kind):
    low, high = intervals.influence_interval(cosines.mean(), cosines)
    above = None if kind == OTHER else (cosines > other).double().mean().item()
    ends = dict(mean=cosines.mean().item(), low=low.item(), high=high.item())
    return ends | dict(spread=cosines.std().item(), above=above, pairs=len(cosines))
