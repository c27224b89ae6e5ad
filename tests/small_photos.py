"""A few of CIFAR-10's photos in class folders where they are at hand, else drawn pictures of their size."""

import re
import zipfile
from collections import defaultdict

from checkout import ROOT

from featpurity.data.published import CIFAR10_CLASSES
from featpurity.data.scenes import Scenes

EACH = re.compile(r"(\w+)/([^/]+)/0*\d+\.jpg$")  # split, class


def write(folder, n, split="test"):
    """Write n pictures, as many of each of CIFAR-10's classes, to `folder/CLASS/`; return the folder."""
    for name in CIFAR10_CLASSES:
        (folder / name).mkdir(parents=True)
    archive = ROOT.parent / "shared" / "data" / f"cifar10_{split}.zip"
    if archive.is_file():
        _unpack(archive, folder, n // 10)
        return folder
    for i, picture in enumerate(Scenes(n, seed=len(split), size=32)):
        picture.save(folder / CIFAR10_CLASSES[i % 10] / f"{i}.png")
    return folder


def _unpack(archive, folder, each):
    with zipfile.ZipFile(archive) as photos:
        by_class = defaultdict(list)
        for name in sorted(filter(EACH.search, photos.namelist())):
            by_class[EACH.search(name)[2]].append(name)
        for kind, names in by_class.items():
            for name in names[:each]:
                (folder / kind / name.rpartition("/")[2]).write_bytes(photos.read(name))
