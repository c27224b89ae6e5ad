"""Caption files: read them, and write swapped ones for the same images."""

import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import sparse

from featpurity.captions.files import read_captions
from featpurity.captions.nearest import LISTED, lists_of, rank, similar_captions, tfidf
from featpurity.files import write_text


def write_swaps(path, ratios, kind="similarity", seed=42, out_dir=None, top_k=10, neighbours=None):
    """Write a file of swapped captions for each ratio, with the swapped pairs and a summary beside it.

    ``X.txt`` becomes ``X_Cs30_similarity_simple.txt`` for ratio 0.3, with a ``.csv`` of the pairs
    (i, j, similarity) in the order of the walk and a ``.json`` summary. One walk serves all ratios.

    Parameters
    ----------
    path : str or Path
        See `read_captions`.
    ratios : sequence of float in [0, 1]
    kind, seed, top_k, neighbours
        See `swap_pairs`.
    out_dir : str or Path, optional
        The folder of `path` when left out.

    Returns
    -------
    summaries : list of dict, one a ratio
        Shares of captions that moved and of texts that changed, mean and histogram (ten bins from 0
        to 1) of the pairs' similarity where it is known (mean None where it is of none), and counts
        of odd lines.
    """
    captions = read_captions(path)
    n_pairs = [count_pairs(len(captions), ratio) for ratio in ratios]
    all_pairs, all_similarity = swap_pairs(captions, max(ratios), kind, seed, top_k, neighbours)
    out_dir = Path(out_dir or Path(path).parent)
    summaries = []
    for ratio, kept in zip(ratios, n_pairs):
        pairs, similarity = all_pairs[:kept], all_similarity[:kept]
        known = similarity[~np.isnan(similarity)]
        new = [captions[i] for i in permutation(len(captions), pairs)]
        summaries.append(
            {
                "n": len(captions),
                "kind": kind,
                "seed": seed,
                "top_k": top_k,
                "ratio": ratio,
                "achieved_ratio": pairs.size / len(captions),
                "changed_texts": sum(old != text for old, text in zip(captions, new))
                / len(captions),
                "duplicates": len(captions) - len(set(captions)),
                "blank": sum(not caption.strip() for caption in captions),
                "mean_similarity": float(known.mean()) if len(known) else None,
                "similarity_histogram": np.histogram(known, bins=10, range=(0, 1))[0].tolist(),
            }
        )
        stem = out_dir / f"{Path(path).stem}_Cs{100 * ratio:g}_{kind}_simple"
        table = pd.DataFrame({"i": pairs[:, 0], "j": pairs[:, 1], "similarity": similarity})
        write_text(f"{stem}.csv", table.to_csv(index=False, float_format="%.6f"))
        write_text(f"{stem}.json", json.dumps(summaries[-1], indent=1, allow_nan=False) + "\n")
        write_text(f"{stem}.txt", "".join(f"{caption}\n" for caption in new))
    return summaries


KINDS = ("similarity", "random")


def swap_pairs(captions, ratio, kind="similarity", seed=42, top_k=10, neighbours=None):
    """Pairs of captions that change places, in the order of the walk.

    The walk for a smaller ratio is the beginning of the walk for a larger one: the swaps are
    nested.

    Parameters
    ----------
    captions : list of str of length n
    ratio : float in [0, 1]
        At least this share of the captions is swapped.
    kind : {"similarity", "random"}, default "similarity"
        Swap with one of the `top_k` most similar unused captions, or with any unused caption.
    seed : int, default 42
    top_k : int, default 10
    neighbours : sparse matrix of shape (n, n), optional
        From `similar_captions`, when it was computed before, in parts maybe; it saves time, nothing
        else.

    Returns
    -------
    pairs : int64 array of shape (n_pairs, 2)
        Every index at most once.
    similarity : float64 array of shape (n_pairs,)
        Cosine of the two captions, in [0, 1]; NaN for random pairs of captions that share no word.
    """
    _check(captions, kind, top_k)
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(captions))
    if (n_pairs := count_pairs(len(captions), ratio)) == 0:
        return np.empty((0, 2), np.int64), np.empty(0)
    try:
        vectors = tfidf(captions)
    except ValueError:
        if kind == "similarity":
            raise
        vectors = sparse.csr_matrix(np.full((len(captions), 1), np.nan))
    if kind == "similarity":
        pairs = _walk(vectors, order, n_pairs, rng, top_k, neighbours)
    else:  # neighbours in a random order are random partners
        pairs = order[: 2 * n_pairs].reshape(n_pairs, 2)
    similarity = np.asarray(vectors[pairs[:, 0]].multiply(vectors[pairs[:, 1]]).sum(axis=1)).ravel()
    return pairs, similarity.clip(0, 1)


def swap_captions(captions, ratio, kind="similarity", seed=42, top_k=10):
    """Swap a share of captions, each with one of its most similar ones or with any other.

    Parameters are those of `swap_pairs`.

    Returns
    -------
    new : list of str of length n
    perm : int64 array of shape (n,)
        Made of exchanges: ``new[i] == captions[perm[i]]`` and ``perm[perm[i]] == i``.

    References
    ----------
    Sun, Zhang, Li & Wang (2025), Contrastive Learning with Data Misalignment.
    """
    perm = permutation(len(captions), swap_pairs(captions, ratio, kind, seed, top_k)[0])
    return [captions[i] for i in perm], perm


def count_pairs(n, ratio):
    """The number of pairs that swap at least ``ratio * n`` of n captions, as far as there are
    partners.
    """
    if not 0 <= ratio <= 1:
        raise ValueError(f"ratio is a share of the captions in [0, 1], got {ratio}")
    return min(n // 2, math.ceil(ratio * n / 2 - 1e-9))  # the small number forgives 0.1 * 30 > 3


def permutation(n, pairs):
    """The permutation of shape (n,) that exchanges each of the `pairs` (n_pairs, 2) and leaves the
    others.
    """
    perm = np.arange(n)
    perm[pairs[:, 0]], perm[pairs[:, 1]] = pairs[:, 1], pairs[:, 0]
    return perm


def nested_swaps(captions, ratios, kind="similarity", seed=42, neighbours=None):
    """The permutation for each of `ratios`, from one walk of `swap_pairs`: what a smaller one
    swaps, a larger does too.
    """
    walk, _ = swap_pairs(captions, max(ratios), kind, seed, neighbours=neighbours)
    return [
        permutation(len(captions), walk[: count_pairs(len(captions), ratio)]) for ratio in ratios
    ]


def _walk(vectors, order, n_pairs, rng, top_k, neighbours):
    """Visit captions in `order` and give each unused one an unused partner among its `top_k` most
    similar.
    """
    columns = vectors.T.tocsr()
    first, group = _equal_rows(
        vectors
    )  # equal vectors share a list, and with it every repeated search
    if neighbours is None:
        found = similar_captions(vectors, max(LISTED, 2 * top_k), first)
    else:
        found = neighbours[first]
    listed = np.diff(found.indptr).max()
    most = max(listed, top_k)  # a list given from outside may be shorter
    lists = np.split(found.indices, found.indptr[1:-1])
    unused = np.ones(len(order), bool)
    pairs = np.empty((n_pairs, 2), np.int64)
    visits = iter(order)
    for pair in range(n_pairs):
        i = next(i for i in visits if unused[i])
        unused[i] = False
        near = lists[group[i]]
        complete = len(near) < listed  # nothing else has a positive similarity
        near = near[unused[near]]
        if len(near) < top_k and not complete:
            row = vectors[i] @ columns
            free = unused[row.indices]
            ranks = rank(row.data[free], row.indices[free])
            ranks = (
                np.partition(ranks, -most)[-most:] if len(ranks) > most else ranks
            )  # sorts fewer
            near = lists[group[i]] = lists_of(np.sort(ranks)[None, ::-1], len(order)).indices
        near = near[:top_k]
        if len(near) < top_k:  # the rest have similarity 0: the lowest unused indices
            rest = np.flatnonzero(unused)[: 2 * top_k]
            near = np.concatenate([near, rest[~np.isin(rest, near)]])[:top_k]
        j = near[rng.integers(len(near))]
        unused[j] = False
        pairs[pair] = i, j
    return pairs


def _equal_rows(vectors):
    """Distinct rows: the first index of each, and for every row the number of the distinct row it
    equals.
    """
    keys = [
        vectors.indices[a:b].tobytes() + vectors.data[a:b].tobytes()
        for a, b in zip(vectors.indptr, vectors.indptr[1:])
    ]
    return np.unique(
        pd.factorize(np.array(keys, object))[0], return_index=True, return_inverse=True
    )[1:]


def _check(captions, kind, top_k):
    if isinstance(captions, str) or not all(isinstance(caption, str) for caption in captions):
        raise ValueError("expected a list of captions, each a str")
    if len(captions) < 2:
        raise ValueError(f"expected at least 2 captions to swap, got {len(captions)}")
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}, got {kind!r}")
    if top_k < 1:
        raise ValueError(f"top_k must be at least 1, got {top_k}")
