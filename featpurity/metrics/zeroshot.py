"""Zero-shot classification: which images are right, and the share of them.

Embeddings are unit rows; every function takes tensors and returns tensors or floats.

References
----------
Radford et al. (2021), Learning Transferable Visual Models From Natural Language Supervision,
section 3.1.
"""

import torch

from featpurity.metrics.inputs import Array, as_labels, as_tensor, check_classifier, row_blocks
from featpurity.metrics.intervals import Estimate, variance_unseen


def right_predictions(
    embeddings: Array, class_embeddings: Array, labels: Array, top: int = 1
) -> torch.Tensor:
    """Whether each image's class is among the `top` best: bool tensor of shape (n,).

    Parameters
    ----------
    embeddings : float tensor or array of shape (n, d)
    class_embeddings : float tensor or array of shape (n_classes, d)
        Unit rows.
    labels : int64 tensor or array of shape (n,)
    top : int, default 1

    Raises
    ------
    ValueError
        For shapes that do not fit, NaN, labels outside the classes, or `top` outside 1 ..
        n_classes.
    """
    embeddings, class_embeddings, labels = check_classifier(embeddings, class_embeddings, labels)
    n_classes = len(class_embeddings)
    if not 1 <= top <= n_classes:
        raise ValueError(f"top: expected 1 .. {n_classes}, got {top}")
    right = []
    for rows in row_blocks(len(labels), n_classes, embeddings):
        scores = embeddings[rows] @ class_embeddings.T  # (rows, n_classes)
        best = scores.topk(top, dim=1).indices if top > 1 else scores.argmax(1, keepdim=True)
        right.append((best == labels[rows, None]).any(1))
    return torch.cat(right)


def accuracy(embeddings: Array, class_embeddings: Array, labels: Array, top: int = 1) -> float:
    """Zero-shot accuracy in [0, 1]: the share of images whose class is among the `top` best.

    Parameters and errors are those of `right_predictions`.
    """
    return right_predictions(embeddings, class_embeddings, labels, top).float().mean().item()


def several_classes(name: str) -> ValueError:
    """The ValueError for an accuracy, which counts one class, on pictures of several classes."""
    return ValueError(
        f"{name}: its pictures show several classes, of which there is no accuracy; see "
        "featpurity.metrics.average_precision.mean_average_precision"
    )


def mean_per_class_recall(right: Array, labels: Array) -> torch.Tensor:
    """Mean over the classes of the share of a class's images that are right.

    Unlike accuracy, it does not reward a model for the largest class alone.

    Parameters
    ----------
    right : bool or float tensor of shape (n,) or (n, m)
        From `right_predictions`, of m models, say.
    labels : int64 tensor or array of shape (n,)

    Returns
    -------
    recall : float64 tensor of shape () or (m,)
        In [0, 1]; classes without images do not count, as in scikit-learn's
        `balanced_accuracy_score`.
    """
    _, recalls, _, _ = _recall_by_class(right, labels)
    return recalls.mean(0)


def recall_influence(right: Array, labels: Array) -> torch.Tensor:
    """Influence of each image on `mean_per_class_recall`: float64 tensor of the shape of `right`.

    The gradient by the image's weight, times n, for `intervals.influence_interval`. In a class of c
    images it is multiplied by sqrt(c / (c - 1)), as these spread about their own mean. A class of
    one image shows no spread.
    """
    right, recalls, groups, counts = _recall_by_class(right, labels)
    share = len(groups) / (len(counts) * counts[groups])  # an image's weight, times n
    share = share * (counts / (counts - 1).clamp(min=1)).sqrt()[groups]
    return (share * (right.double() - recalls[groups]).movedim(0, -1)).movedim(-1, 0)


def estimate_recall(right: Array, labels: Array) -> Estimate:
    """`mean_per_class_recall` with its interval over images, in closed form.

    The variance that they cannot show counts 1 / (largest weight) images, as if all weighed that.
    """
    unseen = variance_unseen(1 / recall_weights(labels).max().item())
    value, influence = mean_per_class_recall(right, labels), recall_influence(right, labels)
    return Estimate(value, influence, unseen=unseen)


def recall_weights(labels: Array) -> torch.Tensor:
    """Image weights, float64 (n,), whose sum over the right images is the mean per-class recall."""
    _, groups, counts = as_labels(labels).unique(return_inverse=True, return_counts=True)
    return 1 / (len(counts) * counts[groups].double())


def _recall_by_class(right, labels):
    """`right`, recalls (classes, ...) of classes with images, labels as 0 .. classes-1, counts."""
    right, labels = as_tensor(right, "right", "shape (n,)"), as_labels(labels)
    if right.shape[:1] != labels.shape or len(labels) == 0:
        raise ValueError(
            "expected right predictions (n,) or (n, m) and labels (n,) with n >= 1, "
            f"got {tuple(right.shape)} and {tuple(labels.shape)}"
        )
    _, groups, counts = labels.to(right.device).unique(return_inverse=True, return_counts=True)
    hits = torch.zeros(
        len(counts), *right.shape[1:], dtype=torch.float64, device=right.device
    ).index_add_(0, groups, right.double())
    return right, (hits.movedim(0, -1) / counts).movedim(-1, 0), groups, counts
