"""The cosines between a tower's neurons: matrices in an order that shows structure, histograms.

References
----------
Friendly (2002), Corrgrams: exploratory displays for correlation matrices: the order by the angle of
the two leading eigenvectors.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import cycle

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots
from scipy.linalg import eigh

from featpurity.metrics import purity
from featpurity.models.clip import ClipModel, neurons_by_tower
from featpurity.report import beside, style

BY_SIMILARITY = "by signed similarity"
MOST_CELLS = 256  # of a matrix's side, averaged over blocks: plotly writes each cell as text
FEW_CELLS = 128  # where a figure has many matrices, or small ones
BINS = 81  # of a histogram


@dataclass(frozen=True)
class Tower:
    """The neurons of one tower as a matrix of cosines.

    Attributes
    ----------
    cosines : float array of shape (d, d)
        With a zero diagonal.
    scores : float array of shape (d,)
        Mean |cos| of each neuron with the others over both towers: the lower, the purer.
    width : int
        Length of the weight vectors behind the cosines.
    """

    cosines: np.ndarray
    scores: np.ndarray
    width: int

    @property
    def chance(self) -> float:
        """The average |cos| of as many random directions."""
        return purity.chance_average(len(self.cosines), self.width)

    def title(self, name: str) -> str:
        """What stands above the matrix: a name and the average |cos| beside chance."""
        average = np.abs(self.cosines).mean()
        return f"{name}<br>average |cos| {average:.3f} (chance {self.chance:.3f})"

    @property
    def ranks(self) -> np.ndarray:
        """The place of each neuron in the order of purity, 1 for the purest."""
        return np.argsort(np.argsort(self.scores, kind="stable")) + 1

    @cached_property
    def orders(self) -> dict[str, np.ndarray]:
        """Orders of the neurons by what they are called: int arrays of shape (d,)."""
        return {
            BY_SIMILARITY: angular_order(self.cosines),
            "purest first": np.argsort(self.scores, kind="stable"),
            "by index": np.arange(len(self.scores)),
        }


Towers = Mapping[str, Tower]


def towers_of(clip: ClipModel) -> dict[str, Tower]:
    """Both towers of a model by name, "image" and "text", from its neurons of shape (d, width)."""
    both = neurons_by_tower(clip)
    scores = purity.mean_abs_cos(*both.values()).numpy()
    return {
        tower: Tower(purity.cosine_matrix(neurons).numpy(), scores, neurons.shape[1])
        for tower, neurons in both.items()
    }


def chance_of(clip: ClipModel) -> dict[str, float]:
    """The average |cos| of as many random directions as a model has neurons, by tower."""
    return {
        tower: purity.chance_average(*neurons.shape)
        for tower, neurons in neurons_by_tower(clip).items()
    }


def angular_order(cosines: np.ndarray) -> np.ndarray:
    """Order in which neurons that point the same way stand together: int array of shape (d,).

    By the angle of the two leading eigenvectors of the cosine matrix. Neurons that share one
    direction fall into two blocks, those along it and those against it.
    """
    d = len(cosines)
    whole = np.asarray(cosines, dtype=float) + np.eye(d)
    _, vectors = eigh(whole, subset_by_index=[max(d - 2, 0), d - 1])
    largest = np.abs(vectors).argmax(0)
    vectors *= np.sign(vectors[largest, np.arange(vectors.shape[1])])  # free signs
    second, first = vectors[:, 0], vectors[:, -1]
    angle = np.arctan2(second, first)  # cut where the first changes its sign: both blocks are whole
    return np.argsort(np.where(angle < -np.pi / 2, angle + 2 * np.pi, angle), kind="stable")


def side_by_side(
    models: Mapping[str, Towers], caption: str, pairs: Sequence[tuple[str, str]] = ()
) -> go.Figure:
    """Matrices of models beside one another; a menu chooses tower and order.

    Parameters
    ----------
    models : dict of str to (dict of str to Tower)
        The towers of each model, see `towers_of`. Those that stand together zoom together.
    caption : str
    pairs : list of (str, str)
        Models that are compared; the menu chooses one of many, see `featpurity.report.beside`.
    """
    groups = beside.groups(list(models), pairs)
    most_cells = MOST_CELLS if len(groups) == 1 else FEW_CELLS
    columns = max(map(len, groups.values()))
    titles = next(iter(groups.values()))
    figure = make_subplots(cols=columns, subplot_titles=titles, horizontal_spacing=0.04)
    limit = colour_limit([tower.cosines for both in models.values() for tower in both.values()])
    first, shown, labels = next(iter(models.values())), {}, {}
    views = [(side, order) for side, tower in first.items() for order in tower.orders]
    for group, names in groups.items():
        for side, order in views:
            choice = f"{group}, {side} tower, {order}".removeprefix(", ")
            for column, name in enumerate(names, 1):
                tower, chosen = models[name][side], models[name][side].orders[order]
                shown.setdefault(choice, set()).add(len(figure.data))
                figure.add_trace(matrix(tower, chosen, most_cells), row=1, col=column)
                here = _labels(column, name, tower, chosen, most_cells)
                labels.setdefault(choice, {}).update(here)
    name = "Tower and order" if len(groups) == 1 else "Models, tower and order"
    style.menu(figure, shown, labels, name)
    figure.update_layout(coloraxis=colour_scale(limit))
    square(figure)
    return style.finish(figure, caption, height=500)


def over_ratios(models: Mapping[tuple[str, float], Towers], caption: str) -> go.Figure:
    """Matrices of fine-tuned models, with a slider over the ratio of swapped captions.

    A column is a kind of swap, a row a tower.

    Parameters
    ----------
    models : dict of (kind, ratio) to (dict of str to Tower)
    caption : str
    """
    kinds, ratios = (list(dict.fromkeys(part)) for part in zip(*models))
    sides = list(next(iter(models.values())))
    titles = [f"{side} tower, {kind}" for side in sides for kind in kinds]
    figure = make_subplots(
        len(sides),
        len(kinds),
        subplot_titles=titles,
        horizontal_spacing=0.04,
        vertical_spacing=0.13,
    )
    shown, labels = {}, {}
    for row, side in enumerate(sides):
        for column, kind in enumerate(kinds):
            panel = row * len(kinds) + column + 1
            for ratio in ratios:
                tower = models[kind, ratio][side]
                chosen = tower.orders[BY_SIMILARITY]
                shown.setdefault(f"{ratio:g}", set()).add(len(figure.data))
                figure.add_trace(matrix(tower, chosen, FEW_CELLS), row=row + 1, col=column + 1)
                here = _labels(panel, titles[panel - 1], tower, chosen, FEW_CELLS)
                labels.setdefault(f"{ratio:g}", {}).update(here)
    steps = style.views(figure, shown, labels, first=list(shown)[-1])
    style.slider(figure, steps, "Share of captions swapped", active=len(steps) - 1)
    limit = colour_limit([tower.cosines for both in models.values() for tower in both.values()])
    figure.update_layout(coloraxis=colour_scale(limit))
    square(figure)
    return style.finish(figure, caption, height=150 + 340 * len(sides))


def matrix(tower: Tower, order: np.ndarray, most_cells: int) -> go.Heatmap:
    """A tower's matrix as a trace, its neurons in an order."""
    return go.Heatmap(
        z=cells(tower, order, most_cells),
        coloraxis="coloraxis",
        hovertemplate="%{y}<br>%{x}<br>cosine %{z:+.3f}<extra></extra>",
    )


def cells(tower: Tower, order: np.ndarray, most_cells: int) -> np.ndarray:
    """Mean cosines of the blocks of neurons that share a cell: float32 (cells, cells).

    Parameters
    ----------
    tower : Tower
    order : int array of shape (d,)
        In which the neurons stand.
    most_cells : int
        Where d is larger, neighbours in the order share a cell.
    """
    ordered = np.asarray(tower.cosines, dtype=np.float32)[np.ix_(order, order)]
    starts = _blocks(len(order), most_cells)
    sizes = np.diff([*starts, len(order)])
    sums = np.add.reduceat(np.add.reduceat(ordered, starts, axis=0), starts, axis=1)
    return (sums / np.outer(sizes, sizes)).astype(np.float32)


def cell_names(tower: Tower, order: np.ndarray, most_cells: int) -> list[str]:
    """What is said of the neurons of each row and column of `cells`."""
    ranks = tower.ranks
    return [
        f"neuron {block[0]}, purity rank {ranks[block[0]]}, mean |cos| {tower.scores[block[0]]:.3f}"
        if len(block) == 1
        else f"neurons {', '.join(map(str, block))}"
        for block in blocks_of(order, most_cells)
    ]


def blocks_of(order: np.ndarray, most_cells: int) -> list[np.ndarray]:
    """The neurons of each row and column of `cells`."""
    return np.split(order, _blocks(len(order), most_cells)[1:])


def _blocks(d, most_cells):
    """Where the blocks of neurons begin that share a cell; a neuron each where there is room."""
    size = -(-d // most_cells)
    return np.arange(0, d, size)


def _labels(panel, title, tower, order, most_cells):
    """A panel's title and what pointing at a cell says, as settings of the layout."""
    said = cell_names(tower, order, most_cells)
    number = "" if panel == 1 else str(panel)
    return {f"annotations[{panel - 1}].text": tower.title(title)} | {
        f"{axis}axis{number}.{key}": value
        for axis in "xy"
        for key, value in {"tickvals": list(range(len(said))), "ticktext": said}.items()
    }


def colour_limit(matrices: list[np.ndarray]) -> float:
    """End of the colour scale: wide enough for all but the most extreme 0.1 % of the pairs."""
    return max(float(np.quantile(np.abs(cosines), 0.999)) for cosines in matrices)


def colour_scale(limit: float) -> dict:
    """The scale of colours from -limit to limit, as plotly's `coloraxis`."""
    bar = {"title": {"text": "cosine"}, "thickness": 12}
    return {"colorscale": "RdBu_r", "cmin": -limit, "cmax": limit, "colorbar": bar}


def square(figure: go.Figure, row: int | None = None) -> None:
    """Make the panels of a row, or all, square and let them zoom together.

    Neurons are named when pointed at, not on the axes.
    """
    first = next(figure.select_xaxes(row=row)).plotly_name.removeprefix("xaxis")
    alike = {"constrain": "domain", "showticklabels": False, "showgrid": False, "zeroline": False}
    alike |= {"tickmode": "array", "ticks": ""}
    figure.update_xaxes(alike, matches=f"x{first}", title="neuron", row=row)
    figure.update_yaxes(alike, matches=f"y{first}", autorange="reversed", row=row)
    figure.update_yaxes(title="neuron", row=row, col=1)
    for axis in figure.select_yaxes(row=row):
        axis.scaleanchor = axis.plotly_name.replace("yaxis", "x")


def cosine_histogram(
    towers: Mapping[str, Tower],
    caption: str,
    ordered: bool = False,
    panels: Mapping[str, str] | None = None,
) -> go.Figure:
    """How the cosines between different neurons are distributed, and those of random directions.

    Parameters
    ----------
    towers : dict of str to Tower
        Each pair of neurons counts once. Random directions have cosines of standard deviation
        1 / sqrt(width).
    caption : str
    ordered : bool
        Whether the names are steps of one quantity, which a sequential scale of colours shows.
    panels : dict of str to str, optional
        The title of the panel that each tower has its line in, one for all by default; the legend
        leaves off what a name ends in where that is the title.
    """
    panels = panels or dict.fromkeys(towers, "")
    titles = list(dict.fromkeys(panels.values()))
    pairs = {label: between_neurons(tower.cosines) for label, tower in towers.items()}
    limit = max(float(np.quantile(np.abs(p), 0.9995)) for p in pairs.values())
    edges = np.linspace(-limit, limit, BINS + 1)
    centres = (edges[1:] + edges[:-1]) / 2
    figure = make_subplots(
        cols=len(titles), subplot_titles=titles, shared_yaxes=True, horizontal_spacing=0.06
    )
    names = {label: label.removesuffix(f", {panels[label]}") for label in pairs}
    colours = style.colours_of(names.values(), ordered)
    widths = {label: tower.width for label, tower in towers.items()}
    dashes = dict(zip(sorted(set(widths.values())), cycle(("dot", "dashdot"))))
    for column, title in enumerate(titles, 1):
        own = [label for label in pairs if panels[label] == title]
        for index, label in enumerate(own):
            density, _ = np.histogram(pairs[label], edges, density=True)
            dash = "solid" if ordered else style.DASHES[index % len(style.DASHES)]
            line = {"color": colours[names[label]], "dash": dash, "shape": "hvh"}
            _density(figure, centres, density, names[label], line, column)
        for width in sorted({widths[label] for label in own}):
            normal = np.sqrt(width / (2 * np.pi)) * np.exp(-width * centres**2 / 2)
            line = style.CHANCE_LINE | {"dash": dashes[width]}
            _density(figure, centres, normal, f"chance, width {width}", line, column)
    style.name_once(figure)
    figure.update_xaxes(title="cosine between two neurons")
    figure.update_yaxes(title="density", col=1)
    return style.finish(figure, caption)


def between_neurons(cosines: np.ndarray) -> np.ndarray:
    """The cosines of different neurons, from a matrix (d, d): each pair once."""
    return cosines[np.triu_indices(len(cosines), 1)]


def _density(figure, x, y, name, line, column):
    about = {"mode": "lines", "name": name, "legendgroup": name, "line": line}
    figure.add_scatter(x=x, y=y, **about, row=1, col=column)
