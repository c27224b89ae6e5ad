"""A linear probe: logistic regression on stored features, few-shot or on all images.

References
----------
Radford et al. (2021), Learning Transferable Visual Models From Natural Language Supervision,
section 3.2 and appendix A.3: L2-regularised logistic regression by L-BFGS, the strength chosen on
images apart.
"""

import torch
from sklearn.linear_model import LogisticRegression

from featpurity.metrics.inputs import Array, as_labels, check_embeddings

MOST_STEPS = 1000
STRENGTHS = (1.0, 10.0, 100.0, 1000.0, 10000.0)  # unit features are small and need large ones


def few_shot(labels: Array, shots: int, seed: int = 0) -> torch.Tensor:
    """Indices of `shots` images of each class, chosen at random.

    Parameters
    ----------
    labels : int64 tensor or array of shape (n,)
    shots : int
        At least 1; a class with fewer images gives all of them.
    seed : int

    Returns
    -------
    indices : int64 tensor, in ascending order
    """
    labels = as_labels(labels).cpu()
    if shots < 1:
        raise ValueError(f"shots: expected at least 1 image of each class, got {shots}")
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    chosen = [order[labels[order] == label][:shots] for label in labels.unique()]
    return torch.cat(chosen).sort().values


def probe(
    features: Array, labels: Array, test_features: Array, strength: float = 1.0
) -> torch.Tensor:
    """Train a probe and predict classes.

    Parameters
    ----------
    features : float tensor or array of shape (n, width)
        Of the training images, used as they are: normalise first what is compared by cosine.
    labels : int64 tensor or array of shape (n,)
        Of at least 2 classes.
    test_features : float tensor or array of shape (m, width)
    strength : float
        scikit-learn's C: the inverse of the L2 penalty. Choose it on images outside the test set.

    Returns
    -------
    predicted : int64 tensor of shape (m,)
    """
    features, labels = check_embeddings(features, labels)
    m = len(test_features)
    test_features, _ = check_embeddings(test_features, torch.zeros(m, dtype=torch.int64))
    if test_features.shape[1] != features.shape[1]:
        raise ValueError(
            f"test_features: expected (m, {features.shape[1]}), got {tuple(test_features.shape)}"
        )
    if len(labels.unique()) < 2:
        raise ValueError("labels: a probe needs at least 2 classes, got 1")
    if not 0 < strength < float("inf"):
        raise ValueError(f"strength: expected a positive number, got {strength}")
    model = LogisticRegression(C=strength, max_iter=MOST_STEPS)
    model.fit(features.cpu().numpy(), labels.cpu().numpy())
    return torch.from_numpy(model.predict(test_features.cpu().numpy()))


def best_strength(
    features: Array, labels: Array, valid_features: Array, valid_labels: Array
) -> float:
    """The first of `STRENGTHS` with which a probe is right most often on held-out images.

    Parameters
    ----------
    features, labels
        Of the training images, see `probe`.
    valid_features, valid_labels
        Of the held-out images: neither training nor test images.
    """
    valid_features, valid_labels = check_embeddings(valid_features, valid_labels)
    right = [
        (probe(features, labels, valid_features, strength) == valid_labels.cpu()).sum().item()
        for strength in STRENGTHS
    ]
    return STRENGTHS[right.index(max(right))]
