"""The paper's data: sparse codes, through one dictionary as images and another as texts.

An image is x = M z_x + noise, its text y = H z_y + noise, with orthonormal dictionaries M and H
whose columns are the *features*. In clean pairs both have the same code. In noisy pairs the text
replaces each feature of the image, with some probability, by its *spurious partner*: features form
couples, 0 with 1, 2 with 3 and so on.

References
----------
Sun, Zhang, Li & Wang (NeurIPS 2025): assumptions 3.1 to 3.3 and B.1, sections 2.2, 3.4 and 5.1."""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F


@dataclass(frozen=True)
class Setting:
    """Sizes of the simulation: the paper's unless a comment says otherwise."""

    n_features: int = 50
    width: int = 500  # of images and texts; the paper's 2500 takes five times as long
    active: float = 0.1  # probability that a feature is in an image
    n_noisy: int = 5000
    n_clean: int = 1000
    n_classes: int = 5
    active_in_tests: float = 0.2
    n_tests: int = 8000  # before leaving out those without a clear class. The paper gives none
    lead: int = 2  # features by which an image's class leads the next; the paper gives none
    shift: float = 0.1  # of the test images' dictionary, in 1 / sqrt(n_features), the paper's order

    def __post_init__(self):
        if self.n_features % 2 or self.n_features > self.width:
            raise ValueError(
                "n_features: expected an even number up to the width, "
                f"got {self.n_features} and {self.width}"
            )
        if not 2 <= self.n_classes <= self.n_features:
            raise ValueError(
                f"n_classes: expected 2 .. {self.n_features} (features), got {self.n_classes}"
            )

    @property
    def noise(self) -> float:
        """Standard deviation of the noise in each direction."""
        return self.n_features**-0.5


@dataclass(frozen=True)
class Pairs:
    """Image-text pairs at several probabilities of a spurious feature, noisy pairs first.

    Images, noise and the draws for replacements are the same at every probability.
    """

    images: torch.Tensor  # (n, width)
    texts: torch.Tensor  # (n_probabilities, n, width)
    codes: torch.Tensor  # (n, n_features), the images' codes
    image_dictionary: torch.Tensor  # (width, n_features)
    text_dictionary: torch.Tensor  # (width, n_features)
    n_noisy: int


@dataclass(frozen=True)
class Task:
    """Zero-shot classification of images that have more features than those in training."""

    images: torch.Tensor  # (n, width)
    labels: torch.Tensor  # (n,) int64
    prompts: torch.Tensor  # (n_classes, width), texts without noise


def sample_pairs(setting: Setting, probabilities: list[float], seed: int) -> Pairs:
    """Draw image-text pairs whose texts name spurious features with each of some probabilities.

    Parameters
    ----------
    setting : Setting
    probabilities : sequence of float in [0, 0.5]
        The paper's C_s, for the noisy pairs only.
    seed : int
    """
    if not len(probabilities) or not all(0 <= p <= 0.5 for p in probabilities):
        raise ValueError(f"probabilities: expected some in [0, 0.5], got {list(probabilities)}")
    generator = torch.Generator().manual_seed(seed)
    n, d, width = setting.n_noisy + setting.n_clean, setting.n_features, setting.width
    image_dictionary, text_dictionary = (
        _dictionary(width, d, generator),
        _dictionary(width, d, generator),
    )
    signs = torch.randint(0, 2, (n, d), generator=generator) * 2 - 1
    codes = _active(n, d, setting.active, generator) * signs
    draws = torch.rand(n, d, generator=generator)
    draws[setting.n_noisy :] = 1  # never replaced
    text_codes = torch.stack([swap_partners(codes, draws < p) for p in probabilities])
    image_noise, text_noise = (
        torch.randn(n, width, generator=generator) * setting.noise for _ in range(2)
    )
    return Pairs(
        images=codes @ image_dictionary.T + image_noise,
        texts=text_codes @ text_dictionary.T + text_noise,
        codes=codes,
        image_dictionary=image_dictionary,
        text_dictionary=text_dictionary,
        n_noisy=setting.n_noisy,
    )


def swap_partners(codes: torch.Tensor, replaced: torch.Tensor) -> torch.Tensor:
    """Codes with some features moved to their spurious partners.

    Parameters
    ----------
    codes : float tensor of shape (n, d), entries in {-1, 0, 1}
    replaced : bool tensor of shape (n, d)

    Returns
    -------
    codes : float tensor of shape (n, d), entries in {-1, 0, 1}
        Features that meet at one place add up; equal signs count once, opposite ones cancel.
    """
    features = torch.arange(codes.shape[1])
    target = torch.where(replaced, features ^ 1, features)
    return torch.zeros_like(codes).scatter_add_(1, target, codes).clamp(-1, 1)


def sample_task(setting: Setting, pairs: Pairs, seed: int) -> Task:
    """Draw a zero-shot task whose classes divide the features among themselves.

    Feature j belongs to class j mod n_classes, so that spurious partners belong to different
    classes. An image's class is the one with most of its features; images whose class leads the
    next by less than `setting.lead` are left out.
    """
    generator = torch.Generator().manual_seed(seed)
    d = setting.n_features
    classes = F.one_hot(torch.arange(d) % setting.n_classes, setting.n_classes).float()
    codes = _active(setting.n_tests, d, setting.active_in_tests, generator)
    most, second = (codes @ classes).topk(2, dim=1).values.T
    codes = codes[most - second >= setting.lead]
    shift = (2 * torch.rand(d, d, generator=generator) - 1) * setting.shift / math.sqrt(d)
    dictionary = pairs.image_dictionary @ (torch.eye(d) + shift)
    noise = torch.randn(len(codes), setting.width, generator=generator) * setting.noise
    return Task(
        images=codes @ dictionary.T + noise,
        labels=(codes @ classes).argmax(1),
        prompts=classes.T @ pairs.text_dictionary.T,
    )


def _active(n, d, probability, generator):
    """Which features are present: float tensor of shape (n, d) of zeros and ones."""
    return (torch.rand(n, d, generator=generator) < probability).float()


def _dictionary(width, d, generator):
    """Random orthonormal columns, shape (width, d)."""
    return torch.linalg.qr(torch.randn(width, d, generator=generator))[0]
