"""Real notebooks on a small profile, from nothing to a built book, and a second call that does nothing.

The chapters that are not here are in the demo's book, which the tests of the pages build.
"""

import pandas as pd
import papermill
import pytest
import yaml
from checkout import ROOT, snakemake
from run_notebook import ThisPython
from staged_notebook import LIVE_ONLY, WIDGET_MIME, tags

SMALL = """
chapters: [01_clip_vs_laclip, 02_neuron_pruning, 03_misalignment, 06_online_and_cached, 10_retrieval_and_probe, 11_neurons, 07_claims]
online_pairs: 64
atlas_pairs: 60
n_views: 2
augmented: true
datasets: [scenes_texture, scenes_size]
n_pairs: 600
batch_size: 200
ratios: [0.0, 0.8]
seeds: [0, 1]
epochs: 2
n_random_orders: 3
n_bootstrap: 20
"""
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A profile that has run, its first call's result beside it."""
    folder = tmp_path_factory.mktemp("suite")
    profile = folder / "small.yaml"
    profile.write_text(f"{SMALL}\nresults_dir: {folder}/results\nstore_dir: {folder}/store\n")
    return profile, folder / "results", snakemake(profile)


def test_every_chapter_runs_and_the_book_is_built(finished):
    _, results, done = finished
    assert done.returncode == 0, done.stdout[-4000:]
    built = results / "book/_build/html/notebooks"
    assert sorted(page.stem for page in built.glob("[01]*.html")) == [
        "01_clip_vs_laclip",
        "02_neuron_pruning",
        "03_misalignment",
        "04_data_quality_ladder",
        "05_caption_filter",
        "06_online_and_cached",
        "07_claims",
        "08_what_cos_measures",
        "09_theory",
        "10_retrieval_and_probe",
        "11_neurons",
    ]


def test_the_tables_hold_every_measurement(finished):
    _, results, _ = finished
    curves = pd.read_csv(results / "tables/02_accuracy_curves.csv")
    assert (
        curves[curves.strategy != "full"].groupby(["model", "dataset", "strategy"]).kept.count()
        == 128
    ).all()
    runs = pd.read_csv(results / "tables/03_runs.csv")
    assert (
        len(runs) == 2 * 2 * 2 * 2 and runs.accuracy.between(0, 1).all()
    )  # kinds, ratios, seeds, data sets
    distances = pd.read_csv(results / "tables/06_distances.csv")
    assert (
        len(distances) == 2 * 2 * 3 and distances["largest distance"].gt(0).all()
    )  # ways of caching, kinds, measures
    claims = pd.read_csv(results / "tables/claims.csv")
    of_several = claims[claims.claim == "multi_label_laclip"]  # no data set here has such pictures
    assert set(of_several.verdict) == {"not measured"}
    ran = claims[claims.experiment.isin([1, 2, 3, 10])].drop(of_several.index)
    said = ran.verdict.str.removesuffix(", negligible")
    assert set(said) <= {"holds", "does not hold", "undecided"}
    paper = pd.read_csv(results / "scenes_size_scenes_clip_accuracy_vs_sam.csv")
    assert list(paper) == [
        "sam",
        "Model",
        "Full Features",
        "Min Sparse Features",
        "Max Sparse Features",
        "Random Features",
    ]


def test_a_second_call_does_nothing(finished):
    profile, results, _ = finished
    before = {path: path.stat().st_mtime_ns for path in results.rglob("*") if path.is_file()}
    again = snakemake(profile)
    assert again.returncode == 0 and "Nothing to be done" in again.stdout
    assert before == {
        path: path.stat().st_mtime_ns for path in results.rglob("*") if path.is_file()
    }


@pytest.mark.parametrize(
    "chapter", ["01_clip_vs_laclip", "02_neuron_pruning", "03_misalignment", "11_neurons"]
)
def test_whoever_runs_a_chapter_by_hand_has_its_panels(finished, tmp_path, chapter):
    profile, results, _ = finished
    executed = results / "notebooks" / f"{chapter}.ipynb"
    settings = yaml.safe_load(profile.read_text())
    done = papermill.execute_notebook(
        executed,
        tmp_path / "by_hand.ipynb",
        parameters=settings,
        kernel_manager_class=ThisPython,
        cwd=ROOT,
        progress_bar=False,
    )
    live = [cell for cell in done.cells if LIVE_ONLY in tags(cell) and cell.cell_type == "code"]
    outputs = [output for cell in live for output in cell.outputs]
    assert live and any(WIDGET_MIME in output.get("data", {}) for output in outputs)
