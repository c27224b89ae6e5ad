"""Short labels that pages, tables and file names show for the paths of models and data sets."""

import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import PurePath

from featpurity.files import HIDDEN, digest

OVERALL = "mean"  # in tables, the row over all data sets


def labels_of(names: Iterable[str], given: Mapping[str, str] | None = None) -> dict[str, str]:
    """A label for each name, no two alike.

    Parameters
    ----------
    names : iterable of str
        Names of models or data sets, as `load_model` and `load_dataset` take them.
    given : mapping, optional
        Chosen labels, as in a profile's `labels`; they win.

    Returns
    -------
    labels : dict
        A name without a path is its own label. A path becomes its last part, with as many folders
        before it as distinguish it from the others and from `OVERALL`.

    Raises
    ------
    ValueError
        For one label given to two names, an empty one, or `OVERALL`.
    """
    names, given = list(dict.fromkeys(names)), dict(given or {})
    if blank := [name for name, label in given.items() if not label.strip()]:
        raise ValueError(f"labels: {', '.join(blank)} has an empty one")
    if taken := [name for name, label in given.items() if label == OVERALL]:
        raise ValueError(f"labels: {', '.join(taken)}: {OVERALL!r} is the row over all data sets")
    chosen = {name: given[name] for name in names if name in given}
    parts = {name: _parts(name) for name in names if name not in given}
    lengths = dict.fromkeys(parts, 1)
    while True:
        labels = chosen | {name: "/".join(parts[name][-lengths[name] :]) for name in parts}
        known = [*labels.values(), OVERALL]
        alike = [name for name in names if known.count(labels[name]) > 1]
        longer = [name for name in alike if lengths.get(name, 0) < len(parts.get(name, []))]
        if not alike:
            return {name: labels[name] for name in names}
        if not longer:
            raise ValueError(
                f"{' and '.join(alike)} share the label {labels[alike[0]]!r}, or it is the one of "
                "all data sets together; set others in labels"
            )
        for name in longer:
            lengths[name] += 1


def hidden(paths: Iterable[str | None]) -> dict[str, str]:
    """What pages show for paths that lead out of the project: ".../" and the path's end."""
    leading_out = [
        path for path in paths if path and (os.path.isabs(path) or ".." in PurePath(path).parts)
    ]
    return {path: f"{HIDDEN}{label}" for path, label in labels_of(leading_out).items()}


def file_names(labels: Iterable[str]) -> dict[str, str]:
    """Labels as parts of file names: none leads to another folder, and no two become equal."""
    plain = {label: re.sub(r"[^\w.+-]+", "_", label).lstrip(".") for label in labels}
    shared = [name for name, n in Counter(map(str.casefold, plain.values())).items() if n > 1]
    return {
        label: f"{name}_{digest(label)[:8]}" if name.casefold() in ["", *shared] else name
        for label, name in plain.items()
    }


def _parts(name: str) -> list[str]:
    """The parts of the path in a name; any other name is its only part."""
    if "/" not in name:
        return [name]
    return [part for part in PurePath(name.rpartition(":")[2]).parts if part.strip("/")] or [name]
