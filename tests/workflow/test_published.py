"""Experiments 1 and 2 on checkpoints in LaCLIP's published layout and real photos, from the files to the tables."""

import json
import os

import pandas as pd
import pytest
import small_photos
from checkout import snakemake
from laclip_checkpoint import PUBLISHED, TINY, weights_of, write

from featpurity.models import laclip

LARGE = pytest.param(
    "B",
    1000,
    marks=pytest.mark.skipif(
        "FEATPURITY_LARGE" not in os.environ,
        reason="9 GB of memory and 16 minutes on two cores: set FEATPURITY_LARGE=1",
    ),
)
pytestmark = pytest.mark.slow


@pytest.mark.parametrize("size, n", [("tiny", 200), LARGE])
def test_experiments_1_and_2_on_two_published_checkpoints(tmp_path, size, n):
    models = []
    for name in ("clip", "laclip"):
        weights = weights_of(TINY if size == "tiny" else PUBLISHED[size], salt=name)
        models.append(write(tmp_path / f"{name}.pt", weights))
        if size == "tiny":  # no tensor tells its two text heads
            models[-1].with_suffix(".json").write_text(
                json.dumps(laclip.open_clip_config(weights, text_heads=2))
            )
    folder = small_photos.write(tmp_path / "photos", n)
    (next(folder.iterdir()) / "broken.jpg").write_bytes(b"no picture")
    profile = tmp_path / "published.yaml"
    profile.write_text(f"""
chapters: [01_clip_vs_laclip, 02_neuron_pruning, 07_claims]
clip_models: [{models[0]}]
laclip_models: [{models[1]}]
datasets: ["folder:{folder}"]
unreadable: skip
prompts: laclip
results_dir: {tmp_path}/results
store_dir: {tmp_path}/store
""")
    done = snakemake(profile, *(["--omit-from", "book"] if size == "tiny" else []))
    assert done.returncode == 0, done.stdout[-4000:]
    table = pd.read_csv(tmp_path / "results/tables/01_accuracy_silhouette.csv")
    assert (table.images == n).all() and (table.neurons == (48 if size == "tiny" else 512)).all()
    assert (table.accuracy < table.accuracy_top5).all() and table.accuracy_top5.between(
        0.3, 0.7
    ).all()  # chance is 0.5
    assert len(list((tmp_path / "results").glob("*_vs_sam.csv"))) == len(models) * 2
    assert len(list((tmp_path / "results").glob("*_results/*_full_feature_acc_ss.csv"))) == len(
        models
    )
    curves = pd.read_csv(tmp_path / "results/tables/02_accuracy_curves.csv")
    assert curves.kept.max() == table.neurons[0]
    executed = tmp_path / "results/notebooks"
    said = (executed / "01_clip_vs_laclip.ipynb").read_text()
    assert "accuracy is chance (1 in 10)" in said
    assert "1 unreadable images left out:" in said and "broken.jpg" in said
    pruning = (executed / "02_neuron_pruning.ipynb").read_text()
    assert "accuracy is chance with all neurons" in pruning and "broken.jpg" in pruning
    claims = pd.read_csv(tmp_path / "results/tables/claims.csv")
    assert set(claims.verdict[claims.experiment == 3]) == {"not measured"}
    assert (claims.verdict[claims.experiment < 3] != "not measured").all()
