"""The real Snakefile on tiny notebooks: what runs, what does not run again, what a failed or killed run leaves."""

import fcntl
import functools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from checkout import ROOT
from PIL import Image

import book
from featpurity.profile import load

SNAKEMAKE = [sys.executable, "-m", "snakemake", "--cores", "2", "--nolock"]
BOOK = [sys.executable, "workflow/book.py", "demo", "--cores", "2"]  # as `make book` calls it
NOTEBOOKS = {
    "steps/embed": "models = ['scenes_clip']\ndatasets = []\npairs = 'scenes'\nprobe_on = 'train'\nstore_dir = 'store'",
    "steps/swap": "ratios = [0.0]\nrewrites = []\nresults_dir = 'results/live'",
    "steps/finetune": "learning_rate = 1.0e-3\nresults_dir = 'results/live'",
    "01_clip_vs_laclip": "n_bootstrap = 500\nresults_dir = 'results/live'",
    "02_neuron_pruning": "n_random_orders = 32\nkept = None",
    "03_misalignment": "ratios = [0.0]",
    "05_caption_filter": "mistaken = [0.2]",
    "07_claims": "results_dir = 'results/live'",
}
# Each notebook notes that it ran, and with which parameters, and writes a table; some wait or fail when told so.
BODY = """
import json, pathlib, sys
from featpurity.files import workspace, write_text
given = {key: value for key, value in globals().items() if key in %r}
name = %r + "".join(f" {model}" for model in given.get("models", [])) + (" pairs" if given.get("pairs") else "")
if pathlib.Path("fail").exists() and name == pathlib.Path("fail").read_text():
    raise RuntimeError("told to fail")
if pathlib.Path("wait").exists() and name == pathlib.Path("wait").read_text():
    open("for ever").read()  # a pipe that nobody writes to
if "results_dir" in given:
    write_text(workspace(given["results_dir"]) / f"tables/{name.replace('/', ' ')}.csv", "a,b\\n")
with open("ran.txt", "a") as lines:
    lines.write(json.dumps([name, sys.executable, given]) + "\\n")
"""


def write_notebook(path, parameters, body):
    cells = [("# Title", "markdown", []), (parameters, "code", ["parameters"]), (body, "code", [])]
    cells = [
        {"cell_type": kind, "id": f"cell{i}", "metadata": {"tags": tags}, "source": source}
        | ({"outputs": [], "execution_count": None} if kind == "code" else {})
        for i, (source, kind, tags) in enumerate(cells)
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5})
    )


def build(folder):
    shutil.copytree(
        ROOT / "workflow", folder / "workflow", ignore=shutil.ignore_patterns("__pycache__")
    )
    (folder / "workflow/stage_book.py").write_text(
        "import pathlib, sys\n"
        "page = pathlib.Path(sys.argv[1]) / 'book/_build/html/index.html'\n"
        "page.parent.mkdir(parents=True, exist_ok=True)\npage.write_text('a page')\n"
    )
    for name, parameters in NOTEBOOKS.items():
        keys = [line.split(" = ")[0] for line in parameters.splitlines()]
        write_notebook(folder / f"notebooks/{name}.ipynb", parameters, BODY % (keys, name))
    for name in ["a.pt", "b.pt", "_config.yml", "_toc.yml", "book/intro.md"]:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(name)
    (folder / "profiles").mkdir()
    (folder / "profiles/demo.yaml").write_text(
        "chapters: [01_clip_vs_laclip, 02_neuron_pruning, 03_misalignment, 05_caption_filter, 07_claims]\n"
        "clip_models: [a.pt]\nlaclip_models: [b.pt]\nfinetune_model: b.pt\nfilter_model: a.pt\ndatasets: [scenes_shape]\nmodels_per_job: 1\n"
    )
    return folder


def start(folder, *options, command=SNAKEMAKE, **popen):
    return subprocess.Popen(
        [*command, *options],
        cwd=folder,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        **popen,
    )


def run(folder, *options, command=SNAKEMAKE):
    """Run the workflow; the exit status, what it printed, and the notebooks that ran."""
    (folder / "ran.txt").unlink(missing_ok=True)
    process = start(folder, *options, command=command)
    said = process.communicate(timeout=300)[0]
    return process.returncode, said, ran(folder)


def would_run(folder, *options):
    """The jobs that a call would run, by the names of their logs; the book's, always last, is left out."""
    status, said, notebooks = run(folder, "--dry-run", *options)
    assert status == 0 and not notebooks, said
    return {Path(log).stem for log in re.findall(r"\(log: (.+?)\)", said)} - {"book"}


def ran(folder):
    lines = (folder / "ran.txt").read_text().splitlines() if (folder / "ran.txt").exists() else []
    return {name: (python, given) for name, python, given in map(json.loads, lines)}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished run; tests that spoil it take a copy."""
    folder = build(tmp_path_factory.mktemp("suite"))
    status, said, notebooks = run(folder)
    assert status == 0, said
    return folder, notebooks


@pytest.fixture
def suite(finished, tmp_path):
    shutil.copytree(finished[0], tmp_path / "suite", copy_function=shutil.copy2)
    return tmp_path / "suite"


pytestmark = pytest.mark.slow


def test_every_notebook_runs_once_with_this_python_and_only_its_own_parameters(finished):
    folder, notebooks = finished
    embeds = {"steps/embed a.pt", "steps/embed b.pt", "steps/embed b.pt pairs"}
    assert set(notebooks) == set(NOTEBOOKS) - {"steps/embed"} | embeds
    assert {python for python, _ in notebooks.values()} == {sys.executable}
    assert notebooks["steps/swap"][1]["ratios"] == [0.0, 0.1, 0.3, 0.5, 0.8]
    assert notebooks["steps/finetune"][1]["learning_rate"] == 1e-3
    assert notebooks["02_neuron_pruning"][1]["kept"] is None
    # data sets and pairs are embedded apart, the pairs for the model to fine-tune only
    assert notebooks["steps/embed b.pt"][1]["datasets"] == ["scenes_shape"]
    assert notebooks["steps/embed b.pt pairs"][1]["datasets"] == []
    assert notebooks["steps/embed b.pt"][1]["probe_on"] == "test"  # without a chapter that probes
    assert (folder / "results/demo/book/_build/html/index.html").is_file()
    assert (folder / "results/demo/notebooks/steps/embed_a.pt.ipynb").is_file()


def test_nothing_changed_nothing_done(suite):
    # saved again, with other prose and outputs: not a change
    path = suite / "notebooks/01_clip_vs_laclip.ipynb"
    notebook = json.loads(path.read_text())
    notebook["cells"][0]["source"] = "# Another title"
    notebook["cells"][1]["outputs"] = [{"output_type": "stream", "name": "stdout", "text": "seen"}]
    path.write_text(json.dumps(notebook))
    status, said, notebooks = run(suite)
    assert status == 0 and not notebooks, said
    assert "Nothing to be done" in said


def test_a_changed_setting_reruns_what_depends_on_it(suite):
    _, said, notebooks = run(suite, "--config", "n_random_orders=40")
    assert set(notebooks) == {"02_neuron_pruning", "07_claims"}, said
    assert "    02_neuron_pruning: cell " in said  # progress shows on the terminal
    both = "--config", "n_random_orders=40", "learning_rate=2.0e-3"
    assert would_run(suite, *both) == {"finetune", "03_misalignment", "07_claims"}


def test_shards_of_captions_are_a_job_each_and_swap_waits_for_them(suite):
    vectors = BODY % (["caption_shards"], "steps/vectors")
    write_notebook(suite / "notebooks/steps/vectors.ipynb", "caption_shards = 1", vectors)
    parameters = "caption_shards = 1\nshard = 0"
    body = BODY % (["caption_shards", "shard"], "steps/neighbours")
    write_notebook(
        suite / "notebooks/steps/neighbours.ipynb",
        parameters,
        body.replace("name = ", "name = f'{shard} ' + "),
    )
    status, said, notebooks = run(suite, "--config", "caption_shards=3")
    jobs = [f"{shard} steps/neighbours" for shard in range(3)]
    assert status == 0 and set(notebooks) == {
        *jobs,
        "steps/vectors",
        "steps/swap",
        "steps/finetune",
        "03_misalignment",
        "07_claims",
    }, said
    assert list(notebooks)[0] == "steps/vectors" and sorted(list(notebooks)[1:4]) == jobs
    assert [notebooks[job][1] for job in jobs] == [
        {"caption_shards": 3, "shard": shard} for shard in range(3)
    ]


def test_a_changed_file_of_rewritten_captions_reruns_what_reads_the_pairs(suite):
    (suite / "data").mkdir()
    (suite / "data/pairs.csv").write_text("image,caption\ndog.png,a dog\n")
    Image.new("RGB", (4, 4)).save(suite / "data/dog.png")
    (suite / "data/chat.txt").write_text("a dog\n")
    settings = [
        "--config",
        "pairs=pairs.csv",
        "rewrites=[chat.txt]",
        "chapters=[03_misalignment,07_claims]",
    ]
    status, said, notebooks = run(suite, *settings)
    assert status == 0 and notebooks["steps/swap"][1]["rewrites"] == ["chat.txt"], said
    (suite / "data/chat.txt").write_text("a large dog\n")
    again = {"embed_pairs", "swap", "finetune", "03_misalignment", "07_claims"}
    assert would_run(suite, *settings) == again


def test_retrieval_s_pairs_are_embedded_with_the_data_sets(suite):
    (suite / "data").mkdir()
    (suite / "data/pairs.csv").write_text("image,caption\ndog.png,a dog\n")
    Image.new("RGB", (4, 4)).save(suite / "data/dog.png")
    shutil.copy(
        suite / "notebooks/01_clip_vs_laclip.ipynb",
        suite / "notebooks/10_retrieval_and_probe.ipynb",
    )
    settings = [
        "--config",
        "pairs=pairs.csv",
        "chapters=[01_clip_vs_laclip,10_retrieval_and_probe]",
    ]
    _, said, notebooks = run(suite, *settings)
    assert {"steps/embed a.pt pairs", "steps/embed b.pt pairs"} <= set(notebooks), said
    given = notebooks["steps/embed a.pt pairs"][1]
    assert (given["datasets"], given["probe_on"]) == (["scenes_shape"], "train")


def test_models_that_share_a_job_are_embedded_in_one(suite):
    shutil.rmtree(suite / "results")
    status, said, notebooks = run(suite, "--config", "models_per_job=2")
    embeds = [name for name in notebooks if name.startswith("steps/embed")]
    assert status == 0 and sorted(embeds) == ["steps/embed a.pt b.pt", "steps/embed b.pt pairs"], (
        said
    )
    assert set(notebooks) - set(embeds) == set(NOTEBOOKS) - {"steps/embed"}
    order = list(notebooks)
    assert all(
        order.index(embeds[0]) < order.index(name)
        for name in ["01_clip_vs_laclip", "steps/finetune"]
    )
    (suite / "b.pt").write_text("other weights")  # of the job's second model
    assert "embed_a.pt" in would_run(suite, "--config", "models_per_job=2")


def test_changed_code_and_changed_weights_rerun_what_depends_on_them(suite):
    path = suite / "notebooks/03_misalignment.ipynb"
    path.write_text(path.read_text().replace("told to fail", "told so"))
    _, said, notebooks = run(suite)
    assert set(notebooks) == {"03_misalignment", "07_claims"}, said
    (suite / "a.pt").write_text("other weights")
    assert would_run(suite) == {
        "embed_a.pt",
        "01_clip_vs_laclip",
        "02_neuron_pruning",
        "05_caption_filter",
        "07_claims",
    }


def test_older_files_in_the_place_of_others_are_a_change(suite):
    os.utime(suite / "a.pt", (1, 1))  # as `cp -p` of another epoch's weights
    chapters = {"01_clip_vs_laclip", "02_neuron_pruning", "05_caption_filter", "07_claims"}
    assert would_run(suite) == {"embed_a.pt", *chapters}
    (suite / "prompts.txt").write_text("a photo of a {}\n")
    settings = ["--config", "prompts=prompts.txt", "chapters=[01_clip_vs_laclip]"]
    assert run(suite, *settings)[0] == 0
    (suite / "prompts.txt").write_text("a drawing of a {}\n")
    os.utime(suite / "prompts.txt", (1, 1))
    assert would_run(suite, *settings) == {"01_clip_vs_laclip"}


def test_a_run_keeps_the_settings_that_it_began_with(suite, monkeypatch):
    monkeypatch.chdir(suite)
    profile = suite / "profiles/demo.yaml"
    command = book.command_for(load("demo"), ["--cores", "2"])
    profile.write_text(profile.read_text() + "n_random_orders: 40\nnonsense: [\n")
    assert "Nothing to be done" in run(suite, command=command)[1]


def test_a_card_of_a_cluster_is_for_what_runs_towers(suite, monkeypatch):
    for name in ["steps/finetune", "02_neuron_pruning", "05_caption_filter"]:
        body = BODY % (["device"], name)
        write_notebook(suite / f"notebooks/{name}.ipynb", "device = 'auto'", body)
    (suite / "bin").mkdir()
    (suite / "bin/sbatch").write_text("#!/bin/sh\n")
    (suite / "bin/sbatch").chmod(0o755)
    monkeypatch.setenv("PATH", f"{suite}/bin:{os.environ['PATH']}")
    status, said, notebooks = run(suite, "--config", "device=cuda")
    assert status == 0, said
    devices = {name: given.get("device") for name, (_, given) in notebooks.items()}
    assert devices["steps/finetune"] == devices["05_caption_filter"] == "cuda"
    assert devices["02_neuron_pruning"] == "auto"


def test_names_may_hold_braces(suite):
    for name in ["{sample}.pt", "{word}.txt", "{pairs}.csv"]:
        shutil.copy(suite / "a.pt", suite / name)
    (suite / "{word}.txt").write_text("a photo of a {}\n")
    (suite / "{pairs}.csv").write_text("image,caption\ndog.png,a dog\n")
    Image.new("RGB", (4, 4)).save(suite / "dog.png")
    (suite / "profiles/demo.yaml").write_text(
        "chapters: [01_clip_vs_laclip, 03_misalignment]\nclip_models: ['{sample}.pt']\n"
        "laclip_models: [b.pt]\nfinetune_model: '{sample}.pt'\ndatasets: [scenes_shape]\n"
        "prompts: '{word}.txt'\npairs: '{pairs}.csv'\nstore_dir: '{store}'\nmodels_per_job: 1\n"
    )
    status, said, notebooks = run(suite)
    assert status == 0, said
    assert "steps/embed {sample}.pt pairs" in notebooks
    assert notebooks["steps/embed b.pt"][1]["store_dir"] == "{store}"


def test_a_failed_notebook_leaves_its_traceback_and_no_result(suite):
    shutil.rmtree(suite / "results/demo/notebooks")
    (suite / "results/demo/logs/gone.failed").write_text("an earlier run's failure\n")
    (suite / "fail").write_text("01_clip_vs_laclip")
    status, said, notebooks = run(suite, command=BOOK)
    assert status != 0 and "told to fail" in said and "an earlier run's" not in said
    assert (
        "02_neuron_pruning" in notebooks and "07_claims" not in notebooks
    )  # keep-going, but not past it
    assert not (suite / "results/demo/notebooks/01_clip_vs_laclip.ipynb").exists()
    assert "told to fail" in (suite / "results/demo/logs/01_clip_vs_laclip.ipynb").read_text()
    last = said.strip().splitlines()[-1]
    assert last == (
        "notebooks/01_clip_vs_laclip.ipynb failed: RuntimeError: told to fail (as far as it came: "
        "results/demo/logs/01_clip_vs_laclip.ipynb)"
    )
    (suite / "fail").unlink()
    status, said, notebooks = run(suite)
    assert status == 0 and set(notebooks) == {"01_clip_vs_laclip", "07_claims"}, said


def test_a_killed_run_resumes(suite):
    shutil.rmtree(suite / "results")
    (suite / "wait").write_text("steps/finetune")
    os.mkfifo(suite / "for ever")
    (suite / "ran.txt").unlink()
    process = start(suite, start_new_session=True)
    # three embeddings, the swaps and three chapters; the fine-tuning waits, and all else waits for it
    assert any("7 of 12 steps" in line for line in process.stdout)
    before = set(ran(suite))
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    (suite / "wait").unlink()
    status, said, notebooks = run(suite)
    assert status == 0, said
    assert set(notebooks) == {
        "steps/finetune",
        "03_misalignment",
        "07_claims",
    } and not before & set(notebooks)


def test_a_profile_runs_its_own_chapters_and_what_they_need(suite):
    shutil.rmtree(suite / "results")
    status, said, notebooks = run(suite, "--config", "chapters=[01_clip_vs_laclip,07_claims]")
    assert status == 0 and set(notebooks) == {
        "steps/embed a.pt",
        "steps/embed b.pt",
        "01_clip_vs_laclip",
        "07_claims",
    }, said


def test_a_dry_run_does_nothing(suite):
    shutil.rmtree(suite / "results")
    status, said, notebooks = run(suite, "--dry-run")
    assert status == 0 and not notebooks and not (suite / "results").exists()
    assert "embed_pairs, finetune" in said


def test_the_plan_tells_costs_and_jobs_or_what_is_missing(suite):
    shutil.rmtree(suite / "results")
    status, said, notebooks = run(suite, "--plan", command=BOOK)
    assert status == 0 and not notebooks
    costs, _, jobs = said.partition("To run\n")
    assert "To download: about 0 MB" in costs and "Missing\n  nothing" in costs
    assert "  chapter 03_misalignment: has not run, or its result is gone" in jobs
    profile = suite / "profiles/demo.yaml"
    text = profile.read_text().replace(" 05_caption_filter,", "")  # which takes no CSV
    profile.write_text(f"{text}pairs: nowhere.csv\n")
    status, said, _ = run(suite, "--plan", command=BOOK)
    assert status == 0 and "Missing\n  nowhere.csv: there is no such file" in said
    assert said.endswith("To run\n  known when nothing is missing\n")
    status, said, _ = run(suite, command=BOOK)
    assert status == 2 and said.startswith("nowhere.csv: there is no such file")


@pytest.mark.parametrize(
    "setting, message",
    [
        ("ratio=0.5", "did you mean 'ratios'"),
        ("clip_models=[c.pt]", "model 'c.pt': there is no file"),
        ("datasets=[cifar11]", "did you mean 'cifar1"),
        ("data_root=nowhere", "there is no folder nowhere"),
    ],
)
def test_a_bad_setting_is_told_before_anything_runs(suite, setting, message):
    status, said, notebooks = run(suite, "--config", setting)
    assert status != 0 and message in said and not notebooks
    assert "Traceback" not in said


@pytest.mark.parametrize("fault", ["was changed", "is gone"])
def test_a_table_that_is_not_the_run_s_is_noticed(suite, fault):
    table = suite / "results/demo/tables/01_clip_vs_laclip.csv"
    table.touch()  # another time, the same content
    assert "Nothing to be done" in run(suite)[1]
    table.write_text("c,d\n") if fault == "was changed" else table.unlink()
    told = f"01_clip_vs_laclip runs again: results/demo/tables/01_clip_vs_laclip.csv {fault}"
    assert told in run(suite, "--dry-run")[1]
    status, said, notebooks = run(suite)
    assert status == 0 and told in said and set(notebooks) == {"01_clip_vs_laclip", "07_claims"}
    assert table.read_text() == "a,b\n"
    assert "Nothing to be done" in run(suite)[1]


def test_a_second_run_of_one_folder_of_results_is_refused(suite):
    with open(suite / "results/demo/.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        status, said, notebooks = run(suite, command=BOOK)
    assert status == 75 and not notebooks
    assert said == "Another run is at work in results/demo: let it end.\n"


def test_a_run_whose_make_was_killed_is_at_work_until_it_ends(suite):
    (suite / "wait").write_text("07_claims")
    os.mkfifo(suite / "for ever")
    (suite / "results/demo/tables/07_claims.csv").unlink()
    process = start(suite, command=BOOK)
    assert any("07_claims: cell" in line for line in process.stdout)
    process.kill()
    process.wait()
    assert run(suite, command=BOOK)[0] == 75
    (suite / "for ever").write_text("let it go on")
    process.communicate(timeout=300)  # ends with the last process that holds the pipe
    assert run(suite, command=BOOK)[0] == 0


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupted_run_says_how_to_go_on(suite, ending):
    (suite / "wait").write_text("07_claims")
    os.mkfifo(suite / "for ever")
    (suite / "results/demo/tables/07_claims.csv").unlink()
    # Tests in the background ignore Ctrl-C, under nohup a closed terminal too; processes inherit that.
    heeded = functools.partial(signal.signal, ending, signal.SIG_DFL)
    process = start(suite, command=BOOK, start_new_session=True, preexec_fn=heeded)
    assert any("07_claims: cell" in line for line in process.stdout)
    os.kill(process.pid, ending)
    said = process.communicate(timeout=300)[0]  # ends with the last process that holds the pipe
    assert "\nStopped. Run the same again to go on from here.\n" in said
    assert process.returncode == 130 and "Traceback" not in said


@pytest.mark.parametrize("name", ['it\'s a "profile" ; touch y', "2024", "007"])
def test_profiles_and_folders_may_have_any_name(suite, name):
    (suite / "profiles/demo.yaml").rename(suite / f"{name}.yaml")
    (suite / name).mkdir()
    command = [sys.executable, "workflow/book.py", f"{name}.yaml", name, "--plan"]
    status, said, _ = run(suite, command=command)
    assert status == 0 and f"results/{name}/" in said, said
    assert "  chapter 01_clip_vs_laclip: has not run, or its result is gone" in said
    assert not (suite / "y").exists()


def test_the_plan_says_which_chapters_run_again_and_why(suite):
    assert "To run\n  nothing" in run(suite, "--plan", command=BOOK)[1]
    path = suite / "notebooks/01_clip_vs_laclip.ipynb"
    path.write_text(path.read_text().replace("told to fail", "told so"))
    status, said, notebooks = run(suite, "--plan", command=BOOK)
    assert status == 0 and not notebooks
    assert said.partition("To run\n")[2].splitlines() == [
        "  chapter 01_clip_vs_laclip: its settings, its code or a file that it reads changed",
        "  chapter 07_claims: what it reads is made again",
        "  building the book: what it reads is made again",
    ]


def test_notebooks_know_models_and_data_by_labels_and_show_no_path(suite):
    for name in ["ant", "bee"]:
        (suite / "disk/photos" / name).mkdir(parents=True)
        for i in range(2):
            Image.new("RGB", (4, 4)).save(suite / "disk/photos" / name / f"{i}.png")
    shutil.copy(suite / "a.pt", suite / "disk/mine.pt")
    profile = suite / "labelled.yaml"
    profile.write_text(
        f"chapters: [01_clip_vs_laclip, 07_claims]\nmodels_per_job: 1\nclip_models: [{suite}/disk/mine.pt]\n"
        f"laclip_models: [b.pt]\nlabels: {{b.pt: better}}\n"
        f"datasets: ['folder:{suite}/disk/photos']\nprompts: {suite}/disk/own.txt\n"
        f"data_root: {suite}/disk\nstore_dir: {suite}/disk/store\nresults_dir: {suite}/disk/out\n"
    )
    (suite / "disk/own.txt").write_text("a photo of a {}\n")
    command = [sys.executable, "workflow/book.py", str(profile), "--cores", "2"]
    status, said, notebooks = run(suite, command=command)
    assert status == 0, said
    assert set(notebooks) >= {"steps/embed mine.pt", "steps/embed better"}
    assert notebooks["steps/embed mine.pt"][1]["datasets"] == ["photos"]
    assert notebooks["steps/embed mine.pt"][1]["store_dir"] == ".../store"
    assert (suite / "disk/out/tables/01_clip_vs_laclip.csv").is_file()
    executed = sorted((suite / "disk/out/notebooks").rglob("*.ipynb"))
    assert "embed_mine.pt.ipynb" in [path.name for path in executed]
    for path in executed:
        notebook = json.loads(path.read_text())
        assert str(suite) not in json.dumps([notebook["cells"], notebook["metadata"]["featpurity"]])
    assert "Nothing to be done" in run(suite, command=command)[1]
    Image.new("RGB", (4, 4)).save(suite / "disk/photos/ant/3.png")
    said = run(suite, "--dry-run", command=command)[1]
    assert "embed_mine.pt runs again: the files of photos changed" in said


def test_a_home_that_cannot_be_written_is_no_obstacle(suite, monkeypatch):
    monkeypatch.setenv("HOME", "/proc/nobody")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    (suite / "results/demo/tables/07_claims.csv").unlink()
    status, said, notebooks = run(suite, command=BOOK)
    assert status == 0 and set(notebooks) == {"07_claims"}, said


def test_changed_prompts_of_one_s_own_rerun_the_chapters(suite):
    (suite / "prompts.txt").write_text("a photo of a {}\n")
    settings = ["--config", "prompts=prompts.txt", "chapters=[01_clip_vs_laclip]"]
    assert run(suite, *settings)[0] == 0
    (suite / "prompts.txt").write_text("a drawing of a {}\n")
    assert set(run(suite, *settings)[2]) == {"01_clip_vs_laclip"}
