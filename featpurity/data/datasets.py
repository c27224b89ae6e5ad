"""Load labelled images from a name or a folder. No models here.

Splits are the paper's: the test split where there is one; all of Caltech-101, EuroSAT and SUN397.
Training images are for linear probes, see `load_splits`.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from featpurity.data import catalog, webdataset
from featpurity.data.catalog import CATALOG, FOLDER, Found, find
from featpurity.data.class_folders import CLASS_NAMES, counted, is_zip
from featpurity.data.class_names import (
    folder_words,
    is_own_list,
    names_from_lines,
    read_class_names,
)
from featpurity.data.images import (
    ImageArrays,
    ImageFiles,
    ImageZip,
    Pictures,
    row_of,
    rows_of,
    subset,
    without_unreadable,
)
from featpurity.files import check_choice


@dataclass(frozen=True, eq=False)
class LabelledImages(Pictures):
    """Images with one class each; `dataset[i]` is (PIL RGB picture, int).

    Attributes
    ----------
    name : str
    classes : list of str
        Class names as they read in a sentence.
    labels : int64 tensor of shape (n,)
        Or (n, n_classes), 0 or 1, where a picture may show several classes.
    images : sequence of PIL RGB pictures
        Their `key` is a digest of the pictures' content.
    skipped : tuple of str
        Names of unreadable pictures, left out on request.
    left_out : dict of str to int
        Numbers of pictures in the class folders that are not read, by suffix or place.
    """

    name: str
    classes: list[str]
    labels: torch.Tensor
    images: Sequence
    skipped: tuple[str, ...] = ()
    left_out: dict[str, int] = field(default_factory=dict)

    def __getitem__(self, i: int) -> tuple[Image.Image, int | torch.Tensor]:
        i = row_of(i)
        label = self.labels[i]
        return self.images[i], label if label.ndim else int(label)

    def __repr__(self) -> str:
        return f"LabelledImages({self.name!r}, {len(self)} images, {len(self.classes)} classes)"

    def subset(self, indices: Any) -> LabelledImages:
        """The images at `indices`, with all classes.

        Parameters
        ----------
        indices : slice, sequence of int, or boolean mask of shape (n,)

        Raises
        ------
        ValueError
            For a mask of another length or rows out of range.
        """
        rows = rows_of(indices, len(self))
        return replace(self, labels=self.labels[rows], images=subset(self.images, rows))


def load_dataset(
    name: str,
    root: str | Path | None = None,
    class_names: str = "words",
    unreadable: str = "raise",
    download: bool = True,
    split: str = "test",
) -> LabelledImages:
    """Labelled images by name.

    Parameters
    ----------
    name : str
        `scenes_ATTRIBUTE` (generated), another name in the catalogue
        (`featpurity.data.catalog.names()`), `folder:PATH` for any folder or zip archive of class
        folders, or `webdataset:PATH` for shards with a `.cls` for each picture, see
        `featpurity.data.webdataset`. A file `classes.txt` beside the class folders, or
        `classnames.txt` beside the shards, may hold display names.
    root : str or Path, default "data" in the project's root
        The folder of data sets: each in torchvision's own layout, or as class folders in
        `root/NAME/test/CLASS/` or inside `root/NAME_test.zip` (CIFAR-10's also in
        `root/test/CLASS/`).
    class_names : {"words", "raw"}, or a path that ends in `.txt` or `.json`
        "words": as in a sentence, so "Faces_easy" becomes "centered face". "raw": as torchvision
        (or a folder) spells them, and as in the paper's experiment 2. For a file see
        `featpurity.data.class_names.read_class_names`.
    unreadable : {"raise", "skip"}
        "skip" opens every image file now and leaves out the broken ones, see `.skipped`. With
        "raise", an error names them all before the data set's features are computed.
    download : bool
        Whether torchvision may download what is missing.
    split : {"test", "train"}
        "train": the training and validation images of data sets that have them
        (`featpurity.data.catalog`); as class folders they are in `root/NAME/train/CLASS/` or inside
        `root/NAME_train.zip`.

    Returns
    -------
    dataset : LabelledImages

    Raises
    ------
    ValueError, FileNotFoundError
        For an unknown name, a missing folder, a class without images, names that do not fit the
        folders, or a missing split.
    """
    _check_options(class_names, unreadable)
    check_choice("split", split, ["test", "train"])
    found = find(str(name), root, split)
    return _labelled(str(name), found, read(found, split, download), class_names, unreadable)


def load_splits(
    name: str,
    root: str | Path | None = None,
    class_names: str = "words",
    unreadable: str = "raise",
    download: bool = True,
    training: bool = True,
) -> list[LabelledImages]:
    """Test images, and the training images that belong to them, if any.

    The parameters are those of `load_dataset`; `featpurity.data.catalog.find_training` finds the
    training images. The list has one item if there are none or `training` is False.

    Raises
    ------
    ValueError, FileNotFoundError
        As there, and if the two differ in their classes or the order of these.
    """
    _check_options(class_names, unreadable)
    found = {"test": find(str(name), root)}  # find both before either is downloaded
    apart = catalog.find_training(str(name), root) if training else None
    if apart and not apart.missing:
        found["train"] = apart
    parts = {split: read(where, split, download) for split, where in found.items()}
    (_, of_test, _), (_, of_last, _) = parts["test"], parts[list(parts)[-1]]
    if of_test != of_last:
        only = ", ".join(sorted({*of_test} ^ {*of_last})) or "none, but in another order"
        raise ValueError(
            f"{name}: its test and training images differ in their classes: {only}; "
            "probe_on: test leaves the training images out"
        )
    called = {"test": str(name), "train": f"{name}, training images"}
    return [
        _labelled(called[split], found[split], parts[split], class_names, unreadable)
        for split in found
    ]


def _check_options(class_names, unreadable):
    if not is_own_list(class_names):
        check_choice("class_names", class_names, ["words", "raw"])
    check_choice("unreadable", unreadable, ["raise", "skip"])


def _labelled(name, found, parts, class_names, unreadable):
    """Labelled images from what `read` gave, with class names as asked for."""
    images, raw, labels = parts
    dataset = LabelledImages(
        name,
        _display_names(found, raw, class_names),
        torch.as_tensor(labels, dtype=torch.int64),
        images,
        left_out=found.left_out,
    )
    return without_unreadable(dataset) if unreadable == "skip" else dataset


def left_out(datasets: Iterable) -> list[str]:
    """Lines on the pictures that data sets, or sets of pairs, leave out: how many and which."""
    lines = []
    for dataset in datasets:
        if dataset.skipped:
            skipped = ", ".join(dataset.skipped)
            lines.append(
                f"{dataset.name}: {len(dataset.skipped)} unreadable images left out: {skipped}"
            )
        if others := getattr(dataset, "left_out", None):
            lines.append(f"{dataset.name}: left out, since they are not read: {counted(others)}")
    return lines


def groups_of_classes(dataset: LabelledImages) -> list[str]:
    """A line if a user's class folders look like groups of classes: all pictures are in subfolders.

    Each still counts as one class, as in `ImageFolder`.
    """
    if not dataset.name.startswith(FOLDER):
        return []
    folders = {}
    for name, label in zip(dataset.images.names, dataset.labels.tolist()):
        folders.setdefault(label, set()).add(posixpath.dirname(name))
    shared = {posixpath.commonpath(own): own for own in folders.values()}
    groups = [folder for folder, own in shared.items() if folder not in own]
    if not groups:
        return []
    listed = ", ".join(groups[:5]) + ", ..." * (len(groups) > 5)
    return [f"{dataset.name}: folders of folders with pictures, each taken for one class: {listed}"]


def read(found: Found, split: str, download: bool) -> tuple[Sequence, list[str], list]:
    """Pictures, raw class names and labels, read from where `find` found them or downloaded."""
    if found.kind == "generated":
        return _scenes(found.name)
    if found.kind == "webdataset":
        return _read_shards(found.name)
    if found.listed:
        listed = found.listed
        kind = ImageZip if is_zip(listed.source) else ImageFiles
        return kind(listed.source, listed.names), listed.folders, listed.labels
    if found.missing:
        raise FileNotFoundError(f"{found.name}: {found.missing}")
    record, root = CATALOG[found.name], found.where
    of_torchvision = record.part(split).split
    try:
        data = record.open(root, of_torchvision, False)
    except (RuntimeError, FileNotFoundError) as error:
        if not download:
            raise FileNotFoundError(f"{found.name}: not found below {root} ({error})") from None
        try:
            data = record.open(root, of_torchvision, True)
        except (RuntimeError, OSError) as reason:  # no network on a node, a full disk, ...
            places = ", ".join(str(root / file) for file in record.part(split).files)
            raise FileNotFoundError(
                f"{found.name}: not found below {root}, and it could not be downloaded ({reason}); "
                f"put it there: {places}"
            ) from reason
    if record.content is None:
        return _pixels(data.data, record.axes), list(data.classes), _labels(data)
    files, labels, classes = record.content(data)
    names = [Path(file).relative_to(root).as_posix() for file in files]
    return ImageFiles(root, names), list(classes), list(labels)


def _pixels(data, axes):
    """Pictures from an array or tensor, in colour or in grey of shape (n, height, width)."""
    pixels = np.asarray(data)
    if pixels.ndim == 3:
        return ImageArrays(np.repeat(pixels[..., None], 3, axis=3))
    return ImageArrays(pixels.transpose(0, *axes))


def _labels(data):
    labels = data.labels if hasattr(data, "labels") else data.targets
    return np.asarray(labels).tolist()


def _read_shards(name):
    """Pictures of webdataset shards; without a list of class names, the names are numbers."""
    shards = webdataset.shards_of(name)
    images, texts, _ = webdataset.read_samples(shards, "cls")
    classes = webdataset.read_classes(shards)
    labels = webdataset.labels_of(texts, shards, classes and len(classes))
    return images, classes or [str(number) for number in range(max(labels) + 1)], labels


def _scenes(name):
    """The generated test pictures, which are the same for each attribute."""
    from featpurity.data import scenes

    attribute = name.removeprefix("scenes_")
    images = scenes.Scenes(**catalog.SCENES_TEST)
    column = list(scenes.ATTRIBUTES).index(attribute)
    return images, list(scenes.ATTRIBUTES[attribute]), images.attributes[:, column]


def _display_names(found, raw, wanted):
    """Class names as asked for: raw, as words, or from the user's file."""
    own = None
    if is_own_list(wanted):
        own = read_class_names(wanted, raw, found.name)
    if own or wanted == "raw":
        return own or raw
    if found.name in CATALOG:
        return [CATALOG[found.name].words(name) for name in raw]
    if found.kind == "webdataset" and not webdataset.read_classes(webdataset.shards_of(found.name)):
        raise ValueError(
            f"{found.name}: the classes have numbers only; put {webdataset.CLASS_NAMES[0]} beside "
            "the shards, or set class_names to a file"
        )
    if found.listed is None:
        return raw
    if found.listed.class_names is None:
        return folder_words(raw)
    return names_from_lines(found.listed.class_names, raw, found.listed.where / CLASS_NAMES)
