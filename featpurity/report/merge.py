"""One table over several profiles: the same table of each run, one below the other."""

from collections.abc import Iterable

import pandas as pd

from featpurity.files import did_you_mean, workspace
from featpurity.profile import Profile


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
    ValueError
        When a table cannot be read, or two profiles have one name.
    """
    parts, names = [], set()
    for profile in profiles:
        if profile.name in names:
            raise ValueError(f"expected each profile once, got {profile.name} twice")
        names.add(profile.name)
        folder = workspace(profile.results_dir) / "tables"
        path = folder / f"{table}.csv"
        if not path.is_file():
            known = sorted(file.stem for file in folder.glob("*.csv"))
            raise FileNotFoundError(
                f"profile {profile.name}: there is no table {path} ({did_you_mean(table, known)})"
            )
        try:
            part = pd.read_csv(path)
            part.insert(0, "profile", profile.name)
        except ValueError as error:
            raise ValueError(
                f"{path}: not a table of a run: {' '.join(str(error).split())}"
            ) from None
        parts.append(part)
    return pd.concat(parts, ignore_index=True)
