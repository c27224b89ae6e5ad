"""Load a CLIP model from a name or file: the only door to open_clip's models.

Each tower is cut before its projection, so that its trunk runs on its own. The projection's weights
are the neurons: row j gives coordinate j of the shared space. Each load checks that trunk features
x projection equal the embeddings of the original model.
"""

import json
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import open_clip
import torch
from open_clip.model import convert_to_custom_text_state_dict as _custom_text
from open_clip.tokenizer import DEFAULT_CONTEXT_LENGTH, HFTokenizer, SimpleTokenizer
from open_clip.transform import PreprocessCfg, image_transform_v2, merge_preprocess_dict

from featpurity.files import check_choice, digest
from featpurity.models import laclip, split
from featpurity.models.clip import ClipModel
from featpurity.models.config import CONFIG, MERGES, check_model, config_of, foreign, read_config
from featpurity.models.device import pick_device
from featpurity.models.names import ModelRecord, bases_of, resolve
from featpurity.models.projections import read_projections
from featpurity.models.weights import load_weights, read_weights, reason

MEAN, STD = open_clip.OPENAI_DATASET_MEAN, open_clip.OPENAI_DATASET_STD
OPENAI = {"mean": MEAN, "std": STD, "resize_mode": "shortest"}
NO_CODE = {"trust_remote_code": False}  # refuse code that comes with a tokenizer, without asking
TREATMENT = ("mean", "std", "interpolation", "resize_mode")  # of pictures, in open_clip's terms
PREPROCESSINGS = {
    "native": {},  # what the checkpoint was trained with
    "paper": OPENAI | {"interpolation": "bilinear"},  # the paper's experiment 1, whatever the model
    "paper-bicubic": OPENAI | {"interpolation": "bicubic"},  # its experiment 2
}


def load_model(
    source: str | Path,
    device: str | torch.device = "cpu",
    preprocess: str = "native",
    base: str | Path | ClipModel | None = None,
    name: str | None = None,
) -> ClipModel:
    """Load a CLIP model whose towers end in linear projections.

    Parameters
    ----------
    source : str or Path
        A bundled name; ``ARCHITECTURE:TAG`` of open_clip, or ``ARCHITECTURE:FILE`` for a state
        dict; ``hf-hub:NAME``; ``local-dir:FOLDER`` or the folder itself; ``laclip:NAME`` (see
        `featpurity.models.laclip`); a file: of LaCLIP, of projections this project fine-tuned, or
        any open_clip state dict with its configuration beside it as ``FILE_STEM.json`` or
        ``open_clip_config.json``. `featpurity.models.names.resolve` shows what a name stands for.
    device : str or torch.device, default "cpu"
        "auto" is a GPU if there is one; under torchrun each process takes its own.
    preprocess : {"native", "paper", "paper-bicubic"}
        What the checkpoint was trained with, or what the paper's scripts used in experiment 1 or 2.
    base : str, Path or ClipModel, optional
        For a file of projections: the model whose trunks they use, if what the file names is not
        found.
    name : str, optional
        What to call the model; by default its label.

    Returns
    -------
    clip : ClipModel

    Raises
    ------
    FileNotFoundError, ValueError
        If the name is unknown, the file is broken or does not fit, it needs transformers, a known
        tag or published checkpoint was trained with another activation than the architecture's, or
        a tower does not end in a linear projection.
    """
    check_choice("preprocess", preprocess, PREPROCESSINGS)
    device, record = pick_device(device), resolve(source)
    if record.kind == "projections":
        on = base if isinstance(base, ClipModel) else _base(record, device, preprocess, base)
        clip = read_projections(record.file, on)
        clip.name = name or record.label
        return clip
    if base is not None:
        raise ValueError(f"base: only projections stand on another model, {source} is a whole one")
    path = laclip.fetch(record.tag) if record.kind == "laclip" else record.file
    # New layers draw random weights before they get the file's: keep the user's generator
    # untouched.
    with torch.random.fork_rng(devices=[]):
        if path is None:
            model, config, tokenizer = _from_open_clip(record)
        else:
            model, config, tokenizer = _from_file(path, record.architecture)
        return _cut(record, name, model.eval(), config, tokenizer, device, preprocess)


def check_weights(source: str | Path) -> None:
    """Refuse a user's file whose weights do not fit its architecture, before it is loaded.

    This compares names and shapes, in moments, if the name or a file beside the weights gives the
    architecture. It checks nothing for a text tower of Hugging Face, whose shapes are defined
    elsewhere.

    Parameters
    ----------
    source : str or Path
        As for `load_model`; sources other than files and folders are not checked.

    Raises
    ------
    FileNotFoundError, ValueError
        As for `load_model`.
    """
    record = resolve(source)
    if record.kind not in {"file", "folder"}:
        return
    beside = config_of(record.file)
    if beside and not record.architecture:
        settings = read_config(beside)["model_cfg"]
    else:
        settings = record.architecture and open_clip.get_model_config(record.architecture)
    if settings and "hf_model_name" not in settings["text_cfg"]:
        _built(record.file, record.architecture, "meta", numbers=False)


def _base(record, device, preprocess, base):
    """The model whose trunks projections use: `base`, or the one that their file names."""
    if base is not None:
        return load_model(base, device, preprocess)
    if not bases_of(record.file):
        raise ValueError(f"{record.file}: a file of fine-tuned projections, but it lacks base")
    if record.missing:
        raise FileNotFoundError(f"{record.file}: {record.missing}, or name it with base=...")
    return load_model(record.base.name, device, preprocess)


def _cut(record: ModelRecord, name, model, config, tokenizer, device, preprocess):
    """Cut a model's towers and wrap it in a `ClipModel`."""
    tokens = tokenizer(["a photo of a dog", "two small squares, 3 large circles & more"])
    known = getattr(model, "text", model).vocab_size
    if tokens.max() >= known > 0:
        raise ValueError(
            f"{record.name}: its tokenizer gives tokens up to {tokens.max()}, its text tower knows "
            f"{known}"
        )
    image, text = split.cut(model, tokens, record.name)
    keys = split.digests(model, config["model_cfg"])
    settings = merge_preprocess_dict(PreprocessCfg(), config.get("preprocess_cfg", {}))
    settings |= {"size": model.visual.image_size} | PREPROCESSINGS[preprocess]
    settings |= {key: tuple(settings[key]) for key in ["mean", "std"]}  # JSON has lists
    words = [tokens.tolist(), sorted(getattr(tokenizer, "encoder", {}).items())]
    move = {"device": device, "dtype": torch.float32}
    return ClipModel(
        name=name or record.label,
        base=record.name,
        device=device,
        logit_scale=model.logit_scale.exp().item(),
        preprocess=_preprocessing(json.dumps(settings)),
        preprocess_name=preprocess,
        tokenizer=tokenizer,
        image_neurons=image.neurons.to(**move),
        text_neurons=text.neurons.to(**move),
        image_bias=None if image.bias is None else image.bias.to(**move),
        text_bias=None if text.bias is None else text.bias.to(**move),
        image_key=digest(json.dumps([keys[0], settings]).encode()),
        text_key=digest(json.dumps([keys[1], words]).encode()),
        trunk_keys=keys,
        # Channels last, like the batches of `features.extract.runner`.
        trunks=model.requires_grad_(False).to(device, memory_format=torch.channels_last),
    )


@cache
def _preprocessing(settings):
    """The preprocessing for settings in JSON, cached so that models that share it decode once."""
    return image_transform_v2(PreprocessCfg(**json.loads(settings)), is_train=False)


def _from_file(
    path: Path, architecture: str | None
) -> tuple[torch.nn.Module, dict[str, Any], Callable]:
    """An open_clip model with a file's weights, its configuration and its tokenizer."""
    model, config = _built(path, architecture)
    settings = config["model_cfg"]["text_cfg"]
    if path.with_name(MERGES).is_file():
        tokenizer = SimpleTokenizer(
            str(path.with_name(MERGES)), context_length=settings["context_length"]
        )
    elif architecture:
        tokenizer = open_clip.get_tokenizer(architecture)
    elif settings.get("hf_tokenizer_name"):  # its files are beside the weights
        tokenizer = HFTokenizer(
            path.parent,
            # open_clip's default: a tower's own number of positions may be far larger
            context_length=settings.get("context_length", DEFAULT_CONTEXT_LENGTH),
            tokenizer_mode=settings.get("tokenizer_mode"),
            **settings.get("tokenizer_kwargs", {}) | NO_CODE,
        )
    else:
        options = settings.get("tokenizer_kwargs", {})
        tokenizer = SimpleTokenizer(context_length=model.context_length, **options)
    return model, config, tokenizer


def _built(path, architecture, device="cpu", numbers=True):
    """An open_clip model with a file's weights, and its configuration.

    On the device "meta" only the names and shapes of the weights count.
    """
    weights = read_weights(path, numbers)
    beside = config_of(path)
    recognised = None
    if laclip.is_laclip(weights):
        try:
            recognised, weights = laclip.open_clip_config(weights), laclip.to_open_clip(weights)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error
    if architecture:
        config = _config_of(path, architecture, beside, recognised)
    elif beside:
        config = read_config(beside)
    else:
        config = recognised
    if not config or not config["model_cfg"]:
        named = f" to open_clip: {architecture}" if architecture else ""
        raise ValueError(
            f"{path}: its architecture is unknown{named}; say ARCHITECTURE:{path} or put its "
            f"{CONFIG} beside it{foreign(weights)}"
        )
    split.check_text_tower(str(path), config["model_cfg"].get("text_cfg", {}))
    try:
        with torch.device(device):
            model = split.build(config)
    except Exception as error:  # from open_clip or timm: it does not name the file
        if architecture or not beside:
            raise
        raise ValueError(
            f"{beside}: no model can be made of it: {type(error).__name__}: {error}"
        ) from error
    weights = weights if hasattr(model, "positional_embedding") else _custom_text(weights)
    load_weights(model, {name: value.to(device) for name, value in weights.items()}, path)
    return model, config


def _config_of(path, architecture, beside, recognised):
    """The configuration of an architecture, with the preprocessing for these weights.

    It comes from the file beside the weights, from the recognised weights, or from the
    architecture's published models if they all agree.
    """
    config = {"model_cfg": open_clip.get_model_config(architecture)}
    if beside and config["model_cfg"]:
        own, key = read_config(beside), "quick_gelu"
        if own["model_cfg"].get(key, False) != config["model_cfg"].get(key, False):
            raise ValueError(
                f"{beside} and {architecture} differ in {key}; leave the architecture out, or take "
                "the one that the weights were trained as"
            )
        if "preprocess_cfg" in own:
            return config | {"preprocess_cfg": own["preprocess_cfg"]}
    if recognised:
        return config | {"preprocess_cfg": recognised["preprocess_cfg"]}
    published = [
        {key: value for key, value in known.items() if key in TREATMENT}
        for tag in open_clip.list_pretrained_tags_by_model(architecture)
        if (known := open_clip.get_pretrained_cfg(architecture, tag))
    ]
    if published and any(one != published[0] for one in published):
        warnings.warn(
            f"{path}: the published models of {architecture} treat pictures in different ways; "
            f"OpenAI's way is taken, unless {CONFIG} beside the file says another under "
            "preprocess_cfg",
            stacklevel=2,
        )
        return config
    return config | ({"preprocess_cfg": published[0]} if published else {})


def _from_open_clip(record):
    """Like `_from_file`, for a model that open_clip finds and downloads itself."""
    hub = record.kind == "hf-hub"
    architecture, tag = (record.name, None) if hub else (record.architecture, record.tag)
    settings = open_clip.get_model_config(architecture)
    if hub:  # anybody may have written it
        check_model(record.name, settings)
    split.check_text_tower(record.name, settings["text_cfg"])
    try:
        model = open_clip.create_model(
            architecture, tag, weights_only=True, require_pretrained=True
        )
    except Exception as error:  # open_clip's and PyTorch's errors do not name the file
        if file := resolve(record.name).here:  # it may have arrived since
            read_weights(file)  # raises if it is damaged; otherwise it does not fit
        raise ValueError(
            f"{record.name}: {file or 'it'} could not be loaded: {reason(error)}"
        ) from error
    broken = [key for key, value in model.state_dict().items() if not torch.isfinite(value).all()]
    if broken:
        raise ValueError(
            f"{resolve(record.name).here or record.name}: NaN or infinity in {broken[0]}"
        )
    config = {"model_cfg": settings, "preprocess_cfg": model.visual.preprocess_cfg}
    options = NO_CODE if settings["text_cfg"].get("hf_tokenizer_name") else {}
    return model, config, open_clip.get_tokenizer(architecture, **options)
