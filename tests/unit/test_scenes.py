"""The generated world: certain labels, the same pictures every time."""

import numpy as np
import pytest

from featpurity.data.scenes import (
    ATTRIBUTES,
    COLOURS,
    DIAMETERS,
    PLACES,
    Scenes,
    render,
    sample,
    shapes,
)


def test_a_larger_world_only_adds_pictures():
    few, many = Scenes(5, seed=3), Scenes(40, seed=3)
    assert np.array_equal(few.attributes, many.attributes[:5])
    assert all(few[i].tobytes() == many[i].tobytes() for i in range(5))


def test_another_seed_gives_other_pictures_and_every_choice_enters_the_key():
    assert not np.array_equal(sample(20, 0), sample(20, 1))
    keys = {Scenes(n, seed, size).key for n in (4, 5) for seed in (0, 1) for size in (32, 64)}
    assert len(keys) == 8
    # Changes with `RENDERER` alone: what is stored is found again.
    assert Scenes(4, 0, 32).key.startswith("8634a99ed2e5193d")


def test_attributes_are_even_and_object_never_has_its_background_colour():
    rows = sample(6000, 0)
    for column, names in zip(rows.T, ATTRIBUTES.values(), strict=True):
        counts = np.bincount(column, minlength=len(names))
        assert len(counts) == len(names)
        assert np.abs(counts / len(rows) - 1 / len(names)).max() < 5 * np.sqrt(
            1 / len(names) / len(rows)
        )
    assert (rows[:, 1] != rows[:, 2]).all()


@pytest.mark.parametrize("column, attribute", list(enumerate(ATTRIBUTES)))
def test_each_attribute_changes_the_picture(column, attribute):
    pictures = set()
    for i in range(len(ATTRIBUTES[attribute])):
        row = [8, 0, 11, 1, 1, 4]
        if attribute in ("colour", "background"):
            row[1:3] = (i, (i + 1) % 12) if attribute == "colour" else ((i + 1) % 12, i)
        row[column] = i
        pictures.add(render(row).tobytes())
    assert len(pictures) == len(ATTRIBUTES[attribute])


@pytest.mark.parametrize("shape", range(16))
def test_the_object_keeps_its_colour_and_stays_inside(shape):
    for place in range(5):
        pixels = np.asarray(
            render([shape, 0, 9, 0, 2, place], rng=np.random.default_rng(place))
        ).astype(int)
        red = np.abs(pixels - COLOURS["red"]).max(axis=2) < 40
        assert red.sum() > 100
        assert (
            not red[0].any() and not red[-1].any() and not red[:, 0].any() and not red[:, -1].any()
        )


def test_sixteen_shapes_and_a_sequence_that_ends():
    assert list(shapes()) == ATTRIBUTES["shape"] and len(shapes()) == 16
    assert [picture.size for picture in Scenes(3, 0, size=48)] == [(48, 48)] * 3


def test_bad_requests_say_what_came():
    with pytest.raises(ValueError, match="n=0"):
        sample(0, 1)
    with pytest.raises(ValueError, match="seed=-1"):
        sample(3, -1)


def test_every_word_can_be_drawn():
    drawn = {"shape": shapes(), "colour": COLOURS, "size": DIAMETERS, "position": PLACES}
    assert {attribute: ATTRIBUTES[attribute] for attribute in drawn} == {
        attribute: list(looks) for attribute, looks in drawn.items()
    }
