"""What does average |cos| measure? Models in rotated bases, and the spectrum of their neurons.

A rotation of the shared space, applied to both projections, changes no cosine between embeddings
and so leaves the model the same; but it changes average |cos|.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from tqdm.auto import tqdm

from featpurity.captions.swap import Run
from featpurity.captions.walk import KINDS
from featpurity.data.datasets import LabelledImages
from featpurity.data.prompts import fill, prompt_set
from featpurity.experiments.inputs import Embedded, Inputs
from featpurity.experiments.pruning_orders import rotated
from featpurity.features.extract import image_trunk_features, text_trunk_features
from featpurity.metrics import purity, silhouette, spectrum, zeroshot
from featpurity.models.clip import ClipModel, neurons_by_tower
from featpurity.models.projections import read_projections
from featpurity.report import over_seeds, results

TOWERS = ("image", "text")


def invariance(inputs: Inputs, n_rotations: int = 20) -> pd.DataFrame:
    """What rotations change: a row per model.

    Columns accuracy and silhouette: their largest change over all rotations and data sets, computed
    in double precision; image and text: the range of average |cos| over the rotations.
    """
    rows = []
    for model, clip in tqdm(inputs.models.items(), desc="rotations"):
        embedded = [
            Embedded(images.double(), classifier.double(), labels)
            for (its, _), (images, classifier, labels) in inputs.embedded.items()
            if its == model
        ]
        before = torch.tensor([_measure(seen) for seen in embedded], dtype=torch.float64)
        change, ranges = torch.zeros(2, dtype=torch.float64), {tower: [] for tower in TOWERS}
        for turn in spectrum.random_rotations(clip.d, n_rotations):
            turned = [rotated(seen, turn) for seen in embedded]
            after = torch.tensor([_measure(seen) for seen in turned], dtype=torch.float64)
            change = torch.maximum(change, (after - before).abs().amax(0))
            for tower, neurons in neurons_by_tower(clip).items():
                ranges[tower].append(purity.avg_abs_cos(turn @ neurons))
        row = dict(model=model, rotations=n_rotations)
        row |= dict(accuracy=change[0].item(), silhouette=change[1].item())
        for tower in TOWERS:
            row |= {f"{tower}_low": min(ranges[tower]), f"{tower}_high": max(ranges[tower])}
        rows.append(row)
    return pd.DataFrame(rows)


def bases(models: Mapping[str, ClipModel], n_rotations: int = 20, seed: int = 0) -> pd.DataFrame:
    """Average |cos| in a tower's own basis and in others: a row for each model and tower.

    Columns own; expected, from the spectrum alone; rotated and spread, the mean and standard
    deviation over random rotations; rotations, their number; z = (own - rotated) / spread;
    singular, in the basis of the singular vectors.
    """
    rows = []
    for model, clip in models.items():
        turns = list(spectrum.random_rotations(clip.d, n_rotations, seed))
        for tower, neurons in neurons_by_tower(clip).items():
            drawn = torch.tensor([purity.avg_abs_cos(turn @ neurons) for turn in turns])
            own, mean, spread = purity.avg_abs_cos(neurons), drawn.mean().item(), drawn.std().item()
            row = dict(model=model, tower=tower, own=own, rotated=mean, spread=spread)
            row |= dict(rotations=len(turns))
            row |= dict(z=(own - mean) / spread, expected=purity.expected_abs_cos(neurons))
            rows.append(row | dict(singular=purity.avg_abs_cos(_in_singular_basis(neurons))))
    return pd.DataFrame(rows)


def bases_of_runs(
    clip: ClipModel, checkpoints: dict[Run, Path], n_rotations: int = 20
) -> pd.DataFrame:
    """`bases` of models fine-tuned from `clip`: a row for each run and tower.

    Runs of one seed share their rotations and other seeds have others, so intervals over seeds are
    over rotations too.
    """
    rows = []
    for run, path in tqdm(checkpoints.items(), desc="bases"):
        table = bases({"": read_projections(path, clip)}, n_rotations, run.seed)
        rows.append(table.drop(columns="model").assign(**run._asdict()))
    return pd.concat(rows, ignore_index=True)


def basis_effects(table: pd.DataFrame) -> list[dict]:
    """The claims about the own basis, from `bases`."""
    return [
        results.against_rotations(row, f"own_basis_{row.tower}", row.rotated - row.own)
        for row in table.itertuples()
    ]


def mean_features(
    clip: ClipModel, data: Mapping[str, LabelledImages], prompts: str, **stored: Any
) -> dict[str, torch.Tensor]:
    """Mean trunk feature of each tower, over all images and over all prompts of the data sets.

    Parameters
    ----------
    clip : ClipModel
    data : dict of str to LabelledImages
        Data sets of the same pictures count once among the images.
    prompts : str
        A prompt set, see `featpurity.data.prompts`.
    **stored
        ``store, precision`` of `featpurity.features.extract.image_trunk_features`.

    Returns
    -------
    means : dict of str to float32 tensor of shape (width,)
        By tower.
    """
    distinct = {dataset.images_key: dataset for dataset in data.values()}
    images = [image_trunk_features(clip, dataset, **stored) for dataset in distinct.values()]
    filled = [
        fill(dataset.classes, prompt_set(prompts, dataset=dataset.name))
        for dataset in data.values()
    ]
    texts = [text_trunk_features(clip, of_dataset, **stored) for of_dataset in filled]
    return {"image": torch.cat(images).mean(0), "text": torch.cat(texts).mean(0)}


def shape(neurons: torch.Tensor, mean_feature: torch.Tensor) -> dict[str, float]:
    """Facts about one tower's singular values and its shared direction.

    They are average |cos|, and that expected over rotations; effective rank and participation
    ratio; the share of the first singular direction and its |cosine| with the mean trunk feature;
    how evenly the neurons read it, as their squared mean |component| along it over the mean square;
    average |cos| without this direction, that expected over rotations, and average |cos| without
    the mean feature.
    """
    share, direction = spectrum.shared_component(neurons)
    without_shared = spectrum.without_direction(neurons, direction)
    without_mean = spectrum.without_direction(neurons, mean_feature)
    along = neurons @ direction
    return dict(
        avg_abs_cos=purity.avg_abs_cos(neurons),
        expected=purity.expected_abs_cos(neurons),
        effective_rank=spectrum.effective_rank(neurons),
        participation_ratio=spectrum.participation_ratio(neurons),
        share=share,
        toward_mean=torch.cosine_similarity(direction, mean_feature, dim=0).abs().item(),
        evenness=(along.abs().mean().square() / along.square().mean()).item(),
        without_shared=purity.avg_abs_cos(without_shared),
        without_shared_expected=purity.expected_abs_cos(without_shared),
        without_mean=purity.avg_abs_cos(without_mean),
    )


def spectra(
    models: Mapping[str, ClipModel], means: Mapping[str, dict[str, torch.Tensor]]
) -> pd.DataFrame:
    """`shape` of every model and tower; `means` holds each model's `mean_features`."""
    return pd.DataFrame(
        dict(model=model, tower=tower, **shape(neurons, means[model][tower]))
        for model, clip in models.items()
        for tower, neurons in neurons_by_tower(clip).items()
    )


def spectra_of_runs(
    clip: ClipModel, checkpoints: dict[Run, Path], mean: dict[str, torch.Tensor]
) -> pd.DataFrame:
    """`shape` of both towers of the models that experiment 3 fine-tuned from `clip`.

    A row for each kind, ratio, seed and tower.

    Raises
    ------
    FileNotFoundError
        If a run was not trained.
    """
    rows = []
    for run, path in tqdm(checkpoints.items(), desc="fine-tuned models"):
        tuned = read_projections(path, clip)
        for tower, neurons in neurons_by_tower(tuned).items():
            rows.append(run._asdict() | dict(tower=tower) | shape(neurons, mean[tower]))
    return pd.DataFrame(rows)


def rise_effects(runs: pd.DataFrame) -> list[dict]:
    """The claims about the rise without the shared direction, from `spectra_of_runs`."""
    return _changes("unshared_rise", runs, "without_shared")


def basis_rise_effects(tuned: pd.DataFrame) -> list[dict]:
    """The claims about the rise in the own basis beyond rotated ones, from `bases_of_runs`."""
    return _changes("basis_rise", tuned.assign(beyond=tuned.own - tuned.rotated), "beyond")


def watcher(mean: dict[str, torch.Tensor]) -> Callable:
    """An `evaluate` for training: the `shape` of both towers as columns "tower/measure"."""

    def look(image_neurons, text_neurons):
        towers = zip(TOWERS, (image_neurons.cpu(), text_neurons.cpu()))
        return {
            f"{tower}/{measure}": value
            for tower, neurons in towers
            for measure, value in shape(neurons, mean[tower]).items()
        }

    return look


def over_epochs(history: pd.DataFrame, runs: list[Run]) -> pd.DataFrame:
    """What a `watcher` saw: a row for each run, tower and epoch.

    Parameters
    ----------
    history : DataFrame
        From `featpurity.training.cached.sweep_projections`.
    runs : list of Run
        The sweep's runs, in order.
    """
    rows = []
    for seen in history.to_dict("records"):
        for tower in TOWERS:
            row = runs[seen["run"]]._asdict() | dict(tower=tower, epoch=seen["epoch"])
            its = [name for name in seen if name.startswith(f"{tower}/")]
            rows.append(row | {name.removeprefix(f"{tower}/"): seen[name] for name in its})
    return pd.DataFrame(rows)


def _changes(claim, runs, column):
    """Effects of a claim, a measure's change with the ratio, per tower and kind of swap."""
    rows = []
    for (tower, kind), part in runs.groupby(["tower", "kind"], sort=False):
        changes = over_seeds.along_line(part, column)
        row = results.mean_effect(f"{claim}_{tower}", KINDS[kind], changes)
        rows.append(row | dict(turns=over_seeds.turns(part, column)))
    return rows


def _measure(embedded):
    """Accuracy, and the silhouette or 0 where it is not defined."""
    images, _, labels = embedded
    score = silhouette.silhouette(images, labels) if silhouette.is_defined(labels) else 0.0
    return zeroshot.accuracy(*embedded), score


def _in_singular_basis(neurons):
    left, values, _ = torch.linalg.svd(neurons.double(), full_matrices=False)
    return (left.T @ neurons.double())[values > 1e-6 * values[0]]
