"""Histograms of several samples on one pair of axes."""

import numpy as np
import plotly.graph_objects as go

from featpurity.report import style


def shares(samples: dict[str, np.ndarray], axis: str, caption: str, bins: int = 50) -> go.Figure:
    """What share of each sample lies in each of equal bins, as steps on a logarithmic axis.

    Parameters
    ----------
    samples : dict of str to float array of any shape
        What each line is called, and its values.
    axis : str
        What the horizontal axis says, with its unit.
    caption : str
    bins : int, default 50
        From the smallest to the largest value of all samples.
    """
    low, high = min(map(np.min, samples.values())), max(map(np.max, samples.values()))
    edges = np.linspace(low, high, bins + 1)
    figure = go.Figure()
    colours = style.colours_of(samples)
    for index, (name, values) in enumerate(samples.items()):
        counts, _ = np.histogram(values, edges)
        share = counts / np.size(values)
        line = {"color": colours[name], "dash": style.DASHES[index % 4], "shape": "hvh"}
        figure.add_scatter(
            x=(edges[1:] + edges[:-1]) / 2,
            y=np.where(share > 0, share, np.nan),  # a logarithm of 0 has no place
            name=name,
            mode="lines",
            line=line,
        )
    figure.update_xaxes(title=axis)
    figure.update_yaxes(title="share of the values", type="log")
    return style.finish(figure, caption)
