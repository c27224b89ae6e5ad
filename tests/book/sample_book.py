"""Small executed notebooks, as papermill leaves them, with all that the staging has to deal with.

Whatever a user's data can bring (captions, classes, names of models and data sets) is `HOSTILE` in
some place: the pages have to show it as text.
"""

import json
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import plotly.graph_objects as go
import sample_atlas
from checkout import ROOT
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from PIL import Image
from plotly.subplots import make_subplots

from featpurity.report import tables, wording
from featpurity.report.display import PLOTLY_MIME

CHAPTERS = sorted(path.stem for path in (ROOT / "notebooks").glob("[0-9]*.ipynb"))
BETTER = "Better captions raise accuracy."
ABSENT, ATLAS = CHAPTERS[5], "11_neurons"
RUN = [name for name in CHAPTERS if name != ABSENT]
CAPTION = "Cosines between neurons; <b>not</b> a real model & not measured."
HOSTILE = (
    """<img src="https://elsewhere.example/x.png" onerror="alert('1')"><b>b</b>"""
    """<script>alert(2)</script> *{x}* `y` | <a href="javascript:alert(3)">z</a>"""
)


def symmetric_matrix(seed=0, d=512, width=400):
    """A cosine matrix of random neurons, float32."""
    neurons = np.random.default_rng(seed).normal(size=(d, width))
    neurons /= np.linalg.norm(neurons, axis=1, keepdims=True)
    cosines = (neurons @ neurons.T).astype(np.float32)
    np.fill_diagonal(cosines, 0)
    return cosines


CALLS = ("matrices", "gains", "pictures")  # of a notebook's figures


def finished(figure, height=440):
    return figure.update_layout(
        template="plotly_white", height=height, meta={"caption": CAPTION}, margin={"t": 70}
    )


def menu(figure, labels):
    """A menu of traces, one at a time."""
    buttons = [
        {
            "label": label,
            "method": "update",
            "args": [{"visible": [i == j for j in range(len(labels))]}],
        }
        for i, label in enumerate(labels)
    ]
    for i, trace in enumerate(figure.data):
        trace.visible = i == 0
    return figure.update_layout(updatemenus=[{"buttons": buttons}])


def heatmaps(n=6):
    """Matrices of 512 neurons, one at a time."""
    labels = [f"model {i}" for i in range(n)]
    figure = go.Figure(
        [
            go.Heatmap(
                z=symmetric_matrix(i),
                zmin=-0.2,
                zmax=0.2,
                colorscale="RdBu_r",
                name=label,
                colorbar={"title": "cosine"},
                hovertemplate="neurons %{x} and %{y}: %{z:.3f}<extra></extra>",
            )
            for i, label in enumerate(labels)
        ]
    )
    figure.update_xaxes(title="neuron").update_yaxes(title="neuron", scaleanchor="x")
    return finished(menu(figure, labels), 560)


def curves():
    """Lines with a slider and a menu made of buttons."""
    kept = np.arange(1, 513)
    figure = go.Figure(
        [go.Scatter(x=kept, y=np.log(kept) / s, name=n) for s, n in ((7, "high"), (9, "low"))]
    )
    steps = [
        {"label": str(width), "method": "restyle", "args": [{"line.width": width}]}
        for width in (1, 2, 4)
    ]
    buttons = [
        {"label": name, "method": "relayout", "args": [{"yaxis.type": name}]}
        for name in ("linear", "log")
    ]
    figure.update_layout(
        sliders=[{"steps": steps, "active": 1, "currentvalue": {"prefix": "line width: "}}],
        updatemenus=[{"type": "buttons", "name": "Axis", "buttons": buttons}],
    )
    figure.update_xaxes(title="neurons kept").update_yaxes(title="accuracy")
    return finished(figure)


def bars():
    """Bars with intervals, and a menu of two measures."""
    figure = go.Figure(
        [
            go.Bar(
                x=["shape", "colour", HOSTILE],
                y=values,
                name=name,
                error_y={"array": [0.1, 0.1, 0.1], "arrayminus": [0.05, 0.05, 0.05]},
            )
            for name, values in (("accuracy", [0.25, 0.5, 0.75]), (HOSTILE, [0.1, 0.9, 0.2]))
        ]
    )
    return finished(menu(figure, ["accuracy", HOSTILE]))


def effects():
    """Points with intervals, one row each, whose labels are long."""
    labels = ["the first row, of some length", HOSTILE]
    error = {"array": [0.05, 0.05]}
    points = go.Scatter(x=[0.1, -0.02], y=labels, error_x=error, mode="markers", text=labels)
    return finished(go.Figure(points).update_xaxes(title="difference (share of images)"))


def panels():
    """Two panels of lines with bands."""
    figure = make_subplots(rows=1, cols=2, subplot_titles=["average |cos|", HOSTILE])
    for column in (1, 2):
        place = {"row": 1, "col": column}
        band = {"fill": "toself", "line": {"width": 0}, "hoverinfo": "skip", "showlegend": False}
        figure.add_scatter(x=[0, 1, 1, 0], y=[1, 2, 3, 2], **band, **place)
        figure.add_scatter(x=[0, 1], y=[1.5, 2.5], mode="lines+markers", name="mean", **place)
    return finished(figure.update_xaxes(title="misalignment ratio"))


def pictures():
    """A grid of pictures with a title each."""
    titles = [f"a picture of thing {i}" for i in range(7)] + [HOSTILE]
    figure = make_subplots(rows=2, cols=4, subplot_titles=titles)
    for i in range(8):
        noise = np.asarray(Image.effect_noise((64, 64), 40 + 10 * i).convert("RGB"))
        figure.add_image(z=noise, row=i // 4 + 1, col=i % 4 + 1, hoverinfo="skip")
    return finished(figure.update_xaxes(visible=False).update_yaxes(visible=False))


def shown(figure):
    """A figure as a notebook stores it: JSON only."""
    return new_output("display_data", data={PLOTLY_MIME: json.loads(figure.to_json())})


def result(mime, text):
    return new_output("execute_result", data={mime: text, "text/plain": "x"})


ANSWER = wording.Answer(f"{HOSTILE} is purer by 12 %", "Only the chapter says this")
FRAME = pd.DataFrame(
    {
        "dataset": ["shape", "Colour", "size", "texture"],
        "images": ["1,000", "900", "10,000", "NaN"],
        "effect": ["+0.1 (-0.1 to +0.3)", "-0.2 (-0.3 to -0.1)", "1e-05 (0 to 1)", "not run"],
    }
)
INDEXED = FRAME.assign(kind=["a", "a", "b", "b"]).set_index(["kind", "dataset"])
TABLES = [
    FRAME.to_html(),
    FRAME.set_index("dataset").to_html(),  # two rows of headers
    INDEXED.rename_axis([None, None]).to_html(),  # one again, and rows that share a cell
    pd.DataFrame({"statement": [HOSTILE]}).style.hide(axis="index").to_html(),  # escapes nothing
    tables.show(
        pd.DataFrame({"row": range(20), "word": HOSTILE}).assign(
            picture=[tables.Picture(Image.new("RGB", (8, 8)), f"{HOSTILE} {i}") for i in range(20)]
        )
    )._repr_html_(),
]
WIDGET = new_output(
    "display_data",
    data={
        "application/vnd.jupyter.widget-view+json": {"model_id": "x"},
        "text/plain": "IntSlider()",
    },
)


def notebook(title, *figures, html=()):
    cells = [
        new_markdown_cell(
            f"# {title}\n\nA question, with mathematics: $C = V V^\\top$.\n\n## Measure"
        ),
        new_code_cell('profile = "sample"', metadata={"tags": ["parameters"]}),
        new_code_cell('profile = "test"', metadata={"tags": ["injected-parameters"]}),
        new_code_cell("answer", outputs=[result("text/html", ANSWER._repr_html_())]),
        new_markdown_cell("## Look at one neuron (live)"),
        new_code_cell("slider()", metadata={"tags": ["live-only"]}, outputs=[WIDGET]),
        new_markdown_cell("## Results"),
        new_code_cell("import nothing"),
        new_code_cell(
            "measure()",
            outputs=[
                new_output("stream", name="stderr", text="100%|####| 3/3\n"),
                new_output("stream", name="stdout", text=f"measured {HOSTILE}\n"),
                WIDGET,
            ],
        ),
        *(
            new_code_cell(f"show.{call}(x)", outputs=[shown(figure)])
            for call, figure in zip(CALLS, figures)
        ),
        *(new_code_cell("table", outputs=[result("text/html", one)]) for one in [*html, *TABLES]),
        new_code_cell("said", outputs=[result("text/markdown", f"**In this run** {HOSTILE}")]),
        new_markdown_cell("## What this shows, and what it does not\n\nNothing: it is a sample."),
    ]
    for number, cell in enumerate(cells):
        if cell.cell_type == "code":
            cell.execution_count = number
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    made = new_notebook(cells=cells, metadata={"kernelspec": kernel})
    made.metadata["widgets"] = {"application/vnd.jupyter.widget-state+json": {"state": {}}}
    made.metadata["papermill"] = {
        "duration": 1.5,
        "start_time": "2026-01-02T03:04:05.678",
        "parameters": {
            "clip_models": [HOSTILE],
            "laclip_models": ["scenes_laclip"],
            "datasets": ["scenes_shape", HOSTILE],
            "pairs": "scenes",
            "data_root": "/somebody/s/disk/photos",
        },
    }
    return made


def claims():
    """Judged effects, as chapter 7 leaves them."""
    rows = [
        (1, BETTER, HOSTILE, 0.124, 0.121, 0.128, "holds", "+7.3"),
        (1, BETTER, "other", -0.2, -0.3, -0.1, "does not hold", "+7.3"),
        (2, f"Pure neurons {HOSTILE}", "one", 0.0, -0.1, 0.1, "undecided", HOSTILE),
        (3, "Never measured", "one", None, None, None, "not measured", "12"),
        (8, "Its own basis is purer.", "one", 0.1, -0.1, 0.3, "undecided", "not asked"),
    ]
    names = "experiment statement comparison effect low high verdict published".split()
    made = pd.DataFrame(rows, columns=names).assign(unit="accuracy (share of images)")
    about = {1: "accuracy_laclip", 2: "pruning_area", 3: "misalignment_text", 8: "own_basis_image"}
    return made.assign(claim=made.experiment.map(about))


def write_results(results):
    """Executed chapters, one step and tables below a folder of results; chapter 6 was left out."""
    results = Path(results)
    folder = results / "notebooks"
    (folder / "steps").mkdir(parents=True)
    (results / "tables").mkdir()
    figures = {
        CHAPTERS[0]: [heatmaps(), bars()],
        CHAPTERS[1]: [curves()],
        CHAPTERS[2]: [effects(), panels(), pictures()],
    }
    figures[ATLAS], markup = sample_atlas.parts(HOSTILE)
    for name in RUN:
        title = "A sample of " + name[3:].replace("_", " ")
        made = notebook(title, *figures.get(name, []), html=markup if name == ATLAS else ())
        nbformat.write(made, folder / f"{name}.ipynb")
    nbformat.write(notebook("A step"), folder / "steps" / "embed.ipynb")
    claims().to_csv(results / "tables" / "claims.csv", index=False)
    return results
