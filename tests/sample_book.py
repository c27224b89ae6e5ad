"""Small executed notebooks, as papermill leaves them, with everything that the staging has to deal with."""

import json
import shutil
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import plotly.graph_objects as go
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from PIL import Image

from featpurity.report import figures, style
from featpurity.report.curves import pruning_curves
from featpurity.report.heatmaps import cosine_histogram

ROOT = Path(__file__).resolve().parents[1]
CHAPTERS = (
    "01_clip_vs_laclip",
    "02_neuron_pruning",
    "03_misalignment",
    "04_data_quality_ladder",
    "05_caption_filter",
    "06_online_and_cached",
    "07_claims",
    "09_theory",
)
CAPTION = "Cosines between neurons; <b>not</b> a real model & not measured."


def symmetric_matrix(seed=0, d=512, width=400):
    """A cosine matrix of random neurons, float32."""
    neurons = np.random.default_rng(seed).normal(size=(d, width))
    neurons /= np.linalg.norm(neurons, axis=1, keepdims=True)
    cosines = (neurons @ neurons.T).astype(np.float32)
    np.fill_diagonal(cosines, 0)
    return cosines


def heatmaps(n=6):
    """Matrices one at a time, with a menu."""
    matrices = {f"model {i}": go.Heatmap(z=symmetric_matrix(i)) for i in range(n)}
    figure = go.Figure(list(matrices.values()))
    style.menu(figure, {name: {i} for i, name in enumerate(matrices)})
    figure.update_xaxes(title="neuron").update_yaxes(title="neuron")
    return style.finish(figure, CAPTION)


def curves():
    """Two panels with a slider and two menus, one of them made of buttons."""
    kept = np.arange(1, 513)
    figure = go.Figure(
        [
            go.Scatter(x=kept, y=np.log(kept) / scale, name=name)
            for scale, name in ((7, "high"), (9, "low"))
        ]
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
    figure.update_xaxes(title="neurons kept")
    return figure


def table():
    figure = go.Figure(
        go.Table(
            header={"values": ["data set", "accuracy"]}, cells={"values": [["a", "b"], [0.5, 0.25]]}
        )
    )
    return figure.update_layout(meta={"caption": "A table of two made-up rows."})


def other_plots():
    """The package's other figures, of made-up numbers."""
    random = np.random.default_rng(0)
    pairs = pd.MultiIndex.from_product(
        [["one", "two"], ["shape", "colour", "size"]], names=["model", "dataset"]
    )
    bars = pd.DataFrame({"accuracy": random.uniform(0.3, 0.9, 6)}, pairs).reset_index()
    bars["accuracy_low"], bars["accuracy_high"] = bars.accuracy - 0.05, bars.accuracy + 0.05
    for end in ("", "_low", "_high"):
        bars[f"silhouette{end}"] = bars[f"accuracy{end}"] / 3
    effects = pd.DataFrame(
        {"row": ["the first row, of some length", "second"], "effect": [0.1, -0.02]}
    )
    effects["low"], effects["high"] = effects.effect - 0.05, effects.effect + 0.05
    kept = np.arange(1, 101)
    curves = [
        pd.DataFrame(
            {
                "model": "one",
                "dataset": dataset,
                "strategy": strategy,
                "kept": kept,
                "accuracy": kept**0.5 / scale,
            }
        )
        for dataset in ("shape", "size")
        for strategy, scale in (("high_purity", 11), ("low_purity", 13), ("random", 12))
    ]
    curves = pd.concat(
        [
            *curves,
            pd.DataFrame(
                {
                    "model": "one",
                    "dataset": ["shape", "size"],
                    "strategy": "full",
                    "kept": 100,
                    "accuracy": 0.9,
                }
            ),
        ]
    )
    curves["accuracy_low"], curves["accuracy_high"] = curves.accuracy - 0.03, curves.accuracy + 0.03
    runs = pd.DataFrame(
        [
            (kind, ratio, ratio / 5 + seed / 50)
            for kind in ("similarity", "random")
            for ratio in (0, 0.3, 0.8)
            for seed in range(3)
        ],
        columns=["kind", "ratio", "avg_abs_cos"],
    )
    runs["accuracy"], runs["silhouette"] = 1 - runs.avg_abs_cos, runs.avg_abs_cos / 2
    panels = {
        "avg_abs_cos": "average |cos|",
        "accuracy": "accuracy (share of images)",
        "silhouette": "cosine silhouette",
    }
    points = runs.assign(
        name="a model",
        tower=[f"{tower} tower" for tower in ("image", "text")] * 9,
        data=runs.ratio.astype(str),
        accuracy_low=runs.accuracy - 0.02,
        accuracy_high=runs.accuracy + 0.02,
    )
    pictures = [Image.effect_noise((64, 64), 40 + 10 * i).convert("RGB") for i in range(8)]
    return [
        cosine_histogram(
            {"one": symmetric_matrix(0), "two": symmetric_matrix(1)}, {"one": 400}, CAPTION
        ),
        figures.bars_with_intervals(
            bars, {"accuracy": "accuracy", "silhouette": "silhouette"}, CAPTION
        ),
        figures.effects_with_intervals(effects, "row", "difference", CAPTION),
        pruning_curves(curves, "accuracy", "zero-shot accuracy", CAPTION),
        figures.lines_with_bands(runs, "ratio", panels, "kind", "misalignment ratio", CAPTION),
        figures.scatter_panels(
            points,
            "avg_abs_cos",
            "accuracy",
            "data",
            "kind",
            "tower",
            ("average |cos|", "accuracy"),
            CAPTION,
        ),
        figures.image_grid(pictures, [f"a picture of thing {i}" for i in range(8)], CAPTION),
    ]


def shown(figure):
    """A figure as a notebook stores it: JSON only."""
    return new_output(
        "display_data", data={"application/vnd.plotly.v1+json": json.loads(figure.to_json())}
    )


def notebook(title, *figures):
    widget = new_output(
        "display_data",
        data={
            "application/vnd.jupyter.widget-view+json": {"model_id": "x"},
            "text/plain": "IntSlider()",
        },
    )
    cells = [
        new_markdown_cell(
            f"# {title}\n\nA question, with mathematics: $C = V V^\\top$.\n\n## Measure"
        ),
        new_code_cell('profile = "sample"', metadata={"tags": ["parameters"]}),
        new_code_cell('profile = "test"', metadata={"tags": ["injected-parameters"]}),
        new_code_cell("slider()", metadata={"tags": ["live-only"]}, outputs=[widget]),
        new_code_cell(
            "measure()",
            outputs=[
                new_output("stream", name="stderr", text="100%|####| 3/3\n"),
                new_output("stream", name="stdout", text="measured\n"),
                widget,
            ],
        ),
        *(new_code_cell("show()", outputs=[shown(figure)]) for figure in figures),
        *(
            new_code_cell(
                "table",
                outputs=[new_output("execute_result", data={"text/html": html, "text/plain": "x"})],
            )
            for html in PANDAS
        ),
        new_code_cell(
            "table.style", outputs=[new_output("execute_result", data={"text/html": STYLED})]
        ),
        new_markdown_cell("## What this shows, and what it does not\n\nNothing: it is a sample."),
    ]
    for number, cell in enumerate(cells):
        if cell.cell_type == "code":
            cell.execution_count = number
    made = new_notebook(
        cells=cells,
        metadata={
            "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}
        },
    )
    made.metadata["widgets"] = {"application/vnd.jupyter.widget-state+json": {"state": {}}}
    made.metadata["papermill"] = {
        "duration": 1.5,
        "start_time": "2026-01-02T03:04:05.678",
        "parameters": {"profile": "test"},
    }
    return made


FRAME = pd.DataFrame(
    {
        "dataset": ["shape", "Colour", "size", "texture"],
        "images": ["1,000", "900", "10,000", "NaN"],
        "effect": ["+0.1 (-0.1 to +0.3)", "-0.2 (-0.3 to -0.1)", "1e-05 (0 to 1)", "not run"],
    }
)
INDEXED = FRAME.assign(kind=["a", "a", "b", "b"]).set_index(["kind", "dataset"])
PANDAS = [
    FRAME.to_html(),
    FRAME.set_index("dataset").to_html(),  # one row of headers, two
    INDEXED.rename_axis([None, None]).to_html(),
]  # one again, and rows that share a cell


STYLED = (
    pd.DataFrame({"statement": ["words " * 30], "verdict": ["undecided"]})
    .style.hide(axis="index")
    .to_html()
)


def write_results(results):
    """Executed chapters and one step below `results/notebooks`."""
    folder = Path(results) / "notebooks"
    (folder / "steps").mkdir(parents=True)
    figures = {
        CHAPTERS[0]: [heatmaps(), table()],
        CHAPTERS[1]: [curves()],
        CHAPTERS[2]: other_plots(),
    }
    for name in CHAPTERS:
        title = "A sample of " + name[3:].replace("_", " ")
        nbformat.write(notebook(title, *figures.get(name, [])), folder / f"{name}.ipynb")
    nbformat.write(notebook("A step"), folder / "steps" / "embed.ipynb")
    return Path(results)


def copy_book_source(target):
    """The repository's own book source, to be changed freely."""
    target.mkdir(parents=True)
    for name in ("_config.yml", "_toc.yml"):
        shutil.copy(ROOT / name, target)
    for name in ("book", "notebooks"):
        shutil.copytree(ROOT / name, target / name)
    return target
