"""How far apart online and cached fine-tuning of the projections end.

Online, every image runs through the frozen tower at every step, with a new crop; cached, the
projections train on stored trunk features.
"""

import time
from collections.abc import Sequence
from math import nan
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch

from featpurity.captions.swap import Run, nested_swaps, swap_seed
from featpurity.data.pairs import CaptionedImages
from featpurity.features.crops import image_views, pair_features
from featpurity.models.clip import ClipModel
from featpurity.training import online
from featpurity.training.cached import sweep_projections
from featpurity.training.settings import Settings

ONLINE = "online, crops"
MEASURES = ["image_avg_abs_cos", "text_avg_abs_cos", "accuracy"]
UNFINISHED = "last.pt"


class Cost(NamedTuple):
    """What a way of training took here: runs, and seconds for all; NaN if one was resumed."""

    way: str
    runs: int
    seconds: float


def plan(
    captioned: CaptionedImages, kinds: Sequence[str], ratios: Sequence[float], seeds: Sequence[int]
) -> dict[Run, np.ndarray]:
    """Every run with its permutation of captions; each seed has its own swaps."""
    captions, swaps = captioned.best_captions, {}
    if len(captions) < 16:
        raise ValueError(f"expected at least 16 pairs, got {len(captions)}")
    for kind in kinds:
        for seed in seeds:
            found = nested_swaps(
                captions, ratios, kind, swap_seed(seed), images=captioned.image_names
            )
            swaps |= {Run(kind, ratio, seed): swap for ratio, swap in zip(ratios, found)}
    return swaps


def train_online(
    clip: ClipModel,
    captioned: CaptionedImages,
    swaps: dict[Run, np.ndarray],
    folder: Path,
    **options: Any,
) -> tuple[pd.DataFrame, list[Cost]]:
    """Train every kind and ratio of the first seed online, each in its own folder.

    A killed run resumes after its last whole epoch. Without swaps, all kinds are one run, trained
    once.

    Parameters
    ----------
    **options
        ``evaluate, precision, workers`` of `featpurity.training.online.train`, and the fields of
        `featpurity.training.settings.Settings`.

    Returns
    -------
    history : DataFrame
        A row for each run and epoch.
    costs : list of one Cost
    """
    evaluating = {key: options.pop(key) for key in ("evaluate", "precision", "workers")}
    captions, first = captioned.best_captions, next(iter(swaps)).seed
    histories, folders, resumed, start = [], set(), False, time.perf_counter()
    for run, swap in swaps.items():
        if run.seed != first:
            continue
        name = run.name if run.ratio else Run("aligned", 0.0, first).name
        unfinished = folder / name / UNFINISHED
        if name not in folders and unfinished.is_file():  # from an earlier call that was killed
            resumed = True
        *_, history = online.train(
            clip,
            captioned.images,
            [[captions[i]] for i in swap],
            folder / name,
            Settings(**options),
            seed=first,
            resume=unfinished if unfinished.is_file() else None,
            overwrite=True,
            **evaluating,
        )
        histories.append(history.assign(way=ONLINE, **run._asdict()))
        folders.add(name)
    seconds = nan if resumed else time.perf_counter() - start
    return pd.concat(histories), [Cost(ONLINE, len(folders), seconds)]


def features(
    clip: ClipModel, captioned: CaptionedImages, n_views: int, seed: int, **options: Any
) -> dict[str, torch.Tensor]:
    """Stored trunk features of the images, by way of training, and of the captions, as "texts".

    Parameters
    ----------
    **options
        See `featpurity.features.extract.each_image_trunk_features`.
    """
    views = image_views(clip, captioned, n_views, seed, **options)
    images, texts = pair_features(clip, captioned, **options)
    return {f"cached, {n_views} crops": views, "cached, no crops": images, "texts": texts}


def train_cached(
    clip: ClipModel, features: dict[str, torch.Tensor], swaps: dict[Run, np.ndarray], **options: Any
) -> tuple[pd.DataFrame, list[Cost]]:
    """Train all runs side by side on stored features, once for each way.

    Parameters
    ----------
    **options
        See `featpurity.training.cached.sweep_projections`.

    Returns
    -------
    history : DataFrame
        A row for each way, run and epoch.
    costs : list of Cost
    """
    about = pd.DataFrame(list(swaps)).rename_axis("run").reset_index()
    runs = [(swap, run.seed) for run, swap in swaps.items()]
    histories, costs = [], []
    for way in [way for way in features if way != "texts"]:
        start = time.perf_counter()
        *_, history = sweep_projections(clip, features[way], features["texts"], runs, **options)
        costs.append(Cost(way, len(runs), time.perf_counter() - start))
        histories.append(about.merge(history, on="run").assign(way=way))
    return pd.concat(histories), costs


def together(*histories: pd.DataFrame) -> pd.DataFrame:
    """The histories of all ways in one table."""
    columns = ["way", "kind", "ratio", "seed", "epoch", *MEASURES, "loss"]
    return pd.concat(histories)[columns]


def ends(curves: pd.DataFrame) -> pd.DataFrame:
    """The measures after the last epoch, indexed by way, kind, seed and ratio."""
    last = curves[curves.epoch == curves.epoch.max()]
    return last.set_index(["way", "kind", "seed", "ratio"])[MEASURES].sort_index()


def distances(curves: pd.DataFrame) -> pd.DataFrame:
    """How far each cached way ends from the online runs, beside the effects of seeds and ratios.

    Returns
    -------
    DataFrame
        Columns way, swaps, measure, mean distance and largest distance (over the ratios), between
        seeds (standard deviation), effect online and effect in this way (of the ratio, from its
        smallest to its largest value).
    """
    last, first, rows = ends(curves), curves.seed.iloc[0], []
    low, high = curves.ratio.min(), curves.ratio.max()
    for way in [way for way in curves.way.unique() if way != ONLINE]:
        for kind in curves.kind.unique():
            theirs, ours = (last.loc[its].loc[kind, first] for its in (ONLINE, way))
            gap = (ours - theirs).abs()
            between = last.loc[way].loc[kind].groupby("ratio").std().mean()
            for measure in MEASURES:
                rows.append(
                    {
                        "way": way,
                        "swaps": kind,
                        "measure": measure,
                        "mean distance": gap[measure].mean(),
                        "largest distance": gap[measure].max(),
                        "between seeds": between[measure],
                        "effect online": theirs.loc[high, measure] - theirs.loc[low, measure],
                        "effect in this way": ours.loc[high, measure] - ours.loc[low, measure],
                    }
                )
    return pd.DataFrame(rows)


def check(
    curves: pd.DataFrame, kinds: Sequence[str], ratios: Sequence[float], seeds: Sequence[int]
) -> None:
    """Raise AssertionError unless all runs are there and both kinds agree without swaps."""
    last = ends(curves)
    assert last.notna().all(axis=None)
    assert len(last) == len(kinds) * len(ratios) * (1 + 2 * len(seeds))
    if 0 in ratios:
        same = last.xs(0, level="ratio").groupby(["way", "seed"]).nunique()
        assert (same == 1).all(axis=None), "without swaps both kinds are the same run"


def forget_unfinished(folder: Path) -> None:
    """Remove the states of killed online runs, so that the next ones train anew."""
    for unfinished in folder.glob(f"*/{UNFINISHED}"):
        unfinished.unlink()
