"""Purity of neurons: against plain loops, known geometry and the chance level."""

import math

import pytest
import torch

from featpurity import avg_abs_cos, cosine_matrix, purity_order, purity_scores
from featpurity.metrics import purity
from featpurity.metrics.purity import (
    avg_abs_cos_error,
    chance_average,
    chance_level,
    low_purity_order,
    max_abs_cos,
)


def test_cosine_matrix_equals_a_plain_loop():
    neurons = torch.randn(7, 5, generator=torch.Generator().manual_seed(0)) * 3
    cosines = cosine_matrix(neurons)
    for i in range(7):
        for j in range(7):
            plain = 0.0 if i == j else torch.cosine_similarity(neurons[i], neurons[j], dim=0).item()
            assert cosines[i, j].item() == pytest.approx(plain, abs=1e-6)


def test_orthogonal_neurons_are_pure_and_equal_ones_are_not():
    assert avg_abs_cos(torch.eye(4)) == 0 and max_abs_cos(torch.eye(4)) == 0
    # Four equal neurons: 12 of the 16 entries are 1, the diagonal counts as 0.
    assert avg_abs_cos(torch.ones(4, 9)) == pytest.approx(12 / 16)
    assert max_abs_cos(torch.ones(4, 9)) == pytest.approx(1)


def test_length_and_sign_of_a_neuron_do_not_matter():
    neurons = torch.randn(6, 8, generator=torch.Generator().manual_seed(1))
    scale = torch.tensor([1, -2, 0.5, 10, -0.1, 3])[:, None]
    assert avg_abs_cos(neurons * scale) == pytest.approx(avg_abs_cos(neurons), abs=1e-6)


@pytest.mark.parametrize("width", [1, 2, 64, 512])
def test_chance_level_is_the_mean_of_random_directions(width):
    a, b = torch.randn(2, 20000, width, generator=torch.Generator().manual_seed(2))
    drawn = torch.cosine_similarity(a, b).abs()
    assert chance_level(width) == pytest.approx(
        drawn.mean().item(), abs=5 * drawn.std().item() / math.sqrt(20000) + 1e-6
    )
    if width >= 64:
        assert chance_level(width) == pytest.approx(math.sqrt(2 / (math.pi * width)), rel=0.01)


def test_chance_of_an_average_counts_the_zero_diagonal():
    generator = torch.Generator().manual_seed(4)
    drawn = [avg_abs_cos(torch.randn(10, 32, generator=generator)) for _ in range(500)]
    assert chance_average(10, 32) == pytest.approx(sum(drawn) / len(drawn), rel=0.02)


def test_order_puts_the_purest_first_and_ties_go_to_the_lower_index():
    image = torch.tensor(
        [[1.0, 0, 0], [1, 0.1, 0], [0, 0, 1.0]]
    )  # neuron 2 is orthogonal to the others
    text = torch.eye(3)
    scores = purity_scores(image, text)
    assert scores[2] == 0 and scores[0] == pytest.approx(scores[1].item())
    assert purity_order(image, text).tolist() == [2, 0, 1]
    assert low_purity_order(image, text).tolist() == [0, 1, 2]
    assert purity_order(torch.eye(5), torch.eye(5)).tolist() == [0, 1, 2, 3, 4]


def test_scores_add_both_towers():
    image = torch.randn(4, 6, generator=torch.Generator().manual_seed(3))
    text = torch.randn(4, 9, generator=torch.Generator().manual_seed(4))
    plain = [
        sum(
            abs(torch.cosine_similarity(tower[j], tower[i], dim=0).item())
            for tower in (image, text)
            for i in range(4)
            if i != j
        )
        for j in range(4)
    ]
    assert purity_scores(image, text).tolist() == pytest.approx(plain, abs=1e-5)


@pytest.mark.parametrize(
    "neurons, message",
    [
        (torch.ones(4), r"shape \(d, width\), got \(4,\)"),
        (torch.ones(0, 3), r"shape \(d, width\), got \(0, 3\)"),
        ([[1.0]], "got list"),
        (torch.tensor([[1.0, float("nan")]]), "NaN"),
        (torch.tensor([[1.0, 1.0], [0.0, 0.0]]), "norm 0"),
        (torch.tensor([[1e30, 1.0], [1.0, 0.0]]), "too large for torch.float32"),
    ],
)
def test_bad_neurons_are_refused(neurons, message):
    with pytest.raises(ValueError, match=message):
        cosine_matrix(neurons)


def test_towers_of_different_numbers_of_neurons_are_refused():
    with pytest.raises(ValueError, match="got 3 and 4"):
        purity_scores(torch.eye(3), torch.eye(4))


def test_jackknife_error_is_the_spread_of_fresh_draws():
    def draw(seed):
        generator = torch.Generator().manual_seed(seed)
        # Two kinds of neurons, so that the average depends on which ones are drawn.
        shared = torch.randn(16, generator=torch.Generator().manual_seed(99))
        tied = torch.rand(60, 1, generator=generator) < 0.5
        return torch.randn(60, 16, generator=generator) + tied * shared

    spread = torch.tensor([avg_abs_cos(draw(seed)) for seed in range(200)]).std().item()
    errors = [avg_abs_cos_error(draw(seed)) for seed in range(20)]
    assert sum(errors) / 20 == pytest.approx(spread, rel=0.25)
    with pytest.raises(ValueError, match="at least 3, got 2"):
        avg_abs_cos_error(torch.eye(2))


def test_the_difference_of_two_towers_leaves_a_neuron_out_of_both():
    generator = torch.Generator().manual_seed(0)
    before = torch.randn(8, 16, generator=generator)
    after = before + 0.3 * torch.randn(8, 16, generator=generator)
    kept = ~torch.eye(8, dtype=torch.bool)
    without = [purity.avg_abs_cos(after[k]) - purity.avg_abs_cos(before[k]) for k in kept]
    # As of one tower: an average over d neurons counts each one's zero with itself.
    scale = 7 / 8 * 7 / 6
    without = torch.tensor(without, dtype=torch.float64) * scale
    plain = (7 / 8 * (without - without.mean()).square().sum()).sqrt().item()
    assert purity.difference_error(before, after) == pytest.approx(plain, rel=1e-5)
    with pytest.raises(ValueError, match="as many neurons, got 8 and 4"):
        purity.difference_error(before, after[:4])


def test_a_projection_matrix_of_the_paper_s_scripts_is_turned():
    projection = torch.randn(9, 4, generator=torch.Generator().manual_seed(2))  # (width, d)
    unit = projection / projection.norm(dim=0, keepdim=True)
    cosines = (unit.T @ unit).fill_diagonal_(0)  # as the paper's snippet has it
    neurons = purity.neurons_of(projection.numpy())
    assert neurons.shape == (4, 9)
    assert avg_abs_cos(neurons, d=4) == pytest.approx(cosines.abs().mean().item(), abs=1e-6)
    with pytest.raises(ValueError, match=r"neuron a row, 4 .*\(9, 4\); .* neurons_of\(projection"):
        avg_abs_cos(projection, d=4)
    with pytest.raises(ValueError, match="got 9 and 7; .* neurons_of"):
        purity_scores(projection, torch.ones(7, 4))
    with pytest.raises(ValueError, match=r"projection: expected shape \(width, d\), got \(4,\)"):
        purity.neurons_of(torch.ones(4))
