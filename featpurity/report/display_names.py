"""What readers see: CLIP, shape, CIFAR-10 for scenes_clip, scenes_shape, cifar10 in the tables.

Tables know models and data sets by the labels of `featpurity.labels`, which hold no path; here each
of these gets the word for its role in the run.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, replace
from typing import Self

import pandas as pd

from featpurity.data.titles import TITLES
from featpurity.labels import OVERALL, labels_of

GENERATED = "scenes_"


def of_datasets(names: Iterable[str], given: Mapping[str, str] | None = None) -> dict[str, str]:
    """What readers call data sets, by what the tables call them.

    `scenes_shape` is "shape", and `cifar10` has a title, where no two get the same.

    Parameters
    ----------
    names : iterable of str
    given : mapping, optional
        Labels that were chosen, as in a profile's `labels`; they win.
    """
    found, given = labels_of(names, given), given or {}
    titles = {label: label if name in given else _title(label) for name, label in found.items()}
    known = list(titles.values())
    known.append(OVERALL)
    return {label: title if known.count(title) == 1 else label for label, title in titles.items()}


def of_models(
    clip_models: Sequence[str],
    laclip_models: Sequence[str] = (),
    given: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """What readers call models, by what the tables call them: of one pair CLIP and LaCLIP.

    Parameters
    ----------
    clip_models, laclip_models : list of str
        Models that are compared pair by pair; of several pairs the role stands before each label.
        Models of one list alone go by their own labels.
    given : mapping, optional
        As in `of_datasets`.
    """
    given = given or {}
    found = labels_of([*clip_models, *laclip_models], given)
    one_pair, roles = len(clip_models) == len(laclip_models) == 1, {}
    for role, names in (("CLIP", clip_models), ("LaCLIP", laclip_models)):
        for name in names:
            own = found[name] if not laclip_models else f"{role} ({_plain(found[name])})"
            roles.setdefault(found[name], given.get(name) or (role if one_pair else own))
    return roles


def of_pairs(
    clip_models: Sequence[str],
    laclip_models: Sequence[str] = (),
    given: Mapping[str, str] | None = None,
) -> list[tuple[str, str]]:
    """What readers call the two models of each pair; parameters as in `of_models`."""
    found = labels_of([*clip_models, *laclip_models], given or {})
    roles = of_models(clip_models, laclip_models, given)
    return [(roles[found[a]], roles[found[b]]) for a, b in zip(clip_models, laclip_models)]


def _title(label):
    return TITLES.get(label) or _plain(label).removeprefix(GENERATED)


def _plain(label):
    return label.removeprefix("folder:")


def renamed(
    table: pd.DataFrame,
    models: Mapping[str, str] | None = None,
    datasets: Mapping[str, str] | None = None,
) -> pd.DataFrame:
    """A copy of a table whose columns model and dataset hold labels instead of names."""
    table = table.copy()
    for column, labels in (("model", models), ("dataset", datasets)):
        if labels and column in table:
            table[column] = table[column].map(labels | {OVERALL: OVERALL}).fillna(table[column])
    if models and "comparison" in table:
        longest_first = sorted(map(re.escape, models), key=len, reverse=True)
        words = re.compile(rf"(?<!\S)({'|'.join(longest_first)})(?!\S)")
        table["comparison"] = table.comparison.map(
            lambda text: words.sub(lambda found: models[found[0]], str(text)), na_action="ignore"
        )
    return table


class Renamed:
    """A dataclass whose tables, and dicts by model, can be had under the names that readers see."""

    def renamed(
        self, models: Mapping[str, str] | None = None, datasets: Mapping[str, str] | None = None
    ) -> Self:
        """The same with each of its tables `renamed`, and the models that a dict's keys name: a key
        alone, or the first part of a tuple.
        """
        labels, shown = models or {}, {}

        def called(key):
            model, *others = key if isinstance(key, tuple) else (key,)
            name = labels.get(model, model)
            return (name, *others) if others else name

        for name, part in ((field.name, getattr(self, field.name)) for field in fields(self)):
            if isinstance(part, pd.DataFrame):
                shown[name] = renamed(part, models, datasets)
            elif isinstance(part, dict):
                shown[name] = {called(key): value for key, value in part.items()}
        return replace(self, **shown)
