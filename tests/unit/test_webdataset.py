"""Shards are read in place, equal to the same files in folders; damaged and hostile ones are refused in a line."""

import io
import pickle
import tarfile

import numpy as np
import pytest
from PIL import Image

from featpurity import load_dataset, load_model, load_pairs
from featpurity.captions.files import read_captions
from featpurity.captions.swap import swap_path, write_swaps
from featpurity.data import catalog, filecache, webdataset
from featpurity.data.datasets import left_out
from featpurity.experiments.retrieval import owners_of, retrieve


def picture(seed, kind="PNG"):
    noise = np.random.default_rng(seed).integers(0, 256, (9, 12, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).save(file, kind)
    return file.getvalue()


def shard(path, members, mode="w"):
    """A tar archive of (name, content); a TarInfo stands for a member of another kind."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, mode) as archive:
        for name, content in members:
            info = name if isinstance(name, tarfile.TarInfo) else tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def member(i, text, suffix="cls"):
    return [(f"s{i:04d}.png", picture(i)), (f"s{i:04d}.{suffix}", text.encode())]


@pytest.fixture
def labelled(tmp_path):
    """Twelve pictures in eleven shards, as CLIP_benchmark lays them out."""
    for i in range(10):
        shard(tmp_path / f"set/test/{i}.tar", member(i, f"{i % 3}\n"))
    shard(tmp_path / "set/test/10.tar", member(10, "1") + member(11, "2"))
    (tmp_path / "set/classnames.txt").write_text("ant\ngrey wolf\ntree frog\n")
    return tmp_path / "set"


class TestLabelled:
    def test_pictures_classes_and_labels(self, labelled):
        data = load_dataset(f"webdataset:{labelled}")
        assert data.classes == ["ant", "grey wolf", "tree frog"]
        assert data.labels.tolist() == [0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2]
        for i in range(12):
            assert np.array_equal(data[i][0], Image.open(io.BytesIO(picture(i))))
        assert data.images.unreadable() == {}
        copy = pickle.loads(pickle.dumps(data.images))
        assert np.array_equal(copy[11], data[11][0]) and copy.key == data.images_key

    @pytest.mark.parametrize(
        "path, n",
        [("test", 12), ("test/10.tar", 2), ("test/{3..7}.tar", 5), ("test/{0..10}.tar", 12)],
    )
    def test_ways_to_name_shards(self, labelled, path, n):
        name = f"webdataset:{labelled / path}"
        data = load_dataset(name, class_names="raw")
        assert len(data) == catalog.find(name).images == n

    def test_the_plan_s_record_and_state(self, labelled):
        name = f"webdataset:{labelled}"
        found, state = catalog.find(name), catalog.data_state(name)
        assert found.kind == "webdataset" and (found.images, found.classes) == (12, 3)
        assert found.what == "12 images in 11 shards, 3 classes (ant, grey wolf, tree frog)"
        key = load_dataset(name).images_key
        shard(labelled / "test/4.tar", member(4, "2"))
        assert catalog.data_state(name) != state
        assert load_dataset(name).images_key != key

    def test_a_picture_with_a_dot_in_its_name_is_counted(self, tmp_path):
        members = [*member(0, "0"), ("photo.2021.jpg", b"JPEG"), ("photo.2021.cls", b"0")]
        shard(tmp_path / "0.tar", members)
        data = load_dataset(f"webdataset:{tmp_path}", class_names="raw")
        assert len(data) == 1 and data.left_out == {".2021.jpg": 1}

    def test_a_subset(self, labelled):
        data = load_dataset(f"webdataset:{labelled}")
        part = data.subset(data.labels == 1)
        assert part.labels.tolist() == [1] * 4 and part.images_key != data.images_key
        assert np.array_equal(part[3][0], data[10][0])

    def test_numbers_alone_are_no_class_names(self, labelled, tmp_path):
        (labelled / "classnames.txt").unlink()
        name = f"webdataset:{labelled}"
        with pytest.raises(ValueError, match="the classes have numbers only; put classnames.txt"):
            load_dataset(name)
        assert load_dataset(name, class_names="raw").classes == ["0", "1", "2"]
        (tmp_path / "mine.txt").write_text("a\nb\nc\n")
        own = load_dataset(name, class_names=str(tmp_path / "mine.txt"))
        assert own.classes == ["a", "b", "c"]

    @pytest.mark.parametrize("start", [0, 1])
    def test_names_after_their_numbers(self, labelled, start):
        names = [f"{start + i}\t{name}\n" for i, name in enumerate(["ant", "grey wolf", "frog"])]
        (labelled / "classnames.txt").write_text("".join(reversed(names)))
        assert load_dataset(f"webdataset:{labelled}").classes == ["ant", "grey wolf", "frog"]
        (labelled / "classnames.txt").write_text("1\n2\n5\n")  # of coins
        assert load_dataset(f"webdataset:{labelled}").classes == ["1", "2", "5"]

    def test_two_classes_of_one_name(self, labelled):
        (labelled / "classnames.txt").write_text("ant\nant\nwolf\n")
        with pytest.raises(ValueError, match="the classes '0' and '1' are both called 'ant'"):
            load_dataset(f"webdataset:{labelled}")

    def test_a_blank_line_among_the_names(self, labelled):
        (labelled / "classnames.txt").write_text("ant\n\nwolf\n\n")
        with pytest.raises(ValueError, match="line 2: expected the name of class 1, got a blank"):
            load_dataset(f"webdataset:{labelled}")

    def test_a_class_without_a_name(self, labelled):
        (labelled / "classnames.txt").write_text("ant\nwolf\n")
        with pytest.raises(ValueError, match="class 2 has no name; there are 2 class names"):
            load_dataset(f"webdataset:{labelled}")

    def test_pictures_of_kinds_that_are_not_read_are_counted(self, tmp_path):
        members = [*member(0, "0"), ("s1.gif", b"GIF"), ("s1.cls", b"0"), ("._s2.png", b"")]
        shard(tmp_path / "a.tar", [*members, ("meta.json", b"{}")])
        data = load_dataset(f"webdataset:{tmp_path}", class_names="raw")
        assert len(data) == 1 and data.left_out == {".gif": 1}
        assert "left out: 1 .gif" in catalog.find(f"webdataset:{tmp_path}").what

    def test_broken_pictures_can_be_skipped(self, tmp_path):
        shard(tmp_path / "a.tar", [*member(0, "0"), ("b.jpg", b"<html>"), ("b.cls", b"0")])
        data = load_dataset(f"webdataset:{tmp_path}", class_names="raw", unreadable="skip")
        assert data.skipped == ("a.tar/b.jpg",) and len(data) == 1


class TestPairs:
    def test_pictures_and_captions(self, tmp_path):
        for i in range(2):
            shard(
                tmp_path / f"{i:05d}.tar",
                [
                    (f"{i}0.jpg", picture(i, "JPEG")),
                    (f"{i}0.json", b'{"url": "x"}'),
                    (f"{i}0.txt", f"une légende {i}, brève".encode()),
                ],
            )
        name = f"webdataset:{tmp_path}/{{00000..00001}}.tar"
        pairs = load_pairs(name)
        assert pairs.captions == ["une légende 0, brève", "une légende 1, brève"]
        assert pairs.rewrites == [[], []] and pairs[1][0].size == (12, 9)
        assert load_pairs(name, n_pairs=1).captions == pairs.captions[:1]
        assert catalog.pairs_source(name).what == "2 pairs in 2 shards"
        assert left_out([pairs]) == []
        with pytest.raises(ValueError, match="rewrites go with a CSV of pairs"):
            load_pairs(name, rewrites=["x.txt"])

    @pytest.fixture
    def several(self, tmp_path):
        """Pictures of several captions each, one a line, as CLIP_benchmark lays them out."""
        texts = ["a dog\r\n\n a\u2028puppy \n", "a boat\na sail\na ship", " \n"]
        members = [member(i, text, "txt") for i, text in enumerate(texts)]
        shard(tmp_path / "0.tar", sum(members, []))
        return f"webdataset:{tmp_path}"

    def test_a_caption_a_line(self, several):
        pairs = load_pairs(several)
        assert pairs.captions == ["a dog", "a puppy", "a boat", "a sail", "a ship", ""]
        assert [name[-5] for name in pairs.image_names] == list("001112")
        assert np.array_equal(pairs[4][0], Image.open(io.BytesIO(picture(1))))
        assert owners_of(pairs)[0].tolist() == [0, 0, 1, 1, 1, 2]
        assert catalog.pairs_source(several).what == "6 pairs in 1 shards"

    def test_swapped_captions_have_a_line_a_pair(self, several, tmp_path):
        pairs, path = load_pairs(several), tmp_path / "swapped/pairs.txt"
        known = dict(captions=pairs.captions, images=pairs.image_names)
        write_swaps(path, [1.0], ["random"], **known)
        assert sorted(read_captions(swap_path(path, "random", 1.0))) == sorted(pairs.captions)

    def test_retrieval_finds_any_of_a_picture_s_captions(self, several):
        found = retrieve({"model": load_model("scenes_clip")}, load_pairs(several), [])
        assert (found.images, found.captions) == (3, 6)


class TestRefused:
    @pytest.mark.parametrize("name", ["/etc/x.png", "../x.png", "a/../../x.png"])
    def test_members_that_lead_outside(self, tmp_path, name):
        path = shard(tmp_path / "a.tar", [(name, picture(0))])
        with pytest.raises(ValueError, match="leads outside the archive"):
            webdataset.list_shard(path)

    def test_links_are_counted_and_never_followed(self, tmp_path):
        outside, twice = tarfile.TarInfo("s1.png"), tarfile.TarInfo("s2.png")
        outside.type, outside.linkname = tarfile.SYMTYPE, "/etc/passwd"
        twice.type, twice.linkname = tarfile.LNKTYPE, "s0000.png"
        members = [*member(0, "0"), (outside, b""), (twice, b""), ("s2.cls", b"0")]
        shard(tmp_path / "a.tar", members)
        data = load_dataset(f"webdataset:{tmp_path}", class_names="raw")
        assert len(data) == 1 and data.left_out == {"linked": 2}
        assert "left out: 2 linked" in catalog.find(f"webdataset:{tmp_path}").what

    def test_a_link_beside_a_picture_is_no_picture(self, tmp_path):
        other, same = tarfile.TarInfo("s0000.jpg"), tarfile.TarInfo("s0000.png")
        for link in (other, same):
            link.type, link.linkname = tarfile.SYMTYPE, "elsewhere"
        shard(tmp_path / "a.tar", [(other, b""), *member(0, "0"), (same, b"")])
        data = load_dataset(f"webdataset:{tmp_path}", class_names="raw")
        assert len(data) == 1 and not data.left_out

    def test_devices_are_no_files_of_a_sample(self, tmp_path):
        pipe = tarfile.TarInfo("s2.png")
        pipe.type = tarfile.FIFOTYPE
        path = shard(tmp_path / "a.tar", [*member(0, "0"), (pipe, b"")])
        assert list(webdataset.list_shard(path)) == ["s0000"]

    def test_cut_off(self, tmp_path):
        path = shard(tmp_path / "a.tar", [*member(0, "0"), *member(1, "1")])
        whole = path.read_bytes()
        with tarfile.open(path) as archive:
            starts = [member.offset for member in archive]
        for stop in [*starts[1:], starts[-2] + 700, len(whole) - 10_240]:
            path.write_bytes(whole[:stop])
            with pytest.raises(ValueError, match="a.tar is (cut off|not a whole)"):
                webdataset.list_shard(path)

    @pytest.mark.parametrize("content", [b"", b"<html>" * 1000])
    def test_no_archive(self, tmp_path, content):
        (tmp_path / "a.tar").write_bytes(content)
        with pytest.raises(ValueError, match="a.tar is (cut off|not a whole, uncompressed tar)"):
            load_dataset(f"webdataset:{tmp_path}")

    def test_compressed(self, tmp_path):
        shard(tmp_path / "a.tar", member(0, "0"), "w:gz")
        with pytest.raises(ValueError, match="a.tar is not a whole, uncompressed tar archive"):
            load_dataset(f"webdataset:{tmp_path}")

    @pytest.mark.parametrize(
        "members, message",
        [
            ([("a.png", b"")], "the sample a has no file .cls"),
            ([("a.png", b""), ("a.jpg", b""), ("a.cls", b"0")], "the sample a holds 2 pictures"),
            ([("a.png", b""), ("a.png", b""), ("a.cls", b"0")], "holds a.png twice"),
            ([("a.png", b""), ("a.cls", b"cat")], "expected a class number in .cls, .*, got 'cat'"),
            (
                [("a.png", b""), ("a.cls", b"\xff\xfe")],
                "a.cls is in UTF-16; expected text in UTF-8",
            ),
            ([("a.png", b""), ("a.cls", b"0" * 70_000)], "a.cls is too long for a text"),
            ([("a.txt", b"0")], "no samples with a picture"),
        ],
    )
    def test_samples(self, tmp_path, members, message):
        shard(tmp_path / "a.tar", members)
        with pytest.raises(ValueError, match=message):
            load_dataset(f"webdataset:{tmp_path}", class_names="raw")

    @pytest.mark.parametrize("path", ["none", "none.tar", "a{0..2}.tar", "pipe:cat x", ""])
    def test_what_is_not_there(self, tmp_path, path):
        shard(tmp_path / "a0.tar", member(0, "0"))
        (tmp_path / "empty").mkdir()
        name = f"webdataset:{tmp_path / 'empty' / path}"
        assert catalog.find(name).missing == catalog.data_state(name)
        with pytest.raises(FileNotFoundError):
            load_dataset(name)


def test_a_shard_is_listed_once(tmp_path, monkeypatch):
    monkeypatch.setattr(filecache, "UNSETTLED", -10)
    shard(tmp_path / "a.tar", member(0, "0"))
    first = load_dataset(f"webdataset:{tmp_path}", class_names="raw")
    monkeypatch.setattr(webdataset, "list_shard", None)
    again = load_dataset(f"webdataset:{tmp_path}", class_names="raw")
    assert again.images.names == first.images.names
    assert again[0][0].tobytes() == first[0][0].tobytes()
