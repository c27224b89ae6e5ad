"""The paper's theory, run: spurious texts, encoders with a threshold, recaptioning and filtering.

The four stages of section 2.1: train on raw pairs (S1), train a captioner on the clean ones (S2),
keep of each noisy pair the text that fits the image better (S3), train again from the start (S4).

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
from featpurity.metrics.intervals import t_interval
from featpurity.metrics.silhouette import silhouette
from featpurity.metrics.spectrum import random_rotations
from featpurity.report.results import effect

SETTING = Setting()
CHANCE = purity.chance_average(TRAINING.neurons, SETTING.width)  # average |cos| of random neurons


@dataclass(frozen=True)
class Simulated:
    """What the simulation comes to.

    Attributes
    ----------
    table : DataFrame
        A row a seed, texts ("raw" or "filtered") and probability: what
        `featpurity.experiments.feature_recovery.measure` gives, and of the texts of the noisy pairs
        `text_truth`, their mean cosine with the truth, and `replaced`, the share that is captions.
    cosines : dict of (texts, probability) to float array of shape (n_seeds, m, n_features)
        |cos| of every neuron of the image encoder and every feature.
    bases : DataFrame
        A row a seed, encoder and basis, see `own_and_rotated`.
    effects : DataFrame
        A row a claim, see `featpurity.report.results.effect`.
    """

    table: pd.DataFrame
    cosines: dict[tuple[str, float], np.ndarray]
    bases: pd.DataFrame
    effects: pd.DataFrame


def simulate(
    probabilities: list[float],
    seeds: list[int],
    setting: Setting = SETTING,
    training: Training = TRAINING,
) -> Simulated:
    """Raw against recaptioned and filtered pairs, for each probability and seed.

    Parameters
    ----------
    probabilities : list of float in [0, 0.5]
        That a text of a noisy pair names a feature's spurious partner instead.
    seeds : list of int
        At least two. Each draws dictionaries, pairs, first weights and the task anew; the
        probabilities share them.
    """
    probabilities = sorted(probabilities)  # the first of them is that of `bases`
    tables, cosines, bases = [], {}, []
    for seed in tqdm(seeds, desc="theory, seeds"):
        draws = range(10 * seed, 10 * seed + 5)  # a stream of random numbers for each purpose
        pairs = sample_pairs(setting, probabilities, draws[0])
        task = sample_task(setting, pairs, draws[1])
        raw = train(pairs.images, pairs.texts, draws[2], training)
        texts, replaced = recaption_and_filter(pairs, raw, draws[3], training)
        filtered = train(pairs.images, texts, draws[2], training)
        for name, encoders, seen in [("raw", raw, pairs.texts), ("filtered", filtered, texts)]:
            measured = measure(encoders, pairs, task)
            measured.insert(0, "seed", seed)
            measured.insert(1, "texts", name)
            measured.insert(2, "probability", probabilities)
            measured["text_truth"] = text_truth(seen, pairs).numpy()
            measured["replaced"] = replaced.numpy() if name == "filtered" else 0.0
            tables.append(measured)
            for probability, found in zip(probabilities, feature_cosines(encoders, pairs)):
                cosines.setdefault((name, probability), []).append(found.numpy())
        linear = train(pairs.images, pairs.texts[:1], draws[2], replace(training, threshold=0.0))
        kinds = {"threshold": raw.only(0), "linear": linear}
        bases.append(own_and_rotated(kinds, pairs, task, draws[4]).assign(seed=seed))
    table, bases = pd.concat(tables, ignore_index=True), pd.concat(bases, ignore_index=True)
    stacked = {key: np.stack(values) for key, values in cosines.items()}
    return Simulated(table, stacked, bases, effects(table, bases))


def recaption_and_filter(
    pairs: Pairs, encoders: Encoders, seed: int, training: Training = TRAINING
) -> tuple[torch.Tensor, torch.Tensor]:
    """Stages S2 and S3: captions of the images of noisy pairs, kept where they fit better.

    Parameters
    ----------
    pairs : Pairs
    encoders : Encoders
        Trained on the raw pairs; they judge, and the captioner starts from them.
    seed : int
    training : Training

    Returns
    -------
    texts : float tensor of shape (n_runs, n, width)
    replaced : float tensor of shape (n_runs,)
        Share of the noisy pairs whose text is a caption now.
    """
    noisy, clean = slice(pairs.n_noisy), slice(pairs.n_noisy, None)
    right = pairs.images[clean], pairs.texts[0, clean]  # the same at every probability
    captioners = train_captioner(encoders, *right, seed, training)
    captions = write_captions(captioners, pairs.images[noisy])
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
    """What a random rotation of the hidden neurons does to some encoders.

    The same rotation multiplies the weights of both towers, before the threshold.

    Parameters
    ----------
    kinds : dict of str to Encoders
        Encoders of one run each, trained on the first texts of `pairs`.
    pairs : Pairs
    task : Task
    seed : int
        Of the rotation.

    Returns
    -------
    DataFrame
        A row a kind of encoder and basis ("own", "rotated"): what `measure` gives, and `loss` over
        all pairs.
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


def known_dictionary(
    seeds: list[int], leads: list[int], setting: Setting = SETTING
) -> pd.DataFrame:
    """Accuracy and silhouette of a reader who knows the dictionaries, a row a lead.

    Parameters
    ----------
    seeds : list of int
    leads : list of int
        By how many features an image's class leads the next one.
    setting : Setting
        Its own lead does not count.
    """
    rows = []
    for seed in seeds:
        pairs = sample_pairs(replace(setting, n_noisy=1, n_clean=1), [0.0], 10 * seed)
        for lead in leads:
            task = sample_task(replace(setting, lead=lead), pairs, 10 * seed + 1)
            images, prompts = (
                task.images @ pairs.image_dictionary,
                task.prompts @ pairs.text_dictionary,
            )
            right = (images @ prompts.T).argmax(1) == task.labels
            score = silhouette(images, task.labels)
            rows.append(dict(lead=lead, accuracy=right.float().mean().item(), silhouette=score))
    return pd.DataFrame(rows).groupby("lead", as_index=False).mean()


def effects(table: pd.DataFrame, bases: pd.DataFrame) -> pd.DataFrame:
    """The claims of the theory, with Student's t over the seeds."""
    wide = table.set_index(["texts", "probability", "seed"]).sort_index()
    low, high = table.probability.min(), table.probability.max()
    rows = []
    for name in MEASURES:
        raw, filtered = wide.loc["raw", name], wide.loc["filtered", name]
        fall, gain = raw[low] - raw[high], filtered[high] - raw[high]
        compared = f"probability {low:g} against {high:g}, raw"
        rows.append(effect(f"theory_{name}_falls", compared, fall.mean(), *t_interval(fall)))
        compared = f"filtered against raw at {high:g}"
        rows.append(effect(f"theory_{name}_remedy", compared, gain.mean(), *t_interval(gain)))
    found = bases[bases.encoder == "threshold"].pivot(
        index="seed", columns="basis", values="features"
    )
    lost = found["own"] - found["rotated"]
    rows.append(effect("theory_basis", "own basis against rotated", lost.mean(), *t_interval(lost)))
    return pd.DataFrame(rows)
