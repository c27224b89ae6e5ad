"""Every published data set read from a small tree in its own layout."""

import shutil
from dataclasses import replace

import layouts
import numpy as np
import open_clip
import pytest
import torch
from layouts import BY_HAND, LAYOUTS
from trees import PHOTO, photo

from featpurity import load_dataset
from featpurity.data import catalog, class_names
from featpurity.data.datasets import load_splits
from featpurity.data.published import CALTECH_WORDS


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.__name__)
def test_read_from_its_own_layout(layout, tmp_path, monkeypatch):
    labels, raw, words = layout(tmp_path, monkeypatch)
    dataset = load_dataset(layout.__name__, root=tmp_path, download=False)
    assert dataset.labels.tolist() == labels and dataset.labels.dtype == torch.int64
    assert dataset.classes == words and len(dataset) == len(labels) == len(list(dataset))
    picture, label = dataset[1]
    assert picture.mode == "RGB"
    if catalog.CATALOG[layout.__name__].several:
        assert label.tolist() == labels[1]
    else:
        assert isinstance(label, int) and label == labels[1]
    assert load_dataset(layout.__name__, root=tmp_path, class_names="raw").classes == raw


def test_pixels_are_the_ones_written(tmp_path, monkeypatch):
    layouts.cifar10(tmp_path, monkeypatch)
    assert np.array_equal(load_dataset("cifar10", root=tmp_path)[2][0], PHOTO[2])
    layouts.stl10(tmp_path, monkeypatch)
    written = np.random.default_rng(1).integers(0, 256, (2, 3, 96, 96), dtype=np.uint8)
    assert np.array_equal(
        load_dataset("stl10", root=tmp_path)[1][0], written[1].transpose(2, 1, 0)
    )  # column by column


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.__name__)
def test_where_it_lies_and_whether_it_changed_is_known_without_reading(
    layout, tmp_path, monkeypatch
):
    name = layout.__name__
    folders = {file.split("/")[0] for file in catalog.CATALOG[name].files}
    for folder in folders:
        (tmp_path / folder).mkdir()  # an empty folder is no data set
    before = catalog.find(name, tmp_path)
    assert before.kind == catalog.data_state(name, tmp_path) == "absent"
    assert before.missing if layout in BY_HAND else before.megabytes > 0
    for folder in folders:
        (tmp_path / folder).rmdir()
    layout(tmp_path, monkeypatch)
    found = catalog.find(name, tmp_path)
    assert (found.kind, found.megabytes, found.missing) == ("torchvision", 0, None)
    assert f"{found.images:,} images, {found.classes} classes" == found.what
    state = catalog.data_state(name, tmp_path)
    assert state == catalog.data_state(name, tmp_path)
    changed = next(path for path in sorted(tmp_path.rglob("*")) if path.is_file())
    changed.write_bytes(changed.read_bytes() + b" ")
    assert catalog.data_state(name, tmp_path) != state


def assert_lacking(name, root):
    """Training images that are not beside the test images are no error and no second download."""
    lines = catalog.without_training([name, "eurosat"], root)
    if name == "gtsrb":  # they are an archive of their own
        assert lines == [] and catalog.find_training(name, root).megabytes == 187
        return
    assert len(load_splits(name, root)) == 1
    (line,) = lines
    assert line.startswith(f"{name}: its training images are not beside its test images (")


DIVIDED = [layout for layout in LAYOUTS if catalog.CATALOG[layout.__name__].train]
WITH_TRAINING = ["cifar10", "cifar100", "flowers102", "mnist"]  # in the files of the test images


@pytest.mark.parametrize("layout", DIVIDED, ids=lambda layout: layout.__name__)
def test_training_images_are_those_of_the_same_layout_or_none(layout, tmp_path, monkeypatch):
    name, record = layout.__name__, catalog.CATALOG[layout.__name__]
    monkeypatch.setitem(
        catalog.CATALOG, name, replace(record, open=lambda *at: record.open(*at[:2], False))
    )  # what is there is not downloaded
    found = catalog.find_training(name, tmp_path)
    assert found.images == record.train.images and bool(found.missing) == (layout in BY_HAND)
    layout(tmp_path, monkeypatch)
    if name not in WITH_TRAINING:
        assert_lacking(name, tmp_path)
    labels = layouts.train(name, tmp_path, monkeypatch)
    test, train = load_splits(name, tmp_path)
    assert train.labels.tolist() == labels and len(list(train)) == len(labels)
    assert test.classes == train.classes and test.name == name != train.name
    assert catalog.without_training([name], tmp_path) == []
    alone = load_dataset(name, tmp_path, split="train")
    assert alone.name == name and alone.images_key == train.images_key
    assert len(load_splits(name, tmp_path, training=False)) == 1


@pytest.mark.parametrize("lost", [0, 42])
def test_half_extracted_training_images_of_gtsrb_are_refused(tmp_path, monkeypatch, lost):
    record = catalog.CATALOG["gtsrb"]
    without_download = replace(record, open=lambda *at: record.open(*at[:2], False))
    monkeypatch.setitem(catalog.CATALOG, "gtsrb", without_download)
    layouts.gtsrb(tmp_path, monkeypatch)
    layouts.train("gtsrb", tmp_path, monkeypatch)
    shutil.rmtree(tmp_path / f"gtsrb/GTSRB/Training/{lost:05d}")
    with pytest.raises(ValueError, match="Training: expected 43 folders of images, got 42"):
        load_dataset("gtsrb", tmp_path, split="train")


DOWNLOADS = {
    "food101": "datasets.Food101._download",
    "cifar10": "datasets.CIFAR10.download",
    "cifar100": "datasets.CIFAR10.download",
    "caltech101": "datasets.Caltech101.download",
    "pets": "datasets.OxfordIIITPet._download",
    "stl10": "datasets.STL10.download",
    "dtd": "datasets.DTD._download",
    "eurosat": "datasets.EuroSAT.download",
    "flowers102": "datasets.Flowers102.download",
    "sun397": "datasets.SUN397._download",
    "fgvc_aircraft": "datasets.FGVCAircraft._download",
    "mnist": "datasets.MNIST.download",
    "gtsrb": "datasets.GTSRB.download",
    "voc2007": "datasets.voc.download_and_extract_archive",
}


@pytest.mark.parametrize("layout", BY_HAND, ids=lambda layout: layout.__name__)
def test_what_cannot_be_downloaded_is_asked_for(layout, tmp_path):
    with pytest.raises(FileNotFoundError, match="its photos have to be put into .* by hand"):
        load_dataset(layout.__name__, root=tmp_path)


@pytest.mark.parametrize("name", DOWNLOADS)
def test_downloaded_only_when_missing(name, tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(
        f"torchvision.{DOWNLOADS[name]}",
        lambda *_, **__: calls.append(getattr(layouts, name)(tmp_path, monkeypatch)),
    )
    with pytest.raises(FileNotFoundError, match=f"{name}: not found below"):
        load_dataset(name, root=tmp_path, download=False)
    assert not calls
    assert len(load_dataset(name, root=tmp_path)) > 0 and len(calls) == 1
    load_dataset(name, root=tmp_path)
    assert len(calls) == 1


def test_pets_in_class_folders_read_as_torchvision_s(tmp_path):
    photo(tmp_path / "pets/test/american_bulldog/1.jpg")
    assert load_dataset("pets", root=tmp_path).classes == ["American Bulldog"]
    assert load_dataset("pets", root=tmp_path, class_names="raw").classes == ["american_bulldog"]


def test_names_that_caltech_has():
    assert all(
        name not in CALTECH_WORDS.values() and "_" not in words
        for name, words in CALTECH_WORDS.items()
    )


WORDNET = list(class_names.imagenet_names())


def wordnet_folders(folder, numbers=WORDNET):
    """One picture, of all the same bytes, in a folder for each of these classes."""
    photo(folder / numbers[0] / "one.JPEG")
    content = (folder / numbers[0] / "one.JPEG").read_bytes()
    for number in numbers[1:]:
        (folder / number).mkdir()
        (folder / number / "one.JPEG").write_bytes(content)


@pytest.mark.parametrize("place", ["imagenet/val", "imagenet", "val", "."])
def test_imagenet_is_found_in_its_folder_or_around_it(place, tmp_path):
    (tmp_path / "val/cat").mkdir(parents=True)  # of some other data set
    with pytest.raises(FileNotFoundError, match="imagenet: its photos .*imagenet/val by hand"):
        load_dataset("imagenet", root=tmp_path)
    assert catalog.find("imagenet", tmp_path).missing
    shutil.rmtree(tmp_path / "val")
    wordnet_folders(tmp_path / place)
    dataset = load_dataset("imagenet", root=tmp_path)
    assert dataset.labels.tolist() == list(range(1000))
    assert dataset.classes == list(open_clip.IMAGENET_CLASSNAMES)
    found = catalog.find("imagenet", tmp_path)
    assert found.missing is None and (found.images, found.classes) == (1000, 1000)


def test_imagenet_with_other_folders(tmp_path):
    wordnet_folders(tmp_path / "imagenet/val")
    (tmp_path / "imagenet/val" / WORDNET[3]).rename(tmp_path / "imagenet/val/n99999999")
    with pytest.raises(ValueError, match="'n99999999' is none of ImageNet's 1,000 classes"):
        load_dataset("imagenet", root=tmp_path)
    shutil.rmtree(tmp_path / "imagenet/val/n99999999")
    with pytest.raises(ValueError, match="expected 1000 class folders, as n01440764, got 999"):
        load_dataset("imagenet", root=tmp_path)


@pytest.mark.parametrize(
    "name, place",
    [("imagenet-r", "imagenet-r"), ("imagenet-a", "imagenet-a"), ("imagenet-sketch", "sketch")],
)
def test_sets_of_imagenet_s_classes(name, place, tmp_path):
    count = catalog.CATALOG[name].classes
    wordnet_folders(tmp_path / place, WORDNET[1000 - count :])
    dataset = load_dataset(name, root=tmp_path)
    assert dataset.classes == list(open_clip.IMAGENET_CLASSNAMES)[1000 - count :]
    assert load_dataset(name, root=tmp_path, class_names="raw").classes == WORDNET[1000 - count :]


def test_imagenetv2_numbers_its_folders(tmp_path):
    wordnet_folders(tmp_path / "imagenetv2", [str(i) for i in range(1000)])
    dataset = load_dataset("imagenetv2", root=tmp_path)
    assert dataset.classes == list(open_clip.IMAGENET_CLASSNAMES)
    places = dict(zip(dataset.images.names, dataset.labels.tolist()))
    assert places["2/one.JPEG"] == 2 and places["10/one.JPEG"] == 10


def test_some_of_imagenet_s_folders_are_read_by_their_names(tmp_path):
    wordnet_folders(tmp_path, WORDNET[:3])
    dataset = load_dataset(f"folder:{tmp_path}")
    assert dataset.classes == list(open_clip.IMAGENET_CLASSNAMES)[:3]
