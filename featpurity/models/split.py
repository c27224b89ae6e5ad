"""Cut open_clip's towers before their linear projections, and check the cut.

Neuron j gives coordinate j of the shared space: a column of `visual.proj` and of a
`text_projection` Parameter, a row of a Linear's weight (timm tower, attention pool of a modified
ResNet, `text_projection` elsewhere).
"""

import copy
import importlib.util
import json
from dataclasses import dataclass
from typing import Any

import open_clip
import torch
import torch.nn.functional as F
from open_clip.modified_resnet import AttentionPool2d, ModifiedResNet
from open_clip.timm_model import TimmModel
from torch import nn

from featpurity.files import digest, raw


@dataclass
class Projection:
    """A tower's last step: neurons (d, width) as rows, bias (d,) or None."""

    neurons: torch.Tensor
    bias: torch.Tensor | None

    def __call__(self, features):
        return F.linear(features, self.neurons, self.bias)


def build(config: dict[str, Any]) -> nn.Module:
    """An open_clip model with random weights, from a configuration with `model_cfg`.

    Nothing is downloaded except the Hugging Face configuration of a text tower that has one.
    """
    settings = copy.deepcopy(config["model_cfg"])  # changed below
    hugging_face = "hf_model_name" in settings["text_cfg"]
    custom_text = settings.pop("custom_text", False) or hugging_face
    if hugging_face:
        settings["text_cfg"]["hf_model_pretrained"] = False
    if "timm_model_name" in settings["vision_cfg"]:
        settings["vision_cfg"]["timm_model_pretrained"] = False
    if "multimodal_cfg" in settings:
        return open_clip.CoCa(**settings)
    return open_clip.CustomTextCLIP(**settings) if custom_text else open_clip.CLIP(**settings)


def check_text_tower(name: str, text_cfg: dict[str, Any]) -> None:
    """Raise ValueError if a Hugging Face text tower has no neurons or its package is missing."""
    tower = text_cfg.get("hf_model_name")
    projection = text_cfg.get("hf_proj_type", "mlp")  # open_clip's default
    if tower and projection != "linear":
        raise ValueError(
            f"{name}: its text tower has no linear projection, so no neurons: {tower} ends in "
            f"{projection!r}"
        )
    wanted = tower or text_cfg.get("hf_tokenizer_name")
    if wanted and not importlib.util.find_spec("transformers"):
        raise ValueError(
            f"{name}: {wanted} comes from Hugging Face's transformers, which is not installed: "
            "pip install 'featpurity[hf]'"
        )


@torch.no_grad()
def cut(model: nn.Module, tokens: torch.Tensor, name: str) -> tuple[Projection, Projection]:
    """Take the projections off a model, whose `encode_*` methods then give trunk features.

    Parameters
    ----------
    model : open_clip's CLIP, CustomTextCLIP or CoCa, in eval mode; changed in place
    tokens : int64 tensor of shape (n, context_length)
        Texts with which to check the cut.
    name : str
        The model's name, for messages.

    Returns
    -------
    image, text : Projection

    Raises
    ------
    ValueError
        If a tower does not end in a linear projection, or trunk features x projection is not the
        embedding.
    """
    size = model.visual.image_size
    height, width = size if isinstance(size, (tuple, list)) else (size, size)
    images = torch.randn(2, 3, height, width, generator=torch.Generator().manual_seed(0))
    steps = {
        "image": lambda: model.encode_image(images, normalize=False),
        "text": lambda: model.encode_text(tokens, normalize=False),
    }
    embeddings = {tower: step() for tower, step in steps.items()}
    places = {"image": _image_projection(model.visual), "text": _text_projection(model)}
    projections = []
    for tower, (owner, attribute, reason) in places.items():
        if owner is None:
            raise ValueError(
                f"{name}: its {tower} tower has no linear projection, so no neurons: {reason}"
            )
        projection = _take_off(owner, attribute)
        features = steps[tower]()
        error = (
            (projection(features) - embeddings[tower]).abs().max()
            if features.ndim == 2
            else torch.inf
        )
        scale = embeddings[tower].abs().max()
        if not error <= 1e-4 * scale:
            raise ValueError(
                f"{name}: {attribute} of the {tower} tower is not its last step: trunk features "
                f"x projection is off by {error:.2g} in embeddings of up to {scale:.2g}"
            )
        projections.append(projection)
    return tuple(projections)


def _image_projection(visual):
    """(owner, attribute, None) of an image tower's projection, or (None, None, reason)."""
    if isinstance(visual, TimmModel):
        last = list(visual.head.named_children())[-1:]
        if not last:
            classifier = visual.trunk.get_classifier()
            if not isinstance(classifier, nn.Linear):
                return None, None, f"{type(visual.trunk).__name__} ends in its pooling"
            place = next(
                path for path, module in visual.trunk.named_modules() if module is classifier
            )
            owner, _, attribute = place.rpartition(".")
            return visual.trunk.get_submodule(owner), attribute, None
        attribute, module = last[0]
        if attribute == "mlp":
            return None, None, "it ends in an MLP head"
        return (visual.head, "proj", None) if attribute == "proj" else (module, "proj", None)
    if isinstance(visual, ModifiedResNet):
        return visual.attnpool, "c_proj", None
    if getattr(visual, "proj", None) is None:
        return None, None, f"{type(visual).__name__} has none"
    return visual, "proj", None


def _text_projection(model):
    """(owner, attribute, None) of a text tower's projection, or (None, None, reason)."""
    owner = getattr(model, "text", model)
    attribute = "text_projection" if hasattr(owner, "text_projection") else "proj"
    projection = getattr(owner, attribute, None)
    if isinstance(projection, nn.Sequential):
        return None, None, "it ends in an MLP head"
    if projection is None or isinstance(projection, nn.Identity):
        return None, None, "its last layer norm makes the embedding"
    return owner, attribute, None


def _take_off(owner, attribute):
    """Remove a projection from its owner and return it."""
    found = getattr(owner, attribute)
    if isinstance(found, nn.Parameter):
        setattr(owner, attribute, None)
        return Projection(found.detach().T.contiguous(), None)
    if isinstance(owner, AttentionPool2d):  # it passes weight and bias to PyTorch's attention
        identity = nn.Linear(found.in_features, found.in_features).requires_grad_(False)
        identity.weight.copy_(torch.eye(found.in_features))
        identity.bias.zero_()
        setattr(owner, attribute, identity)
    else:
        setattr(owner, attribute, None if attribute == "text_projection" else nn.Identity())
    bias = None if found.bias is None else found.bias.detach().clone()
    return Projection(found.weight.detach().clone(), bias)


def digests(model: nn.Module, config: dict[str, Any]) -> tuple[str, str]:
    """SHA-256 of the settings and weights of the image and the text tower that `cut` left."""
    shared = {"quick_gelu": config.get("quick_gelu", False)}
    facts = {
        tower: [json.dumps(shared | config[f"{tower}_cfg"], sort_keys=True).encode()]
        for tower in ["vision", "text"]
    }
    for name, value in sorted(model.state_dict().items()):
        if not name.startswith("logit_"):
            tower = "vision" if name.startswith("visual.") else "text"
            facts[tower] += [f"{name} {tuple(value.shape)} {value.dtype}".encode(), raw(value)]
    return digest(*facts["vision"]), digest(*facts["text"])
