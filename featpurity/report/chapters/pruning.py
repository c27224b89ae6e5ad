"""What the chapter on pruning shows: tables of the experiment of that name in."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

import pandas as pd
import plotly.graph_objects as go

from featpurity.labels import OVERALL
from featpurity.report import curves, figures, heatmaps, style, tables, wording

ACCURACY = "zero-shot accuracy (share of images)"
SILHOUETTE = "cosine silhouette (-1 to 1)"
AXES = {"pruning_silhouette": "difference of silhouette"}  # of the others in points of accuracy
NAMES = {
    "pruning_area": "accuracy, high minus low purity, mean over all numbers of neurons",
    "pruning_window": "accuracy, high minus low purity, mean over 39 to 98 % of the neurons kept",
    "pruning_450_high_low": "accuracy, high minus low purity, 88 % of the neurons kept",
    "pruning_450_high_random": "accuracy, high purity minus random, 88 % of the neurons kept",
    "pruning_silhouette": "silhouette, high minus low purity, 88 % of the neurons kept",
}
READINGS = [claim for claim in NAMES if claim != "pruning_area"]  # of a pair of curves
CHANCE = "Within chance means that random orders differ as much from their reverses"
MOST_TOLD = 3  # models, each with its own words; of more the range is told


def answer(effects: pd.DataFrame, areas: pd.DataFrame) -> wording.Answer:
    """The result of a run in one sentence, from tables of `Pruned`; of many models their range."""
    area = effects[effects.claim == "pruning_area"]
    clauses, spreads = [], []
    single, means = area[area.dataset != OVERALL], area[area.dataset == OVERALL]
    opening = "kept purest first instead of least pure first, over all numbers of kept neurons,"
    if len(means) > MOST_TOLD:
        low, high = means.sort_values("effect").iloc[[0, -1]].itertuples()
        least = f"{wording.with_interval(low, wording.ACCURACY, first=True)} ({low.comparison})"
        most = f"{wording.with_interval(high, wording.ACCURACY)} ({high.comparison})"
        ends = _ends(single.assign(dataset=single.comparison + " on " + single.dataset))
        within = sum(set(_sides(row)) == {"within"} for row in areas.itertuples())
        return wording.Answer(
            f"{opening} {len(means)} models change by {least} to {most}; "
            f"{_by_chance(means).sum()} of {len(means)} changes are within chance",
            CHANCE,
            f"Single data sets change {ends}",
            f"{within} of {len(areas)} times both orders lie within the range of random orders",
        )
    for mean, by_chance in zip(means.itertuples(), _by_chance(means)):
        number = wording.with_interval(mean, wording.ACCURACY, first=not clauses)
        part = single[single.comparison == mean.comparison]
        does = wording.by_interval(
            mean, "gains accuracy", "loses accuracy", "neither clearly gains nor loses accuracy"
        )
        beside = "within" if by_chance else "beyond"
        clauses.append(f"{mean.comparison} {does} ({number}), which is {beside} chance")
        spreads += [_over(mean.comparison, part)] * (len(part) > 1)
    return wording.Answer(
        f"{opening} {'; '.join(clauses)}", CHANCE, *spreads, *map(_among_random, areas.itertuples())
    )


def _by_chance(effects):
    """Whether random orders, each against its reverse, give effects as large."""
    return effects.effect.between(effects.chance_low, effects.chance_high)


def _sides(areas):
    """Where purest first and least pure first lie against the range of random orders."""
    for area in (areas.high_purity, areas.low_purity):
        side = "above" if area > areas.random_high else "below"
        yield "within" if areas.random_low <= area <= areas.random_high else side


def _among_random(areas):
    """The same in a sentence an order."""
    model, (purest, least) = areas.model, _sides(areas)
    if purest == least == "within":
        return f"Both orders of {model} lie within the range of random orders"
    return (
        f"{model}, purest first, lies {purest} the range of random orders. "
        f"{model}, least pure first, lies {least} it"
    )


def _over(model, single):
    """On how many data sets a model gains and loses, and the least and the largest effect."""
    gains, loses = single.low > 0, single.high < 0
    beyond = ((gains | loses) & ~_by_chance(single)).sum()
    return (
        f"{model}, data set by data set: {gains.sum()} of {len(single)} clearly gain and "
        f"{loses.sum()} clearly lose, {_ends(single)}, {beyond} of them beyond chance"
    )


def _ends(single):
    """The least and the largest effect, each with its data set."""
    ends = single.sort_values("effect").iloc[[0, -1]]
    points = [wording.plus(100 * effect, 1) for effect in ends.effect]
    return f"from {' to '.join(f'{value} ({name})' for value, name in zip(points, ends.dataset))}"


def differences(effects: pd.DataFrame, claim: str = "pruning_area") -> go.Figure:
    """One claim's effect on each data set and on average, with the spread over the data sets."""
    chosen = wording.of_claims(effects[effects.claim == claim]).rename(
        columns={"comparison": "model"}
    )
    chosen = chosen.assign(axis=AXES.get(claim, wording.DIFFERENCE))
    mean = chosen.dataset == OVERALL
    single = chosen.effect.mask(mean).groupby(chosen.model)
    chosen["least"] = single.transform("min").where(mean)
    chosen["most"] = single.transform("max").where(mean)
    caption = (
        f"{NAMES[claim][0].upper()}{NAMES[claim][1:]}, with 95 % intervals over images; "
        "right of 0 the purest neurons do better. The thin grey line behind a point holds 95 % of "
        "what random orders give, each against its reverse. The wide band behind a model's "
        "mean goes from its lowest to its highest data set. The data sets are fixed, not drawn: "
        "the interval of the mean says nothing about others."
    )
    return figures.forest(chosen, "dataset", "axis", caption, group="model")


def readings(drawn: Mapping[str, go.Figure]) -> go.Figure:
    """`differences` of several claims as one figure; a menu chooses the claim.

    Parameters
    ----------
    drawn : dict of str to Figure
        By claim, the first one shown at first.
    """
    named = {NAMES[claim]: one for claim, one in drawn.items()}
    axes = {name: {"xaxis.title.text": one.layout.xaxis.title.text} for name, one in named.items()}
    figure = style.one_of(named, "Difference", axes)
    figure.layout.meta["caption"] = (
        "The other differences, with 95 % intervals over images; right of 0 the purest neurons do "
        "better. The menu chooses which."
    )
    return figure


def multiples(accuracy: pd.DataFrame) -> go.Figure:
    """The curves of a model on all data sets at a glance."""
    caption = (
        "Zero-shot accuracy when only some neurons are kept: the purest first, the least pure "
        "first, or in random order (mean and 95 % of the draws). The menu chooses the model."
    )
    return curves.small_multiples(accuracy, caption)


def one_curve(accuracy: pd.DataFrame) -> go.Figure:
    """The curves of one data set and model, large."""
    caption = (
        "The same for one data set and model, chosen in the menu. Pointing at a number of neurons "
        "reads all curves."
    )
    return curves.pruning_curves(accuracy, "accuracy", ACCURACY, caption)


def at_each_number(
    accuracy: pd.DataFrame,
    towers: Mapping[str, heatmaps.Towers],
    pairs: Sequence[tuple[str, str]] = (),
) -> go.Figure:
    """All curves read at one number of neurons, and which neurons these are; towers by model, as
    `heatmaps.towers_of` has them, pairs as `featpurity.report.beside`.
    """
    caption = (
        "Accuracy on every data set with as many neurons as the slider says, kept by purity or at "
        "random. At 88 %, which is 450 of 512, the paper reads its figures. Below, the "
        "cosines of the image tower's neurons, those that point the same way together: the marks "
        "above a matrix are the neurons that stay, the purest in the lower line, the least pure in "
        "the upper one."
    )
    image_towers = {model: both["image"] for model, both in towers.items()}
    return curves.at_each_number(accuracy, caption, image_towers, pairs)


def gaps(accuracy: pd.DataFrame, pairs: Sequence[tuple[str, str]] = ()) -> go.Figure:
    """High minus low purity against the share of neurons, with the paper's curve."""
    caption = (
        "Accuracy with the purest neurons minus accuracy with the least pure, against the share of "
        "neurons kept: thin lines are the data sets, the thick line is their mean. The grey field "
        "is the paper's window, 200 to 500 of 512 neurons; the dotted line is the mean of the "
        "paper's own curves over its data sets, read from its figures."
    )
    return curves.gaps(accuracy, caption, pairs)


def silhouettes(silhouette: pd.DataFrame) -> go.Figure | None:
    """The silhouette of the kept coordinates; None where it is defined on no data set."""
    if silhouette.empty:
        return None
    caption = "Cosine silhouette of the kept coordinates. The menu chooses data set and model."
    return curves.pruning_curves(silhouette, "silhouette", SILHOUETTE, caption)


def effects_table(effects: pd.DataFrame) -> tables.Table:
    """All differences with their intervals."""
    shown = wording.of_claims(effects).assign(what=effects.claim.map(NAMES))
    headings = {"what": "difference", "comparison": "model", "dataset": "data set"}
    return tables.show(shown, headings | {"said": "effect (95 % interval)"})


def warnings(at_chance: Iterable[tuple[str, str]]) -> Iterator[str]:
    """Sentences on models and data sets whose predictions with all neurons are chance."""
    for model, dataset in at_chance:
        yield (
            f"{model} on {dataset}: accuracy is chance with all neurons, so its curves say nothing "
            "about purity."
        )
