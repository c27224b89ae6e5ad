"""Online fine-tuning: equal to cached training, to itself over two processes, and after a resume."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from featpurity import class_embeddings, embed_images, load_dataset, load_model
from featpurity.data.pairs import CaptionedImages
from featpurity.data.prompts import prompt_set
from featpurity.features.extract import image_trunk_features, text_trunk_features
from featpurity.metrics.zeroshot import accuracy
from featpurity.models.clip import ClipModel
from featpurity.training import online
from featpurity.training.cached import finetune_projections
from featpurity.training.checkpoint import write_state
from featpurity.training.finetune import caption_choices, main
from featpurity.training.online import DrawnPairs, train
from featpurity.training.settings import Settings, plan_epoch

N, SIZE, D = 48, 6, 8
SETTINGS = Settings(epochs=3, batch_size=16, learning_rate=1e-2)
TWICE = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
TORCHRUN, ONE_THREAD = (
    [*TWICE, "-m", "featpurity.training.finetune"],
    {**os.environ, "OMP_NUM_THREADS": "1"},
)


class ToyClip:
    """Two frozen towers of one random layer, with the attributes of a ClipModel that training uses."""

    device, logit_scale, text_bias, d = torch.device("cpu"), 20.0, None, D
    name = base = image_key = text_key = "toy"
    trunk_keys, with_projections = ("toy", "toy"), ClipModel.with_projections

    def __init__(self):
        generator = torch.Generator().manual_seed(0)
        self.image_trunk_weights = torch.randn(3 * SIZE * SIZE, 20, generator=generator)
        self.text_trunk_weights = torch.randn(64, 12, generator=generator)
        self.image_neurons = torch.randn(D, 20, generator=generator)
        self.text_neurons = torch.randn(D, 12, generator=generator)
        self.image_bias = torch.randn(D, generator=generator)

    def tensors(self):
        return {name: value.clone() for name, value in vars(self).items()}

    def preprocess(self, image):
        pixels = np.array(image.resize((SIZE, SIZE)), np.float32)
        return torch.from_numpy(pixels).permute(2, 0, 1) / 255

    def tokenizer(self, texts):
        return torch.tensor([[ord(letter) % 64 for letter in f"{text:13}"] for text in texts])

    def image_trunk(self, images):
        return (images.flatten(1) @ self.image_trunk_weights).tanh()

    def text_trunk(self, tokens):
        return self.text_trunk_weights[tokens].mean(1).tanh()


def toy_pairs():
    rng = np.random.default_rng(0)
    images = [Image.fromarray(pixels) for pixels in rng.integers(0, 256, (N, 9, 9, 3), np.uint8)]
    return images, [[f"picture {i}", f"the {i * i % 7}th of {i}"] for i in range(N)]


class KeyedImages(list):
    """Pictures with the key that the package's own sequences have."""

    def __init__(self, images, key):
        super().__init__(images)
        self.key = key


def killed_before(epoch):
    """A `plan_epoch` for a training that is killed at the start of an epoch, 0 the first."""

    def plan(n, batch_size, seed, now):
        if now == epoch:
            raise KeyboardInterrupt
        return plan_epoch(n, batch_size, seed, now)

    return plan


def killed_write(path):
    """A `write_state` for a training that is killed before it writes its second state."""

    def write(*arguments, **state):
        if path.is_file():
            raise KeyboardInterrupt
        write_state(*arguments, **state)

    return write


def scalars(folder):
    """What TensorBoard shows of a folder, as a table like history.csv."""
    board = EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload()
    shown = {
        tag: pd.Series({event.step: event.value for event in board.Scalars(tag)})
        for tag in board.Tags()["scalars"]
    }
    assert all(
        len(board.Scalars(tag)) == len(values) for tag, values in shown.items()
    )  # each epoch once
    return pd.DataFrame(shown).reset_index(drop=True)


def test_one_view_without_augmentation_equals_cached_training(tmp_path):
    clip, (images, texts) = ToyClip(), toy_pairs()
    image_features = clip.image_trunk(torch.stack([clip.preprocess(image) for image in images]))
    views = torch.stack([clip.text_trunk(clip.tokenizer(view)) for view in zip(*texts)])
    for epochs, batch in (
        (3, 16),
        (8, N),
    ):  # a whole batch an epoch: then the history is step by step
        settings = Settings(epochs=epochs, batch_size=batch, learning_rate=1e-2)
        online = train(clip, images, texts, tmp_path / str(batch), settings, seed=3, augment=False)
        cached = finetune_projections(
            clip, image_features, views, epochs=epochs, batch_size=batch, learning_rate=1e-2, seed=3
        )
        for mine, theirs in zip(online[:2], cached[:2]):
            assert (mine - theirs).abs().max() < 1e-4
        columns = ["loss", "image_avg_abs_cos", "text_avg_abs_cos"]
        assert np.allclose(online[2][columns], cached[2][columns][1:], atol=1e-4)


def test_a_real_model_online_equals_cached(tmp_path):
    """The bundled ResNet without crops: its stored features lead where its towers lead at every step."""
    clip, (images, texts) = load_model("scenes_laclip"), toy_pairs()
    pairs = CaptionedImages(
        "toy", [one for one, _ in texts], [[] for _ in texts], KeyedImages(images, "toy")
    )
    image_features, text_features = (
        image_trunk_features(clip, pairs),
        text_trunk_features(clip, pairs.captions),
    )
    options = dict(epochs=2, batch_size=16, learning_rate=1e-3, warmup_epochs=0)
    online = train(
        clip,
        images,
        [[one] for one in pairs.captions],
        tmp_path,
        Settings(**options),
        seed=3,
        augment=False,
    )
    cached = finetune_projections(clip, image_features, text_features, seed=3, **options)
    for mine, theirs, before in zip(online, cached, (clip.image_neurons, clip.text_neurons)):
        assert (mine - theirs).abs().max() < 1e-4 < (mine - before).abs().max()
    assert np.allclose(online[2]["loss"], cached[2]["loss"][1:], atol=1e-4)


def test_only_the_projections_change(tmp_path):
    clip, (images, texts) = ToyClip(), toy_pairs()
    before = clip.tensors()
    *neurons, history = train(clip, images, texts, tmp_path, SETTINGS)
    assert all(torch.equal(before[name], value) for name, value in clip.tensors().items())
    assert not torch.equal(neurons[0], clip.image_neurons) and not torch.equal(
        neurons[1], clip.text_neurons
    )
    assert (history["logit_scale"] - 20).abs().max() < 1e-4
    assert pd.read_csv(tmp_path / "history.csv")["epoch"].tolist() == [1, 2, 3]
    assert {"last.safetensors", "best.safetensors", "last.pt"} <= {
        file.name for file in tmp_path.iterdir()
    }


@pytest.mark.parametrize("trained", [False, True])
def test_the_logit_scale_trains_only_when_asked(tmp_path, trained):
    clip, (images, texts) = ToyClip(), toy_pairs()
    settings = Settings(epochs=3, batch_size=16, learning_rate=1e-2, train_logit_scale=trained)
    scale = train(clip, images, texts, tmp_path, settings)[2]["logit_scale"]
    assert (
        (scale.nunique() == 3 and scale.max() <= 100 + 1e-3)
        if trained
        else (scale - 20).abs().max() < 1e-4
    )
    assert clip.logit_scale == 20 and not Settings().train_logit_scale


def test_bf16_is_near_fp32_and_trains_float32_projections(tmp_path):
    clip, (images, texts) = ToyClip(), toy_pairs()
    fine = train(clip, images, texts, tmp_path / "fp32", SETTINGS)
    coarse = train(clip, images, texts, tmp_path / "bf16", SETTINGS, precision="bf16")
    assert all(neurons.dtype == torch.float32 for neurons in coarse[:2])
    gap = (fine[2]["loss"] - coarse[2]["loss"]).abs()
    assert (gap > 0).all() and (gap < 0.02 * fine[2]["loss"]).all()
    assert coarse[2]["loss"].iloc[-1] < coarse[2]["loss"].iloc[0]
    state = torch.load(tmp_path / "bf16/last.pt", weights_only=True)
    moments = [value for one in state["optimiser"]["state"].values() for value in one.values()]
    assert {value.dtype for value in (*state["projections"].values(), *moments)} == {torch.float32}


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_on_a_real_model_is_near_fp32(tmp_path, precision):
    clip, (images, texts) = load_model("scenes_laclip"), toy_pairs()
    settings = Settings(epochs=1, batch_size=N // 2, warmup_epochs=0)
    fine = train(clip, images, texts, tmp_path / "fp32", settings)[2]
    coarse = train(clip, images, texts, tmp_path / precision, settings, precision=precision)[2]
    assert 0 < abs(fine["loss"][0] - coarse["loss"][0]) < 0.02 * fine["loss"][0]


def test_frozen_means_frozen_on_a_real_model(tmp_path):
    """Two steps of the bundled ResNet: batch statistics and every weight stay bit for bit as they were."""
    clip, (images, texts) = load_model("scenes_laclip"), toy_pairs()
    tensors = {
        **clip.trunks.state_dict(),
        "image": clip.image_neurons,
        "text": clip.text_neurons,
        **{
            name: getattr(clip, name)
            for name in ("image_bias", "text_bias")
            if getattr(clip, name) is not None
        },
    }
    assert any(name.endswith("running_mean") for name in tensors)
    before = {name: value.clone() for name, value in tensors.items()}
    *neurons, _ = train(
        clip, images, texts, tmp_path, Settings(epochs=1, batch_size=N // 2, warmup_epochs=0)
    )
    assert all(torch.equal(before[name], value) for name, value in tensors.items())
    assert not clip.trunks.training and not any(
        weight.requires_grad for weight in clip.trunks.parameters()
    )
    assert not torch.equal(neurons[0], clip.image_neurons) and not torch.equal(
        neurons[1], clip.text_neurons
    )
    again = load_model(tmp_path / "last.safetensors")
    assert torch.equal(again.image_neurons, neurons[0]) and torch.equal(
        again.text_neurons, neurons[1]
    )


def test_best_is_the_epoch_of_the_highest_accuracy(tmp_path):
    clip, (images, texts), seen = ToyClip(), toy_pairs(), []

    def peaks_in_epoch_2(image_neurons, text_neurons):  # the first look is before training
        seen.append((image_neurons.clone(), text_neurons.clone()))
        return {"accuracy": [0.9, 0.2, 0.6, 0.4][len(seen) - 1]}

    *last, history = train(clip, images, texts, tmp_path, SETTINGS, evaluate=peaks_in_epoch_2)
    assert history["accuracy"].tolist() == [0.2, 0.6, 0.4] and history["loss"].idxmin() == 2
    for name, epoch, wanted in (("best", 2, seen[2]), ("last", 3, last)):
        with safe_open(tmp_path / f"{name}.safetensors", "pt") as file:
            assert file.metadata()["epoch"] == str(epoch)
            found = file.get_tensor("image_neurons"), file.get_tensor("text_neurons")
        assert torch.equal(found[0], wanted[0]) and torch.equal(found[1], wanted[1])


def test_tensorboard_shows_the_history_after_a_kill_too(tmp_path, monkeypatch):
    clip, (images, texts) = ToyClip(), toy_pairs()
    options = dict(evaluate=lambda image, text: {"accuracy": float(image.mean().sigmoid())})
    with (
        monkeypatch.context() as patched,
        pytest.raises(KeyboardInterrupt),
    ):  # epoch 2 is on the board, but not in last.pt
        patched.setattr(online, "write_state", killed_write(tmp_path / "last.pt"))
        train(clip, images, texts, tmp_path, SETTINGS, **options)
    time.sleep(1)  # TensorBoard reads files in the order of their seconds
    history = train(
        clip, images, texts, tmp_path, SETTINGS, resume=tmp_path / "last.pt", **options
    )[2]
    written = pd.read_csv(tmp_path / "history.csv")
    assert written["epoch"].tolist() == [1, 2, 3] and np.allclose(written, history)
    shown = scalars(tmp_path)
    assert set(shown) == set(written) and np.allclose(shown[list(written)], written, rtol=1e-6)


PLAIN = {"update_freq": 1, "train_logit_scale": False, "workers": 0}


@pytest.mark.parametrize(
    "options",
    [PLAIN, {"update_freq": 4, "train_logit_scale": True, "workers": 1}],
    ids=["plain", "parts, scale and workers"],
)
def test_two_processes_equal_one_on_the_same_global_batch(tmp_path, options):
    whole = in_one_way(
        tmp_path / "one", **PLAIN | {"train_logit_scale": options["train_logit_scale"]}
    )
    parts = in_one_way(tmp_path / "parts", **options)
    torchrun_here("train", tmp_path / "two", json.dumps(options))
    for rank in range(2):
        both = torch.load(tmp_path / "two" / f"{rank}.pt", weights_only=True)
        for one, part, mine in zip(whole[:2], parts[:2], both):
            assert (one - part).abs().max() < 1e-5 and (one - mine).abs().max() < 1e-5
    assert np.allclose(pd.read_csv(tmp_path / "two" / "history.csv"), whole[2], atol=1e-5)


def test_processes_that_see_different_states_are_told(tmp_path):
    """The first finds its last.pt, the second, as on another machine's disk, does not."""
    in_one_way(tmp_path / "0", **PLAIN)
    said = torchrun_here("apart", tmp_path, "{}", fails=True)
    assert "expected one output folder, on a disk that all processes share" in said


def in_one_way(folder, update_freq, train_logit_scale, workers, **options):
    """The toy training with some options."""
    settings = replace(SETTINGS, train_logit_scale=train_logit_scale)
    return train(
        ToyClip(),
        *toy_pairs(),
        folder,
        settings,
        update_freq=update_freq,
        workers=workers,
        **options,
    )


def torchrun_here(*arguments, fails=False):
    """This file, started twice by torchrun; what was said."""
    done = subprocess.run(
        [*TWICE, __file__, *map(str, arguments)],
        env=ONE_THREAD,
        timeout=300,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert bool(done.returncode) == fails, done.stdout
    return done.stdout


def test_a_resumed_training_gives_the_same_numbers(tmp_path):
    clip, (images, texts) = ToyClip(), toy_pairs()
    whole = train(clip, images, texts, tmp_path / "whole", SETTINGS)

    def killed(*_):
        if (tmp_path / "last.pt").is_file():
            raise KeyboardInterrupt
        return {}

    with pytest.raises(KeyboardInterrupt):
        train(clip, images, texts, tmp_path, SETTINGS, evaluate=killed)
    resumed = train(clip, images, texts, tmp_path, SETTINGS, resume=tmp_path / "last.pt")
    assert torch.equal(whole[0], resumed[0]) and torch.equal(whole[1], resumed[1])
    assert whole[2].equals(resumed[2])
    with pytest.raises(
        ValueError, match="is of another training, which differs in: seed; move it away"
    ):
        train(clip, images, texts, tmp_path, SETTINGS, seed=9, resume=tmp_path / "last.pt")
    with pytest.raises(FileNotFoundError, match="none.pt"):
        train(clip, images, texts, tmp_path, SETTINGS, resume=tmp_path / "none.pt")


@pytest.mark.parametrize(
    "named", ["captions", "images", "starting weights", "model", "evaluation", "epochs"]
)
def test_a_training_on_other_input_reuses_nothing(tmp_path, named):
    clip, (images, texts) = ToyClip(), toy_pairs()
    images, settings, options, resume = (
        KeyedImages(images, "one"),
        SETTINGS,
        {},
        tmp_path / "last.pt",
    )
    train(clip, images, texts, tmp_path, settings)
    if named == "captions":
        texts = [*texts[:-1], [texts[-1][0], "another"]]
    elif named == "images":
        images = KeyedImages(images[::-1], "other")
    elif named == "starting weights":
        clip.image_bias[-1] += 1
    elif named == "model":
        clip.image_key = "another"
    elif named == "evaluation":
        options["evaluate"] = lambda *_: {"accuracy": 0.5}
    else:
        settings = Settings(epochs=4, batch_size=16, learning_rate=1e-2)
    with pytest.raises(
        ValueError, match=f"another training, which differs in: {named}; move it away"
    ):
        train(clip, images, texts, tmp_path, settings, resume=resume, **options)
    time.sleep(1)  # TensorBoard reads files in the order of their seconds
    anew = train(clip, images, texts, tmp_path, settings, resume=resume, overwrite=True, **options)
    alone = train(clip, images, texts, tmp_path / "alone", settings, **options)
    assert (
        torch.equal(anew[0], alone[0])
        and torch.equal(anew[1], alone[1])
        and anew[2].equals(alone[2])
    )
    assert np.allclose(
        scalars(tmp_path)[list(anew[2])], anew[2], rtol=1e-6
    )  # the first training's are hidden


def test_crops_follow_their_draw_alone():
    images, texts = toy_pairs()
    data = DrawnPairs(images, texts, ToyClip().preprocess, augment=True)
    state = torch.get_rng_state()
    first, again, other = data[0, 5, 0], data[0, 5, 1], data[0, 6, 0]
    assert torch.equal(first[0], again[0]) and not torch.equal(first[0], other[0])
    assert (first[1], again[1]) == tuple(texts[0])
    assert torch.equal(state, torch.get_rng_state())


def test_a_loss_that_is_not_finite_stops(tmp_path):
    clip, (images, texts) = ToyClip(), toy_pairs()
    clip.image_neurons = clip.image_neurons * torch.nan
    with pytest.raises(
        FloatingPointError, match=r"epoch 1, step 0: the loss is nan; .* the pairs \["
    ) as told:
        train(clip, images, texts, tmp_path, SETTINGS)
    named = json.loads(str(told.value)[str(told.value).index("[") :])
    assert (
        named == plan_epoch(N, SETTINGS.batch_size, 0, 0)[0][0].tolist()
        and len(named) == SETTINGS.batch_size
    )


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
    """`python -m featpurity.training.finetune` on the bundled model and pictures of noise."""

    OPTIONS = "--epochs 3 --lr 1e-2 --device cpu --seed 4".split()

    @pytest.fixture
    def data(self, tmp_path):
        """Options that name the data: 32 pictures with captions, and in slow tests a stand-in for ImageNet."""
        images, texts = toy_pairs()
        for i in range(32):
            images[i].save(tmp_path / f"{i}.png")
        lines = "".join(f"{i}.png,{texts[i][0]}\n" for i in range(32))
        (tmp_path / "pairs.csv").write_text("image,caption\n" + lines)
        return ["--train-data", str(tmp_path / "pairs.csv"), *self.OPTIONS]

    @pytest.fixture
    def imagenet(self, tmp_path):
        """One picture of 2 x 2 pixels in each of 1,000 class folders."""
        for i in range(1000):
            folder = tmp_path / f"imagenet/val/n{10_000_000 + i}"
            folder.mkdir(parents=True)
            Image.new("RGB", (2, 2), (i % 256, i * 7 % 256, i * 31 % 256)).save(folder / "one.png")
        return ["--imagenet-root", str(tmp_path / "imagenet")]

    def test_other_captions_in_the_same_folder_are_another_training(self, data, tmp_path, capfd):
        (tmp_path / "swapped.txt").write_text("".join(f"line {i}\n" for i in range(32)))
        out = ["--output-dir", str(tmp_path / "out"), "--batch-size", "16"]
        main([*data, *out])
        first = (tmp_path / "out/history.csv").read_text()
        with pytest.raises(
            ValueError, match="last.pt is of another training, which differs in: captions; "
        ):
            main([*data, *out, "--captions", str(tmp_path / "swapped.txt")])
        main(
            [
                *data,
                "--output-dir",
                str(tmp_path / "new"),
                "--batch-size",
                "16",
                "--captions",
                str(tmp_path / "swapped.txt"),
            ]
        )
        assert (
            (tmp_path / "out/history.csv").read_text()
            == first
            != (tmp_path / "new/history.csv").read_text()
        )

    @pytest.mark.slow
    def test_two_processes_train_look_and_go_on(self, data, imagenet, tmp_path, monkeypatch):
        whole, broken, moved = (tmp_path / name for name in ("whole", "broken", "moved"))
        assert torchrun(*data, *imagenet, "--output-dir", whole, "--batch-size", 8) == [1, 2, 3]
        history = pd.read_csv(whole / "history.csv")
        assert history["epoch"].tolist() == [1, 2, 3] and history["loss"].notna().all()
        assert np.allclose(scalars(whole)[list(history)], history, rtol=1e-6)
        self.check_accuracy(imagenet[1], whole, history)

        one_process = [*data, *imagenet, "--output-dir", str(broken), "--batch-size", "16"]
        with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
            patched.setattr(online, "plan_epoch", killed_before(1))
            main(one_process)
        shutil.copytree(broken, moved)
        (moved / "last.pt").rename(moved / "kept.pt")
        assert torchrun(*data, *imagenet, "--output-dir", broken, "--batch-size", 8) == [2, 3]
        drawn = []
        monkeypatch.setattr(
            online, "plan_epoch", lambda *draw: drawn.append(draw[-1]) or plan_epoch(*draw)
        )
        main([*one_process, "--output-dir", str(moved), "--resume", str(moved / "kept.pt")])
        assert drawn == [1, 2]
        for folder in (broken, moved):
            assert np.allclose(pd.read_csv(folder / "history.csv"), history, atol=1e-4)
        main(one_process)
        assert drawn == [1, 2]  # that one was finished

    @pytest.mark.slow
    @pytest.mark.skipif(not Path("/proc").is_dir(), reason="finds the processes to kill in /proc")
    def test_two_processes_that_were_killed_go_on(self, data, tmp_path):
        data = [*data, "--batch-size", "8", "--epochs", "6"]
        whole, killed = tmp_path / "whole", tmp_path / "killed"
        started = subprocess.run(
            [*TORCHRUN, *data, "--output-dir", whole],
            env=ONE_THREAD,
            capture_output=True,
            text=True,
        )
        assert started.returncode == 0, started.stderr
        process = subprocess.Popen(
            [*TORCHRUN, *data, "--output-dir", killed], env=ONE_THREAD, stderr=subprocess.DEVNULL
        )
        while not (killed / "last.pt").is_file():
            assert process.poll() is None
            time.sleep(0.005)
        for one in [
            process.pid,
            *map(int, Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()),
        ]:
            os.kill(one, signal.SIGKILL)
        process.wait()
        left = torch.load(killed / "last.pt", weights_only=True)["history"]
        assert 1 <= len(left) < 6
        subprocess.run(
            [*TORCHRUN, *data, "--output-dir", killed],
            env=ONE_THREAD,
            capture_output=True,
            check=True,
        )
        history = pd.read_csv(killed / "history.csv")
        assert history["epoch"].tolist() == [1, 2, 3, 4, 5, 6] and history.equals(
            pd.read_csv(whole / "history.csv")
        )

    def check_accuracy(self, root, folder, history):
        """The files of the best and last epoch, read back, have the accuracies that stand in the table."""
        dataset, column = load_dataset("imagenet", root=root), history["accuracy_imagenet"]
        assert column.equals(history["accuracy"].rename("accuracy_imagenet"))
        for name, epoch in (("last", 2), ("best", column.idxmax())):
            clip = load_model(folder / f"{name}.safetensors")
            units, labels = embed_images(clip, dataset, folder / "store")
            classes = class_embeddings(clip, dataset.classes, prompt_set("laclip"))
            assert accuracy(units, classes, labels) == pytest.approx(column[epoch], abs=1e-9)


def torchrun(*options):
    """Run the command in two processes; the epochs of its log lines."""
    done = subprocess.run(
        [*TORCHRUN, *map(str, options)], env=ONE_THREAD, capture_output=True, text=True, timeout=900
    )
    assert done.returncode == 0, done.stderr[-3000:]
    lines = [line for line in done.stderr.splitlines() if " epoch epoch " in line]
    assert all("  loss " in line and "accuracy_imagenet " in line for line in lines)
    return [int(line.split(" epoch epoch ")[1].split()[0]) for line in lines]


def test_wrong_input(tmp_path):
    images, texts = toy_pairs()
    with pytest.raises(ValueError, match="expected a multiple of 1 processes x 3 parts, got 16"):
        train(ToyClip(), images, texts, tmp_path, SETTINGS, update_freq=3)
    with pytest.raises(ValueError, match="at least one text for each of the 48"):
        train(ToyClip(), images, texts[1:], tmp_path, SETTINGS)
    with pytest.raises(ValueError, match="batch_size: expected 1 .. 48"):
        train(ToyClip(), images, texts, tmp_path, Settings(batch_size=64))


def test_the_paper_s_options_reach_the_training(tmp_path, monkeypatch):
    for name in ("pairs.csv", "b.txt", "c.txt"):
        (tmp_path / name).write_text(
            "image,caption\n0.png,one\n1.png,two\n"
            if name == "pairs.csv"
            else f"{name} 1\n{name} 2\n"
        )
    for i in range(2):
        Image.new("RGB", (8, 8)).save(tmp_path / f"{i}.png")
    got = {}
    monkeypatch.setattr(
        online, "train", lambda *arguments, **options: got.update(options, arguments=arguments)
    )
    main(
        [
            "--train-data",
            "pairs.csv",
            "--root",
            str(tmp_path),
            "--output-dir",
            str(tmp_path / "out"),
            "--model",
            "photos_clip",
            *"--lr 2e-3 --wd 0.25 --warmup-epochs 3 --batch-size 32 --update-freq 4 --epochs 7 --resume kept.pt".split(),
            *"--lr-start 1e-7 --lr-end 1e-4 --betas 0.8 0.9 --train-logit-scale --no-augmentation".split(),
            *"--precision bf16 --workers 2 --seed 5 --device cpu".split(),
            "--augmented-caption-filelist",
            str(tmp_path / "b.txt"),
            str(tmp_path / "c.txt"),
        ]
    )
    clip, images, texts, folder, settings = got.pop("arguments")
    assert (
        clip.name == "photos_clip"
        and images.names == ["0.png", "1.png"]
        and folder == str(tmp_path / "out")
    )
    assert texts == [["one", "b.txt 1", "c.txt 1"], ["two", "b.txt 2", "c.txt 2"]]
    assert settings == Settings(
        epochs=7,
        batch_size=128,
        learning_rate=2e-3,
        weight_decay=0.25,
        betas=(0.8, 0.9),
        warmup_epochs=3,
        first_learning_rate=1e-7,
        last_learning_rate=1e-4,
        train_logit_scale=True,
    )
    assert got == dict(
        seed=5,
        update_freq=4,
        augment=False,
        precision="bf16",
        workers=2,
        evaluate=None,
        resume="kept.pt",
    )


if __name__ == "__main__":  # one of the two processes that torchrun starts above
    torch.distributed.init_process_group("gloo")
    rank, (what, folder, options) = torch.distributed.get_rank(), sys.argv[1:]
    if what == "train":
        trained = in_one_way(Path(folder), **json.loads(options))
        torch.save(list(trained[:2]), Path(folder, f"{rank}.pt"))
    else:
        own = Path(folder, str(rank), "last.pt")
        in_one_way(own.parent, **PLAIN, resume=own if own.is_file() else None)
    torch.distributed.destroy_process_group()
