"""Augmented views: crops that come again, features that are kept, and what online training sees."""

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_clip import TinyClip, to_pixels

from featpurity.data.images import ImageArrays
from featpurity.data.pairs import CaptionedImages
from featpurity.features.crops import Crop, CroppedImages, image_views
from featpurity.training.online import DrawnPairs

N = 12


@pytest.fixture
def pairs():
    pixels = np.random.default_rng(0).integers(0, 256, (N, 11, 9, 3), np.uint8)
    images = ImageArrays(pixels)
    return CaptionedImages(
        "toy", [f"picture {i}" for i in range(N)], [[] for _ in range(N)], images
    )


def test_a_crop_follows_from_its_draw_and_leaves_the_generator_alone(pairs):
    crop = Crop(lambda image: to_pixels(image.resize((8, 8))))
    before = torch.random.get_rng_state()
    first, again, other = (np.asarray(crop(pairs.images[0], draw)) for draw in (3, 3, 4))
    assert torch.equal(before, torch.random.get_rng_state())
    assert (
        np.array_equal(first, again)
        and not np.array_equal(first, other)
        and first.shape == (8, 8, 3)
    )


def test_crops_show_at_least_half_of_the_image():
    stripes = Image.fromarray(np.repeat(np.arange(100, dtype=np.uint8)[None], 100, axis=0)).convert(
        "RGB"
    )
    crop = Crop(lambda image: to_pixels(image.resize((100, 100))))
    widths = [
        np.ptp(np.asarray(crop(stripes, draw))[..., 0].astype(int)) + 1 for draw in range(200)
    ]
    # at least half of the area at a ratio of sides from 3/4 to 4/3: at least sqrt(0.5 * 3/4) of the width
    assert min(widths) >= 100 * (0.5 * 0.75) ** 0.5 - 2 and max(widths) > 95


def test_views_are_what_the_tower_makes_of_the_crops(pairs):
    clip = TinyClip()
    views = image_views(clip, pairs, 3, seed=5, progress=False)
    assert views.shape == (3, N, 7) and not torch.equal(views[0], views[1])
    images = CroppedImages(pairs.images, Crop(clip.preprocess), [5, 2])
    plain = torch.stack([clip.image_trunk(to_pixels(image)[None])[0] for image in images])
    torch.testing.assert_close(views[2], plain)


def test_stored_views_are_read_back_and_another_seed_makes_others(pairs, tmp_path):
    clip = TinyClip()
    views = image_views(clip, pairs, 2, store=tmp_path, progress=False)
    clip.batches.clear()
    assert (
        torch.equal(image_views(clip, pairs, 2, store=tmp_path, progress=False), views)
        and not clip.batches
    )
    assert not torch.equal(
        image_views(clip, pairs, 1, seed=1, store=tmp_path, progress=False)[0], views[0]
    )
    with pytest.raises(ValueError, match="n_views: expected 1 or more, got 0"):
        image_views(clip, pairs, 0)


def test_online_training_crops_alike(pairs):
    clip = TinyClip()
    seen = DrawnPairs(
        pairs.images, [[caption] for caption in pairs.captions], clip.preprocess, augment=True
    )
    images = CroppedImages(pairs.images, Crop(clip.preprocess), 9)
    for i in range(N):
        assert torch.equal(seen[i, images.draws[i], 0][0], to_pixels(images[i]))
