"""What the page of claims shows: verdicts, effects and what the paper published."""

import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd
import plotly.graph_objects as go

from featpurity import profile
from featpurity.report import display_names, figures, published, results, tables, wording

LINE = 56  # letters of a claim's statement on a line of the figure
CHAPTERS = {  # that claims are about, as a line of links calls them
    profile.COMPARISON: "CLIP and LaCLIP",
    profile.PRUNING: "pruning",
    profile.MISALIGNMENT: "misaligned captions",
    profile.FILTER: "recaption and filter",
    profile.MEANING: "what |cos| measures",
    profile.THEORY: "the theory",
    profile.RETRIEVAL: "retrieval and probes",
}


# What the paper's experiments do; the claims in short (`in_short`) say what should come of it.
DONE = {
    profile.COMPARISON: "better captions",
    profile.PRUNING: "keeping the purest neurons instead of the least pure",
    profile.MISALIGNMENT: "swapping more captions",
}


def in_short(claims: pd.DataFrame) -> Iterator[tuple[str, list[tuple[str, list[str]]]]]:
    """For each of the paper's experiments what it does, and its claims in short.

    Each claim with the first words of the verdicts on its effects, every verdict once.
    """
    called = {claim["id"]: claim.get("in_short") for claim in results.load_claims()}
    first = tables.first_of
    for name, done in DONE.items():
        own = claims[claims.experiment == int(name[:2])]
        named = [
            (called.get(claim) or effects.statement.iloc[0], [*effects.verdict.map(first).unique()])
            for claim, effects in own.groupby("claim", sort=False)
        ]
        if named:
            yield done, named


def by_question(claims: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Judged effects of questions that are not the paper's experiments, with what they are.

    As in "14 effects of its theory and remedy".
    """
    if claims.empty:
        return
    groups = published.groups_of(claims)
    for group in published.GROUPS[1:]:
        if len(part := claims[groups == group]):
            yield f"{len(part)} {'effect' if len(part) == 1 else 'effects'} {group}", part


def counts(claims: pd.DataFrame) -> list[tuple[str, str]]:
    """How often each verdict stands, as (its first words, what is said of so many)."""
    firsts, said = claims.verdict.map(tables.first_of), []
    for first, (one, several) in tables.SAID.items():
        if count := len(own := claims.verdict[firsts == first]):
            small = own.str.endswith("negligible").sum()
            told = f"{count} {several if count > 1 else one}"
            said.append((first, told + (f" ({small} negligible)" if small else "")))
    return said


def answer(claims: pd.DataFrame) -> wording.Answer:
    """Which of the paper's claims hold; how many effects do of other questions."""
    measured = claims[claims.verdict != "not measured"]
    said = []
    for done, named in in_short(measured):
        claimed = [f"{name} ({', '.join(verdicts)})" for name, verdicts in named]
        said.append(f"{done} should bring {wording.listed(claimed)}")
    others = [
        f"of {about}, {wording.listed([said for _, said in counts(part)])}"
        for about, part in by_question(measured)
    ]
    if not said:
        return wording.Answer("; ".join(others) or "no claim was measured")
    return wording.Answer("; ".join(said), *(f"O{other[1:]}" for other in others))


def forest(claims: pd.DataFrame) -> go.Figure:
    """All effects, by unit, with their verdicts and the paper's values in the same unit."""
    measured = wording.in_points(claims.dropna(subset=["effect"]))
    row = [
        f"{claim.experiment}: {claim.statement} ({claim.comparison})"
        for claim in measured.itertuples()
    ]
    row = ["<br>".join(textwrap.wrap(text, LINE, break_on_hyphens=False)) for text in row]
    measured = measured.assign(row=row, said=measured.apply(wording.interval, axis=1))
    # What is simulated has accuracies of another size.
    simulated = measured.experiment.eq(published.SIMULATED)
    measured["unit"] += simulated.map({True: ", simulated", False: ""})
    known, theirs = {claim["id"]: claim for claim in results.load_claims()}, []
    for claim in measured.itertuples():
        about = known[claim.claim]
        factor = wording.ACCURACY[1] if about["unit"] == wording.SHARE else 1
        for name, share in (about.get("published_effects") or {}).items():
            if "(" not in name or claim.comparison in name:  # theirs is of one kind of swap
                value = factor * share
                said = f"{name}: {wording.in_unit(value, value, claim.unit)}"
                theirs.append(dict(row=claim.row, unit=claim.unit, value=value, name=said))
    columns = ["row", "unit", "value", "name"]
    caption = (
        "The effect of each claim with its 95 % interval, positive when the claim is true; the "
        "number before a claim is its chapter. A claim holds where its interval lies right of 0, "
        "does not hold where it lies left of 0, and is undecided where it contains 0. Grey bands "
        "are what chance gives, where what the claim is about has no say: an effect that lies in "
        "one is within chance. A hollow point is negligible: smaller than the claim's bound. Open "
        "diamonds are the paper's own values, for its models and data."
    )
    return figures.forest(
        measured,
        "row",
        "unit",
        caption,
        group="verdict",
        theirs=pd.DataFrame(theirs, columns=columns),
    )


def behind(chapters: Sequence[str]) -> wording.Line:
    """The chapters of a run that the rows come from, as a line of links."""
    links = [
        f'<a href="{name}.ipynb">{title}</a> ({int(name[:2])})'
        for name, title in CHAPTERS.items()
        if name in chapters
    ]
    return wording.Line(f"The chapters behind the rows: {', '.join(links)}.")


def verdicts_table(claims: pd.DataFrame, chapters: Sequence[str]) -> tables.Table:
    """A row a claim and comparison, with the verdict and what the paper published.

    A claim that was measured leads to what shows its answer, in one of the run's chapters.
    """
    shown = wording.in_points(claims)
    shown = shown.assign(interval=shown.apply(wording.interval, axis=1))
    files = {int(name[:2]): f"{name}.ipynb" for name in chapters}
    shown["statement"] = [
        row.statement
        if pd.isna(row.effect) or row.experiment not in files
        else tables.Link(row.statement, f"{files[row.experiment]}#claim-{row.claim}")
        for row in shown.itertuples()
    ]
    headings = {"experiment": "chapter", "statement": "claim", "comparison": "what is compared"}
    headings |= {"verdict": "verdict", "interval": "effect (95 % interval)"}
    headings |= {"published": "published by the paper, not measured here"}
    return tables.show(shown, headings, cards=True)


def rules_table() -> tables.Table:
    """What each claim measures, over what its interval runs, and what is chance and negligible."""
    said = wording.in_points(pd.DataFrame(results.load_claims()))
    beside = said.chance.map(lambda what: f"; chance: {what}", na_action="ignore").fillna("")
    bound = [
        f"{row.negligible:g} ({row.unit}): {row.negligible_because}" for row in said.itertuples()
    ]
    headings = {"experiment": "chapter", "statement": "claim", "effect": "effect"}
    headings |= {"interval": "interval", "bound": "negligible below"}
    said = said.assign(bound=bound, interval=said.interval + beside)
    return tables.show(said, headings, cards=True)


def of_all_runs(folder: Path) -> tables.Table:
    """The verdicts of every run whose results lie in a folder, a column a run."""
    columns = {}
    for file in sorted(Path(folder).glob("*/tables/claims.csv")):
        claims = pd.read_csv(file)
        by_claim = claims.groupby("statement", sort=False).verdict
        columns[file.parts[-3]] = by_claim.agg(lambda said: "; ".join(dict.fromkeys(said)))
    frame = pd.DataFrame(columns).fillna("not measured")
    order = [claim["statement"] for claim in results.load_claims()]
    frame = frame.reindex([statement for statement in order if statement in frame.index])
    return tables.show(frame.rename_axis("claim").reset_index())


def published_accuracy() -> tables.Table:
    """The paper's zero-shot accuracy, in percent."""
    return _by_model("accuracy", 1)


def published_silhouette() -> tables.Table:
    """The paper's cosine silhouette."""
    return _by_model("silhouette", 3)


def published_orders() -> tables.Table:
    """How often one of the paper's pruning curves lies above another."""
    found = published.published_orders()
    headings = {"measure": "measure", "data_sets": "data sets", "compared": "first against second"}
    headings |= {"above": "first above", "within": "within the reading error"}
    headings |= {"below": "first below", "points": "points"}
    return tables.show(found, headings)


def published_gaps() -> tables.Table:
    """High minus low purity in the paper's accuracy, mean over its numbers of neurons."""
    curves = published.published_curves()
    wide = curves[curves.measure == "accuracy"].pivot(
        index=["dataset", "kept"], columns="strategy", values="value"
    )
    gaps = (wide.high_purity - wide.low_purity).groupby("dataset").mean().sort_values()
    shown = gaps.rename("gap").reset_index()
    shown = display_names.renamed(shown, datasets=display_names.of_datasets(shown.dataset))
    headings = {"dataset": "data set", "gap": "high minus low purity (share of images)"}
    return tables.show(shown, headings, digits="+.4f")


def published_imagenet() -> tables.Table:
    """Accuracy and silhouette of the paper's models on ImageNet."""
    frame = pd.DataFrame(published.load_published()["imagenet"]).rename_axis("model").reset_index()
    headings = {"model": "model", "top1": "accuracy (%)", "top5": "of the first five guesses (%)"}
    digits = {"top1": 2, "top5": 2, "silhouette": 3}
    return tables.show(frame, headings | {"silhouette": "silhouette"}, digits)


def published_misalignment() -> tables.Table:
    """The paper's models fine-tuned on random swaps, means over its data sets."""
    third = published.load_published()["experiment_3"]
    shown = pd.DataFrame({"ratio": third["ratio"]})
    shown["cos"] = third["average_abs_cos"]["value"]
    shown["accuracy"] = pd.DataFrame(third["accuracy"]).mean(axis=1)
    shown["silhouette"] = pd.DataFrame(third["silhouette"]).mean(axis=1)
    headings = {"ratio": "ratio", "cos": "average |cos|", "accuracy": "accuracy (%)"}
    digits = {"ratio": 1, "cos": 3, "accuracy": 1, "silhouette": 3}
    return tables.show(shown, headings | {"silhouette": "silhouette"}, digits)


def _by_model(measure, digits):
    first = published.load_published()["experiment_1"]
    titles = display_names.of_datasets(first["datasets"]).values()
    frame = pd.DataFrame(first[measure], index=list(titles)).T
    return tables.show(frame.rename_axis("model").reset_index(), digits=digits)
