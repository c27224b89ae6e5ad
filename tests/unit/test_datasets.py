"""Every data set read from a small tree in its own layout, and what is said when a tree is not as it should be."""

import hashlib
import json
import pickle
import shutil
import zipfile

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image
from scipy.io import savemat
from torchvision import datasets as tv

from featpurity import load_dataset, load_pairs
from featpurity.captions.files import read_captions, read_table
from featpurity.data import catalog, class_names
from featpurity.data.published import (
    CALTECH_WORDS,
    CIFAR10_CLASSES,
    GTSRB_SIGNS,
    VOC_CLASSES,
    VOC_WORDS,
)
from featpurity.data.scenes import ATTRIBUTES

PHOTO = np.random.default_rng(0).integers(0, 256, (40, 32, 32, 3), dtype=np.uint8)


def photo(path, i=0):
    """Write noise number i, as what the name says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(PHOTO[i]).save(path)


def food101(root, monkeypatch):
    listed = {
        "baby_back_ribs": ["baby_back_ribs/2", "baby_back_ribs/5"],
        "apple_pie": ["apple_pie/7"],
    }
    (root / "food-101/meta").mkdir(parents=True)
    (root / "food-101/meta/test.json").write_text(json.dumps(listed))
    for i, name in enumerate(
        ["apple_pie/7", "baby_back_ribs/2", "baby_back_ribs/5", "apple_pie/1"]
    ):  # the last in train
        photo(root / f"food-101/images/{name}.jpg", i)
    return [1, 1, 0], ["apple_pie", "baby_back_ribs"], ["apple pie", "baby back ribs"]


def _pickled(root, monkeypatch, kind, folder, label_key, names_key, meta_file, names, labels):
    """CIFAR's layout. torchvision compares checksums before it unpickles, so it is told those of these files."""
    sums = {}
    for file in ["train_part", "test_part", meta_file]:
        rows = PHOTO[: len(labels)].transpose(0, 3, 1, 2).reshape(len(labels), -1)
        content = {names_key: names} if file == meta_file else {"data": rows, label_key: labels}
        (root / folder).mkdir(parents=True, exist_ok=True)
        (root / folder / file).write_bytes(pickle.dumps(content))
        sums[file] = hashlib.md5((root / folder / file).read_bytes()).hexdigest()
    monkeypatch.setattr(kind, "train_list", [["train_part", sums["train_part"]]])
    monkeypatch.setattr(kind, "test_list", [["test_part", sums["test_part"]]])
    monkeypatch.setattr(
        kind, "meta", {"filename": meta_file, "key": names_key, "md5": sums[meta_file]}
    )


def cifar10(root, monkeypatch):
    _pickled(
        root,
        monkeypatch,
        tv.CIFAR10,
        "cifar-10-batches-py",
        "labels",
        "label_names",
        "batches.meta",
        CIFAR10_CLASSES,
        [3, 0, 9],
    )
    return [3, 0, 9], CIFAR10_CLASSES, CIFAR10_CLASSES


def cifar100(root, monkeypatch):
    names = ["apple", "aquarium_fish", "willow_tree"]
    _pickled(
        root,
        monkeypatch,
        tv.CIFAR100,
        "cifar-100-python",
        "fine_labels",
        "fine_label_names",
        "meta",
        names,
        [2, 1],
    )
    return [2, 1], names, ["apple", "aquarium fish", "willow tree"]


def caltech101(root, monkeypatch):
    folder = root / "caltech101/101_ObjectCategories"
    for name in ["Faces_easy", "BACKGROUND_Google", "ceiling_fan", "water_lilly"]:
        photo(folder / name / "image_0001.jpg")
    photo(folder / "ceiling_fan/image_0002.jpg")
    return (
        [0, 1, 1, 2],
        ["Faces_easy", "ceiling_fan", "water_lilly"],
        ["centered face", "ceiling fan", "water lily"],
    )


def pets(root, monkeypatch):
    folder = root / "oxford-iiit-pet"
    (folder / "annotations").mkdir(parents=True)
    (folder / "annotations/test.txt").write_text(
        "Abyssinian_2 1 1 1\namerican_bulldog_10 2 2 1\nAbyssinian_9 1 1 1\n"
    )
    for name in ["Abyssinian_2", "american_bulldog_10", "Abyssinian_9"]:
        photo(folder / f"images/{name}.jpg")
    return (
        [0, 1, 0],
        tv.OxfordIIITPet(root, split="test").classes,
        ["Abyssinian", "American Bulldog"],
    )


def stl10(root, monkeypatch):
    folder = root / "stl10_binary"
    folder.mkdir(parents=True)
    pixels = np.random.default_rng(1).integers(0, 256, (2, 3, 96, 96), dtype=np.uint8)
    files = {"test_X.bin": pixels.tobytes(), "test_y.bin": bytes([2, 1])}
    for name, content in files.items():
        (folder / name).write_bytes(content)
    (folder / "class_names.txt").write_text("airplane\nbird\n")
    monkeypatch.setattr(tv.STL10, "train_list", [])
    monkeypatch.setattr(
        tv.STL10,
        "test_list",
        [[name, hashlib.md5(content).hexdigest()] for name, content in files.items()],
    )
    return [1, 0], ["airplane", "bird"], ["airplane", "bird"]


def dtd(root, monkeypatch):
    (root / "dtd/dtd/labels").mkdir(parents=True)
    (root / "dtd/dtd/labels/test1.txt").write_text("dotted/dotted_1.jpg\nbanded/banded_3.jpg\n")
    for name in ["dotted/dotted_1", "banded/banded_3", "banded/banded_4"]:
        photo(root / f"dtd/dtd/images/{name}.jpg")
    return [1, 0], ["banded", "dotted"], ["banded", "dotted"]


def eurosat(root, monkeypatch):
    for name in ["SeaLake/SeaLake_1", "AnnualCrop/AnnualCrop_1", "AnnualCrop/AnnualCrop_2"]:
        photo(root / f"eurosat/2750/{name}.jpg")
    return [0, 0, 1], ["AnnualCrop", "SeaLake"], ["annual crop", "sea lake"]


def flowers102(root, monkeypatch):
    folder = root / "flowers-102"
    folder.mkdir(parents=True)
    savemat(folder / "imagelabels.mat", {"labels": [[3, 1, 102]]})
    savemat(folder / "setid.mat", {"trnid": [[2]], "valid": [[2]], "tstid": [[1, 3]]})
    for i in (1, 2, 3):
        photo(folder / f"jpg/image_{i:05d}.jpg", i)
    listed = {
        kind: (name, hashlib.md5((folder / name).read_bytes()).hexdigest())
        for kind, name in [("label", "imagelabels.mat"), ("setid", "setid.mat")]
    }
    monkeypatch.setattr(tv.Flowers102, "_file_dict", tv.Flowers102._file_dict | listed)
    return [2, 101], tv.Flowers102.classes, tv.Flowers102.classes


def cars(root, monkeypatch):
    folder = root / "stanford_cars"
    (folder / "devkit").mkdir(parents=True)
    names = np.array(["AM General Hummer SUV 2000", "Acura RL Sedan 2012"], dtype=object)
    savemat(folder / "devkit/cars_meta.mat", {"class_names": names})
    shown = np.array(
        [("00001.jpg", 2), ("00002.jpg", 1)], dtype=[("fname", object), ("class", object)]
    )
    savemat(folder / "cars_test_annos_withlabels.mat", {"annotations": shown})
    for i in (1, 2):
        photo(folder / f"cars_test/{i:05d}.jpg", i)
    return [1, 0], list(names), list(names)


def sun397(root, monkeypatch):
    folder = root / "SUN397"
    for name in ["a/abbey/sun_b", "a/apartment_building/outdoor/sun_a", "a/abbey/sun_a"]:
        photo(folder / f"{name}.jpg")
    (folder / "ClassName.txt").write_text("/a/abbey\n/a/apartment_building/outdoor\n")
    raw = ["abbey", "apartment_building/outdoor"]
    return [0, 0, 1], raw, ["abbey", "outdoor apartment building"]


def fgvc_aircraft(root, monkeypatch):
    folder = root / "fgvc-aircraft-2013b/data"
    for name in ["0062765", "0034309"]:
        photo(folder / f"images/{name}.jpg")
    (folder / "variants.txt").write_text("707-320\nA340-300\n")
    (folder / "images_variant_test.txt").write_text("0062765 A340-300\n0034309 707-320\n")
    return [1, 0], ["707-320", "A340-300"], ["707-320", "A340-300"]


def mnist(root, monkeypatch):
    folder = root / "MNIST/raw"
    folder.mkdir(parents=True)
    for split in ["train", "t10k"]:
        (folder / f"{split}-images-idx3-ubyte").write_bytes(
            b"".join(n.to_bytes(4, "big") for n in (0x803, 2, 28, 28)) + bytes(2 * 28 * 28)
        )
        (folder / f"{split}-labels-idx1-ubyte").write_bytes(
            b"".join(n.to_bytes(4, "big") for n in (0x801, 2)) + bytes([7, 0])
        )
    return [7, 0], tv.MNIST.classes, list("0123456789")


def gtsrb(root, monkeypatch):
    folder = root / "gtsrb"
    for i in (0, 1):
        photo(folder / f"GTSRB/Final_Test/Images/{i:05d}.ppm", i)
    (folder / "GT-final_test.csv").write_text(
        "Filename;Width;Height;ClassId\n00000.ppm;32;32;14\n00001.ppm;32;32;0\n"
    )
    return [14, 0], [str(i) for i in range(43)], GTSRB_SIGNS


def voc2007(root, monkeypatch):
    folder = root / "VOCdevkit/VOC2007"
    shown = {"000001": ["dog", "person", "dog"], "000002": ["tvmonitor"]}
    for place in ["ImageSets/Main", "Annotations"]:
        (folder / place).mkdir(parents=True)
    (folder / "ImageSets/Main/test.txt").write_text("000001\n000002\n")
    for name, objects in shown.items():
        photo(folder / f"JPEGImages/{name}.jpg")
        marked = "".join(f"<object><name>{one}</name></object>" for one in objects)
        (folder / f"Annotations/{name}.xml").write_text(f"<annotation>{marked}</annotation>")
    labels = [[int(name in objects) for name in VOC_CLASSES] for objects in shown.values()]
    words = [VOC_WORDS.get(name, name) for name in VOC_CLASSES]
    return labels, VOC_CLASSES, words


LAYOUTS = [food101, cifar10, cifar100, caltech101, pets, stl10, dtd, eurosat]
LAYOUTS += [flowers102, cars, sun397, fgvc_aircraft, mnist, gtsrb, voc2007]
BY_HAND = [cars]


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
    cifar10(tmp_path, monkeypatch)
    assert np.array_equal(load_dataset("cifar10", root=tmp_path)[2][0], PHOTO[2])
    stl10(tmp_path, monkeypatch)
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


DOWNLOADS = {
    food101: "datasets.Food101._download",
    cifar10: "datasets.CIFAR10.download",
    cifar100: "datasets.CIFAR10.download",
    caltech101: "datasets.Caltech101.download",
    pets: "datasets.OxfordIIITPet._download",
    stl10: "datasets.STL10.download",
    dtd: "datasets.DTD._download",
    eurosat: "datasets.EuroSAT.download",
    flowers102: "datasets.Flowers102.download",
    sun397: "datasets.SUN397._download",
    fgvc_aircraft: "datasets.FGVCAircraft._download",
    mnist: "datasets.MNIST.download",
    gtsrb: "datasets.GTSRB.download",
    voc2007: "datasets.voc.download_and_extract_archive",
}


@pytest.mark.parametrize("layout", BY_HAND, ids=lambda layout: layout.__name__)
def test_what_cannot_be_downloaded_is_asked_for(layout, tmp_path):
    with pytest.raises(FileNotFoundError, match="its photos have to be put into .* by hand"):
        load_dataset(layout.__name__, root=tmp_path)


@pytest.mark.parametrize("layout", DOWNLOADS, ids=lambda layout: layout.__name__)
def test_downloaded_only_when_missing(layout, tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(
        f"torchvision.{DOWNLOADS[layout]}",
        lambda *_, **__: calls.append(layout(tmp_path, monkeypatch)),
    )
    with pytest.raises(FileNotFoundError, match=f"{layout.__name__}: not found below"):
        load_dataset(layout.__name__, root=tmp_path, download=False)
    assert not calls
    assert len(load_dataset(layout.__name__, root=tmp_path)) > 0 and len(calls) == 1
    load_dataset(layout.__name__, root=tmp_path)
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


class TestCifarPhotosAsFolders:
    def test_folder_and_zip_and_torchvision_s_order(self, tmp_path):
        for i, name in enumerate(CIFAR10_CLASSES):
            photo(tmp_path / f"a/test/{name}/1.png", i)
        with zipfile.ZipFile(tmp_path / "cifar10_test.zip", "w") as archive:
            for path in sorted((tmp_path / "a").rglob("*.png")):
                archive.write(path, path.relative_to(tmp_path / "a"))
        folder, zipped = (
            load_dataset("cifar10", root=tmp_path / "a"),
            load_dataset("cifar10", root=tmp_path),
        )
        assert folder.classes == zipped.classes == CIFAR10_CLASSES
        assert folder.labels.tolist() == zipped.labels.tolist() == list(range(10))
        assert all(np.array_equal(one[0], other[0]) for one, other in zip(folder, zipped))
        assert zipped.images.unreadable() == {}

    def test_folders_of_another_data_set(self, tmp_path):
        photo(tmp_path / "test/cat/1.png")
        with pytest.raises(ValueError, match="expected the class folders airplane, automobile"):
            load_dataset("cifar10", root=tmp_path)

    def test_the_real_ones(self, shared):
        dataset = load_dataset("cifar10", root=shared / "data")
        assert len(dataset) == 10_000 and dataset.labels.bincount().tolist() == [1000] * 10
        assert dataset[9999][0].size == (32, 32) and dataset[9999][1] == 9
        assert load_dataset("cifar10", root=shared / "data").images_key == dataset.images_key


class TestScenes:
    def test_one_set_of_pictures_for_all_attributes(self):
        sets = {attribute: load_dataset(f"scenes_{attribute}") for attribute in ATTRIBUTES}
        assert len({one.images_key for one in sets.values()}) == 1
        for column, (attribute, one) in enumerate(sets.items()):
            assert one.classes == ATTRIBUTES[attribute] and len(one) == 5000
            assert one.labels.tolist() == one.images.attributes[:, column].tolist()

    def test_pairs_say_what_is_drawn_and_differ_from_the_test(self):
        pairs = load_pairs("scenes", n_pairs=200)
        assert len(pairs) == len(pairs.captions) == len(pairs.rewrites) == 200
        assert pairs.best_captions == [rewritten[0] for rewritten in pairs.rewrites]
        assert load_pairs("scenes", n_pairs=100).captions == pairs.captions[:100]
        assert pairs.images.seed != load_dataset("scenes_shape").images.seed


@pytest.fixture
def tree(tmp_path):
    for i, name in enumerate(
        ["wolf/1.jpg", "wolf/deep/2.png", "ant/1.jpg", "ant/2.JPG", "ant/notes.txt"]
    ):
        if name.endswith("txt"):
            (tmp_path / "tree" / name).write_text("no picture")
        else:
            photo(tmp_path / "tree" / name, i)
    return tmp_path / "tree"


class TestFolder:
    def test_class_folders(self, tree):
        (tree / ".ipynb_checkpoints").mkdir()
        dataset = load_dataset(f"folder:{tree}")
        assert dataset.classes == ["ant", "wolf"] and dataset.labels.tolist() == [0, 0, 1, 1]

    def test_display_names(self, tree):
        (tree / "classes.txt").write_text("Ameise\ngrauer Wolf\n", encoding="utf-8")
        assert load_dataset(f"folder:{tree}").classes == ["Ameise", "grauer Wolf"]
        assert load_dataset(f"folder:{tree}", class_names="raw").classes == ["ant", "wolf"]

    @pytest.mark.parametrize(
        "content, message",
        [
            (b"ant\n", "names 1 classes, but the data set has 2"),
            (b"\xe9\xe8\nwolf\n", "expected UTF-8"),
        ],
    )
    def test_display_names_that_do_not_fit(self, tree, content, message):
        (tree / "classes.txt").write_bytes(content)
        with pytest.raises(ValueError, match=message):
            load_dataset(f"folder:{tree}")

    def test_missing_or_empty(self, tree, tmp_path):
        with pytest.raises(FileNotFoundError, match="there is no folder .*nowhere"):
            load_dataset(f"folder:{tmp_path / 'nowhere'}")
        with pytest.raises(FileNotFoundError, match="holds no class folders"):
            load_dataset(f"folder:{tree / 'wolf' / 'deep'}")
        (tree / "yak").mkdir()
        with pytest.raises(ValueError, match="no images .* in the class folders yak"):
            load_dataset(f"folder:{tree}")

    def test_the_key_follows_the_pictures(self, tree):
        before = load_dataset(f"folder:{tree}").images_key
        assert load_dataset(f"folder:{tree}").images_key == before
        photo(tree / "ant/1.jpg", 30)
        assert load_dataset(f"folder:{tree}").images_key != before

    def test_an_image_that_is_gone_is_named_like_a_broken_one(self, tree):
        images = load_dataset(f"folder:{tree}").images
        (tree / images.names[2]).unlink()
        faults = images.unreadable()
        assert images.names[2] in faults and faults[images.names[2]].startswith("FileNotFoundError")

    def test_unreadable_images_are_skipped_and_counted_when_asked(self, tree):
        (tree / "ant/1.jpg").write_bytes((tree / "ant/1.jpg").read_bytes()[:300])
        (tree / "wolf/3.png").write_bytes(b"")
        whole = load_dataset(f"folder:{tree}")
        assert list(whole.images.unreadable()) == ["ant/1.jpg", "wolf/3.png"] and len(whole) == 5
        with pytest.raises(ValueError, match="ant/1.jpg is not a readable image"):
            whole[0]
        dataset = load_dataset(f"folder:{tree}", unreadable="skip")
        assert dataset.skipped == ("ant/1.jpg", "wolf/3.png") and dataset.labels.tolist() == [
            0,
            1,
            1,
        ]
        assert dataset.images_key != whole.images_key and dataset.images.unreadable() == {}
        assert len(list(dataset)) == 3

    def test_nothing_readable(self, tree):
        for path in tree.rglob("*.*"):
            path.write_bytes(b"<html>")
        with pytest.raises(ValueError, match="none of the 4 images is readable"):
            load_dataset(f"folder:{tree}", unreadable="skip")


@pytest.mark.parametrize("name", ["cifar1", "scenes_form", "", "scenes_"])
def test_unknown_names(name):
    with pytest.raises(
        ValueError,
        match="unknown data set .*(did you mean|known: scenes_shape, .*imagenet).*folder:PATH",
    ):
        load_dataset(name)


@pytest.mark.parametrize("option", [{"class_names": "pretty"}, {"unreadable": "ignore"}])
def test_unknown_options(option):
    with pytest.raises(ValueError, match=f"{next(iter(option))}: expected one of"):
        load_dataset("scenes_shape", **option)


def test_all_names_are_listed():
    assert {"scenes_size", "cifar10", "imagenet"} <= set(catalog.names())


class TestPairsFromCsv:
    @pytest.fixture
    def csv(self, tmp_path):
        for i in range(3):
            photo(tmp_path / f"images/{i}.jpg", i)
        path = tmp_path / "captions.csv"
        path.write_text(
            'image,caption\n0.jpg,"a dog, on a sofa"\n0.jpg,ein Hündchen\n2.jpg,boat\n',
            encoding="utf-8",
        )
        return path

    def test_images_and_captions(self, csv):
        pairs = load_pairs(csv)
        assert pairs.captions == ["a dog, on a sofa", "ein Hündchen", "boat"] == pairs.best_captions
        assert pairs.rewrites == [[], [], []] and pairs.images.names == ["0.jpg", "0.jpg", "2.jpg"]
        assert pairs[2][0].mode == "RGB" and pairs[2][1] == "boat"
        assert load_pairs(str(csv), n_pairs=2).captions == pairs.captions[:2]
        assert load_pairs("captions.csv", root=csv.parent).captions == pairs.captions

    def test_rewrites_line_by_line(self, csv, tmp_path):
        files = [tmp_path / "chat.txt", tmp_path / "human.txt"]
        files[0].write_text("one dog\npuppy\nship\n")
        files[1].write_text("dog!\nsmall dog\nsail\n")
        pairs = load_pairs(csv, rewrites=files)
        assert pairs.rewrites == [["one dog", "dog!"], ["puppy", "small dog"], ["ship", "sail"]]
        assert pairs.best_captions == ["one dog", "puppy", "ship"]
        files[1].write_text("dog!\nsmall dog\n")
        with pytest.raises(ValueError, match="human.txt has 2 captions, but .* has 3 pairs"):
            load_pairs(csv, rewrites=files)
        assert load_pairs(csv, root=tmp_path, rewrites=["chat.txt"]).best_captions == [
            "one dog",
            "puppy",
            "ship",
        ]
        with pytest.raises(FileNotFoundError, match="rewrites: there is no file none.txt"):
            load_pairs(csv, rewrites=["none.txt"])
        with pytest.raises(
            ValueError, match="rewrites go with a CSV of pairs, but the captions of 'scenes'"
        ):
            load_pairs("scenes", rewrites=files)

    @pytest.mark.parametrize(
        "content, message",
        [
            (b"image,caption\n", "holds no caption"),
            (b"image,caption\n0.jpg,\n2.jpg, \n", "holds no caption"),
            (b"image,text\n0.jpg,dog\n", "expected a column 'caption'"),
            (b"file,caption\n0.jpg,dog\n", "expected the columns image"),
            (b"image,caption\n0.jpg,caf\xe9\n", "line 2: byte 0xe9 is not UTF-8"),
            (b"", "empty"),
            (b"image,caption\n0.jpg,dog\n\n2.jpg,boat\n", "row 2 names no image"),
        ],
    )
    def test_bad_files(self, csv, content, message):
        csv.write_bytes(content)
        with pytest.raises(ValueError, match=message):
            load_pairs(csv)

    def test_a_blank_caption_keeps_its_image(self, csv):
        csv.write_text("image,caption\n0.jpg,\n1.jpg\n2.jpg,boat\n")
        pairs = load_pairs(csv)
        assert pairs.captions == ["", "", "boat"] and pairs.images.names == [
            "0.jpg",
            "1.jpg",
            "2.jpg",
        ]

    @pytest.mark.parametrize(
        "first, more", [("0.jpg", ""), ("0.jpg", ",http://there"), ("a b.PNG", "")]
    )
    def test_no_header_as_in_the_paper_s_lists(self, csv, first, more):
        photo(csv.parent / f"images/{first}")
        csv.write_text(
            f'\ufeff{first},"a dog, on a sofa"{more}\n1.jpg\n2.jpg,boat{more}\n', encoding="utf-8"
        )
        pairs = load_pairs(csv)
        assert pairs.captions == ["a dog, on a sofa", "", "boat"] == read_captions(csv)
        assert pairs.images.names == [first, "1.jpg", "2.jpg"]
        csv.write_text(f"{first},dog\n")
        assert load_pairs(csv).captions == ["dog"]

    @pytest.mark.parametrize(
        "header, columns",
        [
            ("image,caption", ["image", "caption"]),
            ("caption,image", ["caption", "image"]),
            ("image.jpg", ["image.jpg"]),
            ("jpg,caption", ["jpg", "caption"]),
        ],
    )
    def test_a_header_stays_one(self, csv, header, columns):
        csv.write_text(f"{header}\n0.jpg{',dog' * header.count(',')}\n")
        table = read_table(csv)
        assert list(table) == columns and len(table) == 1 and table.iloc[0, 0] == "0.jpg"

    def test_no_header_and_a_caption_with_a_comma(self, csv):
        csv.write_text("0.jpg,dog\n2.jpg,a boat, at sea\n")
        with pytest.raises(ValueError, match="line 2: expected 2 fields, got 3"):
            load_pairs(csv)

    def test_missing_images_are_all_named(self, csv):
        csv.write_text("image,caption\n0.jpg,a\n7.jpg,b\n8.jpg,c\n7.jpg,d\n")
        with pytest.raises(FileNotFoundError, match=r"(?s)2 images are not in .*7\.jpg.*8\.jpg"):
            load_pairs(csv)

    def test_no_such_file(self, tmp_path):
        with pytest.raises(FileNotFoundError, match="expected scenes, photos or a CSV file"):
            load_pairs(tmp_path / "none.csv")

    def test_broken_images_can_be_skipped(self, csv):
        (csv.parent / "images/0.jpg").write_bytes(b"")
        pairs = load_pairs(csv, unreadable="skip")
        assert pairs.captions == ["boat"] and pairs.skipped == ("0.jpg",)

    def test_photos_with_human_captions(self, shared, tmp_path):
        with zipfile.ZipFile(shared / "data/coco_mini.zip") as archive:
            archive.extractall(tmp_path)
        pairs = load_pairs(tmp_path / "captions.csv")
        assert len(pairs) == 795 and len(set(pairs.images.names)) == 159
        assert pairs.images.unreadable() == {} and min(pairs[794][0].size) == 256


def test_photos_with_generated_captions(tmp_path):
    for i, name in enumerate(CIFAR10_CLASSES):
        photo(tmp_path / f"train/{name}/1.png", i)
    pairs = load_pairs("photos", root=tmp_path)
    again = load_pairs("photos", root=tmp_path, n_pairs=4)
    assert len(pairs) == 10 and again.best_captions == pairs.best_captions[:4]
    named = [path.split("/")[0] for path in pairs.images.names]
    assert sorted(named) == CIFAR10_CLASSES and named != CIFAR10_CLASSES
    for name, rewritten in zip(
        named, pairs.rewrites
    ):  # a rewrite may describe the class instead of naming it
        assert not any(
            other in text.split()
            for text in rewritten
            for other in CIFAR10_CLASSES
            if other != name
        )


def test_photos_from_torchvision_s_layout(tmp_path, monkeypatch):
    cifar10(tmp_path, monkeypatch)
    pairs, two = load_pairs("photos", root=tmp_path), load_pairs("photos", root=tmp_path, n_pairs=2)
    assert (
        len(pairs) == len(list(pairs)) == 3 and len(two) == 2 and two.images_key != pairs.images_key
    )
    assert two.captions == pairs.captions[:2] and np.array_equal(two[1][0], pairs[1][0])


@pytest.mark.parametrize("option", [{"n_pairs": 0}, {"unreadable": "maybe"}])
def test_unknown_options_of_pairs(option):
    with pytest.raises(ValueError, match=f"{next(iter(option))}: expected"):
        load_pairs("scenes", **option)
