"""Fine-tune the two projections of a CLIP model on captions, right or misaligned; everything else is frozen.

Two ways with the same steps: *cached* on stored trunk features (here, one run;
`featpurity.training.cached`, many), and *online*, the paper's way, where the frozen towers see
every image at every step:

    torchrun --nproc_per_node=4 -m featpurity.training.finetune --train-data pairs.csv --output-dir
    results/online
"""

import argparse
import logging
import os
from datetime import timedelta
from pathlib import Path

import torch

from featpurity.captions.files import read_captions
from featpurity.training.evaluate import zero_shot_on
from featpurity.training.settings import Settings


def parse(arguments=None):
    """The options, with the names and defaults of the paper's training where it has them."""
    parser = argparse.ArgumentParser(
        prog="python -m featpurity.training.finetune",
        description="Fine-tune projections online, the paper's way.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add(
        "--train-data",
        required=True,
        help="CSV with columns image and caption, or no header, or a name: scenes, photos",
    )
    add("--root", help="folder of the images")
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
    add("--output-dir", required=True)
    add("--model", default="scenes_laclip", help="what load_model takes")
    add("--preprocess", choices=["native", "paper", "paper-bicubic"], default="native")
    add("--epochs", type=int, default=10)
    add("--warmup-epochs", type=int, default=1)
    add(
        "--batch-size",
        type=int,
        default=256,
        help="pairs a process takes through the towers at once",
    )
    add("--update-freq", type=int, default=1, help="such batches that make one step together")
    add("--lr", type=float, default=1e-3)
    add("--lr-start", type=float, default=1e-6)
    add("--lr-end", type=float, default=1e-5)
    add("--wd", type=float, default=0.5)
    add("--betas", type=float, nargs=2, default=(0.9, 0.98))
    add("--train-logit-scale", action="store_true")
    add(
        "--no-augmentation",
        action="store_true",
        help="the preprocessing alone, no RandomResizedCrop",
    )
    add(
        "--precision",
        choices=["fp32", "bf16", "fp16"],
        default=None,
        help="of the frozen towers; without it bf16 on a GPU, else fp32",
    )
    add("--device", default="cuda" if torch.cuda.is_available() else "cpu", choices=["cpu", "cuda"])
    add("--workers", type=int, default=0)
    add("--seed", type=int, default=0)
    add(
        "--resume",
        help="a last.pt of the same training; the output folder's own is found by itself",
    )
    return parser.parse_args(arguments)


def main(arguments=None):
    """Train as the options say; torchrun starts one such process a GPU."""
    chosen = parse(arguments)
    from featpurity.data.pairs import load_pairs  # late: --help answers at once
    from featpurity.features.extract import refuse_unreadable
    from featpurity.models.load import load_model
    from featpurity.training.online import train

    world = int(os.environ.get("WORLD_SIZE", 1))
    device = torch.device(
        f"cuda:{os.environ.get('LOCAL_RANK', 0)}" if chosen.device == "cuda" else "cpu"
    )
    if world > 1:
        backend = "nccl" if chosen.device == "cuda" else "gloo"
        torch.distributed.init_process_group(
            backend, timeout=timedelta(hours=2)
        )  # one opens all pictures, others wait
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    pairs = load_pairs(chosen.train_data, root=chosen.root)
    if int(os.environ.get("RANK", 0)) == 0:  # for all
        refuse_unreadable(pairs, Path(chosen.output_dir, "store"))
    texts = caption_choices(pairs, chosen.captions, chosen.augmented_caption_filelist)
    clip = load_model(chosen.model, device, chosen.preprocess)
    precision = chosen.precision or ("bf16" if chosen.device == "cuda" else "fp32")
    settings = Settings(
        chosen.epochs,
        chosen.batch_size * chosen.update_freq * world,
        chosen.lr,
        chosen.wd,
        tuple(chosen.betas),
        chosen.warmup_epochs,
        chosen.lr_start,
        chosen.lr_end,
        chosen.train_logit_scale,
    )
    own = Path(chosen.output_dir, "last.pt")
    train(
        clip,
        pairs.images,
        texts,
        chosen.output_dir,
        settings,
        seed=chosen.seed,
        update_freq=chosen.update_freq,
        augment=not chosen.no_augmentation,
        precision=precision,
        workers=chosen.workers,
        evaluate=_imagenet(clip, chosen, precision),
        resume=chosen.resume or (own if own.is_file() else None),
    )
    if world > 1:
        torch.distributed.destroy_process_group()


def caption_choices(pairs, captions_file=None, rewritten_files=()):
    """The texts of each image: its captions, or a file's in place of them all, and those of further
    files.
    """
    choices = [[caption, *rewrites] for caption, rewrites in zip(pairs.captions, pairs.rewrites)]
    if captions_file:
        choices = [[] for _ in choices]
    for file in [captions_file, *rewritten_files] if captions_file else rewritten_files:
        lines = read_captions(file)
        if len(lines) != len(choices):
            raise ValueError(
                f"{file}: expected a line for each of {len(choices)} images, got {len(lines)}"
            )
        choices = [[*texts, line] for texts, line in zip(choices, lines)]
    return choices


def _imagenet(clip, chosen, precision):
    """The zero-shot accuracy on ImageNet as a function of the neurons; the towers see its images
    once.
    """
    if not chosen.imagenet_root:
        return None
    from featpurity.data.datasets import load_dataset

    dataset = load_dataset("imagenet", root=chosen.imagenet_root)
    return zero_shot_on(
        clip,
        [dataset],
        "laclip",
        Path(chosen.output_dir, "store"),
        chosen.workers,
        precision=precision,
    )


if __name__ == "__main__":
    main()
