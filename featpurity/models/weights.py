"""Read weights from an untrusted file: tensors come out, nothing in it is ever run.

The content decides what a file is, not its name. PyTorch's restricted unpickler refuses every name
not on its list. Published checkpoints also hold an `argparse.Namespace` and a numpy scalar beside
their weights; an inert class replaces these, which accepts whatever the file gives it and keeps
nothing.
"""

import pickle
import re
import warnings
import zipfile
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import nn

from featpurity.files import tensors_header
from featpurity.models.config import foreign

WRAPPERS = ["state_dict", "model_state_dict", "model"]  # keys where training code keeps weights
PREFIXES = ["module.", "model."]  # from distributed training, from PyTorch Lightning
NAMED = 3  # tensors that a message names; it counts the rest
# From torch.compile and sharded training, around the whole model or parts of it.
INSIDE = ["_orig_mod.", "_fsdp_wrapped_module."]
ANCHOR = "logit_scale"  # in every CLIP model, beside its towers
# Scalars of OpenAI's archives and of losses, and a buffer of old Hugging Face towers: a model
# embeds the same without them.
IDLE = [
    "input_resolution",
    "context_length",
    "vocab_size",
    "logit_bias",
    "text.transformer.embeddings.position_ids",
]


class _Inert:
    """Stand-in for an object that is not a weight; it holds and does nothing."""

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


def read_weights(path: str | Path, numbers: bool = True) -> dict[str, torch.Tensor]:
    """The state dict of a checkpoint file.

    Parameters
    ----------
    path : str or Path
        A safetensors file or one from `torch.save`: a state dict, or a dict with one under a key of
        `WRAPPERS`.
    numbers : bool, default True
        Whether to check each number. Without, reading names and shapes takes moments.

    Returns
    -------
    weights : dict of str to tensor
        On the CPU, finite, without the prefixes of distributed training, of `torch.compile` and of
        a larger model that holds the CLIP model; the larger model's other weights are left out,
        with a warning. Tensors may be mapped from the file, so that the rest of it (say, an
        optimiser's state) is not read.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is no checkpoint, is cut short, or holds two models (say, a moving average
        beside the trained one), more than tensors, tensors that claim more numbers than it stores,
        or numbers that are not finite. The message names the file and the fault.
    """
    content = read_file(path)
    if isinstance(content, dict) and "identity" in content and "optimiser" in content:
        raise ValueError(
            f"{path}: the state of an unfinished training, to go on from, and no model; the "
            "projections that the training wrote are a safetensors file"
        )
    wrappers = iter(WRAPPERS * 2)  # one may be inside another
    while isinstance(content, dict) and (inner := next(wrappers, None)):
        if isinstance(content.get(inner), dict):
            _refuse_another(content, inner, path)
            content = content[inner]
    if not isinstance(content, dict) or not content:
        raise ValueError(
            f"{path}: expected a state dict, got {type(content).__name__} with nothing to load"
        )
    if strangers := [name for name, value in content.items() if not _is_tensor(name, value)]:
        raise ValueError(
            f"{path}: expected tensors only in its state dict, not so {_some(strangers)}"
        )
    content = _of_the_model(_plain_names(content), path)
    if claims := [name for name, value in content.items() if _claims_more(value)]:
        raise ValueError(f"{path}: claims more numbers than it stores in {_some(claims)}")
    if short := [name for name, value in content.items() if _is_float8(value)]:
        raise ValueError(f"{path}: 8-bit numbers in {_some(short)}; expected 16 bits or more")
    looked_at = content if numbers else {}
    if broken := [name for name, value in looked_at.items() if not torch.isfinite(value).all()]:
        raise ValueError(f"{path}: NaN or infinity in {_some(broken)}")
    return content


def _is_tensor(name, value):
    """Whether a state dict's entry is an ordinary tensor with a text as its name."""
    return (
        isinstance(name, str)
        and isinstance(value, torch.Tensor)
        and value.layout == torch.strided
        and value.device.type == "cpu"
        and not value.is_quantized
    )


def _is_float8(value):
    """Whether these are 8-bit floats, with which PyTorch does not compute directly."""
    return value.is_floating_point() and value.element_size() == 1


def _claims_more(value):
    """Whether a tensor repeats its stored numbers, as `expand` does; no model's weights do."""
    return value.numel() * value.element_size() > value.untyped_storage().nbytes()


def _refuse_another(content, chosen, path):
    """Raise ValueError if a state dict is beside another one of the same model."""
    model = _called(content[chosen])
    for name, other in content.items():
        if name != chosen and isinstance(other, dict) and model & _called(other):
            raise ValueError(
                f"{path}: holds two models, under {chosen!r} and {name!r}: save the one you mean "
                f"in a file of its own, as torch.save(torch.load(FILE)[{name!r}], OTHER_FILE)"
            )


def _called(content):
    """The plain names of a state dict's tensors; none for anything else."""
    if not all(_is_tensor(name, value) for name, value in content.items()):
        return set()
    return set(_plain_names(content))


def _plain_names(weights):
    """Weights without the prefixes that wrappers of a model put into their names."""
    for inside in INSIDE:
        weights = {name.replace(inside, ""): value for name, value in weights.items()}
    for prefix in PREFIXES * 2:  # one may be inside another
        if all(name.startswith(prefix) for name in weights):
            weights = {name.removeprefix(prefix): value for name, value in weights.items()}
    return weights


def _of_the_model(weights, path):
    """The weights under the one prefix that holds a CLIP model, without the prefix."""
    towers = {name.split("visual.")[0] for name in weights if "visual." in name}
    before = [prefix for prefix in towers if f"{prefix}{ANCHOR}" in weights]
    if len(before) != 1:
        return weights
    within = {name: value for name, value in weights.items() if name.startswith(before[0])}
    if others := [name for name in weights if name not in within]:
        warnings.warn(
            f"{path}: the model is what lies under {before[0]!r}; left out: {_some(others)}",
            stacklevel=3,
        )
    return {name.removeprefix(before[0]): value for name, value in within.items()}


def read_file(path: str | Path, device: str | torch.device = "cpu", mapped: bool = True) -> Any:
    """Everything in a checkpoint file, read and refused as in `read_weights`.

    Tensors go to `device`. With `mapped` they are mapped from the file if its layout allows.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: there is no such file")
    zipped = _look(path)
    try:
        if path.suffix.lower() == ".safetensors" or tensors_header(path):
            return safetensors.torch.load_file(path, str(device))
        with torch.serialization.safe_globals(_STAND_INS):
            return torch.load(path, map_location=device, weights_only=True, mmap=mapped and zipped)
    except (MemoryError, torch.OutOfMemoryError):  # not the file's fault
        raise
    except pickle.UnpicklingError as error:
        raise ValueError(
            f"{path}: refused: more than weights in it, or damaged: {reason(error)}; expected a "
            "state dict, as torch.save(model.state_dict(), ...) writes it"
        ) from error
    except Exception as error:  # a damaged file can make its reader fail in any way
        raise ValueError(f"{path}: cut short, damaged or no checkpoint: {reason(error)}") from error


def _look(path):
    """Whether a file is a zip archive; a ValueError if its first bytes reveal another kind."""
    with path.open("rb") as file:
        head = file.read(512)
    if head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
        raise ValueError(f"{path}: a web page, not a checkpoint, as failed downloads leave")
    if head.startswith(b"version https://git-lfs"):
        raise ValueError(
            f"{path}: a pointer of Git LFS, not the weights themselves: run `git lfs pull`"
        )
    zipped = zipfile.is_zipfile(path)
    if head.startswith(b"PK") and not zipped:
        raise ValueError(f"{path}: cut short or damaged, as broken downloads and full disks leave")
    if zipped and head.startswith(b"PK"):
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
        if any(member.filename.endswith("/constants.pkl") for member in members):
            raise ValueError(
                f"{path}: a TorchScript archive, which holds code and is not read: save the "
                "model's state dict; OpenAI's own models are ViT-B-32-quickgelu:openai and the like"
            )
        if sum(member.file_size for member in members) > path.stat().st_size:
            raise ValueError(f"{path}: compressed, which no checkpoint of torch.save is")
    return zipped


def load_weights(model: nn.Module, weights: dict[str, torch.Tensor], path: str | Path) -> None:
    """Put weights into a model that must take exactly these.

    Parameters
    ----------
    model : torch.nn.Module
    weights : dict of str to tensor
        The scalars and buffers in `IDLE` may be left over.
    path : str or Path
        Where they come from, for messages.

    Raises
    ------
    ValueError
        If keys are missing or left over, or shapes differ.
    """
    expected = model.state_dict()
    idle = set(IDLE) - set(expected)
    weights = {name: value for name, value in weights.items() if name not in idle}
    for scalar in ["logit_scale", "logit_bias"]:  # shape () or (1,), depending on the model's age
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
        raise ValueError(
            f"{path} does not fit the model: it {'; it '.join(faults)}{foreign(extra)}"
        )
    model.load_state_dict(weights)


def _some(names):
    """The first `NAMED` names and the number of others."""
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(str(name)[:100] for name in names[:NAMED]) + more


def reason(error: BaseException) -> str:
    """A reader's error in one line, without its advice to switch safety off."""
    text = str(error)
    if refused := re.search(r"GLOBAL ([\w.]+)", text):
        return f"it names {refused[1]}"
    advice = re.compile(r"weights.only|trust|safe_globals|weights only", re.IGNORECASE)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    plain = [line for line in lines if not advice.search(line)]
    return (" ".join(plain) or type(error).__name__)[:300]
