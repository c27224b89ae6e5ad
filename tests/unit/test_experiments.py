"""The experiments on small made-up embeddings: tables hold what the metrics say, effects the right sign."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from scipy import stats
from torch.utils._python_dispatch import TorchDispatchMode

import featpurity
from featpurity import embed_images, files, load_model, load_pairs, save_projections
from featpurity.experiments import (
    clip_vs_laclip,
    compare,
    embedding_maps,
    image_text_cosines,
    inputs,
    ladder,
    misalignment,
    neurons,
    online_and_cached,
    pruning,
    what_neurons_know,
)
from featpurity.metrics import inputs as metric_inputs
from featpurity.metrics import purity, silhouette, zeroshot
from featpurity.models.clip import ClipModel
from featpurity.report import display_names, over_seeds, results
from featpurity.report.chapters import clip_vs_laclip as chapter
from featpurity.report.chapters import ladder as ladder_pages
from featpurity.report.chapters import pruning as pruning_pages

D, CLASSES = 8, 3


class Data:
    """As much of a data set as the experiments ask for."""

    images_key = name = "made up"
    skipped, images = ("broken.png",), ()

    def __init__(self, labels):
        self.labels, self.classes = labels, [str(i) for i in range(int(labels.max()) + 1)]

    def __len__(self):
        return len(self.labels)


def made_up(labels=None, seed=0):
    """Two models and a data set of images that the second model sees with less noise."""
    draw = torch.Generator().manual_seed(seed)
    labels = torch.arange(30) % CLASSES if labels is None else torch.as_tensor(labels)
    classes = F.normalize(torch.randn(int(labels.max()) + 1, D, generator=draw), dim=1)
    noise = torch.randn(len(labels), D, generator=draw)
    models, embedded = {}, {}
    for name, share in [("noisy", 0.8), ("clean", 0.1)]:
        images = F.normalize(classes[labels] + share * noise, dim=1)
        neurons = torch.randn(2, D, 16, generator=draw)
        models[name] = SimpleNamespace(
            d=D, image_neurons=neurons[0], text_neurons=neurons[1], trunk_keys=(name, name)
        )
        embedded[name, "made up"] = inputs.Embedded(images, classes, labels)
    return inputs.Inputs(models, {"made up": Data(labels)}, embedded)


def test_the_comparison_holds_what_the_metrics_say():
    made = made_up()
    found = clip_vs_laclip.compare(made, [("noisy", "clean")], n_bootstrap=20)
    for row in found.accuracy.itertuples():
        embedded = made.embedded[row.model, row.dataset]
        assert row.accuracy == pytest.approx(zeroshot.accuracy(*embedded))
        assert row.silhouette == pytest.approx(
            silhouette.silhouette(embedded.images, embedded.labels)
        )
        assert row.accuracy_low <= row.accuracy <= row.accuracy_high
    mean = found.effects[found.effects.dataset == "mean"].set_index("claim").effect
    by_model = found.accuracy.set_index("model").accuracy
    assert mean.accuracy_laclip == pytest.approx(by_model.clean - by_model.noisy)
    noisy, clean = (made.models[name].image_neurons for name in ("noisy", "clean"))
    gain = purity.avg_abs_cos(noisy) - purity.avg_abs_cos(clean)
    assert mean.purity_laclip_image == pytest.approx(gain)


class Largest(TorchDispatchMode):
    """Notes how many numbers the largest tensor holds that is computed."""

    def __init__(self):
        super().__init__()
        self.numbers = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        found = func(*args, **(kwargs or {}))
        for part in found if isinstance(found, (tuple, list)) else [found]:
            if isinstance(part, torch.Tensor):
                self.numbers = max(self.numbers, part.numel())
        return found


def test_memory_is_bounded_by_the_blocks(monkeypatch):
    made = made_up(torch.arange(1000) % 40)
    embeddings, scores = 1000 * D, 1000 * 40
    with Largest() as whole:
        clip_vs_laclip.estimate(made)
    monkeypatch.setattr(metric_inputs, "MAX_BYTES", 2**14)  # some images at once
    with Largest() as blocks:
        clip_vs_laclip.estimate(made)
        pruning.prune(made, n_random_orders=2, kept=[4, D], n_bootstrap=0)
    assert whole.numbers >= scores and blocks.numbers <= embeddings


@pytest.mark.parametrize("trunks", [True, False])
def test_inputs_keep_what_the_chapters_need(trunks, tmp_path):
    for i, name in enumerate(["cat", "cat", "dog"]):
        (tmp_path / name).mkdir(exist_ok=True)
        Image.new("RGB", (64, 64), (80 * i, 0, 0)).save(tmp_path / name / f"{i}.png")
    loaded = inputs.load(["scenes_clip"], [f"folder:{tmp_path}"], device="cpu", trunks=trunks)
    ((_, name), seen), clip = *loaded.embedded.items(), loaded.models["scenes_clip"]
    whole, data = load_model("scenes_clip"), loaded.data[name]
    assert torch.equal(seen.images, embed_images(whole, data)[0]) and len(seen.classifier) == 2
    assert torch.equal(clip.image_neurons, whole.image_neurons)
    assert (clip.trunks is not None) == trunks
    if not trunks:
        with pytest.raises(ValueError, match="scenes_clip: its trunks were left behind"):
            clip.encode_text(clip.tokenizer(["a dog"]))


def test_intervals_in_closed_form_are_as_wide_as_the_bootstrap_s():
    made = made_up(torch.arange(300) % CLASSES)
    drawn, closed = (
        clip_vs_laclip.compare(made, [("noisy", "clean")], n_bootstrap=n) for n in (400, 0)
    )
    pruned = [pruning.prune(made, n_random_orders=3, kept=[D], n_bootstrap=n) for n in (400, 0)]
    for ours, other in [(drawn, closed), pruned]:
        assert ours.effects.effect.tolist() == other.effects.effect.tolist()
        wide, width = (table.effects.high - table.effects.low for table in (ours, other))
        assert width.tolist() == pytest.approx(wide.tolist(), rel=0.2, abs=1e-6)
    drawn, closed = drawn.accuracy, closed.accuracy
    for measure in ("accuracy", "silhouette"):
        assert drawn[measure].tolist() == closed[measure].tolist()
        wide, width = (
            table[f"{measure}_high"] - table[f"{measure}_low"] for table in (drawn, closed)
        )
        assert width.tolist() == pytest.approx(wide.tolist(), rel=0.2)


def test_models_that_are_not_compared_have_numbers_of_their_own(tmp_path):
    found = clip_vs_laclip.compare(made_up(), [], n_bootstrap=0)
    assert chapter.gains(found.effects) is None
    said = chapter.answer(found.effects, found.accuracy)
    assert "noisy classifies" in said and "clean classifies 100.0 % of the pictures rightly" in said
    for name, table in {"effects.csv": found.effects, "record.json": None}.items():
        path = tmp_path / f"tables/01_{name}"
        path.parent.mkdir(exist_ok=True)
        files.save_table(table, path) if table is not None else results.save_record(path)
    assert results.read_effects(tmp_path, ["01_clip_vs_laclip"]).empty
    assert set(results.judge(found.effects).verdict) == {"not measured"}


def test_the_mean_recall_has_an_interval_and_the_smallest_class_is_told():
    table = clip_vs_laclip.compare(made_up([0] * 5 + [1] * 20), [], n_bootstrap=0).accuracy
    noisy = table.set_index("model").loc["noisy"]
    assert noisy.mean_recall_low < noisy.mean_recall < noisy.mean_recall_high <= 1
    assert (table.smallest_class == 5).all()
    (row,) = clip_vs_laclip.compare(made_up([0]), [], 0).accuracy.head(1).itertuples()
    assert row.mean_recall == 1 and np.isnan(row.accuracy_low) and np.isnan(row.mean_recall_high)


@pytest.mark.parametrize("n_bootstrap, warned", [(0, True), (20, False)])
def test_silhouettes_of_tiny_classes_are_said_to_have_narrow_intervals(n_bootstrap, warned):
    made = made_up([0, 0, 0, 1, 1, 1, 1, 1])
    table = clip_vs_laclip.compare(made, [], n_bootstrap).accuracy
    said = " ".join(chapter.warnings(table, n_bootstrap))
    assert ("fewer than 5 pictures" in said) == warned


def test_several_pairs_give_an_interval_over_pairs():
    gains = [0.1, 0.2, 0.4]
    rows = [
        dict(claim=claim, comparison=f"{claim} {i}", dataset="mean", effect=gain, low=0.0, high=1.0)
        for claim in ("accuracy_laclip", "purity_laclip_text")
        for i, gain in enumerate(gains)
    ]
    found = clip_vs_laclip.over_pairs(pd.DataFrame(rows), 3)
    half = stats.t.ppf(0.975, 2) * np.std(gains, ddof=1) / 3**0.5
    for row in found.itertuples():
        assert row.effect == pytest.approx(np.mean(gains))
        assert (row.low, row.high) == pytest.approx((row.effect - half, row.effect + half))
    assert list(found.comparison) == [
        "3 LaCLIP models minus 3 CLIP models",
        "3 CLIP models minus 3 LaCLIP models",
    ]
    assert clip_vs_laclip.over_pairs(pd.DataFrame(rows), 2).empty


@pytest.mark.parametrize(
    "labels", [[0] * 6, [0, 1, 2, 3]], ids=["one class", "one picture a class"]
)
def test_without_a_silhouette_the_accuracy_is_there(labels):
    made = made_up(labels)
    found = clip_vs_laclip.compare(made, [("noisy", "clean")], n_bootstrap=5)
    assert found.accuracy.accuracy.notna().all() and found.accuracy.silhouette.isna().all()
    assert not found.effects.claim.str.startswith("silhouette").any()
    assert found.effects[["effect", "low", "high"]].dtypes.eq(float).all()
    curves = pruning.prune(made, n_random_orders=2, n_bootstrap=5)
    assert curves.silhouette.empty and len(curves.accuracy) == 2 * (3 * D + 1)
    assert pruning_pages.silhouettes(curves.silhouette) is None
    results.save_paper_curves(curves.silhouette, "nowhere", "silhouette")
    both = misalignment.Neurons(*[made.models["noisy"].image_neurons] * 2)
    embedded = {name: seen for (model, name), seen in made.embedded.items() if model == "noisy"}
    (row,) = misalignment._measure_model(both, embedded)
    assert 0 <= row["image_without_shared"] < 1
    runs = [row | dict(kind="random", ratio=r, seed=s) for r in (0.0, 0.8) for s in (0, 1)]
    changes = misalignment.changes(pd.DataFrame(runs).drop(columns="dataset"))
    assert set(changes.claim) == set(misalignment.CLAIMS) - {"misalignment_silhouette"}


def test_pairs_that_share_a_model_have_no_mean_over_pairs():
    made = made_up()
    made = inputs.Inputs(
        {f"{name} {i}": clip for i in range(3) for name, clip in made.models.items()},
        made.data,
        {(f"{m} {i}", name): seen for i in range(3) for (m, name), seen in made.embedded.items()},
    )
    apart = clip_vs_laclip.compare(made, [(f"noisy {i}", f"clean {i}") for i in range(3)])
    assert apart.effects.comparison.str.startswith("3 ").any()
    names = [*made.models]
    for pairs in ([(names[0], name) for name in names[1:4]], [*zip(names, names[1:4])]):
        shared = clip_vs_laclip.compare(made, pairs)
        assert not shared.effects.comparison.str.startswith("3 ").any()


def test_towers_of_different_widths_are_compared_less_their_chance():
    generator = torch.Generator().manual_seed(0)
    drawn = {
        name: SimpleNamespace(
            image_neurons=torch.randn(64, width, generator=generator),
            text_neurons=torch.randn(64, width, generator=generator),
            trunk_keys=(name, name),
            d=64,
        )
        for name, width in [("narrow", 256), ("wide", 512)]
    }
    table = clip_vs_laclip.neurons_table(drawn)
    for row in clip_vs_laclip.purity_gains(drawn, table, [("narrow", "wide")]):
        assert abs(row["effect"]) < 0.002  # both are random directions


def test_projections_from_one_start_are_compared_neuron_by_neuron():
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(2, 64, 256, generator=generator)
    moved = start + 0.1 * torch.randn(2, 64, 256, generator=generator)
    widths = []
    for order in torch.arange(64), torch.randperm(64, generator=generator):
        models = {
            name: SimpleNamespace(image_neurons=both[0], text_neurons=both[1], d=64)
            for name, both in {"before": start, "after": moved[:, order]}.items()
        }
        table = clip_vs_laclip.neurons_table(models)
        rows = clip_vs_laclip.purity_gains(models, table, [("before", "after")])
        widths.append([row["high"] - row["low"] for row in rows])
    paired, apart = widths
    assert max(paired) < min(apart) / 3
    independent = 2 * 1.96 * table.groupby("tower").error.apply(lambda e: (e**2).sum() ** 0.5)
    assert apart == pytest.approx(independent[["image", "text"]].tolist(), rel=0.3)


def test_pruning_ends_at_the_full_accuracy_and_its_mean_is_over_the_data_sets():
    made = made_up()
    found = pruning.prune(made, n_random_orders=3, kept=[2, D], n_bootstrap=5)
    pruning.check(made, found.accuracy)
    area = found.effects[(found.effects.claim == "pruning_area")]
    assert set(area.comparison) == {"noisy", "clean"} and set(area.dataset) == {"made up", "mean"}
    curve = found.accuracy.set_index(["model", "strategy", "kept"]).accuracy["noisy"]
    gap = (curve["high_purity"] - curve["low_purity"]).mean()
    by_model = area[area.dataset == "mean"].set_index("comparison").effect
    assert by_model["noisy"] == pytest.approx(gap, abs=1e-6)


def test_what_chance_makes_of_the_differences_is_what_random_orders_turned_round_come_to():
    made = made_up()
    (clip, embedded) = made.models["noisy"], made.embedded["noisy", "made up"]
    orders = pruning.orders_of(clip, 5)
    _, lines = pruning.accuracy_curves(embedded, orders)
    drawn = pruning.differences_by_chance(embedded, orders, lines)
    for number, order in enumerate(orders.random):
        turned = replace(orders, purest_first=order, least_pure_first=order.flip(0))
        plain = pruning.differences(embedded, turned)
        assert set(drawn) == set(plain)
        for claim, draws in drawn.items():
            assert draws[number].item() == pytest.approx(plain[claim].value.item(), abs=1e-6)


def test_a_difference_that_random_orders_give_as_well_is_within_chance():
    found = pruning.prune(made_up(), n_random_orders=6, kept=[D])
    judged = results.judge(found.effects).query("experiment == 2")
    inside = judged.effect.between(judged.chance_low, judged.chance_high)
    decided = (judged.low > 0) | (judged.high < 0)
    assert (judged.verdict.str.startswith("within chance") == (inside & decided)).all()
    assert (judged.chance_low == -judged.chance_high).all() and judged.chance_high.gt(0).all()


def test_changes_run_from_no_swaps_to_the_paper_s_largest_ratio():
    ratios = np.array([0.0, 0.4, 0.8])
    rows = [
        pd.DataFrame(
            dict(
                kind="random",
                ratio=ratios,
                seed=seed,
                image_avg_abs_cos=0.1 + (0.2 + 0.01 * seed) * ratios,
                text_avg_abs_cos=0.1,
                accuracy=0.9 - 0.5 * ratios,
                silhouette=np.nan,
            )
        )
        for seed in (0, 1)
    ]
    effects = misalignment.changes(pd.concat(rows)).set_index("claim")
    assert effects.effect["misalignment_image"] == pytest.approx(0.8 * 0.205)
    assert effects.effect["misalignment_accuracy"] == pytest.approx(0.8 * 0.5)
    assert "misalignment_silhouette" not in effects.index
    means = pd.concat(rows)
    means.loc[means.ratio == 0.4, "accuracy"] = 0.3
    line, measured = (
        misalignment.changes(means, way).set_index("claim").loc["misalignment_accuracy"]
        for way in (over_seeds.along_line, over_seeds.differences)
    )
    assert line.turns == measured.turns == "not monotone: falls to 40 %, rises after"
    assert measured.effect == pytest.approx(0.4)


def test_missing_checkpoints_say_what_to_run_first(tmp_path):
    run = misalignment.Run("random", 0.8, 0)
    with pytest.raises(FileNotFoundError, match="1 of 1 fine-tuned .*finetune.ipynb"):
        misalignment.measure({run: tmp_path / "no.safetensors"}, {}, "paper")


def test_examples_show_every_class_before_any_twice():
    class Pictures:
        classes, labels = ["a", "b", "c"], torch.tensor([0, 0, 0, 1, 2])

        def __getitem__(self, i):
            return f"picture {i}", int(self.labels[i])

    pictures, titles = inputs.examples(Pictures(), count=4)
    assert titles == ["a", "b", "c", "a"] and pictures[-1] == "picture 1"
    assert len(inputs.examples(Pictures(), count=8)[0]) == 5


def test_compare_is_public_and_its_figures_are_the_chapters(monkeypatch, tmp_path):
    assert featpurity.compare is compare.compare
    monkeypatch.setattr(inputs, "load", lambda *_, **__: made_up())
    runs = featpurity.compare(["noisy", "clean"], ["made up"], n_random_orders=2, n_bootstrap=100)
    assert set(runs.figures()) >= {"matrices", "accuracy", "pruning", "differences"}
    assert runs.notes[0] == "made up: 1 unreadable images left out: broken.png"
    assert runs.effects.statement.str.endswith(".").all()
    assert runs.answer.startswith("clean, compared with noisy, classifies ")
    runs.save(tmp_path / "new")
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "new/neurons.csv"), runs.neurons)
    assert len(list((tmp_path / "new").glob("*.csv"))) == 4
    kept = runs.pruning.query("strategy == 'high_purity' and kept == 5 and model == 'clean'")
    assert kept.accuracy.between(0, 1).all() and len(kept) == 1
    with pytest.raises(ValueError, match="at least one model"):
        featpurity.compare([], ["made up"])
    wrongs = [{"n_random_orders": 1}, {"n_bootstrap": -1}, {"n_bootstrap": 5}]
    for wrong in [*wrongs, {"n_random_orders": 2.5}, {"n_bootstrap": "200"}]:
        with pytest.raises(ValueError, match=f"{next(iter(wrong))} must be"):
            featpurity.compare(["noisy"], ["made up"], **wrong)


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """Two folders of pictures, and no tower that may run on them."""
    for name in ["first/cat", "first/dog", "second/cat", "second/dog"]:
        (tmp_path / name).mkdir(parents=True)
        for i in range(2):
            Image.new("RGB", (8, 8), (80 * i, 0, 0)).save(tmp_path / name / f"{i}.png")
    monkeypatch.setattr(ClipModel, "image_trunk", lambda *_: pytest.fail("a tower ran"))
    return [f"folder:{tmp_path / name}" for name in ("first", "second")]


def test_compare_looks_at_all_pictures_and_prompts_before_a_tower_runs(folders, tmp_path):
    own = tmp_path / "prompts.json"
    own.write_text(json.dumps({folders[0]: ["a {}"]}))
    with pytest.raises(ValueError, match="no templates for the data set .*second"):
        featpurity.compare(["scenes_clip"], folders, str(own))
    (tmp_path / "second/dog/1.png").write_bytes(b"none")
    with pytest.raises(ValueError, match="second: 1 of 4 images cannot be read"):
        featpurity.compare(["scenes_clip"], folders)


def test_compare_names_the_model_of_a_neuron_without_direction(folders, tmp_path):
    clip = load_model("scenes_clip")
    clip.text_neurons[3] = 0
    path = tmp_path / "dead.safetensors"
    save_projections(path, clip, clip.image_neurons, clip.text_neurons)
    with pytest.raises(ValueError, match="tuned: text_neurons: a neuron of norm 0.*first: 3"):
        featpurity.compare({"tuned": path}, folders)


def test_data_sets_may_have_labels_of_ones_own(folders, monkeypatch):
    monkeypatch.setattr(
        ClipModel,
        "image_trunk",
        lambda clip, images: torch.ones(len(images), clip.image_neurons.shape[1]),
    )
    named = dict(zip(["scenes_shape", "b"], folders))
    named["scenes_shape"] = Path(folders[0].removeprefix("folder:"))
    runs = featpurity.compare(["scenes_clip"], named, ["a photo of a {c}"], n_random_orders=2)
    assert runs.accuracy.dataset.unique().tolist() == ["scenes_shape", "b"]
    assert (runs.accuracy.images == 4).all()
    assert len(inputs.load_data(named)["scenes_shape"]) == 4


def test_a_label_for_nothing_that_is_compared_is_refused():
    labels = {"folder:pcs": "mine"}
    with pytest.raises(ValueError, match="'folder:pcs' is not listed, did you mean 'folder:pics'"):
        featpurity.compare(["scenes_clip"], ["folder:pics"], labels=labels)
    with pytest.raises(ValueError, match="'scenes_clip' is not listed, known: folder:pics"):
        featpurity.compare({"a": "scenes_clip"}, ["folder:pics"], labels={"scenes_clip": "b"})


def test_what_is_no_name_or_no_data_set_is_told_so():
    clip = load_model("scenes_clip")
    with pytest.raises(TypeError, match="name of a model or its file, got a ClipModel; .*state_d"):
        load_model(clip)
    with pytest.raises(TypeError, match="as load_dataset gives it, got a list"):
        featpurity.embed_images(clip, [])


def test_compare_refuses_pictures_of_several_classes():
    with pytest.raises(ValueError, match="voc2007: .* several classes.*mean_average_precision"):
        featpurity.compare(["scenes_clip"], ["voc2007"])


@pytest.mark.parametrize(
    "models, datasets, message",
    [
        ([5], ["scenes_shape"], "models: expected a name as load_model takes it, got 5; .* give"),
        (["scenes_clip"], [("a", 1)], "datasets: expected a name as load_dataset takes it, got"),
        ({1: "scenes_clip"}, ["scenes_shape"], "models: expected keys that are names.*got 1"),
        (["scenes_clip"], Path("photos"), "datasets must be a list, got 'photos'"),
        (5, ["scenes_shape"], "models: expected a list of names, got 5"),
        (["scenes_clip"] * 2, ["scenes_shape"], "models: scenes_clip stands there twice"),
    ],
)
def test_models_and_data_sets_come_by_name(models, datasets, message):
    with pytest.raises(ValueError, match=message):
        featpurity.compare(models, datasets)


def test_names_may_be_paths():
    assert inputs.names("models", {"a": Path("x/y.pt")}) == {"a": "x/y.pt"}
    assert inputs.names("datasets", (Path("x"), "cifar10")) == ["folder:x", "cifar10"]


def test_labels_are_short_told_apart_and_never_paths():
    assert display_names.of_datasets(["scenes_shape", "folder:/x/photos", "folder:/y/photos"]) == {
        "scenes_shape": "shape",
        "x/photos": "x/photos",
        "y/photos": "y/photos",
    }
    assert display_names.of_datasets(["folder:/x/photos"], {"folder:/x/photos": "Pets"}) == {
        "Pets": "Pets"
    }
    assert display_names.of_datasets(["cifar10", "imagenet-r"]) == {
        "cifar10": "CIFAR-10",
        "imagenet-r": "ImageNet-R",
    }
    assert display_names.of_models(["a"], ["b"]) == {"a": "CLIP", "b": "LaCLIP"}
    assert display_names.of_models(["a"], ["b"], {"a": "old"}) == {"old": "old", "b": "LaCLIP"}
    several = display_names.of_models(["ViT-B-32:/x/base.pt", "a"], ["ViT-B-32:openai", "b"])
    assert list(several.values()) == [
        "CLIP (base.pt)",
        "CLIP (a)",
        "LaCLIP (ViT-B-32:openai)",
        "LaCLIP (b)",
    ]
    assert display_names.of_models(["a", "b"]) == {"a": "a", "b": "b"}


def test_a_training_that_was_resumed_has_no_time_of_its_own(tmp_path, monkeypatch):
    runs = {misalignment.Run("random", ratio, 0): [0, 1] for ratio in (0.0, 0.8)}
    captioned = SimpleNamespace(images=[0, 1], best_captions=["a", "b"])
    history = pd.DataFrame({"epoch": [1]})
    monkeypatch.setattr(online_and_cached, "Settings", dict)
    monkeypatch.setattr(online_and_cached.online, "train", lambda *_, **__: (None, None, history))
    options = dict.fromkeys(("evaluate", "precision", "workers"))
    costs = {}
    for name in ("whole", "killed"):
        if name == "killed":
            unfinished = tmp_path / name / "random_Cs80_seed0" / online_and_cached.UNFINISHED
            unfinished.parent.mkdir(parents=True)
            unfinished.touch()
        _, (costs[name],) = online_and_cached.train_online(
            None, captioned, runs, tmp_path / name, **options
        )
    assert costs["whole"].seconds >= 0 and costs["whole"].runs == 2
    assert np.isnan(costs["killed"].seconds)


def test_distances_of_cached_training_are_from_the_online_run_of_the_same_seed():
    rows = [
        dict(way=way, kind="random", ratio=ratio, seed=seed, epoch=1, loss=1.0, accuracy=accuracy)
        for way, seed, values in [
            (online_and_cached.ONLINE, 0, (0.9, 0.5)),
            ("cached, no crops", 0, (0.8, 0.6)),
            ("cached, no crops", 1, (0.9, 0.6)),
        ]
        for ratio, accuracy in zip((0.0, 0.8), values)
    ]
    curves = pd.DataFrame(rows).assign(image_avg_abs_cos=0.1, text_avg_abs_cos=0.1)
    found = online_and_cached.distances(curves).set_index("measure").loc["accuracy"]
    assert found["mean distance"] == pytest.approx(0.1)
    assert found["effect online"] == pytest.approx(-0.4)
    assert found["effect in this way"] == pytest.approx(-0.2)
    assert found["between seeds"] == pytest.approx(np.sqrt(0.005) / 2)


def test_the_ladder_correlates_purity_not_cosines():
    models = pd.DataFrame(
        dict(
            group=["a"] * 4,
            accuracy=[0.1, 0.2, 0.3, 0.4],
            silhouette=[None] * 4,
            image_times_chance=[2.0, 1.8, 1.4, 1.2],
            text_times_chance=[1.0, 1.1, 1.2, 1.3],
        )
    )
    found = ladder.correlations(models).set_index(["tower", "over"]).spearman
    assert found["image", "within groups"] == pytest.approx(1)
    assert found["text", "within groups"] == pytest.approx(-1)
    assert set(ladder.by_group(models).group) == {"a"}
    alike = models.assign(accuracy=0.5)
    found = ladder.correlations(alike)
    assert found.empty and ladder.by_group(alike).empty
    assert "do not differ in accuracy" in ladder_pages.answer(found)


def test_the_atlas_says_what_a_neuron_reads_and_who_is_near_it():
    made = made_up()
    embedded = made.embedded["clean", "made up"]
    found = neurons.atlas(made, n_shown=4)
    table = found.neurons[found.neurons.model == "clean"].set_index("neuron")
    cosines = purity.cosine_matrix(made.models["clean"].image_neurons)
    for neuron, row in table.iterrows():
        values = embedded.images[:, neuron]
        by_class = [values[embedded.labels == i].mean() for i in range(CLASSES)]
        contrasts = (torch.stack(by_class) - values.mean()) / values.std(correction=0)
        largest = int(contrasts.abs().argmax())
        contrast = contrasts[largest]
        assert row.best_class == str(largest)
        assert row.contrast == pytest.approx(float(contrast), abs=1e-5)
        assert abs(cosines[neuron, row.image_nearest]) == cosines[neuron].abs().max()
        assert set(found.strongest["clean"][neuron].tolist()) == set(
            values.topk(4).indices.tolist()
        )
    order = purity.purity_order(
        made.models["clean"].image_neurons, made.models["clean"].text_neurons
    )
    assert table.loc[order.tolist(), "rank"].tolist() == list(range(1, D + 1))
    profile = found.profiles[found.profiles.model == "clean"].groupby("neuron")
    assert (profile.contrast.agg(lambda values: max(values, key=abs)) == table.contrast).all()
    assert (profile.contrast.apply(lambda values: values.is_monotonic_decreasing)).all()
    assert found.captions.empty


def test_a_neuron_is_named_by_the_data_set_that_it_knows_best_and_by_what_stands_out_there():
    labels = torch.arange(60) % 6
    low = 1 - 2.0 * (labels == 1)  # far below the others on one class of six
    images = torch.stack([low, labels % 2 * 2.0 - 1], dim=1)
    data = {"two": Data(labels % 2), "six": Data(labels)}
    seen = {
        name: inputs.Embedded(images, torch.zeros(len(one.classes), 2), one.labels)
        for name, one in data.items()
    }
    made = inputs.Inputs({}, data, {("m", name): part for name, part in seen.items()})
    known = what_neurons_know.information(made, "m").argmax(0)
    assert known.tolist() == [1, 0]
    profiles = neurons.class_profiles(seen, data, known)
    named = neurons.best_classes(profiles, pd.Series(["six", "two"]))
    assert named.best_class.tolist() == ["1", "1"]  # of two alike the higher one
    assert named.contrast[0] < 0 < named.contrast[1]


def test_a_neuron_s_strongest_captions_have_its_largest_values():
    units = F.normalize(torch.randn(5, D, generator=torch.Generator().manual_seed(1)), dim=1)
    found = neurons.strongest_captions(list("abcde"), units, 2)
    for neuron, part in found.groupby("neuron"):
        expected = units[:, neuron].argsort(descending=True)[:2].tolist()
        assert part.caption.tolist() == ["abcde"[place] for place in expected]
        assert part.value.tolist() == pytest.approx(units[expected, neuron].tolist())


def test_maps_show_the_same_pictures_before_and_after():
    made = made_up()
    one = made.embedded["clean", "made up"]
    found = embedding_maps.pruned(made, "clean")
    assert found.points.groupby("plane", sort=False).size().tolist() == [30, 30, 30]
    first = found.points[found.points.plane == "all 8 neurons"]
    assert first.x.var() > first.y.var()  # the first component has the larger variance
    names = found.classes.set_index("image").class_name
    assert names[4] == str(int(one.labels[4]))
    score = found.separation.set_index("plane").silhouette["all 8 neurons"]
    assert score == pytest.approx(silhouette.silhouette(one.images, one.labels))
    few = embedding_maps.maps({"all": one.images}, made.data, most=3)
    assert few.points.image.tolist() == [0, 14, 29]


def test_a_plane_that_is_turned_and_mirrored_comes_back():
    points = torch.randn(20, 2, generator=torch.Generator().manual_seed(0))
    turn = torch.tensor([[0.6, 0.8], [0.8, -0.6]])  # a reflection
    assert torch.allclose(embedding_maps.aligned(points @ turn, points), points, atol=1e-5)


class Toy:
    """A model whose text tower knows texts by their number."""

    device, text_key, name = torch.device("cpu"), "toy", "toy"

    def __init__(self, units):
        self.units = units

    def tokenizer(self, texts):
        return torch.tensor([int(text) for text in texts])

    def text_trunk(self, tokens):
        return self.units[tokens]

    def project_text(self, features):
        return features

    project_image = project_text


class Pairs:
    """Three pairs; the second has no rewritten caption."""

    name, rewrites = "toys", [["4"], [], ["5"]]
    captions, best_captions, image_names = ["1", "2", "3"], ["4", "2", "5"], None

    def __len__(self):
        return len(self.captions)


def test_cosines_compare_a_picture_with_its_own_captions_and_another_s(monkeypatch):
    units = F.normalize(torch.randn(9, D, generator=torch.Generator().manual_seed(2)), dim=1)
    monkeypatch.setattr(image_text_cosines, "image_trunk_features", lambda *_: units[6:9])
    found = image_text_cosines.measure({"toy": Toy(units)}, Pairs())
    expected = {"raw": [1, 2, 3], "of another picture": [3, 1, 2]}
    for kind, texts in expected.items():
        assert torch.allclose(found.values["toy", kind], (units[6:9] * units[texts]).sum(1))
    rewritten = (units[[6, 8]] * units[[4, 5]]).sum(1)
    assert torch.allclose(found.values["toy", "rewritten"], rewritten)
    table = found.table.set_index("captions")
    assert table.pairs.tolist() == [3, 2, 3] and table.loc["rewritten", "mean"] == pytest.approx(
        rewritten.mean().item()
    )
    nearer = (found.values["toy", "raw"] > found.values["toy", "of another picture"]).double()
    assert table.above["raw"] == pytest.approx(nearer.mean().item())


def test_captions_of_one_picture_are_not_another_s(monkeypatch):
    units = F.normalize(torch.randn(9, D, generator=torch.Generator().manual_seed(2)), dim=1)
    pictures = units[[6, 6, 7, 7, 6]]
    monkeypatch.setattr(image_text_cosines, "image_trunk_features", lambda *_: pictures)
    pairs = Pairs()
    pairs.captions = pairs.best_captions = ["1", "2", "3", "4", "5"]
    pairs.rewrites, pairs.image_names = [[]] * 5, ["a.jpg", "a.jpg", "b.jpg", "b.jpg", "a.jpg"]
    found = image_text_cosines.measure({"toy": Toy(units)}, pairs)
    others = (pictures * units[[4, 4, 2, 2, 4]]).sum(1)
    assert torch.allclose(found.values["toy", "of another picture"], others)
    row = found.table.set_index("captions").loc["raw"]
    cosines = found.values["toy", "raw"]
    by_picture = torch.stack([cosines[[0, 1, 4]].sum() - 3 * row["mean"], cosines[2:4].sum()])
    by_picture[1] -= 2 * row["mean"]
    error = by_picture.square().sum().sqrt() / 5
    assert (row.high - row.low) / 2 == pytest.approx(1.96 * error.item(), rel=1e-3)
    pairs.image_names = ["a.jpg"] * 5
    with pytest.raises(ValueError, match="expected pairs of at least 2 pictures, got 1"):
        image_text_cosines.measure({"toy": Toy(units)}, pairs)


def test_captions_that_say_something_false_are_counted():
    captioned = load_pairs("scenes", n_pairs=200)
    n, rng = len(captioned), np.random.default_rng(0)
    assert misalignment.false_share(captioned, np.arange(n)) == 0  # rewrites are right
    moved = rng.permutation(n)
    same = [
        all(captioned.facts[i][key] == name for key, name in captioned.named[j].items())
        for i, j in enumerate(moved)
    ]
    assert misalignment.false_share(captioned, moved) == 1 - np.mean(same) > 0.8
    assert captioned.subset([3, 1]).named == [captioned.named[3], captioned.named[1]]
    unknown = replace(captioned, named=None)
    assert np.isnan(misalignment.false_share(unknown, moved))
