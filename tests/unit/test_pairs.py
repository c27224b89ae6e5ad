"""Pairs from tables and from generated captions, and what is said when a table is not as it should be."""

import zipfile

import numpy as np
import pytest
from layouts import cifar10
from trees import photo

from featpurity import load_pairs
from featpurity.captions.files import read_captions, read_table
from featpurity.check import check
from featpurity.data.published import CIFAR10_CLASSES
from featpurity.profile import MISALIGNMENT, Profile


class TestPairsFromCsv:
    @pytest.fixture
    def csv(self, tmp_path):
        for i in range(3):
            photo(tmp_path / f"images/{i}.jpg", i)
        path = tmp_path / "captions.csv"
        path.write_text(
            'image,caption\n0.jpg,"a dog, on a sofa"\n0.jpg,ein Hündchen\n2.jpg,boat\n',
            encoding="utf-8",
        )
        return path

    def test_images_and_captions(self, csv):
        pairs = load_pairs(csv)
        assert pairs.captions == ["a dog, on a sofa", "ein Hündchen", "boat"] == pairs.best_captions
        assert pairs.rewrites == [[], [], []] and pairs.images.names == ["0.jpg", "0.jpg", "2.jpg"]
        assert pairs[2][0].mode == "RGB" and pairs[2][1] == "boat"
        assert load_pairs(str(csv), n_pairs=2).captions == pairs.captions[:2]
        assert load_pairs("captions.csv", root=csv.parent).captions == pairs.captions

    def test_rewrites_line_by_line(self, csv, tmp_path):
        files = [tmp_path / "chat.txt", tmp_path / "human.txt"]
        files[0].write_text("one dog\npuppy\nship\n")
        files[1].write_text("dog!\nsmall dog\nsail\n")
        pairs = load_pairs(csv, rewrites=files)
        assert pairs.rewrites == [["one dog", "dog!"], ["puppy", "small dog"], ["ship", "sail"]]
        assert pairs.best_captions == ["one dog", "puppy", "ship"]
        files[1].write_text("dog!\nsmall dog\n")
        with pytest.raises(ValueError, match="human.txt has 2 captions, but .* has 3 pairs"):
            load_pairs(csv, rewrites=files)
        assert load_pairs(csv, root=tmp_path, rewrites=["chat.txt"]).best_captions == [
            "one dog",
            "puppy",
            "ship",
        ]
        with pytest.raises(FileNotFoundError, match="rewrites: there is no file none.txt"):
            load_pairs(csv, rewrites=["none.txt"])
        with pytest.raises(ValueError, match="rewrites go with a CSV of pairs, got scenes"):
            load_pairs("scenes", rewrites=files)

    @pytest.mark.parametrize(
        "content, message",
        [
            (b"image,caption\n", "holds no caption"),
            (b"image,caption\n0.jpg,\n2.jpg, \n", "holds no caption"),
            (b"image,text\n0.jpg,dog\n", "expected a column 'caption'"),
            (b"file,caption\n0.jpg,dog\n", "expected the columns image"),
            (b"image,caption\n0.jpg,caf\xe9\n", "line 2: byte 0xe9 is not UTF-8"),
            (b"", "empty"),
            (b"image,caption\n0.jpg,dog\n\n2.jpg,boat\n", "row 2 names no image"),
        ],
    )
    def test_bad_files(self, csv, content, message):
        csv.write_bytes(content)
        with pytest.raises(ValueError, match=message):
            load_pairs(csv)

    def test_a_blank_rewrite_stands_for_no_caption(self, csv, tmp_path):
        files = [tmp_path / "chat.txt", tmp_path / "human.txt"]
        files[0].write_text("\n \nship\n")
        files[1].write_text("\nsmall dog\nsail\n")
        pairs = load_pairs(csv, rewrites=files)
        assert pairs.best_captions == [pairs.captions[0], "small dog", "ship"]
        settings = {"pairs": str(csv), "chapters": [MISALIGNMENT], "batch_size": 3}
        told = check(Profile(rewrites=list(map(str, files)), **settings))
        assert told == [
            "captions: 2 blank lines of the first rewrites; a pair's next text that is not blank "
            "stands for each"
        ]
        csv.write_text("image,caption\n0.jpg,\n1.jpg,dog\n2.jpg,\n")
        told = check(Profile(rewrites=[str(files[0])], **settings))
        assert told == [
            "captions: 2 blank captions and 2 blank lines of the first rewrites; 1 pairs have no "
            "other text and keep the empty one"
        ]

    def test_a_blank_caption_keeps_its_image(self, csv):
        csv.write_text("image,caption\n0.jpg,\n1.jpg\n2.jpg,boat\n")
        pairs = load_pairs(csv)
        assert pairs.captions == ["", "", "boat"] and pairs.images.names == [
            "0.jpg",
            "1.jpg",
            "2.jpg",
        ]

    @pytest.mark.parametrize(
        "first, row",
        [("0.jpg", '{},"{}"'), ("0.jpg", '"{}","{}","http://there"'), ("a b.PNG", '{},"{}"')],
    )
    def test_no_header_as_in_the_paper_s_lists(self, csv, first, row):
        photo(csv.parent / f"images/{first}")
        rows = [(first, "a dog, on a sofa"), ("1.jpg", ""), ("2.jpg", "boat")]
        csv.write_text("\ufeff" + "\n".join(row.format(*pair) for pair in rows), encoding="utf-8")
        pairs = load_pairs(csv)
        assert pairs.captions == ["a dog, on a sofa", "", "boat"] == read_captions(csv)
        assert pairs.images.names == [first, "1.jpg", "2.jpg"]
        csv.write_text(f"{first},dog\n")
        assert load_pairs(csv).captions == ["dog"]

    @pytest.mark.parametrize(
        "header, columns",
        [
            ("image,caption", ["image", "caption"]),
            ("caption,image", ["caption", "image"]),
            ("image.jpg", ["image.jpg"]),
            ("jpg,caption", ["jpg", "caption"]),
        ],
    )
    def test_a_header_stays_one(self, csv, header, columns):
        csv.write_text(f"{header}\n0.jpg{',dog' * header.count(',')}\n")
        table = read_table(csv)
        assert list(table) == columns and len(table) == 1 and table.iloc[0, 0] == "0.jpg"

    def test_no_header_and_a_caption_with_a_comma(self, csv):
        csv.write_text("0.jpg,dog\n2.jpg,a boat, at sea\n")
        with pytest.raises(ValueError, match="line 2: expected 2 fields, got 3"):
            load_pairs(csv)

    def test_missing_images_are_all_named(self, csv):
        csv.write_text("image,caption\n0.jpg,a\n7.jpg,b\n8.jpg,c\n7.jpg,d\n")
        with pytest.raises(FileNotFoundError, match=r"(?s)2 images are not in .*7\.jpg.*8\.jpg"):
            load_pairs(csv)

    def test_of_many_missing_images_ten_are_named_and_where_they_may_lie(self, csv, tmp_path):
        csv.write_text("image,caption\n" + "".join(f"x{i}.jpg,a\n" for i in range(1234)))
        with pytest.raises(FileNotFoundError) as told:
            load_pairs(csv, root=tmp_path / "data")
        lines = str(told.value).splitlines()
        assert len(lines) == 12 and lines[-2:] == ["  x9.jpg", "  ..."]
        places = " or ".join(str(tmp_path / name) for name in ["", "images", "Images", "data"])
        assert f"1,234 images are not in {places}:" in lines[0]

    def test_no_such_file(self, tmp_path):
        with pytest.raises(FileNotFoundError, match="expected scenes, photos or a CSV file"):
            load_pairs(tmp_path / "none.csv")

    def test_broken_images_can_be_skipped(self, csv):
        (csv.parent / "images/0.jpg").write_bytes(b"")
        pairs = load_pairs(csv, unreadable="skip")
        assert pairs.captions == ["boat"] and pairs.skipped == ("0.jpg",)

    def test_photos_with_human_captions(self, shared, tmp_path):
        with zipfile.ZipFile(shared / "data/coco_mini.zip") as archive:
            archive.extractall(tmp_path)
        pairs = load_pairs(tmp_path / "captions.csv")
        assert len(pairs) == 795 and len(set(pairs.images.names)) == 159
        assert pairs.images.unreadable() == {} and min(pairs[794][0].size) == 256


def test_photos_with_generated_captions(tmp_path):
    for i, name in enumerate(CIFAR10_CLASSES):
        photo(tmp_path / f"train/{name}/1.png", i)
    pairs = load_pairs("photos", root=tmp_path)
    again = load_pairs("photos", root=tmp_path, n_pairs=4)
    assert len(pairs) == 10 and again.best_captions == pairs.best_captions[:4]
    named = [path.split("/")[0] for path in pairs.images.names]
    assert sorted(named) == CIFAR10_CLASSES and named != CIFAR10_CLASSES
    for name, rewritten in zip(
        named, pairs.rewrites
    ):  # a rewrite may describe the class instead of naming it
        assert not any(
            other in text.split()
            for text in rewritten
            for other in CIFAR10_CLASSES
            if other != name
        )


def test_photos_from_torchvision_s_layout(tmp_path, monkeypatch):
    cifar10(tmp_path, monkeypatch)
    pairs, two = load_pairs("photos", root=tmp_path), load_pairs("photos", root=tmp_path, n_pairs=2)
    assert (
        len(pairs) == len(list(pairs)) == 3 and len(two) == 2 and two.images_key != pairs.images_key
    )
    assert two.captions == pairs.captions[:2] and np.array_equal(two[1][0], pairs[1][0])


@pytest.mark.parametrize("option", [{"n_pairs": 0}, {"unreadable": "maybe"}])
def test_unknown_options_of_pairs(option):
    with pytest.raises(ValueError, match=f"{next(iter(option))}: expected"):
        load_pairs("scenes", **option)
