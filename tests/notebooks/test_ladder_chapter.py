"""The chapter on the ladder, run on models that the test spoils with noise: from nothing to a built book."""

import json

import pandas as pd
import pytest
import yaml
from checkout import snakemake
from ladder_models import NOISE, write_ladder, write_pictures

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """The results of a run whose only chapter is the ladder."""
    folder = tmp_path_factory.mktemp("ladder")
    settings = {
        "chapters": ["04_data_quality_ladder"],
        "ladder_models": write_ladder(folder),
        "models_per_job": 4,
        "n_bootstrap": 100,
        "datasets": [write_pictures(folder / "pictures")],
        "prompts": "paper",
        "results_dir": f"{folder}/results",
        "store_dir": f"{folder}/store",
    }
    (folder / "tiny.yaml").write_text(yaml.safe_dump(settings))
    done = snakemake(folder / "tiny.yaml")
    assert done.returncode == 0, done.stdout[-4000:]
    return folder / "results"


def test_the_book_holds_the_chapter_and_says_of_the_others_that_they_were_not_run(results):
    pages = results / "book/_build/html/notebooks"
    text = {page.stem: page.read_text() for page in pages.glob("[01]*.html")}
    absent = {name for name, page in text.items() if "not in this run" in page}
    assert absent == set(text) - {"04_data_quality_ladder"} and len(absent) >= 4
    assert (
        "within groups" in text["04_data_quality_ladder"]
        and text["04_data_quality_ladder"].count("data-figure=") == 2
    )


def test_noise_that_spoils_the_models_has_the_correlations_that_it_must_have(results):
    models = pd.read_csv(results / "tables/04_models.csv")
    assert list(models.data) == [f"noise_{size:g}" for size in NOISE] * 2
    assert (models.groupby("group").accuracy.diff().dropna() < 0).all(), "more noise, less accuracy"
    # The image towers' neurons are further from orthogonal than chance, so that noise makes them purer: the purer,
    # the worse. The text towers' are nearer than chance, and noise brings them up to it.
    assert (models.groupby("group").image_times_chance.diff().dropna() < 0).all()
    found = pd.read_csv(results / "tables/04_correlations.csv").set_index(
        ["measure", "over", "tower"]
    )
    image, text = (found.loc[("accuracy", "within groups", tower)] for tower in ("image", "text"))
    assert (
        image.spearman == pytest.approx(-1)
        and image.verdict == "does not hold"
        and image.models == len(models)
    )
    assert text.spearman > 0 and image.groups == 2
    assert found.loc["accuracy"].loc["all models"].verdict.isna().all(), (
        "only the question that was asked gets a verdict"
    )


def test_every_measurement_and_how_it_was_made_is_kept(results):
    tables = results / "tables"
    assert len(pd.read_csv(tables / "04_accuracy_silhouette.csv")) == 2 * len(
        NOISE
    )  # groups, models
    assert (
        len(pd.read_csv(tables / "04_purity.csv")) == 2 * len(NOISE) * 2
    )  # groups, models, towers
    assert len(pd.read_csv(tables / "04_by_group.csv")) == 2 * 2
    assert len(
        json.loads((tables / "04_record.json").read_text())["settings"]["models"]
    ) == 2 * len(NOISE)
