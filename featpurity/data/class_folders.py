"""List a folder or zip archive with one folder per class, without opening a picture.

Pictures are found as by torchvision's `ImageFolder`: by suffix, at any depth below a class folder,
through links. Leftovers of file managers and archivers are skipped, and pictures of unsupported
kinds are counted.
"""

import os
import re
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from featpurity.files import check_encodable, read_text, text_of

SUFFIXES = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")
# Pictures too, but not for `ImageFolder`.
OTHER_SUFFIXES = (
    ".gif .jfif .jpe .jfi .jif .avif .avifs .heic .heif .jp2 .j2k .jpx .jxl .apng .pbm .pnm .tga "
    ".dng .cr2 .nef .arw .psd .svg .eps .dcm .npy"
).split()
OUTSIDE = "outside class folders"
NO_FOLDERS = set("@eaDir @Recycle #recycle #snapshot $RECYCLE.BIN __MACOSX lost+found".split())
NO_FOLDERS |= {"System Volume Information"}
SPLIT = re.compile(
    r"(\w+[-_ ])?(train(ing)?|val(id(ation)?)?|test(ing)?|dev|eval|split|fold)"
    r"[-_ ]?(set|images|imgs|data|\d*)"
)
CLASS_NAMES = "classes.txt"
CLASS_NAMES_BYTES = 2**24  # far more than any data set's class names


@dataclass(frozen=True)
class ClassFolders:
    """The pictures of a tree of class folders.

    Attributes
    ----------
    source : Path
        A folder, or a zip archive.
    inside : str
        The folder below `source` that holds the class folders; "" for `source` itself.
    folders : list of str
        One per class, in the order of the labels: sorted, numbers by value.
    names : list of str
        The pictures' paths below `source`, sorted.
    labels : list of int
        For each picture, its folder's index in `folders`.
    left_out : dict of str to int
        Numbers of pictures that are not among `names`, by suffix or place.
    class_names : str or None
        The text of `classes.txt` beside the class folders.
    """

    source: Path
    inside: str
    folders: list[str]
    names: list[str]
    labels: list[int]
    left_out: dict[str, int]
    class_names: str | None

    @property
    def where(self) -> Path:
        """The folder that holds the class folders, for messages."""
        return self.source / self.inside


def is_zip(path: str | Path) -> bool:
    """Whether a path names a zip archive, by its suffix."""
    return Path(path).suffix.lower() == ".zip"


def split_at_zip(path: str | Path) -> tuple[Path, str]:
    """Split a path into (folder or zip archive, path inside the archive), as `a/b.zip/train`."""
    path = Path(path)
    archive = next((at for at in (path, *path.parents) if is_zip(at) and at.is_file()), None)
    inside = path.relative_to(archive).as_posix() if archive else "."
    return archive or path, "" if inside == "." else inside


def list_class_folders(source: str | Path, inside: str = "") -> ClassFolders:
    """List the classes and pictures of a tree with one folder per class.

    Parameters
    ----------
    source : str or Path
        A folder, or a zip archive.
    inside : str
        The folder inside `source` that holds the class folders; "" for `source` itself.

    Raises
    ------
    FileNotFoundError, ValueError
        For a missing folder, one without class folders, a class folder without pictures, class
        folders one level deeper, or an archive that is damaged or leads outside itself.
    """
    source, inside = Path(source), inside.strip("/")
    if is_zip(source) and source.is_file():
        folders, files, class_names = _in_zip(source, inside)
    else:
        folders, files, class_names = _in_folder(source / inside)
    where = source / inside
    if not folders:
        expected = where / "CLASS" / "image.jpg"
        raise FileNotFoundError(f"{where} holds no class folders; expected {expected}")
    folders = in_order(folders)
    pictures, left_out = [], Counter()
    for file in sorted(files):
        suffix = PurePosixPath(file).suffix.lower()
        if suffix in SUFFIXES and "/" not in file:
            left_out[OUTSIDE] += 1
        elif suffix in SUFFIXES:
            pictures.append(file)
        elif suffix in OTHER_SUFFIXES and "/" in file:
            left_out[suffix] += 1
    _refuse_outer_folder(where, pictures)
    label_of = {folder: label for label, folder in enumerate(folders)}
    labels = [label_of[file.split("/", 1)[0]] for file in pictures]
    empty = sorted(set(folders) - {folders[label] for label in set(labels)})
    if empty:
        others = f" (left out: {counted(left_out)})" if left_out else ""
        raise ValueError(
            f"{where}: no images ({', '.join(SUFFIXES)}) in the class folders "
            f"{', '.join(empty)}{others}"
        )
    names = [f"{inside}/{file}" if inside else file for file in pictures]
    return ClassFolders(source, inside, folders, names, labels, dict(left_out), class_names)


def holds_class_folders(source: str | Path, inside: str = "", pattern: str = "") -> bool:
    """Whether a folder or archive exists and holds a folder whose name matches `pattern`.

    An unreadable archive counts, so that reading it reports what is wrong.
    """
    source = Path(source)
    if not is_zip(source):
        at = source / inside
        named = (entry for entry in _entries(at) if entry.is_dir()) if at.is_dir() else ()
        return any(re.match(pattern, entry.name) for entry in named)
    if not source.is_file() or source.stat().st_size == 0:
        return False
    try:
        folders, _, _ = _in_zip(source, inside)
    except ValueError:
        return True
    return any(re.match(pattern, folder) for folder in folders)


def in_order(folders: Iterable[str]) -> list[str]:
    """Folder names sorted; if all are numbers, by value, so that 2 comes before 10."""
    folders = list(folders)
    numbers = all(re.fullmatch("[0-9]+", folder) for folder in folders)
    return sorted(folders, key=lambda folder: (int(folder) if numbers else 0, folder))


def counted(left_out: dict[str, int]) -> str:
    """What was left out, in words: "2 .gif, 1 outside class folders"."""
    return ", ".join(f"{count} {what}" for what, count in left_out.items())


def passed_over(name: str) -> bool:
    """Whether a file or folder is hidden, or a leftover of file managers and archivers."""
    return name.startswith(".") or name in NO_FOLDERS


def _entries(folder):
    with os.scandir(folder) as entries:
        return [entry for entry in entries if not passed_over(entry.name)]


def _in_folder(folder):
    """Names of class folders, paths of all files below them, and the text of `classes.txt`."""
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no folder {folder}")
    listed = folder / CLASS_NAMES
    class_names = read_text(listed) if listed.is_file() else None
    folders = [entry.name for entry in _entries(folder) if entry.is_dir()]
    for name in folders:  # shown on pages, which are UTF-8
        check_encodable(name, f"{folder}: the name of a class folder")
    return folders, list(_files_below(folder, "", {os.path.realpath(folder)})), class_names


def _files_below(folder, prefix, above):
    """Yield paths of the files below a folder, through links but not in circles.

    `above` holds the real paths of the folders that lead here: a link to one of them is a circle.
    """
    for entry in _entries(folder):
        name = f"{prefix}{entry.name}"
        if not entry.is_dir():
            yield name
            continue
        real = os.path.realpath(entry.path)
        if real not in above:
            yield from _files_below(entry.path, f"{name}/", above | {real})


def _in_zip(source, inside):
    """Like `_in_folder`, for a folder inside a zip archive."""
    prefix = f"{inside}/" if inside else ""
    try:
        with zipfile.ZipFile(source) as archive:
            listed = archive.namelist()
            class_names = _class_names_in(archive, source, f"{prefix}{CLASS_NAMES}")
    except zipfile.BadZipFile as error:
        raise ValueError(f"{source} is not a whole zip archive: {error}") from None
    for name, count in Counter(listed).items():
        refuse_leading_outside(source, name)
        if count > 1:
            raise ValueError(f"{source} holds {name} {count} times")
        if "\\" in name and "/" not in name:
            raise ValueError(f"{source}: the member {name!r} has no folder; expected names with /")
    names = [name.removeprefix(prefix) for name in listed if name.startswith(prefix)]
    names = [name for name in names if not any(map(passed_over, name.split("/")))]
    folders = {name.split("/")[0] for name in names if "/" in name}
    return folders, [name for name in names if name and not name.endswith("/")], class_names


def _class_names_in(archive, source, name):
    if name not in archive.namelist():
        return None
    if archive.getinfo(name).file_size > CLASS_NAMES_BYTES:
        raise ValueError(f"{source / name} is too large for a list of class names")
    try:
        return text_of(archive.read(name), source / name)
    except (RuntimeError, zlib.error) as error:  # encrypted, unknown compression, damaged
        raise ValueError(f"{source / name} cannot be read: {error}") from None


def refuse_leading_outside(archive: Path, name: str) -> None:
    """Raise ValueError for an archive member whose name is absolute or leads out of the archive."""
    parts = name.replace("\\", "/").split("/")
    if name.startswith(("/", "\\")) or ".." in parts or re.match(r"[A-Za-z]:[\\/]", name):
        raise ValueError(
            f"{archive}: the member {name!r} leads outside the archive; expected relative names"
        )


def _refuse_outer_folder(where, pictures):
    """Raise ValueError if the class folders are one level deeper, as in train/ and val/."""
    parts = [file.split("/") for file in pictures]
    deeper = [folders for folders in parts if len(folders) > 2]
    outer = sorted({first for first, *_ in parts})
    inner = sorted({second for _, second, *_ in deeper})
    splits = bool(parts) and all(SPLIT.fullmatch(folder.lower()) for folder in outer)
    if deeper and (splits or (len(deeper) == len(parts) and len(outer) == 1 and len(inner) > 1)):
        raise ValueError(
            f"{where} is one folder too high: the class folders ({', '.join(inner[:3])}, ...) lie "
            f"in {', '.join(outer)}; take {where / outer[0]}"
        )
    if splits and len(outer) > 1:
        raise ValueError(
            f"{where}: {', '.join(outer)} are parts of a data set, not classes; expected one "
            "folder a class"
        )
