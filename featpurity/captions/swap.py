"""Swap captions of a list in memory, or write them as files for every kind, ratio and seed."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from featpurity.captions.files import read_captioned
from featpurity.captions.nearest import Nearest, nearest_captions
from featpurity.captions.walk import SEED, count_pairs, swap_pairs
from featpurity.files import write_text


class Run(NamedTuple):
    """One training of a sweep over misaligned captions."""

    kind: str
    ratio: float
    seed: int

    @property
    def name(self) -> str:
        """Name of its files and folders, such as `similarity_Cs30_seed1`."""
        return f"{self.kind}_Cs{100 * self.ratio:g}_seed{self.seed}"


def swap_seed(seed: int) -> int:
    """The seed of swapped captions for a training seed: for 0 the definition's own, 42."""
    return SEED + seed


def swap_captions(
    captions: list[str],
    ratio: float,
    kind: str = "similarity",
    seed: int = SEED,
    top_k: int = 10,
    images: Sequence | None = None,
) -> tuple[list[str], np.ndarray]:
    """Swap a share of captions, each with one of its most similar ones or with any other.

    Parameters and errors are those of `featpurity.captions.walk.swap_pairs`.

    Returns
    -------
    new : list of str of length n
    perm : int64 array of shape (n,)
        It only exchanges pairs: ``new[i] == captions[perm[i]]`` and ``perm[perm[i]] == i``.

    References
    ----------
    Sun, Zhang, Li & Wang (2025), Contrastive Learning with Data Misalignment.
    """
    pairs, _ = swap_pairs(captions, ratio, kind, seed, top_k, images)
    perm = permutation(len(captions), pairs)
    return [captions[i] for i in perm], perm


def nested_swaps(
    captions: list[str],
    ratios: Sequence[float],
    kind: str = "similarity",
    seed: int = SEED,
    images: Sequence | None = None,
) -> list[np.ndarray]:
    """The permutation for each of `ratios`, from one walk of `featpurity.captions.walk.swap_pairs`.

    A larger ratio swaps everything that a smaller one does.
    """
    n = len(captions)
    pairs, _ = swap_pairs(captions, max(ratios), kind, seed, images=images)
    return [permutation(n, pairs[: count_pairs(n, ratio)]) for ratio in ratios]


def permutation(n: int, pairs: np.ndarray) -> np.ndarray:
    """The permutation of 0 .. n - 1 that exchanges each of the `pairs` (n_pairs, 2)."""
    perm = np.arange(n)
    perm[pairs[:, 0]], perm[pairs[:, 1]] = pairs[:, 1], pairs[:, 0]
    return perm


def write_swaps(
    path: str | Path,
    ratios: Sequence[float],
    kinds: Sequence[str] = ("similarity",),
    seeds: Sequence[int] = (SEED,),
    out_dir: str | Path | None = None,
    top_k: int = 10,
    images: Sequence | None = None,
    nearest: Nearest | None = None,
    captions: list[str] | None = None,
) -> list[dict]:
    """Write swapped captions for each kind, seed and ratio, with pairs and a summary beside them.

    For ratio 0.3, ``X.txt`` becomes ``X_Cs30_similarity_simple.txt`` (see `swap_path`), with a
    ``.csv`` of the pairs (i, j, similarity) in the order of the walk and a ``.json`` summary. One
    walk serves all ratios.

    Parameters
    ----------
    path : str or Path
        See `featpurity.captions.files.read_captions`. If it is a table that names images, they
        serve as `images`.
    ratios : sequence of float in [0, 1]
    kinds, seeds : sequences
    out_dir : str or Path, optional
        By default the folder of `path`.
    top_k, images, nearest
        See `featpurity.captions.walk.swap_pairs`.
    captions : list of str, optional
        The file's captions if at hand; the file is then not read.

    Returns
    -------
    summaries : list of dict, one for each kind, seed and ratio, in this order
        Shares of captions that moved and of texts that changed, mean and histogram (ten bins from 0
        to 1) of the pairs' similarity where it is known (mean None if nowhere), pairs within one
        image (None if no images are named), and counts of odd lines.
    """
    if captions is None:
        table = read_captioned(path)
        captions = list(table["caption"])
        if images is None and "image" in table:
            images = list(table["image"])
    if nearest is None and "similarity" in kinds and len(captions) > 1 and max(ratios) > 0:
        nearest = nearest_captions(captions)
    target, summaries = Path(out_dir or Path(path).parent, Path(path).name), []
    for kind in kinds:
        for seed in seeds:
            walk = swap_pairs(captions, max(ratios), kind, seed, top_k, images, nearest)
            for ratio in ratios:
                kept = count_pairs(len(captions), ratio)
                pairs, similarity = (part[:kept] for part in walk)
                new = [captions[i] for i in permutation(len(captions), pairs)]
                about = {"kind": kind, "ratio": ratio, "seed": seed}
                summary = (
                    about | {"top_k": top_k} | _summary(captions, new, pairs, similarity, images)
                )
                _write(swap_path(target, **about), new, pairs, similarity, summary)
                summaries.append(summary)
    return summaries


def swap_path(path: str | Path, kind: str, ratio: float, seed: int = SEED) -> Path:
    """Path of swapped captions: `X_Cs30_similarity_simple.txt` beside `X.txt`.

    A seed other than 42 is appended to the name.
    """
    of_seed = "" if seed == SEED else f"_seed{seed}"
    return Path(path).with_name(f"{Path(path).stem}_Cs{100 * ratio:g}_{kind}_simple{of_seed}.txt")


def read_swapped_pairs(
    path: str | Path, kind: str, ratio: float, seed: int = SEED
) -> tuple[pd.DataFrame, dict]:
    """Read the pairs that `write_swaps` swapped, and its summary.

    Parameters
    ----------
    path : str or Path
        File of the captions before swapping, with the swapped ones beside it.
    kind, ratio, seed
        As given to `write_swaps`; for a `Run` the seed is `swap_seed(run.seed)`.

    Returns
    -------
    pairs : DataFrame of i, j and similarity, in the order of the walk
    summary : dict

    Raises
    ------
    FileNotFoundError, ValueError
        If they were not written or do not fit together.
    """
    swapped = swap_path(path, kind, ratio, seed)
    pairs, summary = swapped.with_suffix(".csv"), swapped.with_suffix(".json")
    for file in (pairs, summary):
        if not file.is_file():
            raise FileNotFoundError(
                f"there is no {file}: run notebooks/steps/swap.ipynb with the same settings first"
            )
    table, about = pd.read_csv(pairs), json.loads(summary.read_text(encoding="utf-8"))
    n, moved = about["n"], table[["i", "j"]].to_numpy().ravel()
    if len(moved) != round(n * about["achieved_ratio"]) or len(set(moved)) < len(moved):
        raise ValueError(f"{pairs} holds other pairs than {summary} says; write both again")
    if len(moved) and not 0 <= moved.min() <= moved.max() < n:
        raise ValueError(f"{pairs}: expected captions 0 .. {n - 1}, got {moved.max()}")
    return table, about


def read_swaps(path: str | Path, kind: str, ratio: float, seed: int = SEED) -> np.ndarray:
    """The permutation (n,) of written swaps; see `read_swapped_pairs`."""
    pairs, summary = read_swapped_pairs(path, kind, ratio, seed)
    return permutation(summary["n"], pairs[["i", "j"]].to_numpy(np.int64))


def _summary(captions, new, pairs, similarity, images):
    n, known = len(captions), similarity[~np.isnan(similarity)]
    within = None if images is None else sum(bool(images[i] == images[j]) for i, j in pairs)
    return {
        "n": n,
        "achieved_ratio": pairs.size / n,
        "changed_texts": sum(old != text for old, text in zip(captions, new)) / n,
        "within_image": within,
        "duplicates": n - len(set(captions)),
        "blank": sum(not caption.strip() for caption in captions),
        "mean_similarity": float(known.mean()) if len(known) else None,
        "similarity_histogram": np.histogram(known, bins=10, range=(0, 1))[0].tolist(),
    }


def _write(path, captions, pairs, similarity, summary):
    table = pd.DataFrame({"i": pairs[:, 0], "j": pairs[:, 1], "similarity": similarity})
    write_text(path.with_suffix(".csv"), table.to_csv(index=False, float_format="%.6f"))
    write_text(path.with_suffix(".json"), json.dumps(summary, indent=1, allow_nan=False) + "\n")
    write_text(path, "".join(f"{caption}\n" for caption in captions))
