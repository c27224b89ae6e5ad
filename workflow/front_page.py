"""Parts of the first page that come from the run: what it is, its verdicts, its headline figure."""

import html

import pandas as pd
from book_figures import figure_html
from staged_notebook import chapter_number

from featpurity.labels import labels_of
from featpurity.models.names import BUNDLED
from featpurity.profile import MISALIGNMENT
from featpurity.report import display_names, wording
from featpurity.report.chapters.claims import by_question, counts, in_short
from featpurity.report.published import GROUPS, groups_of
from featpurity.report.tables import MARKS, SAID, first_of, verdict_words

CLAIMS_TABLE = "tables/claims.csv"
PAIR = ("clip_models", "laclip_models")


def words(names):
    """Names as a phrase, "a, b and c", escaped and in bold."""
    return wording.listed([f"<b>{html.escape(str(name))}</b>" for name in names])


def is_generated(run):
    """Whether all the run's pictures are generated."""
    return all(str(name).startswith(display_names.GENERATED) for name in run.datasets)


def differ_in_captions(settings):
    """Whether the names of a run's pairs show that the two models differ only in captions.

    Then they name a CLIP and a LaCLIP and are otherwise equal: `scenes_clip` and `scenes_laclip`.
    """
    before, after = (
        [name.replace("laclip", "clip") for name in settings.get(key) or []] for key in PAIR
    )
    return before == after


def this_run(run):
    """An HTML paragraph: which run the book shows, and what its numbers are evidence for."""
    bundled = all((BUNDLED / str(model)).is_dir() for model in run.models)
    asked = display_names.of_datasets(run.datasets, run.labels).values()
    if is_generated(run):
        data = (
            f"generated pictures, one object on a background, asked in turn for its {words(asked)}"
        )
    else:
        data = f"the pictures of {words(asked)}"
    models = words(_called(run))
    small = "small models that were trained from scratch for this project, " if bundled else ""
    evidence = (
        "Its numbers show that the method runs and what it measures at this size; they are no "
        "evidence about models of other sizes and other data."
        if bundled
        else "Its numbers hold for these models and data."
    )
    if not differ_in_captions(run.settings):
        evidence += (
            " Of each pair the pages call the first model CLIP and the second LaCLIP and speak of "
            "their captions; only those who chose them know whether the two differ in anything "
            "else."
        )
    return (
        f'<p class="this-run">This book shows the run <b>{html.escape(run.name)}</b>: '
        f'{small}{models}, on {data}. {evidence} <a href="data_and_models.html">The data and the '
        "models of this run</a> says what they are.</p>"
    )


def _called(run):
    """The models' names with their roles, as "CLIP (scenes_clip)"."""
    sides = (run.settings.get(key) or [] for key in PAIR)
    roles = display_names.of_models(*sides, run.labels)
    for name in labels_of(run.models, run.labels).values():
        role = roles.get(name, name)
        yield role if name in role else f"{role} ({name})"


def read_claims(run):
    """The run's judged effects, one per row; empty if it judged none."""
    path = run.folder / CLAIMS_TABLE
    if not path.is_file():
        return pd.DataFrame(columns=["claim", "experiment", "effect", "verdict"])
    claims = wording.in_points(pd.read_csv(path))
    sides = (run.settings.get(key) or [] for key in PAIR)
    roles = display_names.of_models(*sides, run.labels)
    return display_names.renamed(claims[claims.effect.notna()], roles)


def strip(run):
    """The verdicts in short, as HTML: of the paper's claims one by one, of others counted."""
    claims = read_claims(run)
    lines = [_named(*asked) for asked in in_short(claims)]
    lines += [_counts(part, about) for about, part in by_question(claims)]
    if not lines:
        return "<p>This run judged no claims.</p>"
    marks = [f"{mark} {verdict}" for verdict, mark in MARKS.items() if verdict in SAID]
    return f'{"".join(lines)}<p class="marks">{" · ".join(marks)}</p>'


def _by_group(claims):
    """Yield groups that have claims, with their claims, the paper's experiments first."""
    if len(claims):
        groups = groups_of(claims)
        for group in GROUPS:
            if (groups == group).any():
                yield group, claims[groups == group]


def _named(done, claims):
    """A line of claims, each marked with the verdicts on its effects."""
    parts = []
    for claim, verdicts in claims:
        marks = " ".join(MARKS[verdict] for verdict in verdicts)
        light = _light(verdicts[0] if len(verdicts) == 1 else None)
        parts.append(
            f'<span class="count light-{light}"><span aria-hidden="true">{marks} </span>'
            f'<span class="visually-hidden">{", ".join(verdicts)}: </span>'
            f"{html.escape(claim)}</span>"
        )
    return f'<p class="strip"><span>{done.capitalize()}:</span> {"".join(parts)}</p>'


def _counts(claims, about):
    parts = [
        f'<span class="count light-{_light(first)}">{said}</span>' for first, said in counts(claims)
    ]
    return f'<p class="strip"><span>{about}:</span> {"".join(parts)}</p>'


def verdicts(run, places):
    """HTML of the claims with their verdicts: the paper's experiments, with others folded below.

    Parameters
    ----------
    run : run_record.Run
    places : dict of str to str
        Claim's id -> address of its answer.
    """
    shown = ""
    for group, claims in _by_group(read_claims(run)):
        table = _table(claims, places)
        if group == GROUPS[0]:
            shown += table
            continue
        count = claims.statement.nunique()
        shown += (
            f'<details class="further-claims"><summary>Claims {group}: {count}</summary>{table}'
            "</details>"
        )
    return shown


def _table(claims, places):
    heads = (
        "claim",
        "in this run: effect (95 % interval), positive when the claim is true",
        "the paper's own number",
    )
    head = "".join(f'<th scope="col">{text}</th>' for text in heads)
    rows = [
        _row(statement, part, places) for statement, part in claims.groupby("statement", sort=False)
    ]
    return (
        f'<table class="verdicts cards"><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table>"
    )


def _light(verdict):
    """The class that colours a verdict: "holds", "does-not-hold", "undecided", "not-measured"."""
    return (first_of(verdict) or "undecided").replace(" ", "-")


def _row(statement, part, places):
    place = places.get(part.claim.iloc[0])
    claim = html.escape(statement)
    if place:
        claim = f'<a href="{html.escape(place)}">{claim}</a>'
    effects = "".join(_effect(row, many=len(part) > 1) for row in part.itertuples())
    published = html.escape(str(part.published.iloc[0]))
    return f"<tr><td>{claim}</td><td>{effects}</td><td>{published}</td></tr>"


def _effect(row, many):
    about = html.escape(f"{row.comparison}: {row.unit}" if many else str(row.unit))
    effect, low, high = wording.effect_with_ends(row)
    return (
        f'<span class="verdict light-{_light(row.verdict)}">'
        f"<b>{html.escape(verdict_words(row.verdict))}</b> <span>{effect} "
        f"({low} to {high})</span> <small>{about}</small></span>"
    )


def headline(figures, headlines):
    """The run's headline figure as HTML, or "": one that a cell's tag names, else a matrix.

    The chapter on misaligned captions comes first, as its matrices show what purity is about.

    Parameters
    ----------
    figures : dict of str to dict
        All figures of the run, by name.
    headlines : list of str
        Names of the figures whose cells are tagged `headline`.
    """
    kinds = {
        name: figure["data"][0].get("type") for name, figure in figures.items() if figure["data"]
    }
    matrices = [name for name, kind in kinds.items() if kind == "heatmap"]
    phenomenon = [name for name in headlines if name.startswith(MISALIGNMENT)]
    chosen = next(iter([*phenomenon, *headlines, *matrices]), None)
    if chosen is None:
        return ""
    chapter, _, place = chosen.rpartition("-")
    number_ = f"{chapter_number(chapter)}.{place}"
    return figure_html(chosen, figures[chosen], number_, f"../notebooks/{chapter}.html")
