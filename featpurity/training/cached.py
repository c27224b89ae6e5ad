"""Fine-tune the two projections of a CLIP model on stored trunk features: one run, or many at once.

Everything but the projections is frozen, so their inputs are computed only once.
`featpurity.training.online` takes the same steps with the towers running.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from tqdm.auto import tqdm

from featpurity.files import digest
from featpurity.models.clip import ClipModel
from featpurity.models.device import pick_device
from featpurity.training.checkpoint import read_state, start_of, write_state
from featpurity.training.loss import contrastive
from featpurity.training.settings import Settings, plan_epoch
from featpurity.training.watch import look


def finetune_projections(
    clip: ClipModel,
    image_features: torch.Tensor,
    text_features: torch.Tensor,
    permutation: np.ndarray | None = None,
    *,
    seed: int = 0,
    **options: Any,
) -> tuple[torch.Tensor, torch.Tensor, pd.DataFrame]:
    """Train the two projections on stored trunk features with the symmetric contrastive loss.

    Parameters
    ----------
    clip : ClipModel
        Start of the training; left unchanged.
    image_features : float tensor of shape (n, width_image) or (n_views, n, width_image)
        Trunk features of the images; one of several views is drawn at each step.
    text_features : float tensor of shape (n, width_text) or (n_views, n, width_text)
        Trunk features of the captions.
    permutation : int64 array of shape (n,), optional
        Image i is paired with caption ``permutation[i]`` (see `swap_captions`).
    seed : int, default 0
    **options
        ``epochs=10, batch_size=1024, learning_rate=1e-3, weight_decay=0.5, betas=(0.9, 0.98),
        warmup_epochs=1, train_logit_scale=False`` and the others of
        `featpurity.training.settings.Settings`; ``evaluate, device, checkpoint, overwrite,
        progress`` of `featpurity.training.cached.sweep_projections`.

    Returns
    -------
    image_neurons, text_neurons : float tensors of shape (d, width), on the CPU
    history : DataFrame
        A row for each epoch, with epoch 0 before training: epoch, loss, logit_scale,
        image_avg_abs_cos, text_avg_abs_cos, and the results of `evaluate`.

    Raises
    ------
    ValueError, FloatingPointError
        As for `sweep_projections`.

    References
    ----------
    Sun, Zhang, Li & Wang (2025), Contrastive Learning with Data Misalignment; Fan et al. (2023),
    LaCLIP.
    """
    image_neurons, text_neurons, history = sweep_projections(
        clip, image_features, text_features, [(permutation, seed)], **options
    )
    return image_neurons[0], text_neurons[0], history.drop(columns="run")


# Entries of the similarity matrices (n_runs, batch, batch) computed at a time: enough to fill a
# CPU's cache, or 256 MB of a GPU. It only affects speed.
LOGITS_AT_ONCE = {"cpu": 2**18, "cuda": 2**26}


def sweep_projections(
    clip: ClipModel,
    image_features: torch.Tensor,
    text_features: torch.Tensor,
    runs: Sequence[tuple[np.ndarray | None, int]],
    *,
    evaluate: Callable | None = None,
    device: str | torch.device | None = None,
    checkpoint: str | Path | None = None,
    overwrite: bool = False,
    progress: bool = False,
    **settings: Any,
) -> tuple[torch.Tensor, torch.Tensor, pd.DataFrame]:
    """Fine-tune the projections of one model in many runs, side by side.

    Parameters
    ----------
    clip : ClipModel
        Start of every run; its biases and, by default, its logit scale stay as they are.
    image_features : float tensor of shape (n, width_image) or (n_views, n, width_image)
        Trunk features; one of an image's several views is drawn at each step.
    text_features : float tensor of shape (n, width_text) or (n_views, n, width_text)
    runs : list of (permutation, seed)
        Image i is paired with text ``permutation[i]``; None pairs it with text i. The seed
        determines order and views.
    evaluate : callable, optional
        ``evaluate(image_neurons, text_neurons) -> dict`` of numbers for the history, after each
        epoch.
    device : str or torch.device, optional
        Where to train; by default the features' device.
    checkpoint : str or Path, optional
        Written after each epoch; an unfinished sweep of the same runs, settings and features
        resumes from it.
    overwrite : bool, default False
        Whether to replace the checkpoint of another sweep; otherwise it is a ValueError.
    progress : bool, default False
    **settings
        Fields of `featpurity.training.settings.Settings`.

    Returns
    -------
    image_neurons, text_neurons : float tensors of shape (n_runs, d, width), on the CPU
    history : DataFrame
        A row for each run and epoch, with epoch 0 before training: run, epoch, loss (its mean over
        the epoch), logit_scale, image_avg_abs_cos, text_avg_abs_cos, and the results of `evaluate`.

    Raises
    ------
    ValueError
        For features, permutations or settings that do not fit, or the checkpoint of another sweep.
    FloatingPointError
        If a loss is not finite; it names run, step and pairs.
    """
    settings = Settings(**settings)
    device = pick_device(image_features.device if device is None else device)
    texts_of, n = _check(clip, image_features, text_features, runs)
    images, texts = (
        features.to(device).flatten(0, -2) for features in (image_features, text_features)
    )
    weights, biases = _start(clip, len(runs), device)
    optimiser = settings.optimiser(weights[:2], weights[2], fused=True)
    n_steps = settings.steps_per_epoch(n)
    rates = settings.learning_rates(n_steps)
    start, history = 0, _rows(weights, torch.full((len(runs),), math.nan), 0, evaluate)
    if checkpoint is not None:
        identity = {
            **asdict(settings),
            "seeds": [int(seed) for _, seed in runs],
            "image features": digest(image_features),
            "text features": digest(text_features),
            "permutations": digest(*texts_of),
            **start_of(clip, history[0]),
        }
        known = Path(checkpoint).is_file()
        if state := known and read_state(checkpoint, identity, device, overwrite):
            start, history = state["epoch"], state["history"]
            for weight, saved in zip(weights, state["weights"]):
                weight.copy_(saved)
            optimiser.load_state_dict(state["optimiser"])

    with tqdm(total=len(rates), initial=start * n_steps, unit="step", disable=not progress) as bar:
        for epoch in range(start, settings.epochs):
            rows = _epoch_rows(n, settings, runs, texts_of, epoch, images, texts)
            total = torch.zeros(len(runs), device=device)
            for step in range(n_steps):
                batch = [part[:, step] for part in rows]
                losses = _losses(weights, biases, images, texts, *batch)
                _check_losses(losses, epoch, step, *batch)
                if not settings.train_logit_scale:
                    weights[2].grad.zero_()
                settings.step(optimiser, rates[epoch * n_steps + step], weights[2])
                total += losses
                bar.update()
            history += _rows(weights, total / n_steps, epoch + 1, evaluate)
            if checkpoint is not None:
                write_state(
                    checkpoint,
                    identity=identity,
                    weights=weights,
                    optimiser=optimiser.state_dict(),
                    epoch=epoch + 1,
                    history=history,
                )
    return weights[0].cpu(), weights[1].cpu(), pd.DataFrame(history)


def _start(clip, n_runs, device):
    """Trained weights of all runs (both projections, the scale's logarithm), and the biases."""
    weights = [
        neurons.detach().to(device, torch.float32).repeat(n_runs, 1, 1)
        for neurons in (clip.image_neurons, clip.text_neurons)
    ]
    weights.append(torch.full((n_runs,), math.log(clip.logit_scale), device=device))
    for weight in weights:
        weight.grad = torch.zeros_like(weight)
    biases = [
        0 if bias is None else bias.detach().to(device)
        for bias in (clip.image_bias, clip.text_bias)
    ]
    return weights, biases


def _losses(weights, biases, images, texts, image_rows, text_rows):
    """Losses (n_runs,) of one step; rows are (n_runs, batch). Gradients stay at the weights."""
    at_once = LOGITS_AT_ONCE.get(images.device.type, 2**26) // image_rows.shape[1] ** 2
    losses = []
    for first in range(0, len(image_rows), max(1, at_once)):
        part = slice(first, first + max(1, at_once))
        losses.append(
            _gradients(
                [weight[part] for weight in weights],
                biases,
                images[image_rows[part]],
                texts[text_rows[part]],
                [weight.grad[part] for weight in weights],
            )
        )
    return torch.cat(losses)


def _check_losses(losses, epoch, step, image_rows, text_rows):
    """Raise FloatingPointError at the first run whose loss is not finite."""
    if torch.isfinite(losses).all():
        return
    run = int((~torch.isfinite(losses)).nonzero()[0])
    raise FloatingPointError(
        f"run {run}, epoch {epoch + 1}, step {step}: the loss is {losses[run].item()}; the batch "
        f"pairs image rows {image_rows[run].tolist()} with text rows {text_rows[run].tolist()}"
    )


@torch.no_grad()
def _gradients(weights, biases, images, texts, gradients):
    """Losses of some runs on one batch each; their gradients are written into `gradients`."""
    rows = (images.float(), texts.float())
    embeddings = [
        torch.bmm(part, neurons.transpose(1, 2)) + bias
        for part, neurons, bias in zip(rows, weights, biases)
    ]  # (n_runs, batch, d)
    norms = [part.norm(dim=2, keepdim=True).clamp_min(1e-12) for part in embeddings]
    units = [part.div_(norm) for part, norm in zip(embeddings, norms)]
    losses, *unit_gradients, scale_gradient = contrastive(*units, weights[2].exp())
    for part, unit, norm, gradient, out in zip(rows, units, norms, unit_gradients, gradients):
        # A change in a vector's length changes no cosine: drop that part of the gradient.
        along = (gradient * unit).sum(2, keepdim=True)
        out.copy_(
            torch.bmm(gradient.addcmul_(along, unit, value=-1).div_(norm).transpose(1, 2), part)
        )
    gradients[2].copy_(scale_gradient)
    return losses


def _epoch_rows(n, settings, runs, texts_of, epoch, images, texts):
    """Rows of the flattened features: two int64 tensors (n_runs, n_steps, batch)."""
    image_rows, text_rows = [], []
    for text_of, (_, seed) in zip(texts_of, runs):
        pairs, image_draws, text_draws = plan_epoch(n, settings.batch_size, seed, epoch)
        image_rows.append(pairs + n * (image_draws % (len(images) // n)))
        text_rows.append(text_of[pairs] + n * (text_draws % (len(texts) // n)))
    return tuple(
        torch.from_numpy(np.stack(rows)).to(images.device) for rows in (image_rows, text_rows)
    )


def _rows(weights, losses, epoch, evaluate):
    """The history's rows for one epoch."""
    image_neurons, text_neurons, log_scales = weights
    runs = zip(losses.tolist(), image_neurons, text_neurons, log_scales.exp().tolist())
    return [
        {"run": run, "epoch": epoch, "loss": loss, **look(image, text, scale, evaluate)}
        for run, (loss, image, text, scale) in enumerate(runs)
    ]


def _check(clip, image_features, text_features, runs):
    for name, features, neurons in (
        ("image_features", image_features, clip.image_neurons),
        ("text_features", text_features, clip.text_neurons),
    ):
        if features.ndim not in (2, 3) or features.shape[-1] != neurons.shape[1]:
            raise ValueError(
                f"{name}: expected (n, {neurons.shape[1]}) or (n_views, n, {neurons.shape[1]}), "
                f"got {tuple(features.shape)}"
            )
        if not all(torch.isfinite(part).all() for part in features.split(4096, dim=-2)):
            raise ValueError(f"{name}: expected finite numbers, got NaN or infinity")
    n = image_features.shape[-2]
    if text_features.shape[-2] != n:
        raise ValueError(
            f"images and texts pair up: expected as many, got {n} and {text_features.shape[-2]}"
        )
    if not runs:
        raise ValueError("runs: expected at least one (permutation, seed)")
    texts_of = [
        np.arange(n) if text_of is None else np.ascontiguousarray(text_of) for text_of, _ in runs
    ]
    for text_of in texts_of:
        whole = np.issubdtype(text_of.dtype, np.integer)
        if not whole or text_of.shape != (n,) or not np.array_equal(np.sort(text_of), np.arange(n)):
            raise ValueError(
                f"permutation: expected whole numbers, each of 0 .. {n - 1} once, got "
                f"{text_of.dtype} of shape {text_of.shape}"
            )
    return texts_of, n
