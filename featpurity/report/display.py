"""How a figure leaves Python: nothing in it asks another host, and its labels are text.

plotly's toolbar offers to upload the chart to its makers' cloud ("Share chart..."), in JupyterLab
as in a saved notebook. `offline` takes that offer out of figures of ours, those that carry a
caption, whatever shows them, and lets a notebook keep each in two forms: the JSON that JupyterLab
and the book draw, and HTML for `jupyter nbconvert --to html`. plotly reads some HTML in labels (a
bold word, a link); `as_text` leaves only the line break of what a label may bring. Any other figure
of the process is its owner's, and shown as plotly shows it.
"""

import copy
import itertools
import json
import re
import textwrap
from typing import Any

import plotly.io
from plotly.io.base_renderers import ExternalRenderer, PlotlyRenderer

PLOTLY_MIME = "application/vnd.plotly.v1+json"
CONFIG = {"showSendToCloud": False, "displaylogo": False, "responsive": True}
# Letters of a caption on a line, and pixels that a slider takes below the axes.
CAPTION_LINE, SLIDER = 100, 75
# Keys whose strings are no labels: addresses of pictures, templates' own marks, packed numbers.
NOT_LABELS = {"source", "bdata"}
MARKUP = re.compile(r"<(?!br\s*/?>|/?extra>)", re.IGNORECASE)


class NotebookRenderer(PlotlyRenderer):
    """A figure of ours as JSON and as HTML without a network; a kernel's first brings plotly's
    script. Others are plotly's.
    """

    spares_others = True

    def __init__(self, config: dict | None = None) -> None:
        super().__init__(config)
        self.shown = itertools.count()  # plotly shows with copies of a renderer: they share it

    def to_mimebundle(self, fig_dict: dict) -> dict[str, Any]:
        if not is_ours(fig_dict):
            return super().to_mimebundle(fig_dict)
        figure = as_text(json.loads(plotly.io.to_json(fig_dict, validate=False)))
        figure = with_caption(figure)
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


def is_ours(figure: dict) -> bool:
    """Whether a figure carries the caption that `featpurity.report.style.finish` gives."""
    meta = figure.get("layout", {}).get("meta")
    return isinstance(meta, dict) and bool(meta.get("caption"))


def with_caption(figure: dict) -> dict:
    """A copy of a figure's JSON with its caption below it, as a notebook shows it.

    The book sets the caption itself and takes this one out: see `without_caption`.
    """
    if not is_ours(figure):
        return figure
    layout = dict(figure["layout"])
    meta = layout["meta"]
    lines = textwrap.wrap(meta["caption"], CAPTION_LINE)
    room, below = 16 * len(lines) + 20, SLIDER if layout.get("sliders") else 0
    margin = {"b": 55} | dict(layout.get("margin", {}))
    note = {
        "name": "caption",
        "text": "<br>".join(lines),
        "xref": "paper",
        "yref": "paper",
        "x": 0,
        "y": 0,
        "yshift": -margin["b"] - below,
        "xanchor": "left",
        "yanchor": "top",
        "align": "left",
        "showarrow": False,
        "font": {"size": 12},
    }
    layout["annotations"] = [*layout.get("annotations", []), note]
    layout["margin"] = margin | {"b": margin["b"] + below + room}
    layout["height"] = (layout.get("height") or 450) + below + room
    layout["meta"] = meta | {"caption_room": below + room}
    return figure | {"layout": layout}


def without_caption(figure: dict) -> dict:
    """Undo `with_caption`."""
    layout = dict(figure.get("layout", {}))
    meta = layout.get("meta")
    room = meta.get("caption_room") if isinstance(meta, dict) else None
    if not room:
        return figure
    notes = [note for note in layout["annotations"] if note.get("name") != "caption"]
    layout["annotations"] = notes
    layout["margin"] = layout["margin"] | {"b": layout["margin"]["b"] - room}
    layout["height"] -= room
    layout["meta"] = {key: value for key, value in meta.items() if key != "caption_room"}
    return figure | {"layout": layout}


def offline() -> None:
    """Let no renderer of this process offer to upload a figure of ours; others are not touched."""
    renderers = plotly.io.renderers
    for name in renderers:
        renderer = renderers[name]  # some names share one
        if hasattr(renderer, "config") and not getattr(renderer, "spares_others", False):
            _let_spare(renderer)
    renderers["plotly_mimetype"] = NotebookRenderer(renderers["plotly_mimetype"].config)
    renderers.default = renderers.default  # plotly holds on to the renderers that it chose by name


def _let_spare(renderer):
    """Give a renderer of plotly's our `CONFIG` while it shows a figure of ours, and only then."""
    kind = type(renderer)
    method = "render" if isinstance(renderer, ExternalRenderer) else "to_mimebundle"

    def show(self, fig_dict):
        if is_ours(fig_dict):
            self = copy.copy(self)
            self.config = dict(self.config or {}) | CONFIG
        return getattr(kind, method)(self, fig_dict)

    # A class, since plotly shows with copies of a renderer, whose settings it changes.
    renderer.__class__ = type(kind.__name__, (kind,), {method: show, "spares_others": True})


def as_text(node: Any) -> Any:
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
