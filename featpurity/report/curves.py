"""Accuracy and silhouette against the number of kept neurons."""

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from featpurity.report import style

# The paper's figures go from 200 to 500 of 512 neurons; it reads them at 450.
WINDOW, READ_AT = (200 / 512, 500 / 512), 450 / 512


def pruning_curves(curves, measure, axis, caption):
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


def small_multiples(curves, measure, axis, caption, columns=3):
    """All data sets of a model side by side, with a menu of the models.

    The panels share both scales; parameters as in `pruning_curves`.
    """
    datasets = list(curves.dataset.unique())
    columns = min(columns, len(datasets))
    rows = -(-len(datasets) // columns)
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
        row, column = divmod(datasets.index(dataset), columns)
        for line in _lines(part, measure):
            line.legendgroup, line.showlegend = line.name, dataset == datasets[0]
            groups.setdefault(model, set()).add(len(figure.data))
            figure.add_trace(line, row=row + 1, col=column + 1)
    style.menu(figure, groups, name="Model")
    figure.update_xaxes(title="neurons kept", row=rows)
    figure.update_yaxes(title=axis, row=(rows + 1) // 2, col=1)
    style.finish(figure, caption, height=170 + 190 * rows)
    return figure.update_layout(margin_t=110, legend={"orientation": "h", "y": -0.25})


def at_each_number(curves, measure, axis, caption, steps=32):
    """What all curves say at one number of kept neurons, with a slider over that number.

    Parameters
    ----------
    curves : DataFrame
        As in `pruning_curves`; a panel a model, a row a data set.
    measure, axis, caption : str
    steps : int
        About so many numbers of neurons; the one where the paper reads its figures is among them.
    """
    models = list(curves.model.unique())
    lines = curves[curves.strategy != "full"]
    even = np.linspace(0, 1, steps + 1)[1:]
    shares = sorted([*even[abs(even - READ_AT) > 0.5 / steps], READ_AT])
    figure = make_subplots(cols=len(models), subplot_titles=models, shared_yaxes=True)
    x_of_step = {share: [] for share in shares}
    for column, model in enumerate(models, 1):
        part = lines[lines.model == model]
        d = part.kept.max()
        for strategy, (name, colour, _) in style.STRATEGIES.items():
            wide = part[part.strategy == strategy].pivot(
                index="kept", columns="dataset", values=measure
            )[list(part.dataset.unique())]
            nearest = {share: abs(wide.index - share * d).argmin() for share in shares}
            for share in shares:
                x_of_step[share].append(wide.iloc[nearest[share]].tolist())
            marker = {"color": colour, "size": 10, "symbol": _SYMBOLS[strategy]}
            figure.add_scatter(
                y=list(wide.columns),
                mode="markers",
                name=name,
                marker=marker,
                legendgroup=name,
                showlegend=column == 1,
                row=1,
                col=column,
            )
    read = shares.index(READ_AT)
    for trace, x in zip(figure.data, x_of_step[shares[read]]):
        trace.x = x
    sliders = {_share_kept(share, curves): ({"x": x}, {}) for share, x in x_of_step.items()}
    style.slider(figure, sliders, "Neurons kept", active=read)
    low, high = lines[measure].min(), lines[measure].max()
    room = 0.04 * (high - low)
    figure.update_xaxes(title=axis, range=[low - room, high + room])
    rows = lines.dataset.nunique()
    figure.update_yaxes(range=[rows - 0.5, -0.5], automargin=True)
    style.finish(figure, caption, height=240 + 36 * rows)
    return figure.update_layout(legend={"orientation": "h", "y": 1.25}, margin_t=100)


_SYMBOLS = {"high_purity": "circle", "low_purity": "diamond", "random": "line-ns-open"}


def _share_kept(share, curves):
    counts = sorted({round(share * d) for d in curves.groupby("model").kept.max()})
    return f"{share:.0%} ({' or '.join(map(str, counts))})"


def gaps(curves, measure, axis, caption, published=None):
    """High minus low purity against the share of neurons kept.

    Thin lines are the data sets, the thick one is their mean, the dotted one the paper's.

    Parameters
    ----------
    curves : DataFrame
        As in `pruning_curves`.
    measure, axis, caption : str
    published : DataFrame, optional
        Columns dataset, measure, strategy, share_kept, value: the paper's curves, drawn dotted.
    """
    models = list(curves.model.unique())
    figure = make_subplots(cols=len(models), subplot_titles=models, shared_yaxes=True)
    colours = style.colours_of(models)
    for column, model in enumerate(models, 1):
        part, place = curves[curves.model == model], {"row": 1, "col": column}
        wide = _high_minus_low(part, "kept", measure)
        x = wide.index / part.kept.max()
        for dataset in wide:
            thin = {"color": style.FAINT.replace("0.2", "0.6"), "width": 1}
            _add_gap(figure, x, wide[dataset], dataset, thin, place, False)
        ours = {"color": colours[model], "width": 3}
        _add_gap(figure, x, wide.mean(axis=1), f"mean, {model}", ours, place, True)
        if published is not None:
            chosen = published[published.measure == measure]
            theirs = _high_minus_low(chosen, "share_kept", "value")
            dotted = {"color": style.BLACK, "width": 2, "dash": "dot"}
            name = "the paper's, mean over its data sets"
            _add_gap(figure, theirs.index, theirs.mean(axis=1), name, dotted, place, column == 1)
    figure.add_hline(y=0, line={"color": style.GREY, "dash": "dash", "width": 1})
    figure.add_vrect(*WINDOW, fillcolor=style.FAINT, line_width=0, layer="below")
    figure.update_xaxes(title="share of neurons kept", tickformat=".0%")
    figure.update_yaxes(title=axis, col=1)
    style.finish(figure, caption, height=420)
    return figure.update_layout(legend={"orientation": "h", "y": -0.25})


def _high_minus_low(curves, kept, value):
    """A column a data set, a row a number of kept neurons."""
    wide = curves.pivot(index=kept, columns=["strategy", "dataset"], values=value)
    return (wide["high_purity"] - wide["low_purity"]).dropna(how="all")


def _add_gap(figure, x, y, name, line, place, legend):
    figure.add_scatter(
        x=list(x),
        y=list(y),
        name=name,
        mode="lines",
        line=line,
        showlegend=legend,
        hovertemplate=f"{name}<br>%{{x:.0%}} kept: %{{y:+.3f}}<extra></extra>",
        **place,
    )


def _lines(part, measure):
    """The band and the lines of one model and data set."""
    band = part[part.strategy == "random"].sort_values("kept")
    yield go.Scatter(
        x=np.r_[band.kept, band.kept[::-1]],
        y=np.r_[band[f"{measure}_high"], band[f"{measure}_low"][::-1]],
        mode="lines",
        fill="toself",
        fillcolor=style.FAINT,
        line={"width": 0},
        name="random, 95 % of the draws",
        hoverinfo="skip",
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
    full = part.loc[part.strategy == "full", measure].item()
    yield go.Scatter(
        x=[1, part.kept.max()],
        y=[full, full],
        name="full",
        mode="lines",
        line={"color": style.BLACK, "width": 1, "dash": "longdash"},
        hovertemplate="%{y:.3f}",
    )
