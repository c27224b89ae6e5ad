"""Run a text tower over only as many positions as its texts need.

CLIP reads 77 positions; a caption or prompt fills 10 to 20 of them. If each position attends only
to earlier ones, what follows the end of a text changes nothing.
"""

import copy

import torch
from torch import nn


def encode_text(model: nn.Module, tokens: torch.Tensor) -> torch.Tensor:
    """`model.encode_text(tokens)`, not normalised, in less time for short texts.

    Parameters
    ----------
    model : an open_clip model
        All positions are run if they attend both ways, or if the model is not read at the text's
        end.
    tokens : int64 tensor of shape (n, context_length)
        A text's largest token ends it, as with open_clip's tokenizer.

    Returns
    -------
    features : float tensor of shape (n, width)
        Equal to those over all positions but for rounding.
    """
    if not _looks_back(model):
        return model.encode_text(tokens, normalize=False)
    length = int(tokens.argmax(1).max()) + 1
    short = copy.copy(model)  # the same layers, with fewer positions
    places = nn.Parameter(model.positional_embedding[:length], requires_grad=False)
    short._parameters = model._parameters | {"positional_embedding": places}
    short._buffers = model._buffers | {"attn_mask": model.attn_mask[:length, :length]}
    return short.encode_text(tokens[:, :length], normalize=False)


def _looks_back(model):
    """Whether `model` itself holds its text tower: causal attention, read at the text's end."""
    causal = getattr(model, "attn_mask", None) is not None
    return causal and getattr(model, "text_pool_type", None) == "argmax"
