"""Models on a ladder of data quality: tell a model's rung from its name.

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
    """A model on a ladder: name, architecture, scale of compute, and how its data were filtered."""

    model: str
    architecture: str
    scale: str
    data: str

    @property
    def group(self) -> str:
        """What it shares with the models that it is compared with."""
        return ", ".join(filter(None, [self.architecture, self.scale]))


def rung(model: ModelRecord) -> Rung:
    """The rung of a model.

    Parameters
    ----------
    model : ModelRecord
        A tag of DataComp's family, such as `commonpool_s_clip_s13m_b4k`, is parsed: data are "none"
        (unfiltered), "basic", "text", "image", "laion", "clip" or "datacomp". For a folder
        `.../GROUP/NAME`, GROUP is the group and NAME the data. Any other model is a group of its
        own, with its name as the data.
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
    """The rungs of models from `resolve`; a ValueError for a model named twice."""
    counts = Counter(model.name for model in models)
    if twice := [name for name, count in counts.items() if count > 1]:
        raise ValueError(f"expected every model once, got {', '.join(twice)} more than once")
    return [rung(model) for model in models]
