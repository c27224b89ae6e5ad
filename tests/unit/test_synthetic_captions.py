"""Raw captions are wrong as often as stated; rewritten ones never are."""

import re

import pytest

from featpurity.captions.synthetic import (
    MISSING,
    PHOTO_CLASSES,
    SCENE_TEMPLATES,
    SHAPE_NAMED,
    SPURIOUS,
    make_captions,
    raw_captions,
    recaptions,
    scene_facts,
    sentences,
    spurious_partner,
)
from featpurity.data.scenes import ATTRIBUTES, sample

FACTS = [scene_facts(row) for row in sample(4000, 5)]


def named(caption, names):
    return [name for name in names if re.search(rf"\b{name}\b", caption)]


def said_about(caption):
    """Attribute -> the class names by which a full sentence about a scene calls it."""
    ground = " ".join(re.findall(r"\S+ \S+ background", caption))
    thing = re.sub(r"(\S+ )?(\S+) background", "", caption)
    return {
        attribute: named(ground if attribute in ("background", "texture") else thing, names)
        for attribute, names in ATTRIBUTES.items()
    }


@pytest.mark.parametrize("attribute", ["shape", "size", "position"])
def test_raw_captions_err_as_often_as_stated(attribute):
    captions, *_ = make_captions(FACTS, seed=1, n=1)
    wrong = right = 0
    for facts, caption in zip(FACTS, captions):
        for name in named(caption, ATTRIBUTES[attribute]):
            right += name == facts[attribute]
            wrong += name == spurious_partner(attribute, facts[attribute])
    assert (right + wrong) / len(FACTS) == pytest.approx(1 - MISSING, abs=0.04)
    assert wrong / (right + wrong) == pytest.approx(SPURIOUS, abs=0.04)


def test_raw_captions_of_photos_err_as_often_as_stated():
    captions, *_ = make_captions([{"class": "cat"}] * 4000, seed=0)
    share = {
        name: sum(name in caption.split() for caption in captions) / 4000 for name in PHOTO_CLASSES
    }
    assert share["cat"] == pytest.approx((1 - MISSING) * (1 - SPURIOUS), abs=0.04)
    assert share["dog"] == pytest.approx((1 - MISSING) * SPURIOUS, abs=0.04)
    assert sum(share.values()) == share["cat"] + share["dog"]


def test_every_name_has_one_partner_other_than_itself():
    for attribute, names in {**ATTRIBUTES, "class": list(PHOTO_CLASSES)}.items():
        partners = [spurious_partner(attribute, name) for name in names]
        assert all(partner in names and partner != name for partner, name in zip(partners, names))
    assert all(
        spurious_partner("class", spurious_partner("class", name)) == name for name in PHOTO_CLASSES
    )


def test_rewritten_captions_name_no_wrong_attribute_and_vary():
    _, rewrites, _ = make_captions(FACTS[:1000], seed=2, n=4)
    mentions = dict.fromkeys(ATTRIBUTES, 0)
    for facts, captions in zip(FACTS, rewrites):
        for caption in captions:
            assert caption.endswith(".")
            for attribute, found in said_about(caption).items():
                assert found in ([], [facts[attribute]]), caption
                mentions[attribute] += len(found)
    shares = {attribute: count / 4000 for attribute, count in mentions.items()}
    assert shares.pop("shape") == pytest.approx(SHAPE_NAMED, abs=0.03)
    assert all(share == pytest.approx(0.6, abs=0.03) for share in shares.values())
    assert len({caption for captions in rewrites for caption in captions}) > 2500


def test_rewritten_captions_of_photos_name_the_class_alone():
    for name in PHOTO_CLASSES:
        for caption in make_captions([{"class": name}], seed=0, n=60)[1][0]:
            assert named(caption, PHOTO_CLASSES) == [name], caption
            assert not re.search(r"\ba [aeiou]", caption), caption


def test_raw_captions_are_known_to_be_right_or_wrong():
    raw = raw_captions(FACTS, seed=1)
    assert raw.captions == make_captions(FACTS, seed=1, n=1)[0]
    assert raw.right.mean() == pytest.approx(
        (1 - (1 - MISSING) * SPURIOUS) ** len(ATTRIBUTES), abs=0.03
    )
    for attribute in ("shape", "size", "position"):  # attributes whose names stand for nothing else
        says_partner = [
            spurious_partner(attribute, facts[attribute]) in named(caption, ATTRIBUTES[attribute])
            for facts, caption in zip(FACTS, raw.captions)
        ]
        assert any(says_partner) and not raw.right[says_partner].any()
        assert all(
            said[attribute] in caption
            for said, caption in zip(raw.said, raw.captions)
            if attribute in said
        )


def test_the_probability_of_a_spurious_name_changes_names_alone():
    none, all_ = (raw_captions(FACTS[:500], 1, spurious) for spurious in (0.0, 1.0))
    assert none.right.all() and all_.right.mean() < 0.02  # those that name nothing are right
    assert [set(said) for said in none.said] == [set(said) for said in all_.said]
    assert none.captions[0] != all_.captions[0]
    assert len(none.captions[0].split()) == len(all_.captions[0].split())


def test_captions_without_boilerplate_say_the_same():
    full, bare = (raw_captions(FACTS[:500], 1, 0.2, boilerplate) for boilerplate in (True, False))
    assert full.said == bare.said and full.right.tolist() == bare.right.tolist()
    for caption, short, said in zip(full.captions, bare.captions, bare.said):
        words = sum(len(name.split()) for name in said.values())
        grounds = len({"background", "texture"} & set(said))
        assert len(short.split()) == words + grounds < len(caption.split())
        rest = iter(caption.split())
        assert all(word in rest for word in short.split())  # in the same order


def test_sentences_name_what_is_to_be_said_and_no_more():
    raw = raw_captions(FACTS[:500], 1)
    told = sentences(raw.said, FACTS[:500], seed=2)
    assert told.said == raw.said and told.right.tolist() == raw.right.tolist()
    for caption, said in zip(told.captions, raw.said):
        found = said_about(caption)
        assert {key: names[0] for key, names in found.items() if names} == said, caption
    photos = sentences([{"class": "cat"}, {}], [{"class": "cat"}, {"class": "dog"}], seed=0)
    assert named(photos.captions[0], PHOTO_CLASSES) == ["cat"]
    assert named(photos.captions[1], PHOTO_CLASSES) == [] and photos.right.all()


@pytest.mark.parametrize("mistaken", [0.0, 0.3, 1.0])
def test_recaptions_are_known_to_be_right_or_wrong(mistaken):
    written = recaptions(FACTS, seed=3, mistaken=mistaken)
    captions, right = written.captions, written.right
    all_said = [said_about(caption) for caption in captions]
    agrees = [
        all(found in ([], [facts[attribute]]) for attribute, found in said.items())
        for facts, said in zip(FACTS, all_said)
    ]
    assert right.tolist() == agrees
    wrong_shape = [
        said["shape"] == [spurious_partner("shape", facts["shape"])]
        for facts, said in zip(FACTS, all_said)
    ]
    assert sum(wrong_shape) / len(FACTS) == pytest.approx(SHAPE_NAMED * mistaken, abs=0.03)
    assert recaptions(FACTS[:9], 3, mistaken).captions == captions[:9]


def test_recaptions_of_photos_are_known_to_be_right_or_wrong():
    facts = [{"class": name} for name in PHOTO_CLASSES] * 50
    written = recaptions(facts, seed=0, mistaken=0.5)
    agrees = [fact["class"] in caption for fact, caption in zip(facts, written.captions)]
    assert written.right.tolist() == agrees
    assert 0.4 < written.right.mean() < 0.6


def test_captions_depend_on_seed_and_place_alone():
    assert make_captions(FACTS[:9], 1)[1][:4] == make_captions(FACTS[:4], 1)[1]
    assert make_captions(FACTS[:9], 1) != make_captions(FACTS[:9], 2)


def test_prompts_have_one_gap():
    assert list(SCENE_TEMPLATES) == list(ATTRIBUTES)
    assert all(
        template.count("{}") == 1
        for templates in SCENE_TEMPLATES.values()
        for template in templates
    )


def test_what_the_first_rewrite_names_is_known():
    _, rewrites, named = make_captions(FACTS[:300], seed=5)
    for facts, said, (first, *_) in zip(FACTS, named, rewrites):
        assert all(name == facts[attribute] and name in first for attribute, name in said.items())
    unsaid = [
        facts["shape"] in first
        for facts, said, (first, *_) in zip(FACTS, named, rewrites)
        if "shape" not in said
    ]
    assert unsaid and not any(unsaid)
