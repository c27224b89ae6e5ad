"""The page for those who come from the paper's scripts: what it names of ours is there."""

import contextlib
import importlib
import io
import re
import shlex
from dataclasses import fields
from types import SimpleNamespace

import pytest
import yaml
from checkout import ROOT
from fingerprint import code_cells

import featpurity
from featpurity import cli
from featpurity.captions.swap import write_swaps
from featpurity.profile import Profile
from featpurity.training.online import train
from featpurity.training.settings import Settings

PAGE = ROOT / "book/from_the_papers_scripts.md"
NOTEBOOKS = sorted((ROOT / "notebooks").rglob("[!.]*.ipynb"))
SPAN, OPTION = re.compile(r"`([^`]+)`"), re.compile(r"--[a-z][\w-]*")
OTHER = {"image", "caption", "ARCHITECTURE:FILE"}  # columns of a CSV, a form of models' names


def ours(page):
    """(section, code span) of the right-hand columns, and of the prose what has the form of a profile's line."""
    section, found = "", []
    for line in page.splitlines():
        section = line.lstrip("# ") if line.startswith("#") else section
        row = (
            [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
            if line.startswith("|")
            else []
        )
        assert not row or len(row) == 2, line
        spans = SPAN.findall(row[1] if row else line)
        found += [(section, span) for span in spans if row or re.match(r"\w+: ", span)]
    return found


def helped(command):
    """What a command says of itself."""
    with contextlib.redirect_stdout(io.StringIO()) as said, pytest.raises(SystemExit):
        cli.parse([command, "--help"])
    return said.getvalue()


def options():
    """The options of each command."""
    return {command: set(OPTION.findall(helped(command))) for command in ("finetune", "swap")}


def code():
    """All code of the package and the notebooks, the placeholders of its file names emptied."""
    texts = [path.read_text() for path in (ROOT / "featpurity").rglob("*.py")]
    texts += [source for path in NOTEBOOKS for source in code_cells(path)]
    return re.sub(r"\{[^{}\n\"']*\}", "{}", "\n".join(texts))


def written(folder):
    """Names of the files that a training and a swap really write, and of the columns of history.csv."""
    pairs = featpurity.load_pairs("scenes", n_pairs=8)
    (folder / "scenes.txt").write_text("\n".join(pairs.captions))
    write_swaps(folder / "scenes.txt", [0.3], out_dir=folder / "captions")
    train(
        featpurity.load_model("scenes_laclip"),
        pairs.images,
        [[text] for text in pairs.captions],
        folder,
        Settings(epochs=1, batch_size=8),
        augment=False,
    )
    columns = (folder / "history.csv").read_text().splitlines()[0].split(",")
    return [path.relative_to(folder).as_posix() for path in folder.rglob("*.*")] + columns


@pytest.fixture(scope="module")
def ground(tmp_path_factory):
    """What there is for the page to name."""
    fetch = code_cells(ROOT / "notebooks/steps/fetch_cc3m.ipynb")[0]
    keys = (
        {field.name for field in fields(Profile)}
        | set(re.findall(r"^(\w+) = ", fetch, re.M))
        | OTHER
    )
    return SimpleNamespace(
        options=options(),
        code=code(),
        written=written(tmp_path_factory.mktemp("written")),
        keys=keys,
    )


def is_command(span, ground):
    command = re.match(r"(?:torchrun .*-m )?featpurity(?: |[.\w]*\.)(\w+)", span)[1]
    return set(OPTION.findall(span.partition(command)[2])) <= ground.options[command]


def is_option(span, ground):
    if " " in span:  # with a value
        with contextlib.redirect_stderr(io.StringIO()):
            cli.parse(["finetune", "--train-data=x", "--output-dir=x", *shlex.split(span)])
    return any(span.split()[0] in known for known in ground.options.values())


def is_line_of_a_profile(span, ground):
    return bool(Profile(**yaml.safe_load(span)))


def is_in_the_package(span, ground):
    module, _, name = span.rpartition(".")
    return hasattr(importlib.import_module(module), name)


def is_written(span, ground):
    """A file or column that a run wrote, or that stands in the code as a whole text or as a keyword."""
    real, literal = (
        re.sub(r"\\\{\w+\\\}", ".+", re.escape(span)),
        re.escape(re.sub(r"\{\w+\}", "{}", span)),
    )
    return any(re.fullmatch(real, name) for name in ground.written) or re.search(
        f'"{literal}"|\\b{literal}=', ground.code
    )


def check(section, span, ground):
    """Raise where the page names what is not there."""
    kinds = {
        r"torchrun |featpurity [a-z]": is_command,
        "--": is_option,
        r"\w+: ": is_line_of_a_profile,
        r"featpurity\.": is_in_the_package,
        "notebooks/": lambda span, ground: (ROOT / span).is_file(),
    }
    other = is_written if section == "File by file" else lambda span, ground: span in ground.keys
    kind = next((kind for form, kind in kinds.items() if re.match(form, span)), other)
    if not kind(span, ground):
        raise ValueError(f"{section}: {span} is not there")


def test_what_the_page_names_is_there(ground):
    found = ours(PAGE.read_text())
    assert len(found) > 100 and len({section for section, _ in found}) > 4
    for section, span in found:
        check(section, span, ground)


def test_the_page_s_links_lead_somewhere():
    links = re.findall(r"\]\(([^)#]+)\)", PAGE.read_text())
    assert len(links) > 5 and all((PAGE.parent / link).is_file() for link in links)


@pytest.mark.parametrize(
    "section, span",
    [
        ("Option by option", "ratio"),
        ("Option by option", "--rate"),
        ("Option by option", "--precision fp8"),
        ("Option by option", "prompts: nonsense"),
        ("Option by option", "prompt: laclip"),
        ("x", "chapters: [08_more]"),
        ("Script by script", "featpurity.captions.nothing"),
        ("Script by script", "notebooks/steps/train.ipynb"),
        ("Script by script", "featpurity mix"),
        ("x", "torchrun -m featpurity finetune --rate"),
        ("File by file", "tables/03_mean.csv"),
        ("File by file", "first.safetensors"),
        ("File by file", "Random"),
        ("File by file", "{model}_{dataset}_full_feature_acc_ss.csv"),
    ],
)
def test_what_is_not_there_is_noticed(ground, section, span):
    with pytest.raises((ValueError, TypeError, KeyError, SystemExit)):
        check(section, span, ground)


def test_columns_and_prose_are_told_apart():
    page = "# A\n| `x` | `--lr` and `y` |\nprose `z` and `prompts: paper`\n## B\n| `x` | `w` |\n"
    assert ours(page) == [("A", "--lr"), ("A", "y"), ("A", "prompts: paper"), ("B", "w")]


def test_the_training_s_own_spelling_is_understood():
    chosen = cli.parse(
        [
            "finetune",
            "--train-data=x",
            "--output-dir=x",
            "--augmented_caption_filelist",
            "a.txt",
            "b.txt",
        ]
    )
    assert chosen.augmented_caption_filelist == ["a.txt", "b.txt"]
