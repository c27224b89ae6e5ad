"""A toy model, pictures and features to fine-tune: frozen towers of one random layer."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import torch
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from featpurity.models.clip import ClipModel
from featpurity.training.settings import Settings

N, SIZE, D = 48, 6, 8  # pictures, their side, neurons
SETTINGS = Settings(epochs=3, batch_size=16, learning_rate=1e-2)

N_FEATURES, WIDTH_IMAGE, WIDTH_TEXT = 96, 20, 12
OPTIONS = dict(epochs=3, batch_size=32, learning_rate=1e-2)  # of a training on features


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


def make_clip(bias=True):
    generator = torch.Generator().manual_seed(1)
    return SimpleNamespace(
        image_neurons=torch.randn(D, WIDTH_IMAGE, generator=generator),
        text_neurons=torch.randn(D, WIDTH_TEXT, generator=generator),
        image_bias=torch.randn(D, generator=generator) if bias else None,
        text_bias=None,
        logit_scale=20.0,
    )


def make_features():
    generator = torch.Generator().manual_seed(0)
    shared = torch.randn(N_FEATURES, 6, generator=generator)
    return tuple(
        shared @ torch.randn(6, width, generator=generator) for width in (WIDTH_IMAGE, WIDTH_TEXT)
    )


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
