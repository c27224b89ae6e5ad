"""Note in an executed notebook what it wrote, and compare that with what is there now.

So if a table was edited, deleted or overwritten by another run, the notebook that wrote it runs
again.
"""

import json
import os
from collections.abc import Callable
from pathlib import Path

from featpurity.files import file_digest, write_text

KEY = "featpurity"  # in a notebook's metadata


def note(notebook: Path, written: list[str], folder: Path, data: dict[str, str]) -> None:
    """Note what an executed notebook wrote and read.

    Parameters
    ----------
    notebook : Path
    written : list of str
        Paths; those below `folder` are noted with their digests.
    folder : Path
        The run's results.
    data : dict of str to str
        Data sets that it read -> state of their files (`catalog.data_state`).
    """
    folder = folder.resolve()
    inside = {Path(path).resolve() for path in written}
    inside = sorted(path for path in inside if path.is_relative_to(folder) and path.is_file())
    facts = {str(path.relative_to(folder)): _facts(path) for path in inside}
    content = json.loads(notebook.read_text(encoding="utf-8"))
    content["metadata"][KEY] = {"written": facts, "data": data}
    write_text(notebook, json.dumps(content, indent=1, ensure_ascii=False))


def changed(notebook: Path, folder: Path, state_of: Callable[[str], str]) -> list[str]:
    """What is no longer as an executed notebook left or found it, as "x.csv is gone".

    Parameters
    ----------
    notebook, folder : Path
        As in `note`; a notebook that has not run has no faults.
    state_of : callable
        Gives the present state of a data set's files.
    """
    try:
        metadata = json.loads(notebook.read_text(encoding="utf-8"))["metadata"].get(KEY, {})
    except (OSError, ValueError, KeyError):  # damaged: left to the workflow
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
    """Size and time of a file, which show without reading it that it is unchanged."""
    status = os.stat(path)
    return [status.st_size, status.st_mtime_ns]
