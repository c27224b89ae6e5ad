"""A name or a folder becomes labelled images; a name or a CSV becomes image-caption pairs. No model in here.

Splits are the paper's: the test split where there is one, all of Caltech-101 and EuroSAT.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import open_clip
import torch

from featpurity.data.catalog import KNOWN, read_imagenet, read_known
from featpurity.data.images import class_tree, subset, subset_key, without_unreadable
from featpurity.files import check_choice, data_folder, did_you_mean

SCENES_TEST = {
    "n": 5000,
    "seed": 1_000_001,
}  # apart from pre-training's seed: no picture is met twice


@dataclass(frozen=True)
class LabelledImages:
    """Images with one class each; `dataset[i]` is (PIL RGB picture, int).

    Attributes
    ----------
    name : str
    classes : list of str
        Class names as they read in a sentence.
    labels : int64 tensor of shape (n,)
    images : sequence of PIL RGB pictures
    images_key : str
        Changes when a picture does; data sets that share it share their stored features.
    skipped : tuple of str
        Names of unreadable pictures that were left out on demand.
    """

    name: str
    classes: list[str]
    labels: torch.Tensor
    images: Sequence
    images_key: str
    skipped: tuple[str, ...] = ()

    def __len__(self):
        return len(self.images)

    def __getitem__(self, i):
        return self.images[i], int(self.labels[i])

    def subset(self, indices):
        """The images at `indices`, with the classes as they are."""
        indices = [int(i) for i in indices]
        images, key = subset(self.images, indices), subset_key(self, indices)
        return replace(self, labels=self.labels[indices], images=images, images_key=key)


def load_dataset(name, root=None, class_names="words", unreadable="raise", download=True):
    """Labelled images by name.

    Parameters
    ----------
    name : str
        `scenes_ATTRIBUTE` (generated), one of `KNOWN`, `imagenet`, or `folder:PATH` for any folder
        (or zip archive) of class folders. A file `classes.txt` in the folder may hold display
        names, one a line, in the sorted order of the class folders.
    root : str or Path, default "data" in the project's root
        The folder of data sets: each in torchvision's own layout, or as class folders in
        `root/NAME/test/CLASS/` or inside `root/NAME_test.zip` (CIFAR-10's also in
        `root/test/CLASS/`).
    class_names : {"words", "raw"}
        "words": as in a sentence, "Faces_easy" becomes "centered face". "raw": as torchvision (or a
        folder) spells them, as in the paper's experiment 2.
    unreadable : {"raise", "skip"}
        "skip" opens every image file now, leaves the broken ones out, see `.skipped`. With "raise"
        they are named, all at once, before the features of the data set are computed.
    download : bool
        Whether torchvision may fetch what is missing.

    Returns
    -------
    dataset : LabelledImages

    Raises
    ------
    ValueError, FileNotFoundError
        For an unknown name, a missing folder, a class without images, names that do not fit the
        folders.
    """
    check_choice("class_names", class_names, ["words", "raw"])
    check_choice("unreadable", unreadable, ["raise", "skip"])
    root = data_folder(root)
    if name.startswith("folder:"):
        folder = Path(name.removeprefix("folder:")).expanduser()
        images, raw, labels = class_tree(folder)
        words = _display_names(folder, raw)
    elif name.startswith("scenes_"):
        images, raw, labels = _scenes(name)
        words = raw
    elif name == "imagenet":
        images, raw, labels = read_imagenet(root)
        words = list(open_clip.IMAGENET_CLASSNAMES)
    elif name in KNOWN:
        images, raw, labels = read_known(name, root, "test", download)
        words = [KNOWN[name].words(one) for one in raw]
    else:
        raise _unknown(name)
    labels = torch.as_tensor(labels, dtype=torch.int64)
    dataset = LabelledImages(
        name, words if class_names == "words" else raw, labels, images, images.key
    )
    return without_unreadable(dataset) if unreadable == "skip" else dataset


def left_out(datasets):
    """A line for each data set (or set of pairs) of which unreadable images were skipped: how many,
    and which.
    """
    return [
        f"{one.name}: {len(one.skipped)} unreadable images left out: {', '.join(one.skipped)}"
        for one in datasets
        if one.skipped
    ]


def dataset_names():
    """Every name that `load_dataset` knows, folders apart."""
    from featpurity.data import scenes

    return [*(f"scenes_{attribute}" for attribute in scenes.ATTRIBUTES), *KNOWN, "imagenet"]


def _display_names(path, folders):
    """The names in the file `classes.txt` of a folder of class folders; without one, the folders'
    own.
    """
    listed = path / "classes.txt"
    if not listed.is_file():
        return folders
    try:
        names = [
            line.strip()
            for line in listed.read_text(encoding="utf-8-sig").splitlines()
            if line.strip()
        ]
    except UnicodeDecodeError as error:
        raise ValueError(f"{listed}: expected UTF-8, got {error}") from None
    if len(names) != len(folders):
        raise ValueError(
            f"{listed} names {len(names)} classes, but {path} has {len(folders)} class folders"
        )
    return names


def _scenes(name):
    """The generated test pictures, the same for each attribute."""
    from featpurity.data import scenes

    attribute = name.removeprefix("scenes_")
    if attribute not in scenes.ATTRIBUTES:
        raise _unknown(name)
    images = scenes.Scenes(**SCENES_TEST)
    column = list(scenes.ATTRIBUTES).index(attribute)
    return images, list(scenes.ATTRIBUTES[attribute]), images.attributes[:, column]


def _unknown(name):
    hint = did_you_mean(name, dataset_names())
    return ValueError(
        f"unknown data set {name!r} ({hint}; a folder of class folders is folder:PATH)"
    )
