"""Find the nearest of millions of captions in shards of rows, each a job of the workflow.

The TF-IDF vectors of all captions are computed once and stored; a shard reads them and writes the
neighbours of a range of captions among *all* captions. It needs memory for the vectors and for its
own lists: about 4 kB per caption of the shard while it works, 0.8 kB on disk. `load_shards` joins
the lists, equal to those found in one piece. A shard uses one GPU if there is one; several GPUs
take several shards.
"""

import json
import shutil
import zipfile
from functools import partial
from pathlib import Path

import numpy as np
from scipy import sparse

from featpurity.captions.nearest import DIGITS, LISTED, TFIDF, Nearest, similar_captions, tfidf
from featpurity.files import digest, writing

VECTORS = "vectors.npz"
REMEDY = "remove the executed neighbours notebooks from the results and run the workflow again"


def write_vectors(folder: str | Path, captions: list[str]) -> sparse.csr_matrix:
    """Compute the TF-IDF vectors of all captions and store them for the shards."""
    vectors = tfidf(captions)
    _write(Path(folder) / VECTORS, vectors, fingerprint=fingerprint(captions))
    return vectors


def write_shard(
    folder: str | Path, shard: int, n_shards: int, device: str = "auto"
) -> tuple[Path, sparse.csr_matrix]:
    """Find the neighbours of one shard of the captions; write ``{shard}_of_{n_shards}.npz``.

    Parameters
    ----------
    folder : str or Path
        Where `write_vectors` stored the vectors of n captions.
    shard : int in 0 .. n_shards - 1
    n_shards : int in 1 .. n
    device : str, default "auto"
        "cuda" or "cuda:N" use that GPU, "auto" one of the GPUs if there are any; anything else uses
        the sparse product.

    Returns
    -------
    path : Path
        Neighbours of the captions from ``n * shard // n_shards`` up to the next shard's first, and
        what they depend on.
    neighbours : sparse matrix of shape (n_rows, n)
        See `featpurity.captions.nearest.similar_captions`.
    """
    about, vectors = _read(Path(folder) / VECTORS)
    n = vectors.shape[0]
    if not 1 <= n_shards <= n or not 0 <= shard < n_shards:
        raise ValueError(
            f"expected 1 to {n} shards of {n} captions and a shard from 0 on, "
            f"got {shard} of {n_shards}"
        )
    start, stop = n * shard // n_shards, n * (shard + 1) // n_shards
    found = _finder(shard, device)(vectors, LISTED, np.arange(start, stop))
    path = _path(folder, shard, n_shards)
    _write(path, found, fingerprint=about["fingerprint"], start=start, stop=stop)
    return path, found


def load_shards(folder: str | Path, captions: list[str], n_shards: int) -> Nearest | None:
    """Vectors and neighbours of all captions from their shards, for `write_swaps`.

    Parameters
    ----------
    folder, n_shards
        As given to `write_shard`.
    captions : list of str
        As given to `write_vectors`.

    Returns
    -------
    nearest : Nearest, or None
        Equal to `featpurity.captions.nearest.nearest_captions`; None for a single shard, which is
        not worth a file.

    Raises
    ------
    FileNotFoundError, ValueError
        If a file is missing, damaged, or made from other captions or with other settings, or if the
        shards do not cover every caption exactly once.
    """
    if n_shards == 1:
        return None
    n, made_from, end, parts = len(captions), fingerprint(captions), 0, []
    for path in [Path(folder) / VECTORS, *(_path(folder, i, n_shards) for i in range(n_shards))]:
        about, part = _read(path)
        if about["fingerprint"] != made_from:
            raise ValueError(
                f"{path} was made from other captions or with other settings; {REMEDY}"
            )
        if path.name == VECTORS:
            vectors = part
            continue
        if (about["start"], part.shape[0]) != (end, about["stop"] - end):
            raise ValueError(
                f"{path} holds {part.shape[0]} captions from {about['start']} to {about['stop']}, "
                f"expected them to start at {end}, where the shard before ends; {REMEDY}"
            )
        end = about["stop"]
        parts.append(part)
    if end != n:
        raise ValueError(f"the shards in {folder} end at caption {end}, expected {n}; {REMEDY}")
    return Nearest(vectors, sparse.vstack(parts, format="csr"))


def fingerprint(captions: list[str]) -> str:
    """SHA-256 (hex) of all that neighbours depend on: captions, TF-IDF settings, length of lists.

    The kind of white space does not count, as it does not for words.
    """
    import sklearn  # late: a shard, which reads vectors, needs none

    settings = (TFIDF, LISTED, DIGITS, sklearn.__version__, len(captions))
    lines = "".join(" ".join(caption.split()) + "\n" for caption in captions)
    return digest(settings, lines.encode("utf-8", "surrogatepass"))


def _finder(shard, device):
    """The function that finds neighbours on a device; concurrent shards take the GPUs in turn."""
    if device == "auto" and shutil.which("nvidia-smi"):  # else no GPU, and no need for torch
        import torch

        if torch.cuda.is_available():
            device = f"cuda:{shard % torch.cuda.device_count()}"
    if not device.startswith("cuda"):
        return similar_captions
    from featpurity.captions.nearest_blocks import similar_captions_by_blocks  # late: needs torch

    return partial(similar_captions_by_blocks, device=device)


def _path(folder, shard, n_shards):
    return Path(folder) / f"{shard}_of_{n_shards}.npz"


def _write(path, matrix, **about):
    """Write a sparse matrix with facts about it."""
    about = json.dumps(about | {"shape": matrix.shape})
    with writing(path) as file:
        np.savez(file, about=about, data=matrix.data, index=matrix.indices, indptr=matrix.indptr)


def _read(path):
    """Read what `_write` wrote; pickled objects are refused."""
    if not path.is_file():
        raise FileNotFoundError(f"there is no {path}; {REMEDY}")
    try:
        with np.load(path, allow_pickle=False) as file:
            about = json.loads(str(file["about"]))
            parts = file["data"], file["index"], file["indptr"]
            matrix = sparse.csr_matrix(parts, shape=about["shape"])
        matrix.check_format()
        about["fingerprint"]
        return about, matrix
    except (OSError, EOFError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} is damaged ({error}); {REMEDY}") from None
