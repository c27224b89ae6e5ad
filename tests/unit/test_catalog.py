"""Where data sets lie, what the plan says of them, and when their pictures count as changed."""

import json
import os
import shutil
import tarfile

import layouts
import pytest
from trees import photo, touch, zipped

from featpurity import load_dataset
from featpurity.data import catalog
from featpurity.data.datasets import load_splits
from featpurity.data.titles import TITLES
from featpurity.files import ALIASES


def test_the_plan_s_record_names_the_first_classes(tmp_path):
    touch(tmp_path, *(f"class{i}/{j}.png" for i in range(5) for j in range(2)))
    found = catalog.find(f"folder:{tmp_path}")
    assert (found.images, found.classes, found.kind) == (10, 5, "class folders")
    assert found.what == "10 images, 5 classes (class0, class1, class2, ...)"
    (tmp_path / "classes.txt").write_text(
        "class0\tAmeise\nclass1\tb\nclass2\tc\nclass3\td\nclass4\te\n"
    )
    assert "(class0: Ameise, class1: b, class2: c, ...)" in catalog.find(f"folder:{tmp_path}").what


@pytest.mark.parametrize("place", ["{name}/test", "{name}_test.zip", "{name}_test.zip/test"])
@pytest.mark.parametrize(
    "name, record", [(name, record) for name, record in catalog.CATALOG.items() if record.named]
)
def test_imagenet_and_its_kin_lie_where_any_data_set_may(name, record, place, tmp_path):
    at, folders = place.format(name=name), [f"n{i:08d}" for i in range(record.classes)]
    archive, inside, below = at.partition(".zip")
    files = [f"{below}/{folder}/1.jpg".lstrip("/") for folder in folders]
    if inside:
        zipped(tmp_path / f"{archive}.zip", files)
    else:
        touch(tmp_path / at, *files)
    found = catalog.find(name, tmp_path)
    assert (found.kind, found.where) == ("class folders", tmp_path / at)


class TestEmptyIsNotHere:
    @pytest.mark.parametrize("name", ["food101", "cifar10", "imagenet"])
    def test_folders_and_archives(self, name, tmp_path):
        (tmp_path / name / "test").mkdir(parents=True)
        (tmp_path / f"{name}_test.zip").touch()
        assert catalog.find(name, tmp_path).kind == "absent"
        zipped(tmp_path / f"{name}_test.zip", [])
        assert catalog.find(name, tmp_path).kind == "absent"

    def test_a_damaged_archive_is_named(self, tmp_path):
        (tmp_path / "food101_test.zip").write_bytes(b"PK\003\004broken")
        with pytest.raises(ValueError, match=r"food101_test\.zip is not a whole zip archive"):
            catalog.find("food101", tmp_path)
        assert "not a whole zip" in catalog.data_state("food101", tmp_path)


class TestState:
    @pytest.fixture
    def tree(self, tmp_path):
        touch(tmp_path, "ant/1.jpg", "wolf/1.jpg")
        return tmp_path

    @pytest.mark.parametrize(
        "change",
        [
            lambda tree: touch(tree, "ant/2.jpg"),
            lambda tree: (tree / "ant/1.jpg").write_bytes(b"x"),
            lambda tree: (tree / "ant/1.jpg").rename(tree / "ant/9.jpg"),
            lambda tree: os.utime(tree / "wolf/1.jpg", (1, 1)),
            lambda tree: (tree / "classes.txt").write_text("a\nb\n"),
            lambda tree: (tree / "wolf/1.jpg").unlink(),
        ],
    )
    def test_of_a_folder_follows_its_pictures(self, tree, change):
        name = f"folder:{tree}"
        before = catalog.data_state(name)
        touch(tree, "ant/notes.txt")
        assert catalog.data_state(name) == before
        change(tree)
        assert catalog.data_state(name) != before

    def test_of_an_archive_follows_the_archive(self, tmp_path):
        path = zipped(tmp_path / "p.zip", ["ant/1.jpg"])
        before = catalog.data_state(f"folder:{path}")
        assert catalog.data_state(f"folder:{path}") == before
        zipped(path, ["ant/1.jpg", "ant/2.jpg"])
        assert catalog.data_state(f"folder:{path}") != before

    def test_of_pairs_follows_table_and_pictures(self, tmp_path):
        touch(tmp_path, "images/1.jpg", "images/2.jpg", "images/other.jpg")
        table = tmp_path / "pairs.csv"
        table.write_text("image,caption\n1.jpg,a dog\n2.jpg,a cat\n")
        states = [catalog.data_state("pairs.csv", tmp_path)]
        (tmp_path / "images/other.jpg").write_bytes(b"x")
        assert catalog.data_state(str(table)) == states[0]
        (tmp_path / "images/2.jpg").write_bytes(b"x")
        states.append(catalog.data_state("pairs.csv", tmp_path))
        table.write_text("image,caption\n1.jpg,a dog\n")
        states.append(catalog.data_state("pairs.csv", tmp_path))
        assert len(set(states)) == 3
        assert catalog.data_state("scenes") == "generated"
        assert catalog.data_state("photos", tmp_path) == "absent"

    @pytest.mark.parametrize("prefix", ["folder:", "webdataset:"])
    def test_of_a_label_is_that_of_what_it_stands_for(self, tree, prefix, monkeypatch):
        with tarfile.open(tree / "0.tar", "w"):
            pass
        state = catalog.data_state(f"{prefix}{tree}")
        monkeypatch.setenv(ALIASES, json.dumps({"mine": f"{prefix}{tree}"}))
        assert catalog.data_state("mine") == state

    def test_of_what_is_made_or_not_there(self, tmp_path):
        assert catalog.data_state("scenes_shape") == "generated"
        assert catalog.data_state("food101", tmp_path) == "absent"
        assert catalog.data_state(f"folder:{tmp_path / 'none'}") == "absent"


class TestTrainingImagesInClassFolders:
    """Of Oxford Pets, with two of its classes."""

    @pytest.fixture
    def root(self, tmp_path):
        for i, name in enumerate(["pug/1.jpg", "pug/2.jpg", "sphynx/1.jpg"]):
            photo(tmp_path / "pets/test" / name, i)
        return tmp_path

    def add(self, root, archive, *names):
        for i, name in enumerate(names):
            photo(root / "pets/train" / name, 3 + i)
        if archive:
            shutil.make_archive(root / "pets_train", "zip", root / "pets/train")
            shutil.rmtree(root / "pets/train")

    @pytest.mark.parametrize("archive", [False, True])
    def test_are_read_and_change_the_state(self, root, archive):
        before = catalog.data_state("pets", root)
        self.add(root, archive, "pug/3.jpg", "sphynx/2.jpg")
        test, train = load_splits("pets", root)
        assert (test.classes, train.labels.tolist()) == (["Pug", "Sphynx"], [0, 1])
        assert catalog.find_training("pets", root).images == 2
        assert catalog.data_state("pets", root) not in {before, catalog.data_state("pets", "/")}

    @pytest.mark.parametrize("layout", [False, True])
    def test_are_none_where_they_are_missing_or_lie_otherwise_and_nothing_is_fetched(
        self, root, layout, monkeypatch
    ):
        if layout:
            layouts.pets(root, monkeypatch)
            layouts.train("pets", root, monkeypatch)
        monkeypatch.setattr("torchvision.datasets.OxfordIIITPet._download", lambda self: 1 / 0)
        assert [len(part) for part in load_splits("pets", root)] == [3]
        assert catalog.without_training(["pets"], root) == [
            "pets: its training images are not beside its test images (pets/train, "
            "pets_train.zip): probes are trained on half of the test images"
        ]

    def test_are_refused_where_their_classes_differ(self, root):
        self.add(root, False, "pug/3.jpg", "siamese/2.jpg")
        with pytest.raises(ValueError, match="pets: its test and training .*: siamese, sphynx"):
            load_splits("pets", root)
        states = {catalog.data_state("pets", root)}
        photo(root / "pets/test/pug/9.jpg", 9)
        assert catalog.data_state("pets", root) not in states

    @pytest.mark.parametrize("name", ["scenes_shape", "eurosat", "imagenet", "folder:{}/pets/test"])
    def test_are_none_of_what_is_not_divided(self, root, name):
        touch(root, "imagenet/train/n01440764/1.jpg")
        name = name.format(root)
        assert catalog.find_training(name, root) is None
        with pytest.raises(ValueError, match="has no training split"):
            load_dataset(name, root, split="train")

    def test_of_a_name_that_nothing_knows(self):
        with pytest.raises(ValueError, match="unknown data set 'cifar1'"):
            load_dataset("cifar1", split="train")
        with pytest.raises(ValueError, match="split: expected one of test, train, got 'val'"):
            load_dataset("cifar10", split="val")


@pytest.mark.parametrize("name", ["CIFAR10", "CIFAR-10", "cifar_10", "Cifar 10"])
def test_another_spelling_is_understood(name):
    with pytest.raises(ValueError, match="did you mean 'cifar10'"):
        load_dataset(name)


def test_a_folder_s_path_alone(tmp_path):
    with pytest.raises(ValueError, match=f"for the pictures in it: 'folder:{tmp_path}'"):
        load_dataset(tmp_path)


def test_every_data_set_has_a_title():
    assert list(TITLES) == list(catalog.CATALOG)


def test_training_images_of_another_data_set_are_not_taken_for_cifar10_s(tmp_path, monkeypatch):
    layouts.cifar10(tmp_path, monkeypatch)
    touch(
        tmp_path, *(f"{split}/n0144{i:04d}/1.jpg" for split in ("train", "val") for i in range(3))
    )
    assert catalog.find_training("cifar10", tmp_path).kind == "torchvision"
