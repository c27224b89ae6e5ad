"""Folders and archives of files that only their names matter of."""

import zipfile


def touch(folder, *names):
    """Empty files, which are listed but never opened."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def zipped(path, names, content=b""):
    """A zip archive with members of these names."""
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, content)
    return path
