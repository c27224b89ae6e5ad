"""Nearest captions in shards, as jobs of the workflow: the swaps are those of one piece."""

import pytest
from checkout import snakemake


@pytest.mark.slow
def test_the_workflow_runs_a_job_for_each_shard_and_swaps_the_same_captions(tmp_path):
    def swapped(shards):
        results, profile = tmp_path / f"results{shards}", tmp_path / f"small{shards}.yaml"
        profile.write_text(
            f"{{n_pairs: 600, ratios: [0.0, 0.8], caption_shards: {shards}, results_dir: {results}}}"
        )
        done = snakemake(profile, "--until", "swap")
        assert done.returncode == 0, done.stdout[-4000:]
        executed = sorted(path.stem for path in results.glob("notebooks/steps/neighbours_*.ipynb"))
        assert executed == [f"neighbours_{shard}" for shard in range(shards) if shards > 1]
        assert len(list(results.glob("neighbours/*.npz"))) == len(executed) + bool(executed)
        return {path.name: path.read_bytes() for path in (results / "captions").iterdir()}

    one_job, three = swapped(1), swapped(3)
    assert (
        one_job == three and len(one_job) == 1 + 2 * 2 * 3 * 3
    )  # the captions; kinds, ratios, seeds, files
