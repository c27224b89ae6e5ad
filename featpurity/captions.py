"""Swap captions between images: the controlled misalignment of experiment 3.

Captions are visited in random order. Each one still unused changes places with one of its most similar
unused captions (or with any unused one), and both are then used, until the wanted share is swapped.
Similarity is the cosine of TF-IDF vectors. A sparse product finds the nearest captions of every caption once;
a caption whose list is used up is compared with all unused ones again, so that the lists change the time and
never the result.

Rules for odd input. Line n always belongs to image n.

- A caption without any known word (a blank line too) has similarity 0 to all others and takes part like them.
- Duplicates take part as well, as the most similar captions of all, so that a swap may change no text.
- Similarities are rounded to ten digits, for any number of captions; of equal ones the lower index comes first.
- With an odd number of captions and ratio 1, the last one finds no partner and stays.
"""

import math
import re

import numpy as np
import pandas as pd
from joblib import cpu_count
from scipy import sparse
from sklearn.feature_extraction.text import TfidfVectorizer
from sparse_dot_topn import sp_matmul_topn
from tqdm import tqdm

LISTED = 64  # neighbours found in advance; more cost memory, fewer cost repeated searches
KINDS = ("similarity", "random")
TFIDF = {"stop_words": "english", "ngram_range": (1, 2), "max_features": 5000, "min_df": 2, "max_df": 0.95}
DIGITS, MOST = 1e10, 2 ** 29  # what the 63 bits of a rank hold: ten digits of similarity, and the index of a caption
# The sparse product keeps the largest numbers whatever their rank. It gets each similarity lowered by this share per
# index within a block of captions: more than the rounding error of a sum (near 1e-16), in all less than ten digits.
TIE_STEP, BLOCK = 2e-15, 25_000


def tfidf(captions):
    """TF-IDF vectors of captions, with the settings that the definition of a swap fixes.

    Lower case, punctuation out, English stop words out, words and pairs of words, the 5,000 most frequent of
    those in at least 2 and at most 95 % of the captions.

    Parameters
    ----------
    captions : list of str of length n

    Returns
    -------
    vectors : sparse float64 matrix of shape (n, n_words)
        Rows of unit length, or zero where a caption has no known word.

    Raises
    ------
    ValueError
        If the captions share no word.
    """
    try:
        return TfidfVectorizer(preprocessor=_plain, **TFIDF).fit_transform(captions)
    except ValueError as error:
        raise ValueError(f"the {len(captions)} captions cannot be compared: expected words found in at least "
                         f"2 and at most 95 % of them ({error}); kind='random' needs none") from error


def similar_captions(vectors, top_k=LISTED, rows=None):
    """The nearest captions of each caption, itself included, by a sparse product that keeps only the best.

    Parameters
    ----------
    vectors : sparse matrix of shape (n, n_words), unit rows (see `tfidf`)
    top_k : int, default 64
    rows : array of int, optional
        Look up these captions only. Stacked, the results of several parts are the result in one piece.

    Returns
    -------
    neighbours : sparse matrix of shape (n_rows, n)
        At most `top_k` positive cosines a row, to ten digits, highest first; of equal ones the lower indices.
    """
    queries = vectors if rows is None else vectors[rows]
    starts = range(0, vectors.shape[0], BLOCK)
    best = np.zeros((queries.shape[0], 0), np.int64)
    for start in tqdm(starts, "nearest captions", unit="block", disable=len(starts) == 1):
        block = vectors[start:start + BLOCK]
        lowering = 1 - TIE_STEP * np.arange(block.shape[0])
        found = sp_matmul_topn(queries, block.T.multiply(lowering).tocsr(), top_n=min(top_k, block.shape[0]),
                               n_threads=cpu_count())
        counts = np.diff(found.indptr)
        ranks = np.zeros((len(counts), counts.max(initial=0)), np.int64)
        ranks[np.arange(ranks.shape[1]) < counts[:, None]] = rank(found.data / lowering[found.indices],
                                                                  found.indices + start)
        best = np.hstack([best, ranks])
        best = np.partition(best, -top_k, axis=1)[:, -top_k:] if best.shape[1] > top_k else best
    return lists_of(np.sort(best, axis=1)[:, ::-1], vectors.shape[0])


def rank(similarity, index):
    """The order of neighbours as int64, in the shape of `index`: the nearer caption is higher, then the lower index.

    Of a similarity in [0, 1] ten digits count, so that the order does not depend on how a product was rounded. A rank
    below `MOST` means similarity 0.
    """
    return np.rint(similarity * DIGITS).astype(np.int64) * MOST + (MOST - 1 - index)


def lists_of(ranks, n):
    """Rows of ranks, highest first, as a sparse matrix of shape (n_rows, n); ranks of similarity 0 are left out."""
    kept = ranks >= MOST
    indptr = np.concatenate([[0], np.cumsum(kept.sum(axis=1))])
    ranks = ranks[kept]
    return sparse.csr_matrix((ranks // MOST / DIGITS, MOST - 1 - ranks % MOST, indptr), shape=(len(kept), n))


def swap_pairs(captions, ratio, kind="similarity", seed=42, top_k=10, neighbours=None):
    """Pairs of captions that change places, in the order of the walk.

    The walk for a smaller ratio is the beginning of the walk for a larger one: the swaps are nested.

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
        From `similar_captions`, when it was computed before, in parts maybe; it saves time, nothing else.

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
        pairs = order[:2 * n_pairs].reshape(n_pairs, 2)
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
    """The number of pairs that swap at least ``ratio * n`` of n captions, as far as there are partners."""
    if not 0 <= ratio <= 1:
        raise ValueError(f"ratio is a share of the captions in [0, 1], got {ratio}")
    return min(n // 2, math.ceil(ratio * n / 2 - 1e-9))  # the small number forgives 0.1 * 30 > 3


def permutation(n, pairs):
    """The permutation of shape (n,) that exchanges each of the `pairs` (n_pairs, 2) and leaves the others."""
    perm = np.arange(n)
    perm[pairs[:, 0]], perm[pairs[:, 1]] = pairs[:, 1], pairs[:, 0]
    return perm


def nested_swaps(captions, ratios, kind="similarity", seed=42, neighbours=None):
    """The permutation for each of `ratios`, from one walk of `swap_pairs`: what a smaller one swaps, a larger does too."""
    walk, _ = swap_pairs(captions, max(ratios), kind, seed, neighbours=neighbours)
    return [permutation(len(captions), walk[:count_pairs(len(captions), ratio)]) for ratio in ratios]


def _walk(vectors, order, n_pairs, rng, top_k, neighbours):
    """Visit captions in `order` and give each unused one an unused partner among its `top_k` most similar."""
    columns = vectors.T.tocsr()
    first, group = _equal_rows(vectors)  # equal vectors share a list, and with it every repeated search
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
            ranks = np.partition(ranks, -most)[-most:] if len(ranks) > most else ranks  # sorts fewer
            near = lists[group[i]] = lists_of(np.sort(ranks)[None, ::-1], len(order)).indices
        near = near[:top_k]
        if len(near) < top_k:  # the rest have similarity 0: the lowest unused indices
            rest = np.flatnonzero(unused)[:2 * top_k]
            near = np.concatenate([near, rest[~np.isin(rest, near)]])[:top_k]
        j = near[rng.integers(len(near))]
        unused[j] = False
        pairs[pair] = i, j
    return pairs


def _equal_rows(vectors):
    """Distinct rows: the first index of each, and for every row the number of the distinct row it equals."""
    keys = [vectors.indices[a:b].tobytes() + vectors.data[a:b].tobytes()
            for a, b in zip(vectors.indptr, vectors.indptr[1:])]
    return np.unique(pd.factorize(np.array(keys, object))[0], return_index=True, return_inverse=True)[1:]


def _plain(text):
    return re.sub(r"[^\w\s]|_", "", text.lower())


def _check(captions, kind, top_k):
    if isinstance(captions, str) or not all(isinstance(caption, str) for caption in captions):
        raise ValueError("expected a list of captions, each a str")
    if len(captions) < 2:
        raise ValueError(f"expected at least 2 captions to swap, got {len(captions)}")
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}, got {kind!r}")
    if top_k < 1:
        raise ValueError(f"top_k must be at least 1, got {top_k}")
