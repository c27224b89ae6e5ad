"""Checkpoints in LaCLIP's published layout, of weights that follow from their names and shapes alone."""

import argparse
import zlib
from collections import OrderedDict

import numpy as np
import torch

TINY = {"width": 96, "heads": 3, "depth": 2, "size": 64, "text": 64, "text_depth": 2, "d": 48}
PUBLISHED = {
    name: {
        "width": width,
        "heads": heads,
        "depth": depth,
        "size": 224,
        "text": 512,
        "text_depth": 12,
        "d": 512,
    }
    for name, width, heads, depth in [("S", 384, 12, 12), ("B", 768, 12, 12), ("L", 1024, 16, 24)]
}


def shapes(width, heads, depth, size, text, text_depth, d):
    """Names and shapes of LaCLIP's tensors."""
    yield from {
        "positional_embedding": (77, text),
        "image_projection": (width, d),
        "text_projection": (text, d),
        "logit_scale": (),
        "visual.cls_token": (1, 1, width),
        "visual.pos_embed": (1, (size // 16) ** 2 + 1, width),
        "visual.patch_embed.proj.weight": (width, 3, 16, 16),
        "visual.patch_embed.proj.bias": (width,),
        "visual.norm.weight": (width,),
        "visual.norm.bias": (width,),
        "ln_final.weight": (text,),
        "ln_final.bias": (text,),
        "token_embedding.weight": (49408, text),
    }.items()
    for block in range(depth):
        for layer, shape in {
            "norm1": (width,),
            "norm2": (width,),
            "attn.q_norm": (width // heads,),
            "attn.k_norm": (width // heads,),
            "attn.qkv": (3 * width, width),
            "attn.proj": (width, width),
            "mlp.fc1": (4 * width, width),
            "mlp.fc2": (width, 4 * width),
        }.items():
            yield f"visual.blocks.{block}.{layer}.weight", shape
            yield f"visual.blocks.{block}.{layer}.bias", shape[:1]
    for block in range(text_depth):
        for layer, shape in {
            "ln_1.": (text,),
            "ln_2.": (text,),
            "attn.in_proj_": (3 * text, text),
            "attn.out_proj.": (text, text),
            "mlp.c_fc.": (4 * text, text),
            "mlp.c_proj.": (text, 4 * text),
        }.items():
            yield f"transformer.resblocks.{block}.{layer}weight", shape
            yield f"transformer.resblocks.{block}.{layer}bias", shape[:1]


def uniform(name, shape):
    """Numbers of mean 0 and variance 1 that follow from a name and a shape, the same everywhere."""
    draws = np.random.Generator(np.random.PCG64(zlib.crc32(name.encode()))).random(
        int(np.prod(shape)), np.float32
    )
    return ((draws - np.float32(0.5)) * np.float32(12**0.5)).reshape(shape)


def weights_of(sizes, salt=""):
    """A whole state dict; another salt gives another model."""
    weights = OrderedDict()
    for name, shape in shapes(**sizes):
        value = uniform(name + salt, shape) * np.float32(0.02)
        layer = name.rpartition(".")[0].rpartition(".")[2]
        if name.endswith("weight") and (layer.startswith("ln_") or "norm" in layer):
            value = value + np.float32(1)
        weights[name] = torch.tensor(2.6592 if name == "logit_scale" else value)
    return weights


def write(path, weights):
    """What LaCLIP's training writes: weights under `module.`, and much that is none."""
    torch.save(
        {
            "epoch": 35,
            "state_dict": OrderedDict((f"module.{name}", value) for name, value in weights.items()),
            "optimizer": {
                "state": {},
                "param_groups": [{"lr": np.float64(1e-5), "betas": (0.9, 0.98)}],
            },
            "scaler": {"scale": 65536.0},
            "best_acc1": 15.5,
            "args": argparse.Namespace(model="CLIP_VITB16", betas=(0.9, 0.98), distributed=True),
        },
        path,
    )
    return path
