"""Features on disk, in shards of rows, each written whole or not at all."""

import os
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from featpurity.files import READ_ONLY, digest, raw, sweep, write_tensors

ROWS = 2048  # rows per shard: a killed run loses seconds of work
LISTED = os.R_OK | os.X_OK  # what reading a folder requires
PATIENCE = 1800  # seconds without a new shard after which its process counts as dead
PAUSE = 0.5  # seconds between looks for it


class Shards:
    """The (n, width) features of one key: stored rows and missing ones.

    A shard is a safetensors file with the SHA-256 of its numbers. One that is cut off, edited or of
    another key gives a warning when read, and counts as missing.

    Parameters
    ----------
    store : str or Path, or None
        The folder of all stored features (`~` is the home folder); None keeps them in memory only.
    key : tuple of str
        Everything that the features depend on.
    n : int
        Total number of rows.

    Attributes
    ----------
    missing : list of (start, stop)
        Ranges of rows to compute.
    """

    def __init__(self, store: str | Path | None, key: tuple, n: int):
        self.n, self.key = n, digest((key, n, ROWS))
        folder = None if store is None else Path(store).expanduser()
        self.folder = folder / self.key[:32] if folder else None
        self.ranges = [(start, min(start + ROWS, n)) for start in range(0, n, ROWS)]
        self.parts, self.pending, self.damaged = {}, {}, {}
        if self.folder and os.path.exists(self.folder) and not os.access(self.folder, LISTED):
            warnings.warn(f"{self.folder} may not be read: what it holds is computed", stacklevel=2)
            self.folder = None
        if self.folder:
            sweep(self.folder)
            self.read()

    @property
    def missing(self) -> list[tuple[int, int]]:
        """Ranges of rows to compute."""
        return [part for part in self.ranges if part not in self.parts]

    def mine(self) -> list[tuple[int, int]]:
        """The missing ranges of this process under torchrun; all, without it or without a store."""
        rank, world = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
        if not self.folder:
            return self.missing
        return [part for part in self.missing if part[0] // ROWS % world == rank]

    def lacks(self, row: int) -> bool:
        """Whether this row is missing."""
        return self._range(row) not in self.parts

    def add(self, start: int, stop: int, features: torch.Tensor, source: str) -> None:
        """Add rows start .. stop - 1, in order; a shard is written once it is complete."""
        part = self._range(start)
        rows = self.pending.setdefault(part, [])
        rows.append(features)
        if stop < part[1]:
            return
        whole = torch.cat(self.pending.pop(part)).cpu().contiguous()  # (rows, width)
        if not torch.isfinite(whole).all():
            raise ValueError(
                f"features of {source} hold NaN or infinity in rows {part[0]} .. {part[1] - 1}; "
                "the weights are broken or the precision does not hold their range"
            )
        self.parts[part] = whole
        if self.folder:
            header = {"key": self.key, "sha256": digest(raw(whole))}
            keep(lambda: write_tensors(self._path(part), {"features": whole}, header), self.folder)

    def features(self) -> torch.Tensor:
        """All rows, as float32 of shape (n, width)."""
        return torch.cat([self.parts[part].float() for part in self.ranges])

    def read(self) -> None:
        """Read the sound shards on disk."""
        for part in self.missing:
            path = self._path(part)
            if os.path.exists(path) and self.damaged.get(part) != _version(path):
                try:
                    self.parts[part] = self._checked(path, part)
                except (SafetensorError, OSError, ValueError) as error:
                    self.damaged[part] = _version(path)  # one warning per damaged file
                    fault = "is damaged" if os.access(path, os.R_OK) else "may not be read"
                    warnings.warn(
                        f"{path} {fault} and will be computed again: {error}", stacklevel=2
                    )

    def wait_for_others(self) -> None:
        """Under torchrun, wait until the other processes have written their shards.

        Raises
        ------
        TimeoutError
            If no new shard comes for `PATIENCE` seconds: another process has died or hangs.
        """
        heard = time.monotonic()
        while missing := self.missing:
            if time.monotonic() - heard > PATIENCE:
                rows = ", ".join(f"{start} .. {stop - 1}" for start, stop in missing[:3])
                raise TimeoutError(
                    f"{self.folder}: waited {PATIENCE:g} s for {len(missing)} shards of other "
                    f"processes (rows {rows}{', ...' * (len(missing) > 3)}), and none came; did "
                    "one of them die? Start again: what is there is kept"
                )
            time.sleep(PAUSE)
            self.read()
            heard = time.monotonic() if len(self.missing) < len(missing) else heard

    def _range(self, row):
        return self.ranges[row // ROWS]

    def _path(self, part):
        return self.folder / f"{part[0]:09d}.safetensors"

    def _checked(self, path, part):
        with safe_open(path, "pt") as file:
            about, features = file.metadata() or {}, file.get_tensor("features")
        if about.get("key") != self.key or len(features) != part[1] - part[0]:
            raise ValueError(
                f"expected {part[1] - part[0]} rows of key {self.key[:8]}, got shape "
                f"{tuple(features.shape)}"
            )
        if about.get("sha256") != digest(raw(features)):
            raise ValueError("its numbers differ from its SHA-256")
        return features


def keep(write: Callable[[], None], folder: Path) -> None:
    """Call `write` to put something into the store; if that is read-only, it stays in memory.

    The latter gives a warning, or an error under torchrun, where other processes wait for the file.
    """
    try:
        write()
    except OSError as error:
        if error.errno not in READ_ONLY or int(os.environ.get("WORLD_SIZE", 1)) > 1:
            raise
        warnings.warn(
            f"{folder} cannot be written ({error.strerror}): what is computed now stays in memory",
            stacklevel=2,
        )


def _version(path):
    """Values that change when a file is replaced or written."""
    status = path.stat()
    return status.st_ino, status.st_mtime_ns, status.st_size
