"""Turn executed notebooks into the offline book: `python workflow/stage_book.py results/demo`.

1. `stage` copies the prose, the table of contents and the executed notebooks into a source folder
of its own. On the
   way it refuses saved errors (Sphinx would print them as if nothing had happened), takes out what
   only a live kernel can answer, and moves each plotly figure into a small file beside the page
   (`book_figures`).
2. `build` runs `jupyter-book build -W --keep-going -n` on it.
Both happen in `book.new`; only a build without a warning takes the place of `book`, so a failure
leaves the last book.
"""

import argparse
import importlib.metadata
import itertools
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import plotly
import yaml
from book_figures import PLOTLY_MIME, figure_html, figure_scripts

ROOT = Path(__file__).resolve().parents[1]
WIDGET_MIME = "application/vnd.jupyter.widget-view+json"
LIVE_ONLY = "live-only"
NOT_RUN = """```{note}
This chapter is not part of this run, so there is nothing to show: the setting `chapters` of its
profile leaves it out.
```"""
SHOWN_PACKAGES = (
    "torch",
    "torchvision",
    "open_clip_torch",
    "scikit-learn",
    "pandas",
    "plotly",
    "papermill",
    "snakemake",
    "jupyter-book",
)


def saved_faults(notebook):
    """Sentences on what went wrong while the notebook ran: saved errors and cells that never ran."""
    for number, cell in enumerate(notebook.cells):
        if cell.cell_type != "code" or LIVE_ONLY in cell.metadata.get("tags", []):
            continue
        for output in cell.outputs:
            if output.output_type == "error":
                yield f"cell {number} stopped with {output.ename}: {output.evalue}"
        if cell.source.strip() and cell.execution_count is None:
            yield f"cell {number} never ran"


def fold_settings(cells):
    """Make one folded cell of a notebook's own settings and those that papermill put behind them."""
    tagged = {
        tag: cell
        for cell in cells
        for tag in cell.metadata.get("tags", [])
        if tag.endswith("parameters")
    }
    own, run = tagged.get("parameters"), tagged.get("injected-parameters")
    if own and run:
        own.source += f"\n\n# Of this run:\n{run.source.removeprefix('# Parameters').strip()}"
        cells = [cell for cell in cells if cell is not run]
    for cell in filter(None, (own, run)):
        cell.metadata["tags"].append("hide-input")
        cell.metadata["mystnb"] = {"code_prompt_show": "Settings of this run"}
    return cells


def shown_outputs(cell, scripts, names):
    """The outputs of a cell that a static page can show; each plotly figure takes a name and goes
    to `scripts`.
    """
    for output in cell.outputs:
        data = output.get("data", {})
        if output.get("name") == "stderr" or WIDGET_MIME in data:
            continue
        if PLOTLY_MIME in data:
            name = next(names)
            scripts |= figure_scripts(name, data[PLOTLY_MIME])
            output.data = nbformat.from_dict({"text/html": figure_html(name, data[PLOTLY_MIME])})
        elif (
            "text/html" in data
        ):  # pandas' styled tables lack the class by which the page knows a table
            output.data["text/html"] = data["text/html"].replace(
                '<table id="T_', '<table class="dataframe" id="T_'
            )
        yield output


def stage_notebook(path, target, figures_folder):
    """Write one executed notebook as the book shows it, and its figures.

    Raises
    ------
    ValueError
        When the notebook holds saved errors or cells that never ran; the message names each.
    """
    notebook = nbformat.read(path, as_version=4)
    faults = list(saved_faults(notebook))
    if faults:
        raise ValueError(f"{path} cannot become a page: " + "; ".join(faults))
    kept = [cell for cell in notebook.cells if LIVE_ONLY not in cell.metadata.get("tags", [])]
    notebook.cells = fold_settings(kept)
    notebook.metadata.pop("widgets", None)
    scripts, names = {}, (f"{path.stem}-{number}" for number in itertools.count(1))
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = list(shown_outputs(cell, scripts, names))
    for name, script in scripts.items():
        (figures_folder / f"{name}.js").write_text(script, encoding="utf-8")
    nbformat.write(notebook, target)


def stage_absent(path, target):
    """Write a page for a chapter that this run left out: its question, and that it was not run.

    Pages that point to the chapter then lead somewhere in every book.
    """
    source = nbformat.read(path, as_version=4)
    page = nbformat.v4.new_notebook(cells=source.cells[:1], metadata=source.metadata)
    page.cells.append(nbformat.v4.new_markdown_cell(NOT_RUN))
    nbformat.write(page, target)


def chapters(node):
    """Every file that a table of contents names, in reading order."""
    if isinstance(node, dict):
        yield from (node[key] for key in ("root", "file") if key in node)
        for key in ("parts", "chapters", "sections"):
            yield from chapters(node.get(key, []))
    else:
        for entry in node:
            yield from chapters(entry)


def run_times(notebooks):
    """A Markdown table of how long papermill took for each notebook of the run, steps included."""
    rows = ["| notebook | started (UTC) | seconds |", "| --- | --- | ---: |"]
    for path in sorted(notebooks.rglob("*.ipynb")):
        record = nbformat.read(path, as_version=4).metadata.get("papermill", {})
        started, seconds = (
            str(record.get("start_time", ""))[:19].replace("T", " "),
            record.get("duration"),
        )
        rows.append(
            f"| `{path.relative_to(notebooks)}` | {started} | {f'{seconds:.1f}' if seconds else ''} |"
        )
    return "\n".join(rows)


def settings(notebooks):
    """A Markdown table of the settings that the chapters were run with."""
    found = {}
    for path in sorted(notebooks.glob("*.ipynb")):
        found |= (
            nbformat.read(path, as_version=4).metadata.get("papermill", {}).get("parameters", {})
        )
    return "\n".join(
        [
            "| setting | value |",
            "| --- | --- |",
            *(f"| `{key}` | `{found[key]}` |" for key in sorted(found)),
        ]
    )


def versions():
    """A Markdown table of the versions that this book was made with."""
    rows = ["| package | version |", "| --- | --- |", f"| Python | {platform.python_version()} |"]
    installed = {
        dist.name.lower(): dist.version for dist in importlib.metadata.distributions() if dist.name
    }
    for name in SHOWN_PACKAGES:
        rows.append(f"| {name} | {installed.get(name.lower(), 'not installed')} |")
    return "\n".join(rows)


def stage(results, target, root=ROOT, run=None):
    """Lay out the source folder of the book.

    Parameters
    ----------
    results : Path
        The folder of a profile; its `notebooks/` holds the executed notebooks.
    target : Path
        Written anew.
    root : Path
        The repository, with `_config.yml`, `_toc.yml`, `book/` and `notebooks/`.
    run : list of str, optional
        Chapters of this run; the others become pages that say so. All of `_toc.yml` by default.

    Raises
    ------
    FileNotFoundError
        When a notebook of the run was not executed.
    ValueError
        When a notebook holds saved errors.
    """
    toc = yaml.safe_load((root / "_toc.yml").read_text(encoding="utf-8"))
    wanted = [name for name in chapters(toc) if name.startswith("notebooks/")]
    shown = wanted if run is None else [name for name in wanted if Path(name).name in run]
    missing = [name for name in shown if not (results / f"{name}.ipynb").is_file()]
    if missing:
        raise FileNotFoundError(
            f"{results} lacks executed notebooks of _toc.yml: {', '.join(missing)}"
        )
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(root / "book", target / "book")
    for name in ("_config.yml", "_toc.yml"):
        shutil.copy(root / name, target / name)
    figures_folder = target / "book" / "site" / "figures"
    for folder in (figures_folder, target / "notebooks"):
        folder.mkdir()
    for name in wanted:
        if name in shown:
            stage_notebook(results / f"{name}.ipynb", target / f"{name}.ipynb", figures_folder)
        else:
            stage_absent(root / f"{name}.ipynb", target / f"{name}.ipynb")
    # Both scripts lie in installed packages, so they always fit and are never committed.
    shutil.copy(
        Path(plotly.__file__).parent / "package_data" / "plotly.min.js", figures_folder.parent
    )
    mathjax = next(
        file
        for file in importlib.metadata.files("sphinx-mathjax-offline")
        if file.name == "tex-svg.js"
    )
    shutil.copy(mathjax.locate(), figures_folder.parent)
    status = target / "book" / "how_it_was_made.md"
    text = status.read_text(encoding="utf-8").replace("<!-- versions -->", versions())
    text = text.replace("<!-- run times -->", run_times(results / "notebooks"))
    status.write_text(
        text.replace("<!-- settings -->", settings(results / "notebooks")), encoding="utf-8"
    )


def build(results, root=ROOT, run=None):
    """Stage and build the book of a profile; return the path of its first page.

    Raises
    ------
    RuntimeError
        When the build gives a warning or an error. The book that was there before stays.
    """
    fresh, book, old = (results / name for name in ("book.new", "book", "book.old"))
    stage(results, fresh, root, run)
    command = [
        sys.executable,
        "-c",
        "from jupyter_book.cli.main import main; main()",
        "build",
        "-W",
        "--keep-going",
        "-n",
        "--quiet",
        str(fresh),
    ]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        raise RuntimeError(f"the book was not built, its source is in {fresh}:\n{done.stdout}")
    shutil.rmtree(old, ignore_errors=True)
    if book.exists():
        book.rename(old)
    fresh.rename(book)
    shutil.rmtree(old, ignore_errors=True)
    return book / "_build" / "html" / "index.html"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path, help="the folder of a profile, e.g. results/demo")
    parser.add_argument(
        "--chapters", nargs="+", help="those of this run (default: all of _toc.yml)"
    )
    chosen = parser.parse_args()
    try:
        print(build(chosen.results, run=chosen.chapters))
    except (OSError, ValueError, RuntimeError) as error:
        sys.exit(f"stage_book: {error}")
