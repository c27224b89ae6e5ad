"""The ladder of data quality: names to groups, rank correlation within groups, and what scale would have made of it."""

import math
import shutil

import numpy as np
import pytest
from checkout import ROOT
from scipy import stats

from featpurity.check import check
from featpurity.metrics import rank_correlation
from featpurity.models import rungs
from featpurity.models.names import BUNDLED, resolve
from featpurity.plan import plan
from featpurity.profile import load


@pytest.mark.parametrize(
    "name, group, data",
    [
        ("ViT-B-32:commonpool_s_s13m_b4k", "ViT-B-32, small", "none"),
        ("ViT-B-32:commonpool_m_text_s128m_b4k", "ViT-B-32, medium", "text"),
        ("ViT-B-16:datacomp_l_s1b_b8k", "ViT-B-16, large", "datacomp"),
        ("ViT-L-14:commonpool_xl_clip_s13b_b90k", "ViT-L-14, xlarge", "clip"),
        ("local-dir:models/small/noisy", "small", "noisy"),
        ("models/small/noisy", "small", "noisy"),
        ("ViT-B-32:laion2b_e16", "ViT-B-32:laion2b_e16", "ViT-B-32:laion2b_e16"),
        (
            "ViT-B-32-256:datacomp_s34b_b86k",
            "ViT-B-32-256:datacomp_s34b_b86k",
            "ViT-B-32-256:datacomp_s34b_b86k",
        ),  # no scale
        ("scenes_clip", "scenes_clip", "scenes_clip"),
    ],
)
def test_a_name_tells_its_group_and_its_data(name, group, data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(BUNDLED / "scenes_clip", "models/small/noisy")
    rung = rungs.rung(resolve(name))
    assert (rung.model, rung.group, rung.data) == (name, group, data)


def test_the_profile_has_every_filter_in_every_group_and_open_clip_knows_each_name():
    profile = load(ROOT / "profiles/ladder.yaml")
    check(profile)  # raises for a name that open_clip lacks
    data = {}
    for rung in rungs.rungs([resolve(name) for name in profile.ladder_models]):
        data.setdefault(rung.group, set()).add(rung.data)
    assert list(data) == ["ViT-B-32, small", "ViT-B-32, medium", "ViT-B-16, large"]
    assert all(
        kinds == {"none", "basic", "text", "image", "laion", "clip", "datacomp"}
        for kinds in data.values()
    )
    assert profile.models == profile.ladder_models
    said = "\n".join(plan(profile))
    assert (
        "ViT-B-16:datacomp_l_s1b_b8k" in said
        and "about 598 MB" in said
        and "fine-tuning" not in said
    )


def test_models_without_a_group_are_refused_before_anything_is_loaded():
    strangers = ["ViT-B-32:laion2b_e16", "ViT-B-16:laion400m_e31", "scenes_clip", "photos_clip"]
    with pytest.raises(ValueError, match="one group of 4.*got 1 of 'ViT-B-32:laion2b_e16'"):
        check(load(ROOT / "profiles/ladder.yaml", {"ladder_models": strangers}))
    with pytest.raises(ValueError, match="got none"):
        rank_correlation.check_groups([])
    with pytest.raises(ValueError, match="once, got scenes_clip more"):
        rungs.rungs(2 * [resolve("scenes_clip")])


def test_one_group_is_scipy_s_rank_correlation():
    random = np.random.default_rng(0)
    x, y = random.normal(size=(2, 12))
    y[:4] = y[0]  # ties
    found = rank_correlation.rank_correlation(x, y, n_permutations=9)
    assert found["spearman"] == pytest.approx(stats.spearmanr(x, y).statistic)
    assert found["kendall"] == pytest.approx(stats.kendalltau(x, y).statistic)
    assert (found["models"], found["groups"]) == (12, 1)


def test_equal_groups_give_the_mean_of_their_correlations():
    random = np.random.default_rng(1)
    groups = np.repeat(["a", "b", "c"], 7)
    x, y = random.normal(size=(2, 21))
    inside = [stats.spearmanr(x[groups == group], y[groups == group]).statistic for group in "abc"]
    order = random.permutation(21)  # models of a group need not stand together
    assert rank_correlation.rank_correlation(x[order], y[order], groups[order])[
        "spearman"
    ] == pytest.approx(np.mean(inside))


def test_what_scale_does_is_not_taken_for_what_purity_does():
    scale = np.repeat([0, 10, 20], 5)
    better = np.tile(np.arange(5), 3)
    cos = scale + (
        4 - better
    )  # within a scale the better models are purer, and larger scales are less pure
    accuracy = scale + better
    everywhere = rank_correlation.rank_correlation(-cos, accuracy)
    inside = rank_correlation.rank_correlation(-cos, accuracy, scale)
    assert everywhere["spearman"] < everywhere["high"] < 0
    assert inside["spearman"] == pytest.approx(1) and inside["kendall"] == 1 and inside["low"] > 0
    assert inside["p"] < 0.01


def test_a_model_alone_in_its_group_changes_nothing():
    x, y, groups = [1, 2, 4, 3, 5], [1, 3, 2, 4, 5], list("aaaaa")
    alone = rank_correlation.rank_correlation([*x, 99], [*y, -99], [*groups, "b"])
    assert alone == rank_correlation.rank_correlation(x, y, groups)


def test_ties_share_their_mean_rank():
    ranks = rank_correlation.group_ranks([3, 1, 1, 2, 7, 7], list("aaaabb"))
    assert ranks == pytest.approx([1.5 / 4, -1 / 4, -1 / 4, 0.5 / 4, 0, 0])


def test_the_interval_is_fisher_s_with_a_degree_less_for_each_further_group():
    groups = np.repeat([0, 1], 5)
    x, y = np.tile([1, 2, 3, 4, 5], 2), np.tile([2, 1, 3, 5, 4], 2)
    found = rank_correlation.rank_correlation(x, y, groups)
    error = math.sqrt((1 + 0.8**2 / 2) / (10 - 3 - 1))
    assert found["spearman"] == pytest.approx(0.8)
    assert np.arctanh([found["low"], found["high"]]) == pytest.approx(
        np.arctanh(0.8) + stats.norm.ppf(0.975) * error * np.array([-1, 1])
    )


def test_the_p_value_of_few_models_is_the_exact_one():
    found = rank_correlation.rank_correlation([1, 2, 3, 4], [1, 2, 3, 4], n_permutations=20_000)
    assert found["p"] == pytest.approx(
        2 / 24, abs=0.01
    )  # of 24 orders, this one and its mirror image
    assert found["high"] == 1 and found["low"] < 0  # four models cannot decide


def test_the_interval_holds_the_truth_and_rarely_finds_what_is_not_there():
    random, groups = np.random.default_rng(0), np.repeat([0, 1, 2], 7)
    for correlation in (0.0, 0.5):
        spearman = 6 / math.pi * math.asin(correlation / 2)  # of the normal distribution
        held = []
        for _ in range(400):
            x, noise = random.normal(size=(2, 21))
            y = correlation * x + math.sqrt(1 - correlation**2) * noise + 5 * groups
            found = rank_correlation.rank_correlation(x, y, groups, n_permutations=1)
            held.append(found["low"] <= spearman <= found["high"])
        assert 0.92 <= np.mean(held) <= 0.98  # 0.95 give or take three standard errors


@pytest.mark.parametrize(
    "x, y, groups, message",
    [
        ([1, 2, 3], [1, 2, 3], None, "too few models .* got 3 of 'all'"),
        ([1, 2, 3, 4], [1, 2, 3, 4], list("aabb"), "too few models .* got 2 of 'a', 2 of 'b'"),
        ([1, 2, 3, 4], [1, 2, 3], None, r"one shape \(n,\), got \(4,\), \(3,\)"),
        ([1, 2, 3, float("nan")], [1, 2, 3, 4], None, "finite"),
        ([1, 1, 1, 1, 2], [1, 2, 3, 4, 5], list("aaaab"), "differ within some group"),
        (range(6), range(6), [1, 1, 1, 1, 1, float("nan")], "groups: expected .*, got NaN"),
        (range(6), range(6), ["a", "a", "a", "a", "a", None], "groups: expected .*, got NaN"),
    ],
)
def test_what_cannot_be_ranked_is_refused(x, y, groups, message):
    with pytest.raises(ValueError, match=message):
        rank_correlation.rank_correlation(x, y, groups)
