"""The command that fine-tunes online: its options, what it refuses, and two processes of it."""

import json
import shutil
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from toy_training import scalars, toy_pairs
from two_processes import torchrun

from featpurity import class_embeddings, cli, embed_images, load_dataset, load_model
from featpurity.data.class_names import imagenet_names
from featpurity.data.prompts import prompt_set
from featpurity.metrics.zeroshot import accuracy
from featpurity.models import names
from featpurity.training import online
from featpurity.training.finetune import _check_names, caption_choices
from featpurity.training.settings import Settings, plan_epoch


def finetune(*arguments):
    """Run the command in this process."""
    options = cli.parse(["finetune", *map(str, arguments)])
    return options.run(options)


def trained_twice(*arguments):
    """Run the command in two processes; the epochs of its log lines."""
    said = torchrun("-m", "featpurity", "finetune", *arguments, "--batch-size", 8)
    lines = [line for line in said.splitlines() if " epoch " in line]
    assert all("accuracy_imagenet " in line for line in lines)
    assert all("  loss " in line for line in lines if " epoch 0 " not in line)
    assert "Warning" not in said
    return [int(line.split(" epoch ")[1].split()[0]) for line in lines]


def killed_before(epoch):
    """A `plan_epoch` for a training that is killed at the start of an epoch, 0 the first."""

    def plan(n, batch_size, seed, now):
        if now == epoch:
            raise KeyboardInterrupt
        return plan_epoch(n, batch_size, seed, now)

    return plan


def test_the_training_s_module_is_the_command_as_well():
    command = [sys.executable, "-m", "featpurity.training.online"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 2 and "featpurity finetune: error: the following" in done.stderr


def test_outputs_and_data_have_the_names_of_the_other_commands():
    given = ["finetune", "--train-data", "x.csv", "--data-root", "photos", "--out", "new"]
    options = cli.parse(given)
    assert (options.root, options.output_dir) == ("photos", "new")


def test_captions_of_files(tmp_path):
    pairs = SimpleNamespace(captions=["one", "two"], rewrites=[["uno"], []], __len__=None)
    for name, text in (
        ("swapped", "two\none\n"),
        ("rewritten", "eins\nzwei\n"),
        ("short", "one\n"),
    ):
        (tmp_path / f"{name}.txt").write_text(text)
    assert caption_choices(pairs) == [["one", "uno"], ["two"]]
    files = [tmp_path / "rewritten.txt"]
    assert caption_choices(pairs, None, files) == [["one", "uno", "eins"], ["two", "zwei"]]
    assert caption_choices(pairs, tmp_path / "swapped.txt", files) == [
        ["two", "eins"],
        ["one", "zwei"],
    ]
    with pytest.raises(ValueError, match="expected a line for each of 2 images, got 1"):
        caption_choices(pairs, tmp_path / "short.txt")


class TestCommand:
    """The command on the bundled model and pictures of noise."""

    OPTIONS = "--epochs 3 --lr 1e-2 --device cpu --seed 4".split()

    @pytest.fixture
    def data(self, tmp_path):
        """Options that name the data: 32 pictures with captions."""
        images, texts = toy_pairs()
        for i in range(32):
            images[i].save(tmp_path / f"{i}.png")
        lines = "".join(f"{i}.png,{texts[i][0]}\n" for i in range(32))
        (tmp_path / "pairs.csv").write_text("image,caption\n" + lines)
        return ["--train-data", str(tmp_path / "pairs.csv"), *self.OPTIONS]

    @pytest.fixture
    def imagenet(self, tmp_path):
        """One picture of 2 x 2 pixels in each of 1,000 class folders."""
        for i, number in enumerate(imagenet_names()):
            folder = tmp_path / f"imagenet/val/{number}"
            folder.mkdir(parents=True)
            Image.new("RGB", (2, 2), (i % 256, i * 7 % 256, i * 31 % 256)).save(folder / "one.png")
        return ["--imagenet-root", str(tmp_path / "imagenet")]

    def test_a_training_keeps_its_options_and_says_what_it_did(
        self, data, tmp_path, caplog, recwarn
    ):
        out = ["--output-dir", str(tmp_path / "out"), "--batch-size", "16"]
        path, exif = tmp_path / "0.png", Image.Exif()
        exif[274] = 6
        Image.open(path).save(path, exif=exif)
        with caplog.at_level("INFO"):
            said = finetune(*data, *out)
        lying, *epochs = caplog.messages
        assert "1 pictures are measured as they are stored" in lying
        assert [line.split()[:2] for line in epochs] == [["epoch", n] for n in "0123"]
        assert said.startswith("3 epochs trained") and "out/last.safetensors" in said
        kept = json.loads((tmp_path / "out/options.json").read_text())
        assert kept["lr"] == 1e-2 and kept["batch_size"] == 16 and kept["processes"] == 1
        assert not [warning for warning in recwarn if "distributed" in str(warning.message)]
        caplog.clear()
        with caplog.at_level("INFO"):
            finetune(*data, *out)
        *_, line = caplog.messages
        assert line.endswith("out: all 3 epochs were trained before; nothing is left to do")

    def test_other_captions_in_the_same_folder_are_another_training(self, data, tmp_path):
        swapped = tmp_path / "swapped.txt"
        swapped.write_text("".join(f"line {i}\n" for i in range(32)))
        data = [*data, "--batch-size", "16"]
        finetune(*data, "--output-dir", tmp_path / "out")
        kept = [tmp_path / "out" / name for name in ("history.csv", "options.json")]
        first = [path.read_text() for path in kept]
        with pytest.raises(ValueError, match="another training, which differs in: captions; "):
            finetune(*data, "--output-dir", tmp_path / "out", "--captions", swapped)
        finetune(*data, "--output-dir", tmp_path / "new", "--captions", swapped)
        assert [path.read_text() for path in kept] == first
        assert (tmp_path / "new/history.csv").read_text() != first[0]

    @pytest.mark.parametrize(
        "options, message",
        [
            ("--model CLIP_VITB16", "CLIP_VITB16 names an architecture of the paper's training; "
             "here .* --model laclip:cc3m_laclip, or --model FILE"),
            ("--model checkpoint.pt", "no file checkpoint.pt"),
            ("--model scenes_laclp", "scenes_laclip"),
            ("--resume checkpoint.pt", "no file checkpoint.pt; an unfinished training is found by "
             "itself, as last.pt in --output-dir, and --model FILE starts from a checkpoint"),
            ("--captions none.txt", "none.txt"),
            ("--captions short.txt", "short.txt: expected a line for each of 32 images, got 1"),
            ("--batch-size 64", r"batch_size: expected 1 .. 32"),
            ("--device cuda", "device: cuda, but PyTorch sees 0 of kind cuda here; try auto or cpu"),
            ("--epochs 0", "expected positive epochs"),
            ("--update-freq 0", "--update-freq: expected 1 or more, got 0"),
            ("--batch-size 16 --imagenet-root nowhere", "nowhere"),
        ],
    )  # fmt: skip
    def test_wrong_names_are_told_before_a_picture_is_opened(
        self, data, tmp_path, monkeypatch, options, message
    ):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
        (tmp_path / "short.txt").write_text("one\n")
        monkeypatch.setattr(Image, "open", lambda *_: pytest.fail("a picture was opened"))
        with pytest.raises((ValueError, FileNotFoundError), match=message):
            finetune(*data, "--output-dir", "out", *options.split())
        assert not (tmp_path / "out").exists()

    def test_a_model_may_be_a_file_of_a_named_architecture(self, data, tmp_path, monkeypatch):
        weights, asked = tmp_path / "mine.pt", []
        weights.touch()
        monkeypatch.setattr(names, "resolve", asked.append)
        options = cli.parse(
            ["finetune", *data, "--output-dir", "o", "--model", f"ViT-B-32:{weights}"]
        )
        _check_names(options)
        assert asked == [f"ViT-B-32:{weights}"]

    def test_a_training_that_diverges_is_one_line(self, data, tmp_path, monkeypatch, capsys):
        def diverge(*_, **__):
            raise FloatingPointError("epoch 1, step 1: the loss is nan")

        monkeypatch.setattr(online, "train", diverge)
        out = ["--output-dir", str(tmp_path / "out"), "--batch-size", "16"]
        assert cli.main(["finetune", *data, *out]) == 2
        *_, line = capsys.readouterr().err.splitlines()
        assert line == "featpurity: epoch 1, step 1: the loss is nan"

    def test_an_error_is_one_line(self, data, tmp_path, capsys):
        assert (
            cli.main(["finetune", *data, "--output-dir", str(tmp_path), "--model", "CLIP_VITB16"])
            == 2
        )
        assert capsys.readouterr().err.count("\n") == 1

    @pytest.mark.slow
    def test_two_processes_train_look_and_go_on(self, data, imagenet, tmp_path, monkeypatch):
        whole, broken, moved = (tmp_path / name for name in ("whole", "broken", "moved"))
        assert trained_twice(*data, *imagenet, "--output-dir", whole) == [0, 1, 2, 3]
        history = pd.read_csv(whole / "history.csv")
        assert history["epoch"].tolist() == [0, 1, 2, 3] and history["loss"][1:].notna().all()
        assert np.allclose(scalars(whole)[list(history)], history, rtol=1e-6, equal_nan=True)
        self.check_accuracy(imagenet[1], whole, history)

        one_process = [*data, *imagenet, "--output-dir", str(broken), "--batch-size", "16"]
        with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
            patched.setattr(online, "plan_epoch", killed_before(1))
            finetune(*one_process)
        shutil.copytree(broken, moved)
        (moved / "last.pt").rename(moved / "kept.pt")
        assert trained_twice(*data, *imagenet, "--output-dir", broken) == [2, 3]
        drawn = []
        monkeypatch.setattr(
            online, "plan_epoch", lambda *draw: drawn.append(draw[-1]) or plan_epoch(*draw)
        )
        finetune(*one_process, "--output-dir", moved, "--resume", moved / "kept.pt")
        assert drawn == [1, 2]
        for folder in (broken, moved):
            written = pd.read_csv(folder / "history.csv")
            assert np.allclose(written, history, atol=1e-4, equal_nan=True)
        finetune(*one_process)
        assert drawn == [1, 2]  # that one was finished

    def check_accuracy(self, root, folder, history):
        """The files of the best and last epoch, read back, have the accuracies that stand in the table."""
        dataset, column = load_dataset("imagenet", root=root), history["accuracy_imagenet"]
        assert column.equals(history["accuracy"].rename("accuracy_imagenet"))
        for name, epoch in (("last", 3), ("best", column[1:].idxmax())):
            clip = load_model(folder / f"{name}.safetensors")
            units, labels = embed_images(clip, dataset, folder / "store")
            classes = class_embeddings(clip, dataset.classes, prompt_set("laclip"))
            assert accuracy(units, classes, labels) == pytest.approx(column[epoch], abs=1e-9)


def test_the_paper_s_options_reach_the_training(tmp_path, monkeypatch):
    for name in ("pairs.csv", "b.txt", "c.txt"):
        (tmp_path / name).write_text(
            "image,caption\n0.png,one\n1.png,two\n"
            if name == "pairs.csv"
            else f"{name} 1\n{name} 2\n"
        )
    for i in range(2):
        Image.new("RGB", (8, 8)).save(tmp_path / f"{i}.png")
    (tmp_path / "kept.pt").write_text("")
    monkeypatch.chdir(tmp_path)
    got = {}
    monkeypatch.setattr(
        online,
        "train",
        lambda *arguments, **options: (
            got.update(options, arguments=arguments) or [pd.DataFrame({"epoch": [7]})]
        ),
    )
    finetune(
        "--train-data",
        "pairs.csv",
        "--root",
        str(tmp_path),
        "--output-dir",
        str(tmp_path / "out"),
        "--model",
        "photos_clip",
        *"--lr 2e-3 --wd 0.25 --warmup-epochs 3 --batch-size 1 --update-freq 2 --epochs 7 --resume kept.pt".split(),
        *"--lr-start 1e-7 --lr-end 1e-4 --betas 0.8 0.9 --train-logit-scale --no-augmentation".split(),
        *"--precision bf16 --workers 2 --seed 5 --device cpu".split(),
        "--augmented-caption-filelist",
        str(tmp_path / "b.txt"),
        str(tmp_path / "c.txt"),
    )
    clip, images, texts, folder, settings = got.pop("arguments")
    assert (
        clip.name == "photos_clip"
        and images.names == ["0.png", "1.png"]
        and folder == tmp_path / "out"
    )
    assert texts == [["one", "b.txt 1", "c.txt 1"], ["two", "b.txt 2", "c.txt 2"]]
    assert settings == Settings(
        epochs=7,
        batch_size=2,
        learning_rate=2e-3,
        weight_decay=0.25,
        betas=(0.8, 0.9),
        warmup_epochs=3,
        first_learning_rate=1e-7,
        last_learning_rate=1e-4,
        train_logit_scale=True,
    )
    assert got.pop("options")["betas"] == [0.8, 0.9]
    assert got == dict(
        seed=5,
        update_freq=2,
        augment=False,
        precision="bf16",
        workers=2,
        evaluate=None,
        resume="kept.pt",
    )
