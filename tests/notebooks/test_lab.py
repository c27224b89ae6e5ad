"""A live panel in a real JupyterLab: it is drawn, answers, says errors in place, offers no upload."""

import importlib.util
import os
import shutil
import subprocess
import sys
from contextlib import contextmanager

import nbformat
import pytest
from checkout import ROOT

sync_api = pytest.importorskip("playwright.sync_api")

BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
FIGURE = """
from featpurity.report import style
import plotly.graph_objects as go
style.finish(go.Figure(go.Scatter(y=[1, 2])), "A line that goes up.")
"""
PANEL = """
from featpurity import explore, load_model
from PIL import Image
clip = load_model("scenes_clip", device="cpu")
explore.zero_shot(clip, ["circle", "square"], "a {}", Image.new("RGB", (64, 64)))
"""


@contextmanager
def jupyterlab(folder):
    """The address of a JupyterLab that serves a folder and lets a page call its commands."""
    options = ["--no-browser", "--allow-root", "--port=0", "--IdentityProvider.token="]
    command = [sys.executable, "-m", "jupyterlab", *options, "--LabApp.expose_app_in_browser=True"]
    places = {"PYTHONPATH": str(ROOT), "JUPYTER_CONFIG_DIR": str(folder / "config")}
    server = subprocess.Popen(
        [*command, str(folder)], env=os.environ | places, stderr=subprocess.PIPE, text=True
    )
    log = folder / "server.log"
    try:
        address = next(
            line.split()[-1] for line in server.stderr if "/lab" in line and "http" in line
        )
        with log.open("w") as rest:  # what nobody reads would fill the pipe and stop the server
            drain = subprocess.Popen(["cat"], stdin=server.stderr, stdout=rest)
            yield address.split("/lab")[0]
    finally:
        server.terminate()
        server.wait(30)
        drain.wait(30)


@pytest.mark.slow
@pytest.mark.skipif(not importlib.util.find_spec("jupyterlab"), reason="needs the extra `lab`")
@pytest.mark.skipif(not BROWSER, reason="needs Chromium or Chrome")
def test_a_panel_lives_in_jupyterlab(tmp_path):
    cells = [nbformat.v4.new_code_cell(source) for source in (FIGURE, PANEL)]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}  # else a dialog asks
    notebook = nbformat.v4.new_notebook(cells=cells, metadata=kernel)
    nbformat.write(notebook, tmp_path / "live.ipynb")
    with jupyterlab(tmp_path) as address, sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1400, "height": 2500})
        page.set_default_timeout(60_000)
        page.goto(f"{address}/lab/tree/live.ipynb")
        page.wait_for_function(
            "window.jupyterapp?.shell.currentWidget?.sessionContext?.session?.kernel"
        )
        page.evaluate("jupyterapp.commands.execute('notebook:run-all-cells')")
        classes = page.get_by_label("classes")
        classes.wait_for()
        page.get_by_text("Best:").wait_for()
        page.locator(".js-plotly-plot").nth(1).wait_for()
        assert page.get_by_text("A line that goes up.", exact=True).is_visible()
        assert page.locator('[data-title*="Share"], [data-title*="cloud" i]').count() == 0
        assert page.locator('[data-mime-type="application/vnd.jupyter.stderr"]').count() == 0

        classes.fill("one")
        classes.press("Enter")
        page.get_by_text("expected two class names or more, got 1").wait_for()
        classes.fill("circle, ring")
        classes.press("Enter")
        page.get_by_text("against ring").or_(page.get_by_text("against circle")).wait_for()
        page.get_by_text("expected two class names").wait_for(state="hidden")
        browser.close()
