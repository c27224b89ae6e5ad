"""What rotations leave as it is, and what they make of average |cos|: against simulated rotations."""

import numpy as np
import pytest
import torch

from featpurity import avg_abs_cos
from featpurity.metrics import spectrum
from featpurity.metrics.purity import expected_abs_cos


def neurons(d, width, power, seed=0):
    """Neurons with singular values 1, 2^-power, 3^-power, ... in random directions."""
    generator = torch.Generator().manual_seed(seed)
    rank = min(d, width)
    left = torch.linalg.qr(torch.randn(d, rank, generator=generator)).Q
    right = torch.linalg.qr(torch.randn(width, rank, generator=generator)).Q
    return left * torch.arange(1, rank + 1) ** -float(power) @ right.T


@pytest.mark.parametrize("power", [0.05, 0.3, 0.6, 1.1])  # participation ratios from 62 to 2
@pytest.mark.parametrize("width", [24, 64, 100])
def test_expected_abs_cos_is_the_mean_over_simulated_rotations(power, width):
    tower = neurons(64, width, power)
    simulated = [avg_abs_cos(turn @ tower) for turn in spectrum.random_rotations(64, 60)]
    assert expected_abs_cos(tower) == pytest.approx(np.mean(simulated), rel=0.015)


@pytest.mark.slow
@pytest.mark.parametrize("d, width, power", [(512, 768, 0.1), (512, 512, 0.6), (768, 768, 1.1)])
def test_expected_abs_cos_at_the_sizes_of_real_models(d, width, power):
    tower = neurons(d, width, power)
    simulated = [avg_abs_cos(turn @ tower) for turn in spectrum.random_rotations(d, 12)]
    assert expected_abs_cos(tower) == pytest.approx(np.mean(simulated), rel=0.02)


def test_expected_abs_cos_of_spectra_that_are_known():
    assert expected_abs_cos(torch.eye(8)) == pytest.approx(0, abs=1e-6)  # rotations stay orthogonal
    assert expected_abs_cos(torch.ones(5, 9)) == pytest.approx(
        4 / 5, abs=1e-4
    )  # one direction only
    assert expected_abs_cos(torch.ones(1, 9)) == 0
    tower = neurons(32, 20, 0.5)
    turned = next(spectrum.random_rotations(32, 1)) @ tower
    assert expected_abs_cos(3 * turned.numpy()) == pytest.approx(expected_abs_cos(tower), rel=1e-4)


def test_random_rotations_are_orthogonal_seeded_and_uniform():
    turns = torch.stack(list(spectrum.random_rotations(3, 4000)))
    torch.testing.assert_close(turns @ turns.mT, torch.eye(3).expand(4000, 3, 3), atol=1e-5, rtol=0)
    assert torch.equal(turns[1], list(spectrum.random_rotations(3, 2))[1])
    # Uniform: every entry has mean 0, variance 1/3, and as many determinants are 1 as -1.
    assert turns.mean(0).abs().max() < 0.04 and (turns.square().mean(0) - 1 / 3).abs().max() < 0.03
    assert abs(torch.linalg.det(turns).mean()) < 0.06


def test_ranks_count_the_directions():
    assert spectrum.participation_ratio(torch.eye(7)) == pytest.approx(7)
    assert spectrum.effective_rank(5 * torch.eye(7)) == pytest.approx(7)
    assert spectrum.participation_ratio(torch.ones(4, 6)) == pytest.approx(1)
    assert spectrum.effective_rank(torch.ones(4, 6)) == pytest.approx(1)
    values = torch.tensor([3.0, 1.0])
    assert spectrum.participation_ratio(values.diag()) == pytest.approx(100 / 82)
    shares = values / 4
    assert spectrum.effective_rank(values.diag()) == pytest.approx(
        torch.exp(-(shares * shares.log()).sum()).item()
    )


def test_the_shared_component_is_the_direction_that_was_put_in():
    generator = torch.Generator().manual_seed(0)
    direction = torch.nn.functional.normalize(torch.randn(30, generator=generator), dim=0)
    tower = torch.randn(40, 30, generator=generator) + 8 * direction
    share, found = spectrum.shared_component(tower)
    assert abs(found @ direction) > 0.99 and found.norm() == pytest.approx(1, abs=1e-5)
    assert share == pytest.approx(
        (tower @ found).square().sum().item() / tower.square().sum().item()
    )
    left = spectrum.without_direction(tower, 5 * found)
    assert (left @ found).abs().max() < 1e-5
    assert avg_abs_cos(left) < 0.3 * avg_abs_cos(tower)
    assert spectrum.shared_component(-tower)[1] == pytest.approx(found, abs=1e-5)


@pytest.mark.parametrize("direction", [torch.zeros(3), torch.ones(4), torch.full((3,), torch.nan)])
def test_directions_that_are_none_are_refused(direction):
    with pytest.raises(ValueError, match=r"direction: expected finite numbers of shape \(3,\)"):
        spectrum.without_direction(torch.eye(3), direction)
