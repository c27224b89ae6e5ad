"""Numbers in a sentence: signed, with a fixed number of digits, their unit and their interval."""

import html
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import pandas as pd

from featpurity.report import results

# Units: the word, by what a number is multiplied, and its digits. Shares are told in points.
ACCURACY = ("points of accuracy", 100, 1)
SILHOUETTE = ("of silhouette", 1, 3)
COSINE = ("of average |cos|", 1, 3)
# The unit of claims about accuracy, which pages tell in points.
SHARE = "accuracy (share of images)"
DIFFERENCE = "difference of accuracy (points)"  # an axis


class Answer(str):
    """A run's result; a notebook shows it as text that nothing in it can mark up.

    Parameters
    ----------
    result : str
        In a sentence or two, for those who read nothing else: all that the first page says.
    *more : str
        Sentences that only the chapter says, below it.
    """

    def __new__(cls, result, *more):
        said = super().__new__(cls, ". ".join([result, *more]))
        said.result, said.more = result, ". ".join(more)
        return said

    def _repr_html_(self):
        result = f'<p class="answer"><strong>In this run:</strong> {html.escape(self.result)}.</p>'
        more = f'<p class="answer more">{html.escape(self.more)}.</p>' if self.more else ""
        return result + more


class Line(str):
    """A sentence with links, as HTML that its writer has escaped; a notebook shows it."""

    def _repr_html_(self):
        return f'<p class="links">{self}</p>'


def in_points(claims: pd.DataFrame) -> pd.DataFrame:
    """Judged effects, or claims, with those of accuracy in points instead of shares of images."""
    word, factor, _ = ACCURACY
    told, shares = claims.copy(), claims.unit == SHARE
    numbers = ["effect", "low", "high", "chance_low", "chance_high", "negligible"]
    for name in told.columns.intersection(numbers):
        if pd.api.types.is_numeric_dtype(told[name]):
            told[name] = told[name].where(~shares, factor * told[name])
    return told.assign(unit=told.unit.where(~shares, word))


def in_words(effects: pd.DataFrame) -> pd.DataFrame:
    """Effects of a unit each, those of accuracy in points, with a column said: what a figure says
    of one that is pointed at, as "+12.4 (+12.1 to +12.8) points of accuracy".
    """
    told = in_points(effects)
    return told.assign(said=[interval(row) for row in told.itertuples()])


def of_claims(effects: pd.DataFrame) -> pd.DataFrame:
    """Rows of `featpurity.report.results.effect`, `in_words`, in the units of their claims."""
    units = {claim["id"]: claim["unit"] for claim in results.load_claims()}
    return in_words(effects.assign(unit=effects.claim.map(units)))


def interval(row: Any) -> str:
    """A judged effect with its interval and unit; "" where it was not measured."""
    if pd.isna(row.effect):
        return ""
    effect, low, high = effect_with_ends(row)
    return f"{effect} ({low} to {high}) {row.unit}"


def effect_with_ends(row: Any) -> tuple[str, str, str]:
    """A judged effect and the ends of its interval, with the digits that its size and unit need."""
    return tuple(in_unit(value, row.effect, row.unit) for value in (row.effect, row.low, row.high))


def in_unit(value: float, size: float, unit: str) -> str:
    """A signed number with the digits that an effect of some size needs in its unit."""
    if unit.startswith(ACCURACY[0]):
        return plus(value, 1 if abs(size) >= 1 else 2)
    return signed(value, size)


def with_interval(
    row: Any, unit: tuple[str, float, int], sign: int = 1, first: bool = False
) -> str:
    """An effect and its 95 % interval, as "+12.4 points of accuracy, 95 % interval +12.1 to +12.8".

    Parameters
    ----------
    row : named tuple
        With effect, low and high.
    unit : (str, float, int)
        `ACCURACY`, `SILHOUETTE` or `COSINE`.
    sign : {1, -1}
        -1 for an effect that is told the other way round than its claim.
    first : bool
        Whether the interval is called one, as in the first number of a sentence.
    """
    word, factor, digits = unit
    ends = sorted([sign * factor * row.low, sign * factor * row.high])
    effect, low, high = (plus(value, digits) for value in (sign * factor * row.effect, *ends))
    called = "95 % interval " if first else ""
    return f"{effect} {word}, {called}{low} to {high}"


def percent(share: float, digits: int = 0) -> str:
    """A share as "80 %"."""
    return f"{100 * share:.{digits}f} %"


def signed(value: float, size: float) -> str:
    """A signed number with the digits that an effect of some size needs; "about 0" for less."""
    digits = 3
    if abs(size) >= 10:
        digits = 1
    elif 0 < abs(size) < 1e-3:
        digits = 4
    return plus(value, digits) if round(value, digits) or not value else "about 0"


def plus(value: float, digits: int) -> str:
    """A number with its sign and so many digits behind the point; zero is never "-0.0"."""
    return f"{round(value, digits) + 0.0:+.{digits}f}"


def by_interval(row: Any, above: str, below: str, around: str) -> str:
    """What to say of an effect whose interval lies above 0, below 0 or around it."""
    return above if row.low > 0 else below if row.high < 0 else around


def clauses(rows: pd.DataFrame, words: Mapping[str, tuple], turned: Collection[str] = ()) -> str:
    """What effects come to, with their intervals, as parts of a sentence.

    Parameters
    ----------
    rows : DataFrame
        Columns claim, effect, low and high.
    words : dict of str to (unit, above, below, around)
        By claim the unit, and the words of `by_interval`.
    turned : collection of str
        Claims that are told the other way round.
    """
    parts = []
    for row in rows.itertuples():
        unit, *said = words[row.claim]
        number = with_interval(row, unit, -1 if row.claim in turned else 1, first=not parts)
        parts.append(f"{by_interval(row, *said)} ({number})")
    return listed(parts)


def listed(parts: Iterable[str]) -> str:
    """Parts of a sentence with commas and an "and" before the last."""
    *some, last = parts
    return f"{', '.join(some)}{',' * (len(some) > 1)} and {last}" if some else last
