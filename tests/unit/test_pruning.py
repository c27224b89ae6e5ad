"""Pruning curves: each entry against masking the embeddings and classifying them anew."""

import pytest
import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from featpurity import pruning_curve, silhouette
from featpurity.metrics.pruning import (
    accuracy_and_recall_curves,
    areas_by_image,
    paper_kept,
    prune,
    pruning_curves,
    random_orders,
)
from featpurity.metrics.silhouette import silhouette_influence
from featpurity.metrics.zeroshot import accuracy, mean_per_class_recall, right_predictions


def plain_curve(embeddings, classes, labels, order):
    curve = []
    for k in range(1, embeddings.shape[1] + 1):
        mask = torch.zeros(embeddings.shape[1])
        mask[order[:k]] = 1
        curve.append(((embeddings * mask) @ classes.T).argmax(1).eq(labels).float().mean())
    return torch.stack(curve)


def world(n=200, d=12, n_classes=4, whole=False):
    generator = torch.Generator().manual_seed(0)
    embeddings, classes = (
        torch.randn(n, d, generator=generator),
        torch.randn(n_classes, d, generator=generator),
    )
    if whole:  # whole numbers: sums are exact and ties are many
        return (
            embeddings.round(),
            classes.round(),
            torch.randint(n_classes, (n,), generator=generator),
        )
    return (
        F.normalize(embeddings, dim=1),
        F.normalize(classes, dim=1),
        torch.randint(n_classes, (n,), generator=generator),
    )


@pytest.mark.parametrize("whole", [False, True], ids=["unit embeddings", "many ties"])
def test_every_k_equals_the_plain_way(whole):
    embeddings, classes, labels = world(whole=whole)
    for order in random_orders(12, 5):
        curve = pruning_curve(embeddings, classes, labels, order)
        torch.testing.assert_close(
            curve, plain_curve(embeddings, classes, labels, order), atol=1e-6, rtol=0
        )


def test_recall_curves_equal_the_plain_way():
    embeddings, classes, labels = world()
    labels[:80] = 0  # classes of unequal sizes
    orders = random_orders(12, 3)
    plain = [
        [
            mean_per_class_recall(
                right_predictions(prune(embeddings, order, k), classes, labels), labels
            )
            for k in range(1, 13)
        ]
        for order in orders
    ]
    accuracies, found = accuracy_and_recall_curves(embeddings, classes, labels, orders)
    assert torch.equal(accuracies, pruning_curves(embeddings, classes, labels, orders))
    torch.testing.assert_close(found, torch.tensor(plain).float(), atol=1e-6, rtol=0)


def test_two_equal_classes_tie_and_the_lower_index_wins():
    embeddings, classes, labels = world(whole=True)
    twins = torch.cat([classes, classes[:1]])  # class 4 repeats class 0 and can never win
    labels[labels == 0] = 4
    assert pruning_curve(embeddings, twins, labels, torch.arange(12)).tolist() == pytest.approx(
        plain_curve(embeddings, twins, labels, torch.arange(12)).tolist()
    )


@pytest.mark.parametrize("n, d, n_classes", [(300, 512, 10), (500, 96, 101)])
def test_equal_classes_tie_whatever_the_rounding_of_their_sums(n, d, n_classes):
    embeddings, classes, labels = world(n, d, n_classes)
    classes[n_classes - 1] = classes[3]  # two class names that are the same word
    (order,) = random_orders(d, 1)
    curve = pruning_curve(embeddings, classes, labels, order)
    labels[labels == n_classes - 1] = -1  # never named, since the other comes first
    plain = plain_curve(embeddings.double(), classes[:-1].double(), labels, order)
    assert torch.equal(curve, plain)


def test_areas_by_image_are_the_means_of_parts_of_the_curves(monkeypatch):
    monkeypatch.setattr("featpurity.metrics.pruning.KS_AT_ONCE", 5)  # windows end within blocks
    monkeypatch.setattr("featpurity.metrics.inputs.MAX_BYTES", 1000)
    embeddings, classes, labels = world()
    orders = random_orders(12, 2)
    windows = [(1, 12), (3, 9), (6, 6), (11, 12)]
    areas = areas_by_image(embeddings, classes, labels, orders, windows)
    assert areas.shape == (2, 4, 200) and areas.min() >= 0 and areas.max() <= 1
    for order, of_order in zip(orders, areas):
        curve = pruning_curve(embeddings, classes, labels, order)
        parts = torch.stack([curve[first - 1 : last].mean() for first, last in windows])
        torch.testing.assert_close(of_order.mean(1), parts)
    for window in [(0, 3), (4, 3), (5, 13)]:
        with pytest.raises(ValueError, match="windows: expected 1 <= first <= last <= 12"):
            areas_by_image(embeddings, classes, labels, orders, [window])


def test_prune_zeroes_all_but_the_first_k_of_the_order():
    assert prune(torch.ones(1, 4), torch.tensor([2, 0, 1, 3]), 2).tolist() == [[1, 0, 1, 0]]
    for k in (0, 5):
        with pytest.raises(ValueError, match=rf"1 \.\. 4, got \[{k}\]"):
            prune(torch.ones(1, 4), torch.arange(4), k)


def test_the_grid_has_the_papers_points_and_ends_at_d():
    assert {200, 250, 300, 350, 400, 450, 500} <= set(paper_kept(512)) and paper_kept(512)[
        -1
    ] == 512
    assert paper_kept(1) == [1]
    assert paper_kept(128)[-1] == 128 and paper_kept(128)[0] >= 1 and 50 in paper_kept(128)


def test_random_orders_are_seeded_permutations():
    orders = random_orders(20, 4, seed=1)
    assert torch.equal(orders.sort(1).values, torch.arange(20).expand(4, 20))
    assert torch.equal(orders, random_orders(20, 4, seed=1)) and not torch.equal(
        orders, random_orders(20, 4, seed=2)
    )


@pytest.mark.parametrize(
    "broken, message",
    [
        ({"order": torch.arange(11)}, "permutation of 0 .. 11"),
        ({"order": torch.zeros(12).long()}, "permutation"),
        ({"labels": torch.full((200,), 4)}, r"0 \.\. 3, got 4 \.\. 4"),
        ({"labels": torch.zeros(3).long()}, r"\(3,\)"),
        ({"classes": torch.ones(4, 11)}, r"\(4, 11\)"),
        ({"embeddings": torch.full((200, 12), torch.nan)}, "NaN"),
    ],
)
def test_bad_input_is_refused(broken, message):
    embeddings, classes, labels = world()
    good = {
        "embeddings": embeddings,
        "classes": classes,
        "labels": labels,
        "order": torch.arange(12),
    }
    with pytest.raises(ValueError, match=message):
        pruning_curve(*{**good, **broken}.values())


@pytest.mark.parametrize("whole", [False, True], ids=["unit embeddings", "many ties"])
def test_many_orders_at_once_are_one_after_the_other(whole, monkeypatch):
    embeddings, classes, labels = world(whole=whole)
    orders = random_orders(12, 4)
    curves = pruning_curves(embeddings, classes, labels, orders)
    one_by_one = [pruning_curve(embeddings, classes, labels, order) for order in orders]
    assert torch.equal(curves, torch.stack(one_by_one))
    monkeypatch.setattr("featpurity.metrics.inputs.MAX_BYTES", 100)  # blocks of six images
    assert torch.equal(pruning_curves(embeddings.numpy(), classes, labels, orders), curves)
    with pytest.raises(ValueError, match="orders: expected at least one"):
        pruning_curves(embeddings, classes, labels, [])


def test_orders_side_by_side_are_one_after_the_other(monkeypatch):
    embeddings, classes, labels = world()
    orders = random_orders(12, 7)
    monkeypatch.setattr("featpurity.metrics.inputs.MAX_BYTES", 1000)
    found, before = {}, torch.get_num_threads()
    for n_cores in (1, 3):
        monkeypatch.setattr("torch.get_num_threads", lambda n_cores=n_cores: n_cores)
        found[n_cores] = accuracy_and_recall_curves(embeddings, classes, labels, orders)
    monkeypatch.undo()
    assert all(map(torch.equal, found[1], found[3]))
    assert torch.get_num_threads() == before


def place(tensor):
    return tensor.untyped_storage().data_ptr()


class Largest(TorchDispatchMode):
    """The largest tensor that any operation makes meanwhile, in bytes; views make none."""

    bytes = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        made = function(*args, **(kwargs or {}))
        known = {place(given) for given in args if isinstance(given, torch.Tensor)}
        for tensor in made if isinstance(made, (tuple, list)) else [made]:
            if isinstance(tensor, torch.Tensor) and place(tensor) not in known:
                self.bytes = max(self.bytes, tensor.numel() * tensor.element_size())
        return made


def test_no_more_is_held_than_a_block_beside_the_input(monkeypatch):
    """So the 50,000 images and 1,000 classes of ImageNet take their own 154 MB and a few blocks."""
    embeddings, classes, labels = world(n=4000, d=24, n_classes=50)
    monkeypatch.setattr("featpurity.metrics.inputs.MAX_BYTES", 2**14)
    monkeypatch.setattr("torch.get_num_threads", lambda: 1)  # in this thread, which is looked at
    with Largest() as largest:
        pruning_curves(embeddings, classes, labels, random_orders(24, 3))
        accuracy(embeddings, classes, labels)
        silhouette(embeddings, labels)
        silhouette_influence(embeddings, labels)
    per_image = 4000 * 8  # a few numbers of each image, in double precision, and its place
    assert largest.bytes <= max(2**14, per_image) < 4000 * 24 * 4
