"""The silhouette and its influences: against scikit-learn, gradients, resampling and simulation."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from clusters import world
from sklearn.metrics import silhouette_score

from featpurity import silhouette, silhouette_curve
from featpurity.metrics import intervals
from featpurity.metrics.silhouette import bootstrap_silhouettes, silhouette_influence


def plain(embeddings, labels):
    return silhouette_score(embeddings.double().numpy(), labels.numpy(), metric="cosine")


@pytest.fixture
def large(monkeypatch):
    """Small inputs are computed as large ones are: in single precision where that is enough."""
    monkeypatch.setattr("featpurity.metrics.silhouette.SMALL", 0)


@pytest.mark.parametrize("seed", range(3))
def test_silhouette_equals_scikit_learn_in_single_precision(seed, large):
    embeddings, labels, _ = world(seed=seed)
    labels[0], embeddings[1] = 99, 0
    assert silhouette(embeddings, labels) == pytest.approx(plain(embeddings, labels), abs=2e-7)


@pytest.mark.parametrize("seed", range(3))
def test_silhouette_equals_scikit_learn(seed):
    embeddings, labels, _ = world(seed=seed)
    labels[0] = 99  # a class of one scores 0, in scikit-learn too
    embeddings[1] = 0  # a pruned image can be all zeros
    expected = silhouette_score(embeddings.double().numpy(), labels.numpy(), metric="cosine")
    assert silhouette(embeddings, labels) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("length", [1e-44, 1e-30, 1e-13, 1e13, 1e30])
@pytest.mark.parametrize("small", [0, 2**18])
def test_embeddings_may_be_of_any_length(length, small, monkeypatch):
    monkeypatch.setattr("featpurity.metrics.silhouette.SMALL", small)
    embeddings, labels, _ = world()
    embeddings[1] = 0
    signs = embeddings.sign()  # whose cosines are the same at any length
    scaled = signs.clone()
    scaled[::2] *= length
    assert silhouette(scaled, labels) == pytest.approx(plain(signs, labels), abs=2e-7)
    influences = [silhouette_influence(images, labels) for images in (scaled, signs)]
    assert torch.allclose(*influences, atol=1e-5)
    (value,) = silhouette_curve(scaled, labels, torch.arange(16), [3])
    assert value.item() == pytest.approx(plain(signs[:, :3], labels), abs=1e-6)


@pytest.mark.parametrize("d", [2, 64, 512])
def test_copies_of_one_picture_score_0(d):
    generator = torch.Generator().manual_seed(d)
    labels = torch.arange(60) % 3
    embeddings = F.normalize(torch.randn(1, d, generator=generator), dim=1).repeat(60, 1)
    assert silhouette(embeddings, labels) == 0
    assert not silhouette_influence(embeddings, labels).any()
    embeddings[labels == 2] = F.normalize(torch.randn(20, d, generator=generator), dim=1)
    distances = 1 - embeddings.double() @ embeddings.double().T
    distances[distances < 1e-6] = 0  # without the rounding
    expected = silhouette_score(distances.numpy(), labels.numpy(), metric="precomputed")
    assert silhouette(embeddings, labels) == pytest.approx(expected, abs=1e-6)
    assert torch.isfinite(silhouette_influence(embeddings, labels)).all()


def test_silhouette_curve_equals_scikit_learn_on_the_kept_columns():
    embeddings, labels, _ = world()
    order = torch.randperm(16, generator=torch.Generator().manual_seed(1))
    curve = silhouette_curve(embeddings, labels, order, [1, 7, 16])
    for k, value in zip([1, 7, 16], curve):
        kept = embeddings[:, order[:k]].double().numpy()
        assert value.item() == pytest.approx(
            silhouette_score(kept, labels.numpy(), metric="cosine"), abs=1e-6
        )


@pytest.mark.parametrize(
    "labels, message",
    [
        (torch.zeros(6, dtype=torch.int64), "got 1 classes for 6 images"),
        (torch.arange(6), "got 6 classes for 6 images"),
        (torch.arange(5), r"got \(6, 4\) and \(5,\)"),
    ],
)
def test_silhouette_refuses_what_scikit_learn_refuses(labels, message):
    with pytest.raises(ValueError, match=message):
        silhouette(torch.randn(6, 4), labels)


def test_bootstrap_silhouette_is_scikit_learn_on_the_resampled_images_about_the_score_itself():
    embeddings, labels, _ = world(n=80)
    models = embeddings, F.normalize(embeddings + 0.1, dim=1)
    draws = bootstrap_silhouettes(models, labels, n_draws=4, seed=3)
    for drawn, model in zip(draws.T, models):
        expected = []
        for weights in intervals.bootstrap_weights(80, 4, seed=3):
            chosen = np.repeat(np.arange(80), weights.int().numpy())
            expected.append(
                silhouette_score(
                    model.double().numpy()[chosen], labels.numpy()[chosen], metric="cosine"
                )
            )
        assert np.mean(expected) > silhouette(model, labels)  # copies of an image are at distance 0
        centred = np.array(expected) - np.mean(expected) + silhouette(model, labels)
        assert np.allclose(drawn, centred, atol=1e-5)


def test_intervals_of_a_silhouette_cover_it_and_are_no_wider_than_they_need():
    """40 samples of a world whose silhouette is known from very many images."""
    embeddings, labels, _ = world(n=20_000)
    samples = torch.randperm(20_000, generator=torch.Generator().manual_seed(1))[:8000].split(200)
    scores = torch.tensor([silhouette(embeddings[rows], labels[rows]) for rows in samples])
    drawn = torch.cat(
        [bootstrap_silhouettes([embeddings[rows]], labels[rows], 200) for rows in samples], 1
    )
    low, high = intervals.interval(drawn)
    truth = silhouette(embeddings, labels)
    assert ((low <= truth) & (truth <= high)).sum() >= 34
    assert (high - low).mean() < 1.4 * 2 * 1.96 * scores.std()


@pytest.mark.parametrize("spread", [1e-4, 1e-3, 1e-2, 0.1, 1.0])
def test_images_in_a_narrow_cone_are_as_exact(spread, large):
    """All cosines near 1, as untrained models give them: the distances are differences of near numbers."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(6, (400,), generator=generator)
    centres = 1 + spread * torch.randn(6, 64, generator=generator)
    embeddings = centres[labels] + spread * torch.randn(400, 64, generator=generator)
    embeddings[labels == 5] *= -1  # and one class far away from the others
    assert silhouette(embeddings, labels) == pytest.approx(plain(embeddings, labels), abs=1e-6)


def test_blocks_give_what_one_block_gives(monkeypatch, large):
    embeddings, labels, _ = world()
    embeddings[:40] = embeddings[0] + 1e-3 * embeddings[:40]  # some need double precision
    score, influence = silhouette(embeddings, labels), silhouette_influence(embeddings, labels)
    monkeypatch.setattr("featpurity.metrics.inputs.MAX_BYTES", 1000)
    assert silhouette(embeddings, labels) == pytest.approx(score, abs=1e-8)
    torch.testing.assert_close(
        silhouette_influence(embeddings, labels), influence, atol=1e-5, rtol=0
    )


def weighted_silhouette(unit, labels, weights):
    """The score when image i stands weights[i] times, the plain way: all pairs."""
    classes = labels.unique()
    distances = 1 - unit @ unit.T
    distances = distances * (1 - torch.eye(len(unit)))  # 0 from an image to itself
    sums = torch.stack([(distances * weights)[:, labels == c].sum(1) for c in classes], 1)
    counts = torch.stack([weights[labels == c].sum() for c in classes])
    own = labels[:, None] == classes
    inside = sums[own] / (counts - 1).expand_as(own)[own]
    outside = (sums / counts).masked_fill(own, torch.inf).amin(1)
    return (weights * (outside - inside) / torch.maximum(outside, inside)).sum() / weights.sum()


@pytest.mark.parametrize("noise", [0.0, 2.0], ids=["apart", "mixed"])
def test_the_influence_is_the_gradient_by_the_images_weights(noise, large):
    embeddings, labels, _ = world(n=60)
    embeddings += noise * torch.randn(60, 16, generator=torch.Generator().manual_seed(5))
    weights = torch.ones(60, dtype=torch.float64, requires_grad=True)
    score = weighted_silhouette(F.normalize(embeddings.double(), dim=1), labels, weights)
    score.backward()
    assert score.item() == pytest.approx(silhouette(embeddings, labels), abs=1e-6)
    influence = silhouette_influence(embeddings, labels)
    torch.testing.assert_close(influence, 60 * weights.grad, atol=1e-5, rtol=0)


def test_the_influence_of_an_image_alone_in_its_class_and_of_one_of_zeros_is_finite():
    embeddings, labels, _ = world()
    labels[0], embeddings[1] = 99, 0
    assert torch.isfinite(silhouette_influence(embeddings, labels)).all()
    same = torch.eye(3)[[0] * 6]  # all distances are 0
    assert silhouette_influence(same, torch.tensor([0, 0, 0, 1, 1, 1])).tolist() == [0] * 6


def coverage(n, repeats, n_classes=5, d=16, rare=1.0, spread=0.25, paired=False):
    """How often a 95 % interval holds the mean score of such samples; of the difference between two models if paired."""
    generator = torch.Generator().manual_seed(n)
    centres = F.normalize(torch.randn(n_classes, d, generator=generator), dim=1)
    chances = torch.ones(n_classes)
    chances[: n_classes // 2] = rare
    scores, errors = [], []
    for _ in range(repeats):
        labels = torch.multinomial(chances, n, replacement=True, generator=generator)
        images = centres[labels] + spread * torch.randn(n, d, generator=generator)
        score, influence = silhouette(images, labels), silhouette_influence(images, labels)
        if paired:
            other = images + 0.1 * torch.randn(n, d, generator=generator)
            score -= silhouette(other, labels)
            influence -= silhouette_influence(other, labels)
        scores.append(score)
        errors.append(intervals.standard_error(influence))
    scores, errors = torch.tensor(scores), torch.tensor(errors)
    return ((scores - scores.mean()).abs() <= 1.96 * errors).float().mean().item()


@pytest.mark.parametrize("case", [{}, {"rare": 0.1}, {"paired": True}], ids=str)
def test_intervals_of_the_silhouette_keep_their_promise(case):
    assert 0.93 <= coverage(n=400, repeats=500, **case) <= 0.97


@pytest.mark.slow
@pytest.mark.parametrize("n, repeats", [(300, 2000), (10_000, 600)])
@pytest.mark.parametrize("rare", [1.0, 0.1])
def test_intervals_of_the_silhouette_keep_their_promise_at_small_and_large_sizes(n, repeats, rare):
    assert 0.93 <= coverage(n, repeats, n_classes=10, d=32, rare=rare, spread=0.2) <= 0.97


def test_the_influence_s_error_is_the_centred_bootstrap_s():
    embeddings, labels, _ = world(n=1500)
    other = embeddings + 0.1
    draws = bootstrap_silhouettes([embeddings, other], labels, n_draws=300)
    first, second = silhouette_influence(embeddings, labels), silhouette_influence(other, labels)
    assert intervals.standard_error(first) == pytest.approx(draws[:, 0].std().item(), rel=0.12)
    difference = (draws[:, 1] - draws[:, 0]).std().item()
    assert intervals.standard_error(second - first) == pytest.approx(difference, rel=0.12)
