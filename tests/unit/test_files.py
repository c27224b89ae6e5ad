"""Files: written whole or not at all, by the umask, swept after a kill; digests; hints."""

import errno
import hashlib
import os
import resource
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from featpurity import files


@pytest.fixture
def project(tmp_path, monkeypatch):
    """An empty project and home; we are in its folder of notebooks."""
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "_toc.yml").touch()
    monkeypatch.chdir(tmp_path / "notebooks")
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def test_a_relative_path_means_the_same_in_the_root_and_in_the_notebooks(project, monkeypatch):
    (project / "one.csv").touch()
    (project / "data").mkdir()
    (project / "data/two.csv").touch()
    found = [project / "one.csv", project / "data/two.csv", project / "data"]
    for folder in [project, project / "notebooks"]:
        monkeypatch.chdir(folder)
        ways = [files.below("one.csv"), files.below("two.csv", "data"), files.data_folder("data")]
        assert [path.resolve() for path in ways] == found
        assert files.below("~/one.csv") == project / "one.csv" == files.workspace("~/one.csv")
    assert files.below("none.csv", "data") is None
    assert files.data_folder() == project / "data" == files.data_folder("~/data")


WRITERS = {
    "text": lambda path: files.write_text(path, "é\n"),
    "table": lambda path: files.save_table(pd.DataFrame({"a": [1]}), path),
    "tensors": lambda path: files.write_tensors(path, {"a": torch.ones(2, 3).T}, {"about": "x"}),
}


@pytest.mark.parametrize("umask, mode", [(0o022, 0o644), (0o002, 0o664), (0o077, 0o600)])
@pytest.mark.parametrize("kind", WRITERS)
def test_what_is_written_follows_the_umask(tmp_path, kind, umask, mode):
    path, before = tmp_path / "new/file", os.umask(umask)
    try:
        WRITERS[kind](path)
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == mode and os.listdir(path.parent) == ["file"]


def test_what_is_written_is_read_back(tmp_path):
    for kind, write in WRITERS.items():
        write(tmp_path / kind)
    assert (tmp_path / "text").read_bytes() == "é\n".encode()
    assert (tmp_path / "table").read_text() == "a\n1\n"
    assert torch.equal(load_file(tmp_path / "tensors")["a"], torch.ones(3, 2))


def test_an_error_leaves_what_was_there(tmp_path):
    path = tmp_path / "file"
    path.write_text("before")
    with pytest.raises(KeyError), files.writing(path) as file:
        file.write(b"half")
        raise KeyError
    assert path.read_text() == "before" and os.listdir(tmp_path) == ["file"]


KILLED = """
    import os, signal
    from featpurity.files import writing
    with writing("file") as file:
        file.write(b"half")
        file.flush()
        os.kill(os.getpid(), signal.SIGKILL)
"""


def test_the_next_writer_sweeps_what_killed_ones_left_and_no_file_at_work(tmp_path):
    for _ in range(2):
        done = subprocess.run([sys.executable, "-c", textwrap.dedent(KILLED)], cwd=tmp_path)
        assert done.returncode == -signal.SIGKILL
        (dead,) = tmp_path.iterdir()  # what was left before is gone
        # One that was touched lately may be at work on another node, whose locks are not seen here.
        files.sweep(tmp_path)
        assert dead.exists()
        os.utime(dead, (0, 0))
    with files.writing(tmp_path / "file") as first:
        assert os.listdir(tmp_path) == [Path(first.name).name]
        os.utime(first.name, (0, 0))
        files.write_text(tmp_path / "file", "second")
        first.write(b"first")
    assert os.listdir(tmp_path) == ["file"] and (tmp_path / "file").read_text() == "first"
    (tmp_path / ".file.txt.01234567.part").touch()
    os.utime(tmp_path / ".file.txt.01234567.part", (0, 0))
    files.write_text(tmp_path / "file", "other names are left alone")
    assert len(os.listdir(tmp_path)) == 2
    files.sweep(tmp_path)
    assert os.listdir(tmp_path) == ["file"]


def test_a_home_is_meant_by_its_sign(project):
    files.write_text("~/new/file", "x")
    assert (project / "new/file").read_text() == files.read_text("~/new/file") == "x"


def test_a_disk_that_is_full_when_all_is_flushed_leaves_what_was_there(tmp_path, monkeypatch):
    def refused(file):
        raise OSError(errno.EDQUOT, "Disk quota exceeded")

    path = tmp_path / "file"
    path.write_text("before")
    monkeypatch.setattr(files.os, "fsync", refused)
    with pytest.raises(OSError, match="Disk quota exceeded"):
        files.write_text(path, "after")
    assert path.read_text() == "before" and os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOTSUP, errno.ENOLCK])
def test_a_file_system_without_locks_is_no_obstacle(tmp_path, monkeypatch, number):
    def refused(file, kind):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(files.fcntl, "flock", refused)
    with open(tmp_path / "lock", "wb") as file, files.locked(tmp_path / "other"):
        assert files.lock(file) and files.lock(file, wait=False)


def test_one_holds_a_lock_and_one_that_may_not_be_opened_is_gone_without(tmp_path, monkeypatch):
    with files.locked(tmp_path / "lock"), open(tmp_path / "lock", "rb") as file:
        assert not files.lock(file, wait=False)

    def refused(name, mode):
        raise PermissionError(errno.EACCES, "Permission denied", str(name))

    monkeypatch.setattr(files, "open", refused, raising=False)
    with files.locked(tmp_path / "lock"):
        pass


def no_space(write):
    """What `write` raises when files must not grow, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, before[1]))
    try:
        with pytest.raises(OSError) as error:
            write()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    return str(error.value)


def saved_by_torch(path):
    with files.writing(path) as file:
        torch.save({"a": torch.ones(10_000)}, file)


def saved_by_numpy(path):
    with files.writing(path) as file:
        np.savez(file, a=np.ones(10_000))


@pytest.mark.parametrize(
    "write",
    [
        lambda path: files.write_text(path, "x" * 20_000),
        lambda path: files.write_tensors(path, {"a": torch.ones(10_000)}),
        saved_by_torch,
        saved_by_numpy,
    ],
)
def test_a_full_disk_is_told_with_the_path_in_one_line(tmp_path, write):
    path = tmp_path / "file"
    told = no_space(lambda: write(path))
    assert told == f"[Errno 27] File too large: '{path}'" and os.listdir(tmp_path) == []


def test_a_folder_that_may_not_be_written_is_told(tmp_path, monkeypatch):
    def refused(name, mode):
        raise PermissionError(13, "Permission denied", str(name))

    monkeypatch.setattr(files, "open", refused, raising=False)
    with pytest.raises(PermissionError, match=rf"Permission denied: '{tmp_path / 'file'}'$"):
        files.write_text(tmp_path / "file", "x")


def test_a_digest_follows_every_number_type_and_shape():
    ones = torch.ones(2, 3)
    values = [ones, ones.half(), ones.T, ones + torch.eye(2, 3), ones[0], "a", b"a", ("a",), 1, 1.0]
    assert len({files.digest(value) for value in values}) == len(values)
    assert files.digest(ones) == files.digest(ones.numpy()) == files.digest(ones.T.contiguous().T)
    assert files.digest(ones, "a") != files.digest("a", ones)
    assert files.digest(b"ab") == files.digest(b"a", b"b") == hashlib.sha256(b"ab").hexdigest()
    assert files.digest(files.raw(ones.T)) == hashlib.sha256(ones.numpy().tobytes()).hexdigest()
    assert files.digest(np.ones(4)[::-2]) == files.digest(torch.ones(2).double())


def test_a_file_s_digest_is_that_of_its_bytes(tmp_path):
    (tmp_path / "file").write_bytes(b"abc")
    assert files.file_digest(tmp_path / "file") == hashlib.sha256(b"abc").hexdigest()


def test_a_wrong_name_gets_a_hint():
    assert files.did_you_mean("scens", ["scenes", "photos"]) == "did you mean 'scenes'?"
    assert files.did_you_mean("x", ["scenes", "photos"]) == "known: scenes, photos"
    assert files.did_you_mean("x", []) == "known: none"
