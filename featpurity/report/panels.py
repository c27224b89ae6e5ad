"""Panels for a live notebook: sliders, menus and fields over what the other modules compute.

Each function returns an ipywidgets box to be shown as a cell's value. They need a running kernel;
the built book leaves their cells out. What goes wrong while a control is moved is said in the
panel. A neuron is known by its index, its place by purity counts from 1, the purest.
"""

import functools
import html
import io
import itertools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import ipywidgets as widgets
import numpy as np
import pandas as pd
import plotly.graph_objects as go
import torch
import torch.nn.functional as F
from PIL import Image

from featpurity.data.images import decode, fault, rgb
from featpurity.data.prompts import fill
from featpurity.files import check_list
from featpurity.metrics import pruning as pruned
from featpurity.metrics import purity, silhouette, zeroshot
from featpurity.models.clip import ClipModel, neurons_by_tower
from featpurity.report import display, heatmaps, style
from featpurity.report.thumbnails import small, tag

if TYPE_CHECKING:
    from featpurity.data.datasets import LabelledImages


def heatmap(clip: ClipModel) -> widgets.VBox:
    """A model's matrix of cosines: choose the tower and the order of the neurons.

    Parameters
    ----------
    clip : ClipModel
        Anything with `image_neurons` and `text_neurons` of shape (d, width).
    """
    towers = heatmaps.towers_of(clip)
    orders = {side: tower.orders for side, tower in towers.items()}  # found here, not at a click
    side, order = _menu(towers, "tower"), _menu(orders["image"], "order")
    figure, said = _matrix_figure(), widgets.HTML()

    def update():
        tower = towers[side.value]
        _draw_matrix(figure, tower, orders[side.value][order.value])
        said.value = tower.title(f"{side.value} tower")

    return _panel([side, order], [said, figure], update)


def misalignment(
    models: Mapping[tuple[str, float], ClipModel], means: pd.DataFrame | None = None
) -> widgets.VBox:
    """Fine-tuned models' matrices of cosines: choose kind of swap, tower and ratio.

    Parameters
    ----------
    models : dict of (kind, ratio) to ClipModel
        Anything with `image_neurons` and `text_neurons`, as
        `featpurity.experiments.misalignment.measure` returns them.
    means : DataFrame, optional
        Columns kind, ratio and accuracy, told beside the matrix.
    """
    if not models:
        raise ValueError("expected models by kind of swap and ratio, got none")
    kinds, ratios = ({run[i]: None for run in models} for i in (0, 1))
    if absent := [run for run in itertools.product(kinds, ratios) if run not in models]:
        raise ValueError(f"expected a model for each kind of swap and ratio, got none for {absent}")
    towers = {
        (*run, side): tower
        for run, clip in models.items()
        for side, tower in heatmaps.towers_of(clip).items()
    }
    orders = {key: tower.orders[heatmaps.BY_SIMILARITY] for key, tower in towers.items()}
    kind = _menu(kinds, "swaps")
    side = _menu(["image", "text"], "tower")
    ratio = widgets.SelectionSlider(options=sorted(ratios), description="ratio")
    figure, said = _matrix_figure(), widgets.HTML()

    def update():
        chosen = kind.value, ratio.value, side.value
        _draw_matrix(figure, towers[chosen], orders[chosen])
        said.value = towers[chosen].title(f"{side.value} tower")
        if means is not None:
            here = means[(means.kind == kind.value) & (means.ratio == ratio.value)]
            said.value += f"<br>accuracy {here.accuracy.mean():.3f}"

    return _panel([kind, side, ratio], [said, figure], update)


def pruning(
    clip: ClipModel,
    embeddings: torch.Tensor,
    class_embeddings: torch.Tensor,
    dataset: "LabelledImages",
    seed: int = 0,
) -> widgets.VBox:
    """Choose a strategy and a number of kept neurons; see accuracy and silhouette at once.

    Parameters
    ----------
    clip : ClipModel
    embeddings : float tensor of shape (n, d)
        The data set's unit image embeddings.
    class_embeddings : float tensor of shape (n_classes, d)
        Unit rows.
    dataset : LabelledImages
    seed : int, default 0
        Of the one random order.
    """
    _check(clip, embeddings)
    labels = torch.as_tensor(dataset.labels)
    if labels.ndim > 1:
        raise zeroshot.several_classes(dataset.name)
    neurons = neurons_by_tower(clip).values()
    orders = {
        "high_purity": purity.purity_order(*neurons),
        "low_purity": purity.low_purity_order(*neurons),
        "random": pruned.random_orders(clip.d, 1, seed)[0],
    }
    strategy, kept = _menu(orders, "strategy"), _slider("kept", clip.d, clip.d)
    said = widgets.HTML()

    def update():
        chosen = orders[strategy.value][: kept.value]
        images = embeddings.index_select(1, chosen)  # half the time of embeddings[:, chosen]
        classes = class_embeddings.index_select(1, chosen)
        accuracy = zeroshot.accuracy(images, classes, labels)
        said.value = (
            f"{html.escape(dataset.name)}: {kept.value} of {clip.d} neurons, accuracy "
            f"<b>{accuracy:.3f}</b>, silhouette <b>{_silhouette(images, labels)}</b>"
        )

    return _panel([strategy, kept], [said], update)


def neuron(
    clip: ClipModel, embeddings: torch.Tensor, dataset: "LabelledImages", shown: int = 6
) -> widgets.VBox:
    """Choose a neuron by place or number; see its pictures, and its cosines with the others.

    Parameters
    ----------
    clip : ClipModel
    embeddings : float tensor of shape (n, d)
        The data set's unit image embeddings.
    dataset : LabelledImages
    shown : int, default 6
        Pictures with the largest, and as many with the smallest value of the neuron, at most n.
    """
    _check(clip, embeddings)
    if len(embeddings) != len(dataset):
        raise ValueError(
            f"expected the embeddings of the data set's {len(dataset):,} images, got "
            f"{len(embeddings):,}"
        )
    towers, shown = heatmaps.towers_of(clip), min(shown, len(embeddings))
    ranks = towers["image"].ranks
    ranked = np.argsort(ranks)
    rank = _slider("purity rank", 1, clip.d)
    number = widgets.BoundedIntText(int(ranked[0]), min=0, max=clip.d - 1, description="neuron")
    number.observe(lambda change: setattr(rank, "value", int(ranks[change.new])), "value")
    colours = dict(zip(towers, (style.SKY, style.AMBER)))
    # Bars as one outline a tower: a browser draws two lines sooner than a thousand bars.
    looks = dict(mode="lines", fill="tozeroy", line={"shape": "hvh", "width": 1})
    bars = [go.Scatter(name=f"{side} tower", line_color=colours[side], **looks) for side in towers]
    cosines = _figure(bars, height=320)
    cosines.update_layout(xaxis_title="other neuron", yaxis_title="cosine")
    strongest, weakest, said = widgets.HTML(), widgets.HTML(), widgets.HTML()

    def update():
        chosen = number.value = int(ranked[rank.value - 1])
        with cosines.batch_update():
            for bar, tower in zip(cosines.data, towers.values()):
                bar.y = tower.cosines[chosen]
        for row, largest in ((strongest, True), (weakest, False)):
            ends = torch.topk(embeddings[:, chosen], shown, largest=largest).indices.tolist()
            row.value = _pictures([dataset[i] for i in ends], dataset.classes)
        nearest = "; ".join(_nearest(side, tower, chosen) for side, tower in towers.items())
        said.value = (
            f"Neuron <b>{chosen}</b>, rank {rank.value} of {clip.d} (1 is the purest). Nearest: "
            f"{nearest}. Below, pictures with its largest values, then with its smallest."
        )

    return _panel([rank, number], [said, cosines, strongest, weakest], update)


def _nearest(side, tower, neuron):
    """The neuron of a tower whose cosine with one is the largest, whatever its sign, in words."""
    other = int(np.abs(tower.cosines[neuron]).argmax())
    return f"{other} in the {side} tower ({tower.cosines[neuron][other]:+.2f})"


def zero_shot(
    clip: ClipModel,
    classes: Sequence[str] = ("cat", "dog"),
    template: str = "a photo of a {}",
    image: Image.Image | None = None,
    shown: int = 10,
) -> widgets.VBox:
    """Type class names and a prompt, drop in a picture: its scores, and which neurons carry them.

    Parameters
    ----------
    clip : ClipModel
    classes : sequence of str
        The names at first; the field takes others, with commas between. Where a name holds a comma
        semicolons stand between them, or bars.
    template : str
        The prompt at first, with "{}" for the class name.
    image : PIL image, optional
        The picture at first.
    shown : int, default 10
        Neurons that speak most for the best class against the second. They can be switched off.
    """
    if image is not None and not isinstance(image, Image.Image):
        raise ValueError(f"image: expected a PIL picture, got {type(image).__name__}")
    check_list("classes", classes)
    between = _between(classes)
    names, prompt = _field("classes", f"{between} ".join(classes)), _field("prompt", template)
    upload = widgets.FileUpload(accept="image/*", description="picture")
    off = widgets.SelectMultiple(description="switched off", options=[])
    scores = _figure([go.Bar(orientation="h", marker={"color": style.BLUE})], height=260)
    scores.update_xaxes(title="cosine")
    scores.update_yaxes(autorange="reversed", automargin=True, type="category")
    preview, said = widgets.HTML(), widgets.HTML()
    known = {}  # (prompt, class name) -> its unit embedding: a new name does not embed the others

    def embed_classes(template, chosen):
        new = [name for name in chosen if (template, name) not in known]
        if new:
            known.update(zip([(template, name) for name in new], _embed(clip, template, new)))
        return torch.stack([known[template, name] for name in chosen])

    @functools.lru_cache(maxsize=1)
    def embed_picture(name, uploaded):
        picture = rgb(image) if uploaded is None else _decoded(name, uploaded)
        preview.value = tag(picture, "the picture")
        return F.normalize(clip.encode_image(clip.preprocess(picture)[None]).float(), dim=1)[
            0
        ].cpu()

    def update():
        if not upload.value and image is None:
            said.value = "Choose a picture."
            return
        name, content = None, None
        if upload.value:
            name, content = upload.value[0].name, bytes(upload.value[0].content)
        unit = embed_picture(name, content)
        chosen = tuple(name.strip() for name in names.value.split(between) if name.strip())
        if len(chosen) < 2:
            raise ValueError(f"expected two class names or more, got {len(chosen)}")
        rows = embed_classes(prompt.value, chosen)
        kept = torch.ones(clip.d)
        kept[list(off.value)] = 0
        cosines = rows @ (unit * kept)
        order = cosines.argsort(descending=True)
        with scores.batch_update():
            scores.data[0].x = cosines[order].tolist()
            scores.data[0].y = display.as_text([chosen[i] for i in order])
        best, second = order[:2].tolist()
        carried = unit * (rows[best] - rows[second])
        top = carried.topk(min(shown, clip.d)).indices.tolist()
        switched = list(off.value)
        numbers = [*switched, *(j for j in top if j not in switched)]
        off.options = [(f"neuron {j}: {carried[j]:+.3f}", j) for j in numbers]
        off.value = switched
        said.value = (
            f"Best: <b>{html.escape(chosen[best])}</b>. The neurons in the list speak most for it "
            f"against {html.escape(chosen[second])}; those that are chosen there are switched off."
        )

    return _panel([names, prompt, upload, off], [preview, said, scores], update)


def _between(names):
    """What stands between names in a field: the first sign that none of them holds."""
    for sign in ",;|":
        if not any(sign in name for name in names):
            return sign
    raise ValueError(f"classes: expected names without one of , ; |, got {list(names)}")


def _decoded(name, uploaded):
    """The picture in a file's bytes, decoded as a data set's."""
    try:
        return decode(io.BytesIO(uploaded))
    except Exception as error:  # Pillow raises many kinds for broken files
        raise ValueError(f"{name} is not a readable image: {fault(error)}") from None


def _embed(clip, template, classes):
    """Unit embeddings of class names in a prompt: (n_classes, d)."""
    tokens = clip.tokenizer(fill(classes, [template]))
    return F.normalize(clip.encode_text(tokens).float(), dim=1).cpu()


def _panel(controls, outputs, update):
    """A box of controls above outputs; an error of `update` is said at its end, and no more."""
    wrong, busy = widgets.HTML(), []

    def safely(_=None):
        if busy:  # what `update` itself changes in a control calls for no update
            return
        busy.append(True)
        try:
            update()
            wrong.value = ""
        except Exception as error:  # whatever it is, the reader of the panel has to see it
            wrong.value = f"<b>{type(error).__name__}</b>: {html.escape(str(error))}"
        finally:
            busy.clear()

    for control in controls:
        control.observe(safely, "value")
    safely()
    return widgets.VBox([*controls, *outputs, wrong])


def _menu(options, description):
    return widgets.Dropdown(options=list(options), description=description)


def _slider(description, value, most):
    return widgets.IntSlider(value, 1, most, description=description, continuous_update=False)


def _field(description, value):
    return widgets.Text(
        value, description=description, continuous_update=False, layout={"width": "90%"}
    )


def _figure(traces, height):
    """A live figure; as every other, it offers no upload."""
    figure = go.FigureWidget(traces)
    figure._config = display.CONFIG  # plotly has no public name for it
    margin = {"l": 60, "r": 20, "t": 35, "b": 55}
    return figure.update_layout(template=style.TEMPLATE, height=height, margin=margin)


def _matrix_figure():
    matrix = go.Heatmap(colorscale="RdBu_r", colorbar={"title": "cosine"})
    figure = _figure([matrix], height=560).update_layout(width=640)
    figure.update_xaxes(title="neuron", showticklabels=False, constrain="domain")
    figure.update_yaxes(title="neuron", showticklabels=False, autorange="reversed", scaleanchor="x")
    return figure


def _draw_matrix(figure, tower, order):
    cells = heatmaps.cells(tower, order, heatmaps.FEW_CELLS)  # of more, a browser draws longer
    names = heatmaps.cell_names(tower, order, heatmaps.FEW_CELLS)
    limit = heatmaps.colour_limit([cells])
    with figure.batch_update():
        figure.data[0].update(z=cells, zmin=-limit, zmax=limit)
        for axis in (figure.layout.xaxis, figure.layout.yaxis):
            axis.update(tickmode="array", tickvals=list(range(len(names))), ticktext=names)


def _silhouette(images, labels):
    if silhouette.is_defined(labels):
        return f"{silhouette.silhouette(images, labels):.3f}"
    return "not defined"


def _check(clip, embeddings):
    if embeddings.ndim != 2 or embeddings.shape[1] != clip.d:
        raise ValueError(
            f"expected embeddings (n, {clip.d}) for a model of {clip.d} neurons, got "
            f"{tuple(embeddings.shape)}"
        )


def _pictures(labelled, classes):
    """Pictures side by side, each with its class below, as HTML: a row is one change of a panel.

    They are made small first: less to encode while the reader waits.
    """
    figures = [
        f'<figure style="margin: 0">{tag(small(picture), "")}'
        f"<figcaption>{html.escape(_named(label, classes))}</figcaption></figure>"
        for picture, label in labelled
    ]
    return f'<div style="display: flex; flex-wrap: wrap; gap: 8px">{"".join(figures)}</div>'


def _named(label, classes):
    """A picture's class, or its classes where it may show several."""
    own = np.flatnonzero(label) if np.ndim(label) else [int(label)]
    return ", ".join(classes[i] for i in own)
