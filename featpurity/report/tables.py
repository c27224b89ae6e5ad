"""Tables for readers: headings with units, a fixed number of digits, and every cell as text."""

import html
from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd
from PIL import Image

from featpurity.report import thumbnails

LONGEST = 12  # rows; a longer table is folded
MARKS = {"holds": "✔", "does not hold": "✘", "within chance": "≈", "undecided": "?"}
MARKS |= {"not measured": "–"}
SAID = {  # of one effect, and of several
    "holds": ("holds", "hold"),
    "does not hold": ("does not hold", "do not hold"),
    "within chance": ("is within chance", "are within chance"),
    "undecided": ("is undecided", "are undecided"),
}


@dataclass(frozen=True)
class Table:
    """A table that a notebook shows as HTML; `frame` keeps the numbers with all their digits."""

    frame: pd.DataFrame
    markup: str

    def _repr_html_(self):
        return self.markup

    def __repr__(self):
        return self.frame.to_string(index=False)


@dataclass(frozen=True)
class Picture:
    """A cell that shows a picture, with the words for those who do not see it."""

    image: Image.Image
    alt: str

    def __str__(self):
        return self.alt


@dataclass(frozen=True)
class Link:
    """A cell that leads somewhere: its words, and the address."""

    words: str
    address: str

    def __str__(self):
        return self.words


def show(
    frame: pd.DataFrame,
    headings: Mapping[str, str] | None = None,
    digits: int | str | Mapping[str, int | str] = 3,
    fold: int = LONGEST,
    cards: bool = False,
) -> Table:
    """A data frame as a table to read: nothing in its cells or headings is taken for markup.

    A cell that is a `Picture` or a `Link` is shown as one.

    Parameters
    ----------
    frame : DataFrame
        Its index is not shown: `reset_index` first where it matters.
    headings : dict of str to str, optional
        Columns to show, in this order, and what stands above each, with its unit; all by default.
    digits : int or str, or dict of str to these, default 3
        Digits behind the point of a column of floats; a string is a format, say "+.3f", ".1%".
        A dict has them by column, the others then have 3.
    fold : int, default 12
        A table of more rows is folded, under a line that says how many it has.
    cards : bool, default False
        Whether each row becomes a card on a narrow screen even where the table fits.

    Raises
    ------
    ValueError
        When `headings` or `digits` name a column that is not there.
    """
    headings = dict(headings) if headings else {name: str(name) for name in frame.columns}
    formats = digits if isinstance(digits, dict) else dict.fromkeys(headings, digits)
    unknown = [name for name in [*headings, *formats] if name not in frame.columns]
    if unknown:
        raise ValueError(f"no column is called {unknown[0]!r}; the table has {list(frame.columns)}")
    text = pd.DataFrame({name: _texts(frame[name], formats.get(name, 3)) for name in headings})
    text.columns = [html.escape(heading, quote=False) for heading in headings.values()]
    with pd.option_context("display.max_colwidth", None):  # pandas cuts a cell at 50 letters
        markup = text.map(_markup).to_html(
            index=False, escape=False, border=0, justify="unset", classes="cards" if cards else None
        )
    if len(frame) > fold:
        markup = f"<details><summary>Table of {len(frame)} rows</summary>{markup}</details>"
    return Table(frame[list(headings)], markup)


def spans(table: pd.DataFrame, form: str, prefix: str = "") -> list[str]:
    """The interval of each row as "0.81 to 0.84", from the columns low and high, or from these with
    `prefix` before them; empty where there is none.
    """
    ends = zip(table[f"{prefix}low"], table[f"{prefix}high"])
    return [f"{low:{form}} to {high:{form}}" if pd.notna(low) else "" for low, high in ends]


def verdict_words(verdict: str) -> str:
    """A verdict with its mark, so that colour is never all that tells verdicts apart."""
    first = first_of(verdict)
    return f"{MARKS[first]} {verdict}" if first else str(verdict)


def first_of(verdict: str) -> str | None:
    """What a verdict says first, of what has a mark: "holds" of "holds, negligible"."""
    return next((known for known in MARKS if str(verdict).startswith(known)), None)


def _markup(cell):
    if isinstance(cell, Picture):
        return thumbnails.tag(cell.image, cell.alt)
    if isinstance(cell, Link):
        return f'<a href="{html.escape(cell.address)}">{html.escape(cell.words, quote=False)}</a>'
    return html.escape(cell, quote=False)


def _texts(column, form):
    """The cells of a column as strings, empty where there is no value; pictures and links stay."""
    if pd.api.types.is_bool_dtype(column):
        return ["yes" if value else "no" for value in column]
    if pd.api.types.is_integer_dtype(column):
        return [f"{value:,}" for value in column]
    if pd.api.types.is_float_dtype(column):
        form = f".{form}f" if isinstance(form, int) else form
        return ["" if pd.isna(value) else format(value, form) for value in column]
    if column.name == "verdict":
        return [verdict_words(value) for value in column]
    return [_text(value) for value in column]


def _text(value):
    if isinstance(value, Picture | Link):
        return value
    return "" if pd.isna(value) else str(value)
