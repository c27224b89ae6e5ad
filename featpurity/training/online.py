"""Fine-tune the projections the paper's way: the frozen towers see every image at every step.

`featpurity finetune` is the command. Batches, draws and learning rates are those of cached
training, so that with one view and no augmentation both do the same. Each of several processes sees
its part of the global batch, and open_clip's loss gathers the features of all. With
``--update-freq`` the towers take a batch in parts; the loss still sees it whole, because only the
frozen trunks' outputs are kept.
"""

import json
import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import torch.distributed as dist
import torch.nn.functional as F
from open_clip import ClipLoss
from torch import nn
from torch.utils.data import DataLoader, Dataset
from torch.utils.tensorboard import SummaryWriter
from tqdm.auto import tqdm

from featpurity.features.crops import Crop
from featpurity.features.extract import runner
from featpurity.files import digest, save_table, write_text
from featpurity.models.clip import ClipModel
from featpurity.models.projections import save_projections
from featpurity.training.checkpoint import read_state, start_of, write_state
from featpurity.training.settings import Settings, plan_epoch
from featpurity.training.watch import look

log = logging.getLogger("featpurity")


class Projections(nn.Module):
    """The part of the model that trains: trunk features to unit embeddings and the logit scale."""

    def __init__(self, clip, train_logit_scale):
        super().__init__()
        self.image_neurons = nn.Parameter(clip.image_neurons.detach().float().clone())
        self.text_neurons = nn.Parameter(clip.text_neurons.detach().float().clone())
        scale = torch.tensor(math.log(clip.logit_scale), device=self.image_neurons.device)
        self.log_scale = nn.Parameter(scale, requires_grad=train_logit_scale)
        self.register_buffer("image_bias", clip.image_bias)
        self.register_buffer("text_bias", clip.text_bias)

    def neurons(self) -> tuple[torch.Tensor, torch.Tensor]:
        """The current neurons, image then text, (d, width) each, without gradients."""
        return self.image_neurons.detach(), self.text_neurons.detach()

    def forward(
        self, images: torch.Tensor, texts: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Trunk features (n, width) of both towers to unit embeddings (n, d), and the scale."""
        return (
            F.normalize(F.linear(images, self.image_neurons, self.image_bias), dim=1),
            F.normalize(F.linear(texts, self.text_neurons, self.text_bias), dim=1),
            self.log_scale.exp(),
        )


class DrawnPairs(Dataset):
    """Item (i, image_draw, text_draw): image i, cropped by its draw, and one of its texts."""

    def __init__(self, images, texts, preprocess, augment):
        self.images, self.texts, self.preprocess = images, texts, preprocess
        self.crop = Crop(preprocess) if augment else None

    def __len__(self):
        return len(self.images)

    def __getitem__(self, item):
        i, image_draw, text_draw = map(int, item)
        image = self.images[i]
        if self.crop:  # seeded by the draw: the same crop in any process and after a resume
            image = self.crop(image, image_draw)
        return self.preprocess(image), self.texts[i][text_draw % len(self.texts[i])]


def train(
    clip: ClipModel,
    images: Sequence,
    texts: list[list[str]],
    output_dir: str | Path,
    settings: Settings,
    *,
    seed: int = 0,
    update_freq: int = 1,
    augment: bool = True,
    precision: str = "fp32",
    workers: int = 0,
    evaluate: Callable | None = None,
    resume: str | Path | None = None,
    overwrite: bool = False,
    options: dict | None = None,
) -> tuple[torch.Tensor, torch.Tensor, pd.DataFrame]:
    """Train the projections on images and texts; in a process group, every process calls this.

    Parameters
    ----------
    clip : ClipModel
        Left unchanged.
    images : sequence of n PIL images
    texts : list of n lists of str
        Texts of each image; one is drawn at each step.
    output_dir : str or Path
        Gets history.csv, TensorBoard's scalars, last.pt to resume from, and the projections of the
        last and of the best epoch (by mean accuracy, or without `evaluate` by loss) as files that
        `load_model` reads.
    settings : Settings
        Its batch size is the total over all processes.
    seed : int, default 0
    update_freq : int, default 1
        Number of parts in which a process takes its batch through the towers.
    augment : bool, default True
        RandomResizedCrop(0.5, 1) before the preprocessing.
    precision : {"fp32", "bf16", "fp16"}
        Of the frozen towers (autocast) and of their features, as in the store; the projections
        train in float32.
    workers : int
    evaluate : callable, optional
        See `featpurity.training.cached.sweep_projections`.
    resume : str or Path, optional
        A last.pt; finished epochs are not repeated, and the numbers are those of an unbroken run.
    overwrite : bool, default False
        Whether to train anew if that last.pt is of another training; otherwise it is a ValueError.
    options : dict, optional
        Plain values of the options of this call, kept as options.json.

    Returns
    -------
    image_neurons, text_neurons : float tensors of shape (d, width), on the CPU
    history : DataFrame, one row per epoch; epoch 0 is before training

    Raises
    ------
    ValueError
        If images and texts differ in number or are fewer than a batch, a batch does not divide, or
        last.pt is of another training; the message names what differs.
    FloatingPointError
        If a loss is not finite; the message names the step and this process's pairs.
    """
    rank, world = (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)
    _check_batches(images, texts, settings, world, update_freq)
    n = len(images)
    n_steps = settings.steps_per_epoch(n)
    device = torch.device(clip.device)
    projections = Projections(clip, settings.train_logit_scale).to(device)
    model = projections
    if world > 1:
        model = nn.parallel.DistributedDataParallel(
            projections, [device] if device.type == "cuda" else None
        )
    trained = [projections.image_neurons, projections.text_neurons]
    optimiser = settings.optimiser(trained, projections.log_scale)
    loss_of = ClipLoss(gather_with_grad=True, rank=rank, world_size=world)  # exact at any size
    rates = settings.learning_rates(n_steps)
    scale = projections.log_scale.exp().item()
    before = {"epoch": 0, "loss": math.nan, "learning_rate": math.nan}
    before |= look(*projections.neurons(), scale, evaluate)
    identity = {
        **asdict(settings),
        "seed": seed,
        "augmentation": augment,
        "precision": precision,
        "model": [clip.image_key, clip.text_key],
        "images": getattr(images, "key", None),
        "captions": digest(texts),
        **start_of(clip, before),
    }
    state = read_state(resume, identity, device, overwrite) if resume else None
    history = state["history"] if state else [before]
    start = history[-1]["epoch"]
    if world > 1:
        _same_start(start, device)
    if state:
        projections.load_state_dict(state["projections"])
        optimiser.load_state_dict(state["optimiser"])
    data = DrawnPairs(images, texts, clip.preprocess, augment)
    record = _Record(Path(output_dir), clip, identity, start, options) if rank == 0 else None
    if record and not start:
        record.tell(before)
    if record and start >= settings.epochs:
        log.info("%s: all %d epochs were trained before; nothing is left to do", output_dir, start)

    for epoch in range(start, settings.epochs):
        plan = np.stack(plan_epoch(n, settings.batch_size, seed, epoch), axis=-1)
        mine = np.split(plan, world, axis=1)[rank]  # (n_steps, batch of this process, 3)
        total = 0.0
        batches = _trunk_batches(clip, data, mine, update_freq, precision, workers)
        shown = dict(desc=f"epoch {epoch + 1}", total=n_steps, unit="step", leave=False)
        for step, trunks in enumerate(tqdm(batches, disable=not record, **shown)):
            loss = loss_of(*model(*trunks))
            if not torch.isfinite(loss):
                raise FloatingPointError(
                    f"epoch {epoch + 1}, step {step}: the loss is {loss.item()}; the batch of "
                    f"process {rank} holds the pairs {mine[step, :, 0].tolist()}"
                )
            optimiser.zero_grad()
            loss.backward()
            settings.step(optimiser, rates[epoch * n_steps + step], projections.log_scale)
            total += loss.item()
        if record:
            seen = {"epoch": epoch + 1, "loss": total / n_steps}
            seen["learning_rate"] = optimiser.param_groups[0]["lr"]
            scale = projections.log_scale.exp().item()
            history.append(seen | look(*projections.neurons(), scale, evaluate))
            record.epoch(history, projections, optimiser)
    if record:
        record.board.close()
    return *(neurons.cpu() for neurons in projections.neurons()), pd.DataFrame(history)


def _check_batches(images, texts, settings, world, update_freq):
    """Raise ValueError for pictures without a text, or a batch that cannot be divided."""
    if len(texts) != len(images) or not all(texts):
        raise ValueError(
            f"expected at least one text for each of the {len(images)} images, "
            f"got texts for {len(texts)}"
        )
    if settings.batch_size % (world * update_freq):
        raise ValueError(
            f"batch_size: expected a multiple of {world} processes x {update_freq} parts, "
            f"got {settings.batch_size}"
        )


def _trunk_batches(clip, data, draws, update_freq, precision, workers):
    """Yield both towers' trunk features for each step's draws (n_steps, batch, 3), without a graph.

    Float32, as in cached training; a batch goes through the towers in parts.
    """
    towers = [runner(clip, trunk, precision) for trunk in (clip.image_trunk, clip.text_trunk)]
    parts = draws.reshape(len(draws) * update_freq, -1, 3)
    loader = DataLoader(
        data,
        batch_sampler=parts.tolist(),
        num_workers=workers,
        pin_memory=torch.device(clip.device).type == "cuda",
        generator=torch.Generator(),  # so that the workers' seeds do not use the user's generator
    )
    features = (
        (towers[0](pictures).float(), towers[1](clip.tokenizer(list(captions))).float())
        for pictures, captions in loader
    )
    for _ in draws:
        yield [torch.cat(part) for part in zip(*islice(features, update_freq))]


def _same_start(start, device):
    """Raise ValueError if processes would resume at different epochs; the first writes last.pt."""
    ends = torch.tensor([start, -start], device=device)
    dist.all_reduce(ends, dist.ReduceOp.MAX)
    if ends[0] != -ends[1]:
        raise ValueError(
            f"this process would go on after epoch {start}, another after {ends[0]} or before: "
            "expected one output folder, on a disk that all processes share"
        )


class _Record:
    """What the first process writes after each epoch."""

    def __init__(self, folder, clip, identity, start, options):
        folder.mkdir(parents=True, exist_ok=True)
        if options is not None:
            write_text(folder / "options.json", json.dumps(options, indent=1) + "\n")
        self.folder, self.clip, self.identity = folder, clip, identity
        again = start + 1 if start else 0  # TensorBoard hides older values from here on
        self.board = SummaryWriter(folder, purge_step=again)

    def tell(self, last):
        known = {name: value for name, value in last.items() if math.isfinite(value)}
        log.info("%s", "  ".join(f"{name} {value:.5g}" for name, value in known.items()))
        for name, value in known.items():
            self.board.add_scalar(name, value, last["epoch"])

    def epoch(self, history, projections, optimiser):
        last, table = history[-1], pd.DataFrame(history)
        self.tell(last)
        accuracies = [name for name in last if name.startswith("accuracy")]
        quality = table[accuracies].mean(axis=1) if accuracies else -table["loss"]
        save_table(table, self.folder / "history.csv")
        best = quality[1:].idxmax() == len(table) - 1  # epoch 0 was not trained
        for name in ["last", "best"] if best else ["last"]:
            path = self.folder / f"{name}.safetensors"
            trained = projections.log_scale.requires_grad
            scale = projections.log_scale.exp().item() if trained else None
            save_projections(path, self.clip, *projections.neurons(), scale)
        write_state(
            self.folder / "last.pt",
            identity=self.identity,
            projections=projections.state_dict(),
            optimiser=optimiser.state_dict(),
            history=history,
        )


if __name__ == "__main__":  # for torchrun -m, which starts the paper's training
    import runpy
    import sys

    sys.argv[1:1] = ["finetune"]
    runpy.run_module("featpurity", run_name="__main__")
