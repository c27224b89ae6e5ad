"""What the atlas of neurons shows: tables of the experiments of chapter 11 in, figures out."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import torch
from plotly.subplots import make_subplots

from featpurity.report import beside, style, tables, thumbnails, wording
from featpurity.report.atlas import addresses, reads

BINS = 60
MOST_CLASSES = 16  # with a mark of their own on a map; the others share one
OTHERS = "other classes"
NAMED_BY = {"dataset": "data set it knows best", "best_class": "class stands out most in it"}
KINDS = {  # what a cosine is with, and its line
    "raw": {"color": style.COLOURS["raw"], "dash": "solid"},
    "rewritten": {"color": style.COLOURS["rewritten"], "dash": "dash"},
    "of another picture": {"color": style.GREY, "dash": "dot"},
}


def answer(neurons: pd.DataFrame, maps: Mapping[str, Any]) -> wording.Answer:
    """What the neurons read first, whether the purest read something else, and where the pictures
    go, in some sentences.

    Parameters
    ----------
    neurons : DataFrame
        As in `map_of_neurons`. What a neuron reads first is the data set that it knows best; of one
        data set, the class that stands out most.
    maps : dict of str to featpurity.experiments.embedding_maps.Maps
        By whose pictures they are.
    """
    spreads = [f"{whose} {_spreads(found)}" for whose, found in maps.items()]
    went = f"How widely the pictures spread on their maps: {'; '.join(spreads)}"
    clauses, named = [], _column_of_names(neurons)
    if neurons.model.nunique() > beside.MOST:
        return wording.Answer(_answer_of_many(neurons, named), went)
    for model, part in neurons.groupby("model", sort=False):
        eighth = max(1, len(part) // 8)
        ordered = part.sort_values("rank")[named]
        name, count = _commonest(ordered)
        ends = (_commonest(end) for end in (ordered.iloc[:eighth], ordered.iloc[-eighth:]))
        (purest, of_purest), (least, of_least) = ends
        clauses.append(
            f"of {model}'s {len(part)} neurons {count} read {name} first, more than anything else; "
            f"of its {eighth} purest {of_purest} read {purest}, of its {eighth} least pure "
            f"{of_least} read {least}"
        )
    return wording.Answer("; ".join(clauses), went)


def _spreads(found):
    """How widely pictures spread on each map, the root of their variance, against the first."""
    spread = found.points.groupby("plane", sort=False)[["x", "y"]].var(ddof=0).sum(axis=1) ** 0.5
    first, *others = (spread / spread.iloc[0]).items()
    rest = wording.listed(f"{times:.2f} ({plane})" for plane, times in others)
    return f"from 1 ({first[0]}) to {rest}"


def _answer_of_many(neurons, named):
    """In how many models the neurons, the purest and the least pure most often read the same."""
    ranks = neurons.groupby("model")["rank"]
    place, eighth = neurons["rank"], ranks.transform("size").floordiv(8).clip(lower=1)
    ends = {
        "all neurons": neurons,
        "the purest eighth": neurons[place <= eighth],
        "the least pure eighth": neurons[place > ranks.transform("max") - eighth],
    }
    told = []
    for of_whom, part in ends.items():
        most = part.groupby("model")[named].agg(lambda names: names.value_counts().index[0])
        name, count = _commonest(most)
        told.append(f"of {of_whom} {name} ({count})")
    return (
        f"of {neurons.model.nunique()} models, what neurons most often read first is most often, "
        f"{wording.listed(told)} (numbers of models)"
    )


def map_of_neurons(
    neurons: pd.DataFrame, pairs: Sequence[tuple[str, str]] = (), datasets: Collection[str] = ()
) -> go.Figure:
    """Each neuron by its mean |cos| in both towers, coloured by the data set it knows best; of one
    data set, by the class.

    In the book a neuron that is pressed opens below.

    Parameters
    ----------
    neurons : DataFrame
        Of `featpurity.experiments.neurons.Atlas`, under the names that readers see.
    pairs : list of (str, str)
        Models that stand beside one another, see `featpurity.report.beside`.
    datasets : collection of str
        In the order of the legend.
    """
    columns = beside.Columns(neurons.model.unique(), pairs)
    figure = columns.figure(horizontal_spacing=0.1)
    places, named = addresses(neurons), _column_of_names(neurons)
    neurons = neurons.assign(name=_with_others(neurons[named]))
    names = _others_last(neurons.name)
    places_of = {name: place for place, name in enumerate(datasets)}
    names = sorted(names, key=lambda name: places_of.get(name, len(datasets)))
    marks = _marks(names)
    for model, column in columns.each(figure):
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
        for line in _chance(neurons, own):
            figure.add_trace(line, **place)
    columns.menu(figure)
    figure.update_xaxes(title="mean |cos| with the others, image tower")
    figure.update_yaxes(title="mean |cos| with the others, text tower", col=1)
    figure.update_xaxes(matches="x").update_yaxes(matches="y")  # one scale for all panels
    caption = (
        "A point a neuron: its mean |cos| with the other neurons in each tower, purer ones at the "
        f"lower left. The marker says which {NAMED_BY[named]}. "
        "Dotted: chance, the mean |cos| of random directions. Press a point to open its "
        "neuron below."
    )
    figure = style.finish(figure, caption, hovermode="closest")
    figure.update_layout(margin_t=95)  # room for a legend of two lines
    figure.layout.meta["opens"] = "address"
    return figure


def _chance(neurons, own):
    """The chance of one model's towers, as lines as long as the map of all neurons."""
    towers = ("image", "text")
    levels = [own[f"{tower}_chance"].iloc[0] for tower in towers]
    across, along = (
        [min(level, values.min()), max(level, values.max())]
        for level, values in zip(levels, (neurons[f"{tower}_mean_abs_cos"] for tower in towers))
    )
    about = {"mode": "lines", "name": "chance", "legendgroup": "chance", "hoverinfo": "skip"}
    for x, y in ([levels[:1] * 2, along], [across, levels[1:] * 2]):
        yield go.Scatter(x=x, y=y, line=style.CHANCE_LINE, legendrank=MOST_CLASSES + 2, **about)


def maps(found: Any, sheet: thumbnails.Sheet, model: str, datasets: Sequence[str]) -> go.Figure:
    """Pictures in planes side by side, coloured by their classes; a menu chooses whose classes.

    Pointing at a picture shows it, in the book.

    Parameters
    ----------
    found : featpurity.experiments.embedding_maps.Maps
        With labels for names.
    sheet : Sheet
        With the pictures.
    model : str
        Whose embeddings these are, for the caption.
    datasets : list of str
        In the menu's order, see `featpurity.experiments.embedding_maps.by_separation`.
    """
    titles = list(found.points.plane.unique())
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
    shares = _shares(found)
    held = wording.listed(f"{wording.percent(share)} ({name})" for name, share in shares.items())
    figure.update_xaxes(title="first component")
    figure.update_yaxes(title="second component", col=1)
    figure.update_xaxes(matches="x").update_yaxes(matches="y")  # one scale for all panels
    caption = (
        f"{model}: {found.points.image.nunique():,} pictures in the plane of the two leading "
        f"principal components of their unit embeddings, by class. The plane holds {held} of the "
        "variance: pictures far apart on it differ, pictures close on it need not be alike. The "
        f"pictures' spread on it, against the first, goes {_spreads(found)}. Point at a picture to "
        "see it."
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
    shares = _shares(found)
    shown = table.reset_index().rename_axis(columns=None)
    headings = {"dataset": f"{model}: silhouette by the classes of"}
    headings |= {
        name: f"{name} (plane: {wording.percent(share)} of variance)"
        for name, share in shares.items()
    }
    return tables.show(shown, headings, dict.fromkeys(shares.index, "+.3f"))


def _shares(found):
    """The share of the variance that each plane holds."""
    return found.separation.groupby("plane", sort=False).shown.first()


def cosines(found: Any, pairs: Sequence[tuple[str, str]] = ()) -> go.Figure:
    """Cosines of pictures with their captions, as histograms: a panel a model.

    Parameters
    ----------
    found : featpurity.experiments.image_text_cosines.Cosines
        With labels for names.
    pairs : list of (str, str)
        As in `map_of_neurons`.
    """
    columns = beside.Columns(dict.fromkeys(model for model, _ in found.values), pairs)
    figure = columns.figure(shared_yaxes=True, horizontal_spacing=0.06)
    every = torch.cat(list(found.values.values()))
    edges = np.linspace(every.min().item(), every.max().item(), BINS + 1)
    middles = ((edges[1:] + edges[:-1]) / 2).round(4)
    shares = {key: np.histogram(v.numpy(), edges)[0] / len(v) for key, v in found.values.items()}
    top = max(heights.max() for heights in shares.values())
    for model, column in columns.each(figure):
        for kind, line in KINDS.items():
            if (model, kind) not in shares:
                continue
            about = {"mode": "lines", "legendgroup": kind, "row": 1, "col": column}
            figure.add_scatter(
                x=middles,
                y=shares[model, kind],
                name=kind,
                line=line | {"shape": "hvh"},
                hovertemplate="cosine %{x:.2f}: %{y:.1%}<extra>%{fullData.name}</extra>",
                **about,
            )
            mean = found.values[model, kind].mean().item()
            figure.add_scatter(
                x=[mean] * 2,
                y=[0, top],
                name=f"{kind}, mean",
                line=line | {"width": 1},
                hovertemplate="%{fullData.name}: %{x:+.3f}<extra></extra>",
                showlegend=False,
                **about,
            )
    columns.menu(figure)
    figure.update_xaxes(title="cosine of picture and caption")
    figure.update_yaxes(tickformat=".0%").update_yaxes(title="share of the pairs", col=1)
    caption = (
        "Cosines between pictures and their raw and rewritten captions, and, as chance, the raw "
        "captions of other pictures. Thin upright lines are the means."
    )
    return style.finish(figure, caption)


def cosines_table(found: Any) -> tables.Table:
    """Means with their intervals, spreads, and how often a caption beats another picture's."""
    table = found.table
    spans = tables.spans(table, "+.3f")
    mean = [f"{mean:+.3f} ({span})" for mean, span in zip(table["mean"], spans)]
    headings = {"model": "model", "captions": "captions", "pairs": "pairs"}
    headings |= {"mean": "mean cosine (95 % interval)", "spread": "standard deviation"}
    headings |= {"above": "nearer than another picture's"}
    return tables.show(table.assign(mean=mean), headings, {"above": ".1%"})


def _words(row):
    """What is said of a neuron when it is pointed at."""
    return (
        f"neuron {row.neuron}, rank {row.rank}<br>{reads(row)}, "
        f"{row.contrast:+.1f} std<br>mean |cos| {row.image_mean_abs_cos:.3f} image, "
        f"{row.text_mean_abs_cos:.3f} text"
    )


def _marks(names):
    """A colour and a shape for each of several names, so that colour is never all that differs."""
    colours = style.colours_of(names)
    if set(names) <= {*style.OWN_COLOURS, OTHERS}:
        colours |= style.OWN_COLOURS
    symbols = style.symbols_of(name for name in names if name != OTHERS)
    edge = {"color": style.GREY, "width": 0.5}  # that white is seen on white
    return {
        name: {"color": style.GREY, "symbol": "circle-open"}
        if name == OTHERS
        else {"color": colours[name], "symbol": symbols[name], "line": edge}
        for name in dict.fromkeys(names)
    }


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
    """The commonest of some names, and how often it stands there."""
    return next(names.value_counts().items())
