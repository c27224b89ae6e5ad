"""Trunk features and embeddings: equal to the plain way, kept, mended, shared and resumed."""

import errno
import json
import multiprocessing
import os
import re
import shutil
import signal
import subprocess
import sys
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
import torch.nn.functional as F
import trees
from checkout import ROOT, run_notebook
from PIL import Image
from safetensors.torch import load_file, save_file
from tiny_clip import TinyClip, to_pixels, to_pixels_calls

from featpurity import profile
from featpurity.cli import main
from featpurity.data.datasets import LabelledImages, load_dataset
from featpurity.data.images import ImageArrays, ImageFiles
from featpurity.data.pairs import CaptionedImages, load_pairs
from featpurity.experiments import inputs, retrieval
from featpurity.features import extract, store
from featpurity.features.extract import (
    PRECISIONS,
    each_image_trunk_features,
    embed_images,
    embed_texts,
    image_trunk_features,
    picture_remarks,
    refuse_unreadable,
    text_trunk_features,
)
from featpurity.models import split
from featpurity.models.device import pick_device
from featpurity.models.load import load_model


def pictures(n=50):
    pixels = np.random.default_rng(0).integers(0, 256, (n, 8, 8, 3), dtype=np.uint8)
    images = ImageArrays(pixels)
    return LabelledImages("noise", ["a", "b"], torch.arange(n) % 2, images)


@pytest.fixture(autouse=True)
def small_shards(monkeypatch):
    monkeypatch.setattr(store, "ROWS", 16)
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
    assert (
        torch.equal(labels, dataset.labels)
        and labels.dtype == torch.int64
        and embeddings.dtype == torch.float32
    )
    again = TinyClip()
    assert (
        torch.equal(embed_images(again, dataset, tmp_path)[0], embeddings) and again.batches == []
    )
    torch.testing.assert_close(image_trunk_features(clip, dataset), expected)  # without a store
    assert len(shards(tmp_path)) == 4 and not [
        path for path in tmp_path.rglob(".*") if path.is_file()
    ]


def test_the_key_holds_model_images_and_precision(tmp_path):
    dataset = pictures()
    for clip, data, precision in [
        (TinyClip(), dataset, "fp32"),
        (TinyClip(1), dataset, "fp32"),
        (TinyClip(), dataset.subset(range(48)), "fp32"),
        (TinyClip(), dataset, "bf16"),
    ]:
        features = image_trunk_features(clip, data, tmp_path, precision=precision)
        assert clip.batches and features.dtype == torch.float32
        torch.testing.assert_close(
            features, plain(clip, data), atol=0.3 if precision == "bf16" else 1e-5, rtol=1e-5
        )


@pytest.mark.parametrize("precision, bits", [("fp16", 10), ("bf16", 7)])
def test_half_precisions_are_close_to_full_and_are_really_half(tmp_path, precision, bits):
    clip, dataset = TinyClip(), pictures()
    full, half = (
        image_trunk_features(clip, dataset),
        image_trunk_features(clip, dataset, tmp_path, precision=precision),
    )
    assert 0 < (half - full).abs().max() < 4 * 2**-bits * full.abs().max()
    kept = torch.cat([load_file(path)["features"] for path in shards(tmp_path)])
    assert kept.dtype == PRECISIONS[precision] and torch.equal(kept.float(), half)


def test_a_compiled_tower_gives_the_same_for_batches_of_any_size(monkeypatch):
    clip, dataset, compiled, compile = TinyClip(), pictures(), [], torch.compile

    def counted(trunk):
        compiled.append(trunk)
        return compile(trunk, backend="eager")  # its graph, without the minutes of a real backend

    monkeypatch.setattr(torch, "compile", counted)
    features = image_trunk_features(clip, dataset, compiled=True, batch_size=7)
    image_trunk_features(clip, dataset)
    assert len(compiled) == 1  # only when asked for
    torch.testing.assert_close(features, plain(clip, dataset))


def test_towers_see_channels_last_images_and_plain_tokens():
    clip, seen = TinyClip(), []
    clip.image_trunk = lambda x: seen.append(x) or x.flatten(1)
    image_trunk_features(clip, pictures())
    clip.text_trunk = lambda x: seen.append(x) or x.float()
    text_trunk_features(clip, ["a b", "a"])
    images, tokens = seen[0], seen[-1]
    assert images.shape == (16, 3, 8, 8) and images.is_contiguous(memory_format=torch.channels_last)
    assert not images.is_contiguous() and tokens.is_contiguous()


def cut_off(path):
    path.write_bytes(path.read_bytes()[:-9])


def edit(path):
    raw = bytearray(path.read_bytes())
    raw[-3] ^= 1
    path.write_bytes(raw)


def replace_by_another(path):
    path.write_bytes(shards(path.parent.parent)[0].read_bytes())


@pytest.mark.parametrize(
    "damage", [cut_off, edit, replace_by_another, lambda path: path.write_bytes(b"")]
)
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


def test_a_store_that_only_its_owner_reads_is_no_obstacle(tmp_path, monkeypatch):
    for name in ("a/0.jpg", "b/1.jpg"):
        trees.photo(tmp_path / "tree" / name)
    clip, dataset = load_model("photos_clip"), load_dataset(f"folder:{tmp_path}/tree")
    expected = image_trunk_features(clip, dataset, tmp_path / "store")

    def refuse(path, *_, **__):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(store.os, "access", lambda *_: False)
    monkeypatch.setattr(Path, "read_text", refuse)
    with pytest.warns(UserWarning, match="may not be read: what it holds is computed"):
        features = image_trunk_features(clip, dataset, tmp_path / "store")
    torch.testing.assert_close(features, expected)


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


def _extract_half(folder, told):
    store.ROWS = 16  # this process knows nothing of the fixture
    clip = TinyClip()
    trunk = clip.image_trunk

    def waiting(x):
        if len(shards(folder)) == 2:
            told.send("two shards")
            told.recv()  # for ever: nobody answers
        return trunk(x)

    clip.image_trunk = waiting
    image_trunk_features(clip, pictures(), folder, batch_size=8, progress=False)


def test_a_process_that_was_killed_leaves_its_finished_shards_and_no_trace_of_the_others(tmp_path):
    # Started afresh: a fork of a process whose torch has computed with threads can hang.
    ours, its = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(
        target=_extract_half, args=(tmp_path, its)
    )
    process.start()
    assert ours.poll(120)
    os.kill(process.pid, signal.SIGKILL)
    process.join(60)
    assert process.exitcode == -signal.SIGKILL and len(shards(tmp_path)) == 2
    half = shards(tmp_path)[0].with_name(".000000032.safetensors.01234567.part")
    half.write_bytes(shards(tmp_path)[0].read_bytes()[:99])  # as a kill in the middle of writing
    os.utime(half, (0, 0))
    again = TinyClip()
    features = image_trunk_features(again, pictures(), tmp_path, batch_size=8)
    assert sum(again.batches) == 50 - 32
    torch.testing.assert_close(features, plain(again, pictures()))
    assert set(half.parent.iterdir()) == set(shards(tmp_path))


def test_models_that_share_a_preprocessing_share_the_decoding(tmp_path):
    clips, dataset = [TinyClip(0), TinyClip(1)], pictures()
    (features,) = each_image_trunk_features(clips, [dataset], tmp_path)
    assert len(to_pixels_calls) == 50
    for clip, found in zip(clips, features):
        torch.testing.assert_close(found, plain(clip, dataset))
    to_pixels_calls.clear()
    fresh = TinyClip(2)
    list(each_image_trunk_features([*clips, fresh], [dataset], tmp_path, batch_size=16))
    assert len(to_pixels_calls) == 50 and sum(fresh.batches) == 50 and sum(clips[0].batches) == 100


def test_preprocessings_that_print_alike_are_not_taken_for_one():
    class Filled:
        def __init__(self, shade):
            self.shade = shade

        def __call__(self, picture):
            return to_pixels(picture) + self.shade

        def __repr__(self):
            return "Filled()"

    clips, dataset = [TinyClip(0), TinyClip(1)], pictures()
    for shade, clip in enumerate(clips):
        clip.preprocess = Filled(shade)
    (features,) = each_image_trunk_features(clips, [dataset])
    for clip, found in zip(clips, features):
        pixels = torch.stack([clip.preprocess(picture) for picture, _ in dataset])
        torch.testing.assert_close(found, clip.image_trunk(pixels))
    assert load_model("photos_clip").preprocess is load_model("photos_laclip").preprocess


@pytest.mark.parametrize("workers", [0, 2])
def test_several_data_sets_go_through_one_loader(tmp_path, monkeypatch, workers):
    """In order, each as alone; what is stored is not decoded, and no process starts for nothing."""
    started = []
    loader = extract.DataLoader
    monkeypatch.setattr(
        extract,
        "DataLoader",
        lambda *given, **options: started.append(1) or loader(*given, **options),
    )
    clips = [TinyClip(0), TinyClip(1)]
    clips[1].preprocess = Halved()  # another preprocessing, of the same decoded picture
    datasets = [pictures(50), pictures(20), pictures(33)]
    image_trunk_features(clips[0], datasets[1], tmp_path)
    started.clear()
    options = {"workers": workers, "batch_size": 7, "progress": False}
    found = list(each_image_trunk_features(clips, datasets, tmp_path, **options))
    assert len(started) == 1
    for dataset, (first, second) in zip(datasets, found):
        torch.testing.assert_close(first, plain(clips[0], dataset))
        torch.testing.assert_close(second, plain(clips[1], dataset) / 2)
    again = list(each_image_trunk_features(clips, datasets, tmp_path, **options))
    assert len(started) == 1 and all(map(torch.equal, sum(found, []), sum(again, [])))


@pytest.mark.parametrize("stored", [True, False])
def test_data_sets_of_the_same_pictures_share_their_features(tmp_path, stored):
    """As the attributes of the generated world do, wherever they stand among the others."""
    clip, first, other = TinyClip(), pictures(50), pictures(20)
    second = replace(first, name="other labels", labels=1 - first.labels)
    datasets = [first, other, second]
    found = list(each_image_trunk_features([clip], datasets, tmp_path if stored else None))
    assert len(to_pixels_calls) == sum(clip.batches) == 50 + 20
    for dataset, (features,) in zip(datasets, found):
        torch.testing.assert_close(features, plain(clip, dataset))


class Halved:
    """A preprocessing that worker processes can be handed."""

    def __call__(self, picture):
        return to_pixels(picture) / 2


def test_a_picture_is_decoded_once_for_all_preprocessings(tmp_path):
    decoded = []

    class Counted(ImageArrays):
        def __getitem__(self, i):
            decoded.append(i)
            return super().__getitem__(i)

    clips, dataset = [TinyClip(0), TinyClip(1)], pictures()
    clips[1].preprocess = Halved()
    counted = replace(dataset, images=Counted(dataset.images.pixels))
    list(each_image_trunk_features(clips, [counted]))
    assert sorted(decoded) == list(range(50))


def test_workers_give_the_same(tmp_path):
    clip, dataset = TinyClip(), pictures()
    torch.testing.assert_close(
        image_trunk_features(clip, dataset, tmp_path, workers=2, batch_size=8),
        image_trunk_features(clip, dataset),
    )


def test_a_picture_named_twice_is_computed_once(tmp_path):
    write_tree(tmp_path / "tree", 4)
    twice = load_dataset(f"folder:{tmp_path / 'tree'}").subset([0, 1, 0, 3, 3])
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
    dataset = load_dataset(f"folder:{tmp_path / 'tree'}")
    clip = TinyClip()
    with pytest.raises(ValueError, match=r"2 of 8 images cannot be read") as error:
        embed_images(clip, dataset, tmp_path / "store")
    assert "2.jpg" in str(error.value) and "5.jpg" in str(error.value) and clip.batches == []


def test_pictures_that_viewers_would_turn_are_counted(tmp_path):
    write_tree(tmp_path / "tree", 4)
    dataset = load_dataset(f"folder:{tmp_path / 'tree'}")
    assert refuse_unreadable(dataset, tmp_path / "store") == []
    picture, exif = Image.open(tmp_path / "tree/a/2.jpg"), Image.Exif()
    exif[274] = 6
    picture.save(tmp_path / "tree/a/2.jpg", exif=exif)
    (tmp_path / "tree/b/1.jpg").unlink()
    Image.open(tmp_path / "tree/a/0.jpg").save(tmp_path / "tree/b/1.png", exif=exif)
    dataset = load_dataset(f"folder:{tmp_path / 'tree'}")
    told = refuse_unreadable(dataset, tmp_path / "store")
    assert len(told) == 1 and "2 pictures are measured as they are stored, lying" in told[0]
    assert refuse_unreadable(dataset, tmp_path / "store") == told  # remembered
    assert refuse_unreadable(dataset, None) == told
    shutil.rmtree(tmp_path / "tree")  # each is opened once
    told += picture_remarks([replace(dataset, skipped=("3.jpg",))], None)
    assert [line.split()[1] for line in told] == ["2", "1", "2"]  # turned; left out, turned


@pytest.mark.parametrize("orientation, turned", [(0, 0), (1, 0), (8, 1), (9, 0), (None, 0)])
def test_exif_data_that_turn_nothing_are_not_counted(tmp_path, orientation, turned):
    exif = Image.Exif()
    exif[274] = orientation or 0
    content = b"Exif\0\0no TIFF header" if orientation is None else exif
    Image.new("RGB", (4, 4)).save(tmp_path / "0.jpg", exif=content)
    assert ImageFiles(tmp_path, ["0.jpg"]).opened == ({}, ["0.jpg"] * turned)


def test_captions_that_fill_the_context_are_counted():
    clip = inputs.load_model("scenes_clip", "cpu")
    texts, rewrites = ["a red square", "word " * 30, ""], [["blue " * 20], [], ["a " * 21]]
    pairs = CaptionedImages("few", texts, rewrites, None)
    (told,) = extract.cut_captions(clip, pairs)
    assert told.startswith("few: 1 of the first 5 captions fill the context of scenes_clip, 24 ")
    assert not extract.cut_captions(clip, replace(pairs, captions=["a"] * 3, rewrites=[[]] * 3))


def test_classes_that_the_tokenizer_cannot_tell_apart_are_refused(tmp_path):
    clip = inputs.load_model("scenes_clip", "cpu")
    long = "a very long name of many words " * 5
    for classes in (["cat", "dog", "Cat"], ["dog", f"{long} cat", f"{long} dog"]):
        told = f"cannot tell the classes {classes[-2 if len(classes[1]) > 3 else 0]!r:.80}"
        for embedded in (extract.embed_classes, extract.class_embeddings):
            with pytest.raises(ValueError, match=re.escape(told)):
                embedded(clip, classes, ["a photo of a {}"])
    start = f"{long} {{}}"  # cut before the class
    assert len(extract.class_embeddings(clip, ["cat", "dog"], [start, "a {c}"])) == 2
    missile = ["missile", "missile"]  # two classes of ImageNet with one name
    assert len(extract.class_embeddings(clip, missile, ["a photo of a {}"])) == 2


@pytest.mark.parametrize(
    "options, message",
    [
        ({"precision": "fp8"}, "expected one of fp32, bf16, fp16"),
        ({"batch_size": 0}, "batch size of 1 or more"),
    ],
)
def test_unknown_options(options, message):
    with pytest.raises(ValueError, match=message):
        image_trunk_features(TinyClip(), pictures(), **options)


@pytest.mark.parametrize("workers", [0, 1])
def test_the_global_generator_stays_where_it_is(workers):
    state = torch.get_rng_state()
    embed_images(load_model("scenes_clip"), pictures(4), workers=workers)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("device", ["gpu", 7.5])
def test_an_unknown_device_is_told_before_a_tower_runs(device):
    for embed, given in [(embed_images, pictures(4)), (embed_texts, ["a dog"])]:
        clip = TinyClip()
        with pytest.raises(ValueError, match="device: expected auto, cpu"):
            embed(clip, given, device=device)
        assert clip.batches == []


def test_labels_are_the_caller_s_own():
    dataset = pictures(4)
    embed_images(TinyClip(), dataset)[1].zero_()
    assert dataset.labels.tolist() == [0, 1, 0, 1]


@pytest.mark.parametrize("texts", ["a dog", ["a dog", None]])
def test_a_text_is_no_list_of_texts(texts):
    with pytest.raises(ValueError, match="texts: expected a list of texts"):
        text_trunk_features(TinyClip(), texts)


def test_nothing_to_embed():
    with pytest.raises(ValueError, match="at least one row"):
        text_trunk_features(TinyClip(), [])


def test_a_shard_can_be_read_by_others(tmp_path):
    before = os.umask(0o022)
    image_trunk_features(TinyClip(), pictures(), tmp_path)
    os.umask(before)
    assert {path.stat().st_mode & 0o777 for path in shards(tmp_path)} == {0o644}


def test_a_store_below_the_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    write_tree(tmp_path / "tree", 4)
    dataset = load_dataset(f"folder:{tmp_path / 'tree'}")
    image_trunk_features(TinyClip(), dataset, "~/store")
    assert {path.name for path in tmp_path.iterdir()} == {"tree", "store"}
    assert len(list((tmp_path / "store").iterdir())) == 2  # the features, and who can be read


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS])
def test_of_a_store_that_is_read_only_what_is_there_is_read(tmp_path, monkeypatch, number):
    clip, dataset, full = TinyClip(), pictures(), TinyClip()
    expected = image_trunk_features(clip, dataset, tmp_path)
    shards(tmp_path)[1].unlink()
    write_tree(tmp_path / "tree", 4)
    photos = load_dataset(f"folder:{tmp_path / 'tree'}")

    def refused(path, *_):
        raise OSError(number, os.strerror(number), str(path))

    monkeypatch.setattr(store, "write_tensors", refused)
    monkeypatch.setattr(extract, "write_text", refused)
    again = TinyClip()
    with pytest.warns(UserWarning, match="cannot be written .*: what is computed now stays in mem"):
        assert torch.equal(image_trunk_features(again, dataset, tmp_path), expected)
    assert again.batches == [16] and len(shards(tmp_path)) == 3
    with pytest.warns(UserWarning, match="cannot be written"):
        torch.testing.assert_close(
            image_trunk_features(full, photos, tmp_path), plain(full, photos)
        )
    monkeypatch.setenv("WORLD_SIZE", "2")  # another process waits for the file
    monkeypatch.setenv("RANK", "1")
    with pytest.raises(OSError, match=os.strerror(number)):
        image_trunk_features(again, dataset, tmp_path)


def test_a_full_disk_is_told_with_the_shard_s_path(tmp_path, monkeypatch):
    def full(path, *_):
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(store, "write_tensors", full)
    with pytest.raises(OSError, match=rf"No space left on device: '{tmp_path}/.*/000000000.safet"):
        image_trunk_features(TinyClip(), pictures(), tmp_path)


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
    context = multiprocessing.get_context(
        "fork"
    )  # as data loaders do; a fresh start takes seconds of imports
    both = [
        context.Process(target=_extract, args=(tmp_path, rank * shares, 1 + shares))
        for rank in range(2)
    ]
    for process in both:
        process.start()
    for process in both:
        process.join(60)
    assert [process.exitcode for process in both] == [0, 0]
    rows = [int(path.read_text()) for path in tmp_path.glob("rows*")]
    assert not shares or sum(rows) == 50
    assert len(shards(tmp_path)) == 4


def test_a_process_that_died_is_not_waited_for_for_ever(tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setattr(store, "PATIENCE", 0.2)
    with pytest.raises(
        TimeoutError,
        match=r"waited 0.2 s for 2 shards .*rows 16 .. 31, 48 .. 49\).*did one of them die",
    ):
        image_trunk_features(TinyClip(), pictures(), tmp_path)
    assert len(shards(tmp_path)) == 2  # its own are kept


def test_a_damaged_shard_of_another_process_is_told_once_and_read_once_it_is_mended(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(store, "PATIENCE", 0.2)
    monkeypatch.setattr(store, "PAUSE", 0.01)
    image_trunk_features(TinyClip(), pictures(), tmp_path)
    path = shards(tmp_path)[1]
    whole = path.read_bytes()
    cut_off(path)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        waiting = store.Shards(
            tmp_path, ("image", "image0", "native", pictures().images_key, "fp32"), 50
        )
        with pytest.raises(TimeoutError):
            waiting.wait_for_others()
    assert len(told) == 1 and "damaged" in str(told[0].message)
    path.with_suffix(".new").write_bytes(whole)
    path.with_suffix(".new").replace(path)
    waiting.wait_for_others()
    assert not waiting.missing


TINY = {
    "embed_dim": 24,
    "vision_cfg": {"image_size": 32, "patch_size": 16, "width": 64, "layers": 1, "head_width": 32},
    "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1},
}


def write_profile(folder, n=2100):
    """Two models with random weights, 2,100 pictures in class folders, their captions: two shards of each."""
    for seed, name in enumerate(["raw", "better"]):
        torch.manual_seed(seed)
        (folder / name).mkdir()
        save_file(
            split.build({"model_cfg": TINY}).state_dict(),
            folder / name / "open_clip_model.safetensors",
        )
        (folder / name / "open_clip_config.json").write_text(json.dumps({"model_cfg": TINY}))
    write_tree(folder / "tree", n)
    rows = [
        f"{path.relative_to(folder)},caption {i}"
        for i, path in enumerate(sorted(folder.glob("tree/*/*.jpg")))
    ]
    (folder / "pairs.csv").write_text("\n".join(["image,caption", *rows]))
    (folder / "_toc.yml").touch()  # the project's root, which the store's folder is relative to
    (folder / "tiny.yaml").write_text(
        "chapters: [01_clip_vs_laclip, 03_misalignment]\nclip_models: ['local-dir:raw']\n"
        "laclip_models: ['local-dir:better']\nfinetune_model: 'local-dir:better'\ndatasets: ['folder:tree']\n"
        "prompts: paper\npairs: pairs.csv\nmodels_per_job: 2\ndevice: cpu\nembed_batch_size: 100\n"
    )


@pytest.mark.slow
def test_two_processes_of_torchrun_fill_the_store_as_the_notebook_does(tmp_path, monkeypatch):
    write_profile(tmp_path)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    done = subprocess.run(
        [*torchrun, "-m", "featpurity", "embed", "tiny.yaml"],
        cwd=tmp_path,
        text=True,
        timeout=300,
        capture_output=True,
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    monkeypatch.setattr(store, "ROWS", 2048)
    given = profile.load(tmp_path / "tiny.yaml").parameters() | {
        "models": ["local-dir:raw", "local-dir:better"]
    }
    monkeypatch.chdir(tmp_path)
    alone = given | {"store_dir": "alone"}
    run_notebook("steps/embed.ipynb", **alone | {"pairs": None})
    run_notebook("steps/embed.ipynb", **alone | {"models": ["local-dir:better"], "datasets": []})
    names = [path.relative_to(tmp_path / "store") for path in shards(tmp_path / "store")]
    # two shards each of the pictures for two models, of the pairs' pictures and of their captions for one
    assert len(names) == 8 and names == [
        path.relative_to(tmp_path / "alone") for path in shards(tmp_path / "alone")
    ]
    for name in names:
        torch.testing.assert_close(
            load_file(tmp_path / "store" / name), load_file(tmp_path / "alone" / name)
        )
    before = {path: path.stat().st_mtime_ns for path in shards(tmp_path / "store")}
    run_notebook("steps/embed.ipynb", **given | {"pairs": None})
    assert {path: path.stat().st_mtime_ns for path in shards(tmp_path / "store")} == before


def test_embed_stores_the_pairs_of_every_chapter_that_reads_them(tmp_path, monkeypatch):
    write_profile(tmp_path, 12)
    monkeypatch.chdir(tmp_path)
    chapters = "chapters=[10_retrieval_and_probe, 11_neurons]"
    assert main(["embed", "tiny.yaml", chapters, "n_pairs=8", "atlas_pairs=5"]) == 0
    clips = {name: load_model(f"local-dir:{name}") for name in ["raw", "better"]}
    monkeypatch.setattr(extract, "runner", lambda *_: lambda _: pytest.fail("a tower ran"))
    captioned = load_pairs("pairs.csv", tmp_path, 8)
    retrieval.retrieve(clips, captioned, [], store=tmp_path / "store")
    for clip in clips.values():
        extract.image_trunk_features(clip, captioned.subset(range(5)), tmp_path / "store")


def test_embed_stores_the_training_images_of_probes_for_the_models_that_are_probed(
    tmp_path, monkeypatch
):
    write_profile(tmp_path, 12)
    write_tree(tmp_path / "data/pets/test", 6)
    write_tree(tmp_path / "data/pets/train", 8)
    monkeypatch.chdir(tmp_path)
    settings = ["datasets=[pets]", "n_pairs=8", "models_per_job=1"]
    chapters = "chapters=[10_retrieval_and_probe, 03_misalignment]"
    settings += ["clip_models=[]", "laclip_models=['local-dir:raw']", "n_random_orders=2"]
    assert main(["embed", "tiny.yaml", chapters, *settings]) == 0
    monkeypatch.setattr(extract, "runner", lambda *_: lambda _: pytest.fail("a tower ran"))
    monkeypatch.setattr(inputs, "embed_classes", lambda *_, **__: torch.ones(2, 4))
    options = dict(store=tmp_path / "store", device="cpu", training=True)
    loaded = inputs.load(["local-dir:raw"], ["pets"], "paper", **options)
    assert [len(seen.labels) for seen in loaded.training.values()] == [8]
    assert len(loaded.training_data["pets"]) == 8 and len(loaded.data["pets"]) == 6
    with pytest.raises(pytest.fail.Exception, match="a tower ran"):
        inputs.load(["local-dir:better"], ["pets"], "paper", **options)
    tested = inputs.load(["local-dir:better"], ["pets"], "paper", **options | {"training": False})
    assert tested.training == {}


def test_embed_refuses_a_model_that_the_profile_does_not_name(capsys):
    assert main(["embed", "demo", "--models", "scenes"]) == 2
    said = "profile demo names no scenes; its models: scenes_clip, scenes_laclip"
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    "setting, message",
    [
        ({"compiled": 1}, "compiled must be of type bool, got 1"),
        ({"embed_batch_size": True}, "embed_batch_size must be of type int, got True"),
        ({"embed_batch_size": 0}, "embed_batch_size must be at least 1, got 0"),
        ({"models_per_job": 0}, "models_per_job must be at least 1, got 0"),
    ],
)
def test_settings_of_a_profile_are_checked(setting, message):
    assert profile.Profile(compiled=True).compiled is True
    with pytest.raises(ValueError, match=message):
        profile.Profile(**setting)


@pytest.mark.parametrize(
    "rank, device", [(None, "cuda"), ("0", "cuda:0"), ("3", "cuda:3"), ("5", "cuda:1")]
)
def test_under_torchrun_each_process_takes_its_own_card(monkeypatch, rank, device):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.setenv("LOCAL_RANK", rank) if rank else monkeypatch.delenv(
        "LOCAL_RANK", raising=False
    )
    assert str(pick_device("auto")) == str(pick_device("cuda")) == device
    assert str(pick_device("cuda:2")) == "cuda:2"


@pytest.mark.parametrize(
    "device, name, patch, width",
    [("meta", "ViT-B-16", 16, 768), ("cpu", "ViT-S-32", 32, 384)],
    ids=["meta", "cpu"],
)
def test_the_benchmark_counts_all_operations_of_a_vit(monkeypatch, device, name, patch, width):
    """12 layers of 24 n w^2 + 4 n^2 w operations for n tokens of width w, and the patches."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    monkeypatch.delitem(sys.modules, "embeddings", raising=False)
    import embeddings as benchmark

    trunk = open_clip.create_model(name, load_weights=False, device="meta").visual
    trunk.proj = None
    if device == "cpu":
        trunk = trunk.to_empty(device=device)  # numbers do not matter
    n = (224 // patch) ** 2 + 1
    layers = 12 * (24 * n * width**2 + 4 * n**2 * width)
    expected = layers + 2 * (n - 1) * 3 * patch**2 * width
    assert benchmark.operations(trunk.eval(), 224, device) == pytest.approx(expected, rel=0.001)
    assert device == "cpu" or expected == pytest.approx(35.1e9, rel=0.01)
