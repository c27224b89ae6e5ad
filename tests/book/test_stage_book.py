"""The staging of the book: notebooks cleaned, faults refused, the last good book kept."""

import json
import subprocess

import data_page
import finished_pages
import front_page
import nbformat
import npm_file
import pandas as pd
import picture_files
import plotly_script
import pytest
import run_record
import safe_html
import sample_book
import stage_book
import static_pictures
import yaml
from bs4 import BeautifulSoup
from checkout import ROOT
from nbformat.v4 import new_code_cell, new_markdown_cell, new_output
from sample_book import ABSENT, CHAPTERS, HOSTILE, RUN
from staged_notebook import checks_folded, claims_of, fold_code, time_taken, without_live

from featpurity.report import results as results_of_runs


@pytest.fixture(autouse=True)
def without_npm(monkeypatch):
    monkeypatch.setattr(npm_file, "fetch", lambda *_: None)


@pytest.fixture
def results(tmp_path):
    return sample_book.write_results(tmp_path / "results")


@pytest.fixture
def staged(results, tmp_path):
    """The staged source folder of the sample."""
    stage_book.stage(results, tmp_path / "book", run=RUN)
    return tmp_path / "book"


def test_a_staged_notebook_shows_figures_and_nothing_that_needs_a_kernel(staged):
    page = nbformat.read(staged / "notebooks" / f"{CHAPTERS[0]}.ipynb", as_version=4)
    text = json.dumps(page)
    assert "widget" not in text and "stderr" not in text and "slider()" not in text
    assert "vnd.plotly" not in text and "measured " in text
    assert "one neuron (live)" not in text  # a heading above nothing
    code = [cell for cell in page.cells if cell.cell_type == "code"]
    assert all("hide-input" in cell.metadata.tags for cell in code)
    assert code[1].source == "import nothing\n\nmeasure()"
    assert 'profile = "sample"' in code[-1].source and 'profile = "test"' in code[-1].source
    assert 'data-figure=\\"01_clip_vs_laclip-1\\"' in text and "Figure 1.2." in text
    site = staged / "book" / "site"
    assert {path.name for path in (site / "figures").iterdir()} == {
        *(f"01_clip_vs_laclip-1{part}.js" for part in ("", *(f"-later{i}" for i in range(1, 6)))),
        "01_clip_vs_laclip-2.js",
        "02_neuron_pruning-1.js",
        *(f"03_misalignment-{number}.js" for number in (1, 2, 3)),
        *(f"11_neurons-{number}.js" for number in (1, 2)),
    }
    assert (site / "plotly.min.js").stat().st_size > 1e6
    own = nbformat.read(site / "notebooks" / f"{CHAPTERS[0]}.ipynb", as_version=4)
    assert own == nbformat.read(ROOT / "notebooks" / f"{CHAPTERS[0]}.ipynb", as_version=4)


def test_the_run_is_told_on_its_pages(staged):
    made = (staged / "book" / "how_it_was_made.md").read_text()
    page = BeautifulSoup(made, "html.parser")
    rows = [[cell.get_text() for cell in row.find_all("td")] for row in page.find_all("tr")]
    assert ["steps/embed.ipynb", "2026-01-02 03:04:05", "1.5"] in rows
    assert ["profile", "results"] in rows and ["data_root", "photos"] in rows
    assert ["clip_models", HOSTILE] in rows
    assert "/somebody" not in made
    for path in (staged / "book").glob("*.md"):
        assert "<!--" not in path.read_text(), path.name
    shown = (staged / "book" / "data_and_models.md").read_text()
    assert "64 pixels a side" in shown and "probability 0.4" in shown
    assert shown.count("data:image/webp") == 6 and "Model card of scenes_laclip" in shown


def test_per_cent_signs_stay_with_their_numbers_where_they_are_read():
    page = BeautifulSoup("<p>a 95 % interval<!-- 5 % --></p><code>5 % 2</code>", "html.parser")
    finished_pages.keep_together(page)
    assert str(page) == "<p>a 95\u00a0% interval<!-- 5 % --></p><code>5 % 2</code>"


def test_pages_say_where_nobody_knows_that_a_pair_differs_in_captions_alone(results):
    run = run_record.read(results, RUN)
    assert "the first of a pair, called CLIP" in data_page.models(run)
    assert "Of each pair the pages call the first" in front_page.this_run(run)
    run.settings.update(clip_models=["scenes_clip"], laclip_models=["laclip:cc12m_laclip"])
    assert "Of each pair the pages call the first" in front_page.this_run(run)
    run.settings.update(laclip_models=["scenes_laclip"])
    assert "CLIP: read the raw captions" in data_page.models(run)
    assert "Of each pair" not in front_page.this_run(run)


def test_labels_that_were_chosen_stand_as_they_are(results):
    run = run_record.read(results, RUN)
    run.settings.update(clip_models=["ViT-B/32 old"], laclip_models=["b & co"], datasets=["a/b"])
    run.settings["labels"] = {name: name for name in ("ViT-B/32 old", "b & co", "a/b")}
    page = BeautifulSoup(front_page.this_run(run), "html.parser")
    bold = [name.get_text() for name in page.find_all("b")]
    assert {"ViT-B/32 old", "b & co", "a/b"} <= set(bold)
    models = BeautifulSoup(data_page.models(run), "html.parser").get_text("|")
    assert "ViT-B/32 old" in models and "b & co" in models
    claims = results / "tables/claims.csv"
    pd.read_csv(claims).assign(comparison="b & co minus ViT-B/32 old").to_csv(claims, index=False)
    assert set(front_page.read_claims(run).comparison) == {"b & co minus ViT-B/32 old"}


def test_the_models_table_says_what_their_cards_say_of_the_training(results):
    run = run_record.read(results, RUN)
    run.settings.update(clip_models=["scenes_clip"], laclip_models=["scenes_laclip", "other"])
    page = BeautifulSoup(data_page.models(run), "html.parser")
    rows = [[cell.get_text() for cell in row.select("th, td")] for row in page.table.select("tr")]
    assert rows[0][2:] == ["training pictures", "captions read in training", "epochs"]
    assert rows[1][2:] == ["30,000", "One raw caption a picture", "16"]
    assert rows[2][3].startswith("One of a raw and 4 rewritten captions") and rows[2][4] == "16"
    assert rows[3][2:] == ["", "", ""]


def test_the_classes_of_generated_pictures_are_named_once(results):
    table = results / "tables" / "01_accuracy_silhouette.csv"
    table.write_text("dataset,images,classes\nscenes_shape,5000,16\nscenes_size,5000,3\n")
    shown = data_page.pictures(run_record.read(results, RUN))
    assert shown.count("circle, ring") == 1 and "5,000" in shown


def test_the_first_page_tells_verdicts_once_a_claim(results):
    run = run_record.read(results, RUN)
    page = BeautifulSoup(
        front_page.verdicts(run, {"accuracy_laclip": "x.html#claim"}), "html.parser"
    )
    rows = page.table.select("tbody tr")
    assert len(rows) == 2  # a claim that nothing measured is not among them
    further = page.select_one("details")
    assert further.summary.get_text().endswith(": 1") and len(further.select("tbody tr")) == 1
    cells = [cell.get_text(" ", strip=True) for cell in rows[0].find_all("td")]
    assert cells[0] == "Better captions raise accuracy." and cells[2] == "+7.3"
    assert "✔ holds +12.4 (+12.1 to +12.8)" in cells[1]
    assert "✘ does not hold -20.0 (-30.0 to -10.0) other: points of accuracy" in cells[1]
    assert rows[0].a["href"] == "x.html#claim" and rows[1].a is None
    assert HOSTILE in rows[1].get_text()
    assert page.th.find_next("th").get_text().endswith("positive when the claim is true")
    strip = BeautifulSoup(front_page.strip(run), "html.parser")
    lines = [line.get_text(" ", strip=True) for line in strip.select(".strip")]
    assert lines[0] == "Better captions: ✔ ✘ holds, does not hold: higher accuracy"
    assert lines[1].startswith(
        "Keeping the purest neurons instead of the least pure: ? undecided: "
    )
    assert lines[2:] == ["1 effect of questions beyond the paper: 1 is undecided"]
    assert [chip["class"][1] for chip in strip.select(".count")] == ["light-undecided"] * 3
    marks = strip.select_one(".marks").get_text()
    assert marks == "✔ holds · ✘ does not hold · ≈ within chance · ? undecided"


def test_the_first_page_of_a_run_without_claims_says_so(results):
    (results / front_page.CLAIMS_TABLE).unlink()
    run = run_record.read(results, RUN)
    assert front_page.strip(run) == "<p>This run judged no claims.</p>"
    assert front_page.verdicts(run, {}) == ""


def test_a_claim_leads_to_what_shows_its_answer(staged):
    page = nbformat.read(staged / "notebooks" / f"{CHAPTERS[0]}.ipynb", as_version=4)
    shown = [
        out.data["text/html"] for c in page.cells for out in c.get("outputs", []) if "data" in out
    ]
    (marked,) = [html for html in shown if 'id="claim-accuracy_laclip"' in html]
    assert 'id="figure-1-2"' in marked and 'id="claim-silhouette_laclip"' in marked
    first = BeautifulSoup((staged / "book" / "introduction.md").read_text(), "html.parser")
    links = [link["href"] for link in first.select("table.verdicts a")]
    assert links == ["../notebooks/01_clip_vs_laclip.html#claim-accuracy_laclip"]


def test_what_shows_the_answer_to_a_claim_stands_once_in_its_chapter():
    claims = results_of_runs.load_claims()
    found = []
    for name in CHAPTERS:
        notebook = nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", as_version=4)
        for cell in notebook.cells:
            if cell.cell_type == "code":
                found += claims_of(cell.source, name)
    assert sorted(found) == sorted(claim["id"] for claim in claims)


def test_the_time_of_the_run_stands_for_the_time_that_a_chapter_takes():
    for name in CHAPTERS:
        notebook = nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", as_version=4)
        text = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
        told = time_taken(text, 61.4)
        assert told.count("**Took** 61 seconds in this run.") == 1 and "**Takes**" not in told
    assert "**Took** 5 minutes in this run. Then" in time_taken("**Takes** long. Then", 299)


def test_a_heading_over_folded_code_alone_becomes_the_line_that_opens_it():
    cells = [
        new_markdown_cell("## Check and save"),
        new_code_cell("a"),
        new_code_cell("b"),
        new_markdown_cell("## Shown"),
        new_code_cell("c", outputs=[new_output("stream", text="x")]),
        new_markdown_cell("## Told\n\nWith words."),
        new_code_cell("d"),
        new_markdown_cell("## The end"),
    ]
    page = fold_code(checks_folded(cells))
    assert [cell.source for cell in page if cell.cell_type == "markdown"] == [
        "## Shown",
        "## Told\n\nWith words.",
        "## The end",
    ]
    assert page[0].source == "a\n\nb"
    assert page[0].metadata.mystnb.code_prompt_show == "Check and save: show the code"


def test_the_headline_is_the_tagged_figure_else_a_matrix():
    figures = {
        "01_a-1": json.loads(sample_book.bars().to_json()),
        "01_a-2": json.loads(sample_book.heatmaps(1).to_json()),
        "03_c-1": json.loads(sample_book.curves().to_json()),
    }
    assert 'data-figure="01_a-2"' in front_page.headline(figures, [])
    tagged = front_page.headline(figures, ["03_c-1"])
    assert 'data-figure="03_c-1"' in tagged and "../notebooks/03_c.html#figure-3-1" in tagged
    assert front_page.headline({}, []) == ""


def test_code_that_shows_nothing_joins_the_code_behind_it():
    output = [new_output("stream", text="x")]
    cells = [
        new_code_cell("b"),
        new_code_cell("c", outputs=output),
        new_code_cell("d"),
        new_markdown_cell("words"),
        new_code_cell("e"),
        new_code_cell("a = 1", metadata={"tags": ["parameters"]}),
    ]
    assert [cell.source for cell in fold_code(cells)] == ["b\n\nc", "d", "words", "e", "a = 1"]


def test_a_heading_above_live_cells_alone_goes_with_them():
    live = new_code_cell("panel()", metadata={"tags": ["live-only"]})
    cells = [new_markdown_cell("## Live"), live, new_markdown_cell("## Next"), new_code_cell("x")]
    assert [cell.source for cell in without_live(cells)] == ["## Next", "x"]
    cells = [new_markdown_cell("## Both"), live, new_code_cell("x")]
    assert [cell.source for cell in without_live(cells)] == ["## Both", "x"]


@pytest.mark.parametrize(
    "given, kept",
    [
        ("<p onclick='a()'>x</p>", "<p>x</p>"),
        ("<script>alert(1)</script>x", "x"),
        ("<style>p {}</style>x<form><input></form>", "x"),
        ('<a href="javascript:alert(1)">x</a>', "<a>x</a>"),
        ('<a href=" data:text/html,x">x</a>', "<a>x</a>"),
        ('<div data-figure="../../x">x</div>', "<div>x</div>"),
        ('<a href="07_claims.ipynb#a">x</a>', '<a href="07_claims.html#a">x</a>'),
        ('<img src="https://elsewhere.example/x.png">', '<img alt=""/>'),
        ('<img src="x" onerror="alert(1)" alt="w">', '<img alt="w"/>'),
        (
            '<span style="background: url(//x); width: 3px">x</span>',
            '<span style="width:3px">x</span>',
        ),
        ("<svg onload=alert(1)></svg><iframe src=x></iframe>x", "x"),
        (
            '<div data-neuron="7" class="c" id="i">x</div>',
            '<div data-neuron="7" class="c" id="i">x</div>',
        ),
    ],
)
def test_html_that_runs_is_taken_out(given, kept):
    assert safe_html.clean(given) == kept


def test_html_in_markdown_is_text_and_tables_are_marked():
    assert "&lt;img src=x&gt;" in safe_html.markdown("**said** <img src=x>")
    table = safe_html.clean(
        f"<table><thead><tr><th></th></tr></thead>{'<tr><td>1</td></tr>' * 13}</table>"
    )
    assert table.startswith("<details><summary>Table of 13 rows</summary><table")
    assert 'class="dataframe"' in table and "<th>" not in table


def spoilt(results, edit):
    """Change the executed chapter 2."""
    path = results / "notebooks" / f"{CHAPTERS[1]}.ipynb"
    notebook = nbformat.read(path, as_version=4)
    edit(notebook.cells)
    nbformat.write(notebook, path)


def test_saved_errors_and_cells_that_never_ran_are_refused(results, tmp_path):
    def edit(cells):
        error = {"ename": "ZeroDivisionError", "evalue": "by zero", "traceback": []}
        cells[7].outputs = [new_output("error", **error)]
        cells[8].execution_count = None
        cells[4].execution_count = None  # live only: need not run

    spoilt(results, edit)
    told = "02_neuron_pruning.ipynb cannot .*cell 7 .*ZeroDivisionError: by zero; cell 8 never ran$"
    with pytest.raises(ValueError, match=told):
        stage_book.stage(results, tmp_path / "book", run=RUN)


def test_a_chapter_that_was_not_run_is_named(results, tmp_path):
    with pytest.raises(FileNotFoundError, match="lacks .*notebooks/06_online_and_cached"):
        stage_book.stage(results, tmp_path / "book")


def test_a_chapter_left_out_of_the_run_stands_last_and_says_so(staged):
    absent = nbformat.read(staged / "notebooks" / f"{ABSENT}.ipynb", as_version=4)
    text = "\n".join(cell.source for cell in absent.cells)
    assert text.startswith("# ") and "not in this run" in text
    assert "`make book PROFILE=photos` runs it" in text and f"{ABSENT}.ipynb" in text
    shown = text.partition("## What it would show")[2]
    assert "## " not in shown and "**How it is done**\n: Online, every ratio" in shown
    last = yaml.safe_load((staged / "_toc.yml").read_text())["parts"][-1]
    assert last["caption"] == "Not in this run"
    assert [entry["file"] for entry in last["chapters"]] == [f"notebooks/{ABSENT}"]


@pytest.mark.parametrize("code", [0, 1])
def test_only_a_good_build_replaces_the_last_book(results, monkeypatch, code):
    (results / "book").mkdir()
    (results / "book" / "last").write_text("the last book")
    done = subprocess.CompletedProcess([], code, stdout="WARNING: a page without a title")
    monkeypatch.setattr(stage_book.subprocess, "run", lambda *_, **__: done)
    if code:
        with pytest.raises(RuntimeError, match="WARNING: a page without a title"):
            stage_book.build(results, run=RUN)
    else:
        index = results / "book" / "_build" / "html" / "index.html"
        assert stage_book.build(results, run=RUN) == index
    assert (results / "book" / "last").exists() == bool(code)
    assert not (results / "book.old").exists()


def test_without_a_browser_there_are_no_pictures_and_a_word(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(static_pictures, "BROWSERS", ())
    (tmp_path / "a.html").write_text('<figure data-figure="x"></figure>')
    assert static_pictures.add(tmp_path) == []
    assert "no Chromium" in capsys.readouterr().out


def test_the_small_script_serves_flat_figures_the_whole_one_others(monkeypatch, capsys, tmp_path):
    flat, deep = {"data": [{"type": "bar"}, {}]}, {"data": [{"type": "scatter3d"}]}
    assert plotly_script.script_for([flat]) == plotly_script.WHOLE
    assert "npm did not bring" in capsys.readouterr().out
    small = tmp_path / "small.js"
    monkeypatch.setattr(npm_file, "fetch", lambda *_: small)
    assert plotly_script.script_for([flat]) == small
    assert plotly_script.script_for([flat, deep]) == plotly_script.WHOLE


def test_plotly_s_function_gets_parentheses_and_nothing_else_changes():
    script = plotly_script.WHOLE.read_text("utf-8")
    early = plotly_script.compiled_early(script)
    assert len(early) == len(script) + 2 and early.rstrip().endswith("})));")
    assert "this, (() => {\n" in early
    assert plotly_script.compiled_early("another form") == "another form"


PAGE = """<html><head><script src="s/fontawesome.js?x"></script><script src="tex-svg.js"></script>
</head><body><article><h1>Title#</h1><p>{words}</p>
<span class="math">\\({formula}\\)</span></article></body></html>"""


@pytest.mark.parametrize(
    "formula, left", [("a_1^2", 0), (r"\\begin{aligned} a &= b \\end{aligned}", 1)]
)
def test_formulas_become_mathml_and_only_what_is_left_needs_mathjax(tmp_path, formula, left):
    page = tmp_path / "page.html"
    page.write_text(
        PAGE.format(
            words="A sentence that is long enough to tell what it is about.", formula=formula
        )
    )
    finished_pages.finish(tmp_path, "Book", "https://book.example/")
    made = BeautifulSoup(page.read_text(), "html.parser")
    assert [tag["src"] for tag in made.find_all("script")] == ["tex-svg.js"] * left
    assert len(made.find_all("math")) == 1 - left
    assert made.find("meta", attrs={"property": "og:title"})["content"] == "Title"
    assert "https://book.example/page.html" in (tmp_path / "sitemap.xml").read_text()


@pytest.mark.parametrize(
    "results, left", [("", []), ('<div id="search-results"></div>', ["searchindex.js"])]
)
def test_only_the_page_of_what_was_found_loads_what_searches(tmp_path, results, left):
    page = tmp_path / "page.html"
    page.write_text(f'<html><head><script src="searchindex.js"></script></head><body>{results}')
    finished_pages.finish(tmp_path, "Book")
    made = BeautifulSoup(page.read_text(), "html.parser")
    assert [tag["src"] for tag in made.find_all("script")] == left


def test_broken_links_are_found(tmp_path):
    (tmp_path / "a.html").write_text(
        '<a href="b.html#there">x</a><a href="b.html#not">y</a><a href="c.html">z</a>'
    )
    (tmp_path / "b.html").write_text('<p id="there">x</p><a href="https://elsewhere.example">w</a>')
    assert list(finished_pages.broken_links(tmp_path)) == [
        ("a.html", "b.html#not"),
        ("a.html", "c.html"),
    ]


def test_table_of_contents_names_pages_that_exist():
    names = list(stage_book.chapters(yaml.safe_load((ROOT / "_toc.yml").read_text())))
    assert len(names) == len(set(names)) > 8
    prose = {f"book/{path.stem}" for path in (ROOT / "book").glob("*.md")}
    assert {name for name in names if name.startswith("book/")} == prose


def test_a_chapter_is_called_the_same_on_its_page_in_the_contents_and_on_its_card():
    parts = yaml.safe_load((ROOT / "_toc.yml").read_text())["parts"]
    titled = [entry for part in parts for entry in part["chapters"] if "title" in entry]
    cards = (ROOT / "book" / "introduction.md").read_text()
    for entry in titled:
        page = nbformat.read(ROOT / f"{entry['file']}.ipynb", as_version=4)
        assert page.cells[0].source.splitlines()[0] == f"# {entry['title']}"
        assert f"{{grid-item-card}} {entry['title']}\n" in cards
    assert len(titled) == len(CHAPTERS)


def test_the_page_holds_no_address_of_another_host():
    for path in (ROOT / "book" / "site").iterdir():
        text = path.read_text().replace("http://www.w3.org/2000/svg", "")
        assert "http://" not in text and "https://" not in text, path.name


def test_large_pictures_become_files_each_once_and_small_ones_stay(tmp_path):
    picture = "data:image/webp;base64," + "QUJD" * 4000
    small, broken = "data:image/png;base64,QUJD", "data:image/png;base64," + "A" * 9001
    html = "".join(f'<img src="{address}">' for address in (picture, small, picture, broken))
    moved = picture_files.move(f"{html}<p>{picture}</p>", tmp_path, "../files")
    (file,) = tmp_path.iterdir()
    assert file.read_bytes() == b"ABC" * 4000 and file.suffix == ".webp"
    assert moved.count(f'src="../files/{file.name}"') == 2
    assert small in moved and broken in moved and f"<p>{picture}</p>" in moved
