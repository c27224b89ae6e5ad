"""The live panels in a real JupyterLab: drawn, they answer, say errors in place, offer no upload."""

import importlib.util

import pytest
from lab_server import WHOLE, jupyterlab, run_in_lab

from featpurity.data.scenes import render

FIGURE = """
from featpurity.report import style
import plotly.graph_objects as go
style.finish(go.Figure(go.Scatter(y=[1, 2])), "A line that goes up.")
"""
DATA = """
from featpurity import embed_images, explore, load_dataset, load_model
from featpurity.features.extract import embed_classes
clip = load_model("scenes_clip", device="cpu")
data = load_dataset("folder:pictures")
images, _ = embed_images(clip, data, progress=False)
rows = embed_classes(clip, data.classes, ["a {}"], progress=False)
"""
PANELS = [
    "explore.heatmap(clip)",
    "explore.misalignment({('random', 0.0): clip, ('random', 0.8): clip})",
    "explore.pruning(clip, images, rows, data)",
    "explore.neuron(clip, images, data, shown=2)",
    "explore.zero_shot(clip, data.classes, 'a {}', data[0][0])",
]


@pytest.fixture
def lab(browser, tmp_path):
    """A page of JupyterLab in which a notebook of all panels has been run."""
    for i, name in enumerate(["circle", "square"] * 3):
        (tmp_path / "pictures" / name).mkdir(parents=True, exist_ok=True)
        render([0, i, 6, 0, 1, 4]).save(tmp_path / "pictures" / name / f"{i}.png")
    with jupyterlab(tmp_path) as address:
        page = browser.new_page(viewport=WHOLE)
        run_in_lab(page, address, tmp_path, [FIGURE, DATA, *PANELS])
        page.get_by_label("classes").wait_for()
        yield page
        page.close()


@pytest.mark.slow
@pytest.mark.skipif(not importlib.util.find_spec("jupyterlab"), reason="needs the extra `lab`")
def test_panels_live_in_jupyterlab(lab):
    cells = lab.locator(".jp-Notebook .jp-CodeCell")
    matrix, ratios, kept, neuron, scores = (cells.nth(i) for i in range(2, 7))
    scores.get_by_text("Best:").wait_for()
    for drawn in (cells.nth(0), matrix, ratios, neuron, scores):
        drawn.locator(".js-plotly-plot").first.wait_for()
    assert lab.get_by_text("A line that goes up.", exact=True).is_visible()
    assert lab.locator('[data-title*="Share"], [data-title*="cloud" i]').count() == 0
    assert lab.locator('[data-mime-type="application/vnd.jupyter.stderr"]').count() == 0
    assert lab.locator(".progress-bar-danger").count() == 0  # of bars that did not reach their end

    matrix.get_by_label("tower").select_option("text")
    matrix.get_by_text("text tower").first.wait_for()
    ratios.get_by_label("tower").select_option("text")
    ratios.get_by_text("text tower").first.wait_for()
    kept.get_by_label("strategy").select_option("low_purity")
    kept.get_by_text("128 of 128 neurons, accuracy").wait_for()
    neuron.get_by_label("neuron", exact=True).fill("5")
    neuron.get_by_label("neuron", exact=True).press("Enter")
    neuron.get_by_text("Neuron 5, rank").wait_for()
    assert neuron.locator("img").count() == 4

    classes = scores.get_by_label("classes")
    classes.fill("one")
    classes.press("Enter")
    scores.get_by_text("expected two class names or more, got 1").wait_for()
    classes.fill("circle, ring")
    classes.press("Enter")
    scores.get_by_text("against ring").or_(scores.get_by_text("against circle")).wait_for()
    scores.get_by_text("expected two class names").wait_for(state="hidden")
