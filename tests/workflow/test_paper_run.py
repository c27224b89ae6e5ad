"""The benchmark of the paper's run, at a tiny share: it runs, its table has its columns, and its notebooks,
of more models than stand side by side, make a book."""

import os
import shutil
import subprocess
import sys

import pytest
from bs4 import BeautifulSoup
from checkout import ROOT

from featpurity.profile import CLAIMS, COMPARISON, PRUNING

CHAPTERS = [COMPARISON, PRUNING, CLAIMS]


@pytest.mark.slow
def test_the_papers_run_at_a_tiny_share(tmp_path):
    command = [sys.executable, str(ROOT / "benchmarks/paper_run.py"), "--share", "0.001"]
    command += ["--datasets", "dtd", "--pairs", "2", "--orders", "2", "--layers", "1"]
    command += ["--device", "cpu", "--folder", str(tmp_path / "run")]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr[-4000:]
    table = [line for line in done.stdout.splitlines() if line.startswith("|")]
    assert table[0] == "| chapter | seconds | of processors | GiB at most |"
    assert [line.split()[1] for line in table[2:]] == CHAPTERS
    results = tmp_path / "run/results"
    tables = {path.name for path in (results / "tables").iterdir()}
    assert {"01_effects.csv", "02_effects.csv", "claims.csv"} <= tables
    (results / "notebooks").mkdir()
    for chapter in CHAPTERS:
        shutil.copy(tmp_path / f"run/{chapter}.ipynb", results / "notebooks")
    stage = [sys.executable, ROOT / "workflow/stage_book.py", results, "--chapters", *CHAPTERS]
    subprocess.run(stage, check=True, stdout=subprocess.DEVNULL)
    book = results / "book/_build/html"
    pairs = (
        "CLIP (cc3m_clip) and LaCLIP (cc3m_laclip)",
        "CLIP (cc12m_clip) and LaCLIP (cc12m_laclip)",
    )
    for chapter in (COMPARISON, PRUNING):
        page = BeautifulSoup((book / f"notebooks/{chapter}.html").read_text("utf-8"), "html.parser")
        words = [figure.get_text(" ") for figure in page.select("[id^=figure-]")]
        assert any(all(pair in said for pair in pairs) for said in words), "no menu of the pairs"
