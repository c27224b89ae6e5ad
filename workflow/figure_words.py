"""Describe a plotly figure in words, for readers who cannot see it.

The words come from the figure itself: its kind, its axes, the names of its lines, and the values at
their ends. A figure's own description, in `layout.meta["description"]`, comes first.
"""

import base64
import html
import re

import numpy as np

MOST = 8  # lines, bars or pictures that are described one by one
KINDS = {"bar": "bars", "heatmap": "matrix", "image": "picture"}


def numbers(node):
    """A NumPy array from a figure's JSON, where it is a list or packed by plotly."""
    if isinstance(node, dict):
        array = np.frombuffer(base64.b64decode(node["bdata"]), dtype="<" + node["dtype"])
        return array.reshape([int(side) for side in str(node.get("shape", -1)).split(",")])
    return np.asarray([] if node is None else node)


def plain(label):
    """A label without plotly's markup."""
    return "" if label is None else html.unescape(re.sub(r"<[^>]*>", " ", str(label))).strip()


def describe(figure):
    """Sentences on a figure's kind, axes and values.

    Parameters
    ----------
    figure : dict
        A notebook output of the type `application/vnd.plotly.v1+json`.
    """
    layout = figure.get("layout", {})
    shown = [trace for trace in figure.get("data", []) if _is_shown(trace)]
    meta = layout.get("meta")
    said = meta.get("description", "") if isinstance(meta, dict) else ""
    changed_by = list(_menus(layout))
    kinds = _kinds(shown, "At first the" if changed_by else "The")
    sentences = [plain(said), kinds, *_axes(layout), *_panels(layout)]
    panels = panel_names(layout, shown)
    sentences += [_values(trace, panel) for trace, panel in zip(shown[:MOST], panels)]
    if len(shown) > MOST:
        sentences.append(f"{len(shown) - MOST} more are in the table of the data.")
    sentences += changed_by
    return " ".join(filter(None, sentences))


def _is_shown(trace):
    silent = trace.get("hoverinfo") == "skip" and trace.get("type") != "image"
    return trace.get("visible", True) is True and not silent


def _kind(trace):
    if "type" in trace and trace["type"] in KINDS:
        return KINDS[trace["type"]]
    return "line" if "lines" in trace.get("mode", "lines") else "points"


def _kinds(traces, article):
    counts = {}
    for trace in traces:
        counts[_kind(trace)] = counts.get(_kind(trace), 0) + 1
    plurals = {"line": "lines", "points": "groups of points", "bars": "groups of bars"}
    plurals |= {"matrix": "matrices in colour", "picture": "pictures"}
    singles = {"line": "one line", "points": "one group of points", "bars": "one group of bars"}
    singles |= {"matrix": "one matrix in colour", "picture": "one picture"}
    parts = [singles[kind] if n == 1 else f"{n} {plurals[kind]}" for kind, n in counts.items()]
    return f"{article} figure shows {' and '.join(parts)}." if parts else ""


def _axes(layout):
    for letter, name in (("x", "Horizontal"), ("y", "Vertical")):
        titles = [
            plain((axis.get("title") or {}).get("text"))
            for key, axis in layout.items()
            if re.fullmatch(rf"{letter}axis\d*", key)
        ]
        titles = list(dict.fromkeys(filter(None, titles)))
        if titles:
            yield f"{name} axis: {'; '.join(titles)}."


def _panels(layout):
    titles = [plain(note.get("text")) for note in layout.get("annotations", [])]
    titles = [title for title in titles if title]
    if len(titles) > 1:
        yield f"Panels: {'; '.join(titles)}."


def panel_names(layout, traces):
    """The name of each trace's panel; "" for all if there is only one panel.

    It is the title above the panel, else those titles of its axes that other panels lack, else its
    number, as `book/site/data.js` names it in the figure's table.
    """
    places = [(trace.get("xaxis", "x"), trace.get("yaxis", "y")) for trace in traces]
    panels = list(dict.fromkeys(places))
    if len(panels) < 2:
        return [""] * len(traces)
    axes = {name: layout.get(f"{name[0]}axis{name[1:]}", {}) for place in panels for name in place}
    titles = {name: plain((axis.get("title") or {}).get("text")) for name, axis in axes.items()}
    own = [i for i in (1, 0) if len({titles[place[i]] for place in panels} - {""}) > 1]
    names = {}
    for number, place in enumerate(panels, 1):
        (left, right), (_, top) = (axes[name].get("domain", (0, 1)) for name in place)
        above = [
            plain(note.get("text"))
            for note in layout.get("annotations", [])
            if np.allclose((note.get("x", -1), note.get("y", -1)), ((left + right) / 2, top))
        ]
        beside = [titles[place[i]] for i in own if titles[place[i]]]
        names[place] = "".join(above[:1]) or ", ".join(beside) or f"panel {number}"
    return [names[place] for place in places]


def _values(trace, panel=""):
    name = ", ".join(filter(None, (plain(trace.get("name")), panel))) or "Values"
    if _kind(trace) == "picture":
        return ""
    if _kind(trace) == "matrix":
        z = numbers(trace.get("z")).astype(float)
        if not z.size or np.isnan(z).all():
            return ""
        size = " by ".join(map(str, z.shape))
        return f"{name}: {size} values from {np.nanmin(z):.3g} to {np.nanmax(z):.3g}."
    x, y = numbers(trace.get("x")), numbers(trace.get("y"))
    along, value = (y, x) if y.dtype.kind not in "fiu" else (x, y)
    value = np.asarray(value, dtype=float) if value.dtype.kind in "fiu" else np.array([])
    known = np.flatnonzero(~np.isnan(value))
    if not known.size or len(along) not in (0, len(value)):
        return ""
    places = along if len(along) else np.arange(len(value))
    if _kind(trace) == "line":
        first, last, top = known[0], known[-1], known[value[known].argmax()]
        peak = f", highest {value[top]:.3g} at {_place(places[top])}"
        return (
            f"{name}: from {value[first]:.3g} at {_place(places[first])} "
            f"to {value[last]:.3g} at {_place(places[last])}"
            f"{'' if top in (first, last) else peak}."
        )
    low, high = known[value[known].argmin()], known[value[known].argmax()]
    return (
        f"{name}: lowest {value[low]:.3g} ({_place(places[low])}), "
        f"highest {value[high]:.3g} ({_place(places[high])})."
    )


def _place(value):
    if not isinstance(value, float | np.floating):
        return plain(value)
    return f"{value:.3g}" if abs(value) > 1e-12 else "0"  # as in the middle of a histogram's bins


def _menus(layout):
    for menu in layout.get("updatemenus", []):
        labels = [plain(button.get("label")) for button in menu.get("buttons", [])]
        if len(labels) > 1:
            more = f" and {len(labels) - MOST} more" if len(labels) > MOST else ""
            yield f"A menu chooses what is shown: {'; '.join(labels[:MOST])}{more}."
    for slider in layout.get("sliders", []):
        labels = [plain(step.get("label")) for step in slider.get("steps", [])]
        if labels:
            yield f"A slider goes from {labels[0]} to {labels[-1]}."
