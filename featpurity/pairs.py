"""Image-caption pairs: from a CSV file, from generated pictures, or photos with generated captions."""

from pathlib import Path

import numpy as np

from featpurity.caption_files import read_captions, read_table
from featpurity.datasets import CaptionedImages
from featpurity.images import ImageFiles, content_hash, subset
from featpurity.known_datasets import read_known
from featpurity.places import below

SCENES = {"n": 20_000, "seed": 2_000_001}  # apart from the seeds of the test and of pre-training
CAPTIONS_SEED, N_REWRITES = SCENES["seed"], 4


def scenes(root=None, n_pairs=None, download=True):
    """Generated pictures with raw and rewritten captions; nothing is read from disk."""
    from featpurity.recipes import scene_facts
    from featpurity.scenes import Scenes

    images = Scenes(n_pairs or SCENES["n"], SCENES["seed"])
    facts = [scene_facts(row) for row in images.attributes]
    return _generated("scenes", images, facts, images.key)


def photos(root, n_pairs=None, download=True):
    """CIFAR-10's training photos, or a seeded draw of them, with captions generated from their classes."""
    images, classes, labels = read_known("cifar10", root, "train", download)
    drawn = np.random.default_rng(SCENES["seed"]).permutation(len(images))[:n_pairs].tolist()
    facts = [{"class": classes[labels[i]]} for i in drawn]
    return _generated("photos", subset(images, drawn), facts, content_hash((images.key, drawn)))


def _generated(name, images, facts, images_key):
    from featpurity.recipes import make_captions

    captions, rewrites = make_captions(facts, CAPTIONS_SEED, N_REWRITES)
    return CaptionedImages(name, captions, rewrites, images, images_key, facts=facts)


def from_csv(path, root=None, rewrites=(), n_pairs=None):
    """Pairs from a CSV file with the columns image and caption, or without a header; see `featpurity.datasets.load_pairs`."""
    given, path = path, below(path, root)
    if path is None:
        raise FileNotFoundError(f"pairs: expected scenes, photos or a CSV file, but there is no {given}")
    if path.stat().st_size == 0:
        raise ValueError(f"{path} is empty; expected the columns image and caption")
    captions = read_captions(path)  # says so when it is not UTF-8, has no caption column, or is empty
    table = read_table(path.read_text(encoding="utf-8-sig"))
    if "image" not in table:
        raise ValueError(f"{path}: expected the columns image and caption, got {list(table)}")
    files = [below(file, root) for file in rewrites]
    if None in files:
        raise FileNotFoundError(f"rewrites: there is no file {rewrites[files.index(None)]}")
    rewritten = [read_captions(file) for file in files]
    for file, lines in zip(rewrites, rewritten):
        if len(lines) != len(captions):
            raise ValueError(f"{file} has {len(lines)} captions, but {path} has {len(captions)} pairs; "
                             "expected one line a pair")
    names = list(table["image"])
    if "" in names:
        raise ValueError(f"{path}: row {names.index('') + 1} names no image; expected one for every pair")
    folders = [path.parent, path.parent / "images", *([Path(root).expanduser()] if root else [])]
    folder = next((one for one in folders if (one / names[0]).is_file()), folders[0])
    missing = [name for name in dict.fromkeys(names) if not (folder / name).is_file()]
    if missing:
        listed = "\n  ".join(missing)
        raise FileNotFoundError(f"{path}: {len(missing)} images are not in {folder}:\n  {listed}")
    images = ImageFiles(folder, names)
    rewrites_of = [list(texts) for texts in zip(*rewritten)] if rewritten else [[] for _ in names]
    pairs = CaptionedImages(path.stem, captions, rewrites_of, images, images.key)
    return pairs if n_pairs is None or n_pairs >= len(pairs) else pairs.subset(range(n_pairs))
