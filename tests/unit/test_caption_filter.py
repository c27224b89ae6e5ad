"""Experiment 5: what the filter keeps, what the sets of captions are like, and training on them."""

import numpy as np
import pandas as pd
import pytest
import torch

import featpurity
from featpurity.captions.synthetic import Written, scene_facts
from featpurity.data.scenes import sample
from featpurity.experiments import caption_filter
from featpurity.experiments.caption_filter import Level
from featpurity.features.extract import text_trunk_features
from featpurity.report import results
from featpurity.report.chapters import caption_filter as show
from featpurity.training.cached import finetune_projections

FACTS = [scene_facts(row) for row in sample(200, 3)]


def written(names, right):
    return Written(names, [{"shape": name} for name in names], np.array(right))


LEVEL = Level(
    spurious=0.2,
    mistaken=0.1,
    seed=0,
    raw=written(["a", "b", "c", "d"], [True, True, False, False]),
    new=written(["A", "B", "C", "D"], [True, False, True, False]),
    keeps_new=np.array([False, True, True, True]),
)


class TestLevel:
    def test_sets_of_captions(self):
        sets = LEVEL.sets()
        assert sets["filtered"].captions == ["a", "B", "C", "D"]
        assert sets["filtered"].right.tolist() == [True, False, True, False]
        assert sets["best possible"].captions == ["A", "b", "C", "D"]
        assert sets["best possible"].said[1] == {"shape": "b"}

    def test_shares_of_wrong_captions(self):
        table = caption_filter.wrong_shares([LEVEL], 50).set_index("captions")
        assert table.wrong.to_dict() == {
            "raw": 0.5,
            "recaptioned": 0.5,
            "filtered": 0.5,
            "best possible": 0.25,
        }
        assert (table.wrong_low <= table.wrong).all() and (table.wrong <= table.wrong_high).all()

    def test_choices_where_one_of_the_two_is_right(self):
        row = caption_filter.choices([LEVEL]).iloc[0]
        assert row.keeps_new == 0.75
        assert row.where_only_new_right == 1 and row.where_only_raw_right == 1
        all_right = Level(0, 0, 0, *[written(["a"], [True])] * 2, np.array([True]))
        assert np.isnan(caption_filter.choices([all_right]).where_only_new_right[0])


def test_each_step_changes_one_thing():
    judged = caption_filter.Judge(None, FACTS, None, {})
    level = Level(
        0.2,
        0.2,
        caption_filter.CAPTIONS_SEED,
        caption_filter.raw_captions(FACTS, caption_filter.CAPTIONS_SEED, 0.2),
        caption_filter.recaptions(FACTS, caption_filter.CAPTIONS_SEED, 0.2),
        np.zeros(len(FACTS), dtype=bool),
    )
    steps = caption_filter.steps(level, judged.facts)
    table = caption_filter.described(steps, FACTS).set_index("captions")
    told = [name for name in steps if "all right" in name or "the same" in name]
    assert (table.wrong[told] == 0).all() and (table.wrong_facts[told] == 0).all()
    same = ["raw", "raw, all right", "the same without boilerplate", "the same facts in sentences"]
    assert table.facts[same].nunique() == 1
    assert table.words[same[2]] < table.words[same[1]] < table.words[same[3]]
    assert table.wrong["best possible"] < min(table.wrong["raw"], table.wrong["recaptioned"])


def test_pairs_without_known_truth_are_refused():
    pairs = featpurity.load_pairs("scenes", n_pairs=4)
    object.__setattr__(pairs, "facts", None)
    with pytest.raises(ValueError, match="the truth about 'scenes' is not known"):
        caption_filter.judge(None, pairs)


@pytest.fixture(scope="module")
def found():
    """The experiment on some pictures, with a measure that counts how often it was asked."""
    clip = featpurity.load_model("scenes_clip", "cpu")
    judge = caption_filter.judge(clip, featpurity.load_pairs("scenes", n_pairs=48), batch_size=24)
    asked = []

    def accuracy(image_neurons, text_neurons):
        asked.append(1)
        score = (image_neurons.mean() + text_neurons.mean()).item()
        return {"accuracy": score, "mean_recall": score}

    shares = [0.2, 0.0]
    result = caption_filter.remedy(
        judge, shares, shares, [0, 1], accuracy, 20, epochs=2, batch_size=24
    )
    return judge, result.levels, result, len(asked)


class TestRemedy:
    def test_the_filter_keeps_the_larger_cosine(self, found):
        judge, levels, *_ = found
        new, raw = (judge.fit(written.captions) for written in (levels[0].new, levels[0].raw))
        assert levels[0].keeps_new.tolist() == (new > raw).tolist()
        plain = torch.nn.functional.normalize(
            judge.clip.project_text(judge.text_features(levels[0].raw.captions)), dim=1
        )
        images = torch.nn.functional.normalize(
            judge.clip.project_image(judge.image_features), dim=1
        )
        torch.testing.assert_close(raw, (plain * images).sum(1), atol=1e-5, rtol=0)

    def test_a_caption_is_embedded_once_whatever_sets_it_is_in(self, found, monkeypatch):
        judge, levels, *_ = found
        mixed = [sets["filtered"].captions for sets in (level.sets() for level in levels)]
        plain = text_trunk_features(judge.clip, mixed[0], progress=False)
        torch.testing.assert_close(judge.text_features(mixed[0]), plain, atol=1e-5, rtol=1e-5)
        monkeypatch.setattr(caption_filter, "text_trunk_features", None)
        assert all(len(judge.text_features(captions)) == 48 for captions in mixed)

    def test_the_same_captions_are_trained_once(self, found):
        *_, result, asked = found
        sets = result.history.groupby(["spurious", "captions"]).ngroups
        assert sets == 7 + 1 + 2  # the steps, what the filter kept, and raw and filtered at 0
        assert asked == (sets - 1) * 2 * 3  # "raw" at 0 is "raw, all right"; seeds; epochs and 0

    def test_each_seed_trains_on_captions_of_its_own(self, found):
        judge, levels, result, _ = found
        pairs = featpurity.load_pairs("scenes", n_pairs=48)
        assert levels[0].raw.captions == pairs.captions
        other = caption_filter.filter_captions(judge, [0.2], [0.2], seed=1)[0]
        assert other.raw.captions != levels[0].raw.captions
        for seed, level in enumerate((levels[0], other)):
            _, _, plain = finetune_projections(
                judge.clip,
                judge.image_features,
                judge.text_features(level.sets()["filtered"].captions),
                seed=seed,
                epochs=2,
                batch_size=24,
            )
            rows = result.history.query("spurious == 0.2 and captions == 'filtered'")
            trained = rows[rows.seed == seed].image_avg_abs_cos
            assert trained.tolist() == pytest.approx(plain.image_avg_abs_cos.tolist(), abs=1e-6)

    def test_the_claims_and_the_steps_follow_from_the_runs(self, found):
        _, levels, result, _ = found
        claims = [claim["id"] for claim in results.load_claims() if claim["experiment"] == 5]
        assert sorted(result.effects.claim) == sorted(claims)
        last = result.history[result.history.epoch == 2]
        mean = last[last.spurious == 0.2].groupby("captions").image_avg_abs_cos.mean()
        effect = result.effects.set_index("claim").effect
        assert effect["filter_image"] == pytest.approx(mean["raw"] - mean["filtered"])
        wrong = {name: 1 - written.right.mean() for name, written in levels[0].sets().items()}
        assert effect["filter_wrong"] == pytest.approx(wrong["raw"] - wrong["filtered"])
        steps = result.steps[result.steps.measure == "image_avg_abs_cos"].effect.sum()
        assert steps == pytest.approx(mean["raw"] - mean["best possible"])

    def test_the_chapter_shows_it(self, found):
        _, levels, result, _ = found
        said = show.answer(result.shares, result.gains, "CLIP")
        assert said.startswith("with 20 % of the names in the raw captions spurious, ")
        assert all(f"the {tower} neurons" in said for tower in ("image", "text"))
        assert "Level by level, in points of accuracy: " in said and " at 20 %" in said
        assert "together" in show.why_not_better(result.steps)
        figures = [
            show.wrong(result.shares),
            show.training(result.history, {"image": 0.1, "text": 0.1}),
            show.gains(result.gains),
            show.steps(result.steps),
        ]
        assert all(figure.layout.meta["caption"].endswith(".") for figure in figures)
        assert len(show.described(result.captions).frame) == 7
        assert len(show.choices(result.choices).frame) == 4

    def test_it_says_what_true_captions_of_the_same_form_do(self):
        rows = [
            ("accuracy", 0.012, 0.011, 0.013, "raw, all right"),
            ("image_avg_abs_cos", -0.0022, -0.0023, -0.0021, "raw, all right"),
            ("accuracy", -0.022, -0.023, -0.021, "recaptioned"),
            ("image_avg_abs_cos", 0.0001, -0.0001, 0.0003, "recaptioned"),
        ]
        steps = pd.DataFrame(rows, columns=["measure", "effect", "low", "high", "step"])
        said = show.why_not_better(steps)
        assert (
            "out of the raw captions raises accuracy (+1.2 points of accuracy, 95 % interval +1.1 "
            "to +1.3) and makes the image neurons less pure (+0.0022 of average |cos|, +0.0021 to "
            "+0.0023)" in said
        )
        assert "out of the new captions raises accuracy (+2.2" in said
        assert "neither clearly purer nor less pure (+0.0001 of average |cos|, -0.0001" in said
        (accuracy, *_) = show.steps(steps).data
        assert accuracy.x[0] == pytest.approx(1.2)
        assert accuracy.customdata[0][0] == "+1.2 (+1.1 to +1.3) points of accuracy"

    def test_the_examples_say_what_is_wrong_in_a_caption(self, found):
        judge, levels, *_ = found
        pairs, level = featpurity.load_pairs("scenes", n_pairs=48), levels[0]
        shown = show.examples(pairs, level, 48).frame
        for i, (row, true) in enumerate(zip(shown.to_dict("records"), judge.facts)):
            assert row["picture"].alt == ", ".join(true.values())
            assert row["the filter keeps"] == ("new" if level.keeps_new[i] else "raw")
            for written, told in ((level.raw, row["raw caption"]), (level.new, row["new caption"])):
                caption, mark, wrong = told.partition(" (✘ ")
                assert caption == written.captions[i] and bool(mark) != written.right[i]
                for pair in filter(None, wrong.rstrip(")").split(", ")):
                    name, right = pair.split(" for ")
                    assert name in caption and right in true.values() and name != right
