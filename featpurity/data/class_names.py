"""Class names as they read in a sentence, from folder names, from a list or from ImageNet's.

A list is `classes.txt` beside class folders, or a file that the user names: one name per line, or
JSON.
"""

import difflib
import json
import os
import re
import unicodedata
from collections import Counter
from functools import cache
from pathlib import Path, PurePath
from typing import Any

from featpurity.data.class_folders import in_order
from featpurity.data.published import spaced
from featpurity.files import LIST_SUFFIXES, check_encodable, located, meant, read_text

TAB = r"\t+"
SEPARATORS = (TAB, r"\s*[,;:=]\s*", r"\s+")  # between a folder's name and its class's
NUMBER = re.compile(r"[0-9]+[.)]?")  # a class's number in a list
SHARED = {"missile", "sunglasses"}  # each names two classes in CLIP's own list for ImageNet
FROM_1 = "; do its labels start at 1?"
WORDNET = re.compile(r"n[0-9]{8}")  # a noun's number in WordNet: the name of an ImageNet folder


def is_own_list(value: str) -> bool:
    """Whether a setting names a user's file, a `.txt` or a `.json`."""
    if not isinstance(value, (str, Path)):
        raise ValueError(f"expected a name, or a file .txt or .json of a list, got {value!r:.60}")
    return Path(value).suffix.lower() in LIST_SUFFIXES


def folder_words(folders: list[str]) -> list[str]:
    """Class folders' names as words; WordNet numbers of ImageNet as class names.

    Raises
    ------
    ValueError
        If two folders become the same words.
    """
    if all(WORDNET.fullmatch(folder) for folder in folders):
        names = imagenet_names()
        if set(folders) <= set(names):
            return [names[folder] for folder in folders]
    words = [spaced(folder) for folder in folders]
    first = {}
    for word, folder in zip(words, folders):
        if (other := first.setdefault(word, folder)) != folder:
            raise ValueError(
                f"the class folders {other!r} and {folder!r} both read {word!r}; rename one, or "
                "list the class names in classes.txt"
            )
    return words


def imagenet_word(folder: str) -> str:
    """The name of an ImageNet class, from its WordNet number or its place among the 1,000."""
    names = imagenet_names()
    if folder.isdecimal() and int(folder) < len(names):
        return list(names.values())[int(folder)]
    if folder not in names:
        raise ValueError(f"the class folder {folder!r} is none of ImageNet's 1,000 classes")
    return names[folder]


@cache
def imagenet_names() -> dict[str, str]:
    """WordNet number -> open_clip's name, for ImageNet's 1,000 classes in order."""
    import open_clip  # late: takes seconds
    from timm.data import ImageNetInfo

    return dict(zip(ImageNetInfo("imagenet-1k").label_names(), open_clip.IMAGENET_CLASSNAMES))


def names_from_lines(text: str, folders: list[str], where: str | Path) -> list[str]:
    """Display names from a list with one per line, in the order of `folders`.

    Parameters
    ----------
    text : str
        One name per line in the folders' order (numbers by value), each optionally after its
        number, from 0 or 1; or on each line a folder's name and the display name. The two are
        separated by a tab, one of ",;:=", or white space. Other folders may be listed too. Blank
        lines do not count.
    folders : list of str
    where : str or Path
        The list's file, for messages.

    Raises
    ------
    ValueError
        For another number of names, or if it is unclear which belongs to which folder.
    """
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    n = len(lines)
    for separator in SEPARATORS:
        pairs = [re.split(separator, line, maxsplit=1) for line in lines]
        if any(len(pair) < 2 for pair in pairs):
            continue
        listed = {_composed(key).strip('"'): name.strip('"') for key, name in pairs}
        if {_composed(folder) for folder in folders} <= listed.keys():
            for line, (key, name) in zip(lines, pairs):
                if listed[_composed(key).strip('"')] != name.strip('"'):
                    raise ValueError(f"{where}: a second name for one folder: {line!r} and below")
            return _by_folder(listed, folders, where)
        numbers = [int(key.rstrip(".)")) for key, _ in pairs if NUMBER.fullmatch(key)]
        if sorted(numbers) in (list(range(n)), list(range(1, n + 1))):
            in_turn = sorted(zip(numbers, pairs))
            return _in_turn([name for _, (_, name) in in_turn], folders, where)
        if len(numbers) == n and max(numbers) <= n:  # larger ones (years) belong to the names
            raise ValueError(
                f"{where}: expected the numbers from 0 or 1 on, each once, before the names, got "
                f"{', '.join(map(str, sorted(numbers)[:5]))}, ..."
            )
    _refuse_typos(lines, folders, where)
    return _in_turn(lines, folders, where)


def _refuse_typos(lines, folders, where):
    """Raise ValueError if lines name folders, but do not match the folders one to one.

    A line names a folder if it has a tab, or begins with a folder's name and a separator.
    """
    known, written = set(map(_letters, folders)), {_composed(folder): folder for folder in folders}
    for separator in SEPARATORS[:-1]:
        fields = [re.split(separator, line, maxsplit=1) for line in lines]
        keys = [_composed(parts[0]).strip('"') if len(parts) > 1 else None for parts in fields]
        begin = [key is not None and (separator == TAB or _letters(key) in known) for key in keys]
        if any(begin):
            left = [folder for key, folder in written.items() if key not in keys]
            odd = [line for line, key in zip(lines, keys) if key not in written]
            told = {"no line is for the folder": left, "no folder's name begins the line": odd}
            faults = [f"{what} {_first(those)}" for what, those in told.items() if those]
            raise ValueError(
                f"{where}: expected on each line a folder's name as it is written, and the "
                f"class's; {', '.join(faults)}"
            )


def _first(texts):
    """A few texts, quoted."""
    return " or ".join(map(repr, texts[:3])) + " ..." * (len(texts) > 3)


def _composed(name):
    """A name in Unicode's NFC, in which the two spellings of an accent are equal."""
    return unicodedata.normalize("NFC", name)


def read_class_names(path: str | Path, folders: list[str], dataset: str) -> list[str] | None:
    """Display names from a user's file: a text as for `names_from_lines`, or JSON.

    Parameters
    ----------
    path : str or Path
        JSON holds a list in the folders' order, an object folder -> name, or an object data set ->
        either of these.
    folders : list of str
        The raw class names.
    dataset : str
        The data set's name.

    Returns
    -------
    names : list of str, or None if the file is only about other data sets

    Raises
    ------
    FileNotFoundError, ValueError
    """
    path = located(path)
    content = read_list(path)
    if isinstance(content, str):
        return names_from_lines(content, folders, path)
    if by_dataset(content):
        if (of_it := of_dataset(content, dataset)) is None:
            called = PurePath(dataset.rpartition(":")[2]).name
            if near := [key for key in content if key in folders or key == called]:
                raise ValueError(
                    f"{path}: expected names of data sets, as {dataset!r}, for its lists and "
                    f"objects, got {near[0]!r}"
                )
            close = difflib.get_close_matches(dataset, content)
            if wrong := [key for key in close if not _is_dataset(key)]:
                raise ValueError(
                    f"{path}: {wrong[0]!r} is no data set that is here; did you mean {dataset!r}?"
                )
            return None
        content = of_it
    if isinstance(content, dict):
        return _by_folder(content, folders, path)
    return _in_turn(content, folders, path)


def by_dataset(content: Any) -> dict | None:
    """The content of a file if it has class names by data set; else None."""
    told = isinstance(content, dict) and any(
        isinstance(value, (list, dict)) for value in content.values()
    )
    return content if told else None


def _is_dataset(name):
    """Whether a name is in the catalogue, or leads to something that exists."""
    from featpurity.data.catalog import find  # late: it imports this module

    try:
        return ":" not in find(name).name or not find(name).missing
    except (ValueError, FileNotFoundError):
        return False


def of_dataset(content: dict, dataset: str) -> Any:
    """An object's entry for a data set, however its path is written, or None."""
    found = {place_of(key): value for key, value in content.items()}
    return found.get(place_of(dataset))


def place_of(dataset: str) -> str:
    """A data set's name in a form that is the same for all names of one place."""
    form, colon, path = meant(dataset).partition(":")
    return f"{form}:{os.path.abspath(located(path))}" if colon else form


def read_list(path: str | Path) -> str | list | dict:
    """Read a file of names or templates: the text of a `.txt`, the content of a `.json`.

    Raises
    ------
    FileNotFoundError, ValueError
        For a missing file, one that is not UTF-8 or not JSON, or JSON that is neither list nor
        object or holds what UTF-8 cannot encode.
    """
    path = located(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    text = read_text(path)
    try:
        as_json = path.suffix.lower() == ".json"
        content = json.loads(text, object_pairs_hook=_each_once) if as_json else text
    except ValueError as error:
        raise ValueError(f"{path} is not valid JSON: {error}") from None
    check_encodable(json.dumps(content, ensure_ascii=False), path)  # JSON can name half a character
    if not isinstance(content, (str, list, dict)):
        raise ValueError(f"{path}: expected a list or an object, got {content!r:.80}")
    return content


def _each_once(pairs):
    """A JSON object; a ValueError for a repeated key, whose first value would be lost."""
    if twice := [key for key, n in Counter(key for key, _ in pairs).items() if n > 1]:
        raise ValueError(f"the key {twice[0]!r} stands there twice")
    return dict(pairs)


def _by_folder(names, folders, where):
    names = {_composed(folder): name for folder, name in names.items()}
    missing = [folder for folder in folders if _composed(folder) not in names]
    if missing:
        raise ValueError(f"{where} names no class for {', '.join(missing[:5])}")
    return _texts([names[_composed(folder)] for folder in folders], folders, where)


def _in_turn(names, folders, where):
    """Names in the order of `folders`; a ValueError if they may be meant in another order."""
    if len(names) != len(folders):
        from_1 = len(names) == len(folders) - 1 and all(map(str.isdecimal, folders))
        raise ValueError(
            f"{where} names {len(names)} classes, but the data set has {len(folders)}"
            f"{FROM_1 if from_1 else ''}"
        )
    names = _texts(names, folders, where)
    plain = {_letters(name): name for name in names}
    if len(plain) == len(names) and set(plain) == {_letters(folder) for folder in folders}:
        return [plain[_letters(folder)] for folder in folders]  # they repeat the folders' names
    known = {_letters(folder): folder for folder in folders}
    for name, folder in zip(names, folders):
        if (other := known.get(_letters(name), folder)) != folder:
            raise ValueError(
                f"{where}: calls the class {folder!r} {name!r}, which is the folder {other!r}; "
                "write on each line the folder's name, a tab, and the class's name"
            )
    numbered = sorted(folders, key=_by_numbers)
    if numbered != in_order(folders):
        raise ValueError(
            f"{where}: the folders' order may be {', '.join(numbered[:3])}, ... or "
            f"{', '.join(in_order(folders)[:3])}, ...; write on each line the folder's name, a "
            "tab, and the class's name"
        )
    return names


def _texts(names, folders, where):
    for name in names:
        if not isinstance(name, str) or not name.strip():
            raise ValueError(f"{where}: expected class names, got {name!r}")
    return each_once([name.strip() for name in names], folders, where)


def each_once(names: list[str], folders: list[str], where: str | Path) -> list[str]:
    """The class names; a ValueError if two classes share one and could not be told apart."""
    first = {}
    for name, folder in zip(names, folders):
        if name in first and name not in SHARED:
            raise ValueError(
                f"{where}: the classes {first[name]!r} and {folder!r} are both called {name!r}; "
                "expected a name of its own for each"
            )
        first.setdefault(name, folder)
    return names


def _letters(name):
    return re.sub(r"[\W_]+", "", _composed(name)).casefold()


def _by_numbers(name):
    return [
        (int(part), "") if part.isdecimal() else (-1, part) for part in re.split("([0-9]+)", name)
    ]
