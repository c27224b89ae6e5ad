"""The experiments on retrieval and probes, on made-up embeddings, and their chapter on real photographs."""

import shutil
import zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
import yaml
from checkout import ROOT, snakemake
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score
from torch.utils.data import DataLoader, TensorDataset

from featpurity.experiments import inputs, multi_label, probe, retrieval
from featpurity.metrics import intervals, linear_probe, zeroshot
from featpurity.metrics.average_precision import estimate_average_precision, mean_average_precision
from featpurity.metrics.retrieval import KS, estimate_recalls, retrieval_ranks, retrieval_recall
from featpurity.report.chapters import retrieval_and_probe as show

D = 8


def seen(noise, n=60, captions=3, seed=0):
    """Images, their captions with some noise, and whose each caption is."""
    draw = torch.Generator().manual_seed(seed)
    images = F.normalize(torch.randn(n, D, generator=draw), dim=1)
    owners = torch.arange(n).repeat_interleave(captions)[
        torch.randperm(n * captions, generator=draw)
    ]
    texts = images[owners] + noise * torch.randn(len(owners), D, generator=draw)
    return images, F.normalize(texts, dim=1), owners


def test_recalls_are_the_metric_s_and_a_caption_is_drawn_with_its_image():
    images, texts, owners = seen(0.5)
    ranks = retrieval_ranks(images, texts, owners, max(KS))
    found = estimate_recalls(*ranks, owners)
    known = retrieval_recall(images, texts, owners)
    names = [f"{side}_recall@{k}" for side in ("text", "image") for k in KS]
    assert found.value.tolist() == pytest.approx([known[name] for name in names])
    draws, hits = [], (ranks[1] < 1).double()
    for weights in intervals.bootstrap_weights(len(images), 2000):
        draws.append((weights[owners] * hits).sum() / weights[owners].sum())
    error = intervals.standard_error(found.spread[:, 3]).item()
    assert error == pytest.approx(torch.stack(draws).std().item(), rel=0.1)


def test_chance_is_what_random_embeddings_find():
    owners = torch.arange(50).repeat_interleave(4)
    draw, total = torch.Generator().manual_seed(1), 0
    for _ in range(40):
        images, texts = torch.randn(50, D, generator=draw), torch.randn(200, D, generator=draw)
        unit = F.normalize(images, dim=1), F.normalize(texts, dim=1)
        ranks = retrieval_ranks(*unit, owners, max(KS))
        total = total + estimate_recalls(*ranks, owners).value / 40
    assert total.tolist() == pytest.approx(retrieval.chances(owners), abs=0.02)


def test_an_image_of_several_rows_has_several_captions():
    captioned = SimpleNamespace(image_names=["b", "a", "b", "c"])
    owners, first = retrieval.owners_of(captioned)
    assert owners.tolist() == [0, 1, 0, 2] and first.tolist() == [0, 1, 3]


def test_effects_are_differences_and_the_mean_is_over_both_ways():
    found = {}
    for name, noise in [("before", 1.5), ("after", 0.3)]:
        images, texts, owners = seen(noise)
        ranks = retrieval_ranks(images, texts, owners, max(KS))
        found[name] = estimate_recalls(*ranks, owners)
    effects = retrieval.gains(found, [("before", "after")]).set_index("dataset")
    gain = (found["after"] - found["before"]).value
    assert effects.effect[retrieval.MEASURES].tolist() == pytest.approx(gain.tolist())
    assert effects.effect["mean"] == pytest.approx(gain.mean().item()) and effects.low["mean"] > 0
    assert retrieval.gains(found, []).empty


def test_a_difference_of_recalls_ends_where_it_can_and_all_found_is_not_certain():
    images, texts, owners = seen(0.01, n=6)
    best = estimate_recalls(*retrieval_ranks(images, texts, owners, max(KS)), owners)
    worst = estimate_recalls(*retrieval_ranks(images, texts.flip(0), owners, max(KS)), owners)
    effects = retrieval.gains({"a": worst, "b": best}, [("a", "b")])
    assert effects.effect.max() > 0.5 and effects.high.max() == 1.0
    table = retrieval.recall_table({"b": best}, [0.1] * 6)
    assert (table.recall == 1).all() and (table.recall_low < 0.7).all()


def made_up(n=200, classes=4):
    """Two models of which the second sees the classes apart, and the first sees noise."""
    draw = torch.Generator().manual_seed(0)
    labels = torch.arange(n) % classes
    centres = F.normalize(torch.randn(classes, D, generator=draw), dim=1)
    data = SimpleNamespace(classes=list("abcd"[:classes]), images_key="made up")
    embedded = {}
    for name, noise in [("noisy", 5.0), ("clean", 0.1)]:
        images = centres[labels] + noise * torch.randn(n, D, generator=draw)
        embedded[name, "made up"] = inputs.Embedded(F.normalize(images, dim=1), centres, labels)
    return inputs.Inputs(dict.fromkeys(["noisy", "clean"]), {"made up": data}, embedded)


def test_probes_are_trained_apart_from_the_test_and_compared():
    made = made_up()
    split = probe.split_of(200)
    assert sorted(torch.cat(split).tolist()) == list(range(200))
    assert [len(part) for part in split] == [90, 10, 100]
    found = probe.probe(made, [("noisy", "clean")])
    table = found.accuracy.set_index(["model", "shots"])
    assert list(table.training_images["clean"]) == [4, 16, 64, 100]
    assert table.accuracy["clean", "all"] > 0.98 > 0.6 > table.accuracy["noisy", "all"]
    gain = table.accuracy["clean", "all"] - table.accuracy["noisy", "all"]
    effects = found.effects.set_index("dataset")
    assert effects.effect["made up"] == pytest.approx(gain) == effects.effect["mean"]
    images, _, labels = made.embedded["noisy", "made up"]
    every = torch.cat([split.train, split.valid])
    known = images[every], labels[every], images[split.test]
    right = linear_probe.probe(*known, table.strength["noisy", "all"]) == labels[split.test]
    assert table.accuracy["noisy", "all"] == pytest.approx(right.float().mean().item())


def test_probes_of_training_images_are_scikit_learn_s_on_the_same_images():
    made, more = made_up(n=60), made_up(n=200)
    training = {
        (model, name): inputs.Training(-images, labels)  # apart from the test's
        for (model, name), (images, _, labels) in more.embedded.items()
    }
    loaded = inputs.Inputs(made.models, made.data, made.embedded, training)
    table = probe.probe(loaded.of_one_class(), []).accuracy.set_index(["model", "shots"])
    assert set(table.trained_on) == {"training images"} and set(table.test_images) == {60}
    assert list(table.training_images["noisy"]) == [4, 16, 64, 200]
    split = probe.split_of(60, 200)
    assert len(split.valid) == 20 and sorted(torch.cat(split).tolist()) == list(range(260))
    assert split.test.tolist() == list(range(60))
    test, _, labels = made.embedded["noisy", "made up"]
    behind = training["noisy", "made up"]
    images, known = torch.cat([test, behind.images]), torch.cat([labels, behind.labels])
    few = split.train[linear_probe.few_shot(known[split.train], 4)]
    every = torch.cat([split.train, split.valid])
    for shots, first, last in [("4", few, few), ("all", split.train, every)]:
        scores = {}
        for strength in linear_probe.STRENGTHS:
            model = LogisticRegression(C=strength, max_iter=1000).fit(images[first], known[first])
            scores[strength] = model.score(images[split.valid], known[split.valid])
        best = max(scores, key=scores.get)
        model = LogisticRegression(C=best, max_iter=1000).fit(images[last], known[last])
        row = table.loc["noisy", shots]
        assert row.strength == best
        assert row.accuracy == pytest.approx(model.score(test, labels))


def test_every_number_of_shots_is_in_the_figure_with_its_intervals():
    accuracy = probe.probe(made_up(), []).accuracy
    bars = show.probes(accuracy).data
    assert len(bars) == 4 * 2 and all(len(bar.error_y.array) == 1 for bar in bars)
    assert bars[0].y[0] == accuracy.accuracy[accuracy.shots == "all"].iloc[0]


def test_of_a_small_data_set_only_shots_that_it_has_are_shown():
    small, large = probe.probe(made_up(n=48), []).accuracy, probe.probe(made_up(), []).accuracy
    assert list(small[small.model == "clean"].shots) == ["1", "4", "all"]  # 5 of each class
    both = pd.concat([small.assign(dataset="small"), large.assign(dataset="large")])
    bars = show.probes(both).data
    shown = [dict(zip(bar.x, bar.y)) for bar in bars]  # both models with all, 16, 4 and 1
    here = [[name for name in bars if not np.isnan(bars[name])] for bars in shown]
    assert here == [["small", "large"]] * 2 + [["large"]] * 2 + [["small", "large"]] * 4


def test_one_class_has_no_probe_and_the_page_says_so():
    found = probe.probe(made_up(classes=1), [("noisy", "clean")])
    assert found.accuracy.accuracy.isna().all() and found.effects.empty
    recall = pd.DataFrame(dict(model=["a"], recall=[0.5], recall_low=[0.4], chance=[0.1]))
    assert list(show.warnings(recall, found.accuracy)) == [
        "made up: no probe, which needs training images of 2 classes, and 2 to test."
    ]
    assert str(show.answer(recall, found.accuracy.assign(model="a"), found.effects)) == (
        "a has a mean recall of 50.0 %"
    )
    assert show.gains(found.effects) is None


def test_zero_shot_accuracy_and_mean_recall_equal_clip_benchmark_s():
    theirs = pytest.importorskip("clip_benchmark.metrics.zeroshot_classification")
    if tuple(map(int, np.__version__.split(".")[:2])) >= (2, 4):
        pytest.skip("CLIP_benchmark's accuracy makes numbers of arrays as NumPy did before 2.4")
    draw = torch.Generator().manual_seed(2)
    images, classes = (F.normalize(torch.randn(n, D, generator=draw), dim=1) for n in (90, 7))
    labels = (images @ classes.T + 0.3 * torch.randn(90, 7, generator=draw)).argmax(1)
    data = TensorDataset(images, labels)
    data.classes = range(7)
    model = SimpleNamespace(encode_image=lambda rows: rows, encode_text=lambda rows: classes[rows])
    expected = theirs.evaluate(
        model,
        DataLoader(data, batch_size=50),
        lambda texts: torch.tensor([int(text) for text in texts]),
        [str(i) for i in range(7)],
        ["{c}"],
        "cpu",
        amp=False,
    )
    arguments = images, classes, labels
    assert zeroshot.accuracy(*arguments) == pytest.approx(expected["acc1"], abs=1e-6)
    assert zeroshot.accuracy(*arguments, top=5) == pytest.approx(expected["acc5"], abs=1e-6)
    recall = zeroshot.mean_per_class_recall(zeroshot.right_predictions(*arguments), labels).item()
    assert recall == pytest.approx(expected["mean_per_class_recall"], abs=1e-6)


class Sized:
    """What the experiments ask of a data set, without pictures."""

    def __init__(self, name, n, classes=5):
        self.images_key, self.n, self.classes = name, n, [f"class {i}" for i in range(classes)]

    def __len__(self):
        return self.n


def several_classes(noise, n=200, classes=5, seed=0):
    """Pictures of several classes each, in the eyes of a model that sees them with some noise."""
    draw = torch.Generator().manual_seed(seed)
    truth = (torch.rand(n, classes, generator=draw) < 0.3).long()
    images = truth + noise * torch.randn(n, classes, generator=draw)
    return inputs.Embedded(F.normalize(images, dim=1), torch.eye(classes), truth)


def test_the_interval_of_the_mean_average_precision_is_that_of_bootstrap_draws():
    images, classifier, truth = several_classes(1.0)
    scores = (images @ classifier.T).mul(20).round()  # images of equal score
    estimate = estimate_average_precision(scores, truth)
    assert estimate.value.item() == pytest.approx(mean_average_precision(scores, truth), abs=1e-12)
    assert estimate.spread.mean().abs() < 1e-12
    draws = []
    for weights in intervals.bootstrap_weights(len(truth), 1000):
        drawn = torch.arange(len(truth)).repeat_interleave(weights.long())
        draws.append(mean_average_precision(scores[drawn], truth[drawn]))
    error = intervals.standard_error(estimate.spread).item()
    assert error == pytest.approx(np.std(draws), rel=0.1)


def test_models_are_compared_where_a_picture_shows_several_classes_and_probed_where_it_shows_one():
    one = inputs.Embedded(*seen(0.5)[:2], torch.arange(60) % 3)
    sets = {"one": one, "several": several_classes(1.0)}
    sharper = {"one": one, "several": several_classes(0.3)}
    embedded = {("base", name): sets[name] for name in sets}
    embedded |= {("better", name): sharper[name] for name in sharper}
    data = {name: Sized(name, len(sets[name].labels)) for name in sets}
    loaded = inputs.Inputs({"base": None, "better": None}, data, embedded)
    assert list(loaded.of_one_class().data) == ["one"]
    ranked = multi_label.rank(loaded.of_several_classes(), [("base", "better")])
    scores = sets["several"].images @ sets["several"].classifier.T
    plain = average_precision_score(sets["several"].labels.numpy(), scores.numpy())
    row = ranked.precision.set_index("model").loc["base"]
    assert row.average_precision == pytest.approx(plain)
    assert row.average_precision_low < plain < row.average_precision_high
    truth = sets["several"].labels.bool()
    generator = torch.Generator().manual_seed(0)
    orders = [torch.rand(truth.shape, generator=generator) for _ in range(200)]
    drawn = [mean_average_precision(scores, truth) for scores in orders]
    assert row.chance == pytest.approx(sum(drawn) / 200, abs=0.005)
    effects = ranked.effects.set_index("dataset")
    assert list(effects.index) == ["several", "mean"] and (effects.low > 0).all()
    assert effects.effect["several"] == pytest.approx(effects.effect["mean"])
    assert "ranks the pictures of a class better" in show.answer(
        pd.DataFrame(columns=["model"]),
        probe.probe(inputs.Inputs({}, {}, {}), []).accuracy,
        ranked.effects,
    )
    assert show.multi_label(ranked.precision).data[0].y[0] == pytest.approx(plain)


def test_a_run_without_pictures_of_several_classes_has_empty_tables():
    nothing = inputs.Inputs({"base": None}, {}, {})
    ranked, probes = multi_label.rank(nothing, [("base", "base")]), probe.probe(nothing, [])
    assert ranked.precision.empty and ranked.effects.empty and probes.accuracy.empty
    assert show.multi_label(ranked.precision) is show.probes(probes.accuracy) is None
    assert show.multi_label_table(ranked.precision) is show.probe_table(probes.accuracy) is None


@pytest.fixture
def photographs(shared, tmp_path):
    """A few photographs with five captions each, and the small ones of ten classes."""
    few = {"test": "7.jpg", "train": "77.jpg"}
    for name in ("coco_mini.zip", *(f"cifar10_{split}.zip" for split in few)):
        if not (shared / "data" / name).is_file():
            pytest.skip(f"needs data/{name} in the folder of real data, which this machine lacks")
    with zipfile.ZipFile(shared / "data/coco_mini.zip") as pictures:
        pictures.extractall(tmp_path)
    for split, ending in few.items():
        with zipfile.ZipFile(shared / f"data/cifar10_{split}.zip") as pictures:
            chosen = [name for name in pictures.namelist() if name.endswith(ending)]
            pictures.extractall(tmp_path, chosen)
    return tmp_path


def as_voc(folder):
    """Pascal VOC's layout of some of the photographs: what their captions name is what they show."""
    captions = pd.read_csv(folder / "captions.csv").groupby("image").caption.agg(" ".join)
    place = folder / "VOCdevkit/VOC2007"
    for part in ("ImageSets/Main", "Annotations", "JPEGImages"):
        (place / part).mkdir(parents=True)
    listed = []
    for picture, said in captions.items():
        named = [name for name in ("person", "dog", "cat", "train", "car") if name in said.split()]
        if not named:
            continue
        listed.append(Path(picture).stem)
        (path,) = folder.rglob(Path(picture).name)
        shutil.copy(path, place / f"JPEGImages/{listed[-1]}.jpg")
        marked = "".join(f"<object><name>{name}</name></object>" for name in named)
        annotation = f"<annotation>{marked}</annotation>"
        (place / f"Annotations/{listed[-1]}.xml").write_text(annotation)
    (place / "ImageSets/Main/test.txt").write_text("\n".join(listed) + "\n")
    return len(listed)


@pytest.mark.slow
def test_the_book_of_photographs_with_five_captions(photographs):
    n_voc = as_voc(photographs)
    profile = yaml.safe_load((ROOT / "profiles/retrieval.yaml").read_text())
    profile |= {"datasets": ["cifar10", "voc2007"], "data_root": str(photographs)}
    profile |= {"results_dir": f"{photographs}/out", "store_dir": f"{photographs}/store"}
    (photographs / "few.yaml").write_text(yaml.safe_dump(profile))
    done = snakemake(photographs / "few.yaml")
    assert done.returncode == 0, done.stdout[-4000:]
    recall = pd.read_csv(photographs / "out/tables/10_recall.csv")
    assert len(recall) == 2 * 6 and recall.recall.between(0, 1).all()
    effects = pd.read_csv(photographs / "out/tables/10_effects.csv").set_index("claim")
    claims = {"retrieval_laclip", "probe_laclip", "multi_label_laclip"}
    assert set(effects[effects.dataset == "mean"].index) == claims
    probes = pd.read_csv(photographs / "out/tables/10_probes.csv")
    assert set(probes.trained_on) == {"training images"} and set(probes.test_images) == {1000}
    assert set(probes[probes.shots == "all"].training_images) == {500}
    ranked = pd.read_csv(photographs / "out/tables/10_multi_label.csv")
    assert set(ranked.dataset) == {"voc2007"} and set(ranked.images) == {n_voc}
    assert ranked.average_precision.between(0, 1).all()
    page = photographs / "out/book/_build/html/notebooks/10_retrieval_and_probe.html"
    said = page.read_text("utf-8")
    assert "In this run:" in said and "159 images with 795 captions" in said
