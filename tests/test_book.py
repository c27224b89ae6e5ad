"""Every built page in a real browser, over http and from a disk: nothing fetched elsewhere, no error, figures that answer.

Two books are read: one of small sample notebooks, whose contents are known, and the demo profile's, which the workflow
brings up to date first (minutes in a fresh clone, seconds afterwards).
"""

import os
import shutil
import subprocess
import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

import numpy as np
import pytest
import sample_book
from sample_book import ROOT

pytestmark = pytest.mark.slow
HEAVIEST_PAGE = 3e6  # bytes of its own, beside what all pages share
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
).split()
DRAW_ALL = """async () => {
  for (const host of document.querySelectorAll("figure.featpurity-figure")) {
    host.scrollIntoView();
    for (let wait = 0; wait < 600 && !host.dataset.state; wait++) await new Promise((r) => setTimeout(r, 50));
  }
  return [...document.querySelectorAll("figure.featpurity-figure")].map((host) => ({
    name: host.dataset.figure, state: host.dataset.state, drawn: !!host.querySelector(".js-plotly-plot svg.main-svg") }));
}"""
# Choose every entry of each menu, the first one last, and see whether what is drawn changes.
TRY_MENUS = """async () => {
  const unmoved = [];
  for (const select of document.querySelectorAll("figure.featpurity-figure select")) {
    const plot = select.closest("figure").querySelector(".plot"), n = select.options.length;
    for (let i = 1; i <= n; i++) {
      const before = plot.querySelector("svg.main-svg").outerHTML;
      select.selectedIndex = i % n;
      select.dispatchEvent(new Event("change"));
      let wait = 0;
      while (plot.querySelector("svg.main-svg").outerHTML === before && wait++ < 200) await new Promise((r) => setTimeout(r, 50));
      if (plot.querySelector("svg.main-svg").outerHTML === before)
        unmoved.push(`${select.closest("figure").dataset.figure}, ${select.options[i % n].text}`);
    }
  }
  return unmoved;
}"""


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    path = next(
        filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
    )
    if path is None:
        pytest.skip("no Chromium on this machine: install chromium to test the built pages")
    with playwright.sync_playwright() as running:
        chromium = running.chromium.launch(executable_path=path, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    results = sample_book.write_results(tmp_path_factory.mktemp("sample") / "results")
    subprocess.run([sys.executable, ROOT / "workflow" / "stage_book.py", results], check=True)
    return results / "book" / "_build" / "html"


@pytest.fixture(scope="module")
def demo():
    """The demo profile's book; FEATPURITY_BOOK names another book's html folder."""
    if "FEATPURITY_BOOK" in os.environ:
        return Path(os.environ["FEATPURITY_BOOK"]).resolve()
    subprocess.run(
        [Path(sys.executable).with_name("snakemake"), "--config", "profile=demo"],
        check=True,
        cwd=ROOT,
    )
    return ROOT / "results" / "demo" / "book" / "_build" / "html"


class QuietServer(ThreadingHTTPServer):
    def handle_error(self, *_):
        """A page that was closed while it read something: nothing to say."""


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture
def address(request):
    """`address(scheme, book)`: where a book is read from; a server runs as long as the test."""
    servers = []

    def serve(scheme, book):
        if scheme == "file":
            return book.as_uri()
        server = QuietServer(("127.0.0.1", 0), partial(QuietHandler, directory=book))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}"

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


class Visit:
    """A page opened with every other address blocked, and what it asked for and complained about."""

    def __init__(self, context, base, book, name):
        self.base, self.book, self.faults, self.files = base, book, [], set()
        self.page = context.new_page()
        self.page.on(
            "console", lambda message: message.type == "error" and self.faults.append(message.text)
        )
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.on(
            "requestfailed", lambda failed: self.faults.append(f"not loaded: {failed.url}")
        )
        self.page.on(
            "response",
            lambda answer: (
                answer.status >= 400 and self.faults.append(f"{answer.status} {answer.url}")
            ),
        )
        self.page.route("**/*", self.admit)
        self.page.goto(f"{base}/{name}")

    def admit(self, route):
        url = route.request.url
        if url.startswith(self.base + "/"):
            self.files.add(self.book / unquote(urlsplit(url[len(self.base) + 1 :]).path))
        elif not url.startswith(("data:", "blob:")):
            self.faults.append(f"asks another host: {url}")
            return route.abort()
        route.continue_()

    def own_weight(self):
        """Bytes of the page, its images and its figures; not of the site's scripts, styles and fonts."""
        shared = self.book / "_static"
        own = [
            file
            for file in self.files
            if shared not in file.parents or file.parent.name == "figures"
        ]
        return sum(file.stat().st_size for file in own if file.is_file())


def pages(book):
    named = (path.relative_to(book).as_posix() for path in sorted(book.rglob("*.html")))
    return [name for name in named if not name.startswith("_static/")]


@pytest.mark.parametrize("scheme", ["http", "file"])
@pytest.mark.parametrize("which", ["sample", "demo"])
def test_every_page_reads_and_answers_offline(browser, request, address, which, scheme):
    book = request.getfixturevalue(which)
    base, faults, figures = address(scheme, book), [], 0
    for name in pages(book):
        context = browser.new_context(viewport={"width": 1200, "height": 900})
        visit = Visit(context, base, book, name)
        if name == "index.html":
            visit.page.wait_for_url("**/introduction.html")
        drawn = visit.page.evaluate(DRAW_ALL)
        figures += len(drawn)
        faults += [f"{name}: {fault}" for fault in visit.faults]
        faults += [
            f"{name}: {figure['name']} was not drawn"
            for figure in drawn
            if figure["state"] != "drawn" or not figure["drawn"]
        ]
        faults += [
            f"{name}: the menu of {figure} changes nothing"
            for figure in visit.page.evaluate(TRY_MENUS)
        ]
        if visit.own_weight() > HEAVIEST_PAGE:
            faults.append(f"{name} weighs {visit.own_weight():,} bytes of its own")
        context.close()
    assert not faults, "\n".join(faults)
    assert len(pages(book)) >= 12 and figures >= 3


@pytest.mark.parametrize("which", ["sample", "demo"])
def test_pages_fit_a_phone(browser, request, address, which):
    book = request.getfixturevalue(which)
    base, faults = address("file", book), []
    for name in pages(book):
        if name == "index.html":
            continue
        context = browser.new_context(viewport={"width": 390, "height": 800}, color_scheme="dark")
        visit = Visit(context, base, book, name)
        visit.page.evaluate(DRAW_ALL)
        width = visit.page.evaluate("document.documentElement.scrollWidth")
        if width > 390:
            faults.append(f"{name} is {width} pixels wide")
        context.close()
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize("scheme", ["http", "file"])
def test_search_finds_pages(browser, sample, address, scheme):
    visit = Visit(
        browser.new_context(), address(scheme, sample), sample, "search.html?q=orthogonal"
    )
    found = visit.page.locator("#search-results a", has_text="What purity is")
    found.first.wait_for()
    assert not visit.faults
    visit.page.context.close()


@pytest.fixture
def heatmap_page(browser, sample, address):
    context = browser.new_context(color_scheme="light", viewport={"width": 1200, "height": 900})
    page = Visit(context, address("http", sample), sample, "notebooks/01_clip_vs_laclip.html").page
    page.evaluate(DRAW_ALL)
    yield page
    context.close()


def test_browser_reads_the_packed_matrices(heatmap_page):
    for index in (0, 5):
        heatmap_page.get_by_role("combobox").first.select_option(index=index)
        heatmap_page.wait_for_function(
            f"document.querySelector('.js-plotly-plot').data[{index}].visible === true"
        )
        values = heatmap_page.evaluate(
            f"document.querySelector('.js-plotly-plot').data[{index}].z.map((row) => [...row])"
        )
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


def test_slider_and_buttons_answer(browser, sample, address):
    page = Visit(
        browser.new_context(), address("http", sample), sample, "notebooks/02_neuron_pruning.html"
    ).page
    page.evaluate(DRAW_ALL)
    slider = page.get_by_role("slider")
    assert slider.get_attribute("aria-valuetext") == "2"
    slider.press("ArrowRight")
    page.wait_for_function("document.querySelector('.js-plotly-plot').data[0].line.width === 4")
    page.get_by_role("button", name="log", exact=True).click()
    page.wait_for_function("document.querySelector('.js-plotly-plot').layout.yaxis.type === 'log'")
    page.context.close()


@pytest.mark.parametrize("scheme", ["http", "file"])
def test_tables_sort_by_the_column_whose_header_is_pressed(browser, sample, address, scheme):
    visit = Visit(
        browser.new_context(),
        address(scheme, sample),
        sample,
        "notebooks/04_data_quality_ladder.html",
    )
    tables = visit.page.locator("table.dataframe")
    assert [tables.nth(i).get_by_role("button").count() for i in range(tables.count())] == [
        4,
        0,
        0,
        2,
    ]
    table, original = tables.first, [0, 1, 2, 3]

    def shown():
        sorts = table.locator("thead th").evaluate_all(
            "heads => heads.map((head) => head.ariaSort)"
        )
        return [int(label) for label in table.locator("tbody th").all_text_contents()], sorts

    assert shown() == (original, [None] * 4)
    table.get_by_role(
        "button", name="images"
    ).click()  # numbers with commas; what is none stays below
    assert shown() == ([1, 0, 2, 3], [None, None, "ascending", None])
    table.get_by_role("button", name="images").click()
    assert shown() == ([2, 0, 1, 3], [None, None, "descending", None])
    table.get_by_role("button", name="images").click()
    assert shown() == (original, [None] * 4)
    table.get_by_role("button", name="effect").press(
        "Enter"
    )  # numbers with an interval behind them
    assert shown() == ([1, 2, 0, 3], [None, None, None, "ascending"])
    table.get_by_role("button", name="dataset").press("Space")  # words
    assert shown() == ([1, 0, 2, 3], [None, "ascending", None, None])
    table.get_by_role("button", name="row").click()
    assert shown() == (original, ["ascending", None, None, None])
    assert not visit.faults
    visit.page.context.close()


def test_figures_follow_the_dark_switch(heatmap_page):
    look = """() => { const plot = document.querySelector(".js-plotly-plot");
        return [getComputedStyle(plot.querySelector(".xtick text")).fill, JSON.stringify(plot.data[0].colorscale[5] ?? plot.data[0].colorscale[2])]; }"""
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
