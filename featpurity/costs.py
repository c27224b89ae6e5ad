"""Estimate the time and memory of chapters 1, 2, 7 and 9 on a CPU, from a few constants.

The constants hold for one core of the machine in benchmarks/README.md, with stored features. That
page compares them with CPU seconds of `benchmarks/growth.py` and `benchmarks/paper_run.py`, and
with the demo's chapters. The cost of the other chapters is not known beforehand.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from featpurity.profile import CLAIMS, COMPARISON, PRUNING, THEORY, TURNED_ORDERS, Profile

START = 8.0  # seconds of a notebook that only shows results: kernel, modules, figures
START_GB = 1.0
TORCH = 5.0  # additional seconds of one that opens models
LOADING = 8.0  # seconds per gigabyte of a model: read, checked, digested, and projecting
CURVE_ROWS = 1e-8  # seconds per image and neuron for one order
CURVE_CLASSES = 2.5e-10  # additional, per image, neuron and class
SILHOUETTE = 3e-3  # seconds of one silhouette, whatever its size
SILHOUETTE_ROWS = 3e-9  # additional, per image and neuron
SILHOUETTE_CLASSES = 2e-11  # additional, per image, neuron and class
DRAW = 5e-9  # seconds per image of one bootstrap draw
GRID = 15, 0.53  # default numbers of kept neurons for the silhouette, and their mean share of all
SPECTRUM = 1.1e-3  # seconds per neuron for the average |cos| expected after rotations
SIMULATION = 4.0  # seconds of one training of the simulated theory
AREAS = 4  # passes over class scores besides the random orders': two orders, two areas


class Size(NamedTuple):
    """Images and classes of a data set."""

    images: int
    classes: int


class Cost(NamedTuple):
    """Seconds on one core, and gigabytes of memory."""

    seconds: float
    gigabytes: float


def costs(
    profile: Profile, neurons: Sequence[int], gigabytes: Sequence[float], sizes: Sequence[Size]
) -> dict[str, Cost]:
    """Costs, by chapter, of the profile's chapters for which they are known.

    Without models and data sets, the costs of chapters that compare them are unknown.

    Parameters
    ----------
    profile : Profile
    neurons : sequence of int
        One number per compared model.
    gigabytes : sequence of float
        Sizes of these models' files.
    sizes : sequence of Size
        Sizes of the data sets.
    """
    runs = len(profile.spurious_features) * len(profile.simulation_seeds)
    known = {CLAIMS: Cost(START, START_GB), THEORY: Cost(START + SIMULATION * runs, START_GB)}
    if neurons and sizes:
        known |= _compared(profile, neurons, gigabytes, sizes)
    return {chapter: known[chapter] for chapter in profile.chapters if chapter in known}


def _compared(profile, neurons, gigabytes, sizes):
    """Costs of the chapters that compare models on data sets."""
    loading = START + TORCH + LOADING * sum(gigabytes)
    embeddings = 4e-9 * sum(neurons) * sum(size.images for size in sizes)
    largest = 2 * max(gigabytes, default=0) + 12e-9 * max(size.images for size in sizes) * 1024
    memory = START_GB + embeddings + largest
    comparison, pruning = (
        sum(seconds(profile, d, size) for d in neurons for size in sizes)
        for seconds in (_comparison, _pruning)
    )
    return {
        COMPARISON: Cost(loading + SPECTRUM * 2 * sum(neurons) + comparison, memory),
        PRUNING: Cost(loading + pruning, memory),
    }


def silhouette_seconds(size: Size, d: int) -> float:
    """Seconds of one silhouette with d neurons."""
    a_neuron = SILHOUETTE_ROWS + SILHOUETTE_CLASSES * size.classes
    return SILHOUETTE + a_neuron * size.images * d


def _intervals(profile, size, d):
    """Seconds of a silhouette's interval, by bootstrap draws or influences."""
    draws = profile.n_bootstrap or 3
    return draws * (silhouette_seconds(size, d) + DRAW * size.images)


def _comparison(profile, d, size):
    return silhouette_seconds(size, d) + _intervals(profile, size, d)


def _pruning(profile, d, size):
    orders, (points, share) = profile.n_random_orders, GRID
    kept = profile.kept or [round(share * d)] * points
    turned = min(orders, TURNED_ORDERS)
    curve = (CURVE_ROWS + CURVE_CLASSES * size.classes) * size.images * d
    curves = (orders + turned + AREAS) * curve
    grid = (orders + 2) * sum(silhouette_seconds(size, k) for k in kept)
    grid += 2 * turned * silhouette_seconds(size, d)
    return curves + grid + 2 * _intervals(profile, size, d)
