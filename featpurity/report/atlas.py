"""The atlas of neurons as a page shows it: a table of all, and what opens each one by its address.

The table is whole by itself: every row has an address, `#neuron-17`, and links to its nearest
neurons. In the book a script (`book/site/atlas.js`) shows one neuron at a time, with its captions,
its class profile and its pictures. What it shows lies beside the table, as deflated JSON; pictures
come from sheets of a few neurons each, so that a page loads those that are looked at.
"""

import base64
import html
import json
import re
import zlib
from collections.abc import Sequence
from typing import Any

import pandas as pd

from featpurity.report import beside, tables
from featpurity.report.thumbnails import Thumbnails

MOST = 512  # neurons on a page; of more, each model's purest and least pure ones
ON_A_SHEET = 8  # neurons, next to one another by purity
GLANCE = 3  # of the purest and of the least pure neurons, with their pictures, at first sight
HEADINGS = (
    "model",
    "rank by purity",
    "neuron",
    "mean |cos|",
    "class that stands out",
    "by (std)",
    "nearest, image tower (cosine)",
    "nearest, text tower (cosine)",
    "strongest caption",
)


def on_the_page(neurons: pd.DataFrame, most: int = MOST) -> pd.DataFrame:
    """The neurons that a page shows, by model and rank: all, or each model's purest and least pure.

    Parameters
    ----------
    neurons : DataFrame
        Of `featpurity.experiments.neurons.Atlas`.
    most : int
        Rows in all; the models share them evenly, and each has two at least.
    """
    models = neurons.sort_values("rank").groupby("model", sort=False)
    share = max(1, most // models.ngroups // 2)  # at each end
    ends = [_ends(models.get_group(model), share) for model in neurons.model.unique()]
    return pd.concat(ends, ignore_index=True)


def _ends(ordered, each):
    """The first and the last rows of a table, `each` of them; all where it has no more."""
    if len(ordered) <= 2 * each:
        return ordered
    return pd.concat([ordered.iloc[:each], ordered.iloc[-each:]])


def addresses(neurons: pd.DataFrame) -> dict[tuple[str, int], str]:
    """The address of each neuron, by model and number: "neuron-17" of the first model.

    Of the other models "neuron-17-laclip": their name in small letters.
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


def reads(neuron: Any) -> str:
    """What a neuron, a row of the table, reads: "high for moon (shape)" or "low for ..."."""
    side = "high" if neuron.contrast > 0 else "low"
    return f"{side} for {neuron.best_class} ({neuron.dataset})"


def atlas(found: Any, pictures: Thumbnails, classes: dict[str, list[str]]) -> tables.Table:
    """All neurons: a table with an address for each, from which the book's script shows them.

    Parameters
    ----------
    found : featpurity.experiments.neurons.Atlas
        Under the names that readers see.
    pictures : Thumbnails
        Of the first data set, which the places in `found` are about.
    classes : dict of str to list of str
        The classes of each data set, the one of the pictures first.
    """
    named = [(name, dataset) for dataset, names in classes.items() for name in names]
    shown, places = on_the_page(found.neurons), addresses(found.neurons)
    sheets = _sheets(found, shown, pictures)
    tell, known = _teller(found, sheets, named), set(zip(shown.model, shown.neuron))
    told = [tell(row) for row in shown.itertuples()]
    rows = [_row(row, more, places, known) for row, more in zip(shown.itertuples(), told)]
    head = "".join(f"<th>{html.escape(heading)}</th>" for heading in HEADINGS)
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    total = len(found.neurons)
    said = f"All {total} neurons" if total == len(shown) else f"{len(shown)} of {total} neurons"
    images = "".join(dict.fromkeys(sheet._repr_html_() for sheet in sheets.values()))
    markup = (
        f'<div class="neuron-atlas" data-deflated="{_deflated([named, told])}">{images}'
        f"<details><summary>{said} as a table</summary>{table}</details></div>"
    )
    return tables.Table(shown, markup)


def _sheets(found, shown, pictures):
    """The sheet on which each neuron's pictures are, by model and neuron."""
    sheets = {}
    for model, part in shown.groupby("model", sort=False):
        both = [found.strongest[model], found.weakest[model]]
        for start in range(0, len(part), ON_A_SHEET):
            neurons = part.neuron.iloc[start : start + ON_A_SHEET].tolist()
            sheet = pictures.sheet(
                place for places in both for place in places[neurons].flatten().tolist()
            )
            sheets |= {(model, neuron): sheet for neuron in neurons}
    return sheets


def _teller(found, sheets, named):
    """A function that says all of a neuron, a row of the table, as plain values for JSON."""
    numbers = {name: number for number, name in enumerate(named)}
    profiles = dict(list(found.profiles.groupby(["model", "neuron"])))
    captions = dict(list(found.captions.groupby(["model", "neuron"])))
    counts, nothing = found.neurons.model.value_counts(), found.captions.iloc[:0]

    def tell(row):
        key = row.model, row.neuron
        sheet, profile, texts = sheets[key], profiles[key], captions.get(key, nothing)
        classes = map(numbers.get, zip(profile.class_name, profile.dataset))
        ends = {"strongest": found.strongest, "weakest": found.weakest}
        return {
            "model": row.model,
            "neuron": row.neuron,
            "rank": row.rank,
            "of": int(counts[row.model]),
            "cos": round(row.mean_abs_cos, 4),
            "reads": reads(row),
            "nearest": {
                tower: [getattr(row, f"{tower}_nearest"), round(getattr(row, f"{tower}_cos"), 3)]
                for tower in ("image", "text")
            },
            "profile": list(zip(classes, profile.contrast.round(2))),
            "captions": list(zip(texts.caption, texts.value.round(2))),
            "sheet": sheet.name,
            **{
                end: [sheet.places[place] for place in of_models[row.model][row.neuron].tolist()]
                for end, of_models in ends.items()
            },
        }

    return tell


def _row(row, told, places, known):
    """A neuron as a row of the table; `told` is what the teller says of it."""
    cells = [row.model, row.rank, row.neuron, f"{row.mean_abs_cos:.3f}"]
    cells += [reads(row), f"{row.contrast:+.2f}"]
    texts = [html.escape(str(cell)) for cell in cells]
    for neuron, cosine in told["nearest"].values():
        near = str(neuron)
        if (row.model, neuron) in known:
            near = f'<a href="#{places[row.model, neuron]}">{neuron}</a>'
        texts.append(f"{near} ({cosine:+.2f})")
    texts.append(html.escape(next((caption for caption, _ in told["captions"]), "")))
    cells = "".join(f"<td>{text}</td>" for text in texts)
    return f'<tr id="{places[row.model, row.neuron]}">{cells}</tr>'


def _deflated(value):
    """A value as JSON, deflated, in base64."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    return base64.b64encode(zlib.compress(text.encode(), 9)).decode()


def glance(found: Any, pictures: Thumbnails, pairs: Sequence[tuple[str, str]] = ()) -> tables.Table:
    """The purest and the least pure neurons of each model, of many those of the first pair, with
    their strongest pictures, or the weakest ones of a neuron whose class stands out downwards.

    Parameters
    ----------
    found, pictures
        As in `atlas`.
    pairs : list of (str, str)
        Models that stand beside one another, see `featpurity.report.beside`.
    """
    headings = (
        "model",
        "rank by purity",
        "neuron",
        "class that stands out",
        "pictures with such values",
    )
    places, rows, shown = addresses(found.neurons), [], []
    told = beside.first(found.neurons.model.unique(), pairs)
    neurons = found.neurons[found.neurons.model.isin(told)]
    for model, part in neurons.sort_values("rank").groupby("model"):
        shown.append(_ends(part, GLANCE))
        for row in shown[-1].itertuples():
            side, extreme = "largest", found.strongest
            if row.contrast < 0:
                side, extreme = "smallest", found.weakest
            cells = [
                html.escape(str(model)),
                str(row.rank),
                f'<a href="#{places[model, row.neuron]}">{row.neuron}</a>',
                html.escape(reads(row)),
                pictures.strip(
                    extreme[model][row.neuron].tolist(),
                    f"The pictures with the {side} values of neuron {row.neuron} of {model}",
                ),
            ]
            rows.append("<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>")
    head = "".join(f"<th>{heading}</th>" for heading in headings)
    markup = (
        f'<div class="glance"><table class="cards"><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )
    return tables.Table(pd.concat(shown, ignore_index=True), markup)
