"""Sequences of pictures in files, in an archive or in memory, decoded on access.

Pictures are decoded as by torchvision's `ImageFolder`, with one difference: 16-bit and
floating-point greys keep their scale, where Pillow's own conversion clips them to white or black.
Sensor values of 10, 12 or 14 bits are often stored in 16 without being spread over them, and no
header shows it (PNG's sBIT gives the number of significant bits, not their scale): such a picture,
nearly black, is refused. EXIF orientation is not applied (except that of a TIFF, which Pillow
itself turns), because neither torchvision nor the training of CLIP models applies it, and published
numbers are for pictures as stored.
"""

from __future__ import annotations

import copy
import io
import operator
import os
import stat
import threading
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

from featpurity.data.filecache import content_digests, in_threads
from featpurity.files import digest

# Formats that are decoded, whatever a file is called: no PostScript, for which Pillow starts
# another program.
KINDS = ["JPEG", "PNG", "PPM", "BMP", "DIB", "TIFF", "WEBP", "GIF"]
LARGEST_FILE = 2**28  # bytes of one picture in an archive, which is read as a whole
LARGE = 2**24  # pixels above which pictures are checked one at a time: threads would add up
_one_large_at_a_time = threading.Lock()
TURNED = range(2, 9)  # EXIF orientations that viewers apply; 1 is upright, others are invalid
TIFF_BITS, TIFF_PHOTOMETRIC, WHITE_IS_ZERO = 258, 262, 0
DARK = 2**14 / 2**16  # share of white that 14-bit values stored in 16 bits stay below


class EncodedImages(ABC):
    """Pictures that are decoded on access, each by its name. Names may repeat.

    Attributes
    ----------
    source : Path
        The folder or archive that holds them.
    names : list of str
    """

    def __init__(self, source: str | Path, names: Iterable[str]):
        self.source, self.names = Path(source), list(names)

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, i: int) -> Image.Image:
        name = self.names[i]
        try:
            with self._open(name) as file:
                return decode(file)
        except Exception as error:  # Pillow raises many kinds for broken files
            raise ValueError(
                f"{self.source / name} is not a readable image: {fault(error)}"
            ) from None

    @abstractmethod
    def _open(self, name):
        """The picture's bytes as a binary file."""

    @cached_property
    def key(self) -> str:
        """Digest of the names and of the pictures' content."""
        return digest(list(zip(self.names, self.contents)))

    def subset(self, rows: list[int]) -> EncodedImages:
        """The pictures at these rows."""
        part = copy.copy(self)
        part.names = [self.names[row] for row in rows]
        for of_all in ("contents", "key", "opened"):
            part.__dict__.pop(of_all, None)
        return part

    def unreadable(self) -> dict[str, str]:
        """Pictures that do not decode, in order: {name: fault}. Opens every picture."""
        return self.opened[0]

    @cached_property
    def opened(self) -> tuple[dict[str, str], list[str]]:
        """{name: fault} of undecodable pictures, and names of those that EXIF data would turn.

        Opens every picture once.
        """
        names = list(dict.fromkeys(self.names))
        found = in_threads(self._open_once, names, "opening images")
        faults = {name: why for name, (why, _) in zip(names, found) if why}
        return faults, [name for name, (_, turned) in zip(names, found) if turned]

    def _open_once(self, name):
        """A picture's fault, or None, and whether its EXIF data would turn it."""
        try:
            with self._open(name) as file:
                picture = decode(file, checking=True)
        except Exception as error:
            return fault(error), False
        try:
            return None, picture.getexif().get(ExifTags.Base.Orientation) in TURNED
        except Exception:  # broken EXIF data turn nothing; the picture itself is readable
            return None, False


class ImageFiles(EncodedImages):
    """Pictures in files below a folder; `names` are their paths below it."""

    def _open(self, name):
        path = self.source / name
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise ValueError("not a regular file")  # opening a pipe would wait for ever
        return open(path, "rb")

    @cached_property
    def contents(self) -> list[str]:
        """Digest of each picture's file."""
        digests = content_digests(self.source, self.names)
        return [digests[name] for name in self.names]


class ImageZip(EncodedImages):
    """Pictures inside a zip archive; `names` are its members."""

    def __init__(self, source: str | Path, names: Iterable[str]):
        super().__init__(source, names)
        self._archive, self._lock = (None, None), threading.Lock()

    def _open(self, name):
        with self._lock:  # threads share a file position, which processes must not
            if self._archive[0] != os.getpid():
                self._archive = os.getpid(), zipfile.ZipFile(self.source)
            archive = self._archive[1]
            size = archive.getinfo(name).file_size
            refuse_large(size)
            with archive.open(name) as member:
                # Limit the size, as a false header could have everything unpacked at once.
                return io.BytesIO(member.read(size + 1))

    def __getstate__(self) -> dict[str, Any]:
        return {"source": self.source, "names": self.names}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)

    @cached_property
    def contents(self) -> list[tuple[int, int]]:
        """Checksum and size of each picture's member."""
        with zipfile.ZipFile(self.source) as archive:
            facts = {
                member.filename: (member.CRC, member.file_size) for member in archive.infolist()
            }
        return [facts[name] for name in self.names]


class ImageArrays:
    """Pictures in memory, as uint8 of shape (n, height, width, 3)."""

    def __init__(self, pixels: np.ndarray):
        self.pixels = np.ascontiguousarray(pixels)

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, i: int) -> Image.Image:
        return Image.fromarray(self.pixels[i])

    @cached_property
    def key(self) -> str:
        """Digest of the pixels."""
        return digest(repr(self.pixels.shape).encode(), self.pixels.data)


class ChosenImages:
    """Some rows of any sequence of pictures."""

    def __init__(self, images: Sequence, rows: list[int]):
        self.images, self.rows = images, rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, i: int) -> Image.Image:
        return self.images[self.rows[i]]

    @property
    def key(self) -> str:
        """Digest of the whole sequence's key and of the rows."""
        return digest((self.images.key, self.rows))


class Pictures:
    """Common base of data sets and sets of pairs: `images`, a sequence of pictures."""

    def __len__(self) -> int:
        return len(self.images)

    @property
    def images_key(self) -> str:
        """Changes when a picture does; data sets with equal keys share stored features."""
        return self.images.key


def subset(images: Sequence, rows: list[int]) -> Sequence:
    """The pictures of any sequence at a list of rows."""
    return images.subset(rows) if hasattr(images, "subset") else ChosenImages(images, rows)


def row_of(chosen: Any) -> int:
    """The row of one image; a TypeError for anything but a whole number."""
    try:
        return operator.index(chosen)
    except TypeError:
        raise TypeError(
            f"expected the number of an image, got {chosen!r:.80}; .subset(...) takes slices, "
            "lists and masks"
        ) from None


def rows_of(chosen: Any, n: int) -> list[int]:
    """Rows as a list of int in 0 .. n - 1, from any way to choose among n rows.

    Parameters
    ----------
    chosen : slice, sequence of int, or boolean mask of shape (n,)
        A list, a NumPy array, a tensor, a Series. Negative numbers count from the end.
    n : int

    Raises
    ------
    ValueError
        For a mask of another length, rows out of range, or anything else.
    """
    if isinstance(chosen, slice):
        return list(range(n)[chosen])
    rows = np.asarray(chosen)
    if rows.ndim == 1 and rows.dtype == bool:
        if len(rows) != n:
            raise ValueError(f"expected a mask of {n} values, one an image, got {len(rows)}")
        return np.flatnonzero(rows).tolist()
    if rows.ndim == 1 and not len(rows):
        return []
    if rows.ndim != 1 or not np.issubdtype(rows.dtype, np.integer):
        raise ValueError(
            f"expected a list of rows or a mask of {n} values, got {rows.dtype} of shape "
            f"{rows.shape}"
        )
    outside = rows[(rows < -n) | (rows >= n)]
    if len(outside):
        raise ValueError(f"row {outside[0]} is out of range: there are {n} images")
    return np.where(rows < 0, rows + n, rows).tolist()


def without_unreadable(dataset: Any) -> Any:
    """A data set, or pairs, without the pictures that do not decode, listed in `skipped`."""
    if not isinstance(dataset.images, EncodedImages):
        return dataset
    broken = dataset.images.unreadable()
    readable = [i for i, name in enumerate(dataset.images.names) if name not in broken]
    if not readable:
        raise ValueError(f"{dataset.name}: none of the {len(dataset)} images is readable")
    return replace(dataset.subset(readable), skipped=tuple(broken)) if broken else dataset


def refuse_large(size: int) -> None:
    """Raise ValueError for an archive member that would fill the memory."""
    if size > LARGEST_FILE:
        raise ValueError(
            f"it unpacks to {size / 1e6:,.0f} MB; expected at most {LARGEST_FILE / 1e6:,.0f} MB"
        )


def decode(file: BinaryIO, checking: bool = False) -> Image.Image:
    """Decode a picture from a binary file, as PIL RGB.

    Parameters
    ----------
    file : binary file
    checking : bool
        Whether to look only for faults: a JPEG is then decoded at an eighth of its size.

    Raises
    ------
    ValueError and others of Pillow's
        For bytes that are not a picture of one of `KINDS`, are cut off, have too many pixels, or
        have values of unknown scale.
    """
    with Image.open(file, formats=KINDS) as picture:
        if not checking:
            return rgb(picture)
        picture.draft("RGB", (32, 32))
        if picture.width * picture.height <= LARGE:
            return rgb(picture)
        with _one_large_at_a_time:
            return rgb(picture)


def rgb(picture: Image.Image) -> Image.Image:
    """Any picture as RGB with 8 bits; transparency is dropped, as torchvision drops it."""
    of_16_bits = picture.format in {"PNG", "PPM", "TIFF"} and ";16" in str(picture.tile)
    if picture.mode == "F":
        greys = np.asarray(picture)
        if not (greys.min() >= 0 and greys.max() <= 1):  # also for NaN
            raise ValueError(
                f"its greys are floating point numbers from {greys.min():g} to {greys.max():g}; "
                "expected 0 for black to 1 for white"
            )
    elif picture.mode.startswith("I;16") or (picture.mode == "I" and picture.format != "TIFF"):
        tags = getattr(picture, "tag_v2", {})
        bits = tags.get(TIFF_BITS, (16,))[0]
        greys = np.asarray(picture) / (2**bits - 1)
        if of_16_bits:
            _refuse_nearly_black(greys.max())
        if tags.get(TIFF_PHOTOMETRIC) == WHITE_IS_ZERO:
            greys = 1 - greys
    elif picture.mode == "I":
        raise ValueError("its greys are whole numbers of 32 bits; save it with 8 or 16 bits")
    else:
        colours = picture.convert("RGB")
        if of_16_bits:
            _refuse_nearly_black(np.asarray(colours).max() / 255)
        return colours
    return Image.fromarray((greys * 255).round().astype(np.uint8)).convert("RGB")


def _refuse_nearly_black(brightest):
    """Raise ValueError for values of fewer bits stored in 16; `brightest` is a share of white."""
    if 0 < brightest < DARK:
        raise ValueError(
            f"its values of 16 bits end at {brightest:.1%} of white, as those of 14 bits or fewer "
            "do when nobody spread them: nearly black; save it with 8 bits, or spread over all 16"
        )


def fault(error: Exception) -> str:
    """What is wrong with a picture, in one line."""
    if isinstance(error, UnidentifiedImageError):
        return f"no picture of a kind that is read ({', '.join(KINDS)})"
    if isinstance(error, OSError) and error.strerror:
        return f"{type(error).__name__}: {error.strerror}"
    return " ".join(f"{type(error).__name__}: {error}".split())
