"""Tables, records and verdicts."""

import json
import math
import subprocess

import pandas as pd
import pytest
from scipy import stats

from featpurity import files
from featpurity.metrics import intervals
from featpurity.report import published, results


def test_the_rule_of_the_verdict():
    assert results.verdict(0.1, 0.2) == "holds"
    assert results.verdict(-0.2, -0.1) == "does not hold"
    assert results.verdict(-0.1, 0.2) == results.verdict(0, 0) == "undecided"
    assert results.verdict(1, 1) == "undecided"  # equal values do not say how others would differ
    assert results.verdict(0.1, 0.2, by_chance=True) == "within chance"
    assert results.verdict(-0.2, -0.1, 1, by_chance=True) == "within chance, negligible"
    assert results.verdict(-0.1, 0.2, by_chance=True) == "undecided"
    assert results.verdict(0.1, 0.2, 1, turns=True) == "holds, not monotone, negligible"
    with pytest.raises(ValueError, match="low <= high"):
        results.verdict(0.2, 0.1)


@pytest.mark.parametrize(
    "low, high, said",
    [
        (0.001, 0.009, "holds, negligible"),
        (0.001, 0.011, "holds"),
        (-0.009, -0.001, "does not hold, negligible"),
        (-0.011, -0.001, "does not hold"),
        (-0.009, 0.009, "undecided, negligible"),
        (-0.009, 0.02, "undecided"),
    ],
)
def test_an_effect_whose_interval_lies_within_the_bound_is_negligible(low, high, said):
    assert results.verdict(low, high, negligible=0.01) == said
    with pytest.raises(ValueError, match="bound of 0 or more"):
        results.verdict(low, high, negligible=-0.01)


@pytest.mark.parametrize(
    "accuracy, recall_low, n_images, n_classes, chance",
    [
        (0.1, 0.2, 1000, 10, True),
        (0.115, 0.2, 1000, 10, True),
        (0.125, 0.105, 1000, 10, False),
        (0.05, 0.05, 1000, 10, True),
        (0.103, 0.102, 10**6, 10, False),
        (0.095, 0.009, 8677, 101, True),  # always the largest class, as models do on Caltech-101
        (0.5, math.nan, 1000, 10, True),
    ],
)
def test_chance_is_what_guessing_gives(accuracy, recall_low, n_images, n_classes, chance):
    assert intervals.at_chance(accuracy, recall_low, n_images, n_classes) == chance


def test_every_claim_is_written_down_whole_and_once():
    claims = results.load_claims()
    keys = {"id", "experiment", "statement", "effect", "unit", "interval", "negligible"}
    keys |= {"negligible_because", "published", "published_effects", "figure"}
    assert all(set(claim) - {"chance", "in_short"} == keys for claim in claims)
    shortened = {claim["id"]: len(claim["in_short"]) for claim in claims if "in_short" in claim}
    theirs = {claim["id"] for claim in claims if claim["experiment"] in published.EXPERIMENTS}
    assert set(shortened) == theirs and max(shortened.values()) <= 45
    assert all(claim[key] for claim in claims for key in keys - {"published_effects"})
    assert all(claim["negligible"] > 0 for claim in claims)
    assert len({claim["id"] for claim in claims}) == len(claims)
    assert {claim["experiment"] for claim in claims} == {1, 2, 3, 5, 8, 9, 10}
    assert len({claim["statement"][:62] for claim in claims}) == len(claims), (
        "the figure of the verdicts shows so many letters"
    )
    assert all(
        "projections" in claim["statement"]
        for claim in claims
        if claim["experiment"] == 5 and "after filtered pairs" in claim["effect"]
    )


def test_judge_uses_only_the_mean_over_data_sets_and_lists_what_is_missing():
    effects = pd.DataFrame(
        [
            results.effect("accuracy_laclip", "a, b", 0.1, 0.05, 0.15),
            results.effect("accuracy_laclip", "a, b", -0.3, -0.4, -0.2, dataset="pets"),
            results.effect("misalignment_text", "random", -1, -2, -0.5)
            | {"turns": "not monotone: rises to 30 %, falls after"},
            results.effect("pruning_area", "a", 0.003, 0.002, 0.004),
        ]
    )
    page = results.judge(effects)
    measured = page[page.verdict != "not measured"]
    said = ["holds", "holds, negligible", "does not hold, not monotone"]
    assert measured.verdict.tolist() == said
    assert measured.claim.tolist() == ["accuracy_laclip", "pruning_area", "misalignment_text"]
    assert measured.unit.tolist()[2] == "average |cos|"
    assert len(page) == len(results.load_claims())
    with pytest.raises(ValueError, match="no claim is called 'accuracy'"):
        results.effect("accuracy", "a, b", 0.1, 0.05, 0.15)


def test_a_name_leads_to_no_other_folder(tmp_path):
    row = dict(model="../clip", dataset="hf-hub:a/b", neurons=512, accuracy=0.5, silhouette=0.1)
    results.save_paper_accuracy(pd.DataFrame([row]), tmp_path)
    assert [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.csv")] == [
        "_clip_full512_results/hf-hub_a_b_full_feature_acc_ss.csv"
    ]


def test_t_interval_is_the_textbook_one():
    low, high = intervals.t_interval([1.0, 2.0, 4.0])
    half = stats.t.ppf(0.975, 2) * pd.Series([1.0, 2.0, 4.0]).std() / 3**0.5
    assert (low, high) == pytest.approx((7 / 3 - half, 7 / 3 + half))
    assert intervals.t_interval([2.0, 2.0]) == (2.0, 2.0)
    with pytest.raises(ValueError, match="at least 2"):
        intervals.t_interval([1.0])


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


def ran(folder, number, **settings):
    """Leave what a chapter leaves: one effect and the record of its settings."""
    effects = pd.DataFrame([results.effect("accuracy_laclip", "a minus b", 0.1, 0.0, 0.2)])
    files.save_table(effects, folder / f"tables/{number}_effects.csv")
    results.save_record(folder / f"tables/{number}_record.json", **settings)


def test_effects_are_read_of_chapters_that_ran_and_the_missing_one_is_named(tmp_path):
    ran(tmp_path, "01")
    read = results.read_effects(tmp_path, ["01_clip_vs_laclip", "04_data_quality_ladder"])
    assert read.claim.tolist() == ["accuracy_laclip"]
    with pytest.raises(FileNotFoundError, match="run the chapter 02_neuron_pruning first"):
        results.read_effects(tmp_path, ["01_clip_vs_laclip", "02_neuron_pruning", "07_claims"])


def test_effects_of_two_runs_are_not_read_as_one(tmp_path):
    both = ["01_clip_vs_laclip", "02_neuron_pruning"]
    ran(tmp_path, "01", datasets=["dtd"], prompts="paper")
    ran(tmp_path, "02", datasets=["dtd"], n_random_orders=3)
    assert len(results.read_effects(tmp_path, both)) == 2
    ran(tmp_path, "02", datasets=["pets"])
    with pytest.raises(ValueError, match="are of different runs: datasets is .'dtd'. .* .'pets'."):
        results.read_effects(tmp_path, both)
    (tmp_path / "tables/02_record.json").unlink()
    with pytest.raises(FileNotFoundError, match="02_record.json, so that nobody knows"):
        results.read_effects(tmp_path, both)


def test_the_record_says_whether_the_files_were_as_committed(tmp_path, monkeypatch):
    monkeypatch.setattr(results, "workspace", lambda path: tmp_path)
    assert results.save_record(tmp_path / "run.json")["as committed"] is None
    git = ["git", "-c", "user.name=a", "-c", "user.email=a"]
    for command in [["init", "-q"], ["add", "run.json"], ["commit", "-qm", "first"]]:
        subprocess.run([*git, *command], cwd=tmp_path, check=True)
    assert results.save_record(tmp_path.parent / "run.json")["as committed"] is True
    (tmp_path / "run.json").write_text("{}")
    assert results.save_record(tmp_path.parent / "run.json")["as committed"] is False
