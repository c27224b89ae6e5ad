"""Pruning where purity has no say: in rotated bases, and by orders made otherwise.

An *area* is the mean accuracy over all numbers of kept neurons.
"""

import pandas as pd
import torch
from tqdm.auto import tqdm

from featpurity.experiments.inputs import Embedded, Inputs
from featpurity.labels import OVERALL
from featpurity.metrics import intervals, pruning, purity, spectrum
from featpurity.models.clip import ClipModel, neurons_by_tower
from featpurity.report import results

# The tables' orders of neurons: those of `orders_of`, with random ones before the greedy one.
ORDERS = ("purity", "image_purity", "text_purity", "variance", "norm", "random", "greedy")
GREEDY_IMAGES = 300  # images that the greedy order sees


def in_rotated_bases(inputs: Inputs, n_rotations: int = 20) -> pd.DataFrame:
    """Area with the purest first minus the least pure first, in a model's own and rotated bases.

    Returns
    -------
    DataFrame
        A row for each model, data set and basis: basis 0 is the model's own, 1 .. n_rotations are
        rotated; `gain` is the difference of the areas.
    """
    rows = []
    for model, clip in tqdm(inputs.models.items(), desc="rotated bases"):
        turns = [torch.eye(clip.d), *spectrum.random_rotations(clip.d, n_rotations)]
        for basis, turn in enumerate(turns):
            neurons = [turn @ its for its in neurons_by_tower(clip).values()]
            ends = purity.purity_order(*neurons), purity.low_purity_order(*neurons)
            for name in inputs.data:
                embedded = rotated(inputs.embedded[model, name], turn)
                first, last = pruning.pruning_curves(*embedded, ends).mean(1).tolist()
                rows.append(dict(model=model, dataset=name, basis=basis, gain=first - last))
    return pd.DataFrame(rows)


def own_against_rotated(gains: pd.DataFrame) -> pd.DataFrame:
    """The own basis beside rotated ones: rows for each model and data set, and for their mean."""
    mean = gains.groupby(["model", "basis"], sort=False).gain.mean().reset_index()
    rows = []
    for (model, name), part in pd.concat([gains, mean.assign(dataset=OVERALL)]).groupby(
        ["model", "dataset"], sort=False
    ):
        turned = part[part.basis > 0].gain
        own, average, spread = part[part.basis == 0].gain.item(), turned.mean(), turned.std()
        row = dict(model=model, dataset=name, own=own, rotated=average, spread=spread)
        row |= dict(rotations=len(turned))
        rows.append(row | dict(z=0.0 if own == average else (own - average) / spread))
    return pd.DataFrame(rows)


def effects(compared: pd.DataFrame) -> list[dict]:
    """The claim about pruning in the own basis, from `own_against_rotated`."""
    return [
        results.against_rotations(row, "own_basis_pruning", row.own - row.rotated, row.dataset)
        for row in compared.itertuples()
    ]


def orders_of(clip: ClipModel, embedded: Embedded) -> dict[str, torch.Tensor]:
    """Orders of a model's neurons by name; all but the greedy one ignore labels."""
    image, text = neurons_by_tower(clip).values()
    images, classifier, labels = embedded
    keys = {
        "purity": purity.purity_scores(image, text),
        "image_purity": purity.cosine_matrix(image).abs().sum(1),
        "text_purity": purity.cosine_matrix(text).abs().sum(1),
        "variance": -images.var(0),
        "norm": -image.norm(dim=1) * text.norm(dim=1),
    }
    orders = {name: key.argsort(stable=True) for name, key in keys.items()}
    some = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))
    some = some[:GREEDY_IMAGES]
    greedy = pruning.greedy_order(images[some], classifier, labels[some])
    return orders | {"greedy": greedy}


def areas(inputs: Inputs, n_random_orders: int = 32) -> pd.DataFrame:
    """The area of every order: a row for each model, data set and order.

    Columns area, and reversed for the reversed order; for random orders low and high, the ends of
    the middle 95 %.
    """
    rows = []
    for (model, name), embedded in tqdm(inputs.embedded.items(), desc="orders"):
        clip = inputs.models[model]
        about = dict(model=model, dataset=name)
        orders = orders_of(clip, embedded)
        ways = [*orders.values(), *(order.flip(0) for order in orders.values())]
        found = pruning.pruning_curves(*embedded, ways).mean(1).view(2, -1).T.tolist()
        for order, (area, back) in zip(orders, found):
            rows.append(about | dict(order=order, area=area, reversed=back))
        random = pruning.random_orders(clip.d, n_random_orders)
        drawn = pruning.pruning_curves(*embedded, random).mean(1)
        low, high = map(float, intervals.interval(drawn))
        row = dict(order="random", area=drawn.mean().item(), low=low, high=high)
        rows.append(about | row)
    return pd.DataFrame(rows)


def mean_areas(table: pd.DataFrame) -> pd.DataFrame:
    """Means over the data sets: a row for each model and order, in the order of `ORDERS`."""
    means = table.groupby(["model", "order"])[["area", "reversed"]].mean()
    wanted = [(model, order) for model in table.model.unique() for order in ORDERS]
    return means.loc[wanted].reset_index()


def rotated(embedded: Embedded, turn: torch.Tensor) -> Embedded:
    """A data set embedded by a rotated model."""
    images, classifier, labels = embedded
    turn = turn.to(images)
    return Embedded(images @ turn.T, classifier @ turn.T, labels)
