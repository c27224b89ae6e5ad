"""A name or a file in, a CLIP model out: the only door to open_clip's models.

Each tower is cut before its projection, so that its trunk runs on its own. What was cut off, the
projection's weights, are the neurons: row j makes coordinate j of the shared space. Whenever a
model is loaded, its trunk features x projection are checked to be the embeddings of the model as it
came.
"""

import json
import os
from pathlib import Path

import open_clip
import torch
from open_clip.model import convert_to_custom_text_state_dict as _custom_text
from open_clip.tokenizer import SimpleTokenizer
from open_clip.transform import PreprocessCfg, image_transform_v2, merge_preprocess_dict
from safetensors import SafetensorError, safe_open

from featpurity.files import digest, write_tensors
from featpurity.models import laclip, split
from featpurity.models.clip import ClipModel
from featpurity.models.names import (
    CONFIG,
    MERGES,
    absolute,
    configs_of,
    file_of,
    hub_file,
    model_source,
)
from featpurity.models.weights import load_weights, read_weights

MEAN, STD = open_clip.OPENAI_DATASET_MEAN, open_clip.OPENAI_DATASET_STD
OPENAI = {"mean": MEAN, "std": STD, "resize_mode": "shortest"}
PREPROCESSINGS = {
    "native": {},  # what the checkpoint was trained with
    "paper": OPENAI | {"interpolation": "bilinear"},  # the paper's experiment 1, whatever the model
    "paper-bicubic": OPENAI | {"interpolation": "bicubic"},  # its experiment 2
}
KIND, FACTS, PROJECTIONS = (
    "featpurity projections",
    ["base", "image_key", "text_key"],
    ["image_neurons", "text_neurons"],
)


def load_model(source, device="cpu", preprocess="native"):
    """Load a CLIP model whose towers end in linear projections.

    Parameters
    ----------
    source : str or Path
        A bundled name; ``ARCHITECTURE:TAG`` of open_clip, or ``ARCHITECTURE:FILE`` for a state
        dict; ``hf-hub:NAME``; ``local-dir:FOLDER`` or the folder itself; ``laclip:NAME`` (see
        `featpurity.models.laclip`); a file: of LaCLIP, of projections this project fine-tuned, or
        any open_clip state dict with its configuration beside it as ``FILE_STEM.json`` or
        ``open_clip_config.json``.
    device : str or torch.device, default "cpu"
        "auto" is a GPU where there is one; under torchrun each process takes its own.
    preprocess : {"native", "paper", "paper-bicubic"}
        What the checkpoint was trained with, or what the paper's scripts used in experiment 1 or 2.

    Returns
    -------
    clip : ClipModel

    Raises
    ------
    FileNotFoundError, ValueError
        When nothing is known by that name, the file is broken or does not fit, it needs
        transformers, a known tag or published checkpoint was trained with another activation than
        the architecture has, or a tower does not end in a linear projection.
    """
    source = str(source)
    if preprocess not in PREPROCESSINGS:
        raise ValueError(
            f"preprocess: expected one of {', '.join(PREPROCESSINGS)}, got {preprocess!r}"
        )
    device = _own_device() if device == "auto" else device
    path, architecture = file_of(source)
    if source.startswith("laclip:"):
        path = laclip.fetch(source.removeprefix("laclip:"))
    if path is None:
        model, config, tokenizer = known_model(source)
    elif projections := _read_projections(path):
        clip = load_model(projections.pop("base"), device, preprocess)
        if (projections["image_key"], projections["text_key"]) != clip.trunk_keys:
            raise ValueError(
                f"{path} was fine-tuned on other trunk weights than {clip.base!r} has now"
            )
        return clip.with_projections(
            projections["image_neurons"], projections["text_neurons"], path.stem
        )
    else:
        model, config, tokenizer = model_from_file(path, architecture)
    return _cut(source, model.eval(), config, tokenizer, torch.device(device), preprocess)


def _own_device():
    """A GPU where there is one, and of several under torchrun that of this process."""
    if not torch.cuda.is_available():
        return "cpu"
    rank = os.environ.get("LOCAL_RANK")
    return "cuda" if rank is None else f"cuda:{int(rank) % torch.cuda.device_count()}"


def save_projections(path, clip, image_neurons, text_neurons, **metadata):
    """Write fine-tuned projections as a small file that `load_model` reads back onto the model they stand on.

    Parameters
    ----------
    path : str or Path
    clip : ClipModel
    image_neurons, text_neurons : float tensors of shape (d, width_I) and (d, width_T)
    **metadata
        Kept as text in the file's header.
    """
    tuned = clip.with_projections(image_neurons, text_neurons)
    tensors = {"image_neurons": tuned.image_neurons.cpu(), "text_neurons": tuned.text_neurons.cpu()}
    header = {name: str(value) for name, value in metadata.items()}
    header |= {"kind": KIND, "base": absolute(clip.base)} | dict(
        zip(["image_key", "text_key"], clip.trunk_keys)
    )
    write_tensors(path, tensors, header)


def _read_projections(path):
    """Header and tensors of a file that `save_projections` wrote, None for any other."""
    try:
        with safe_open(path, "pt") as file:
            header = file.metadata() or {}
    except SafetensorError:  # another kind of file, or a broken one: for its reader to say
        return None
    if header.get("kind") != KIND:
        return None
    weights = read_weights(path)
    if missing := [name for name in FACTS if name not in header] + [
        name for name in PROJECTIONS if name not in weights
    ]:
        raise ValueError(
            f"{path}: a file of fine-tuned projections, but it lacks {', '.join(missing)}"
        )
    return header | weights


def _cut(source, model, config, tokenizer, device, preprocess):
    """Cut a model's towers and wrap it."""
    tokens = tokenizer(["a photo of a dog", "two small squares, 3 large circles & more"])
    known = getattr(model, "text", model).vocab_size
    if tokens.max() >= known > 0:
        raise ValueError(
            f"{source}: its tokenizer gives tokens up to {tokens.max()}, its text tower knows "
            f"{known}"
        )
    image, text = split.cut(model, tokens, source)
    keys = split.digests(model, config["model_cfg"])
    settings = merge_preprocess_dict(PreprocessCfg(), config.get("preprocess_cfg", {}))
    settings |= {"size": model.visual.image_size} | PREPROCESSINGS[preprocess]
    settings |= {key: tuple(settings[key]) for key in ["mean", "std"]}  # JSON has lists
    words = [tokens.tolist(), sorted(getattr(tokenizer, "encoder", {}).items())]
    move = {"device": device, "dtype": torch.float32}
    return ClipModel(
        name=Path(source.removeprefix("local-dir:")).name if os.path.exists(source) else source,
        base=source,
        device=device,
        logit_scale=model.logit_scale.exp().item(),
        preprocess=image_transform_v2(PreprocessCfg(**settings), is_train=False),
        preprocess_name=preprocess,
        tokenizer=tokenizer,
        image_neurons=image.neurons.to(**move),
        text_neurons=text.neurons.to(**move),
        image_bias=None if image.bias is None else image.bias.to(**move),
        text_bias=None if text.bias is None else text.bias.to(**move),
        image_key=digest(json.dumps([keys[0], settings]).encode()),
        text_key=digest(json.dumps([keys[1], words]).encode()),
        trunk_keys=keys,
        trunks=model.requires_grad_(False).to(device, memory_format=torch.channels_last),
    )  # as embeddings.runner's batches


def model_from_file(path, architecture):
    """An open_clip model with a file's weights, its configuration and its tokenizer."""
    weights = read_weights(path)
    beside = next((place for place in configs_of(path) if place.is_file()), None)
    recognised = None
    if laclip.is_laclip(weights):
        try:
            recognised, weights = laclip.open_clip_config(weights), laclip.to_open_clip(weights)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error
    if architecture:
        config = {"model_cfg": open_clip.get_model_config(architecture)}
    elif beside:
        config = _read_config(beside)
    else:
        config = recognised
    if not config or not config["model_cfg"]:
        named = f" to open_clip: {architecture}" if architecture else ""
        raise ValueError(
            f"{path}: its architecture is unknown{named}; say ARCHITECTURE:{path} or put its "
            f"{CONFIG} beside it"
        )
    split.check_text_tower(str(path), config["model_cfg"].get("text_cfg", {}))
    model = split.build(config)
    load_weights(
        model, weights if hasattr(model, "positional_embedding") else _custom_text(weights), path
    )
    settings = config["model_cfg"]["text_cfg"]
    if path.with_name(MERGES).is_file():
        tokenizer = SimpleTokenizer(
            str(path.with_name(MERGES)), context_length=settings["context_length"]
        )
    elif architecture or settings.get("hf_tokenizer_name"):
        tokenizer = open_clip.get_tokenizer(architecture or f"local-dir:{path.parent}")
    else:
        options = settings.get("tokenizer_kwargs", {})
        tokenizer = SimpleTokenizer(context_length=model.context_length, **options)
    return model, config, tokenizer


def _read_config(path):
    """The configuration in a file, with or without that of the preprocessing around it."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:  # of JSON, or of the encoding
        raise ValueError(f"{path}: cut short, damaged or no configuration: {error}") from error
    config = (
        content if isinstance(content, dict) and "model_cfg" in content else {"model_cfg": content}
    )
    expected = {"embed_dim", "vision_cfg", "text_cfg"}
    if not isinstance(config["model_cfg"], dict) or expected - set(config["model_cfg"]):
        raise ValueError(
            f"{path}: expected a model's {', '.join(sorted(expected))}, got {str(config['model_cfg'])[:200]}"
        )
    return config


def known_model(source):
    """What `model_from_file` gives, for a model that open_clip finds and downloads itself."""
    model_source(source)  # refuses names that nothing knows, with a hint
    architecture, tag = source, None
    if not source.startswith("hf-hub:"):
        architecture, _, tag = source.partition(":")
        trained = open_clip.get_pretrained_cfg(architecture, tag).get("quick_gelu", False)
        built = open_clip.get_model_config(architecture).get("quick_gelu", False)
        if trained != built:
            other = (
                architecture.removesuffix("-quickgelu") if built else f"{architecture}-quickgelu"
            )
            here = other != architecture and tag in open_clip.list_pretrained_tags_by_model(other)
            raise ValueError(
                f"{tag} was trained with{'' if trained else 'out'} QuickGELU, "
                f"{architecture} has {'QuickGELU' if built else 'plain GELU'}"
                + f": load {other}:{tag}"
                * here
            )
    settings = open_clip.get_model_config(architecture)
    split.check_text_tower(source, settings["text_cfg"])
    try:
        model = open_clip.create_model(
            architecture, tag, weights_only=True, require_pretrained=True
        )
    except Exception as error:  # open_clip's and PyTorch's errors do not name the file
        file = _cached(source)
        if file:
            read_weights(
                file
            )  # says what is wrong with the file; what follows is of one that does not fit
        raise ValueError(f"{source}: {file or 'it'} could not be loaded: {error}") from error
    if broken := [
        name for name, value in model.state_dict().items() if not torch.isfinite(value).all()
    ]:
        raise ValueError(f"{_cached(source) or source}: NaN or infinity in {broken[0]}")
    config = {"model_cfg": settings, "preprocess_cfg": model.visual.preprocess_cfg}
    return model, config, open_clip.get_tokenizer(architecture)


def _cached(source):
    """The file of weights that open_clip downloaded for a known model, where Hugging Face's cache
    has it.
    """
    architecture, _, tag = source.partition(":")
    known = (
        tag
        if architecture == "hf-hub"
        else open_clip.get_pretrained_cfg(architecture, tag).get("hf_hub", "")
    )
    return hub_file(known)
