"""Measure the projections after each epoch, for the history of cached and online training."""

from collections.abc import Callable

import torch

from featpurity.metrics.purity import avg_abs_cos


def look(
    image_neurons: torch.Tensor,
    text_neurons: torch.Tensor,
    logit_scale: float,
    evaluate: Callable | None,
) -> dict[str, float]:
    """Logit scale, both towers' average |cos|, and what `evaluate` measures.

    Parameters
    ----------
    image_neurons, text_neurons : float tensors of shape (d, width)
        Without gradients.
    logit_scale : float
    evaluate : callable, optional
        ``evaluate(image_neurons, text_neurons) -> dict`` of numbers.
    """
    found = evaluate(image_neurons, text_neurons) if evaluate else {}
    return {
        "logit_scale": logit_scale,
        "image_avg_abs_cos": avg_abs_cos(image_neurons),
        "text_avg_abs_cos": avg_abs_cos(text_neurons),
        **{name: float(value) for name, value in found.items()},  # a state on disk may hold floats
    }
