"""The catalogue of data sets: what each holds, how to open it, where to look for its files.

`find` finds a data set; reading, planning and checking a run all rely on it. It downloads nothing
and opens no picture.
"""

import os
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

from featpurity.captions.synthetic import ATTRIBUTES
from featpurity.data import class_folders, class_names, published, webdataset
from featpurity.data.class_folders import ClassFolders, list_class_folders, split_at_zip
from featpurity.files import below, data_folder, did_you_mean, digest, located, meant, megabytes

SCENES = [f"scenes_{attribute}" for attribute in ATTRIBUTES]
SCENES_TEST = {"n": 5000, "seed": 1_000_001}  # its own seed: no picture is used in training
GENERATED_PAIRS = ["scenes", "photos"]  # pairs for which it is known which captions are right
FOLDER = "folder:"
# Class folders that may hold any data set.
_OWN_FOLDERS = ("{name}/{split}", "{name}_{split}.zip")


class Part(NamedTuple):
    """The test or the training images of a data set.

    Training images are all that may be trained on, including torchvision's validation images, as in
    Radford et al. (2021), appendix A.3; some of them, drawn at random, serve for validation.

    Attributes
    ----------
    images : int
    split : str
        Torchvision's name of the split, or of two splits, "train+val".
    files : tuple of str
        Their files in torchvision's layout; by default `DataSet.files` with the split's name.
    megabytes : float
        To download in addition to what the test images need.
    """

    images: int
    split: str = "train"
    files: tuple[str, ...] = ()
    megabytes: float = 0


@dataclass(frozen=True)
class DataSet:
    """One published data set.

    Attributes
    ----------
    images, classes : int
        Numbers of images to classify and of their classes.
    megabytes : float or None
        To download; None if it has to be put in place by hand.
    files : tuple of str
        Required files in torchvision's layout, below the folder of data sets; `{split}` stands for
        torchvision's name of the split.
    train : Part, optional
        The training images, if the data set has a training split.
    open : callable, optional
        open(root, split, download) gives torchvision's object; without it, class folders are read.
    content : callable, optional
        That object's (image files, labels, raw class names); without it, the pixels are in `.data`.
    folders : tuple of str
        Class folders, below the folder of data sets, that are preferred to torchvision's layout.
    named : str
        A pattern for their names, where other folders may be in the same place.
    words : callable
        Turns a raw class name into words for a sentence.
    axes : tuple of int
        Axes of `.data` for height, width and colour, after the images' own.
    several : bool
        Whether an image may show several classes; its labels are then 0 or 1 for each class.
    """

    images: int
    classes: int
    megabytes: float | None
    files: tuple[str, ...] = ()
    train: Part | None = None
    open: Callable | None = None
    content: Callable | None = None
    folders: tuple[str, ...] = _OWN_FOLDERS
    named: str = ""
    words: Callable = published.spaced
    axes: tuple[int, ...] = (1, 2, 3)
    several: bool = False

    def part(self, split: str) -> Part:
        """The images of the split "test" or "train"."""
        part = Part(self.images, "test") if split == "test" else self.train
        files = part.files or tuple(file.format(split=part.split) for file in self.files)
        return part._replace(files=files)


@dataclass(frozen=True)
class Source:
    """A data set or file of captions, as the plan describes it.

    Attributes
    ----------
    name, what : str
        Its name and a few words on what it is.
    megabytes : float or None
        Still to download; None if not known beforehand.
    missing : str or None
        What the user has to put in place first, if anything.
    at_least : bool
        Whether the download may be larger.
    archive : str or None
        The data set whose download includes it, if that is another.
    """

    name: str
    what: str
    megabytes: float | None = 0
    missing: str | None = None
    at_least: bool = False
    archive: str | None = None


@dataclass(frozen=True)
class Found(Source):
    """Where a data set is, and what is known of it before it is read.

    Attributes
    ----------
    kind : {"generated", "class folders", "torchvision", "webdataset", "absent"}
    where : Path or None
        The folder, the archive, or the root of torchvision's layout.
    images, classes : int or None
        None for a missing folder.
    left_out : dict of str to int
        Numbers of pictures that are not read, by suffix or place.
    listed : ClassFolders or None
        Its class folders, if it has any.
    several : bool
        Whether an image may show several classes.
    """

    kind: str = "absent"
    where: Path | None = None
    images: int | None = None
    classes: int | None = None
    left_out: dict[str, int] = field(default_factory=dict)
    listed: ClassFolders | None = field(default=None, repr=False)
    several: bool = False


_WORDNET = class_names.WORDNET.pattern + "$"


def _imagenet(images, classes, *folders, named=_WORDNET):
    """ImageNet's classes, or some of them: behind a login, or not a download of torchvision's."""
    words = class_names.imagenet_word
    folders = (*folders, *_OWN_FOLDERS)
    return DataSet(images, classes, None, (), folders=folders, named=named, words=words)


CATALOG = {
    "food101": DataSet(
        images=25_250,
        classes=101,
        megabytes=4_996,
        files=("food-101/meta/{split}.json", "food-101/images"),
        train=Part(75_750),
        open=published.by_split("Food101"),
        content=published.listed,
    ),
    "cifar10": DataSet(
        images=10_000,
        classes=10,
        megabytes=170,
        files=("cifar-10-batches-py/batches.meta",),
        train=Part(50_000),
        open=published.by_train("CIFAR10"),
        folders=(*_OWN_FOLDERS, "{split}"),
    ),
    "cifar100": DataSet(
        images=10_000,
        classes=100,
        megabytes=169,
        files=("cifar-100-python/meta",),
        train=Part(50_000),
        open=published.by_train("CIFAR100"),
    ),
    "caltech101": DataSet(
        images=8_677,
        classes=101,
        megabytes=137,
        files=("caltech101/101_ObjectCategories",),
        open=published.undivided("Caltech101"),
        content=published.caltech,
        words=published.caltech_words,
    ),
    "pets": DataSet(
        images=3_669,
        classes=37,
        megabytes=811,
        files=("oxford-iiit-pet/annotations/{split}.txt", "oxford-iiit-pet/images"),
        train=Part(3_680, "trainval"),
        open=published.by_split("OxfordIIITPet"),
        content=published.pets,
        words=published.pet_words,
    ),
    "stl10": DataSet(
        images=8_000,
        classes=10,
        megabytes=2_640,
        files=("stl10_binary/{split}_X.bin", "stl10_binary/{split}_y.bin"),
        train=Part(5_000),
        open=published.by_split("STL10"),
        axes=(2, 3, 1),
    ),
    "dtd": DataSet(
        images=1_880,
        classes=47,
        megabytes=625,
        files=("dtd/dtd/labels/test1.txt", "dtd/dtd/images"),
        train=Part(
            3_760,
            "train+val",
            ("dtd/dtd/labels/train1.txt", "dtd/dtd/labels/val1.txt", "dtd/dtd/images"),
        ),
        open=published.by_split("DTD"),
        content=published.listed,
    ),
    "eurosat": DataSet(
        images=27_000,
        classes=10,
        megabytes=94,
        files=("eurosat/2750",),
        open=published.undivided("EuroSAT"),
        content=published.eurosat,
        words=published.camel_words,
    ),
    "flowers102": DataSet(
        images=6_149,
        classes=102,
        megabytes=345,
        files=("flowers-102/setid.mat", "flowers-102/imagelabels.mat", "flowers-102/jpg"),
        train=Part(2_040, "train+val"),
        open=published.by_split("Flowers102"),
        content=published.listed,
    ),
    "cars": DataSet(
        images=8_041,
        classes=196,
        megabytes=None,
        files=(
            "stanford_cars/devkit/cars_meta.mat",
            "stanford_cars/cars_test_annos_withlabels.mat",
            "stanford_cars/cars_test",
        ),
        train=Part(
            8_144,
            files=(
                "stanford_cars/devkit/cars_meta.mat",
                "stanford_cars/devkit/cars_train_annos.mat",
                "stanford_cars/cars_train",
            ),
        ),
        open=published.by_split("StanfordCars"),
        content=published.cars,
    ),
    "sun397": DataSet(
        images=108_754,
        classes=397,
        megabytes=37_000,
        files=("SUN397/ClassName.txt",),
        open=published.undivided("SUN397"),
        content=published.sun,
        words=published.sun_words,
    ),
    "fgvc_aircraft": DataSet(
        images=3_333,
        classes=100,
        megabytes=2_754,
        files=(
            "fgvc-aircraft-2013b/data/images_variant_{split}.txt",
            "fgvc-aircraft-2013b/data/images",
        ),
        train=Part(6_667, "trainval"),
        open=published.by_split("FGVCAircraft"),
        content=published.listed,
    ),
    "mnist": DataSet(
        images=10_000,
        classes=10,
        megabytes=12,
        files=("MNIST/raw/t10k-images-idx3-ubyte",),
        train=Part(60_000, files=("MNIST/raw/train-images-idx3-ubyte",)),
        open=published.by_train("MNIST"),
        words=published.digit,
    ),
    "gtsrb": DataSet(
        images=12_630,
        classes=43,
        megabytes=89,
        files=("gtsrb/GT-final_test.csv", "gtsrb/GTSRB/Final_Test/Images"),
        train=Part(26_640, files=("gtsrb/GTSRB/Training",), megabytes=187),
        open=published.by_split("GTSRB"),
        content=published.gtsrb,
        words=published.gtsrb_words,
    ),
    "voc2007": DataSet(
        images=4_952,
        classes=20,
        megabytes=451,
        files=("VOCdevkit/VOC2007/ImageSets/Main/test.txt", "VOCdevkit/VOC2007/JPEGImages"),
        open=published.voc_2007,
        content=published.voc,
        words=published.voc_words,
        several=True,
    ),
    "imagenet": _imagenet(50_000, 1000, "imagenet/val", "imagenet", "val", "."),
    "imagenetv2": _imagenet(
        10_000,
        1000,
        "imagenetv2",
        "imagenetv2-matched-frequency-format-val",
        named=f"({class_names.WORDNET.pattern}|[0-9]+)$",
    ),
    "imagenet-r": _imagenet(30_000, 200, "imagenet-r"),
    "imagenet-a": _imagenet(7_500, 200, "imagenet-a"),
    "imagenet-sketch": _imagenet(50_889, 1000, "imagenet-sketch", "sketch"),
}


def names() -> list[str]:
    """All names of data sets, besides `folder:PATH` and `webdataset:PATH`."""
    return [*SCENES, *CATALOG]


def find(name: str, root: str | Path | None = None, split: str = "test") -> Found:
    """Find a data set, without opening a picture.

    Parameters
    ----------
    name : str
        One of `names()`; `folder:PATH`, where PATH is a folder of class folders, a zip archive of
        them, or a folder inside an archive (`folder:photos.zip/val`); or `webdataset:PATH`, see
        `featpurity.data.webdataset.shards_of`.
    root : str or Path, optional
        The folder of data sets; see `featpurity.files.data_folder`.
    split : {"test", "train"}
        See `find_training` for the training images that belong to the test images.

    Returns
    -------
    found : Found
        `missing` says what to put in place, `megabytes` what to download.

    Raises
    ------
    ValueError, FileNotFoundError
        For an unknown name, faulty class folders, or the training split of a data set without one.
    """
    name, root = meant(name), data_folder(root)
    if split == "train" and not _is_divided(name):
        find(name, root)  # report an unknown name first
        raise ValueError(f"{name} has no training split")
    if name in SCENES:
        size = {"images": SCENES_TEST["n"], "classes": len(ATTRIBUTES[name.split("_", 1)[1]])}
        return Found(name, "generated", kind="generated", **size)
    if name.startswith(FOLDER):
        return _find_folder(name)
    if name.startswith(webdataset.PREFIX):
        return _find_shards(name, "cls")
    if name not in CATALOG:
        raise unknown(name)
    record = CATALOG[name]
    for place in _places(name, root, split):
        inside = _inside_published_zip(place, split)
        if class_folders.holds_class_folders(place, inside, record.named):
            return _from_class_folders(name, list_class_folders(place, inside), record)
    return _find_published(name, root, split)


def _places(name, root, split):
    """Where a data set's class folders may be."""
    return [root / place.format(name=name, split=split) for place in CATALOG[name].folders]


def _find_published(name, root, split):
    """A data set in torchvision's layout, or what to download or put in place."""
    record = CATALOG[name]
    part = record.part(split)
    size = {"images": part.images, "classes": record.classes, "several": record.several}
    what = f"{part.images:,} images, {record.classes} classes"
    if part.files and all(_is_there(root / file) for file in part.files):
        return Found(name, what, kind="torchvision", where=root, **size)
    missing = None
    if record.megabytes is None:
        first, *others = [root / file for file in part.files] or _places(name, root, split)
        beside = f" (or into {', '.join(map(str, others))})" if others and not part.files else ""
        missing = f"its photos have to be put into {first} by hand{beside}"
    to_download = record.megabytes and record.megabytes + part.megabytes
    return Found(name, what, to_download, missing, where=root, **size)


def find_training(name: str, root: str | Path | None = None) -> Found | None:
    """Find the training images of a data set; None if it has no training split.

    They must be stored like the test images, in torchvision's layout or in class folders, or be
    downloadable, together with these or separately. Otherwise `missing` says so: test images that
    are there are not downloaded again, and need no network.
    """
    name = meant(name)
    if not _is_divided(name):
        return None
    test = find(name, root)
    if test.listed:
        found = find(name, root, "train")
    else:  # class folders there, say in ROOT/train, belong to another data set
        found = _find_published(name, data_folder(root), "train")
    apart = CATALOG[name].train.megabytes
    if apart and test.kind == "torchvision" and found.kind == "absent":
        return replace(found, megabytes=apart)
    if found.kind != test.kind and (test.kind, found.kind) != ("absent", "torchvision"):
        own = [place.format(name=name, split="train") for place in _OWN_FOLDERS]
        expected = own if test.listed else CATALOG[name].part("train").files
        missing = f"its training images are not beside its test images ({', '.join(expected)})"
        return replace(found, kind="absent", missing=missing)
    return found


def without_training(names: Iterable[str], root: str | Path | None = None) -> list[str]:
    """A line for each data set with a training split whose training images are not there."""
    found = [find_training(name, root) for name in names]
    return [
        f"{training.name}: {training.missing}: probes are trained on half of the test images"
        for training in found
        if training and training.missing
    ]


def _is_divided(name):
    return name in CATALOG and CATALOG[name].train is not None


def data_state(name: str, root: str | Path | None = None) -> str:
    """A text that changes if pictures of a data set, or of pairs, are changed, added or removed.

    It depends on names, sizes and times of the files; no picture is opened.

    Parameters
    ----------
    name : str
        As for `find` or `featpurity.data.pairs.load_pairs`.
    root : str or Path, optional
        The folder of data sets.

    Returns
    -------
    state : str
        "absent" before a data set is downloaded; the error message if it is refused. Training
        images in their own class folders count too.
    """
    name = meant(name)
    try:
        if name == "scenes":
            return "generated"
        if name.startswith(webdataset.PREFIX):
            shards = webdataset.shards_of(name)
            return _state_of(shards, webdataset.read_classes(shards))
        table = below(name, data_folder(root))
        if table:
            return _state_of_table(table, root)
        found = find("cifar10", root, "train") if name == "photos" else find(name, root)
    except (ValueError, FileNotFoundError) as error:
        return str(error)
    if found.kind in {"generated", "absent"}:
        return found.kind
    if found.listed is None:
        folders = {Path(file).parts[0] for file in CATALOG[found.name].files}
        return _state_of(
            [file for folder in sorted(folders) for file in _all_files(found.where / folder)]
        )
    state = _state_of_class_folders(found.listed)
    try:
        training = find_training(name, root)
    except (ValueError, FileNotFoundError) as error:
        return digest(state, str(error))
    listed = training and training.listed
    return digest(state, _state_of_class_folders(listed)) if listed else state


def _state_of_class_folders(listed):
    if class_folders.is_zip(listed.source):
        return _state_of([listed.source], listed.inside)
    return _state_of([listed.source / name for name in listed.names], listed.class_names)


def pictures_of_table(table: Path, first: str, root: str | Path | None = None) -> Path:
    """The folder of a table's pictures: beside it, in `images/` or `Images/` there, or `root`.

    Parameters
    ----------
    table : Path
    first : str
        The first picture's name, which decides.
    root : str or Path, optional
    """
    folders = places_of_pictures(table, root)
    return next((folder for folder in folders if (folder / first).is_file()), folders[0])


def places_of_pictures(table: Path, root: str | Path | None = None) -> list[Path]:
    """The folders where a table's pictures may be, see `pictures_of_table`."""
    beside = [table.parent / name for name in ("", "images", "Images")]
    return [*beside, *([located(root)] if root else [])]


def _state_of_table(table, root):
    from featpurity.captions.files import read_captioned  # late: imports pandas

    names = list(read_captioned(table).get("image", []))
    folder = pictures_of_table(table, names[0], root) if names else table.parent
    return _state_of([table, *(folder / name for name in dict.fromkeys(names))])


def unknown(name: str) -> ValueError:
    """The ValueError for an unknown data set, with a hint at what may have been meant."""
    plain = {re.sub(r"[\W_]", "", known): known for known in names()}
    known = plain.get(re.sub(r"[\W_]", "", name.lower()))  # for CIFAR-10, food-101
    hint = f"did you mean {known!r}?" if known else did_you_mean(name, names())
    if name and located(name).exists():
        return ValueError(f"unknown data set {name!r}; for the pictures in it: {FOLDER + name!r}")
    return ValueError(f"unknown data set {name!r} ({hint}; class folders are {FOLDER}PATH)")


def _find_folder(name):
    path = located(name.removeprefix(FOLDER))
    source, inside = split_at_zip(path)
    if not source.exists():
        missing = f"there is no folder {path}"
        return Found(name, "folder of class folders", missing=missing, where=path)
    return _from_class_folders(name, list_class_folders(source, inside))


def _find_shards(name, text):
    """Find webdataset shards with a text for each picture: its class number or its captions."""
    try:
        shards = webdataset.shards_of(name)
    except FileNotFoundError as error:
        return Found(name, "webdataset's shards", missing=str(error))
    what, classes = f"in {len(shards)} shards", None
    if text == "txt":
        images, _, left_out = webdataset.read_captioned(shards)
        what = f"{len(images):,} pairs {what}"
    else:
        images, texts, left_out = webdataset.read_samples(shards, text)
        listed = webdataset.read_classes(shards)
        labels = webdataset.labels_of(texts, shards, listed and len(listed))
        classes = len(listed) if listed else max(labels) + 1
        what = f"{len(images):,} images {what}, {classes} classes{_first(listed) if listed else ''}"
    what += _left_out(left_out)
    size = {"images": len(images), "classes": classes, "left_out": left_out}
    return Found(name, what, kind="webdataset", where=images.source, **size)


def _first(names):
    """The first names of a list, in brackets."""
    return f" ({', '.join(names[:3])}{', ...' if len(names) > 3 else ''})"


def _left_out(counts):
    return f"; left out: {class_folders.counted(counts)}" if counts else ""


def _from_class_folders(name, listed, record=None):
    """A `Found` for class folders, with their numbers and the first names for the plan."""
    folders, shown = listed.folders, listed.folders
    if record:
        _refuse_other_folders(name, listed, record)
    if record is None and listed.class_names is not None:
        words = class_names.names_from_lines(
            listed.class_names, folders, listed.where / class_folders.CLASS_NAMES
        )
        shown = [f"{folder}: {word}" for folder, word in zip(folders, words)]
    what = f"{len(listed.names):,} images, {len(folders)} classes{_first(shown)}"
    what += _left_out(listed.left_out)
    size = {"images": len(listed.names), "classes": len(folders), "left_out": listed.left_out}
    return Found(name, what, kind="class folders", where=listed.where, listed=listed, **size)


def _inside_published_zip(place, split):
    """The split's folder inside `NAME_test.zip`, if the archive has one."""
    within = class_folders.is_zip(place) and class_folders.holds_class_folders(place, split)
    return split if within else ""


def _is_there(path):
    """Whether a path is a file or folder that is not empty."""
    return any(os.scandir(path)) if path.is_dir() else path.is_file() and path.stat().st_size > 0


def _refuse_other_folders(name, listed, record):
    folders = listed.folders
    if name == "cifar10" and folders != published.CIFAR10_CLASSES:
        raise ValueError(
            f"{listed.where}: expected the class folders {', '.join(published.CIFAR10_CLASSES)}, "
            f"got {', '.join(folders)}"
        )
    if record.open is None and len(folders) != record.classes:
        raise ValueError(
            f"{listed.where}: expected {record.classes} class folders, as n01440764, "
            f"got {len(folders)}"
        )


def _all_files(folder):
    found = (Path(at) / file for at, _, files in os.walk(folder) for file in files)
    return sorted(found)


def _state_of(files, *others):
    """Digest of files' names, sizes and times of change, and of whatever else counts."""
    return digest([_file_state(file) for file in files], *others)


def _file_state(path):
    """A file's name, size and time of change; only the name if it is gone."""
    try:
        status = os.stat(path)
    except OSError:
        return (str(path),)
    return str(path), status.st_size, status.st_mtime_ns


def pairs_source(name: str, root: str | Path | None = None) -> Source:
    """The source of image-caption pairs: a built-in name or a CSV."""
    if name == "scenes":
        return Source(name, "generated")
    if name == "photos":
        photos = find("cifar10", root, "train")
        what = "CIFAR-10's training photos with generated captions"
        return Source(name, what, photos.megabytes, archive=photos.name)
    if str(name).startswith(webdataset.PREFIX):
        return _find_shards(str(name), "txt")
    return _file_source(name, "CSV", root, "; notebooks/steps/fetch_cc3m.ipynb makes CC3M's")


def rewrites_source(name: str, root: str | Path | None = None) -> Source:
    """The source of a file of rewritten captions."""
    return _file_source(name, "rewritten captions", root)


def _file_source(name, what, root, origin=""):
    path = below(name, data_folder(root))
    if path is None:
        lost = f"there is no such file, here or below {root or 'data'}; put it there{origin}"
        return Source(name, what, missing=lost)
    return Source(name, f"{what}, {megabytes(path):.1f} MB")
