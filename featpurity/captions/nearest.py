"""The nearest captions of every caption: TF-IDF vectors and their cosines, on the processor or a
device.
"""

import re

import numpy as np
import torch
from joblib import cpu_count
from scipy import sparse
from sklearn.feature_extraction.text import TfidfVectorizer
from sparse_dot_topn import sp_matmul_topn
from tqdm.auto import tqdm

LISTED = 64  # neighbours found in advance; more cost memory, fewer cost repeated searches
TFIDF = {
    "stop_words": "english",
    "ngram_range": (1, 2),
    "max_features": 5000,
    "min_df": 2,
    "max_df": 0.95,
}
DIGITS, MOST = (
    1e10,
    2**29,
)  # what the 63 bits of a rank hold: ten digits of similarity, and the index of a caption
# The sparse product keeps the largest numbers whatever their rank. It gets each similarity lowered
# by this share per index within a block of captions: more than the rounding error of a sum (near
# 1e-16), in all less than ten digits.
TIE_STEP, BLOCK = 2e-15, 25_000


def tfidf(captions):
    """TF-IDF vectors of captions, with the settings that the definition of a swap fixes.

    Lower case, punctuation out, English stop words out, words and pairs of words, the 5,000 most
    frequent of those in at least 2 and at most 95 % of the captions.

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
        raise ValueError(
            f"the {len(captions)} captions cannot be compared: expected words found in at least "
            f"2 and at most 95 % of them ({error}); kind='random' needs none"
        ) from error


def similar_captions(vectors, top_k=LISTED, rows=None):
    """The nearest captions of each caption, itself included, by a sparse product that keeps only the best.

    Parameters
    ----------
    vectors : sparse matrix of shape (n, n_words), unit rows (see `tfidf`)
    top_k : int, default 64
    rows : array of int, optional
        Look up these captions only. Stacked, the results of several parts are the result in one
        piece.

    Returns
    -------
    neighbours : sparse matrix of shape (n_rows, n)
        At most `top_k` positive cosines a row, to ten digits, highest first; of equal ones the
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


def rank(similarity, index):
    """The order of neighbours as int64, in the shape of `index`: the nearer caption is higher, then the lower index.

    Of a similarity in [0, 1] ten digits count, so that the order does not depend on how a product
    was rounded. A rank below `MOST` means similarity 0.
    """
    return np.rint(similarity * DIGITS).astype(np.int64) * MOST + (MOST - 1 - index)


def lists_of(ranks, n):
    """Rows of ranks, highest first, as a sparse matrix of shape (n_rows, n); ranks of similarity 0
    are left out.
    """
    kept = ranks >= MOST
    indptr = np.concatenate([[0], np.cumsum(kept.sum(axis=1))])
    ranks = ranks[kept]
    return sparse.csr_matrix(
        (ranks // MOST / DIGITS, MOST - 1 - ranks % MOST, indptr), shape=(len(kept), n)
    )


def _plain(text):
    return re.sub(r"[^\w\s]|_", "", text.lower())


ROWS = 1024  # captions looked up at once on a device
BYTES = 128  # on a card for each similarity: itself, its rank, what finding the largest needs, and room to spare


def similar_captions_by_blocks(vectors, top_k=LISTED, rows=None, device="cuda", at_once=None):
    """`featpurity.captions.nearest.similar_captions` on a torch device: blocks of rows against blocks of columns.

    Each block is a product of sparse columns and dense rows in float64, of which the best `top_k`
    so far are kept, in the order of `featpurity.captions.nearest.rank`. Tested on CPU tensors only.

    Parameters
    ----------
    vectors : sparse matrix of shape (n, n_words), unit rows
    top_k : int, default 64
    rows : array of int, optional
        Look up these captions only.
    device : str or torch.device, default "cuda"
        One that knows float64, which MPS does not.
    at_once : int, optional
        Similarities in memory at once; sized to a card's free memory when left out, 4 million
        elsewhere.

    Returns
    -------
    neighbours : sparse matrix of shape (n_rows, n)
    """
    device, n = torch.device(device), vectors.shape[0]
    queries = vectors if rows is None else vectors[rows]
    if at_once is None:
        at_once = torch.cuda.mem_get_info(device)[0] // BYTES if device.type == "cuda" else 2**22
    width = max(1, int(at_once) // ROWS)
    columns = [_on_device(vectors[start : start + width], device) for start in range(0, n, width)]
    found = []
    for start in tqdm(range(0, queries.shape[0], ROWS), "nearest captions", unit="block", delay=2):
        block = torch.as_tensor(
            queries[start : start + ROWS].toarray().T, device=device
        )  # (n_words, n_rows)
        best, first = torch.empty((block.shape[1], 0), dtype=torch.int64, device=device), 0
        for column in columns:
            similarity = torch.sparse.mm(column, block).T  # (n_rows, n_columns)
            index = torch.arange(first, first + similarity.shape[1], device=device)
            ranks = (similarity * DIGITS).round().long() * MOST + (
                MOST - 1 - index
            )  # captions.rank, in torch
            best = torch.cat([best, ranks.topk(min(top_k, ranks.shape[1])).values], dim=1)
            best = best.topk(min(top_k, best.shape[1])).values
            first += similarity.shape[1]
        found.append(lists_of(best.cpu().numpy(), n))
    return sparse.vstack(found, format="csr")


def _on_device(vectors, device):
    """Sparse vectors as a sparse tensor. COO, which every build of torch multiplies."""
    coo = vectors.tocoo()
    index = torch.as_tensor(np.stack([coo.row, coo.col]).astype(np.int64))
    values = torch.as_tensor(coo.data)
    return torch.sparse_coo_tensor(
        index, values, coo.shape, device=device, check_invariants=True
    ).coalesce()
