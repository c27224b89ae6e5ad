"""Load image-caption pairs from a name or a table of captions."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from numbers import Integral
from pathlib import Path, PurePath

import numpy as np
from PIL import Image

from featpurity.captions.files import read_captioned, read_captions
from featpurity.captions.synthetic import make_captions, scene_facts
from featpurity.data import webdataset
from featpurity.data.catalog import find, pictures_of_table, places_of_pictures
from featpurity.data.datasets import read
from featpurity.data.images import ImageFiles, Pictures, row_of, rows_of, subset, without_unreadable
from featpurity.data.scenes import Scenes
from featpurity.files import below, check_choice, check_list, data_folder, meant


@dataclass(frozen=True, eq=False)
class CaptionedImages(Pictures):
    """Images with a caption each; `pairs[i]` is (PIL RGB picture, str).

    `rewrites[i]` holds other captions of picture i, and may be empty. For generated captions only
    (see `featpurity.captions.synthetic`), `facts[i]` holds what is true of the picture, and
    `named[i]` what its best caption names. The rest is as in `LabelledImages`.
    """

    name: str
    captions: list[str]
    rewrites: list[list[str]]
    images: Sequence
    skipped: tuple[str, ...] = ()
    facts: list[dict] | None = None
    named: list[dict] | None = None
    left_out: dict[str, int] = field(default_factory=dict)

    def __getitem__(self, i: int) -> tuple[Image.Image, str]:
        i = row_of(i)
        return self.images[i], self.captions[i]

    def __repr__(self) -> str:
        return f"CaptionedImages({self.name!r}, {len(self)} pairs)"

    @property
    def best_captions(self) -> list[str]:
        """A right caption for each picture: its first rewrite that is not blank, else its own."""
        return [
            next(filter(str.strip, texts), caption)
            for caption, texts in zip(self.captions, self.rewrites)
        ]

    @property
    def image_names(self) -> list[str] | None:
        """The file of each pair's picture; None if all pictures are different."""
        names = getattr(self.images, "names", None)
        return names and [os.path.normpath(name) for name in names]

    def subset(self, indices: Iterable[int]) -> "CaptionedImages":
        """The pairs at `indices`; see `LabelledImages`."""
        indices = rows_of(indices, len(self))
        captions = [self.captions[i] for i in indices]
        rewrites = [self.rewrites[i] for i in indices]
        known = {
            part: getattr(self, part) and [getattr(self, part)[i] for i in indices]
            for part in ("facts", "named")
        }
        images = subset(self.images, indices)
        return replace(self, captions=captions, rewrites=rewrites, images=images, **known)


def load_pairs(
    name: str | Path,
    root: str | Path | None = None,
    n_pairs: int | None = None,
    rewrites: Sequence[str | Path] = (),
    unreadable: str = "raise",
    download: bool = True,
) -> CaptionedImages:
    """Load image-caption pairs by name, or from a table such as a CSV file.

    Parameters
    ----------
    name : str or Path
        `scenes` (generated pictures) or `photos` (CIFAR-10's training photos), both with generated
        captions; a CSV file with the columns image and caption, with or without a header, also with
        another suffix or with tabs (see `featpurity.captions.files.read_table`), whose images are
        looked for beside it, in `images/` or `Images/` beside it, and in `root`; or
        `webdataset:PATH` for shards with a `.txt` for each picture, one caption per line.
    root : str or Path, default "data" in the project's root
    n_pairs : int, optional
        At most this many pairs: a seeded draw of `photos`, the first ones of a CSV file.
    rewrites : list of str or Path
        For a CSV: text files of rewritten captions, line i for pair i, as in LaCLIP; looked for as
        written and below `root`.
    unreadable, download
        See `load_dataset`.

    Returns
    -------
    pairs : CaptionedImages

    Raises
    ------
    ValueError, FileNotFoundError
        For missing files or columns, no captions, rows that are not one image and one caption, or
        files that differ in their number of lines.
    """
    check_choice("unreadable", unreadable, ["raise", "skip"])
    check_list("rewrites", rewrites)
    name = meant(name)
    if n_pairs is not None and (not isinstance(n_pairs, Integral) or n_pairs < 1):
        raise ValueError(f"n_pairs: expected a whole number of 1 or more, got {n_pairs}")
    loaders = {"scenes": scenes, "photos": photos}
    if rewrites and (str(name) in loaders or str(name).startswith(webdataset.PREFIX)):
        raise ValueError(f"rewrites go with a CSV of pairs, got {name}")
    if str(name) in loaders:
        found = loaders[str(name)](data_folder(root), n_pairs, download)
    elif str(name).startswith(webdataset.PREFIX):
        found = from_shards(str(name))
    else:
        found = from_table(name, data_folder(root), rewrites)
    if n_pairs is not None and n_pairs < len(found):
        found = found.subset(range(n_pairs))
    return without_unreadable(found) if unreadable == "skip" else found


NAMED = 10  # missing pictures that a message names; it counts the rest
N_SCENES, N_REWRITES = 20_000, 4
CAPTIONS_SEED = 2_000_001  # also for pictures; no test or pre-training uses it


def scenes(root: Path, n_pairs: int | None, download: bool) -> CaptionedImages:
    """Generated pictures with raw and rewritten captions; reads nothing from disk."""
    images = Scenes(n_pairs or N_SCENES, CAPTIONS_SEED)
    facts = [scene_facts(row) for row in images.attributes]
    return _generated("scenes", images, facts)


def photos(root: Path, n_pairs: int | None, download: bool) -> CaptionedImages:
    """CIFAR-10's training photos, or a seeded draw of them, with captions of their classes."""
    images, classes, labels = read(find("cifar10", root, "train"), "train", download)
    drawn = np.random.default_rng(CAPTIONS_SEED).permutation(len(images))[:n_pairs].tolist()
    facts = [{"class": classes[labels[i]]} for i in drawn]
    return _generated("photos", subset(images, drawn), facts)


def _generated(name, images, facts):
    captions, rewrites, named = make_captions(facts, CAPTIONS_SEED, N_REWRITES)
    return CaptionedImages(name, captions, rewrites, images, facts=facts, named=named)


def from_shards(name: str) -> CaptionedImages:
    """Pairs from webdataset shards with a `.txt` for each picture: one pair per line."""
    images, captions, left_out = webdataset.read_captioned(webdataset.shards_of(name))
    name = PurePath(name.removeprefix(webdataset.PREFIX)).name  # no path: it also names a file
    return CaptionedImages(name, captions, [[] for _ in captions], images, left_out=left_out)


def from_table(
    path: str | Path, root: Path | None = None, rewrites: Sequence[str | Path] = ()
) -> CaptionedImages:
    """Pairs from a table of images and captions; see `load_pairs`."""
    given, path = path, below(path, root)
    if path is None:
        raise FileNotFoundError(
            f"pairs: expected scenes, photos or a CSV file, but there is no {given}"
        )
    table = read_captioned(path)
    if "image" not in table:
        raise ValueError(
            f"{path}: expected the columns image and caption, got {list(table)!s:.200}; its first "
            f"caption is {table['caption'][0][:60]!r}"
        )
    captions = list(table["caption"])
    files = [below(file, root) for file in rewrites]
    if None in files:
        raise FileNotFoundError(f"rewrites: there is no file {rewrites[files.index(None)]}")
    rewritten = [read_captions(file) for file in files]
    for file, lines in zip(rewrites, rewritten):
        if len(lines) != len(captions):
            raise ValueError(
                f"{file} has {len(lines)} captions, but {path} has {len(captions)} pairs; "
                "expected one line a pair"
            )
    names = list(table["image"])
    if "" in names:
        raise ValueError(
            f"{path}: row {names.index('') + 1} names no image; expected one for every pair"
        )
    folder = pictures_of_table(path, names[0], root)
    missing = [name for name in dict.fromkeys(names) if not (folder / name).is_file()]
    if missing:
        listed = "\n  ".join([*missing[:NAMED], *(["..."] if missing[NAMED:] else [])])
        places = places_of_pictures(path, root) if names[0] in missing else [folder]
        raise FileNotFoundError(
            f"{path}: {len(missing):,} images are not in {' or '.join(map(str, places))}:\n"
            f"  {listed}"
        )
    images = ImageFiles(folder, names)
    rewrites_of = [list(texts) for texts in zip(*rewritten)] if rewritten else [[] for _ in names]
    return CaptionedImages(path.stem, captions, rewrites_of, images)
