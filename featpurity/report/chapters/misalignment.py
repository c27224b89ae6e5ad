"""What the chapter on misaligned captions shows: tables of the experiment of that name in."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import pandas as pd
import plotly.graph_objects as go

from featpurity.captions.walk import KINDS
from featpurity.report import figures, heatmaps, published, tables, wording

if TYPE_CHECKING:
    from featpurity.data.pairs import CaptionedImages

# What a kind of swap does to a measure, where its interval lies above 0, below 0, and around it.
TOLD = {
    "misalignment_image": (
        "make the image tower's neurons less pure",
        "make the image tower's neurons purer",
        "make the image tower's neurons neither clearly less pure nor purer",
    ),
    "misalignment_text": (
        "make the text tower's less pure",
        "make the text tower's purer",
        "make the text tower's neither clearly less pure nor purer",
    ),
    "misalignment_accuracy": ("cost accuracy", "raise accuracy", "change accuracy neither clearly"),
}
# Each claim's measure: its unit in the sentence, the axis, and the sign that undoes the claim's.
CLAIMS = {
    "misalignment_image": (wording.COSINE, "average |cos|, image tower", 1),
    "misalignment_text": (wording.COSINE, "average |cos|, text tower", 1),
    "misalignment_accuracy": (wording.ACCURACY, "zero-shot accuracy (share of images)", -1),
    "misalignment_silhouette": (wording.SILHOUETTE, "cosine silhouette (-1 to 1)", -1),
}
MEASURES = {
    "image_avg_abs_cos": "average |cos|, image tower",
    "text_avg_abs_cos": "average |cos|, text tower",
    "accuracy": "zero-shot accuracy (share)",
    "loss": "contrastive loss (nats)",
}
RATIO = "share of captions swapped"


def answer(effects: pd.DataFrame, means: pd.DataFrame, ratios: Sequence[float]) -> wording.Answer:
    """The result of a run in a few sentences, from tables of `Misaligned` and the ratios run."""
    low, high, clauses = min(ratios), max(ratios), []
    measured = low <= published.RATIOS[0] and high >= published.RATIOS[1]
    through = "all ratios" if measured else f"ratios of {low:g} to {high:g} alone"
    for kind, part in effects.groupby("comparison", sort=False):
        parts = []
        for row in part[part.claim.isin(TOLD)].itertuples():
            unit, _, sign = CLAIMS[row.claim]
            number = wording.with_interval(row, unit, sign, not clauses and not parts)
            parts.append(f"{wording.by_interval(row, *TOLD[row.claim])} ({number})")
        clauses.append(f"{kind} {wording.listed(parts)}")
    shares = means.groupby(["kind", "ratio"]).image_shared.mean()
    ends = [f"{shares[kind, high]:.0%} ({KINDS[kind]})" for kind in dict.fromkeys(means.kind)]
    return wording.Answer(
        f"{'; '.join(clauses)}. The numbers are changes from no swapped caption to 80 % of them, "
        f"along a straight line through {through}. A single direction holds "
        f"{shares.xs(low, level='ratio').mean():.0%} of the image tower's squared weights at a "
        f"ratio of {low:g}; at {high:g} it holds {wording.listed(ends)}"
    )


def matrices(models: Mapping[tuple[str, float], heatmaps.Towers]) -> go.Figure:
    """The cosines of the fine-tuned neurons, ratio by ratio.

    Parameters
    ----------
    models : dict of (kind, ratio) to (dict of str to Tower)
        Of the first seed.
    """
    named = {(KINDS[kind], ratio): towers for (kind, ratio), towers in models.items()}
    caption = (
        "Cosine between every two neurons after fine-tuning on captions of which a share was "
        "swapped, first seed; the slider has the ratio. Neurons that point the same way stand "
        "together. Two blocks of opposite sign mean that many neurons share one direction, along "
        "it or against it. Chance is the average |cos| of as many random directions."
    )
    return heatmaps.over_ratios(named, caption)


def changes(effects: pd.DataFrame) -> go.Figure:
    """How much each measure changes, with its interval over seeds."""
    axis = {claim: f"{name}, change signed for the claim" for claim, (_, name, _) in CLAIMS.items()}
    caption = (
        "Change from ratio 0 to 0.8 along a straight line through all ratios, with 95 % intervals "
        "over seeds; right of 0 more swaps mean less purity or worse results, as the paper claims."
    )
    table = effects.assign(axis=effects.claim.map(axis))
    return figures.forest(table, "comparison", "axis", caption, group="comparison")


def against_ratio(means: pd.DataFrame, chance: dict[str, float]) -> go.Figure:
    """What the claims are about, and two numbers on the spectrum, against the ratio; with each
    tower's chance level.
    """
    panels = {key: MEASURES[key] for key in ("image_avg_abs_cos", "text_avg_abs_cos")}
    panels |= {"image_effective_rank": "effective rank, image tower"}
    panels |= {"image_shared": "share of one direction, image tower"}
    panels |= {"accuracy": MEASURES["accuracy"]}
    panels |= {"silhouette": "cosine silhouette"}
    caption = (
        "The fine-tuned models against the misalignment ratio: mean over seeds and their range; "
        "accuracy and silhouette are means over the data sets. Average |cos| above chance means "
        "less pure than random directions. Where it rises with the share of squared weights along "
        "one direction, a part of the rise is that the neurons have all taken up that direction."
    )
    table = means.assign(swaps=means.kind.map(KINDS))
    return figures.lines_with_bands(
        table, "ratio", panels, "swaps", RATIO, caption, chance=by_measure(chance)
    )


def training(history: pd.DataFrame, chance: dict[str, float]) -> go.Figure:
    """Epoch by epoch, for the smallest and the largest ratio of both kinds of swap."""
    ends = history[history.ratio.isin([history.ratio.min(), history.ratio.max()])]
    runs = ends.kind.map(KINDS) + ends.ratio.map(", ratio {:g}".format)
    runs = runs.where(ends.ratio > 0, "no caption swapped")  # of both kinds the same runs
    caption = (
        "During fine-tuning: mean over seeds and their range, for the smallest and the largest "
        "ratio of both kinds of swap. Accuracy is the mean over the data sets. Epoch 0 is the "
        "model before."
    )
    return figures.lines_with_bands(
        ends.assign(runs=runs),
        "epoch",
        MEASURES,
        "runs",
        "epoch",
        caption,
        chance=by_measure(chance),
    )


def over_time(history: pd.DataFrame, kind: str, chance: dict[str, float]) -> go.Figure:
    """Average |cos| epoch by epoch, for every ratio of one kind of swap."""
    panels = {key: MEASURES[key] for key in ("image_avg_abs_cos", "text_avg_abs_cos")}
    part = history[history.kind == kind]
    part = part.assign(share=part.ratio.map("ratio {:g}".format))
    caption = (
        f"Average |cos| over the epochs for every ratio, {KINDS[kind]}: mean over seeds and their "
        "range. Dark is few swaps, light is many."
    )
    return figures.lines_with_bands(
        part, "epoch", panels, "share", "epoch", caption, shade="ratio", chance=by_measure(chance)
    )


def histogram(
    models: Mapping[tuple[str, float], heatmaps.Towers], kind: str, tower: str, width: int
) -> go.Figure:
    """The distributions of one tower's cosines, ratio by ratio; models as in `matrices`."""
    cosines = {
        f"ratio {ratio:g}": towers[tower].cosines
        for (its_kind, ratio), towers in models.items()
        if its_kind == kind
    }
    caption = (
        f"Cosines between the neurons of the {tower} tower after fine-tuning, {KINDS[kind]}, first "
        "seed. Dark is few swaps, light is many."
    )
    widths = dict.fromkeys(cosines, width)
    return heatmaps.cosine_histogram(cosines, widths, caption, ordered=True)


def summaries_table(summaries: pd.DataFrame) -> tables.Table:
    """How many captions were swapped, and how similar the swapped ones are."""
    headings = {"kind": "swaps", "ratio": "ratio", "n": "captions", "achieved_ratio": "swapped"}
    headings |= {"changed_texts": "changed texts", "mean_similarity": "mean similarity"}
    digits = {"ratio": 1, "achieved_ratio": ".1%", "changed_texts": ".1%", "mean_similarity": 2}
    if summaries.false.notna().any():  # of generated captions it is known
        headings["false"], digits["false"] = "captions that say something false", ".1%"
    return tables.show(summaries.assign(kind=summaries.kind.map(KINDS)), headings, digits)


def examples(captioned: "CaptionedImages", swaps: pd.DataFrame) -> tables.Table:
    """Some swaps: a picture, its caption and the one it is trained with."""
    shown = swaps.assign(
        kind=swaps.kind.map(KINDS),
        picture=[tables.Picture(captioned.images[i], f"picture {i:,}") for i in swaps.image],
    )
    headings = {"picture": "picture", "kind": "swaps", "similarity": "similarity"}
    headings |= {"before": "its caption", "after": "the caption it is trained with"}
    return tables.show(shown, headings, digits=2)


def means_table(means: pd.DataFrame) -> tables.Table:
    """Means over seeds: a row a kind and ratio."""
    by_ratio = means.drop(columns="seed").groupby(["kind", "ratio"], sort=False).mean()
    shown = by_ratio.reset_index()
    headings = {"kind": "swaps", "ratio": "ratio", "image_avg_abs_cos": "average |cos|, image"}
    headings |= {"text_avg_abs_cos": "average |cos|, text", "accuracy": "accuracy"}
    headings |= {"mean_recall": "mean recall", "silhouette": "silhouette"}
    digits = dict.fromkeys(headings, 3) | {"ratio": 1}
    return tables.show(shown.assign(kind=shown.kind.map(KINDS)), headings, digits)


def by_measure(chance: dict[str, float]) -> dict[str, float]:
    """Average |cos| of random directions by tower, by the names of `MEASURES`."""
    return {f"{tower}_avg_abs_cos": value for tower, value in chance.items()}
