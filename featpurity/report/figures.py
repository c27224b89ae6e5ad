"""Figures: tables in, a plotly figure out. No image or model is asked, nothing is saved.

Every figure has axes with units and a caption, kept in `figure.layout.meta["caption"]`, which the
book sets below it. Matrices are in `heatmaps`, curves over the kept neurons in `curves`.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from PIL import Image
from plotly.subplots import make_subplots

from featpurity.report import beside, style
from featpurity.report.style import BLUE, GREY
from featpurity.report.thumbnails import SHARP, address, small

LINE = 10  # pixels between points that have a line each
BANDS = {  # the ends of what lies behind a row, what it is, and its line
    ("least", "most"): ("range over the data sets", {"color": style.FAINT, "width": 12}),
    ("chance_low", "chance_high"): ("what chance gives", {"color": GREY, "width": 3}),
}
GAP = 75  # pixels between panels one below the other: marks, a title and room


def bars_with_intervals(
    views: Mapping[str, tuple[pd.DataFrame, str]], caption: str, x_title: str = "data set"
) -> go.Figure:
    """Bars by data set and model with 95 % intervals; a menu chooses what is shown.

    Parameters
    ----------
    views : dict of str to (DataFrame, str)
        By what the axis says, e.g. "zero-shot accuracy (share of images)": a table with columns
        model, dataset, m, m_low and m_high, and the name m of the measure.
    caption, x_title : str
    """
    figure, groups = go.Figure(), {title: set() for title in views}
    colours = style.colours_of(name for table, _ in views.values() for name in table.model)
    for title, (table, measure) in views.items():
        for model, part in table.groupby("model", sort=False):
            groups[title].add(len(figure.data))
            zero = part[measure] == 0
            figure.add_bar(
                x=part.dataset,
                y=part[measure],
                name=model,
                error_y=_whiskers(part, measure),
                marker={"color": colours[model]},
                text=part[measure],
                texttemplate=np.where(zero, "0", "%{text:.3f}"),
                textposition=np.where(zero, "outside", "none"),  # a bar of no height is not seen
            )
    axes = {title: {"yaxis.title.text": title} for title in groups}
    style.menu(figure, groups, axes, name="Measure")
    figure.update_xaxes(title=x_title)
    return style.finish(figure, caption, barmode="group")


def _whiskers(part, measure):
    """Bars from `measure`_low to `measure`_high."""
    above, below = part[f"{measure}_high"] - part[measure], part[measure] - part[f"{measure}_low"]
    return {"type": "data", "array": above, "arrayminus": below, "thickness": 1}


def counts(table: pd.DataFrame, label: str, count: str, axis: str, caption: str) -> go.Figure:
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
    return style.finish(figure, caption, height=160 + 34 * len(table))


def forest(
    table: pd.DataFrame,
    label: str,
    axis: str,
    caption: str,
    group: str | None = None,
    theirs: pd.DataFrame | None = None,
) -> go.Figure:
    """Effects as points with their 95 % intervals, a row each, and a line at zero: a panel for each
    quantity that they are given in.

    Parameters
    ----------
    table : DataFrame
        Columns effect, low, high and those named by `label` and `axis`. With columns least and most
        a wide band shows that range behind a row, the spread over data sets, say; with chance_low
        and chance_high, where the effect lies when what the claim is about has no say. With a
        column said, that is what pointing at an effect says, in place of its four digits.
    label : str
        Column that names the rows.
    axis : str
        Column that says what is on the horizontal axis, with its unit; a panel for each value.
    caption : str
    group : str, optional
        Column whose values get a colour and an entry of the legend each.
    theirs : DataFrame, optional
        Values of others in the same quantities, drawn as open diamonds: the columns of `label` and
        `axis`, value, and name, what is said when one is pointed at.
    """
    shown = table.dropna(subset=["effect"])
    panels = dict(list(shown.groupby(axis, sort=False)))
    # Intervals of one row would hide one another: each group has a line of its own.
    lines = shown.groupby([axis, label])[group].nunique().max() if group else 1
    least = LINE * lines  # pixels of a row
    heights = [
        max(least, _row_height(part[label])) * part[label].nunique() for part in panels.values()
    ]
    gaps = GAP * (len(heights) - 1)
    area = sum(heights) + gaps
    spacing = GAP / area if gaps else 0
    figure = make_subplots(len(panels), row_heights=heights, vertical_spacing=spacing)
    colours = style.colours_of(shown[group]) if group else {"": BLUE}
    for row, (title, part) in enumerate(panels.items(), 1):
        place = {"row": row, "col": 1}
        for ends, look in BANDS.items():
            if set(ends) <= set(part):
                _bands(figure, part.dropna(subset=list(ends)), label, group, ends, look, place)
        for name, points in part.groupby(group or (lambda _: ""), sort=False):
            _points(figure, points, label, str(name), colours[name], bool(group), place)
        if theirs is not None and (theirs[axis] == title).any():
            _theirs(figure, theirs[theirs[axis] == title], label, place)
        figure.add_vline(x=0, line={"color": GREY, "dash": "dash"}, **place)
        figure.update_xaxes(title=title, **place)
        order = list(dict.fromkeys(part[label]))  # downwards, as the groups of a row
        figure.update_yaxes(categoryorder="array", categoryarray=order, **place)
        figure.update_yaxes(automargin=True, range=[len(order) - 0.5, -0.5], **place)
        if _row_height(order) > 34:
            figure.update_yaxes(tickfont={"size": 10}, **place)
    if lines > 1:
        figure.update_layout(scattermode="group", scattergap=0.15)
        figure.update_traces(orientation="h")
    style.name_once(figure)
    return style.finish(figure, caption, height=125 + area)


def _row_height(labels):
    """Pixels that the highest of some labels needs, in lines of a small letter."""
    return max(34, 12 + 13 * max(str(label).count("<br>") + 1 for label in labels))


def _points(figure, part, label, name, colour, legend, place):
    symbol = "circle-open" if name.endswith("negligible") else "circle"
    said = "%{x:+.4f} (%{customdata[0]:+.4f} to %{customdata[1]:+.4f})"
    if "said" in part:
        said = "%{customdata[0]}"
    figure.add_scatter(
        x=part.effect,
        y=part[label],
        error_x={"array": part.high - part.effect, "arrayminus": part.effect - part.low},
        mode="markers",
        name=name,
        legendgroup=name,
        offsetgroup=name,
        showlegend=legend,
        marker={"color": colour, "size": 9, "symbol": symbol},
        customdata=part[["said"]] if "said" in part else part[["low", "high"]],
        hovertemplate=f"%{{y}}<br>{said}<extra></extra>",
        **place,
    )


def _bands(figure, part, label, group, ends, look, place):
    """Bands behind rows, from one column to another, each behind the points of its group."""
    name, line = look
    groups = part[group] if group else [name] * len(part)
    rows = part[[label, *ends]].assign(of=groups).drop_duplicates()
    for row, least, most, of in rows.itertuples(index=False):
        figure.add_scatter(
            x=[least, most],
            y=[row, row],
            mode="lines",
            line=line,
            name=name,
            legendgroup=name,
            offsetgroup=str(of),
            hoverinfo="skip",
            **place,
        )


def _theirs(figure, part, label, place):
    figure.add_scatter(
        x=part.value,
        y=part[label],
        mode="markers",
        name="the paper's",
        marker={"symbol": "diamond-open", "size": 10, "color": style.BLACK},
        text=part["name"],
        hovertemplate="%{y}<br>the paper's, %{text}<extra></extra>",
        **place,
    )


def lines_with_bands(
    table: pd.DataFrame,
    x: str,
    measures: Mapping[str, str],
    group: str,
    x_title: str,
    caption: str,
    shade: str | None = None,
    dash: str | None = None,
    chance: Mapping[str, float | Sequence[float]] | None = None,
    level: str = "chance",
) -> go.Figure:
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
    shade : str, optional
        A column whose steps a sequential scale of colours shows; dashes tell apart one step's.
    dash : str, optional
        A column whose values have a dash each, the first one none; else every line has its own.
    chance : dict of str to float or several, optional
        For some measures what chance alone would give, as dotted lines.
    level : str, default "chance"
        What the legend calls these lines.
    """
    rows, columns, places = style.grid(len(measures), 2)
    chance = chance or {}
    figure = make_subplots(
        rows=rows,
        cols=columns,
        subplot_titles=list(measures.values()),
        horizontal_spacing=0.12,
        vertical_spacing=0.32 / max(rows, 2),
    )
    lines = _line_styles(table, group, shade, dash)
    for measure, place in zip(measures, places):
        for name, part in table.groupby(group, sort=False):
            for trace in _mean_and_range(part, x, measure, str(name), lines[name]):
                figure.add_trace(trace, **place)
        for height in np.unique(chance.get(measure, [])):
            figure.add_scatter(
                x=[table[x].min(), table[x].max()],
                y=[height] * 2,
                mode="lines",
                name=level,
                legendgroup=level,
                line=style.CHANCE_LINE,
                **place,
            )
        figure.update_xaxes(title=x_title, **place)
    style.name_once(figure)
    legend = 22 * -(-table[group].nunique() // 2)  # pixels, with two long names a line
    return style.finish(figure, caption, height=120 + 300 * rows).update_layout(
        margin_t=max(70, 48 + legend)
    )


def _line_styles(table, group, shade, dash):
    """Colour and dash of each group's line."""
    groups = table.drop_duplicates(group)
    of = groups[shade or group]
    colours = of.map(style.colours_of(of, ordered=shade is not None))
    numbers = groups.groupby(shade).cumcount() if shade else range(len(groups))
    numbers = pd.factorize(groups[dash])[0] if dash else numbers
    dashes = [style.DASHES[number % len(style.DASHES)] for number in numbers]
    return {
        name: {"color": colour, "dash": dash}
        for name, colour, dash in zip(groups[group], colours, dashes)
    }


def _mean_and_range(part, x, measure, name, line):
    """The range of the seeds as a band, and their mean as a line, where the measure is known."""
    known = part.dropna(subset=[measure])
    if known.empty:
        return
    seeds = known.groupby(x)[measure].agg(["mean", "min", "max"]).reset_index()
    about = {"name": name, "legendgroup": name}
    faint = {"fillcolor": line["color"], "opacity": 0.2, "showlegend": False}
    yield style.band(seeds[x], seeds["min"], seeds["max"], **faint, **about)
    said = "%{x:.3g}: %{y:.3g} (seeds %{customdata[0]:.3g} to %{customdata[1]:.3g})"
    yield go.Scatter(
        x=seeds[x],
        y=seeds["mean"],
        mode="lines+markers",
        line=line,
        customdata=seeds[["min", "max"]],
        hovertemplate=f"{name}<br>{said}<extra></extra>",
        **about,
    )


def image_grid(
    images: Sequence[Image.Image], titles: Sequence[str], caption: str, columns: int = 4
) -> go.Figure:
    """A few pictures with a title each, as thumbnails.

    Parameters
    ----------
    images : list of PIL images
        Of any size: what the figure holds is small.
    titles : list of str
    caption : str
    columns : int
    """
    rows, columns, places = style.grid(len(images), columns)
    figure = make_subplots(
        rows=rows, cols=columns, subplot_titles=titles, vertical_spacing=0.25 / rows
    )
    for image, place in zip(images, places):
        figure.add_image(source=address(small(image), SHARP), hoverinfo="skip", **place)
    figure.update_xaxes(visible=False).update_yaxes(visible=False)
    figure.update_annotations(font_size=11)
    return style.finish(figure, caption, height=80 + 190 * rows, dragmode=False)


def scatter_panels(
    table: pd.DataFrame,
    x: str,
    y: str,
    colour: str,
    symbol: str,
    panel: str,
    axes: tuple[str, str],
    caption: str,
    pairs: Sequence[tuple[str, str]] = (),
) -> go.Figure:
    """A point a model, a panel a tower, say; pointing at a point shows its name.

    Parameters
    ----------
    table : DataFrame
        One row a point: columns name, those that the next five arguments name, and, where points
        have bars, `y`_low and `y`_high, their ends.
    x, y : str
        Columns of the two measures. The panels share the scale of y.
    colour, symbol, panel : str
        Columns whose values get a colour, a symbol and a panel each, in the table's order. The
        legend names colours and symbols; one column may be both.
    axes : (str, str)
        What the horizontal and the vertical axis say, with their units.
    caption : str
    pairs : list of (str, str)
        Where a panel is a model: those that stand beside one another, see
        `featpurity.report.beside`.
    """
    titles, kinds, groups = (list(table[column].unique()) for column in (panel, colour, symbol))
    marks, colours = style.symbols_of(groups), style.colours_of(kinds)
    columns = beside.Columns(titles, pairs)
    figure = columns.figure(horizontal_spacing=0.12)
    for title, column in columns.each(figure):
        for kind, part in table[table[panel] == title].groupby(colour, sort=False):
            figure.add_scatter(
                x=part[x],
                y=part[y],
                error_y=_whiskers(part, y) if f"{y}_high" in part else None,
                text=part.name,
                name=kind,
                mode="markers",
                marker=_marker(colours[kind], part[symbol].map(marks)),
                legendgroup=kind,
                hovertemplate=f"%{{text}}, {kind}<br>%{{x:.3g}}, %{{y:.3g}}<extra></extra>",
                row=1,
                col=column,
            )
        # What the symbols mean, in the legend only.
        alone = symbol != colour and column == 1 and len(marks) > 1
        for group, mark in marks.items() if alone else ():
            marker = _marker(GREY, mark)
            figure.add_scatter(x=[None], y=[None], name=group, mode="markers", marker=marker)
    columns.menu(figure)
    figure.update_xaxes(title=axes[0]).update_yaxes(title=axes[1], matches="y")
    style.finish(figure, caption)
    return figure.update_layout(margin_t=95)  # room for a legend of two lines


def _marker(colour, symbol):
    return {"color": colour, "symbol": symbol, "size": 11, "line": {"color": GREY, "width": 1}}
