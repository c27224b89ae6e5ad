"""Accuracy and silhouette against the number of kept neurons."""

from collections.abc import Mapping, Sequence
from itertools import cycle

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from featpurity.report import beside, heatmaps, style, wording
from featpurity.report.published import READ_AT, WINDOW, published_curves

OPENS_AT = 0.3  # share of the neurons; at the paper's the choices of neurons hardly differ
ACCURACY = "accuracy (share of images)"  # an axis
DIGITS = 6  # of a share of images; more would only make a page with many models heavier


def pruning_curves(curves: pd.DataFrame, measure: str, axis: str, caption: str) -> go.Figure:
    """One model and data set at a time, with a menu; pointing at a number reads all lines.

    Parameters
    ----------
    curves : DataFrame
        Columns model, dataset, strategy (high_purity, low_purity, random, full), kept, `measure`,
        and for random the band `measure`_low and `measure`_high.
    measure : str
        Column to draw.
    axis : str
        What the vertical axis says, with its unit.
    caption : str
    """
    figure, groups = go.Figure(), {}
    for (model, dataset), part in curves.groupby(["model", "dataset"], sort=False):
        first = len(figure.data)
        figure.add_traces(list(_lines(part, measure)))
        groups[f"{dataset}, {model}"] = set(range(first, len(figure.data)))
    style.menu(figure, groups, name="Data set and model")
    figure.update_xaxes(title="neurons kept")
    figure.update_yaxes(title=axis)
    return style.finish(figure, caption, hovermode="x unified")


def small_multiples(curves: pd.DataFrame, caption: str) -> go.Figure:
    """The accuracy on all data sets of a model side by side, with a menu of the models.

    The panels share both scales; parameters as in `pruning_curves`.
    """
    datasets = list(curves.dataset.unique())
    rows, columns, places = style.grid(len(datasets), 3)
    figure = make_subplots(
        rows,
        columns,
        subplot_titles=datasets,
        shared_xaxes="all",
        shared_yaxes="all",
        vertical_spacing=0.35 / max(rows, 2),
        horizontal_spacing=0.04,
    )
    groups = {}
    for (model, dataset), part in curves.groupby(["model", "dataset"], sort=False):
        for line in _lines(part, "accuracy"):
            line.legendgroup, line.showlegend = line.name, dataset == datasets[0]
            groups.setdefault(model, set()).add(len(figure.data))
            figure.add_trace(line, **places[datasets.index(dataset)])
    style.menu(figure, groups, name="Model")
    figure.update_xaxes(title="neurons kept", row=rows)
    figure.update_yaxes(title=ACCURACY, row=(rows + 1) // 2, col=1)
    style.finish(figure, caption, height=170 + 190 * rows)
    return figure.update_layout(margin_t=110)


def at_each_number(
    curves: pd.DataFrame,
    caption: str,
    towers: Mapping[str, heatmaps.Tower],
    pairs: Sequence[tuple[str, str]] = (),
    steps: int = 32,
) -> go.Figure:
    """What all curves of accuracy say at one number of kept neurons, and which neurons these are.

    A slider goes over the numbers. Above, a panel a model, a row a data set; below, the cosines of
    a tower's neurons, whose margin marks those that are kept.

    Parameters
    ----------
    curves : DataFrame
        As in `pruning_curves`.
    caption : str
    towers : dict of str to Tower
        One of each model.
    pairs : list of (str, str)
        Models that stand beside one another; a menu chooses one of many, see
        `featpurity.report.beside`.
    steps : int, default 32
        About so many numbers of neurons; the one where the paper reads its figures is among them.
    """
    columns = beside.Columns(curves.model.unique(), pairs, rows=["{}", "{}, neurons kept"])
    datasets = list(curves.dataset.unique())
    lines, shares = curves[curves.strategy != "full"], _shares(steps)
    first = min(shares, key=lambda share: abs(share - OPENS_AT))
    dots = 60 + 36 * len(datasets)  # pixels of the upper panels
    figure = columns.figure(
        row_heights=[dots, MATRIX],
        vertical_spacing=100 / (dots + MATRIX + 100),
        horizontal_spacing=0.06,
    )
    moved = {share: [] for share in shares}  # x of each trace that the slider moves
    for model, column in columns.each(figure):
        above = _dots(lines[lines.model == model], datasets, shares)
        for row, traces in enumerate([above, _margin(towers[model], shares)], 1):
            for trace, x_at in traces:
                trace.showlegend = (row, column) == (1, 1)
                figure.add_trace(trace.update(x=x_at[first]), row=row, col=column)
                for share, x in x_at.items():
                    moved[share].append(x)
    places = list(range(len(figure.data)))
    steps_of = {_share_kept(share, curves): ({"x": x}, {}, places) for share, x in moved.items()}
    style.slider(figure, steps_of, "Neurons kept", active=shares.index(first))
    for model, column in columns.each(figure):
        order = towers[model].orders[heatmaps.BY_SIMILARITY]
        figure.add_trace(
            heatmaps.matrix(towers[model], order, heatmaps.FEW_CELLS), row=2, col=column
        )
    columns.menu(figure)
    heatmaps.square(figure, row=2)
    limit = heatmaps.colour_limit([tower.cosines for tower in towers.values()])
    bar = {"len": 0.5, "y": 0, "yanchor": "bottom"}  # beside the matrices
    figure.update_layout(coloraxis=heatmaps.colour_scale(limit), coloraxis_colorbar=bar)
    low, high = lines.accuracy.min(), lines.accuracy.max()
    room = 0.04 * (high - low)
    figure.update_xaxes(title=ACCURACY, range=[low - room, high + room], row=1)
    whole = [len(datasets) - 0.5, -0.5]
    figure.update_yaxes(range=whole, automargin=True, showticklabels=False, row=1)
    figure.update_yaxes(showticklabels=True, row=1, col=1)
    return style.finish(figure, caption, height=240 + dots + MATRIX)


MATRIX = 300  # pixels of a matrix's side
_SYMBOLS = {"high_purity": "circle", "low_purity": "diamond", "random": "line-ns-open"}


def _shares(steps):
    """Shares of the neurons from 1 / steps to 1, with the paper's in the place of the nearest."""
    even = np.linspace(0, 1, steps + 1)[1:]
    return sorted([*even[abs(even - READ_AT) > 0.5 / steps], READ_AT])


def _dots(part, datasets, shares):
    """One model's value on each data set: a trace a strategy, and its x at each share."""
    for strategy, symbol in _SYMBOLS.items():
        wide = part[part.strategy == strategy].pivot(
            index="kept", columns="dataset", values="accuracy"
        )[datasets]
        d = part.kept.max()
        nearest = {share: abs(wide.index - _count(share, d)).argmin() for share in shares}
        x_at = {share: wide.iloc[row].round(DIGITS).tolist() for share, row in nearest.items()}
        yield _marks(strategy, datasets, {"size": 10, "symbol": symbol}), x_at


def _margin(tower, shares):
    """Marks above a matrix's kept neurons: a trace a strategy, and its x at each share.

    A cell without one has None for its place.
    """
    d = len(tower.scores)
    blocks = heatmaps.blocks_of(tower.orders[heatmaps.BY_SIMILARITY], heatmaps.FEW_CELLS)
    places = {"high_purity": tower.ranks, "low_purity": d + 1 - tower.ranks}
    for line, (strategy, place_of) in enumerate(places.items(), 1):
        first = [place_of[block].min() for block in blocks]
        x_at = {
            share: [cell if place <= _count(share, d) else None for cell, place in enumerate(first)]
            for share in shares
        }
        above = [-1 - 0.04 * line * len(blocks)] * len(blocks)
        marks = _marks(strategy, above, {"size": 7, "symbol": "line-ns-open"})
        yield marks.update(hoverinfo="skip"), x_at  # places, no values to read


def _marks(strategy, y, marker):
    """Marks in the colour of a strategy."""
    name, colour, _ = style.STRATEGIES[strategy]
    marker = marker | {"color": colour}
    return go.Scatter(y=y, mode="markers", name=name, legendgroup=name, marker=marker)


def _count(share, d):
    """How many of d neurons a share is, at least one."""
    return max(1, round(share * d))


def _share_kept(share, curves):
    counts = sorted({_count(share, d) for d in curves.groupby("model").kept.max()})
    return f"{wording.percent(share)} ({' or '.join(map(str, counts))})"


def gaps(curves: pd.DataFrame, caption: str, pairs: Sequence[tuple[str, str]] = ()) -> go.Figure:
    """Accuracy of high minus low purity against the share of neurons kept.

    In points. Thin lines are the data sets, the thick one is their mean, the dotted one the
    paper's.

    Parameters
    ----------
    curves : DataFrame
        As in `pruning_curves`.
    caption : str
    pairs : list of (str, str)
        As in `at_each_number`.
    """
    columns = beside.Columns(curves.model.unique(), pairs)
    figure = columns.figure(shared_yaxes=True)
    datasets = curves.dataset.unique()
    colours, dashes = style.colours_of(datasets), dict(zip(datasets, cycle(style.DASHES)))
    theirs = published_curves()
    theirs = theirs[theirs.measure == "accuracy"]
    theirs = _high_minus_low(theirs, "share_kept", "value").mean(axis=1)
    dotted = {"color": style.BLACK, "width": 2, "dash": "dot"}
    for model, column in columns.each(figure):
        part, place = curves[curves.model == model], {"row": 1, "col": column}
        wide = _high_minus_low(part, "kept", "accuracy")
        x = wide.index / part.kept.max()
        for dataset in wide:
            thin = {"color": colours[dataset], "dash": dashes[dataset], "width": 1.5}
            _add_gap(figure, x, wide[dataset], dataset, thin, place)
        ours = {"color": style.BLACK, "width": 3}
        _add_gap(figure, x, wide.mean(axis=1), "mean", ours, place)
        _add_gap(figure, theirs.index, theirs, "the paper's mean", dotted, place)
    columns.menu(figure)
    figure.add_hline(y=0, line={"color": style.GREY, "dash": "dash", "width": 1})
    figure.add_vrect(*WINDOW, fillcolor=style.FAINT, line_width=0, layer="below")
    figure.update_xaxes(title="share of neurons kept", tickformat=".0%")
    figure.update_yaxes(title=wording.DIFFERENCE, col=1)
    return style.finish(figure, caption, height=420)


def _high_minus_low(curves, kept, value):
    """In points: a column a data set, a row a number of kept neurons."""
    wide = curves.pivot(index=kept, columns=["strategy", "dataset"], values=value)
    return 100 * (wide["high_purity"] - wide["low_purity"]).dropna(how="all")


def _add_gap(figure, x, y, name, line, place):
    figure.add_scatter(
        x=list(x),
        y=list(y.round(DIGITS)),
        name=name,
        legendgroup=name,
        mode="lines",
        line=line,
        hovertemplate=f"{name}<br>%{{x:.0%}} kept: %{{y:+.1f}}<extra></extra>",
        **place,
    )


def _lines(part, measure):
    """The band and the lines of one model and data set."""
    # Single precision, which a page holds in half the bytes.
    numbers = [measure, f"{measure}_low", f"{measure}_high"]
    part = part.astype(dict.fromkeys(numbers, np.float32))
    band = part[part.strategy == "random"].sort_values("kept")
    yield style.band(
        band.kept,
        band[f"{measure}_low"],
        band[f"{measure}_high"],
        fillcolor=style.FAINT,
        name="random, 95 % of the draws",
    )
    for strategy, (name, colour, dash) in style.STRATEGIES.items():
        line = part[part.strategy == strategy].sort_values("kept")
        yield go.Scatter(
            x=line.kept,
            y=line[measure],
            name=name,
            mode="lines",
            line={"color": colour, "dash": dash},
            hoverlabel={"namelength": -1},
            hovertemplate="%{y:.3f}",
        )
    full = round(float(part.loc[part.strategy == "full", measure].item()), DIGITS)
    yield go.Scatter(
        x=[1, part.kept.max()],
        y=[full, full],
        name="full",
        mode="lines",
        line={"color": style.BLACK, "width": 1, "dash": "longdash"},
        hovertemplate="%{y:.3f}",
    )
