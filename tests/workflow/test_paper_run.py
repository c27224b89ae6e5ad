"""The benchmark of the paper's run, at a tiny share: it runs, and its table has its columns."""

import os
import subprocess
import sys

import pytest
from checkout import ROOT

from featpurity.profile import CLAIMS, COMPARISON, PRUNING


@pytest.mark.slow
def test_the_papers_run_at_a_tiny_share(tmp_path):
    command = [sys.executable, str(ROOT / "benchmarks/paper_run.py"), "--share", "0.001"]
    command += ["--datasets", "dtd", "--pairs", "1", "--orders", "2", "--layers", "1"]
    command += ["--device", "cpu", "--folder", str(tmp_path / "run")]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr[-4000:]
    table = [line for line in done.stdout.splitlines() if line.startswith("|")]
    assert table[0] == "| chapter | seconds | of processors | GiB at most |"
    assert [line.split()[1] for line in table[2:]] == [COMPARISON, PRUNING, CLAIMS]
    tables = {path.name for path in (tmp_path / "run/results/tables").iterdir()}
    assert {"01_effects.csv", "02_effects.csv", "claims.csv"} <= tables
