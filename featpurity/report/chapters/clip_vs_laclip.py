"""What the chapter on CLIP and LaCLIP shows: tables of the experiment of that name in."""

from collections.abc import Iterator, Mapping, Sequence

import pandas as pd
import plotly.graph_objects as go
from PIL import Image

from featpurity.labels import OVERALL
from featpurity.metrics import intervals
from featpurity.metrics.silhouette import FEW
from featpurity.report import figures, heatmaps, tables, wording

MEASURES = {
    "accuracy": "zero-shot accuracy (share of images)",
    "silhouette": "cosine silhouette (-1 to 1)",
}
DIFFERENCES = {
    "accuracy_laclip": wording.DIFFERENCE,
    "silhouette_laclip": "difference of silhouette",
}
# What the sentence says of a claim: its unit, and the words for an interval above 0, below 0, and
# around it.
CLAUSES = {
    "accuracy_laclip": (
        wording.ACCURACY,
        "classifies better",
        "classifies worse",
        "classifies neither clearly better nor worse",
    ),
    "silhouette_laclip": (
        wording.SILHOUETTE,
        "separates the classes better",
        "separates the classes worse",
        "separates the classes neither clearly better nor worse",
    ),
    "purity_laclip_image": (
        wording.COSINE,
        "has purer image neurons",
        "has less pure image neurons",
        "has image neurons that are neither clearly purer nor less pure",
    ),
    "purity_laclip_text": (
        wording.COSINE,
        "has purer text neurons",
        "has less pure text neurons",
        "has text neurons that are neither clearly purer nor less pure",
    ),
}


OVER_PAIRS = r"\d+ LaCLIP models minus \d+ CLIP models"  # means over pairs that share no model
PURER = ("purity_laclip_image", "purity_laclip_text")  # told as the change of |cos|


def answer(effects: pd.DataFrame, accuracy: pd.DataFrame) -> wording.Answer:
    """The result of a run in one sentence, from its effects over all data sets.

    Where the effects end with means over pairs it tells these, and the range of accuracy; where no
    models are compared, each one's numbers.
    """
    if effects.empty:
        means = accuracy.groupby("model", sort=False)[list(MEASURES)].mean()
        return wording.Answer("; ".join(_alone(row) for row in means.itertuples()))
    means = effects[effects.dataset == OVERALL]
    accuracy = means[means.claim == "accuracy_laclip"]
    over_pairs = accuracy.comparison.str.fullmatch(OVER_PAIRS)
    if not over_pairs.any():
        told = [
            f"{comparison.replace(' minus ', ', compared with ')}, {_clauses(means, comparison)}"
            for comparison in accuracy.comparison
        ]
        return wording.Answer("; ".join(told))
    single, mean = accuracy.effect[~over_pairs], accuracy.comparison[over_pairs].iloc[0]
    ends = [wording.plus(100 * end, 1) for end in (single.min(), single.max())]
    return wording.Answer(
        f"on average over {len(single)} pairs, LaCLIP, compared with CLIP, "
        f"{_clauses(means, mean)}; pair by pair, accuracy changes by {' to '.join(ends)} points"
    )


def _alone(mean):
    """What one model does by itself."""
    apart = f", and its silhouette is {mean.silhouette:+.3f}" if pd.notna(mean.silhouette) else ""
    right = wording.percent(mean.accuracy, 1)
    return f"{mean.Index} classifies {right} of the pictures rightly{apart}"


def _clauses(means, comparison):
    """What a comparison, "LaCLIP minus CLIP", says of each claim, with its interval."""
    after, before = comparison.split(" minus ")
    turned = means.claim.isin(PURER).map({True: f"{before} minus {after}", False: comparison})
    about = means[(means.comparison == turned) & means.claim.isin(CLAUSES)]
    return wording.clauses(about, CLAUSES, PURER)


def matrices(
    towers: Mapping[str, heatmaps.Towers], pairs: Sequence[tuple[str, str]] = ()
) -> go.Figure:
    """The cosines of the models' neurons side by side; towers as `heatmaps.towers_of` has them."""
    caption = (
        "Cosine between every two neurons of a tower; the diagonal is set to 0. Ordered by signed "
        "similarity, neurons that point the same way stand together. A faint band along the "
        "diagonal comes with that order, of random directions too; blocks of both signs mean that "
        "many neurons share a direction. The menu has the other tower, other orders and, where "
        "there are more, the other models. Chance is the average |cos| of as many random "
        "directions."
    )
    return heatmaps.side_by_side(towers, caption, pairs)


def gains(effects: pd.DataFrame) -> go.Figure | None:
    """Differences of accuracy and silhouette on each data set and on average; None where no models
    are compared.
    """
    chosen = effects[effects.claim.isin(DIFFERENCES)]
    if chosen.empty:
        return None
    caption = (
        "Accuracy and silhouette of the second model of a pair minus those of the first, with 95 % "
        "paired intervals over images; right of 0 the second is better. The rows called mean "
        "average over the data sets."
    )
    chosen = wording.of_claims(chosen).assign(axis=chosen.claim.map(DIFFERENCES))
    return figures.forest(chosen, "dataset", "axis", caption, group="comparison")


def bars(accuracy: pd.DataFrame) -> go.Figure:
    """Accuracy and silhouette of each model on each data set."""
    caption = (
        "Zero-shot accuracy and silhouette of each model on each data set; whiskers are 95 % "
        "intervals over images. The menu chooses the measure."
    )
    views = {title: (accuracy, measure) for measure, title in MEASURES.items()}
    return figures.bars_with_intervals(views, caption)


def accuracy_table(accuracy: pd.DataFrame) -> tables.Table:
    """Accuracy and silhouette with their intervals, a row a model and data set."""
    shown = accuracy.copy()
    for measure in (*MEASURES, "mean_recall"):
        spans = tables.spans(accuracy, ".3f", f"{measure}_")
        shown[f"{measure}_text"] = [
            f"{value:.3f} ({span})" if pd.notna(value) else "not defined"
            for value, span in zip(accuracy[measure], spans)
        ]
    headings = {"model": "model", "dataset": "data set", "images": "images", "classes": "classes"}
    headings |= {
        "accuracy_text": "accuracy (95 % interval)",
        "mean_recall_text": "mean recall (95 % interval)",
    }
    headings |= {"accuracy_top5": "top-5 accuracy"}
    headings |= {"silhouette_text": "silhouette (95 % interval)"}
    return tables.show(shown, headings)


def warnings(accuracy: pd.DataFrame, n_bootstrap: int) -> Iterator[str]:
    """Sentences on rows that say little: accuracies at chance, silhouettes that are not defined or,
    without the bootstrap, have intervals that are too narrow.
    """
    for row in accuracy.itertuples():
        if intervals.at_chance(row.accuracy, row.mean_recall_low, row.images, row.shown_classes):
            yield (
                f"{row.model} on {row.dataset}: accuracy is chance (1 in {row.shown_classes}). "
                "A comparison with it says nothing."
            )
    for name in accuracy.dataset[accuracy.silhouette.isna()].unique():
        yield (
            f"{name}: the silhouette is not defined; it needs two classes or more, and a class of "
            "several pictures."
        )
    for name in accuracy.dataset[accuracy.smallest_class == 1].unique():
        yield (
            f"{name}: a class has a single picture, so that the mean recall's intervals are too "
            "narrow."
        )
    few = accuracy[accuracy.silhouette.notna() & (accuracy.smallest_class < FEW)]
    for name in few.dataset.unique() if not n_bootstrap else []:
        yield (
            f"{name}: a class has fewer than {FEW} pictures. With many such classes the closed "
            "form makes the silhouette's intervals too narrow: set n_bootstrap to 500, say."
        )


def neurons_table(neurons: pd.DataFrame) -> tables.Table:
    """How pure each tower's neurons are."""
    headings = {"model": "model", "tower": "tower", "neurons": "neurons", "width": "width"}
    headings |= {"avg_abs_cos": "average |cos|", "error": "its error", "chance": "chance"}
    headings |= {"rotated": "after rotation", "effective_rank": "effective rank"}
    headings |= {"shared": "along one"}  # a longer heading makes the table wider than its page
    digits = dict.fromkeys(headings, 4) | {"effective_rank": 1, "shared": ".1%"}
    return tables.show(neurons, headings, digits)


def histogram(towers: Mapping[str, heatmaps.Towers]) -> go.Figure:
    """The distributions of the cosines."""
    found = {
        f"{name}, {side} tower": tower
        for name, both in towers.items()
        for side, tower in both.items()
    }
    caption = (
        "Distribution of the cosines between different neurons of a tower, beside what random "
        "directions of the same width would give (chance)."
    )
    sides = [side for both in towers.values() for side in both]
    panels = {name: f"{side} tower" for name, side in zip(found, sides)}
    return heatmaps.cosine_histogram(found, caption, panels=panels)


def pictures(images: Sequence[Image.Image], titles: Sequence[str], dataset: str) -> go.Figure:
    """A few pictures of a data set with their classes."""
    caption = f"Pictures of the data set {dataset}, with their classes."
    return figures.image_grid(images, titles, caption)
