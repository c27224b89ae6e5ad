"""A linear probe: logistic regression on stored features, few-shot or on all images.

References
----------
Radford et al. (2021), Learning Transferable Visual Models From Natural Language Supervision,
section 3.2 and appendix A.3: L2-regularised logistic regression by L-BFGS, the strength chosen on
images apart.
"""

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression

from featpurity.metrics.inputs import check_embeddings

MOST_STEPS = 1000
STRENGTHS = (1.0, 10.0, 100.0, 1000.0, 10000.0)  # unit features are small and ask for large ones


def few_shot(labels, shots, seed=0):
    """Indices of `shots` images of each class, chosen at random.

    Parameters
    ----------
    labels : int64 tensor or array of shape (n,)
    shots : int
        At least 1; a class that has fewer images gives all of them.
    seed : int

    Returns
    -------
    indices : int64 tensor, in rising order
    """
    labels = torch.as_tensor(np.asarray(labels))
    if shots < 1:
        raise ValueError(f"shots: expected at least 1 image of each class, got {shots}")
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    chosen = [order[labels[order] == one][:shots] for one in labels.unique()]
    return torch.cat(chosen).sort().values


def probe(features, labels, test_features, strength=1.0):
    """Train a probe and predict classes.

    Parameters
    ----------
    features : float tensor or array of shape (n, width)
        Of the training images; as they are, so normalise before what is to be compared by cosine.
    labels : int64 tensor or array of shape (n,)
        Of at least 2 classes.
    test_features : float tensor or array of shape (m, width)
    strength : float
        scikit-learn's C: the inverse of the L2 penalty. Choose it on images apart from the test's.

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


def best_strength(features, labels, valid_features, valid_labels, strengths=STRENGTHS):
    """The strength with which a probe is right most often on images apart.

    Parameters
    ----------
    features, labels
        Of the training images, see `probe`.
    valid_features, valid_labels
        Of the images apart: neither training nor test images.
    strengths : sequence of float
        Of equally good ones the first is taken.
    """
    valid_features, valid_labels = check_embeddings(valid_features, valid_labels)
    right = [
        (probe(features, labels, valid_features, one) == valid_labels.cpu()).sum().item()
        for one in strengths
    ]
    return strengths[right.index(max(right))]


def probe_accuracy(features, labels, test_features, test_labels, strength=1.0, shots=None, seed=0):
    """Accuracy of a probe in [0, 1], on all training images or on `shots` of each class.

    Parameters are those of `probe` and `few_shot`; ``test_labels`` (m,).
    """
    if shots is not None:
        some = few_shot(labels, shots, seed)
        features, labels = features[some], labels[some]
    test_features, test_labels = check_embeddings(test_features, test_labels)
    predicted = probe(features, labels, test_features, strength)
    return (predicted == test_labels.cpu()).float().mean().item()
