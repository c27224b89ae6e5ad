"""Keep only some neurons and watch the zero-shot accuracy: one curve for each order of the neurons.

The plain way masks the embeddings and classifies them again for each number k of kept neurons. Here
the class scores of k neurons are those of k - 1 plus one outer product, so a whole curve, every k
from 1 to d, costs less than a few points cost the plain way.

References
----------
Sun, Zhang, Li & Wang (NeurIPS 2025), section 5: high purity is their Min Sparse, low purity Max
Sparse.
"""

from collections.abc import Sequence
from functools import partial

import torch

from featpurity.metrics.inputs import (
    Array,
    as_tensor,
    check_classifier,
    check_kept,
    check_order,
    row_blocks,
)
from featpurity.metrics.parallel import on_each_core
from featpurity.metrics.zeroshot import recall_weights

# The numbers of kept neurons on the paper's horizontal axis, for d = 512.
PAPER_KEPT = (200, 250, 300, 350, 400, 450, 500)
# Values of k compared at once.
KS_AT_ONCE = 32
# Scores of unit vectors within NEAR of each other may be equal: both are sums of up to d float32,
# taken in different orders, which differ between processors. In double precision, equal scores are
# within EQUAL.
NEAR = 1e-6
EQUAL = 1e-12


def pruning_curve(
    embeddings: Array, class_embeddings: Array, labels: Array, order: Array
) -> torch.Tensor:
    """Zero-shot accuracy for every number of kept neurons.

    Parameters
    ----------
    embeddings : float tensor or array of shape (n, d)
        Unit image embeddings. Neurons that are not kept count as zero; nothing is normalised again.
    class_embeddings : float tensor or array of shape (n_classes, d)
        Unit rows, never pruned.
    labels : int64 tensor or array of shape (n,)
    order : int64 tensor or array of shape (d,)
        A permutation of the neurons; its first k are kept.

    Returns
    -------
    accuracy : float tensor of shape (d,)
        Entry k-1 is the share of right predictions with the first k neurons, so the last is the
        full accuracy. A tie goes to the class of the lower index, as in argmax.

    Raises
    ------
    ValueError
        For shapes that do not fit, NaN, labels outside the classes, or an order that is not a
        permutation.
    """
    return pruning_curves(embeddings, class_embeddings, labels, [order])[0]


def pruning_curves(
    embeddings: Array, class_embeddings: Array, labels: Array, orders: Array | Sequence[Array]
) -> torch.Tensor:
    """Zero-shot accuracy for every number of kept neurons, in several orders.

    All orders share one pass over the images, block by block. Besides the inputs, memory holds only
    the class scores of one block (`inputs.MAX_BYTES`) per core, whatever n, n_classes and the
    number of orders.

    Parameters
    ----------
    embeddings, class_embeddings, labels
        As in `pruning_curve`.
    orders : int64 tensor or array of shape (n_orders, d), or a sequence of orders

    Returns
    -------
    accuracy : float tensor of shape (n_orders, d)
        On the device of the embeddings; a row is the `pruning_curve` of its order.
    """
    return accuracy_and_recall_curves(embeddings, class_embeddings, labels, orders)[0]


def accuracy_and_recall_curves(
    embeddings: Array, class_embeddings: Array, labels: Array, orders: Array | Sequence[Array]
) -> tuple[torch.Tensor, torch.Tensor]:
    """`pruning_curves` and the mean per-class recall of the same predictions, in one pass.

    The parameters are those of `pruning_curves`.

    Returns
    -------
    accuracy, recall : float tensors of shape (n_orders, d)
        In [0, 1]; for the recall see `featpurity.metrics.zeroshot.mean_per_class_recall`.
    """
    given = _checked(embeddings, class_embeddings, labels, orders)
    *_, labels, orders = given
    weights = recall_weights(labels)
    right_images = torch.zeros_like(orders)
    recall = torch.zeros_like(orders, dtype=torch.float64)

    def summed(images, predictions):
        sums = [(right.sum(1), right.double() @ weights[images]) for _, right in predictions]
        return [torch.cat(of_ks) for of_ks in zip(*sums)]

    for number, _, (right, weighted) in _by_block(summed, *given):
        right_images[number] += right
        recall[number] += weighted
    return right_images.float() / len(labels), recall.float()


def areas_by_image(
    embeddings: Array,
    class_embeddings: Array,
    labels: Array,
    orders: Array | Sequence[Array],
    windows: Sequence[tuple[int, int]],
) -> torch.Tensor:
    """For each image, the share of the numbers k in a window at which it is classified right.

    The mean over images is the mean of `pruning_curve` over these k; over all k this is the area
    under the curve (on a horizontal axis of length 1). So the shares are the images' influences on
    the area: see `intervals.influence_interval`.

    Parameters
    ----------
    embeddings, class_embeddings, labels, orders
        As in `pruning_curves`.
    windows : sequence of (int, int)
        The first and the last k of each window.

    Returns
    -------
    shares : float tensor of shape (n_orders, n_windows, n)
    """
    given = _checked(embeddings, class_embeddings, labels, orders)
    *_, labels, orders = given
    n_orders, d = orders.shape
    for first, last in windows:
        if not 1 <= first <= last <= d:
            raise ValueError(f"windows: expected 1 <= first <= last <= {d}, got {first} and {last}")
    ks = torch.arange(1, d + 1, device=labels.device)
    inside = torch.stack([(ks >= first) & (ks <= last) for first, last in windows]).float()

    def right_inside(images, predictions):
        return sum(inside[:, ks] @ right.float() for ks, right in predictions)

    right_ks = inside.new_zeros(n_orders, len(windows), len(labels))
    for number, images, right in _by_block(right_inside, *given):
        right_ks[number, :, images] = right
    return right_ks / inside.sum(1)[:, None]


def greedy_order(embeddings: Array, class_embeddings: Array, labels: Array) -> torch.Tensor:
    """Order that adds, at each step, the neuron with which most images are right.

    It sees the labels, so its curve is not a fair classifier but a ceiling: what an order of the
    neurons could reach. Costs d^2 n n_classes / 2.

    Parameters
    ----------
    embeddings, class_embeddings, labels
        As in `pruning_curve`; a few hundred images will do.

    Returns
    -------
    order : int64 tensor of shape (d,)
        If several neurons make equally many images right, the one with the largest mean margin of
        the right class over its best rival comes first.
    """
    embeddings, class_embeddings, labels = check_classifier(embeddings, class_embeddings, labels)
    n, d = embeddings.shape
    scores = embeddings.new_zeros(n, len(class_embeddings))
    own = labels[:, None]
    left, order = torch.arange(d, device=labels.device), []
    while len(left):
        found = []
        for some in row_blocks(len(left), scores.numel(), scores):
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


def prune(embeddings: Array, order: Array, k: int) -> torch.Tensor:
    """Set all but the first k neurons of an order to zero.

    Parameters
    ----------
    embeddings : float tensor or array of shape (n, d)
    order : int64 tensor or array of shape (d,)
    k : int in 1 .. d

    Returns
    -------
    pruned : float tensor of shape (n, d)
        Not normalised again.
    """
    embeddings = as_tensor(embeddings, "embeddings", "shape (n, d)")
    d = embeddings.shape[-1]
    (k,) = check_kept([k], d, "k")
    mask = embeddings.new_zeros(d)
    mask[check_order(order, d)[:k]] = 1
    return embeddings * mask


def paper_kept(d: int) -> list[int]:
    """Numbers of neurons to keep in a model of d: the paper's, times d / 512, and more."""
    shares = [0.02, 0.05, 0.1, 0.2, 0.3, 0.6, 0.9, *(k / 512 for k in PAPER_KEPT), 1]
    return sorted({max(1, round(share * d)) for share in shares})


def random_orders(d: int, n_orders: int, seed: int = 0) -> torch.Tensor:
    """Random orders of d neurons: int64 of shape (n_orders, d), the same for the same seed."""
    if d < 1 or n_orders < 1:
        raise ValueError(f"d and n_orders: expected at least 1, got {d} and {n_orders}")
    generator = torch.Generator().manual_seed(seed)
    return torch.stack([torch.randperm(d, generator=generator) for _ in range(n_orders)])


def _checked(embeddings, class_embeddings, labels, orders):
    """The arguments on one device, orders as (n_orders, d)."""
    embeddings, *others = check_classifier(embeddings, class_embeddings, labels)
    orders = [check_order(order, embeddings.shape[1]).to(embeddings.device) for order in orders]
    if not orders:
        raise ValueError("orders: expected at least one order of the neurons, got none")
    return embeddings, *others, torch.stack(orders)


def _by_block(measure, embeddings, class_embeddings, labels, orders):
    """Yield (number of the order, slice of images, measure) for each block of images and order.

    `measure` takes the slice and its right predictions, as `_in_order` yields them.
    """
    classes = class_embeddings.T.contiguous()  # (d, n_classes)

    def measured(images, coordinates, order):
        return measure(images, _in_order(coordinates, classes, labels[images], order))

    with on_each_core(classes.device) as side_by_side:
        for images in row_blocks(len(labels), classes.shape[1], classes):
            coordinates = embeddings[images].T.contiguous()  # (d, m)
            of_block = partial(measured, images, coordinates)
            for number, found in enumerate(side_by_side(of_block, orders)):
                yield number, images, found


def _in_order(coordinates, classes, truth, order):
    """Yield right predictions of some images: (slice of k - 1, bool tensor of shape (ks, m)).

    Coordinates (d, m), classes (d, n_classes), truth (m,).
    """
    m, n_classes = len(truth), classes.shape[1]
    # The scores leave out each image's own class: an amax over its rivals is many times faster than
    # an argmax over all classes, and shows ties.
    rivals = coordinates.new_zeros(n_classes, m)
    longest = (coordinates.norm(dim=0).amax() * classes.norm(dim=0).amax()).double()
    rivals[truth, torch.arange(m, device=truth.device)] = -torch.inf
    own = coordinates.new_zeros(1, m)
    for first in range(0, len(order), KS_AT_ONCE):
        ks = slice(first, min(first + KS_AT_ONCE, len(order)))
        columns, class_columns = coordinates[order[ks]], classes[order[ks]]
        own = own[-1] + (columns * class_columns.index_select(1, truth)).cumsum(0)  # (ks, m)
        best_rival = torch.empty_like(own)
        for column, class_column, best in zip(columns, class_columns, best_rival):
            torch.amax(rivals.addr_(class_column, column), 0, out=best)
        right = own > best_rival
        near = (own - best_rival).abs() <= NEAR * longest
        for row in near.any(1).nonzero().flatten().tolist():  # a few images, scored again
            kept, at = order[: first + row + 1], near[row].nonzero().flatten()
            scores = coordinates[kept[:, None], at].double().T @ classes[kept].double()
            best = scores >= scores.amax(1, keepdim=True) - EQUAL * longest
            right[row, at] = best.int().argmax(1) == truth[at]
        yield ks, right
