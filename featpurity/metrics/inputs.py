"""Check the metrics' inputs, tensors or NumPy arrays, and make them tensors.

Every check raises a ValueError that says what was expected and what came.
"""

import operator
import os
from collections.abc import Iterable

import numpy as np
import torch

# Memory for one block of rows in the functions that work block by block: on a CPU about the size of
# its cache, on a GPU enough to keep it busy. Peak memory is that of the inputs and a few blocks.
# The environment variable `FEATPURITY_BLOCK_MIB` replaces both.
MAX_BYTES = 2**22
MAX_BYTES_ON_CARD = 2**28

Array = torch.Tensor | np.ndarray


def as_tensor(values: Array, name: str, expected: str) -> torch.Tensor:
    """A tensor as it is, a NumPy array as a tensor over its memory; else a ValueError."""
    if isinstance(values, torch.Tensor):
        return values.detach()
    if isinstance(values, np.ndarray) and values.dtype.kind in "biuf":
        values = values.astype(values.dtype.newbyteorder("="), copy=False)
        # PyTorch takes neither read-only memory nor negative strides.
        whole = values.flags.writeable and min(values.strides, default=0) >= 0
        return torch.as_tensor(values if whole else values.copy())
    came = type(values).__name__
    if isinstance(values, np.ndarray):
        came = f"one of {values.dtype}"
    elif hasattr(values, "to_numpy"):  # a column of a table
        came += ": give its .to_numpy()"
    raise ValueError(f"{name}: expected a tensor or NumPy array of {expected}, got {came}")


def as_labels(labels: Array) -> torch.Tensor:
    """Class labels as an int64 tensor; a ValueError unless they are whole numbers."""
    labels = as_tensor(labels, "labels", "shape (n,)")
    if labels.is_floating_point() or labels.dtype == torch.bool:
        raise ValueError(f"labels: expected whole numbers, got {labels.dtype}")
    return labels.long()


def check_finite(values: torch.Tensor, name: str) -> None:
    """Raise ValueError for NaN or infinity."""
    # A finite sum has finite terms, and costs a tenth of checking each of them.
    if not torch.isfinite(values.sum()) and not torch.isfinite(values).all():
        raise ValueError(f"{name}: expected finite numbers, got NaN or infinity")


def check_embeddings(embeddings: Array, labels: Array) -> tuple[torch.Tensor, torch.Tensor]:
    """Embeddings (n, d) and labels (n,) as tensors on one device; finite, n at least 1."""
    embeddings = as_tensor(embeddings, "embeddings", "shape (n, d)")
    labels = as_labels(labels)
    if embeddings.ndim != 2 or labels.shape != embeddings.shape[:1] or 0 in embeddings.shape:
        raise ValueError(
            "expected embeddings (n, d) and labels (n,) with n >= 1, "
            f"got {tuple(embeddings.shape)} and {tuple(labels.shape)}"
        )
    check_finite(embeddings, "embeddings")
    return as_float(embeddings), labels.to(embeddings.device)


def check_classifier(
    embeddings: Array, class_embeddings: Array, labels: Array
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Like `check_embeddings`, with class embeddings (n_classes, d) that the labels index."""
    embeddings, labels = check_embeddings(embeddings, labels)
    class_embeddings = as_tensor(class_embeddings, "class_embeddings", "shape (n_classes, d)")
    if class_embeddings.ndim != 2 or class_embeddings.shape[1] != embeddings.shape[1]:
        raise ValueError(
            f"class_embeddings: expected (n_classes, {embeddings.shape[1]}), "
            f"got {tuple(class_embeddings.shape)}"
        )
    check_finite(class_embeddings, "class_embeddings")
    n_classes = len(class_embeddings)
    low, high = labels.aminmax()
    if low < 0 or high >= n_classes:
        raise ValueError(
            f"labels: expected 0 .. {n_classes - 1}, got {low.item()} .. {high.item()}"
        )
    return embeddings, class_embeddings.to(embeddings), labels


def check_order(order: Array, d: int) -> torch.Tensor:
    """An order of d neurons as an int64 tensor; a ValueError unless it is a permutation."""
    order = as_tensor(order, "order", f"shape ({d},)")
    whole = not order.is_floating_point() and order.dtype != torch.bool
    if (
        not whole
        or order.shape != (d,)
        or not torch.equal(order.long().sort().values, torch.arange(d, device=order.device))
    ):
        raise ValueError(
            f"order: expected a permutation of 0 .. {d - 1}, whole numbers, got {order.dtype} of "
            f"shape {tuple(order.shape)}"
        )
    return order.long()


def check_kept(kept: Iterable[int], d: int, name: str = "kept") -> list[int]:
    """Numbers of kept neurons as a list; a ValueError unless all are whole numbers in 1 .. d."""
    try:
        kept = [operator.index(k) for k in kept]
    except TypeError:
        raise ValueError(f"{name}: expected whole numbers in 1 .. {d}, got {kept!r}") from None
    if wrong := [k for k in kept if not 1 <= k <= d]:
        raise ValueError(f"{name}: expected numbers of neurons in 1 .. {d}, got {wrong}")
    return kept


def as_float(values: torch.Tensor) -> torch.Tensor:
    """Keep single and double precision; convert anything else to single."""
    return values if values.dtype in (torch.float32, torch.float64) else values.float()


def row_blocks(n: int, numbers_per_row: int, like: torch.Tensor) -> list[slice]:
    """Slices that cover n rows, each within the bound for the device and precision of `like`."""
    bound = MAX_BYTES if like.device.type == "cpu" else MAX_BYTES_ON_CARD
    if chosen := os.environ.get("FEATPURITY_BLOCK_MIB"):
        if not chosen.isdecimal() or int(chosen) == 0:
            raise ValueError(f"FEATPURITY_BLOCK_MIB: expected a number of MiB, got {chosen!r}")
        bound = int(chosen) * 2**20
    size = max(1, bound // max(1, numbers_per_row * like.element_size()))
    return [slice(start, min(start + size, n)) for start in range(0, n, size)]
