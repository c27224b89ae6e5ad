"""The staging of the book: figures packed, notebooks cleaned, faults refused, the last good book kept."""

import base64
import json
import re
import subprocess
import sys
import zlib

import nbformat
import numpy as np
import plotly.graph_objects as go
import pytest
import sample_book
from sample_book import CHAPTERS, ROOT

sys.path.insert(0, str(ROOT / "workflow"))
import book_figures  # noqa: E402
import stage_book  # noqa: E402


def unpack(packed):
    """What the page's script does with a packed array."""
    planes = np.frombuffer(zlib.decompress(base64.b64decode(packed["packed"])), np.uint8).reshape(
        2, -1
    )
    values = np.ascontiguousarray(planes.T).view(">i2").ravel().astype(float)
    values = np.where(values == -32768, np.nan, packed["offset"] + packed["scale"] * values)
    if not packed["symmetric"]:
        return values.reshape(packed["shape"])
    matrix = np.zeros(packed["shape"])
    matrix[np.triu_indices(len(matrix))] = values
    return np.maximum(np.triu(matrix), np.triu(matrix).T) + np.minimum(
        np.triu(matrix, 1), np.triu(matrix, 1).T
    )


def script_json(script):
    return json.loads(re.fullmatch(r'featpurity\.figure\("[^"]*", (.*)\);\n', script, re.S)[1])


@pytest.fixture
def results(tmp_path):
    return sample_book.write_results(tmp_path / "results")


@pytest.fixture
def change(results):
    """Change one executed chapter: `change(function of the notebook)`."""

    def apply(edit):
        path = results / "notebooks" / f"{CHAPTERS[1]}.ipynb"
        notebook = nbformat.read(path, as_version=4)
        edit(notebook)
        nbformat.write(notebook, path)
        return path

    return apply


@pytest.mark.parametrize(
    "array",
    [
        np.random.default_rng(0).normal(size=(70, 60)),
        np.random.default_rng(1).normal(size=5000),
        np.zeros((64, 64)),
        np.full((64, 64), 3.25),
        np.where(np.eye(64, dtype=bool), np.nan, 0.5),
        np.full(4096, np.nan),
    ],
    ids=["matrix", "line", "zeros", "constant", "nan-diagonal", "all-nan"],
)
def test_packing_keeps_values_within_half_a_step(array):
    packed = book_figures.pack(array)
    back = unpack(packed)
    assert back.shape == array.shape and np.array_equal(np.isnan(back), np.isnan(array))
    allowed = np.nanmax(array) - np.nanmin(array) if not np.isnan(array).all() else 0
    assert np.nanmax(np.abs(back - array), initial=0) <= allowed / 131068 + 1e-12


def test_symmetric_matrix_travels_as_its_triangle():
    cosines = sample_book.symmetric_matrix()
    packed = book_figures.pack(cosines)
    assert packed["symmetric"] and np.abs(unpack(packed) - cosines).max() < 8e-6
    nearly = cosines + np.tril(
        np.full_like(cosines, 1e-8)
    )  # what rounding in a matrix product leaves
    assert book_figures.pack(nearly)["symmetric"]
    assert not book_figures.pack(np.triu(cosines))["symmetric"]


def test_packing_refuses_infinity():
    with pytest.raises(ValueError, match=r"shape \(64, 64\).*finite"):
        book_figures.pack(np.full((64, 64), np.inf))


def test_six_matrices_of_512_weigh_less_than_3_megabytes_and_a_page_loads_one():
    figure = sample_book.shown(sample_book.heatmaps()).data[book_figures.PLOTLY_MIME]
    scripts = book_figures.figure_scripts("six", figure)
    assert list(scripts) == [*(f"six-z{index}" for index in range(1, 6)), "six"]
    assert 1e6 < sum(map(len, scripts.values())) < 2.2e6 and len(scripts["six"]) < 4e5
    assert script_json(scripts["six"])["later"] == {
        str(index): {"z": f"six-z{index}"} for index in range(1, 6)
    }
    assert (
        np.abs(unpack(script_json(scripts["six-z5"])) - sample_book.symmetric_matrix(5)).max()
        < 8e-6
    )


def test_small_and_whole_number_arrays_stay_as_plotly_wrote_them():
    figure = go.Figure(
        [go.Scatter(y=np.linspace(0, 1, 100)), go.Heatmap(z=np.eye(80, dtype=np.int8))]
    )
    node = json.loads(figure.to_json())
    assert book_figures.pack_arrays(node) == node


def test_figure_script_leaves_the_look_and_the_width_to_the_page():
    figure = go.Figure(
        go.Scatter(y=[1, 2]), layout={"width": 900, "template": "plotly_white", "height": 300}
    )
    staged = script_json(book_figures.figure_scripts("f", json.loads(figure.to_json()))["f"])
    assert staged["layout"] == {"height": 300} and staged["frames"] == []
    own = go.Figure(layout={"template": {"layout": {"hovermode": "x"}}})
    assert script_json(book_figures.figure_scripts("f", json.loads(own.to_json()))["f"])["layout"][
        "template"
    ]


def test_staged_notebook_shows_figures_and_nothing_that_needs_a_kernel(results, tmp_path):
    stage_book.stage(results, tmp_path / "book")
    staged = nbformat.read(tmp_path / "book" / "notebooks" / f"{CHAPTERS[0]}.ipynb", as_version=4)
    text = json.dumps(staged)
    assert "widget" not in text and "stderr" not in text and "slider()" not in text
    assert "vnd.plotly" not in text and "measured\\n" in text
    folded = [cell for cell in staged.cells if "hide-input" in cell.metadata.get("tags", [])]
    assert (
        len(folded) == 1
        and 'profile = "sample"' in folded[0].source
        and 'profile = "test"' in folded[0].source
    )
    html = [
        output.data["text/html"]
        for cell in staged.cells
        for output in cell.get("outputs", [])
        if "data" in output
    ]
    assert (
        'data-figure="01_clip_vs_laclip-1"' in html[0]
        and "&lt;b&gt;not&lt;/b&gt; a real model &amp; not" in html[0]
    )
    site = tmp_path / "book" / "book" / "site"
    assert {path.name for path in (site / "figures").iterdir()} == {
        *(f"01_clip_vs_laclip-1{part}.js" for part in ("", "-z1", "-z2", "-z3", "-z4", "-z5")),
        "01_clip_vs_laclip-2.js",
        "02_neuron_pruning-1.js",
        *(f"03_misalignment-{number}.js" for number in range(1, 8)),
    }
    assert (site / "plotly.min.js").stat().st_size > 1e6 and (
        site / "tex-svg.js"
    ).stat().st_size > 1e6
    made = (tmp_path / "book" / "book" / "how_it_was_made.md").read_text()
    assert (
        "| `steps/embed.ipynb` | 2026-01-02 03:04:05 | 1.5 |" in made
        and "| `profile` | `test` |" in made
    )
    assert "| torch | 2" in made and "<!--" not in made


def test_saved_errors_and_cells_that_never_ran_are_refused(results, change, tmp_path):
    def spoil(notebook):
        notebook.cells[4].outputs = [
            nbformat.v4.new_output(
                "error", ename="ZeroDivisionError", evalue="by zero", traceback=[]
            )
        ]
        notebook.cells[5].execution_count = None
        notebook.cells[3].execution_count = None  # live only: need not run

    change(spoil)
    with pytest.raises(
        ValueError,
        match=r"02_neuron_pruning.ipynb cannot .*cell 4 .*ZeroDivisionError: by zero; cell 5 never ran$",
    ):
        stage_book.stage(results, tmp_path / "book")


def test_a_chapter_that_was_not_run_is_named(results, tmp_path):
    (results / "notebooks" / f"{CHAPTERS[2]}.ipynb").unlink()
    with pytest.raises(FileNotFoundError, match="lacks .*notebooks/03_misalignment"):
        stage_book.stage(results, tmp_path / "book")


def test_a_chapter_left_out_of_the_run_becomes_a_page_that_says_so(results, tmp_path):
    (results / "notebooks" / f"{CHAPTERS[2]}.ipynb").unlink()
    stage_book.stage(
        results, tmp_path / "book", run=[name for name in CHAPTERS if name != CHAPTERS[2]]
    )
    absent = nbformat.read(tmp_path / "book" / "notebooks" / f"{CHAPTERS[2]}.ipynb", as_version=4)
    assert (
        absent.cells[0].source.startswith("# Experiment 3")
        and "not part of this run" in absent.cells[1].source
    )
    assert len(absent.cells) == 2


@pytest.mark.parametrize("code", [0, 1])
def test_only_a_good_build_replaces_the_last_book(results, monkeypatch, code):
    (results / "book").mkdir()
    (results / "book" / "last").write_text("the last book")
    done = subprocess.CompletedProcess([], code, stdout="WARNING: a page without a title")
    monkeypatch.setattr(stage_book.subprocess, "run", lambda *_, **__: done)
    if code:
        with pytest.raises(RuntimeError, match="WARNING: a page without a title"):
            stage_book.build(results)
    else:
        assert stage_book.build(results) == results / "book" / "_build" / "html" / "index.html"
    assert (results / "book" / "last").exists() == bool(code)
    assert not (results / "book.old").exists()


def test_table_of_contents_names_pages_that_exist():
    import yaml

    names = list(stage_book.chapters(yaml.safe_load((ROOT / "_toc.yml").read_text())))
    assert len(names) == len(set(names)) > 8
    prose = {f"book/{path.stem}" for path in (ROOT / "book").glob("*.md")}
    assert {name for name in names if name.startswith("book/")} == prose


def test_the_page_holds_no_address_of_another_host():
    for path in (ROOT / "book" / "site").iterdir():
        text = path.read_text().replace("http://www.w3.org/2000/svg", "")
        assert "http://" not in text and "https://" not in text, path.name
