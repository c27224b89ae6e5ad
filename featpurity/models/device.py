"""Which device a process computes on."""

import os

import torch


def pick_device(name: str | torch.device = "auto") -> torch.device:
    """A device by its name.

    Parameters
    ----------
    name : str or torch.device
        "cpu", "cuda", "cuda:N", "mps" or "auto", which is a CUDA GPU if there is one, else the CPU.
        Under torchrun, "auto" and "cuda" give each process its own GPU.

    Raises
    ------
    ValueError
        For other names, or a device that this machine lacks.
    """
    cards = torch.cuda.device_count()
    if name == "auto":
        name = "cuda" if cards else "cpu"
    try:
        device = torch.device(name)
    except (RuntimeError, TypeError):
        device = None
    if device is None or device.type not in {"cpu", "cuda", "mps"}:
        raise ValueError(f"device: expected auto, cpu, cuda, cuda:N or mps, got {name!r}")
    here = {"cpu": 1, "cuda": cards, "mps": int(torch.backends.mps.is_available())}[device.type]
    if (device.index or 0) >= here:
        raise ValueError(
            f"device: {name}, but PyTorch sees {here} of kind {device.type} here; try auto or cpu"
        )
    if device.type == "cuda" and device.index is None and "LOCAL_RANK" in os.environ:
        return torch.device(f"cuda:{int(os.environ['LOCAL_RANK']) % cards}")
    return device
