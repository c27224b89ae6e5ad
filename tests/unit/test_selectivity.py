"""What single neurons know: mutual information against scikit-learn, monosemanticity the plain way."""

import math

import pytest
import torch
from sklearn.metrics import mutual_info_score
from sklearn.metrics.cluster import contingency_matrix, expected_mutual_information

from featpurity.metrics import selectivity


def test_mutual_information_is_scikit_learn_s_on_the_binned_values_less_the_bias():
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(5, (480,), generator=generator)
    values = torch.randn(480, 3, generator=generator) + labels[:, None] * torch.tensor([0, 0.5, 3])
    information = selectivity.mutual_information(values, labels, bins=8)
    for j in range(3):
        bins = values[:, j].argsort().argsort() * 8 // 480
        cells = contingency_matrix(bins.numpy(), labels.numpy())
        plain = mutual_info_score(bins.numpy(), labels.numpy())
        plain -= expected_mutual_information(cells, 480)
        assert information[j].item() == pytest.approx(plain, abs=1e-9)
    assert abs(information[0]) < 0.03 < information[1] < information[2] < math.log(5)


@pytest.mark.parametrize("n, classes", [(1000, 6), (500, 50), (200, 50)])
def test_a_neuron_that_knows_nothing_has_no_information_in_the_mean(n, classes):
    generator = torch.Generator().manual_seed(1)
    labels = torch.randint(classes, (n,), generator=generator)
    information = selectivity.mutual_information(torch.randn(n, 400, generator=generator), labels)
    assert information.mean().item() == pytest.approx(0, abs=5e-3)


def test_equal_values_tell_nothing_where_images_come_class_by_class():
    labels = torch.arange(10).repeat_interleave(100)
    values = torch.zeros(1000, 2)
    values[::20, 1] = torch.rand(50, generator=torch.Generator().manual_seed(3))  # mostly 0
    assert selectivity.mutual_information(values, labels).abs().max() < 0.05


def test_monosemanticity_is_the_weighted_mean_of_all_pairs():
    generator = torch.Generator().manual_seed(2)
    activations = torch.randn(20, 4, generator=generator)
    images = torch.randn(20, 7, generator=generator)
    unit = torch.nn.functional.normalize(images.double(), dim=1)
    scores = selectivity.monosemanticity(activations, images.numpy())
    for j in range(4):
        values = activations[:, j].double()
        scaled = (values - values.min()) / (values.max() - values.min())
        weights = torch.outer(scaled, scaled).triu(1)
        plain = (weights * (unit @ unit.T)).sum() / weights.sum()
        assert scores[j].item() == pytest.approx(plain.item(), abs=1e-9)


def test_a_neuron_of_one_kind_of_picture_is_monosemantic():
    kinds = torch.eye(3).repeat_interleave(10, 0)  # three kinds of pictures, unlike one another
    scores = selectivity.monosemanticity(torch.stack([kinds[:, 0], 1 - kinds[:, 0]], 1), kinds)
    assert scores.tolist() == pytest.approx([1, 90 / 190])  # 2 x 45 of 190 pairs are of one kind


def test_bins_outside_the_images_are_refused():
    with pytest.raises(ValueError, match=r"bins: expected 2 \.\. 3, the number of images, got 4"):
        selectivity.mutual_information(torch.ones(3, 2), torch.arange(3), bins=4)
