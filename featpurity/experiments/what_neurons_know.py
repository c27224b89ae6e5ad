"""Do purer neurons know more? Compare each with the labels and with another model's view."""

from typing import Any

import pandas as pd
import torch
from tqdm.auto import tqdm

from featpurity.experiments.inputs import Inputs
from featpurity.features.extract import image_trunk_features
from featpurity.metrics import intervals, purity, rank_correlation, selectivity, spectrum
from featpurity.models.clip import neurons_by_tower
from featpurity.report import results

BASES = ("own", "rotated")
MEASURES = ("information", "monosemanticity")  # of a neuron's knowledge


def neurons_table(inputs: Inputs, n_rotations: int = 5, **stored: Any) -> pd.DataFrame:
    """A row per neuron, in each model's own basis and in some rotated ones.

    Parameters
    ----------
    inputs : Inputs
    n_rotations : int
        Number of rotated bases, for comparison.
    **stored
        ``store, precision`` of `featpurity.features.extract.image_trunk_features`.

    Returns
    -------
    DataFrame
        Columns model, basis ("own" or "rotated"), turn (its number), neuron, purity (minus the
        score), information (nats, with the data set that the neuron knows best), knows (that data
        set) and monosemanticity, whose likeness of images is `likeness`.
    """
    rows = []
    for model, clip in tqdm(inputs.models.items(), desc="what neurons know"):
        views = likeness(inputs, model, **stored)
        turns = spectrum.random_rotations(clip.d, n_rotations)
        for number, turn in enumerate([torch.eye(clip.d), *turns]):
            neurons = [turn @ its for its in neurons_by_tower(clip).values()]
            scores = purity.purity_scores(*neurons)
            best, which = information(inputs, model, turn).max(0)
            alike = _alike(inputs, model, turn, views)
            about = dict(model=model, basis=BASES[number > 0], turn=number, neuron=range(clip.d))
            about |= dict(purity=-scores)
            about |= dict(information=best, knows=[list(inputs.data)[i] for i in which])
            rows.append(pd.DataFrame(about | dict(monosemanticity=alike)))
    return pd.concat(rows, ignore_index=True)


def information(inputs: Inputs, model: str, turn: torch.Tensor | None = None) -> torch.Tensor:
    """What each neuron knows of each data set's labels, in nats: float tensor (data sets, d).

    Parameters
    ----------
    inputs : Inputs
    model : str
    turn : float tensor of shape (d, d), optional
        A rotation, for the neurons of a rotated basis.
    """
    known = []
    for name in inputs.data:
        images, _, labels = inputs.embedded[model, name]
        values = images if turn is None else images @ turn.to(images).T
        bins = min(selectivity.BINS, len(values))
        known.append(selectivity.mutual_information(values, labels, bins))
    return torch.stack(known).cpu()


def likeness(inputs: Inputs, model: str, **stored: Any) -> dict[str, torch.Tensor]:
    """Another encoder's view of the pictures: trunk features by data set.

    The other encoder is the next model of the run, the first after the last, or the model itself if
    it is the only one. Data sets of the same pictures count once.
    """
    names = list(inputs.models)
    other = inputs.models[names[(names.index(model) + 1) % len(names)]]
    first = {dataset.images_key: name for name, dataset in reversed(inputs.data.items())}
    return {
        name: image_trunk_features(other, inputs.data[name], progress=False, **stored)
        for name in first.values()
    }


def correlations(neurons: pd.DataFrame) -> pd.DataFrame:
    """Rank correlation of purity with both measures in models' own bases, with 95 % intervals.

    Columns rotated, rotated_low and rotated_high are the mean correlation in the rotated bases, and
    the 95 % interval of one more rotated basis. A measure that is equal for all neurons has no row,
    such as the information if every image is its own class.
    """
    rows = []
    for model, part in neurons[neurons.basis == "own"].groupby("model", sort=False):
        for measure in MEASURES:
            known = part[part[measure].notna()]
            if known[measure].nunique() > 1:
                found = rank_correlation.rank_correlation(known.purity, known[measure])
                turned = neurons[(neurons.model == model) & (neurons.basis != "own")]
                others = [
                    basis.purity.corr(basis[measure], method="spearman")
                    for _, basis in turned.groupby("turn")
                ]
                others = pd.Series(others, dtype=float)
                low, high = intervals.beyond_draws(others.mean(), others.std(), len(others))
                found |= dict(rotated=others.mean(), rotated_low=low, rotated_high=high)
                rows.append(dict(model=model, measure=measure, **found))
    columns = ["model", "measure", "spearman", "low", "high", "p"]
    columns += ["rotated", "rotated_low", "rotated_high"]
    return pd.DataFrame(rows, columns=columns)


def own_and_rotated(neurons: pd.DataFrame) -> pd.DataFrame:
    """Mean and maximum of both measures over neurons, in the own basis and in rotated ones.

    For rotated bases, these are means over the bases.
    """
    bases = neurons.groupby(["model", "basis", "turn"], sort=False)[list(MEASURES)]
    return bases.agg(["mean", "max"]).groupby(["model", "basis"], sort=False).mean()


def effects(found: pd.DataFrame) -> list[dict]:
    """The claim about selectivity, a row per model, from `correlations`."""
    return [
        results.effect(
            "purity_selectivity",
            row.model,
            row.spearman,
            row.low,
            row.high,
            chance=(row.rotated_low, row.rotated_high),
        )
        for row in found[found.measure == "information"].itertuples()
    ]


def _alike(inputs, model, turn, views):
    """Mean monosemanticity of each neuron, (d,), over the sets of pictures."""
    embedded = {name: inputs.embedded[model, name].images for name in views}
    alike = [
        selectivity.monosemanticity(images @ turn.to(images).T, views[name])
        for name, images in embedded.items()
    ]
    return torch.stack(alike).mean(0).cpu()
