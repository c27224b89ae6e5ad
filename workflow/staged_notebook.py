"""Turn an executed notebook into a page: code folded, nothing that needs a kernel.

Saved errors are refused, as Sphinx would print them as if nothing had happened. Figures move to
files beside the page (`book_figures`); other HTML goes through `safe_html`.
"""

import itertools
import re
from contextlib import suppress
from pathlib import Path

import nbformat
import picture_files
import safe_html
from book_figures import figure_html, figure_scripts
from fingerprint import LIVE_ONLY

from featpurity import profile
from featpurity.report import results, wording
from featpurity.report.display import PLOTLY_MIME, without_caption

WIDGET_MIME = "application/vnd.jupyter.widget-view+json"
SHOWN_MIMES = ("text/html", "text/markdown", "image/png", "image/jpeg", "text/latex", "text/plain")
ENDS = ("Check", "What this shows")  # headings of each chapter's last steps
TAKES = re.compile(r"\*\*Takes\*\*[^.]*\.")  # the duration in a chapter's last words
PICTURES = "../_static/pictures"  # address, from a page, of book/site/pictures
NOT_RUN = """```{{note}}
This chapter is **not in this run**: the setting `chapters` of its profile leaves it out. {profiles}
Below is what it asks and what it would show.
```"""
DOWNLOAD = (
    '<p class="notebook"><a class="download" href="../_static/notebooks/{name}" download>'
    "Download this chapter as a notebook</a> It runs as it is, in the folder "
    "<code>notebooks</code> of the repository, where what it reads is there.</p>"
)


def tags(cell):
    """Tags of a notebook's cell."""
    return cell.metadata.get("tags", [])


def saved_faults(notebook):
    """Yield sentences on what went wrong in a notebook: saved errors, cells that never ran."""
    for number, cell in enumerate(notebook.cells):
        if cell.cell_type != "code" or LIVE_ONLY in tags(cell):
            continue
        for output in cell.outputs:
            if output.output_type == "error":
                yield f"cell {number} stopped with {output.ename}: {output.evalue}"
        if cell.source.strip() and cell.execution_count is None:
            yield f"cell {number} never ran"


def without_live(cells):
    """Drop cells for a live kernel, and headings above nothing else."""
    kept = []
    for cell, following in itertools.pairwise([*cells, None]):
        if LIVE_ONLY not in tags(cell):
            kept.append(cell)
            continue
        ends = following is None or following.source.startswith("#")
        if ends and kept and kept[-1].source.startswith("## "):
            kept.pop()
    return kept


def checks_folded(cells):
    """Drop headings above code that shows nothing; the line that opens it gets their words."""
    kept = []
    for place, cell in enumerate(cells):
        below = itertools.takewhile(lambda one: one.cell_type == "code", cells[place + 1 :])
        below = [one for one in below if not _is_settings(one)]
        alone = re.fullmatch(r"## (.+)", cell.source.strip()) if below else None
        if alone is None or not all(map(_joins, below)):
            kept.append(cell)
            continue
        shown, hidden = (f"{alone[1]}: {verb} the code" for verb in ("show", "hide"))
        below[0].metadata["mystnb"] = {"code_prompt_show": shown, "code_prompt_hide": hidden}
    return kept


def settings_last(cells):
    """Join a notebook's own settings and the run's in one cell, and put it last.

    papermill puts the run's settings in a cell after the notebook's own.
    """
    tagged = {tag: cell for cell in cells for tag in tags(cell) if tag.endswith("parameters")}
    own, run = tagged.get("parameters"), tagged.get("injected-parameters")
    if own and run:
        own.source += f"\n\n# Of this run:\n{run.source.removeprefix('# Parameters').strip()}"
    settings = own or run
    if settings is None:
        return cells
    settings.metadata["mystnb"] = {"code_prompt_show": "Settings of this run"}
    return [cell for cell in cells if cell is not own and cell is not run] + [settings]


def fold_code(cells):
    """Fold all code, and join cells that show nothing with the following code."""
    folded = []
    for cell in cells:
        before = folded[-1] if folded else None
        if cell.cell_type != "code":
            folded.append(cell)
        elif before is not None and _joins(before) and not _is_settings(cell):
            before.source += f"\n\n{cell.source}"
            before.outputs = cell.outputs
        else:
            cell.metadata["tags"] = [*tags(cell), "hide-input"]
            prompt = {"code_prompt_show": "Show the code", "code_prompt_hide": "Hide the code"}
            cell.metadata["mystnb"] = prompt | cell.metadata.get("mystnb", {})
            folded.append(cell)
    return folded


def _is_settings(cell):
    return any(tag.endswith("parameters") for tag in tags(cell))


def _joins(cell):
    return cell.cell_type == "code" and not cell.outputs


def shown_outputs(cell, chapter, figures, pictures):
    """Yield the outputs of a cell that a static page can show.

    Parameters
    ----------
    cell : code cell
    chapter : str
        The notebook's name without `.ipynb`, which gives figures their names and numbers.
    figures : dict of str to dict
        Gets each plotly figure, by its new name.
    pictures : Path
        The folder for large pictures in the page's HTML.
    """
    for output in cell.outputs:
        data = output.get("data", {})
        if output.get("name") == "stderr" or WIDGET_MIME in data:
            continue
        if PLOTLY_MIME in data:
            name = f"{chapter}-{len(figures) + 1}"
            figures[name] = without_caption(data[PLOTLY_MIME])
            number = f"{chapter_number(chapter)}.{len(figures)}"
            data = {"text/html": figure_html(name, figures[name], number)}
        elif "text/html" in data:
            cleaned = safe_html.clean(data["text/html"])
            data = {"text/html": picture_files.move(cleaned, pictures, PICTURES)}
        elif "text/markdown" in data:
            data = {"text/html": safe_html.markdown(data["text/markdown"])}
        elif data:
            data = {mime: data[mime] for mime in SHOWN_MIMES if mime in data}
        if data:
            output.data = nbformat.from_dict(data)
        yield output


def chapter_number(name):
    """The number at the start of a notebook's name: "3" for 03_misalignment."""
    found = re.match(r"0*(\d+)_", name)
    return found[1] if found else name


def read(path):
    """Read an executed notebook.

    Raises
    ------
    ValueError
        If it holds saved errors or cells that never ran; the message names each.
    """
    notebook = nbformat.read(path, as_version=4)
    faults = list(saved_faults(notebook))
    if faults:
        raise ValueError(f"{path} cannot become a page: " + "; ".join(faults))
    return notebook


def stage(path, target, figures_folder):
    """Write one executed notebook as a page of the book, and its figures' files.

    Returns
    -------
    figures : dict of str to dict
        Figures' names, in order -> plotly's JSON.
    headlines : list of str
        Names of the figures from cells tagged `headline`.
    answered : list of str
        Claims whose answer the page shows, at `#claim-ID`.

    Raises
    ------
    ValueError
        If the notebook holds saved errors or cells that never ran; the message names each.
    """
    notebook = read(path)
    figures, headlines, pictures = {}, [], figures_folder.parent / "pictures"
    answered = []
    cells = settings_last(without_live(notebook.cells))
    for cell in cells:
        if cell.cell_type == "code":
            before = len(figures)
            cell.outputs = list(shown_outputs(cell, path.stem, figures, pictures))
            headlines += list(figures)[before:] if "headline" in tags(cell) else []
            answered += mark_answers(cell, path.stem)
    download = nbformat.v4.new_markdown_cell(DOWNLOAD.format(name=path.name))
    notebook.cells = [*fold_code(checks_folded(cells)), download]
    seconds = notebook.metadata.get("papermill", {}).get("duration")
    for cell in notebook.cells:
        if cell.cell_type == "markdown" and seconds:
            cell.source = time_taken(cell.source, seconds)
    notebook.metadata.pop("widgets", None)
    for name, figure in figures.items():
        for part, script in figure_scripts(name, figure).items():
            (figures_folder / f"{part}.js").write_text(script, encoding="utf-8")
    nbformat.write(notebook, target)
    return figures, headlines, answered


def claims_of(source, chapter):
    """Yield ids of the chapter's claims whose answer a cell's source shows."""
    for claim in results.load_claims():
        call = rf"\bshow\.{re.escape(claim['figure'])}(?!\w)"
        if chapter_number(chapter) == str(claim["experiment"]) and re.search(call, source):
            yield claim["id"]


def mark_answers(cell, chapter):
    """Put anchors of claims before what a cell shows; return the claims."""
    shown = [output for output in cell.outputs if "text/html" in output.get("data", {})]
    claims = list(claims_of(cell.source, chapter)) if shown else []
    anchors = "".join(f'<span id="claim-{claim}"></span>' for claim in claims)
    if anchors:
        shown[0].data["text/html"] = anchors + shown[0].data["text/html"]
    return claims


def time_taken(text, seconds):
    """A chapter's last words, with the time it took in this run instead of the usual time."""
    took = f"{seconds:.0f} seconds" if seconds < 120 else f"{seconds / 60:.0f} minutes"
    return TAKES.sub(f"**Took** {took} in this run.", text)


def profiles_with(chapter):
    """Yield names of the checkout's profiles that run a chapter."""
    for file in sorted((Path(__file__).resolve().parents[1] / "profiles").glob("*.yaml")):
        with suppress(ValueError, OSError):  # a user's own, unfinished
            if chapter in profile.load(file).chapters:
                yield file.stem


def stage_absent(path, target):
    """Write a page for a chapter that this run left out: its question and what it would show.

    So links to the chapter lead somewhere in every book.
    """
    source = nbformat.read(path, as_version=4)
    page = nbformat.v4.new_notebook(cells=source.cells[:1], metadata=source.metadata)
    text = "\n\n".join(cell.source for cell in source.cells if cell.cell_type == "markdown")
    sections = re.findall(r"^## (.+)(?:\n\n(?!#)(.+(?:\n.+)*))?", text, re.M)  # first paragraphs
    steps = "\n\n".join(
        f"**{heading}**\n: {' '.join(paragraph.split()) or '(a figure or table)'}"
        for heading, paragraph in sections
        if not heading.startswith(ENDS) and not heading.endswith("(live)")
    )
    runs = [f"`make book PROFILE={name}`" for name in profiles_with(path.stem)]
    ran = f"{wording.listed(runs)} run{'s' * (len(runs) == 1)} it." if runs else ""
    page.cells += [
        nbformat.v4.new_markdown_cell(part)
        for part in (
            NOT_RUN.format(profiles=ran),
            f"## What it would show\n\n{steps}",
            DOWNLOAD.format(name=path.name),
        )
    ]
    nbformat.write(page, target)
