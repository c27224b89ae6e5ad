"""open_clip's configuration of a model, in a file beside its weights."""

import json
from pathlib import Path
from typing import Any

CONFIG, MERGES = "open_clip_config.json", "bpe.txt.gz"


def configs_of(path: Path) -> list[Path]:
    """Where the configuration of a file of weights may lie: the first that is there counts."""
    return [path.with_suffix(".json"), path.with_name(CONFIG)]


def read_config(path: Path) -> dict[str, Any]:
    """The configuration in a file, with `model_cfg` and maybe that of the preprocessing beside it.

    Raises
    ------
    ValueError
        When the file is damaged or holds no configuration of a model.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:  # of JSON, or of the encoding
        raise ValueError(f"{path}: cut short, damaged or no configuration: {error}") from error
    whole = isinstance(content, dict) and "model_cfg" in content
    config = content if whole else {"model_cfg": content}
    expected = {"embed_dim", "vision_cfg", "text_cfg"}
    if not isinstance(config["model_cfg"], dict) or expected - set(config["model_cfg"]):
        raise ValueError(
            f"{path}: expected a model's {', '.join(sorted(expected))}, "
            f"got {str(config['model_cfg'])[:200]}"
        )
    return config
