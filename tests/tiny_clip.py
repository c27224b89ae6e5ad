"""A model of two linear towers, with what the store needs to know about it."""

import numpy as np
import torch
import torch.nn.functional as F

to_pixels_calls = []


def to_pixels(picture):
    to_pixels_calls.append(picture)
    return torch.from_numpy(np.asarray(picture).copy()).permute(2, 0, 1).float() / 255


class TinyClip:
    """Two linear trunks and projections, with what the store needs to know about them."""

    d, device, preprocess_name, logit_scale = 5, torch.device("cpu"), "native", 1.0

    def __init__(self, seed=0):
        draw = torch.Generator().manual_seed(seed)
        self.name, self.image_key, self.text_key = f"tiny{seed}", f"image{seed}", f"text{seed}"
        self.preprocess = to_pixels
        self.image_weights = torch.randn(7, 3 * 8 * 8, generator=draw)
        self.text_weights = torch.randn(6, 4, generator=draw)
        self.image_neurons, self.text_neurons = (
            torch.randn(5, 7, generator=draw),
            torch.randn(5, 6, generator=draw),
        )
        self.batches = []

    def image_trunk(self, x):
        self.batches.append(len(x))
        return F.linear(x.flatten(1), self.image_weights.to(x.device))

    def text_trunk(self, tokens):
        self.batches.append(len(tokens))
        return F.linear(tokens.float(), self.text_weights)

    def tokenizer(self, texts):
        return torch.tensor(
            [[len(text), text.count("a"), text.count("b"), text.count(" ")] for text in texts]
        )

    def project_image(self, trunk):
        return trunk @ self.image_neurons.T

    def project_text(self, trunk):
        return trunk @ self.text_neurons.T
