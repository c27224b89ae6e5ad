"""What changes a notebook's fingerprint, on a package of three modules."""

import json

import fingerprint
import pytest

FIGURES = """
'''Figures.'''
import json, math
from featpurity.files import save as keep
from featpurity.metrics import purity

LOOK = {"size": 3}
OTHER = 1

def bars(table):
    '''Bars.'''
    return keep(table, LOOK)

def lines(table):
    from featpurity.captions import late
    return late.words(purity.score(table))
"""
MODULES = {
    "report/figures.py": FIGURES,
    "files.py": "def save(table, look):\n    return _write(table)\n\ndef _write(table):\n    return 'notes.txt'\n",
    "metrics/purity.py": "def score(x):\n    return x\n\ndef unused(x):\n    return x\n",
    "captions/late.py": "def words(x):\n    return x\n",
}


@pytest.fixture
def digest(tmp_path, monkeypatch):
    """The fingerprint of a notebook with some code, after a change of the package: (file, old, new)."""
    monkeypatch.setattr(fingerprint, "PACKAGE", tmp_path)
    monkeypatch.setitem(fingerprint.featpurity._MODULE_OF, "score", "metrics.purity")
    for name, text in {**MODULES, "assets/notes.txt": "one"}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)

    def of(code, *changes, prose="# Title", live=""):
        for name, old, new in changes:
            text = (tmp_path / name).read_text()
            assert old in text
            (tmp_path / name).write_text(text.replace(old, new))
        fingerprint.parsed.cache_clear()
        fingerprint.scope.cache_clear()
        cells = [
            {"cell_type": "markdown", "metadata": {}, "source": prose},
            {"cell_type": "code", "metadata": {}, "source": code},
            {"cell_type": "code", "metadata": {"tags": [fingerprint.LIVE_ONLY]}, "source": live},
        ]
        (tmp_path / "one.ipynb").write_text(json.dumps({"cells": cells}))
        return fingerprint.fingerprint(tmp_path / "one.ipynb")

    yield of
    fingerprint.parsed.cache_clear()
    fingerprint.scope.cache_clear()


BARS = "from featpurity.report import figures\nfigures.bars(1)"
LINES = "from featpurity.report.figures import lines\nlines(1)"
PUBLIC = "import featpurity as fp\nfp.score(1)"
SHORT = "import featpurity as fp\nfp.figures.bars(1)"
SHORTER = "from featpurity import plots\nplots.bars(1)"


def test_it_follows_the_cells_and_not_the_prose(digest):
    assert digest("a = 1") == digest("a = 1", prose="# Another") != digest("a = 2")
    assert digest("%matplotlib inline\na = 1") != digest("a = 1")


def test_cells_that_a_run_skips_do_not_count(digest):
    assert digest("a = 1", live=BARS) == digest("a = 1")


@pytest.mark.parametrize(
    "code, change, counts",
    [
        (BARS, ("report/figures.py", "'''Bars.'''", "'''Bars, upright.'''"), False),
        (BARS, ("report/figures.py", "'''Figures.'''\n", "# nothing\n"), False),
        (BARS, ("report/figures.py", '"size": 3', '"size": 4'), True),
        (BARS, ("report/figures.py", "OTHER = 1", "OTHER = 2"), False),
        (BARS, ("report/figures.py", "import json, math", "import json"), False),
        (BARS, ("report/figures.py", "keep(table, LOOK)", "keep(table)"), True),
        (BARS, ("files.py", "return _write(table)", "return 1"), True),
        (BARS, ("files.py", "'notes.txt'", "'other'"), True),
        (BARS, ("assets/notes.txt", "one", "two"), True),
        (BARS, ("metrics/purity.py", "return x", "return 1"), False),
        (BARS, ("captions/late.py", "return x", "return 1"), False),
        (LINES, ("captions/late.py", "return x", "return 1"), True),
        (
            LINES,
            ("metrics/purity.py", "def score(x):\n    return x", "def score(x):\n    return 1"),
            True,
        ),
        (LINES, ("metrics/purity.py", "def unused(x):\n    return x", ""), False),
        (
            PUBLIC,
            ("metrics/purity.py", "def score(x):\n    return x", "def score(x):\n    return 1"),
            True,
        ),
        (PUBLIC, ("files.py", "return _write(table)", "return 1"), False),
        (SHORT, ("report/figures.py", '"size": 3', '"size": 4'), True),
        (SHORT, ("report/figures.py", "OTHER = 1", "OTHER = 2"), False),
        (SHORTER, ("report/figures.py", '"size": 3', '"size": 4'), True),
    ],
)
def test_it_follows_what_the_cells_reach_and_nothing_else(digest, code, change, counts):
    assert (digest(code) != digest(code, change)) == counts
