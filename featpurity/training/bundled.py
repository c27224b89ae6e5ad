"""The bundled small models, made from scratch in pairs: CLIP on raw captions, LaCLIP on raw and rewritten.

Both models of a pair see the same pictures in the same order for as many steps, from the same seed;
at each step LaCLIP takes one of a picture's raw and rewritten captions at random. `python -m
featpurity.training.bundled` makes all four again.

References
----------
Fan et al. (2023), Improving CLIP Training with Language Rewrites.
"""

import argparse
import json
import os
import shutil
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import open_clip
import torch
import torch.nn.functional as F
from open_clip.tokenizer import SimpleTokenizer
from PIL import Image
from tqdm import tqdm

from featpurity.captions.synthetic import ATTRIBUTES, MISSING, SPURIOUS, make_captions, scene_facts
from featpurity.data.datasets import load_dataset, read_known
from featpurity.data.prompts import prompt_set
from featpurity.data.scenes import Scenes
from featpurity.features import extract
from featpurity.files import write_tensors, write_text
from featpurity.metrics import zeroshot
from featpurity.training.bpe import write_merges
from featpurity.training.scratch import MEAN, STD, Recipe, normalise, train

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
TESTS = {  # what a profile's models are measured on: data set -> prompt set
    "scenes": {f"scenes_{attribute}": "scenes" for attribute in ATTRIBUTES},
    "photos": {"cifar10": "paper"},
}
ASSETS = Path(__file__).parent.parent / "assets"
BUNDLED, CARD = ASSETS / "models", ASSETS / "model_card.md"


def load_training(profile, size, data_root):
    """Pictures as uint8 (n, size, size, 3), and each one's facts."""
    if profile == "scenes":
        images = Scenes(N_SCENES, seed=0, size=size)
        facts = [scene_facts(row) for row in images.attributes]
    else:
        images, classes, labels = read_known("cifar10", Path(data_root), "train", True)
        facts = [{"class": classes[label]} for label in labels]
    pictures = np.empty((len(images), size, size, 3), dtype=np.uint8)
    for i in tqdm(range(len(images)), desc=f"pictures of {profile}", mininterval=5):
        pictures[i] = np.asarray(
            images[i].convert("RGB").resize((size, size), Image.Resampling.BICUBIC)
        )
    return pictures, facts


def make_pair(profile, data_root="data", out=BUNDLED, recipe=None, work="checkpoints/pretrain"):
    """Train, measure and write both models of a profile.

    Parameters
    ----------
    profile : {"scenes", "photos"}
    data_root : path
        Where CIFAR-10 lies or is downloaded to; `scenes` needs none.
    out : path
        Gets the folders `{profile}_clip` and `{profile}_laclip`.
    recipe : Recipe, optional
        The profile's own by default.
    work : path
        For the states of trainings under way; emptied of them at the end.

    Returns
    -------
    folders : list of two paths
    """
    recipe = recipe or RECIPES[profile]
    pictures, facts = load_training(profile, recipe.image_size, data_root)
    captions, rewrites = make_captions(facts, recipe.seed, N_REWRITES)
    columns = [captions, *map(list, zip(*rewrites))]
    folders, checkpoints = [], []
    for kind, used in {"laclip": columns, "clip": columns[:1]}.items():
        folder = Path(work) / f"{profile}_{kind}"  # moved to its place only when it is whole
        folder.mkdir(parents=True, exist_ok=True)
        write_merges(folder / "bpe.txt.gz", (text for column in columns for text in column))
        tokenizer = read_tokenizer(folder, recipe.text["context_length"])
        tokens = np.stack(
            [tokenizer(column).numpy() for column in used], axis=1
        )  # (n, n_captions, context)
        checkpoints.append(Path(work) / f"{folder.name}.pt")
        model, history = train(recipe, pictures, tokens, tokenizer.vocab_size, checkpoints[-1])
        save_model(folder, recipe, model, tokenizer.vocab_size)
        write_card(
            folder, profile, recipe, len(pictures), history, measure(folder, profile, data_root)
        )
        folders.append(Path(out) / folder.name)
        folders[-1].parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(folders[-1], ignore_errors=True)
        shutil.move(folder, folders[-1])
    for (
        checkpoint
    ) in checkpoints:  # only now: a pair that is killed in its second half keeps the first
        checkpoint.unlink()
    return folders


def read_tokenizer(folder, context_length):
    """The tokenizer that belongs to a bundled model."""
    return SimpleTokenizer(bpe_path=str(Path(folder) / "bpe.txt.gz"), context_length=context_length)


def save_model(folder, recipe, model, vocab_size):
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
    write_text(Path(folder) / "open_clip_config.json", json.dumps(config, indent=2) + "\n")
    write_tensors(Path(folder) / "open_clip_model.safetensors", weights)


class _Saved:
    """A saved model, as far as `zeroshot.class_embeddings` needs one."""

    def __init__(self, folder):
        self.model = open_clip.create_model(f"local-dir:{folder}").eval()
        self.encode_text = self.model.encode_text
        self.tokenizer = read_tokenizer(folder, self.model.context_length)
        self.size = self.model.visual.image_size


@torch.no_grad()
def measure(folder, profile, data_root="data"):
    """Zero-shot accuracy of a saved model on its profile's test sets: data set -> share in [0, 1]."""
    clip, accuracy, embeddings = _Saved(folder), {}, {}
    for name, prompts in TESTS[profile].items():
        dataset = load_dataset(name, data_root)
        if dataset.images_key not in embeddings:
            side = (clip.size, clip.size) if isinstance(clip.size, int) else clip.size
            unit = []
            for start in tqdm(range(0, len(dataset), 250), desc=f"test on {name}", mininterval=5):
                pictures = [
                    dataset[i][0].resize(side, Image.Resampling.BICUBIC)
                    for i in range(start, min(start + 250, len(dataset)))
                ]
                unit.append(
                    F.normalize(clip.model.encode_image(normalise(np.stack(pictures))), dim=1)
                )
            embeddings[dataset.images_key] = torch.cat(unit)  # (n, d)
        classes = extract.class_embeddings(clip, dataset.classes, prompt_set(prompts, dataset=name))
        right = zeroshot.right_predictions(embeddings[dataset.images_key], classes, dataset.labels)
        accuracy[name] = right.float().mean().item()
    return accuracy


def write_card(folder, profile, recipe, n_pictures, history, accuracy):
    """The model card: what a reader has to know to use the model or to make it again."""
    rewritten = folder.name.endswith("laclip")
    data = {
        "scenes": f"{n_pictures} generated pictures, `featpurity.data.scenes.Scenes({n_pictures}, seed=0)`",
        "photos": f"The {n_pictures} training photographs of CIFAR-10 and their class names",
    }[profile]
    prompts = {
        "scenes": "the templates `featpurity.captions.synthetic.SCENE_TEMPLATES`, on 5,000 pictures of another seed",
        "photos": 'the prompt "a photo of a {}", on the 10,000 test photographs',
    }[profile]
    chosen = {
        "scenes": "Architecture and settings were chosen by the zero-shot accuracy of the LaCLIP model alone, on pictures\n"
        "kept apart for that.",
        "photos": "The number of epochs was set by the time at hand, not by accuracy: longer training was not tried.",
    }[profile]
    drawn = f"One of a raw and {N_REWRITES} rewritten captions a picture, drawn anew at each step."
    rows = {**accuracy, "mean": np.mean(list(accuracy.values()))}
    card = CARD.read_text(encoding="utf-8").format(
        name=folder.name,
        chosen=chosen,
        method="LaCLIP" if rewritten else "CLIP",
        profile=profile,
        data=data,
        captions=drawn if rewritten else "One raw caption a picture.",
        missing=MISSING,
        spurious=SPURIOUS,
        epochs=len(history),
        steps=n_pictures // recipe.batch_size,
        loss=history[-1]["loss"],
        minutes=sum(epoch["seconds"] for epoch in history) / 60,
        settings="\n".join(f"- {name}: {value}" for name, value in asdict(recipe).items()),
        seed=recipe.seed,
        accuracies="\n".join(f"| {name} | {value:.3f} |" for name, value in rows.items()),
        prompts=prompts,
        context_length=recipe.text["context_length"],
        image_size=recipe.image_size,
    )
    write_text(folder / "README.md", card)


def main(arguments=None):
    """Command line: make the models of the named profiles again."""
    parser = argparse.ArgumentParser(
        "python -m featpurity.training.bundled", description=__doc__.splitlines()[0]
    )
    parser.add_argument(
        "profiles",
        nargs="*",
        default=list(RECIPES),
        metavar="PROFILE",
        help=f"some of {', '.join(RECIPES)} (default: all)",
    )
    parser.add_argument(
        "--data-root", default=os.environ.get("DATA_ROOT", "data"), help="folder of CIFAR-10"
    )
    parser.add_argument("--out", default=BUNDLED, type=Path, help="where the models' folders go")
    parser.add_argument("--epochs", type=int, help="instead of the recipe's")
    options = parser.parse_args(arguments)
    if unknown := set(options.profiles) - set(RECIPES):
        parser.error(f"unknown profile {', '.join(unknown)}; expected some of {', '.join(RECIPES)}")
    for profile in options.profiles:
        recipe = replace(RECIPES[profile], epochs=options.epochs or RECIPES[profile].epochs)
        make_pair(profile, options.data_root, options.out, recipe)


if __name__ == "__main__":
    main()
