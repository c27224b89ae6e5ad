"""The command `featpurity finetune`: train projections online, with the paper's options.

For several GPUs, torchrun starts one process per GPU:

    torchrun --nproc_per_node=4 -m featpurity finetune --train-data pairs.csv --output-dir online

The training itself is in `featpurity.training.online`.
"""

from __future__ import annotations

import argparse
import logging
import os
import re
import warnings
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from featpurity.profile import CHOICES

if TYPE_CHECKING:  # --help answers at once
    from featpurity.data.pairs import CaptionedImages

PAPERS_MODEL = re.compile(r"(CLIP|SLIP|SIMCLR)_VIT\w+")  # of the paper's training, without weights


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options, with the paper's names and defaults where its training has them."""
    add = parser.add_argument
    add(
        "--train-data",
        required=True,
        help="CSV with columns image and caption, or no header, or a name: scenes, photos",
    )
    add("--root", "--data-root", help="folder of the images")
    add(
        "--captions",
        help="text file, line n for image n, in place of all captions: a swapped one, say",
    )
    add(
        "--augmented-caption-filelist",
        "--augmented_caption_filelist",
        nargs="+",
        default=[],
        help="text files of rewritten captions",
    )
    add(
        "--imagenet-root",
        help="ImageNet's folder, or the one it is in, for the zero-shot accuracy after each epoch",
    )
    add(
        "--output-dir",
        "--out",
        required=True,
        help="gets models, history.csv, options.json and last.pt",
    )
    add("--model", default="scenes_laclip", help="what load_model takes (default: %(default)s)")
    add(
        "--preprocess",
        choices=CHOICES["preprocess"],
        default="native",
        help="as the model was trained, or as the paper's scripts do it (default: %(default)s)",
    )
    numbers = {  # type, default, meaning
        "--epochs": (int, 10, "passes over the pairs"),
        "--warmup-epochs": (int, 1, "the first of them, over which the learning rate rises"),
        "--batch-size": (int, 256, "pairs a process takes through the towers at once"),
        "--update-freq": (int, 1, "such batches that make one step together"),
        "--lr": (float, 1e-3, "highest learning rate"),
        "--lr-start": (float, 1e-6, "learning rate of the first step"),
        "--lr-end": (float, 1e-5, "learning rate that the cosine falls to"),
        "--wd": (float, 0.5, "weight decay"),
        "--workers": (int, 0, "processes that decode pictures, for each card"),
        "--seed": (int, 0, "of the order of the pairs, the crops and the captions drawn"),
    }
    for name, (kind, default, about) in numbers.items():
        add(name, type=kind, default=default, help=f"{about} (default: %(default)s)")
    add(
        "--betas",
        type=float,
        nargs=2,
        default=[0.9, 0.98],
        help="AdamW's two decay rates (default: 0.9 0.98)",
    )
    add("--train-logit-scale", action="store_true", help="train the logit scale as well")
    add(
        "--no-augmentation",
        action="store_true",
        help="the preprocessing alone, no RandomResizedCrop",
    )
    add(
        "--precision",
        choices=CHOICES["precision"],
        help="of the frozen towers; without it bf16 on a GPU, else fp32",
    )
    add(
        "--device",
        choices=["auto", "cpu", "cuda"],
        default="auto",
        help="auto: a GPU, if there is one",
    )
    add(
        "--resume",
        help="a last.pt of the same training; the output folder's own is found by itself",
    )


def run(options: argparse.Namespace) -> str:
    """Train as the options say, in this process (one per GPU under torchrun); return a report.

    Raises
    ------
    ValueError, FileNotFoundError
        Before any picture is opened: for names, files, lengths or settings that do not fit.
    """
    _check_names(options)
    import torch  # late: --help answers at once

    from featpurity.data.datasets import load_dataset
    from featpurity.data.pairs import load_pairs
    from featpurity.features.extract import cut_captions, picture_remarks
    from featpurity.models.device import pick_device
    from featpurity.models.load import load_model
    from featpurity.training.evaluate import zero_shot_on
    from featpurity.training.online import train

    world, rank = (int(os.environ.get(name, n)) for name, n in [("WORLD_SIZE", 1), ("RANK", 0)])
    device = pick_device(options.device)
    precision = options.precision or ("bf16" if device.type == "cuda" else "fp32")
    settings, out = _settings(options, world), Path(options.output_dir).expanduser()
    if world > 1:
        backend = "nccl" if device.type == "cuda" else "gloo"
        torch.distributed.init_process_group(backend, timeout=timedelta(hours=2))
    if rank > 0:  # the first process downloads what is not there, the others find it then
        torch.distributed.barrier()
    pairs = load_pairs(options.train_data, root=options.root)
    seen = options.imagenet_root and load_dataset("imagenet", root=options.imagenet_root)
    if world > 1 and rank == 0:
        torch.distributed.barrier()
    texts = caption_choices(pairs, options.captions, options.augmented_caption_filelist)
    settings.steps_per_epoch(len(pairs))

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    warnings.filterwarnings("ignore", "torch.distributed.nn", FutureWarning)  # open_clip's loss
    clip = load_model(options.model, device, options.preprocess)
    if rank == 0:
        for line in picture_remarks([pairs], out / "store") + cut_captions(clip, pairs):
            logging.info(line)
    towers = dict(workers=options.workers, precision=precision)
    evaluate = zero_shot_on(clip, [seen], "laclip", out / "store", **towers) if seen else None
    own = out / "last.pt"
    asked = {name: value for name, value in vars(options).items() if not callable(value)}
    *_, history = train(
        clip,
        pairs.images,
        texts,
        out,
        settings,
        seed=options.seed,
        update_freq=options.update_freq,
        augment=not options.no_augmentation,
        evaluate=evaluate,
        resume=options.resume or (own if own.is_file() else None),
        options=asked | {"processes": world},
        **towers,
    )
    if world > 1:
        torch.distributed.destroy_process_group()
    return f"{history.epoch.max()} epochs trained: {out}/last.safetensors and best.safetensors"


def _check_names(options: argparse.Namespace) -> None:
    """Raise for an impossible model or state; for the paper's own model names, suggest others."""
    from featpurity.files import located  # late: --help answers at once
    from featpurity.models.names import resolve

    if PAPERS_MODEL.fullmatch(options.model):
        raise ValueError(
            f"--model {options.model} names an architecture of the paper's training; here a model "
            "comes with its weights: --model laclip:cc3m_laclip, or --model FILE of a checkpoint"
        )
    file = located(options.model)
    if file.suffix in {".pt", ".pth"} and ":" not in options.model and not file.is_file():
        raise FileNotFoundError(f"--model: there is no file {options.model}")
    resolve(options.model)
    if options.resume and not Path(options.resume).is_file():
        raise FileNotFoundError(
            f"--resume: there is no file {options.resume}; an unfinished training is found by "
            "itself, as last.pt in --output-dir, and --model FILE starts from a checkpoint"
        )


def caption_choices(
    pairs: CaptionedImages, captions_file: str | None = None, rewritten_files: Sequence[str] = ()
) -> list[list[str]]:
    """The texts of each image: its captions or those of a file instead, and rewrites from files."""
    from featpurity.captions.files import read_captions  # late: brings pandas

    choices = [[caption, *rewrites] for caption, rewrites in zip(pairs.captions, pairs.rewrites)]
    if captions_file:
        choices = [[] for _ in choices]
    for file in filter(None, [captions_file, *rewritten_files]):
        lines = read_captions(file)
        if len(lines) != len(choices):
            raise ValueError(
                f"{file}: expected a line for each of {len(choices)} images, got {len(lines)}"
            )
        choices = [[*texts, line] for texts, line in zip(choices, lines)]
    return choices


def _settings(options, world):
    from featpurity.training.settings import Settings

    if options.update_freq < 1:
        raise ValueError(f"--update-freq: expected 1 or more, got {options.update_freq}")
    return Settings(
        options.epochs,
        options.batch_size * options.update_freq * world,
        options.lr,
        options.wd,
        tuple(options.betas),
        options.warmup_epochs,
        options.lr_start,
        options.lr_end,
        options.train_logit_scale,
    )
