"""Turn the executed notebooks of a run into the offline book; the workflow's last job.

1. `stage` lays out a source folder: prose, table of contents, executed notebooks as pages
   (`staged_notebook`), their figures as small files beside them (`book_figures`), the first page
   and the page on data and models from the run (`front_page`, `data_page`).
2. `build` runs `jupyter-book build -W --keep-going -n` on it, then adds a picture of each figure
   (`static_pictures`) and finishes the pages (`finished_pages`).
Both work in `book.new`; only a build without warnings replaces `book`, so a failure keeps the last
book.
"""

import argparse
import importlib.metadata
import os
import shutil
import subprocess
import sys
from pathlib import Path

import data_page
import finished_pages
import front_page
import plotly_script
import run_record
import staged_notebook
import static_pictures
import yaml

ROOT = Path(__file__).resolve().parents[1]
SITE = Path("book/site")
NOT_IN_THIS_RUN = "Not in this run"
# For publishers: the book's address and that of its source.
ADDRESS, REPOSITORY = "FEATPURITY_SITE", "FEATPURITY_REPOSITORY"


def chapters(node):
    """Yield every file in a table of contents, in reading order."""
    if isinstance(node, dict):
        yield from (node[key] for key in ("root", "file") if key in node)
        for key in ("parts", "chapters", "sections"):
            yield from chapters(node.get(key, []))
    else:
        for entry in node:
            yield from chapters(entry)


def absent_last(toc, absent):
    """The table of contents with chapters that were not run moved to a last part of their own."""
    parts, left_out = [], []
    for part in toc["parts"]:
        left_out += [entry for entry in part["chapters"] if entry["file"] in absent]
        kept = [entry for entry in part["chapters"] if entry["file"] not in absent]
        parts.append(part | {"chapters": kept})
    if left_out:
        parts.append({"caption": NOT_IN_THIS_RUN, "chapters": left_out})
    return toc | {"parts": [part for part in parts if part["chapters"]]}


def stage(results, target, root=ROOT, run=None):
    """Lay out the source folder of the book.

    Parameters
    ----------
    results : Path
        A profile's folder; its `notebooks/` holds the executed notebooks.
    target : Path
        Replaced.
    root : Path
        The repository, with `_config.yml`, `_toc.yml`, `book/` and `notebooks/`.
    run : list of str, optional
        Chapters of this run, by default all of `_toc.yml`; the others become pages that say so.

    Returns
    -------
    absent : list of str
        Chapters that were not run, as named in `_toc.yml`.

    Raises
    ------
    FileNotFoundError
        If a notebook of the run was not executed.
    ValueError
        If a notebook holds saved errors.
    """
    toc = yaml.safe_load((root / "_toc.yml").read_text(encoding="utf-8"))
    wanted = [name for name in chapters(toc) if name.startswith("notebooks/")]
    shown = wanted if run is None else [name for name in wanted if Path(name).name in run]
    absent = [name for name in wanted if name not in shown]
    missing = [name for name in shown if not (results / f"{name}.ipynb").is_file()]
    if missing:
        raise FileNotFoundError(
            f"{results} lacks executed notebooks of _toc.yml: {', '.join(missing)}"
        )
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(root / "book", target / "book")
    shutil.copy(root / "_config.yml", target)
    toc_text = yaml.safe_dump(absent_last(toc, absent), sort_keys=False, allow_unicode=True)
    (target / "_toc.yml").write_text(toc_text, encoding="utf-8")
    site, figures, headlines, places = target / SITE, {}, [], {}
    for folder in (site / "figures", site / "notebooks", target / "notebooks"):
        folder.mkdir()
    for name in wanted:
        page = target / f"{name}.ipynb"
        shutil.copy(root / f"{name}.ipynb", site / "notebooks")
        if name in absent:
            staged_notebook.stage_absent(root / f"{name}.ipynb", page)
            continue
        source = results / f"{name}.ipynb"
        found, first, answered = staged_notebook.stage(source, page, site / "figures")
        figures |= found
        headlines += first
        places |= {claim: f"../{name}.html#claim-{claim}" for claim in answered}
    copy_scripts(site, figures)
    record = run_record.read(results, [Path(name).name for name in shown])
    fill(target / "book", parts_of(record, figures, headlines, places))
    return absent


def copy_scripts(site, figures):
    """Copy plotly and MathJax from installed packages: they always fit and need no commits."""
    script = plotly_script.script_for(figures.values()).read_text("utf-8")
    (site / "plotly.min.js").write_text(plotly_script.compiled_early(script), "utf-8")
    package = importlib.metadata.files("sphinx-mathjax-offline")
    shutil.copy(next(file for file in package if file.name == "tex-svg.js").locate(), site)


def parts_of(run, figures, headlines, places):
    """HTML that the prose takes from the run, by its mark in the pages, `<!-- mark -->`."""
    repository = os.environ.get(REPOSITORY, "")
    link = f'<a href="{repository}">this book\'s repository</a>' if repository else ""
    return {
        "this run": front_page.this_run(run),
        "strip of verdicts": front_page.strip(run),
        "verdicts": front_page.verdicts(run, places),
        "headline figure": front_page.headline(figures, headlines),
        "repository": f"<p>The code and the notebooks: {link}.</p>" if repository else "",
        "pictures": data_page.pictures(run),
        "captions": data_page.captions(run),
        "models": data_page.models(run),
        "run times": run_record.times_table(run),
        "settings": run_record.settings_table(run),
        "versions": run_record.versions_table(),
    }


def fill(folder, parts):
    """Replace the marks on all pages of prose by the run's parts."""
    for path in folder.glob("*.md"):
        text = path.read_text(encoding="utf-8")
        for mark, part in parts.items():
            text = text.replace(f"<!-- {mark} -->", part)
        path.write_text(text, encoding="utf-8")


def build(results, root=ROOT, run=None):
    """Stage and build a profile's book; return the path of its first page.

    Raises
    ------
    RuntimeError
        If the build gives a warning or an error, or a link inside the book leads nowhere. The
        previous book stays.
    """
    fresh, book, old = (results / name for name in ("book.new", "book", "book.old"))
    absent = stage(results, fresh, root, run)
    command = [sys.executable, "-c", "from jupyter_book.cli.main import main; main()", "build"]
    command += ["-W", "--keep-going", "-n", "--quiet", str(fresh)]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        raise RuntimeError(f"the book was not built, its source is in {fresh}:\n{done.stdout}")
    site = fresh / "_build" / "html"
    static_pictures.add(site)
    title = yaml.safe_load((root / "_config.yml").read_text(encoding="utf-8"))["title"]
    finished_pages.finish(site, title, os.environ.get(ADDRESS, ""), absent)
    broken = [f"{page}: {link}" for page, link in finished_pages.broken_links(site)]
    if broken:
        raise RuntimeError(f"links of the book lead nowhere: {', '.join(broken)}")
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
