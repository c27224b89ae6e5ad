"""Figures for the pages: packed, freed of the look and the width, described in words."""

import base64
import json
import re
import zlib

import book_figures
import figure_words
import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
import sample_book
from plotly.subplots import make_subplots

from featpurity.report import figures, style
from featpurity.report.display import PLOTLY_MIME


def unpack(packed):
    """What the page's script does with a packed array."""
    planes = np.frombuffer(zlib.decompress(base64.b64decode(packed["packed"])), np.uint8).reshape(
        2, -1
    )
    values = np.ascontiguousarray(planes.T).view(">i2").ravel().astype(float)
    values = np.where(values == -32768, np.nan, packed["offset"] + packed["scale"] * values)
    if not packed["symmetric"]:
        return values.reshape(packed["shape"])
    matrix = np.zeros(packed["shape"])
    matrix[np.triu_indices(len(matrix))] = values
    return np.maximum(np.triu(matrix), np.triu(matrix).T) + np.minimum(
        np.triu(matrix, 1), np.triu(matrix, 1).T
    )


def script_json(script):
    """What the page reads out of a figure's file."""
    read = json.loads(re.fullmatch(r'featpurity\.figure\("[^"]*", (.*)\);\n', script, re.S)[1])
    deflated = read.get("deflated")
    return json.loads(zlib.decompress(base64.b64decode(deflated))) if deflated else read


@pytest.mark.parametrize(
    "array",
    [
        np.random.default_rng(0).normal(size=(70, 60)),
        np.random.default_rng(1).normal(size=5000),
        np.zeros((64, 64)),
        np.full((64, 64), 3.25),
        np.where(np.eye(64, dtype=bool), np.nan, 0.5),
        np.full(4096, np.nan),
    ],
    ids=["matrix", "line", "zeros", "constant", "nan-diagonal", "all-nan"],
)
def test_packing_keeps_values_within_half_a_step(array):
    packed = book_figures.pack(array)
    back = unpack(packed)
    assert back.shape == array.shape and np.array_equal(np.isnan(back), np.isnan(array))
    allowed = np.nanmax(array) - np.nanmin(array) if not np.isnan(array).all() else 0
    assert np.nanmax(np.abs(back - array), initial=0) <= allowed / (2 * book_figures.STEPS) + 1e-12
    assert (back[array == 0] == 0).all()


def test_symmetric_matrix_travels_as_its_triangle():
    cosines = sample_book.symmetric_matrix()
    packed = book_figures.pack(cosines)
    assert packed["symmetric"] and np.abs(unpack(packed) - cosines).max() < 8e-6
    nearly = cosines + np.tril(
        np.full_like(cosines, 1e-8)
    )  # what rounding in a matrix product leaves
    assert book_figures.pack(nearly)["symmetric"]
    assert not book_figures.pack(np.triu(cosines))["symmetric"]


def test_packing_refuses_infinity():
    with pytest.raises(ValueError, match=r"shape \(64, 64\).*finite"):
        book_figures.pack(np.full((64, 64), np.inf))


def test_six_matrices_of_512_weigh_less_than_3_megabytes_and_a_page_loads_one():
    figure = sample_book.shown(sample_book.heatmaps()).data[PLOTLY_MIME]
    scripts = book_figures.figure_scripts("six", figure)
    assert list(scripts) == [*(f"six-later{index}" for index in range(1, 6)), "six"]
    assert 1e6 < sum(map(len, scripts.values())) < 2.2e6 and len(scripts["six"]) < 4e5
    assert script_json(scripts["six"])["later"] == {
        str(index): f"six-later{index}" for index in range(1, 6)
    }
    last = unpack(script_json(scripts["six-later5"])["5"]["z"])
    assert np.abs(last - sample_book.symmetric_matrix(5)).max() < 8e-6


def test_long_values_of_many_hidden_curves_come_with_the_menu_s_entry():
    kept = np.arange(1, 513)
    lines = [go.Scatter(x=kept, y=np.log(kept) / (i + 1), name=str(i)) for i in range(40)]
    figure = go.Figure(lines)
    style.menu(figure, {f"model {i}": {2 * i, 2 * i + 1} for i in range(20)})
    scripts = book_figures.figure_scripts("f", json.loads(figure.to_json()))
    whole, third = (script_json(scripts[name]) for name in ("f", "f-later2"))
    assert len(scripts) == 20 and whole["later"]["4"] == whole["later"]["5"] == "f-later2"
    assert "y" in whole["data"][1] and "y" not in whole["data"][2]
    assert set(third) == {"4", "5"} and set(third["4"]) == {"x", "y"}
    figure.update_layout(sliders=[{"steps": []}])  # which may change any of them
    assert list(book_figures.figure_scripts("f", json.loads(figure.to_json()))) == ["f"]


def test_small_and_whole_number_arrays_stay_as_plotly_wrote_them():
    figure = go.Figure(
        [go.Scatter(y=np.linspace(0, 1, 100)), go.Heatmap(z=np.eye(80, dtype=np.int8))]
    )
    node = json.loads(figure.to_json())
    assert book_figures.pack_arrays(node) == node


@pytest.mark.parametrize("template", ["plotly_white", style.TEMPLATE])
def test_figure_script_leaves_the_look_and_the_width_to_the_page(template):
    figure = go.Figure(
        go.Scatter(y=[1, 2]), layout={"width": 900, "template": template, "height": 300}
    )
    assert figure.layout.template.layout.paper_bgcolor == "white"
    staged = script_json(book_figures.figure_scripts("f", json.loads(figure.to_json()))["f"])
    assert staged["layout"] == {"height": 300} and staged["frames"] == []
    own = go.Figure(layout={"template": {"layout": {"hovermode": "x"}}})
    assert script_json(book_figures.figure_scripts("f", json.loads(own.to_json()))["f"])["layout"][
        "template"
    ]


def as_json(figure):
    return json.loads(figure.to_json())


def test_a_figure_is_described_by_its_own_values():
    said = figure_words.describe(as_json(sample_book.curves()))
    assert "At first the figure shows 2 lines." in said
    assert "Horizontal axis: neurons kept. Vertical axis: accuracy." in said
    assert f"high: from 0 at 1 to {np.log(512) / 7:.3g} at 512." in said
    assert "A slider goes from 1 to 4." in said
    said = figure_words.describe(as_json(sample_book.bars()))
    assert "accuracy: lowest 0.25 (shape), highest 0.75" in said
    said = figure_words.describe(as_json(sample_book.heatmaps(2)))
    assert "one matrix in colour" in said and "model 0: 512 by 512 values from" in said
    assert "A menu chooses what is shown: model 0; model 1." in said
    assert "8 pictures" in figure_words.describe(as_json(sample_book.pictures()))
    said = figure_words.describe(as_json(sample_book.panels()))
    assert "mean, average |cos|: from 1.5 at 0 to 2.5 at 1." in said


def test_a_panel_is_called_by_the_title_above_it_else_by_its_own_axis():
    rows = pd.DataFrame({"row": ["a", "b"], "axis": ["accuracy", "silhouette"], "effect": 0.1})
    forest = figures.forest(rows.assign(low=0.0, high=0.2), "row", "axis", "Caption.")
    assert "accuracy: lowest 0.1 (a)" in figure_words.describe(as_json(forest))
    bare = make_subplots(cols=2)
    bare.add_scatter(y=[1, 2], row=1, col=2)
    assert "Values: from 1" in figure_words.describe(as_json(bare))
    bare.add_scatter(y=[3, 4], row=1, col=1)
    assert "panel 2: from 3" in figure_words.describe(as_json(bare))


def test_a_figures_own_description_comes_first():
    figure = sample_book.curves().update_layout(meta={"description": "Two rising lines."})
    assert figure_words.describe(as_json(figure)).startswith(
        "Two rising lines. At first the figure shows"
    )


def test_labels_are_escaped_on_the_way_to_the_page():
    bars = as_json(sample_book.bars())
    script = book_figures.figure_scripts("f", bars)["f"]
    assert "<img" not in script and "&lt;img" in script
    html = book_figures.figure_html("f", bars, "1.2")
    assert "<img" not in html and "&lt;b&gt;not&lt;/b&gt; a real model &amp; not" in html
    assert 'id="figure-1-2"' in html and "Figure 1.2." in html
