"""Caption files as they are found: tables under any name, odd text, and what is refused with its line."""

import os
import tarfile

import pandas as pd
import pytest

from featpurity import load_pairs
from featpurity.captions.files import read_captions, read_table

CSV = "image,caption\n0.jpg,a red dog\n1.jpg,a blue cat\n"


@pytest.fixture
def write(tmp_path):
    def write(name, content):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
        return path

    return write


@pytest.mark.parametrize("name", ["x.csv", "x.txt", "x.tsv", "x"])
@pytest.mark.parametrize(
    "content",
    [
        CSV,
        "\ufeff" + CSV,
        CSV.replace("\n", "\r\n"),
        CSV.replace("\n", "\r"),
        CSV.replace(",", "\t"),
        CSV.replace(",", ";"),
        CSV.replace(",", ", "),
        'image,caption\n"0.jpg","a red dog"\n"1.jpg","a blue cat"\n',
        "0.jpg,a red dog\n1.jpg,a blue cat\n",
        "0.jpg#0\ta red dog\n1.jpg#4\ta blue cat\n",
        "caption,image\na red dog,0.jpg\na blue cat,1.jpg\n",
    ],
)
def test_a_table_is_known_under_any_name(write, name, content):
    table = read_table(write(name, content))
    assert [text.strip() for text in table["caption"]] == ["a red dog", "a blue cat"]
    assert list(table["image"]) == ["0.jpg", "1.jpg"]


@pytest.mark.parametrize("name", ["pairs.csv", "captions.txt", "captions.tsv"])
def test_pairs_of_a_table_under_any_name(write, tmp_path, name):
    from PIL import Image

    for i in range(2):
        (tmp_path / "Images").mkdir(exist_ok=True)
        Image.new("RGB", (4, 4)).save(tmp_path / f"Images/{i}.jpg")
    pairs = load_pairs(write(name, CSV + "./0.jpg,a dog again\n"))
    assert pairs.captions == ["a red dog", "a blue cat", "a dog again"]
    assert pairs.image_names == ["0.jpg", "1.jpg", "0.jpg"]
    assert pairs.subset([2, 1]).image_names == ["0.jpg", "1.jpg"]


@pytest.mark.parametrize(
    "line", ["a caption, with a comma", 'he said "no", then', "a\tb", "dog.jpg"]
)
def test_lines_of_text_stay_captions(write, line):
    assert read_captions(write("x.txt", f"first, one\n{line}\n\nlast")) == [
        "first, one",
        line,
        "",
        "last",
    ]


def test_pairs_of_plain_text_are_refused(write):
    path = write("x.txt", "a red dog\na blue cat\n")
    with pytest.raises(
        ValueError, match=r"x.txt: expected the columns image and caption.*'a red dog'"
    ):
        load_pairs(path)


def test_csv(tmp_path):
    table = tmp_path / "pairs.csv"
    pd.DataFrame(
        {"image": ["a.jpg", "b.jpg"], "caption": ["NA", "two\nlines, one caption"]}
    ).to_csv(table)
    assert read_captions(table) == ["NA", "two lines, one caption"]
    table.write_text("image,text\na.jpg,red\n")
    with pytest.raises(ValueError, match="expected a column 'caption'"):
        read_captions(table)


@pytest.mark.parametrize(
    "content",
    ["caption\n\nred star\n\n\nblue star\n\n", "caption,image\n\nred star,1\n,\n\nblue star\n\n"],
)
def test_blank_lines_of_a_csv_are_blank_captions(tmp_path, content):
    (tmp_path / "X.csv").write_text(content)
    assert read_captions(tmp_path / "X.csv") == ["", "red star", "", "", "blue star", ""]


@pytest.mark.parametrize(
    "content, message",
    [
        ("red star\ncaf\u00e9\n".encode("latin-1"), "line 2: byte 0xe9 is not UTF-8"),
        ("red star\nblue".encode("utf-16"), "is in UTF-16; expected text in UTF-8"),
        ("red star\nblue".encode("utf-16-be"), "line 1: a NUL byte"),
        (b"red star\nblue\0ring\n", "line 2: a NUL byte"),
        (b"", "holds no caption"),
        (b"\n \n", "holds no caption"),
        ("image,caption\n0.jpg,\n", "holds no caption"),
        ("image_name|comment\n0.jpg|a dog\n", "expected a column 'caption', got .*'comment'"),
        ("caption,caption\na,b\n", "columns of different names"),
        ('{"images": [\n{"a": 1}]}', "is JSON; expected a caption a line"),
        ('["a dog", "a cat"]', "is JSON"),
        ('\ufeff["a dog"]', "is JSON"),
        ('\n {"a dog": 1}', "is JSON"),
        ('{"image": "0.jpg", "caption": "a dog, at sea"}\n{}\n', "is JSON"),
    ],
)
def test_unreadable_files(write, content, message):
    with pytest.raises(ValueError, match=f"x.txt.*{message}"):
        read_captions(write("x.txt", content))


def test_a_tar_archive_is_told_from_text(tmp_path):
    with tarfile.open(tmp_path / "x.tar", "w") as archive:
        archive.addfile(tarfile.TarInfo("0.txt"))
    with pytest.raises(ValueError, match="x.tar is a tar archive; .* webdataset:PATH"):
        read_captions(tmp_path / "x.tar")


def test_columns_as_the_training_of_open_clip_calls_them(write):
    table = read_table(write("x.txt", "filepath\ttitle\na/0.jpg\ta dog, at sea\na/1.jpg\ta cat\n"))
    assert table.to_dict("list") == {
        "image": ["a/0.jpg", "a/1.jpg"],
        "caption": ["a dog, at sea", "a cat"],
    }
    assert list(read_table(write("w.csv", "filepath,caption\n0.jpg,a dog\n"))) == [
        "image",
        "caption",
    ]
    own = read_table(write("y.csv", "image,caption,title\n0.jpg,a dog,Rex\n"))
    assert list(own) == ["image", "caption", "title"]
    assert read_captions(write("z.txt", "[sic] a dog\n{a} cat\n")) == ["[sic] a dog", "{a} cat"]


@pytest.mark.parametrize(
    "rows, message",
    [
        ("0.jpg,a dog, at sea\n", "line 2: expected 2 fields, got 3; .* quotation marks"),
        ('0.jpg,a dog\n1.jpg,"a cat\n2.jpg,a boat\n', "line 3: unexpected end of data"),
        ('0.jpg,"a dog\n1.jpg,a "cat\n', "line 2: ',' expected after '\"'"),
        (f"0.jpg,{'a' * 200_000}\n", "line 2: a field of more than 131,072 characters; expected a"),
        (
            '0.jpg,"a dog\n1.jpg,a cat"\n2.jpg,a boat\n',
            "line 2: a field in quotation marks goes on to line 3, past another row: '1.jpg,a cat",
        ),
        ('0.jpg,"a ""dog""\nat sea"\n1.jpg,a,b\n', "line 4: expected 2 fields, got 3"),
    ],
)
def test_rows_that_are_no_rows_are_named(write, rows, message):
    with pytest.raises(ValueError, match=message):
        read_captions(write("x.csv", "image,caption\n" + rows))


def test_captions_of_several_lines_and_quotes_are_read(write):
    text = 'image,caption\n0.jpg,"a ""red"" dog,\nat sea"\n1.jpg,5" of snow\n'
    assert read_captions(write("x.csv", text)) == ['a "red" dog, at sea', '5" of snow']


def test_quotation_marks_mean_nothing_in_a_bare_list_with_tabs(write):
    text = '0.jpg#0\t"No" , he said .\n0.jpg#1\t" two"\n1.jpg#0\ta 5" nail\n'
    table = read_table(write("x.txt", text))
    assert list(table["caption"]) == ['"No" , he said .', '" two"', 'a 5" nail']
    assert list(table["image"]) == ["0.jpg", "0.jpg", "1.jpg"]


@pytest.mark.parametrize(
    "content",
    [
        "0.jpg,a cat, sitting\n1.jpg,a dog\n",
        "0.jpg,a cat, sitting\n1.jpg,a dog, asleep\n",
        '0.jpg,"a cat",x\n1.jpg,a dog, asleep\n',
        "0.jpg;a cat; sitting\n",
        "0.jpg\ta cat\tsitting\n1.jpg\ta dog\n",
        '"0.jpg","a cat","x"\n"1.jpg","a dog"\n',
    ],
)
def test_a_comma_makes_no_column_where_no_header_says_so(write, content):
    with pytest.raises(ValueError, match="line [12]: expected 2 fields, got [23], and no header"):
        read_table(write("x.csv", content))


def test_further_columns_that_no_comma_made(write):
    quoted = '"0.jpg","a ""red"" cat, sitting","x"\r\n"1.jpg","a\ndog","y"\r\n'
    assert list(read_table(write("x.csv", quoted))["caption"]) == ['a "red" cat, sitting', "a dog"]
    tabs = "0.jpg\ta cat, sitting\tx\n1.jpg\ta dog\ty\n"
    assert list(read_table(write("x.tsv", tabs))["caption"]) == ["a cat, sitting", "a dog"]


def test_a_pipe_is_refused_unread(tmp_path):
    os.mkfifo(tmp_path / "x.txt")
    with pytest.raises(ValueError, match="x.txt is not a regular file"):
        read_captions(tmp_path / "x.txt")
