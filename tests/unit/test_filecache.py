"""Stored features are keyed by what pictures hold, and files that did not change are not read again."""

import hashlib
import os
import shutil

import pytest
from PIL import Image

from featpurity import load_dataset
from featpurity.data import filecache
from featpurity.data.filecache import NOT_A_FILE, content_digests


@pytest.fixture(autouse=True)
def forgetful(monkeypatch, tmp_path):
    """Nothing is remembered in memory from before, and files may be as young as they like."""
    monkeypatch.setattr(filecache, "_digests", {})
    monkeypatch.setattr(filecache, "UNSETTLED", -10)
    monkeypatch.setenv("FEATPURITY_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "files/deep").mkdir(parents=True)
    (tmp_path / "files/a").write_bytes(b"one")
    (tmp_path / "files/deep/b").write_bytes(b"two")
    return tmp_path / "files"


@pytest.fixture
def read(monkeypatch):
    """Which files were read."""
    files, digest_of = [], filecache._digest_of
    monkeypatch.setattr(
        filecache, "_digest_of", lambda at: (files.append(os.path.basename(at)), digest_of(at))[1]
    )
    return files


def sha(content):
    return hashlib.sha256(content).hexdigest()


def test_of_the_content(folder):
    found = content_digests(folder, ["a", "deep/b", "a", "gone", "deep"])
    assert found == {
        "a": sha(b"one"),
        "deep/b": sha(b"two"),
        "gone": NOT_A_FILE,
        "deep": NOT_A_FILE,
    }


@pytest.mark.parametrize("another_process", [False, True])
def test_only_changed_files_are_read_again(folder, read, monkeypatch, another_process):
    content_digests(folder, ["a", "deep/b"])
    assert sorted(read) == ["a", "b"]
    if another_process:
        monkeypatch.setattr(filecache, "_digests", {})
    (folder / "a").write_bytes(b"three")
    found = content_digests(folder, ["a", "deep/b"])
    assert read[2:] == ["a"] and found == {"a": sha(b"three"), "deep/b": sha(b"two")}


def test_a_change_that_keeps_size_and_time_is_seen(folder):
    content_digests(folder, ["a"])
    status = os.stat(folder / "a")
    (folder / "a").write_bytes(b"ONE")
    os.utime(folder / "a", ns=(status.st_atime_ns, status.st_mtime_ns))
    assert content_digests(folder, ["a"]) == {"a": sha(b"ONE")}


def test_what_is_too_young_is_not_remembered(folder, read, monkeypatch):
    monkeypatch.setattr(filecache, "UNSETTLED", 3600)
    content_digests(folder, ["a"])
    content_digests(folder, ["a"])
    assert read == ["a", "a"]


@pytest.mark.parametrize("content", ["", "{", "[]", '{"a": 3}', '{"a": [1, 2, 3, 4, "x"]}'])
def test_a_damaged_memory_is_made_anew(folder, content, monkeypatch):
    content_digests(folder, ["a"])
    (file,) = (folder.parent / "cache/digests").iterdir()
    file.write_text(content)
    monkeypatch.setattr(filecache, "_digests", {})
    assert content_digests(folder, ["a"]) == {"a": sha(b"one")}


def test_a_cache_that_cannot_be_written(folder, read, monkeypatch):
    monkeypatch.setenv("FEATPURITY_CACHE", "/proc/none")
    for _ in range(2):
        assert content_digests(folder, ["a"]) == {"a": sha(b"one")}
    assert read == ["a"]


def test_two_folders_whose_names_sizes_and_times_agree(tmp_path):
    for place, colour in [("one", "red"), ("other", "blue")]:
        (tmp_path / place / "ant").mkdir(parents=True)
        Image.new("RGB", (8, 8), colour).save(tmp_path / place / "ant/1.bmp")
        os.utime(tmp_path / place / "ant/1.bmp", (1, 1))
    shutil.copytree(tmp_path / "one", tmp_path / "copy")
    keys = {
        place: load_dataset(f"folder:{tmp_path / place}").images_key
        for place in ["one", "other", "copy"]
    }
    assert keys["one"] == keys["copy"] != keys["other"]
