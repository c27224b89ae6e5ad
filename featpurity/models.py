"""A name or a file in, a CLIP model out: the only door to open_clip's models.

Each tower is cut before its projection, so that its trunk runs on its own. What was cut off, the projection's
weights, are the neurons: row j makes coordinate j of the shared space. Whenever a model is loaded, its trunk
features x projection are checked to be the embeddings of the model as it came.
"""

import copy
import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

import open_clip
import torch
import torch.nn.functional as F
from open_clip.transform import PreprocessCfg, image_transform_v2, merge_preprocess_dict
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from featpurity import laclip, towers
from featpurity.checkpoints import read_weights
from featpurity.loading import known_model, model_from_file
from featpurity.places import absolute, file_of

MEAN, STD = open_clip.OPENAI_DATASET_MEAN, open_clip.OPENAI_DATASET_STD
OPENAI = {"mean": MEAN, "std": STD, "resize_mode": "shortest"}
PREPROCESSINGS = {
    "native": {},  # what the checkpoint was trained with
    "paper": OPENAI | {"interpolation": "bilinear"},         # the paper's experiment 1, whatever the model
    "paper-bicubic": OPENAI | {"interpolation": "bicubic"},  # its experiment 2
}
KIND, FACTS, PROJECTIONS = "featpurity projections", ["base", "image_key", "text_key"], ["image_neurons", "text_neurons"]


@dataclass(eq=False)
class ClipModel:
    """A CLIP model in eval mode, float32, its towers cut before the projections. Nothing has a gradient.

    Attributes
    ----------
    name, base : str
        What to call it, and what `load_model` takes to load the trunks it stands on.
    d : int
        Neurons, which is the size of the shared space.
    preprocess : callable
        PIL image to float tensor (3, S, S).
    preprocess_name : {"native", "paper", "paper-bicubic"}
    tokenizer : callable
        List of str to int64 tensor (n, context_length).
    image_neurons, text_neurons : float tensors of shape (d, width_I) and (d, width_T)
        Not normalised.
    image_bias, text_bias : float tensor of shape (d,) or None
    logit_scale : float
        The exponential of the stored parameter.
    image_key, text_key : str
        Digests of a tower's trunk and of what feeds it: models with equal keys share their trunk features.
    trunk_keys : tuple of two str
        Digests of the trunks alone.
    """

    name: str
    base: str
    device: torch.device
    logit_scale: float
    preprocess: Callable
    preprocess_name: str
    tokenizer: Callable
    image_neurons: torch.Tensor
    text_neurons: torch.Tensor
    image_bias: torch.Tensor | None
    text_bias: torch.Tensor | None
    image_key: str
    text_key: str
    trunk_keys: tuple
    trunks: nn.Module  # open_clip's model without its projections

    @property
    def d(self):
        return len(self.image_neurons)

    @torch.no_grad()
    def image_trunk(self, images):
        """Images (n, 3, S, S), as `preprocess` makes them, to trunk features (n, width_I)."""
        return self.trunks.encode_image(images.to(self.device), normalize=False)

    @torch.no_grad()
    def text_trunk(self, tokens):
        """Tokens (n, context_length) to trunk features (n, width_T)."""
        return self.trunks.encode_text(tokens.to(self.device), normalize=False)

    @torch.no_grad()
    def project_image(self, features):
        """Trunk features (n, width_I) to embeddings (n, d), not normalised."""
        return F.linear(features.to(self.image_neurons), self.image_neurons, self.image_bias)

    @torch.no_grad()
    def project_text(self, features):
        """Trunk features (n, width_T) to embeddings (n, d), not normalised."""
        return F.linear(features.to(self.text_neurons), self.text_neurons, self.text_bias)

    def encode_image(self, images):
        """Images (n, 3, S, S) to embeddings (n, d), not normalised."""
        return self.project_image(self.image_trunk(images))

    def encode_text(self, tokens):
        """Tokens (n, context_length) to embeddings (n, d), not normalised."""
        return self.project_text(self.text_trunk(tokens))

    def with_projections(self, image_neurons, text_neurons, name=None):
        """The same trunks, shared, under other projections; ValueError when these do not fit."""
        widths = self.image_neurons.shape[1], self.text_neurons.shape[1]
        for kind, neurons, width in zip(["image", "text"], [image_neurons, text_neurons], widths):
            if neurons.shape != (self.d, width) or not torch.isfinite(neurons).all():
                raise ValueError(f"{kind}_neurons: expected finite numbers of shape ({self.d}, {width}), got "
                                 f"{tuple(neurons.shape)}{' with NaN or infinity' * (neurons.ndim == 2)}")
        other = copy.copy(self)
        other.image_neurons = image_neurons.detach().to(self.image_neurons, copy=True)
        other.text_neurons = text_neurons.detach().to(self.text_neurons, copy=True)
        other.name = name or self.name
        return other


def load_model(source, device="cpu", preprocess="native"):
    """Load a CLIP model whose towers end in linear projections.

    Parameters
    ----------
    source : str or Path
        A bundled name; ``ARCHITECTURE:TAG`` of open_clip, or ``ARCHITECTURE:FILE`` for a state dict;
        ``hf-hub:NAME``; ``local-dir:FOLDER`` or the folder itself; ``laclip:NAME`` (see `featpurity.laclip`);
        a file: of LaCLIP, of projections this project fine-tuned, or any open_clip state dict with its
        configuration beside it as ``FILE_STEM.json`` or ``open_clip_config.json``.
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
        When nothing is known by that name, the file is broken or does not fit, it needs transformers, a known tag or
        published checkpoint was trained with another activation than the architecture has, or a tower does not end in
        a linear projection.
    """
    source = str(source)
    if preprocess not in PREPROCESSINGS:
        raise ValueError(f"preprocess: expected one of {', '.join(PREPROCESSINGS)}, got {preprocess!r}")
    device = _own_device() if device == "auto" else device
    path, architecture = file_of(source)
    if source.startswith("laclip:"):
        path = laclip.fetch(source.removeprefix("laclip:"))
    if path is None:
        model, config, tokenizer = known_model(source)
    elif projections := _read_projections(path):
        clip = load_model(projections.pop("base"), device, preprocess)
        if (projections["image_key"], projections["text_key"]) != clip.trunk_keys:
            raise ValueError(f"{path} was fine-tuned on other trunk weights than {clip.base!r} has now")
        return clip.with_projections(projections["image_neurons"], projections["text_neurons"], path.stem)
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
    header |= {"kind": KIND, "base": absolute(clip.base)} | dict(zip(["image_key", "text_key"], clip.trunk_keys))
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, f"{path}.part", header)
    os.chmod(f"{path}.part", 0o644)  # safetensors keeps its files to their owner
    os.replace(f"{path}.part", path)


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
    if missing := [name for name in FACTS if name not in header] + [name for name in PROJECTIONS if name not in weights]:
        raise ValueError(f"{path}: a file of fine-tuned projections, but it lacks {', '.join(missing)}")
    return header | weights


def _cut(source, model, config, tokenizer, device, preprocess):
    """Cut a model's towers and wrap it."""
    tokens = tokenizer(["a photo of a dog", "two small squares, 3 large circles & more"])
    known = getattr(model, "text", model).vocab_size
    if tokens.max() >= known > 0:
        raise ValueError(f"{source}: its tokenizer gives tokens up to {tokens.max()}, its text tower knows "
                         f"{known}")
    image, text = towers.cut(model, tokens, source)
    keys = towers.digests(model, config["model_cfg"])
    settings = merge_preprocess_dict(PreprocessCfg(), config.get("preprocess_cfg", {}))
    settings |= {"size": model.visual.image_size} | PREPROCESSINGS[preprocess]
    settings |= {key: tuple(settings[key]) for key in ["mean", "std"]}  # JSON has lists
    words = [tokens.tolist(), sorted(getattr(tokenizer, "encoder", {}).items())]
    move = {"device": device, "dtype": torch.float32}
    return ClipModel(
        name=Path(source.removeprefix("local-dir:")).name if os.path.exists(source) else source, base=source,
        device=device, logit_scale=model.logit_scale.exp().item(),
        preprocess=image_transform_v2(PreprocessCfg(**settings), is_train=False),
        preprocess_name=preprocess, tokenizer=tokenizer,
        image_neurons=image.neurons.to(**move), text_neurons=text.neurons.to(**move),
        image_bias=None if image.bias is None else image.bias.to(**move),
        text_bias=None if text.bias is None else text.bias.to(**move),
        image_key=_digest(keys[0], settings), text_key=_digest(keys[1], words), trunk_keys=keys,
        trunks=model.requires_grad_(False).to(device, memory_format=torch.channels_last))  # as embeddings.runner's batches


def _digest(*facts):
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()
