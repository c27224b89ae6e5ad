"""What the chapter on retrieval and linear probes shows: tables of its three experiments in."""

from collections.abc import Iterator

import pandas as pd
import plotly.graph_objects as go

from featpurity.labels import OVERALL
from featpurity.report import figures, tables, wording

RECALL = ("points of mean recall", 100, 1)
DIFFERENCES = {
    "retrieval_laclip": "difference of recall (share of queries)",
    "probe_laclip": "difference of the probe's accuracy (share of images)",
    "multi_label_laclip": "difference of mean average precision",
}
CLAUSES = {  # the unit, and the words for an interval above 0, below 0, and around it
    "retrieval_laclip": (
        RECALL,
        "retrieves better",
        "retrieves worse",
        "retrieves neither clearly better nor worse",
    ),
    "probe_laclip": (
        wording.ACCURACY,
        "is better for a linear probe",
        "is worse for a linear probe",
        "is neither clearly better nor worse for a linear probe",
    ),
    "multi_label_laclip": (
        ("points of mean average precision", 100, 1),
        "ranks the pictures of a class better",
        "ranks the pictures of a class worse",
        "ranks the pictures of a class neither clearly better nor worse",
    ),
}


def answer(recall: pd.DataFrame, accuracy: pd.DataFrame, effects: pd.DataFrame) -> wording.Answer:
    """The result of a run in one sentence; where no models are compared, each one's numbers."""
    means, sentences = effects[effects.dataset == OVERALL], []
    for comparison, about in means.groupby("comparison", sort=False):
        after, before = comparison.split(" minus ")
        said = wording.clauses(about, CLAUSES)
        sentences.append(f"{after}, compared with {before}, {said}")
    full = accuracy[accuracy.shots == "all"].groupby("model").accuracy.mean()
    for model, part in recall.groupby("model", sort=False) if not sentences else []:
        right = full.get(model)
        probed = (
            f", and a linear probe on it is right for {wording.percent(right, 1)}"
            if pd.notna(right)
            else ""
        )
        sentences.append(
            f"{model} has a mean recall of {wording.percent(part.recall.mean(), 1)}{probed}"
        )
    return wording.Answer("; ".join(sentences))


def recalls(recall: pd.DataFrame) -> go.Figure:
    """Recall of each model at 1, 5 and 10, both ways."""
    caption = (
        "Zero-shot retrieval: the share of images that find one of their captions, and of captions "
        "that find their image, among the 1, 5 and 10 nearest by cosine. Whiskers are 95 % "
        "intervals over images."
    )
    shown = recall.rename(columns={"measure": "dataset"})
    views = {"recall (share of queries)": (shown, "recall")}
    return figures.bars_with_intervals(views, caption, "from what to what, and k")


def gains(effects: pd.DataFrame) -> go.Figure | None:
    """Differences of what was measured; None where no models are compared."""
    if effects.empty:
        return None
    measured = {
        "retrieval_laclip": "recall",
        "probe_laclip": "accuracy of the probe with all training images",
        "multi_label_laclip": "mean average precision",
    }
    named = wording.listed([measured[claim] for claim in effects.claim.unique()])
    caption = (
        f"{named[0].upper()}{named[1:]} of the second model of a pair, minus the same of the "
        "first, with 95 % intervals over images."
    )
    shown = effects.assign(axis=effects.claim.map(DIFFERENCES))
    return figures.forest(shown, "dataset", "axis", caption, group="comparison")


def probes(accuracy: pd.DataFrame) -> go.Figure | None:
    """Accuracy of the probes of each model on each data set; a menu chooses the number of shots.

    None where no data set has one class a picture.
    """
    if accuracy.empty:
        return None
    every, views = accuracy.loc[accuracy.shots == "all", ["model", "dataset"]], {}
    fewer = sorted({*accuracy.shots} - {"all"}, key=int, reverse=True)
    for shots in ["all", *fewer]:
        known = "all training images" if shots == "all" else f"{shots} of each class"
        # A data set of fewer images keeps its place, without a bar.
        part = every.merge(accuracy[accuracy.shots == shots], "left")
        views[f"accuracy (share of images), {known}"] = part, "accuracy"
    caption = (
        "Accuracy of a linear probe on each model's image embeddings; whiskers are 95 % intervals "
        "over test images. The menu chooses the number of training images."
    )
    return figures.bars_with_intervals(views, caption)


def recall_table(recall: pd.DataFrame) -> tables.Table:
    """Recall with its interval, a row a model and measure."""
    shown = recall.assign(interval=tables.spans(recall, ".3f", "recall_"))
    headings = {"model": "model", "measure": "from what to what, and k", "recall": "recall"}
    return tables.show(shown, headings | {"interval": "95 % interval", "chance": "chance"})


def probe_table(accuracy: pd.DataFrame) -> tables.Table | None:
    """Accuracy of the probes, a row a model, data set and number of shots; None where none is."""
    if accuracy.empty:
        return None
    headings = {"model": "model", "dataset": "data set", "trained_on": "trained on"}
    headings |= {"shots": "of each class"}
    headings |= {"training_images": "training images", "test_images": "test images"}
    headings |= {"strength": "strength C", "accuracy": "accuracy", "interval": "95 % interval"}
    shown = accuracy.assign(interval=tables.spans(accuracy, ".3f", "accuracy_"))
    return tables.show(shown, headings | {"mean_recall": "mean recall"}, {"strength": "g"})


def multi_label(precision: pd.DataFrame) -> go.Figure | None:
    """Mean average precision of each model on each data set whose pictures show several classes;
    None where there is none.
    """
    if precision.empty:
        return None
    caption = (
        "Zero-shot mean average precision: how early the pictures that show a class come in the "
        "order of their cosines with its name, mean over classes. Whiskers are 95 % intervals over "
        "images."
    )
    views = {"mean average precision": (precision, "average_precision")}
    return figures.bars_with_intervals(views, caption)


def multi_label_table(precision: pd.DataFrame) -> tables.Table | None:
    """Mean average precision with its interval, a row a model and data set; None where none is."""
    if precision.empty:
        return None
    headings = {"model": "model", "dataset": "data set", "images": "images", "classes": "classes"}
    headings |= {"average_precision": "mean average precision", "interval": "95 % interval"}
    shown = precision.assign(interval=tables.spans(precision, ".3f", "average_precision_"))
    return tables.show(shown, headings | {"chance": "chance"})


def warnings(recall: pd.DataFrame, accuracy: pd.DataFrame) -> Iterator[str]:
    """Sentences on rows that say little: recalls at chance, data sets without a probe."""
    for model, part in recall.groupby("model", sort=False):
        if (low := part[part.recall_low <= part.chance]).shape[0]:
            yield (
                f"{model}: not clearly better than a random order in {len(low)} of {len(part)} "
                "recalls. A comparison with them says nothing."
            )
    for name in accuracy.dataset[accuracy.accuracy.isna()].unique():
        yield f"{name}: no probe, which needs training images of 2 classes, and 2 to test."
