"""Make Plotly figures of executed notebooks small files beside a page that need no network.

A figure becomes one JavaScript file that hands its JSON to `book/site/figures.js`: pages opened
from a disk (`file://`) may run scripts, but not fetch JSON. Large float arrays are packed as 16-bit
whole numbers over their own range, a symmetric matrix as its upper triangle, deflated, in base64.
The largest error is the range / 131068.
"""

import base64
import functools
import html
import json
import zlib

import numpy as np
import plotly.io
from figure_words import describe, numbers

from featpurity.report import style
from featpurity.report.display import as_text

SMALLEST_PACKED = 4096  # entries; below this, packing does not pay
LONGEST_PLAIN = 50_000  # letters of a figure's JSON; longer ones are deflated
COLOURED = {"line", "marker", "colorscale"}  # keys of a trace's colours
LONG_VALUE = 200  # letters of a trace's value that is worth loading later
STEPS = 65532  # -32766 .. 32766, and one on either side for a shift; -32768 is NaN
PLAIN_HEIGHT = 450  # plotly's own default, in pixels

FIGURE = (
    '<figure class="featpurity-figure" id="{anchor}" data-figure="{name}">'
    '<div class="canvas"><div class="plot" role="application" aria-roledescription="chart" '
    'tabindex="0" aria-label="Figure {number}: the arrow keys go through its values" '
    'style="min-height: {height}px"></div></div>'
    '<figcaption><a class="number" href="{page}#{anchor}">Figure {number}.</a> {caption}'
    "</figcaption>"
    '<details class="in-words"><summary>Figure {number} in words and numbers</summary>'
    "<p>{words}</p></details></figure>"
)


def pack(array):
    """Pack a float array into a sixth or less of the bytes of its JSON text.

    Parameters
    ----------
    array : float array of shape (n,) or (rows, columns)
        NaN stays NaN; infinities raise ValueError.

    Returns
    -------
    packed : dict
        `packed` (base64 of the deflated int16 values: all high bytes, then all low bytes), `shape`,
        `symmetric` (only the upper triangle with the diagonal, row by row), and value = `offset` +
        `scale` * int16.
    """
    array = np.asarray(array, dtype=np.float64)
    if np.isinf(array).any():
        raise ValueError(
            f"a figure's array of shape {array.shape} holds infinite values; "
            "expected finite ones or NaN"
        )
    low, high = (np.nanmin(array), np.nanmax(array)) if not np.isnan(array).all() else (0.0, 0.0)
    scale = float(high - low) / STEPS or abs(float(low)) or 1.0
    offset = round(float(low) / scale + STEPS / 2) * scale  # a whole number of steps: 0 stays 0
    values = np.where(np.isnan(array), -32768, np.rint((array - offset) / scale)).astype(np.int16)
    symmetric = array.ndim == 2 and array.shape[0] == array.shape[1] and _nearly_symmetric(values)
    if symmetric:
        values = values[np.triu_indices(len(values))]
    planes = (
        values.astype(">i2").view(np.uint8).reshape(-1, 2).T
    )  # (2, n): similar bytes side by side deflate better
    return {
        "packed": base64.b64encode(zlib.compress(planes.tobytes(), 9)).decode(),
        "shape": list(array.shape),
        "symmetric": bool(symmetric),
        "scale": scale,
        "offset": offset,
    }


def _nearly_symmetric(values):
    """Whether the triangles of an int16 matrix differ by at most a step, as a matmul may round."""
    wide = values.astype(np.int32)
    return bool((np.abs(wide - wide.T) <= 1).all())


def pack_arrays(node):
    """Copy a figure's JSON, packing every large float array in it."""
    if isinstance(node, list):
        return [pack_arrays(entry) for entry in node]
    if not isinstance(node, dict):
        return node
    if "bdata" in node and node.get("dtype") in ("f4", "f8"):
        array = numbers(node)
        return pack(array) if array.size >= SMALLEST_PACKED and array.ndim <= 2 else node
    return {key: pack_arrays(value) for key, value in node.items()}


@functools.cache
def _known_templates():
    """plotly's templates and ours, as stored in notebooks."""
    names = {*plotly.io.templates, style.TEMPLATE}
    templates = (plotly.io.templates[name].to_plotly_json() for name in names)
    return json.loads(
        plotly.io.to_json({"data": [], "layout": {"all": list(templates)}}, validate=False)
    )["layout"]["all"]


def caption(figure):
    """The plain text of `layout.meta = {"caption": ...}`, or an empty string."""
    meta = figure.get("layout", {}).get("meta")
    return str(meta.get("caption", "")) if isinstance(meta, dict) else ""


def figure_scripts(name, figure):
    """The JavaScript files that hand one figure to the page.

    Parameters
    ----------
    name : str
        The page's `data-figure`.
    figure : dict
        A notebook output of the type `application/vnd.plotly.v1+json`.

    Returns
    -------
    scripts : dict of str to str
        File name without `.js` -> text: the figure under `name`, and a part with the long values of
        each group of hidden traces that are shown together.
    """
    figure = as_text(figure)
    layout = {key: value for key, value in figure.get("layout", {}).items() if key != "width"}
    if layout.get("template") in _known_templates():
        del layout["template"]  # 7 kB of defaults; the page has its own for light and dark
    data, parts, later = pack_arrays(figure.get("data", [])), {}, {}
    for index, keys in _late(data, layout).items():
        part = f"{name}-later{_first_shown_with(index, layout)}"
        parts.setdefault(part, {})[index] = {key: data[index].pop(key) for key in keys}
        later[index] = part
    parts[name] = {
        "data": data,
        "layout": layout,
        "frames": pack_arrays(figure.get("frames", [])),
        "later": later,
    }
    return {part: _script(part, content) for part, content in parts.items()}


def _late(data, layout):
    """Keys of hidden traces whose values load when a menu or slider shows the trace.

    They are the packed ones; if hidden traces are heavy in total and no slider changes their
    values, all long ones too, except colours, which the page needs for its dark look.
    """
    hidden = [index for index, trace in enumerate(data) if trace.get("visible") is False]
    size = {
        (index, key): len(json.dumps(value))
        for index in hidden
        for key, value in data[index].items()
        if isinstance(value, list | dict) and key not in COLOURED
    }
    heavy = sum(size.values()) > LONGEST_PLAIN and not layout.get("sliders")
    late = {}
    for (index, key), letters in size.items():
        value = data[index][key]
        packed = isinstance(value, dict) and "packed" in value
        if packed or (heavy and letters > LONG_VALUE):
            late.setdefault(index, []).append(key)
    return late


def _first_shown_with(index, layout):
    """The first entry of the menus and sliders, by its place, that shows a trace.

    For a trace that none shows, its own place: its part is never requested.
    """
    entries = [
        *(button for menu in layout.get("updatemenus", []) for button in menu.get("buttons", [])),
        *(step for slider in layout.get("sliders", []) for step in slider.get("steps", [])),
    ]
    for place, entry in enumerate(entries):
        changed = (entry.get("args") or [{}])[0]
        visible = changed.get("visible") if isinstance(changed, dict) else None
        if isinstance(visible, list) and index < len(visible) and visible[index] is True:
            return place
    return index


def _script(name, content):
    text = json.dumps(content, separators=(",", ":"), ensure_ascii=False)
    if len(text) > LONGEST_PLAIN:
        deflated = base64.b64encode(zlib.compress(text.encode(), 9)).decode()
        text = json.dumps({"deflated": deflated})
    return f"featpurity.figure({json.dumps(name)}, {text});\n"


def figure_html(name, figure, number, page=""):
    """The light element in the page where the figure will be drawn.

    Parameters
    ----------
    name : str
        The figure's name, as for `figure_scripts`.
    figure : dict
        A notebook output of the type `application/vnd.plotly.v1+json`.
    number : str
        Chapter and place in it, such as "3.2".
    page : str
        Address of the figure's own page, for a figure shown on another.
    """
    height = int(figure.get("layout", {}).get("height") or PLAIN_HEIGHT)
    anchor = f"figure-{number.replace('.', '-')}"
    return FIGURE.format(
        name=html.escape(name),
        anchor=anchor,
        page=html.escape(page),
        number=html.escape(number),
        height=height,
        caption=html.escape(caption(figure)),
        words=html.escape(describe(figure)),
    )
