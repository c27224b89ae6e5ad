"""Retrieval and linear probes: against the plain way, scikit-learn and CLIP_benchmark."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score

from featpurity.metrics import linear_probe
from featpurity.metrics.average_precision import (
    chance_average_precision,
    estimate_average_precision,
    mean_average_precision,
)
from featpurity.metrics.retrieval import retrieval_recall


def pictures(n=40, captions=5, d=12):
    """Images, their captions near them, and whose each is, in no order."""
    generator = torch.Generator().manual_seed(0)
    images = F.normalize(torch.randn(n, d, generator=generator), dim=1)
    owners = torch.arange(n).repeat_interleave(captions)
    owners = owners[torch.randperm(len(owners), generator=generator)]
    noise = 0.5 * torch.randn(len(owners), d, generator=generator)
    return images, F.normalize(images[owners] + noise, dim=1), owners


def test_recall_equals_a_plain_loop(monkeypatch):
    images, texts, owners = pictures()
    scores, expected = images @ texts.T, {}
    for k in (1, 5, 10):
        found = [(owners[row.topk(k).indices] == i).any() for i, row in enumerate(scores)]
        expected[f"text_recall@{k}"] = np.mean(found)
        found = [owners[j] in column.topk(k).indices for j, column in enumerate(scores.T)]
        expected[f"image_recall@{k}"] = np.mean(found)
    assert retrieval_recall(images, texts, owners) == pytest.approx(expected)
    monkeypatch.setattr("featpurity.metrics.inputs.MAX_BYTES", 3000)
    assert retrieval_recall(images.numpy(), texts.numpy(), owners) == pytest.approx(expected)
    assert 0.2 < expected["image_recall@1"] < expected["image_recall@5"] < 1


def test_a_gallery_smaller_than_k_is_all_found():
    images, texts, owners = torch.eye(3), torch.eye(3), torch.arange(3)
    assert set(retrieval_recall(images, texts, owners).values()) == {1.0}


@pytest.mark.parametrize(
    "owners, message",
    [
        (torch.zeros(3).long(), r"each of 0 \.\. 2 at least once, got 1 values from 0 to 0"),
        (torch.tensor([0, 1, 3]), "from 0 to 3"),
        (torch.arange(2), r"got \(3, 3\) and \(2,\)"),
    ],
)
def test_captions_that_do_not_fit_the_images_are_refused(owners, message):
    with pytest.raises(ValueError, match=message):
        retrieval_recall(torch.eye(3), torch.eye(3), owners)


def test_ks_are_whole_numbers_and_may_come_one_by_one():
    assert retrieval_recall(*pictures(), (k for k in (1, 5))) == retrieval_recall(
        *pictures(), [1, 5]
    )
    for ks in ([], [0], [1.5], ["1"]):
        with pytest.raises(ValueError, match="ks: expected whole numbers of 1 or more"):
            retrieval_recall(*pictures(), ks)


def test_recall_equals_clip_benchmark_s():
    theirs = pytest.importorskip("clip_benchmark.metrics.zeroshot_retrieval")
    images, texts, owners = pictures()
    scores = texts @ images.T
    positive = torch.zeros_like(scores, dtype=torch.bool)
    positive[torch.arange(len(owners)), owners] = True
    ours = retrieval_recall(images, texts, owners)
    for k in (1, 5, 10):
        image = theirs.recall_at_k(scores, positive, k).gt(0).float().mean().item()
        text = theirs.recall_at_k(scores.T, positive.T, k).gt(0).float().mean().item()
        assert ours[f"image_recall@{k}"] == pytest.approx(image, abs=1e-6)
        assert ours[f"text_recall@{k}"] == pytest.approx(text, abs=1e-6)


def test_multi_label_precision_equals_clip_benchmark_s():
    theirs = pytest.importorskip("clip_benchmark.metrics.zeroshot_classification")
    generator = torch.Generator().manual_seed(5)
    truth, scores = torch.rand(2, 60, 7, generator=generator)
    truth = truth < 0.4
    expected = theirs.average_precision_per_class(scores, truth.long()).mean().item()
    assert mean_average_precision(scores, truth) == pytest.approx(expected, abs=1e-6)


def test_multi_label_precision_equals_scikit_learn():
    generator = torch.Generator().manual_seed(3)
    truth = torch.rand(50, 6, generator=generator) < 0.3
    scores = torch.randn(50, 6, generator=generator) + truth
    expected = average_precision_score(truth.numpy(), scores.numpy(), average="macro")
    assert mean_average_precision(scores, truth) == pytest.approx(expected, abs=1e-9)
    truth[:, 2] = False  # a class that nothing shows does not count
    others = [0, 1, 3, 4, 5]
    expected = average_precision_score(truth[:, others].numpy(), scores[:, others].numpy())
    assert mean_average_precision(scores, truth) == pytest.approx(expected, abs=1e-9)
    with pytest.raises(ValueError, match="at least one image that shows a class"):
        mean_average_precision(scores, truth & False)


@pytest.mark.parametrize("other", [-1.0, 2.0, float("nan")])
@pytest.mark.parametrize("measure", [mean_average_precision, estimate_average_precision])
def test_truth_is_0_or_1(measure, other):
    truth = torch.tensor([[1.0, 0.0], [other, 1.0]])
    for refused in (lambda: measure(truth, truth), lambda: chance_average_precision(truth)):
        with pytest.raises(ValueError, match=f"truth: expected bool, or 0 and 1, got {other}"):
            refused()


def test_a_probe_is_scikit_learn_s_logistic_regression():
    generator = torch.Generator().manual_seed(4)
    labels = torch.arange(4).repeat(50)
    centres = torch.randn(4, 10, generator=generator)
    features = centres[labels] + torch.randn(200, 10, generator=generator)
    train, test = slice(0, 120), slice(120, 200)
    model = LogisticRegression(C=0.5, max_iter=1000).fit(features[train], labels[train])
    expected = model.score(features[test], labels[test])

    def accuracy(chosen, strength):
        predicted = linear_probe.probe(features[chosen], labels[chosen], features[test], strength)
        return (predicted == labels[test]).float().mean().item()

    assert accuracy(train, 0.5) == pytest.approx(expected, abs=2e-3)
    some = linear_probe.few_shot(labels[train], 3, seed=1)
    assert labels[train][some].bincount().tolist() == [3, 3, 3, 3]
    assert accuracy(some, 1.0) < expected
    with pytest.raises(ValueError, match="at least 2 classes"):
        linear_probe.probe(features[:1], labels[:1], features)
    with pytest.raises(ValueError, match=r"test_features: expected \(m, 10\), got \(200, 9\)"):
        linear_probe.probe(features, labels, features[:, :9])
