"""Open torchvision's data sets, and name their classes as they read in a sentence."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree

if TYPE_CHECKING:
    from torchvision.datasets import VisionDataset

    Open = Callable[[Path, str, bool], VisionDataset]
    Content = tuple[list, list, list[str]]

CIFAR10_CLASSES = "airplane automobile bird cat deer dog frog horse ship truck".split()
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
# Pascal VOC's names of two words.
VOC_WORDS = {
    "diningtable": "dining table",
    "pottedplant": "potted plant",
    "tvmonitor": "tv monitor",
}
VOC_CLASSES = (
    "aeroplane bicycle bird boat bottle bus car cat chair cow diningtable dog horse motorbike "
    "person pottedplant sheep sofa train tvmonitor"
).split()
# GTSRB numbers its classes; these are its signs in that order.
GTSRB_SIGNS = [
    *(f"speed limit {speed} km/h sign" for speed in (20, 30, 50, 60, 70, 80)),
    "end of speed limit 80 km/h sign",
    "speed limit 100 km/h sign",
    "speed limit 120 km/h sign",
    "no overtaking sign",
    "no overtaking by heavy vehicles sign",
    "right of way at the next junction sign",
    "priority road sign",
    "give way sign",
    "stop sign",
    "closed to all vehicles sign",
    "no heavy vehicles sign",
    "no entry sign",
    "danger warning sign",
    "left bend warning sign",
    "right bend warning sign",
    "double bend warning sign",
    "uneven road warning sign",
    "slippery road warning sign",
    "road narrows on the right warning sign",
    "roadworks warning sign",
    "traffic lights warning sign",
    "pedestrians warning sign",
    "children warning sign",
    "cyclists warning sign",
    "ice and snow warning sign",
    "wild animals warning sign",
    "end of all restrictions sign",
    "turn right ahead sign",
    "turn left ahead sign",
    "straight ahead only sign",
    "straight ahead or right sign",
    "straight ahead or left sign",
    "keep right sign",
    "keep left sign",
    "roundabout sign",
    "end of no overtaking sign",
    "end of no overtaking by heavy vehicles sign",
]


def spaced(name: str) -> str:
    """A folder's name as words: "car_side" becomes "car side", "_background_" stays."""
    return re.sub(r"(?<=[^_])_+(?=[^_])", " ", name).strip()


def caltech_words(name: str) -> str:
    """ "Faces_easy" becomes "centered face"; other names are `spaced`."""
    return CALTECH_WORDS.get(name, spaced(name))


def pet_words(name: str) -> str:
    """As torchvision spells them: a folder's "english_setter" becomes "English Setter"."""
    return spaced(name).title()


def camel_words(name: str) -> str:
    """ "SeaLake" becomes "sea lake"."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower()


def sun_words(name: str) -> str:
    """ "apartment_building/outdoor" becomes "outdoor apartment building"."""
    return spaced(" ".join(reversed(name.split("/"))))


def digit(name: str) -> str:
    """ "0 - zero" becomes "0"."""
    return name.split(" - ")[0]


def gtsrb_words(name: str) -> str:
    """The sign for a class number."""
    return GTSRB_SIGNS[int(name)]


def voc_words(name: str) -> str:
    """ "tvmonitor" becomes "tv monitor"."""
    return VOC_WORDS.get(name, name)


# open(root, split, download) -> torchvision's object; importing torchvision takes a second.
def _kind(name):
    from torchvision import datasets

    return getattr(datasets, name)


def by_split(kind: str) -> Open:
    """Data sets that take `split`; "train+val" is the images of both, in this order."""

    def opened(root, split, download):
        first, *others = [
            _kind(kind)(root, split=part, download=download) for part in split.split("+")
        ]
        for other in others:
            if other.classes != first.classes:
                raise ValueError(f"{root}: the splits {split} of {kind} differ in their classes")
            first._image_files += other._image_files
            first._labels += other._labels
        return first

    return opened


def by_train(kind: str) -> Open:
    """Data sets that take `train`."""
    return lambda root, split, download: _kind(kind)(
        root, train=split == "train", download=download
    )


def undivided(kind: str) -> Open:
    """Data sets without splits."""
    return lambda root, split, download: _kind(kind)(root, download=download)


def voc_2007(root: Path, split: str, download: bool) -> VisionDataset:
    """Pascal VOC's challenge of 2007."""
    return _kind("VOCDetection")(root, year="2007", image_set=split, download=download)


# content(torchvision's object) -> (image files, labels, raw class names).
def listed(data: VisionDataset) -> Content:
    """Content of data sets that keep two lists."""
    return data._image_files, data._labels, data.classes


def pets(data: VisionDataset) -> Content:
    """Content of Oxford-IIIT Pet."""
    return data._images, data._labels, data.classes


def eurosat(data: VisionDataset) -> Content:
    """Content of EuroSAT."""
    return [file for file, _ in data.samples], data.targets, data.classes


def cars(data: VisionDataset) -> Content:
    """Content of Stanford Cars."""
    return [file for file, _ in data._samples], [label for _, label in data._samples], data.classes


def gtsrb(data: VisionDataset) -> Content:
    """Content of GTSRB, whose classes have numbers; each has its folder of training images."""
    folders = {Path(file).parent for file, _ in data._samples}
    training = next(iter(folders)).parent
    if training.name == "Training" and len(folders) != len(GTSRB_SIGNS):
        # torchvision numbers the folders it finds, even if only a part of the archive is there
        raise ValueError(
            f"{training}: expected {len(GTSRB_SIGNS)} folders of images, got {len(folders)}; "
            "delete it, so that it is downloaded again"
        )
    signs = [str(number) for number in range(len(GTSRB_SIGNS))]
    return [file for file, _ in data._samples], [label for _, label in data._samples], signs


def caltech(data: VisionDataset) -> Content:
    """Content of Caltech-101."""
    folder = Path(data.root) / "101_ObjectCategories"
    files = [
        folder / data.categories[label] / f"image_{i:04d}.jpg"
        for label, i in zip(data.y, data.index)
    ]
    return files, data.y, data.categories


def sun(data: VisionDataset) -> Content:
    """Content of SUN397, sorted, because torchvision lists files in the disk's order."""
    pairs = sorted(zip(map(str, data._image_files), data._labels))
    return [file for file, _ in pairs], [label for _, label in pairs], data.classes


def voc(data: VisionDataset) -> Content:
    """Content of VOC, with labels 0 or 1 per class: is an object marked, difficult or not?"""
    labels = []
    for file in data.annotations:
        shown = {named.text.strip() for named in ElementTree.parse(file).iterfind("object/name")}
        labels.append([int(name in shown) for name in VOC_CLASSES])
    return data.images, labels, VOC_CLASSES
