"""What the chapter on the meaning of average |cos| shows: tables of its three experiments in."""

import html
from collections.abc import Mapping, Sequence

import pandas as pd
import plotly.graph_objects as go

from featpurity.captions.walk import KINDS
from featpurity.labels import OVERALL
from featpurity.metrics import intervals
from featpurity.report import beside, figures, over_seeds, style, tables, wording
from featpurity.report.chapters.misalignment import RATIO
from featpurity.report.over_seeds import SPAN

SHAPE = {
    "avg_abs_cos": "average |cos|",
    "without_shared": "|cos| without the shared direction",
    "share": "share of the shared direction",
    "toward_mean": "its |cosine| with the mean feature",
}
COSINES = ("avg_abs_cos", "without_shared")  # of `SHAPE`; each has a level of chance
CHANGES = ("avg_abs_cos", "expected", "without_shared")  # that the answer tells
TOWERS = ("image", "text")
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
    kind, most = runs.kind.iloc[-1], runs.ratio.max()
    special, names = bases[~_could_be_any(bases)], bases.model.unique()
    if special.empty:
        who = wording.listed(names) if len(names) <= beside.MOST else f"{len(names)} models"
        models = (
            f"average |cos| of {who} is what any rotated basis gives (within "
            f"{bases.z.abs().max():.1f} standard deviations of rotations): it describes "
            "the singular values of the weights, not these neurons"
        )
    else:
        models = (
            f"average |cos| of {len(special)} of {len(bases)} towers is not what rotated bases "
            f"give (up to {special.z.abs().max():.1f} standard deviations of rotations): "
            "the singular values of the weights are not all that it describes"
        )
    ends = tuned[(tuned.kind == kind) & (tuned.ratio == most)]
    ends = ends.groupby("tower")[["z", "rotations"]].mean()
    towers = [
        f"that of the {tower} tower lies {'within' if within else 'beyond'} the range of rotated "
        f"bases ({wording.plus(z, 1)} standard deviations from their mean)"
        for tower, z, within in zip(ends.index, ends.z, _could_be_any(ends))
    ]
    of_image = runs[(runs.kind == kind) & (runs.tower == "image")]
    own, expected, rest = (over_seeds.told(of_image, name) for name in CHANGES)
    mean = gains[gains.dataset == OVERALL]
    pruned = "as much as" if _could_be_any(mean).all() else "something else than"
    return wording.Answer(
        models,
        f"After {KINDS[kind]} of {wording.percent(most)} of the captions, {wording.listed(towers)}",
        f"The swaps change the image tower's average |cos| by {own}; its singular values alone "
        f"would change it by {expected}",
        f"Without the direction that its neurons share it changes by {rest}",
        f"Keeping the purest neurons first instead of the least pure brings {pruned} in rotated "
        f"bases (within {mean.z.abs().max():.1f} standard deviations)",
    )


def _could_be_any(table):
    """Whether a basis lies among rotated ones, by the interval of one rotation more."""
    return table.z.abs() <= _level(table.rotations)


def _level(rotations):
    """How many standard deviations from the mean of so many rotations one more may lie."""
    return rotations.map(lambda n: intervals.beyond_draws(0, 1, n)[1])


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
    towers = {f"z, {tower} tower": tuned.z.where(tuned.tower == tower) for tower in TOWERS}
    table = tuned.assign(who=tuned.kind.map(KINDS), dash="", **towers)
    caption = (
        "Average |cos| in a fine-tuned model's own basis minus its mean over random rotations, in "
        "standard deviations of a rotation (z): mean over seeds and their range. Between the "
        "dotted lines, where 95 % of single rotations lie (Student's t), the own basis could be "
        "any; above, it is less pure than a rotated one."
    )
    level = _level(tuned.rotations).max()
    figure = figures.lines_with_bands(
        table,
        "ratio",
        dict(zip(towers, towers)),
        "who",
        RATIO,
        caption,
        dash="dash",
        chance=dict.fromkeys(towers, (-level, level)),
        level="95 % of rotations",
    )
    return figure.update_yaxes(matches="y")


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
        "range, average |cos| on one scale. Dashed is what the spectrum makes expect: where the "
        "own basis lies above, it is less pure than rotated ones. The shared direction is each "
        "run's first right singular vector. Dotted: chance for each tower."
    )
    return _shape(runs.assign(who=runs.kind.map(KINDS)), "ratio", RATIO, caption, chance)


def over_time(watched: pd.DataFrame, chance: Mapping[str, float]) -> go.Figure:
    """The same after each epoch, for the runs that were trained again."""
    kinds = wording.listed(dict.fromkeys(watched.kind.map(KINDS)))
    caption = (
        f"During fine-tuning on {kinds}, for the smallest and the largest ratio and one seed. "
        "Epoch 0 is the model before. Dark is few swaps, light is many; dashed is what the "
        "spectrum makes expect. Dotted: chance for each tower."
    )
    table = watched.assign(who=watched.ratio.map("ratio {:g}".format))
    return _shape(table, "epoch", "epoch", caption, chance, shade="ratio")


def _shape(table, x, x_title, caption, chance, shade=None):
    """A column of panels a tower; what is expected of the spectrum is dashed, beside the own."""
    expected = table.drop(columns=list(SHAPE)).rename(columns={"expected": "avg_abs_cos"})
    expected["who"] += ", expected"
    both = pd.concat([table.assign(dash="own"), expected.assign(dash="expected")])
    panels, levels = {}, {}
    for measure, title in SHAPE.items():
        for tower, level in chance.items():
            panel = f"{measure}, {tower}"
            panels[panel] = f"{title}, {tower}"
            both[panel] = both[measure].where(both.tower == tower)
            if measure in COSINES:
                levels[panel] = level
    options = dict(shade=shade, dash="dash", chance=levels)
    figure = figures.lines_with_bands(both, x, panels, "who", x_title, caption, **options)
    for row in range(1, 1 + len(COSINES)):
        figure.update_yaxes(matches="y", row=row)
    return figure


def two_cuts(runs: pd.DataFrame) -> wording.Line:
    """What the singular values and the shared direction say of one rise of the image tower, kind by
    kind; from `spectra_of_runs`.
    """
    of_image = runs[runs.tower == "image"].groupby("kind", sort=False)
    said = [f"{KINDS[kind].capitalize()}: {_cut_twice(part)}" for kind, part in of_image]
    return wording.Line(html.escape(" ".join(["In the image tower.", *said])))


def _cut_twice(runs):
    own, expected, rest = (over_seeds.differences(runs, name).mean() for name in CHANGES)
    means = runs.groupby("ratio").mean(numeric_only=True)
    beyond = means.without_shared - means.without_shared_expected
    first, last = means.iloc[0], means.iloc[-1]
    shares = f"from {wording.percent(first.share)} to {wording.percent(last.share)}"
    return (
        f"|cos| changes by {wording.plus(own, 3)}, of which the singular values explain "
        f"{wording.plus(expected, 3)} and the own basis adds {wording.plus(own - expected, 3)}. "
        f"The shared direction's share of the squared weights goes {shares}, its evenness from "
        f"{first.evenness:.2f} to {last.evenness:.2f}. Without it |cos| changes by "
        f"{wording.plus(rest, 3)}, and the own basis lies {wording.plus(beyond.iloc[-1], 4)} from "
        "what the other singular values lead one to expect, compared with "
        f"{wording.plus(beyond.iloc[0], 4)} at the lowest ratio."
    )


def rises(effects: pd.DataFrame) -> go.Figure:
    """How much |cos| changes without the shared direction."""
    axis = f"slope times {SPAN:g} of average |cos| without the shared direction"
    caption = (
        "Slope against the ratio of the straight line through average |cos| at all ratios, times "
        f"{SPAN:g}, after each run's first singular direction is taken out; with 95 % intervals "
        "over seeds."
    )
    return _by_tower(effects, axis, caption + _turns(effects))


def basis_rises(effects: pd.DataFrame) -> go.Figure:
    """How much more |cos| changes in the own basis than in rotated ones."""
    axis = f"slope times {SPAN:g} of average |cos|, own minus rotated bases"
    caption = (
        "Slope against the ratio of the straight line through average |cos| in the fine-tuned "
        f"models' own bases minus its mean over random rotations, times {SPAN:g}, with 95 % "
        "intervals over seeds. At 0 the singular values tell all of the change."
    )
    return _by_tower(effects, axis, caption + _turns(effects))


def _turns(effects):
    return over_seeds.noted(effects, effects.claim.map(_tower).str.capitalize())


def _tower(claim):
    """The tower that the name of a claim ends with."""
    return f"{claim.split('_')[-1]} tower"


def _by_tower(effects, axis, caption):
    """Effects on one axis, a row a tower."""
    table = effects.assign(axis=axis, tower=effects.claim.map(_tower))
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


def better_orders(areas: pd.DataFrame) -> wording.Line:
    """Which orders that see no labels keep better neurons than purest first, model by model; from
    `pruning_orders.mean_areas`.
    """
    said = []
    for model, part in areas.groupby("model", sort=False):
        area = part.set_index("order").area.drop("greedy")
        purest, random = area.pop("purity"), area.pop("random")
        better = area[area > purest].sort_values(ascending=False)
        others = [
            f'"{ORDERS[order]}" ({wording.percent(value, 1)})' for order, value in better.items()
        ]
        lies = "above" if random > purest else "not above"
        said.append(
            f"{model}: purest first has {wording.percent(purest, 1)}; above it lie "
            f"{wording.listed(others) if others else 'no others that see no labels'}. Random "
            f"orders lie {lies} it on average ({wording.percent(random, 1)})."
        )
    return wording.Line(html.escape(f"Mean accuracy of the orders. {' '.join(said)}"))


def neurons(table: pd.DataFrame, measure: str, pairs: Sequence[tuple[str, str]] = ()) -> go.Figure:
    """What each neuron knows against its purity, from `what_neurons_know.neurons_table`, a panel a
    model; the measure is one of `MEASURES`, the pairs are as in `orders`.
    """
    own = table[table.basis == "own"]
    own = own.assign(name="neuron " + own.neuron.astype(str))
    caption = (
        f"Each neuron's {MEASURES[measure]} against its purity, which is minus the sum of its "
        "|cos| with the others over both towers: purer neurons stand to the right. The marker "
        "says which data set it knows most of."
    )
    axes = "purity (minus the score)", MEASURES[measure]
    columns = ("purity", measure, "knows", "knows", "model")
    figure = figures.scatter_panels(own, *columns, axes, caption, pairs)
    if measure == "monosemanticity":  # each model's is in the eyes of another encoder
        figure.update_yaxes(matches=None)
    return figure


def correlations_table(correlations: pd.DataFrame) -> tables.Table:
    """Rank correlations of purity with what neurons know, in the own and in rotated bases."""
    shown = correlations.assign(
        measure=correlations.measure.map(MEASURES),
        interval=tables.spans(correlations, "+.2f"),
        rotated=tables.spans(correlations, "+.2f", "rotated_"),
    )
    headings = {"model": "model", "measure": "measure", "spearman": "rank correlation with purity"}
    headings |= {"interval": "95 % interval", "p": "p", "rotated": "95 % of rotated bases"}
    return tables.show(shown, headings, {"spearman": "+.2f"})


def known_table(compared: pd.DataFrame) -> tables.Table:
    """What neurons know in the own basis and in rotated ones."""
    shown = compared.copy()
    shown.columns = [f"{MEASURES[measure]}, {which}" for measure, which in shown.columns]
    return tables.show(shown.reset_index(), digits=3)
