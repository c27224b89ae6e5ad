"""What chapters say: sentences from effects, verdicts beside the paper's values."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest

from featpurity import profile
from featpurity.report import display_names, heatmaps, results, style, wording
from featpurity.report.chapters import claims, clip_vs_laclip, misalignment, pruning, theory


def effects(*rows):
    columns = ["claim", "comparison", "effect", "low", "high", "dataset"]
    return pd.DataFrame(rows, columns=columns)


def test_an_answer_says_what_is_better_by_how_much():
    found = effects(
        ("accuracy_laclip", "LaCLIP minus CLIP", 0.124, 0.121, 0.128, "mean"),
        ("silhouette_laclip", "LaCLIP minus CLIP", -0.05, -0.06, -0.04, "mean"),
        ("purity_laclip_image", "CLIP minus LaCLIP", 0.002, -0.002, 0.006, "mean"),
    )
    said = clip_vs_laclip.answer(found, pd.DataFrame())
    assert "classifies better (+12.4 points of accuracy, 95 % interval +12.1 to +12.8)" in said
    assert "separates the classes worse (-0.050 of silhouette, -0.060 to -0.040)" in said
    assert "neither clearly purer nor less pure (-0.002 of average |cos|, -0.006 to +0.002)" in said


def test_of_many_models_an_answer_says_the_mean_or_the_ends():
    pairs = [
        ("accuracy_laclip", f"LaCLIP ({name}) minus CLIP ({name})", gain, 0, 1, "mean")
        for name, gain in [("a", 0.1), ("b", -0.2), ("c", 0.4)]
    ]
    over = ("accuracy_laclip", "3 LaCLIP models minus 3 CLIP models", 0.1, -0.1, 0.3, "mean")
    said = clip_vs_laclip.answer(effects(*pairs, over), pd.DataFrame())
    assert said.startswith(
        "on average over 3 pairs, LaCLIP, compared with CLIP, classifies neither"
    )
    assert said.endswith("pair by pair, accuracy changes by -20.0 to +40.0 points")
    alone = clip_vs_laclip.answer(effects(*pairs), pd.DataFrame())  # they share models
    assert "on average" not in alone and "LaCLIP (c), compared with CLIP (c), " in alone
    either_way = [
        ("purity_laclip_image", f"{before} minus {after}", gain, gain, gain, "mean")
        for before, after, gain in [("a", "b", 0.1), ("b", "a", -0.1)]
    ]
    accuracy = [
        ("accuracy_laclip", f"{b} minus {a}", g, g, g, "mean")
        for a, b, g in [("a", "b", 0.2), ("b", "a", -0.2)]
    ]
    first, second = clip_vs_laclip.answer(effects(*accuracy, *either_way), pd.DataFrame()).split(
        "; "
    )
    assert "b, compared with a, classifies better" in first and "worse" not in first
    assert "a, compared with b, classifies worse" in second and "better" not in second
    both = clip_vs_laclip.answer(effects(*pairs[:2]), pd.DataFrame())
    assert both.startswith("LaCLIP (a), compared with CLIP (a), ") and "CLIP (b)" in both
    areas = [
        ("pruning_area", f"model {i}", i / 100 + gap, 0.0, 0.1, dataset)
        for i in range(4)
        for dataset, gap in [("shape", -0.1), ("size", 0.1), ("mean", 0.0)]
    ]
    among = [areas_of(f"model {i}", 0.5, 0.4 if i else 0.3) for i in range(4)]
    found = effects(*areas).assign(chance_low=-0.025, chance_high=0.025)
    said = pruning.answer(found, pd.DataFrame(among))
    assert "4 models change by +0.0 points of accuracy" in said and "(model 3)" in said
    assert "from -10.0 (model 0 on shape) to +13.0 (model 3 on size)" in said
    assert "; 3 of 4 changes are within chance. " in said
    assert said.endswith("3 of 4 times both orders lie within the range of random orders")


def areas_of(model, purest, least_pure):
    row = dict(model=model, high_purity=purest, low_purity=least_pure)
    return row | dict(random=0.5, random_low=0.35, random_high=0.65)


def test_the_answer_on_pruning_names_the_ends_of_the_spread():
    found = effects(
        ("pruning_area", "CLIP", -0.14, -0.15, -0.13, "shape"),
        ("pruning_area", "CLIP", 0.11, 0.10, 0.12, "background"),
        ("pruning_area", "CLIP", -0.015, -0.02, -0.01, "mean"),
    )
    found = found.assign(chance_low=-0.03, chance_high=0.03)
    said = pruning.answer(found, pd.DataFrame([areas_of("CLIP", 0.7, 0.5)]))
    assert "CLIP loses accuracy (-1.5 points" in said
    assert said.result.endswith("-2.0 to -1.0), which is within chance")
    surprising = pruning.answer(
        found.assign(chance_low=-0.01), pd.DataFrame([areas_of("CLIP", 0.7, 0.5)])
    )
    assert "-2.0 to -1.0), which is beyond chance. " in surprising
    assert "CLIP, data set by data set: 1 of 2 clearly gain and 1 clearly lose, from -14.0" in said
    assert "(background), 2 of them beyond chance" in said
    assert said.endswith(
        "CLIP, purest first, lies above the range of random orders. "
        "CLIP, least pure first, lies within it"
    )
    both = pd.DataFrame([areas_of("CLIP", 0.5, 0.5)])
    assert pruning.answer(found, both).endswith(
        "Both orders of CLIP lie within the range of random orders"
    )


def test_differences_are_in_points_each_mean_before_its_own_model_s_range():
    found = effects(
        *[
            (claim, model, size * gap, size * gap - 0.01, size * gap + 0.01, dataset)
            for claim in ("pruning_window", "pruning_silhouette")
            for model, size in (("CLIP", 1), ("LaCLIP", 2))
            for dataset, gap in (("shape", -0.1), ("size", 0.2), ("mean", 0.05))
        ]
    )
    one = pruning.differences(found, "pruning_window")
    ranges = {t.offsetgroup: t.x for t in one.data if t.name == "range over the data sets"}
    assert {model: pytest.approx(ends) for model, ends in ranges.items()} == {
        "CLIP": (-10, 20),
        "LaCLIP": (-20, 40),
    }
    assert one.layout.xaxis.title.text == "difference of accuracy (points)"
    points = next(trace for trace in one.data if trace.mode == "markers")
    assert points.customdata[1][0] == "+20.0 (+19.0 to +21.0) points of accuracy"
    assert pruning.effects_table(found).frame.said[0] == "-10.0 (-11.0 to -9.0) points of accuracy"
    claims_of = ["pruning_window", "pruning_silhouette"]
    both = pruning.readings({claim: pruning.differences(found, claim) for claim in claims_of})
    shown = [button.args[0]["visible"] for button in both.layout.updatemenus[0].buttons]
    n = len(one.data)
    assert shown == [[True] * n + [False] * n, [False] * n + [True] * n]
    second = both.layout.updatemenus[0].buttons[1].args[1]
    assert second == {"xaxis.title.text": "difference of silhouette"}


def test_the_answer_on_misalignment_undoes_the_signs_of_the_claims():
    found = effects(
        ("misalignment_image", "random swaps", 0.1, 0.09, 0.11, "mean"),
        ("misalignment_accuracy", "random swaps", 0.08, 0.07, 0.09, "mean"),
    ).assign(turns=["", "not monotone: falls to 30 %, rises after"])
    measured = found.assign(effect=[0.2, 0.1], low=[0.19, 0.09], high=[0.21, 0.11])
    shares = {0: 0.04, 0.1: 0.1, 0.3: 0.2, 0.8: 0.4}
    rows = [
        dict(kind="random", ratio=ratio, seed=seed, image_shared=share, image_without_shared=-share)
        for ratio, share in shares.items()
        for seed in (0, 1)
    ]
    means = pd.DataFrame(rows)
    said = misalignment.answer("tuned", found, measured, means, [0, 0.3, 0.8])
    assert said.startswith(
        "tuned, fine-tuned with 80 % of the captions swapped instead of 0 %: random swaps make the "
        "image tower's neurons less pure (+0.200 of average |cos|, 95 % interval +0.190"
    )
    assert "cost accuracy (-10.0 points of accuracy, -11.0 to -9.0)" in said
    assert (
        "through all ratios, times 0.8: random swaps +0.100 and -8.0 points (not monotone: falls "
        "to 30 %, rises after)" in said
    )
    assert "squared weights goes from 4 % to 40 % (random swaps)" in said
    assert said.endswith("average |cos| changes by -0.360 with random swaps")
    less = misalignment.answer("tuned", found, measured, means[means.ratio < 0.2], [0, 0.1])
    assert "through ratios of 0 to 0.1 alone" in less
    figure = misalignment.changes(found, measured)
    assert [tuple(trace.y) for trace in figure.data] == [
        ("random swaps,<br>measured", "random swaps,<br>line")
    ] * 2
    assert [tuple(trace.x) for trace in figure.data] == [(0.2, 0.1), (10.0, 8.0)]  # points
    assert (
        "zero-shot accuracy (points), random swaps: not monotone" in figure.layout.meta["caption"]
    )


def test_training_without_swaps_is_one_line_whatever_the_kind():
    rows = [
        dict(
            kind=kind, ratio=ratio, seed=0, epoch=epoch, **dict.fromkeys(misalignment.MEASURES, 0.1)
        )
        for kind in misalignment.KINDS
        for ratio in (0.0, 0.3, 0.8)
        for epoch in (0, 1)
    ]
    figure = misalignment.training(pd.DataFrame(rows), {"image": 0.05, "text": 0.05})
    named = [trace.name for trace in figure.data if trace.showlegend is not False]
    swapped = [f"{kind}, ratio 0.8" for kind in misalignment.KINDS.values()]
    assert named == ["no caption swapped", *swapped, "chance"]
    lines = {trace.name: trace.line for trace in figure.data if trace.line.dash}
    assert lines["no caption swapped"].color == style.GREY
    assert {line.dash for name, line in lines.items() if name != "chance"} == {"solid"}


def test_histograms_and_epochs_are_chosen_from_a_menu():
    towers = {
        name: heatmaps.Tower(np.eye(3) - 0.5, np.arange(3.0), width)
        for name, width in {"image": 64, "text": 32}.items()
    }
    models = {(kind, ratio): towers for kind in misalignment.KINDS for ratio in (0.0, 0.8)}
    figure = misalignment.histograms(models)
    (menu,) = figure.layout.updatemenus
    assert [button.label for button in menu.buttons] == [
        f"{tower} tower, {kind}" for tower in towers for kind in misalignment.KINDS.values()
    ]
    assert [trace.visible for trace in figure.data] == [True] * 3 + [False] * 9
    assert "0.000 to 0.000 (text tower, random swaps)" in figure.layout.meta["caption"]
    rows = [
        dict(kind=kind, ratio=0.1, seed=0, epoch=epoch, image_avg_abs_cos=1.0, text_avg_abs_cos=1.0)
        for kind in misalignment.KINDS
        for epoch in (0, 1)
    ]
    figure = misalignment.over_time(pd.DataFrame(rows), {"image": 0.05, "text": 0.05})
    shown = [trace.visible for trace in figure.data]
    assert len(shown) == 12 and shown.count(True) == 6


def test_the_shares_of_each_sample_sum_to_one():
    raw = np.array([[0.0, 0.01], [0.99, 1.0]])
    cosines = {("raw", 0.3): raw, ("filtered", 0.3): np.full((2, 2), 0.55), ("raw", 0.5): 2 * raw}
    figure = theory.neurons_and_features(cosines, near=0.35)
    first, second = (np.array(trace.y, dtype=float) for trace in figure.data)
    assert np.nansum(first) == np.nansum(second) == 1 and np.isnan(first[27]) and second[27] == 1
    assert figure.data[0].x[0] == pytest.approx(0.01) and figure.layout.yaxis.type == "log"


def test_names_of_models_stand_in_comparisons_whole_and_once():
    models = display_names.of_models(["seed1", "seed10"], ["1", "seed1 b"])
    compared = ["seed10 minus seed1", "1", "seed1 b minus seed1", None]
    shown = display_names.renamed(pd.DataFrame({"comparison": compared}), models).comparison
    assert shown.tolist()[:3] == [
        "CLIP (seed10) minus CLIP (seed1)",
        "LaCLIP (1)",
        "LaCLIP (seed1 b) minus CLIP (seed1)",
    ]
    assert shown.isna().tolist() == [False] * 3 + [True]
    numbers = display_names.renamed(pd.DataFrame({"comparison": [1, "seed10"]}), models)
    assert numbers.comparison.tolist() == ["LaCLIP (1)", "CLIP (seed10)"]


def test_only_the_model_of_a_key_gets_another_name():
    @dataclass(frozen=True)
    class Found(display_names.Renamed):
        values: dict

    models = {"raw": "CLIP", "rewritten": "LaCLIP"}  # as kinds of captions are called
    found = Found({("raw", "raw"): 1, ("rewritten", "raw"): 2}).renamed(models)
    assert found.values == {("CLIP", "raw"): 1, ("LaCLIP", "raw"): 2}
    assert Found({"raw": 3, "other": 4}).renamed(models).values == {"CLIP": 3, "other": 4}


def test_two_data_sets_have_two_names():
    named = display_names.of_datasets(["cifar10", "folder:/data/CIFAR-10", "scenes_shape"])
    assert len(set(named.values())) == 3 and named["scenes_shape"] == "shape"


@pytest.mark.parametrize(
    "value, size, told",
    [
        (4e-4, 4e-4, "+0.0004"),
        (-4e-4, 0.1, "about 0"),
        (-6e-4, 0.1, "-0.001"),
        (9, 12, "+9.0"),
        (-0.0, -0.0, "+0.000"),
    ],
)
def test_effects_have_the_digits_of_their_size(value, size, told):
    assert wording.signed(value, size) == told


def test_the_paper_s_value_stands_beside_the_kind_of_swap_that_it_is_of():
    found = effects(
        ("misalignment_text", "random swaps", 0.1, 0.09, 0.11, "mean"),
        ("misalignment_text", "swaps by similarity", 0.1, 0.09, 0.11, "mean"),
    )
    (theirs,) = [t for t in claims.forest(results.judge(found)).data if t.name == "the paper's"]
    assert len(theirs.x) == 1 and "random swaps" in theirs.y[0].replace("<br>", " ")


def test_an_answer_is_text_and_never_markup():
    markup = '<img src=x onerror="alert(1)">'
    answer = wording.Answer(markup, markup, "end")
    assert answer == f"{markup}. {markup}. end" and "<img" not in answer._repr_html_()
    assert 'class="answer more">&lt;img' in answer._repr_html_()


def test_claims_are_counted_and_drawn_beside_the_paper_s_values(tmp_path):
    found = effects(
        ("accuracy_laclip", "LaCLIP minus CLIP", 0.124, 0.121, 0.128, "mean"),
        ("purity_laclip_text", "CLIP minus LaCLIP", 0.001, -0.001, 0.003, "mean"),
    )
    judged = results.judge(found)
    said = claims.answer(judged)
    bring = "better captions should bring higher accuracy (holds) and purer text neurons"
    assert said.result == f"{bring} (undecided)"
    figure = claims.forest(judged)
    paper = next(trace for trace in figure.data if trace.name == "the paper's")
    assert sorted(paper.x) == pytest.approx([1.1, 1.1, 7.3])  # points
    assert set(paper.text) == {"CC12M: +7.3", "RedCaps: +1.1", "LAION-400M: +1.1"}
    page = claims.verdicts_table(judged, ["01_clip_vs_laclip", "07_claims"]).markup
    assert "+12.4 (+12.1 to +12.8) points of accuracy" in page
    said = {
        said
        for trace in figure.data
        if trace.customdata is not None
        for (said,) in trace.customdata
    }
    assert len(said) == 2 and all(words in page for words in said)
    assert page.count("<a ") == 2 and '"01_clip_vs_laclip.ipynb#claim-accuracy_laclip"' in page
    assert "1 (points of accuracy): the paper's smallest" in claims.rules_table().markup
    assert set(claims.CHAPTERS) == {
        name for name, chapter in profile.CHAPTERS.items() if chapter.judged
    }
    line = claims.behind(["01_clip_vs_laclip", "07_claims"])._repr_html_()
    assert line.count("<a ") == 1 and 'href="01_clip_vs_laclip.ipynb"' in line
    for run in ("demo", "photos"):
        (tmp_path / run / "tables").mkdir(parents=True)
        judged.to_csv(tmp_path / run / "tables/claims.csv", index=False)
    both = claims.of_all_runs(tmp_path).frame
    assert list(both) == ["claim", "demo", "photos"] and both.demo[0] == "holds"
