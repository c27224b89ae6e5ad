"""Raw captions are wrong as often as stated; rewritten ones never are."""

import re
from random import Random

import pytest

from featpurity.recipes import (MISSING, PHOTO_CLASSES, SCENE_TEMPLATES, SHAPE_NAMED, SPURIOUS,
                                make_captions, raw_caption, rewritten_captions, scene_facts, spurious_partner)
from featpurity.scenes import ATTRIBUTES, sample

FACTS = [scene_facts(row) for row in sample(4000, 5)]


def named(caption, names):
    return [name for name in names if re.search(rf"\b{name}\b", caption)]


@pytest.mark.parametrize("attribute", ["shape", "size", "position"])
def test_raw_captions_err_as_often_as_stated(attribute):
    captions, _ = make_captions(FACTS, seed=1, n=1)
    wrong = right = 0
    for facts, caption in zip(FACTS, captions):
        for name in named(caption, ATTRIBUTES[attribute]):
            right += name == facts[attribute]
            wrong += name == spurious_partner(attribute, facts[attribute])
    assert (right + wrong) / len(FACTS) == pytest.approx(1 - MISSING, abs=0.04)
    assert wrong / (right + wrong) == pytest.approx(SPURIOUS, abs=0.04)


def test_raw_captions_of_photos_err_as_often_as_stated():
    rng = Random(0)
    captions = [raw_caption({"class": "cat"}, rng) for _ in range(4000)]
    share = {name: sum(name in caption.split() for caption in captions) / 4000 for name in PHOTO_CLASSES}
    assert share["cat"] == pytest.approx((1 - MISSING) * (1 - SPURIOUS), abs=0.04)
    assert share["dog"] == pytest.approx((1 - MISSING) * SPURIOUS, abs=0.04)
    assert sum(share.values()) == share["cat"] + share["dog"]


def test_every_name_has_one_partner_other_than_itself():
    for attribute, names in {**ATTRIBUTES, "class": list(PHOTO_CLASSES)}.items():
        partners = [spurious_partner(attribute, name) for name in names]
        assert all(partner in names and partner != name for partner, name in zip(partners, names))
    assert all(spurious_partner("class", spurious_partner("class", name)) == name for name in PHOTO_CLASSES)


def test_rewritten_captions_name_no_wrong_attribute_and_vary():
    _, rewrites = make_captions(FACTS[:1000], seed=2, n=4)
    mentions = dict.fromkeys(ATTRIBUTES, 0)
    for facts, captions in zip(FACTS, rewrites):
        for caption in captions:
            assert caption.endswith(".")
            ground = " ".join(re.findall(r"\S+ \S+ background", caption))
            thing = re.sub(r"(\S+ )?(\S+) background", "", caption)
            for attribute, names in ATTRIBUTES.items():
                found = named(ground if attribute in ("background", "texture") else thing, names)
                assert found in ([], [facts[attribute]]), caption
                mentions[attribute] += len(found)
    shares = {attribute: count / 4000 for attribute, count in mentions.items()}
    assert shares.pop("shape") == pytest.approx(SHAPE_NAMED, abs=0.03)
    assert all(share == pytest.approx(0.6, abs=0.03) for share in shares.values())
    assert len({caption for captions in rewrites for caption in captions}) > 2500


def test_rewritten_captions_of_photos_name_the_class_alone():
    for name in PHOTO_CLASSES:
        for caption in rewritten_captions({"class": name}, Random(0), n=60):
            assert named(caption, PHOTO_CLASSES) == [name], caption
            assert not re.search(r"\ba [aeiou]", caption), caption


def test_captions_depend_on_seed_and_place_alone():
    assert make_captions(FACTS[:9], 1)[1][:4] == make_captions(FACTS[:4], 1)[1]
    assert make_captions(FACTS[:9], 1) != make_captions(FACTS[:9], 2)


def test_prompts_have_one_gap():
    assert list(SCENE_TEMPLATES) == list(ATTRIBUTES)
    assert all(template.count("{}") == 1 for templates in SCENE_TEMPLATES.values() for template in templates)
