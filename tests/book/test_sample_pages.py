"""The book of small sample notebooks, whose contents are known, in a real browser: what each part answers."""

import csv
import io
import json
import re

import numpy as np
import page_checks
import pytest
import sample_book
from finished_pages import broken_links
from page_checks import PHONE, WIDE
from PIL import Image
from plotly.subplots import make_subplots

pytestmark = pytest.mark.slow
FIRST = "notebooks/01_clip_vs_laclip.html"
CURVES = "notebooks/02_neuron_pruning.html"
PANELS = "notebooks/03_misalignment.html"
TABLES = "notebooks/04_data_quality_ladder.html"
ATLAS = "notebooks/11_neurons.html"


def markup_faults(visited):
    """Words of a user that became markup, with every part of the page open."""
    page = visited.page
    page.evaluate(
        "document.querySelectorAll('details').forEach((closed) => { closed.open = true; })"
    )
    foreign = page.locator(
        "a[href^='javascript'], :is([href], [src])[href*='elsewhere.example'], "
        "[src*='elsewhere.example']"
    )
    if foreign.count():
        yield "it has a link or a picture that somebody's words brought"
    told = page.url.endswith((FIRST, CURVES, PANELS, "book/introduction.html"))
    if told and "<script>alert(2)</script>" not in page.locator("body").inner_text():
        yield "it does not show the words as they are"
    yield from visited.faults


def test_every_page_of_the_run_is_whole_and_hostile_words_are_text(sample, visit, axe):
    names = page_checks.of_the_run(sample)
    assert len(names) >= 12
    more = [markup_faults]
    assert page_checks.visit_faults(sample, visit, axe, "wide-dark", names, more) == []


def test_links_inside_the_book_lead_somewhere(sample):
    assert list(broken_links(sample)) == []


def test_labels_of_figures_are_text(sample, visit):
    page = visit(sample, PANELS).page
    page.evaluate("scrollTo(0, 0)")
    page.locator("#figure-3-2").scroll_into_view_if_needed()
    page.wait_for_selector("#figure-3-2[data-state=drawn]")
    titles = page.locator("#figure-3-2 .annotation-text").all_text_contents()
    assert titles[1] == sample_book.HOSTILE
    assert page.locator("figure svg a").count() == 0


def test_search_from_a_chapter_finds_pages(sample, visit):
    visited = visit(sample, CURVES, "file")
    visited.page.locator(".search-button-field:visible, .search-button:visible").first.click()
    visited.page.keyboard.type("orthogonal")
    visited.page.keyboard.press("Enter")
    found = visited.page.locator("#search-results a", has_text="What purity is")
    found.first.wait_for()
    assert not visited.faults


@pytest.fixture
def heatmap_page(sample, visit):
    visited = visit(sample, FIRST, color_scheme="light", viewport={"width": 1200, "height": 900})
    visited.draw_all()
    return visited.page


def test_browser_reads_the_packed_matrices(heatmap_page):
    plot = "document.querySelector('.js-plotly-plot')"
    for index in (0, 5):
        heatmap_page.get_by_role("combobox").first.select_option(index=index)
        heatmap_page.wait_for_function(f"{plot}.data[{index}].visible === true")
        values = heatmap_page.evaluate(f"{plot}.data[{index}].z.map((row) => [...row])")
        expected = sample_book.symmetric_matrix(index)
        assert np.abs(np.array(values) - expected).max() < 8e-6


def test_menu_answers_the_keyboard(heatmap_page):
    visible = "document.querySelector('.js-plotly-plot').data.map((trace) => trace.visible)"
    assert heatmap_page.evaluate(visible) == [True] + [False] * 5
    select = heatmap_page.get_by_role("combobox").first
    select.focus()
    select.press("ArrowDown")
    heatmap_page.wait_for_function(f"{visible}[1] === true")
    assert heatmap_page.evaluate(visible) == [False, True] + [False] * 4


def test_arrow_keys_read_a_matrix(heatmap_page):
    plot = heatmap_page.locator(".js-plotly-plot").first
    plot.focus()
    for key in ["ArrowRight", "ArrowRight", "ArrowRight", "ArrowDown"]:  # row 1, column 2
        plot.press(key)
    said = f"neurons 2 and 1: {sample_book.symmetric_matrix(0)[1, 2]:.3f}"
    heatmap_page.locator("figure .said", has_text=said).first.wait_for()


@pytest.fixture
def curves_page(sample, visit):
    visited = visit(sample, CURVES, viewport=WIDE, accept_downloads=True)
    visited.draw_all()
    return visited.page


def test_slider_buttons_and_reset_answer(curves_page):
    plot = "document.querySelector('.js-plotly-plot')"
    slider = curves_page.get_by_role("slider")
    assert slider.get_attribute("aria-valuetext") == "2"
    slider.press("ArrowRight")
    curves_page.wait_for_function(f"{plot}.data[0].line.width === 4")
    curves_page.get_by_role("button", name="log", exact=True).click()
    curves_page.wait_for_function(f"{plot}.layout.yaxis.type === 'log'")
    whole = curves_page.evaluate(f"{plot}.layout.xaxis.range")
    curves_page.evaluate(f"Plotly.relayout({plot}, {{'xaxis.range': [5, 6]}})")
    curves_page.get_by_role("button", name="Reset").click()
    curves_page.wait_for_function(f"{plot}.data[0].line.width === 2")
    assert curves_page.evaluate(f"{plot}.layout.xaxis.range") == whole


def test_arrow_keys_read_the_values_that_the_table_has(curves_page):
    plot = curves_page.locator(".js-plotly-plot").first
    plot.focus()
    for key in ["ArrowDown", "ArrowUp", "ArrowRight", "ArrowRight"]:
        plot.press(key)
    said = curves_page.locator("figure .said").first
    curves_page.wait_for_function(
        "document.querySelector('figure .said').textContent.includes('high, (3')"
    )
    told = re.findall(r"\d[\d.]*", said.text_content())
    curves_page.locator("details.in-words > summary").first.click()
    row = curves_page.locator("details.in-words tbody tr", has_text="high").nth(2)
    row.wait_for()
    cells = row.locator("td").all_text_contents()
    assert cells[:2] == ["high", "3"] and float(cells[2]) == pytest.approx(np.log(3) / 7, abs=1e-6)
    assert told[0] == "3" and float(told[1]) == pytest.approx(float(cells[2]), rel=1e-3)


def test_the_legend_answers_the_keyboard(curves_page):
    plot = "document.querySelector('.js-plotly-plot')"
    entries = curves_page.get_by_role("switch")
    assert [entry.get_attribute("aria-label") for entry in entries.all()] == ["high", "low"]
    entries.first.focus()
    entries.first.press("ArrowRight")
    curves_page.keyboard.press("Enter")
    curves_page.wait_for_function(f"{plot}.data[1].visible === 'legendonly'")
    assert entries.nth(1).get_attribute("aria-checked") == "false"


def test_a_figure_is_saved_as_data_and_as_picture(curves_page, tmp_path):
    for kind in ("CSV", "PNG", "SVG"):
        with curves_page.expect_download() as download:
            curves_page.get_by_role("button", name=kind).first.click()
        download.value.save_as(tmp_path / kind)
        assert download.value.suggested_filename == f"02_neuron_pruning-1.{kind.lower()}"
    rows = list(csv.reader((tmp_path / "CSV").open()))
    assert rows[0] == ["shown", "neurons kept", "accuracy"] and len(rows) == 1 + 2 * 512
    assert float(rows[100][2]) == pytest.approx(np.log(100) / 7, rel=1e-5)
    assert Image.open(tmp_path / "PNG").size[0] > 1000
    assert (tmp_path / "SVG").read_text().startswith("<svg")


def test_the_table_of_a_figure_of_several_panels_names_them(sample, visit):
    visited = visit(sample, PANELS, viewport=WIDE)
    visited.draw_all()
    visited.page.locator("#figure-3-2 details.in-words > summary").click()
    rows = visited.page.locator("#figure-3-2 details.in-words tr")
    rows.nth(4).wait_for()
    told = [row.locator("th, td").all_text_contents() for row in rows.all()]
    assert told[:2] == [
        ["shown", "panel", "misalignment ratio", "value"],
        ["mean", "average |cos|", "0", "1.5"],
    ]
    assert told[3][:2] == ["mean", sample_book.HOSTILE]
    square = make_subplots(2, 2, subplot_titles=["A", "B", "C", "D"])
    for place in range(4):
        square.add_heatmap(z=[[place]], row=place // 2 + 1, col=place % 2 + 1)
    for axis in square.select_yaxes():  # as plotly makes square panels smaller
        low, high = axis.domain
        axis.domain = (low + 0.1, high - 0.1)
    square = json.loads(square.to_json())
    found = visited.page.evaluate("(plot) => featpurityData.table(plot).rows", square)
    assert [row[1:] for row in found] == [[n, "0", "0", str(i)] for i, n in enumerate("ABCD")]


def test_a_swipe_on_a_figure_scrolls_and_a_tap_tells_the_value(sample, visit):
    visited = visit(sample, CURVES, viewport=PHONE, has_touch=True, is_mobile=True)
    visited.draw_all()
    page, plot = visited.page, visited.page.locator(".js-plotly-plot").first
    plot.evaluate("(plot) => plot.scrollIntoView({ block: 'center' })")
    box, before = plot.bounding_box(), page.evaluate("scrollY")
    ranges = "document.querySelector('.js-plotly-plot').layout.yaxis.range"
    at_first, middle = page.evaluate(ranges), (box["x"] + 150, box["y"] + 220)
    finger = page.context.new_cdp_session(page)

    def touch(kind, *points):
        finger.send("Input.dispatchTouchEvent", {"type": f"touch{kind}", "touchPoints": points})

    touch("Start", {"x": middle[0], "y": middle[1]})
    for step in range(1, 11):
        touch("Move", {"x": middle[0], "y": middle[1] - 15 * step})
    touch("End")
    page.wait_for_function(f"scrollY > {before + 80}")
    assert page.evaluate(ranges) == at_first
    box = plot.bounding_box()
    page.touchscreen.tap(box["x"] + 150, box["y"] + 220)
    page.wait_for_selector(".hovertext, .hoverlayer .legend")


@pytest.mark.parametrize("media", ["print", "without JavaScript"])
def test_a_picture_of_each_figure_stands_on_paper_and_without_javascript(sample, visit, media):
    visited = visit(sample, PANELS, java_script_enabled=media == "print")
    page = visited.page
    if media == "print":
        page.emulate_media(media="print")
        assert page.locator("figure .controls:visible, figure .plot:visible").count() == 0
    stills = page.locator("figure img.still:visible")
    assert stills.count() == 3
    for still in stills.all():
        still.scroll_into_view_if_needed()
        source = (sample / "notebooks" / still.get_attribute("src")).resolve()
        assert Image.open(source).size[0] > 800
        if media == "print":
            still.evaluate("(image) => image.decode()")


def test_tables_sort_by_the_column_whose_header_is_pressed(sample, visit):
    visited = visit(sample, TABLES)
    tables = visited.page.locator("table.dataframe")
    assert [tables.nth(i).locator("th, td").locator("button").count() for i in range(4)] == [
        4,
        0,
        0,
        1,
    ]
    table, original = tables.first, [0, 1, 2, 3]

    def shown():
        sorts = table.locator("thead tr > *").evaluate_all(
            "heads => heads.map((head) => head.ariaSort)"
        )
        return [int(label) for label in table.locator("tbody th").all_text_contents()], sorts

    assert shown() == (original, [None] * 4)
    table.get_by_role("button", name="images").click()  # with commas; what is none stays below
    assert shown() == ([1, 0, 2, 3], [None, None, "ascending", None])
    table.get_by_role("button", name="images").click()
    assert shown() == ([2, 0, 1, 3], [None, None, "descending", None])
    table.get_by_role("button", name="images").click()
    assert shown() == (original, [None] * 4)
    table.get_by_role("button", name="effect").press("Enter")  # with an interval behind
    assert shown() == ([1, 2, 0, 3], [None, None, None, "ascending"])
    table.get_by_role("button", name="dataset").press("Space")  # words
    assert shown() == ([1, 0, 2, 3], [None, "ascending", None, None])
    table.get_by_role("button", name="row").click()
    assert shown() == (original, ["ascending", None, None, None])
    assert not visited.faults


def test_long_tables_are_folded_and_saved(sample, visit):
    page = visit(sample, TABLES, accept_downloads=True).page
    folded = page.locator("details", has_text="Table of 20 rows")
    assert not folded.locator("table").is_visible()
    folded.locator("summary").click()
    with page.expect_download() as download:
        folded.get_by_role("button", name="CSV").click()
    rows = list(csv.reader(download.value.path().open()))
    assert rows[0] == ["row", "word", "picture"]
    assert rows[20] == ["19", sample_book.HOSTILE, f"{sample_book.HOSTILE} 19"]


def test_no_text_of_a_saved_table_is_a_formula(sample, visit):
    page = visit(sample, TABLES).page
    rows = [
        ["=1+1", "+x", "@x", "-x"],
        ["-1.5", "+0.25", "-1e-5", ""],
        ["\tx", "a\rb", "\rx", "a,b"],
        ["+1.2 (+1.1 to +1.3) of average |cos|", "-1-cmd", "+1 cmd|'/C calc'!A0", "+1+1"],
    ]
    saved = page.evaluate(
        "rows => featpurityData.csv({ columns: ['a', 'b', 'c', 'd'], rows })", rows
    )
    _, formulas, numbers, *rest = csv.reader(io.StringIO(saved, newline=""))
    assert formulas == ["'=1+1", "'+x", "'@x", "'-x"] and numbers == rows[1]
    assert rest[0] == ["'\tx", "a\rb", "'\rx", "a,b"]
    assert rest[1] == [rows[3][0], "'-1-cmd", "'+1 cmd|'/C calc'!A0", "'+1+1"]


def test_the_verdict_is_on_a_phones_screen(sample, visit):
    page = visit(sample, "book/introduction.html", viewport=PHONE).page
    for verdict in page.locator("table.verdicts .verdict b").all():
        box = verdict.bounding_box()
        assert 0 <= box["x"] and box["x"] + box["width"] <= PHONE["width"]


def test_figures_follow_the_dark_switch(heatmap_page):
    look = """() => { const plot = document.querySelector(".js-plotly-plot");
        return [getComputedStyle(plot.querySelector(".xtick text")).fill,
          JSON.stringify(plot.data[0].colorscale[5] ?? plot.data[0].colorscale[2])]; }"""
    light, switch = (
        heatmap_page.evaluate(look),
        heatmap_page.locator(".theme-switch-button:visible").first,
    )
    for _ in range(3):  # the switch goes round light, dark and the system's choice
        switch.click()
        if heatmap_page.evaluate("document.documentElement.dataset.theme") == "dark":
            break
    heatmap_page.wait_for_function(f"({look})()[0] !== {light[0]!r}")
    heatmap_page.wait_for_function(f"({look})()[1] !== {light[1]!r}")
    visible = heatmap_page.evaluate(
        "document.querySelector('.js-plotly-plot').data.map((trace) => trace.visible)"
    )
    assert visible == [True] + [False] * 5


def test_a_shared_link_shows_a_title_a_sentence_and_a_picture(sample, visit):
    page = visit(sample, PANELS).page
    told = {
        tag.get_attribute("property"): tag.get_attribute("content")
        for tag in page.locator("meta[property^='og:']").all()
    }
    base = "https://book.example/purity/"
    assert told["og:title"] == "A sample of misalignment"
    assert told["og:image"] == f"{base}_static/pictures/03_misalignment-1.webp"
    assert told["og:url"] == f"{base}{PANELS}"
    assert len(page.locator("meta[name=description]").get_attribute("content")) > 20
    assert f"<loc>{base}{PANELS}</loc>" in (sample / "sitemap.xml").read_text()


def test_a_chapter_that_was_not_run_stands_apart(sample, visit):
    page = visit(sample, "notebooks/05_caption_filter.html").page
    assert "08_what" in page.locator("a.right-next").get_attribute("href")
    page = visit(sample, f"notebooks/{sample_book.ABSENT}.html").page
    assert page.locator("a.left-prev, a.right-next").count() == 0
    assert "not in this run" in page.locator("article").inner_text()
    assert (
        page.locator("article a.download")
        .get_attribute("href")
        .endswith(f"{sample_book.ABSENT}.ipynb")
    )
    page = visit(sample, "book/introduction.html").page
    assert page.locator(".sd-card.not-in-this-run").count() == 1


def test_a_card_of_a_chapter_says_its_answer(sample, visit):
    page = visit(sample, "book/introduction.html").page
    said = page.locator(".sd-card p.answer").all_inner_texts()
    told = f"In this run: {sample_book.ANSWER.result}.".replace(" %", "\u00a0%")
    assert said == [told] * len(sample_book.RUN)
    assert not page.locator(".sd-card.not-in-this-run p.answer").count()


@pytest.fixture
def atlas(sample, visit):
    """`atlas(part, **context)`: the page of the sample's atlas at an address, its figures drawn."""

    def opened(part="", **context):
        one = visit(sample, f"{ATLAS}{part}", **({"viewport": WIDE} | context))
        one.page.wait_for_selector(".one-neuron h3")
        return one

    return opened


def shown_neuron(page):
    return page.locator(".one-neuron h3").inner_text().removesuffix("#").strip()


def test_every_neuron_opens_by_its_address(atlas):
    page = atlas("#neuron-4").page
    assert shown_neuron(page) == "CLIP, neuron 4"
    page.evaluate("location.hash = '#neuron-2-laclip'")
    page.wait_for_function("document.querySelector('.one-neuron').id === 'neuron-2-laclip'")
    assert shown_neuron(page) == "LaCLIP, neuron 2"
    assert page.locator(".one-neuron").bounding_box()["y"] < WIDE["height"] / 2
    page.locator(".one-neuron li a", has_text="neuron 3").first.click()
    page.wait_for_function("document.querySelector('.one-neuron').id === 'neuron-3-laclip'")
    page.evaluate("location.hash = '#neuron-99'")
    wrong = "There is no neuron 99 on this page; neuron 3 of LaCLIP is shown."
    page.locator(".one-neuron .wrong", has_text=wrong).wait_for()
    assert page.url.endswith("#neuron-3-laclip")
    field = page.get_by_role("spinbutton", name="Neuron")
    field.fill("99")
    field.press("Enter")
    page.locator(".one-neuron .wrong", has_text="no neuron 99 of LaCLIP").wait_for()
    assert field.input_value() == "3" and shown_neuron(page) == "LaCLIP, neuron 3"
    page = atlas("#neuron-999").page
    page.locator(".one-neuron .wrong", has_text="There is no neuron 999").wait_for()
    assert shown_neuron(page) == "CLIP, neuron 0" and page.url.endswith("#neuron-0")


def test_the_atlas_answers_the_keyboard_and_says_what_its_table_says(atlas):
    one = atlas()
    page = one.page
    assert shown_neuron(page) == "CLIP, neuron 0" and "#" not in page.url
    page.get_by_role("slider", name="Rank by purity").press("ArrowRight")
    assert shown_neuron(page) == "CLIP, neuron 1" and page.url.endswith("#neuron-1")
    page.get_by_role("button", name="Less pure").press("Enter")
    assert shown_neuron(page) == "CLIP, neuron 2"
    page.get_by_label("Model").select_option("LaCLIP")
    assert shown_neuron(page) == "LaCLIP, neuron 2"
    page.get_by_role("spinbutton", name="Neuron").fill("5")
    page.keyboard.press("Enter")
    assert shown_neuron(page) == "LaCLIP, neuron 5"
    assert page.get_by_role("button", name="Less pure").is_disabled()
    said = page.locator(".one-neuron").inner_text()
    for words in ("Rank 6 of 6", "0.150", "neuron 0 (cosine −0.25)", "+2.50", sample_book.HOSTILE):
        assert words in said
    assert page.locator(".one-neuron .tile").count() == 4 and not one.faults


def test_pressing_a_point_of_the_map_opens_its_neuron(atlas):
    one = atlas()
    one.draw_all()
    page = one.page
    click = """(address) => { const plot = document.querySelector(".js-plotly-plot");
      plot.emit("plotly_click", { points: [{ customdata: address }] }); }"""
    page.evaluate(click, "neuron-3-laclip")
    assert shown_neuron(page) == "LaCLIP, neuron 3"


def test_pointing_at_a_picture_s_point_shows_it(atlas):
    one = atlas()
    one.draw_all()
    page, plot = one.page, one.page.locator(".js-plotly-plot").nth(1)
    plot.scroll_into_view_if_needed()
    plot.focus()
    plot.press("ArrowRight")  # the first point of the first class: picture 0
    tile = page.locator("figure .thumbnail .tile")
    tile.wait_for()
    place = tile.evaluate("(tile) => tile.style.backgroundPosition")
    assert place.replace("-", "") == "0px 0px"
    source = tile.evaluate("(tile) => getComputedStyle(tile).backgroundImage")
    assert source.startswith('url("data:image/webp') and not one.faults


def test_without_javascript_every_neuron_is_a_row_with_its_address(sample, visit):
    page = visit(sample, f"{ATLAS}#neuron-2-laclip", java_script_enabled=False).page
    assert page.locator("tr#neuron-2-laclip td").nth(2).inner_text() == "2"
    assert page.locator(".glance img").count() == 12
    assert page.locator(".neuron-atlas tr[id]").count() == 12
