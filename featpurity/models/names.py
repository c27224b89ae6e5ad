"""Resolve model names: the one place that decides what a name stands for.

Loading, planning, checking and deciding whether a step runs again all ask `resolve`, so that they
agree. Nothing is downloaded, and no weights are read.
"""

import os
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.util import find_spec
from pathlib import Path, PurePath

from featpurity.files import did_you_mean, located, meant, tensors_header, workspace
from featpurity.files import megabytes as size_of
from featpurity.models import laclip
from featpurity.models.config import CONFIG, MERGES, config_of, foreign, read_config

BUNDLED = Path(__file__).parent.parent / "assets" / "models"
WEIGHTS = {".safetensors", ".pt", ".pth", ".bin"}  # none of open_clip's tags ends so
PROJECTIONS = "featpurity projections"  # the kind in the header of a file of projections


@dataclass(frozen=True)
class ModelRecord:
    """What a model's name stands for.

    Attributes
    ----------
    name : str
        As the user wrote it.
    kind : {"bundled", "folder", "file", "projections", "laclip", "open_clip", "hf-hub"}
    file : Path or None
        The file of weights; None for what open_clip finds and downloads itself. With kind "laclip"
        it may not exist yet.
    architecture : str or None
        open_clip's name, if the user or the published file gives it.
    tag : str
        What follows the architecture in `ARCHITECTURE:TAG`, `hf-hub:` or `laclip:`.
    """

    name: str
    kind: str
    file: Path | None = None
    architecture: str | None = None
    tag: str = ""

    @property
    def folder(self) -> Path | None:
        """The model's folder, for kind "folder"."""
        return self.file.parent if self.kind == "folder" else None

    @property
    def label(self) -> str:
        """What pages and tables call it, without the folders of somebody's disk."""
        if self.folder:
            return self.folder.absolute().name
        if self.kind == "projections":
            return self.file.stem
        if self.kind == "file":
            told = self.name.startswith(f"{self.architecture}:")
            return f"{self.architecture}:{self.file.name}" if told else self.file.name
        return self.name

    @property
    def absolute(self) -> str:
        """A name that means the same in any folder, with full paths."""
        if self.folder:
            return f"local-dir:{self.folder.absolute()}"
        if self.kind in {"file", "projections"}:
            return ":".join(filter(None, [self.architecture, str(self.file.absolute())]))
        return self.name

    def beside(self, path: Path) -> str | None:
        """`FORM:PATH`, relative to the folder of file `path`; None for a name that is no path."""
        if self.kind not in {"folder", "file", "projections"}:
            return None
        form = "local-dir" if self.folder else self.architecture or ""
        target = (self.folder or self.file).absolute()
        return f"{form}:{os.path.relpath(target, path.absolute().parent)}"

    @cached_property
    def here(self) -> Path | None:
        """The file of weights on this disk, open_clip's downloads included, or None."""
        if self.file is None:
            return _hub_file(self._published)
        return self.file if self.file.is_file() else None

    @property
    def files(self) -> list[Path]:
        """Files that the model is read from: weights, configuration, vocabulary, a base's files.

        If one changes, it is another model. Empty for a missing file, and for models whose name
        stands for one version: those of open_clip or the hub, and LaCLIP's published checkpoints,
        whose digest is kept and which may arrive during a run.
        """
        if self.kind == "laclip" or self.file is None or not self.file.is_file():
            return []
        merges = [path] if (path := self.file.with_name(MERGES)).is_file() else []
        config = filter(None, [config_of(self.file)])
        return [self.file, *config, *merges, *(self.base.files if self.base else [])]

    @cached_property
    def base(self) -> "ModelRecord | None":
        """The model under fine-tuned projections; None for whole models, or if it is not here."""
        if self.kind != "projections":
            return None
        return next(filter(None, map(known, bases_of(self.file))), None)

    @property
    def missing(self) -> str | None:
        """What the user has to put in place first, or None."""
        if self.kind == "projections" and self.base is None:
            if wanted := " or ".join(bases_of(self.file)):
                return f"it needs its base, {wanted}, which is not here: put it there"
            return "it needs its base, which it does not name: write it anew with save_projections"
        return None

    @property
    def what(self) -> str:
        """A few words on what it is, for the plan."""
        if self.kind == "bundled":
            return f"bundled, {size_of(self.file.parent):.1f} MB"
        if self.folder:
            return f"open_clip folder, {size_of(self.folder):.1f} MB"
        if self.kind == "projections":
            return f"projections on {self.base.label if self.base else 'a base'}"
        if self.kind == "file":
            return f"file, {size_of(self.file):.1f} MB"
        if self.kind == "laclip":
            at = self.here
            return f"LaCLIP's {at}" if at else "LaCLIP's checkpoint, weights and optimizer"
        hub = self.kind == "hf-hub"
        what = "from the Hugging Face hub" if hub else f"open_clip's, trained on {self.tag}"
        return f"{what}: {self.here}" if self.here else what

    @cached_property
    def megabytes(self) -> float | None:
        """Megabytes still to download; None if that is not known beforehand."""
        if self.here:
            return 0
        architecture = self.architecture
        if self.kind == "laclip":
            architecture = architecture or laclip.LIKE
        return _weights_megabytes(architecture) if architecture else None

    @property
    def at_least(self) -> bool:
        """Whether the download holds more than the weights that `megabytes` counts."""
        return self.kind == "laclip" and not self.here

    @cached_property
    def d(self) -> int | None:
        """Number of neurons, or None if only the weights show it."""
        if self.kind == "projections":
            return tensors_header(self.file)["image_neurons"]["shape"][0]
        if self.architecture:
            import open_clip  # late: takes seconds, and few profiles need it

            return (open_clip.get_model_config(self.architecture) or {}).get("embed_dim")
        found = self.file and config_of(self.file)
        return read_config(found)["model_cfg"]["embed_dim"] if found else None

    @property
    def _published(self):
        """Where the weights are on the hub: `ORG/NAME` or `ORG/NAME/FILE`, or "" if nowhere."""
        if self.kind == "hf-hub":
            return self.tag
        import open_clip  # late: takes seconds, and few profiles need it

        return open_clip.get_pretrained_cfg(self.architecture, self.tag).get("hf_hub", "")


def resolve(name: str | Path) -> ModelRecord:
    """What a model's name stands for; see `featpurity.load_model` for the possible names.

    Raises
    ------
    ValueError
        For an empty or unknown name (with a hint), an architecture that open_clip does not know or
        whose text tower has no neurons, a folder with several files of weights, or a published
        checkpoint or tag under an architecture with another activation.
    FileNotFoundError
        For a folder without weights or configuration, or a missing file of weights.
    TypeError
        For anything but a name.
    """
    if not isinstance(name, str | PurePath):
        raise TypeError(
            f"expected the name of a model or its file, got a {type(name).__name__}; a model "
            "in memory is ARCHITECTURE:FILE once torch.save(model.state_dict(), FILE) wrote it"
        )
    record = _parse(meant(name))
    if record.kind == "open_clip":
        _check_known(record)
    elif record.kind == "file" and record.architecture:
        _check_architecture(record)
        _check_activation(record)
    return record


def files_of(name: str | Path) -> list[str]:
    """`ModelRecord.files` as text; [] for a name that `resolve` refuses."""
    record = known(name)
    return [str(path) for path in record.files] if record else []


def known(name: str | Path) -> ModelRecord | None:
    """Like `resolve`, but None for a name that it refuses."""
    try:
        return resolve(name)
    except (FileNotFoundError, ValueError):
        return None


def bundled() -> list[str]:
    """Names of the models that come with the package."""
    return sorted(folder.name for folder in BUNDLED.glob("*/"))


def _parse(name):
    """The record for a name, from its form and the files on this disk."""
    if not name.strip():
        raise ValueError("the name of a model is empty")
    if name in bundled():
        return ModelRecord(name, "bundled", _weights_in(BUNDLED / name))
    form, _, rest = name.partition(":")
    if form == "laclip":
        if rest not in laclip.URLS:
            hint = did_you_mean(name, [f"laclip:{published}" for published in laclip.URLS])
            raise ValueError(f"unknown model {name!r} ({hint})")
        return ModelRecord(name, "laclip", laclip.file_of(rest), laclip.architecture_of(rest), rest)
    if form == "hf-hub":
        return ModelRecord(name, "hf-hub", tag=rest)
    if form == "local-dir":
        return ModelRecord(name, "folder", _weights_in(located(rest)))
    path = located(name)
    if path.is_dir():
        return ModelRecord(name, "folder", _weights_in(path))
    if path.is_file():
        if bases_of(path) is not None:
            return ModelRecord(name, "projections", path)
        return ModelRecord(name, "file", path, laclip.architecture_of(path.stem))
    if rest and located(rest).is_file():
        return ModelRecord(name, "file", located(rest), form)
    if Path(name).suffix.lower() in WEIGHTS:
        tried = dict.fromkeys([Path(rest or name).expanduser().absolute(), workspace(rest or name)])
        raise FileNotFoundError(
            f"model {name!r}: there is no file {' and no '.join(map(str, tried))}"
        )
    return ModelRecord(name, "open_clip", architecture=form, tag=rest)


def _weights_in(folder):
    """The file of weights in an open_clip folder."""
    if not folder.is_dir():
        raise FileNotFoundError(
            f"{folder}: there is no such folder; put a model there, {CONFIG} and its weights"
        )
    if not (folder / CONFIG).is_file():
        whose = foreign(path.name for path in folder.glob("*config.json"))
        raise FileNotFoundError(f"{folder}: expected a model, but it holds no {CONFIG}{whose}")
    found = sorted(path for path in folder.iterdir() if path.suffix.lower() in WEIGHTS)
    for stem in ["open_clip_model", "open_clip_pytorch_model"]:  # what open_clip itself writes
        found = [path for path in found if path.stem == stem] or found
    found = [path for path in found if path.suffix == ".safetensors"] or found
    if not found:
        raise FileNotFoundError(f"{folder}: expected a file of weights beside {CONFIG}")
    if len(found) > 1:
        names = ", ".join(path.name for path in found)
        raise ValueError(f"{folder} holds several files of weights: name one of {names}")
    return found[0]


def bases_of(path: Path) -> list[str] | None:
    """Names of the model under a file of projections, likeliest first; None for any other file.

    The first is relative to the file's folder, so that both can move together; the second is where
    the base was.
    """
    about = (tensors_header(path) or {}).get("__metadata__", {})
    if about.get("kind") != PROJECTIONS:
        return None
    names = [about["base"]] if "base" in about else []
    if beside := about.get("base beside"):  # written by `ModelRecord.beside`
        form, _, relative = beside.partition(":")
        full = os.path.normpath(path.absolute().parent / relative)
        names = [f"{form}:{full}" if form else full, *names]
    return names


def _check_architecture(record):
    """Raise ValueError for an architecture that open_clip does not know."""
    package = Path(find_spec("open_clip").origin).parent  # importing it takes seconds
    if (package / "model_configs" / f"{record.architecture}.json").is_file():
        return
    import open_clip  # late: also knows architectures registered since

    if record.architecture not in open_clip.list_models():
        hint = did_you_mean(record.architecture, open_clip.list_models())
        hint = f" ({hint})" if hint.startswith("did") else ""
        raise ValueError(
            f"model {record.name!r}: an architecture unknown to open_clip: "
            f"{record.architecture}{hint}"
        )


def _check_activation(record):
    """Raise ValueError if a published checkpoint was trained with another activation."""
    trained, architecture = laclip.architecture_of(record.file.stem), record.architecture
    if trained in (None, architecture):
        return
    from open_clip import get_model_config  # late: takes seconds

    has, wanted = (
        (get_model_config(its) or {}).get("quick_gelu", False) for its in (architecture, trained)
    )
    if has != wanted:
        kinds = {True: "QuickGELU", False: "plain GELU"}
        raise ValueError(
            f"{record.file} was trained as {trained}, with {kinds[wanted]}, but {architecture} has "
            f"{kinds[has]}: load {trained}:{record.file}"
        )


def _check_known(record):
    """Raise ValueError for an unknown architecture or tag, or for two that do not fit."""
    import open_clip  # late: takes seconds, and few profiles need it

    from featpurity.models.split import check_text_tower

    name, architecture, tag = record.name, record.architecture, record.tag
    if architecture not in open_clip.list_models():
        hint = did_you_mean(name, [*bundled(), *open_clip.list_models()])
        hint = hint if hint.startswith("did") else f"bundled are {', '.join(bundled())}"
        raise ValueError(
            f"unknown model {name!r} ({hint}). A model is a bundled name, ARCHITECTURE:TAG of "
            "open_clip, laclip:NAME, hf-hub:NAME, local-dir:FOLDER or an existing file"
        )
    tags = open_clip.list_pretrained_tags_by_model(architecture)
    if tag not in tags:
        raise ValueError(f"unknown model {name!r} ({architecture} has {', '.join(tags) or 'none'})")
    config = open_clip.get_model_config(architecture)
    check_text_tower(name, config["text_cfg"])
    trained = open_clip.get_pretrained_cfg(architecture, tag).get("quick_gelu", False)
    built = config.get("quick_gelu", False)
    if trained != built:
        other = architecture.removesuffix("-quickgelu") if built else f"{architecture}-quickgelu"
        better = tag in open_clip.list_pretrained_tags_by_model(other)
        raise ValueError(
            f"{tag} was trained with{'' if trained else 'out'} QuickGELU, {architecture} has "
            f"{'QuickGELU' if built else 'plain GELU'}{f': load {other}:{tag}' if better else ''}"
        )


def _hub_file(published):
    """The weights file of `ORG/NAME[/FILE]` in Hugging Face's cache, or None; uses no network."""
    from huggingface_hub import try_to_load_from_cache  # late: takes a second
    from open_clip.pretrained import HF_WEIGHTS_NAME, _get_safe_alternatives

    organisation, _, rest = published.partition("/")
    name, _, file = rest.partition("/")
    if not name:
        return None
    file = file or HF_WEIGHTS_NAME
    places = [*_get_safe_alternatives(file), file]
    found = (try_to_load_from_cache(f"{organisation}/{name}", place) for place in places)
    # Other values are None and the cache's mark for a file known not to exist.
    return next((Path(path) for path in found if isinstance(path, str)), None)


@cache
def _weights_megabytes(architecture: str) -> float | None:
    """Megabytes of an architecture's float32 weights; None if only the hub knows its text tower."""
    import logging

    import open_clip  # late: takes seconds
    import torch

    if "hf_model_name" in open_clip.get_model_config(architecture)["text_cfg"]:
        return None
    before = logging.root.manager.disable
    logging.disable()  # it warns that the weights are random
    try:
        with torch.device("meta"):
            model = open_clip.create_model(architecture, load_weights=False, device="meta")
    finally:
        logging.disable(before)
    return 4e-6 * sum(weights.numel() for weights in model.parameters())
