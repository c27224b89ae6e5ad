"""Figures: what the data say is what is drawn, with axes and a caption."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from featpurity.report import figures

SYMMETRIC = np.array([[0, 0.5, -0.2], [0.5, 0, 0.1], [-0.2, 0.1, 0]])


def curves():
    rows = []
    for dataset in ("pets", "cars"):
        for strategy, height in [("high_purity", 0.5), ("low_purity", 0.2), ("random", 0.3)]:
            rows += [
                dict(
                    model="m",
                    dataset=dataset,
                    strategy=strategy,
                    kept=k,
                    accuracy=height * k / 4,
                    accuracy_low=0.1,
                    accuracy_high=0.4,
                )
                for k in range(1, 5)
            ]
        rows.append(dict(model="m", dataset=dataset, strategy="full", kept=4, accuracy=0.6))
    return pd.DataFrame(rows)


def drawn():
    table = pd.DataFrame(
        dict(
            model=["a", "b"],
            dataset="pets",
            accuracy=[0.2, 0.4],
            accuracy_low=[0.1, 0.3],
            accuracy_high=[0.3, 0.6],
            silhouette=[0, 0.1],
            silhouette_low=-1,
            silhouette_high=1,
        )
    )
    effects = pd.DataFrame(
        dict(name=["x", "y"], effect=[0.1, -0.2], low=[0.0, -0.4], high=[0.3, -0.1])
    )
    seeds = pd.DataFrame(
        dict(ratio=[0, 0, 0.5, 0.5], kind="random", cos=[0.1, 0.2, 0.3, 0.5], acc=[1, 1, 0.5, 0.7])
    )
    points = pd.DataFrame(
        dict(
            name=list("abcd"),
            tower=["image", "image", "text", "text"],
            data=["basic", "clip"] * 2,
            group=["small", "large"] * 2,
            cos=[1, 2, 1.1, 0.9],
            acc=[0.2, 0.4] * 2,
        )
    )
    points["acc_low"], points["acc_high"] = points.acc - 0.1, points.acc + 0.2
    return {
        "heatmaps": figures.cosine_heatmaps({"one": SYMMETRIC, "two": -SYMMETRIC}, "Cosines."),
        "histogram": figures.cosine_histogram(
            {"one": SYMMETRIC}, {"one": 64}, "Histogram.", bins=4
        ),
        "bars": figures.bars_with_intervals(
            table, {"accuracy": "accuracy", "silhouette": "silhouette"}, "Bars."
        ),
        "counts": figures.counts(
            pd.DataFrame(dict(why=["a", "b"], n=[3, 1])), "why", "n", "links", "Counts."
        ),
        "effects": figures.effects_with_intervals(
            effects, "name", "difference of accuracies", "Effects."
        ),
        "curves": figures.pruning_curves(curves(), "accuracy", "accuracy", "Curves."),
        "lines": figures.lines_with_bands(
            seeds, "ratio", {"cos": "average |cos|", "acc": "accuracy"}, "kind", "ratio", "Lines."
        ),
        "points": figures.scatter_panels(
            points, "cos", "acc", "data", "group", "tower", ("|cos|", "accuracy"), "Points."
        ),
    }


@pytest.mark.parametrize("name", drawn())
def test_every_figure_has_axes_and_a_caption_and_no_fixed_width(name):
    figure = drawn()[name]
    assert figure.layout.meta["caption"].endswith(".") and figure.layout.width is None
    titled = figure.layout.xaxis.title.text, figure.layout.yaxis.title.text
    assert all(titled) or name in (
        "counts",
        "effects",
        "lines",
    )  # rows named by labels, panels by their titles
    if name == "lines":
        assert [a.text for a in figure.layout.annotations] == ["average |cos|", "accuracy"]


def test_a_menu_shows_one_group_at_a_time():
    figure = drawn()["curves"]
    buttons = figure.layout.updatemenus[0].buttons
    assert [button.label for button in buttons] == ["pets, m", "cars, m"]
    shown = [button.args[0]["visible"] for button in buttons]
    assert [sum(s) for s in shown] == [5, 5] and not any(a and b for a, b in zip(*shown))
    assert [trace.visible for trace in figure.data] == list(shown[0])


def test_curves_draw_the_table():
    figure = drawn()["curves"]
    high = next(trace for trace in figure.data if trace.name.startswith("high purity"))
    assert list(high.y) == pytest.approx([0.125, 0.25, 0.375, 0.5])
    full = next(trace for trace in figure.data if trace.name == "full")
    assert list(full.y) == [0.6, 0.6]


def test_counts_are_drawn_in_the_table_s_order():
    bar, axis = drawn()["counts"].data[0], drawn()["counts"].layout.yaxis
    assert list(bar.y) == ["a", "b"] and list(bar.x) == [3, 1] and axis.autorange == "reversed"


def test_heatmaps_share_one_symmetric_scale():
    figure = drawn()["heatmaps"]
    assert {(trace.zmin, trace.zmax) for trace in figure.data} == {
        (-figure.data[0].zmax, figure.data[0].zmax)
    }
    assert np.allclose(figure.data[1].z, -SYMMETRIC)


def test_error_bars_reach_the_interval():
    bar = drawn()["bars"].data[1]
    assert bar.y[0] + bar.error_y.array[0] == pytest.approx(0.6) and bar.y[
        0
    ] - bar.error_y.arrayminus[0] == pytest.approx(0.3)


def test_points_take_colour_and_symbol_from_the_table_and_the_legend_names_each_once():
    figure = drawn()["points"]
    points, legend = figure.data[:4], figure.data[4:]
    shown = [(trace.x[0], trace.y[0], trace.text[0], trace.xaxis, trace.name) for trace in points]
    assert shown == [
        (1, 0.2, "a", "x", "basic"),
        (2, 0.4, "b", "x", "clip"),
        (1.1, 0.2, "c", "x2", "basic"),
        (0.9, 0.4, "d", "x2", "clip"),
    ]
    assert points[1].error_y.array[0] == pytest.approx(0.2) and points[1].error_y.arrayminus[
        0
    ] == pytest.approx(0.1)
    assert points[0].marker.color == points[2].marker.color != points[1].marker.color
    assert [trace.marker.symbol for trace in legend] == [
        points[0].marker.symbol[0],
        points[1].marker.symbol[0],
    ]
    shown = [trace.name for trace in figure.data if trace.showlegend is not False]
    assert shown == ["basic", "clip", "small", "large"]


def test_a_grid_shows_every_picture():
    figure = figures.image_grid(
        [Image.new("RGB", (8, 8))] * 5, list("abcde"), "Pictures.", columns=4
    )
    assert len(figure.data) == 5 and [a.text for a in figure.layout.annotations] == list("abcde")
