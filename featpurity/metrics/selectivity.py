"""What a single neuron knows of images: their labels and their likeness.

References
----------
Vinh, Epps & Bailey (2010), Information theoretic measures for clusterings comparison: variants,
properties, normalization and correction for chance.
Pach, Karthik, Bouniot, Belongie & Akata (NeurIPS 2025), Sparse Autoencoders Learn Monosemantic
Features in Vision-Language Models (the monosemanticity score).
"""

import torch
import torch.nn.functional as F

from featpurity.metrics.inputs import Array, check_embeddings

BINS = 16


def mutual_information(activations: Array, labels: Array, bins: int = BINS) -> torch.Tensor:
    """Mutual information of each neuron with the labels.

    Parameters
    ----------
    activations : float tensor or array of shape (n, d)
        One neuron per column: the coordinates of image embeddings.
    labels : int64 tensor or array of shape (n,)
    bins : int, default 16
        Number of bins, of equally many images, for each neuron's values. Equal values fall into
        bins at random, so that the order of the images does not matter.

    Returns
    -------
    information : float64 tensor of shape (d,)
        In nats, at most the labels' entropy. Its mean over all orders of the labels is subtracted:
        a neuron that knows nothing has 0 on average, and can come out slightly below.
    """
    from sklearn.metrics.cluster import expected_mutual_information  # late: takes seconds

    activations, labels = check_embeddings(activations, labels)
    n, d = activations.shape
    if not 2 <= bins <= n:
        raise ValueError(f"bins: expected 2 .. {n}, the number of images, got {bins}")
    _, groups = labels.unique(return_inverse=True)
    n_classes = int(groups.max()) + 1
    shuffled = torch.randperm(n, generator=torch.Generator().manual_seed(0)).to(groups.device)
    activations, groups = activations[shuffled], groups[shuffled]
    order = torch.argsort(activations.T.contiguous(), dim=1, stable=True)  # (d, n)
    # In a neuron's order of the images, the first n / bins are in its first bin, and so on.
    place = torch.arange(n, device=order.device) * bins // n
    neuron = torch.arange(d, device=order.device)[:, None]
    cells = ((neuron * bins + place) * n_classes + groups[order]).flatten()
    joint = torch.bincount(cells, minlength=d * bins * n_classes).view(d, bins, n_classes)
    chance = expected_mutual_information(joint[0].cpu().numpy(), n)  # all neurons have equal bins
    joint = joint.double() / n
    apart = joint.sum(2, keepdim=True) * joint.sum(1, keepdim=True)
    information = torch.xlogy(joint, joint / apart).nan_to_num(0).sum((1, 2))
    return information - chance


def monosemanticity(activations: Array, images: Array) -> torch.Tensor:
    """Monosemanticity score: how alike the images are that a neuron responds to.

    The mean cosine of two images, weighted by the product of the neuron's activations on them, each
    scaled so that the neuron's smallest is 0 and its largest 1.

    Parameters
    ----------
    activations : float tensor or array of shape (n, d)
    images : float tensor or array of shape (n, width)
        The same images by another encoder, of any length: their cosines measure likeness.

    Returns
    -------
    scores : float64 tensor of shape (d,)
        In [-1, 1]. Compare with the mean cosine of any two images, the score of a neuron that
        responds to all of them. NaN for a neuron with at most one value above its smallest.
    """
    activations, _ = check_embeddings(activations, torch.zeros(len(activations), dtype=torch.int64))
    images, _ = check_embeddings(images, torch.zeros(len(activations), dtype=torch.int64))
    low, high = activations.double().aminmax(dim=0)
    scaled = (activations - low) / (high - low)  # (n, d)
    unit = F.normalize(images.double(), dim=1).to(scaled)
    alone = scaled.square()  # each image with itself, which does not count
    alike = (scaled.T @ unit).square().sum(1) - (alone * unit.square().sum(1)[:, None]).sum(0)
    return alike / (scaled.sum(0).square() - alone.sum(0))
