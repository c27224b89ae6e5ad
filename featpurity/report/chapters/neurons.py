"""What the atlas of neurons shows: tables of the experiment of that name in."""

import pandas as pd
import plotly.graph_objects as go
from PIL import Image
from plotly.subplots import make_subplots

from featpurity.report import figures, style, tables, wording

SIDE = 56  # pixels of a picture in a neuron's strip
MOST = 128  # neurons in a figure; of more the purest and the least pure half of them


def answer(neurons: pd.DataFrame) -> wording.Answer:
    """What the neurons read, and whether the purest read something else, in one sentence.

    The number after a data set counts the neurons in which one of its classes stands out most.
    """
    clauses = []
    for model, part in neurons.groupby("model", sort=False):
        eighth = max(1, len(part) // 8)
        ordered = part.sort_values("rank")
        ends = [_commonest(ordered.dataset.iloc[:eighth]), _commonest(ordered.dataset[-eighth:])]
        clauses.append(
            f"of {model}'s {len(part)} neurons it is {_commonest(part.dataset)}, of the {eighth} "
            f"purest {ends[0]}, of the {eighth} least pure {ends[1]}"
        )
    return wording.Answer(f"what most neurons read best: {'; '.join(clauses)}")


def strips(neurons: pd.DataFrame, model: str, strongest, weakest, dataset):
    """A model's neurons one by one, the purest first, with a slider.

    Parameters
    ----------
    neurons : DataFrame
        Of `featpurity.experiments.neurons.atlas`.
    model : str
    strongest, weakest : int tensors of shape (d, n_shown)
        Places of pictures.
    dataset : LabelledImages
        The pictures.
    """
    part = neurons[neurons.model == model].sort_values("rank")
    if len(part) > MOST:
        part = pd.concat([part.iloc[: MOST // 2], part.iloc[-MOST // 2 :]])
    small, steps = {}, {}
    for row in part.itertuples():
        places = [*strongest[row.neuron].tolist(), *weakest[row.neuron].tolist()]
        sheet = _sheet(dataset, places, len(strongest[row.neuron]), small)
        steps[f"{row.rank} (neuron {row.neuron})"] = sheet, _words(row)
    (sheet, words), *_ = steps.values()
    figure = go.Figure(go.Image(source=sheet, hoverinfo="skip"))
    figure.update_xaxes(visible=False).update_yaxes(visible=False)
    figure.update_layout(title={"text": words, "font": {"size": 13}}, dragmode=False)
    arguments = {
        label: ({"source": [sheet]}, {"title.text": words})
        for label, (sheet, words) in steps.items()
    }
    style.slider(figure, arguments, "Rank by purity")
    caption = (
        f"{model}, neuron by neuron: above the pictures with its largest values, below those with "
        "its smallest. The slider goes from the purest neuron to the least pure."
    )
    return style.finish(figure, caption, height=340)


def map_of_neurons(neurons: pd.DataFrame):
    """Each neuron by its mean |cos| in both towers, coloured by the data set it tells best."""
    models = list(neurons.model.unique())
    figure = make_subplots(cols=len(models), subplot_titles=models, shared_yaxes=True)
    colours = style.colours_of(neurons.dataset)
    for (model, dataset), part in neurons.groupby(["model", "dataset"], sort=False):
        figure.add_scatter(
            x=part.image_mean_abs_cos,
            y=part.text_mean_abs_cos,
            mode="markers",
            name=dataset,
            legendgroup=dataset,
            marker={"color": colours[dataset], "size": 8},
            text=[_words(row) for row in part.itertuples()],
            hovertemplate="%{text}<extra></extra>",
            row=1,
            col=models.index(model) + 1,
        )
    figure.update_xaxes(title="mean |cos|, image tower").update_yaxes(
        title="mean |cos|, text tower", col=1
    )
    seen = set()
    for trace in figure.data:
        trace.showlegend = trace.name not in seen
        seen.add(trace.name)
    caption = (
        "A point a neuron: its mean |cos| with the other neurons in each tower, purer ones at the "
        "lower left. The colour says which data set has the class that stands out most in it."
    )
    return style.finish(figure, caption)


def planes(before, after, classes, kept: int, model: str):
    """Images by class in a plane, with all neurons and with the purest ones.

    Parameters
    ----------
    before, after : float tensors of shape (n, 2)
    classes : list of str of length n
        The class of each image.
    kept : int
        How many neurons are kept in `after`.
    model : str
    """
    titles = ["all neurons", f"the {kept} purest neurons"]
    figure = make_subplots(cols=2, subplot_titles=titles, horizontal_spacing=0.08)
    colours = style.colours_of(classes)
    for name in dict.fromkeys(classes):
        rows = [i for i, one in enumerate(classes) if one == name]
        for column, points in enumerate((before, after), 1):
            figure.add_scatter(
                x=points[rows, 0],
                y=points[rows, 1],
                mode="markers",
                name=name,
                legendgroup=name,
                showlegend=column == 1,
                marker={"color": colours[name], "size": 5},
                hovertemplate=f"{name}<extra></extra>",
                row=1,
                col=column,
            )
    figure.update_xaxes(title="first principal component")
    figure.update_yaxes(title="second principal component", col=1)
    caption = (
        f"{model}: images in the plane of their two leading principal components, coloured by "
        "class, with all neurons and with the purest half."
    )
    return style.finish(figure, caption)


def neurons_table(neurons: pd.DataFrame) -> tables.Table:
    """A row a neuron, the purest first."""
    headings = {"model": "model", "rank": "rank", "neuron": "neuron"}
    headings |= {"mean_abs_cos": "mean |cos|", "dataset": "data set", "best_class": "class"}
    headings |= {"contrast": "stands out by (std)", "image_nearest": "nearest, image"}
    headings |= {"image_cos": "its cosine", "text_nearest": "nearest, text"}
    headings |= {"text_cos": "cosine, text"}
    return tables.show(neurons.sort_values(["model", "rank"]), headings)


def _words(row):
    """What is said of a neuron above its pictures."""
    return (
        f"neuron {row.neuron}, rank {row.rank}, mean |cos| {row.mean_abs_cos:.3f}: "
        f"{row.best_class} ({row.dataset}) stands out by {row.contrast:+.1f} std<br>"
        f"nearest: {row.image_nearest} in the image tower ({row.image_cos:+.2f}), "
        f"{row.text_nearest} in the text tower ({row.text_cos:+.2f})"
    )


def _sheet(dataset, places, columns, small):
    """Pictures in rows of `columns`, as one picture; `small` keeps those that were decoded."""
    sheet = Image.new("RGB", (columns * SIDE, -(-len(places) // columns) * SIDE), "white")
    for i, place in enumerate(places):
        if place not in small:
            picture = dataset[place][0].convert("RGB")
            picture.thumbnail((SIDE - 2, SIDE - 2))
            small[place] = picture
        sheet.paste(small[place], (i % columns * SIDE, i // columns * SIDE))
    return figures.thumbnail(sheet, side=max(sheet.size))


def _commonest(datasets):
    counts = datasets.value_counts()
    return f"{counts.index[0]} ({counts.iloc[0]})"
