"""Small trees in the layouts of torchvision's data sets.

Each function writes one below `root` and returns its labels, raw class names and class names as words.
"""

import hashlib
import json
import pickle

import numpy as np
from scipy.io import savemat
from torchvision import datasets as tv
from trees import PHOTO, photo

from featpurity.data.published import CIFAR10_CLASSES, GTSRB_SIGNS, VOC_CLASSES, VOC_WORDS


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
    savemat(folder / "setid.mat", {"trnid": [[2, 1]], "valid": [[2, 3]], "tstid": [[1, 3]]})
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
        marked = "".join(f"<object><name>{shown}</name></object>" for shown in objects)
        (folder / f"Annotations/{name}.xml").write_text(f"<annotation>{marked}</annotation>")
    labels = [[int(name in objects) for name in VOC_CLASSES] for objects in shown.values()]
    words = [VOC_WORDS.get(name, name) for name in VOC_CLASSES]
    return labels, VOC_CLASSES, words


def train(name, root, monkeypatch):
    """Training images beside the test images that the layout has written, where it has not written them; their labels."""
    if name == "food101":
        listed = {"apple_pie": ["apple_pie/1"], "baby_back_ribs": ["baby_back_ribs/5"]}
        (root / "food-101/meta/train.json").write_text(json.dumps(listed))
        return [0, 1]
    if name == "pets":
        listed = "american_bulldog_10 2 2 1\nAbyssinian_9 1 1 1\n"
        (root / "oxford-iiit-pet/annotations/trainval.txt").write_text(listed)
        return [1, 0]
    if name == "stl10":
        folder, files = root / "stl10_binary", {}
        for part in ("X", "y"):
            content = (folder / f"test_{part}.bin").read_bytes()
            (folder / f"train_{part}.bin").write_bytes(content)
            files[f"train_{part}.bin"] = hashlib.md5(content).hexdigest()
        monkeypatch.setattr(tv.STL10, "train_list", [*files.items()])
        return [1, 0]
    if name == "dtd":
        labels = root / "dtd/dtd/labels"
        (labels / "train1.txt").write_text("banded/banded_4.jpg\ndotted/dotted_1.jpg\n")
        (labels / "val1.txt").write_text("dotted/dotted_1.jpg\nbanded/banded_3.jpg\n")
        return [0, 1, 1, 0]
    if name == "cars":
        folder = root / "stanford_cars"
        shown = np.array([("1.jpg", 1), ("2.jpg", 2)], [("fname", object), ("class", object)])
        savemat(folder / "devkit/cars_train_annos.mat", {"annotations": shown})
        for i in (1, 2):
            photo(folder / f"cars_train/{i}.jpg", i)
        return [0, 1]
    if name == "fgvc_aircraft":
        listed = "0034309 707-320\n0062765 A340-300\n"
        (root / "fgvc-aircraft-2013b/data/images_variant_trainval.txt").write_text(listed)
        return [0, 1]
    if name == "gtsrb":
        for i in range(43):
            photo(root / f"gtsrb/GTSRB/Training/{i:05d}/1.ppm", i % 2)
        return list(range(43))
    return {
        "cifar10": [3, 0, 9],
        "cifar100": [2, 1],
        "flowers102": [0, 2, 0, 101],
        "mnist": [7, 0],
    }[name]


LAYOUTS = [food101, cifar10, cifar100, caltech101, pets, stl10, dtd, eurosat]
LAYOUTS += [flowers102, cars, sun397, fgvc_aircraft, mnist, gtsrb, voc2007]
BY_HAND = [cars]
