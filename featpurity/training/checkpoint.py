"""The state of an unfinished training on disk, from which only the same training resumes.

A state identifies its training by a dict of facts, with digests for tensors, so that an error can
say what differs.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from featpurity.files import digest, writing
from featpurity.models.clip import ClipModel
from featpurity.models.weights import read_file

EVALUATION = "evaluation"  # what a training measures before it starts


def start_of(clip: ClipModel, watched: dict[str, float]) -> dict:
    """What a training starts from, and the first values of what it watches."""
    return {
        "starting weights": digest(
            clip.image_neurons, clip.text_neurons, clip.image_bias, clip.text_bias, clip.logit_scale
        ),
        EVALUATION: {name: float(value) for name, value in watched.items()},
    }


def write_state(path: str | Path, **state: Any) -> None:
    """Write the state of an unfinished training, whole or not at all."""
    with writing(path) as file:
        torch.save(state, file)


def read_state(
    path: str | Path, identity: dict, device: str | torch.device, overwrite: bool = False
) -> dict | None:
    """Read the state that `write_state` wrote for the training with this `identity`.

    A damaged state, or one of another training, is a ValueError; with `overwrite` it is None. With
    or without `overwrite`, nothing pickled in the file is run.
    """
    try:
        return _read(path, identity, device)
    except ValueError:
        if overwrite:
            return None
        raise


def _read(path, identity, device):
    try:  # not mapped: the next state replaces this file
        state = read_file(path, device, mapped=False)
    except ValueError as error:
        raise ValueError(f"{error}; move it away to train anew") from error
    saved = state.get("identity") if isinstance(state, dict) else None
    if not isinstance(saved, dict):
        raise ValueError(
            f"{path} is no state of an unfinished training; the weights of a checkpoint are a "
            "model to start from"
        )
    if other := ", ".join(name for name in identity if _differs(name, saved.get(name), identity)):
        raise ValueError(
            f"{path} is of another training, which differs in: {other}; move it away to train anew"
        )
    return state


def _differs(name, was, identity):
    """Whether a fact differs; an evaluation must by more than machines do on a few pictures."""
    now = identity[name]
    if name != EVALUATION or not isinstance(was, dict) or was.keys() != now.keys():
        return was != now
    both = ([float(watched[key]) for key in now] for watched in (was, now))
    return not np.allclose(*both, rtol=0.01, atol=0.005, equal_nan=True)
