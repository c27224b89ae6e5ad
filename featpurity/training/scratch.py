"""Train a small CLIP model from scratch, from a recipe, pictures and captions.

The loss is open_clip's symmetric contrastive loss. A killed training resumes where it was.

References
----------
Radford et al. (2021), Learning Transferable Visual Models From Natural Language Supervision.
"""

import math
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import open_clip
import torch
from tqdm import tqdm

from featpurity.files import digest
from featpurity.training.checkpoint import read_state, write_state
from featpurity.training.settings import warm_up_and_cosine

MEAN, STD = (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)


@dataclass(frozen=True)
class Recipe:
    """Everything that makes a model, apart from its pictures and captions."""

    image_size: int = 64
    vision: dict = field(default_factory=lambda: {"layers": [1, 1, 1, 1], "width": 16})
    text: dict = field(
        default_factory=lambda: {"width": 128, "heads": 4, "layers": 2, "context_length": 24}
    )
    d: int = 128
    epochs: int = 16
    batch_size: int = 256
    learning_rate: float = 2e-3  # of the image tower
    text_learning_rate: float = 1e-3  # of the text tower and the logit scale
    weight_decay: float = 0.1
    warmup_steps: int = 100
    seed: int = 0
    augment: bool = False  # mirror and shift: right for photos, wrong if captions name positions
    bf16: bool = True  # forward passes in bfloat16; weights and loss stay float32

    def model_config(self, vocab_size: int) -> dict:
        """The model's part of `open_clip_config.json`, `model_cfg`."""
        return {
            "embed_dim": self.d,
            "vision_cfg": {"image_size": self.image_size, **self.vision},
            "text_cfg": {"vocab_size": vocab_size, **self.text},
        }

    def optimiser(self, model: torch.nn.Module) -> torch.optim.AdamW:
        """AdamW: a rate for each tower, no weight decay on biases, gains and the logit scale."""
        groups = []
        for image in (True, False):
            rate = self.learning_rate if image else self.text_learning_rate
            tower = [
                p for name, p in model.named_parameters() if name.startswith("visual.") == image
            ]
            for decay, matrices in ((self.weight_decay, True), (0.0, False)):
                chosen = [p for p in tower if (p.ndim > 1) == matrices]
                groups.append({"params": chosen, "full": rate, "weight_decay": decay})
        return torch.optim.AdamW(groups, betas=(0.9, 0.98))


def normalise(pictures: np.ndarray, device: str = "cpu") -> torch.Tensor:
    """uint8 (n, S, S, 3) -> float32 (n, 3, S, S) as the models expect, on `device`."""
    pixels = torch.as_tensor(pictures).to(device).permute(0, 3, 1, 2)  # channels last in memory
    mean, std = (torch.tensor(values, device=device).view(3, 1, 1) for values in (MEAN, STD))
    return (pixels.float() / 255 - mean) / std


def augmented(pixels: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Mirror half of the pictures (n, 3, S, S) and move each by up to an eighth of its side."""
    n, _, size, _ = pixels.shape
    reach = size // 8
    flip = torch.as_tensor(rng.random(n) < 0.5, device=pixels.device)
    pixels = torch.where(flip.view(n, 1, 1, 1), pixels.flip(3), pixels)
    padded = torch.nn.functional.pad(pixels, [reach] * 4, mode="reflect")
    moves = rng.integers(0, 2 * reach + 1, (n, 2))
    moved = [p[:, y : y + size, x : x + size] for p, (y, x) in zip(padded, moves)]
    return torch.stack(moved).contiguous(memory_format=torch.channels_last)


def train(
    recipe: Recipe,
    pictures: np.ndarray,
    tokens: np.ndarray,
    vocab_size: int,
    checkpoint: str | Path | None = None,
    device: str = "cpu",
) -> tuple[open_clip.CLIP, list[dict]]:
    """Train one model; a killed training resumes after its last whole epoch, with the same result.

    Parameters
    ----------
    recipe : Recipe
    pictures : uint8 array of shape (n, S, S, 3)
    tokens : int64 array of shape (n, n_captions, context_length)
        Captions of each picture; one is drawn at every step.
    vocab_size : int
        Of the tokenizer.
    checkpoint : path, optional
        Where to save the state after each epoch, and to look for one at the start.
    device : str, default "cpu"
        Where to train; the first weights, the order and the captions are the same everywhere.

    Returns
    -------
    model : open_clip.CLIP
        On the CPU.
    history : list of dict
        Each epoch's mean `loss` and the `seconds` it took.

    Raises
    ------
    ValueError
        If pictures and captions differ in number or are fewer than a batch, or the checkpoint is of
        another training.
    """
    n_steps = len(pictures) // recipe.batch_size
    if n_steps == 0 or len(pictures) != len(tokens):
        raise ValueError(
            f"expected as many pictures as captions, at least a batch of {recipe.batch_size}; "
            f"got {len(pictures)} pictures and captions for {len(tokens)}"
        )
    torch.manual_seed(recipe.seed)
    model = open_clip.CLIP(**recipe.model_config(vocab_size))
    model = model.to(device, memory_format=torch.channels_last)
    optimiser = recipe.optimiser(model)
    loss_of, history = open_clip.ClipLoss(), []
    if checkpoint:
        identity = {**asdict(recipe), "pictures": digest(pictures), "captions": digest(tokens)}
        if Path(checkpoint).is_file():
            state = read_state(checkpoint, identity, device)
            model.load_state_dict(state["model"])
            optimiser.load_state_dict(state["optimiser"])
            history = state["history"]
    steps, warmup = recipe.epochs * n_steps, min(recipe.warmup_steps, recipe.epochs * n_steps)
    shares = warm_up_and_cosine(steps, warmup, 1 / max(1, warmup), 1.0, 0.0)  # of the full rate
    for epoch in range(len(history), recipe.epochs):
        # Two streams, so that both models of a pair see the pictures in the same order.
        rng, captions_rng = (
            np.random.default_rng([recipe.seed, epoch, stream]) for stream in (0, 1)
        )
        order, total, start = rng.permutation(len(pictures)), 0.0, time.perf_counter()
        for step in tqdm(range(n_steps), desc=f"epoch {epoch + 1}/{recipe.epochs}", mininterval=5):
            for group in optimiser.param_groups:
                group["lr"] = group["full"] * float(shares[epoch * n_steps + step])
            batch = order[step * recipe.batch_size : (step + 1) * recipe.batch_size]
            chosen = tokens[batch, captions_rng.integers(tokens.shape[1], size=len(batch))]
            pixels = normalise(pictures[batch], device)
            if recipe.augment:
                pixels = augmented(pixels, rng)
            with torch.autocast(torch.device(device).type, torch.bfloat16, enabled=recipe.bf16):
                image, text, scale = model(pixels, torch.as_tensor(chosen, device=device))
            loss = loss_of(image.float(), text.float(), scale)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            model.logit_scale.data.clamp_(0, math.log(100))
            total += loss.item()
        history.append({"loss": total / n_steps, "seconds": time.perf_counter() - start})
        if checkpoint:
            write_state(
                checkpoint,
                identity=identity,
                model=model.state_dict(),
                optimiser=optimiser.state_dict(),
                history=history,
            )
    return model.cpu().eval(), history
