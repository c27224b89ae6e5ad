"""What the public measures take: every kind of array gives the tensor's number, all else an error."""

import numpy as np
import pandas as pd
import pytest
import torch

import featpurity as fp
from featpurity.metrics.inputs import row_blocks

RNG = np.random.default_rng(0)
NEURONS, OTHERS, UNIT = (RNG.normal(size=shape) for shape in [(6, 9), (6, 8), (20, 6)])
LABELS, ORDER = np.arange(20) % 4, np.arange(6)

# Each measure of arrays that `form` has made of the arrays above.
MEASURES = {
    "cosine_matrix": lambda form: fp.cosine_matrix(form(NEURONS)),
    "avg_abs_cos": lambda form: fp.avg_abs_cos(form(NEURONS), d=6),
    "neurons_of": lambda form: fp.neurons_of(form(NEURONS)),
    "purity_scores": lambda form: fp.purity_scores(form(NEURONS), form(OTHERS)),
    "low_purity_order": lambda form: fp.low_purity_order(form(NEURONS), form(OTHERS)),
    "accuracy": lambda form: fp.accuracy(form(UNIT), form(UNIT[:4]), form(LABELS)),
    "prune": lambda form: fp.prune(form(UNIT), form(ORDER), 2),
    "pruning_curve": lambda form: fp.pruning_curve(
        form(UNIT), form(UNIT[:4]), form(LABELS), form(ORDER)
    ),
    "silhouette": lambda form: fp.silhouette(form(UNIT), form(LABELS)),
    "silhouette_curve": lambda form: fp.silhouette_curve(
        form(UNIT), form(LABELS), form(ORDER), [2, 4]
    ),
    "bootstrap_silhouettes": lambda form: fp.bootstrap_silhouettes([form(UNIT)], form(LABELS), 3),
    "bootstrap_means": lambda form: fp.bootstrap_means(form(UNIT), 3),
    "interval": lambda form: fp.interval(form(UNIT)),
}
every_measure = pytest.mark.parametrize("name", MEASURES)


def read_only(array):
    copy = array.copy()
    copy.setflags(write=False)
    return copy


FORMS = {
    "array": lambda array: array,
    "read only": read_only,
    "backwards in memory": lambda array: array[::-1].copy()[::-1],
    "of another byte order": lambda array: array.astype(array.dtype.newbyteorder(">")),
}


@every_measure
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.filterwarnings("error")
def test_every_kind_of_array_gives_the_number_of_the_tensor(name, form):
    expected, got = MEASURES[name](torch.tensor), MEASURES[name](FORMS[form])
    torch.testing.assert_close(got, expected)


@every_measure
@pytest.mark.parametrize("value", [5, None, "text", [[1.0, 2.0], [3.0]], {}, np.array([object()])])
def test_what_is_no_array_is_a_value_error(name, value):
    with pytest.raises(ValueError, match=r"expected .*, got"):
        MEASURES[name](lambda array: value)


def test_a_column_of_a_table_is_told_how_to_become_an_array():
    with pytest.raises(ValueError, match=r"labels: expected .*, got Series: give its .to_numpy"):
        fp.silhouette(UNIT, pd.Series(LABELS))


@pytest.mark.parametrize("name", ["cosine_matrix", "purity_scores"])
def test_neurons_of_zeros_and_ones_are_numbers(name):
    ones = [MEASURES[name](lambda array, kind=kind: (array > 0).astype(kind)) for kind in "?f"]
    torch.testing.assert_close(*ones)


@pytest.mark.parametrize("models", [None, [], {}, 5, np.empty(0)])
def test_bootstrapped_silhouettes_are_of_a_list_of_models(models):
    with pytest.raises(ValueError, match="models: expected a list of embeddings"):
        fp.bootstrap_silhouettes(models, LABELS)


@pytest.mark.parametrize("captions", [None, 5, "a dog", {}, [1, 2]])
def test_captions_are_a_list_of_texts(captions):
    with pytest.raises(ValueError, match="expected a list of captions, each a str"):
        fp.swap_captions(captions, 0.5)


@pytest.mark.parametrize("k", [0, 7, 2.5, "2", None])
def test_numbers_of_kept_neurons_are_whole_and_within_reach(k):
    with pytest.raises(ValueError, match="k: expected"):
        fp.prune(UNIT, ORDER, k)
    for kept in [[k], k]:
        with pytest.raises(ValueError, match="kept: expected"):
            fp.silhouette_curve(UNIT, LABELS, ORDER, kept)


@pytest.mark.parametrize(
    "order", [[0, 1, 2, 3, 4, 4], [1, 2, 3, 4, 5, 6], [0, 1], [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]]
)
def test_an_order_to_prune_by_holds_each_neuron_once(order):
    with pytest.raises(ValueError, match="order: expected a permutation of 0 .. 5"):
        fp.prune(UNIT, np.array(order), 2)


def test_there_is_at_least_one_random_order_of_one_neuron():
    for d, n_orders in [(6, 0), (0, 2)]:
        with pytest.raises(ValueError, match="d and n_orders: expected at least 1"):
            fp.random_orders(d, n_orders)


@pytest.mark.parametrize("ratio", ["0.5", None, -0.1, 1.5, float("nan")])
def test_a_share_of_captions_is_a_number_from_0_to_1(ratio):
    with pytest.raises(ValueError, match="ratio is a share of the captions"):
        fp.swap_captions(["a dog", "a cat"], ratio)


def test_the_environment_sets_the_size_of_a_block(monkeypatch):
    like = torch.empty(0)
    monkeypatch.setenv("FEATPURITY_BLOCK_MIB", "1")
    assert [rows.stop for rows in row_blocks(600, 1024, like)] == [256, 512, 600]
    for wrong in ("0", "1.5", "much"):
        monkeypatch.setenv("FEATPURITY_BLOCK_MIB", wrong)
        with pytest.raises(ValueError, match=f"expected a number of MiB, got '{wrong}'"):
            row_blocks(600, 1024, like)
