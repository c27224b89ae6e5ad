"""What cannot run, or runs otherwise than meant: told in a line by check, plan and book, before anything runs."""

from types import SimpleNamespace

import pytest
from PIL import Image

import book
from featpurity.cli import main
from featpurity.profile import load

BASE = "prompts: paper\nchapters: [01_clip_vs_laclip, 02_neuron_pruning]\n"
PHOTOS = "datasets: ['folder:photos']\n"
CANNOT_RUN = {
    "one class": ("datasets: ['folder:one']\n", "folder:one: 1 class; "),
    "kept above d": (PHOTOS + "kept: [1, 5000]\n", "kept goes up to 5000, but scenes_clip has 128"),
    "several classes a picture": (
        "datasets: [voc2007]\n",
        "voc2007: its pictures show several classes, which 01_clip_vs_laclip does not take: give "
        "10_retrieval_and_probe a profile of its own",
    ),
    "no card": (PHOTOS + "device: cuda\n", "device: cuda, but PyTorch sees 0 of kind cuda here"),
    "no such card": (
        PHOTOS + "device: cuda:7\n",
        "device: cuda:7, but PyTorch sees 0 of kind cuda",
    ),
    "a key twice": (
        PHOTOS + "epochs: 3\nepochs: 5\n",
        "line 5: the key 'epochs' stands there a sec",
    ),
    "a label twice": (PHOTOS + "labels: {a: b, a: c}\n", "the key 'a' stands there a second time"),
    "unreadable": ("datasets: ['folder:broken']\n", "folder:broken: 1 of 4 images cannot be read"),
    "none readable": (
        "datasets: ['folder:empty']\nunreadable: skip\n",
        "folder:empty: none of the 2 images is readable",
    ),
    "unreadable, to train probes on": (
        "datasets: [pets]\nchapters: [10_retrieval_and_probe]\n",
        "pets, training images: 1 of 4 images cannot be read",
    ),
    "other classes to train probes on": (
        "datasets: [dtd]\nchapters: [10_retrieval_and_probe]\n",
        "dtd: its test and training images differ in their classes: bee, cat",
    ),
    "unreadable, of pairs": (
        PHOTOS + "chapters: [03_misalignment]\npairs: pairs.csv\n",
        "pairs: 1 of 2 images cannot be read",
    ),
}
RUNS_OTHERWISE = {
    "one picture a class": (
        "datasets: ['folder:single']\n",
        "folder:single: one picture a class, so that its silhouette is not defined",
    ),
    "a batch that is cut": (
        "chapters: [03_misalignment]\ndatasets: [scenes_shape]\nn_pairs: 795\n",
        "batches of 1,024 pairs are cut to 795",
    ),
    "a batch that is cut for its steps": (
        "chapters: [06_online_and_cached]\ndatasets: [scenes_shape]\n",
        "06_online_and_cached: batches of 1,024 pairs are cut to 250, for 8 steps an epoch",
    ),
    "a label of nothing": (PHOTOS + "labels: {a: b}\n", "labels: a is nothing of this run"),
    "nothing to train probes on": (
        "datasets: [mnist]\nchapters: [10_retrieval_and_probe]\n",
        "mnist: its training images are not beside its test images (mnist/train, mnist_train",
    ),
    "pictures left out": (
        "datasets: ['folder:broken']\nunreadable: skip\n",
        "folder:broken: 1 unreadable pictures are left out",
    ),
}


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    monkeypatch.setattr("featpurity.check.shutil.which", lambda name: None)
    (tmp_path / "_toc.yml").touch()
    below_data = ["pets/test/ant", "pets/test/bee", "pets/train/ant", "pets/train/bee"]
    below_data += ["dtd/test/ant", "dtd/test/bee", "dtd/train/ant", "dtd/train/cat"]
    below_data += ["mnist/test/0", "mnist/test/1"]
    there = ["photos/ant", "photos/bee", "broken/ant", "broken/bee", "one/ant"]
    for name in [*there, *(f"data/{name}" for name in below_data)]:
        pictures(tmp_path / name, 2)
    for name in ["single/ant", "single/bee", "single/cat", "empty/ant", "empty/bee"]:
        pictures(tmp_path / name, 1)
    broken = ["broken/bee/1.png", "data/pets/train/bee/1.png"]
    for name in [*broken, "empty/ant/0.png", "empty/bee/0.png"]:
        (tmp_path / name).write_bytes(b"no picture")
    (tmp_path / "pairs.csv").write_text(
        "image,caption\nbroken/bee/0.png,a bee\nbroken/bee/1.png,bees\n"
    )
    return tmp_path


def pictures(folder, n):
    folder.mkdir(parents=True)
    for i in range(n):
        Image.new("RGB", (4, 4), (i, len(folder.name), sum(folder.name.encode()) % 256)).save(
            folder / f"{i}.png"
        )


def profile(place, text):
    keys = {line.partition(":")[0] for line in text.splitlines()}
    base = "".join(line + "\n" for line in BASE.splitlines() if line.partition(":")[0] not in keys)
    (place / "mine.yaml").write_text(base + text)
    return "mine.yaml"


@pytest.mark.parametrize("case", CANNOT_RUN)
def test_what_cannot_run(place, capsys, case):
    text, told = CANNOT_RUN[case]
    name = profile(place, text)
    ways = [main(["check", name]), main(["plan", name]), book.main([name, "", "--plan"])]
    ways.append(book.main([name]))
    said = capsys.readouterr()
    assert ways == [2] * 4 and said.out == ""
    assert said.err.count(told) == 4 and "Traceback" not in said.err


@pytest.mark.parametrize("case", RUNS_OTHERWISE)
def test_what_runs_otherwise(place, capsys, case):
    text, told = RUNS_OTHERWISE[case]
    name = profile(place, text)
    assert main(["check", name]) == 0 and told in capsys.readouterr().out
    assert main(["plan", name]) == 0
    assert f"\nNotes\n  {told}" in capsys.readouterr().out


def test_what_is_half_downloaded_is_neither_fetched_nor_refused(place, monkeypatch):
    (place / "data/cifar-10-batches-py").mkdir(parents=True)
    (place / "data/cifar-10-batches-py/batches.meta").write_bytes(b"a part")
    monkeypatch.setattr(
        "torchvision.datasets.CIFAR10.download", lambda self: pytest.fail("fetched")
    )
    assert main(["check", profile(place, "datasets: [cifar10]\n")]) == 0


def test_a_plan_leaves_the_settings_of_a_run_at_work_as_they_are(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").touch()
    book.command_for(load("mine.yaml", {"epochs": 3}), [])
    running = (tmp_path / "results/mine/.settings.json").read_text()
    said = SimpleNamespace(returncode=0, stdout="")
    monkeypatch.setattr(book.subprocess, "run", lambda *_, **__: said)
    assert book.print_jobs(load("mine.yaml"), []) == 0
    assert (tmp_path / "results/mine/.settings.json").read_text() == running
    assert '"epochs": 3' in running
