"""Where files lie: the project's root, data sets, and the file that a model's name stands for.

What loads, what plans and what decides whether a step is run again ask here, so that they agree.
Nothing is downloaded.
"""

import difflib
import json
from pathlib import Path

from featpurity.files import Source, did_you_mean, megabytes
from featpurity.models import laclip
from featpurity.models.laclip import URLS, laclip_architecture, laclip_file

BUNDLED = Path(__file__).parent.parent / "assets" / "models"
CONFIG, MERGES = "open_clip_config.json", "bpe.txt.gz"


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
        For an empty name, and for a published checkpoint of LaCLIP under an architecture of another
        activation.
    FileNotFoundError
        For a folder without weights or configuration, and for `ARCHITECTURE:FILE` where no such
        file is.
    """
    if not source.strip():
        raise ValueError("the name of a model is empty")
    short = source.removeprefix("laclip:")
    if source.startswith("laclip:") and short in URLS:
        return laclip_file(short), laclip_architecture(short)
    folders = [BUNDLED / source, Path(source.removeprefix("local-dir:"))]
    if folder := next((path for path in folders if path.is_dir()), None):
        found = [
            path
            for kind in ["safetensors", "pt", "bin"]
            for path in sorted(folder.glob(f"*.{kind}"))
        ]
        if not found or not (folder / CONFIG).is_file():
            raise FileNotFoundError(f"{folder}: expected {CONFIG} and a file of weights beside it")
        return next((path for path in found if path.stem == "open_clip_model"), found[0]), None
    if Path(source).is_file():
        return Path(source), laclip_architecture(Path(source).stem)
    architecture, _, file = source.partition(":")
    if file and Path(file).is_file():
        _check_activation(architecture, Path(file))
        return Path(file), architecture
    if Path(file).suffix in {
        ".pt",
        ".pth",
        ".bin",
        ".safetensors",
    }:  # of open_clip's tags none looks like that
        raise FileNotFoundError(f"model {source!r}: there is no file {file}")
    return None, None


def _check_activation(architecture, path):
    """Raise ValueError when a published checkpoint was trained with another activation than an
    architecture has.
    """
    trained = laclip_architecture(path.stem)
    if trained in (None, architecture):
        return
    from open_clip import get_model_config  # late: takes seconds

    has, wanted = (
        (get_model_config(name) or {}).get("quick_gelu", False) for name in (architecture, trained)
    )
    if has != wanted:
        kinds = {True: "QuickGELU", False: "plain GELU"}
        raise ValueError(
            f"{path} was trained as {trained}, with {kinds[wanted]}, but {architecture} has {kinds[has]}: "
            f"load {trained}:{path}"
        )


def configs_of(path):
    """Where the configuration of a file of weights may lie: the first that is there counts."""
    return [path.with_suffix(".json"), path.with_name(CONFIG)]


def files_of(source):
    """Files on this disk, as text, that a model (or a CSV of pairs) is read from: a change of one is another model.

    Weights, and the configuration and vocabulary beside them; [] for what is yet to be downloaded,
    or is amiss.
    """
    try:
        path, _ = file_of(source)
    except (FileNotFoundError, ValueError):  # for `featpurity.plan.check` to tell
        return []
    if path is None or not path.is_file():
        return []
    beside = [*configs_of(path), path.with_name(MERGES)]
    return [str(path), *(str(place) for place in beside if place.is_file())]


def absolute(source):
    """A model's name that means the same in any folder: paths are written in full, other names
    stay.
    """
    kind, _, path = source.partition(":")
    if (BUNDLED / source).is_dir() or kind in {"laclip", "hf-hub"}:
        return source
    if Path(source).exists():
        return str(Path(source).absolute())
    return f"{kind}:{Path(path).absolute()}" if path and Path(path).exists() else source


def hub_file(published):
    """The file of weights that Hugging Face's cache holds for `ORG/NAME` or `ORG/NAME/FILE`, else
    None; no network.
    """
    from huggingface_hub import try_to_load_from_cache  # late: takes a second
    from open_clip.pretrained import HF_WEIGHTS_NAME, _get_safe_alternatives

    organisation, _, rest = published.partition("/")
    name, _, file = rest.partition("/")
    if not name:
        return None
    file = file or HF_WEIGHTS_NAME
    found = [
        try_to_load_from_cache(f"{organisation}/{name}", one)
        for one in [*_get_safe_alternatives(file), file]
    ]
    return next(
        (Path(path) for path in found if isinstance(path, str)), None
    )  # else None, or known to be absent


LACLIP = list(laclip.URLS)


def model_source(name):
    """The source of a model name; ValueError when nothing knows it."""
    folder, path = BUNDLED / name, Path(name)
    if name.strip() and (folder / CONFIG).is_file():
        return Source(name, f"bundled, {megabytes(folder):.1f} MB")
    if name.startswith("laclip:"):
        return _laclip_source(name)
    if name.startswith("local-dir:"):
        path = Path(name.removeprefix("local-dir:"))
        if not (path / CONFIG).is_file():
            raise ValueError(f"model {name!r}: {path} holds no {CONFIG}")
        file_of(name)  # says so when there are no weights
        return Source(name, f"open_clip folder, {megabytes(path):.1f} MB")
    if name.startswith("hf-hub:"):
        return _hub_source(name, "from the Hugging Face hub", name.removeprefix("hf-hub:"))
    file_of(name)  # says so when a file is missing
    if path.exists() and name.strip():
        return Source(name, f"file, {megabytes(path):.1f} MB")
    return _open_clip_source(name)


def _laclip_source(name):
    short = name.removeprefix("laclip:")
    if short not in LACLIP:
        hint = did_you_mean(name, [f"laclip:{one}" for one in LACLIP])
        raise ValueError(f"unknown model {name!r} ({hint})")
    path, architecture = laclip.laclip_file(short), laclip.laclip_architecture(short) or "ViT-B-16"
    if path.is_file():
        return Source(name, f"LaCLIP's {path}", 0)
    return Source(
        name,
        "LaCLIP's checkpoint, weights and optimizer",
        None,
        architecture=architecture,
        at_least=True,
    )


def _hub_source(name, what, published, architecture=None):
    file = hub_file(published)
    return Source(
        name, f"{what}: {file}" if file else what, 0 if file else None, architecture=architecture
    )


def _open_clip_source(name):
    import open_clip  # late: takes seconds, and few profiles need it

    from featpurity.models.split import check_text_tower

    architecture, _, tag = name.partition(":")
    path, _ = file_of(name)
    if architecture in open_clip.list_models() and path:
        return Source(name, f"file, {megabytes(path):.1f} MB")
    if architecture in open_clip.list_models() and tag in open_clip.list_pretrained_tags_by_model(
        architecture
    ):
        check_text_tower(name, open_clip.get_model_config(architecture)["text_cfg"])
        published = open_clip.get_pretrained_cfg(architecture, tag).get("hf_hub", "")
        return _hub_source(name, f"open_clip's, trained on {tag}", published, architecture)
    known = [folder.name for folder in sorted(BUNDLED.glob("*/"))]
    if architecture in open_clip.list_models():
        hint = f"{architecture} has {', '.join(open_clip.list_pretrained_tags_by_model(architecture)) or 'no tags'}"
    else:
        close = difflib.get_close_matches(name, [*known, *open_clip.list_models()], n=1)
        hint = (
            f"did you mean {close[0]!r}?" if close else f"bundled are {', '.join(known) or 'none'}"
        )
    raise ValueError(
        f"unknown model {name!r} ({hint}). A model is a bundled name, ARCHITECTURE:TAG of open_clip, laclip:NAME, "
        "hf-hub:NAME, local-dir:FOLDER or an existing file"
    )


def embedding_size(name):
    """Neurons d of a model where that can be known without reading it, else None."""
    for folder in (BUNDLED / name, Path(name.removeprefix("local-dir:"))):
        if (file := folder / CONFIG).is_file():
            try:
                config = json.loads(file.read_text())
                return config.get("model_cfg", config).get("embed_dim")
            except (ValueError, AttributeError) as error:  # of JSON, or of what it holds
                raise ValueError(
                    f"{file}: cut short, damaged or no configuration: {error}"
                ) from error
    architecture = name.partition(":")[0]
    if architecture in {"laclip", "hf-hub", "local-dir"} or Path(name).exists():
        return None
    import open_clip  # late: takes seconds, and few profiles need it

    return (open_clip.get_model_config(architecture) or {}).get("embed_dim")
