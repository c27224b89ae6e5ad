"""Figures: what the data say is what is drawn, with axes and a caption."""

import base64
import io

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
from PIL import Image

from featpurity.report import beside, curves, figures, heatmaps, style
from featpurity.report.chapters import misalignment, what_cos_measures
from featpurity.report.chapters.what_cos_measures import ORDERS

SYMMETRIC = np.array([[0, 0.5, -0.2], [0.5, 0, 0.1], [-0.2, 0.1, 0]])


def pruned():
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


def towers(sign):
    """Both towers of a model of three neurons."""
    scores = np.array([0.3, 0.1, 0.2])
    return {name: heatmaps.Tower(sign * SYMMETRIC, scores, 64) for name in ("image", "text")}


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
        "heatmaps": heatmaps.side_by_side({"one": towers(1), "two": towers(-1)}, "Cosines."),
        "ratios": heatmaps.over_ratios(
            {("random", 0.0): towers(1), ("random", 0.5): towers(-1)}, "Over ratios."
        ),
        "multiples": curves.small_multiples(pruned(), "Multiples."),
        "numbers": curves.at_each_number(pruned(), "Numbers.", {"m": towers(1)["image"]}, steps=4),
        "gaps": curves.gaps(pruned(), "Gaps."),
        "histogram": heatmaps.cosine_histogram({"one": towers(1)["image"]}, "Histogram."),
        "bars": figures.bars_with_intervals(
            {measure: (table, measure) for measure in ("accuracy", "silhouette")}, "Bars."
        ),
        "counts": figures.counts(
            pd.DataFrame(dict(why=["a", "b"], n=[3, 1])), "why", "n", "links", "Counts."
        ),
        "effects": figures.forest(
            effects.assign(axis="difference of accuracies"), "name", "axis", "Effects."
        ),
        "curves": curves.pruning_curves(pruned(), "accuracy", "accuracy", "Curves."),
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
        "multiples",
        "numbers",
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


def test_heatmaps_share_one_symmetric_scale_and_are_ordered_as_the_menu_says():
    figure = drawn()["heatmaps"]
    assert figure.layout.coloraxis.cmin == -figure.layout.coloraxis.cmax < 0
    buttons = {button.label: button.args for button in figure.layout.updatemenus[0].buttons}
    shown, labels = buttons["text tower, purest first"]
    chosen = [trace for trace, is_shown in zip(figure.data, shown["visible"]) if is_shown]
    by_purity = SYMMETRIC[np.ix_([1, 2, 0], [1, 2, 0])]
    assert np.allclose(chosen[0].z, by_purity) and np.allclose(chosen[1].z, -by_purity)
    assert [text.split(",")[0] for text in labels["xaxis2.ticktext"]] == [
        "neuron 1",
        "neuron 2",
        "neuron 0",
    ]
    assert labels["annotations[1].text"].startswith("two<br>average |cos| 0.178")


def test_neurons_that_point_the_same_way_stand_together():
    direction = np.array([1, -1, 1, -1, -1, 1.0])
    cosines = 0.5 * np.outer(direction, direction)
    signs = direction[heatmaps.angular_order(cosines - np.diag(np.diag(cosines)))]
    assert (np.diff(signs) != 0).sum() == 1


def test_large_matrices_are_averaged_over_blocks():
    tower = heatmaps.Tower(np.arange(16.0).reshape(4, 4), np.arange(4.0), 64)
    assert np.allclose(heatmaps.cells(tower, np.arange(4), 2), [[2.5, 4.5], [10.5, 12.5]])
    assert heatmaps.cell_names(tower, np.arange(4), 2) == ["neurons 0, 1", "neurons 2, 3"]


def test_a_slider_shows_one_ratio_at_a_time():
    figure = drawn()["ratios"]
    steps = figure.layout.sliders[0].steps
    assert [step.label for step in steps] == ["0", "0.5"]
    assert [list(step.args[0]["visible"]) for step in steps] == [
        [True, False, True, False],
        [False, True, False, True],
    ]
    assert [trace.visible for trace in figure.data] == [False, True, False, True]


def test_the_slider_over_kept_neurons_reads_every_curve():
    figure = drawn()["numbers"]
    steps = {step.label: step.args[0]["x"] for step in figure.layout.sliders[0].steps}
    assert list(steps) == ["25 % (1)", "50 % (2)", "75 % (3)", "88 % (4)"]
    assert figure.layout.sliders[0].active == 0  # where the choices of neurons differ
    assert list(figure.data[0].x) == list(steps["25 % (1)"][0])
    high, low, random, *margin = steps["50 % (2)"]
    assert (list(high), list(low)) == ([0.25, 0.25], [0.1, 0.1])
    order = towers(1)["image"].orders[heatmaps.BY_SIMILARITY].tolist()
    kept = [{order[cell] for cell in marks if cell is not None} for marks in margin]
    assert kept == [{1, 2}, {0, 2}]  # two of three neurons, of scores 0.3, 0.1, 0.2


@pytest.mark.parametrize("name", ["2024-01-01", "20%", "7"])
def test_names_that_look_like_something_else_stay_names(name):
    sets = pruned().replace({"pets": name})
    rows = pd.DataFrame(dict(name=[name], effect=[0.1], low=[0.0], high=[0.2], axis="unit", n=1))
    areas = pd.DataFrame(dict(model=["a", "b"], order=next(iter(ORDERS)), area=0.2, reversed=0.1))
    tower = towers(1)["image"]
    named = [
        figures.forest(rows, "name", "axis", "Forest."),
        figures.counts(rows, "name", "n", "links", "Counts."),
        curves.at_each_number(sets, "Numbers.", {"m": tower}, steps=4),
        what_cos_measures.orders(areas),
    ]
    assert [figure.layout.yaxis.type for figure in named] == ["category"] * 4
    assert named[-1].layout.yaxis2.type == "category" and named[2].layout.yaxis2.type is None
    assert {figure.layout.xaxis.type for figure in named} == {None}
    bars = drawn()["bars"]
    assert bars.layout.xaxis.type == "category" and bars.layout.yaxis.type is None


def test_what_has_no_name_stays_out_of_the_legend():
    nameless = [trace for trace in drawn()["numbers"].data if trace.name is None]
    assert [trace.type for trace in nameless] == ["heatmap"] and not nameless[0].showlegend


def test_a_forest_may_have_one_row():
    row = dict(name=["x"], effect=[0.1], low=[0.0], high=[0.2])
    figure = figures.forest(pd.DataFrame(row).assign(axis="unit"), "name", "axis", "One row.")
    assert list(figure.layout.yaxis.range) == [0.5, -0.5]


def test_each_tower_s_cosines_stand_beside_its_own_chance():
    names = ["CLIP, image tower", "CLIP, text tower"]
    panels = {name: name.removeprefix("CLIP, ") for name in names}
    both = (heatmaps.Tower(SYMMETRIC, np.arange(3.0), width) for width in (64, 32))
    figure = heatmaps.cosine_histogram(dict(zip(names, both)), "Two.", panels=panels)
    lines = [(trace.name, trace.xaxis, trace.showlegend) for trace in figure.data]
    assert lines == [
        ("CLIP", "x", True),
        ("chance, width 64", "x", True),
        ("CLIP", "x2", False),
        ("chance, width 32", "x2", True),
    ]


def test_gaps_are_high_minus_low():
    mean = next(trace for trace in drawn()["gaps"].data if trace.name == "mean")
    assert list(mean.y) == pytest.approx([7.5, 15, 22.5, 30])  # points
    assert list(mean.x) == [0.25, 0.5, 0.75, 1]


def test_the_same_thing_has_the_same_colour_and_steps_have_a_scale():
    assert (
        style.colours_of(["x", "CLIP"])["CLIP"] == style.colours_of(["CLIP, image"])["CLIP, image"]
    )
    steps = style.colours_of([0.0, 0.1, 0.3, 0.5, 0.8], ordered=True)
    assert len(set(steps.values())) == 5 and all(c.startswith("rgb") for c in steps.values())


def test_a_data_set_has_the_same_symbol_whatever_stands_beside_it():
    assert style.symbols_of(["texture", "size"]) == {"texture": "triangle-up", "size": "cross"}
    assert style.symbols_of(["other", "shape", "more"]) == {
        "other": "square",
        "shape": "circle",
        "more": "diamond",
    }
    many = style.symbols_of([*style.SYMBOLS_OF, "another"])
    assert many["another"] in style.SYMBOLS and len(set(style.SYMBOLS_OF.values())) == 6


def levels_by_panel(figure):
    """The names of the dotted lines of a figure, by the title of their panel."""
    panels = {axis.plotly_name.removeprefix("yaxis"): [] for axis in figure.select_yaxes()}
    for trace in figure.data:
        if trace.line == go.scatter.Line(style.CHANCE_LINE):
            panels[(trace.yaxis or "y").removeprefix("y")].append(trace.name)
    titles = [note.text for note in figure.layout.annotations]
    return dict(zip(titles, panels.values()))


def test_every_panel_of_cosines_has_a_level_by_its_own_name():
    columns = [*what_cos_measures.SHAPE, "z", "image_avg_abs_cos", "text_avg_abs_cos"]
    columns += ["image_without_shared", "image_shared", "accuracy", "silhouette", "expected"]
    about = [dict(kind="random", tower="image", ratio=ratio, seed=0) for ratio in (0.0, 0.8)]
    table = pd.DataFrame(about).assign(**dict.fromkeys(columns, 0.1), epoch=[0, 1])
    table["rotations"] = 20
    chance = {"image": 0.05, "text": 0.06}
    for figure in (
        what_cos_measures.over_ratios(table, chance),
        what_cos_measures.over_time(table, chance),
        misalignment.against_ratio(table, chance),
    ):
        levels = levels_by_panel(figure)
        assert all(set(names) == {"chance"} for title, names in levels.items() if "|cos|" in title)
    levels = levels_by_panel(what_cos_measures.bases_over_ratios(table))
    assert levels == {f"z, {tower} tower": ["95 % of rotations"] * 2 for tower in chance}


def test_lines_of_one_step_share_a_shade_and_differ_in_dashes():
    table = pd.DataFrame(
        [
            dict(epoch=epoch, ratio=ratio, who=f"{tower}, {ratio}", cos=0.1)
            for epoch in range(2)
            for ratio in (0.0, 0.8)
            for tower in ("image", "text")
        ]
    )
    figure = figures.lines_with_bands(
        table, "epoch", {"cos": "|cos|"}, "who", "epoch", "Shades.", shade="ratio"
    )
    lines = {trace.name: trace.line for trace in figure.data if trace.line.dash}
    dark, light = style.colours_of([0.0, 0.8], ordered=True).values()
    assert {name: line.color for name, line in lines.items()} == {
        "image, 0.0": dark,
        "text, 0.0": dark,
        "image, 0.8": light,
        "text, 0.8": light,
    }
    assert [line.dash for line in lines.values()] == ["solid", "dash"] * 2


def test_a_forest_has_a_panel_for_each_quantity_and_the_paper_s_value_beside_ours():
    table = pd.DataFrame(
        dict(
            claim=["a", "b", "c"],
            effect=[0.1, 0.2, -3.0],
            low=[0.0, 0.1, -4.0],
            high=[0.2, 0.3, -2.0],
            unit=["share", "share", "points"],
        )
    )
    theirs = pd.DataFrame([dict(claim="a", unit="share", value=0.4, name="table 1")])
    figure = figures.forest(table, "claim", "unit", "Forest.", theirs=theirs)
    titles = figure.layout.xaxis.title.text, figure.layout.xaxis2.title.text
    assert titles == ("share", "points")
    diamonds = [trace for trace in figure.data if trace.name == "the paper's"]
    assert len(diamonds) == 1 and diamonds[0].x[0] == 0.4


def test_a_bar_of_no_height_has_its_0_written():
    table = pd.DataFrame(dict(model="m", dataset=["a", "b"], wrong=[0.0, 0.1]))
    table = table.assign(wrong_low=table.wrong, wrong_high=table.wrong + 0.01)
    (bars,) = figures.bars_with_intervals({"share": (table, "wrong")}, "Bars.").data
    assert list(bars.textposition) == ["outside", "none"] and bars.texttemplate[0] == "0"


def test_error_bars_reach_the_interval():
    bar = drawn()["bars"].data[1]
    assert bar.y[0] + bar.error_y.array[0] == pytest.approx(0.6) and bar.y[
        0
    ] - bar.error_y.arrayminus[0] == pytest.approx(0.3)


def test_points_take_colour_and_symbol_from_the_table_and_the_legend_names_each_once():
    figure = drawn()["points"]
    points = [trace for trace in figure.data if trace.text]
    legend = [trace for trace in figure.data if trace not in points]
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


def test_a_picture_in_a_figure_is_a_thumbnail():
    figure = figures.image_grid([Image.new("RGB", (4000, 3000))], ["a"], "One picture.")
    data = base64.b64decode(figure.data[0].source.partition(",")[2])
    assert Image.open(io.BytesIO(data)).size == (96, 72)


def test_many_models_stand_side_by_side_in_pairs():
    models = {name: towers(sign) for name, sign in zip("abcdef", [1, -1] * 3)}
    pairs = [("a", "d"), ("b", "e")]
    assert beside.groups("abc") == {"": ["a", "b", "c"]}
    assert list(beside.groups(list(models), pairs)) == ["a and d", "b and e", "c and f"]
    figure = heatmaps.side_by_side(models, "Cosines.", pairs)
    (menu,) = figure.layout.updatemenus
    views = len(menu.buttons) // 3
    second = menu.buttons[views]
    assert second.label.startswith("b and e, ") and len(figure.data) == 2 * len(menu.buttons)
    assert [i for i, shown in enumerate(second.args[0]["visible"]) if shown] == [
        2 * views,
        2 * views + 1,
    ]
    assert second.args[1]["annotations[1].text"].startswith("e<br>")
    assert [trace.visible for trace in figure.data].count(True) == 2


def test_groups_that_share_a_row_have_lines_of_their_own():
    rows = [(name, dataset, 0.1, 0.0, 0.2, "accuracy") for name in "ab" for dataset in "xy"]
    table = pd.DataFrame(rows, columns=["model", "dataset", "effect", "low", "high", "axis"])
    table.loc[0, ["least", "most"]] = -0.1, 0.3
    several = figures.forest(table, "dataset", "axis", "Effects.", group="model")
    band, *points = several.data
    assert several.layout.scattermode == "group"
    assert {trace.orientation for trace in points} == {"h"}
    assert len({trace.offsetgroup for trace in points}) == 2
    assert band.offsetgroup == points[0].offsetgroup == "a"  # behind the points of its group
    for alone in (table[table.model == "a"], table.assign(dataset=table.dataset + table.model)):
        single = figures.forest(alone, "dataset", "axis", "Effects.", group="model")
        assert single.layout.scattermode is None
    assert figures.forest(table, "dataset", "axis", "Effects.").layout.scattermode is None


def test_a_mean_over_seeds_is_read_with_its_names_and_rounded():
    line = next(trace for trace in drawn()["lines"].data if trace.customdata is not None)
    assert line.customdata.tolist() == [[0.1, 0.2], [0.3, 0.5]]
    assert line.hovertemplate.startswith("random<br>") and "%{y:.3g}" in line.hovertemplate


def test_a_measure_that_a_group_does_not_have_is_not_drawn():
    table = pd.DataFrame(dict(x=[0, 1] * 2, who=["a", "a", "b", "b"], y=[1, 2, np.nan, np.nan]))
    figure = figures.lines_with_bands(table, "x", {"y": "y"}, "who", "x", "Lines.")
    assert {trace.name for trace in figure.data} == {"a"}


def test_own_and_expected_share_a_panel_and_dashes_mean_nothing_else():
    columns = [*what_cos_measures.SHAPE, "expected"]
    about = [
        dict(kind=kind, tower=tower, ratio=ratio, seed=0)
        for kind in ("similarity", "random")
        for tower in ("image", "text")
        for ratio in (0.0, 0.8)
    ]
    runs = pd.DataFrame(about).assign(**dict.fromkeys(columns, 0.1))
    figure = what_cos_measures.over_ratios(runs, {"image": 0.05, "text": 0.06})
    first = [t for t in figure.data if t.xaxis == "x" and t.line.dash and t.name != "chance"]
    looks = {trace.name: (trace.line.color, trace.line.dash) for trace in first}
    sky, amber = (style.COLOURS[name] for name in ("swaps by similarity", "random swaps"))
    assert looks == {
        "swaps by similarity": (sky, "solid"),
        "random swaps": (amber, "solid"),
        "swaps by similarity, expected": (sky, "dash"),
        "random swaps, expected": (amber, "dash"),
    }
    assert [axis.matches for axis in figure.select_yaxes()] == ["y"] * 4 + [None] * 4


def test_the_menu_of_pairs_renames_the_panels_and_shows_theirs_alone():
    rows = [
        (model, "pets", strategy, kept, kept / 10)
        for model in "abcd"
        for strategy in ("high_purity", "low_purity", "random", "full")
        for kept in (1, 2, 3)
    ]
    table = pd.DataFrame(rows, columns=["model", "dataset", "strategy", "kept", "accuracy"])
    image_towers = {name: towers(1)["image"] for name in "abcd"}
    pairs = [("a", "c"), ("b", "d")]
    points = pd.DataFrame(dict(model=list("abcd"), name="neuron", x=1.0, y=2.0, kind=[*"uvuv"]))
    points = points, "x", "y", "kind", "name", "model", ("x", "y"), "Points."
    for figure in (
        curves.at_each_number(table, "Read.", image_towers, pairs),
        curves.gaps(table, "Gaps.", pairs),
        figures.scatter_panels(*points, pairs),
    ):
        shown, renamed = figure.layout.updatemenus[0].buttons[1].args
        assert renamed["annotations[0].text"] == "b" and renamed["annotations[1].text"] == "d"
        assert figure.layout.annotations[0].text == "a"
        at_first = [trace.visible for trace in figure.data]
        assert [not one for one in at_first] == shown["visible"]
