"""The habits of the house that no linter holds; ruff and import-linter hold the others (`make lint`)."""

import ast
import json
import re
import subprocess
import sys
import tomllib
from dataclasses import fields
from importlib.metadata import packages_distributions

import fingerprint
import pytest
from checkout import ROOT

from featpurity.profile import Profile, load

NOTEBOOKS = sorted((ROOT / "notebooks").rglob("[!.]*.ipynb"))
BY_HAND = "fetch_cc3m"  # the notebook that is no step of the workflow
CELL_LINES = 10


def test_the_package_and_the_help_of_every_command_import_nothing_heavy():
    code = """
import contextlib, io, sys
import featpurity, featpurity.profile
from featpurity.cli import COMMANDS, main
for command in COMMANDS:
    shown = io.StringIO()
    with contextlib.redirect_stdout(shown), contextlib.suppress(SystemExit):
        main([command, "--help"])
    assert shown.getvalue().startswith(f"usage: featpurity {command}")
heavy = {"torch", "numpy", "open_clip", "pandas", "plotly", "sklearn", "scipy"} & set(sys.modules)
assert not heavy, heavy
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def public_functions(node, prefix=""):
    """Functions and methods that a module offers, as (name, node)."""
    for inner in node.body:
        if isinstance(inner, ast.ClassDef) and not inner.name.startswith("_"):
            yield from public_functions(inner, f"{prefix}{inner.name}.")
        if isinstance(inner, ast.FunctionDef) and not inner.name.startswith("_"):
            yield prefix + inner.name, inner


def test_public_functions_are_annotated():
    missing = []
    for path in sorted((ROOT / "featpurity").rglob("*.py")):
        for name, function in public_functions(ast.parse(path.read_text())):
            args = function.args
            taken = [*args.posonlyargs, *args.args, *args.kwonlyargs, args.vararg, args.kwarg]
            bare = [arg.arg for arg in filter(None, taken) if arg.annotation is None]
            bare = [arg for arg in bare if arg not in ("self", "cls")]
            if bare or function.returns is None:
                what = ", ".join([*bare, *(["its result"] if function.returns is None else [])])
                missing.append(f"{path.relative_to(ROOT)}: {name} does not say what {what} is")
    assert not missing, "\n".join(missing)


def test_the_page_on_the_design_names_every_room_and_no_file_that_is_not_there():
    page = (ROOT / "book/design.md").read_text()
    named = re.findall(r"`([\w/.]+\.(?:py|yaml|toml|ipynb))`", page)
    places = [ROOT, ROOT / "featpurity"]
    lost = [name for name in named if not any((place / name).is_file() for place in places)]
    assert len(named) > 20 and not lost
    table = page.partition("| room |")[2].partition("\n\n")[0]
    rooms = {found.stem for found in (ROOT / "featpurity").iterdir() if found.suffix in ("", ".py")}
    rooms = {room for room in rooms if not room.startswith("_")} - {"assets"}
    assert rooms <= set(re.findall(r"`(\w+)`", table))


def tracked_text():
    """Files in git that are text, as (path, content)."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a git checkout")
    for name in filter(None, listed.stdout.split("\0")):
        try:
            yield name, (ROOT / name).read_text(encoding="utf-8")
        except (UnicodeDecodeError, FileNotFoundError):
            continue


def test_no_file_names_a_place_of_one_machine():
    places = re.compile(r"(?<![\w.])/(?:work|root|home|Users)/\w|file://" + r"/\w")
    lines = [(name, line.strip()) for name, text in tracked_text() for line in text.splitlines()]
    found = [f"{name}: {line[:80]}" for name, line in lines if places.search(line)]
    assert not found, "\n".join(found)


def cells(path, kind="code"):
    return [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == kind]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
class TestNotebook:
    def test_holds_no_outputs(self, path):
        assert not any(cell["outputs"] or cell["execution_count"] for cell in cells(path))
        assert "widgets" not in json.loads(path.read_text())["metadata"]

    def test_starts_with_a_title_then_its_parameters(self, path):
        first = json.loads(path.read_text())["cells"][0]
        said = "".join(first["source"])
        assert first["cell_type"] == "markdown" and said.startswith("# ")
        assert "**Question" in said
        tags = [cell["metadata"].get("tags", []) for cell in cells(path)]
        assert "parameters" in tags[0] and not any("parameters" in tag for tag in tags[1:])

    def test_says_what_it_shows_and_what_it_does_not(self, path):
        prose = ["".join(cell["source"]) for cell in cells(path, "markdown")]
        assert any(text.startswith("## What this shows, and what it does not") for text in prose)

    def test_parameters_are_flat_literals_with_the_profile_s_defaults(self, path):
        declared = fingerprint.declared_parameters(path)
        defaults = Profile().parameters() | {"models": ["scenes_laclip"], "shard": 0}
        if path.stem == BY_HAND:  # it prepares the profile paper, with settings of its own
            defaults = declared | load("paper", folder=ROOT / "profiles").parameters()
        assert declared == {key: defaults.get(key, "no setting of a profile") for key in declared}
        assert not any(
            isinstance(value, dict) for key, value in declared.items() if key != "labels"
        )

    def test_chapters_say_what_to_know_of_their_pictures(self, path):
        code = "\n".join(fingerprint.code_cells(path))
        reads = re.search(r"\b(load_data|inputs\.load|load_pairs)\(", code)
        assert "picture_remarks(" in code or not reads or path.parent.name == "steps"

    def test_cells_are_short_and_need_no_card_and_no_installer(self, path):
        settings = fingerprint.code_cells(path, "parameters")[0]
        for source in fingerprint.code_cells(path):
            if source != settings:  # one line a setting
                assert len(source.splitlines()) <= CELL_LINES, source
            code = re.sub(r"!=|f?\".*?\"", "", source)
            assert not re.search(r"\.cuda\(|\bpip\b|!|^%", code), source


def distributions(lines):
    """Normalised names of the distributions that lines of requirements name."""
    return {re.sub(r"[-_.]+", "-", re.match(r"[\w.-]+", line)[0]).lower() for line in lines}


PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
NEEDED = {"core": distributions(PROJECT["dependencies"])} | {
    extra: distributions(lines) for extra, lines in PROJECT["optional-dependencies"].items()
}
CODE = {  # which sections a folder's imports may come from
    "featpurity": {"core", "cc3m"},
    "notebooks": {"core"},
    "benchmarks": {"core", "suite"},
    "workflow": {"core", "suite"},
    "tests": {"core", "suite", "test"},
}


def third_party(source):
    """Top-level names that some Python source imports, neither the standard library's nor our own."""
    nodes = list(ast.walk(ast.parse(source)))
    names = [name.name for node in nodes if isinstance(node, ast.Import) for name in node.names]
    names += [node.module for node in nodes if isinstance(node, ast.ImportFrom) and not node.level]
    folders = ["workflow", "tests", "benchmarks"]
    own = {path.stem for folder in folders for path in (ROOT / folder).rglob("*.py")}
    known = {*sys.stdlib_module_names, *own, "featpurity"}
    return {name.split(".")[0] for name in names} - known


@pytest.mark.parametrize("folder", CODE)
def test_what_is_imported_is_a_dependency(folder):
    sources = [path.read_text() for path in (ROOT / folder).rglob("*.py")]
    if folder == "notebooks":
        sources += [cell for path in NOTEBOOKS for cell in fingerprint.code_cells(path)]
    if folder == "workflow":
        python, *_ = re.split(r"\n(?:onerror|rule \w+):", (ROOT / "workflow/Snakefile").read_text())
        sources.append(python)
    homes = packages_distributions()
    allowed = set().union(*(NEEDED[section] for section in CODE[folder]))
    for module in set().union(*map(third_party, sources)):
        assert distributions(homes.get(module, [module])) & allowed, f"{module} is no dependency"


def test_the_direct_dependencies_are_pinned():
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", line) for line in pins)
    # the other extras are not for everybody: cc3m's pandas is an older one
    everybody = ["core", "suite", "lab", "test"]
    assert distributions(pins) == set().union(*(NEEDED[extra] for extra in everybody))


def test_every_setting_is_a_parameter_of_some_notebook():
    declared = set().union(*(fingerprint.declared_parameters(path) for path in NOTEBOOKS))
    declared |= {"name", "models_per_job", "labels"}  # read by the workflow
    assert {field.name for field in fields(Profile)} - declared == set(), (
        "settings that nothing reads"
    )
