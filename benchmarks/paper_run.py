"""The profile `paper` at its real size: its chapters on stored features of synthetic numbers.

    python benchmarks/paper_run.py [--share 0.1] [--imagenet] [--device cuda]

Models and data sets have the shapes of the profile's own: twelve models of untrained weights, and
eight data sets (with --imagenet a ninth) of as many images and classes as the published ones, each
image a picture of a few bytes. No tower runs: features of random numbers round a centre for each
class are written into the store, under the keys that the chapters look them up by. Then the real
notebooks run, one after the other, each in a process of its own as in the workflow. Prints a
Markdown table of their times and of the most memory that each held.

With --share S each data set has that share of its images, but at least two a class. Expected are
the times that `make plan` tells for the same profile.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import open_clip
import torch
import torch.nn.functional as F
import yaml
from common import machine, markdown
from peak_memory import measured
from PIL import Image
from safetensors.torch import save_file
from tqdm import tqdm

from featpurity.data import prompts
from featpurity.data.catalog import CATALOG
from featpurity.data.class_names import imagenet_names
from featpurity.data.datasets import load_dataset
from featpurity.data.published import CIFAR10_CLASSES
from featpurity.features import extract
from featpurity.models import split
from featpurity.models.laclip import LIKE, architecture_of
from featpurity.models.load import load_model
from featpurity.profile import CLAIMS, COMPARISON, PRUNING, load

ROOT = Path(__file__).parent.parent
CHAPTERS = [COMPARISON, PRUNING, CLAIMS]
NOISE = 14.0  # of the features, against centres of length 1: accuracies between chance and 1


def write_model(folder, name, layers=None):
    """A folder with untrained weights of a published checkpoint's architecture."""
    config = {"model_cfg": open_clip.get_model_config(architecture_of(name) or LIKE)}
    if layers:
        config["model_cfg"]["vision_cfg"]["layers"] = layers
        config["model_cfg"]["text_cfg"]["layers"] = layers
    folder.mkdir(parents=True)
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    torch.manual_seed(sum(map(ord, name)))
    weights = split.build(config).state_dict()
    save_file(
        {name: values.contiguous() for name, values in weights.items()},
        folder / "open_clip_model.safetensors",
    )


def write_pictures(root, name, share):
    """Class folders of pictures of one pixel, as many as the published data set has.

    Classes differ in size by a factor of about three, as in data sets that are not balanced.
    """
    record = CATALOG[name]
    classes = [f"class_{i:03d}" for i in range(record.classes)]
    if name == "cifar10":
        classes = CIFAR10_CLASSES
    if name.startswith("imagenet"):
        classes = list(imagenet_names())
    n = max(2 * len(classes), round(share * record.images))
    sizes = np.linspace(0.5, 1.5, len(classes))
    counts = np.maximum(2, np.floor(sizes * n / len(classes))).astype(int)
    for number, (label, count) in enumerate(zip(classes, counts)):
        folder = root / name / "test" / label
        folder.mkdir(parents=True)
        picture = Image.new("RGB", (1, 1), (number % 256, number // 256, 0))
        picture.save(folder / "0.ppm")
        content = (folder / "0.ppm").read_bytes()
        for i in range(1, count):
            (folder / f"{i}.ppm").write_bytes(content)


def fill_store(clip, dataset, templates, store, precision):
    """Features round a centre for each class, of its images and of its prompts."""
    draw = torch.Generator().manual_seed(0)
    d, width = clip.image_neurons.shape
    n_classes = len(dataset.classes)
    centres = F.normalize(torch.randn(n_classes, width, generator=draw), dim=1)
    centres += F.normalize(torch.randn(width, generator=draw), dim=0)  # a cone, as CLIP's are

    def write(shards, rows_of):
        for start, stop in shards.missing:
            shards.add(start, stop, rows_of(start, stop).to(kind), f"{clip.name}, synthetic")

    def images(start, stop):
        noise = torch.randn(stop - start, width, generator=draw) * NOISE / width**0.5
        return centres[dataset.labels[start:stop]] + noise

    kind = extract.PRECISIONS[precision] or torch.float32
    key, n = dataset.images_key, len(dataset)
    write(extract.image_shards(clip, key, n, store, precision), images)
    # What the text projection takes to where the image projection takes the centres.
    targets = torch.linalg.lstsq(clip.text_neurons, clip.project_image(centres).T).solution.T
    texts = prompts.fill(dataset.classes, templates)
    unique = list(dict.fromkeys(texts))
    rows = targets.repeat_interleave(len(templates), 0)[[texts.index(text) for text in unique]]
    write(extract.text_shards(clip, unique, store, precision), lambda start, stop: rows[start:stop])


def prepare(folder, options):
    """Models, pictures and stored features below a folder; the profile that reads them."""
    profile = load("paper", folder=ROOT / "profiles")
    datasets = options.datasets or profile.datasets
    datasets = [*datasets, *["imagenet"] * options.imagenet]
    names = {}
    for role in ("clip_models", "laclip_models"):
        published = [name.removeprefix("laclip:") for name in getattr(profile, role)]
        names[role] = published[: options.pairs]
    for name in tqdm([*names["clip_models"], *names["laclip_models"]], desc="models"):
        write_model(folder / "models" / name, name, options.layers)
    for name in tqdm(datasets, desc="pictures"):
        write_pictures(folder / "data", name, options.share)
    models = {
        role: [f"local-dir:{folder}/models/{name}" for name in of_role]
        for role, of_role in names.items()
    }
    profile = replace(
        profile,
        **models,
        name="paper_run",
        chapters=CHAPTERS,
        datasets=datasets,
        data_root=str(folder / "data"),
        device=options.device,
        n_random_orders=options.orders or profile.n_random_orders,
        results_dir=str(folder / "results"),
        store_dir=str(folder / "store"),
    )
    opened = {name: load_dataset(name, profile.data_root) for name in datasets}
    for source in tqdm(profile.models, desc="features"):
        clip = load_model(source, preprocess=profile.preprocess)
        for name, dataset in opened.items():
            templates = prompts.prompt_set(profile.prompts, dataset=name)
            fill_store(clip, dataset, templates, profile.store_dir, profile.precision)
    return profile, sum(map(len, opened.values()))


def run_chapter(chapter, profile, folder):
    """Run a notebook as the workflow does: its row of the table."""
    notebook = ROOT / "notebooks" / f"{chapter}.ipynb"
    sys.path.insert(0, str(ROOT / "workflow"))
    from fingerprint import declared_parameters

    settings = profile.parameters()
    values = {key: settings[key] for key in declared_parameters(notebook) if key in settings}
    command = [sys.executable, ROOT / "workflow/run_notebook.py", notebook]
    command += [folder / f"{chapter}.ipynb", folder / f"{chapter}.log", yaml.safe_dump(values)]
    status, seconds, busy, gib = measured(
        list(map(str, command)),
        cwd=ROOT,
        stderr=None if sys.stderr.isatty() else subprocess.DEVNULL,
    )
    if status:
        raise SystemExit((folder / f"{chapter}.log").read_text()[-4000:])
    row = {"chapter": chapter, "seconds": f"{seconds:.0f}", "of processors": f"{busy:.0f}"}
    return row | {"GiB at most": f"{gib:.2f}"}


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--share", type=float, default=1.0, help="of each data set's images")
    parser.add_argument("--imagenet", action="store_true", help="with ImageNet's 50,000 images")
    parser.add_argument("--datasets", nargs="+", help="left out, the profile's")
    parser.add_argument("--pairs", type=int, help="only the first so many pairs of models")
    parser.add_argument("--orders", type=int, help="random orders; left out, the profile's")
    parser.add_argument("--layers", type=int, help="of the towers; left out, the published ones'")
    parser.add_argument("--device", default="auto")
    parser.add_argument(
        "--folder", type=Path, help="a new one, for 15 GB that stay; left out, a temporary one"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as own:
        folder = (options.folder or Path(own)).absolute()
        os.environ["FEATPURITY_CACHE"] = str(folder / "cache")
        profile, n_images = prepare(folder, options)
        rows = [run_chapter(chapter, profile, folder) for chapter in profile.chapters]
    about = (
        f"{len(profile.models)} models, {len(profile.datasets)} data sets, {n_images:,} images, "
    )
    about += f"{profile.n_random_orders} random orders, share {options.share:g}"
    print(f"{machine()}\n{about}\n\n{markdown(rows)}")


if __name__ == "__main__":
    main()
