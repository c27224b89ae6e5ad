"""Find the nearest captions of every caption: cosines of TF-IDF vectors, by a sparse product."""

from typing import NamedTuple

import numpy as np
import pandas as pd
from joblib import cpu_count
from scipy import sparse
from sparse_dot_topn import sp_matmul_topn
from tqdm.auto import tqdm

LISTED = 64  # neighbours found in advance: more take memory, fewer need repeated searches
TFIDF = {  # words have two or more word characters; any other character separates them
    "lowercase": True,
    "token_pattern": r"\b\w\w+\b",
    "stop_words": "english",
    "ngram_range": (1, 2),
    "max_features": 5000,
    "min_df": 2,
    "max_df": 0.95,
}
# The 63 bits of a rank hold ten digits of similarity and the index of a caption.
DIGITS, MOST = 1e10, 2**29
# The sparse product keeps the largest numbers, and breaks ties in any order. So each similarity is
# lowered by this share per index within a block of captions: more than the rounding error of a sum
# (near 1e-16), but in total below the tenth digit.
TIE_STEP, BLOCK = 2e-15, 25_000


class Nearest(NamedTuple):
    """What a swap by similarity needs of n captions; the same for every kind, ratio and seed."""

    vectors: sparse.csr_matrix  # (n, n_words), see `tfidf`
    neighbours: sparse.csr_matrix  # (n, n), see `similar_captions`


def nearest_captions(captions: list[str]) -> Nearest:
    """Vectors and nearest captions of all captions; equal vectors are looked up once."""
    vectors = tfidf(captions)
    first, group = equal_rows(vectors)
    return Nearest(vectors, similar_captions(vectors, LISTED, first)[group])


def tfidf(captions: list[str]) -> sparse.csr_matrix:
    """TF-IDF vectors of captions, with the settings in the definition of a swap.

    Lower case; characters that are neither word characters nor white space separate words
    ("tug-o-war" is tug and war; an underscore is a word character); no English stop words; words
    and pairs of words, the 5,000 most frequent of those in at least 2 and at most 95 % of the
    captions.

    Parameters
    ----------
    captions : list of str of length n

    Returns
    -------
    vectors : sparse float64 matrix of shape (n, n_words)
        Rows of unit length, or zero if a caption has no known word.

    Raises
    ------
    ValueError
        If the captions share no word.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer  # late: stored vectors need none

    try:
        return TfidfVectorizer(**TFIDF).fit_transform(captions)
    except ValueError as error:
        raise ValueError(
            f"the {len(captions)} captions cannot be compared: expected words found in at least "
            f"2 and at most 95 % of them ({error}); kind='random' needs none"
        ) from error


def similar_captions(
    vectors: sparse.csr_matrix, top_k: int = LISTED, rows: np.ndarray | None = None
) -> sparse.csr_matrix:
    """The nearest captions of each caption, itself included.

    Parameters
    ----------
    vectors : sparse matrix of shape (n, n_words), unit rows (see `tfidf`)
    top_k : int, default 64
    rows : array of int, optional
        Look up these captions only. The results of several parts, stacked, equal the whole result.

    Returns
    -------
    neighbours : sparse matrix of shape (n_rows, n)
        At most `top_k` positive cosines per row, to ten digits, highest first; among equal ones the
        lower indices.
    """
    queries = vectors if rows is None else vectors[rows]
    starts = range(0, vectors.shape[0], BLOCK)
    best = np.zeros((queries.shape[0], 0), np.int64)
    for start in tqdm(starts, "nearest captions", unit="block", disable=len(starts) == 1):
        block = vectors[start : start + BLOCK]
        lowering = 1 - TIE_STEP * np.arange(block.shape[0])
        found = sp_matmul_topn(
            queries,
            block.T.multiply(lowering).tocsr(),
            top_n=min(top_k, block.shape[0]),
            n_threads=cpu_count(),
        )
        counts = np.diff(found.indptr)
        ranks = np.zeros((len(counts), counts.max(initial=0)), np.int64)
        ranks[np.arange(ranks.shape[1]) < counts[:, None]] = rank(
            found.data / lowering[found.indices], found.indices + start
        )
        best = np.hstack([best, ranks])
        best = np.partition(best, -top_k, axis=1)[:, -top_k:] if best.shape[1] > top_k else best
    return lists_of(np.sort(best, axis=1)[:, ::-1], vectors.shape[0])


def rank(similarity: np.ndarray, index: np.ndarray) -> np.ndarray:
    """Ranks of neighbours, int64 in the shape of `index`, highest for the nearest.

    Among equally near captions, the lower index ranks higher. Ten digits of a similarity in [0, 1]
    count, so the order does not depend on how a product was rounded. A rank below `MOST` means
    similarity 0.
    """
    return np.rint(similarity * DIGITS).astype(np.int64) * MOST + (MOST - 1 - index)


def lists_of(ranks: np.ndarray, n: int) -> sparse.csr_matrix:
    """Rows of ranks, highest first, as a sparse matrix (n_rows, n) without similarities of 0."""
    kept = ranks >= MOST
    indptr = np.concatenate([[0], np.cumsum(kept.sum(axis=1))])
    ranks = ranks[kept]
    return sparse.csr_matrix(
        (ranks // MOST / DIGITS, MOST - 1 - ranks % MOST, indptr), shape=(len(kept), n)
    )


def equal_rows(vectors: sparse.csr_matrix) -> tuple[np.ndarray, np.ndarray]:
    """The first index of each distinct row, and for every row the number of its distinct row."""
    keys = [
        vectors.indices[a:b].tobytes() + vectors.data[a:b].tobytes()
        for a, b in zip(vectors.indptr, vectors.indptr[1:])
    ]
    numbers = pd.factorize(np.array(keys, object))[0]
    return np.unique(numbers, return_index=True, return_inverse=True)[1:]
