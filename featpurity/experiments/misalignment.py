"""Experiment 3: projections fine-tuned after a share of the captions changed places.

Each fine-tuned model is measured as in experiment 1. Every measure gets one straight line per seed
against the ratio of swapped captions; the spread of these lines is the interval.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import nan
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from tqdm.auto import tqdm

from featpurity.captions.swap import Run, permutation, read_swapped_pairs, swap_seed
from featpurity.captions.synthetic import mistakes
from featpurity.captions.walk import KINDS
from featpurity.data.datasets import LabelledImages
from featpurity.data.pairs import CaptionedImages
from featpurity.experiments.inputs import Embedded, embed
from featpurity.metrics import purity, silhouette, spectrum, zeroshot
from featpurity.models.clip import neurons_by_tower
from featpurity.models.load import load_model
from featpurity.models.projections import read_projections
from featpurity.report import over_seeds, results

# Each claim's measure, and the sign that makes its slope positive when the claim is true.
CLAIMS = {
    "misalignment_image": ("image_avg_abs_cos", 1),
    "misalignment_text": ("text_avg_abs_cos", 1),
    "misalignment_accuracy": ("accuracy", -1),
    "misalignment_silhouette": ("silhouette", -1),
}


class Neurons(NamedTuple):
    """The neurons of both towers, on the CPU: float tensors of shape (d, width)."""

    image_neurons: torch.Tensor
    text_neurons: torch.Tensor


@dataclass(frozen=True)
class Misaligned:
    """The tables of experiment 3, and the neurons behind them.

    Attributes
    ----------
    runs : DataFrame
        A row for each kind of swap, ratio, seed and data set.
    means : DataFrame
        Their means over the data sets: a row for each kind, ratio and seed.
    effects : DataFrame
        A row for each claim and kind of swap, see `featpurity.report.results.effect` and `changes`.
    measured : DataFrame
        The same, for the value measured at the highest ratio minus that at the lowest.
    neurons : dict of (kind, ratio) to Neurons
        From the first seed.
    """

    runs: pd.DataFrame
    means: pd.DataFrame
    effects: pd.DataFrame
    measured: pd.DataFrame
    neurons: dict[tuple[str, float], Neurons]


def measure(
    checkpoints: dict[Run, Path],
    data: Mapping[str, LabelledImages],
    prompts: str,
    *,
    device: str = "auto",
    preprocess: str = "native",
    **options: Any,
) -> Misaligned:
    """Load and measure every fine-tuned model.

    Parameters
    ----------
    checkpoints : dict of Run to Path
        The fine-tuned projections of each kind, ratio and seed.
    data : dict of str to LabelledImages
    prompts : str
        A prompt set, see `featpurity.data.prompts`.
    device, preprocess
        See `featpurity.load_model`.
    **options
        ``store, precision`` of `featpurity.experiments.inputs.embed`.

    Raises
    ------
    FileNotFoundError
        If a checkpoint is missing.
    """
    if missing := [path for path in checkpoints.values() if not path.is_file()]:
        raise FileNotFoundError(
            f"{len(missing)} of {len(checkpoints)} fine-tuned models are not there, the first at "
            f"{missing[0]}: run the step that trains them, notebooks/steps/finetune.ipynb, first"
        )
    first, path = next(iter(checkpoints.items()))
    clip = load_model(path, device, preprocess)  # once: all projections use its trunks
    rows, neurons = [], {}
    for run, path in tqdm(checkpoints.items(), desc="checkpoints"):
        model = read_projections(path, clip)
        tuned = Neurons(*neurons_by_tower(model).values())
        if run.seed == first.seed:
            neurons[run.kind, run.ratio] = tuned
        measured = _measure_model(tuned, embed(model, data, prompts, **options))
        rows += [run._asdict() | row for row in measured]
    runs = pd.DataFrame(rows)
    by_run = runs.drop(columns="dataset").groupby(["kind", "ratio", "seed"], sort=False)
    means = by_run.mean().reset_index()
    measured = changes(means, over_seeds.differences)
    return Misaligned(runs, means, changes(means), measured, neurons)


def _measure_model(neurons: Neurons, embedded: Mapping[str, Embedded]) -> Iterator[dict]:
    """Purity, accuracy, silhouette and spectrum of one model: a row per data set."""
    towers = neurons_by_tower(neurons)
    pure = {f"{tower}_avg_abs_cos": purity.avg_abs_cos(its) for tower, its in towers.items()}
    pure |= {f"{tower}_max_abs_cos": purity.max_abs_cos(its) for tower, its in towers.items()}
    spectra = {}
    for tower, its in towers.items():
        spectra[f"{tower}_effective_rank"] = spectrum.effective_rank(its)
        spectra[f"{tower}_shared"], direction = spectrum.shared_component(its)
        rest = spectrum.without_direction(its, direction)
        spectra[f"{tower}_without_shared"] = purity.avg_abs_cos(rest)
    for name, seen in embedded.items():
        known = silhouette.is_defined(seen.labels)
        score = silhouette.silhouette(seen.images, seen.labels) if known else nan
        right = zeroshot.right_predictions(*seen)
        row = dict(dataset=name, **pure, accuracy=right.float().mean().item(), silhouette=score)
        recall = zeroshot.mean_per_class_recall(right, seen.labels).item()
        yield row | spectra | dict(mean_recall=recall)


def changes(
    means: pd.DataFrame, of_seeds: Callable[[pd.DataFrame, str], pd.Series] = over_seeds.along_line
) -> pd.DataFrame:
    """Changes of the claims' measures, positive if the claim is true, with Student's t over seeds.

    By default the change is over the paper's range of ratios, along a straight line through all
    ratios that were run; `of_seeds` may compute another from one kind's runs and a measure. The
    column turns shows which curves are not monotone.
    """
    rows = []
    for claim, (column, sign) in CLAIMS.items():
        for kind, part in means.groupby("kind", sort=False):
            found = sign * of_seeds(part, column)
            if found.notna().all():
                row = results.mean_effect(claim, KINDS[kind], found)
                rows.append(row | dict(turns=over_seeds.turns(part, column)))
    return pd.DataFrame(rows)


def swap_summaries(
    source: Path,
    captioned: CaptionedImages,
    ratios: Sequence[float],
    kinds: Sequence[str],
    seed: int,
) -> pd.DataFrame:
    """What the step that swaps captions reported for one training seed.

    Parameters
    ----------
    source : Path
        File of the captions before swapping, with the swapped ones beside it.
    captioned : CaptionedImages
        The pairs before swapping.
    ratios, kinds : sequences
    seed : int

    Returns
    -------
    DataFrame
        A row for each kind and ratio. For generated captions, the column `false` is the share of
        all captions that name something their picture does not show.
    """
    rows = []
    for kind in kinds:
        for ratio in ratios:
            swapped, summary = read_swapped_pairs(source, kind, ratio, swap_seed(seed))
            moved = permutation(summary["n"], swapped[["i", "j"]].to_numpy("int64"))
            rows.append(summary | dict(false=false_share(captioned, moved)))
    columns = ["kind", "ratio", "n", "achieved_ratio", "changed_texts", "false", "mean_similarity"]
    return pd.DataFrame(rows)[columns]


def false_share(captioned: CaptionedImages, moved: np.ndarray) -> float:
    """Share of captions that say something false of their picture.

    Parameters
    ----------
    captioned : CaptionedImages
    moved : int array of shape (n,)
        Index of the picture whose best caption each picture has.

    Returns
    -------
    float
        NaN if it is unknown what captions name and what is true.
    """
    if captioned.named is None:
        return nan
    false = [bool(mistakes(captioned.named[j], facts)) for j, facts in zip(moved, captioned.facts)]
    return sum(false) / len(false)


def swap_examples(
    source: Path, captions: list[str], ratio: float, kinds: Iterable[str], seed: int
) -> pd.DataFrame:
    """The first three swaps of each kind that one training seed used.

    Columns image, kind, similarity, before (the picture's caption) and after (the other one).
    """
    rows = []
    for kind in kinds:
        swapped, _ = read_swapped_pairs(source, kind, ratio, swap_seed(seed))
        for i, j, similarity in swapped.head(3).itertuples(index=False):
            row = dict(image=int(i), kind=kind, similarity=similarity)
            rows.append(row | dict(before=captions[int(i)], after=captions[int(j)]))
    return pd.DataFrame(rows)
