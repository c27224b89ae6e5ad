"""What the plan tells of the chapters' time and memory."""

from dataclasses import replace

import pytest

from featpurity.costs import Size, costs
from featpurity.data.catalog import find
from featpurity.plan import plan
from featpurity.profile import CLAIMS, COMPARISON, PRUNING, THEORY, load

PAPER = load("paper")
FOOD = Size(25_250, 101)


def cost_of(chapter, profile=PAPER, models=1, sizes=(FOOD,)):
    return costs(profile, [512] * models, [0.6] * models, sizes)[chapter]


def test_costs_grow_with_what_is_computed():
    seconds = {
        "a run": cost_of(PRUNING).seconds,
        "twice the images": cost_of(PRUNING, sizes=[Size(50_500, 101)]).seconds,
        "two data sets": cost_of(PRUNING, sizes=[FOOD, FOOD]).seconds,
        "two models": cost_of(PRUNING, models=2).seconds,
        "twice the orders": cost_of(PRUNING, replace(PAPER, n_random_orders=64)).seconds,
    }
    alone = seconds.pop("a run")
    assert all(1.5 * alone < more < 2.1 * alone for more in seconds.values()), seconds


def test_the_bootstrap_costs_more_than_the_closed_form():
    drawn = replace(PAPER, n_bootstrap=2000)
    for chapter in (COMPARISON, PRUNING):
        assert cost_of(chapter, drawn).seconds > 50 + cost_of(chapter).seconds


def test_memory_holds_the_embeddings_of_all_models():
    more = cost_of(PRUNING, models=3).gigabytes - cost_of(PRUNING, models=1).gigabytes
    assert more == pytest.approx(2 * 25_250 * 512 * 4 / 1e9)


# What benchmarks/README.md says: images, neurons, classes, models, random orders; seconds of the processor.
GROWTH = [
    ((4000, 256, 50, 2, 8), 0.91, 2.38),
    ((8000, 256, 50, 2, 8), 0.94, 4.26),
    ((4000, 512, 50, 2, 8), 2.25, 4.41),
    ((4000, 256, 100, 2, 8), 0.93, 3.20),
    ((4000, 256, 50, 4, 8), 1.74, 4.52),
    ((4000, 256, 50, 2, 16), 0.95, 4.01),
    ((50_000, 768, 1000, 1, 2), 8.43, 148.69),
]
DEMO = {COMPARISON: 15, PRUNING: 44, THEORY: 99, CLAIMS: 8}


@pytest.mark.parametrize("size, comparison, pruning", GROWTH)
def test_what_is_told_is_right_within_a_factor_of_2(size, comparison, pruning):
    images, d, classes, models, orders = size
    profile, data = replace(PAPER, n_random_orders=orders), [Size(images, classes)]
    empty = costs(profile, [0], [0.0], [Size(2, 1)])
    for chapter, seconds in {COMPARISON: comparison, PRUNING: pruning}.items():
        told = costs(profile, [d] * models, [0.0] * models, data)[chapter].seconds
        assert seconds / 2 < told - empty[chapter].seconds < 2 * seconds


def test_the_demo_s_chapters_are_told_within_a_factor_of_2():
    demo = load("demo")
    found = [find(name) for name in demo.datasets]
    sizes = [Size(data.images, data.classes) for data in found]
    told = costs(demo, [128, 128], [0.004, 0.004], sizes)
    assert told.keys() == DEMO.keys()
    assert all(seconds / 2 < told[name].seconds < 2 * seconds for name, seconds in DEMO.items())


def test_the_plan_tells_the_chapters_of_which_it_knows_and_names_the_others():
    said = "\n".join(plan(load("demo")))
    assert "01_clip_vs_laclip: about " in said and "07_claims: about " in said
    assert "time not known for 03_misalignment, 08_what_cos_measures, 05_caption_filter," in said
    ladder = "\n".join(plan(load("ladder")))
    assert "time not known for 04_data_quality_ladder" in ladder and "on one core" not in ladder
