"""Tables of results: headings, digits, folding, and cells that stay text."""

import numpy as np
import pandas as pd
import pytest
from bs4 import BeautifulSoup
from PIL import Image

from featpurity.report import tables

FRAME = pd.DataFrame(
    {
        "model": ["one", "two"],
        "images": [5000, 10],
        "effect": [0.123456, np.nan],
        "verdict": ["holds, negligible", "does not hold"],
    }
)


def cells(table):
    rows = BeautifulSoup(table._repr_html_(), "html.parser").find_all("tr")
    return [[cell.get_text() for cell in row.find_all(["th", "td"])] for row in rows]


def test_columns_are_named_ordered_and_rounded():
    shown = tables.show(
        FRAME, {"effect": "effect (points)", "images": "pictures"}, {"effect": "+.2f"}
    )
    assert cells(shown) == [["effect (points)", "pictures"], ["+0.12", "5,000"], ["", "10"]]
    assert shown.frame.effect[0] == 0.123456


def test_a_verdict_carries_a_mark_beside_its_words():
    assert [row[-1] for row in cells(tables.show(FRAME))[1:]] == [
        "✔ holds, negligible",
        "✘ does not hold",
    ]


def test_cells_and_headings_are_text():
    word = '<img src=x onerror="alert(1)">&lt;'
    shown = tables.show(pd.DataFrame({word: [word * 9]}))
    assert "<img" not in shown._repr_html_()
    assert cells(shown) == [[word], [word * 9]]  # whole, however long


def test_a_picture_in_a_cell_is_small_and_its_words_are_text():
    word = '"><script>alert(1)</script>'
    wide = tables.Picture(Image.new("RGB", (4000, 1000), "red"), word)
    shown = tables.show(pd.DataFrame({"picture": [wide, None], "colour": ["<b>red", "none"]}))
    soup = BeautifulSoup(shown._repr_html_(), "html.parser")
    (picture,) = soup.find_all("img")
    assert (picture["alt"], picture["width"], picture["height"]) == (word, "96", "24")
    assert cells(shown)[1:] == [["", "<b>red"], ["", "none"]] and not soup.find("script")
    assert word in repr(shown)


def test_a_long_table_is_folded():
    long = pd.DataFrame({"row": range(13)})
    assert "<summary>Table of 13 rows</summary>" in tables.show(long)._repr_html_()
    assert "<details>" not in tables.show(long[:12])._repr_html_()
    assert 'class="dataframe cards"' in tables.show(long, cards=True)._repr_html_()


@pytest.mark.parametrize("wrong", [{"headings": {"acuracy": "x"}}, {"digits": {"acuracy": 2}}])
def test_a_column_that_is_not_there_is_named(wrong):
    with pytest.raises(ValueError, match="no column is called 'acuracy'; the table has .*effect"):
        tables.show(FRAME, **wrong)
