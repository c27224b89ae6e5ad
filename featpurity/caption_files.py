"""Caption files: read them, and write swapped ones for the same images."""

import io
import json
import os
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from featpurity.captions import count_pairs, permutation, swap_pairs

PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")


def read_captions(path):
    """Read captions from UTF-8 text, one a line, or from the column ``caption`` of a CSV file (see `read_table`).

    Blank ones are kept, because line n is the caption of image n; a file of nothing else is a ValueError.
    """
    raw = Path(path).read_bytes()
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[:error.start].count(b"\n") + 1
        raise ValueError(f"{path}, line {line}: byte 0x{raw[error.start]:02x} is not UTF-8; "
                         "expected a file in UTF-8") from None
    if Path(path).suffix.lower() == ".csv":
        table = read_table(text)
        if "caption" not in table:
            raise ValueError(f"{path}: expected a column 'caption', got {list(table)}")
        captions = [" ".join(caption.splitlines()) for caption in table["caption"]]
    else:  # not splitlines(), which also breaks lines at characters that captions may contain
        captions = [line.removesuffix("\r") for line in text.removesuffix("\n").split("\n")]
    if not any(caption.strip() for caption in captions):
        raise ValueError(f"{path} holds no caption")
    return captions


def read_table(text):
    """A CSV's text as a table of str, line n below the header as row n; cells that a line lacks, or all, are empty.

    A first line of a picture file and a caption is no header: then its columns are image and caption, line n is row n,
    and further columns, as LaCLIP's lists have them, are called by their numbers.
    """
    read = partial(pd.read_csv, dtype=str, keep_default_na=False, skip_blank_lines=False)
    table = read(io.StringIO(text))
    if table.shape[1] > 1 and table.columns[0].lower().endswith(PICTURES):
        table = read(io.StringIO(text), names=["image", "caption", *range(2, table.shape[1])])
    return table.fillna("")


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
        Shares of captions that moved and of texts that changed, mean and histogram (ten bins from 0 to 1) of
        the pairs' similarity where it is known (mean None where it is of none), and counts of odd lines.
    """
    captions = read_captions(path)
    n_pairs = [count_pairs(len(captions), ratio) for ratio in ratios]
    all_pairs, all_similarity = swap_pairs(captions, max(ratios), kind, seed, top_k, neighbours)
    out_dir = Path(out_dir or Path(path).parent)
    out_dir.mkdir(parents=True, exist_ok=True)
    summaries = []
    for ratio, kept in zip(ratios, n_pairs):
        pairs, similarity = all_pairs[:kept], all_similarity[:kept]
        known = similarity[~np.isnan(similarity)]
        new = [captions[i] for i in permutation(len(captions), pairs)]
        summaries.append({
            "n": len(captions), "kind": kind, "seed": seed, "top_k": top_k, "ratio": ratio,
            "achieved_ratio": pairs.size / len(captions),
            "changed_texts": sum(old != text for old, text in zip(captions, new)) / len(captions),
            "duplicates": len(captions) - len(set(captions)),
            "blank": sum(not caption.strip() for caption in captions),
            "mean_similarity": float(known.mean()) if len(known) else None,
            "similarity_histogram": np.histogram(known, bins=10, range=(0, 1))[0].tolist()})
        stem = out_dir / f"{Path(path).stem}_Cs{100 * ratio:g}_{kind}_simple"
        table = pd.DataFrame({"i": pairs[:, 0], "j": pairs[:, 1], "similarity": similarity})
        _write(f"{stem}.csv", table.to_csv(index=False, float_format="%.6f"))
        _write(f"{stem}.json", json.dumps(summaries[-1], indent=1, allow_nan=False) + "\n")
        _write(f"{stem}.txt", "".join(f"{caption}\n" for caption in new))
    return summaries


def _write(path, text):
    Path(f"{path}.part").write_text(text, encoding="utf-8", newline="\n")
    os.replace(f"{path}.part", path)
