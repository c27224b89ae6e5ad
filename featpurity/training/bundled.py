"""Train pairs of small models from scratch: CLIP on raw captions, LaCLIP on rewritten ones too.

Both models of a pair see the same pictures in the same order for the same number of steps, from the
same seed; at each step LaCLIP takes one of a picture's raw and rewritten captions at random. The
pairs of two profiles are bundled; pairs of other seeds show the effect of chance on training.
`featpurity pretrain` is the command.

References
----------
Fan et al. (2023), Improving CLIP Training with Language Rewrites.
"""

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from open_clip.tokenizer import SimpleTokenizer
from PIL import Image
from tqdm import tqdm

from featpurity.captions.synthetic import make_captions, scene_facts
from featpurity.data.catalog import find
from featpurity.data.datasets import read
from featpurity.data.scenes import Scenes
from featpurity.files import write_tensors, write_text
from featpurity.models.config import CONFIG, MERGES
from featpurity.models.names import BUNDLED
from featpurity.training.bpe import write_merges
from featpurity.training.model_card import measure, setting_lines, write_card
from featpurity.training.scratch import MEAN, STD, Recipe, train

N_SCENES, N_REWRITES = 30_000, 4
RECIPES = {
    "scenes": Recipe(),
    "photos": Recipe(
        vision={"layers": [2, 2, 2, 1], "width": 16},
        epochs=12,
        batch_size=128,
        augment=True,
        bf16=False,
        text={"width": 128, "heads": 4, "layers": 1, "context_length": 20},
    ),
}


def load_training(
    profile: str, size: int, data_root: str | Path | None
) -> tuple[np.ndarray, list[dict]]:
    """Pictures as uint8 (n, size, size, 3), and the facts of each."""
    if profile == "scenes":
        images = Scenes(N_SCENES, seed=0, size=size)
        facts = [scene_facts(row) for row in images.attributes]
    else:
        found = find("cifar10", data_root, "train")
        images, classes, labels = read(found, "train", download=True)
        facts = [{"class": classes[label]} for label in labels]
    pictures = np.empty((len(images), size, size, 3), dtype=np.uint8)
    for i in tqdm(range(len(images)), desc=f"pictures of {profile}", mininterval=5):
        pictures[i] = np.asarray(images[i].resize((size, size), Image.Resampling.BICUBIC))
    return pictures, facts


def make_pairs(
    profile: str,
    seeds: Sequence[int] = (),
    data_root: str | Path | None = None,
    out: str | Path = BUNDLED,
    recipe: Recipe | None = None,
    work: str | Path = "checkpoints/pretrain",
    device: str = "cpu",
) -> list[Path]:
    """Train, measure and write both models of a profile, once or for several seeds.

    A killed call resumes where it was. Existing folders of `seeds` are kept; the bundled pair is
    made again.

    Parameters
    ----------
    profile : {"scenes", "photos"}
    seeds : sequence of int
        Each sets the captions, the first weights and the order of the pictures, which stay the
        same. By default, the recipe's own seed.
    data_root : path, default "data" in the project's root
        Where CIFAR-10 is or is downloaded to; `scenes` needs none.
    out : path
        Gets the folders `{profile}_clip` and `{profile}_laclip`, with the suffix `_seed{seed}` for
        `seeds`.
    recipe : Recipe, optional
        By default the profile's own.
    work : path
        For the states of unfinished trainings, which are removed at the end.
    device : str, default "cpu"

    Returns
    -------
    folders : list of two paths per pair

    Raises
    ------
    ValueError
        If a folder of one of the `seeds` was made with another recipe.
    """
    recipe, folders, wanted = recipe or RECIPES[profile], [], []
    for seed in seeds or [None]:
        suffix = "" if seed is None else f"_seed{seed}"
        seeded = recipe if seed is None else replace(recipe, seed=seed)
        pair = {kind: Path(out, f"{profile}_{kind}{suffix}") for kind in ("laclip", "clip")}
        made = [_is_made(folder, seeded) for folder in pair.values()] if suffix else [False]
        folders += pair.values()
        wanted += [] if all(made) else [(pair, seeded)]
    if wanted:
        pictures, facts = load_training(profile, recipe.image_size, data_root)
        for pair, seeded in wanted:
            _make_pair(profile, pair, seeded, pictures, facts, data_root, work, device)
    return folders


def _is_made(folder, recipe):
    """Whether a folder holds a recipe's finished model; a ValueError for another recipe's."""
    card = folder / "README.md"  # written last
    if not card.is_file():
        return False
    if setting_lines(recipe) not in card.read_text(encoding="utf-8"):
        raise ValueError(
            f"{folder} was made with other settings than {recipe}; move it away to train anew"
        )
    return True


def _make_pair(profile, folders, recipe, pictures, facts, data_root, work, device):
    captions, rewrites, _ = make_captions(facts, recipe.seed, N_REWRITES)
    columns = [captions, *map(list, zip(*rewrites))]
    checkpoints = []
    for kind, target in folders.items():
        folder = Path(work) / target.name  # moved into place only when complete
        folder.mkdir(parents=True, exist_ok=True)
        write_merges(folder / MERGES, (text for column in columns for text in column))
        length = recipe.text["context_length"]
        tokenizer = SimpleTokenizer(str(folder / MERGES), context_length=length)
        used = columns if kind == "laclip" else columns[:1]
        tokens = [tokenizer(column).numpy() for column in used]
        tokens = np.stack(tokens, axis=1)  # (n, n_captions, context)
        checkpoints.append(folder.with_suffix(".pt"))
        model, history = train(
            recipe, pictures, tokens, tokenizer.vocab_size, checkpoints[-1], device=device
        )
        _save_model(folder, recipe, model, tokenizer.vocab_size)
        accuracy = measure(folder, profile, data_root)
        about = (recipe, len(pictures), N_REWRITES, history, accuracy)
        write_card(folder, profile, kind, *about)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(target, ignore_errors=True)
        shutil.move(folder, target)
    for checkpoint in checkpoints:  # only now: a pair killed in its second half keeps the first
        checkpoint.unlink()


def _save_model(
    folder: str | Path, recipe: Recipe, model: torch.nn.Module, vocab_size: int
) -> None:
    """Write configuration and float16 weights for `open_clip.create_model("local-dir:FOLDER")`."""
    config = {
        "model_cfg": recipe.model_config(vocab_size),
        "preprocess_cfg": {
            "mean": MEAN,
            "std": STD,
            "interpolation": "bicubic",
            "resize_mode": "shortest",
        },
    }
    weights = {
        name: value.half() if value.is_floating_point() else value
        for name, value in model.state_dict().items()
    }
    write_text(Path(folder) / CONFIG, json.dumps(config, indent=2) + "\n")
    write_tensors(Path(folder) / "open_clip_model.safetensors", weights)
