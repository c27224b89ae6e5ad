"""What the chapter on the ladder of data quality shows: tables of that experiment in."""

import pandas as pd
import plotly.graph_objects as go

from featpurity.metrics import intervals
from featpurity.report import figures, style, tables, wording


def answer(correlations: pd.DataFrame) -> wording.Answer:
    """The result of a run in one sentence, from its correlations within groups."""
    inside = correlations[correlations.over == "within groups"]
    if (inside.measure != "accuracy").all():
        return wording.Answer("the models of a group do not differ in accuracy, or not in purity")
    clauses = []
    for row in inside[inside.measure == "accuracy"].itertuples():
        word = wording.by_interval(
            row, "classify better", "classify worse", "classify neither clearly better nor worse"
        )
        called = "95 % interval " * (not clauses)
        number = f"{row.spearman:+.2f}, {called}{row.low:+.2f} to {row.high:+.2f}"
        clauses.append(f"models with a purer {row.tower} tower {word} (rank correlation {number})")
    first = inside.iloc[0]
    groups = "group" if first.groups == 1 else "groups"
    among = f"among {first.models} models of {first.groups} {groups}"
    return wording.Answer(f"{among}, {wording.listed(clauses)}")


def points(neurons: pd.DataFrame, models: pd.DataFrame) -> go.Figure:
    """A point a model, purity against accuracy, a panel a tower."""
    table = neurons.merge(models, on="model").assign(panel=lambda t: t.tower + " tower")
    table["name"] = table.data + ", " + table.group
    axes = "average |cos| (times chance)", "zero-shot accuracy (share)"
    caption = (
        "A point a model, purer ones to the left: colour says how its data were filtered, symbol "
        "its group. Accuracy is the mean over the data sets, with 95 % intervals over "
        "images. At 1 neurons are as orthogonal as random directions."
    )
    figure = figures.scatter_panels(
        table, "times_chance", "accuracy", "data", "group", "panel", axes, caption
    )
    return figure.add_vline(x=1, line=style.CHANCE_LINE)


def correlations(table: pd.DataFrame) -> go.Figure:
    """All correlations with their intervals."""
    effects = table.rename(columns={"spearman": "effect"})
    effects["row"] = effects.tower + " tower, " + effects.measure
    caption = (
        "Rank correlation of purity with accuracy and silhouette, with 95 % intervals over models; "
        "right of 0, purer models are better. Over all models the scale of computing has its say."
    )
    axis = "Spearman's rank correlation (-1 to 1)"
    return figures.forest(effects.assign(axis=axis), "row", "axis", caption, group="over")


def groups_table(rungs: pd.DataFrame) -> tables.Table:
    """The groups, their models and how the data of these were filtered."""
    found = rungs.groupby("group", sort=False)["data"].agg([len, ", ".join]).reset_index()
    return tables.show(found, {"group": "group", "len": "models", "join": "their data"})


def models_table(models: pd.DataFrame) -> tables.Table:
    """A row a model: what it does."""
    headings = {"group": "group", "data": "data", "accuracy": "accuracy (share of images)"}
    headings |= {"mean_recall": "mean recall of the classes"}
    return tables.show(models, headings | {"silhouette": "silhouette (-1 to 1)"})


def neurons_table(neurons: pd.DataFrame, models: pd.DataFrame) -> tables.Table:
    """A row a model and tower: average |cos|, and how many directions its neurons use."""
    shown = neurons.merge(models[["model", "group", "data"]], on="model")
    headings = {"group": "group", "data": "data", "tower": "tower", "avg_abs_cos": "average |cos|"}
    headings |= {"times_chance": "times chance", "effective_rank": "effective rank"}
    headings |= {"shared": "along one"}
    digits = {"avg_abs_cos": 4, "times_chance": 2, "effective_rank": 1, "shared": ".1%"}
    return tables.show(shown, headings, digits)


def at_chance(by_dataset: pd.DataFrame) -> tables.Table:
    """How many models of a group are no better than guessing on each data set."""
    guessing = [
        intervals.at_chance(row.accuracy, row.mean_recall_low, row.images, row.shown_classes)
        for row in by_dataset.itertuples()
    ]
    counted = by_dataset.assign(chance=guessing).pivot_table(
        index="group", columns="dataset", values="chance", aggfunc="sum", sort=False
    )
    return tables.show(counted.rename_axis(columns=None).reset_index())


def correlations_table(table: pd.DataFrame) -> tables.Table:
    """All correlations, with the verdict on those within groups."""
    headings = {"tower": "tower", "measure": "measure", "over": "over", "spearman": "Spearman"}
    headings |= {"interval": "95 % interval", "kendall": "Kendall", "p": "p", "verdict": "verdict"}
    digits = {"spearman": "+.2f", "kendall": "+.2f", "p": 3}
    spans = tables.spans(table, "+.2f")
    shown = table.assign(interval=spans, verdict=table.verdict.fillna(""))
    return tables.show(shown, headings, digits)


def groups_alone(by_group: pd.DataFrame) -> tables.Table:
    """The correlation in each group by itself."""
    headings = {"group": "group", "tower": "tower", "models": "models", "spearman": "Spearman"}
    headings |= {"low": "from", "high": "to", "kendall": "Kendall", "p": "p"}
    return tables.show(by_group, headings, digits=3)
