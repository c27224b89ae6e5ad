"""Zero-shot accuracy and recall, and the prompts' embeddings: against scikit-learn."""

import pytest
import torch
import torch.nn.functional as F
from clusters import world
from sklearn.metrics import balanced_accuracy_score, top_k_accuracy_score

from featpurity import class_embeddings, silhouette, silhouette_curve
from featpurity.metrics import zeroshot


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
    assert torch.equal(class_embeddings(clip, iter(["cat", "dog"]), iter(templates)), rows)


@pytest.mark.parametrize(
    "classes, templates, message",
    [
        ([], ["a {}"], "at least one class name"),
        (["cat"], ["a photo"], "a photo"),
        (["cat"], [], "got none"),
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


@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true")
def test_mean_per_class_recall_equals_scikit_learn_and_leaves_empty_classes_out():
    embeddings, labels, centres = world()
    labels[labels == 2] = 3
    right = zeroshot.right_predictions(embeddings, centres, labels)
    predicted = (embeddings @ centres.T).argmax(1)
    expected = balanced_accuracy_score(labels.numpy(), predicted.numpy())
    assert zeroshot.mean_per_class_recall(right, labels).item() == pytest.approx(expected, abs=1e-9)
    both = torch.stack([right, ~right], 1)
    assert zeroshot.mean_per_class_recall(both, labels).tolist() == pytest.approx(
        [expected, 1 - expected]
    )


def test_recall_influence_is_the_gradient_by_the_images_weights():
    embeddings, labels, centres = world(n=40)
    right = zeroshot.right_predictions(embeddings, centres, labels).double()
    weights = torch.ones(40, dtype=torch.float64, requires_grad=True)
    recalls = [
        (weights * right)[labels == c].sum() / weights[labels == c].sum() for c in labels.unique()
    ]
    torch.stack(recalls).mean().backward()
    influence = zeroshot.recall_influence(right.numpy(), labels)
    counts = labels.bincount()[labels].double()  # of small classes a little more
    torch.testing.assert_close(influence, 40 * weights.grad * (counts / (counts - 1)).sqrt())
    both = zeroshot.recall_influence(torch.stack([1 - right, right], 1), labels)
    torch.testing.assert_close(both[:, 1], influence)


@pytest.mark.parametrize("each", [2, 3, 10])
def test_intervals_of_the_mean_recall_cover_it_also_for_small_classes(each):
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(50).repeat_interleave(each)
    right = (torch.rand(len(labels), 1000, generator=generator) < 0.7).double()
    low, high = zeroshot.estimate_recall(right, labels).interval()
    assert 0.92 <= ((low <= 0.7) & (0.7 <= high)).double().mean() <= 0.98


@pytest.mark.parametrize("classes, each, share", [(4, 1250, 0.9998), (10, 20, 0.99), (10, 5, 0.97)])
def test_intervals_of_the_mean_recall_cover_it_where_nearly_all_are_right(classes, each, share):
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(classes).repeat_interleave(each)
    right = (torch.rand(len(labels), 1000, generator=generator) < share).double()
    low, high = zeroshot.estimate_recall(right, labels).interval(0, 1)
    assert ((low <= share) & (share <= high)).double().mean() >= 0.93


def test_arrays_are_taken_as_tensors_are_and_lists_are_refused():
    embeddings, labels, centres = world()
    arrays = embeddings.numpy(), centres.numpy(), labels.numpy()
    assert zeroshot.accuracy(*arrays) == zeroshot.accuracy(embeddings, centres, labels)
    with pytest.raises(ValueError, match="labels: expected a tensor or NumPy array.*got list"):
        zeroshot.accuracy(embeddings, centres, labels.tolist())
    with pytest.raises(ValueError, match="labels: expected whole numbers, got torch.float32"):
        zeroshot.accuracy(embeddings, centres, labels.float())


def test_blocks_give_what_one_block_gives(monkeypatch):
    embeddings, labels, centres = world()
    whole = zeroshot.right_predictions(embeddings, centres, labels, top=2)
    monkeypatch.setattr("featpurity.metrics.inputs.MAX_BYTES", 400)
    assert torch.equal(zeroshot.right_predictions(embeddings, centres, labels, top=2), whole)
