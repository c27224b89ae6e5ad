"""Random crops of images, determined by a number, so that they can be stored and repeated.

Online training takes a new crop of each image at every step; cached training stores the trunk
features of a few crops.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torchvision.transforms import InterpolationMode, RandomResizedCrop

from featpurity.data.pairs import CaptionedImages
from featpurity.features.extract import (
    each_image_trunk_features,
    image_trunk_features,
    text_trunk_features,
)
from featpurity.files import digest
from featpurity.models.clip import ClipModel

AREA = (0.5, 1)  # share of the image in a crop, as in the paper's training


class Crop:
    """RandomResizedCrop(0.5, 1) to a preprocessing's size; the same draw gives the same crop."""

    def __init__(self, preprocess):
        size = preprocess(Image.new("RGB", (8, 8))).shape[-1]
        self.transform = RandomResizedCrop(size, AREA, interpolation=InterpolationMode.BICUBIC)

    def __call__(self, image, draw):
        # Leave the global generator as it was.
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(draw)  # the GPU's generator is untouched
            return self.transform(image)


class CroppedImages:
    """The images of a sequence, each in one crop determined by (seed, its index)."""

    def __init__(self, images, crop, seed):
        self.images, self.crop, self.seed = images, crop, seed
        self.draws = np.random.default_rng(seed).integers(2**31, size=len(images))

    def __len__(self):
        return len(self.images)

    def __getitem__(self, i):
        return self.crop(self.images[i], int(self.draws[i]))

    @property
    def key(self) -> str:
        """Digest of the images' key and of what determines the crops."""
        return digest((self.images.key, repr(self.crop.transform), self.seed))


def image_views(
    clip: ClipModel,
    dataset: Any,
    n_views: int,
    seed: int = 0,
    store: str | Path | None = None,
    **options: Any,
) -> torch.Tensor:
    """Trunk features of several crops of each image, for cached training with augmentation.

    Parameters
    ----------
    clip : ClipModel
    dataset : LabelledImages or CaptionedImages
    n_views : int
    seed : int, default 0
        With v and i, determines view v of image i.
    store, **options
        See `featpurity.features.extract.each_image_trunk_features`.

    Returns
    -------
    features : float32 tensor of shape (n_views, n, width_I), on the CPU

    Raises
    ------
    ValueError
        For fewer than one view, and as for `each_image_trunk_features`.
    """
    if n_views < 1:
        raise ValueError(f"n_views: expected 1 or more, got {n_views}")
    crop, views = Crop(clip.preprocess), []
    for view in range(n_views):
        images = CroppedImages(dataset.images, crop, [seed, view])
        views.append(replace(dataset, images=images))
    found = each_image_trunk_features([clip], views, store, **options)
    return torch.stack([features for (features,) in found])


def pair_features(
    clip: ClipModel,
    captioned: CaptionedImages,
    n_views: int | None = None,
    *,
    workers: int = 0,
    compiled: bool = False,
    **stored: Any,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Trunk features of image-caption pairs, for cached fine-tuning.

    Parameters
    ----------
    clip : ClipModel
    captioned : CaptionedImages
    n_views : int, optional
        Number of random crops of each image, see `image_views`, instead of the image itself.
    workers, compiled, **stored
        See `featpurity.features.extract.each_image_trunk_features`.

    Returns
    -------
    images : float32 tensor of shape (n, width_I) or (n_views, n, width_I)
    texts : float32 tensor of shape (n, width_T), of the best captions
    """
    decoding = stored | dict(workers=workers, compiled=compiled)
    if n_views is None:
        images = image_trunk_features(clip, captioned, **decoding)
    else:
        images = image_views(clip, captioned, n_views, **decoding)
    return images, text_trunk_features(clip, captioned.best_captions, **stored)
