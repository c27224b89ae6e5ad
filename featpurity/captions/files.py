"""Caption files: read them, and write swapped ones for the same images."""

import io
from functools import partial
from pathlib import Path

import pandas as pd

PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")


def read_captions(path):
    """Read captions from UTF-8 text, one a line, or from the column ``caption`` of a CSV file (see `read_table`).

    Blank ones are kept, because line n is the caption of image n; a file of nothing else is a
    ValueError.
    """
    raw = Path(path).read_bytes()
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise ValueError(
            f"{path}, line {line}: byte 0x{raw[error.start]:02x} is not UTF-8; "
            "expected a file in UTF-8"
        ) from None
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

    A first line of a picture file and a caption is no header: then its columns are image and
    caption, line n is row n, and further columns, as LaCLIP's lists have them, are called by their
    numbers.
    """
    read = partial(pd.read_csv, dtype=str, keep_default_na=False, skip_blank_lines=False)
    table = read(io.StringIO(text))
    if table.shape[1] > 1 and table.columns[0].lower().endswith(PICTURES):
        table = read(io.StringIO(text), names=["image", "caption", *range(2, table.shape[1])])
    return table.fillna("")
