"""A ladder of models that differ in the quality of their data: which rung a model is, by its name.

References
----------
Gadre et al. (2023), DataComp: the models, their scales and filters."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from featpurity.models.names import ModelRecord

SCALES = {"s": "small", "m": "medium", "l": "large", "xl": "xlarge"}
TAG = re.compile(
    r"(commonpool|datacomp)_(s|m|l|xl)(?:_(basic|text|image|laion|clip))?_s\d+[mb]_b\d+k"
)


@dataclass(frozen=True)
class Rung:
    """One model of a ladder: its name, its architecture, its scale of computing, and how its data
    were filtered.
    """

    model: str
    architecture: str
    scale: str
    data: str

    @property
    def group(self) -> str:
        """What it shares with the models it is compared with."""
        return ", ".join(filter(None, [self.architecture, self.scale]))


def rung(model: ModelRecord) -> Rung:
    """What a model's record says about it.

    Parameters
    ----------
    model : ModelRecord
        A tag of DataComp's family, as
        `commonpool_s_clip_s13m_b4k`, is taken apart: data "none" (unfiltered), "basic", "text",
        "image", "laion", "clip" or "datacomp". Of a folder `.../GROUP/NAME` the folder that holds
        it is its group and its own name the data. Any other model describes itself, and is a group
        of its own.
    """
    if known := TAG.fullmatch(model.tag):
        pool, scale, data = known.groups()
        data = pool if pool == "datacomp" else data or "none"
        return Rung(model.name, model.architecture, SCALES[scale], data)
    if model.folder:
        folder = model.folder.resolve()
        return Rung(model.name, folder.parent.name, "", folder.name)
    return Rung(model.name, model.name, "", model.name)


def rungs(models: Sequence[ModelRecord]) -> list[Rung]:
    """The rungs of several models, as `resolve` gives them; ValueError for one named twice."""
    counts = Counter(model.name for model in models)
    if twice := [name for name, count in counts.items() if count > 1]:
        raise ValueError(f"expected every model once, got {', '.join(twice)} more than once")
    return [rung(model) for model in models]
