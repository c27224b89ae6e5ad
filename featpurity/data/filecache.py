"""Remember what was computed from a file as long as the file is unchanged.

A file is unchanged if its size, times and inode are. Results are in the user's cache
(`FEATPURITY_CACHE`, else `~/.cache/featpurity`); digests are also in memory, in case the cache
cannot be written.
"""

import contextlib
import json
import os
import stat
import time
from collections.abc import Callable, Iterable
from multiprocessing.pool import ThreadPool
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm

from featpurity.files import digest, file_digest, write_text

NOT_A_FILE = "not a file"  # instead of the digest of a dangling link, a pipe or a device
# A file written again within a tick of the clock would keep its times, so one younger than this
# many seconds is not remembered.
UNSETTLED = 2
FIELDS = 5  # per file: size, mtime, ctime, inode, digest
_digests = {}  # folder: {name: fields}


def content_digests(folder: str | Path, names: Iterable[str]) -> dict[str, str]:
    """SHA-256 of files below a folder: {name: digest}, `NOT_A_FILE` if not a regular one."""
    folder, names = os.path.realpath(folder), list(dict.fromkeys(names))
    known = _recall(folder)
    facts = {name: _facts(os.path.join(folder, name)) for name in names}
    fresh = [name for name in names if facts[name] and known.get(name, [])[:-1] != facts[name]]
    paths = [os.path.join(folder, name) for name in fresh]
    digests = dict(zip(fresh, in_threads(_digest_of, paths, "reading files for their digests")))
    settled = _settled()
    lasting = {
        name: [*facts[name], content]
        for name, content in digests.items()
        if max(facts[name][1:3]) < settled
    }
    if lasting:
        known.update(lasting)
        with contextlib.suppress(OSError):  # an unwritable home folder
            write_text(_place("digests", folder), json.dumps(known))
    return {
        name: digests.get(name) or (known[name][-1] if facts[name] else NOT_A_FILE)
        for name in names
    }


def remembered(kind: str, path: Path, make: Callable[[Path], Any]) -> Any:
    """The result of `make` for a file, as JSON has it; computed once while the file is unchanged.

    Parameters
    ----------
    kind : str
        Kind of result: the name of a folder in the cache.
    path : Path
    make : callable
        make(path) returns lists, dicts, texts and numbers.
    """
    path, facts = Path(os.path.realpath(path)), _facts(path)
    try:
        kept = json.loads(_place(kind, str(path)).read_text(encoding="utf-8"))
        if kept["facts"] == facts:
            return kept["made"]
    except (OSError, ValueError, KeyError, TypeError):
        pass  # none yet, or damaged
    made = make(path)
    if facts and max(facts[1:3]) < _settled():
        with contextlib.suppress(OSError):
            write_text(_place(kind, str(path)), json.dumps({"facts": facts, "made": made}))
    return made


def in_threads(work: Callable, items: list, title: str) -> list:
    """The results of `work` for each item, with a delayed progress bar for long lists."""
    with ThreadPool(min(8, os.cpu_count() or 1)) as pool:
        found = pool.imap(work, items, chunksize=16)  # an executor would hold 2 kB per item
        return list(tqdm(found, title, len(items), delay=2))


def _recall(folder):
    if folder not in _digests:
        try:
            listed = json.loads(_place("digests", folder).read_text(encoding="utf-8"))
            whole = all(
                isinstance(facts, list) and len(facts) == FIELDS for facts in listed.values()
            )
        except (OSError, ValueError, AttributeError):  # none yet, or damaged
            listed, whole = {}, True
        _digests[folder] = listed if whole else {}
    return _digests[folder]


def _settled():
    """The time in nanoseconds after which a file's last change is too recent to remember it."""
    return time.time_ns() - UNSETTLED * 10**9


def _place(kind, path):
    home = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    cache = Path(os.environ.get("FEATPURITY_CACHE") or f"{home}/featpurity")
    try:
        cache = cache.expanduser()
    except RuntimeError as error:  # a user unknown to the system, as in a container
        raise FileNotFoundError(f"{cache}: {error}") from None
    return cache / kind / f"{digest(path)[:32]}.json"


def _facts(path):
    """Facts that change when a file does, as a list; None for others than regular files."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    if not stat.S_ISREG(status.st_mode):
        return None
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]


def _digest_of(path):
    try:
        return file_digest(path)
    except OSError as error:  # opening the pictures reports it, with its fault
        return f"{NOT_A_FILE}: {error.strerror}"
