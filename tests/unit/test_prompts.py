"""Prompt sets: the sentences themselves, from the sources they are said to come from."""

import open_clip
import pytest

from featpurity.data.prompts import prompt_set
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
        ("clip", None, "expected one of paper, laclip, openai, scenes, got 'clip'"),
        ("scenes", "cifar10", "got data set 'cifar10'"),
        ("scenes", None, "belong to the data sets scenes_shape"),
    ],
)
def test_unknown(name, dataset, message):
    with pytest.raises(ValueError, match=message):
        prompt_set(name, dataset=dataset)
