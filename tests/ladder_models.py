"""Two groups of tiny models whose weights were spoilt by noise of different size: a ladder without a download."""

import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from featpurity import load_dataset

BUNDLED = Path(__file__).resolve().parents[1] / "featpurity/assets/models"
NOISE = (0.0, 0.1, 0.2, 0.4)


def write_ladder(folder):
    """Copies of both bundled models with noise added to every weight matrix, in `folder/GROUP/noise_SIZE`.

    Returns
    -------
    models : list of str
        Names that `load_model` takes, `len(NOISE)` to a group.
    """
    models = []
    for group in ("scenes_clip", "scenes_laclip"):
        for size in NOISE:
            copy = Path(folder, group, f"noise_{size:g}")
            shutil.copytree(BUNDLED / group, copy)
            weights = load_file(copy / "open_clip_model.safetensors")
            generator = torch.Generator().manual_seed(len(models))
            for name, weight in weights.items():
                if weight.is_floating_point() and weight.ndim > 1:
                    noise = (
                        torch.randn(weight.shape, generator=generator) * weight.float().std() * size
                    )
                    weights[name] = (weight.float() + noise).half()
            save_file(weights, copy / "open_clip_model.safetensors")
            models.append(f"local-dir:{copy}")
    return models


def write_pictures(folder, n=400):
    """The first generated pictures as class folders by colour; the data set's name."""
    dataset = load_dataset("scenes_colour")
    for index in range(n):
        picture, label = dataset[index]
        (folder / dataset.classes[label]).mkdir(parents=True, exist_ok=True)
        picture.save(folder / dataset.classes[label] / f"{index:03}.png")
    return f"folder:{folder}"
