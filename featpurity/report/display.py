"""How a figure leaves Python: nothing in it asks another host, and its labels are text.

plotly's toolbar offers to upload the chart to its makers' cloud ("Share chart..."), in JupyterLab
as in a saved notebook. `offline` takes that offer out of every renderer, and lets a notebook keep
each figure in two forms: the JSON that JupyterLab and the book draw, and HTML for
`jupyter nbconvert --to html`. plotly reads some HTML in labels (a bold word, a link); `as_text`
leaves only the line break of what a label may bring.
"""

import itertools
import json
import re

import plotly.io
from plotly.io.base_renderers import MimetypeRenderer

PLOTLY_MIME = "application/vnd.plotly.v1+json"
CONFIG = {"showSendToCloud": False, "displaylogo": False, "responsive": True}
# Keys whose strings are no labels: addresses of pictures, templates' own marks, packed numbers.
NOT_LABELS = {"source", "bdata"}
MARKUP = re.compile(r"<(?!br\s*/?>|/?extra>)", re.IGNORECASE)


class NotebookRenderer(MimetypeRenderer):
    """A figure as JSON and as HTML without a network; a kernel's first brings plotly's script."""

    def __init__(self):
        self.shown = itertools.count()  # plotly shows with copies of a renderer: they share it

    def to_mimebundle(self, fig_dict):
        figure = as_text(json.loads(plotly.io.to_json(fig_dict, validate=False)))
        html = plotly.io.to_html(
            figure,
            config=CONFIG,
            include_plotlyjs=next(self.shown) == 0,
            include_mathjax=False,
            full_html=False,
            default_width="100%",
            validate=False,
        )
        return {PLOTLY_MIME: figure | {"config": CONFIG}, "text/html": html}


def offline():
    """Take the offer to upload a chart out of every renderer of this process."""
    renderers = plotly.io.renderers
    for name in renderers:
        if hasattr(renderers[name], "config"):
            renderers[name].config = dict(renderers[name].config or {}) | CONFIG
    renderers["plotly_mimetype"] = NotebookRenderer()
    renderers.default = renderers.default  # plotly holds on to the renderers that it chose by name


def as_text(node):
    """Copy a figure's JSON with the markup in its labels shown as it is written.

    Parameters
    ----------
    node : dict, list, str or number
        A figure as plotly's JSON, or a part of it.

    Returns
    -------
    node : as given
        Every `<` that does not open a line break or plotly's `<extra>` is `&lt;`, which plotly
        draws as `<`.
    """
    if isinstance(node, str):
        return MARKUP.sub("&lt;", node)
    if isinstance(node, dict):
        return {key: value if key in NOT_LABELS else as_text(value) for key, value in node.items()}
    if isinstance(node, list | tuple):
        return [as_text(entry) for entry in node]
    return node
