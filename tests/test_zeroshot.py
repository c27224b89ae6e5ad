"""Zero-shot accuracy, silhouette and bootstrap: against scikit-learn and plain resampling."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.metrics import silhouette_score, top_k_accuracy_score

from featpurity import class_embeddings, silhouette, silhouette_curve
from featpurity.metrics import intervals, zeroshot
from featpurity.metrics.silhouette import bootstrap_silhouettes


def world(n=300, d=16, n_classes=5, seed=0):
    """Clustered unit embeddings with labels and a classifier of the clusters' centres."""
    generator = torch.Generator().manual_seed(seed)
    centres = F.normalize(torch.randn(n_classes, d, generator=generator), dim=1)
    labels = torch.randint(n_classes, (n,), generator=generator)
    embeddings = F.normalize(centres[labels] + 0.4 * torch.randn(n, d, generator=generator), dim=1)
    return embeddings, labels, centres


class ToyClip:
    """Text embedding: counts of the letters a to z, so that prompts can be worked out by hand."""

    def tokenizer(self, texts):
        return torch.tensor(
            [[text.lower().count(chr(97 + i)) for i in range(26)] for text in texts]
        )

    def encode_text(self, tokens):
        return tokens.float()


def test_class_embeddings_are_the_normalised_mean_of_unit_prompts():
    clip, templates = ToyClip(), ["a photo of a {}", "{}!"]
    rows = class_embeddings(clip, ["cat", "dog"], templates)
    prompts = clip.encode_text(clip.tokenizer(["a photo of a dog", "dog!"]))
    expected = F.normalize(F.normalize(prompts, dim=1).mean(0), dim=0)
    torch.testing.assert_close(rows[1], expected)
    torch.testing.assert_close(rows.norm(dim=1), torch.ones(2))


@pytest.mark.parametrize(
    "classes, templates, message",
    [
        ([], ["a {}"], "at least one class name"),
        (["cat"], ["a photo"], "a photo"),
        (["cat"], [], r"\[\]"),
    ],
)
def test_bad_prompts_are_refused(classes, templates, message):
    with pytest.raises(ValueError, match=message):
        class_embeddings(ToyClip(), classes, templates)


@pytest.mark.parametrize("top", [1, 3])
def test_accuracy_equals_scikit_learn(top):
    embeddings, labels, centres = world()
    scores = (embeddings @ centres.T).numpy()
    expected = top_k_accuracy_score(labels.numpy(), scores, k=top)
    assert zeroshot.accuracy(embeddings, centres, labels, top) == pytest.approx(expected)


@pytest.mark.parametrize("seed", range(3))
def test_silhouette_equals_scikit_learn(seed):
    embeddings, labels, _ = world(seed=seed)
    labels[0] = 99  # a class of one scores 0, in scikit-learn too
    embeddings[1] = 0  # a pruned image can be all zeros
    expected = silhouette_score(embeddings.double().numpy(), labels.numpy(), metric="cosine")
    assert silhouette(embeddings, labels) == pytest.approx(expected, abs=1e-9)


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


def test_nan_and_k_out_of_range_are_refused():
    embeddings, labels, centres = world()
    broken = embeddings.clone()
    broken[3, 2] = torch.nan
    for call in (
        lambda: silhouette(broken, labels),
        lambda: zeroshot.accuracy(broken, centres, labels),
    ):
        with pytest.raises(ValueError, match="NaN"):
            call()
    for kept in ([0], [17]):
        with pytest.raises(ValueError, match=r"1 \.\. 16"):
            silhouette_curve(embeddings, labels, torch.arange(16), kept)
    with pytest.raises(ValueError, match="top"):
        zeroshot.accuracy(embeddings, centres, labels, top=6)
    with pytest.raises(ValueError, match="labels"):
        zeroshot.accuracy(embeddings, centres[:3], labels)


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


def test_bootstrap_interval_of_a_mean_is_the_textbook_one():
    values = torch.randn(2000, generator=torch.Generator().manual_seed(0))
    low, high = intervals.interval(intervals.bootstrap_means(values, n_draws=4000))
    half = 1.96 * values.std().item() / 2000**0.5
    assert low.item() == pytest.approx(values.mean().item() - half, abs=0.1 * half)
    assert high.item() == pytest.approx(values.mean().item() + half, abs=0.1 * half)


def test_bootstrap_of_two_models_is_paired():
    right = (torch.rand(500, generator=torch.Generator().manual_seed(0)) < 0.5).float()
    better = right.clone()
    better[:20] = 1.0
    draws = intervals.bootstrap_means(torch.stack([right, better], 1), n_draws=200)
    # Unpaired draws would differ with either sign; a model that is right wherever the other is never loses.
    assert (draws[:, 1] >= draws[:, 0]).all() and draws.shape == (200, 2)
