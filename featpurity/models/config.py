"""Read a model's open_clip configuration from a file beside its weights."""

import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

CONFIG, MERGES = "open_clip_config.json", "bpe.txt.gz"
ADAPTERS = "It holds adapters (LoRA): merge them first, in peft with merge_and_unload()"
TRANSFORMERS = "This is the layout of transformers: convert the weights to open_clip's names"
# What reveals them in the names of weights or of a folder's files; the first match counts.
FOREIGN = {"lora_": ADAPTERS, ".base_layer.": ADAPTERS, "adapter_config.json": ADAPTERS}
FOREIGN |= dict.fromkeys(["vision_model.", "text_model.", "config.json"], TRANSFORMERS)
# Options that a configuration may give a tokenizer. Others would reach Hugging Face's loader, which
# they can make run a model's own code.
TOKENIZER_OPTIONS = {"clean", "strip_sep_token", "language", "additional_special_tokens"}
TOKENIZER_OPTIONS |= {"use_fast", "legacy", "do_lower_case", "add_prefix_space", "padding_side"}


TREATMENTS = {  # open_clip's options for pictures
    "interpolation": ("bicubic", "bilinear", "random"),
    "resize_mode": ("shortest", "longest", "squash"),
}


def config_of(path: Path) -> Path | None:
    """The configuration beside a file of weights, or None."""
    places = path.with_suffix(".json"), path.with_name(CONFIG)
    return next(filter(Path.is_file, places), None)


def foreign(names: Iterable[str]) -> str:
    """A hint on weights or files whose names are not open_clip's, to append to a message, or ""."""
    names = " ".join(names)
    return next((f". {told}" for mark, told in FOREIGN.items() if mark in names), "")


def read_config(path: Path) -> dict[str, Any]:
    """The configuration in a file: `model_cfg` and maybe `preprocess_cfg`.

    Raises
    ------
    ValueError
        If the file is damaged, or holds no model configuration or one with wrong types.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:  # from JSON or the encoding
        raise ValueError(f"{path}: cut short, damaged or no configuration: {error}") from error
    whole = isinstance(content, dict) and "model_cfg" in content
    config = content if whole else {"model_cfg": content}
    expected = {"embed_dim", "vision_cfg", "text_cfg"}
    if not isinstance(config["model_cfg"], dict) or expected - set(config["model_cfg"]):
        raise ValueError(
            f"{path}: expected a model's {', '.join(sorted(expected))}, "
            f"got {str(config['model_cfg'])[:200]}"
        )
    check_model(str(path), config["model_cfg"])
    _check_preprocessing(path, config.get("preprocess_cfg", {}))
    return config


def check_model(name: str, settings: dict[str, Any]) -> None:
    """Raise ValueError if a model's settings have wrong types, or could run or fetch something.

    Parameters
    ----------
    name : str
        The file or the model, for the message.
    settings : dict
        The `model_cfg`.
    """
    size = settings["embed_dim"]
    if not isinstance(size, int) or isinstance(size, bool) or size < 1:
        raise ValueError(f"{name}: embed_dim: expected a number of neurons, got {size!r}")
    for tower in ["vision_cfg", "text_cfg"]:
        if not isinstance(settings[tower], dict):
            raise ValueError(f"{name}: {tower}: expected an object, got {settings[tower]!r:.80}")
    options = settings["text_cfg"].get("tokenizer_kwargs", {})
    if not isinstance(options, dict) or options.keys() - TOKENIZER_OPTIONS:
        raise ValueError(
            f"{name}: tokenizer_kwargs: expected some of {', '.join(sorted(TOKENIZER_OPTIONS))}, "
            f"got {options!r:.80}"
        )
    tower = settings["vision_cfg"].get("timm_model_name")
    if tower and (not isinstance(tower, str) or ":" in tower):
        raise ValueError(f"{name}: timm_model_name: expected a name of timm's own, got {tower!r}")


def _check_preprocessing(path, settings):
    if not isinstance(settings, dict):
        raise ValueError(f"{path}: preprocess_cfg: expected an object, got {settings!r:.80}")
    for key in settings.keys() & {"mean", "std"}:
        numbers = settings[key]
        if not isinstance(numbers, list) or not all(
            isinstance(number, (int, float)) and math.isfinite(number) for number in numbers
        ):
            raise ValueError(
                f"{path}: {key} of preprocess_cfg: expected a list of numbers, got {numbers!r:.80}"
            )
        if len(numbers) != 3 or (key == "std" and min(numbers) <= 0):
            raise ValueError(
                f"{path}: {key} of preprocess_cfg: expected a number for each of red, green and "
                f"blue{', above 0' if key == 'std' else ''}, got {numbers!r:.80}"
            )
    for key, known in TREATMENTS.items():
        if settings.get(key, known[0]) not in known:
            raise ValueError(
                f"{path}: {key} of preprocess_cfg: expected one of {', '.join(known)}, got "
                f"{settings[key]!r:.80}"
            )
