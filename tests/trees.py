"""Small files, pictures and archives that tests write."""

import zipfile

import numpy as np
from PIL import Image

PHOTO = np.random.default_rng(0).integers(0, 256, (40, 32, 32, 3), dtype=np.uint8)


def photo(path, i=0):
    """Write noise number i, as what the name says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(PHOTO[i]).save(path)


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
