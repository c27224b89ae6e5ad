"""Read caption files: one caption per line, or a table of images and captions."""

import csv
import io
import json
import re
import tarfile
from pathlib import Path

import pandas as pd

from featpurity.files import read_text

# A picture's file name, with "#0" and so on in lists that number an image's captions.
PICTURE = re.compile(r"\.(jpe?g|png|webp|bmp|gif|tiff?)(#\d+)?$", re.IGNORECASE)
DELIMITERS = (",", "\t", ";", "|")
ALSO_CALLED = {"filepath": "image", "title": "caption"}  # in open_clip's training tables


def read_captions(path: str | Path) -> list[str]:
    """The captions of a file, as `read_table` finds them: caption n belongs to image n.

    Raises
    ------
    ValueError
        As for `read_table`, and for a file without a column `caption` or without any caption.
    """
    return list(read_captioned(path)["caption"])


def read_captioned(path: str | Path) -> pd.DataFrame:
    """The table from `read_table`; a ValueError if it has no captions."""
    table = read_table(path)
    if "caption" not in table:
        raise ValueError(f"{path}: expected a column 'caption', got {list(table)!s:.200}")
    if not any(caption.strip() for caption in table["caption"]):
        raise ValueError(f"{path} holds no caption")
    return table


def read_table(path: str | Path) -> pd.DataFrame:
    """Read a file of captions as a table of str, row n for the n-th caption.

    A file is a table with delimiters if its suffix is `.csv` or `.tsv` or its first lines show it,
    so that a CSV called `captions.txt` gives its captions, not its lines. Otherwise each line is a
    caption. Columns filepath and title, which open_clip's training reads, count as image and
    caption. If the first row is a picture file and a caption, there is no header, and these are the
    columns. Further columns are then named by their numbers; they are accepted only if no comma in
    a caption can have made them: between tabs, or with every field in quotation marks.

    Parameters
    ----------
    path : str or Path
        UTF-8 text.

    Returns
    -------
    table : DataFrame
        Columns caption, and others if there are any. Cells that a row lacks are empty, as are those
        of a blank row: blank captions count. Line breaks inside a caption become spaces.

    Raises
    ------
    ValueError
        For JSON and tar archives. With file and line: for text that is not UTF-8, a row with more
        fields than the header (in a wider list without one: with another number than the first
        row), a quotation mark that is never closed or does not end its field, or a cell that
        swallowed further rows.
    """
    if (file := Path(path).expanduser()).is_file() and tarfile.is_tarfile(file):
        raise ValueError(f"{path} is a tar archive; shards of pairs are named webdataset:PATH")
    text = read_text(path)
    _refuse_json(path, text.lstrip("\ufeff \t\r\n"))
    lines = io.StringIO(text, newline="").readlines()  # breaks only at \n, \r, \r\n
    delimiter = _delimiter(path, lines)
    if delimiter is None:
        return pd.DataFrame({"caption": [line.rstrip("\r\n") for line in lines]}, dtype=str)
    rows, starts = _read_rows(path, lines, delimiter)
    if not rows:
        raise ValueError(f"{path} is empty; expected the columns image and caption")
    header = [name.strip() for name in rows[0]]
    if headless := len(header) > 1 and PICTURE.search(header[0]) is not None:
        header = ["image", "caption", *range(2, len(header))]
    other = {name: ours for name, ours in ALSO_CALLED.items() if ours not in header}
    header = [other.get(name, name) for name in header]
    if len(set(header)) < len(header):
        raise ValueError(f"{path}: expected columns of different names, got {header}")
    if headless and len(header) > 2:
        _check_wide_list(path, lines, rows, starts, delimiter)
    _check_rows(path, lines, rows, starts, header, delimiter)
    rows = [row + [""] * (len(header) - len(row)) for row in rows[not headless :]]
    table = pd.DataFrame(rows, columns=header, dtype=str)
    if "caption" in table:
        table["caption"] = [" ".join(caption.splitlines()) for caption in table["caption"]]
    if headless:
        table["image"] = table["image"].str.replace(r"#\d+$", "", regex=True)
    return table


def _refuse_json(path, text):
    """Raise ValueError for JSON, whatever the file is called."""
    if not text.startswith(("{", "[")):
        return
    for part in (text, text.partition("\n")[0]):  # the whole, or the first line of JSON Lines
        try:
            json.loads(part)
        except ValueError:
            continue
        raise ValueError(
            f"{path} is JSON; expected a caption a line, or a table with the columns image and "
            "caption: pandas.read_json(...).to_csv(...) writes one"
        )


def _delimiter(path, lines):
    """The delimiter of a table; None for one caption per line.

    In a table, the first line is a header that names a caption, or the second line begins with a
    picture's name (the first, if it is the only one or a field spans lines).
    """
    goes_on = bool(lines) and lines[0].count('"') % 2 == 1
    for delimiter in DELIMITERS:
        rows = [line.strip().split(delimiter) for line in lines[:2]]
        rows = [[cell.strip(' "').lower() for cell in row] for row in rows]
        named = [len(row) > 1 and PICTURE.search(row[0]) is not None for row in rows]
        names_picture = bool(named) and named[0 if goes_on else -1]
        captioned = bool(rows) and len(rows[0]) > 1 and {"caption", "title"} & {*rows[0]}
        if names_picture or captioned:
            return delimiter
    return {".csv": ",", ".tsv": "\t"}.get(Path(path).suffix.lower())


def _read_rows(path, lines, delimiter):
    """Rows of a table, with blank lines as empty rows, and the number of each row's first line."""
    listed = delimiter == "\t" and lines and PICTURE.search(lines[0].split("\t")[0])
    quoting = csv.QUOTE_NONE if listed else csv.QUOTE_MINIMAL  # a bare list knows no quoting
    reader = csv.reader(lines, delimiter=delimiter, strict=True, quoting=quoting)
    rows, starts = [], [1]
    try:
        for row in reader:
            rows.append(row)
            starts.append(reader.line_num + 1)
    except csv.Error as error:
        if "field limit" in str(error):
            raise ValueError(
                f"{path}, line {starts[-1]}: a field of more than {csv.field_size_limit():,} "
                "characters; expected a caption (or is a quotation mark never closed?)"
            ) from None
        raise ValueError(
            f"{path}, line {starts[-1]}: {error}; expected the quotation mark that opens a field "
            "to be closed at its end, and those inside to be doubled"
        ) from None
    return rows, starts


def _check_wide_list(path, lines, rows, starts, delimiter):
    """Raise ValueError if an unquoted caption may have made a column in a list without header."""
    for row, start, following in zip(rows, starts, starts[1:]):
        text = "".join(lines[start - 1 : following - 1]).strip("\ufeff\r\n")
        quoted = delimiter.join(f'"{field.replace(chr(34), chr(34) * 2)}"' for field in row)
        if len(row) != len(rows[0]) or (delimiter != "\t" and text != quoted):
            raise ValueError(
                f"{path}, line {start}: expected 2 fields, got {len(row)}, and no header says what "
                f"the others are; a caption that holds {delimiter!r} has to stand in quotation "
                "marks, and further columns need a header"
            )


def _check_rows(path, lines, rows, starts, header, delimiter):
    """Raise ValueError at the first row with too many fields, or with other rows inside a field."""
    at = header.index("image") if "image" in header else 0
    for row, start, following in zip(rows, starts, starts[1:]):
        if len(row) > len(header):
            raise ValueError(
                f"{path}, line {start}: expected {len(header)} fields, got {len(row)}; "
                f"a caption that holds {delimiter!r} has to stand in quotation marks"
            )
        for line in lines[start : following - 1]:  # lines of a field with line breaks
            cells = line.split(delimiter)
            if len(cells) > max(1, at) and PICTURE.search(cells[at].strip(' "')):
                raise ValueError(
                    f"{path}, line {start}: a field in quotation marks goes on to line "
                    f"{following - 1}, past another row: {line.strip()[:60]!r}"
                )
