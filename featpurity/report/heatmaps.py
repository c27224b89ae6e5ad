"""The cosines between a tower's neurons: matrices in an order that shows structure, histograms.

References
----------
Friendly (2002), Corrgrams: exploratory displays for correlation matrices: the order by the angle of
the two leading eigenvectors.
"""

from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from featpurity.metrics import purity
from featpurity.report import style


@dataclass(frozen=True)
class Tower:
    """The neurons of one tower as a matrix of cosines.

    Attributes
    ----------
    cosines : float array of shape (d, d)
        With a zero diagonal.
    scores : float array of shape (d,)
        Mean |cos| of each neuron with the others over both towers: the lower, the purer.
    chance : float
        The average |cos| of as many random directions.
    """

    cosines: np.ndarray
    scores: np.ndarray
    chance: float

    def title(self, name):
        """What stands above the matrix: a name and the average |cos| beside chance."""
        average = np.abs(self.cosines).mean()
        return f"{name}<br>average |cos| {average:.3f} (chance {self.chance:.3f})"

    @property
    def ranks(self):
        """The place of each neuron in the order of purity, 1 for the purest."""
        return np.argsort(np.argsort(self.scores, kind="stable")) + 1

    def orders(self):
        """Orders of the neurons by what they are called: int arrays of shape (d,)."""
        return {
            "by signed similarity": angular_order(self.cosines),
            "purest first": np.argsort(self.scores, kind="stable"),
            "by index": np.arange(len(self.scores)),
        }


def towers_of(clip) -> dict[str, Tower]:
    """Both towers of a model by name, "image" and "text", from its neurons of shape (d, width)."""
    both = {"image": clip.image_neurons.cpu(), "text": clip.text_neurons.cpu()}
    scores = purity.purity_scores(*both.values()).numpy() / (2 * (len(both["image"]) - 1))
    return {
        tower: Tower(purity.cosine_matrix(neurons).numpy(), scores, chance(*neurons.shape))
        for tower, neurons in both.items()
    }


def chance(d, width):
    """Average |cos| of d random directions in `width` dimensions, the zero diagonal counted."""
    return purity.chance_level(width) * (d - 1) / d


def chance_of(clip) -> dict[str, float]:
    """The average |cos| of as many random directions as a model has neurons, by tower."""
    return {"image": chance(*clip.image_neurons.shape), "text": chance(*clip.text_neurons.shape)}


def angular_order(cosines):
    """Order in which neurons that point the same way stand together: int array of shape (d,).

    By the angle of the two leading eigenvectors of the cosine matrix. Neurons that share one
    direction fall into two blocks, those along it and those against it.
    """
    _, vectors = np.linalg.eigh(np.asarray(cosines, dtype=float) + np.eye(len(cosines)))
    second, first = vectors[:, -2], vectors[:, -1]  # their signs are free: fixed here
    first, second = (one * np.sign(one[np.argmax(np.abs(one))]) for one in (first, second))
    angle = np.arctan2(second, first)  # cut where the first changes its sign: both blocks are whole
    return np.argsort(np.where(angle < -np.pi / 2, angle + 2 * np.pi, angle), kind="stable")


def side_by_side(models, caption, most_cells=256):
    """Matrices of several models beside one another; a menu chooses tower and order.

    Parameters
    ----------
    models : dict of str to (dict of str to Tower)
        The towers of each model, see `towers_of`; all of one size. They zoom together.
    caption : str
    most_cells : int
        A side of a matrix has at most so many cells: larger matrices are averaged over blocks.
    """
    names = list(models)
    figure = make_subplots(cols=len(names), subplot_titles=names, horizontal_spacing=0.04)
    limit = _limit([tower.cosines for towers in models.values() for tower in towers.values()])
    shown, labels = {}, {}
    for tower in next(iter(models.values())):
        for order in ("by signed similarity", "purest first", "by index"):
            choice = f"{tower} tower, {order}"
            for column, (name, towers) in enumerate(models.items(), 1):
                one, chosen = towers[tower], towers[tower].orders()[order]
                shown.setdefault(choice, set()).add(len(figure.data))
                figure.add_trace(_matrix(one.cosines, chosen, most_cells), row=1, col=column)
                here = _labels(column, name, one, chosen, most_cells)
                labels.setdefault(choice, {}).update(here)
    style.menu(figure, shown, name="Tower and order")
    for button in figure.layout.updatemenus[0].buttons:
        button.args = (button.args[0], labels[button.label])
    figure.update_layout(coloraxis=_scale(limit))
    _square(figure, len(names))
    _set(figure, labels[next(iter(shown))])
    return style.finish(figure, caption, height=500)


def over_ratios(models, caption, most_cells=128):
    """Matrices of fine-tuned models, with a slider over the ratio of swapped captions.

    A column is a kind of swap, a row a tower.

    Parameters
    ----------
    models : dict of (kind, ratio) to (dict of str to Tower)
    caption : str
    most_cells : int
        See `side_by_side`.
    """
    kinds, ratios = ({key[i]: None for key in models} for i in (0, 1))
    towers = list(next(iter(models.values())))
    titles = [f"{tower} tower, {kind}" for tower in towers for kind in kinds]
    figure = make_subplots(
        len(towers),
        len(kinds),
        subplot_titles=titles,
        horizontal_spacing=0.04,
        vertical_spacing=0.13,
    )
    shown, labels = {}, {}
    for row, tower in enumerate(towers):
        for column, kind in enumerate(kinds):
            panel = row * len(kinds) + column + 1
            for ratio in ratios:
                one = models[kind, ratio][tower]
                chosen = one.orders()["by signed similarity"]
                shown.setdefault(f"{ratio:g}", set()).add(len(figure.data))
                figure.add_trace(
                    _matrix(one.cosines, chosen, most_cells), row=row + 1, col=column + 1
                )
                here = _labels(panel, titles[panel - 1], one, chosen, most_cells)
                labels.setdefault(f"{ratio:g}", {}).update(here)
    last = list(shown)[-1]
    steps = {
        ratio: ({"visible": [i in traces for i in range(len(figure.data))]}, labels[ratio])
        for ratio, traces in shown.items()
    }
    for index, trace in enumerate(figure.data):
        trace.visible = index in shown[last]
    style.slider(figure, steps, "Share of captions swapped", active=len(steps) - 1)
    limit = _limit([tower.cosines for both in models.values() for tower in both.values()])
    figure.update_layout(coloraxis=_scale(limit))
    _square(figure, len(titles))
    _set(figure, labels[last])
    return style.finish(figure, caption, height=150 + 340 * len(towers))


def _matrix(cosines, order, most_cells):
    """One matrix as a trace, its neurons in an order."""
    ordered = np.asarray(cosines, dtype=np.float32)[np.ix_(order, order)]
    starts = _blocks(len(order), most_cells)
    sizes = np.diff([*starts, len(order)])
    sums = np.add.reduceat(np.add.reduceat(ordered, starts, axis=0), starts, axis=1)
    return go.Heatmap(
        z=(sums / np.outer(sizes, sizes)).astype(np.float32),
        coloraxis="coloraxis",
        hovertemplate="%{y}<br>%{x}<br>cosine %{z:+.3f}<extra></extra>",
    )


def _blocks(d, most_cells):
    """Where the blocks of neurons begin that share a cell; a neuron each where there is room."""
    size = -(-d // most_cells)
    return np.arange(0, d, size)


def _labels(panel, title, tower, order, most_cells):
    """A panel's title and what pointing at a cell says, as settings of the layout."""
    starts, ranks = _blocks(len(order), most_cells), tower.ranks
    said = []
    for block in np.split(order, starts[1:]):
        if len(block) == 1:
            j = block[0]
            said.append(f"neuron {j}, purity rank {ranks[j]}, mean |cos| {tower.scores[j]:.3f}")
        else:
            said.append(f"neurons {', '.join(map(str, block))}")
    number = "" if panel == 1 else str(panel)
    return {f"annotations[{panel - 1}].text": tower.title(title)} | {
        f"{axis}axis{number}.{key}": value
        for axis in "xy"
        for key, value in {"tickvals": list(range(len(said))), "ticktext": said}.items()
    }


def _set(figure, settings):
    """Settings as a menu gives them, `annotations[0].text` say, made those of the figure."""
    for key, value in settings.items():
        place, _, last = key.rpartition(".")
        figure.layout[place][last] = value


def _limit(matrices):
    """End of the colour scale: wide enough for all but the most extreme 0.1 % of the pairs."""
    return max(float(np.quantile(np.abs(one), 0.999)) for one in matrices)


def _scale(limit):
    bar = {"title": {"text": "cosine"}, "thickness": 12}
    return {"colorscale": "RdBu_r", "cmin": -limit, "cmax": limit, "colorbar": bar}


def _square(figure, panels):
    """Square panels that zoom together; neurons are named when pointed at, not on the axes."""
    figure.update_xaxes(matches="x", constrain="domain", showticklabels=False, showgrid=False)
    figure.update_yaxes(matches="y", constrain="domain", showticklabels=False, showgrid=False)
    figure.update_xaxes(title="neuron", tickmode="array", ticks="")
    figure.update_yaxes(autorange="reversed", tickmode="array", ticks="")
    figure.update_yaxes(title="neuron", col=1)
    for panel in range(1, panels + 1):
        number = "" if panel == 1 else str(panel)
        figure.layout[f"yaxis{number}"].scaleanchor = f"x{number}"


def cosine_histogram(cosines, widths, caption, bins=81, ordered=False):
    """How the cosines between different neurons are distributed, and those of random directions.

    Parameters
    ----------
    cosines : dict of str to float array of shape (d, d)
        Cosine matrices; each pair counts once.
    widths : dict of str to int
        Length of the weight vectors behind each matrix: random directions have cosines of standard
        deviation 1 / sqrt(width).
    caption : str
    bins : int
    ordered : bool
        Whether the names are steps of one quantity, which a sequential scale of colours shows.
    """
    pairs = {label: np.asarray(m)[np.triu_indices(len(m), 1)] for label, m in cosines.items()}
    limit = max(float(np.quantile(np.abs(p), 0.9995)) for p in pairs.values())
    edges = np.linspace(-limit, limit, bins + 1)
    centres = (edges[1:] + edges[:-1]) / 2
    figure, colours = go.Figure(), style.colours_of(pairs, ordered)
    for index, (label, values) in enumerate(pairs.items()):
        density, _ = np.histogram(values, edges, density=True)
        dash = "solid" if ordered else style.DASHES[index % len(style.DASHES)]
        line = {"color": colours[label], "dash": dash, "shape": "hvh"}
        figure.add_scatter(x=centres, y=density, name=label, mode="lines", line=line)
    for index, width in enumerate(sorted(set(widths.values()))):
        normal = np.sqrt(width / (2 * np.pi)) * np.exp(-width * centres**2 / 2)
        line = style.CHANCE_LINE | {"dash": ("dot", "dashdot")[index % 2]}
        figure.add_scatter(
            x=centres, y=normal, name=f"chance, width {width}", mode="lines", line=line
        )
    figure.update_xaxes(title="cosine between two neurons")
    figure.update_yaxes(title="density")
    return style.finish(figure, caption)
