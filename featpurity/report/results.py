"""What a run leaves behind: tidy tables, how they were made, and the verdict on each claim.

Everything is written to a temporary name and renamed, so that a killed run leaves no half-written
file.
"""

import json
import platform
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from importlib.resources import files
from math import nan
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import torch
import yaml

from featpurity.files import save_table, workspace, write_text
from featpurity.labels import OVERALL, file_names
from featpurity.metrics import intervals

PAPER_COLUMNS = {
    "full": "Full Features",
    "high_purity": "Min Sparse Features",
    "low_purity": "Max Sparse Features",
    "random": "Random Features",
}


def save_record(path: str | Path, **settings: Any) -> dict[str, Any]:
    """Write how a run was made, as JSON: its settings, time, device, commit, whether files differed
    from that commit, and the versions of what it used.
    """
    packages = ("featpurity", "torch", "open_clip_torch", "numpy", "scikit-learn", "plotly")
    commit, differing = _git("rev-parse", "HEAD"), _git("status", "--porcelain")
    record = {
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "settings": settings,
        "commit": commit or None,
        "as committed": differing == "" if commit else None,
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else platform.machine(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in packages},
    }
    write_text(path, json.dumps(record, indent=1, default=str))
    return record


def _git(*command):
    """What git says of the project; "" where it says nothing, or is not there."""
    try:
        done = subprocess.run(["git", *command], capture_output=True, text=True, cwd=workspace("."))
    except OSError:
        return ""
    return done.stdout.strip()


def save_paper_accuracy(table: pd.DataFrame, folder: str | Path) -> None:
    """One CSV a model and data set in the layout of the paper's experiment 1.

    Parameters
    ----------
    table : DataFrame
        Columns model, dataset, neurons, accuracy, silhouette; one row a model and data set.
    folder : path
        Files go to `{model}_full{d}_results/{dataset}_full_feature_acc_ss.csv` below it.
    """
    models, datasets = file_names(table.model.unique()), file_names(table.dataset.unique())
    for row in table.itertuples():
        frame = pd.DataFrame({"Accuracy": [row.accuracy], "Silhouette Score": [row.silhouette]})
        model, dataset = models[row.model], datasets[row.dataset]
        save_table(
            frame,
            Path(folder) / f"{model}_full{row.neurons}_results/{dataset}_full_feature_acc_ss.csv",
        )


def save_paper_curves(
    curves: pd.DataFrame, folder: str | Path, measure: Literal["accuracy", "silhouette"]
) -> None:
    """One CSV a model and data set in the layout of the paper's experiment 2.

    They are called `{dataset}_{model}_{measure}_vs_sam.csv`.

    Parameters
    ----------
    curves : DataFrame
        Columns model, dataset, strategy, kept and `measure`; `full` has one row, the others one a
        number kept.
    measure : "accuracy" or "silhouette"
    """
    models, datasets = file_names(curves.model.unique()), file_names(curves.dataset.unique())
    for (model, dataset), part in curves.groupby(["model", "dataset"], sort=False):
        wide = part.pivot(index="kept", columns="strategy", values=measure)
        wide["full"] = part.loc[part.strategy == "full", measure].item()
        wide = wide.dropna()[list(PAPER_COLUMNS)].rename(columns=PAPER_COLUMNS)
        wide.insert(0, "Model", model)
        named = f"{datasets[dataset]}_{models[model]}_{measure}_vs_sam.csv"
        save_table(wide.rename_axis("sam").reset_index(), Path(folder) / named)


EFFECT = ("claim", "comparison", "dataset", "effect", "low", "high", "chance_low", "chance_high")
NO_CHANCE = nan, nan  # of an effect that nothing drawn at random stands beside


def effect(
    claim: str,
    comparison: str,
    value: float,
    low: float,
    high: float,
    dataset: str = OVERALL,
    chance: tuple[float, float] = NO_CHANCE,
) -> dict[str, str | float]:
    """One row of a table of effects: a claim's id, what was compared on which data, the value and
    its 95 % interval, and between which values 95 % of the effects lie where what the claim is
    about has no say.
    """
    if claim not in {known["id"] for known in load_claims()}:
        raise ValueError(
            f"no claim is called {claim!r}; they are listed in featpurity/assets/claims.yaml"
        )
    numbers = map(float, (value, low, high, *chance))
    return dict(zip(EFFECT, (claim, comparison, dataset, *numbers)))


def against_rotations(row: Any, claim: str, value: float, dataset: str = OVERALL) -> dict:
    """`effect` of a model's own basis against rotated ones; its row has their number, rotations,
    and their standard deviation, spread.
    """
    ends = intervals.beyond_draws(value, row.spread, row.rotations)
    return effect(claim, row.model, value, *ends, dataset=dataset)


def mean_effect(
    claim: str, comparison: str, values: pd.Series, dataset: str = OVERALL
) -> dict[str, str | float]:
    """`effect` of a few independent values, one a seed, say: their mean, and Student's t."""
    ends = intervals.t_interval(values)
    return effect(claim, comparison, values.mean(), *ends, dataset=dataset)


def verdict(
    low: float, high: float, negligible: float = 0.0, by_chance: bool = False, turns: bool = False
) -> str:
    """The rule for every claim: the 95 % interval of an effect that is positive when it is true.

    Parameters
    ----------
    low, high : float
        The 95 % interval of the effect.
    negligible : float, default 0
        The claim's bound, in the effect's unit: an interval that lies within it on both sides of 0
        is of an effect too small to matter, whatever its sign.
    by_chance : bool, default False
        Whether effects as large come about where what the claim is about has no say.
    turns : bool, default False
        Whether the effect is the slope of a curve that turns.

    Returns
    -------
    str
        "holds", "does not hold" or "undecided", or "within chance" in place of the first two;
        followed by ", not monotone" and ", negligible" where that is so. An interval without width
        decides nothing: its values are all equal, and do not say how others would differ.
    """
    if not low <= high:
        raise ValueError(f"expected an interval with low <= high, got {low} and {high}")
    if not negligible >= 0:
        raise ValueError(f"negligible: expected a bound of 0 or more, got {negligible}")
    said = "holds" if low > 0 else "does not hold" if high < 0 else "undecided"
    if low == high:
        said = "undecided"
    elif by_chance and said != "undecided":
        said = "within chance"
    said += ", not monotone" if turns else ""
    return said + (", negligible" if -negligible < low and high < negligible else "")


@cache  # every row of effects asks for them
def load_claims() -> list[dict]:
    """The paper's claims, dicts in the order of the chapters; the file says what each key means."""
    return yaml.safe_load((files("featpurity") / "assets/claims.yaml").read_text(encoding="utf-8"))


def read_effects(folder: str | Path, chapters: Sequence[str]) -> pd.DataFrame:
    """The effects that some chapters wrote, as one table.

    Parameters
    ----------
    folder : path
        The results of a run.
    chapters : list of str
        Of those that claims are about each has to have run; the others have no effects.

    Raises
    ------
    FileNotFoundError
        When a chapter has not run yet; it says which.
    ValueError
        When the records of two chapters disagree in a setting: their tables are of different runs.
    """
    experiments = {f"{claim['experiment']:02}" for claim in load_claims()}
    found = {}
    for chapter in chapters:
        if (number := chapter[:2]) in experiments:
            path = Path(folder) / f"tables/{number}_effects.csv"
            if not path.is_file():
                raise FileNotFoundError(
                    f"there is no {path}: run the chapter {chapter} first, with this results_dir"
                )
            found[path] = pd.read_csv(path)
    if not found:
        raise ValueError(f"no claim is about any of the chapters {', '.join(chapters)}")
    _check_one_run(found)
    return pd.concat(found.values())


def _check_one_run(tables):
    """Records beside tables of effects agree in the settings that they share."""
    seen = {}
    for path in tables:
        record = path.with_name(path.name.replace("_effects.csv", "_record.json"))
        if not record.is_file():
            raise FileNotFoundError(
                f"there is no {record}, so that nobody knows of which run it is"
            )
        for key, value in json.loads(record.read_text(encoding="utf-8"))["settings"].items():
            first, known = seen.setdefault(key, (path, value))
            if value != known:
                raise ValueError(
                    f"{first} and {path} are of different runs: {key} is {known} in the one and "
                    f"{value} in the other; run both chapters with the same settings"
                )


def judge(effects: pd.DataFrame) -> pd.DataFrame:
    """Put the verdict on each claim beside its effects.

    Parameters
    ----------
    effects : DataFrame
        Rows of `effect`; only those over all data sets (dataset "mean") are judged. Slopes may have
        a column turns, empty where their curve is monotone.

    Returns
    -------
    DataFrame
        Columns claim, experiment, statement, unit, negligible, published, comparison, effect, low,
        high, chance_low, chance_high and verdict, in the order of the claims. A claim that nothing
        measured has one row with the verdict "not measured".
    """
    rows, effects = [], effects.reindex(columns=[*EFFECT, "turns"])
    for claim in load_claims():
        keys = ("experiment", "statement", "unit", "negligible", "published")
        about = {"claim": claim["id"], **{key: claim[key] for key in keys}}
        measured = effects[(effects.claim == claim["id"]) & (effects.dataset == OVERALL)]
        for row in measured.drop(columns=["claim", "dataset"]).to_dict("records"):
            by_chance = row["chance_low"] <= row["effect"] <= row["chance_high"]
            turn = row.pop("turns")  # of other claims NaN, as an empty one that was read
            turns = isinstance(turn, str) and turn != ""
            said = verdict(row["low"], row["high"], claim["negligible"], by_chance, turns)
            rows.append({**about, **row, "verdict": said})
        if measured.empty:
            rows.append({**about, "verdict": "not measured"})
    return pd.DataFrame(rows)
