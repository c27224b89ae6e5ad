"""What the chapter on online and cached training shows: tables of that experiment in."""

import pandas as pd
import plotly.graph_objects as go

from featpurity.captions.walk import KINDS
from featpurity.report import figures, tables, wording
from featpurity.report.chapters.misalignment import MEASURES, RATIO, by_measure


def answer(distances: pd.DataFrame) -> wording.Answer:
    """How far the cached ways end from online training, in one sentence."""
    clauses = []
    for way, part in distances.groupby("way", sort=False):
        by_measure = part.groupby("measure")[["mean distance", "between seeds"]].mean()
        apart, seeds = by_measure["mean distance"], by_measure["between seeds"]
        called = way.replace("cached, ", "cached training with ")
        clauses.append(
            f"{called} ends {100 * apart.accuracy:.1f} points of accuracy and "
            f"{apart.image_avg_abs_cos:.3f} of average |cos| (image tower) from online training, "
            f"where seeds differ by {100 * seeds.accuracy:.1f} and {seeds.image_avg_abs_cos:.3f}"
        )
    return wording.Answer("; ".join(clauses))


def ends(curves: pd.DataFrame, kind: str, chance: dict[str, float]) -> go.Figure:
    """What each way ends with, against the ratio, for one kind of swap."""
    last = curves[(curves.epoch == curves.epoch.max()) & (curves.kind == kind)]
    caption = (
        f"After the last epoch, against the misalignment ratio, {KINDS[kind]}: online with one "
        "seed, the cached ways as mean and range over seeds. Accuracy is the mean over the data "
        "sets."
    )
    return _lines(last, "ratio", RATIO, caption, chance)


def over_epochs(
    curves: pd.DataFrame, ratio: float, kind: str, seed: int, chance: dict[str, float]
) -> go.Figure:
    """The same over the epochs, for one run."""
    run = curves[(curves.seed == seed) & (curves.ratio == ratio) & (curves.kind == kind)]
    caption = (
        f"The same over the epochs, at ratio {ratio:g}, {KINDS[kind]}, seed {seed}. Epoch 0 is the "
        "model before."
    )
    return _lines(run, "epoch", "epoch", caption, chance)


def distances_table(distances: pd.DataFrame) -> tables.Table:
    """Distances from online training beside what seeds and ratios do."""
    shown = distances.assign(
        way=distances.way.str.removeprefix("cached, "),
        measure=distances.measure.map(MEASURES),
        swaps=distances.swaps.map(KINDS),
    )
    columns = ["swaps", "measure", "mean distance", "largest distance", "between seeds"]
    headings = {"way": "cached, with"} | {name: name for name in columns}
    headings |= {"effect online": "effect online", "effect in this way": "effect cached"}
    return tables.show(shown, headings, digits=4)


def costs_table(costs: list[dict]) -> tables.Table:
    """Seconds of this run; the features' extraction is not counted."""
    table = pd.DataFrame(costs)
    headings = {"way": "way", "runs": "runs", "seconds": "seconds", "each": "seconds a run"}
    return tables.show(table.assign(each=table.seconds / table.runs), headings, digits=1)


def _lines(table, x, x_title, caption, chance):
    chance = by_measure(chance)
    return figures.lines_with_bands(table, x, MEASURES, "way", x_title, caption, chance=chance)
