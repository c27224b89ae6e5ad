"""Files: paths, writing whole or not at all, digests, what a wrong name may have meant."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path


def workspace(path):
    """A path relative to the project's root (the nearest folder above that holds `_toc.yml`), else
    to this folder.
    """
    here = Path.cwd()
    root = next(
        (folder for folder in (here, *here.parents) if (folder / "_toc.yml").is_file()), here
    )
    return root / path


def data_folder(root=None):
    """The folder of data sets: the one given, else `data` in the project's root."""
    return Path(root).expanduser() if root else workspace("data")


def below(path, root=None):
    """The file that a path names, as it stands or below `root`; None where there is none."""
    places = [Path(path).expanduser(), *([Path(root).expanduser() / path] if root else [])]
    return next((place for place in places if place.is_file()), None)


@dataclass(frozen=True)
class Source:
    """One model, data set or file of pairs: what it is, and the megabytes still to download (0: it
    is here).
    """

    name: str
    what: str
    megabytes: float | None = 0  # None: to be downloaded or put in place, size not known before
    missing: str | None = None  # what the user has to put in place first
    architecture: str | None = None  # open_clip's name, where the size follows from it
    at_least: bool = False  # more comes with the weights


def megabytes(path):
    """Size of a file, or of all files in a folder, in megabytes."""
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file()) / 1e6


def check_choice(what, value, known):
    """Raise ValueError unless `value` is one of the known ones."""
    if value not in known:
        raise ValueError(f"{what}: expected one of {', '.join(known)}, got {value!r}")


def content_hash(value):
    """SHA-256 (hex) of the text of a plain value."""
    return hashlib.sha256(repr(value).encode()).hexdigest()


def write_text(path, text):
    """Write a text file as a whole or not at all; folders are made as needed."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)


def save_table(frame, path):
    """Write a table as CSV, without its index, and return it."""
    write_text(path, frame.to_csv(index=False))
    return frame


def digest(*values):
    """SHA-256 (hex) of plain values and of whole tensors and arrays."""
    import numpy as np  # late: what only plans a run needs neither
    import torch

    hashed = hashlib.sha256()
    for value in values:
        value = torch.from_numpy(np.array(value)) if isinstance(value, np.ndarray) else value
        parts = value.detach().flatten().split(2**22) if isinstance(value, torch.Tensor) else []
        hashed.update(repr((value.dtype, value.shape) if parts else value).encode())
        for part in parts:
            hashed.update(part.cpu().view(torch.uint8).numpy())
    return hashed.hexdigest()
