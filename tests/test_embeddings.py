"""Trunk features and embeddings: equal to the plain way, kept, mended, shared and resumed."""

import multiprocessing
import os
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from featpurity import store as store_module
from featpurity.datasets import LabelledImages
from featpurity.embeddings import (embed_images, embed_texts, image_trunk_features, image_trunk_features_of,
                                   text_trunk_features)
from featpurity.images import ImageArrays, class_tree

to_pixels_calls = []


def to_pixels(picture):
    to_pixels_calls.append(picture)
    return torch.from_numpy(np.asarray(picture).copy()).permute(2, 0, 1).float() / 255


class TinyClip:
    """Two linear trunks and projections, with what the store needs to know about them."""

    d, device, preprocess_name, logit_scale = 5, torch.device("cpu"), "native", 1.0

    def __init__(self, seed=0):
        draw = torch.Generator().manual_seed(seed)
        self.name, self.image_key, self.text_key = f"tiny{seed}", f"image{seed}", f"text{seed}"
        self.preprocess = to_pixels
        self.image_weights = torch.randn(7, 3 * 8 * 8, generator=draw)
        self.text_weights = torch.randn(6, 4, generator=draw)
        self.image_neurons, self.text_neurons = torch.randn(5, 7, generator=draw), torch.randn(5, 6, generator=draw)
        self.batches = []

    def image_trunk(self, x):
        self.batches.append(len(x))
        return F.linear(x.flatten(1), self.image_weights.to(x.device))

    def text_trunk(self, tokens):
        self.batches.append(len(tokens))
        return F.linear(tokens.float(), self.text_weights)

    def tokenizer(self, texts):
        return torch.tensor([[len(text), text.count("a"), text.count("b"), text.count(" ")] for text in texts])

    def project_image(self, trunk):
        return trunk @ self.image_neurons.T

    def project_text(self, trunk):
        return trunk @ self.text_neurons.T


def pictures(n=50):
    pixels = np.random.default_rng(0).integers(0, 256, (n, 8, 8, 3), dtype=np.uint8)
    images = ImageArrays(pixels)
    return LabelledImages("noise", ["a", "b"], torch.arange(n) % 2, images, images.key)


@pytest.fixture(autouse=True)
def small_shards(monkeypatch):
    monkeypatch.setattr(store_module, "ROWS", 16)
    to_pixels_calls.clear()


def plain(clip, dataset):
    return clip.image_trunk(torch.stack([to_pixels(picture) for picture, _ in dataset]))


def shards(folder):
    return sorted(Path(folder).glob("*/*.safetensors"))


def test_equal_to_the_plain_way_and_read_from_the_store_afterwards(tmp_path):
    clip, dataset = TinyClip(), pictures()
    expected = plain(clip, dataset)
    embeddings, labels = embed_images(clip, dataset, tmp_path, batch_size=7)
    torch.testing.assert_close(embeddings, F.normalize(expected @ clip.image_neurons.T, dim=1))
    assert torch.equal(labels, dataset.labels) and labels.dtype == torch.int64 and embeddings.dtype == torch.float32
    again = TinyClip()
    assert torch.equal(embed_images(again, dataset, tmp_path)[0], embeddings) and again.batches == []
    torch.testing.assert_close(image_trunk_features(clip, dataset), expected)  # without a store
    assert len(shards(tmp_path)) == 4 and not [path for path in tmp_path.rglob(".*") if path.is_file()]


def test_the_key_holds_model_images_and_precision(tmp_path):
    dataset = pictures()
    for clip, data, precision in [(TinyClip(), dataset, "fp32"), (TinyClip(1), dataset, "fp32"),
                                  (TinyClip(), dataset.subset(range(48)), "fp32"), (TinyClip(), dataset, "bf16")]:
        features = image_trunk_features(clip, data, tmp_path, precision=precision)
        assert clip.batches and features.dtype == torch.float32
        torch.testing.assert_close(features, plain(clip, data), atol=0.3 if precision == "bf16" else 1e-5, rtol=1e-5)


def cut_off(path):
    path.write_bytes(path.read_bytes()[:-9])


def edit(path):
    raw = bytearray(path.read_bytes())
    raw[-3] ^= 1
    path.write_bytes(raw)


def replace_by_another(path):
    path.write_bytes(shards(path.parent.parent)[0].read_bytes())


@pytest.mark.parametrize("damage", [cut_off, edit, replace_by_another, lambda path: path.write_bytes(b"")])
def test_a_damaged_shard_is_noticed_and_only_it_is_computed_again(tmp_path, damage):
    clip, dataset = TinyClip(), pictures()
    before = image_trunk_features(clip, dataset, tmp_path)
    damage(shards(tmp_path)[3])
    again = TinyClip()
    with pytest.warns(UserWarning, match="damaged and will be computed again"):
        after = image_trunk_features(again, dataset, tmp_path)
    torch.testing.assert_close(after, before)
    assert again.batches == [2]  # the last two of 50 rows
    image_trunk_features(again, dataset, tmp_path)
    assert again.batches == [2]


def test_a_killed_extraction_goes_on_from_its_last_finished_shard(tmp_path):
    clip, dataset = TinyClip(), pictures()
    trunk = clip.image_trunk

    def die_late(x):
        if sum(clip.batches) >= 40:
            raise KeyboardInterrupt
        return trunk(x)

    clip.image_trunk = die_late
    with pytest.raises(KeyboardInterrupt):
        image_trunk_features(clip, dataset, tmp_path, batch_size=8)
    again = TinyClip()
    features = image_trunk_features(again, dataset, tmp_path, batch_size=8)
    assert sum(again.batches) == 50 - 32  # two shards of 16 rows were finished
    torch.testing.assert_close(features, plain(again, dataset))


def test_models_that_share_a_preprocessing_share_the_decoding(tmp_path):
    clips, dataset = [TinyClip(0), TinyClip(1)], pictures()
    features = image_trunk_features_of(clips, dataset, tmp_path)
    assert len(to_pixels_calls) == 50
    for clip, found in zip(clips, features):
        torch.testing.assert_close(found, plain(clip, dataset))
    to_pixels_calls.clear()
    fresh = TinyClip(2)
    image_trunk_features_of([*clips, fresh], dataset, tmp_path, batch_size=16)
    assert len(to_pixels_calls) == 50 and sum(fresh.batches) == 50 and sum(clips[0].batches) == 100


def test_workers_give_the_same(tmp_path):
    clip, dataset = TinyClip(), pictures()
    torch.testing.assert_close(image_trunk_features(clip, dataset, tmp_path, workers=2, batch_size=8),
                               image_trunk_features(clip, dataset))


def test_a_picture_named_twice_is_computed_once(tmp_path):
    write_tree(tmp_path / "tree", 4)
    images, classes, labels = class_tree(tmp_path / "tree")
    images = images.subset([0, 1, 0, 3, 3])
    twice = LabelledImages("twice", classes, torch.tensor(labels)[[0, 1, 0, 3, 3]], images, images.key)
    clip = TinyClip()
    features = image_trunk_features(clip, twice)
    assert sum(clip.batches) == 3
    torch.testing.assert_close(features, plain(clip, twice))


def test_texts_are_kept_and_repeated_ones_computed_once(tmp_path):
    clip = TinyClip()
    texts = ["a", "a b", "a", "bb"] * 10
    features = text_trunk_features(clip, texts, tmp_path)
    assert sum(clip.batches) == 3
    torch.testing.assert_close(features, clip.text_trunk(clip.tokenizer(texts)))
    again = TinyClip()
    unit = embed_texts(again, texts, tmp_path)
    assert again.batches == [] and unit.shape == (40, 5)
    torch.testing.assert_close(unit.norm(dim=1), torch.ones(40))


def write_tree(folder, n):
    rng = np.random.default_rng(0)
    for i in range(n):
        path = folder / "ab"[i % 2] / f"{i}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(path)


def test_unreadable_images_are_all_named_before_the_model_runs(tmp_path):
    write_tree(tmp_path / "tree", 8)
    whole = (tmp_path / "tree/a/2.jpg").read_bytes()
    (tmp_path / "tree/a/2.jpg").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "tree/b/5.jpg").write_bytes(b"<html>not found</html>")
    images, classes, labels = class_tree(tmp_path / "tree")
    dataset = LabelledImages("tree", classes, torch.tensor(labels), images, images.key)
    clip = TinyClip()
    with pytest.raises(ValueError, match=r"2 of 8 images cannot be read") as error:
        embed_images(clip, dataset, tmp_path / "store")
    assert "2.jpg" in str(error.value) and "5.jpg" in str(error.value) and clip.batches == []


@pytest.mark.parametrize("options, message", [({"precision": "fp8"}, "expected one of fp32, bf16, fp16"),
                                              ({"batch_size": 0}, "batch size of 1 or more")])
def test_unknown_options(options, message):
    with pytest.raises(ValueError, match=message):
        image_trunk_features(TinyClip(), pictures(), **options)


def test_nothing_to_embed():
    with pytest.raises(ValueError, match="at least one row"):
        text_trunk_features(TinyClip(), [])


def test_features_that_are_not_finite_are_refused_and_not_kept(tmp_path):
    clip = TinyClip()
    clip.image_weights[0, 0] = torch.nan
    with pytest.raises(ValueError, match="features of tiny0 in fp32 hold NaN"):
        embed_images(clip, pictures(), tmp_path)
    assert not shards(tmp_path)


def test_a_broken_projection_is_refused(tmp_path):
    clip = TinyClip()
    clip.image_neurons[0, 0] = torch.inf
    with pytest.raises(ValueError, match="tiny0: embeddings hold NaN"):
        embed_images(clip, pictures())


def _extract(folder, rank, world):
    os.environ.update({"RANK": str(rank), "WORLD_SIZE": str(world)})
    torch.set_num_threads(1)
    clip, dataset = TinyClip(), pictures()
    features = image_trunk_features(clip, dataset, folder, batch_size=4, progress=False)
    assert torch.allclose(features, plain(clip, dataset), atol=1e-5)
    (Path(folder) / f"rows{rank}").write_text(str(sum(clip.batches) - 50))


@pytest.mark.parametrize("shares", [True, False])
def test_two_processes_at_once(tmp_path, shares):
    """Under torchrun they divide the shards; without it both do all, and both are right."""
    context = multiprocessing.get_context("fork")  # as data loaders do; a fresh start takes seconds of imports
    both = [context.Process(target=_extract, args=(tmp_path, rank * shares, 1 + shares)) for rank in range(2)]
    for process in both:
        process.start()
    for process in both:
        process.join(60)
    assert [process.exitcode for process in both] == [0, 0]
    rows = [int(path.read_text()) for path in tmp_path.glob("rows*")]
    assert not shares or sum(rows) == 50
    assert len(shards(tmp_path)) == 4
