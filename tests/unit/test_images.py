"""Pictures as they decode: greys kept, hostile files refused in a line, rows chosen in every usual way."""

import io
import os
import struct
import threading
import zipfile
import zlib

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from featpurity import load_dataset
from featpurity.data import images as images_module
from featpurity.data.images import ImageArrays, ImageFiles, ImageZip, decode, rows_of, subset

RAMP = np.linspace(0, 65535, 256 * 16).reshape(16, 256)


def encoded(picture, kind, **options):
    file = io.BytesIO()
    picture.save(file, kind, **options)
    file.seek(0)
    return file


def png_of_16_bits(values, colour):
    """A PNG with the same values in every channel, and an opaque one where its colour type has alpha."""
    channels = {0: 1, 2: 3, 4: 2, 6: 4}[colour]
    samples = np.repeat(values[..., None], channels, axis=2)
    if colour in (4, 6):
        samples[..., -1] = 65535
    height, width = values.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in samples)
    header = struct.pack(">IIBBBBB", width, height, 16, colour, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    body = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )
    return io.BytesIO(b"\x89PNG\r\n\x1a\n" + body)


def greys(file):
    return np.asarray(decode(file)).astype(float)


class TestGreys:
    @pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM"])
    def test_of_16_bits_keep_their_scale(self, kind):
        file = encoded(Image.fromarray(RAMP.astype(np.uint16)), kind)
        assert np.abs(greys(file) - (RAMP / 257)[..., None]).max() <= 0.51

    def test_of_floating_point_from_0_to_1(self):
        file = encoded(Image.fromarray((RAMP / 65535).astype(np.float32)), "TIFF")
        assert np.abs(greys(file) - (RAMP / 257)[..., None]).max() <= 0.51

    def test_where_0_is_white(self):
        picture = Image.fromarray(RAMP.astype(np.uint16))
        file = encoded(picture, "TIFF", tiffinfo={262: 0})
        assert np.abs(greys(file) - (255 - RAMP / 257)[..., None]).max() <= 0.51

    @pytest.mark.parametrize("values", [[0, 255], [-1, 1], [0, np.nan]])
    def test_of_another_range_are_refused(self, values):
        file = encoded(Image.fromarray(np.array([values], dtype=np.float32)), "TIFF")
        with pytest.raises(ValueError, match="expected 0 for black to 1 for white"):
            decode(file)

    def test_of_32_bits_are_refused(self):
        file = encoded(Image.fromarray(RAMP.astype(np.int32)), "TIFF")
        with pytest.raises(ValueError, match="whole numbers of 32 bits; save it with 8 or 16"):
            decode(file)

    @pytest.mark.parametrize(
        "colour", [0, 2, 4, 6]
    )  # PNG's grey, RGB, grey and alpha, RGB and alpha
    @pytest.mark.parametrize("bits", [10, 12, 14])
    def test_of_fewer_bits_in_16_are_refused(self, colour, bits):
        with pytest.raises(ValueError, match="nearly black; save it with 8 bits"):
            decode(png_of_16_bits(RAMP // 2 ** (16 - bits), colour))
        black = greys(png_of_16_bits(0 * RAMP, colour))
        assert not black.any() and greys(png_of_16_bits(RAMP, colour)).max() == 255

    @pytest.mark.parametrize("tags", [{}, {262: 0}])  # 0 is black, 0 is white
    def test_of_fewer_bits_in_a_tiff_are_refused(self, tags):
        file = encoded(Image.fromarray((RAMP // 16).astype(np.uint16)), "TIFF", tiffinfo=tags)
        with pytest.raises(ValueError, match="end at 6.2% of white"):
            decode(file)

    def test_of_a_pgm_are_scaled_by_its_own_white(self):
        values = (RAMP // 16).astype(">u2")
        said = io.BytesIO(b"P5 256 16 4095\n" + values.tobytes())
        assert np.abs(greys(said) - (RAMP / 257)[..., None]).max() <= 0.6
        dark = io.BytesIO(b"P5 256 16 65535\n" + values.tobytes())
        with pytest.raises(ValueError, match="nearly black"):
            decode(dark)

    def test_of_fewer_bits_in_16_are_found_before_anything_runs(self, tmp_path):
        for name, values in {"dark": RAMP // 16, "spread": RAMP}.items():
            (tmp_path / f"{name}.png").write_bytes(png_of_16_bits(values, 0).read())
        broken = ImageFiles(tmp_path, ["dark.png", "spread.png"]).unreadable()
        assert list(broken) == ["dark.png"]

    def test_of_8_bits_are_pillow_s(self):
        picture = Image.fromarray((RAMP / 257).astype(np.uint8))
        assert np.array_equal(greys(encoded(picture, "PNG"))[..., 0], np.asarray(picture))


def test_an_orientation_in_the_exif_data_is_not_applied():
    exif = Image.Exif()
    exif[274] = 6  # turned by 90 degrees
    file = encoded(Image.new("RGB", (40, 20)), "JPEG", exif=exif)
    assert decode(file).size == (40, 20)


class TestHostileFiles:
    def test_a_pipe_does_not_hang(self, tmp_path):
        (tmp_path / "ant").mkdir()
        Image.new("RGB", (4, 4)).save(tmp_path / "ant/0.png")
        os.mkfifo(tmp_path / "ant/1.png")
        (tmp_path / "ant/2.png").symlink_to("/dev/zero")
        data = load_dataset(f"folder:{tmp_path}")
        broken = data.images.unreadable()
        assert broken == dict.fromkeys(["ant/1.png", "ant/2.png"], "ValueError: not a regular file")
        with pytest.raises(ValueError, match="1.png is not a readable image: .*not a regular file"):
            data[1]
        assert len(data.images_key) == 64

    def test_postscript_under_another_name(self, tmp_path):
        (tmp_path / "ant").mkdir()
        Image.new("RGB", (4, 4)).save(tmp_path / "ant/0.eps")
        (tmp_path / "ant/0.eps").rename(tmp_path / "ant/0.png")
        broken = load_dataset(f"folder:{tmp_path}").images.unreadable()
        assert "no picture of a kind that is read (JPEG, PNG," in broken["ant/0.png"]

    def test_too_many_pixels(self):
        bomb = encoded(Image.new("1", (20_000, 20_000)), "PNG")
        with pytest.raises(Image.DecompressionBombError):
            decode(bomb)

    def test_large_ones_are_checked_one_at_a_time(self, monkeypatch):
        monkeypatch.setattr(images_module, "LARGE", 4)
        held = threading.Lock()
        monkeypatch.setattr(images_module, "_one_large_at_a_time", held)
        monkeypatch.setattr(images_module, "rgb", lambda picture: held.locked())
        assert decode(encoded(Image.new("RGB", (3, 3)), "PNG"), checking=True)
        assert not decode(encoded(Image.new("RGB", (2, 2)), "PNG"), checking=True)
        assert not decode(encoded(Image.new("RGB", (3, 3)), "PNG"))

    def test_a_large_member_is_refused_unread(self, tmp_path, monkeypatch):
        monkeypatch.setattr(images_module, "LARGEST_FILE", 1000)
        with zipfile.ZipFile(tmp_path / "p.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("ant/1.png", bytes(100_000))
        faults = ImageZip(tmp_path / "p.zip", ["ant/1.png"]).unreadable()
        assert "it unpacks to 0 MB; expected at most 0 MB" in faults["ant/1.png"]

    def test_a_header_that_lies_does_not_unpack_all(self, tmp_path):
        path = tmp_path / "p.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("ant/1.png", bytes(5_000_000))
        size = (5_000_000).to_bytes(4, "little")
        path.write_bytes(path.read_bytes().replace(size, (10).to_bytes(4, "little")))
        (fault,) = ImageZip(path, ["ant/1.png"]).unreadable().values()
        assert "\n" not in fault

    def test_what_cannot_become_rgb_is_found_before_it_is_used(self, tmp_path):
        Image.new("F", (4, 4), 7.0).save(tmp_path / "1.tiff")
        assert "1.tiff" in ImageFiles(tmp_path, ["1.tiff"]).unreadable()

    def test_truncated_members_and_files_are_named_in_a_line(self, tmp_path):
        whole = encoded(Image.fromarray(RAMP.astype(np.uint8)), "JPEG").read()
        (tmp_path / "1.jpg").write_bytes(whole[: len(whole) // 2])
        with zipfile.ZipFile(tmp_path / "p.zip", "w") as archive:
            archive.writestr("1.jpg", whole[: len(whole) // 2])
        for images in [ImageFiles(tmp_path, ["1.jpg"]), ImageZip(tmp_path / "p.zip", ["1.jpg"])]:
            (fault,) = images.unreadable().values()
            assert "truncated" in fault and "\n" not in fault


class TestRows:
    @pytest.mark.parametrize(
        "chosen",
        [
            [False, True, False, True],
            np.array([False, True, False, True]),
            torch.tensor([False, True, False, True]),
            pd.Series([False, True, False, True]),
            [1, 3],
            (1, -1),
            np.array([1, 3], dtype=np.uint8),
            torch.tensor([1, 3]),
            range(1, 4, 2),
            slice(1, None, 2),
            pd.Index([1, 3]),
        ],
    )
    def test_of_every_kind(self, chosen):
        assert rows_of(chosen, 4) == [1, 3]

    @pytest.mark.parametrize(
        "chosen, message",
        [
            ([True, False], "a mask of 4 values, one an image, got 2"),
            ([4], "row 4 is out of range: there are 4 images"),
            ([0, -5], "row -5 is out of range"),
            ([0.0, 1.0], "expected a list of rows or a mask of 4 values, got float64"),
            (torch.ones(4, 1, dtype=torch.bool), r"got bool of shape \(4, 1\)"),
            (["0", "1"], "got <U1"),
            (2, r"of shape \(\)"),
        ],
    )
    def test_that_are_none(self, chosen, message):
        with pytest.raises(ValueError, match=message):
            rows_of(chosen, 4)

    def test_of_a_data_set(self):
        data = load_dataset("scenes_shape")
        mask = torch.zeros(len(data), dtype=torch.bool)
        mask[10:13] = True
        part = data.subset(mask)
        assert part.labels.tolist() == data.labels[10:13].tolist() and len(part) == 3
        assert part[2][0].tobytes() == data[12][0].tobytes()
        assert part.images_key == data.subset([10, 11, 12]).images_key != data.images_key
        assert len(data.subset([])) == 0

    def test_twice_the_same(self):
        images = ImageArrays(np.arange(5 * 3, dtype=np.uint8).reshape(5, 1, 1, 3))
        part = subset(subset(images, [4, 2, 0]), [0, 0, 2])
        assert [image.getpixel((0, 0))[0] for image in part] == [12, 12, 0]


def test_a_picture_of_another_process_is_read_from_its_own_archive(tmp_path):
    import pickle

    with zipfile.ZipFile(tmp_path / "p.zip", "w") as archive:
        archive.writestr("1.png", encoded(Image.new("RGB", (2, 2), "red"), "PNG").read())
    images = ImageZip(tmp_path / "p.zip", ["1.png"])
    assert images[0].getpixel((0, 0)) == (255, 0, 0)
    assert pickle.loads(pickle.dumps(images))[0].getpixel((0, 0)) == (255, 0, 0)
