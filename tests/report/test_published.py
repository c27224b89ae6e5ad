"""The paper's numbers: as read from its figures, and what follows from them."""

import json

import numpy as np
import pandas as pd
import pytest
from checkout import ROOT
from scipy.stats import linregress

from featpurity.metrics.pruning import PAPER_KEPT
from featpurity.report import published, results, wording


@pytest.fixture(scope="module")
def figures(shared):
    """The readings of the authors' figures, by file name."""
    return json.loads((shared / "reference/paper_figures.json").read_text())["figures"]


def test_experiment_1_is_the_published_table(shared):
    read = json.loads((shared / "reference/paper_results.json").read_text())["experiment_1"]
    ours = published.load_published()["experiment_1"]
    assert ours["datasets"] == read["datasets"]
    for key, name in (("cc12m", "CC12M"), ("redcaps", "RedCaps"), ("laion", "LAION-400M")):
        for kind in ("CLIP", "LaCLIP"):
            row = read["rows"][f"{key}_{kind.lower()}"]
            assert ours["accuracy"][f"{name} {kind}"] == row["acc"]
            assert ours["silhouette"][f"{name} {kind}"] == row["silhouette"]


def test_experiment_2_is_what_was_read_from_all_sixteen_figures(figures):
    curves = published.published_curves()
    assert len(curves) == 8 * 2 * 3 * 7
    for (dataset, measure, strategy), part in curves.groupby(["dataset", "measure", "strategy"]):
        figure = figures[f"{dataset}_{measure}_vs_sam.png"]
        assert part.kept.tolist() == figure["x"]
        assert part.value.tolist() == figure["curves"][strategy]["y_full"]
        assert part.error.tolist() == figure["curves"][strategy]["err"]
        assert set(part.shown_in_readme) == {figure["shown_in_newest_readme"]}
    assert curves.share_kept.min() == 200 / 512 and curves.share_kept.max() == 500 / 512


def test_the_paper_s_window_is_the_same_in_figures_and_in_the_metric():
    figures_d = published.load_published()["experiment_2"]["neurons"]
    assert published.WINDOW == (PAPER_KEPT[0] / figures_d, PAPER_KEPT[-1] / figures_d)


def test_claims_are_the_paper_s_its_theory_s_or_questions_of_this_book():
    claims = pd.DataFrame(results.load_claims())
    groups = published.groups_of(claims)
    assert set(groups) == set(published.GROUPS)
    assert set(claims.experiment[groups == published.GROUPS[0]]) == set(published.EXPERIMENTS)
    assert set(claims.experiment[groups == published.GROUPS[1]]) == {5, published.SIMULATED}
    assert (claims.published[groups == published.GROUPS[2]] == published.NOT_ASKED).all()


def test_the_other_experiments_are_what_was_read(figures):
    ours = published.load_published()["experiment_3"]
    read = figures["avg_abs_cos_sim_vs_cs.png"]
    assert ours["ratio"] == read["x"]
    assert ours["average_abs_cos"]["value"] == read["curves"]["avg_abs_cos"]["y_full"]
    assert ours["average_abs_cos"]["error"] == read["curves"]["avg_abs_cos"]["err"]
    names = {
        "accuracy": "classification_accuracy.png",
        "silhouette": "silhouette_score.png",
        "features": "feature_number.png",
        "magnitude": "feature_magnitude.png",
    }
    theory = published.published_theory()
    assert list(theory.measure.unique()) == list(names)
    for (measure, texts), part in theory.groupby(["measure", "texts"]):
        read = figures[names[measure]]
        assert part.probability.tolist() == read["x"]
        assert part.value.tolist() == read["curves"][texts]["y_full"]


def test_how_often_high_purity_lies_above():
    orders = published.published_orders().set_index(["measure", "data_sets", "compared"])
    counts = orders[["above", "within", "below"]].apply(tuple, axis=1)
    high_low, high_random = "high purity against low purity", "high purity against random"
    assert counts["accuracy", "all", high_low] == (39, 3, 14)
    assert counts["accuracy", "all", high_random] == (31, 1, 10)
    assert counts["accuracy", "shown in the README", high_low] == (18, 0, 3)
    assert counts["silhouette", "all", high_low] == (51, 0, 5)
    assert (orders.points == orders[["above", "within", "below"]].sum(axis=1)).all()
    # Against random without the two data sets whose random line is a constant.
    assert orders.loc["accuracy", "all"].points.tolist() == [56, 42, 42]


def test_the_book_says_what_was_counted():
    page = (ROOT / "book/from_the_papers_scripts.md").read_text()
    counts = published.published_orders().set_index(["measure", "data_sets", "compared"])
    for measure, data_sets, compared in [
        ("accuracy", "all", "high purity against low purity"),
        ("accuracy", "all", "high purity against random"),
        ("accuracy", "shown in the README", "high purity against low purity"),
        ("silhouette", "all", "high purity against low purity"),
    ]:
        row = counts.loc[(measure, data_sets, compared)]
        assert f"{row.above} of {row.points}" in page
    accuracy = pd.DataFrame(published.load_published()["experiment_3"]["accuracy"]).mean(axis=1)
    assert f"falls by {accuracy[0] - accuracy[1]:.1f} points" in page
    assert f"and by {accuracy[1] - accuracy[4]:.1f} from there" in page


def test_a_constant_line_is_one_that_does_not_move():
    curves = published.published_curves()
    moves = (
        curves[curves.strategy == "random"]
        .groupby(["dataset", "measure"])
        .agg(spread=("value", np.ptp), error=("error", "max"), constant=("constant", "first"))
    )
    assert ((moves.spread <= moves.error) == moves.constant).all()
    assert sorted(moves[moves.constant].reset_index().dataset.unique()) == ["dtd", "eurosat"]


def published_effects():
    """The numbers of claims.yaml, computed again from published.yaml: (claim, what) -> effect."""
    numbers = published.load_published()
    found = {}
    for measure, claim, unit in [
        ("accuracy", "accuracy_laclip", 100),
        ("silhouette", "silhouette_laclip", 1),
    ]:
        rows = numbers["experiment_1"][measure]
        for corpus in ("CC12M", "RedCaps", "LAION-400M"):
            gain = np.mean(rows[f"{corpus} LaCLIP"]) - np.mean(rows[f"{corpus} CLIP"])
            found[claim, corpus] = gain / unit

    curves = published.published_curves()
    wide = curves.pivot(index=["measure", "dataset", "kept"], columns="strategy", values="value")
    high_low = wide.high_purity - wide.low_purity
    at_450 = wide.xs(450, level="kept").drop(index=["dtd", "eurosat"], level="dataset")
    high_random = at_450.high_purity - at_450.random
    found["pruning_window", "figures"] = high_low["accuracy"].mean()
    found["pruning_450_high_low", "figures"] = high_low.xs(450, level="kept")["accuracy"].mean()
    found["pruning_450_high_random", "figures"] = high_random["accuracy"].mean()
    found["pruning_silhouette", "figures"] = high_low.xs(450, level="kept")["silhouette"].mean()

    third = numbers["experiment_3"]
    span = published.RATIOS[1] - published.RATIOS[0]
    line = linregress(third["ratio"], third["average_abs_cos"]["value"]).slope * span
    found["misalignment_text", "figure (random swaps)"] = line
    for measure, unit in {"accuracy": 100, "silhouette": 1}.items():
        mean = np.mean(list(third[measure].values()), axis=0) / unit
        found[f"misalignment_{measure}", "table 4 (random swaps)"] = (
            -linregress(third["ratio"], mean).slope * span
        )

    theory = published.published_theory().set_index(["measure", "texts", "probability"])
    theory = theory.value.sort_index()
    for measure in ("accuracy", "silhouette", "features", "magnitude"):
        raw, filtered = theory[measure, "raw"], theory[measure, "filtered"]
        found[f"theory_{measure}_falls", "figure 1"] = raw[0.0] - raw[0.5]
        found[f"theory_{measure}_remedy", "figure 1"] = filtered[0.5] - raw[0.5]
    return found


def test_the_published_effects_of_the_claims_follow_from_the_published_numbers():
    stated = {
        (claim["id"], what): effect
        for claim in results.load_claims()
        for what, effect in claim["published_effects"].items()
    }
    computed = published_effects()
    assert set(stated) == set(computed)
    for key, effect in stated.items():
        digits = len(str(effect).partition(".")[2])
        assert round(computed[key], digits) == effect, key


@pytest.mark.parametrize(
    "measure, claim, unit",
    [("top1", "accuracy_laclip", "{:+.1f}"), ("silhouette", "silhouette_laclip", "{:+.3f}")],
)
def test_the_published_text_states_the_gains_on_imagenet(measure, claim, unit):
    (stated,) = (row["published"] for row in results.load_claims() if row["id"] == claim)
    models = published.load_published()["imagenet"][measure]
    gains = [
        models[f"{name} LaCLIP"] - models[f"{name} CLIP"]
        for name in ("CC12M", "RedCaps", "LAION-400M")
    ]
    assert stated.endswith("on ImageNet " + ", ".join(map(unit.format, gains)))


def test_the_published_text_of_a_claim_states_its_effects():
    for claim in results.load_claims():
        if claim["id"] in ("silhouette_laclip", "pruning_window", "pruning_450_high_low"):
            points = claim["unit"] == wording.SHARE
            assert all(
                (f"{100 * effect:+.1f} points" if points else f"{effect:+.3f}")
                in claim["published"]
                for effect in claim["published_effects"].values()
            )
