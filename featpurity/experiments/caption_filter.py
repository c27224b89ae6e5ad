"""Experiment 5: give pictures new captions, keep those that fit better, train again.

The truth about every caption is known, as all are written from the pictures' facts: raw ones with
some probability of a spurious partner, new ones with some probability of a mistake. Of a raw and a
new caption, a first model keeps the one with the larger cosine. Its projections are then trained
again on the kept captions and, for comparison, on other captions of the same pictures. Each seed
draws its own captions, so intervals over seeds hold for other captions too.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import torch
from tqdm.auto import tqdm

from featpurity.captions.synthetic import Written, mistakes, raw_captions, recaptions, sentences
from featpurity.data.pairs import CAPTIONS_SEED, CaptionedImages
from featpurity.features.extract import image_trunk_features, text_trunk_features, unit_embeddings
from featpurity.metrics import intervals
from featpurity.models.clip import ClipModel
from featpurity.report import results
from featpurity.training.cached import sweep_projections

MEASURES = {"accuracy": 1, "image_avg_abs_cos": -1, "text_avg_abs_cos": -1}  # and their signs


@dataclass(frozen=True)
class Judge:
    """The first model, the pictures whose captions it judges, and the truth about them."""

    clip: ClipModel
    facts: list[dict]
    image_features: torch.Tensor  # (n, width_I)
    options: dict  # of `featpurity.features.extract.text_trunk_features`
    seen: dict[str, torch.Tensor] = field(default_factory=dict, repr=False)  # captions' features

    def fit(self, captions: list[str]) -> torch.Tensor:
        """Cosine between each picture and its caption: float tensor of shape (n,)."""
        clip = self.clip
        images = unit_embeddings(clip, clip.project_image, self.image_features, clip.device)
        features = self.text_features(captions)
        texts = unit_embeddings(clip, clip.project_text, features, clip.device)
        return (images * texts).sum(1).cpu()

    def text_features(self, captions: list[str]) -> torch.Tensor:
        """What enters the text projection: float tensor of shape (n, width_T).

        Sets of captions share captions: what is computed for one set is kept for the others.
        """
        new = [caption for caption in dict.fromkeys(captions) if caption not in self.seen]
        if new:
            self.seen.update(zip(new, text_trunk_features(self.clip, new, **self.options)))
        return torch.stack([self.seen[caption] for caption in captions])


@dataclass(frozen=True)
class Level:
    """Captions at one probability of a spurious partner and one of the captioner's mistakes."""

    spurious: float
    mistaken: float
    seed: int  # of the captions
    raw: Written
    new: Written
    keeps_new: np.ndarray  # bool (n,): where the filter keeps the new caption

    def sets(self) -> dict[str, Written]:
        """The raw and new captions, those the filter kept, and the best it could keep."""
        best = self.new.right | ~self.raw.right
        return {
            "raw": self.raw,
            "recaptioned": self.new,
            "filtered": _mixed(self.new, self.raw, self.keeps_new),
            "best possible": _mixed(self.new, self.raw, best),
        }


@dataclass(frozen=True)
class Filtered:
    """The tables of experiment 5.

    Attributes
    ----------
    levels : list of Level
        The captions of the first seed.
    shares, choices : DataFrame
        `wrong_shares` and `choices` of these.
    history : DataFrame
        See `train_again`.
    gains : DataFrame
        `gains` of filtered over raw captions, a row for each measure and spurious.
    steps : DataFrame
        `gains` of each set of `steps` over the one before, a row for each measure and step.
    captions : DataFrame
        `described` of the first seed's captions, with the measures after training again, means over
        seeds.
    effects : DataFrame
        A row per claim, see `featpurity.report.results.effect`.
    """

    levels: list[Level]
    shares: pd.DataFrame
    choices: pd.DataFrame
    history: pd.DataFrame
    gains: pd.DataFrame
    steps: pd.DataFrame
    captions: pd.DataFrame
    effects: pd.DataFrame


def judge(
    clip: ClipModel,
    captioned: CaptionedImages,
    workers: int = 0,
    compiled: bool = False,
    **options: Any,
) -> Judge:
    """Run a model over the pictures once.

    Parameters
    ----------
    clip : ClipModel
    captioned : CaptionedImages
        With facts: generated pictures, or photos with generated captions.
    workers, compiled
        See `featpurity.features.extract.image_trunk_features`.
    **options
        ``store, precision, batch_size``, for images and texts.

    Raises
    ------
    ValueError
        If the truth about the pictures is not known.
    """
    if not captioned.facts:
        raise ValueError(
            f"the truth about {captioned.name!r} is not known: expected pairs scenes or photos"
        )
    features = image_trunk_features(clip, captioned, workers=workers, compiled=compiled, **options)
    return Judge(clip, captioned.facts, features, options)


def filter_captions(
    judge: Judge, spurious: list[float], mistaken: list[float], seed: int = 0
) -> list[Level]:
    """Captions for every two probabilities, and which of each raw and new one the model keeps.

    Seed 0 gives the captions that the pictures come with.
    """
    levels, seed = [], CAPTIONS_SEED + seed
    new = {share: recaptions(judge.facts, seed, share) for share in mistaken}
    fit_new = {share: judge.fit(written.captions) for share, written in new.items()}
    for probability in tqdm(spurious, desc="levels of spurious captions"):
        raw = raw_captions(judge.facts, seed, probability)
        fit_raw = judge.fit(raw.captions)
        for share in mistaken:
            keeps_new = (fit_new[share] > fit_raw).numpy()
            levels.append(Level(probability, share, seed, raw, new[share], keeps_new))
    return levels


def wrong_shares(levels: list[Level], n_bootstrap: int = 0) -> pd.DataFrame:
    """Share of wrong captions, with intervals over pictures: a row for each level and set."""
    rows = []
    for level in levels:
        wrong = {name: ~written.right for name, written in level.sets().items()}
        stacked = torch.as_tensor(np.stack(list(wrong.values()), axis=1))  # (n, 4)
        low, high = intervals.estimate_means(stacked.float(), n_bootstrap).interval(0, 1)
        for column, name in enumerate(wrong):
            rows.append(
                dict(
                    spurious=level.spurious,
                    mistaken=level.mistaken,
                    captions=name,
                    wrong=wrong[name].mean(),
                    wrong_low=low[column].item(),
                    wrong_high=high[column].item(),
                )
            )
    return pd.DataFrame(rows)


def choices(levels: list[Level]) -> pd.DataFrame:
    """How often the filter keeps the new caption: in all, and where only one of the two is right.

    A cell without such pictures is NaN.
    """
    rows = []
    for level in levels:
        only_new, only_raw = level.new.right & ~level.raw.right, level.raw.right & ~level.new.right
        shares = [
            level.keeps_new[chosen].mean() if chosen.any() else np.nan
            for chosen in (np.ones_like(only_new), only_new, only_raw)
        ]
        names = ("keeps_new", "where_only_new_right", "where_only_raw_right")
        rows.append(
            dict(spurious=level.spurious, mistaken=level.mistaken) | dict(zip(names, shares))
        )
    return pd.DataFrame(rows)


def steps(level: Level, facts: list[dict]) -> dict[str, Written]:
    """From raw captions to the best possible ones, each set one change from the one before.

    First the mistakes go, then the boilerplate; then the same facts come in a sentence, then other
    facts, then the captioner's mistakes; last, right captions are chosen.
    """
    right = raw_captions(facts, level.seed, spurious=0)
    return {
        "raw": level.raw,
        "raw, all right": right,
        "the same without boilerplate": raw_captions(
            facts, level.seed, spurious=0, boilerplate=False
        ),
        "the same facts in sentences": sentences(right.said, facts, level.seed),
        "recaptioned, all right": recaptions(facts, level.seed, mistaken=0),
        "recaptioned": level.new,
        "best possible": level.sets()["best possible"],
    }


def described(sets: dict[str, Written], facts: list[dict]) -> pd.DataFrame:
    """A row for each set of captions, with mean numbers of words, named facts and wrong facts."""
    rows = []
    for name, written in sets.items():
        wrong = [len(mistakes(said, true)) for said, true in zip(written.said, facts)]
        rows.append(
            dict(
                captions=name,
                words=np.mean([len(caption.split()) for caption in written.captions]),
                facts=np.mean([len(said) for said in written.said]),
                wrong_facts=np.mean(wrong),
                wrong=1 - written.right.mean(),
            )
        )
    return pd.DataFrame(rows)


def train_again(
    judge: Judge,
    sets: dict[tuple, Written],
    evaluate: Callable,
    batch_size: int = 1024,
    **settings: Any,
) -> pd.DataFrame:
    """Train the first model's projections on several sets of captions of the same pictures.

    Equal sets of one seed are trained once.

    Parameters
    ----------
    judge : Judge
    sets : dict of (spurious, captions, seed) to Written
        The seed is that of the training.
    evaluate : callable
        See `featpurity.training.cached.sweep_projections`.
    batch_size, **settings
        See `featpurity.training.settings.Settings`; a batch is at most all pictures.

    Returns
    -------
    DataFrame
        The history of every run: columns spurious, captions, seed, epoch, loss and what was
        measured.
    """
    histories, trained = [], {}
    settings["batch_size"] = min(batch_size, len(judge.facts))
    for (spurious, name, seed), written in tqdm(sets.items(), desc="sets of captions"):
        key = (seed, *written.captions)
        if key not in trained:
            *_, history = sweep_projections(
                judge.clip,
                judge.image_features,
                judge.text_features(written.captions),
                [(None, seed)],
                evaluate=evaluate,
                device=judge.clip.device,
                **settings,
            )
            trained[key] = history.drop(columns="run")
        histories.append(trained[key].assign(spurious=spurious, captions=name, seed=seed))
    return pd.concat(histories, ignore_index=True)


def gains(better: pd.DataFrame, other: pd.DataFrame) -> pd.DataFrame:
    """Gains of some captions over others, signed so that positive is better or purer.

    Parameters
    ----------
    better, other : DataFrame
        Rows of `train_again` for one set of captions each, after the same epoch: a row per seed.

    Returns
    -------
    DataFrame
        A row per measure: columns measure, effect, and low and high by Student's t over seeds.
    """
    better, other = better.set_index("seed"), other.set_index("seed")
    rows = []
    for measure, sign in MEASURES.items():
        gain = sign * (better[measure] - other[measure])
        low, high = intervals.t_interval(gain)
        rows.append(dict(measure=measure, effect=gain.mean(), low=low, high=high))
    return pd.DataFrame(rows)


def effects(level: Level, filtered: pd.DataFrame, n_bootstrap: int = 0) -> pd.DataFrame:
    """The claims at one level: rows of `featpurity.report.results.effect`.

    Parameters
    ----------
    level : Level
    filtered : DataFrame
        `gains` of its filtered captions over its raw ones.
    n_bootstrap : int
    """
    claims = dict(zip(MEASURES, ("filter_accuracy", "filter_image", "filter_text")))
    rows = [
        results.effect(claims[row.measure], "filtered against raw", row.effect, row.low, row.high)
        for row in filtered.itertuples()
    ]
    right = {name: torch.as_tensor(written.right).float() for name, written in level.sets().items()}
    share = level.keeps_new.mean()
    right["a random choice"] = share * right["recaptioned"] + (1 - share) * right["raw"]
    against = {"filter_correct": "recaptioned", "filter_wrong": "raw"}
    against["filter_judges"] = "a random choice"
    for claim, other in against.items():
        fewer = right["filtered"] - right[other]
        ends = intervals.estimate_means(fewer, n_bootstrap).interval()
        rows.append(results.effect(claim, f"filtered against {other}", fewer.mean(), *ends))
    return pd.DataFrame(rows)


def remedy(
    judge: Judge,
    spurious: list[float],
    mistaken: list[float],
    seeds: list[int],
    evaluate: Callable,
    n_bootstrap: int = 0,
    **settings: Any,
) -> Filtered:
    """Train again on raw and filtered captions at every level, and step by step at the first.

    Parameters
    ----------
    judge : Judge
    spurious, mistaken : list of float
        Probabilities of a spurious partner in raw captions, and of the captioner's mistakes.
        Training uses the first share of mistakes; the claims are about the first of both.
    seeds : list of int
        Of the training, each with its own captions; at least two.
    evaluate, **settings
        See `train_again`.
    n_bootstrap : int
        Draws of the pictures for the intervals of shares.
    """
    levels = filter_captions(judge, spurious, mistaken, seeds[0])
    ladder = steps(levels[0], judge.facts)
    sets = {}
    for seed in seeds:
        for level in filter_captions(judge, spurious, mistaken[:1], seed):
            here = {"raw": level.raw, "filtered": level.sets()["filtered"]}
            if level.spurious == spurious[0]:
                here |= steps(level, judge.facts)
            sets |= {(level.spurious, name, seed): written for name, written in here.items()}
    history = train_again(judge, sets, evaluate, **settings)
    last = history[history.epoch == history.epoch.max()]
    runs = dict(list(last.groupby(["spurious", "captions"], sort=False)))
    by_level = [
        gains(runs[share, "filtered"], runs[share, "raw"]).assign(spurious=share)
        for share in spurious
    ]
    names = list(ladder)
    by_step = [
        gains(runs[spurious[0], now], runs[spurious[0], before]).assign(step=now)
        for before, now in zip(names, names[1:])
    ]
    trained = last[last.spurious == spurious[0]].groupby("captions")
    means = trained[[*MEASURES, "mean_recall"]].mean()
    return Filtered(
        levels=levels,
        shares=wrong_shares(levels, n_bootstrap),
        choices=choices(levels),
        history=history,
        gains=pd.concat(by_level, ignore_index=True),
        steps=pd.concat(by_step, ignore_index=True),
        captions=described(ladder, judge.facts).merge(means.reset_index(), on="captions"),
        effects=effects(levels[0], by_level[0], n_bootstrap),
    )


def _mixed(new: Written, raw: Written, takes_new: np.ndarray) -> Written:
    """The new captions where `takes_new`, else the raw ones."""
    return Written(
        [a if first else b for a, b, first in zip(new.captions, raw.captions, takes_new)],
        [a if first else b for a, b, first in zip(new.said, raw.said, takes_new)],
        np.where(takes_new, new.right, raw.right),
    )
