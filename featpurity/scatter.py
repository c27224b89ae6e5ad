"""Figures of one measure of models against another, with the look of `featpurity.plots` and its rules."""

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from .plots import GREY, PALETTE, _finish

SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "x")


def scatter_panels(table, x, y, colour, symbol, panel, axes, caption):
    """A point a model, a panel a tower, say; pointing at a point shows its name.

    Parameters
    ----------
    table : DataFrame
        One row a point: columns name, those that the next five arguments name, and `y`_low and `y`_high, where the
        point's bar ends.
    x, y : str
        Columns of the two measures. The panels share the scale of y.
    colour, symbol, panel : str
        Columns whose values get a colour, a symbol and a panel each, in the table's order. The legend names colours and
        symbols.
    axes : (str, str)
        What the horizontal and the vertical axis say, with their units.
    caption : str
    """
    titles, kinds, groups = (list(table[column].unique()) for column in (panel, colour, symbol))
    marks = dict(zip(groups, SYMBOLS * len(groups)))
    figure = make_subplots(cols=len(titles), subplot_titles=titles, horizontal_spacing=0.12)
    for (title, kind), part in table.groupby([panel, colour], sort=False):
        error = {"array": part[f"{y}_high"] - part[y], "arrayminus": part[y] - part[f"{y}_low"], "thickness": 1}
        marker = _marker(PALETTE[kinds.index(kind) % len(PALETTE)], part[symbol].map(marks))
        figure.add_scatter(x=part[x], y=part[y], error_y=error, text=part.name, name=kind, mode="markers", marker=marker,
                           legendgroup=kind, showlegend=title == titles[0], row=1, col=titles.index(title) + 1)
    for group, mark in marks.items():  # what the symbols mean, in the legend only
        figure.add_trace(go.Scatter(x=[None], y=[None], name=group, mode="markers", marker=_marker(GREY, mark)))
    figure.update_xaxes(title=axes[0]).update_yaxes(title=axes[1], matches="y")
    return _finish(figure, caption).update_layout(margin_t=95)  # room for a legend of two lines


def _marker(colour, symbol):
    return {"color": colour, "symbol": symbol, "size": 11, "line": {"color": GREY, "width": 1}}
