"""What the plan tells of the chapters' time and memory."""

from dataclasses import replace

import pytest

from featpurity.costs import Size, costs
from featpurity.plan import plan
from featpurity.profile import COMPARISON, PRUNING, load

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


def test_the_plan_tells_the_chapters_of_which_it_knows():
    said = "\n".join(plan(load("demo")))
    assert "01_clip_vs_laclip: about " in said and "07_claims: about " in said
    assert "05_caption_filter: about" not in said
