"""The public data sets that torchvision knows: how each is opened, where it keeps images and labels."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from torchvision import datasets as tv

from featpurity.images import ImageArrays, ImageFiles, class_tree

CIFAR10_CLASSES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
# Caltech-101's folder names that do not read as words once the underscores are spaces.
CALTECH_WORDS = {
    "Faces": "off-center face",
    "Faces_easy": "centered face",
    "Leopards": "leopard",
    "Motorbikes": "motorbike",
    "airplanes": "airplane",
    "binocular": "binoculars",
    "car_side": "side of a car",
    "cougar_body": "body of a cougar",
    "cougar_face": "face of a cougar",
    "crocodile_head": "head of a crocodile",
    "flamingo_head": "head of a flamingo",
    "hawksbill": "hawksbill turtle",
    "water_lilly": "water lily",
}


def _spaced(name):
    return name.replace("_", " ").strip()


def _caltech_words(name):
    return CALTECH_WORDS.get(name, _spaced(name))


def _pet_words(name):  # torchvision's names are so already, those of class folders are not
    return _spaced(name).title()


def _camel_words(name):
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower()


def _caltech_files(data):
    folder = Path(data.root) / "101_ObjectCategories"
    return [folder / data.categories[label] / f"image_{i:04d}.jpg" for label, i in zip(data.y, data.index)]


@dataclass(frozen=True)
class Known:
    """How one of torchvision's data sets is read.

    Attributes
    ----------
    open : callable
        open(root, split, download) gives torchvision's object.
    labels, classes : callable
        The labels and the raw class names of that object.
    files : callable, optional
        Its image files; without it the pixels lie in `.data`.
    words : callable
        A raw class name as it reads in a sentence.
    axes : tuple of int
        Where `.data` keeps height, width and colour, behind the images.
    """

    open: Callable
    labels: Callable
    classes: Callable = lambda data: list(data.classes)
    files: Callable | None = None
    words: Callable = _spaced
    axes: tuple[int, ...] = (1, 2, 3)


def _by_split(kind):
    return lambda root, split, download: kind(root, split=split, download=download)


def _by_train(kind):
    return lambda root, split, download: kind(root, train=split == "train", download=download)


def _undivided(kind):
    return lambda root, split, download: kind(root, download=download)


KNOWN = {
    "food101": Known(_by_split(tv.Food101), lambda data: data._labels, files=lambda data: data._image_files),
    "cifar10": Known(_by_train(tv.CIFAR10), lambda data: data.targets),
    "cifar100": Known(_by_train(tv.CIFAR100), lambda data: data.targets),
    "caltech101": Known(_undivided(tv.Caltech101), lambda data: data.y, lambda data: data.categories,
                        files=_caltech_files, words=_caltech_words),
    "pets": Known(_by_split(tv.OxfordIIITPet), lambda data: data._labels, files=lambda data: data._images,
                  words=_pet_words),
    "stl10": Known(_by_split(tv.STL10), lambda data: data.labels, axes=(2, 3, 1)),
    "dtd": Known(_by_split(tv.DTD), lambda data: data._labels, files=lambda data: data._image_files),
    "eurosat": Known(_undivided(tv.EuroSAT), lambda data: data.targets, words=_camel_words,
                     files=lambda data: [file for file, _ in data.samples]),
}


def read_known(name, root, split, download):
    """Pictures, raw class names and labels of a data set in `KNOWN`; see `featpurity.datasets.load_dataset`.

    Class folders in `root/NAME/SPLIT`, `root/NAME_SPLIT.zip` or (CIFAR-10) `root/SPLIT` come first, then
    torchvision's layout, which is downloaded where it is missing and `download` allows.
    """
    known = KNOWN[name]
    trees = [(root / name / split, ""), (root / f"{name}_{split}.zip", split)]
    trees += [(root / split, "")] if name == "cifar10" else []
    for source, below in trees:
        if source.exists():
            images, folders, labels = class_tree(source, below)
            if name == "cifar10" and folders != CIFAR10_CLASSES:
                expected = ", ".join(CIFAR10_CLASSES)
                raise ValueError(f"{source}: expected the class folders {expected}, got {', '.join(folders)}")
            return images, folders, labels
    try:
        data = known.open(root, split, False)
    except (RuntimeError, FileNotFoundError) as error:
        if not download:
            raise FileNotFoundError(f"{name}: not found below {root} ({error})") from None
        data = known.open(root, split, True)
    if known.files is None:
        images = ImageArrays(data.data.transpose(0, *known.axes))
    else:
        images = ImageFiles(root, [Path(file).relative_to(root).as_posix() for file in known.files(data)])
    return images, list(known.classes(data)), list(known.labels(data))


def read_imagenet(root):
    """ImageNet's validation photos, a folder for each WordNet number; sorted, these are the 1,000 classes.

    `root` is the folder that holds imagenet/, or itself ImageNet's, or its validation photos'.
    """
    places = [root / "imagenet" / "val", root / "imagenet", root / "val", root]
    place = next((at for at in places if any(at.glob("n[0-9]*/"))), None)
    if place is None:
        raise FileNotFoundError(f"imagenet: no class folders n01440764/, ... in {', '.join(map(str, places))}")
    images, folders, labels = class_tree(place)
    if len(folders) != 1000 or not all(folder[0] == "n" and folder[1:].isdigit() for folder in folders):
        raise ValueError(f"{place}: expected 1000 class folders n01440764, ..., got {len(folders)}")
    return images, folders, labels
