"""Pictures in webdataset's shards: tar archives read in place, never unpacked.

A sample is the files of a shard that share a name up to the first dot: `0001.jpg` with `0001.cls`
(its class number) or `0001.txt` (its captions, one per line). Shards are listed once; the list is
remembered as long as a shard is unchanged.
"""

import io
import re
import tarfile
from collections import Counter
from functools import cached_property
from pathlib import Path

from featpurity.data.class_folders import (
    OTHER_SUFFIXES,
    SUFFIXES,
    passed_over,
    refuse_leading_outside,
)
from featpurity.data.class_names import FROM_1, NUMBER, each_once, names_from_lines
from featpurity.data.filecache import content_digests, remembered
from featpurity.data.images import EncodedImages, refuse_large
from featpurity.files import digest, located, read_text, text_of

PREFIX = "webdataset:"
PICTURES = (*SUFFIXES, *OTHER_SUFFIXES)
TEXTS = ("cls", "txt")  # files of a sample whose content the list holds
LINKED = "linked"  # instead of a picture's (offset, size): links are never followed
LONGEST_TEXT = 2**16  # bytes
LISTS = "samples-1"  # the cache of `list_shard`; a new number for a change in its lists
CLASS_NAMES = ["classnames.txt", "classes.txt"]  # beside the shards, or one folder above


class ImageTars(EncodedImages):
    """Pictures inside tar archives.

    Parameters
    ----------
    source : Path
        The folder of the archives.
    names : list of str
        ARCHIVE/MEMBER for each picture.
    places : dict
        Name -> (offset, size) in bytes of the picture in its archive.
    """

    def __init__(self, source: Path, names: list[str], places: dict[str, tuple[int, int]]):
        super().__init__(source, names)
        self.places = places

    def _open(self, name):
        offset, size = self.places[name]
        refuse_large(size)
        with open(self.source / name.split("/", 1)[0], "rb") as file:
            file.seek(offset)
            return io.BytesIO(file.read(size))

    @cached_property
    def key(self) -> str:
        """Digest of the archives' content and of the names."""
        digests = content_digests(self.source, sorted({name.split("/")[0] for name in self.names}))
        return digest((digests, self.names))


def shards_of(name: str) -> list[Path]:
    """The shards that a name stands for, in numerical order.

    Parameters
    ----------
    name : str
        `webdataset:PATH`, where PATH is a tar archive, a folder of them (or one that holds them in
        `test/`), or a pattern such as `shards/{00000..00099}.tar`.

    Returns
    -------
    shards : list of Path, all in one folder

    Raises
    ------
    FileNotFoundError
        If there are none, or one of the pattern is missing.
    """
    path = located(name.removeprefix(PREFIX))
    span = re.fullmatch(r"(.*)\{(\d+)\.\.(\d+)\}(.*)", path.name)
    if span:
        before, first, last, after = span.groups()
        numbers = range(int(first), int(last) + 1)
        shards = [path.with_name(f"{before}{n:0{len(first)}d}{after}") for n in numbers]
    elif path.is_dir():
        shards = list(path.glob("*.tar")) or list((path / "test").glob("*.tar"))
        shards.sort(key=lambda shard: (len(shard.name), shard.name))  # 2.tar before 10.tar
    else:
        shards = [path]
    missing = [shard for shard in shards if not shard.is_file()]
    if missing or not shards:
        raise FileNotFoundError(
            f"there is no {missing[0]}" if missing else f"{path} holds no shards .tar"
        )
    return shards


def read_samples(shards: list[Path], text: str) -> tuple[ImageTars, list[str], dict[str, int]]:
    """The pictures of all samples, and one text for each.

    Parameters
    ----------
    shards : list of Path
    text : {"cls", "txt"}

    Returns
    -------
    images : ImageTars
    texts : list of str
    left_out : dict of str to int
        Numbers of samples whose picture is of an unsupported kind, by suffix, or a link to another
        file.

    Raises
    ------
    ValueError
        For a damaged or compressed shard, a member with a path that leads outside, or a sample
        without the text.
    """
    names, places, texts, left_out = [], {}, [], Counter()
    for shard in shards:
        for sample, files in remembered(LISTS, shard, list_shard).items():
            pictures = [name for name in files if f".{name.lower()}" in SUFFIXES]
            stored = [name for name in pictures if files[name] != LINKED]
            if len(stored) > 1:
                raise ValueError(f"{shard}: the sample {sample} holds {len(stored)} pictures")
            if not pictures:
                others = {f".{suffix.lower()}" for suffix in files}
                # As in webdataset, all after the first dot of a name is its suffix.
                left_out.update(name for name in others if name.endswith(PICTURES))
                continue
            if not stored:
                left_out[LINKED] += 1
                continue
            if text not in files:
                raise ValueError(f"{shard}: the sample {sample} has no file .{text}")
            name = f"{shard.name}/{sample}.{stored[0]}"
            names.append(name)
            places[name] = tuple(files[stored[0]])
            texts.append(files[text])
    if not names:
        raise ValueError(f"{shards[0]}: no samples with a picture ({', '.join(SUFFIXES)})")
    return ImageTars(shards[0].parent, names, places), texts, dict(left_out)


def read_captioned(shards: list[Path]) -> tuple[ImageTars, list[str], dict[str, int]]:
    """The pictures of all samples with their captions, a picture once for each of its captions.

    Returns
    -------
    images : ImageTars
    captions : list of str
        The non-blank lines of the samples' `.txt`. If all lines are blank, the picture keeps one
        blank caption, as in a table.
    left_out
        As in `read_samples`.
    """
    images, texts, left_out = read_samples(shards, "txt")
    names, captions = [], []
    for name, text in zip(images.names, texts):
        lines = re.split(r"\r\n|\r|\n", text)  # as in files of captions
        own = [" ".join(line.splitlines()).strip() for line in lines if line.strip()] or [""]
        names += [name] * len(own)
        captions += own
    return ImageTars(images.source, names, images.places), captions, left_out


def read_classes(shards: list[Path]) -> list[str] | None:
    """Class names in a file beside the shards, or None.

    They are one per line, numbered from 0, or each after its number.
    """
    folders = [shards[0].parent, shards[0].parent.parent]
    listed = [folder / name for folder in folders for name in CLASS_NAMES]
    path = next((path for path in listed if path.is_file()), None)
    if path is None:
        return None
    names = [line.strip() for line in read_text(path).rstrip().splitlines()]
    if "" in names:
        raise ValueError(
            f"{path}, line {names.index('') + 1}: expected the name of class "
            f"{names.index('')}, got a blank line"
        )
    numbers = [str(number) for number in range(len(names))]
    if all(re.match(rf"{NUMBER.pattern}[\s,;:=]", name) for name in names):
        return names_from_lines("\n".join(names), numbers, path)
    return each_once(names, numbers, path)


def labels_of(texts: list[str], shards: list[Path], n_classes: int | None = None) -> list[int]:
    """Class numbers from the texts of the `.cls` files, each in 0 .. n_classes - 1."""
    where, labels = shards[0].parent, []
    for text in texts:
        if not re.fullmatch(r"\s*[0-9]{1,6}\s*", text):
            raise ValueError(
                f"{where}: expected a class number in .cls, of 6 digits at most, got {text!r:.60}"
            )
        labels.append(int(text))
    if n_classes is not None and max(labels) >= n_classes:
        raise ValueError(
            f"{where}: class {max(labels)} has no name; there are {n_classes} class names"
            f"{FROM_1 if max(labels) == n_classes and min(labels) else ''}"
        )
    return labels


def list_shard(path: Path) -> dict[str, dict]:
    """Where each sample's files are in a shard.

    Returns
    -------
    samples : dict
        Sample -> {suffix: (offset, size)}, with the text itself for `TEXTS`, and `LINKED` for a
        picture that is a link, as tar stores the second of two names of one file.

    Raises
    ------
    ValueError
    """
    samples, size = {}, path.stat().st_size
    try:
        with tarfile.open(path, "r:") as archive:
            for member in archive:
                refuse_leading_outside(path, member.name)
                sample, dot, suffix = _split(member.name)
                if not dot or member.issparse():
                    continue
                if member.issym() or member.islnk():
                    if f".{suffix.lower()}".endswith(PICTURES):
                        samples.setdefault(sample, {}).setdefault(suffix, LINKED)
                    continue
                if not member.isreg():
                    continue
                if member.offset_data + member.size > size:
                    raise ValueError(f"{path} is cut off in {member.name}")
                files = samples.setdefault(sample, {})
                if suffix in files:
                    raise ValueError(f"{path} holds {member.name} twice")
                files[suffix] = (
                    _text(archive, member, path)
                    if suffix in TEXTS
                    else (member.offset_data, member.size)
                )
            archive.fileobj.seek(archive.offset)
            if archive.fileobj.read(512) != bytes(512):
                raise ValueError(f"{path} is cut off: it lacks the mark of its end")
    except tarfile.TarError as error:
        raise ValueError(
            f"{path} is not a whole, uncompressed tar archive: {error}".splitlines()[0]
        ) from None
    return samples


def _split(name):
    """A member's name as sample, dot, suffix; no dot for files to skip."""
    folder, slash, file = name.removeprefix("./").rpartition("/")
    if any(map(passed_over, f"{folder}{slash}{file}".split("/"))):
        return name, "", ""
    stem, dot, suffix = file.partition(".")
    return f"{folder}{slash}{stem}", dot, suffix


def _text(archive, member, path):
    if member.size > LONGEST_TEXT:
        raise ValueError(f"{path}: {member.name} is too long for a text")
    return text_of(archive.extractfile(member).read(), f"{path}: {member.name}")
