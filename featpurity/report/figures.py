"""Figures: tables and arrays in, a plotly figure out. Nothing is computed from images or models, nothing saved.

Every figure has axes with units and a caption, kept in `figure.layout.meta["caption"]`, which the
book sets below it. Colours are Okabe and Ito's, which colour-blind readers tell apart; lines also
differ in their dashes.
"""

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from featpurity.report import display

display.offline()

BLUE, ORANGE, GREEN, PURPLE, GREY, SKY = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#7F7F7F",
    "#56B4E9",
)
PALETTE = (BLUE, ORANGE, GREEN, PURPLE, SKY, "#E69F00", "#F0E442", GREY)
STRATEGY_STYLE = {
    "high_purity": ("high purity (Min Sparse)", BLUE, "solid"),
    "low_purity": ("low purity (Max Sparse)", ORANGE, "dash"),
    "random": ("random, mean", GREY, "dot"),
}
DASHES = ("solid", "dash", "dot", "dashdot")


def _finish(figure, caption, height=440, **layout):
    figure.update_layout(
        template="plotly_white",
        height=height,
        meta={"caption": caption},
        margin={"l": 60, "r": 20, "t": 70, "b": 55},
        **layout,
    )
    return figure


def _menu(figure, groups, y_titles=False):
    """A dropdown that shows one group of traces at a time; groups: {label: indices of its traces}.

    With `y_titles` the label is also the title of the vertical axis.
    """
    count, first = len(figure.data), next(iter(groups))
    for index, trace in enumerate(figure.data):
        trace.visible = index in groups[first]
    buttons = [
        {
            "label": label,
            "method": "update",
            "args": [
                {"visible": [i in shown for i in range(count)]},
                {"yaxis.title.text": label} if y_titles else {},
            ],
        }
        for label, shown in groups.items()
    ]
    if y_titles:
        figure.update_yaxes(title=first)
    if len(groups) > 1:
        figure.update_layout(
            updatemenus=[
                {"buttons": buttons, "x": 0, "xanchor": "left", "y": 1.22, "yanchor": "top"}
            ]
        )


def cosine_heatmaps(matrices, caption):
    """The neurons' cosine matrices, one at a time with a menu.

    Parameters
    ----------
    matrices : dict of str to float array of shape (d, d)
        What each matrix shows (say, "scenes_clip, image tower") and its cosines, diagonal 0.
    caption : str
    """
    # One scale for all, wide enough for all but the most extreme 0.1 % of the pairs.
    limit = max(float(np.quantile(np.abs(np.asarray(m)), 0.999)) for m in matrices.values())
    figure = go.Figure(
        [
            go.Heatmap(
                z=np.asarray(matrix, dtype=np.float32),
                zmin=-limit,
                zmax=limit,
                colorscale="RdBu_r",
                name=label,
                colorbar={"title": "cosine"},
                hovertemplate="neurons %{x} and %{y}: %{z:.3f}<extra></extra>",
            )
            for label, matrix in matrices.items()
        ]
    )
    _menu(figure, {label: {index} for index, label in enumerate(matrices)})
    figure.update_xaxes(title="neuron", constrain="domain")
    figure.update_yaxes(title="neuron", autorange="reversed", scaleanchor="x", constrain="domain")
    return _finish(figure, caption, height=560)


def cosine_histogram(cosines, widths, caption, bins=81):
    """How the cosines between different neurons are distributed, with what random directions would give.

    Parameters
    ----------
    cosines : dict of str to float array of shape (d, d)
        Cosine matrices; each pair counts once.
    widths : dict of str to int
        Length of the weight vectors behind each matrix: random directions have cosines of standard
        deviation 1 / sqrt(width).
    caption : str
    """
    pairs = {label: np.asarray(m)[np.triu_indices(len(m), 1)] for label, m in cosines.items()}
    limit = max(float(np.quantile(np.abs(p), 0.9995)) for p in pairs.values())
    edges = np.linspace(-limit, limit, bins + 1)
    centres = (edges[1:] + edges[:-1]) / 2
    figure = go.Figure()
    for index, (label, values) in enumerate(pairs.items()):
        density, _ = np.histogram(values, edges, density=True)
        figure.add_scatter(
            x=centres,
            y=density,
            name=label,
            mode="lines",
            line={
                "color": PALETTE[index % len(PALETTE)],
                "dash": DASHES[index % 4],
                "shape": "hvh",
            },
        )
    for width in sorted(set(widths.values())):
        normal = np.sqrt(width / (2 * np.pi)) * np.exp(-width * centres**2 / 2)
        figure.add_scatter(
            x=centres,
            y=normal,
            name=f"chance, width {width}",
            mode="lines",
            line={"color": GREY, "width": 1, "dash": "dot"},
        )
    figure.update_xaxes(title="cosine between two neurons")
    figure.update_yaxes(title="density")
    return _finish(figure, caption)


def bars_with_intervals(table, measures, caption, x_title="data set"):
    """Bars by data set and model with 95 % intervals; a menu chooses the measure.

    Parameters
    ----------
    table : DataFrame
        Columns model, dataset and, for each measure m, m, m_low and m_high.
    measures : dict of str to str
        Column and what the axis says, e.g. {"accuracy": "zero-shot accuracy (share of images)"}.
    caption, x_title : str
    """
    figure, groups = go.Figure(), {title: set() for title in measures.values()}
    for measure, title in measures.items():
        for index, (model, part) in enumerate(table.groupby("model", sort=False)):
            groups[title].add(len(figure.data))
            error = {
                "type": "data",
                "array": part[f"{measure}_high"] - part[measure],
                "arrayminus": part[measure] - part[f"{measure}_low"],
                "thickness": 1,
            }
            figure.add_bar(
                x=part.dataset,
                y=part[measure],
                name=model,
                error_y=error,
                marker={"color": PALETTE[index % len(PALETTE)]},
            )
    _menu(figure, groups, y_titles=True)
    figure.update_xaxes(title=x_title)
    return _finish(figure, caption, barmode="group")


def counts(table, label, count, axis, caption):
    """Counts as bars, one row each in the table's order, the numbers beside them.

    Parameters
    ----------
    table : DataFrame
    label, count : str
        Columns that name the rows and hold the counts.
    axis : str
        What the horizontal axis says, with its unit.
    caption : str
    """
    figure = go.Figure(
        go.Bar(
            x=table[count],
            y=table[label],
            text=table[count],
            texttemplate="%{text:,}",
            orientation="h",
            marker={"color": BLUE},
            cliponaxis=False,
        )
    )
    figure.update_xaxes(title=axis)
    figure.update_yaxes(autorange="reversed", automargin=True)
    return _finish(figure, caption, height=160 + 34 * len(table))


def effects_with_intervals(table, label, axis, caption):
    """Effects as points with their 95 % intervals, one row each, and a line at zero.

    Parameters
    ----------
    table : DataFrame
        Columns effect, low, high and the column named by `label`.
    label : str
        Column that names the rows.
    axis : str
        What the horizontal axis says, with its unit.
    caption : str
    """
    shown = table.dropna(subset=["effect"])[::-1]
    error = {
        "type": "data",
        "array": shown.high - shown.effect,
        "arrayminus": shown.effect - shown.low,
    }
    figure = go.Figure(
        go.Scatter(
            x=shown.effect,
            y=shown[label],
            error_x=error,
            mode="markers",
            showlegend=False,
            marker={"color": BLUE, "size": 9},
        )
    )
    figure.add_vline(x=0, line={"color": GREY, "dash": "dash"})
    figure.update_xaxes(title=axis)
    figure.update_yaxes(automargin=True)
    return _finish(figure, caption, height=160 + 34 * len(shown))


def pruning_curves(curves, measure, axis, caption):
    """Accuracy or silhouette against the number of kept neurons, with a menu of models and data sets.

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
        band = part[part.strategy == "random"].sort_values("kept")
        figure.add_scatter(
            x=np.r_[band.kept, band.kept[::-1]],
            mode="lines",
            fill="toself",
            fillcolor="rgba(127,127,127,0.2)",
            y=np.r_[band[f"{measure}_high"], band[f"{measure}_low"][::-1]],
            line={"width": 0},
            name="random, 95 % of the draws",
            hoverinfo="skip",
        )
        for strategy, (name, colour, dash) in STRATEGY_STYLE.items():
            line = part[part.strategy == strategy].sort_values("kept")
            figure.add_scatter(
                x=line.kept,
                y=line[measure],
                name=name,
                mode="lines",
                line={"color": colour, "dash": dash},
            )
        full = part.loc[part.strategy == "full", measure].item()
        figure.add_scatter(
            x=[1, part.kept.max()],
            y=[full, full],
            name="full",
            mode="lines",
            line={"color": "#000000", "width": 1, "dash": "longdash"},
        )
        groups[f"{dataset}, {model}"] = set(range(first, len(figure.data)))
    _menu(figure, groups)
    figure.update_xaxes(title="neurons kept")
    figure.update_yaxes(title=axis)
    return _finish(figure, caption)


def lines_with_bands(table, x, measures, group, x_title, caption):
    """Means over seeds with the range of the seeds as a band, one panel a measure.

    Parameters
    ----------
    table : DataFrame
        One row a seed: columns `x`, `group` and each measure.
    x, group : str
        Columns of the horizontal axis and of the lines.
    measures : dict of str to str
        Column and title of each panel, with its unit.
    x_title, caption : str
    """
    rows = (len(measures) + 1) // 2
    figure = make_subplots(
        rows=rows,
        cols=min(2, len(measures)),
        subplot_titles=list(measures.values()),
        horizontal_spacing=0.12,
        vertical_spacing=0.16,
    )
    for panel, measure in enumerate(measures):
        place = {"row": panel // 2 + 1, "col": panel % 2 + 1}
        for index, (name, part) in enumerate(table.groupby(group, sort=False)):
            seeds = part.groupby(x)[measure].agg(["mean", "min", "max"]).reset_index()
            colour = PALETTE[index % len(PALETTE)]
            figure.add_scatter(
                x=np.r_[seeds[x], seeds[x][::-1]],
                y=np.r_[seeds["max"], seeds["min"][::-1]],
                mode="lines",
                fill="toself",
                fillcolor=colour,
                opacity=0.2,
                line={"width": 0},
                hoverinfo="skip",
                legendgroup=str(name),
                showlegend=False,
                **place,
            )
            figure.add_scatter(
                x=seeds[x],
                y=seeds["mean"],
                name=str(name),
                legendgroup=str(name),
                showlegend=panel == 0,
                mode="lines+markers",
                line={"color": colour, "dash": DASHES[index % 4]},
                **place,
            )
        figure.update_xaxes(title=x_title, **place)
    legend = 22 * -(-table[group].nunique() // 2)  # pixels, with two long names a line
    return _finish(figure, caption, height=120 + 300 * rows).update_layout(
        margin_t=max(70, 48 + legend)
    )


def image_grid(images, titles, caption, columns=4):
    """A few pictures with a title each.

    Parameters
    ----------
    images : list of PIL images
    titles : list of str
    caption : str
    """
    rows = -(-len(images) // columns)
    figure = make_subplots(
        rows=rows, cols=columns, subplot_titles=titles, vertical_spacing=0.25 / rows
    )
    for index, image in enumerate(images):
        figure.add_image(
            z=np.asarray(image.convert("RGB")),
            row=index // columns + 1,
            col=index % columns + 1,
            hoverinfo="skip",
        )
    figure.update_xaxes(visible=False).update_yaxes(visible=False)
    figure.update_annotations(font_size=11)
    return _finish(figure, caption, height=80 + 190 * rows)


SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "x")


def scatter_panels(table, x, y, colour, symbol, panel, axes, caption):
    """A point a model, a panel a tower, say; pointing at a point shows its name.

    Parameters
    ----------
    table : DataFrame
        One row a point: columns name, those that the next five arguments name, and `y`_low and
        `y`_high, where the point's bar ends.
    x, y : str
        Columns of the two measures. The panels share the scale of y.
    colour, symbol, panel : str
        Columns whose values get a colour, a symbol and a panel each, in the table's order. The
        legend names colours and symbols.
    axes : (str, str)
        What the horizontal and the vertical axis say, with their units.
    caption : str
    """
    titles, kinds, groups = (list(table[column].unique()) for column in (panel, colour, symbol))
    marks = dict(zip(groups, SYMBOLS * len(groups)))
    figure = make_subplots(cols=len(titles), subplot_titles=titles, horizontal_spacing=0.12)
    for (title, kind), part in table.groupby([panel, colour], sort=False):
        error = {
            "array": part[f"{y}_high"] - part[y],
            "arrayminus": part[y] - part[f"{y}_low"],
            "thickness": 1,
        }
        marker = _marker(PALETTE[kinds.index(kind) % len(PALETTE)], part[symbol].map(marks))
        figure.add_scatter(
            x=part[x],
            y=part[y],
            error_y=error,
            text=part.name,
            name=kind,
            mode="markers",
            marker=marker,
            legendgroup=kind,
            showlegend=title == titles[0],
            row=1,
            col=titles.index(title) + 1,
        )
    for group, mark in marks.items():  # what the symbols mean, in the legend only
        figure.add_trace(
            go.Scatter(x=[None], y=[None], name=group, mode="markers", marker=_marker(GREY, mark))
        )
    figure.update_xaxes(title=axes[0]).update_yaxes(title=axes[1], matches="y")
    return _finish(figure, caption).update_layout(margin_t=95)  # room for a legend of two lines


def _marker(colour, symbol):
    return {"color": colour, "symbol": symbol, "size": 11, "line": {"color": GREY, "width": 1}}
