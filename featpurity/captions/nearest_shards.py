"""Nearest captions for millions of captions: in shards of rows, each a job of the workflow, and on a graphics card.

A shard holds the neighbours of a range of captions among *all* captions. One job needs memory for
the TF-IDF vectors of all, and for its own lists: about 4 kB a caption of the shard while it works,
0.8 kB on disk. `load_shards` puts the lists together again, equal to those found in one piece. A
job works on one card; several cards take several shards.
"""

import json
import zipfile
from functools import partial
from pathlib import Path

import numpy as np
import sklearn
import torch
from scipy import sparse

from featpurity.captions.nearest import (
    DIGITS,
    LISTED,
    TFIDF,
    similar_captions,
    similar_captions_by_blocks,
    tfidf,
)
from featpurity.files import digest, writing

REMEDY = "remove the executed neighbours notebooks from the results and run the workflow again"


def write_shard(folder, captions, shard, n_shards, device="auto"):
    """Find the neighbours of one shard of the captions and write them as ``{shard}_of_{n_shards}.npz``.

    Parameters
    ----------
    folder : str or Path
    captions : list of str of length n
    shard : int in 0 .. n_shards - 1
    n_shards : int in 1 .. n
    device : str, default "auto"
        "cuda" or "cuda:N" use that card, "auto" one of the cards where there are some; all else the
        sparse product.

    Returns
    -------
    path : Path
        Neighbours of captions ``n * shard // n_shards`` up to the next shard's first, and what they
        depend on.
    neighbours : sparse matrix of shape (n_rows, n)
        See `featpurity.captions.nearest.similar_captions`.
    """
    n = len(captions)
    if not 1 <= n_shards <= n or not 0 <= shard < n_shards:
        raise ValueError(
            f"expected 1 to {n} shards of {n} captions and a shard from 0 on, got {shard} of {n_shards}"
        )
    start, stop = n * shard // n_shards, n * (shard + 1) // n_shards
    if device == "auto":  # shards that run side by side take the cards in turn
        device = f"cuda:{shard % torch.cuda.device_count()}" if torch.cuda.is_available() else "cpu"
    find = (
        partial(similar_captions_by_blocks, device=device)
        if device.startswith("cuda")
        else similar_captions
    )
    found = find(tfidf(captions), LISTED, np.arange(start, stop))
    about = {"fingerprint": fingerprint(captions), "start": start, "stop": stop}
    path = _path(folder, shard, n_shards)
    with writing(path) as file:
        np.savez(
            file,
            about=json.dumps(about),
            similarity=found.data,
            index=found.indices,
            indptr=found.indptr,
        )
    return path, found


def load_shards(folder, captions, n_shards):
    """The neighbours of all captions from their shards, for `featpurity.captions.swap.swap_pairs`.

    Parameters
    ----------
    folder, captions, n_shards
        As given to `write_shard`.

    Returns
    -------
    neighbours : sparse matrix of shape (n, n), or None
        Equal to `similar_captions` in one piece; None for one shard, which is not worth a file.

    Raises
    ------
    FileNotFoundError, ValueError
        When a shard is missing, damaged, made from other captions or with other settings, or when
        the shards do not cover every caption exactly once.
    """
    if n_shards == 1:
        return None
    n, made_from, end, parts = len(captions), fingerprint(captions), 0, []
    for shard in range(n_shards):
        path = _path(folder, shard, n_shards)
        about, part = _read(path, n)
        if about["fingerprint"] != made_from:
            raise ValueError(
                f"{path} was made from other captions or with other settings; {REMEDY}"
            )
        if (about["start"], part.shape[0]) != (end, about["stop"] - end):
            raise ValueError(
                f"{path} holds {part.shape[0]} captions from {about['start']} to {about['stop']}, "
                f"expected them to start at {end}, where the shard before ends; {REMEDY}"
            )
        end = about["stop"]
        parts.append(part)
    if end != n:
        raise ValueError(f"the shards in {folder} end at caption {end}, expected {n}; {REMEDY}")
    return sparse.vstack(parts, format="csr")


def fingerprint(captions):
    """Hexadecimal digest of all that the neighbours depend on: captions, TF-IDF settings, length of the lists.

    Kinds of white space do not count, as they do not for the words.
    """
    settings = (TFIDF, LISTED, DIGITS, sklearn.__version__, len(captions))
    lines = "".join(" ".join(caption.split()) + "\n" for caption in captions)
    return digest(settings, lines.encode("utf-8", "surrogatepass"))


def _path(folder, shard, n_shards):
    return Path(folder) / f"{shard}_of_{n_shards}.npz"


def _read(path, n):
    """What a shard says about itself, and its lists; pickled objects are refused."""
    if not path.is_file():
        raise FileNotFoundError(f"there is no shard {path}; {REMEDY}")
    try:
        with np.load(path, allow_pickle=False) as file:
            about = json.loads(str(file["about"]))
            lists = file["similarity"], file["index"], file["indptr"]
            part = sparse.csr_matrix(lists, shape=(len(lists[2]) - 1, n))
        part.check_format()
        return {key: about[key] for key in ("fingerprint", "start", "stop")}, part
    except (OSError, EOFError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} is damaged ({error}); {REMEDY}") from None
