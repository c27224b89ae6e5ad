"""Settings of a training, its learning rates, and what each epoch draws."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch


@dataclass(frozen=True)
class Settings:
    """How to train projections; the defaults are the paper's, with its global batch of 4 x 256.

    The learning rate rises linearly from `first_learning_rate` over `warmup_epochs`, then falls
    along a cosine to `last_learning_rate`. The logit scale is fixed unless `train_logit_scale`. A
    last incomplete batch is left out.
    """

    epochs: int = 10
    batch_size: int = 1024
    learning_rate: float = 1e-3
    weight_decay: float = 0.5
    betas: tuple = (0.9, 0.98)
    warmup_epochs: int = 1
    first_learning_rate: float = 1e-6
    last_learning_rate: float = 1e-5
    train_logit_scale: bool = False

    def __post_init__(self):
        for name, value in vars(self).items():  # a state on disk cannot hold NumPy numbers
            if isinstance(value, np.generic):
                object.__setattr__(self, name, value.item())
        object.__setattr__(self, "betas", tuple(map(float, self.betas)))
        positive = ("epochs", "batch_size", "learning_rate")
        others = ("warmup_epochs", "weight_decay", "first_learning_rate", "last_learning_rate")
        wrong = [name for name in positive if not 0 < getattr(self, name) < math.inf]
        wrong += [name for name in others if not 0 <= getattr(self, name) < math.inf]
        if wrong or not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError(
                f"expected positive {', '.join(positive)}, {', '.join(others)} of at least 0, all "
                f"of them finite, and betas in [0, 1), got {self}"
            )

    def steps_per_epoch(self, n: int) -> int:
        """Number of whole batches in n pairs; a ValueError if there is none."""
        _check_batch(self.batch_size, n)
        return n // self.batch_size

    def learning_rates(self, steps_per_epoch: int) -> np.ndarray:
        """The learning rate of every step: float array of shape (epochs * steps_per_epoch,)."""
        return warm_up_and_cosine(
            self.epochs * steps_per_epoch,
            min(self.warmup_epochs, self.epochs) * steps_per_epoch,
            self.first_learning_rate,
            self.learning_rate,
            self.last_learning_rate,
        )

    def optimiser(
        self, projections: list[torch.Tensor], logit_scale: torch.Tensor, **options: Any
    ) -> torch.optim.AdamW:
        """AdamW for the `projections`; the logarithm of the logit scale has no weight decay."""
        groups = [
            {"params": projections, "weight_decay": self.weight_decay},
            {"params": [logit_scale], "weight_decay": 0.0},
        ]
        return torch.optim.AdamW(groups, lr=self.learning_rate, betas=self.betas, **options)

    def step(self, optimiser: torch.optim.Optimizer, rate: float, log_scale: torch.Tensor) -> None:
        """Take a step at a learning rate; a trained logit scale stays in [1, 100]."""
        for group in optimiser.param_groups:
            group["lr"] = float(rate)
        optimiser.step()
        if self.train_logit_scale:
            log_scale.data.clamp_(0, math.log(100))


def warm_up_and_cosine(
    steps: int, warmup: int, first: float, highest: float, last: float
) -> np.ndarray:
    """The learning rate of every step: linear from `first` to `highest`, then a cosine to `last`.

    Parameters
    ----------
    steps : int
        Number of steps in all.
    warmup : int
        Number of first steps, during which the rate rises.
    first, highest, last : float

    Returns
    -------
    rates : float array of shape (steps,)
    """
    rest = steps - warmup
    cosine = (1 + np.cos(math.pi * np.arange(rest) / max(1, rest))) / 2
    return np.append(np.linspace(first, highest, warmup), last + cosine * (highest - last))


def _check_batch(batch_size: int, n: int) -> None:
    """Raise ValueError if there are fewer pairs than a batch."""
    if not 1 <= batch_size <= n:
        raise ValueError(f"batch_size: expected 1 .. {n} (the number of pairs), got {batch_size}")


def plan_epoch(
    n: int, batch_size: int, seed: int, epoch: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What an epoch draws: the same for cached and online training, and after a resume.

    Returns
    -------
    pairs : int64 array of shape (n_steps, batch_size)
        Every pair at most once, in random order.
    image_draws, text_draws : int64 arrays of the same shape
        A random number for each pair, which picks the image's view and the text among those
        available.
    """
    _check_batch(batch_size, n)
    rng = np.random.default_rng([seed, epoch])
    kept = n // batch_size * batch_size
    pairs, draws = rng.permutation(n)[:kept], rng.integers(2**31, size=(2, kept))
    return tuple(values.reshape(-1, batch_size) for values in (pairs, *draws))
