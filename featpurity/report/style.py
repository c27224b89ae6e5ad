"""How every figure looks: colours that mean the same thing everywhere, captions, menus and sliders.

Colours are Okabe and Ito's, which colour-blind readers tell apart; lines also differ in their
dashes. Ordered quantities, as the misalignment ratio, take their colours from a sequential scale.
"""

from collections.abc import Iterable, Mapping
from itertools import cycle
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import plotly.io
from plotly.colors import sample_colorscale

from featpurity.profile import SCENES
from featpurity.report import display

display.offline()

BLUE, ORANGE, GREEN, PURPLE = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
GREY, SKY, AMBER, YELLOW = "#7F7F7F", "#56B4E9", "#E69F00", "#F0E442"
BLACK, FAINT = "#000000", "rgba(127,127,127,0.2)"
PALETTE = (BLUE, ORANGE, GREEN, PURPLE, SKY, AMBER, YELLOW, GREY)
DASHES = ("solid", "dash", "dot", "dashdot")
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "x")

# What has a colour of its own, in every figure: models, captions, kinds of swap, verdicts, and what
# data sets of generated pictures ask for.
COLOURS = {
    "CLIP": BLUE,
    "LaCLIP": ORANGE,
    "raw": BLUE,  # what CLIP reads
    "recaptioned": ORANGE,  # and LaCLIP
    "rewritten": ORANGE,
    "filtered": GREEN,
    "best possible": PURPLE,
    "swaps by similarity": SKY,
    "random swaps": AMBER,
    "no caption swapped": GREY,
    "holds": GREEN,
    "does not hold": ORANGE,
    "within chance": BLACK,
    "undecided": GREY,
    "shape": GREEN,
    "colour": ORANGE,
    "background": BLUE,
    "texture": SKY,
    "size": PURPLE,
    "position": AMBER,
}
# As their colours, those of what data sets of generated pictures ask for.
SYMBOLS_OF = dict(zip(SCENES, SYMBOLS))
OWN_COLOURS = {  # of classes that are named by their colour
    "red": "#D62728",
    "green": "#2CA02C",
    "blue": "#1F5FD0",
    "yellow": "#F2D600",
    "orange": "#FF8C1A",
    "purple": "#7B3FB5",
    "pink": "#FF8CC8",
    "brown": "#78461C",
    "cyan": "#00BFD1",
    "white": "#FFFFFF",
    "grey": "#8C8C8C",
    "black": "#000000",
}
STRATEGIES = {  # the name, with the paper's, the colour and the dash of a choice of neurons
    "high_purity": ("high purity (Min Sparse)", GREEN, "solid"),
    "low_purity": ("low purity (Max Sparse)", PURPLE, "dash"),
    "random": ("random, mean", GREY, "dot"),
}
# In a notebook as in the book, what has no colour of its own takes one of the palette's.
TEMPLATE = "featpurity"
plotly.io.templates[TEMPLATE] = go.layout.Template(plotly.io.templates["plotly_white"]).update(
    layout_colorway=PALETTE,
    layout_xaxis_exponentformat="power",  # never "-800µ"
    layout_yaxis_exponentformat="power",
)
CHANCE_LINE = {"color": BLACK, "width": 1, "dash": "dot"}


def colours_of(names: Iterable, ordered: bool = False) -> dict[Any, str]:
    """A colour for each of several names: dict of name to colour.

    Parameters
    ----------
    names : list of str
        A name that `COLOURS` knows, or that has one between its commas ("CLIP, image tower"), has
        the same colour in every figure.
    ordered : bool, default False
        Whether the names are steps of one quantity; their colours then go from dark to light.
    """
    names = list(dict.fromkeys(names))
    if ordered:
        # Neither end is lost on a dark page or on a white one.
        shares = [0.3 + 0.55 * i / max(1, len(names) - 1) for i in range(len(names))]
        return dict(zip(names, sample_colorscale("Viridis", shares)))
    known = {name: next(_known_colours(name), None) for name in names}
    free = cycle(colour for colour in PALETTE if colour not in known.values())
    return {name: colour or next(free) for name, colour in known.items()}


def _known_colours(name):
    return (COLOURS[part] for part in str(name).split(", ") if part in COLOURS)


def symbols_of(names: Iterable) -> dict[Any, str]:
    """A symbol for each of several names: dict of name to symbol; as in `colours_of`, some have
    their own in every figure.
    """
    names = list(dict.fromkeys(names))
    known = {name: SYMBOLS_OF.get(name) for name in names}
    free = cycle([symbol for symbol in SYMBOLS if symbol not in known.values()] or SYMBOLS)
    return {name: symbol or next(free) for name, symbol in known.items()}


def finish(figure: go.Figure, caption: str, height: int = 440, **layout: Any) -> go.Figure:
    """Give a figure its template, height, margins and caption; what its axes name stays a name."""
    name_categories(figure)
    figure.update_layout(
        template=TEMPLATE,
        height=height,
        meta={"caption": caption},
        margin={"l": 60, "r": 20, "t": 70, "b": 55},
        **layout,
    )
    return figure


def grid(count: int, most: int) -> tuple[int, int, list[dict[str, int]]]:
    """Rows and columns of panels, `most` side by side at most, and plotly's place of each panel."""
    columns = min(most, count)
    places = [{"row": i // columns + 1, "col": i % columns + 1} for i in range(count)]
    return places[-1]["row"], columns, places


def band(x: pd.Series, low: pd.Series, high: pd.Series, **look: Any) -> go.Scatter:
    """The area between two lines over x; options as in plotly's `Scatter`."""
    return go.Scatter(
        x=np.r_[x, x[::-1]],
        y=np.r_[high, low[::-1]],
        mode="lines",
        fill="toself",
        line={"width": 0},
        hoverinfo="skip",
        **look,
    )


def name_categories(figure: go.Figure) -> None:
    """Make axes that stand for names say so: plotly takes names like "2024-01-01" for dates."""
    for trace in figure.data:
        for letter in "xy":
            values = trace[letter] if letter in trace else None
            if values is not None and any(isinstance(value, str) for value in values):
                axis = trace[f"{letter}axis"] or letter  # "y" or "y2"
                figure.layout[f"{letter}axis{axis[1:]}"].type = "category"


def name_once(figure: go.Figure, traces: Iterable[int] | None = None) -> None:
    """Let the legend name what several panels share once, among all traces or those of an entry of
    a menu.
    """
    seen = {None}  # a heatmap without a name has no place in it
    for trace in figure.data if traces is None else map(figure.data.__getitem__, traces):
        if trace.showlegend is not False:
            trace.showlegend = trace.name not in seen
            seen.add(trace.name)


def menu(
    figure: go.Figure,
    groups: Mapping[str, set[int]],
    layouts: Mapping[str, dict[str, Any]] | None = None,
    name: str = "Show",
) -> None:
    """A dropdown that shows one group of traces at a time.

    Parameters
    ----------
    figure : plotly figure
    groups : dict of str to set of int
        The label of each entry and the indices of its traces; the first is shown at first.
    layouts : dict of str to dict, optional
        What each entry changes in the layout, as plotly's `update` has it: `yaxis.title.text`, say.
    name : str
        What stands before the menu.
    """
    buttons = _updates(views(figure, groups, layouts or {}, next(iter(groups))))
    if len(groups) > 1:
        place = {"x": 0, "xanchor": "left", "y": 1.22, "yanchor": "top"}
        figure.update_layout(updatemenus=[{"buttons": buttons, "name": name, **place}])


def one_of(
    drawn: Mapping[str, go.Figure], name: str, layouts: Mapping[str, dict[str, Any]] | None = None
) -> go.Figure:
    """Figures of the same panels as one, in which a menu chooses whose traces are shown; name and
    layouts as in `menu`.
    """
    figure, groups = go.Figure(layout=next(iter(drawn.values())).layout), {}
    for label, other in drawn.items():
        before = len(figure.data)
        figure.add_traces(other.data)
        groups[label] = set(range(before, len(figure.data)))
    menu(figure, groups, layouts, name)
    return figure


def views(
    figure: go.Figure,
    groups: Mapping[str, set[int]],
    layouts: Mapping[str, dict[str, Any]],
    first: str,
) -> dict[str, list[dict]]:
    """Show one group of traces with its layout; the arguments of plotly's `update` that show each.

    Parameters
    ----------
    figure, groups, layouts
        As in `menu`.
    first : str
        The group that is shown.
    """
    for index, trace in enumerate(figure.data):
        trace.visible = index in groups[first]
    for key, value in layouts.get(first, {}).items():
        place, _, last = key.rpartition(".")
        figure.layout[place][last] = value
    return {
        label: [{"visible": [i in shown for i in range(len(figure.data))]}, layouts.get(label, {})]
        for label, shown in groups.items()
    }


def _updates(entries):
    """The entries of a menu or slider, each from its label and the arguments of `update`."""
    return [
        {"label": label, "method": "update", "args": list(arguments)}
        for label, arguments in entries.items()
    ]


def slider(figure: go.Figure, steps: Mapping[str, Iterable], title: str, active: int = 0) -> None:
    """A slider below the figure; steps: {label: arguments of plotly's `update`}."""
    figure.update_layout(
        sliders=[
            {
                "steps": _updates(steps),
                "active": active,
                "currentvalue": {"prefix": f"{title}: "},
                "pad": {"t": 45},
            }
        ]
    )
