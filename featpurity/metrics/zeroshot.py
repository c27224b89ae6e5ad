"""Zero-shot classification: which images are right, and the share of them.

Embeddings come as unit rows; everything here is tensors in, tensors or floats out.

References
----------
Radford et al. (2021), Learning Transferable Visual Models From Natural Language Supervision,
section 3.1.
"""

import torch


def check_embeddings(embeddings, labels):
    """Raise ValueError unless embeddings are finite (n, d) and labels (n,), n at least 1."""
    if embeddings.ndim != 2 or labels.shape != embeddings.shape[:1] or len(labels) == 0:
        raise ValueError(
            "expected embeddings (n, d) and labels (n,) with n >= 1, "
            f"got {tuple(embeddings.shape)} and {tuple(labels.shape)}"
        )
    if not torch.isfinite(embeddings).all():
        raise ValueError("embeddings: expected finite numbers, got NaN or infinity")


def right_predictions(embeddings, class_embeddings, labels, top=1):
    """Whether each image's class is among the `top` best: bool tensor of shape (n,).

    Raises ValueError for shapes that do not fit, NaN, labels outside the classes, or `top` outside
    1 .. n_classes.
    """
    check_embeddings(embeddings, labels)
    n_classes = len(class_embeddings)
    if class_embeddings.ndim != 2 or class_embeddings.shape[1] != embeddings.shape[1]:
        raise ValueError(
            f"class_embeddings: expected (n_classes, {embeddings.shape[1]}), got {tuple(class_embeddings.shape)}"
        )
    if labels.min() < 0 or labels.max() >= n_classes:
        raise ValueError(
            f"labels: expected 0 .. {n_classes - 1}, got {labels.min().item()} .. {labels.max().item()}"
        )
    if not 1 <= top <= n_classes:
        raise ValueError(f"top: expected 1 .. {n_classes}, got {top}")
    scores = embeddings @ class_embeddings.T  # (n, n_classes)
    if top == 1:
        return scores.argmax(1) == labels
    return (scores.topk(top, dim=1).indices == labels[:, None]).any(1)


def accuracy(embeddings, class_embeddings, labels, top=1):
    """Zero-shot accuracy in [0, 1]: the share of images whose class is among the `top` best."""
    return right_predictions(embeddings, class_embeddings, labels, top).float().mean().item()
