"""Mean average precision: how high a class's pictures rank, where one may show several classes.

References
----------
Everingham et al. (2010), The Pascal Visual Object Classes Challenge.
Jaeckel (1972), The infinitesimal jackknife.
"""

import torch
from sklearn.metrics import average_precision_score

from featpurity.metrics.inputs import Array, as_tensor, check_finite
from featpurity.metrics.intervals import Estimate


def mean_average_precision(scores: Array, truth: Array) -> float:
    """Multi-label mAP: the average precision of the images' ranking, averaged over classes.

    Parameters
    ----------
    scores : float tensor or array of shape (n, n_classes)
        Higher for images that are more likely to show the class.
    truth : bool or int tensor or array of shape (n, n_classes)
        Which classes each image shows.

    Returns
    -------
    float
        In [0, 1]: the area under the steps of precision against recall, as in scikit-learn's
        `average_precision_score`. Images of equal score count together; classes that no image shows
        do not count.
    """
    scores, truth = _shown_classes(scores, truth)
    return float(average_precision_score(truth.cpu().numpy(), scores.cpu().double().numpy()))


def estimate_average_precision(scores: Array, truth: Array) -> Estimate:
    """`mean_average_precision` with its interval over images, in closed form.

    Average precision is a differentiable function of the images' weights; its gradient at equal
    weights, times n, is the influence of each image.
    """
    scores, truth = _shown_classes(scores, truth)
    weights = torch.ones(len(scores), dtype=torch.float64, device=scores.device, requires_grad=True)
    value = _weighted(scores, truth, weights)
    (gradient,) = torch.autograd.grad(value, weights)
    return Estimate(value.detach(), gradient * len(scores))


def chance_average_precision(truth: Array) -> float:
    """Expected mean average precision of a random order of the images.

    Parameters
    ----------
    truth : bool or int tensor or array of shape (n, n_classes)
        Which classes each image shows; classes that no image shows do not count.
    """
    truth = _as_truth(truth)
    n, shown = len(truth), truth.sum(0)
    shown = shown[shown > 0].double()  # images of each class
    place = torch.arange(1, n + 1, dtype=torch.float64, device=truth.device)[:, None]
    # If an image of the class is at place i: how many others of the class precede it, on average.
    others = (place - 1) * (shown - 1) / max(1, n - 1)
    return ((1 + others) / place).mean().item()


def _weighted(scores, truth, weights):
    """Mean average precision with weights (n,) of the images."""
    ranked, order = scores.T.contiguous().sort(descending=True)  # (n_classes, n)
    # Images of equal score share a place, that of the last of them.
    last = torch.searchsorted(-ranked, -ranked, right=True) - 1
    weight = weights[order]
    hits = weight * truth.T.gather(1, order)
    precision = hits.cumsum(1).gather(1, last) / weight.cumsum(1).gather(1, last)
    return ((hits * precision).sum(1) / hits.sum(1)).mean()


def _as_truth(truth):
    """`truth` as a bool tensor; a ValueError for values other than 0 and 1."""
    truth = as_tensor(truth, "truth", "shape (n, n_classes)")
    other = truth[(truth != 0) & (truth != 1)]  # NaN too
    if len(other):
        raise ValueError(f"truth: expected bool, or 0 and 1, got {other[0].item()}")
    return truth.bool()


def _shown_classes(scores, truth):
    """Check scores and truth (as bool) and keep the classes that some image shows."""
    scores = as_tensor(scores, "scores", "shape (n, n_classes)")
    truth = _as_truth(truth)
    if scores.ndim != 2 or scores.shape != truth.shape or 0 in scores.shape:
        raise ValueError(
            "expected scores and truth of one shape (n, n_classes), "
            f"got {tuple(scores.shape)} and {tuple(truth.shape)}"
        )
    check_finite(scores, "scores")
    shown = truth.any(0)
    if not shown.any():
        raise ValueError("truth: expected at least one image that shows a class, got none")
    return scores[:, shown], truth[:, shown]
