"""What the names in a profile stand for: where each model and data set comes from, how large it is, whether it is here.

Nothing is downloaded and no picture is opened. `check` refuses what cannot run; `featpurity.plan` tells what a run would
fetch and compute.
"""

import difflib
import json
from dataclasses import dataclass
from pathlib import Path

from . import places
from .places import BUNDLED, CONFIG, below, data_folder, file_of, files_of, hub_file  # noqa: F401 (files_of: for the workflow)
from .profiles import FILTER, LADDER, PAIRED

SCENES = [f"scenes_{name}" for name in ["shape", "colour", "background", "texture", "size", "position"]]
# name: (images that are classified, classes, megabytes to download, torchvision's folder below data_root)
DATASETS = {
    "food101": (25_250, 101, 4_996, "food-101"),
    "cifar10": (10_000, 10, 170, "cifar-10-batches-py"),
    "cifar100": (10_000, 100, 169, "cifar-100-python"),
    "caltech101": (8_677, 101, 137, "caltech101"),
    "pets": (3_669, 37, 811, "oxford-iiit-pet"),
    "stl10": (8_000, 10, 2_640, "stl10_binary"),
    "dtd": (1_880, 47, 625, "dtd"),
    "eurosat": (27_000, 10, 94, "eurosat"),
    "imagenet": (50_000, 1_000, None, "imagenet"),  # behind a login: has to be put there by hand
}
GENERATED_PAIRS = ["scenes", "photos"]  # their captions are generated, so that it is known which are right
LACLIP = list(places.URLS)


@dataclass(frozen=True)
class Source:
    """One model, data set or file of pairs: what it is, and the megabytes still to download (0: it is here)."""

    name: str
    what: str
    megabytes: float | None = 0  # None: to be downloaded or put in place, size not known before
    missing: str | None = None  # what the user has to put in place first
    architecture: str | None = None  # open_clip's name, where the size follows from it
    at_least: bool = False  # more comes with the weights


def model_source(name):
    """The source of a model name; ValueError when nothing knows it."""
    folder, path = BUNDLED / name, Path(name)
    if name.strip() and (folder / CONFIG).is_file():
        return Source(name, f"bundled, {_megabytes(folder):.1f} MB")
    if name.startswith("laclip:"):
        return _laclip_source(name)
    if name.startswith("local-dir:"):
        path = Path(name.removeprefix("local-dir:"))
        if not (path / CONFIG).is_file():
            raise ValueError(f"model {name!r}: {path} holds no {CONFIG}")
        file_of(name)  # says so when there are no weights
        return Source(name, f"open_clip folder, {_megabytes(path):.1f} MB")
    if name.startswith("hf-hub:"):
        return _hub_source(name, "from the Hugging Face hub", name.removeprefix("hf-hub:"))
    file_of(name)  # says so when a file is missing
    if path.exists() and name.strip():
        return Source(name, f"file, {_megabytes(path):.1f} MB")
    return _open_clip_source(name)


def _laclip_source(name):
    short = name.removeprefix("laclip:")
    if short not in LACLIP:
        close = difflib.get_close_matches(short, LACLIP, n=1)
        hint = f"did you mean {'laclip:' + close[0]!r}?" if close else f"known: {', '.join(LACLIP)}"
        raise ValueError(f"unknown model {name!r} ({hint})")
    path, architecture = places.laclip_file(short), places.laclip_architecture(short) or "ViT-B-16"
    if path.is_file():
        return Source(name, f"LaCLIP's {path}", 0)
    return Source(name, "LaCLIP's checkpoint, weights and optimizer", None, architecture=architecture, at_least=True)


def _hub_source(name, what, published, architecture=None):
    file = hub_file(published)
    return Source(name, f"{what}: {file}" if file else what, 0 if file else None, architecture=architecture)


def _open_clip_source(name):
    import open_clip  # late: takes seconds, and few profiles need it

    from .towers import check_text_tower

    architecture, _, tag = name.partition(":")
    path, _ = file_of(name)
    if architecture in open_clip.list_models() and path:
        return Source(name, f"file, {_megabytes(path):.1f} MB")
    if architecture in open_clip.list_models() and tag in open_clip.list_pretrained_tags_by_model(architecture):
        check_text_tower(name, open_clip.get_model_config(architecture)["text_cfg"])
        published = open_clip.get_pretrained_cfg(architecture, tag).get("hf_hub", "")
        return _hub_source(name, f"open_clip's, trained on {tag}", published, architecture)
    known = [folder.name for folder in sorted(BUNDLED.glob("*/"))]
    if architecture in open_clip.list_models():
        hint = f"{architecture} has {', '.join(open_clip.list_pretrained_tags_by_model(architecture)) or 'no tags'}"
    else:
        close = difflib.get_close_matches(name, [*known, *open_clip.list_models()], n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"bundled are {', '.join(known) or 'none'}"
    raise ValueError(
        f"unknown model {name!r} ({hint}). A model is a bundled name, ARCHITECTURE:TAG of open_clip, laclip:NAME, "
        "hf-hub:NAME, local-dir:FOLDER or an existing file"
    )


def dataset_source(name, root=None):
    """The source of a data set name; ValueError when nothing knows it."""
    root = data_folder(root)
    if name in SCENES:
        return Source(name, "generated")
    if name.startswith("folder:"):
        path = Path(name.removeprefix("folder:")).expanduser()
        return Source(name, "folder of class folders", missing=None if path.exists() else f"there is no folder {path}")
    if name not in DATASETS:
        close = difflib.get_close_matches(name, [*SCENES, *DATASETS], n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join([*SCENES, *DATASETS])}"
        raise ValueError(f"unknown data set {name!r} ({hint}; a folder of class folders is folder:PATH)")
    images, classes, megabytes, folder = DATASETS[name]
    here = any((root / place).exists() for place in [folder, name, f"{name}_test.zip"])
    here = here or (name == "cifar10" and (root / "test").is_dir())
    missing = f"its photos have to be put into {root / folder} by hand" if megabytes is None and not here else None
    return Source(name, f"{images:,} images, {classes} classes", 0 if here else megabytes, missing)


def pairs_source(name, root=None):
    """The source of image-caption pairs: a built-in name or a CSV."""
    path, train = below(name, data_folder(root)), data_folder(root) / "cifar10_train.zip"
    if name == "scenes":
        return Source(name, "generated")
    if name == "photos":
        here = train.exists() or (train.parent / "train").is_dir() or dataset_source("cifar10", root).megabytes == 0
        return Source(name, "CIFAR-10's training photos with generated captions", 0 if here else 170)
    if path is None:
        return Source(name, "CSV", missing=f"there is no such file, here or below {root or 'data'}")
    return Source(name, f"CSV, {_megabytes(path):.1f} MB")


def rewrites_source(name, root=None):
    """The source of a file of rewritten captions."""
    path = below(name, data_folder(root))
    if path is None:
        return Source(name, "rewritten captions", missing=f"there is no such file, here or below {root or 'data'}")
    return Source(name, f"rewritten captions, {_megabytes(path):.1f} MB")


def embedding_size(name):
    """Neurons d of a model where that can be known without reading it, else None."""
    for folder in (BUNDLED / name, Path(name.removeprefix("local-dir:"))):
        if (file := folder / CONFIG).is_file():
            try:
                config = json.loads(file.read_text())
                return config.get("model_cfg", config).get("embed_dim")
            except (ValueError, AttributeError) as error:  # of JSON, or of what it holds
                raise ValueError(f"{file}: cut short, damaged or no configuration: {error}") from error
    architecture = name.partition(":")[0]
    if architecture in {"laclip", "hf-hub", "local-dir"} or Path(name).exists():
        return None
    import open_clip  # late: takes seconds, and few profiles need it

    return (open_clip.get_model_config(architecture) or {}).get("embed_dim")


def sources_of(profile):
    """The sources of a profile's models, data sets and pairs, as three lists."""
    root = profile.data_root
    models = [model_source(name) for name in profile.models]
    pairs = [pairs_source(profile.pairs, root), *(rewrites_source(name, root) for name in profile.rewrites)]
    pairs = pairs if set(PAIRED) & set(profile.chapters) else []
    return models, [dataset_source(name, root) for name in profile.datasets], pairs


def check(profile):
    """Raise ValueError for names, files and sizes that cannot work, FileNotFoundError for what has to be put in place."""
    if FILTER in profile.chapters and profile.pairs not in GENERATED_PAIRS:
        raise ValueError(f"{FILTER} needs pairs whose right captions are known: {' or '.join(GENERATED_PAIRS)}, got {profile.pairs!r}")
    if profile.rewrites and profile.pairs in GENERATED_PAIRS:
        raise ValueError(f"rewrites go with a CSV of pairs, but the captions of {profile.pairs!r} are generated")
    missing = [f"{one.name}: {one.missing}" for found in sources_of(profile) for one in found if one.missing]
    if missing:
        raise FileNotFoundError("; ".join(missing))
    for name in profile.models if profile.kept else []:
        size = embedding_size(name)
        if size and max(profile.kept) > size:
            raise ValueError(f"kept goes up to {max(profile.kept)}, but {name} has {size} neurons")
    if LADDER in profile.chapters:
        from .ladder import rungs  # late: brings numpy and pandas

        rungs(profile.ladder_models)
    strangers = [name for name in profile.datasets if name not in SCENES]
    if profile.prompts == "scenes" and strangers:
        raise ValueError(f"prompts 'scenes' know nothing of {', '.join(strangers)}: take paper, laclip or openai")
    _check_files(profile)


def _check_files(profile):
    """Folders of class folders and files of pairs say what is wrong with them; images are listed, not opened."""
    folders = [name for name in profile.datasets if name.startswith("folder:")]
    csv = profile.pairs not in GENERATED_PAIRS and set(PAIRED) & set(profile.chapters)
    if folders or csv:
        from . import datasets  # late: brings torch
    for name in folders:
        datasets.load_dataset(name)
    if csv:
        datasets.load_pairs(profile.pairs, profile.data_root, profile.n_pairs, profile.rewrites)


def _megabytes(path):
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file()) / 1e6
