"""Find the nearest captions of every caption on a torch device, such as a GPU."""

import numpy as np
import torch
from scipy import sparse
from tqdm.auto import tqdm

from featpurity.captions.nearest import DIGITS, LISTED, MOST, lists_of

ROWS = 1024  # captions looked up at once on a device
# GPU memory per similarity: itself, its rank, the search for the largest, and some reserve.
BYTES = 128


def similar_captions_by_blocks(
    vectors: sparse.csr_matrix,
    top_k: int = LISTED,
    rows: np.ndarray | None = None,
    device: str | torch.device = "cuda",
    at_once: int | None = None,
) -> sparse.csr_matrix:
    """`featpurity.captions.nearest.similar_captions`, by blocks of rows and columns.

    Each block is a product of sparse columns and dense rows in float64. The best `top_k` so far are
    kept, in the order of `featpurity.captions.nearest.rank`. Tested on CPU tensors only.

    Parameters
    ----------
    vectors : sparse matrix of shape (n, n_words), unit rows
    top_k : int, default 64
    rows : array of int, optional
        Look up these captions only.
    device : str or torch.device, default "cuda"
        One with float64, which MPS lacks.
    at_once : int, optional
        Similarities in memory at once; by default as many as fit a GPU's free memory, elsewhere 4
        million.

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
        dense = queries[start : start + ROWS].toarray()
        block = torch.as_tensor(dense.T, device=device)  # (n_words, n_rows)
        best, first = torch.empty((block.shape[1], 0), dtype=torch.int64, device=device), 0
        for column in columns:
            similarity = torch.sparse.mm(column, block).T  # (n_rows, n_columns)
            index = torch.arange(first, first + similarity.shape[1], device=device)
            # `featpurity.captions.nearest.rank`, in torch
            ranks = (similarity * DIGITS).round().long() * MOST + (MOST - 1 - index)
            best = torch.cat([best, ranks.topk(min(top_k, ranks.shape[1])).values], dim=1)
            best = best.topk(min(top_k, best.shape[1])).values
            first += similarity.shape[1]
        found.append(lists_of(best.cpu().numpy(), n))
    return sparse.vstack(found, format="csr")


def _on_device(vectors, device):
    """Sparse vectors as a sparse tensor in COO, which every build of torch can multiply."""
    coo = vectors.tocoo()
    index = torch.as_tensor(np.stack([coo.row, coo.col]).astype(np.int64))
    values = torch.as_tensor(coo.data)
    return torch.sparse_coo_tensor(
        index, values, coo.shape, device=device, check_invariants=True
    ).coalesce()
