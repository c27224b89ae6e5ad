"""Tables of a run's settings, its notebooks' times and the versions behind it."""

import importlib.metadata
import itertools
import platform
from dataclasses import dataclass, field
from pathlib import Path

import nbformat
import pandas as pd

from featpurity.report import tables

SHOWN_PACKAGES = (
    "torch",
    "torchvision",
    "open_clip_torch",
    "scikit-learn",
    "pandas",
    "plotly",
    "papermill",
    "snakemake",
    "jupyter-book",
)


@dataclass(frozen=True)
class Run:
    """A run, from its executed notebooks.

    Attributes
    ----------
    name : str
        The profile's name, from its folder of results.
    chapters : list of str
        Chapters that were run.
    settings : dict
        Settings and their values, over all chapters.
    times : DataFrame
        Columns notebook, started, seconds; steps included.
    """

    name: str
    folder: Path
    chapters: list
    settings: dict = field(default_factory=dict)
    times: pd.DataFrame = None

    @property
    def models(self):
        """The run's models, without repeats."""
        named = [
            self.settings.get(key) for key in ("clip_models", "laclip_models", "ladder_models")
        ]
        named += [self.settings.get("finetune_model"), self.settings.get("filter_model")]
        lists = [[models] if isinstance(models, str) else models or [] for models in named]
        return list(dict.fromkeys(itertools.chain.from_iterable(lists)))

    @property
    def datasets(self):
        return self.settings.get("datasets") or []

    @property
    def labels(self):
        """Chosen labels of models and data sets, by their names in the settings."""
        return self.settings.get("labels") or {}


def read(results, chapters):
    """Read the run whose results are in a folder.

    Parameters
    ----------
    results : Path
        A profile's folder; `notebooks/` in it holds the executed notebooks.
    chapters : list of str
        Chapters that were run, without `.ipynb`.
    """
    settings, labels, times = {}, {}, []
    for path in sorted((results / "notebooks").rglob("*.ipynb")):
        record = nbformat.read(path, as_version=4).metadata.get("papermill", {})
        if path.stem in chapters:
            settings |= record.get("parameters", {})
            labels |= settings.get("labels") or {}
        started = str(record.get("start_time") or "")[:19].replace("T", " ")
        name = path.relative_to(results / "notebooks").as_posix()
        times.append({"notebook": name, "started": started, "seconds": record.get("duration")})
    times = pd.DataFrame(times, columns=["notebook", "started", "seconds"])
    times["seconds"] = times.seconds.astype(float)
    settings["labels"] = labels
    return Run(results.resolve().name, results, list(chapters), settings, times)


def shown(value):
    """A setting's value for a page; only the last part of a path on somebody's disk."""
    if isinstance(value, list | tuple):
        return ", ".join(map(shown, value))
    text = str(value)
    return Path(text).name if Path(text).is_absolute() or text.startswith("~") else text


def block(table):
    """A table as HTML for a Markdown page, where an empty line would end it early."""
    lines = (line.strip() for line in table._repr_html_().splitlines())
    frame = '<div class="pst-scrollable-table-container">'
    return "\n".join([frame, *filter(None, lines), "</div>"])


def times_table(run):
    """HTML table of papermill's time for each notebook."""
    headings = {"notebook": "notebook", "started": "started (UTC)", "seconds": "seconds"}
    return block(tables.show(run.times, headings, digits=1, fold=100))


def settings_table(run):
    """HTML table of the chapters' settings."""
    rows = {"profile": run.name} | {key: shown(run.settings[key]) for key in sorted(run.settings)}
    frame = pd.DataFrame(
        {"setting": list(rows), "value": [" ".join(v.split()) for v in rows.values()]}
    )
    return block(tables.show(frame, fold=100))


def versions_table():
    """HTML table of the versions behind the book."""
    rows = {"Python": platform.python_version()}
    for name in SHOWN_PACKAGES:
        try:
            rows[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            rows[name] = "not installed"
    frame = pd.DataFrame({"package": list(rows), "version": list(rows.values())})
    return block(tables.show(frame, fold=100))
