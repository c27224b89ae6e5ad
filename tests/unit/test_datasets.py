"""Names and folders become labelled images; what is said when a folder is not as it should be."""

import re
import zipfile
from dataclasses import replace
from urllib.error import URLError

import numpy as np
import pytest
from trees import photo

from featpurity import load_dataset, load_pairs
from featpurity.data import catalog
from featpurity.data.published import CIFAR10_CLASSES
from featpurity.data.scenes import ATTRIBUTES


class TestCifarPhotosAsFolders:
    def test_folder_and_zip_and_torchvision_s_order(self, tmp_path):
        for i, name in enumerate(CIFAR10_CLASSES):
            photo(tmp_path / f"a/test/{name}/1.png", i)
        with zipfile.ZipFile(tmp_path / "cifar10_test.zip", "w") as archive:
            for path in sorted((tmp_path / "a").rglob("*.png")):
                archive.write(path, path.relative_to(tmp_path / "a"))
        folder, zipped = (
            load_dataset("cifar10", root=tmp_path / "a"),
            load_dataset("cifar10", root=tmp_path),
        )
        assert folder.classes == zipped.classes == CIFAR10_CLASSES
        assert folder.labels.tolist() == zipped.labels.tolist() == list(range(10))
        assert all(np.array_equal(ours[0], other[0]) for ours, other in zip(folder, zipped))
        assert zipped.images.unreadable() == {}

    def test_folders_of_another_data_set(self, tmp_path):
        photo(tmp_path / "test/cat/1.png")
        with pytest.raises(ValueError, match="expected the class folders airplane, automobile"):
            load_dataset("cifar10", root=tmp_path)

    def test_the_real_ones(self, shared):
        dataset = load_dataset("cifar10", root=shared / "data")
        assert len(dataset) == 10_000 and dataset.labels.bincount().tolist() == [1000] * 10
        assert dataset[9999][0].size == (32, 32) and dataset[9999][1] == 9
        assert load_dataset("cifar10", root=shared / "data").images_key == dataset.images_key


class TestScenes:
    def test_one_set_of_pictures_for_all_attributes(self):
        sets = {attribute: load_dataset(f"scenes_{attribute}") for attribute in ATTRIBUTES}
        assert len({dataset.images_key for dataset in sets.values()}) == 1
        for column, (attribute, dataset) in enumerate(sets.items()):
            assert dataset.classes == ATTRIBUTES[attribute] and len(dataset) == 5000
            assert dataset.labels.tolist() == dataset.images.attributes[:, column].tolist()

    def test_pairs_say_what_is_drawn_and_differ_from_the_test(self):
        pairs = load_pairs("scenes", n_pairs=200)
        assert len(pairs) == len(pairs.captions) == len(pairs.rewrites) == 200
        assert pairs.best_captions == [rewritten[0] for rewritten in pairs.rewrites]
        assert load_pairs("scenes", n_pairs=100).captions == pairs.captions[:100]
        assert pairs.images.seed != load_dataset("scenes_shape").images.seed


@pytest.fixture
def tree(tmp_path):
    for i, name in enumerate(
        ["wolf/1.jpg", "wolf/deep/2.png", "ant/1.jpg", "ant/2.JPG", "ant/notes.txt"]
    ):
        if name.endswith("txt"):
            (tmp_path / "tree" / name).write_text("no picture")
        else:
            photo(tmp_path / "tree" / name, i)
    return tmp_path / "tree"


class TestFolder:
    def test_class_folders(self, tree):
        (tree / ".ipynb_checkpoints").mkdir()
        dataset = load_dataset(f"folder:{tree}")
        assert dataset.classes == ["ant", "wolf"] and dataset.labels.tolist() == [0, 0, 1, 1]

    def test_display_names(self, tree):
        (tree / "classes.txt").write_text("Ameise\ngrauer Wolf\n", encoding="utf-8")
        assert load_dataset(f"folder:{tree}").classes == ["Ameise", "grauer Wolf"]
        assert load_dataset(f"folder:{tree}", class_names="raw").classes == ["ant", "wolf"]

    @pytest.mark.parametrize(
        "content, message",
        [
            (b"ant\n", "names 1 classes, but the data set has 2"),
            (b"\xe9\xe8\nwolf\n", "line 1: byte 0xe9 is not UTF-8"),
        ],
    )
    def test_display_names_that_do_not_fit(self, tree, content, message):
        (tree / "classes.txt").write_bytes(content)
        with pytest.raises(ValueError, match=message):
            load_dataset(f"folder:{tree}")

    def test_missing_or_empty(self, tree, tmp_path):
        with pytest.raises(FileNotFoundError, match="there is no folder .*nowhere"):
            load_dataset(f"folder:{tmp_path / 'nowhere'}")
        with pytest.raises(FileNotFoundError, match="holds no class folders"):
            load_dataset(f"folder:{tree / 'wolf' / 'deep'}")
        (tree / "yak").mkdir()
        with pytest.raises(ValueError, match="no images .* in the class folders yak"):
            load_dataset(f"folder:{tree}")

    def test_the_key_follows_the_pictures(self, tree):
        before = load_dataset(f"folder:{tree}").images_key
        assert load_dataset(f"folder:{tree}").images_key == before
        photo(tree / "ant/1.jpg", 30)
        assert load_dataset(f"folder:{tree}").images_key != before

    def test_an_image_that_is_gone_is_named_like_a_broken_one(self, tree):
        images = load_dataset(f"folder:{tree}").images
        (tree / images.names[2]).unlink()
        faults = images.unreadable()
        assert images.names[2] in faults and faults[images.names[2]].startswith("FileNotFoundError")

    def test_unreadable_images_are_skipped_and_counted_when_asked(self, tree):
        (tree / "ant/1.jpg").write_bytes((tree / "ant/1.jpg").read_bytes()[:300])
        (tree / "wolf/3.png").write_bytes(b"")
        whole = load_dataset(f"folder:{tree}")
        assert list(whole.images.unreadable()) == ["ant/1.jpg", "wolf/3.png"] and len(whole) == 5
        with pytest.raises(ValueError, match="ant/1.jpg is not a readable image"):
            whole[0]
        dataset = load_dataset(f"folder:{tree}", unreadable="skip")
        assert dataset.skipped == ("ant/1.jpg", "wolf/3.png") and dataset.labels.tolist() == [
            0,
            1,
            1,
        ]
        assert dataset.images_key != whole.images_key and dataset.images.unreadable() == {}
        assert len(list(dataset)) == 3

    def test_nothing_readable(self, tree):
        for path in tree.rglob("*.*"):
            path.write_bytes(b"<html>")
        with pytest.raises(ValueError, match="none of the 4 images is readable"):
            load_dataset(f"folder:{tree}", unreadable="skip")


@pytest.mark.parametrize("name", ["cifar1", "scenes_form", "", "scenes_"])
def test_unknown_names(name):
    with pytest.raises(
        ValueError,
        match="unknown data set .*(did you mean|known: scenes_shape, .*imagenet).*folder:PATH",
    ):
        load_dataset(name)


@pytest.mark.parametrize(
    "load, shown",
    [
        (load_dataset, r"LabelledImages\('scenes_shape', \d+ images, \d+ classes\)"),
        (load_pairs, r"CaptionedImages\('scenes', \d+ pairs\)"),
    ],
)
def test_a_data_set_is_one_line_itself_alone_and_has_its_images_by_number(load, shown):
    data, again = (load(shown.split("'")[1]) for _ in range(2))
    assert re.fullmatch(shown, repr(data)) and data == data != again
    assert data[np.int64(1)][1] == data[1][1]
    for rows in (slice(0, 2), [0, 1], 1.0):
        with pytest.raises(TypeError, match="expected the number of an image, got .*subset"):
            data[rows]


@pytest.mark.parametrize("option", [{"class_names": "pretty"}, {"unreadable": "ignore"}])
def test_unknown_options(option):
    with pytest.raises(ValueError, match=f"{next(iter(option))}: expected one of"):
        load_dataset("scenes_shape", **option)


def test_a_data_set_that_cannot_be_downloaded_is_named(tmp_path, monkeypatch):
    def offline(root, split, download):
        raise URLError("no route to host") if download else RuntimeError("Dataset not found")

    record = replace(catalog.CATALOG["mnist"], open=offline)
    monkeypatch.setitem(catalog.CATALOG, "mnist", record)
    with pytest.raises(FileNotFoundError, match="mnist: .*no route to host.*put it there: .*MNIST"):
        load_dataset("mnist", root=tmp_path)


def test_all_names_are_listed():
    assert {"scenes_size", "cifar10", "imagenet"} <= set(catalog.names())
