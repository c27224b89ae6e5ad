"""How a figure leaves Python: no upload, two forms, labels as text."""

import json
import re
import subprocess
import sys

import plotly.graph_objects as go
import plotly.io
import pytest
from bs4 import BeautifulSoup

from featpurity.report import display

FIGURE = go.Figure(go.Scatter(y=[1, 2], name="a line"), layout={"meta": {"caption": "A line."}})
OTHERS = go.Figure(go.Scatter(y=[1, 2], name="<b>a line</b>"))


@pytest.fixture
def renderers():
    before = plotly.io.renderers.default
    display.offline()
    yield plotly.io.renderers
    plotly.io.renderers.default = before


@pytest.mark.parametrize("name", ["notebook", "colab", "vscode", "iframe"])
def test_no_renderer_offers_to_upload_a_chart_of_ours(renderers, name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # where plotly writes a page for an iframe

    def offers(figure):
        bundle = renderers._build_mime_bundle(figure.to_dict(), name)
        pages = [page.read_text() for page in tmp_path.rglob("*.html")]
        return re.findall(r'showSendToCloud\\?": (\w+)', "".join([json.dumps(bundle), *pages]))

    assert offers(OTHERS) == [] and set(offers(FIGURE)) == {"false"}


def test_a_figure_of_others_is_shown_as_plotly_shows_it(renderers):
    before = renderers["jupyterlab"].config
    renderers.default = "plotly_mimetype"
    bundle = OTHERS._repr_mimebundle_(config={"scrollZoom": True})
    assert list(bundle) == [display.PLOTLY_MIME]
    assert bundle[display.PLOTLY_MIME]["data"][0]["name"] == "<b>a line</b>"
    assert bundle[display.PLOTLY_MIME]["config"]["scrollZoom"] is True
    assert renderers["jupyterlab"].config == before == {}


def test_a_notebook_keeps_json_and_html_and_the_script_once(renderers):
    renderers.default = "plotly_mimetype"
    first, second = (FIGURE._repr_mimebundle_() for _ in range(2))
    assert first[display.PLOTLY_MIME]["config"]["showSendToCloud"] is False
    assert first[display.PLOTLY_MIME]["data"][0]["name"] == "a line"
    assert len(first["text/html"]) > 1e6 > 1e5 > len(second["text/html"])
    for bundle in (first, second):
        assert '"showSendToCloud": false' in bundle["text/html"]
        scripts = BeautifulSoup(bundle["text/html"], "html.parser").find_all("script")
        assert scripts and not any(script.has_attr("src") for script in scripts)


def test_importing_the_figures_is_enough():
    code = """
import featpurity.report.figures, plotly.graph_objects as go, plotly.io
from plotly.io import _base_renderers
_base_renderers.open_html_in_browser = lambda page, *_: print('"showSendToCloud": false' in page)
for meta in ({"caption": "Ours."}, None):
    go.Figure(go.Scatter(y=[1, 2]), layout={"meta": meta}).show("browser")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "False"]


def test_labels_are_text_but_may_break_into_lines():
    word = '<b>bold</b> <a href="https://elsewhere.example">link</a>'
    figure = go.Figure(
        go.Scatter(
            x=[word],
            y=[1],
            name=word,
            customdata=[[word]],
            hovertemplate="%{x}<br>one<extra></extra>",
        )
    )
    safe = display.as_text(json.loads(figure.to_json()))["data"][0]
    shown = '&lt;b>bold&lt;/b> &lt;a href="https://elsewhere.example">link&lt;/a>'
    assert safe["x"] == [shown] and safe["name"] == shown and safe["customdata"] == [[shown]]
    assert safe["hovertemplate"] == "%{x}<br>one<extra></extra>"


def test_a_notebook_shows_the_caption_and_the_book_takes_it_out_again(renderers):
    caption = "What is seen. " * 12
    figure = go.Figure(FIGURE).update_layout(meta={"caption": caption}, height=300)
    figure.update_layout(margin={"b": 50})
    shown = renderers._build_mime_bundle(figure.to_dict(), "plotly_mimetype")
    layout = shown[display.PLOTLY_MIME]["layout"]
    assert layout["annotations"][-1]["text"].replace("<br>", " ") == caption.strip()
    assert layout["height"] > 300 and "What is seen." in shown["text/html"]
    book = display.without_caption(shown[display.PLOTLY_MIME])["layout"]
    assert book["annotations"] == [] and book["height"] == 300 and book["margin"]["b"] == 50
    assert book["meta"] == {"caption": caption}
