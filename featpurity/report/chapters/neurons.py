"""What the atlas of neurons shows: tables of the experiments of chapter 11 in, figures out."""

from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import torch
from plotly.subplots import make_subplots

from featpurity.report import style, tables, thumbnails, wording
from featpurity.report.atlas import addresses

BINS = 60
MOST_CLASSES = 16  # with a mark of their own on a map; the others share one
OTHERS = "other classes"
STANDS_OUT = {"dataset": "data set has the class that", "best_class": "class"}
KINDS = {  # what a cosine is with, and its line
    "raw": {"color": style.COLOURS["raw"], "dash": "solid"},
    "rewritten": {"color": style.COLOURS["rewritten"], "dash": "dash"},
    "of another picture": {"color": style.GREY, "dash": "dot"},
}


def answer(neurons: pd.DataFrame) -> wording.Answer:
    """What the neurons read, and whether the purest read something else, in one sentence.

    The number after a data set counts the neurons in which one of its classes stands out most; of
    one data set the classes themselves are counted.
    """
    clauses, named = [], _column_of_names(neurons)
    for model, part in neurons.groupby("model", sort=False):
        eighth = max(1, len(part) // 8)
        ordered = part.sort_values("rank")
        ends = [_commonest(ordered[named].iloc[:eighth]), _commonest(ordered[named][-eighth:])]
        clauses.append(
            f"what {model}'s {len(part)} neurons most often read is {_commonest(part[named])}; its "
            f"{eighth} purest most often {ends[0]}, its {eighth} least pure {ends[1]}"
        )
    return wording.Answer(f"{'; '.join(clauses)} (numbers of neurons)")


def map_of_neurons(neurons: pd.DataFrame) -> go.Figure:
    """Each neuron by its mean |cos| in both towers, coloured by the data set it tells best; of one
    data set, by the class.

    In the book a neuron that is pressed opens below.
    """
    models = list(neurons.model.unique())
    figure = make_subplots(cols=len(models), subplot_titles=models, horizontal_spacing=0.1)
    places, named = addresses(neurons), _column_of_names(neurons)
    neurons = neurons.assign(name=_with_others(neurons[named]))
    names = _others_last(neurons.name)
    marks = _marks(names)
    for column, model in enumerate(models, 1):
        own, place = neurons[neurons.model == model], {"row": 1, "col": column}
        for name, part in own.groupby("name", sort=False):
            figure.add_scatter(
                x=part.image_mean_abs_cos,
                y=part.text_mean_abs_cos,
                mode="markers",
                name=name,
                legendgroup=name,
                legendrank=names.index(name) + 1,
                marker={**marks[name], "size": 8},
                customdata=[places[model, neuron] for neuron in part.neuron],
                text=[_words(row) for row in part.itertuples()],
                hovertemplate="%{text}<extra></extra>",
                **place,
            )
        for add, tower in ((figure.add_vline, "image"), (figure.add_hline, "text")):
            add(own[f"{tower}_chance"].iloc[0], line=style.CHANCE_LINE, **place)
    figure.update_xaxes(title="mean |cos| with the others, image tower")
    figure.update_yaxes(title="mean |cos| with the others, text tower", col=1)
    _same_scale(figure)
    style.name_once(figure)
    caption = (
        "A point a neuron: its mean |cos| with the other neurons in each tower, purer ones at the "
        f"lower left. The colour and shape say which {STANDS_OUT[named]} stands out most "
        "in it. Dotted: chance, the mean |cos| of random directions. Press a point to open its "
        "neuron below."
    )
    figure = style.finish(figure, caption, hovermode="closest")
    figure.update_layout(margin_t=95)  # room for a legend of two lines
    figure.layout.meta["opens"] = "address"
    return figure


def maps(found: Any, sheet: thumbnails.Sheet, model: str) -> go.Figure:
    """Pictures in planes side by side, coloured by their classes; a menu chooses whose classes.

    The data set whose classes lie apart most at first comes first. Pointing at a picture shows it,
    in the book.

    Parameters
    ----------
    found : featpurity.experiments.embedding_maps.Maps
        With labels for names.
    sheet : Sheet
        With the pictures.
    model : str
        Whose embeddings these are, for the caption.
    """
    titles = list(found.points.plane.unique())
    before = found.separation[found.separation.plane == titles[0]]
    datasets = before.sort_values("silhouette", ascending=False, kind="stable").dataset
    figure = make_subplots(cols=len(titles), subplot_titles=titles, horizontal_spacing=0.06)
    groups = {}
    for dataset in datasets:
        classes = found.classes[found.classes.dataset == dataset]
        named = found.points.merge(classes, on="image")
        named["class_name"] = _with_others(named.class_name)
        order = _others_last(named.class_name)
        marks = _marks(order)
        groups[str(dataset)] = range(len(figure.data), len(figure.data) + len(order) * len(titles))
        for column, title in enumerate(titles, 1):
            for name in order:
                part = named[(named.plane == title) & (named.class_name == name)]
                figure.add_scatter(
                    x=part.x.round(3),
                    y=part.y.round(3),
                    mode="markers",
                    name=name,
                    legendgroup=f"{dataset} {name}",
                    showlegend=column == 1,
                    marker={**marks[name], "size": 6, "opacity": 0.85},
                    customdata=part.image.map(sheet.places),
                    hovertemplate="%{fullData.name}<br>%{x:.2f}, %{y:.2f}<extra></extra>",
                    row=1,
                    col=column,
                )
    style.menu(figure, {name: set(traces) for name, traces in groups.items()}, name="Coloured by")
    figure.update_xaxes(title="first component")
    figure.update_yaxes(title="second component", col=1)
    _same_scale(figure)
    caption = (
        f"{model}: {found.points.image.nunique():,} pictures in the plane of the two leading "
        f"principal components of their unit embeddings ({', '.join(titles)}), by class. Pictures "
        "that lie together are alike to the model. Point at one to see it."
    )
    figure = style.finish(figure, caption, hovermode="closest", height=470)
    figure.layout.meta["sheet"] = sheet.name
    figure.update_layout(margin_t=110)  # room for a legend of three lines
    return figure


def separation_table(found: Any, model: str) -> tables.Table:
    """Silhouettes of a model's maps by data set: a row a data set, a column a plane."""
    table = found.separation.pivot_table(
        index="dataset", columns="plane", values="silhouette", sort=False, dropna=False
    )
    shares = found.separation.groupby("plane", sort=False).shown.first()
    shown = table.reset_index().rename_axis(columns=None)
    headings = {"dataset": f"{model}: silhouette by the classes of"}
    headings |= {name: f"{name} (plane: {share:.0%} of variance)" for name, share in shares.items()}
    return tables.show(shown, headings, dict.fromkeys(shares.index, "+.3f"))


def cosines(found: Any) -> go.Figure:
    """Cosines of pictures with their captions, as histograms: a panel a model.

    Parameters
    ----------
    found : featpurity.experiments.image_text_cosines.Cosines
        With labels for names.
    """
    models = list(dict.fromkeys(model for model, _ in found.values))
    figure = make_subplots(
        cols=len(models), subplot_titles=models, shared_yaxes=True, horizontal_spacing=0.06
    )
    every = torch.cat(list(found.values.values()))
    edges = np.linspace(every.min().item(), every.max().item(), BINS + 1)
    for (model, kind), values in found.values.items():
        line, place = KINDS[kind], {"row": 1, "col": models.index(model) + 1}
        counts, _ = np.histogram(values.numpy(), edges)
        figure.add_scatter(
            x=((edges[1:] + edges[:-1]) / 2).round(4),
            y=counts / len(values),
            mode="lines",
            name=kind,
            legendgroup=kind,
            line=line | {"shape": "hvh"},
            hovertemplate="cosine %{x:.2f}: %{y:.1%}<extra>%{fullData.name}</extra>",
            **place,
        )
        figure.add_vline(values.mean().item(), line=line | {"width": 1}, **place)
    figure.update_xaxes(title="cosine of picture and caption")
    figure.update_yaxes(tickformat=".0%").update_yaxes(title="share of the pairs", col=1)
    style.name_once(figure)
    caption = (
        "Cosines between pictures and their raw and rewritten captions, and, as chance, the raw "
        "captions of other pictures. Thin upright lines are the means."
    )
    return style.finish(figure, caption)


def cosines_table(found: Any) -> tables.Table:
    """Means with their intervals, spreads, and how often a caption beats another picture's."""
    table = found.table
    mean = [f"{r.mean:+.3f} ({r.low:+.3f} to {r.high:+.3f})" for r in table.itertuples()]
    above = [f"{share:.1%}" if pd.notna(share) else "" for share in table.above]
    shown = table.assign(mean=mean, above=above)
    headings = {"model": "model", "captions": "captions", "pairs": "pairs"}
    headings |= {"mean": "mean cosine (95 % interval)", "spread": "standard deviation"}
    headings |= {"above": "nearer than another picture's"}
    return tables.show(shown, headings)


def _words(row):
    """What is said of a neuron when it is pointed at."""
    return (
        f"neuron {row.neuron}, rank {row.rank}<br>{row.best_class} ({row.dataset}) "
        f"{row.contrast:+.1f} std<br>mean |cos| {row.image_mean_abs_cos:.3f} image, "
        f"{row.text_mean_abs_cos:.3f} text"
    )


def _marks(names):
    """A colour and a shape for each of several names, so that colour is never all that differs."""
    colours = style.colours_of(names)
    return {
        name: {"color": style.GREY, "symbol": "circle-open"}
        if name == OTHERS
        else {"color": colours[name], "symbol": style.SYMBOLS[place % len(style.SYMBOLS)]}
        for place, name in enumerate(dict.fromkeys(names))
    }


def _same_scale(figure):
    """Let all panels have the scale of the first."""
    for axis in list(figure.select_xaxes())[1:]:
        axis.matches = "x"
    for axis in list(figure.select_yaxes())[1:]:
        axis.matches = "y"


def _column_of_names(neurons):
    """What neurons are named by: their data set, or where there is one only, their class."""
    return "dataset" if neurons.dataset.nunique() > 1 else "best_class"


def _with_others(names):
    """The names, those beyond the commonest `MOST_CLASSES` as `OTHERS`."""
    common = names.value_counts().index[:MOST_CLASSES]
    return names.where(names.isin(common), OTHERS)


def _others_last(names):
    """Each name once, in order, `OTHERS` at the end."""
    named = [name for name in dict.fromkeys(names) if name != OTHERS]
    return named + [OTHERS] * (len(named) < len(set(names)))


def _commonest(names):
    counts = names.value_counts()
    return f"{counts.index[0]} ({counts.iloc[0]})"
