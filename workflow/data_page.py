"""The page "The data and the models of this run": what the pictures, captions and models are."""

import html
import re

import pandas as pd
import safe_html
from front_page import differ_in_captions, words
from run_record import block

from featpurity.captions.synthetic import (
    ATTRIBUTES,
    MISSING,
    SCENE_TEMPLATES,
    SPURIOUS,
    spurious_partner,
)
from featpurity.data.pairs import load_pairs
from featpurity.data.scenes import Scenes
from featpurity.labels import labels_of
from featpurity.models.names import BUNDLED
from featpurity.report import display_names, tables
from featpurity.report.thumbnails import tag

EXAMPLES = 6
ROLES = {
    "clip_models": "CLIP: read the raw captions",
    "laclip_models": "LaCLIP: read the rewritten captions as well",
    "ladder_models": "a rung of the ladder of data quality",
    "finetune_model": "its projections are trained again in experiment 3",
    "filter_model": "judges captions in chapter 5",
}
TRAINED = {  # facts in a bundled model's card, and the patterns that find them
    "pictures": r"^\*\*Data\.\*\* \D*(\d+)",
    "captions": r"^\*\*Captions\.\*\* (.*)\.$",
    "epochs": r"^- epochs: (\d+)$",
}
STRANGERS = {  # roles of models whose captions are not known
    "clip_models": "the first of a pair, called CLIP",
    "laclip_models": "the second of a pair, called LaCLIP",
}


def pictures(run):
    """HTML on the test pictures."""
    parts = (
        [_generated_world()]
        if any(str(d).startswith(display_names.GENERATED) for d in run.datasets)
        else []
    )
    path = run.folder / "tables" / "01_accuracy_silhouette.csv"
    if path.is_file():
        table = pd.read_csv(path).drop_duplicates("dataset")
        table["dataset"] = table.dataset.map(display_names.of_datasets(table.dataset, run.labels))
        headings = {"dataset": "data set", "images": "test pictures", "classes": "classes"}
        parts.append(block(tables.show(table, headings)))
    else:
        called = display_names.of_datasets(run.datasets, run.labels)
        parts.append(f"<p>The data sets of this run: {words(called.values())}.</p>")
    return "\n".join(parts)


def _generated_world():
    facts = "; ".join(
        f"<b>{name}</b> ({len(kinds)}: {', '.join(kinds)})" for name, kinds in ATTRIBUTES.items()
    )
    size, prompt = Scenes(1, 0).size, SCENE_TEMPLATES["shape"][0].format("circle")
    return (
        f"<p>The pictures are generated. Each is {size} pixels a side and shows one object on a "
        f"background, drawn from six facts, each drawn evenly: {facts}. The texture is the "
        "background's. Object and background never share a colour. Since every fact is known, each "
        "is a classification task with certain labels: the data set <code>scenes_shape</code> asks "
        f"for the shape, and so on. Prompts are sentences (<i>{prompt}</i>), "
        "as the rewritten captions are and the raw ones are not, which may favour a model that has "
        "read such.</p>"
    )


def captions(run):
    """HTML on the captions: how raw and rewritten ones differ, with examples and pictures."""
    pairs = run.settings.get("pairs")
    parts = []
    if pairs in ("scenes", "photos"):
        fact, name = ("shape", "circle") if pairs == "scenes" else ("class", "cat")
        parts.append(
            "<p>Every picture has two kinds of captions. A <b>raw</b> caption is like the text "
            "that stands beside a picture on the web: each fact is left out with probability "
            f"{MISSING}, "
            f"and each that is named is replaced by its <b>spurious partner</b> with probability "
            f"{SPURIOUS}, the one other word that wrong captions use for it (for <i>{name}</i> "
            f"it is <i>{spurious_partner(fact, name)}</i>). Words that say nothing about the "
            "picture stand "
            "between. A <b>rewritten</b> caption is a correct sentence about some of the facts.</p>"
        )
    return "\n".join([*parts, examples(run)])


def examples(run):
    """The run's first pairs as pictures with their captions."""
    settings = run.settings
    if not settings.get("pairs"):
        return ""
    try:
        pairs = load_pairs(
            settings["pairs"],
            settings.get("data_root"),
            n_pairs=EXAMPLES,
            rewrites=settings.get("rewrites") or (),
            download=False,
        )
        return "".join(
            ['<ul class="examples">', *(_example(pairs, i) for i in range(len(pairs))), "</ul>"]
        )
    except (OSError, ValueError):
        return "<p>The pictures with their captions are not on this machine, so none is shown.</p>"


def _example(pairs, i):
    picture, caption = pairs[i]
    rewrite = next(iter(pairs.rewrites[i]), None)
    rewritten = f"<br><b>rewritten</b> {_line(rewrite)}" if rewrite else ""
    return f"<li>{tag(picture, alt='')}<span><b>raw</b> {_line(caption)}{rewritten}</span></li>"


def _line(text):
    return html.escape(" ".join(str(text).split()))


def models(run):
    """HTML on the models: each one's role and number of neurons, and the cards of bundled ones."""
    rows = pd.DataFrame(
        {
            "model": list(labels_of(run.models, run.labels).values()),
            "role": ["; ".join(_roles(run, model)) for model in run.models],
        }
    )
    path = run.folder / "tables" / "01_purity.csv"
    if path.is_file():
        neurons = pd.read_csv(path).groupby("model").neurons.first()
        rows["neurons"] = (
            pd.Series(run.models).map(neurons).astype("Int64").astype(str).replace("<NA>", "")
        )
    trained = pd.DataFrame([_training(model) for model in run.models], columns=list(TRAINED))
    if trained.notna().any(axis=None):
        rows = rows.join(trained)
    headings = {"model": "model", "role": "in this book", "neurons": "neurons a tower"}
    headings |= {"pictures": "training pictures", "captions": "captions read in training"}
    headings |= {"epochs": "epochs"}
    shown = {key: heading for key, heading in headings.items() if key in rows}
    return "\n".join([block(tables.show(rows, shown, fold=40)), *map(card, run.models)])


def _roles(run, model):
    for key, role in (ROLES if differ_in_captions(run.settings) else ROLES | STRANGERS).items():
        value = run.settings.get(key) or []
        if model in ([value] if isinstance(value, str) else value):
            yield role


def _training(model):
    """Facts on training from a bundled model's card; none for other models."""
    said = {key: re.search(pattern, _card(model), re.M) for key, pattern in TRAINED.items()}
    told = {key: found[1] for key, found in said.items() if found}
    if "pictures" in told:
        told["pictures"] = f"{int(told['pictures']):,}"
    return told


def _card(model):
    """The text of a bundled model's card; "" for other models."""
    path = BUNDLED / str(model) / "README.md"
    return path.read_text("utf-8") if path.is_file() else ""


def card(model):
    """The card of a bundled model, folded; "" for other models."""
    text = re.sub(r"\A---.*?^---\n", "", _card(model), flags=re.S | re.M)
    if not text:
        return ""
    text = re.sub(r"\A# .*\n", "", text)
    lines = filter(None, (line.strip() for line in safe_html.markdown(text).splitlines()))
    summary = f"<summary>Model card of {html.escape(str(model))}</summary>"
    return f'<details class="model-card">{summary}{" ".join(lines)}</details>'
