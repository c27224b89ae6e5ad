"""Simulate the paper's theory: spurious texts, encoders with a threshold, recaption and filter.

The four stages of section 2.1: train on raw pairs (S1), train a captioner on the clean ones (S2),
keep the text of each noisy pair that fits the image better (S3), train again from the start (S4).

References
----------
Sun, Zhang, Li & Wang (NeurIPS 2025): sections 2.1 and 5.1."""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from tqdm.auto import tqdm

from featpurity.experiments.feature_recovery import MEASURES, feature_cosines, measure, text_truth
from featpurity.experiments.relu_encoders import (
    TRAINING,
    Encoders,
    Training,
    spectral_loss,
    train,
    train_captioner,
    write_captions,
)
from featpurity.experiments.sparse_coding import Pairs, Setting, Task, sample_pairs, sample_task
from featpurity.metrics import purity
from featpurity.metrics.spectrum import random_rotations
from featpurity.report.results import mean_effect

SETTING = Setting()
LEADS = (1, 2)  # leads of an image's class, in features, for the tasks to compare
CHANCE = purity.chance_average(TRAINING.neurons, SETTING.width)  # average |cos| of random neurons


@dataclass(frozen=True)
class Simulated:
    """Results of the simulation.

    Attributes
    ----------
    table : DataFrame
        A row for each seed, texts ("raw" or "filtered") and probability: the results of
        `featpurity.experiments.feature_recovery.measure`, and for the noisy pairs' texts
        `text_truth`, their mean cosine with the truth, and `replaced`, the share of captions.
    cosines : dict of (texts, probability) to float array of shape (n_seeds, m, n_features)
        |cos| of each neuron of the image encoder with each feature.
    recaptioned : DataFrame
        As `table`, a row per seed at the highest probability: captions in all noisy pairs, no
        filter.
    readers : DataFrame
        A row for each seed, reader and lead, see `readers`.
    bases : DataFrame
        A row for each seed, encoder and basis, see `own_and_rotated`.
    effects : DataFrame
        A row per claim, see `featpurity.report.results.effect`.
    """

    table: pd.DataFrame
    cosines: dict[tuple[str, float], np.ndarray]
    recaptioned: pd.DataFrame
    readers: pd.DataFrame
    bases: pd.DataFrame
    effects: pd.DataFrame


def simulate(
    probabilities: list[float],
    seeds: list[int],
    setting: Setting = SETTING,
    training: Training = TRAINING,
) -> Simulated:
    """Compare raw with recaptioned and filtered pairs, for each probability and seed.

    Parameters
    ----------
    probabilities : list of float in [0, 0.5]
        That a noisy pair's text names a feature's spurious partner instead.
    seeds : list of int
        At least two. Each draws its own dictionaries, pairs, first weights and task, which the
        probabilities share.
    """
    probabilities = sorted(probabilities)  # `bases` uses the first
    tables, cosines, recaptioned, known, bases = [], {}, [], [], []
    for seed in tqdm(seeds, desc="theory, seeds"):
        draws = range(10 * seed, 10 * seed + 5)  # a stream of random numbers for each purpose
        pairs = sample_pairs(setting, probabilities, draws[0])
        task = sample_task(setting, pairs, draws[1])
        raw = train(pairs.images, pairs.texts, draws[2], training)
        captions = recaption(pairs, raw, draws[3], training)
        texts, replaced = keep_better(pairs, raw, captions)
        filtered = train(pairs.images, texts, draws[2], training)
        for name, encoders, seen in [("raw", raw, pairs.texts), ("filtered", filtered, texts)]:
            kept = replaced if name == "filtered" else torch.zeros(len(probabilities))
            rows = _rows(encoders, seen, pairs, task, kept)
            tables.append(rows.assign(seed=seed, texts=name, probability=probabilities))
            for probability, found in zip(probabilities, feature_cosines(encoders, pairs)):
                cosines.setdefault((name, probability), []).append(found.numpy())
        everywhere = pairs.texts[-1:].clone()
        everywhere[:, : pairs.n_noisy] = captions[-1:]
        encoders = train(pairs.images, everywhere, draws[2], training)
        rows = _rows(encoders, everywhere, pairs, task, torch.ones(1))
        rows = rows.assign(seed=seed, texts="recaptioned", probability=probabilities[-1])
        recaptioned.append(rows)
        known.append(readers(pairs, raw.only(0), draws[1], setting, training).assign(seed=seed))
        linear = train(pairs.images, pairs.texts[:1], draws[2], replace(training, threshold=0.0))
        kinds = {"threshold": raw.only(0), "linear": linear}
        bases.append(own_and_rotated(kinds, pairs, task, draws[4]).assign(seed=seed))
    table, bases = pd.concat(tables, ignore_index=True), pd.concat(bases, ignore_index=True)
    stacked = {key: np.stack(values) for key, values in cosines.items()}
    others = pd.concat(recaptioned, ignore_index=True), pd.concat(known, ignore_index=True)
    return Simulated(table, stacked, *others, bases, effects(table, bases))


def _rows(encoders, texts, pairs, task, replaced):
    """Measures of encoders, a row per run, and how true the texts were that they saw."""
    truth = text_truth(texts, pairs).numpy()
    return measure(encoders, pairs, task).assign(text_truth=truth, replaced=replaced.numpy())


def recaption(
    pairs: Pairs, encoders: Encoders, seed: int, training: Training = TRAINING
) -> torch.Tensor:
    """Stage S2: write captions of the noisy pairs' images, float (n_runs, n_noisy, width).

    Parameters
    ----------
    pairs : Pairs
    encoders : Encoders
        Trained on the raw pairs; the captioner starts from them.
    seed : int
    training : Training
    """
    noisy, clean = slice(pairs.n_noisy), slice(pairs.n_noisy, None)
    right = pairs.images[clean], pairs.texts[0, clean]  # the same at every probability
    captioners = train_captioner(encoders, *right, seed, training)
    return write_captions(captioners, pairs.images[noisy])


def keep_better(
    pairs: Pairs, encoders: Encoders, captions: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Stage S3: keep a noisy pair's text or caption, whichever fits its image better.

    Parameters
    ----------
    pairs : Pairs
    encoders : Encoders
        The judges: trained on the raw pairs.
    captions : float tensor of shape (n_runs, n_noisy, width)

    Returns
    -------
    texts : float tensor of shape (n_runs, n, width)
    replaced : float tensor of shape (n_runs,)
        Share of the noisy pairs that now have a caption as text.
    """
    noisy = slice(pairs.n_noisy)
    images = encoders.embed_images(pairs.images[noisy])
    fit_raw, fit_caption = (
        F.cosine_similarity(images, encoders.embed_texts(texts), dim=2)
        for texts in (pairs.texts[:, noisy], captions)
    )
    better = fit_caption > fit_raw  # (n_runs, n_noisy)
    texts = pairs.texts.clone()
    texts[:, noisy] = torch.where(better[:, :, None], captions, texts[:, noisy])
    return texts, better.float().mean(1)


def own_and_rotated(
    kinds: dict[str, Encoders], pairs: Pairs, task: Task, seed: int
) -> pd.DataFrame:
    """Measure what a random rotation of the hidden neurons does to encoders.

    The same rotation multiplies the weights of both towers, before the threshold.

    Parameters
    ----------
    kinds : dict of str to Encoders
        Encoders of one run each, trained on the first texts of `pairs`.
    pairs : Pairs
    task : Task
    seed : int
        For the rotation.

    Returns
    -------
    DataFrame
        A row for each kind of encoder and basis ("own", "rotated"): the results of `measure`, and
        the `loss` over all pairs.
    """
    m, tables = next(iter(kinds.values())).image.shape[1], []
    (rotation,) = random_rotations(m, 1, seed)
    for kind, own in kinds.items():
        for basis, encoders in {"own": own, "rotated": own.rotated(rotation)}.items():
            measured = measure(encoders, pairs, task)
            measured.insert(0, "encoder", kind)
            measured.insert(1, "basis", basis)
            images, texts = (
                encoders.embed_images(pairs.images),
                encoders.embed_texts(pairs.texts[0]),
            )
            tables.append(measured.assign(loss=spectral_loss(images, texts).numpy()))
    return pd.concat(tables, ignore_index=True)


def readers(
    pairs: Pairs,
    trained: Encoders,
    seed: int,
    setting: Setting = SETTING,
    training: Training = TRAINING,
) -> pd.DataFrame:
    """Measure the task's difficulty: trained encoders beside some that know the features.

    Parameters
    ----------
    pairs : Pairs
    trained : Encoders
        Of one run.
    seed : int
        For the tasks.
    setting : Setting
        `LEADS` replace its own lead.
    training : Training
        Gives the threshold of the second reader, whose neurons are the features themselves.

    Returns
    -------
    DataFrame
        A row for each lead and reader: accuracy, silhouette and the number of test images with that
        lead.
    """
    features = pairs.image_dictionary.T[None], pairs.text_dictionary.T[None]
    threshold = torch.full((1, setting.n_features), training.threshold)
    known = {
        "knows the features, linear": Encoders(*features, torch.zeros_like(threshold)),
        "knows the features, threshold": Encoders(*features, threshold),
        "trained on raw pairs, fewest spurious features": trained,
    }
    tables = []
    for lead in LEADS:
        task = sample_task(replace(setting, lead=lead), pairs, seed)
        for reader, encoders in known.items():
            measured = measure(encoders, pairs, task)[["accuracy", "silhouette"]]
            tables.append(measured.assign(lead=lead, reader=reader, images=len(task.labels)))
    return pd.concat(tables, ignore_index=True)


def effects(table: pd.DataFrame, bases: pd.DataFrame) -> pd.DataFrame:
    """The claims about the theory, with Student's t over seeds."""
    wide = table.set_index(["texts", "probability", "seed"]).sort_index()
    low, high = table.probability.min(), table.probability.max()
    rows = []
    for name in MEASURES:
        raw, filtered = wide.loc["raw", name], wide.loc["filtered", name]
        fall, gain = raw[low] - raw[high], filtered[high] - raw[high]
        compared = f"probability {low:g} against {high:g}, raw"
        rows.append(mean_effect(f"theory_{name}_falls", compared, fall))
        compared = f"filtered against raw at {high:g}"
        rows.append(mean_effect(f"theory_{name}_remedy", compared, gain))
    accuracy = bases.set_index(["encoder", "basis", "seed"]).accuracy
    lost = accuracy.xs("own", level="basis") - accuracy.xs("rotated", level="basis")
    more = lost["threshold"] - lost["linear"]
    compared = "own basis against rotated, with a threshold less without"
    rows.append(mean_effect("theory_basis", compared, more))
    return pd.DataFrame(rows)
