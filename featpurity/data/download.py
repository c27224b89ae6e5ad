"""Download pictures and captions from a published list of links, such as Conceptual Captions 3M.

Most such lists are years old and many links are dead: these are counted by reason, not treated as
errors. img2dataset downloads in shards. A finished shard is never requested again, so that a killed
download resumes where it was.

img2dataset needs pandas below 3 (and Python below 3.13), so it has its own environment.
"""

import csv
import io
import json
import math
import os
import re
import shutil
import signal
import tempfile
from pathlib import Path

import pandas as pd

from featpurity.data.images import ImageFiles
from featpurity.files import file_digest, read_text, save_table, write_text

INSTALL = (
    "downloading from links needs img2dataset, an optional extra. It wants pandas below 3 and "
    "Python 3.11 or 3.12, so give it a virtual environment of its own and there: "
    "pip install -e '.[cc3m]' papermill ipykernel"
)
PICTURE = "picture"
# Names in the counts for img2dataset's error messages; the first pattern found in a message wins.
REASONS = {
    r"HTTP Error (\d+)": r"HTTP \1",
    r"timed? ?out": "timed out",
    r"X-Robots-Tag": "not allowed by the site",
    r"urlopen error|[Cc]onnection|IncompleteRead": "connection failed",
}


def read_links(tsv: str | Path) -> pd.DataFrame:
    """Read a list of links without a header: one `caption TAB url` per line, in UTF-8.

    Parameters
    ----------
    tsv : str or Path
        Such as Conceptual Captions' `Train_GCC-training.tsv`. A first line `caption TAB url` is
        skipped.

    Returns
    -------
    links : DataFrame
        Columns caption and url, in the file's order.

    Raises
    ------
    FileNotFoundError, ValueError
        For a missing or empty file, one that is not UTF-8, or a line that is not a caption and a
        web address.
    """
    tsv = Path(tsv).expanduser()
    expected = "expected lines of a caption, a tab and a web address"
    if not tsv.is_file():
        raise FileNotFoundError(f"there is no list of links {tsv}; {expected}")
    try:
        # Quotation marks in captions have no meaning in this format.
        links = pd.read_csv(
            io.StringIO(read_text(tsv)),
            sep="\t",
            header=None,
            dtype=str,
            keep_default_na=False,
            skip_blank_lines=False,
            quoting=csv.QUOTE_NONE,
        ).fillna("")
    except pd.errors.EmptyDataError:
        raise ValueError(f"{tsv} is empty; {expected}") from None
    except pd.errors.ParserError as error:
        raise ValueError(f"{tsv}: {str(error).strip()}; {expected}") from None
    if links.shape[1] != 2:
        raise ValueError(f"{tsv}, line 1: got {links.shape[1]} columns; {expected}")
    links.columns = ["caption", "url"]
    if links.iloc[0].tolist() == ["caption", "url"]:
        links = links[1:]
    bad = links[(links.caption.str.strip() == "") | ~links.url.str.match(r"https?://\S")]
    if len(bad):
        got = "\t".join(bad.iloc[0])[:100]
        raise ValueError(
            f"{tsv}, line {bad.index[0] + 1}: got {got!r} ({len(bad)} such lines); {expected}"
        )
    if links.empty:
        raise ValueError(f"{tsv} has a header and no links; {expected}")
    return links.reset_index(drop=True)


def fetch_pairs(
    tsv: str | Path,
    folder: str | Path,
    n_pairs: int,
    image_size: int = 256,
    timeout: int = 10,
    processes: int = 4,
    threads: int = 64,
    shard_size: int = 1000,
) -> pd.DataFrame:
    """Download the first `n_pairs` pictures of a list whose links still work; write `pairs.csv`.

    Links are requested in the list's order, as many as it takes: the share of dead ones in the
    first shards shows how many more to request. A later call does not request failed links again;
    to retry all, delete the folder.

    Parameters
    ----------
    tsv : str or Path
        See `read_links`.
    folder : str or Path
        Gets `pairs.csv` (columns image and caption), `links.csv` (the returned counts) and
        `images/`.
    n_pairs : int
        Pairs wanted; there are fewer if the list ends sooner.
    image_size : int
        Pictures with a longer shortest side are scaled down to this many pixels there, keeping
        their shape.
    timeout : int
        Seconds that a server may be silent.
    processes, threads : int
        Links requested at a time: processes x threads.
    shard_size : int
        Links per shard: at most processes x shard_size of them are requested again after a kill.

    Returns
    -------
    counts : DataFrame
        Columns reason, links and share (of all requested links): "picture", then why the others
        gave none.

    Raises
    ------
    FileNotFoundError, FileExistsError, ValueError
        Before any download: see `read_links`, or if the folder holds pairs from elsewhere or with
        other settings.
    ImportError
        If img2dataset is missing, with how to install it.
    RuntimeError
        If no link gave a picture, or img2dataset gave up on a shard.
    """
    numbers = dict(
        n_pairs=n_pairs,
        image_size=image_size,
        timeout=timeout,
        processes=processes,
        threads=threads,
        shard_size=shard_size,
    )
    for name, value in numbers.items():
        if not isinstance(value, int) or value < 1:
            raise ValueError(f"{name} must be a whole number of at least 1, got {value!r}")
    folder, links = Path(folder).expanduser(), read_links(tsv)
    listed = file_digest(Path(tsv).expanduser())
    _keep_settings(folder, {"list": listed, "image_size": image_size, "shard_size": shard_size})
    options = dict(
        image_size=image_size,
        timeout=timeout,
        processes_count=processes,
        thread_count=threads,
        number_sample_per_shard=shard_size,
    )
    found = _download_enough(links, folder / "images", n_pairs, options)
    good = found[found.reason == PICTURE]
    broken = ImageFiles(folder, good.image).unreadable()  # say, since deleted
    found.loc[found.image.isin(list(broken)), "reason"] = "lost from the disk"
    pairs = found.loc[found.reason == PICTURE, ["image", "caption"]][:n_pairs]
    counts = found.reason.value_counts().rename_axis("reason").reset_index(name="links")
    counts = counts.sort_values(
        "reason", key=lambda reasons: reasons != PICTURE, kind="stable", ignore_index=True
    )
    save_table(pairs, folder / "pairs.csv")
    return save_table(counts.assign(share=counts.links / len(found)), folder / "links.csv")


def _keep_settings(folder, settings):
    """Refuse a folder whose pictures come from another list or have another size."""
    path = folder / "settings.json"
    if path.is_file():
        kept = json.loads(path.read_text("utf-8"))
        if kept != settings:
            raise ValueError(
                f"{folder} was filled with {kept}, now asked for with {settings}: "
                "choose another folder, or delete this one"
            )
    elif (folder / "pairs.csv").exists():
        raise FileExistsError(
            f"{folder / 'pairs.csv'} was made by something else and is left as it is"
        )
    else:
        write_text(path, json.dumps(settings))


def _download_enough(links, images, n_pairs, options):
    """Request shards until `n_pairs` links give a picture or the list ends; return `outcomes`."""
    size = options["number_sample_per_shard"]
    all_shards = math.ceil(len(links) / size)
    # The first shards show how many links a picture takes. Gaps of a killed run are filled first.
    shards = max(_finished(images), default=-1) + 1 or min(
        options["processes_count"], math.ceil(n_pairs / size)
    )
    while True:
        shards = min(shards, all_shards)
        if not set(range(shards)) <= _finished(images):
            _download(links[: shards * size], images, options)
        if missing := sorted(set(range(shards)) - _finished(images)):
            raise RuntimeError(
                f"img2dataset gave up on shards {missing} (its own messages say why): call again"
            )
        found = outcomes(images)
        pictures = int((found.reason == PICTURE).sum())
        if not pictures:
            shutil.rmtree(images)  # else a call with a better network would retry nothing
            why = found.reason.value_counts().to_dict()
            raise RuntimeError(f"none of {len(found)} links gave a picture: {why}")
        if pictures >= n_pairs or shards == all_shards:
            return found
        shards += math.ceil((n_pairs - pictures) * len(found) / pictures / size)


def _download(links, images, options):
    """Let img2dataset request all links in unfinished shards."""
    # Keep a dependency from checking for updates at each import.
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
    try:
        from img2dataset import download  # an optional extra
    except ImportError as error:
        raise ImportError(f"{INSTALL} (tried: {error})") from error
    interrupt = signal.getsignal(signal.SIGINT)
    try:
        with tempfile.TemporaryDirectory() as scratch:
            listed = Path(scratch) / "links.parquet"  # a TSV would lose quotation marks
            links.to_parquet(listed)
            download(
                str(listed),
                input_format="parquet",
                caption_col="caption",
                output_folder=str(images),
                output_format="files",
                resize_mode="keep_ratio",
                resize_only_if_bigger=True,
                extract_exif=False,
                compute_hash=None,
                incremental_mode="incremental",
                **options,
            )
    finally:
        signal.signal(signal.SIGINT, interrupt)  # img2dataset replaces it


def _finished(images):
    """Numbers of the finished shards: img2dataset writes their statistics last."""
    return {int(path.name.split("_")[0]) for path in images.glob("*_stats.json")}


def outcomes(images: Path) -> pd.DataFrame:
    """The outcome of every link requested so far, as img2dataset recorded it.

    Parameters
    ----------
    images : Path
        img2dataset's output folder.

    Returns
    -------
    found : DataFrame
        Columns image (a path below the folder that holds `images`), caption and reason ("picture",
        or why there is none), in the order of the list.
    """
    columns = ["key", "caption", "status", "error_message"]
    parts = [
        pd.read_parquet(images / f"{shard:05d}.parquet", columns=columns)
        for shard in sorted(_finished(images))
    ]
    found = pd.concat(parts).sort_values("key", ignore_index=True)
    found["image"] = [f"{images.name}/{key[:5]}/{key}.jpg" for key in found.key]
    found["reason"] = [
        reason(*row) for row in found[["status", "error_message"]].itertuples(index=False)
    ]
    return found[["image", "caption", "reason"]]


def reason(status: str, message: str | None) -> str:
    """One link's outcome in a few words, from img2dataset's status and error message."""
    if status != "failed_to_download":
        return PICTURE if status == "success" else "not a readable picture"
    for pattern, words in REASONS.items():
        if match := re.search(pattern, message or ""):
            return match.expand(words)
    return "other"
