"""Models beside one another: a column each while they are few, else pair by pair behind a menu."""

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from featpurity.report import style

MOST = 3  # columns that can be read


def groups(models: Sequence[str], pairs: Sequence[tuple[str, str]] = ()) -> dict[str, list[str]]:
    """Which models stand beside one another in a figure: all while they are few, else by pairs.

    Parameters
    ----------
    models : list of str
    pairs : list of (str, str)
        Those of no pair stand two by two.

    Returns
    -------
    groups : dict of str to list of str
        By what a menu calls them; "" calls the only group.
    """
    if len(models) <= MOST:
        return {"": list(models)}
    single = [name for name in models if not any(name in pair for pair in pairs)]
    by_two = [*pairs, *(single[i : i + 2] for i in range(0, len(single), 2))]
    return {" and ".join(group): list(group) for group in by_two}


def first(models: Sequence[str], pairs: Sequence[tuple[str, str]] = ()) -> list[str]:
    """The first of the `groups`: whom a page shows where it cannot show all."""
    return next(iter(groups(list(models), pairs).values()))


class Columns:
    """The columns of a figure in which each model has one.

    Parameters
    ----------
    models : list of str
    pairs : list of (str, str)
        As in `groups`.
    rows : list of str
        What the title of each row's panels makes of a model's name.
    """

    def __init__(
        self,
        models: Sequence[str],
        pairs: Sequence[tuple[str, str]] = (),
        rows: Sequence[str] = ("{}",),
    ) -> None:
        self.groups, self.rows = groups(models, pairs), rows
        self.count = max(map(len, self.groups.values()))
        self._shown = {group: set() for group in self.groups}

    def figure(self, **options: Any) -> go.Figure:
        """Empty panels with the first group's titles; options as in plotly's `make_subplots`."""
        titles = self._titles(next(iter(self.groups.values())))
        return make_subplots(len(self.rows), self.count, subplot_titles=titles, **options)

    def each(self, figure: go.Figure) -> Iterator[tuple[str, int]]:
        """Each model and its column, from 1; traces that are added meanwhile are shown with it."""
        for group, models in self.groups.items():
            for column, model in enumerate(models, 1):
                before = len(figure.data)
                yield model, column
                self._shown[group].update(range(before, len(figure.data)))

    def menu(self, figure: go.Figure) -> None:
        """The menu that chooses a group, where there is more than one; the legend of each."""
        for shown in self._shown.values():
            style.name_once(figure, sorted(shown))
        names = {
            group: {
                f"annotations[{panel}].text": text
                for panel, text in enumerate(self._titles(models))
            }
            for group, models in self.groups.items()
        }
        style.menu(figure, self._shown, names, name="Models")

    def _titles(self, models):
        """The titles of a group's panels, row by row; "" where other groups have a model more."""
        empty = [""] * (self.count - len(models))
        return list(chain(*([*map(row.format, models), *empty] for row in self.rows)))
