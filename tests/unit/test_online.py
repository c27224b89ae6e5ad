"""Online fine-tuning: equal to cached training, to itself over two processes, and after a resume."""

import json
import time

import numpy as np
import pandas as pd
import pytest
import torch
import two_processes
from safetensors import safe_open
from toy_training import SETTINGS, N, ToyClip, scalars, toy_pairs
from two_processes import WAYS, torchrun

from featpurity import load_model
from featpurity.data.pairs import CaptionedImages
from featpurity.features.extract import image_trunk_features, text_trunk_features
from featpurity.training import online
from featpurity.training.cached import finetune_projections
from featpurity.training.checkpoint import write_state
from featpurity.training.online import DrawnPairs, train
from featpurity.training.settings import Settings, plan_epoch


class KeyedImages(list):
    """Pictures with the key that the package's own sequences have."""

    def __init__(self, images, key):
        super().__init__(images)
        self.key = key


def killed_write(path):
    """A `write_state` for a training that is killed before it writes its second state."""

    def write(*arguments, **state):
        if path.is_file():
            raise KeyboardInterrupt
        write_state(*arguments, **state)

    return write


def later(monkeypatch):
    """Two seconds pass: TensorBoard reads files in the order of their seconds."""
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + 2)


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
        assert np.allclose(online[2][columns], cached[2][columns], atol=1e-4, equal_nan=True)


def test_a_real_model_online_equals_cached(tmp_path):
    """The bundled ResNet without crops: its stored features lead where its towers lead at every step."""
    clip, (images, texts) = load_model("scenes_laclip"), toy_pairs()
    pairs = CaptionedImages(
        "toy", [caption for caption, _ in texts], [[] for _ in texts], KeyedImages(images, "toy")
    )
    image_features, text_features = (
        image_trunk_features(clip, pairs),
        text_trunk_features(clip, pairs.captions),
    )
    options = dict(epochs=2, batch_size=16, learning_rate=1e-3, warmup_epochs=0)
    online = train(
        clip,
        images,
        [[caption] for caption in pairs.captions],
        tmp_path,
        Settings(**options),
        seed=3,
        augment=False,
    )
    cached = finetune_projections(clip, image_features, text_features, seed=3, **options)
    for mine, theirs, before in zip(online, cached, (clip.image_neurons, clip.text_neurons)):
        assert (mine - theirs).abs().max() < 1e-4 < (mine - before).abs().max()
    assert np.allclose(online[2]["loss"], cached[2]["loss"], atol=1e-4, equal_nan=True)


def test_only_the_projections_change(tmp_path):
    clip, (images, texts) = ToyClip(), toy_pairs()
    before = clip.tensors()
    *neurons, history = train(clip, images, texts, tmp_path, SETTINGS)
    assert all(torch.equal(before[name], value) for name, value in clip.tensors().items())
    assert not torch.equal(neurons[0], clip.image_neurons) and not torch.equal(
        neurons[1], clip.text_neurons
    )
    assert (history["logit_scale"] - 20).abs().max() < 1e-4
    assert pd.read_csv(tmp_path / "history.csv")["epoch"].tolist() == [0, 1, 2, 3]
    assert {"last.safetensors", "best.safetensors", "last.pt"} <= {
        file.name for file in tmp_path.iterdir()
    }


@pytest.mark.parametrize("trained", [False, True])
def test_the_logit_scale_trains_only_when_asked(tmp_path, trained):
    clip, (images, texts) = ToyClip(), toy_pairs()
    settings = Settings(epochs=3, batch_size=16, learning_rate=1e-2, train_logit_scale=trained)
    scale = train(clip, images, texts, tmp_path, settings)[2]["logit_scale"]
    assert (
        (scale.nunique() == 4 and scale.max() <= 100 + 1e-3)
        if trained
        else (scale - 20).abs().max() < 1e-4
    )
    assert clip.logit_scale == 20 and not Settings().train_logit_scale


def test_bf16_is_near_fp32_and_trains_float32_projections(tmp_path):
    clip, (images, texts) = ToyClip(), toy_pairs()
    fine = train(clip, images, texts, tmp_path / "fp32", SETTINGS)
    coarse = train(clip, images, texts, tmp_path / "bf16", SETTINGS, precision="bf16")
    assert all(neurons.dtype == torch.float32 for neurons in coarse[:2])
    losses, coarse_losses = (history["loss"][1:] for history in (fine[2], coarse[2]))
    gap = (losses - coarse_losses).abs()
    assert (gap > 0).all() and (gap < 0.02 * losses).all()
    assert coarse_losses.iloc[-1] < coarse_losses.iloc[0]
    state = torch.load(tmp_path / "bf16/last.pt", weights_only=True)
    moments = [
        value for of_weight in state["optimiser"]["state"].values() for value in of_weight.values()
    ]
    assert {value.dtype for value in (*state["projections"].values(), *moments)} == {torch.float32}


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_on_a_real_model_is_near_fp32(tmp_path, precision):
    clip, (images, texts) = load_model("scenes_laclip"), toy_pairs()
    settings = Settings(epochs=1, batch_size=N // 2, warmup_epochs=0)
    fine = train(clip, images, texts, tmp_path / "fp32", settings)[2]
    coarse = train(clip, images, texts, tmp_path / precision, settings, precision=precision)[2]
    assert 0 < abs(fine["loss"][1] - coarse["loss"][1]) < 0.02 * fine["loss"][1]


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
    assert history["accuracy"].tolist() == [0.9, 0.2, 0.6, 0.4] and history["loss"].idxmin() == 3
    for name, wanted in (("best", seen[2]), ("last", last)):
        with safe_open(tmp_path / f"{name}.safetensors", "pt") as file:
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
    later(monkeypatch)
    history = train(
        clip, images, texts, tmp_path, SETTINGS, resume=tmp_path / "last.pt", **options
    )[2]
    written = pd.read_csv(tmp_path / "history.csv")
    assert written["epoch"].tolist() == [0, 1, 2, 3]
    assert np.allclose(written, history, equal_nan=True)
    shown = scalars(tmp_path)[list(written)]
    assert np.allclose(shown, written, rtol=1e-6, equal_nan=True)


@pytest.fixture(scope="module")
def twice(tmp_path_factory):
    """A folder with what two processes trained, in every way."""
    folder = tmp_path_factory.mktemp("twice")
    two_processes.train(folder / "apart/0")  # the second process has no such state
    torchrun(two_processes.__file__, "train_in_every_way", folder)
    return folder


@pytest.mark.parametrize("way", WAYS)
def test_two_processes_equal_one_on_the_same_global_batch(twice, tmp_path, way):
    options = WAYS[way]
    scale = {"train_logit_scale": options["train_logit_scale"]}
    whole = two_processes.train(tmp_path / "one", **scale)
    parts = two_processes.train(tmp_path / "parts", **options)
    for rank in range(2):
        both = torch.load(twice / way / f"{rank}.pt", weights_only=True)
        for at_once, part, mine in zip(whole[:2], parts[:2], both):
            assert (at_once - part).abs().max() < 1e-5 and (at_once - mine).abs().max() < 1e-5
    written = pd.read_csv(twice / way / "history.csv")
    assert np.allclose(written, whole[2], atol=1e-5, equal_nan=True)


def test_processes_that_see_different_states_are_told(twice):
    """The first finds its last.pt, the second, as on another machine's disk, does not."""
    for rank in range(2):
        assert (
            "expected one output folder, on a disk that all processes share"
            in (twice / f"said by {rank}").read_text()
        )


@pytest.mark.slow
def test_two_processes_that_were_killed_go_on(tmp_path):
    whole = two_processes.train(tmp_path / "whole")[2]
    torchrun(two_processes.__file__, "kill_in_the_last_epoch", tmp_path / "killed", fails=True)
    left = torch.load(tmp_path / "killed/last.pt", weights_only=True)["history"]
    assert 2 <= len(left) < 4
    torchrun(two_processes.__file__, "go_on", tmp_path / "killed")
    history = pd.read_csv(tmp_path / "killed/history.csv")
    assert history["epoch"].tolist() == [0, 1, 2, 3]
    assert np.allclose(history, whole, atol=1e-5, equal_nan=True)


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
def test_a_training_on_other_input_reuses_nothing(tmp_path, monkeypatch, named):
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
    later(monkeypatch)
    anew = train(clip, images, texts, tmp_path, settings, resume=resume, overwrite=True, **options)
    alone = train(clip, images, texts, tmp_path / "alone", settings, **options)
    assert (
        torch.equal(anew[0], alone[0])
        and torch.equal(anew[1], alone[1])
        and anew[2].equals(alone[2])
    )
    shown = scalars(tmp_path)[list(anew[2])]  # the first training's are hidden
    assert np.allclose(shown, anew[2], rtol=1e-6, equal_nan=True)


def test_texts_follow_their_draw():
    images, texts = toy_pairs()
    data = DrawnPairs(images, texts, ToyClip().preprocess, augment=True)
    assert (data[0, 5, 0][1], data[0, 5, 1][1]) == tuple(texts[0])


def test_a_loss_that_is_not_finite_stops(tmp_path):
    clip, (images, texts) = ToyClip(), toy_pairs()
    clip.image_bias = clip.image_bias * torch.nan
    with pytest.raises(
        FloatingPointError, match=r"epoch 1, step 0: the loss is nan; .* the pairs \["
    ) as told:
        train(clip, images, texts, tmp_path, SETTINGS)
    named = json.loads(str(told.value)[str(told.value).index("[") :])
    assert (
        named == plan_epoch(N, SETTINGS.batch_size, 0, 0)[0][0].tolist()
        and len(named) == SETTINGS.batch_size
    )


def test_wrong_input(tmp_path):
    images, texts = toy_pairs()
    with pytest.raises(ValueError, match="expected a multiple of 1 processes x 3 parts, got 16"):
        train(ToyClip(), images, texts, tmp_path, SETTINGS, update_freq=3)
    with pytest.raises(ValueError, match="at least one text for each of the 48"):
        train(ToyClip(), images, texts[1:], tmp_path, SETTINGS)
    with pytest.raises(ValueError, match="batch_size: expected 1 .. 48"):
        train(ToyClip(), images, texts, tmp_path, Settings(batch_size=64))
