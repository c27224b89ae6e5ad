"""Fine-tune the two projections of a CLIP model on captions, right or misaligned; everything else is frozen.

Two ways with the same steps: *cached* on stored trunk features (here, one run; `featpurity.sweep`, many), and
*online*, the paper's way, where the frozen towers see every image at every step:

    torchrun --nproc_per_node=4 -m featpurity.finetune --train-data pairs.csv --output-dir results/online
"""

import argparse
import logging
import os
from datetime import timedelta
from pathlib import Path

import torch
import torch.nn.functional as F

from featpurity.caption_files import read_captions
from featpurity.schedule import Settings
from featpurity.sweep import sweep_projections
from featpurity.zeroshot import accuracy, fill


def finetune_projections(clip, image_features, text_features, permutation=None, *, seed=0, **options):
    """Train the two projections on stored trunk features with the symmetric contrastive loss.

    Parameters
    ----------
    clip : ClipModel
        Start of the training; it is not changed.
    image_features : float tensor of shape (n, width_image) or (n_views, n, width_image)
        Trunk features of the images; of several views one is drawn at each step.
    text_features : float tensor of shape (n, width_text) or (n_views, n, width_text)
        Trunk features of the captions.
    permutation : int64 array of shape (n,), optional
        Image i is paired with caption ``permutation[i]`` (see `swap_captions`).
    seed : int, default 0
    **options
        ``epochs=10, batch_size=1024, learning_rate=1e-3, weight_decay=0.5, betas=(0.9, 0.98),
        warmup_epochs=1, train_logit_scale=False`` and the others of `featpurity.schedule.Settings`;
        ``evaluate, device, checkpoint, overwrite, progress`` of `featpurity.sweep.sweep_projections`.

    Returns
    -------
    image_neurons, text_neurons : float tensors of shape (d, width), on the CPU
    history : DataFrame
        A row for each epoch, 0 is before training: epoch, loss, logit_scale, image_avg_abs_cos,
        text_avg_abs_cos, and what `evaluate` gave.

    Raises
    ------
    ValueError, FloatingPointError
        As `sweep_projections`.

    References
    ----------
    Sun, Zhang, Li & Wang (2025), Contrastive Learning with Data Misalignment; Fan et al. (2023), LaCLIP.
    """
    image_neurons, text_neurons, history = sweep_projections(clip, image_features, text_features,
                                                             [(permutation, seed)], **options)
    return image_neurons[0], text_neurons[0], history.drop(columns="run")


def zero_shot(clip, datasets, device=None):
    """A function of the neurons that gives the zero-shot accuracy on some data sets, for `evaluate`.

    Parameters
    ----------
    clip : ClipModel
        For its biases.
    datasets : dict of name -> (image_features, labels, prompt_features)
        Trunk features (n, width_image) and labels (n,) of the images, trunk features of the prompts
        (n_classes, n_templates, width_text). Data sets may share one tensor of images, projected once.
    device : str or torch.device, optional
        Where the training runs, if not where the features are.

    Returns
    -------
    evaluate : callable
        ``evaluate(image_neurons, text_neurons)`` -> dict with ``accuracy_<name>`` in [0, 1] and ``accuracy``,
        their mean.
    """
    moved = {}

    def move(tensor):  # a tensor that several data sets share stays one
        return None if tensor is None else moved.setdefault(id(tensor), tensor.to(device or tensor.device))

    image_bias, text_bias = move(clip.image_bias), move(clip.text_bias)
    datasets = {name: tuple(map(move, parts)) for name, parts in datasets.items()}

    @torch.no_grad()
    def evaluate(image_neurons, text_neurons):
        embedded, found = {}, {}
        for name, (images, labels, prompts) in datasets.items():
            if id(images) not in embedded:
                embedded[id(images)] = F.normalize(F.linear(images, image_neurons, image_bias), dim=1)
            units = F.normalize(F.linear(prompts, text_neurons, text_bias), dim=2)  # (classes, templates, d)
            classes = F.normalize(units.mean(1), dim=1)
            found[f"accuracy_{name}"] = accuracy(embedded[id(images)], classes, labels)
        return {**found, "accuracy": sum(found.values()) / len(found)}

    return evaluate


def zero_shot_on(clip, datasets, prompts, store=None, workers=0, **options):
    """`zero_shot` on labelled images, by trunk features that come from the store when they are there.

    Parameters
    ----------
    clip : ClipModel
    datasets : list of LabelledImages
        Those of the same pictures share one pass of the tower and one projection.
    prompts : str
        A prompt set, see `featpurity.prompts`.
    store, workers, **options
        See `featpurity.embeddings.image_trunk_features_of`.

    Returns
    -------
    evaluate : callable, see `zero_shot`; it computes on the model's device
    """
    from featpurity.embeddings import image_trunk_features, text_trunk_features  # late: --help answers at once
    from featpurity.prompts import prompt_set

    images, parts = {}, {}
    for dataset in datasets:
        templates = prompt_set(prompts, dataset=dataset.name)
        texts = text_trunk_features(clip, fill(dataset.classes, templates), store, **options).unflatten(0, (-1, len(templates)))
        if dataset.images_key not in images:
            images[dataset.images_key] = image_trunk_features(clip, dataset, store, workers=workers, **options)
        parts[dataset.name] = images[dataset.images_key], torch.as_tensor(dataset.labels), texts
    return zero_shot(clip, parts, clip.device)


def parse(arguments=None):
    """The options, with the names and defaults of the paper's training where it has them."""
    parser = argparse.ArgumentParser(
        prog="python -m featpurity.finetune", description="Fine-tune projections online, the paper's way.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    add = parser.add_argument
    add("--train-data", required=True, help="CSV with columns image and caption, or no header, or a name: scenes, photos")
    add("--root", help="folder of the images")
    add("--captions", help="text file, line n for image n, in place of all captions: a swapped one, say")
    add("--augmented-caption-filelist", "--augmented_caption_filelist", nargs="+", default=[],
        help="text files of rewritten captions")
    add("--imagenet-root", help="ImageNet's folder, or the one it is in, for the zero-shot accuracy after each epoch")
    add("--output-dir", required=True)
    add("--model", default="scenes_laclip", help="what load_model takes")
    add("--preprocess", choices=["native", "paper", "paper-bicubic"], default="native")
    add("--epochs", type=int, default=10)
    add("--warmup-epochs", type=int, default=1)
    add("--batch-size", type=int, default=256, help="pairs a process takes through the towers at once")
    add("--update-freq", type=int, default=1, help="such batches that make one step together")
    add("--lr", type=float, default=1e-3)
    add("--lr-start", type=float, default=1e-6)
    add("--lr-end", type=float, default=1e-5)
    add("--wd", type=float, default=0.5)
    add("--betas", type=float, nargs=2, default=(0.9, 0.98))
    add("--train-logit-scale", action="store_true")
    add("--no-augmentation", action="store_true", help="the preprocessing alone, no RandomResizedCrop")
    add("--precision", choices=["fp32", "bf16", "fp16"], default=None,
        help="of the frozen towers; without it bf16 on a GPU, else fp32")
    add("--device", default="cuda" if torch.cuda.is_available() else "cpu", choices=["cpu", "cuda"])
    add("--workers", type=int, default=0)
    add("--seed", type=int, default=0)
    add("--resume", help="a last.pt of the same training; the output folder's own is found by itself")
    return parser.parse_args(arguments)


def main(arguments=None):
    """Train as the options say; torchrun starts one such process a GPU."""
    chosen = parse(arguments)
    from featpurity.datasets import load_pairs  # late: --help answers at once
    from featpurity.embeddings import refuse_unreadable
    from featpurity.models import load_model
    from featpurity.online import train

    world = int(os.environ.get("WORLD_SIZE", 1))
    device = torch.device(f"cuda:{os.environ.get('LOCAL_RANK', 0)}" if chosen.device == "cuda" else "cpu")
    if world > 1:
        backend = "nccl" if chosen.device == "cuda" else "gloo"
        torch.distributed.init_process_group(backend, timeout=timedelta(hours=2))  # one opens all pictures, others wait
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    pairs = load_pairs(chosen.train_data, root=chosen.root)
    if int(os.environ.get("RANK", 0)) == 0:  # for all
        refuse_unreadable(pairs, Path(chosen.output_dir, "store"))
    texts = caption_choices(pairs, chosen.captions, chosen.augmented_caption_filelist)
    clip = load_model(chosen.model, device, chosen.preprocess)
    precision = chosen.precision or ("bf16" if chosen.device == "cuda" else "fp32")
    settings = Settings(chosen.epochs, chosen.batch_size * chosen.update_freq * world, chosen.lr, chosen.wd,
                        tuple(chosen.betas), chosen.warmup_epochs, chosen.lr_start, chosen.lr_end,
                        chosen.train_logit_scale)
    own = Path(chosen.output_dir, "last.pt")
    train(clip, pairs.images, texts, chosen.output_dir, settings, seed=chosen.seed,
          update_freq=chosen.update_freq, augment=not chosen.no_augmentation, precision=precision,
          workers=chosen.workers, evaluate=_imagenet(clip, chosen, precision),
          resume=chosen.resume or (own if own.is_file() else None))
    if world > 1:
        torch.distributed.destroy_process_group()


def caption_choices(pairs, captions_file=None, rewritten_files=()):
    """The texts of each image: its captions, or a file's in place of them all, and those of further files."""
    choices = [[caption, *rewrites] for caption, rewrites in zip(pairs.captions, pairs.rewrites)]
    if captions_file:
        choices = [[] for _ in choices]
    for file in [captions_file, *rewritten_files] if captions_file else rewritten_files:
        lines = read_captions(file)
        if len(lines) != len(choices):
            raise ValueError(f"{file}: expected a line for each of {len(choices)} images, got {len(lines)}")
        choices = [[*texts, line] for texts, line in zip(choices, lines)]
    return choices


def _imagenet(clip, chosen, precision):
    """The zero-shot accuracy on ImageNet as a function of the neurons; the towers see its images once."""
    if not chosen.imagenet_root:
        return None
    from featpurity.datasets import load_dataset

    dataset = load_dataset("imagenet", root=chosen.imagenet_root)
    return zero_shot_on(clip, [dataset], "laclip", Path(chosen.output_dir, "store"), chosen.workers, precision=precision)


if __name__ == "__main__":
    main()
