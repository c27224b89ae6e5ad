"""One notebook at a time: with this Python, in narrow places, and in one line when it fails."""

import errno
import json
import os
import sys

import pytest
import run_notebook
import written
from fingerprint import LIVE_ONLY
from test_workflow import write_notebook

from featpurity.data import catalog

pytestmark = pytest.mark.slow


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def execute(place, body, **parameters):
    write_notebook(place / "one.ipynb", "results_dir = 'results/live'", body)
    run_notebook.run(place / "one.ipynb", place / "out.ipynb", place / "log/one.log", parameters)
    return json.loads((place / "out.ipynb").read_text())


def test_a_kernel_installed_under_the_name_python3_is_not_taken(place, monkeypatch):
    spec = place / "jupyter/kernels/python3/kernel.json"
    spec.parent.mkdir(parents=True)
    spec.write_text(json.dumps({"argv": ["false"], "display_name": "x", "language": "python"}))
    monkeypatch.setenv("JUPYTER_PATH", str(place / "jupyter"))
    done = execute(place, "import sys\nprint(sys.executable)")
    assert done["cells"][-1]["outputs"][0]["text"] == [f"{sys.executable}\n"]


def test_temporary_folders_with_long_names_and_a_home_that_cannot_be_written(place, monkeypatch):
    long = place / ("x" * 120)
    long.mkdir()
    home = place / "home"
    home.mkdir(mode=0o500)
    monkeypatch.setattr("tempfile.tempdir", str(long))
    for name, value in {
        "TMPDIR": long,
        "HOME": home,
        "IPYTHONDIR": home,
        "JUPYTER_RUNTIME_DIR": home,
    }.items():
        monkeypatch.setenv(name, str(value))
    execute(place, "import tempfile\nassert tempfile.gettempdir()")
    assert not list(home.iterdir())


def test_panels_for_a_reader_are_left_out(place):
    write_notebook(place / "one.ipynb", "results_dir = 'results/live'", "1 / 0")
    notebook = json.loads((place / "one.ipynb").read_text())
    notebook["cells"][-1]["metadata"]["tags"] = [LIVE_ONLY]
    (place / "one.ipynb").write_text(json.dumps(notebook))
    run_notebook.run(place / "one.ipynb", place / "out.ipynb", place / "log/one.log", {})
    assert json.loads((place / "out.ipynb").read_text())["cells"][-1]["outputs"] == []


def test_what_it_wrote_is_noted(place):
    body = "from featpurity.files import write_text\nwrite_text(results_dir + '/tables/t.csv', 'a')\nwrite_text('else', '')"
    done = execute(place, body, results_dir=str(place / "r"))
    assert list(done["metadata"]["featpurity"]["written"]) == ["tables/t.csv"]

    def faults():
        return written.changed(place / "out.ipynb", place / "r", lambda name: "another state")

    assert faults() == []
    (place / "r/tables/t.csv").write_text("b")
    assert faults() == [f"{place}/r/tables/t.csv was changed"]
    (place / "r/tables/t.csv").unlink()
    assert faults() == [f"{place}/r/tables/t.csv is gone"]


@pytest.mark.parametrize(
    "body, why",
    [
        ("raise ValueError('no\\nluck')", "ValueError: no luck"),
        ("import os\nos.kill(os.getpid(), 9)", "its Python was killed; was the memory enough?"),
    ],
)
def test_a_failure_is_one_line(place, monkeypatch, body, why):
    write_notebook(place / "one.ipynb", "results_dir = 'r'", body)
    monkeypatch.setattr(sys, "argv", ["run", "one.ipynb", "out.ipynb", "log/one.log", "{}"])
    with pytest.raises(SystemExit, match="one.ipynb failed") as stopped:
        run_notebook.main()
    said = f"one.ipynb failed: {why} (as far as it came: log/one.ipynb)"
    assert str(stopped.value) == said and (place / "log/one.failed").read_text() == f"{said}\n"
    assert not (place / "out.ipynb").exists() and (place / "log/one.ipynb").exists()


def test_what_goes_wrong_around_a_notebook_is_one_line_too(place, monkeypatch):
    write_notebook(place / "one.ipynb", "results_dir = 'r'", "")
    (place / "out").write_text("a file where a folder is expected")
    monkeypatch.setattr(sys, "argv", ["run", "one.ipynb", "out/one.ipynb", "log/one.log", "{}"])
    with pytest.raises(SystemExit, match="one.ipynb failed: (NotADirectory|FileExists)Error: "):
        run_notebook.main()
    assert (place / "log/one.failed").read_text().startswith("one.ipynb failed: ")
    assert "Traceback" in (place / "log/one.log").read_text()


def test_logs_may_lie_on_another_disk(place, monkeypatch):
    def replaced(source, target, real=os.replace):
        if os.path.dirname(source) != os.path.dirname(target):
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        real(source, target)

    monkeypatch.setattr(os, "replace", replaced)
    assert execute(place, "1") and not (place / "log/one.ipynb").exists()


def test_changed_files_of_a_data_set_are_noticed(place):
    for name in ["ant", "bee"]:
        (place / "photos" / name).mkdir(parents=True)
        (place / "photos" / name / "1.png").touch()
    data = f"folder:{place}/photos"
    write_notebook(place / "one.ipynb", "datasets = []", "")
    run_notebook.run(
        place / "one.ipynb", place / "out.ipynb", place / "one.log", {"datasets": [data]}
    )
    assert written.changed(place / "out.ipynb", place, catalog.data_state) == []
    (place / "photos/ant/2.png").touch()
    changed = [f"the files of {data} changed"]
    assert written.changed(place / "out.ipynb", place, catalog.data_state) == changed
    # Also where they change while the notebook runs: nobody knows which of them it read.
    added = f"open({str(place / 'photos/bee/2.png')!r}, 'w').close()"
    write_notebook(place / "one.ipynb", "datasets = []", added)
    run_notebook.run(
        place / "one.ipynb", place / "out.ipynb", place / "one.log", {"datasets": [data]}
    )
    assert written.changed(place / "out.ipynb", place, catalog.data_state) == changed
