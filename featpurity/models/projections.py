"""Save and read fine-tuned projections: a small file that needs another model's trunks."""

from pathlib import Path

import torch

from featpurity.files import tensors_header, write_tensors
from featpurity.models.clip import ClipModel
from featpurity.models.names import PROJECTIONS, known
from featpurity.models.weights import read_weights

NEURONS, BIASES = ["image_neurons", "text_neurons"], ["image_bias", "text_bias"]
KEYS = ["image_key", "text_key"]
SCALE = "logit_scale"


def save_projections(
    path: str | Path,
    clip: ClipModel,
    image_neurons: torch.Tensor,
    text_neurons: torch.Tensor,
    logit_scale: float | None = None,
) -> None:
    """Write fine-tuned projections as a small file that `load_model` reads back.

    The file names the model whose trunks they use, and still finds it if both are moved together.

    Parameters
    ----------
    path : str or Path
    clip : ClipModel
        The model with their trunks; its biases, if any, are written too.
    image_neurons, text_neurons : float tensors of shape (d, width_I) and (d, width_T)
    logit_scale : float, optional
        If it was trained too; by default the model's.

    Raises
    ------
    ValueError
        If the neurons do not fit the model or are not finite, or the scale is not positive.
    """
    tuned = clip.with_projections(image_neurons, text_neurons, logit_scale=logit_scale)
    record = known(clip.base)
    tensors = {name: getattr(tuned, name) for name in NEURONS + BIASES}
    tensors = {name: values.cpu() for name, values in tensors.items() if values is not None}
    header = {"kind": PROJECTIONS, "base": record.absolute if record else clip.base}
    header |= dict(zip(KEYS, clip.trunk_keys))
    if logit_scale is not None:
        header[SCALE] = repr(float(logit_scale))
    if beside := record and record.beside(Path(path)):
        header["base beside"] = beside
    write_tensors(path, tensors, header)


def read_projections(path: Path, clip: ClipModel) -> ClipModel:
    """The model with a file's projections; a ValueError if they were trained on other trunks."""
    if not path.is_file():
        raise FileNotFoundError(
            f"there is no {path}: run notebooks/steps/finetune.ipynb with the same settings first"
        )
    header, tensors = tensors_header(path)["__metadata__"], read_weights(path)
    lost = [
        *(key for key in KEYS if key not in header),
        *(key for key in NEURONS if key not in tensors),
    ]
    if lost:
        raise ValueError(
            f"{path}: a file of fine-tuned projections, but it lacks {', '.join(lost)}"
        )
    if tuple(header[key] for key in KEYS) != clip.trunk_keys:
        raise ValueError(f"{path} was fine-tuned on other trunk weights than {clip.base!r} has now")
    scale = float(header[SCALE]) if SCALE in header else None
    return clip.with_projections(
        **{name: tensors[name] for name in NEURONS + BIASES if name in tensors}, logit_scale=scale
    )
