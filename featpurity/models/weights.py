"""Read weights from a file that nobody vouches for: tensors come out, nothing in the file is ever run.

PyTorch's restricted unpickler refuses every name that is not on its list. Published checkpoints
also hold an `argparse.Namespace` and a numpy scalar beside their weights; for these names an inert
class stands in, which takes whatever the file gives it and keeps nothing.
"""

import pickle
import zipfile
from pathlib import Path

import safetensors.torch
import torch


class _Inert:
    """Takes the place of an object that is no weight; it holds and does nothing."""

    def __new__(cls, *_args, **_kwargs):
        return super().__new__(cls)

    def __init__(self, *_args, **_kwargs):
        pass

    def __setstate__(self, _state):
        pass


_STAND_INS = [
    (_Inert, name)
    for name in [
        "argparse.Namespace",
        "numpy.dtype",
        "numpy.core.multiarray.scalar",
        "numpy._core.multiarray.scalar",
    ]
]


def read_weights(path):
    """The state dict of a checkpoint file.

    Parameters
    ----------
    path : str or Path
        A safetensors file or what `torch.save` wrote: a state dict, or a dict with one as
        ``state_dict``.

    Returns
    -------
    weights : dict of str to tensor
        On the CPU, finite, without the prefix ``module.`` of distributed training. Tensors may be
        mapped from the file, so that what else the file holds (say, an optimiser's state) is not
        read.

    Raises
    ------
    FileNotFoundError
        When there is no such file.
    ValueError
        When the file is no checkpoint, is cut short, holds more than tensors, or numbers that are
        not finite; the message names the file and the fault.
    """
    content = read_file(path)
    content = content.get("state_dict", content) if isinstance(content, dict) else content
    if not isinstance(content, dict) or not content:
        raise ValueError(
            f"{path}: expected a state dict, got {type(content).__name__} with nothing to load"
        )
    strangers = [name for name, value in content.items() if not isinstance(value, torch.Tensor)]
    if strangers:
        raise ValueError(
            f"{path}: expected tensors only in its state dict, not so {_some(strangers)}"
        )
    if all(name.startswith("module.") for name in content):
        content = {name.removeprefix("module."): value for name, value in content.items()}
    broken = [name for name, value in content.items() if not torch.isfinite(value).all()]
    if broken:
        raise ValueError(f"{path}: NaN or infinity in {_some(broken)}")
    return dict(content)


def read_file(path, device="cpu", mapped=True):
    """All that a checkpoint file holds, whatever that is, by the same reader and with the same errors as `read_weights`.

    Tensors go to `device`; where the layout allows, they are `mapped` from the file rather than
    read.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: there is no such file")
    with path.open("rb") as file:
        head = file.read(512)
    if head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
        raise ValueError(f"{path}: a web page, not a checkpoint, as failed downloads leave")
    zipped = zipfile.is_zipfile(path)
    if head.startswith(b"PK") and not zipped:
        raise ValueError(f"{path}: cut short or damaged, as broken downloads and full disks leave")
    try:
        if path.suffix == ".safetensors":
            return safetensors.torch.load_file(path, device)
        with torch.serialization.safe_globals(_STAND_INS):
            return torch.load(path, map_location=device, weights_only=True, mmap=mapped and zipped)
    except (MemoryError, torch.OutOfMemoryError):  # says nothing of the file
        raise
    except pickle.UnpicklingError as error:
        raise ValueError(
            f"{path}: refused: more than weights in it, or damaged: {_first(error)}"
        ) from error
    except Exception as error:  # a damaged file can make its reader stumble over anything
        raise ValueError(f"{path}: cut short, damaged or no checkpoint: {_first(error)}") from error


def load_weights(model, weights, path):
    """Put weights into a model that has to take exactly these.

    Parameters
    ----------
    model : torch.nn.Module
    weights : dict of str to tensor
    path : str or Path
        Where they come from, for the messages.

    Raises
    ------
    ValueError
        When keys are missing or left over, or shapes differ.
    """
    expected = model.state_dict()
    for scalar in ["logit_scale", "logit_bias"]:  # of shape () or (1,) by the model's age
        if scalar in weights and scalar in expected and weights[scalar].numel() == 1:
            weights = weights | {scalar: weights[scalar].reshape(expected[scalar].shape)}
    faults = []
    if missing := [name for name in expected if name not in weights]:
        faults.append(f"lacks {_some(missing)}")
    if extra := [name for name in weights if name not in expected]:
        faults.append(f"has {_some(extra)}, which the model does not know")
    shared = [name for name in expected if name in weights]
    if wrong := [
        f"{name} {tuple(weights[name].shape)} instead of {tuple(expected[name].shape)}"
        for name in shared
        if weights[name].shape != expected[name].shape
    ]:
        faults.append(f"has another shape: {_some(wrong)}")
    if faults:
        raise ValueError(f"{path} does not fit the model: it {'; it '.join(faults)}")
    model.load_state_dict(weights)


def _some(names, most=3):
    """The first few names, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(str(name) for name in names[:most]) + more


def _first(error, most=200):
    return next(iter(str(error).splitlines()), type(error).__name__)[:most]
