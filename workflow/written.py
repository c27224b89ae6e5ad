"""What a notebook wrote: noted in its executed copy, and compared with what lies there now.

So a table that was edited, overwritten by another run or deleted is noticed, and the notebook that
wrote it runs again.
"""

import json
import os
from collections.abc import Callable
from pathlib import Path

from featpurity.files import file_digest, write_text

KEY = "featpurity"  # of a notebook's metadata


def note(notebook: Path, written: list[str], folder: Path, data: dict[str, str]) -> None:
    """Note in an executed notebook what it wrote and read.

    Parameters
    ----------
    notebook : Path
    written : list of str
        Paths; those below `folder` are noted, with their digests.
    folder : Path
        Of the run's results.
    data : dict of str to str
        The data sets that it read, and the state of their files (`catalog.data_state`).
    """
    folder = folder.resolve()
    inside = {Path(path).resolve() for path in written}
    inside = sorted(path for path in inside if path.is_relative_to(folder) and path.is_file())
    facts = {str(path.relative_to(folder)): _facts(path) for path in inside}
    content = json.loads(notebook.read_text(encoding="utf-8"))
    content["metadata"][KEY] = {"written": facts, "data": data}
    write_text(notebook, json.dumps(content, indent=1, ensure_ascii=False))


def changed(notebook: Path, folder: Path, state_of: Callable[[str], str]) -> list[str]:
    """What is no longer as an executed notebook left or found it: "x.csv is gone", ...

    Parameters
    ----------
    notebook, folder : Path
        As in `note`; a notebook that has not run yet has no faults.
    state_of : callable
        The state that the files of a data set have now.
    """
    try:
        metadata = json.loads(notebook.read_text(encoding="utf-8"))["metadata"].get(KEY, {})
    except (OSError, ValueError, KeyError):  # a damaged one is for the workflow to see
        return []
    faults = []
    for name, facts in metadata.get("written", {}).items():
        path = folder / name
        if not path.is_file():
            faults.append(f"{path} is gone")
        elif times(path) != facts["times"] and file_digest(path) != facts["sha256"]:
            faults.append(f"{path} was changed")
    read = metadata.get("data", {}).items()
    return faults + [f"the files of {name} changed" for name, was in read if state_of(name) != was]


def _facts(path):
    return {"times": times(path), "sha256": file_digest(path)}


def times(path):
    """What tells that a file is as it was without reading it."""
    status = os.stat(path)
    return [status.st_size, status.st_mtime_ns]
