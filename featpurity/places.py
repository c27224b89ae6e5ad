"""Where files lie: the project's root, data sets, and the file that a model's name stands for.

What loads, what plans and what decides whether a step is run again ask here, so that they agree. Nothing is downloaded.
"""

from pathlib import Path

BUNDLED = Path(__file__).parent / "assets" / "models"
CONFIG, MERGES = "open_clip_config.json", "bpe.txt.gz"
CHECKPOINTS = Path("checkpoints")  # of LaCLIP's published files, in the project's root
_SHORT, _LONG = "https://www.dropbox.com/s", "https://www.dropbox.com/scl/fi"
# LaCLIP's published checkpoints: each data set (and size) trained with the original captions and with rewritten ones
URLS = {
    "cc3m_clip": f"{_SHORT}/5jsthdm85r2nfpz/cc3m_clip.pt?dl=1",
    "cc3m_laclip": f"{_SHORT}/k2e1tgsfmo0afme/cc3m_laclip.pt?dl=1",
    "cc12m_clip": f"{_SHORT}/wwfq3txw4tk1yzj/cc12m_clip.pt?dl=1",
    "cc12m_laclip": f"{_SHORT}/lle8x0tdxssfz11/cc12m_laclip.pt?dl=1",
    "redcaps_clip": f"{_SHORT}/qvrvkwsy6j26suv/redcaps_clip.pt?dl=1",
    "redcaps_laclip": f"{_SHORT}/wpedkikz46gfzmg/redcaps_laclip.pt?dl=1",
    "laion400m_clip_vitb32": f"{_SHORT}/zskxrso4pc4pe3j/laion400m_clip.pt?dl=1",
    "laion400m_laclip_vitb32": f"{_SHORT}/ahj8ys8uufndy9y/laion400m_laclip.pt?dl=1",
    "laion400m_clip_vitb16":
        f"{_LONG}/e235mjd5lkhu8h5nk4ovn/laion400m_clip_vitb16.pt?rlkey=s6guy23m8eyl7zzhfmyn1xt21&dl=1",
    "laion400m_laclip_vitb16":
        f"{_LONG}/il3o958e2hvun2ei774ao/laion400m_laclip_vitb16.pt?rlkey=0domivxgaimqrfyuruak0h96b&dl=1",
    "laion400m_clip_vitl14":
        f"{_LONG}/o61athl9ijt2pufoplpsh/laion400m_clip_vitl14.pt?rlkey=ri0fzco6b5yfs7aryxvxc9rvw&dl=1",
    "laion400m_laclip_vitl14":
        f"{_LONG}/v9y0vtgfjisctl0qyufdg/laion400m_laclip_vitl14.pt?rlkey=pdyzxpjeji1mw1xztn5gptqgo&dl=1",
}
_ARCHITECTURES = {"vitb32": "ViT-B-32", "vitb16": "ViT-B-16", "vitl14": "ViT-L-14-quickgelu"}


def workspace(path):
    """A path relative to the project's root (the nearest folder above that holds `_toc.yml`), else to this folder."""
    here = Path.cwd()
    root = next((folder for folder in (here, *here.parents) if (folder / "_toc.yml").is_file()), here)
    return root / path


def data_folder(root=None):
    """The folder of data sets: the one given, else `data` in the project's root."""
    return Path(root).expanduser() if root else workspace("data")


def below(path, root=None):
    """The file that a path names, as it stands or below `root`; None where there is none."""
    places = [Path(path).expanduser(), *([Path(root).expanduser() / path] if root else [])]
    return next((place for place in places if place.is_file()), None)


def published_name(url):
    """The file name that an address ends in."""
    return url.partition("?")[0].rpartition("/")[2]


def laclip_file(name, folder=None):
    """Where a published checkpoint lies, under its name or the one it was published under, or is to be put."""
    folder = workspace(folder or CHECKPOINTS)
    places = [folder / f"{name}.pt", folder / published_name(URLS[name])]
    return next((place for place in places if place.is_file()), places[0])


def laclip_architecture(name):
    """open_clip's architecture by the name of a checkpoint or its published file, None where tensors tell."""
    known = next((key for key, url in URLS.items() if name in (key, Path(published_name(url)).stem)), "")
    return _ARCHITECTURES.get(known.rpartition("_")[2])


def file_of(source):
    """The file of weights that a model's name stands for, and its architecture where the name tells it.

    Parameters
    ----------
    source : str
        What `featpurity.load_model` takes.

    Returns
    -------
    path : Path or None
        None for what open_clip downloads. A published checkpoint of LaCLIP may not be there yet.
    architecture : str or None

    Raises
    ------
    ValueError
        For an empty name, and for a published checkpoint of LaCLIP under an architecture of another activation.
    FileNotFoundError
        For a folder without weights or configuration, and for `ARCHITECTURE:FILE` where no such file is.
    """
    if not source.strip():
        raise ValueError("the name of a model is empty")
    short = source.removeprefix("laclip:")
    if source.startswith("laclip:") and short in URLS:
        return laclip_file(short), laclip_architecture(short)
    folders = [BUNDLED / source, Path(source.removeprefix("local-dir:"))]
    if folder := next((path for path in folders if path.is_dir()), None):
        found = [path for kind in ["safetensors", "pt", "bin"] for path in sorted(folder.glob(f"*.{kind}"))]
        if not found or not (folder / CONFIG).is_file():
            raise FileNotFoundError(f"{folder}: expected {CONFIG} and a file of weights beside it")
        return next((path for path in found if path.stem == "open_clip_model"), found[0]), None
    if Path(source).is_file():
        return Path(source), laclip_architecture(Path(source).stem)
    architecture, _, file = source.partition(":")
    if file and Path(file).is_file():
        _check_activation(architecture, Path(file))
        return Path(file), architecture
    if Path(file).suffix in {".pt", ".pth", ".bin", ".safetensors"}:  # of open_clip's tags none looks like that
        raise FileNotFoundError(f"model {source!r}: there is no file {file}")
    return None, None


def _check_activation(architecture, path):
    """Raise ValueError when a published checkpoint was trained with another activation than an architecture has."""
    trained = laclip_architecture(path.stem)
    if trained in (None, architecture):
        return
    from open_clip import get_model_config  # late: takes seconds

    has, wanted = ((get_model_config(name) or {}).get("quick_gelu", False) for name in (architecture, trained))
    if has != wanted:
        kinds = {True: "QuickGELU", False: "plain GELU"}
        raise ValueError(f"{path} was trained as {trained}, with {kinds[wanted]}, but {architecture} has {kinds[has]}: "
                         f"load {trained}:{path}")


def configs_of(path):
    """Where the configuration of a file of weights may lie: the first that is there counts."""
    return [path.with_suffix(".json"), path.with_name(CONFIG)]


def files_of(source):
    """Files on this disk, as text, that a model (or a CSV of pairs) is read from: a change of one is another model.

    Weights, and the configuration and vocabulary beside them; [] for what is yet to be downloaded, or is amiss.
    """
    try:
        path, _ = file_of(source)
    except (FileNotFoundError, ValueError):  # for `featpurity.sources.check` to tell
        return []
    if path is None or not path.is_file():
        return []
    beside = [*configs_of(path), path.with_name(MERGES)]
    return [str(path), *(str(place) for place in beside if place.is_file())]


def absolute(source):
    """A model's name that means the same in any folder: paths are written in full, other names stay."""
    kind, _, path = source.partition(":")
    if (BUNDLED / source).is_dir() or kind in {"laclip", "hf-hub"}:
        return source
    if Path(source).exists():
        return str(Path(source).absolute())
    return f"{kind}:{Path(path).absolute()}" if path and Path(path).exists() else source


def hub_file(published):
    """The file of weights that Hugging Face's cache holds for `ORG/NAME` or `ORG/NAME/FILE`, else None; no network."""
    from huggingface_hub import try_to_load_from_cache  # late: takes a second
    from open_clip.pretrained import HF_WEIGHTS_NAME, _get_safe_alternatives

    organisation, _, rest = published.partition("/")
    name, _, file = rest.partition("/")
    if not name:
        return None
    file = file or HF_WEIGHTS_NAME
    found = [try_to_load_from_cache(f"{organisation}/{name}", one) for one in [*_get_safe_alternatives(file), file]]
    return next((Path(path) for path in found if isinstance(path, str)), None)  # else None, or known to be absent
