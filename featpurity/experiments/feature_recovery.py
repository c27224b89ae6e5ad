"""Measure what the simulation's encoders have learnt, where the true features are known.

References
----------
Sun, Zhang, Li & Wang (NeurIPS 2025): section 5.1, figures 1, 3 and 4."""

import pandas as pd
import torch
import torch.nn.functional as F

from featpurity.experiments.relu_encoders import Encoders
from featpurity.experiments.sparse_coding import Pairs, Task
from featpurity.metrics.purity import avg_abs_cos
from featpurity.metrics.silhouette import silhouette

PURE = 0.5  # |cos| above which a neuron represents a feature purely, as in the paper
MEASURES = ("accuracy", "silhouette", "features", "magnitude")  # of the paper's figure 1


def feature_cosines(encoders: Encoders, pairs: Pairs) -> torch.Tensor:
    """|cos| of each image neuron with each feature: float tensor (n_runs, m, n_features)."""
    return (F.normalize(encoders.image, dim=2) @ pairs.image_dictionary).abs()


def pure_features(cosines: torch.Tensor) -> tuple[int, float]:
    """How many features some neuron represents purely, and how strongly.

    A neuron purely represents the feature with which its |cos| is largest, if that is above `PURE`.
    A feature's magnitude is the largest such |cos|.

    Parameters
    ----------
    cosines : float tensor of shape (m, n_features)

    Returns
    -------
    number : int
    magnitude : float
        Mean over the purely represented features; NaN if there are none.
    """
    largest, feature = cosines.max(1)
    pure = largest > PURE
    best = torch.zeros(cosines.shape[1]).scatter_reduce(0, feature[pure], largest[pure], "amax")
    return int((best > 0).sum()), best[best > 0].mean().item()


def text_truth(texts: torch.Tensor, pairs: Pairs) -> torch.Tensor:
    """Mean cosine between the codes of the noisy pairs' texts and of their images.

    Images without features are left out.

    Parameters
    ----------
    texts : float tensor of shape (n_runs, n, width)
    pairs : Pairs

    Returns
    -------
    cosines : float tensor of shape (n_runs,)
    """
    codes = pairs.codes[: pairs.n_noisy]
    there = codes.any(1)
    read = texts[:, : pairs.n_noisy][:, there] @ pairs.text_dictionary
    return F.cosine_similarity(read, codes[there].expand_as(read), dim=2).mean(1)


def measure(encoders: Encoders, pairs: Pairs, task: Task) -> pd.DataFrame:
    """The four `MEASURES` and the average |cos| of the image encoder's neurons: a row per run."""
    images, prompts = encoders.embed_images(task.images), encoders.embed_texts(task.prompts)
    right = (images @ prompts.mT).argmax(2) == task.labels  # (n_runs, n)
    rows = []
    for run, cosines in enumerate(feature_cosines(encoders, pairs)):
        features, magnitude = pure_features(cosines)
        rows.append(
            dict(
                accuracy=right[run].float().mean().item(),
                silhouette=silhouette(images[run], task.labels),
                features=features,
                magnitude=magnitude,
                avg_abs_cos=avg_abs_cos(encoders.image[run]),
            )
        )
    return pd.DataFrame(rows)
