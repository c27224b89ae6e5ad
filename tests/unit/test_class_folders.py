"""Class folders as they lie on real disks: links, leftovers, other kinds of files, archives, one folder too high."""

import os
import subprocess
import sys

import pytest
from torchvision.datasets import ImageFolder
from torchvision.datasets.folder import IMG_EXTENSIONS
from trees import touch, zipped

from featpurity import load_dataset
from featpurity.data import catalog
from featpurity.data.class_folders import (
    SUFFIXES,
    holds_class_folders,
    list_class_folders,
    split_at_zip,
)
from featpurity.data.datasets import left_out


def as_image_folder_has_it(folder):
    theirs = ImageFolder(folder)
    return sorted(os.path.relpath(file, folder) for file, _ in theirs.samples)


def test_suffixes_are_image_folder_s():
    assert SUFFIXES == IMG_EXTENSIONS


class TestLinks:
    def test_to_class_folders_and_inside_them(self, tmp_path):
        touch(tmp_path / "real", "ant/1.jpg", "ant/2.png", "wolf/a/1.jpg")
        tree = tmp_path / "tree"
        touch(tree, "bee/own.jpg")
        (tree / "ant").symlink_to(tmp_path / "real/ant")
        (tree / "bee/more").symlink_to(tmp_path / "real/wolf")
        (tree / "bee/again").symlink_to(tmp_path / "real/wolf/a")
        (tree / "bee/file.png").symlink_to(tmp_path / "real/ant/2.png")
        assert list_class_folders(tree).names == as_image_folder_has_it(tree)

    def test_in_a_circle(self, tmp_path):
        touch(tmp_path, "ant/1.jpg", "wolf/deep/2.jpg")
        (tmp_path / "ant/up").symlink_to(tmp_path)
        (tmp_path / "wolf/deep/self").symlink_to(tmp_path / "wolf/deep")
        (tmp_path / "wolf/to_ant").symlink_to(tmp_path / "ant")
        listed = list_class_folders(tmp_path)
        assert listed.names == ["ant/1.jpg", "wolf/deep/2.jpg", "wolf/to_ant/1.jpg"]

    def test_that_lead_nowhere_are_pictures_that_cannot_be_read(self, tmp_path):
        touch(tmp_path, "ant/1.jpg")
        (tmp_path / "ant/gone.jpg").symlink_to("/nowhere.jpg")
        dataset = load_dataset(f"folder:{tmp_path}")
        assert dataset.images.names == ["ant/1.jpg", "ant/gone.jpg"]
        assert dataset.images.unreadable()["ant/gone.jpg"].startswith("FileNotFoundError")
        assert len(dataset.images_key) == 64


def test_what_is_no_picture_of_the_class(tmp_path):
    touch(tmp_path, "ant/1.jpg", "wolf/1.jpg", "ant/.ipynb_checkpoints/1-checkpoint.jpg")
    touch(tmp_path, "ant/._1.jpg", "wolf/@eaDir/1.jpg/SYNOPHOTO_THUMB_M.jpg", ".git/x.png")
    touch(tmp_path, "__MACOSX/ant/._1.jpg", "lost+found/1.png", "wolf/deep/.hidden/1.png")
    listed = list_class_folders(tmp_path)
    assert listed.folders == ["ant", "wolf"] and listed.names == ["ant/1.jpg", "wolf/1.jpg"]
    assert listed.left_out == {}
    assert list_class_folders(tmp_path / ".git/..").names == listed.names


def test_an_underscore_makes_no_folder_hidden(tmp_path):
    touch(tmp_path, "_background_/1.jpg", "car_side/1.jpg", "two__words/1.jpg")
    assert load_dataset(f"folder:{tmp_path}").classes == ["_background_", "car side", "two words"]
    raw = load_dataset(f"folder:{tmp_path}", class_names="raw").classes
    assert raw == ["_background_", "car_side", "two__words"]


def test_pictures_of_kinds_that_are_not_read_are_counted(tmp_path):
    touch(tmp_path, "ant/1.jpg", "ant/a.gif", "ant/b.GIF", "ant/c.jfif", "ant/d.avif", "x.png")
    touch(tmp_path, "ant/notes.txt", "ant/.e.gif")
    dataset = load_dataset(f"folder:{tmp_path}")
    assert dataset.left_out == {".gif": 2, ".jfif": 1, ".avif": 1, "outside class folders": 1}
    told = "2 .gif, 1 .jfif, 1 .avif, 1 outside class folders"
    assert left_out([dataset]) == [f"folder:{tmp_path}: left out, since they are not read: {told}"]
    assert catalog.find(f"folder:{tmp_path}").what.endswith(f"; left out: {told}")
    touch(tmp_path, "yak/1.gif")
    with pytest.raises(ValueError, match=r"in the class folders yak \(left out: 3 \.gif"):
        load_dataset(f"folder:{tmp_path}")


def test_a_name_that_is_not_utf_8_is_told(tmp_path):
    touch(tmp_path, "ant/1.jpg", os.fsdecode(b"caf\xe9/1.jpg"))
    with pytest.raises(ValueError, match=rf"{tmp_path}: the name of a class .*'caf\\udce9' is not"):
        catalog.find(f"folder:{tmp_path}")


class TestOneFolderTooHigh:
    @pytest.mark.parametrize(
        "outer",
        [
            ("train", "val"),
            ("test",),
            ("Testing", "Training"),
            ("photos",),
            ("imgs_test", "imgs_train"),
            ("split1", "split2"),
            ("test2017", "val2017"),
        ],
    )
    def test_a_folder(self, outer, tmp_path):
        touch(tmp_path, *(f"{folder}/{name}/1.jpg" for folder in outer for name in ["ant", "wolf"]))
        with pytest.raises(
            ValueError, match=rf"too high: .*\(ant, wolf, ...\).* take .*/{outer[0]}"
        ):
            load_dataset(f"folder:{tmp_path}")
        assert load_dataset(f"folder:{tmp_path / outer[0]}").classes == ["ant", "wolf"]

    def test_a_zip(self, tmp_path):
        names = ["photos/ant/1.jpg", "photos/wolf/1.jpg", "photos/classes.txt"]
        path = zipped(tmp_path / "p.zip", names, b"Ameise\nWolf\n")
        with pytest.raises(ValueError, match=r"take .*p\.zip/photos"):
            load_dataset(f"folder:{path}")
        assert load_dataset(f"folder:{path}/photos").classes == ["Ameise", "Wolf"]

    def test_pictures_beside_the_class_folders(self, tmp_path):
        touch(tmp_path, "train/ant/1.jpg", "train/wolf/1.jpg", "train/1.jpg", "val/ant/1.jpg")
        with pytest.raises(ValueError, match="too high"):
            load_dataset(f"folder:{tmp_path}")

    def test_parts_without_classes(self, tmp_path):
        touch(tmp_path, "train/1.jpg", "test/1.jpg")
        with pytest.raises(ValueError, match="test, train are parts of a data set, not classes"):
            load_dataset(f"folder:{tmp_path}")

    def test_folders_inside_classes_stay_part_of_them(self, tmp_path):
        touch(tmp_path, "ant/2019/1.jpg", "ant/2020/1.jpg", "wolf/2019/1.jpg")
        assert len(load_dataset(f"folder:{tmp_path}")) == 3


class TestZips:
    def test_class_names_inside(self, tmp_path):
        path = zipped(tmp_path / "p.zip", ["ant/1.jpg", "wolf/1.jpg", "classes.txt"], b"A\nW\n")
        assert load_dataset(f"folder:{path}").classes == ["A", "W"]
        zipped(path, ["ant/1.jpg", "wolf/1.jpg", "classes.txt"], b"\xe9\n")
        with pytest.raises(
            ValueError, match=r"p\.zip/classes\.txt, line 1: .* expected text in UTF-8"
        ):
            load_dataset(f"folder:{path}")

    def test_class_names_that_are_encrypted(self, tmp_path):
        path = zipped(tmp_path / "p.zip", ["ant/1.jpg", "wolf/1.jpg", "classes.txt"], b"A\nW\n")
        content = bytearray(path.read_bytes())
        for header, flags in [(b"PK\3\4", 6), (b"PK\1\2", 8)]:  # of the last member
            content[content.rindex(header) + flags] |= 1
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"p\.zip/classes\.txt cannot be read: .* encrypted"):
            load_dataset(f"folder:{path}")

    @pytest.mark.parametrize(
        "name", ["/etc/1.jpg", "ant/../../1.jpg", "C:\\ant\\1.jpg", "..\\1.jpg"]
    )
    def test_members_that_lead_outside(self, name, tmp_path):
        path = zipped(tmp_path / "p.zip", ["ant/1.jpg", name])
        with pytest.raises(ValueError, match="leads outside the archive; expected relative names"):
            load_dataset(f"folder:{path}")

    def test_members_twice_and_backslashes(self, tmp_path):
        with pytest.warns(UserWarning, match="Duplicate"):
            path = zipped(tmp_path / "p.zip", ["ant/1.jpg", "wolf/1.jpg", "ant/1.jpg"])
        with pytest.raises(ValueError, match=r"p\.zip holds ant/1\.jpg 2 times"):
            load_dataset(f"folder:{path}")
        path = zipped(tmp_path / "q.zip", ["ant\\1.jpg", "wolf\\1.jpg"])
        with pytest.raises(ValueError, match="has no folder; expected names with /"):
            load_dataset(f"folder:{path}")

    def test_damaged_or_empty(self, tmp_path):
        (tmp_path / "p.zip").write_bytes(b"PK\003\004broken")
        with pytest.raises(ValueError, match=r"p\.zip is not a whole zip archive"):
            load_dataset(f"folder:{tmp_path / 'p.zip'}")
        assert holds_class_folders(tmp_path / "p.zip")  # so that it is read, and said what is wrong
        zipped(tmp_path / "p.zip", [])
        with pytest.raises(FileNotFoundError, match="holds no class folders"):
            load_dataset(f"folder:{tmp_path / 'p.zip'}")

    def test_a_path_that_goes_on_inside(self, tmp_path):
        path = zipped(tmp_path / "p.zip", ["a/b/1.jpg"])
        assert split_at_zip(path / "a/b") == (path, "a/b")
        assert split_at_zip(path / ".a/v1.") == (path, ".a/v1.")
        assert split_at_zip(path) == (path, "") and split_at_zip(tmp_path) == (tmp_path, "")


PEAK = """
import resource, sys
from featpurity import load_dataset
dataset = load_dataset(f"folder:{sys.argv[1]}")
print(len(dataset), len(dataset.classes), len(dataset.images_key))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)  # GiB
"""


@pytest.mark.slow
def test_two_hundred_thousand_files_in_two_thousand_classes_fit_in_memory(tmp_path):
    for number in range(2000):
        folder = tmp_path / "tree" / f"class_{number:04d}"
        touch(folder, "0.jpg")
        for place in range(1, 100):  # links are quicker to make, and files all the same
            os.link(folder / "0.jpg", folder / f"{place}.jpg")
    environment = os.environ | {"FEATPURITY_CACHE": str(tmp_path / "cache")}
    done = subprocess.run(
        [sys.executable, "-c", PEAK, tmp_path / "tree"],
        check=True,
        capture_output=True,
        text=True,
        env=environment,
    )
    counted, peak = done.stdout.splitlines()
    assert counted == "200000 2000 64"
    assert float(peak) < 2.6
