"""What the names in a profile stand for: where each model and data set comes from, how large it is, whether it is here.

Nothing is downloaded and no picture is opened. `check` refuses what cannot run; `featpurity.plan`
tells what a run would fetch and compute.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from torchvision import datasets as tv

from featpurity.data.images import ImageArrays, ImageFiles, class_tree
from featpurity.files import Source, below, data_folder, did_you_mean, digest, megabytes

SCENES = [
    f"scenes_{name}" for name in ["shape", "colour", "background", "texture", "size", "position"]
]
# name: (images that are classified, classes, megabytes to download, torchvision's folder below
# data_root)
DATASETS = {
    "food101": (25_250, 101, 4_996, "food-101"),
    "cifar10": (10_000, 10, 170, "cifar-10-batches-py"),
    "cifar100": (10_000, 100, 169, "cifar-100-python"),
    "caltech101": (8_677, 101, 137, "caltech101"),
    "pets": (3_669, 37, 811, "oxford-iiit-pet"),
    "stl10": (8_000, 10, 2_640, "stl10_binary"),
    "dtd": (1_880, 47, 625, "dtd"),
    "eurosat": (27_000, 10, 94, "eurosat"),
    "imagenet": (50_000, 1_000, None, "imagenet"),  # behind a login: has to be put there by hand
}
GENERATED_PAIRS = [
    "scenes",
    "photos",
]  # their captions are generated, so that it is known which are right


def dataset_source(name, root=None):
    """The source of a data set name; ValueError when nothing knows it."""
    root = data_folder(root)
    if name in SCENES:
        return Source(name, "generated")
    if name.startswith("folder:"):
        path = Path(name.removeprefix("folder:")).expanduser()
        return Source(
            name,
            "folder of class folders",
            missing=None if path.exists() else f"there is no folder {path}",
        )
    if name not in DATASETS:
        hint = did_you_mean(name, [*SCENES, *DATASETS])
        raise ValueError(
            f"unknown data set {name!r} ({hint}; a folder of class folders is folder:PATH)"
        )
    images, classes, megabytes, folder = DATASETS[name]
    here = any((root / place).exists() for place in [folder, name, f"{name}_test.zip"])
    here = here or (name == "cifar10" and (root / "test").is_dir())
    missing = (
        f"its photos have to be put into {root / folder} by hand"
        if megabytes is None and not here
        else None
    )
    return Source(name, f"{images:,} images, {classes} classes", 0 if here else megabytes, missing)


def pairs_source(name, root=None):
    """The source of image-caption pairs: a built-in name or a CSV."""
    path, train = below(name, data_folder(root)), data_folder(root) / "cifar10_train.zip"
    if name == "scenes":
        return Source(name, "generated")
    if name == "photos":
        here = (
            train.exists()
            or (train.parent / "train").is_dir()
            or dataset_source("cifar10", root).megabytes == 0
        )
        return Source(
            name, "CIFAR-10's training photos with generated captions", 0 if here else 170
        )
    if path is None:
        return Source(name, "CSV", missing=f"there is no such file, here or below {root or 'data'}")
    return Source(name, f"CSV, {megabytes(path):.1f} MB")


def rewrites_source(name, root=None):
    """The source of a file of rewritten captions."""
    path = below(name, data_folder(root))
    if path is None:
        return Source(
            name,
            "rewritten captions",
            missing=f"there is no such file, here or below {root or 'data'}",
        )
    return Source(name, f"rewritten captions, {megabytes(path):.1f} MB")


def data_state(name, root=None):
    """Digest of the names, sizes and times of a data set's files: changes when a picture does.

    Parameters
    ----------
    name : str
        As for `featpurity.data.datasets.load_dataset`.
    root : str or Path, optional
        The folder of data sets.
    """
    if name in SCENES:
        return "generated"
    root = data_folder(root)
    if name.startswith("folder:"):
        places = [Path(name.removeprefix("folder:")).expanduser()]
    else:
        places = [root / DATASETS[name][3], root / name, root / f"{name}_test.zip"]
        places += [root / "test"] if name == "cifar10" else []
    facts = []
    for place in places:
        files = sorted(place.rglob("*")) if place.is_dir() else [place]
        status = [(file, file.stat()) for file in files if file.is_file()]
        facts += [(str(file), one.st_size, one.st_mtime_ns) for file, one in status]
    return digest(facts)


CIFAR10_CLASSES = [
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
]
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
    return [
        folder / data.categories[label] / f"image_{i:04d}.jpg"
        for label, i in zip(data.y, data.index)
    ]


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
    "food101": Known(
        _by_split(tv.Food101), lambda data: data._labels, files=lambda data: data._image_files
    ),
    "cifar10": Known(_by_train(tv.CIFAR10), lambda data: data.targets),
    "cifar100": Known(_by_train(tv.CIFAR100), lambda data: data.targets),
    "caltech101": Known(
        _undivided(tv.Caltech101),
        lambda data: data.y,
        lambda data: data.categories,
        files=_caltech_files,
        words=_caltech_words,
    ),
    "pets": Known(
        _by_split(tv.OxfordIIITPet),
        lambda data: data._labels,
        files=lambda data: data._images,
        words=_pet_words,
    ),
    "stl10": Known(_by_split(tv.STL10), lambda data: data.labels, axes=(2, 3, 1)),
    "dtd": Known(
        _by_split(tv.DTD), lambda data: data._labels, files=lambda data: data._image_files
    ),
    "eurosat": Known(
        _undivided(tv.EuroSAT),
        lambda data: data.targets,
        words=_camel_words,
        files=lambda data: [file for file, _ in data.samples],
    ),
}


def read_known(name, root, split, download):
    """Pictures, raw class names and labels of a data set in `KNOWN`; see `featpurity.data.datasets.load_dataset`.

    Class folders in `root/NAME/SPLIT`, `root/NAME_SPLIT.zip` or (CIFAR-10) `root/SPLIT` come first,
    then torchvision's layout, which is downloaded where it is missing and `download` allows.
    """
    known = KNOWN[name]
    trees = [(root / name / split, ""), (root / f"{name}_{split}.zip", split)]
    trees += [(root / split, "")] if name == "cifar10" else []
    for source, inside in trees:
        if source.exists():
            images, folders, labels = class_tree(source, inside)
            if name == "cifar10" and folders != CIFAR10_CLASSES:
                expected = ", ".join(CIFAR10_CLASSES)
                raise ValueError(
                    f"{source}: expected the class folders {expected}, got {', '.join(folders)}"
                )
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
        images = ImageFiles(
            root, [Path(file).relative_to(root).as_posix() for file in known.files(data)]
        )
    return images, list(known.classes(data)), list(known.labels(data))


def read_imagenet(root):
    """ImageNet's validation photos, a folder for each WordNet number; sorted, these are the 1,000 classes.

    `root` is the folder that holds imagenet/, or itself ImageNet's, or its validation photos'.
    """
    places = [root / "imagenet" / "val", root / "imagenet", root / "val", root]
    place = next((at for at in places if any(at.glob("n[0-9]*/"))), None)
    if place is None:
        raise FileNotFoundError(
            f"imagenet: no class folders n01440764/, ... in {', '.join(map(str, places))}"
        )
    images, folders, labels = class_tree(place)
    if len(folders) != 1000 or not all(
        folder[0] == "n" and folder[1:].isdigit() for folder in folders
    ):
        raise ValueError(f"{place}: expected 1000 class folders n01440764, ..., got {len(folders)}")
    return images, folders, labels
