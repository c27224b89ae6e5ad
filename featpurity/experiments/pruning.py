"""Experiment 2: keep only the purest, the least pure or random neurons, and measure again."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
import torch
from torch import Tensor
from tqdm.auto import tqdm

from featpurity.experiments.inputs import Embedded, Inputs
from featpurity.labels import OVERALL
from featpurity.metrics import intervals, pruning, purity, silhouette, zeroshot
from featpurity.metrics.intervals import Estimate
from featpurity.models.clip import ClipModel, neurons_by_tower
from featpurity.profile import TURNED_ORDERS
from featpurity.report import results
from featpurity.report.display_names import Renamed
from featpurity.report.published import READ_AT, WINDOW

COLUMNS = ["model", "dataset", "strategy", "kept", "silhouette"]


@dataclass(frozen=True)
class Orders:
    """Orders in which to keep a model's neurons.

    Attributes
    ----------
    purest_first, least_pure_first : int64 tensor of shape (d,)
    random : int64 tensor of shape (n_orders, d)
    """

    purest_first: Tensor
    least_pure_first: Tensor
    random: Tensor

    def by_purity(self) -> dict[str, Tensor]:
        """The two orders by purity, by the name of their strategy."""
        return {"high_purity": self.purest_first, "low_purity": self.least_pure_first}

    def turned(self) -> Tensor:
        """The first random orders, reversed: int64 tensor of shape (n_turned, d)."""
        return self.random[:TURNED_ORDERS].flip(1)


@dataclass(frozen=True)
class Pruned(Renamed):
    """The tables of experiment 2.

    Attributes
    ----------
    accuracy, silhouette : DataFrame
        Columns model, dataset, strategy (high_purity, low_purity, random, full), kept, the measure
        and, for random, the ends `_low` and `_high` of the middle 95 % of the draws. The table of
        accuracy also has the mean recall over the classes.
    areas : DataFrame
        A row per model: mean accuracy over all numbers of neurons and all data sets, with the
        purest first (high_purity), the least pure first (low_purity) and in random order (random);
        random_low and random_high are the 95 % interval of one more random order.
    effects : DataFrame
        A row for each claim, model and data set, see `featpurity.report.results.effect`.
    """

    accuracy: pd.DataFrame
    silhouette: pd.DataFrame
    areas: pd.DataFrame
    effects: pd.DataFrame


def orders_of(clip: ClipModel, n_random_orders: int = 32) -> Orders:
    """Rank one model's neurons, and draw random orders of them."""
    neurons = neurons_by_tower(clip).values()
    return Orders(
        purity.purity_order(*neurons),
        purity.low_purity_order(*neurons),
        pruning.random_orders(clip.d, n_random_orders),
    )


def prune(
    inputs: Inputs,
    n_random_orders: int = 32,
    kept: list[int] | None = None,
    n_bootstrap: int = 0,
    silhouettes: bool = True,
) -> Pruned:
    """Curves over the number of kept neurons, for every model and data set, and their differences.

    Parameters
    ----------
    inputs : Inputs
    n_random_orders : int
        Random choices of neurons, reported by their mean and middle 95 %.
    kept : list of int, optional
        Numbers of neurons for the silhouette; by default a grid with the paper's, scaled to each
        model. Accuracy is measured for every number.
    n_bootstrap : int
        Draws of the images for the intervals of the differences; 0 uses the images' influences
        instead.
    silhouettes : bool
        Whether to measure silhouettes too, which takes longest. Otherwise, or where the silhouette
        is not defined, the table is empty.
    """
    orders = {model: orders_of(clip, n_random_orders) for model, clip in inputs.models.items()}
    accuracy, scores, areas, found, drawn = {}, {}, {}, {}, {}
    for (model, name), embedded in tqdm(inputs.embedded.items(), desc="pruning"):
        its = orders[model]
        accuracy[model, name], lines = accuracy_curves(embedded, its)
        areas.setdefault(model, []).append(lines[: 2 + len(its.random)].mean(1))
        if silhouettes and silhouette.is_defined(embedded.labels):
            grid = kept or pruning.paper_kept(inputs.models[model].d)
            scores[model, name] = silhouette_curves(embedded, its, grid)
        pictures = inputs.data[name].images_key
        for claim, difference in differences(embedded, its, n_bootstrap, pictures).items():
            found.setdefault((claim, model), {})[name] = difference
        for claim, draws in differences_by_chance(embedded, its, lines).items():
            drawn.setdefault((claim, model), {})[name] = draws
    pictures = {name: dataset.images_key for name, dataset in inputs.data.items()}
    return Pruned(
        _named(accuracy),
        _named(scores) if scores else pd.DataFrame(columns=COLUMNS),
        areas_table(areas),
        _effects(found, drawn, pictures),
    )


def accuracy_curves(embedded: Embedded, orders: Orders) -> tuple[pd.DataFrame, Tensor]:
    """Accuracy and mean recall for every number of kept neurons, and with all of them.

    Returns
    -------
    curves : DataFrame
    accuracy : float tensor of shape (2 + n_orders + n_turned, d)
        Purest first, least pure first, random orders, and some of these reversed.
    """
    by_purity = orders.by_purity()
    every = [*by_purity.values(), *orders.random, *orders.turned()]
    measured = pruning.accuracy_and_recall_curves(*embedded, every)
    tables, ends = [], [len(by_purity), len(by_purity) + len(orders.random)]
    for measure, curves in zip(("accuracy", "mean_recall"), measured):
        d, (both, random, _) = curves.shape[1], curves.cpu().tensor_split(ends)
        full = [d], random[:1, -1].numpy()
        tables.append(_curves(measure, range(1, d + 1), dict(zip(by_purity, both)), random, full))
    return tables[0].merge(tables[1], on=["strategy", "kept"]), measured[0].cpu()


def areas_table(areas: Mapping[str, Sequence[Tensor]]) -> pd.DataFrame:
    """Where the orders by purity are among random ones, see `Pruned`.

    For each model and data set, `areas` holds the mean accuracy over all numbers of neurons: purest
    first, least pure first, random orders.
    """
    rows = []
    for model, of_datasets in areas.items():
        purest, least_pure, *random = torch.stack(list(of_datasets)).mean(0).tolist()
        random = pd.Series(random)
        low, high = intervals.beyond_draws(random.mean(), random.std(), len(random))
        row = dict(model=model, high_purity=purest, low_purity=least_pure, random=random.mean())
        rows.append(row | dict(random_low=low, random_high=high))
    return pd.DataFrame(rows)


def silhouette_curves(embedded: Embedded, orders: Orders, kept: Sequence[int]) -> pd.DataFrame:
    """Silhouette of the kept coordinates for some numbers of neurons, and with all of them."""
    by_purity = {
        strategy: silhouette.silhouette_curve(embedded.images, embedded.labels, order, kept)
        for strategy, order in orders.by_purity().items()
    }
    random = [
        silhouette.silhouette_curve(embedded.images, embedded.labels, order, kept)
        for order in orders.random
    ]
    full = [embedded.images.shape[1]], [silhouette.silhouette(embedded.images, embedded.labels)]
    return _curves("silhouette", kept, by_purity, torch.stack(random), full)


def differences(
    embedded: Embedded, orders: Orders, n_bootstrap: int = 0, pictures: str = ""
) -> dict[str, Estimate]:
    """Differences between the curves of one model and data set, by claim.

    The *area* is the mean difference of accuracy over all numbers of kept neurons, the *window*
    that over the paper's numbers; the others are read where the paper reads its figures.
    """
    k, window = _read_at(embedded.images.shape[1])

    def right_with(order):
        pruned = pruning.prune(embedded.images, order, k)
        right = zeroshot.right_predictions(pruned, embedded.classifier, embedded.labels)
        return right.float()  # (n,)

    purest, least_pure = orders.purest_first, orders.least_pure_first
    high, low = right_with(purest), right_with(least_pure)
    random = torch.stack([right_with(order) for order in orders.random]).mean(0)

    windows = [(1, embedded.images.shape[1]), window]
    purest_areas, least_pure_areas = pruning.areas_by_image(
        *embedded, [purest, least_pure], windows
    )
    area, area_in_window = purest_areas - least_pure_areas
    by_image = {
        "pruning_area": area,
        "pruning_window": area_in_window,
        "pruning_450_high_low": high - low,
        "pruning_450_high_random": high - random,
    }
    found = {
        claim: intervals.estimate_means(values, n_bootstrap, pictures)
        for claim, values in by_image.items()
    }
    if silhouette.is_defined(embedded.labels):
        both = [embedded.images[:, order[:k]] for order in (purest, least_pure)]
        scores = silhouette.estimate_silhouettes(both, embedded.labels, n_bootstrap, pictures)
        found["pruning_silhouette"] = scores[0] - scores[1]
    return found


def differences_by_chance(embedded: Embedded, orders: Orders, lines: Tensor) -> dict[str, Tensor]:
    """Values of `differences` without purity: between random orders and the same reversed.

    For the difference from random neurons, it is that of one random order from the mean of all.

    Parameters
    ----------
    embedded : Embedded
    orders : Orders
    lines : float tensor of shape (2 + n_orders + n_turned, d)
        See `accuracy_curves`.

    Returns
    -------
    draws : dict of str to float tensor of shape (n_turned,) or (n_orders,)
        By claim.
    """
    k, (first, last) = _read_at(lines.shape[1])
    random, back = lines[2:].tensor_split([len(orders.random)])
    turned = random[: len(back)] - back
    drawn = {
        "pruning_area": turned.mean(1),
        "pruning_window": turned[:, first - 1 : last].mean(1),
        "pruning_450_high_low": turned[:, k - 1],
        "pruning_450_high_random": random[:, k - 1] - random[:, k - 1].mean(),
    }
    if silhouette.is_defined(embedded.labels):
        score = silhouette.silhouette
        forth, back = (
            torch.tensor([score(embedded.images[:, order[:k]], embedded.labels) for order in some])
            for some in (orders.random[: len(back)], orders.turned())
        )
        drawn["pruning_silhouette"] = forth - back
    return drawn


def _read_at(d):
    """The number of d neurons where the paper reads its figures; first and last of its window."""
    return round(READ_AT * d), tuple(max(1, round(share * d)) for share in WINDOW)


def at_chance(inputs: Inputs) -> list[tuple[str, str]]:
    """Models and data sets where predictions with all neurons are no better than guessing."""
    found = []
    for (model, name), embedded in inputs.embedded.items():
        right = zeroshot.right_predictions(*embedded)
        low, _ = zeroshot.estimate_recall(right, embedded.labels).interval()
        about = len(right), len(embedded.labels.unique())
        if intervals.at_chance(right.float().mean().item(), low.item(), *about):
            found.append((model, name))
    return found


def check(inputs: Inputs, curves: pd.DataFrame, tolerance: float = 2e-3) -> None:
    """Raise AssertionError unless the curves end at the full accuracy and agree with the plain way.

    The plain way masks half the neurons of the embeddings and classifies again.
    """
    lines = curves.set_index(["model", "dataset", "strategy", "kept"]).accuracy
    for (model, name), embedded in inputs.embedded.items():
        clip, full = inputs.models[model], zeroshot.accuracy(*embedded)
        order = orders_of(clip, 1).purest_first
        pruned = pruning.prune(embedded.images, order, clip.d // 2)
        half = zeroshot.accuracy(pruned, embedded.classifier, embedded.labels)
        for strategy in ("high_purity", "low_purity", "random"):
            assert abs(lines[model, name, strategy, clip.d] - full) < tolerance, (model, name)
        assert abs(lines[model, name, "high_purity", clip.d // 2] - half) < tolerance, (model, name)


def _curves(measure, kept, by_purity, random, full):
    """Curves of one model and data set as rows; `random` (n_orders, n_kept) gets a band."""
    lines = [(name, kept, values.numpy(), None, None) for name, values in by_purity.items()]
    low, high = intervals.interval(random)
    lines.append(("random", kept, random.mean(0).numpy(), low.numpy(), high.numpy()))
    lines.append(("full", *full, None, None))
    columns = ("strategy", "kept", measure, f"{measure}_low", f"{measure}_high")
    return pd.concat([pd.DataFrame(dict(zip(columns, line))) for line in lines])


def _named(curves):
    """Curves by (model, data set) as one table."""
    return pd.concat(curves, names=["model", "dataset"]).reset_index(["model", "dataset"])


def _effects(found, drawn, pictures):
    """Rows of effects for every data set and their mean, claim by claim.

    By (claim, model), `found` holds an `Estimate` for each data set, and `drawn` the values of
    random orders, the same orders for each.
    """
    rows = []
    for (claim, model), by_dataset in sorted(found.items(), key=lambda group: group[0]):
        draws = drawn[claim, model]
        keys = [pictures[name] for name in by_dataset]
        mean = intervals.mean_estimate(list(by_dataset.values()), keys)
        mean_draws = torch.stack(list(draws.values())).mean(0)
        for name, estimate in (by_dataset | {OVERALL: mean}).items():
            chance = (draws | {OVERALL: mean_draws})[name]
            ends = intervals.beyond_draws(0.0, chance.std().item(), len(chance))
            row = claim, model, estimate.value, *estimate.interval()
            rows.append(results.effect(*row, dataset=name, chance=ends))
    return pd.DataFrame(rows)
