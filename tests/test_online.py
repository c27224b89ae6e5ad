"""Online fine-tuning: equal to cached training, to itself over two processes, and after a resume."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from featpurity.finetune import caption_choices, finetune_projections, parse
from featpurity.online import DrawnPairs, train
from featpurity.schedule import Settings

N, SIZE, D = 48, 6, 8
SETTINGS = Settings(epochs=3, batch_size=16, learning_rate=1e-2)


class ToyClip:
    """Two frozen towers of one random layer, with the attributes of a ClipModel that training uses."""

    name, device, logit_scale, text_bias = "toy", torch.device("cpu"), 20.0, None

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


def save_toy(path, clip, image_neurons, text_neurons, **metadata):
    save_file({"image_neurons": image_neurons, "text_neurons": text_neurons}, path)


@pytest.fixture(autouse=True)
def toy_models(monkeypatch):
    monkeypatch.setitem(sys.modules, "featpurity.models", SimpleNamespace(save_projections=save_toy))


def test_one_view_without_augmentation_equals_cached_training(tmp_path):
    clip, (images, texts) = ToyClip(), toy_pairs()
    image_features = clip.image_trunk(torch.stack([clip.preprocess(image) for image in images]))
    views = torch.stack([clip.text_trunk(clip.tokenizer(view)) for view in zip(*texts)])
    for epochs, batch in ((3, 16), (8, N)):  # a whole batch an epoch: then the history is step by step
        settings = Settings(epochs=epochs, batch_size=batch, learning_rate=1e-2)
        online = train(clip, images, texts, tmp_path / str(batch), settings, seed=3, augment=False)
        cached = finetune_projections(clip, image_features, views, epochs=epochs, batch_size=batch,
                                      learning_rate=1e-2, seed=3)
        for mine, theirs in zip(online[:2], cached[:2]):
            assert (mine - theirs).abs().max() < 1e-4
        columns = ["loss", "image_avg_abs_cos", "text_avg_abs_cos"]
        assert np.allclose(online[2][columns], cached[2][columns][1:], atol=1e-4)


def test_only_the_projections_change(tmp_path):
    clip, (images, texts) = ToyClip(), toy_pairs()
    before = clip.tensors()
    *neurons, history = train(clip, images, texts, tmp_path, SETTINGS)
    assert all(torch.equal(before[name], value) for name, value in clip.tensors().items())
    assert not torch.equal(neurons[0], clip.image_neurons) and not torch.equal(neurons[1], clip.text_neurons)
    assert (history["logit_scale"] - 20).abs().max() < 1e-4
    assert pd.read_csv(tmp_path / "history.csv")["epoch"].tolist() == [1, 2, 3]
    assert {"last.safetensors", "best.safetensors", "last.pt"} <= {file.name for file in tmp_path.iterdir()}
    assert list(tmp_path.glob("events.out.tfevents*"))


def test_two_processes_equal_one_on_the_same_global_batch(tmp_path):
    clip, (images, texts) = ToyClip(), toy_pairs()
    whole = train(clip, images, texts, tmp_path / "one", SETTINGS)
    parts = train(clip, images, texts, tmp_path / "parts", SETTINGS, update_freq=4)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    started = subprocess.run([*torchrun, __file__, tmp_path / "two"], env=environment, capture_output=True,
                             text=True)
    assert started.returncode == 0, started.stderr
    for rank in range(2):
        both = torch.load(tmp_path / "two" / f"{rank}.pt", weights_only=True)
        for one, part, mine in zip(whole[:2], parts[:2], both):
            assert (one - part).abs().max() < 1e-5 and (one - mine).abs().max() < 1e-5
    assert np.allclose(pd.read_csv(tmp_path / "two" / "history.csv"), whole[2], atol=1e-5)


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
    with pytest.raises(ValueError, match="is of another training"):
        train(clip, images, texts, tmp_path, SETTINGS, seed=9, resume=tmp_path / "last.pt")


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
    with pytest.raises(FloatingPointError, match=r"epoch 1, step 0: the loss is nan; .* the pairs \[\d+,"):
        train(clip, images, texts, tmp_path, SETTINGS)


def test_captions_of_files(tmp_path):
    pairs = SimpleNamespace(captions=["one", "two"], rewrites=[["uno"], []], __len__=None)
    for name, text in (("swapped", "two\none\n"), ("rewritten", "eins\nzwei\n"), ("short", "one\n")):
        (tmp_path / f"{name}.txt").write_text(text)
    assert caption_choices(pairs) == [["one", "uno"], ["two"]]
    files = [tmp_path / "rewritten.txt"]
    assert caption_choices(pairs, None, files) == [["one", "uno", "eins"], ["two", "zwei"]]
    assert caption_choices(pairs, tmp_path / "swapped.txt", files) == [["two", "eins"], ["one", "zwei"]]
    with pytest.raises(ValueError, match="expected a line for each of 2 images, got 1"):
        caption_choices(pairs, tmp_path / "short.txt")


def test_wrong_input(tmp_path):
    images, texts = toy_pairs()
    with pytest.raises(ValueError, match="expected a multiple of 1 processes x 3 parts, got 16"):
        train(ToyClip(), images, texts, tmp_path, SETTINGS, update_freq=3)
    with pytest.raises(ValueError, match="at least one text for each of the 48"):
        train(ToyClip(), images, texts[1:], tmp_path, SETTINGS)
    with pytest.raises(ValueError, match="batch_size: expected 1 .. 48"):
        train(ToyClip(), images, texts, tmp_path, Settings(batch_size=64))


def test_the_paper_s_option_names():
    chosen = parse("--train-data a.csv --root r --imagenet-root i --output-dir o --model m --lr 1e-3 "
                   "--wd 0.5 --warmup-epochs 1 --batch-size 256 --epochs 10 --resume last.pt "
                   "--augmented-caption-filelist b.txt c.txt".split())
    assert chosen.augmented_caption_filelist == ["b.txt", "c.txt"] and chosen.wd == 0.5


if __name__ == "__main__":  # one of the two processes that torchrun starts above
    sys.modules["featpurity.models"] = SimpleNamespace(save_projections=save_toy)
    torch.distributed.init_process_group("gloo")
    folder = Path(sys.argv[1])
    trained = train(ToyClip(), *toy_pairs(), folder, SETTINGS)
    torch.save(list(trained[:2]), folder / f"{torch.distributed.get_rank()}.pt")
    torch.distributed.destroy_process_group()
