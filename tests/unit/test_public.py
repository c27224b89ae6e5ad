"""What `import featpurity` offers: every name and module, lazily; a stub for editors; a wheel."""

import ast
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import open_clip
import pytest
import torch
from checkout import ROOT
from PIL import Image
from plotly.graph_objects import Figure

import featpurity as fp

PACKAGE = ROOT / "featpurity"


def stub():
    """Names of the stub: those imported from a module, and those that are modules themselves."""
    nodes = ast.parse((PACKAGE / "__init__.pyi").read_text()).body
    imports = [node for node in nodes if isinstance(node, ast.ImportFrom)]
    return [(node.module, alias.name, alias.asname) for node in imports for alias in node.names]


def test_the_stub_lists_every_public_name_from_its_module_and_every_module():
    listed = {shown: ".".join(filter(None, [home, name])) for home, name, shown in stub()}
    names = {name: f"{module}.{name}" for name, module in fp._MODULE_OF.items()}
    modules = {name: name for name in fp._modules()} | fp._SHORT
    assert listed == names | modules


def test_every_name_and_module_is_there_after_the_import_and_listed():
    for name in [*fp.__all__, *fp._modules(), *fp._SHORT]:
        assert getattr(fp, name) is not None and name in dir(fp), name
    assert fp.plots is fp.figures is fp.report.figures and fp.explore is fp.report.panels
    with pytest.raises(AttributeError, match="module 'featpurity' has no attribute 'purify'"):
        fp.purify  # noqa: B018


ROOMS = """
import sys, featpurity as fp
assert fp.models.config.CONFIG and "swap" in dir(fp.captions)
assert not {"torch", "pandas", "featpurity.models.load"} & set(sys.modules)
"""


def test_the_modules_of_a_room_are_there_without_another_import():
    subprocess.run([sys.executable, "-c", ROOMS], check=True)
    with pytest.raises(AttributeError, match="module 'featpurity.metrics' has no attribute 'no'"):
        fp.metrics.no  # noqa: B018


TINY = {  # of as many neurons as ViT-B-32, and of little else
    "embed_dim": 512,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 16},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1},
}


def python_of(page):
    """The Python examples of a page, in order."""
    return re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), re.S)


@pytest.mark.slow
@pytest.mark.parametrize("page", ["README.md", "book/run_your_own.md"])
def test_the_examples_of_a_page_run_as_they_stand(tmp_path, monkeypatch, capsys, page):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, "ViT-B-32", TINY)
    monkeypatch.setattr(Figure, "show", lambda figure: print(figure.layout.meta["caption"]))
    for name in ["base", "tuned"]:
        torch.save(open_clip.CLIP(**TINY).state_dict(), f"{name}.pt")
    for i, shade in enumerate([10, 40, 70, 180, 210, 240]):
        path = Path("photos", "dark" if shade < 128 else "light", f"{i}.png")
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40, 40), (shade, shade, 255 - shade)).save(path)
    examples = python_of(page)
    for example in examples:
        exec(example, {})
    printed = capsys.readouterr().out
    assert examples and len(printed.splitlines()) >= len(examples)
    if "fp.compare" in "".join(examples):  # the rows that the page speaks of are there
        assert re.search(r"base +image", printed) and re.search(
            r"tuned .*high_purity +400", printed
        )
        assert len(examples[0].splitlines()) <= 10


@pytest.mark.slow
def test_the_wheel_holds_the_models_the_stub_and_the_mark_of_types(tmp_path):
    source = tmp_path / "source"  # a build writes beside what it builds
    shutil.copytree(PACKAGE, source / "featpurity", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ["pyproject.toml", "README.md", "LICENSE"]:
        shutil.copy(ROOT / name, source)
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", source]
    subprocess.run([*command, "-w", tmp_path], check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    here = [
        path for path in PACKAGE.rglob("*") if path.is_file() and "__pycache__" not in path.parts
    ]
    assert {path.relative_to(ROOT).as_posix() for path in here} <= names
    unpacked = tmp_path / "elsewhere"
    zipfile.ZipFile(wheel).extractall(unpacked)
    code = "import featpurity as fp; print(fp.__file__); print(fp.load_model('scenes_clip'))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        capture_output=True,
        text=True,
        cwd=unpacked,
        env={"PYTHONPATH": str(unpacked)},
    )
    file, clip = done.stdout.splitlines()
    assert Path(file).parent == unpacked / "featpurity"
    assert clip.startswith("ClipModel('scenes_clip', d=128, widths=(")
