"""Keep only some neurons and watch the zero-shot accuracy: one curve for each order of the neurons.

The plain way masks the embeddings and classifies them anew for each number k of kept neurons. Here
the class scores of k neurons are those of k - 1 plus one outer product, so that a whole curve,
every k from 1 to d, costs less than the plain way takes for a few points.

References
----------
Sun, Zhang, Li & Wang (NeurIPS 2025), section 5: high purity is their Min Sparse, low purity Max
Sparse.
"""

import torch

from featpurity.metrics.inputs import check_classifier, row_blocks

# The numbers of kept neurons on the paper's horizontal axis, for d = 512.
PAPER_KEPT = (200, 250, 300, 350, 400, 450, 500)
# Class scores held at once (so that they stay in the processor's cache) and values of k compared at
# once.
CACHED_SCORES = 2**18
KS_AT_ONCE = 32


def pruning_curve(embeddings, class_embeddings, labels, order):
    """Zero-shot accuracy for every number of kept neurons.

    Parameters
    ----------
    embeddings : float tensor of shape (n, d)
        Unit image embeddings. Neurons that are not kept count as zero; nothing is normalised again.
    class_embeddings : float tensor of shape (n_classes, d)
        Unit rows, never pruned.
    labels : int64 tensor of shape (n,)
    order : int64 tensor of shape (d,)
        A permutation of the neurons; its first k are kept.

    Returns
    -------
    accuracy : float tensor of shape (d,)
        Entry k-1 is the share of right predictions with the first k neurons, so the last is the
        full accuracy. The class of the lower index wins a tie, as in argmax.

    Raises
    ------
    ValueError
        For shapes that do not fit, NaN, labels outside the classes, or an order that is no
        permutation.
    """
    right_images = torch.zeros(len(order), dtype=torch.int64, device=embeddings.device)
    for ks, _, right in _right_predictions(embeddings, class_embeddings, labels, order):
        right_images[ks] += right.sum(1)
    return right_images.float() / len(labels)


def area_by_image(embeddings, class_embeddings, labels, order, window=None):
    """For each image the share of some numbers k of kept neurons for which it is classified right.

    Its mean over images is the mean of `pruning_curve` over these k, for all k the area under it
    (on a horizontal axis of length 1), so its bootstrap over images gives the area's interval.

    Parameters
    ----------
    embeddings, class_embeddings, labels, order
        As in `pruning_curve`.
    window : (int, int), optional
        The first and the last k; 1 and d when left out.

    Returns
    -------
    shares : float tensor of shape (n,)
    """
    d = embeddings.shape[1]
    first, last = window or (1, d)
    if not 1 <= first <= last <= d:
        raise ValueError(f"window: expected 1 <= first <= last <= {d}, got {window}")
    right_ks = torch.zeros(len(labels), dtype=torch.int64, device=embeddings.device)
    for ks, images, right in _right_predictions(embeddings, class_embeddings, labels, order):
        inside = slice(max(0, first - 1 - ks.start), max(0, last - ks.start))
        right_ks[images] += right[inside].sum(0)
    return right_ks.float() / (last - first + 1)


def greedy_order(embeddings, class_embeddings, labels):
    """The order that adds, at each step, the neuron that makes most images right.

    It sees the labels, so that its curve is no fair classifier but a ceiling: what an order of the
    neurons could reach. Costs d^2 n n_classes / 2.

    Parameters
    ----------
    embeddings, class_embeddings, labels
        As in `pruning_curve`; a few hundred images will do.

    Returns
    -------
    order : int64 tensor of shape (d,)
        Where several neurons make as many images right, the one with the largest mean margin of the
        right class over its best rival comes first.
    """
    embeddings, class_embeddings, labels = check_classifier(embeddings, class_embeddings, labels)
    n, d = embeddings.shape
    scores = embeddings.new_zeros(n, len(class_embeddings))
    own = labels[:, None]
    left, order = torch.arange(d, device=labels.device), []
    while len(left):
        found = []
        for some in row_blocks(len(left), scores.numel() * scores.element_size()):
            added = torch.einsum(
                "nk,ck->knc", embeddings[:, left[some]], class_embeddings[:, left[some]]
            )
            added += scores  # (neurons, n, n_classes)
            truth = added.gather(2, own.expand(len(added), n, 1))[..., 0]
            margin = truth - added.scatter_(2, own.expand(len(added), n, 1), -torch.inf).amax(2)
            found.append(torch.stack([(margin > 0).double().sum(1), margin.double().mean(1)]))
        right, margins = torch.cat(found, 1)
        best = margins.masked_fill(right < right.max(), -torch.inf).argmax()
        order.append(left[best])
        scores += torch.outer(embeddings[:, left[best]], class_embeddings[:, left[best]])
        left = torch.cat([left[:best], left[best + 1 :]])
    return torch.stack(order)


def prune(embeddings, order, k):
    """Set all but the first k neurons of an order to zero: a float tensor of shape (n, d), not
    normalised again.
    """
    d = embeddings.shape[-1]
    if not 1 <= k <= d:
        raise ValueError(f"k: expected a number of neurons in 1 .. {d}, got {k}")
    mask = torch.zeros(d, dtype=embeddings.dtype, device=embeddings.device)
    mask[order[:k]] = 1
    return embeddings * mask


def paper_kept(d):
    """Kept numbers for a model of d neurons that include the paper's, scaled by d / 512."""
    paper = {round(k * d / 512) for k in PAPER_KEPT}
    return sorted(
        {max(1, round(share * d)) for share in (0.02, 0.05, 0.1, 0.2, 0.3, 0.6, 0.9)} | paper | {d}
    )


def random_orders(d, n_orders, seed=0):
    """Random orders of d neurons: int64 of shape (n_orders, d), the same for the same seed."""
    generator = torch.Generator().manual_seed(seed)
    return torch.stack([torch.randperm(d, generator=generator) for _ in range(n_orders)])


def _right_predictions(embeddings, class_embeddings, labels, order):
    """Yield blocks of right predictions: (slice of k - 1, slice of images, bool tensor (ks,
    images)).
    """
    _check(embeddings, class_embeddings, labels, order)
    classes = class_embeddings.float()[
        :, order
    ].T.contiguous()  # (d, n_classes) one kept neuron after the other
    d, n_classes = classes.shape
    some = max(1, CACHED_SCORES // n_classes)
    for start in range(0, len(labels), some):
        images = slice(start, start + some)
        coordinates, truth = (
            embeddings[images].float().T.contiguous(),
            labels[images],
        )  # (d, m), (m,)
        m = len(truth)
        # Each image's own class is kept out of the scores: an amax over its rivals is many times
        # faster than an argmax over all classes, and it shows the ties.
        rivals = coordinates.new_zeros(n_classes, m)
        rivals[truth, torch.arange(m, device=truth.device)] = -torch.inf
        own = coordinates.new_zeros(1, m)
        for first in range(0, d, KS_AT_ONCE):
            ks = slice(first, min(first + KS_AT_ONCE, d))
            columns = coordinates[order[ks]]  # (ks, m)
            own = own[-1] + (columns * classes[ks].index_select(1, truth)).cumsum(0)  # (ks, m)
            best_rival = torch.empty_like(own)
            for column, class_column, best in zip(columns, classes[ks], best_rival):
                torch.amax(rivals.addr_(class_column, column), 0, out=best)
            right = own > best_rival
            tied = own == best_rival
            for row in tied.any(1).nonzero().flatten().tolist():  # rare: the plain way decides
                kept, at = first + row + 1, tied[row]
                right[row, at] = (coordinates[order[:kept]][:, at].T @ classes[:kept]).argmax(
                    1
                ) == truth[at]
            yield ks, images, right


def _check(embeddings, class_embeddings, labels, order):
    d, n_classes = embeddings.shape[-1], len(class_embeddings)
    shapes = tuple(tuple(t.shape) for t in (embeddings, class_embeddings, labels))
    if (
        embeddings.ndim != 2
        or shapes != (embeddings.shape, (n_classes, d), embeddings.shape[:1])
        or 0 in shapes[0]
    ):
        raise ValueError(
            "expected embeddings (n, d), class embeddings (n_classes, d) and labels (n,) "
            "with n >= 1, got " + ", ".join(map(str, shapes))
        )
    if not (torch.isfinite(embeddings).all() and torch.isfinite(class_embeddings).all()):
        raise ValueError("embeddings: expected finite numbers, got NaN or infinity")
    if labels.min() < 0 or labels.max() >= n_classes:
        raise ValueError(
            f"labels: expected 0 .. {n_classes - 1}, "
            f"got {labels.min().item()} .. {labels.max().item()}"
        )
    if order.shape != (d,) or not torch.equal(
        order.sort().values, torch.arange(d, device=order.device)
    ):
        raise ValueError(
            f"order: expected a permutation of 0 .. {d - 1}, "
            f"got a tensor of shape {tuple(order.shape)}"
        )
