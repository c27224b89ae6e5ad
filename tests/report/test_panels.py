"""The live panels answer their sliders."""

from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from featpurity.metrics import zeroshot
from featpurity.report import panels


class Pictures:
    name, classes = "toys", ["ball", "car"]
    labels = torch.tensor([0, 1] * 10)

    def __getitem__(self, i):
        return Image.new("RGB", (4, 4)), int(self.labels[i])


@pytest.fixture
def toys():
    pytest.importorskip("anywidget", reason="plotly's live figures need anywidget")
    generator = torch.Generator().manual_seed(0)

    def draw(*shape):
        return torch.randn(*shape, generator=generator)

    clip = SimpleNamespace(d=6, image_neurons=draw(6, 9), text_neurons=draw(6, 7))
    return clip, F.normalize(draw(20, 6), dim=1), F.normalize(draw(2, 6), dim=1), Pictures()


def test_pruning_panel_shows_the_accuracy_of_the_chosen_neurons(toys):
    clip, embeddings, classes, dataset = toys
    strategy, kept, said = panels.pruning_panel(*toys).children
    full = zeroshot.accuracy(embeddings, classes, dataset.labels)
    assert f"<b>{full:.3f}</b>" in said.value and "6 of 6" in said.value
    kept.value, strategy.value = 2, "low_purity"
    assert "2 of 6" in said.value


def test_neuron_panel_follows_the_slider(toys):
    clip, embeddings, _, dataset = toys
    rank, said, cosines, pictures = panels.neuron_panel(clip, embeddings, dataset, shown=3).children
    before = said.value, list(cosines.data[0].y)
    rank.value = 5
    assert said.value != before[0] and list(cosines.data[0].y) != before[1]
    assert len(pictures.children) == 3 and pictures.children[0].children[1].value in dataset.classes
