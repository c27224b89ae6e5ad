"""Small pictures: each once on a sheet, at the place that the sheet says."""

import base64
import io
import re

import pytest
from PIL import Image

from featpurity.report import thumbnails


class Greys:
    """Pictures that are as grey as their place says; wide ones."""

    def __init__(self):
        self.decoded = []

    def __getitem__(self, i):
        self.decoded.append(i)
        return Image.new("RGB", (40, 20), (i, i, i)), i % 2


def opened(address):
    return Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2])))


def test_a_sheet_holds_each_picture_once_where_it_says():
    pictures = Greys()
    made = thumbnails.Thumbnails(pictures, side=20).sheet([200, 7, 200, 100, 7])
    assert pictures.decoded == [7, 100, 200] and made.places == {7: 0, 100: 1, 200: 2}
    whole = opened(made.address)
    assert whole.size == (20 * thumbnails.COLUMNS, 20) and made.labels == [1, 0, 0]
    for picture, place in made.places.items():
        middle = whole.getpixel((20 * place + 10, 10))
        assert max(abs(part - picture) for part in middle[:3]) < 12
        assert min(whole.getpixel((20 * place + 10, 2))[:3]) > 225  # white above a wide picture


def test_a_sheet_s_name_follows_its_pictures():
    first, same, other = (thumbnails.Thumbnails(Greys()).sheet([i]) for i in (1, 1, 99))
    assert first.name == same.name != other.name
    html = first._repr_html_()
    assert f'id="{first.name}"' in html and 'data-rows="1"' in html and " hidden" in html


def test_a_strip_is_one_picture_in_the_order_asked_and_its_words_are_text():
    html = thumbnails.Thumbnails(Greys(), side=20).strip([250, 0], '"><script>')
    row = opened(re.search(r'src="([^"]+)"', html)[1])
    assert row.size == (40, 20) and "<script>" not in html
    assert row.getpixel((10, 10))[0] == pytest.approx(250, abs=12)
    assert row.getpixel((30, 10))[0] == pytest.approx(0, abs=12)
