"""Files: paths, writing whole or not at all, digests, suggestions for misspelt names."""

import contextlib
import difflib
import errno
import fcntl
import glob
import hashlib
import json
import os
import secrets
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:  # else imported late: planning a run needs neither
    import pandas as pd
    import torch

WRITTEN = "FEATPURITY_WRITTEN"  # environment: a file that lists each path written
ALIASES = "FEATPURITY_ALIASES"  # environment: JSON of labels and the names they stand for
HIDDEN = ".../"  # prefix of a label that stands for a path
LIST_SUFFIXES = {".json", ".txt"}  # of a user's own class names and templates
NO_LOCKS = {errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK}
READ_ONLY = {errno.EACCES, errno.EPERM, errno.EROFS}
# Seconds after which an untouched draft counts as a dead writer's: other nodes of a cluster may not
# see its lock.
ABANDONED = 3600


def workspace(path: str | Path) -> Path:
    """A path relative to the project's root, or to this folder outside a project; `~` is the home.

    The root is the nearest folder, from this one upwards, that holds `_toc.yml`.
    """
    path = _unhidden(path)
    here = Path.cwd()
    root = next(
        (folder for folder in (here, *here.parents) if (folder / "_toc.yml").is_file()), here
    )
    return root / Path(path).expanduser()


def located(path: str | Path) -> Path:
    """A path that a user wrote: as written if that exists, else relative to the project's root.

    So a relative path means the same in a notebook's folder as in the root; `~` is the home.
    """
    stands = Path(_unhidden(path)).expanduser()
    in_root = workspace(stands)
    return in_root if in_root.exists() and not stands.exists() else stands


def data_folder(root: str | Path | None = None) -> Path:
    """The folder of data sets: `root`, else `data` in the project's root."""
    return located(root) if root else workspace("data")


def meant(name: str | Path) -> str:
    """What a label stands for; any other name is itself.

    A run's notebooks know models, data sets and pairs by labels, so they show no paths of a disk.
    """
    return json.loads(os.environ.get(ALIASES, "{}")).get(str(name), str(name))


def _unhidden(path):
    """The path behind a label of `featpurity.labels.hidden`; any other path is itself."""
    if not str(path).startswith(HIDDEN):
        return path
    stands_for = meant(path)
    if stands_for == str(path):  # an executed notebook run again by hand
        raise ValueError(
            f"{path}: this stands for a folder or file of the run that wrote it, and only that run "
            "knows which; give its own path"
        )
    return stands_for


def below(path: str | Path, root: str | Path | None = None) -> Path | None:
    """The file at `path`, as written or below `root`; None if there is none."""
    path = meant(path)
    places = [located(path), *([located(root) / path] if root else [])]
    return next((place for place in places if place.is_file()), None)


def megabytes(path: Path) -> float:
    """Size in MB of a file, or of all files below a folder."""
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file()) / 1e6


def check_choice(what: str, value: Any, known: Iterable[str]) -> None:
    """Raise ValueError if `value` is not among the `known`."""
    if value not in known:
        raise ValueError(f"{what}: expected one of {', '.join(known)}, got {value!r}")


def check_list(what: str, value: Any) -> None:
    """Raise ValueError for a text in place of a list: its letters would be taken one by one."""
    if isinstance(value, str):
        raise ValueError(
            f"{what} must be a list, got {value!r} (papermill's -p gives text: write "
            f"-y '{what}: [{value}]' for a list)"
        )


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A hint after a wrong name: "did you mean 'x'?" if one is close, else "known: x, y"."""
    known = list(known)
    close = difflib.get_close_matches(str(name), known, n=1)
    return f"did you mean {close[0]!r}?" if close else f"known: {', '.join(known) or 'none'}"


@contextlib.contextmanager
def writing(path: str | Path) -> Iterator[BinaryIO]:
    """Write a file whole or not at all: yields a binary draft, which replaces it at the end.

    Folders are made as needed, `~` is the home, and the file's mode follows the umask. An error
    leaves the old file; a draft of a killed process is removed, an hour later, by the next process
    that writes the same file.

    Raises
    ------
    OSError
        For no permission, a full disk, ...: one line, with the path.
    """
    path = Path(path).expanduser()
    with _naming(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        sweep(path.parent, path.name)
        with _draft(path) as file:
            try:
                yield file
                file.flush()
                os.fsync(file.fileno())  # a full disk may show only here, say over NFS
                os.replace(file.name, path)
                _tell(path)
            except BaseException:
                Path(file.name).unlink(missing_ok=True)
                raise


def _tell(path):
    """Tell whoever started this process, if asked, what it writes: one line per file."""
    if listed := os.environ.get(WRITTEN):
        with open(listed, "a", encoding="utf-8") as lines:
            lines.write(f"{path.absolute()}\n")


def _draft(path):
    """A new file beside `path`, locked while it is open."""
    file = open(path.with_name(f".{path.name}.{secrets.token_hex(4)}.part"), "xb")
    lock(file)
    return file


@contextlib.contextmanager
def _naming(path):
    """Make errors of the system name the file that was to be written, in one line."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        # PyTorch hides the system's error behind one of its own.
        cause = error if isinstance(error, OSError) else error.__context__
        named = getattr(cause, "filename", None)
        if not isinstance(cause, OSError) or cause.errno is None:
            raise
        if named is not None and not Path(named).name.startswith(f".{path.name}."):
            raise
        raise OSError(cause.errno, cause.strerror, str(path)) from error


def sweep(folder: str | Path, name: str | None = None) -> None:
    """Remove drafts that killed writers left in a folder, of one file or of all.

    Only drafts untouched for an hour are removed: other nodes may not see a lock.
    """
    for left in Path(folder).glob(f".{glob.escape(name) if name else '*'}.????????.part"):
        with contextlib.suppress(OSError):  # e.g. another process was quicker
            if time.time() - left.stat().st_mtime > ABANDONED:
                with open(left, "r+b") as file:
                    if lock(file, wait=False):
                        left.unlink()


def lock(file: IO, wait: bool = True) -> bool:
    """Lock an open file until it is closed; on a file system without locks, go on without one.

    Parameters
    ----------
    file : file
    wait : bool, default True
        Whether to wait until the lock's holder closes the file.

    Returns
    -------
    taken : bool
        False if another process has the lock and `wait` is false.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
    return True


@contextlib.contextmanager
def locked(path: str | Path) -> Iterator[None]:
    """Hold the lock of a file, which is created if missing.

    If it cannot be opened (a read-only folder, another user's lock), go on without.
    """
    with contextlib.ExitStack() as held:
        try:
            lock(held.enter_context(open(path, "ab")))
        except OSError as error:
            if error.errno not in READ_ONLY:
                raise
        yield


def text_of(content: bytes, name: str | Path) -> str:
    """Decode a file's content as UTF-8, with or without a byte order mark.

    Parameters
    ----------
    content : bytes
    name : str or Path
        Of the file, for errors.

    Raises
    ------
    ValueError
        If it is anything else.
    """
    expected = "expected text in UTF-8"
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise ValueError(f"{name} is in UTF-16; {expected}")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        byte = content[error.start]
        raise ValueError(
            f"{name}, line {line}: byte 0x{byte:02x} is not UTF-8; {expected}"
        ) from None
    if "\0" in text:
        line = text[: text.index("\0")].count("\n") + 1
        raise ValueError(f"{name}, line {line}: a NUL byte, as in UTF-16; {expected}")
    return text


def read_text(path: str | Path) -> str:
    """The text of a user's file (`~` is the home); see `text_of`."""
    path = Path(path).expanduser()
    if path.exists() and not path.is_file():
        raise ValueError(f"{path} is not a regular file")  # opening a pipe would wait for ever
    return text_of(path.read_bytes(), path)


def check_encodable(text: str, where: str | Path) -> None:
    """Raise ValueError for a text that UTF-8 cannot encode: a name in Latin-1, half a character."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        near = text[max(0, error.start - 20) : error.end + 20]
        raise ValueError(f"{where}: {near!r} is not UTF-8; expected text in UTF-8") from None


def write_text(path: str | Path, text: str) -> None:
    """Write a text file (UTF-8, line ends unchanged) whole or not at all."""
    with writing(path) as file:
        file.write(text.encode())


def save_table(frame: "pd.DataFrame", path: str | Path) -> "pd.DataFrame":
    """Write a table as CSV without its index; return the table."""
    write_text(path, frame.to_csv(index=False))
    return frame


def write_tensors(path: str | Path, tensors: dict, header: dict[str, str] | None = None) -> None:
    """Write tensors by name as a safetensors file, with an optional header of texts."""
    from safetensors.torch import save  # late: imports torch

    with writing(path) as file:
        file.write(save({name: values.contiguous() for name, values in tensors.items()}, header))


def tensors_header(path: str | Path) -> dict[str, Any] | None:
    """Header of a safetensors file: what it says of each tensor, and its texts as `__metadata__`.

    None for a file of another kind. No tensor is read.
    """
    with open(path, "rb") as file:
        start = file.read(9)
        length = int.from_bytes(start[:8], "little")
        if start[8:] != b"{" or length > 100_000_000:  # the format's limit
            return None
        try:
            return json.loads(b"{" + file.read(length - 1))
        except ValueError:
            return None


def digest(*values: Any) -> str:
    """SHA-256 (hex) of bytes, whole tensors and arrays, and the text of plain values."""
    hashed = hashlib.sha256()
    for value in values:
        if isinstance(value, (bytes, memoryview)):
            hashed.update(value)
        elif hasattr(value, "dtype") and hasattr(value, "__len__"):
            import torch  # late: plain values do not need it

            tensor = torch.as_tensor(value.copy() if hasattr(value, "copy") else value).detach()
            hashed.update(repr((tensor.dtype, tensor.shape)).encode())
            for part in tensor.flatten().split(2**22):
                hashed.update(raw(part))
        else:
            hashed.update(repr(value).encode())
    return hashed.hexdigest()


def raw(tensor: "torch.Tensor") -> memoryview:
    """The bytes of a tensor's numbers, for `digest`."""
    import torch  # late: planning a run does not need it

    return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data


def file_digest(path: str | Path) -> str:
    """SHA-256 (hex) of a file's content."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
