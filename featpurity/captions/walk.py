"""Choose captions to swap: a walk in random order that gives each one a partner."""

import math
from collections.abc import Sequence
from numbers import Real

import numpy as np

from featpurity.captions.nearest import Nearest, equal_rows, lists_of, nearest_captions, rank, tfidf
from featpurity.files import check_choice

KINDS = {"similarity": "swaps by similarity", "random": "random swaps"}  # their names on pages
SEED = 42


def swap_pairs(
    captions: list[str],
    ratio: float,
    kind: str = "similarity",
    seed: int = SEED,
    top_k: int = 10,
    images: Sequence | None = None,
    nearest: Nearest | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of captions to swap, in the order of the walk.

    A smaller ratio's walk is the beginning of a larger one's: the swaps are nested.

    Parameters
    ----------
    captions : list of str of length n
    ratio : float in [0, 1]
        Swap at least this share of the captions, as far as there are partners.
    kind : {"similarity", "random"}, default "similarity"
        Swap with one of the `top_k` most similar unused captions, or with any unused caption.
    seed : int, default 42
    top_k : int, default 10
    images : sequence of length n, optional
        The image of each caption, such as its file name. Captions of one image are never partners
        in a swap by similarity, which would leave both with a fitting caption.
    nearest : Nearest, optional
        From `featpurity.captions.nearest.nearest_captions` or shards, if computed before; it only
        saves time.

    Returns
    -------
    pairs : int64 array of shape (n_pairs, 2)
        Each index at most once.
    similarity : float64 array of shape (n_pairs,)
        Cosine of the two captions, in [0, 1]; NaN for random pairs if the captions share no word to
        compare them by.

    Raises
    ------
    ValueError
        For captions that are not a list of str or are fewer than two, a ratio outside [0, 1], an
        unknown kind, another number of images, or captions that share no word.
    """
    _check(captions, kind, top_k, images)
    n, n_pairs = len(captions), count_pairs(len(captions), ratio)
    rng = np.random.default_rng(seed)
    order = rng.permutation(n)
    if n_pairs == 0:
        return np.empty((0, 2), np.int64), np.empty(0)
    if kind == "similarity":
        nearest = nearest or nearest_captions(captions)
        groups = np.arange(n) if images is None else np.unique(images, return_inverse=True)[1]
        pairs = _walk(nearest, order, n_pairs, rng, top_k, groups)
    else:  # neighbours in a random order are random partners
        pairs = order[: 2 * n_pairs].reshape(n_pairs, 2)
    return pairs, _similarity(captions, pairs, nearest, must=kind == "similarity")


def count_pairs(n: int, ratio: float) -> int:
    """Number of pairs that swap at least ``ratio * n`` of n captions, at most n // 2."""
    if not isinstance(ratio, Real) or not 0 <= ratio <= 1:
        raise ValueError(f"ratio is a share of the captions in [0, 1], got {ratio!r}")
    return min(n // 2, math.ceil(ratio * n / 2 - 1e-9))  # 1e-9 for rounding: 0.14 * 100 > 14


def _similarity(captions, pairs, nearest, must):
    """Cosine of each pair's captions; without common words NaN, or an error if it `must` be."""
    try:
        vectors = nearest.vectors if nearest else tfidf(captions)
    except ValueError:
        if must:
            raise
        return np.full(len(pairs), np.nan)
    products = vectors[pairs[:, 0]].multiply(vectors[pairs[:, 1]])
    return np.asarray(products.sum(axis=1)).ravel().clip(0, 1)


def _walk(nearest, order, n_pairs, rng, top_k, image):
    """Visit captions in `order` and give each unused one an unused partner of another image.

    The partner is drawn from the `top_k` most similar ones. The walk ends early if all captions
    left are of one image.
    """
    vectors, n = nearest.vectors, len(order)
    columns = vectors.T.tocsr()
    first, group = equal_rows(vectors)  # equal vectors share a list and its searches
    found = nearest.neighbours[first]
    listed = np.diff(found.indptr).max()
    together = np.bincount(image).max() - 1  # other captions of the same image, which do not count
    most = max(listed, top_k + together)  # a list given from outside may be shorter
    lists = np.split(found.indices, found.indptr[1:-1])
    unused = np.ones(n, bool)
    pairs = []
    for i in order:
        if len(pairs) == n_pairs:
            break
        if not unused[i]:
            continue
        unused[i] = False
        near = lists[group[i]]
        complete = len(near) < listed  # nothing else has a positive similarity
        near = near[unused[near]]
        if len(near) < top_k + together and not complete:
            row = vectors[i] @ columns
            free = unused[row.indices]
            ranks = rank(row.data[free], row.indices[free])
            if len(ranks) > most:  # so that fewer are sorted
                ranks = np.partition(ranks, -most)[-most:]
            near = lists[group[i]] = lists_of(np.sort(ranks)[None, ::-1], n).indices
        near = near[image[near] != image[i]][:top_k]
        if len(near) < top_k:  # the rest have similarity 0: the lowest unused indices
            free = unused & (image != image[i]) if together else unused
            rest = np.flatnonzero(free)[: 2 * top_k]
            near = np.concatenate([near, rest[~np.isin(rest, near)]])[:top_k]
        if len(near) == 0:
            break
        j = near[rng.integers(len(near))]
        unused[j] = False
        pairs.append((i, j))
    return np.array(pairs, np.int64).reshape(-1, 2)


def _check(captions, kind, top_k, images):
    listed = isinstance(captions, Sequence | np.ndarray) and not isinstance(captions, str)
    if not listed or not all(isinstance(caption, str) for caption in captions):
        raise ValueError("expected a list of captions, each a str")
    if len(captions) < 2:
        raise ValueError(f"expected at least 2 captions to swap, got {len(captions)}")
    check_choice("kind", kind, KINDS)
    if top_k < 1:
        raise ValueError(f"top_k must be at least 1, got {top_k}")
    if images is not None and len(images) != len(captions):
        raise ValueError(
            f"images: expected one for each of the {len(captions)} captions, got {len(images)}"
        )
