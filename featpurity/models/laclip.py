"""LaCLIP's published checkpoints: where they are, and how they become open_clip models.

References
----------
Fan et al. (2023), Improving CLIP Training with Language Rewrites.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from featpurity.files import did_you_mean, file_digest, locked, workspace, write_text

if TYPE_CHECKING:  # planning a run needs no torch
    from torch import Tensor

CHECKPOINTS = Path("checkpoints")  # folder of LaCLIP's published files, in the project's root
# Dropbox addresses: a share's folder and file, or a file's id and key.
_SHARED = {
    "cc3m_clip": "5jsthdm85r2nfpz/cc3m_clip.pt",
    "cc3m_laclip": "k2e1tgsfmo0afme/cc3m_laclip.pt",
    "cc12m_clip": "wwfq3txw4tk1yzj/cc12m_clip.pt",
    "cc12m_laclip": "lle8x0tdxssfz11/cc12m_laclip.pt",
    "redcaps_clip": "qvrvkwsy6j26suv/redcaps_clip.pt",
    "redcaps_laclip": "wpedkikz46gfzmg/redcaps_laclip.pt",
    "laion400m_clip_vitb32": "zskxrso4pc4pe3j/laion400m_clip.pt",
    "laion400m_laclip_vitb32": "ahj8ys8uufndy9y/laion400m_laclip.pt",
}
_KEYED = {
    "laion400m_clip_vitb16": ("e235mjd5lkhu8h5nk4ovn", "s6guy23m8eyl7zzhfmyn1xt21"),
    "laion400m_laclip_vitb16": ("il3o958e2hvun2ei774ao", "0domivxgaimqrfyuruak0h96b"),
    "laion400m_clip_vitl14": ("o61athl9ijt2pufoplpsh", "ri0fzco6b5yfs7aryxvxc9rvw"),
    "laion400m_laclip_vitl14": ("v9y0vtgfjisctl0qyufdg", "pdyzxpjeji1mw1xztn5gptqgo"),
}
_HOST = "https://www.dropbox.com"
# LaCLIP's published checkpoints: each data set (and size) trained with the original captions and
# with rewritten ones.
URLS = {name: f"{_HOST}/s/{path}?dl=1" for name, path in _SHARED.items()} | {
    name: f"{_HOST}/scl/fi/{file}/{name}.pt?rlkey={key}&dl=1"
    for name, (file, key) in _KEYED.items()
}
_ARCHITECTURES = {"vitb32": "ViT-B-32", "vitb16": "ViT-B-16", "vitl14": "ViT-L-14-quickgelu"}
LIKE = "ViT-B-16"  # of the size of those whose architecture only the tensors show


def published_name(url: str) -> str:
    """The file name at the end of an address."""
    return url.partition("?")[0].rpartition("/")[2]


def file_of(name: str, folder: str | Path | None = None) -> Path:
    """Path of a published checkpoint, under its name or its published one; else where to put it."""
    folder = workspace(folder or CHECKPOINTS)
    places = [folder / f"{name}.pt", folder / published_name(URLS[name])]
    return next((place for place in places if place.is_file()), places[0])


def architecture_of(name: str) -> str | None:
    """open_clip's architecture for a checkpoint's name or file name; None if only tensors tell."""
    known = next(
        (key for key, url in URLS.items() if name in (key, Path(published_name(url)).stem)), ""
    )
    return _ARCHITECTURES.get(known.rpartition("_")[2])


IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def is_laclip(weights: Mapping[str, Tensor]) -> bool:
    """Whether a state dict has the layout of LaCLIP's own models."""
    return "image_projection" in weights and "visual.cls_token" in weights


def open_clip_config(weights: Mapping[str, Tensor], text_heads: int = 8) -> dict[str, Any]:
    """open_clip's configuration for a LaCLIP state dict, read from the shapes of its tensors.

    Parameters
    ----------
    weights : dict of str to tensor
    text_heads : int, default 8
        The one number that no shape reveals; 8 in all published checkpoints.

    Returns
    -------
    config : dict
        With `model_cfg` and `preprocess_cfg`, as in an `open_clip_config.json`.

    Raises
    ------
    ValueError
        If a tensor that determines the architecture is missing.
    """
    try:
        width, d = weights["image_projection"].shape
        patch = weights["visual.patch_embed.proj.weight"].shape[-1]
        image_size = patch * math.isqrt(weights["visual.pos_embed"].shape[1] - 1)
        heads = width // len(weights["visual.blocks.0.attn.q_norm.weight"])
        context_length, text_width = weights["positional_embedding"].shape
        vocab_size = len(weights["token_embedding.weight"])
    except KeyError as error:
        raise ValueError(f"looks like a LaCLIP checkpoint, but lacks {error}") from error
    tower = _register(width, _depth(weights, "visual.blocks."), heads, patch, image_size)
    return {
        "model_cfg": {
            "embed_dim": d,
            "quick_gelu": True,  # for the text tower: timm's towers keep GELU
            "vision_cfg": {
                "timm_model_name": tower,
                "timm_pool": "token",
                "timm_proj": "linear",
                "timm_proj_bias": False,
                "image_size": image_size,
            },
            "text_cfg": {
                "context_length": context_length,
                "vocab_size": vocab_size,
                "width": text_width,
                "heads": text_heads,
                "layers": _depth(weights, "transformer.resblocks."),
            },
        },
        "preprocess_cfg": {
            "mean": IMAGENET_MEAN,
            "std": IMAGENET_STD,
            "interpolation": "bilinear",
            "resize_mode": "shortest",
        },
    }


def to_open_clip(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A LaCLIP state dict under open_clip's keys."""
    renamed = {}
    for name, value in weights.items():
        if name == "image_projection":
            renamed["visual.head.proj.weight"] = value.T
        elif name.startswith("visual."):
            renamed["visual.trunk." + name.removeprefix("visual.")] = value
        else:
            renamed[name] = value
    return renamed


def _depth(weights, prefix):
    return len(
        {name[len(prefix) :].partition(".")[0] for name in weights if name.startswith(prefix)}
    )


def _register(width, depth, heads, patch, image_size):
    """Register the vision tower with timm, as open_clip passes timm only a name."""
    import timm  # late: planning a run does not need it
    from timm.models import register_model

    name = f"vit_qknorm_w{width}_l{depth}_h{heads}_patch{patch}_{image_size}"

    def build(
        pretrained=False,
        pretrained_cfg=None,
        pretrained_cfg_overlay=None,
        cache_dir=None,
        **options,
    ):
        return timm.create_model(
            "vit_base_patch16_224",
            qk_norm=True,
            embed_dim=width,
            depth=depth,
            num_heads=heads,
            patch_size=patch,
            img_size=image_size,
            **options,
        )

    if not timm.is_model(name):
        build.__name__ = name
        register_model(build)
    return name


def fetch(name: str, folder: str | Path | None = None) -> Path:
    """The file of a published checkpoint, downloaded on first use; a broken download resumes.

    A file already in the folder, under this name or its published one, is used. Its SHA-256 is
    written beside it the first time and checked from then on.

    Parameters
    ----------
    name : str
        A key of `URLS`.
    folder : str or Path, optional
        By default `checkpoints` in the project's root.

    Raises
    ------
    ValueError
        For an unknown name, or a file other than the one first seen.
    requests.RequestException
        If the download fails; what has arrived is kept, and the message names the file to put in
        place.
    """
    import requests

    if name not in URLS:
        raise ValueError(f"unknown LaCLIP checkpoint {name!r}, {did_you_mean(name, URLS)}")
    folder = file_of(name, folder).parent
    folder.mkdir(parents=True, exist_ok=True)
    writable = os.access(folder, os.W_OK)
    # If several processes want the file, one downloads it and the others wait.
    with locked(folder / f"{name}.lock"):
        path = file_of(name, folder)
        record = path.with_name(f"{path.name}.sha256")
        expected = record.read_text().split()[0] if record.is_file() else None
        if new := not path.is_file():
            try:
                download(URLS[name], path)
            except requests.RequestException as error:  # e.g. on a node without a network
                raise type(error)(f"{error} (or put the file there yourself: {path})") from error
        found = file_digest(path)
        if expected is None and writable:
            write_text(record, f"{found}  {path.name}\n")
        elif expected not in (None, found) and new:
            path.unlink()
            raise ValueError(
                f"{URLS[name]}: what it sends as {path.name} is another file than the one seen at "
                f"first: its SHA-256 is {found}, {record} says {expected}"
            )
        elif expected not in (None, found):
            raise ValueError(
                f"{path}: its SHA-256 is {found}, but {record.name} says {expected}; "
                "delete the one that is wrong, and results that came from it"
            )
    return path


def download(url: str, path: Path) -> None:
    """Download a file, with a progress bar, resuming where an earlier download broke off."""
    import requests
    from tqdm.auto import tqdm

    part = path.with_name(f"{published_name(url)}.part")
    # The server's tag of the file's version that the part belongs to.
    tag = part.with_name(f"{part.name}.tag")
    have = part.stat().st_size if part.is_file() and tag.is_file() else 0
    headers = {"Range": f"bytes={have}-", "If-Range": tag.read_text()} if have else {}
    with requests.get(url, headers=headers, stream=True, timeout=30) as answer:
        if answer.status_code == 416:  # nothing left to send: stopped at its very end
            if answer.headers.get("Content-Range") == f"bytes */{have}":
                os.replace(part, path)
                return
            tag.unlink()
            raise requests.ConnectionError(f"{url} has changed; run it again to begin anew")
        answer.raise_for_status()
        if answer.headers.get("Content-Type", "").startswith("text/html"):
            raise ValueError(f"{url} answered with a web page, not with a checkpoint")
        have = have if answer.status_code == 206 else 0
        mark = answer.headers.get("ETag") or answer.headers.get("Last-Modified")
        tag.write_text(mark) if mark else tag.unlink(missing_ok=True)
        size = (
            have + int(answer.headers["Content-Length"])
            if "Content-Length" in answer.headers
            else None
        )
        with (
            part.open("ab" if have else "wb") as file,
            tqdm(
                desc=published_name(url), initial=have, total=size, unit="B", unit_scale=True
            ) as bar,
        ):
            for block in answer.iter_content(2**16):  # the most that a broken connection loses
                file.write(block)
                bar.update(len(block))
    if size is not None and part.stat().st_size != size:
        raise requests.ConnectionError(
            f"{url} broke off after {part.stat().st_size} of {size} bytes; run it again to go on"
        )
    os.replace(part, path)
    tag.unlink(missing_ok=True)
