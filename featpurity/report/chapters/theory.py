"""What the chapter on the theory shows: tables of the experiment of that name in."""

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from featpurity.report import figures, results, style, tables, wording
from featpurity.report.published import published_theory

MEASURES = {
    "accuracy": "zero-shot accuracy (share of images)",
    "silhouette": "silhouette of the classes",
    "features": "purely represented features (of 50)",
    "magnitude": "their magnitude (|cos|)",
}
PROBABILITY = "probability of a spurious feature"
BINS = 50  # of a histogram


def answer(table: pd.DataFrame, recaptioned: pd.DataFrame, bases: pd.DataFrame) -> wording.Answer:
    """The result of a run in some sentences, from tables of `Simulated`."""
    captions = recaptioned.mean(numeric_only=True)
    means = table.groupby(["texts", "probability"]).mean()
    low, high = table.probability.min(), table.probability.max()
    best, raw, kept = means.loc["raw", low], means.loc["raw", high], means.loc["filtered", high]
    turns = bases[bases.encoder == "threshold"].groupby("basis").mean(numeric_only=True)
    own, turned = turns.loc["own"], turns.loc["rotated"]
    return wording.Answer(
        f"texts that name a spurious feature with probability {high:g} take the encoders' accuracy "
        f"from {best.accuracy:.2f} to {raw.accuracy:.2f} and the purely represented features from "
        f"{best.features:.0f} to {raw.features:.0f}; recaptioned and filtered, they give "
        f"{kept.accuracy:.2f} and {kept.features:.0f}",
        f"The filter kept the new caption in {wording.percent(kept.replaced)} of the noisy pairs; "
        f"new captions in all of them give {captions.accuracy:.2f} and {captions.features:.0f}",
        f"A random rotation of the hidden neurons takes the features from {own.features:.0f} to "
        f"{turned.features:.0f} and the accuracy from {own.accuracy:.2f} to {turned.accuracy:.2f}, "
        f"but average |cos| only from {own.avg_abs_cos:.3f} to {turned.avg_abs_cos:.3f}",
    )


def beside_published(table: pd.DataFrame) -> pd.DataFrame:
    """Our rows and the paper's, told apart by `source` ("here", "published"), and with the texts by
    `who`: "raw, here" and so on.

    The paper's have no seed: one row a texts and probability.
    """
    theirs = published_theory().pivot(
        index=["texts", "probability"], columns="measure", values="value"
    )
    both = {"here": table, "published": theirs.reset_index()}
    rows = [part.assign(who=part.texts + ", " + name, source=name) for name, part in both.items()]
    order = [f"{texts}, {name}" for texts in ("raw", "filtered") for name in both]
    joined = pd.concat(rows)[["who", "source", "probability", *MEASURES]]
    return joined.sort_values("who", key=lambda who: who.map(order.index), kind="stable")


def curves(table: pd.DataFrame) -> go.Figure:
    """The four measures against the probability, here and in the paper's figure 1."""
    caption = (
        "The simulation here and in the paper's figure 1: encoders trained on raw pairs, and on "
        "recaptioned and filtered ones. Here (solid) means and range over seeds; dashed what was "
        "published."
    )
    both = beside_published(table)
    return figures.lines_with_bands(
        both, "probability", MEASURES, "who", PROBABILITY, caption, dash="source"
    )


def ends(table: pd.DataFrame) -> tables.Table:
    """Our means over seeds beside the paper's values, at the lowest and highest probability."""
    both = beside_published(table)
    both = both[both.probability.isin([table.probability.min(), table.probability.max()])]
    long = both.melt(["who", "source", "probability"], var_name="measure")
    wide = long.pivot_table("value", ["measure", "probability"], "who", sort=False)
    shown = wide.reset_index().rename_axis(columns=None)
    shown["measure"] = shown.measure.map(MEASURES)
    digits = dict.fromkeys(shown.columns[2:], "#.3g") | {"probability": "g"}
    return tables.show(shown, digits=digits)


def readers(table: pd.DataFrame) -> tables.Table:
    """What readers who know the features make of tasks of some leads: means over seeds."""
    means = table.groupby(["lead", "reader"], sort=False).mean(numeric_only=True).reset_index()
    headings = {"lead": "lead (features)", "images": "test images", "reader": "reader"}
    headings |= {"accuracy": "accuracy", "silhouette": "silhouette"}
    return tables.show(means, headings, {"images": 0})


def remedies(table: pd.DataFrame, recaptioned: pd.DataFrame) -> tables.Table:
    """Raw, recaptioned and filtered texts at the highest probability: means over seeds."""
    both = pd.concat([table[table.probability == table.probability.max()], recaptioned])
    means = both.groupby("texts").mean(numeric_only=True)
    shown = means.loc[["raw", "recaptioned", "filtered"]].reset_index()
    headings = {"texts": "texts", "replaced": "noisy pairs with a caption"}
    headings |= {"text_truth": "truth of the texts (cosine)", "accuracy": "accuracy"}
    headings |= {"silhouette": "silhouette", "features": "pure features", "magnitude": "magnitude"}
    digits = dict(replaced=".1%", accuracy=3, silhouette=3, features=1, magnitude=3, text_truth=3)
    return tables.show(shown, headings, digits)


def texts(table: pd.DataFrame, chance: float) -> go.Figure:
    """What the remedy makes of the noisy texts, and of average |cos| beside chance."""
    panels = {
        "text_truth": "truth of the texts (cosine)",
        "replaced": "share of texts replaced",
        "avg_abs_cos": "average |cos|, image neurons",
    }
    caption = "Noisy pairs before and after the remedy: mean and range over seeds."
    level = {"avg_abs_cos": chance}
    return figures.lines_with_bands(
        table, "probability", panels, "texts", PROBABILITY, caption, chance=level
    )


def neurons_and_features(cosines: dict[tuple[str, float], np.ndarray], near: float) -> go.Figure:
    """|cos| of all neurons and features at the probability that is nearest to `near`."""
    shown = min((probability for _, probability in cosines), key=lambda value: abs(value - near))
    samples = {name: cosines[name, shown] for name in ("raw", "filtered")}
    every = list(samples.values())
    edges = np.linspace(np.min(every), np.max(every), BINS + 1)
    caption = (
        f"|cos| of every neuron of the image encoder and every feature, all seeds, at probability "
        f"{shown:g}; the paper's figure 4 shows the same (its file is called ..._noise_0.3)."
    )
    figure, colours = go.Figure(), style.colours_of(samples)
    for (name, values), dash in zip(samples.items(), style.DASHES):
        share = np.histogram(values, edges)[0] / np.size(values)
        figure.add_scatter(
            x=(edges[1:] + edges[:-1]) / 2,
            y=np.where(share > 0, share, np.nan),  # a logarithm of 0 has no place
            name=name,
            mode="lines",
            line={"color": colours[name], "dash": dash, "shape": "hvh"},
        )
    figure.update_xaxes(title="|cos| of a neuron and a feature")
    figure.update_yaxes(title="share of the values", type="log")
    return style.finish(figure, caption)


def bases(table: pd.DataFrame) -> tables.Table:
    """Encoders with a threshold and without, in their own basis and in a rotated one."""
    means = table.groupby(["encoder", "basis"], sort=False).mean(numeric_only=True).reset_index()
    headings = {
        "encoder": "encoder",
        "basis": "basis",
        "loss": "loss",
        "accuracy": "accuracy",
        "silhouette": "silhouette",
        "features": "pure features",
        "avg_abs_cos": "average |cos|",
    }
    digits = dict(loss=2, accuracy=3, silhouette=3, features=1, avg_abs_cos=4)
    return tables.show(means, headings, digits)


def claims(effects: pd.DataFrame) -> tables.Table:
    """The effects with their intervals and verdicts, each in its own unit."""
    judged = wording.in_points(results.judge(effects).dropna(subset="effect"))
    headings = {"statement": "claim", "comparison": "what is compared", "effect": "effect"}
    headings |= {"low": "from", "high": "to", "unit": "unit", "verdict": "verdict"}
    return tables.show(judged, headings, dict.fromkeys(["effect", "low", "high"], "+#.3g"))
