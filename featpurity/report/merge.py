"""One table over several profiles: the same table of each run, one below the other."""

import argparse
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from featpurity.files import did_you_mean, save_table, workspace
from featpurity.profile import Profile, load


def merged(profiles: Iterable[Profile], table: str) -> pd.DataFrame:
    """A table of several runs, with the profile's name as its first column.

    Parameters
    ----------
    profiles : iterable of Profile
    table : str
        Its name below `results_dir/tables`, without the suffix.

    Raises
    ------
    FileNotFoundError
        When one of the profiles has no such table (yet).
    """
    parts = []
    for profile in profiles:
        folder = workspace(profile.results_dir) / "tables"
        path = folder / f"{table}.csv"
        if not path.is_file():
            known = sorted(file.stem for file in folder.glob("*.csv"))
            raise FileNotFoundError(
                f"profile {profile.name}: there is no table {path} ({did_you_mean(table, known)})"
            )
        part = pd.read_csv(path)
        part.insert(0, "profile", profile.name)
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `featpurity merge`."""
    add = parser.add_argument
    add("profiles", nargs="+", metavar="PROFILE", help="names in profiles/ or .yaml files")
    add("--table", default="claims", help="a table of the runs (default: claims)")
    add("--out", required=True, help="the CSV to write")


def run(options: argparse.Namespace) -> str:
    """Write the merged table; what it holds, in one line."""
    profiles = [load(name, folder=workspace("profiles")) for name in options.profiles]
    table = save_table(merged(profiles, options.table), Path(options.out))
    return f"{options.out}: {len(table)} rows of {len(profiles)} profiles"
