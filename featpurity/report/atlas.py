"""The atlas of neurons as a page shows it: a table of all, and what opens each one by its address.

The table is whole by itself: every row has an address, `#neuron-17`, and links to its nearest
neurons. In the book a script (`book/site/atlas.js`) reads the rows and shows one neuron at a time,
with its pictures from a sheet, its captions and its class profile.
"""

import html
import json
import re
from collections.abc import Iterable

import pandas as pd

from featpurity.report import tables
from featpurity.report.thumbnails import Sheet

MOST = 512  # neurons on a page; of more, each model's purest and least pure ones
GLANCE = 3  # of the purest and of the least pure neurons, with their pictures, at first sight
HEADINGS = {
    "model": "model",
    "rank": "rank by purity",
    "neuron": "neuron",
    "mean_abs_cos": "mean |cos|",
    "stands_out": "class that stands out",
    "contrast": "by (std)",
    "image": "nearest, image tower (cosine)",
    "text": "nearest, text tower (cosine)",
    "caption": "strongest caption",
}


def on_the_page(neurons: pd.DataFrame, most: int = MOST) -> pd.DataFrame:
    """The neurons that a page shows, by model and rank: all, or each model's purest and least pure.

    Parameters
    ----------
    neurons : DataFrame
        Of `featpurity.experiments.neurons.Atlas`.
    most : int
        Rows in all; the models share them evenly, and each has two at least.
    """
    models = neurons.groupby("model", sort=False)
    share = max(1, most // max(1, len(models)) // 2)  # at each end
    ends = [
        part if len(part) <= 2 * share else pd.concat([part.iloc[:share], part.iloc[-share:]])
        for _, part in neurons.sort_values("rank").groupby("model", sort=False)
    ]
    order = {model: place for place, (model, _) in enumerate(models)}
    ends.sort(key=lambda part: order[part.model.iloc[0]])
    return pd.concat(ends, ignore_index=True)


def addresses(neurons: pd.DataFrame) -> dict[tuple[str, int], str]:
    """The address of each neuron, by model and number: "neuron-17" of the first model.

    Of the other models "neuron-17-laclip": the label in small letters.
    """
    endings = {}
    for model in dict.fromkeys(neurons.model):
        ending = "-" + (re.sub(r"[^a-z0-9]+", "-", str(model).lower()).strip("-") or "model")
        taken = ending in endings.values()
        endings[model] = "" if not endings else ending + f"-{len(endings) + 1}" * taken
    return {
        (model, neuron): f"neuron-{neuron}{endings[model]}"
        for model, neuron in zip(neurons.model, neurons.neuron)
    }


def atlas(found, sheet: Sheet, names: Iterable[str]) -> tables.Table:
    """All neurons: a table with an address for each, from which the book's script shows them.

    Parameters
    ----------
    found : featpurity.experiments.neurons.Atlas
        With labels for names.
    sheet : Sheet
        With the pictures of every neuron on the page.
    names : iterable of str
        What each picture of the sheet shows, in the sheet's order: its class.
    """
    shown, places = on_the_page(found.neurons), addresses(found.neurons)
    tell, known = _teller(found, sheet), set(zip(shown.model, shown.neuron))
    rows = [_row(row, tell(row), places, known) for row in shown.itertuples()]
    head = "".join(f"<th>{html.escape(heading)}</th>" for heading in HEADINGS.values())
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    total = len(found.neurons)
    said = f"All {total} neurons" if total == len(shown) else f"{len(shown)} of {total} neurons"
    classes = _attribute("names", list(names))
    markup = (
        f'<div class="neuron-atlas" data-sheet="{sheet.name}"{classes}>{sheet.image()}'
        f"<details><summary>{said} as a table</summary>{table}</details></div>"
    )
    return tables.Table(shown, markup)


def _teller(found, sheet):
    """A function that says all of a neuron, a row of the table, as plain values for JSON."""
    profiles = dict(list(found.profiles.groupby(["model", "neuron"])))
    captions = dict(list(found.captions.groupby(["model", "neuron"])))
    counts = found.neurons.model.value_counts()
    nothing = found.captions.iloc[:0]

    def tell(row):
        key = row.model, row.neuron
        classes, texts = profiles[key], captions.get(key, nothing)
        ends = {"strongest": found.strongest, "weakest": found.weakest}
        return {
            "model": row.model,
            "neuron": row.neuron,
            "rank": row.rank,
            "of": int(counts[row.model]),
            "cos": round(row.mean_abs_cos, 4),
            "nearest": {
                tower: [getattr(row, f"{tower}_nearest"), round(getattr(row, f"{tower}_cos"), 3)]
                for tower in ("image", "text")
            },
            "profile": list(zip(classes.class_name, classes.dataset, classes.contrast.round(2))),
            "captions": list(zip(texts.caption, texts.value.round(3))),
            **{
                end: [sheet.places[picture] for picture in places[row.model][row.neuron].tolist()]
                for end, places in ends.items()
            },
        }

    return tell


def _row(row, told, places, known):
    """A neuron as a row of the table."""
    cells = [row.model, row.rank, row.neuron, f"{row.mean_abs_cos:.3f}"]
    cells += [f"{row.best_class} ({row.dataset})", f"{row.contrast:+.2f}"]
    texts = [html.escape(str(cell)) for cell in cells]
    for tower in ("image", "text"):
        neuron, cosine = getattr(row, f"{tower}_nearest"), getattr(row, f"{tower}_cos")
        near = str(neuron)
        if (row.model, neuron) in known:
            near = f'<a href="#{places[row.model, neuron]}">{neuron}</a>'
        texts.append(f"{near} ({cosine:+.2f})")
    texts.append(html.escape(next((caption for caption, _ in told["captions"]), "")))
    cells = "".join(f"<td>{text}</td>" for text in texts)
    return f'<tr id="{places[row.model, row.neuron]}"{_attribute("neuron", told)}>{cells}</tr>'


def _attribute(name, value):
    """A value as a `data-` attribute in JSON."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    return f' data-{name}="{html.escape(text)}"'


def glance(found, sheet: Sheet, most: int = GLANCE) -> tables.Table:
    """The purest and the least pure neurons of each model with their strongest pictures.

    Parameters
    ----------
    found, sheet
        As in `atlas`.
    most : int
        Neurons of each end.
    """
    headings = ("model", "rank by purity", "neuron", "class that stands out", "strongest pictures")
    places, rows, shown = addresses(found.neurons), [], []
    for model, part in found.neurons.sort_values("rank").groupby("model", sort=False):
        ends = part if len(part) <= 2 * most else pd.concat([part.iloc[:most], part.iloc[-most:]])
        shown.append(ends)
        for row in ends.itertuples():
            pictures = found.strongest[model][row.neuron].tolist()
            alt = f"The pictures with the largest values of neuron {row.neuron} of {model}"
            cells = [
                html.escape(str(model)),
                str(row.rank),
                f'<a href="#{places[model, row.neuron]}">{row.neuron}</a>',
                html.escape(f"{row.best_class} ({row.dataset})"),
                sheet.strip(pictures, alt),
            ]
            rows.append("<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>")
    head = "".join(f"<th>{heading}</th>" for heading in headings)
    markup = (
        f'<div class="glance"><table class="cards"><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )
    return tables.Table(pd.concat(shown, ignore_index=True), markup)
