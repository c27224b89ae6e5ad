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
    """A CLIP model in eval mode, float32, its towers cut before the projections; no gradients.

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
        Digests of a tower's trunk and of what feeds it: models with equal keys share their trunk
        features.
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
    trunks: nn.Module | None  # open_clip's model without its projections

    @property
    def d(self) -> int:
        """Neurons."""
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
        """The same trunks, shared, under other projections.

        Parameters
        ----------
        image_neurons, text_neurons : float tensors of shape (d, width_I) and (d, width_T)
            Copied, onto this model's device.
        name : str, optional
            What to call it, this model's name unless said.
        image_bias, text_bias : float tensor of shape (d,), optional
            Those that are not given stay.
        logit_scale : float, optional
            This model's unless said.

        Raises
        ------
        ValueError
            For other shapes, NaN or infinity, a scale that is not positive.
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
        """The same projections alone, which are little of a model's memory: nothing is encoded."""
        other = copy.copy(self)
        other.trunks = None
        return other


def measuring_device(clip: ClipModel) -> torch.device:
    """Where a model's embeddings are measured: on its device, or on the CPU for Apple's, which has
    no double precision, in which intervals are computed.
    """
    return torch.device("cpu") if clip.device.type == "mps" else clip.device


def neurons_by_tower(clip: ClipModel) -> dict[str, torch.Tensor]:
    """The neurons of both towers on the CPU, (d, width) each, as "image" and "text"."""
    return {"image": clip.image_neurons.cpu(), "text": clip.text_neurons.cpu()}
