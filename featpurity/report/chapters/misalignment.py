"""What the chapter on misaligned captions shows: tables of the experiment of that name in."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import pandas as pd
import plotly.graph_objects as go

from featpurity.captions.walk import KINDS
from featpurity.report import figures, heatmaps, over_seeds, published, style, tables, wording

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
    "misalignment_accuracy": (wording.ACCURACY, "zero-shot accuracy (points)", -1),
    "misalignment_silhouette": (wording.SILHOUETTE, "cosine silhouette (-1 to 1)", -1),
}
MEASURES = {
    "image_avg_abs_cos": "average |cos|, image tower",
    "text_avg_abs_cos": "average |cos|, text tower",
    "accuracy": "zero-shot accuracy (share)",
    "loss": "contrastive loss (nats)",
}
RATIO = "share of captions swapped"


def answer(
    model: str,
    effects: pd.DataFrame,
    measured: pd.DataFrame,
    means: pd.DataFrame,
    ratios: Sequence[float],
) -> wording.Answer:
    """The result of a run in a few sentences: the fine-tuned model as readers know it, tables of
    `Misaligned` and the ratios run.
    """
    low, high = min(ratios), max(ratios)
    whole = low <= published.RATIOS[0] and high >= published.RATIOS[1]
    through = "all ratios" if whole else f"ratios of {low:g} to {high:g} alone"
    clauses = []
    for kind, part in measured[measured.claim.isin(TOLD)].groupby("comparison", sort=False):
        parts = []
        for row in part.itertuples():
            unit, _, sign = CLAIMS[row.claim]
            number = wording.with_interval(row, unit, sign, not clauses and not parts)
            parts.append(f"{wording.by_interval(row, *TOLD[row.claim])} ({number})")
        clauses.append(f"{kind} {wording.listed(parts)}")
    slopes = [
        f"{kind} {wording.listed(map(_slope, part.itertuples()))}"
        for kind, part in effects[effects.claim.isin(TOLD)].groupby("comparison", sort=False)
    ]
    ends, without = [], []
    for kind, part in means.groupby("kind", sort=False):
        share = part[part.ratio == high].image_shared.mean()
        ends.append(f"{wording.percent(share)} ({KINDS[kind]})")
        without.append(f"{over_seeds.told(part, 'image_without_shared')} with {KINDS[kind]}")
    first = means[means.ratio == low].image_shared.mean()
    return wording.Answer(
        f"{model}, fine-tuned with {wording.percent(high)} of the captions swapped instead of "
        f"{wording.percent(low)}: {'; '.join(clauses)}",
        f"The claims judge the slope of the straight line through {through}, times "
        f"{over_seeds.SPAN:g}: {'; '.join(slopes)}",
        "The share of a single direction in the image tower's squared weights goes from "
        f"{wording.percent(first)} to {wording.listed(ends)}",
        "Without that one direction the image tower's average |cos| changes by "
        f"{wording.listed(without)}",
    )


def _slope(row):
    """An effect of the straight line without its interval, and whether its curve turns."""
    unit, _, sign = CLAIMS[row.claim]
    _, factor, digits = unit
    points = " points" if unit == wording.ACCURACY else ""
    turns = f" ({row.turns})" if row.turns else ""
    return f"{wording.plus(sign * factor * row.effect, digits)}{points}{turns}"


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


def changes(effects: pd.DataFrame, measured: pd.DataFrame) -> go.Figure:
    """How much each measure changes, with its interval over seeds: as measured, and along the
    straight line that the claims judge.
    """
    shown = pd.concat([measured.assign(way="measured"), effects.assign(way="line")])
    shown = shown.sort_index(kind="stable")  # both ways beside one another
    factors = shown.claim.map({claim: factor for claim, ((_, factor, _), *_) in CLAIMS.items()})
    for name in ("effect", "low", "high"):
        shown[name] *= factors
    names = effects.claim.map({claim: name for claim, (_, name, _) in CLAIMS.items()})
    caption = (
        "Measured: the highest ratio minus the lowest, seed by seed. Line: the slope of the "
        f"straight line through all ratios, times {over_seeds.SPAN:g}, which the claims judge. "
        "Both with 95 % intervals over seeds; right of 0 more swaps mean less purity or worse "
        f"results, as the paper claims.{over_seeds.noted(effects, names)}"
    )
    shown = shown.assign(
        row=shown.comparison + ",<br>" + shown.way,
        axis=shown.claim.map(lambda claim: f"{CLAIMS[claim][1]}, change signed for the claim"),
    )
    return figures.forest(shown, "row", "axis", caption, group="comparison")


def against_ratio(means: pd.DataFrame, chance: dict[str, float]) -> go.Figure:
    """What the claims are about, and what one direction has to do with it, against the ratio; with
    each tower's chance level.
    """
    panels = {key: MEASURES[key] for key in ("image_avg_abs_cos", "text_avg_abs_cos")}
    panels |= {"image_without_shared": "|cos| without the shared direction, image"}
    panels |= {"image_shared": "share of one direction, image tower"}
    panels |= {"accuracy": MEASURES["accuracy"]}
    panels |= {"silhouette": "cosine silhouette"}
    caption = (
        "The fine-tuned models against the misalignment ratio: mean over seeds and their range; "
        "accuracy and silhouette are means over the data sets. Average |cos| above chance means "
        "less pure than random directions. The shared direction is the one along which a model's "
        "neurons have most of their squared weights: what |cos| does without it is no matter of "
        "neurons that have all taken up that direction."
    )
    table = means.assign(swaps=means.kind.map(KINDS), dash="")
    return figures.lines_with_bands(
        table, "ratio", panels, "swaps", RATIO, caption, dash="dash", chance=by_measure(chance)
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
        ends.assign(runs=runs, dash=""),
        "epoch",
        MEASURES,
        "runs",
        "epoch",
        caption,
        dash="dash",
        chance=by_measure(chance),
    )


def over_time(history: pd.DataFrame, chance: dict[str, float]) -> go.Figure:
    """Average |cos| epoch by epoch, for every ratio; a menu chooses the kind of swap."""
    panels = {key: MEASURES[key] for key in ("image_avg_abs_cos", "text_avg_abs_cos")}
    table = history.assign(share=history.ratio.map("ratio {:g}".format))
    caption = (
        "Average |cos| over the epochs for every ratio: mean over seeds and their range. Dark is "
        "few swaps, light is many. The menu chooses the kind of swap."
    )
    options = dict(shade="ratio", chance=by_measure(chance))
    drawn = {
        KINDS[kind]: figures.lines_with_bands(
            part, "epoch", panels, "share", "epoch", caption, **options
        )
        for kind, part in table.groupby("kind", sort=False)
    }
    return style.one_of(drawn, "Swaps")


def histograms(models: Mapping[tuple[str, float], heatmaps.Towers]) -> go.Figure:
    """The distributions of the cosines, ratio by ratio; a menu chooses tower and kind of swap.

    Parameters
    ----------
    models : dict of (kind, ratio) to (dict of str to Tower)
        As in `matrices`.
    """
    kinds, said, drawn = dict.fromkeys(kind for kind, _ in models), [], {}
    for tower in next(iter(models.values())):
        for kind in kinds:
            chosen = {
                f"ratio {ratio:g}": towers[tower]
                for (its, ratio), towers in models.items()
                if its == kind
            }
            drawn[f"{tower} tower, {KINDS[kind]}"] = heatmaps.cosine_histogram(
                chosen, "", ordered=True
            )
            spreads = [heatmaps.between_neurons(its.cosines).std() for its in chosen.values()]
            first, *_, last = spreads
            said.append(f"{first:.3f} to {last:.3f} ({tower} tower, {KINDS[kind]})")
    ratios = [ratio for _, ratio in models]
    caption = (
        "Cosines between different neurons after fine-tuning, first seed. Dark is few swaps, light "
        "is many. The menu chooses tower and kind of swap. From a ratio of "
        f"{min(ratios):g} to {max(ratios):g} their standard deviation goes from "
        f"{wording.listed(said)}."
    )
    figure = style.one_of(drawn, "Tower and swaps")
    return figure.update_layout(meta={"caption": caption})


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
    """Average |cos| of random directions by tower, by the names of the measures of |cos|."""
    return {
        f"{tower}_{measure}": value
        for tower, value in chance.items()
        for measure in ("avg_abs_cos", "without_shared")
    }
