"""Which display name belongs to which class: in turn, by the folder's name, or refused."""

import json
import unicodedata

import pytest

from featpurity import load_dataset
from featpurity.data.class_folders import in_order
from featpurity.data.class_names import folder_words, names_from_lines, read_class_names


def test_numbers_are_sorted_by_their_value():
    assert in_order(["10", "2", "0", "02"]) == ["0", "02", "2", "10"]
    assert in_order(["10a", "2", "Bee", "ant"]) == ["10a", "2", "Bee", "ant"]


def test_lines_in_turn():
    folders = in_order(str(i) for i in range(12))
    names = [f"name{i}" for i in range(12)]
    assert names_from_lines("\n".join(names), folders, "list") == names


def test_lines_that_name_their_folder():
    lines = "10\tten\n2  two, or a pair\n\n1 one\n"
    assert names_from_lines(lines, ["1", "2", "10"], "list") == ["one", "two, or a pair", "ten"]


@pytest.mark.parametrize(
    "lines",
    [
        "bee: Biene\nant: Ameise\n",
        "bee,Biene\nant,Ameise\n",
        "bee = Biene\nant = Ameise",
        '"bee";"Biene"\n"ant";"Ameise"\n',
        "bee\tBiene\r\nant\tAmeise\r\n",
        "bee Biene\nwasp Wespe\nant Ameise\n",  # more than there are folders
        "0 Ameise\n1 Biene\n",
        "2,Biene\n1,Ameise\n",
        "1. Ameise\n2. Biene\n",
        "00\tAmeise\n01\tBiene\n",
    ],
)
def test_what_stands_before_a_name_says_whose_it_is(lines):
    assert names_from_lines(lines, ["ant", "bee"], "list") == ["Ameise", "Biene"]


def test_accents_are_equal_in_both_forms_of_unicode():
    folders = [unicodedata.normalize("NFD", name) for name in ["Größe", "Höhe"]]
    lines = "Höhe\theight\nGröße\tsize\n"
    assert names_from_lines(lines, folders, "list") == ["size", "height"]
    assert names_from_lines("Höhe\nGröße\n", folders, "list") == ["Größe", "Höhe"]


def test_numbers_that_do_not_count_the_classes_are_part_of_the_names():
    assert names_from_lines("2 dogs\n3 cats\n", ["a", "b"], "list") == ["2 dogs", "3 cats"]


@pytest.mark.parametrize(
    "text, folders, message",
    [
        ("cat\tCat\ncat\tLion\ndog\tDog\n", ["cat", "dog"], "a second name for one folder"),
        (
            "cat,tabby\ndgo,puppy\n",
            ["cat", "dog"],
            "a folder's name as it is.*'dog', no .*begins the line 'dgo,puppy'",
        ),
        (
            "Cat,tabby\ndog,puppy\n",
            ["cat", "dog"],
            "a folder's name as it is.*'cat', no .*begins the line 'Cat,tabby'",
        ),
        ("cat, Cat\ndog, Dog\n", ["cat", "dog", "truck"], "and the class's; .* folder 'truck'$"),
        ("cat\tCat\ndog\n", ["cat", "dog"], "folder 'dog', no .*begins the line 'dog'"),
        ("0 cat\n1 dog\n1 bird\n", ["a", "b", "c"], "numbers from 0 or 1 on, each once.*0, 1, 1"),
    ],
)
def test_a_class_named_twice_and_a_number_that_stands_twice(text, folders, message):
    with pytest.raises(ValueError, match=message):
        names_from_lines(text, folders, "list")


def test_tabs_behind_what_is_no_folder():
    with pytest.raises(ValueError, match="folder 'bee' or 'cat', no .* the line 'Bee.*Biene'"):
        names_from_lines("ant\tAmeise\nBee\tBiene\n", ["ant", "bee", "cat"], "list")


def test_the_folders_names_again_in_another_order():
    folders = ["Bee", "ant", "car_side"]
    assert names_from_lines("ant\nbee\nCar side\n", folders, "list") == ["bee", "ant", "Car side"]


def test_a_name_that_is_another_folder_s():
    with pytest.raises(ValueError, match="calls the class 'ant' 'Bee', which is the folder 'bee'"):
        names_from_lines("Bee\nAmeise\n", ["ant", "bee"], "list")


@pytest.mark.parametrize("lines", ["pkw\npkw\nboat\n", "a\tpkw\nb\tpkw\nc\tboat\n"])
def test_two_classes_of_one_name(lines):
    with pytest.raises(ValueError, match="list: the classes 'a' and 'b' are both called 'pkw'"):
        names_from_lines(lines, ["a", "b", "c"], "list")
    own = "sunglasses\nsunglasses\n"  # as in CLIP's list of ImageNet's classes
    assert names_from_lines(own, ["a", "b"], "list") == ["sunglasses", "sunglasses"]


def test_an_order_that_can_be_meant_in_two_ways():
    folders = in_order(f"class{i}" for i in range(12))
    names = [f"name{i}" for i in range(12)]
    with pytest.raises(ValueError, match="class0, class1, class2, ... or class0, class1, class10"):
        names_from_lines("\n".join(names), folders, "list")
    lines = "\n".join(f"class{i}\tname{i}" for i in range(12))
    assert dict(zip(folders, names_from_lines(lines, folders, "list")))["class2"] == "name2"


def test_two_folders_that_read_the_same():
    with pytest.raises(ValueError, match="folders 'a_b' and 'a b' both read 'a b'"):
        folder_words(["a_b", "a b"])


class TestOwnFile:
    @pytest.fixture
    def write(self, tmp_path):
        def write(content, name="names.json"):
            path = tmp_path / name
            path.write_text(content if isinstance(content, str) else json.dumps(content))
            return path

        return write

    @pytest.mark.parametrize(
        "content",
        [["Ameise", "Wolf"], {"wolf": "Wolf", "ant": "Ameise"}, {"insects": ["Ameise", "Wolf"]}],
    )
    def test_json(self, write, content):
        found = read_class_names(write(content), ["ant", "wolf"], "insects")
        assert found == ["Ameise", "Wolf"]

    def test_text(self, write):
        path = write("Ameise\nWolf\n", "names.txt")
        assert read_class_names(path, ["ant", "wolf"], "insects") == ["Ameise", "Wolf"]

    def test_of_other_data_sets_only(self, write):
        path = write({"pets": ["a"] * 37})
        assert read_class_names(path, ["ant"], "insects") is None
        shapes = load_dataset("scenes_shape", class_names=str(path)).classes
        assert shapes == load_dataset("scenes_shape").classes

    @pytest.mark.parametrize(
        "content, message",
        [
            (["Ameise"], "names 1 classes, but the data set has 2"),
            ({"ant": "Ameise"}, "names no class for wolf"),
            (["Ameise", 3], "expected class names, got 3"),
            (["Ameise", " "], "expected class names, got ' '"),
            ('["Ameise",', "is not valid JSON"),
            ("3", "expected a list or an object, got 3"),
            ('{"ant": "A", "wolf": "B", "ant": "C"}', "the key 'ant' stands there twice"),
            ({"ant": ["A", "a"], "wolf": ["B"]}, "expected names of data sets.*got 'ant'"),
        ],
    )
    def test_that_does_not_fit(self, write, content, message):
        with pytest.raises(ValueError, match=message):
            read_class_names(write(content), ["ant", "wolf"], "insects")

    def test_that_is_not_there(self, tmp_path):
        with pytest.raises(FileNotFoundError, match="there is no file .*none.txt"):
            load_dataset("scenes_shape", class_names=str(tmp_path / "none.txt"))
