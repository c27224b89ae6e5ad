"""Zero-shot classification, the silhouette of the classes, and bootstrap intervals for both.

Embeddings come as unit rows; everything here is tensors in, tensors or floats out.

References
----------
Radford et al. (2021), Learning Transferable Visual Models From Natural Language Supervision, section 3.1.
Rousseeuw (1987), Silhouettes: a graphical aid to the interpretation and validation of cluster analysis.
Efron & Tibshirani (1993), An Introduction to the Bootstrap, chapter 13 (percentile intervals).
"""

import torch
import torch.nn.functional as F


def _check(embeddings, labels):
    if embeddings.ndim != 2 or labels.shape != embeddings.shape[:1] or len(labels) == 0:
        raise ValueError(
            "expected embeddings (n, d) and labels (n,) with n >= 1, "
            f"got {tuple(embeddings.shape)} and {tuple(labels.shape)}"
        )
    if not torch.isfinite(embeddings).all():
        raise ValueError("embeddings: expected finite numbers, got NaN or infinity")


@torch.no_grad()
def class_embeddings(clip, classes, templates):
    """Zero-shot classifier: one unit row a class, the mean of its prompts' unit embeddings.

    Parameters
    ----------
    clip : ClipModel
        Anything with `tokenizer(list of str)` and `encode_text(tokens)`.
    classes : list of str
        Class names, as they should read in a sentence.
    templates : list of str
        Prompt templates, each with one "{}" for the class name.

    Returns
    -------
    class_embeddings : float tensor of shape (n_classes, d)
        Unit rows, on the model's device.
    """
    prompts = fill(classes, templates)
    rows = []
    for start in range(0, len(prompts), len(templates)):
        tokens = clip.tokenizer(prompts[start : start + len(templates)])
        unit = F.normalize(clip.encode_text(tokens).float(), dim=1)  # (n_templates, d)
        rows.append(unit.mean(0))
    return F.normalize(torch.stack(rows), dim=1)  # (n_classes, d)


def fill(classes, templates):
    """Every template with every class name: n_classes x n_templates prompts, those of a class side by side."""
    if not classes:
        raise ValueError("classes: expected at least one class name, got none")
    without = [t for t in templates if "{}" not in t]
    if not templates or without:
        raise ValueError(f"templates: expected sentences with '{{}}' for the class name, got {without or templates}")
    return [template.replace("{}", name) for name in classes for template in templates]


def right_predictions(embeddings, class_embeddings, labels, top=1):
    """Whether each image's class is among the `top` best: bool tensor of shape (n,).

    Raises ValueError for shapes that do not fit, NaN, labels outside the classes, or `top` outside 1 .. n_classes.
    """
    _check(embeddings, labels)
    n_classes = len(class_embeddings)
    if class_embeddings.ndim != 2 or class_embeddings.shape[1] != embeddings.shape[1]:
        raise ValueError(
            f"class_embeddings: expected (n_classes, {embeddings.shape[1]}), got {tuple(class_embeddings.shape)}"
        )
    if labels.min() < 0 or labels.max() >= n_classes:
        raise ValueError(f"labels: expected 0 .. {n_classes - 1}, got {labels.min().item()} .. {labels.max().item()}")
    if not 1 <= top <= n_classes:
        raise ValueError(f"top: expected 1 .. {n_classes}, got {top}")
    scores = embeddings @ class_embeddings.T  # (n, n_classes)
    if top == 1:
        return scores.argmax(1) == labels
    return (scores.topk(top, dim=1).indices == labels[:, None]).any(1)


def accuracy(embeddings, class_embeddings, labels, top=1):
    """Zero-shot accuracy in [0, 1]: the share of images whose class is among the `top` best."""
    return right_predictions(embeddings, class_embeddings, labels, top).float().mean().item()


def silhouette(embeddings, labels):
    """Exact mean silhouette of the classes for the cosine metric.

    The mean cosine distance of an image to a class is 1 - u . S / N, with u the image's unit vector, S the
    sum of the class's unit vectors and N their number. So the score costs n x classes x d, not n^2 x d, and
    is equal to scikit-learn's `silhouette_score(..., metric="cosine")`.

    Parameters
    ----------
    embeddings : float tensor of shape (n, d)
        Of any length; normalised here. A row of zeros is at distance 1 from everything.
    labels : int64 tensor of shape (n,)

    Returns
    -------
    float
        In [-1, 1]. An image that is alone in its class scores 0.

    Raises
    ------
    ValueError
        For fewer than 2 classes, as many classes as images, shapes that do not fit, or NaN.
    """
    _check(embeddings, labels)
    groups, n_classes = _groups(labels)
    unit = F.normalize(embeddings.double(), dim=1)
    weights = unit.new_ones(len(unit))
    return _weighted_silhouette(unit, groups, n_classes, weights).item()


def silhouette_curve(embeddings, labels, order, kept):
    """Silhouette of the pruned image embeddings for some numbers of kept neurons.

    Parameters
    ----------
    embeddings : float tensor of shape (n, d)
    labels : int64 tensor of shape (n,)
    order : int64 tensor of shape (d,)
        A permutation of the neurons; its first k are kept.
    kept : sequence of int
        The numbers k, each in 1 .. d.

    Returns
    -------
    silhouettes : float tensor of shape (len(kept),)
        Each the silhouette of the k kept columns, which the cosine metric normalises anew.
    """
    d = embeddings.shape[1]
    if order.shape != (d,) or not torch.equal(order.sort().values, torch.arange(d, device=order.device)):
        raise ValueError(f"order: expected a permutation of 0 .. {d - 1}, got shape {tuple(order.shape)}")
    wrong = [k for k in kept if not 1 <= k <= d]
    if wrong:
        raise ValueError(f"kept: expected numbers of neurons in 1 .. {d}, got {wrong}")
    ordered = embeddings[:, order]
    return torch.tensor([silhouette(ordered[:, :k], labels) for k in kept])


def _groups(labels):
    """Labels as 0 .. n_classes-1, checked as scikit-learn does."""
    present, groups = labels.unique(return_inverse=True)
    if not 2 <= len(present) < len(labels):
        raise ValueError(
            f"the silhouette needs 2 .. n - 1 classes for n images, got {len(present)} classes for {len(labels)} images"
        )
    return groups, len(present)


def _weighted_silhouette(unit, groups, n_classes, weights):
    """Mean silhouette when image i stands `weights[i]` times in the sample (a bootstrap draw has such weights)."""
    counts = weights.new_zeros(n_classes).index_add_(0, groups, weights)  # (n_classes,)
    sums = unit.new_zeros(n_classes, unit.shape[1]).index_add_(0, groups, unit * weights[:, None])
    to_class = counts - unit @ sums.T  # (n, n_classes) summed distances to every class
    own = groups[:, None]
    # A row's distance to itself is 0, also for a row of zeros, whose cosine with itself is not 1.
    itself = 1 - (unit * unit).sum(1)
    # The guards keep empty and single classes finite; their images score 0 below.
    inside = (to_class.gather(1, own)[:, 0] - itself) / (counts[groups] - 1).clamp(min=1)
    to_other = (to_class / counts.clamp(min=1)).masked_fill_(counts == 0, torch.inf)
    outside = to_other.scatter_(1, own, torch.inf).amin(1)
    score = (outside - inside) / torch.maximum(outside, inside).clamp(min=torch.finfo(unit.dtype).tiny)
    alone_or_absent = (counts[groups] <= 1) | outside.isinf()
    return (weights * score.masked_fill(alone_or_absent, 0)).sum() / weights.sum()


def bootstrap_weights(n, n_draws, seed=0, device="cpu"):
    """How often each of n images stands in each bootstrap sample: yields `n_draws` float tensors of shape (n,).

    The same n and seed give the same draws, so statistics of two models on the same images stay paired.
    """
    generator = torch.Generator().manual_seed(seed)
    for _ in range(n_draws):
        drawn = torch.randint(n, (n,), generator=generator)
        yield torch.bincount(drawn, minlength=n).float().to(device)


def bootstrap_means(values, n_draws=1000, seed=0):
    """Bootstrap draws of the mean over images of one or several quantities.

    Parameters
    ----------
    values : tensor of shape (n,) or (n, m)
        One number an image, or m of them (say, right predictions of m models): their draws are paired.

    Returns
    -------
    draws : float tensor of shape (n_draws,) or (n_draws, m)
    """
    values = values.float()
    n = len(values)
    return torch.stack([weights @ values / n for weights in bootstrap_weights(n, n_draws, seed, values.device)])


def bootstrap_silhouettes(models, labels, n_draws=1000, seed=0):
    """Bootstrap draws of the silhouette, paired over models that embedded the same images.

    Parameters
    ----------
    models : list of float tensors of shape (n, d)
        Embeddings of the same n images by each model; d may differ.

    Returns
    -------
    draws : float tensor of shape (n_draws, len(models))
        Silhouettes of resampled sets of images, shifted so that their mean is the score of the images as they are.
        Unshifted they are too high: copies of one image are at distance 0, as different images never are.
    """
    for embeddings in models:
        _check(embeddings, labels)
    groups, n_classes = _groups(labels)
    units = [F.normalize(embeddings.float(), dim=1) for embeddings in models]

    def silhouettes(weights):
        return torch.stack([_weighted_silhouette(unit, groups, n_classes, weights) for unit in units])

    draws = torch.stack(list(map(silhouettes, bootstrap_weights(len(labels), n_draws, seed, labels.device))))
    return draws - draws.mean(0) + silhouettes(units[0].new_ones(len(labels)))


def interval(draws, level=0.95):
    """Percentile interval of bootstrap draws (n_draws, ...): two tensors, low and high, of shape (...)."""
    if not torch.isfinite(draws).all() or len(draws) < 2:
        raise ValueError(f"draws: expected at least 2 finite draws, got {len(draws)}")
    edge = (1 - level) / 2
    return torch.quantile(draws.double(), edge, dim=0), torch.quantile(draws.double(), 1 - edge, dim=0)
