"""Prompt sets: the sentences themselves, from the sources they are said to come from."""

import json

import numpy as np
import open_clip
import pytest

from featpurity.data.prompts import fill, prompt_set
from featpurity.data.scenes import ATTRIBUTES


@pytest.mark.parametrize(
    "name, count, example",
    [
        ("paper", 1, "a photo of a {}"),
        ("laclip", 7, "itap of a {}."),
        ("openai", 80, "a photo of the hard to see {}."),
    ],
)
def test_sets(name, count, example):
    templates = prompt_set(name)
    assert len(set(templates)) == count and example in templates
    assert all(template.count("{}") == 1 for template in templates)


def test_rendered_as_open_clip_renders_them():
    theirs = [template("tench") for template in open_clip.OPENAI_IMAGENET_TEMPLATES]
    assert [template.replace("{}", "tench") for template in prompt_set("openai")] == theirs


@pytest.mark.parametrize("attribute", ATTRIBUTES)
def test_every_attribute_of_the_scenes_has_its_own(attribute):
    templates = prompt_set("scenes", dataset=f"scenes_{attribute}")
    assert templates and all(template.count("{}") == 1 for template in templates)


@pytest.mark.parametrize(
    "name, dataset, message",
    [
        (
            "clip",
            None,
            "expected one of paper, laclip, openai, scenes, or a file .txt or .json, got 'clip'",
        ),
        ("scenes", "cifar10", "got data set 'cifar10'"),
        ("scenes", None, "belong to the data sets scenes_shape"),
    ],
)
def test_unknown(name, dataset, message):
    with pytest.raises(ValueError, match=message):
        prompt_set(name, dataset=dataset)


class TestOwnFile:
    @pytest.mark.parametrize(
        "name, content",
        [
            ("mine.txt", "a photo of a {}.\n\n{}, a kind of bird\n"),
            ("mine.json", ["a photo of a {}.", "{c}, a kind of bird"]),
            ("mine.json", {"birds": ["a photo of a {c}.", "{c}, a kind of bird"], "cars": ["{}"]}),
        ],
    )
    def test_templates(self, tmp_path, name, content):
        text = content if isinstance(content, str) else json.dumps(content)
        (tmp_path / name).write_text(text)
        found = prompt_set(str(tmp_path / name), "birds")
        assert found == ["a photo of a {}.", "{}, a kind of bird"]

    @pytest.mark.parametrize(
        "content, message",
        [
            ({"cars": ["{}"]}, "no templates for the data set 'birds', but for cars"),
            (["a photo of a bird"], "expected sentences with '{}' for the class name"),
            ([3], "expected a list of texts"),
            ([], r"expected a list of templates, got \[\]"),
            ({"birds": {"crow": ["a {}"]}}, "expected a list of templates"),
            (["a {} \ud83d"], "mine.json: .*ud83d.* is not UTF-8"),
        ],
    )
    def test_that_does_not_fit(self, tmp_path, content, message):
        (tmp_path / "mine.json").write_text(json.dumps(content))
        with pytest.raises(ValueError, match=message):
            prompt_set(str(tmp_path / "mine.json"), "birds")


def test_class_names_and_templates_are_lists_of_texts():
    assert fill(np.array(["ant", "bee"]), ("a {}",)) == ["a ant", "a bee"]
    assert fill(iter(["ant", "bee"]), iter(["a {c}"])) == ["a ant", "a bee"]
    assert prompt_set(["a {c}", "one {}"]) == ["a {}", "one {}"]
    with pytest.raises(ValueError, match="for the class name, got .'a cat'"):
        prompt_set(["a {}", "a cat"])
    wrong = [("ant", ["a {}"]), (["ant"], "a {}"), (["ant", 3], ["a {}"]), (None, ["a {}"])]
    for classes, templates in wrong:
        with pytest.raises(ValueError, match="(classes|templates): expected a list of texts"):
            fill(classes, templates)
