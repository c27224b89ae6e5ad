"""Nearest captions in shards, as jobs of the workflow: the swaps are those of one piece."""

import pytest
from checkout import snakemake

from featpurity.captions.swap import swap_seed, write_swaps

RATIOS, KINDS, SEEDS = [0.0, 0.8], ["similarity", "random"], [0, 1, 2]


@pytest.mark.slow
def test_the_workflow_runs_a_job_for_each_shard_and_swaps_the_same_captions(tmp_path):
    results, profile = tmp_path / "results", tmp_path / "small.yaml"
    profile.write_text(
        f"{{n_pairs: 600, ratios: {RATIOS}, caption_shards: 3, results_dir: {results}}}"
    )
    done = snakemake(profile, "--until", "swap")
    assert done.returncode == 0, done.stdout[-4000:]
    executed = sorted(path.stem for path in results.glob("notebooks/steps/neighbours_*.ipynb"))
    assert executed == ["neighbours_0", "neighbours_1", "neighbours_2"]
    assert len(list(results.glob("neighbours/*.npz"))) == 4  # and the vectors
    source = results / "captions/scenes.txt"
    seeds = [swap_seed(seed) for seed in SEEDS]
    write_swaps(source, RATIOS, KINDS, seeds, out_dir=tmp_path / "one_piece")
    in_one_piece = {path.name: path.read_bytes() for path in (tmp_path / "one_piece").iterdir()}
    swapped = {path.name: path.read_bytes() for path in source.parent.iterdir() if path != source}
    assert swapped == in_one_piece and len(swapped) == 2 * 2 * 3 * 3  # kinds, ratios, seeds, files
