"""The live panels answer their controls, and say what goes wrong."""

import io
from datetime import UTC, datetime
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from bs4 import BeautifulSoup
from PIL import Image
from traitlets.utils.bunch import Bunch

from featpurity.metrics import purity, zeroshot
from featpurity.report import display, heatmaps, panels

pytest.importorskip("anywidget", reason="plotly's live figures need anywidget")


class Pictures:
    name, classes = "toys", ["<b>ball", "car"]
    labels = torch.tensor([0, 1] * 10)

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, i):
        return Image.new("RGB", (400, 300)), int(self.labels[i])


class Clip(SimpleNamespace):
    """A model whose text tower knows a class by the length of its prompt."""

    d = 6

    def tokenizer(self, texts):
        return torch.tensor([len(text) for text in texts])

    def encode_text(self, tokens):
        return F.one_hot(tokens % self.d, self.d).float()

    def preprocess(self, image):
        return torch.ones(3)

    def encode_image(self, batch):
        return torch.tensor([[0.1, 0.9, 0.2, 0.0, 0.0, 0.3]])


@pytest.fixture
def toys():
    generator = torch.Generator().manual_seed(0)

    def draw(*shape):
        return torch.randn(*shape, generator=generator)

    clip = Clip(image_neurons=draw(6, 9), text_neurons=draw(6, 7))
    return clip, F.normalize(draw(20, 6), dim=1), F.normalize(draw(2, 6), dim=1), Pictures()


def test_pruning_shows_the_accuracy_of_the_chosen_neurons(toys):
    clip, embeddings, classes, dataset = toys
    strategy, kept, said, wrong = panels.pruning(*toys).children
    full = zeroshot.accuracy(embeddings, classes, dataset.labels)
    assert f"<b>{full:.3f}</b>" in said.value and "6 of 6" in said.value
    kept.value, strategy.value = 2, "low_purity"
    assert "2 of 6" in said.value and wrong.value == ""
    with pytest.raises(ValueError, match=r"expected embeddings \(n, 6\)"):
        panels.pruning(clip, embeddings[:, :5], classes, dataset)


def test_pruning_needs_pictures_of_one_class_each(toys):
    clip, embeddings, classes, dataset = toys
    dataset.labels = torch.ones(20, 2, dtype=torch.int64)
    with pytest.raises(ValueError, match="toys: .* several classes.*mean_average_precision"):
        panels.pruning(clip, embeddings, classes, dataset)


def test_neuron_follows_the_slider_and_shows_thumbnails(toys):
    clip, embeddings, _, dataset = toys
    box = panels.neuron(clip, embeddings, dataset, shown=3)
    rank, number, said, cosines, pictures, weakest, _ = box.children
    assert cosines._config["showSendToCloud"] is False
    before = said.value, list(cosines.data[0].y)
    rank.value = 5
    assert said.value != before[0] and list(cosines.data[0].y) != before[1]
    for row in (pictures, weakest):
        found = BeautifulSoup(row.value, "html.parser")
        assert [picture["width"] for picture in found.find_all("img")] == ["96"] * 3
        assert {name.text for name in found.find_all("figcaption")} <= set(dataset.classes)
        assert len(row.value) < 10_000 and not found.find("b")


def test_neuron_refuses_embeddings_of_other_pictures(toys):
    clip, embeddings, _, dataset = toys
    for other in (embeddings[:-1], torch.cat([embeddings, embeddings])):
        with pytest.raises(ValueError, match=f"the data set's 20 images, got {len(other)}"):
            panels.neuron(clip, other, dataset)


def test_neuron_names_all_classes_of_a_picture_that_shows_several(toys):
    clip, embeddings, _, _ = toys

    class Several(Pictures):
        def __getitem__(self, i):
            return Image.new("RGB", (4, 3)), torch.tensor([1, 1])

    pictures = panels.neuron(clip, embeddings, Several()).children[4]
    assert "&lt;b&gt;ball, car" in pictures.value


def test_neuron_opens_by_its_number_and_names_its_nearest(toys):
    clip, embeddings, _, dataset = toys
    rank, number, said, cosines, *_ = panels.neuron(clip, embeddings, dataset).children
    order = purity.purity_order(clip.image_neurons, clip.text_neurons).tolist()
    assert number.value == order[0]
    number.value = order[3]
    assert rank.value == 4 and f"Neuron <b>{order[3]}</b>" in said.value
    row = purity.cosine_matrix(clip.image_neurons)[order[3]]
    assert cosines.data[0].y == pytest.approx(row.numpy(), abs=1e-6)
    other = int(row.abs().argmax())
    assert f"{other} in the image tower ({row[other]:+.2f})" in said.value


def test_heatmap_orders_the_neurons_of_the_chosen_tower(toys):
    tower, order, said, figure, _ = panels.heatmap(toys[0]).children
    assert figure._config["showSendToCloud"] is False
    tower.value, order.value = "text", "purest first"
    tower = heatmaps.towers_of(toys[0])["text"]
    purest = np.argsort(tower.scores)
    assert np.allclose(figure.data[0].z, tower.cosines[np.ix_(purest, purest)])
    assert "text tower" in said.value


def test_misalignment_follows_the_ratio(toys):
    generator = torch.Generator().manual_seed(1)
    other = Clip(
        image_neurons=torch.rand(6, 9, generator=generator),
        text_neurons=torch.rand(6, 7, generator=generator),
    )
    models = {("random", 0.0): toys[0], ("random", 0.8): other}
    with pytest.raises(ValueError, match="got none"):
        panels.misalignment({})
    with pytest.raises(ValueError, match=r"got none for \[\('similarity', 0.8\)\]"):
        panels.misalignment(models | {("similarity", 0.0): other})
    kind, tower, ratio, said, figure, _ = panels.misalignment(models).children
    before = said.value
    ratio.value = 0.8
    assert said.value != before and kind.value == "random" and tower.value == "image"


def test_zero_shot_scores_classes_and_switches_neurons_off(toys):
    picture = Image.new("RGB", (8, 8))
    box = panels.zero_shot(toys[0], ["a", "bb"], "{}", picture)  # neurons 1 and 2
    names, prompt, _, off, preview, said, scores, wrong = box.children
    assert scores.layout.yaxis.type == "category"
    assert list(scores.data[0].y) == ["a", "bb"] and "<b>a</b>" in said.value
    assert off.options[0][1] == 1 and 'width="96"' in preview.value
    assert scores._config == display.CONFIG
    off.value = (1,)
    assert list(scores.data[0].y) == ["bb", "a"] and off.value == (1,)
    names.value = "only one"
    assert "expected two class names" in wrong.value
    names.value = "<b>x</b>, yy"
    assert wrong.value == "" and "&lt;b&gt;" in said.value
    assert "&lt;b>x&lt;/b>" in scores.data[0].y


def test_zero_shot_embeds_a_class_name_once(toys):
    asked, clip = [], toys[0]
    embed = clip.encode_text
    clip.encode_text = lambda tokens: asked.append(len(tokens)) or embed(tokens)
    names, prompt, *_ = panels.zero_shot(clip, ["a", "bb"], "{}", Image.new("RGB", (8, 8))).children
    names.value = "a, bb, ccc"
    prompt.value = "one {}"
    names.value = "ccc, a"
    assert asked == [2, 1, 3]


def uploaded(name, content):
    about = dict(type="", size=len(content), last_modified=datetime.now(UTC))
    return [Bunch(name=name, content=memoryview(content), **about)]


@pytest.mark.parametrize("way", ["uploaded", "given"])
def test_zero_shot_sees_a_picture_as_a_data_set_does(toys, way):
    seen, file = [], io.BytesIO()
    toys[0].preprocess = lambda picture: seen.append(picture) or torch.ones(3)
    Image.fromarray(np.full((4, 4), 2**15, np.uint16)).save(file, "PNG")
    if way == "given":
        panels.zero_shot(toys[0], image=Image.open(file))
    else:
        upload = panels.zero_shot(toys[0]).children[2]
        upload.set_trait("value", uploaded("grey.png", file.getvalue()))
    assert seen[0].mode == "RGB" and seen[0].getpixel((0, 0)) == (128, 128, 128)


def test_zero_shot_says_what_is_no_picture(toys):
    box = panels.zero_shot(toys[0])
    box.children[2].set_trait("value", uploaded("notes.txt", b"text"))
    assert "notes.txt is not a readable image: no picture of a kind" in box.children[-1].value
    with pytest.raises(ValueError, match="image: expected a PIL picture, got str"):
        panels.zero_shot(toys[0], image="photo.jpg")


def test_zero_shot_keeps_the_commas_of_class_names(toys):
    picture, classes = Image.new("RGB", (8, 8)), ["cat, sitting", "dog"]
    names, *_, scores, wrong = panels.zero_shot(toys[0], classes, "{}", picture).children
    assert sorted(scores.data[0].y) == classes and names.value == "cat, sitting; dog"
    names.value += "; fox, red"
    assert sorted(scores.data[0].y) == [*classes, "fox, red"] and wrong.value == ""
    with pytest.raises(ValueError, match="classes: expected names without one of"):
        panels.zero_shot(toys[0], ["a, b", "c; d", "e | f"])


def test_zero_shot_takes_a_list_of_classes(toys):
    with pytest.raises(ValueError, match="classes must be a list, got 'cat, dog'"):
        panels.zero_shot(toys[0], "cat, dog")


def test_zero_shot_without_a_picture_asks_for_one(toys):
    assert "Choose a picture" in panels.zero_shot(toys[0]).children[5].value
