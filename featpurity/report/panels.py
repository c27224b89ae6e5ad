"""Panels for a live notebook: sliders and menus over what the other modules compute.

Each function returns an ipywidgets box to be shown as a cell's value. They need a running kernel;
the built book leaves their cells out.
"""

import ipywidgets as widgets
import plotly.graph_objects as go
import torch

from featpurity.metrics import pruning, purity, silhouette, zeroshot

STRATEGIES = ("high_purity", "low_purity", "random")


def pruning_panel(clip, embeddings, class_embeddings, dataset, seed=0):
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
    neurons = clip.image_neurons.cpu(), clip.text_neurons.cpu()
    orders = {
        "high_purity": purity.purity_order(*neurons),
        "low_purity": purity.low_purity_order(*neurons),
        "random": pruning.random_orders(clip.d, 1, seed)[0],
    }
    strategy = widgets.Dropdown(options=STRATEGIES, description="strategy")
    k = widgets.IntSlider(
        value=clip.d, min=1, max=clip.d, description="kept", continuous_update=False
    )
    said = widgets.HTML()

    def update(_=None):
        pruned = pruning.prune(embeddings, orders[strategy.value], k.value)
        accuracy = zeroshot.accuracy(pruned, class_embeddings, dataset.labels)
        score = silhouette.silhouette(pruned, dataset.labels)
        said.value = (
            f"{dataset.name}: {k.value} of {clip.d} neurons, accuracy <b>{accuracy:.3f}</b>, "
            f"silhouette <b>{score:.3f}</b>"
        )

    for control in (strategy, k):
        control.observe(update, "value")
    update()
    return widgets.VBox([strategy, k, said])


def neuron_panel(clip, embeddings, dataset, shown=6):
    """Choose a neuron; see its cosines with the others in both towers and the pictures that excite it most.

    Parameters
    ----------
    clip : ClipModel
    embeddings : float tensor of shape (n, d)
        The data set's unit image embeddings.
    dataset : LabelledImages
    shown : int, default 6
        Pictures with the largest value of the neuron, at most n.
    """
    towers = {
        "image": purity.cosine_matrix(clip.image_neurons).cpu(),
        "text": purity.cosine_matrix(clip.text_neurons).cpu(),
    }
    ranked = purity.purity_order(clip.image_neurons, clip.text_neurons).cpu()
    rank = widgets.IntSlider(
        value=0, min=0, max=clip.d - 1, description="purity rank", continuous_update=False
    )
    cosines = go.FigureWidget([go.Bar(name=f"{tower} tower") for tower in towers])
    cosines.update_layout(
        template="plotly_white", height=320, xaxis_title="other neuron", yaxis_title="cosine"
    )
    pictures, said = widgets.HBox(), widgets.HTML()

    def update(_=None):
        neuron = int(ranked[rank.value])
        with cosines.batch_update():
            for bar, matrix in zip(cosines.data, towers.values()):
                bar.y = matrix[neuron].numpy()
        strongest = torch.topk(embeddings[:, neuron], min(shown, len(embeddings))).indices.tolist()
        pictures.children = [_picture(*dataset[i], dataset.classes) for i in strongest]
        said.value = f"Neuron <b>{neuron}</b>, rank {rank.value} of {clip.d} (0 is the purest)"

    rank.observe(update, "value")
    update()
    return widgets.VBox([rank, said, cosines, pictures])


def _picture(image, label, classes, size=96):
    """A picture with its class below."""
    data = image.convert("RGB").resize((size, size))._repr_png_()
    return widgets.VBox(
        [widgets.Image(value=data, format="png"), widgets.Label(classes[int(label)])]
    )
