"""From a source's name to an open_clip model with its weights, its configuration and its tokenizer."""

import json

import open_clip
import torch
from open_clip.model import convert_to_custom_text_state_dict as _custom_text
from open_clip.tokenizer import SimpleTokenizer

from featpurity import laclip, towers
from featpurity.checkpoints import load_weights, read_weights
from featpurity.places import CONFIG, MERGES, configs_of, hub_file
from featpurity.sources import model_source


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
        raise ValueError(f"{path}: its architecture is unknown{named}; say ARCHITECTURE:{path} or put its "
                         f"{CONFIG} beside it")
    towers.check_text_tower(str(path), config["model_cfg"].get("text_cfg", {}))
    model = towers.build(config)
    load_weights(model, weights if hasattr(model, "positional_embedding") else _custom_text(weights), path)
    settings = config["model_cfg"]["text_cfg"]
    if path.with_name(MERGES).is_file():
        tokenizer = SimpleTokenizer(str(path.with_name(MERGES)), context_length=settings["context_length"])
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
    config = content if isinstance(content, dict) and "model_cfg" in content else {"model_cfg": content}
    expected = {"embed_dim", "vision_cfg", "text_cfg"}
    if not isinstance(config["model_cfg"], dict) or expected - set(config["model_cfg"]):
        raise ValueError(f"{path}: expected a model's {', '.join(sorted(expected))}, got {str(config['model_cfg'])[:200]}")
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
            other = architecture.removesuffix("-quickgelu") if built else f"{architecture}-quickgelu"
            here = other != architecture and tag in open_clip.list_pretrained_tags_by_model(other)
            raise ValueError(f"{tag} was trained with{'' if trained else 'out'} QuickGELU, "
                             f"{architecture} has {'QuickGELU' if built else 'plain GELU'}"
                             + f": load {other}:{tag}" * here)
    settings = open_clip.get_model_config(architecture)
    towers.check_text_tower(source, settings["text_cfg"])
    try:
        model = open_clip.create_model(architecture, tag, weights_only=True, require_pretrained=True)
    except Exception as error:  # open_clip's and PyTorch's errors do not name the file
        file = _cached(source)
        if file:
            read_weights(file)  # says what is wrong with the file; what follows is of one that does not fit
        raise ValueError(f"{source}: {file or 'it'} could not be loaded: {error}") from error
    if broken := [name for name, value in model.state_dict().items() if not torch.isfinite(value).all()]:
        raise ValueError(f"{_cached(source) or source}: NaN or infinity in {broken[0]}")
    config = {"model_cfg": settings, "preprocess_cfg": model.visual.preprocess_cfg}
    return model, config, open_clip.get_tokenizer(architecture)


def _cached(source):
    """The file of weights that open_clip downloaded for a known model, where Hugging Face's cache has it."""
    architecture, _, tag = source.partition(":")
    known = tag if architecture == "hf-hub" else open_clip.get_pretrained_cfg(architecture, tag).get("hf_hub", "")
    return hub_file(known)
