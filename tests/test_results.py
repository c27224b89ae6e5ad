"""Tables, records and verdicts."""

import json

import pandas as pd
import pytest
from scipy import stats

from featpurity import files
from featpurity.metrics import intervals
from featpurity.report import results


def test_the_rule_of_the_verdict():
    assert results.verdict(0.1, 0.2) == "holds"
    assert results.verdict(-0.2, -0.1) == "does not hold"
    assert results.verdict(-0.1, 0.2) == results.verdict(0, 0) == "undecided"
    with pytest.raises(ValueError, match="low <= high"):
        results.verdict(0.2, 0.1)


@pytest.mark.parametrize(
    "accuracy, n_images, n_classes, chance",
    [
        (0.1, 1000, 10, True),
        (0.115, 1000, 10, True),
        (0.125, 1000, 10, False),
        (0.05, 1000, 10, True),
        (0.103, 10**6, 10, False),
    ],
)
def test_chance_is_what_guessing_gives(accuracy, n_images, n_classes, chance):
    assert intervals.at_chance(accuracy, n_images, n_classes) == chance


def test_every_claim_is_written_down_whole_and_once():
    claims = results.load_claims()
    keys = {"id", "experiment", "statement", "effect", "interval", "published"}
    assert all(set(claim) == keys and all(claim.values()) for claim in claims)
    assert len({claim["id"] for claim in claims}) == len(claims)
    assert {claim["experiment"] for claim in claims} == {1, 2, 3, 5}
    assert len({claim["statement"][:62] for claim in claims}) == len(claims), (
        "the figure of the verdicts shows so many letters"
    )
    assert all(
        "projections" in claim["statement"]
        for claim in claims
        if "after filtered pairs" in claim["effect"]
    )


def test_judge_uses_only_the_mean_over_data_sets_and_lists_what_is_missing():
    effects = pd.DataFrame(
        [
            results.effect("accuracy_laclip", "a, b", 0.1, 0.05, 0.15),
            results.effect("accuracy_laclip", "a, b", -0.3, -0.4, -0.2, dataset="pets"),
            results.effect("misalignment_text", "random", -1, -2, -0.5),
        ]
    )
    page = results.judge(effects)
    measured = page[page.verdict != "not measured"]
    assert measured.verdict.tolist() == ["holds", "does not hold"]
    assert len(page) == len(results.load_claims())
    with pytest.raises(ValueError, match="no claim is called 'accuracy'"):
        results.effect("accuracy", "a, b", 0.1, 0.05, 0.15)


def test_published_differences_follow_from_the_published_table(shared):
    table = json.loads((shared / "reference/paper_results.json").read_text())["experiment_1"][
        "rows"
    ]
    published = {claim["id"]: claim["published"] for claim in results.load_claims()}
    ours = results.load_published()["experiment_1"]
    for corpus, name in (("cc12m", "CC12M"), ("redcaps", "RedCaps"), ("laion", "LAION-400M")):
        clip, laclip = table[f"{corpus}_clip"], table[f"{corpus}_laclip"]
        for kind, row in (("CLIP", clip), ("LaCLIP", laclip)):
            assert ours["accuracy"][f"{name} {kind}"] == row["acc"]
            assert ours["silhouette"][f"{name} {kind}"] == row["silhouette"]
        gain = sum(laclip["acc"]) / 6 - sum(clip["acc"]) / 6
        assert f"{gain:+.1f}" in published["accuracy_laclip"]
        gain = sum(laclip["silhouette"]) / 6 - sum(clip["silhouette"]) / 6
        assert f"{gain:+.3f}" in published["silhouette_laclip"]


def test_published_readings_are_those_of_the_figures(shared):
    theirs, ours = (
        json.loads((shared / "reference/paper_results.json").read_text()),
        results.load_published(),
    )
    readings = theirs["experiment_2"]["figure_readings"]
    assert ours["experiment_2"].pop("kept") == readings["kept"]
    for name, values in ours["experiment_2"].items():
        dataset, strategy = name.split(", ")
        assert values == readings[dataset][strategy.replace(" purity", "_purity")]
    table, figure = (
        theirs["experiment_3"]["table_in_readme"],
        theirs["experiment_3"]["figure_readings"],
    )
    assert ours["experiment_3"] == {
        "ratio": table["ratio"],
        "average |cos|, their table": table["avg_abs_cos"],
        "average |cos|, their figure": figure["avg_abs_cos"],
        "accuracy, change in points": table["accuracy_drop_points"],
    }


def test_a_model_s_path_names_a_file_in_the_results_and_no_other(tmp_path):
    table = pd.DataFrame(
        [
            dict(
                model="/x/clip.pt",
                dataset="folder:/y/pets",
                neurons=512,
                accuracy=0.5,
                silhouette=0.1,
            )
        ]
    )
    results.save_paper_accuracy(table, tmp_path)
    assert [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.csv")] == [
        "x_clip.pt_full512_results/folder_y_pets_full_feature_acc_ss.csv"
    ]
    assert (
        results.file_name("ViT-B-32:openai") == "ViT-B-32_openai"
        and results.file_name("hf-hub:a/b") == "hf-hub_a_b"
    )


def test_t_interval_is_the_textbook_one():
    low, high = intervals.t_interval([1.0, 2.0, 4.0])
    half = stats.t.ppf(0.975, 2) * pd.Series([1.0, 2.0, 4.0]).std() / 3**0.5
    assert (low, high) == pytest.approx((7 / 3 - half, 7 / 3 + half))
    assert intervals.t_interval([2.0, 2.0]) == (2.0, 2.0)
    with pytest.raises(ValueError, match="at least 2"):
        intervals.t_interval([1.0])
    assert intervals.slope([0, 0.5, 1], [1, 2, 3]) == pytest.approx(2)


def test_tables_in_the_papers_layout(tmp_path):
    accuracy = pd.DataFrame(
        [dict(model="m", dataset="pets", neurons=512, accuracy=0.5, silhouette=0.1)]
    )
    results.save_paper_accuracy(accuracy, tmp_path)
    written = pd.read_csv(tmp_path / "m_full512_results/pets_full_feature_acc_ss.csv")
    assert written.to_dict("records") == [{"Accuracy": 0.5, "Silhouette Score": 0.1}]

    rows = [
        dict(model="m", dataset="pets", strategy=s, kept=k, accuracy=a)
        for s, a in [("high_purity", 0.3), ("low_purity", 0.1), ("random", 0.2)]
        for k in (1, 2)
    ]
    rows.append(dict(model="m", dataset="pets", strategy="full", kept=2, accuracy=0.4))
    results.save_paper_curves(pd.DataFrame(rows), tmp_path, "accuracy")
    written = pd.read_csv(tmp_path / "pets_m_accuracy_vs_sam.csv")
    assert written.columns.tolist() == [
        "sam",
        "Model",
        "Full Features",
        "Min Sparse Features",
        "Max Sparse Features",
        "Random Features",
    ]
    assert written.values.tolist() == [[1, "m", 0.4, 0.3, 0.1, 0.2], [2, "m", 0.4, 0.3, 0.1, 0.2]]


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    target = files.workspace(tmp_path) / "table.csv"
    files.save_table(pd.DataFrame({"a": [1]}), target)
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        files.save_table(pd.DataFrame({"a": [2]}), target)
    assert pd.read_csv(target).a.tolist() == [1]


def test_the_record_names_versions_and_settings(tmp_path):
    record = results.save_record(tmp_path / "run.json", seed=3, models=["a"])
    assert json.loads((tmp_path / "run.json").read_text()) == record
    assert record["settings"] == {"seed": 3, "models": ["a"]} and record["versions"]["torch"]


def test_workspace_is_found_from_a_folder_below(tmp_path, monkeypatch):
    (tmp_path / "_toc.yml").touch()
    (tmp_path / "notebooks").mkdir()
    monkeypatch.chdir(tmp_path / "notebooks")
    assert files.workspace("results/demo") == tmp_path / "results/demo"
