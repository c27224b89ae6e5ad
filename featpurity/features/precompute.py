"""Fill the store: run models' towers once over data sets and image-caption pairs.

The notebook `steps/embed` and the command `featpurity embed` both call this. Under torchrun each
process takes its share of the shards, on its own GPU.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field

import pandas as pd

from featpurity.data.datasets import LabelledImages, load_splits
from featpurity.data.pairs import load_pairs
from featpurity.features.crops import pair_features
from featpurity.features.extract import (
    cut_captions,
    each_image_trunk_features,
    picture_remarks,
    refuse_unreadable,
)
from featpurity.files import check_list, locked, workspace
from featpurity.models.clip import ClipModel
from featpurity.models.load import load_model


@dataclass
class Precompute:
    """Models and opened data to embed; see `open_all`.

    Attributes
    ----------
    models : dict of str to ClipModel
    datasets : dict of str to LabelledImages
        The training images of each right after its test images.
    pairs : CaptionedImages or None
    """

    models: dict[str, ClipModel]
    datasets: dict[str, LabelledImages]
    pairs: Sequence | None
    stored: dict = field(repr=False)  # where features are stored, and how they are computed

    def sizes(self) -> pd.DataFrame:
        """The models, their neurons and the widths of their trunks."""
        rows = [
            dict(
                model=name,
                neurons=clip.d,
                image_trunk=clip.image_neurons.shape[1],
                text_trunk=clip.text_neurons.shape[1],
            )
            for name, clip in self.models.items()
        ]
        return pd.DataFrame(rows)

    def remarks(self) -> list[str]:
        """Remarks of `picture_remarks` and `cut_captions` of `featpurity.features.extract`."""
        datasets = [*self.datasets.values(), *filter(None, [self.pairs])]
        remarks = picture_remarks(datasets, self.stored["store"])
        for clip in self.models.values() if self.pairs else []:
            remarks += cut_captions(clip, self.pairs)
        return remarks

    def embed_datasets(self) -> pd.DataFrame:
        """Store image trunk features of all data sets; pictures are decoded once for all models."""
        clips, datasets = list(self.models.values()), list(self.datasets.values())
        for _ in each_image_trunk_features(clips, datasets, **self.stored):
            pass  # each is stored as it comes
        rows = [
            dict(dataset=name, images=len(dataset), classes=len(dataset.classes))
            for name, dataset in self.datasets.items()
        ]
        return pd.DataFrame(rows)

    def embed_pairs(self, n_views: int | None = None) -> pd.DataFrame:
        """Store trunk features of the pairs' captions and of their pictures, whole or cropped.

        Parameters
        ----------
        n_views : int, optional
            Number of random crops of each picture to store instead of the picture itself.
        """
        rows = []
        for name, clip in self.models.items() if self.pairs else []:
            pair_features(clip, self.pairs, n_views, **self.stored)
            rows.append(dict(model=name, pairs=len(self.pairs), crops=n_views or 0))
        return pd.DataFrame(rows)


def open_all(
    models: Sequence[str],
    datasets: Sequence[str],
    pairs: str | None = None,
    *,
    store_dir: str,
    data_root: str | None = None,
    class_names: str = "words",
    unreadable: str = "raise",
    rewrites: Sequence[str] = (),
    n_pairs: int | None = None,
    preprocess: str = "native",
    device: str = "auto",
    precision: str = "fp32",
    embed_batch_size: int = 256,
    workers: int = 0,
    compiled: bool = False,
    probe_on: str = "test",
) -> Precompute:
    """Load models and open data, with every picture file once, before any model runs.

    Under torchrun one process downloads what is missing; the others wait and find it there.

    Parameters
    ----------
    models, datasets : list of str
        What `load_model` and `load_dataset` take.
    pairs : str, optional
        What `load_pairs` takes.
    store_dir : str
        The folder of stored features, relative to the project's root.
    probe_on : {"test", "train"}
        "train": the data sets' training images too, where they have some.
    **settings
        A profile's settings, under their names there.

    Raises
    ------
    ValueError, FileNotFoundError
        For unknown names, missing files or unreadable pictures.
    """
    check_list("models", models)
    check_list("datasets", datasets)
    store = workspace(store_dir)
    store.mkdir(parents=True, exist_ok=True)
    with locked(store / ".loading.lock"):
        clips = {name: load_model(name, device, preprocess) for name in models}
        reading = dict(root=data_root, class_names=class_names, unreadable=unreadable)
        splits = [load_splits(name, training=probe_on == "train", **reading) for name in datasets]
        data = {part.name: part for parts in splits for part in parts}
        captioned = load_pairs(pairs, data_root, n_pairs, rewrites, unreadable) if pairs else None
        for dataset in [*data.values(), *filter(None, [captioned])]:
            refuse_unreadable(dataset, store)
    progress = os.environ.get("RANK", "0") == "0"
    stored = dict(store=store, precision=precision, batch_size=embed_batch_size, progress=progress)
    stored |= dict(workers=workers, compiled=compiled)
    return Precompute(clips, data, captioned, stored)
