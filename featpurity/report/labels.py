"""What readers see in the place of names: CLIP, LaCLIP, shape; never a path of a disk."""

from collections import Counter
from pathlib import PurePath

KINDS = {"laclip", "hf-hub", "local-dir", "folder"}  # what may stand before a colon in a name
GENERATED = "scenes_"


def short(name) -> str:
    """A name without the kind before its colon, the folders and the suffix of its file."""
    kind, colon, rest = str(name).partition(":")
    if colon and kind not in KINDS:  # an architecture, with a file or a tag
        return f"{kind} {short(rest)}"
    last = PurePath(rest if colon else kind).name
    return (
        last.rsplit(".", 1)[0] if last.endswith((".pt", ".pth", ".safetensors", ".csv")) else last
    )


def of_datasets(names) -> dict[str, str]:
    """Labels of data sets by name; `scenes_shape` is "shape"."""
    return _told_apart({name: short(name).removeprefix(GENERATED) for name in names})


def of_models(clip_models, laclip_models=()) -> dict[str, str]:
    """Labels of models by name: CLIP and LaCLIP for one pair; of several, each with its short name.

    Parameters
    ----------
    clip_models, laclip_models : list of str
        Models that are compared pair by pair. Models of one list alone go by their short names.
    """
    if not laclip_models:
        return _told_apart({name: short(name) for name in clip_models})
    if len(clip_models) == len(laclip_models) == 1:
        return {clip_models[0]: "CLIP", laclip_models[0]: "LaCLIP"}
    roles = {name: f"CLIP ({short(name)})" for name in clip_models}
    roles |= {name: f"LaCLIP ({short(name)})" for name in laclip_models if name not in roles}
    return _told_apart(roles)


def _told_apart(labels):
    """Labels that several names share get numbers."""
    counts, seen = Counter(labels.values()), Counter()
    for name, label in labels.items():
        if counts[label] > 1:
            seen[label] += 1
            labels[name] = f"{label} ({seen[label]})"
    return labels


def renamed(table, models=None, datasets=None):
    """A copy of a table whose columns model and dataset hold labels instead of names."""
    table = table.copy()
    for column, labels in (("model", models), ("dataset", datasets)):
        if labels and column in table:
            table[column] = table[column].map(labels | {"mean": "mean"}).fillna(table[column])
    if models and "comparison" in table:
        for name, label in sorted(models.items(), key=lambda item: -len(item[0])):
            table["comparison"] = table.comparison.str.replace(name, label, regex=False)
    return table
