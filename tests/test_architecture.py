"""The house rules: who may import whom, how long a module or a cell may be, what a notebook in git looks like."""

import ast
import json
import re
import subprocess
import sys
import tomllib
from dataclasses import fields
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from featpurity.profile import Profile, load

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "workflow"))
import fingerprint  # noqa: E402

MODULES = sorted((ROOT / "featpurity").glob("*.py"))
NOTEBOOKS = sorted((ROOT / "notebooks").rglob("[!.]*.ipynb"))
NAMES = {path.stem for path in MODULES} - {"__init__", "__main__"}
BY_HAND = "fetch_cc3m"  # the notebook that is no step of the workflow
# Modules that know tensors, text or figures only, and those that must not know models.
NO_SIBLING = ["purity", "zeroshot", "pruning", "captions", "ladder", "plots"]
NO_MODEL = ["datasets", "images", "scenes", "recipes", "prompts", "profiles", "results", "fetch"]
MODEL_MODULES = {
    "models",
    "laclip",
    "checkpoints",
    "embeddings",
    "finetune",
    "sweep",
    "pretrain",
    "explore",
}


def named(paths):
    return {"argvalues": paths, "ids": [str(path.relative_to(ROOT)) for path in paths]}


def imports(path):
    """Names of sibling modules that a module imports, wherever in it."""
    return fingerprint.imported_modules(path.read_text()) & NAMES - {path.stem}


@pytest.mark.parametrize("name", NO_SIBLING)
def test_pure_modules_import_no_sibling(name):
    assert imports(ROOT / f"featpurity/{name}.py") == set()


def test_a_scatter_plot_takes_its_look_from_the_other_figures():
    assert imports(ROOT / "featpurity/scatter.py") == {"plots"}


@pytest.mark.parametrize("name", NO_MODEL)
def test_data_and_settings_know_no_model(name):
    path = ROOT / f"featpurity/{name}.py"
    if path.is_file():
        assert not imports(path) & MODEL_MODULES


def test_the_package_knows_neither_notebooks_nor_the_workflow():
    for path in MODULES:
        outside = {"papermill", "snakemake", "nbformat", "fingerprint", "stage_book"}
        for node in ast.walk(ast.parse(path.read_text())):
            names = (
                [one.name for one in node.names]
                if isinstance(node, ast.Import)
                else [getattr(node, "module", "") or ""]
            )
            assert not {name.split(".")[0] for name in names} & outside, path.name


@pytest.mark.parametrize("path", **named(MODULES + sorted((ROOT / "workflow").glob("*.py"))))
def test_a_module_is_short_and_says_what_it_is_for(path):
    text = path.read_text()
    assert len(text.splitlines()) <= 250
    assert ast.get_docstring(ast.parse(text))


@pytest.mark.parametrize("path", **named(MODULES))
def test_library_code_does_not_print(path):
    calls = [
        node.func for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)
    ]
    printed = [call for call in calls if isinstance(call, ast.Name) and call.id == "print"]
    assert not printed or path.stem in {"__main__", "pretrain"}


def test_public_functions_have_docstrings():
    for path in MODULES:
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_"):
                assert ast.get_docstring(node), f"{path.name}: {node.name}"


def test_the_design_says_what_each_module_beyond_the_plan_is_for():
    planned = {
        "models",
        "datasets",
        "scenes",
        "embeddings",
        "purity",
        "zeroshot",
        "pruning",
        "captions",
        "finetune",
        "pretrain",
        "results",
        "plots",
        "explore",
    }
    rows = re.findall(r"^\| `(\w+)` \|", (ROOT / "book/design.md").read_text(), re.M)
    assert sorted(rows) == sorted(NAMES - planned | {"__main__"})


def test_importing_the_package_is_lazy():
    heavy = "{'torch', 'numpy', 'open_clip', 'pandas', 'plotly', 'sklearn'} & set(sys.modules)"
    code = (
        f"import sys, featpurity, featpurity.profile, featpurity.plan; assert not {heavy}, {heavy}"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_public_name_is_there():
    import featpurity

    assert all(callable(getattr(featpurity, name)) for name in featpurity.__all__)
    with pytest.raises(AttributeError, match="no attribute 'purify'"):
        featpurity.purify


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


@pytest.mark.parametrize("path", **named(NOTEBOOKS))
class TestNotebook:
    def test_holds_no_outputs(self, path):
        assert not any(cell["outputs"] or cell["execution_count"] for cell in cells(path))
        assert "widgets" not in json.loads(path.read_text())["metadata"]

    def test_starts_with_a_title_then_its_parameters(self, path):
        first = json.loads(path.read_text())["cells"][0]
        said = "".join(first["source"])
        assert first["cell_type"] == "markdown" and said.startswith("# ")
        assert all(f"**{part}" in said for part in ["Question", "Reads", "Writes", "Takes"])
        last = [
            cell
            for cell in json.loads(path.read_text())["cells"]
            if cell["cell_type"] == "markdown"
        ][-1]
        assert "".join(last["source"]).startswith("## What this shows, and what it does not")
        tags = [cell["metadata"].get("tags", []) for cell in cells(path)]
        assert "parameters" in tags[0] and not any("parameters" in tag for tag in tags[1:])

    def test_parameters_are_flat_literals_with_the_profile_s_defaults(self, path):
        declared = fingerprint.declared_parameters(path)
        defaults = Profile().parameters() | {"models": ["scenes_laclip"], "shard": 0}
        if path.stem == BY_HAND:  # it prepares the profile paper, with settings of its own
            defaults = declared | load("paper", folder=ROOT / "profiles").parameters()
        assert declared == {key: defaults.get(key, "no setting of a profile") for key in declared}
        assert not any(isinstance(value, dict) for value in declared.values())

    def test_cells_are_short_and_need_no_card_and_no_installer(self, path):
        settings = fingerprint.code_cells(path, "parameters")[0]
        for source in fingerprint.code_cells(path):
            assert len(source.splitlines()) <= (25 if source == settings else 20), (
                source
            )  # one line a setting
            assert not re.search(r"\.cuda\(|\bpip\b|!|^%", re.sub(r"!=|f?\".*?\"", "", source)), (
                source
            )
            for node in ast.walk(ast.parse(source)):
                if isinstance(node, ast.FunctionDef):
                    assert node.end_lineno - node.lineno < 8, node.name


def distributions(lines):
    """Normalised names of the distributions that lines of requirements name."""
    return {re.sub(r"[-_.]+", "-", re.match(r"[\w.-]+", line)[0]).lower() for line in lines}


PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
NEEDED = {"core": distributions(PROJECT["dependencies"])} | {
    extra: distributions(lines) for extra, lines in PROJECT["optional-dependencies"].items()
}
CODE = [
    ("featpurity", {"core", "cc3m"}),
    ("notebooks", {"core"}),
    ("benchmarks", {"core"}),
    ("workflow", {"core", "suite"}),
    ("tests", {"core", "suite", "test"}),
]  # which sections a folder's imports may come from


def third_party(source):
    """Top-level names that some Python source imports, neither the standard library's nor the project's own."""
    nodes = list(ast.walk(ast.parse(source)))
    names = [one.name for node in nodes if isinstance(node, ast.Import) for one in node.names]
    names += [node.module for node in nodes if isinstance(node, ast.ImportFrom) and not node.level]
    own = {
        path.stem
        for folder in ["workflow", "tests", "benchmarks"]
        for path in (ROOT / folder).glob("*.py")
    }
    return (
        {name.split(".")[0] for name in names} - set(sys.stdlib_module_names) - own - {"featpurity"}
    )


@pytest.mark.parametrize("folder, sections", CODE, ids=[folder for folder, _ in CODE])
def test_what_is_imported_is_a_dependency(folder, sections):
    sources = [path.read_text() for path in (ROOT / folder).rglob("*.py")]
    sources += [
        cell for path in NOTEBOOKS if folder == "notebooks" for cell in fingerprint.code_cells(path)
    ]
    sources += [(ROOT / "workflow/Snakefile").read_text().partition("\nrule ")[0]] * (
        folder == "workflow"
    )
    homes = packages_distributions()
    allowed = set().union(*(NEEDED[section] for section in sections))
    for module in set().union(*map(third_party, sources)):
        assert distributions(homes.get(module, [module])) & allowed, (
            f"{module} is not among the dependencies of {folder}"
        )


def test_the_direct_dependencies_are_pinned():
    lines = [
        line
        for line in (ROOT / "requirements.txt").read_text().splitlines()
        if line and not line.startswith("#")
    ]
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", line) for line in lines)
    assert (
        distributions(lines) == NEEDED["core"] | NEEDED["suite"] | NEEDED["test"]
    )  # cc3m's pandas is an older one


def test_every_setting_is_a_parameter_of_some_notebook():
    declared = set().union(*(fingerprint.declared_parameters(path) for path in NOTEBOOKS))
    declared |= {"name", "models_per_job"}  # read by the workflow
    assert {one.name for one in fields(Profile)} - declared == set(), "settings that nothing reads"


def test_a_fingerprint_follows_code_and_nothing_else(tmp_path):
    def digest(code, prose="# Title"):
        path = tmp_path / "one.ipynb"
        cell = {
            "cell_type": "code",
            "metadata": {},
            "source": code,
            "outputs": [],
            "execution_count": None,
        }
        path.write_text(
            json.dumps(
                {"cells": [{"cell_type": "markdown", "metadata": {}, "source": prose}, cell]}
            )
        )
        return fingerprint.fingerprint(path)

    assert digest("a = 1") == digest("a = 1", "# Another") != digest("a = 2")
    assert digest("%matplotlib inline\na = 1") != digest("a = 1")


def test_a_fingerprint_knows_the_modules_that_code_comes_to_use():
    used = fingerprint.imported_modules
    assert used("from featpurity import plots, swap_captions") == {"plots", "captions"}
    assert used("import featpurity\nfeatpurity.avg_abs_cos(x)") == {"purity"}
    assert used("from featpurity.purity import cosine_matrix") == {"purity"}
    assert used("import featpurity.zeroshot as z") == {"zeroshot"}
    assert used("def late():\n    from . import plots\n    from .results import effect") == {
        "plots",
        "results",
    }
    assert used("import torch") == set()
