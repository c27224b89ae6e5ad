"""A cut-down run of the photos profile: its tables, a second call, and every page in a real browser."""

import shutil

import page_checks
import pandas as pd
import papermill
import pytest
import yaml
from checkout import ROOT, snakemake
from finished_pages import broken_links
from run_notebook import ThisPython
from staged_notebook import LIVE_ONLY, WIDGET_MIME, tags

from featpurity.report.tables import first_of

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def results(photos):
    return photos.parents[2]


def test_the_tables_hold_every_measurement(results):
    tables = results / "tables"
    curves = pd.read_csv(tables / "02_accuracy_curves.csv")
    sizes = curves[curves.strategy != "full"].groupby(["model", "dataset", "strategy"]).kept.count()
    assert (sizes == 128).all()
    runs = pd.read_csv(tables / "03_runs.csv")
    assert len(runs) == 2 * 2 * 2  # kinds, ratios, seeds
    assert runs.accuracy.between(0, 1).all()
    distances = pd.read_csv(tables / "06_distances.csv")
    assert len(distances) == 2 * 2 * 3  # ways of caching, kinds, measures
    continuous = distances[~distances.measure.str.startswith("accuracy")]
    assert len(continuous) == 2 * 2 * 2 and continuous["largest distance"].gt(0).all()
    claims = pd.read_csv(tables / "claims.csv")
    of_several = claims[claims.claim == "multi_label_laclip"]  # no data set here has such pictures
    assert set(of_several.verdict) == {"not measured"}
    ran = claims[claims.experiment.isin([1, 2, 3, 10])].drop(of_several.index)
    assert set(ran.verdict.map(first_of)) <= {
        "holds",
        "does not hold",
        "within chance",
        "undecided",
    }


def test_a_second_call_does_nothing(results):
    def times():
        return {path: path.stat().st_mtime_ns for path in results.rglob("*") if path.is_file()}

    before = times()
    again = snakemake(results.parent / "profile.yaml")
    assert again.returncode == 0 and "Nothing to be done" in again.stdout
    assert before == times()


@pytest.mark.parametrize(
    "chapter", ["01_clip_vs_laclip", "02_neuron_pruning", "03_misalignment", "11_neurons"]
)
def test_whoever_runs_a_chapter_by_hand_has_its_panels(results, tmp_path, chapter):
    profile = yaml.safe_load((results.parent / "profile.yaml").read_text("utf-8"))
    done = papermill.execute_notebook(
        results / "notebooks" / f"{chapter}.ipynb",
        tmp_path / "by_hand.ipynb",
        parameters=profile | {"results_dir": str(by_hand(results, tmp_path))},
        kernel_manager_class=ThisPython,
        cwd=ROOT,
        progress_bar=False,
    )
    live = [cell for cell in done.cells if LIVE_ONLY in tags(cell) and cell.cell_type == "code"]
    outputs = [output for cell in live for output in cell.outputs]
    assert live and any(WIDGET_MIME in output.get("data", {}) for output in outputs)


def by_hand(results, folder):
    """A folder of results of their own for who runs a chapter, with what the steps before wrote."""
    for name in ("captions", "checkpoints", "tables"):
        shutil.copytree(results / name, folder / "results" / name)
    return folder / "results"


@pytest.mark.parametrize("name", page_checks.VISITS)
def test_every_page_of_the_run_is_whole_and_open_to_all(photos, visit, axe, name):
    names = page_checks.of_the_run(photos)
    assert len(names) >= 12
    assert page_checks.visit_faults(photos, visit, axe, name, names) == []


def test_links_inside_the_book_lead_somewhere(photos):
    assert list(broken_links(photos)) == []


def test_the_first_page_tells_of_photographs(photos, visit):
    page = visit(photos, "book/introduction.html").page
    told = page.locator(".this-run").inner_text()
    assert "the run photos" in told and "CIFAR-10" in told and "generated pictures" not in told
    assert page.locator("table.verdicts tbody tr").count() >= 3
    page = visit(photos, "book/data_and_models.html").page
    assert page.locator("ul.examples img").count() == 6
