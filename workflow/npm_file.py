"""Fetch one file of an npm package, once, into the checkout's cache; it is never committed."""

import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

from featpurity import files

CACHE = Path(__file__).resolve().parents[1] / ".cache"
PATIENCE = 60  # seconds for npm


def fetch(package, version, member, cache=CACHE):
    """The file's path in the cache, or None if npm is missing or cannot get the package.

    Parameters
    ----------
    package, version : str
    member : str
        The file's path inside the package.
    cache : Path
    """
    path = Path(cache) / f"{package}-{version}{Path(member).suffix}"
    if path.is_file():
        return path
    npm = shutil.which("npm")
    if npm is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        command = [npm, "pack", "--silent", "--fetch-retries=0", f"{package}@{version}"]
        try:
            subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=PATIENCE)
            [archive] = Path(folder).glob("*.tgz")
            with tarfile.open(archive) as members:
                content = members.extractfile(f"package/{member}").read()
        except (subprocess.SubprocessError, OSError, ValueError, KeyError, tarfile.TarError):
            return None
    with files.writing(path) as file:
        file.write(content)
    return path
