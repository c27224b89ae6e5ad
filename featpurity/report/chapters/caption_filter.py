"""What the chapter on the caption filter shows: tables of the experiment of that name in."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import pandas as pd
import plotly.graph_objects as go

from featpurity.captions.synthetic import mistakes
from featpurity.report import figures, tables, wording
from featpurity.report.chapters.misalignment import MEASURES, by_measure

if TYPE_CHECKING:
    from featpurity.data.pairs import CaptionedImages
    from featpurity.experiments.caption_filter import Level

AXES = {
    "accuracy": wording.DIFFERENCE,
    "image_avg_abs_cos": "fall of average |cos|, image tower; purer is right",
    "text_avg_abs_cos": "fall of average |cos|, text tower; purer is right",
}
PANELS = ("accuracy", "loss", "image_avg_abs_cos", "text_avg_abs_cos")
COSINE = (*wording.COSINE[:2], 4)  # changes here are small
# What training on other captions does to each measure, above 0, below 0 and around it.
DOES = {
    "accuracy": (
        wording.ACCURACY,
        "raises accuracy",
        "costs accuracy",
        "neither clearly raises nor lowers accuracy",
    ),
    "image_avg_abs_cos": (
        COSINE,
        "makes the image neurons purer",
        "makes the image neurons less pure",
        "makes the image neurons neither clearly purer nor less pure",
    ),
    "text_avg_abs_cos": (
        COSINE,
        "makes the text neurons purer",
        "makes the text neurons less pure",
        "makes the text neurons neither clearly purer nor less pure",
    ),
}
PURITY = ("image_avg_abs_cos", "text_avg_abs_cos")  # told as the change of |cos|


def answer(shares: pd.DataFrame, gains: pd.DataFrame, model: str) -> wording.Answer:
    """The result of a run in a few sentences: at the first level, and over all levels.

    Parameters
    ----------
    shares, gains : DataFrame
        Of `featpurity.experiments.caption_filter.Filtered`.
    model : str
        What readers call the first model.
    """
    level, mistaken = shares.spurious.iloc[0], shares.mistaken.iloc[0]
    here = shares[(shares.spurious == level) & (shares.mistaken == mistaken)]
    wrong = {row.captions: wording.percent(row.wrong) for row in here.itertuples()}
    first = gains[gains.spurious == level].rename(columns={"measure": "claim"})
    told = [
        f"with {wording.percent(level)} of the names in the raw captions spurious, {wrong['raw']} "
        f"of these captions say something wrong, {wrong['recaptioned']} of the new ones, and "
        f"{wrong['filtered']} of those that the filter keeps. Training {model} again on the "
        f"filtered captions instead of the raw ones {wording.clauses(first, DOES, PURITY)}"
    ]
    levels = gains[gains.measure == "accuracy"].sort_values("spurious")
    if len(levels) > 1:
        by_level = [
            f"{wording.plus(100 * row.effect, 1)} at {wording.percent(row.spurious)}"
            for row in levels.itertuples()
        ]
        told.append(f"Level by level, in points of accuracy: {wording.listed(by_level)}")
    return wording.Answer(*told)


def why_not_better(steps: pd.DataFrame) -> wording.Answer:
    """Where accuracy is won and lost on the way from raw captions to the best possible ones."""
    rows = steps[steps.measure == "accuracy"]
    told = [f"{wording.plus(100 * row.effect, 1)} ({row.step})" for row in rows.itertuples()]
    worst = rows.loc[rows.effect.idxmin()]
    together = wording.plus(100 * rows.effect.sum(), 1)
    loss = f"The largest loss is at the step to “{worst.step}”"
    return wording.Answer(
        f"accuracy changes step by step as follows, in points: {', '.join(told)}; together "
        f"{together}. {loss if worst.effect < 0 else 'No step loses any'}. {_corrected(steps)}"
    )


def _corrected(steps):
    """What taking the mistakes out does, where nothing else about the captions changes."""
    told = []
    # The step to the captioner's captions puts the mistakes in: turned round it takes them out.
    for which, step, sign in (("raw", "raw, all right", 1), ("new", "recaptioned", -1)):
        rows = steps[(steps.step == step) & steps.measure.isin(["accuracy", PURITY[0]])]
        ends = [sign * rows.low, sign * rows.high][::sign]
        rows = rows.assign(claim=rows.measure, effect=sign * rows.effect, low=ends[0], high=ends[1])
        told.append(
            f"Taking the mistakes out of the {which} captions {wording.clauses(rows, DOES, PURITY)}"
        )
    return ". ".join(told)


def wrong(shares: pd.DataFrame) -> go.Figure:
    """Share of wrong captions at every level; a menu chooses the captioner's share of mistakes."""
    shown = shares.sort_values("spurious", kind="stable")
    shown = shown.assign(model=shown.captions, dataset=shown.spurious.map(wording.percent))
    views = {
        f"wrong captions (share), {wording.percent(mistaken)} of the facts mistaken": (
            part,
            "wrong",
        )
        for mistaken, part in shown.groupby("mistaken", sort=False)
    }
    caption = (
        "Share of captions that name something wrongly, with 95 % intervals over pictures: before, "
        "after, and if the right one of the two, where one is, had always been kept."
    )
    return figures.bars_with_intervals(views, caption, "names in raw captions that are spurious")


def examples(captioned: "CaptionedImages", level: "Level", count: int) -> tables.Table:
    """The first pictures with their two captions, what is wrong in them, and which is kept."""
    rows = []
    for i, true in enumerate(captioned.facts[:count]):
        rows.append(
            {
                "picture": tables.Picture(captioned.images[i], ", ".join(true.values())),
                "raw caption": _with_mistakes(level.raw, i, true),
                "new caption": _with_mistakes(level.new, i, true),
                "the filter keeps": "new" if level.keeps_new[i] else "raw",
            }
        )
    return tables.show(pd.DataFrame(rows))


def _with_mistakes(written, i, true):
    """A caption, and behind it the names that are wrong, each with the right one."""
    caption, wrong = written.captions[i], mistakes(written.said[i], true)
    told = ", ".join(f"{name} for {true[attribute]}" for attribute, name in wrong.items())
    return f"{caption} ({tables.MARKS['does not hold']} {told})" if wrong else caption


def choices(table: pd.DataFrame) -> tables.Table:
    """How often the filter keeps the new caption."""
    headings = {
        "spurious": "spurious",
        "mistaken": "mistaken",
        "keeps_new": "new caption kept",
        "where_only_new_right": "… where only the new one is right",
        "where_only_raw_right": "… where only the raw one is right",
    }
    return tables.show(table.sort_values(["mistaken", "spurious"]), headings, ".1%")


def training(history: pd.DataFrame, chance: Mapping[str, float]) -> go.Figure:
    """Epoch by epoch, on the captions of the first level; with the chance level of each tower."""
    first = history[history.spurious == history.spurious.iloc[0]]
    shown = first[first.captions.isin(["raw", "recaptioned", "filtered", "best possible"])]
    caption = (
        "Training again on four sets of captions for the same pictures: mean over seeds and their "
        "range. Accuracy is the mean over the data sets. Epoch 0 is the first model."
    )
    panels = {measure: MEASURES[measure] for measure in PANELS}
    return figures.lines_with_bands(
        shown, "epoch", panels, "captions", "epoch", caption, chance=by_measure(chance)
    )


def gains(table: pd.DataFrame) -> go.Figure:
    """What filtered captions bring over raw ones at every level."""
    caption = (
        "Training again on filtered instead of raw captions, with 95 % intervals over seeds; right "
        "of 0 the filtered ones make the model better or its neurons purer."
    )
    shown = _told(table.sort_values("spurious"))
    shown["level"] = shown.spurious.map(wording.percent) + " of the names spurious"
    return figures.forest(shown, "level", "axis", caption)


def steps(table: pd.DataFrame) -> go.Figure:
    """What each single change of the captions does."""
    caption = (
        "From raw captions to the best possible ones, one change at a time: what each set brings "
        "over the one before, with 95 % intervals over seeds."
    )
    return figures.forest(_told(table), "step", "axis", caption)


def _told(gains):
    """Gains with their axis, and what pointing at one says; those of accuracy in points."""
    unit = gains.measure.map({"accuracy": wording.SHARE}).fillna("")
    shown = wording.in_words(gains.assign(axis=gains.measure.map(AXES), unit=unit))
    small = [f"{row.effect:+.4f} ({row.low:+.4f} to {row.high:+.4f})" for row in shown.itertuples()]
    return shown.assign(said=shown.said.where(shown.measure == "accuracy", small))


def described(captions: pd.DataFrame) -> tables.Table:
    """The sets of captions of the steps, what they are like and what training on them gives."""
    headings = {
        "captions": "captions",
        "words": "words",
        "facts": "facts named",
        "wrong_facts": "of them wrong",
        "wrong": "wrong captions (share)",
        "accuracy": "accuracy after training",
        "mean_recall": "mean recall after training",
    }
    digits = dict(words=1, facts=2, wrong_facts=2, wrong=2, accuracy=4, mean_recall=4)
    return tables.show(captions, headings, digits)
