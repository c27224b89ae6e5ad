"""A CLIP model whose towers end in linear projections."""

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from featpurity.models.short_texts import encode_text


@dataclass(eq=False, repr=False)
class ClipModel:
    """A CLIP model, float32, in eval mode, with towers cut before the projections and no gradients.

    Attributes
    ----------
    name, base : str
        What to call it, and the name with which `load_model` loads its trunks.
    d : int
        Number of neurons: the size of the shared space.
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
        Digests of each tower's trunk and its preprocessing or tokens: models with equal keys share
        trunk features.
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
    trunks: nn.Module | None  # the open_clip model without its projections

    @property
    def d(self) -> int:
        """Number of neurons."""
        return len(self.image_neurons)

    def __repr__(self):
        widths = self.image_neurons.shape[1], self.text_neurons.shape[1]
        return (
            f"ClipModel({self.name!r}, d={self.d}, widths={widths}, device={str(self.device)!r}, "
            f"preprocess_name={self.preprocess_name!r})"
        )

    def _trunks(self):
        if self.trunks is None:
            raise ValueError(f"{self.name}: its trunks were left behind; load it with load_model")
        return self.trunks

    @torch.no_grad()
    def image_trunk(self, images: torch.Tensor) -> torch.Tensor:
        """Images (n, 3, S, S), as `preprocess` makes them, to trunk features (n, width_I)."""
        return self._trunks().encode_image(images.to(self.device), normalize=False)

    @torch.no_grad()
    def text_trunk(self, tokens: torch.Tensor) -> torch.Tensor:
        """Tokens (n, context_length) to trunk features (n, width_T)."""
        return encode_text(self._trunks(), tokens.to(self.device))

    @torch.no_grad()
    def project_image(self, features: torch.Tensor) -> torch.Tensor:
        """Trunk features (n, width_I) to embeddings (n, d), not normalised."""
        return F.linear(features.to(self.image_neurons), self.image_neurons, self.image_bias)

    @torch.no_grad()
    def project_text(self, features: torch.Tensor) -> torch.Tensor:
        """Trunk features (n, width_T) to embeddings (n, d), not normalised."""
        return F.linear(features.to(self.text_neurons), self.text_neurons, self.text_bias)

    def encode_image(self, images: torch.Tensor) -> torch.Tensor:
        """Images (n, 3, S, S) to embeddings (n, d), not normalised."""
        return self.project_image(self.image_trunk(images))

    def encode_text(self, tokens: torch.Tensor) -> torch.Tensor:
        """Tokens (n, context_length) to embeddings (n, d), not normalised."""
        return self.project_text(self.text_trunk(tokens))

    def with_projections(
        self,
        image_neurons: torch.Tensor,
        text_neurons: torch.Tensor,
        name: str | None = None,
        image_bias: torch.Tensor | None = None,
        text_bias: torch.Tensor | None = None,
        logit_scale: float | None = None,
    ) -> "ClipModel":
        """The same trunks, shared, with other projections.

        Parameters
        ----------
        image_neurons, text_neurons : float tensors of shape (d, width_I) and (d, width_T)
            Copied to this model's device.
        name : str, optional
            By default this model's name.
        image_bias, text_bias : float tensor of shape (d,), optional
            By default this model's.
        logit_scale : float, optional
            By default this model's.

        Raises
        ------
        ValueError
            For other shapes, NaN or infinity, or a scale that is not positive.
        """
        scale = self.logit_scale if logit_scale is None else logit_scale
        if not 0 < scale < math.inf:
            raise ValueError(f"logit_scale: expected a positive number, got {scale}")
        own = {"image_neurons": self.image_neurons, "text_neurons": self.text_neurons}
        given = {"image_neurons": image_neurons, "text_neurons": text_neurons}
        for tower, bias in {"image": image_bias, "text": text_bias}.items():
            if bias is not None:
                given[f"{tower}_bias"] = bias
                own[f"{tower}_bias"] = self.image_neurons[:, 0]
        other = copy.copy(self)
        for part, values in given.items():
            expected, values = own[part].shape, torch.as_tensor(values)
            if values.shape != expected or not torch.isfinite(values).all():
                raise ValueError(
                    f"{part}: expected finite numbers of shape {tuple(expected)}, got "
                    f"{tuple(values.shape)}{' with NaN or infinity' * (values.shape == expected)}"
                )
            setattr(other, part, values.detach().to(self.image_neurons, copy=True))
        other.name, other.logit_scale = name or self.name, scale
        return other

    def without_trunks(self) -> "ClipModel":
        """The projections alone, a small part of a model's memory: it cannot encode anything."""
        other = copy.copy(self)
        other.trunks = None
        return other


def measuring_device(clip: ClipModel) -> torch.device:
    """Where to measure a model's embeddings: on its device, but for Apple's on the CPU.

    Intervals are computed in double precision, which Apple's devices lack.
    """
    return torch.device("cpu") if clip.device.type == "mps" else clip.device


def neurons_by_tower(clip: ClipModel) -> dict[str, torch.Tensor]:
    """The neurons of both towers on the CPU, (d, width) each, as "image" and "text"."""
    return {"image": clip.image_neurons.cpu(), "text": clip.text_neurons.cpu()}
