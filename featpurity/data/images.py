"""A name or a folder becomes labelled images; a name or a CSV becomes image-caption pairs. No model in here.

Splits are the paper's: the test split where there is one, all of Caltech-101 and EuroSAT.
"""

import io
import os
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image
from torch.utils.data import Subset
from torchvision.datasets.folder import IMG_EXTENSIONS
from tqdm.auto import tqdm

from featpurity.files import digest


def subset_key(dataset, indices):
    """What stands for some of a data set's images, as `images_key` does for all."""
    return digest((dataset.images_key, indices))


def without_unreadable(dataset):
    """The data set without the image files that cannot be read, which it counts."""
    if not isinstance(dataset.images, ImageFiles):
        return dataset
    broken = dataset.images.unreadable()
    readable = [i for i, file in enumerate(dataset.images.names) if file not in broken]
    if not readable:
        raise ValueError(f"{dataset.name}: none of the {len(dataset)} images is readable")
    return replace(dataset.subset(readable), skipped=tuple(broken)) if broken else dataset


class ImageFiles:
    """Pictures below a folder or inside a zip archive, decoded when asked for.

    Parameters
    ----------
    source : Path
        A folder, or a `.zip` file.
    names : list of str
        Paths below the folder, or members of the archive. May repeat.
    """

    def __init__(self, source, names):
        self.source, self.names = Path(source), list(names)
        self._archive = None, None

    def __len__(self):
        return len(self.names)

    def __getitem__(self, i):
        try:
            with self._open(self.names[i]) as file, Image.open(file) as picture:
                return picture.convert("RGB")
        except Exception as error:  # Pillow raises many kinds for broken files
            raise ValueError(
                f"{self.source / self.names[i]} is not a readable image: {error}"
            ) from None

    def _open(self, name):
        if self.source.suffix.lower() != ".zip":
            return open(self.source / name, "rb")
        if self._archive[0] != os.getpid():  # worker processes must not share one file position
            self._archive = os.getpid(), zipfile.ZipFile(self.source)
        return io.BytesIO(self._archive[1].read(name))

    def __getstate__(self):
        return {**self.__dict__, "_archive": (None, None)}

    @property
    def key(self):
        """Hash of names with sizes and times of change (for an archive its own checksums)."""
        if self.source.suffix.lower() == ".zip":
            with zipfile.ZipFile(self.source) as archive:
                facts = {info.filename: (info.CRC, info.file_size) for info in archive.infolist()}
        else:
            status = {name: os.stat(self.source / name) for name in set(self.names)}
            facts = {name: (one.st_size, one.st_mtime_ns) for name, one in status.items()}
        return digest([(name, facts[name]) for name in self.names])

    def subset(self, indices):
        """The pictures at `indices`."""
        return ImageFiles(self.source, [self.names[i] for i in indices])

    def unreadable(self, threads=None):
        """Names of the pictures that do not decode, in order: {name: fault}. Every one is opened."""

        def fault(name):
            file = name  # until it is open: it may be gone
            try:
                with self._open(name) as file, Image.open(file) as picture:
                    picture.draft(
                        "RGB", (32, 32)
                    )  # a JPEG at an eighth of its size shows its faults sooner
                    picture.load()
            except Exception as error:
                return f"{type(error).__name__}: {error}".replace(repr(file), "file").splitlines()[
                    0
                ]

        names = list(dict.fromkeys(self.names))
        in_turn = self.source.suffix.lower() == ".zip"  # threads would share its file position
        with ThreadPoolExecutor(1 if in_turn else threads or os.cpu_count()) as pool:
            # The bar waits, because a small set is opened sooner than a bar is read.
            faults = tqdm(pool.map(fault, names), total=len(names), desc="opening images", delay=2)
            return {name: why for name, why in zip(names, faults) if why}


class ImageArrays:
    """Pictures in memory, as uint8 of shape (n, height, width, 3)."""

    def __init__(self, pixels):
        self.pixels = np.ascontiguousarray(pixels)

    def __len__(self):
        return len(self.pixels)

    def __getitem__(self, i):
        return Image.fromarray(self.pixels[i])

    @property
    def key(self):
        """Hash of the pixels."""
        return digest(repr(self.pixels.shape).encode(), self.pixels.data)


def subset(images, indices):
    """The pictures of any sequence at `indices`."""
    return images.subset(indices) if isinstance(images, ImageFiles) else Subset(images, indices)


def class_tree(source, below=""):
    """Pictures of a tree with one folder a class.

    Parameters
    ----------
    source : Path
        A folder, or a zip archive.
    below : str
        The folder inside `source` that holds the class folders; "" for `source` itself.

    Returns
    -------
    images : ImageFiles
    folders : list of str, sorted
    labels : list of int

    Raises
    ------
    FileNotFoundError, ValueError
        For a missing folder, one without class folders, or a class folder without pictures.
    """
    source, below = Path(source), below.strip("/")
    where = source / below
    if source.suffix.lower() == ".zip":
        with zipfile.ZipFile(source) as archive:
            listed = archive.namelist()
        prefix = f"{below}/" if below else ""
        names = [name for name in listed if name.startswith(prefix)]
        folders = {
            name[len(prefix) :].split("/")[0] for name in names if "/" in name[len(prefix) :]
        }
    else:
        if not where.is_dir():
            raise FileNotFoundError(f"there is no folder {where}")
        folders = {one.name for one in where.iterdir() if one.is_dir()}
        names = [path.relative_to(source).as_posix() for path in where.rglob("*")]
    folders = sorted(folder for folder in folders if folder[0] not in "._")
    if not folders:
        raise FileNotFoundError(
            f"{where} holds no class folders; expected {where / 'CLASS' / 'image.jpg'}"
        )
    depth = len(Path(below).parts)
    names = sorted(name for name in names if name.lower().endswith(IMG_EXTENSIONS))
    in_class = [
        (name, Path(name).parts[depth]) for name in names if len(Path(name).parts) > depth + 1
    ]
    label_of = {folder: label for label, folder in enumerate(folders)}
    found = [(name, label_of[folder]) for name, folder in in_class if folder in label_of]
    empty = sorted(set(folders) - {folders[label] for _, label in found})
    if empty:
        raise ValueError(
            f"{where}: no images ({', '.join(IMG_EXTENSIONS)}) in the class folders {', '.join(empty)}"
        )
    return ImageFiles(source, [name for name, _ in found]), folders, [label for _, label in found]
