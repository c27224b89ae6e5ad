"""What the chapter on the meaning of average |cos| shows: tables of its three experiments in."""

from collections.abc import Mapping, Sequence

import pandas as pd
import plotly.graph_objects as go

from featpurity.captions.walk import KINDS
from featpurity.labels import OVERALL
from featpurity.metrics import intervals
from featpurity.report import beside, figures, style, tables, wording
from featpurity.report.published import RATIOS

SHAPE = {
    "avg_abs_cos": "average |cos|",
    "expected": "average |cos| expected of the spectrum",
    "without_shared": "average |cos| without the shared direction",
    "share": "share of the shared direction",
    "toward_mean": "its |cosine| with the mean trunk feature",
    "participation_ratio": "participation ratio (directions)",
}
COSINES = ("avg_abs_cos", "expected", "without_shared")  # of `SHAPE`; each has a level of chance
RANKS = {
    "participation_ratio": "participation ratio",
    "effective_rank": "effective rank (Roy and Vetterli)",
}
ORDERS = {
    "purity": "purest first",
    "image_purity": "purest first, image tower alone",
    "text_purity": "purest first, text tower alone",
    "variance": "largest variance over images first",
    "norm": "largest weights first",
    "random": "random (mean)",
    "greedy": "greedy, sees the labels",
}
MEASURES = {"information": "mutual information (nats)", "monosemanticity": "monosemanticity score"}


def answer(
    bases: pd.DataFrame, runs: pd.DataFrame, tuned: pd.DataFrame, gains: pd.DataFrame
) -> wording.Answer:
    """The result of a run in a few sentences: from `what_cos_measures.bases`, `spectra_of_runs` and
    `bases_of_runs`, and from `pruning_orders.own_against_rotated`.
    """
    kind, most, span = runs.kind.iloc[-1], runs.ratio.max(), RATIOS[1] - RATIOS[0]
    of_kind, rises = runs[runs.kind == kind], {}
    for tower, part in of_kind.groupby("tower"):
        for name in COSINES:
            change = span * intervals.slope(part.ratio, part[name])
            rises[tower, name] = wording.plus(change, 3)
    swapped = tuned[(tuned.kind == kind) & (tuned.ratio == most)].groupby("tower").z.mean()
    z = gains[gains.dataset == OVERALL].z
    return wording.Answer(
        "the models' average |cos| in their own bases lies between "
        f"{_between(bases.z)} standard deviations from its mean over random rotations, which the "
        f"singular values alone give; after {KINDS[kind]} of {most:.0%} of the captions, the image "
        f"tower's lies {wording.plus(swapped['image'], 1)} from it and the text tower's "
        f"{wording.plus(swapped['text'], 1)}. {KINDS[kind].capitalize()} change the image tower's "
        f"average |cos| by {rises['image', 'avg_abs_cos']}, what its singular values give by "
        f"{rises['image', 'expected']}, and without the direction that the neurons share by "
        f"{rises['image', 'without_shared']}; in the text tower these are "
        f"{rises['text', 'avg_abs_cos']}, {rises['text', 'expected']} and "
        f"{rises['text', 'without_shared']}. What purest first gains over least pure first lies "
        f"between {_between(z)} standard deviations from its mean over rotated bases"
    )


def _between(z):
    return f"{wording.plus(z.min(), 1)} and {wording.plus(z.max(), 1)}"


def invariance_table(invariance: pd.DataFrame) -> tables.Table:
    """What rotations change."""
    headings = {"model": "model", "rotations": "rotations", "accuracy": "change of accuracy"}
    headings |= {"silhouette": "change of silhouette"}
    shown = invariance.copy()
    for tower in ("image", "text"):
        shown[tower] = tables.spans(shown, ".4f", f"{tower}_")
        headings |= {tower: f"average |cos|, {tower} tower"}
    return tables.show(shown, headings, {"accuracy": ".1g", "silhouette": ".1g"})


def bases_table(bases: pd.DataFrame) -> tables.Table:
    """Own and other bases, a row a model and tower."""
    headings = {"model": "model", "tower": "tower", "own": "own basis", "rotated": "rotated, mean"}
    headings |= {"spread": "standard deviation", "z": "z", "expected": "expected of the spectrum"}
    headings |= {"singular": "basis of singular vectors"}
    return tables.show(bases, headings, dict.fromkeys(headings, 4) | {"z": "+.1f"})


def own_bases(effects: pd.DataFrame) -> go.Figure:
    """How much purer each tower is in its own basis than in rotated ones."""
    caption = (
        "Mean average |cos| over random rotations of the shared space minus that of the model's "
        "own basis; the bar is the 95 % interval of one rotation more (Student's t). Right of 0 "
        "the own basis is purer; a bar over 0 says that it could be any basis."
    )
    return _by_tower(effects, "average |cos|, rotated minus own basis", caption)


def bases_over_ratios(tuned: pd.DataFrame) -> go.Figure:
    """Where the own basis of fine-tuned models (`bases_of_runs`) lies among rotated ones."""
    towers = {f"z_{tower}": f"z, {tower} tower" for tower in tuned.tower.unique()}
    keys = ["kind", "ratio", "seed"]
    table = tuned.pivot(index=keys, columns="tower", values="z").add_prefix("z_").reset_index()
    caption = (
        "Average |cos| in a fine-tuned model's own basis minus its mean over random rotations, in "
        "standard deviations of a rotation: mean over seeds and their range. Between the dotted "
        "lines, two standard deviations either way, the own basis could be any; above, it is less "
        "pure than a rotated one."
    )
    return figures.lines_with_bands(
        table.assign(who=table.kind.map(KINDS)),
        "ratio",
        towers,
        "who",
        "share of captions swapped",
        caption,
        chance=dict.fromkeys(towers, (-2.0, 2.0)),
        level="two standard deviations",
    )


def against_rank(
    spectra: pd.DataFrame, runs: pd.DataFrame, chance: Mapping[str, float]
) -> go.Figure:
    """Average |cos| of all models of the run (`spectra`, `spectra_of_runs`), against the number of
    directions they use; with the chance level of each tower.
    """
    tuned = runs.assign(
        who=runs.kind.map(KINDS), name=runs.ratio.map("ratio {:g}".format) + ", " + runs.tower
    )
    models = spectra.assign(who=spectra.model, name=spectra.model + ", " + spectra.tower)
    points = pd.concat([models, tuned])
    points = points.melt(["who", "name", "tower", "avg_abs_cos"], list(RANKS), "rank", "directions")
    points["rank"] = points["rank"].map(RANKS)
    points["tower"] += " tower"
    axes = "effective number of directions", "average |cos|"
    caption = (
        "A point a model and tower: those of the run and all that experiment 3 fine-tuned. The "
        "participation ratio counts the directions of large singular values, the effective rank "
        "all of them. Dotted: chance for both towers of the fine-tuned model."
    )
    figure = figures.scatter_panels(
        points, "directions", "avg_abs_cos", "who", "tower", "rank", axes, caption
    )
    for level in sorted(set(chance.values())):
        figure.add_hline(level, line=style.CHANCE_LINE)
    return figure


def over_ratios(runs: pd.DataFrame, chance: Mapping[str, float]) -> go.Figure:
    """The shape of the fine-tuned towers against the ratio; with the chance level of each tower."""
    caption = (
        "The fine-tuned models against the share of captions swapped: mean over seeds and their "
        "range. Where average |cos| lies above what the spectrum makes expect, the own basis is "
        "less pure than rotated ones. The shared direction is each run's first right singular "
        "vector. Dotted: chance for each tower, lower for the wider trunk."
    )
    table = runs.assign(who=runs.tower + " tower, " + runs.kind.map(KINDS))
    axis = "share of captions swapped"
    levels = dict.fromkeys(COSINES, list(chance.values()))
    return figures.lines_with_bands(table, "ratio", SHAPE, "who", axis, caption, chance=levels)


def over_time(watched: pd.DataFrame, chance: Mapping[str, float]) -> go.Figure:
    """The same after each epoch, for the runs that were trained again."""
    kinds = wording.listed(dict.fromkeys(watched.kind.map(KINDS)))
    caption = (
        f"During fine-tuning on {kinds}, for the smallest and the largest ratio and one seed. "
        "Epoch 0 is the model before. Dark is few swaps, light is many. Dotted: chance for each "
        "tower."
    )
    levels = dict.fromkeys(COSINES, list(chance.values()))
    who = watched.tower + " tower, ratio " + watched.ratio.map("{:g}".format)
    return figures.lines_with_bands(
        watched.assign(who=who),
        "epoch",
        SHAPE,
        "who",
        "epoch",
        caption,
        shade="ratio",
        chance=levels,
    )


def rises(effects: pd.DataFrame) -> go.Figure:
    """How much |cos| changes without the shared direction."""
    axis = "change of average |cos| without the shared direction, ratio 0 to 0.8"
    caption = (
        "Change of average |cos| along a straight line through all ratios after each run's first "
        "singular direction is taken out, with 95 % intervals over seeds."
    )
    return _by_tower(effects, axis, caption)


def basis_rises(effects: pd.DataFrame) -> go.Figure:
    """How much more |cos| changes in the own basis than in rotated ones."""
    axis = "change of average |cos|, own minus rotated bases, ratio 0 to 0.8"
    caption = (
        "Change of average |cos| in the fine-tuned models' own bases minus that of its mean over "
        "random rotations, along a straight line through all ratios, with 95 % intervals over "
        "seeds. At 0 the singular values tell all of the change."
    )
    return _by_tower(effects, axis, caption)


def _by_tower(effects, axis, caption):
    """Effects on one axis, a row a tower, which the name of each claim ends with."""
    table = effects.assign(axis=axis, tower=effects.claim.str.split("_").str[-1] + " tower")
    return figures.forest(table, "tower", "axis", caption, group="comparison")


def pruning_gains(effects: pd.DataFrame) -> go.Figure:
    """Purest first minus least pure first: own basis minus rotated ones, by data set."""
    axis = "difference of areas (accuracy), own minus rotated bases"
    caption = (
        "How much more purest first gains over least pure first in a model's own basis than in "
        "rotated ones, in accuracy averaged over all numbers of kept neurons; the bar is the 95 % "
        "interval of one rotation more (Student's t)."
    )
    return figures.forest(effects.assign(axis=axis), "dataset", "axis", caption, group="comparison")


def gains_table(gains: pd.DataFrame) -> tables.Table:
    """The gains of purest first in both kinds of bases."""
    headings = {"model": "model", "dataset": "data set", "own": "own basis"}
    headings |= {"rotated": "rotated, mean", "spread": "standard deviation", "z": "z"}
    digits = dict.fromkeys(["own", "rotated"], "+.3f") | {"spread": 3, "z": "+.1f"}
    return tables.show(gains, headings, digits)


def orders(areas: pd.DataFrame, pairs: Sequence[tuple[str, str]] = ()) -> go.Figure:
    """The area of every order and of its reverse, from `pruning_orders.mean_areas`, a panel a
    model; pairs stand beside one another, see `featpurity.report.beside`.
    """
    columns = beside.Columns(areas.model.unique(), pairs)
    figure = columns.figure(shared_yaxes=True, horizontal_spacing=0.04)
    ways = {
        "area": ("the first of the order kept", style.BLACK, "circle"),
        "reversed": ("the last of the order kept", style.GREY, "x"),
    }
    for model, column in columns.each(figure):
        part = areas[areas.model == model]
        for way, (name, colour, symbol) in ways.items():
            figure.add_scatter(
                x=part[way],
                y=part.order.map(ORDERS),
                mode="markers",
                name=name,
                legendgroup=name,
                marker={"color": colour, "size": 10, "symbol": symbol},
                row=1,
                col=column,
            )
    columns.menu(figure)
    figure.update_xaxes(title="mean accuracy (share)")
    figure.update_yaxes(autorange="reversed", automargin=True)
    caption = (
        "Accuracy averaged over all numbers of kept neurons and over the data sets, for orders "
        "made from purity, from other things, at random, and with the labels in view (the "
        "ceiling). A circle keeps the first neurons of an order, a cross its last ones: a circle "
        "right of its cross says that the order finds the better neurons."
    )
    return style.finish(figure, caption, height=420)


def neurons(table: pd.DataFrame, measure: str, pairs: Sequence[tuple[str, str]] = ()) -> go.Figure:
    """What each neuron knows against its purity, from `what_neurons_know.neurons_table`, a panel a
    model; the measure is one of `MEASURES`, the pairs are as in `orders`.
    """
    own = table[table.basis == "own"]
    own = own.assign(name="neuron " + own.neuron.astype(str))
    caption = (
        f"Each neuron's {MEASURES[measure]} against its purity, which is minus the sum of its "
        "|cos| with the others over both towers: purer neurons stand to the right. Colour and "
        "shape are the data set of which it knows most."
    )
    axes = "purity (minus the score)", MEASURES[measure]
    columns = ("purity", measure, "knows", "knows", "model")
    return figures.scatter_panels(own, *columns, axes, caption, pairs)


def correlations_table(correlations: pd.DataFrame) -> tables.Table:
    """Rank correlations of purity with what neurons know, in the own and in rotated bases."""
    shown = correlations.assign(
        measure=correlations.measure.map(MEASURES),
        interval=tables.spans(correlations, "+.2f"),
        rotated=tables.spans(correlations, "+.2f", "rotated_"),
    )
    headings = {"model": "model", "measure": "measure", "spearman": "rank correlation with purity"}
    headings |= {"interval": "95 % interval", "p": "p", "rotated": "in rotated bases"}
    return tables.show(shown, headings, {"spearman": "+.2f"})


def known_table(compared: pd.DataFrame) -> tables.Table:
    """What neurons know in the own basis and in rotated ones."""
    shown = compared.copy()
    shown.columns = [f"{MEASURES[measure]}, {which}" for measure, which in shown.columns]
    return tables.show(shown.reset_index(), digits=3)
