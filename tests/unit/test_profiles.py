"""Profiles: defaults, overrides, and a clear error for everything that can be seen to be wrong."""

import io
import json
import re
import shutil
import tarfile
import warnings
from pathlib import Path

import pytest
import torch
from checkout import ROOT
from PIL import ExifTags, Image

from featpurity import check as check_module
from featpurity import files, load_dataset
from featpurity.captions import walk
from featpurity.check import OWNER, check, own_results, sources_of
from featpurity.cli import main
from featpurity.data import catalog
from featpurity.data.published import CIFAR10_CLASSES
from featpurity.data.scenes import ATTRIBUTES
from featpurity.experiments import inputs
from featpurity.features import extract
from featpurity.models import laclip, names
from featpurity.models import load as model_loading
from featpurity.models.load import PREPROCESSINGS, load_model
from featpurity.plan import plan
from featpurity.profile import (
    CHAPTERS,
    CHOICES,
    COMPARISON,
    NEURONS,
    SCENES,
    Profile,
    load,
    setting,
)

FINETUNED = [name for name, chapter in CHAPTERS.items() if chapter.finetuned]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder of profiles, with files that stand for models."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "profiles").mkdir()
    (tmp_path / "_toc.yml").touch()  # a checkout's
    for name in ["a.pt", "b.pt"]:
        (tmp_path / name).write_bytes(b"weights")
    (tmp_path / "profiles/mine.yaml").write_text(
        "clip_models: [a.pt]\nlaclip_models: [b.pt]\nfinetune_model: b.pt\n"
    )
    return tmp_path


def test_the_demo_profile_is_the_defaults():
    demo = load("demo", folder=ROOT / "profiles")
    own = dict(name="demo", chapters=demo.chapters, results_dir="results/demo")
    assert demo == Profile(**own)
    more = {"05_caption_filter", "08_what_cos_measures", "09_theory", "11_neurons"}
    assert set(demo.chapters) == {*Profile().chapters, *more}
    assert Profile().results_dir == "results/live"  # apart from every profile's


def test_a_profile_holds_what_differs_and_overrides_win(folder):
    mine = load("mine", {"epochs": 2, "learning_rate": 1})
    assert (mine.name, mine.results_dir, mine.epochs, mine.n_pairs) == (
        "mine",
        "results/mine",
        2,
        Profile().n_pairs,
    )
    assert isinstance(mine.learning_rate, float)
    assert load(folder / "profiles/mine.yaml") == load("mine")
    assert mine.models == ["a.pt", "b.pt"]
    check(mine)


BAD_VALUES = {
    "epoch": (3, "unknown key 'epoch', did you mean 'epochs'"),
    "epochs": ("3", "epochs must be of type int, got '3'"),
    "n_pairs": (True, "n_pairs must be of type int, got True"),
    "learning_rate": ("1e-3", "write 1.0e-3"),
    "weight_decay": (float("nan"), "weight_decay 0 or more"),
    "ratios": ([0.1, 1.2], r"lie in \[0, 1\]"),
    "spurious_features": ([0.0, 0.6], r"lie in \[0, 0.5\], got \[0.0, 0.6\]"),
    "kinds": (["similar"], "did you mean 'similarity'"),
    "seeds": ([1, 1], "none twice"),
    "datasets": ([], "at least one value"),
    "kept": ([0, 4], "kept 1 or more"),
    "clip_models": (["a.pt", "b.pt"], "equal length .*, got 2 and 1"),
    "labels": ({"a.pt": 1}, r"labels\['a.pt'\] must be of type str, got 1 .*in quotes"),
    "preprocess": ("papr", "did you mean 'paper'"),
    "precision": ("fp8", "known: fp32"),
    "device": ("tpu", "got 'tpu'"),
    "n_random_orders": (0, "at least 2, got 0"),
    "caption_shards": (0, "at least 1, got 0"),
    "results_dir": (None, "results_dir must be of type str"),
}


@pytest.mark.parametrize("key", BAD_VALUES)
def test_a_bad_value_is_told_with_its_key_and_file(folder, key):
    value, message = BAD_VALUES[key]
    with pytest.raises(ValueError, match=message) as error:
        load("mine", {key: value})
    assert "mine.yaml" in str(error.value)


@pytest.mark.parametrize(
    "text, message",
    [
        ("epochs: [", "not valid YAML"),
        ("- demo", "must hold `key: value` lines"),
        ("epochs: 1\nepochs2: 1", "unknown key"),
        ("epochs: 3\nn_pairs: 9\nepochs: 5", "line 3: the key 'epochs' stands there a second time"),
    ],
)
def test_a_broken_file_is_told(folder, text, message):
    (folder / "profiles/broken.yaml").write_text(text)
    with pytest.raises(ValueError, match=message):
        load("broken")


def test_a_file_may_take_in_another_mapping(folder):
    (folder / "profiles/taking.yaml").write_text("<<: {epochs: 4, n_pairs: 9}\nepochs: 3\n")
    assert (load("taking").epochs, load("taking").n_pairs) == (3, 9)


def test_chapters_say_which_models_are_needed():
    assert Profile(chapters=["03_misalignment"]).models == ["scenes_laclip"]
    assert Profile(chapters=["01_clip_vs_laclip", "07_claims"]).models == [
        "scenes_clip",
        "scenes_laclip",
    ]
    with pytest.raises(ValueError, match="07_claims judges 01_clip.*but chapters names none"):
        Profile(chapters=["07_claims"])
    with pytest.raises(
        ValueError, match="needs at least 4 different ladder_models, got \\['a', 'b', 'c'\\]"
    ):
        Profile(chapters=["04_data_quality_ladder"], ladder_models=["a", "b", "c"])
    with pytest.raises(
        ValueError, match="chapters: unknown '3_misalignment', did you mean '03_misalignment'"
    ):
        Profile(chapters=["3_misalignment"])


@pytest.mark.parametrize(
    "chapter, key",
    [
        ("03_misalignment", "seeds"),
        ("03_misalignment", "ratios"),
        ("05_caption_filter", "seeds"),
        ("06_online_and_cached", "ratios"),
        ("06_online_and_cached", "seeds"),
        ("08_what_cos_measures", "seeds"),
        ("09_theory", "spurious_features"),
        ("09_theory", "simulation_seeds"),
    ],
)
def test_chapters_with_intervals_or_slopes_need_two_seeds_or_ratios(chapter, key):
    with pytest.raises(ValueError, match=rf"{chapter} needs at least 2 {key}, got \[0"):
        Profile(chapters=[chapter], **{key: [0]})
    assert getattr(Profile(chapters=["02_neuron_pruning"], **{key: [0]}), key) == [0]


def test_chapters_say_whether_pairs_are_needed(folder):
    for chapter in ["03_misalignment", "06_online_and_cached"]:
        with pytest.raises(FileNotFoundError, match="pairs.csv: there is no such file"):
            check(Profile(chapters=[chapter], pairs="pairs.csv"))
        assert sources_of(Profile(chapters=[chapter]))[2][0].what == "generated"
    check(Profile(chapters=["01_clip_vs_laclip"], pairs="pairs.csv"))
    assert "generated captions" in "\n".join(
        plan(Profile(chapters=["05_caption_filter"], pairs="photos"))
    )
    assert "fine-tuning" not in "\n".join(plan(Profile(chapters=["05_caption_filter"])))


def test_the_filter_needs_captions_whose_truth_is_known(folder):
    (folder / "pairs.csv").write_text("image,caption\n")
    with pytest.raises(
        ValueError, match="05_caption_filter needs pairs .*: scenes or photos, got 'pairs.csv'"
    ):
        check(Profile(chapters=["05_caption_filter"], pairs="pairs.csv"))


def test_there_are_at_most_as_many_shards_as_captions(folder):
    assert load("mine", {"n_pairs": 5, "caption_shards": 5}).caption_shards == 5
    with pytest.raises(ValueError, match="caption_shards must be at most n_pairs, got 6 for 5"):
        load("mine", {"n_pairs": 5, "caption_shards": 6})


def test_a_folder_of_results_with_braces_is_refused(folder):
    with pytest.raises(ValueError, match="results_dir: expected a folder without braces, got 'o"):
        load("mine", {"results_dir": "out/{run}"})


def test_a_store_that_cannot_be_made_or_written_is_told(folder, monkeypatch):
    (folder / "disk").touch()
    with pytest.raises(ValueError, match="store_dir: .*disk/store cannot be made, .* is a file"):
        check(load("mine", {"store_dir": "disk/store"}))
    (folder / "full").mkdir()
    monkeypatch.setattr(check_module.os, "access", lambda path, mode: path != folder / "full")
    with pytest.raises(ValueError, match="store_dir: .*full/store cannot be made, .*full may not"):
        check(load("mine", {"store_dir": "full/store"}))
    (remark,) = check(load("mine", {"store_dir": "full"}))
    assert remark == (
        f"store_dir: {folder}/full may not be written: features it lacks will not be kept"
    )


def test_all_settings_at_once_need_no_file(folder):
    mine = load("mine", {"epochs": 2})
    (folder / "profiles/mine.yaml").write_text("epochs: [")  # half of an edit
    assert load(mine.file, mine.parameters()) == mine


def test_a_missing_profile_or_folder_is_told(folder):
    with pytest.raises(FileNotFoundError, match="no profile 'other'.*Known: mine"):
        load("other")
    with pytest.raises(FileNotFoundError, match="data_root: there is no folder nowhere"):
        load("mine", {"data_root": "nowhere"})


@pytest.mark.parametrize(
    "settings, kind, message",
    [
        ({"clip_models": ["c.pt"]}, FileNotFoundError, "there is no file .*/c.pt"),
        ({"clip_models": ["ViT-B-32:nobody"]}, ValueError, "ViT-B-32 has .*openai"),
        (
            {"clip_models": ["local-dir:profiles"]},
            FileNotFoundError,
            "holds no open_clip_config.json",
        ),
        ({"clip_models": ["laclip:cc3m_clap"]}, ValueError, "did you mean 'laclip:cc3m_clip'"),
        ({"finetune_model": "sceness_laclip"}, ValueError, "unknown model"),
        ({"datasets": ["cifar11"]}, ValueError, "did you mean 'cifar10"),
        (
            {"datasets": ["folder:nowhere"], "prompts": "paper"},
            FileNotFoundError,
            "there is no folder nowhere",
        ),
        ({"datasets": ["imagenet"], "prompts": "paper"}, FileNotFoundError, "by hand"),
        ({"datasets": ["cifar10"]}, ValueError, "prompts 'scenes' know nothing of cifar10"),
        ({"pairs": "pairs.csv"}, FileNotFoundError, "pairs.csv: there is no such file"),
        (
            {"pairs": "scenes", "rewrites": ["new.txt"]},
            ValueError,
            "rewrites go with a CSV of pairs",
        ),
    ],
)
def test_a_name_that_nothing_knows_is_told(folder, settings, kind, message):
    with pytest.raises(kind, match=message):
        check(load("mine", settings))


def test_kept_must_lie_within_the_model(folder, monkeypatch):
    monkeypatch.setattr(names.ModelRecord, "d", 128)
    check(load("mine", {"kept": [1, 128]}))
    with pytest.raises(ValueError, match="kept goes up to 129, but a.pt has 128 neurons"):
        check(load("mine", {"kept": [129]}))


def test_pairs_are_looked_up_below_the_data_root(folder):
    (folder / "there").mkdir()
    (folder / "there/pairs.csv").write_text("image,caption\na.png,a dog\n")
    Image.new("RGB", (4, 4)).save(folder / "there/a.png")
    assert files.below("pairs.csv", "there") == Path("there/pairs.csv")
    check(load("mine", {"pairs": "pairs.csv", "data_root": "there"}))
    with pytest.raises(FileNotFoundError, match="new.txt: there is no such file"):
        check(load("mine", {"pairs": "pairs.csv", "rewrites": ["new.txt"], "data_root": "there"}))
    (folder / "there/new.txt").write_text("a dog\n")
    check(load("mine", {"pairs": "pairs.csv", "rewrites": ["new.txt"], "data_root": "there"}))
    (folder / "there/new.txt").write_text("a dog\nanother\n")
    with pytest.raises(ValueError, match="new.txt has 2 captions, but .*pairs.csv has 1 pairs"):
        check(load("mine", {"pairs": "pairs.csv", "rewrites": ["new.txt"], "data_root": "there"}))


@pytest.mark.parametrize(
    "content, kind, message",
    [
        ("", ValueError, "pairs.csv is empty"),
        ("image,caption\n", ValueError, "holds no caption"),
        ("caption\na dog\n", ValueError, "expected the columns image and caption"),
        (
            "image,caption\nnone.png,a dog\n",
            FileNotFoundError,
            "1 images are not in .*:\n  none.png",
        ),
    ],
)
def test_a_file_of_pairs_is_read_before_anything_runs(folder, content, kind, message):
    (folder / "pairs.csv").write_text(content)
    with pytest.raises(kind, match=message):
        check(load("mine", {"pairs": "pairs.csv"}))
    check(
        load("mine", {"pairs": "pairs.csv", "chapters": ["01_clip_vs_laclip"]})
    )  # which asks for no pairs


def pictures(folder, **classes):
    """A folder of class folders with that many small pictures each, as the name of a data set."""
    for name, n in classes.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        for i in range(n):
            Image.new("RGB", (4, 4), (i, sum(name.encode()) % 256, 0)).save(
                folder / name / f"{i}.png"
            )
    return f"folder:{folder}"


def on_folder(dataset, **settings):
    settings = {"chapters": ["01_clip_vs_laclip"], "prompts": "paper"} | settings
    return load("mine", {"datasets": [dataset]} | settings)


@pytest.mark.parametrize("packed", [False, True])
def test_folders_of_class_folders_are_told(folder, packed):
    def told(root):
        if packed:
            shutil.make_archive(root, "zip", folder, root)
        return check(on_folder(f"folder:{root}.zip/{root}" if packed else f"folder:{root}"))

    pictures(folder / "photos", ant=2, bee=2)
    pictures(folder / "photos/bee", larvae=1)  # beside pictures
    pictures(folder / "photos/cow", photos=2)  # one folder is no group
    assert told("photos") == []
    pictures(folder / "photos/insects", wasp=2, fly=2)
    (line,) = told("photos")
    assert line.endswith("each taken for one class: " + "photos/" * packed + "insects")


def test_pictures_that_stand_twice_are_counted(folder):
    dataset = pictures(folder / "pictures", ant=3, bee=3)
    shutil.copy(folder / "pictures/ant/0.png", folder / "pictures/bee/same.png")
    (folder / "pairs.csv").write_text(
        "image,caption\n" + "".join(f"pictures/ant/{i}.png,an ant\n" for i in (0, 1, 1))
    )
    chapters = ["01_clip_vs_laclip", "03_misalignment"]
    told = check(on_folder(dataset, pairs="pairs.csv", chapters=chapters, batch_size=2))
    assert told == [
        f"{dataset}: 1 pictures stand in more than one class",
        f"{dataset}: 2 of its pictures are among the pairs pairs too",
    ]
    shutil.make_archive("packed", "zip", folder / "pictures")
    (told,) = check(on_folder("folder:packed.zip"))
    assert told == "folder:packed.zip: 1 pictures stand in more than one class"


def test_own_lists_of_names_and_templates_are_read_before_anything_runs(folder):
    dataset = pictures(folder / "pictures", ant=2, bee=2)
    settings = {"prompts": "prompts.json", "class_names": "names.txt"}
    with pytest.raises(FileNotFoundError, match="there is no file .*prompts.json"):
        check(on_folder(dataset, **settings))
    (folder / "prompts.json").write_text('["a {c}"]')
    (folder / "names.txt").write_text("Ameise\nBiene\nKatze\n")
    with pytest.raises(ValueError, match="names.txt names 3 classes, but the data set has 2"):
        check(on_folder(dataset, **settings))
    (folder / "names.txt").write_text("Ameise\nBiene\n")
    check(on_folder(dataset, **settings))
    with pytest.raises(ValueError, match="class_names: unknown 'names'"):
        on_folder(dataset, class_names="names")


@pytest.mark.parametrize("value", ["prompts.yaml", "a photo no. 5 of a {}"])
def test_only_what_is_read_as_a_list_is_taken_for_one(folder, value):
    with pytest.raises(ValueError, match="prompts: unknown .*, or a file .txt or .json"):
        load("mine", {"prompts": value})
    with pytest.raises(FileNotFoundError, match="there is no file .*names.json"):
        check(load("mine", {"class_names": "names.json"}))  # generated pictures never ask for it


def test_names_by_data_set_are_those_of_the_run(folder):
    dataset = pictures(folder / "pictures", ant=2, bee=2)
    settings, names = {"class_names": "names.json"}, ["Ameise", "Biene"]
    write = lambda content: (folder / "names.json").write_text(json.dumps(content))  # noqa: E731
    write({f"{dataset}/": names})
    assert check(on_folder("folder:pictures", **settings)) == []
    assert load_dataset("folder:./pictures", class_names="names.json").classes == names
    write({dataset: names, "pets": ["a"]})
    assert check(on_folder(dataset, **settings)) == ["class_names: pets is nothing of this run"]
    write({dataset: names, "folder:picture": names})
    with pytest.raises(ValueError, match="'folder:picture' is no data set of this run, did you me"):
        check(on_folder("folder:pictures", **settings))
    write({"folder:picture": names})
    with pytest.raises(ValueError, match="'folder:picture' is no data set that is here; did you"):
        load_dataset("folder:pictures", class_names="names.json")


def test_labels_that_start_at_1_are_told(folder):
    with tarfile.open(folder / "0.tar", "w") as archive:
        for i in range(4):
            picture = io.BytesIO()
            Image.new("RGB", (4, 4), (i, 0, 0)).save(picture, "PNG")
            label = str(1 + i % 2).encode()
            for name, content in {"png": picture.getvalue(), "cls": label}.items():
                member = tarfile.TarInfo(f"{i}.{name}")
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
    (folder / "classnames.txt").write_text("cat\ndog\nemu\n")
    told = "webdataset:0.tar: class 0 (cat) has no picture: do the labels start at 1?"
    assert check(on_folder("webdataset:0.tar")) == [told]
    (folder / "classnames.txt").write_text("cat\ndog\n")
    with pytest.raises(ValueError, match="class 2 has no name; .* names; do its labels start at 1"):
        load_dataset("webdataset:0.tar")
    (folder / "names.txt").write_text("cat\ndog\n")
    (folder / "classnames.txt").unlink()
    with pytest.raises(ValueError, match="names 2 classes, .* has 3; do its labels start at 1?"):
        load_dataset("webdataset:0.tar", class_names="names.txt")


def test_weights_of_another_architecture_are_refused_before_anything_runs(folder):
    for name, weights in {"x": {"a": torch.ones(2)}, "y": {"b": torch.ones(2)}}.items():
        torch.save(weights, folder / f"{name}.pt")
    with pytest.raises(ValueError, match="x.pt does not fit the model: it lacks .*; it has a, "):
        check(load("mine", {"clip_models": ["ViT-B-32:x.pt"]}))
    layouts = {"vision_model.a": "layout of transformers", "a.lora_A.b": "merge_and_unload"}
    for name, told in layouts.items():
        torch.save({name: torch.ones(2)}, folder / "z.pt")
        with pytest.raises(ValueError, match=rf"z.pt does not fit .*lacks .*\. .*{told}"):
            check(load("mine", {"clip_models": ["ViT-B-32:z.pt"]}))
        with pytest.raises(ValueError, match=rf"z.pt: its architecture is unknown.*{told}"):
            load_model("z.pt")
    with pytest.raises(ValueError, match="y.pt does not fit the model"):
        inputs.load(["scenes_clip", "ViT-B-32:y.pt"], ["scenes_shape"], "scenes", store="store")
    assert not (folder / "store").exists()  # no tower ran


@pytest.mark.parametrize(
    "file, told", [("adapter_config.json", "adapters"), ("config.json", "layout of transformers")]
)
def test_folders_of_other_libraries_are_told_as_such(folder, file, told):
    (folder / "hub").mkdir()
    (folder / "hub" / "config.json").touch()
    (folder / "hub" / file).touch()
    with pytest.raises(FileNotFoundError, match=f"holds no open_clip_config.json. .*{told}"):
        load_model("hub")


def test_what_loading_would_warn_of_is_a_remark(folder, monkeypatch, recwarn):
    said = lambda name: warnings.warn(f"{name}: so", stacklevel=1)  # noqa: E731
    monkeypatch.setattr(model_loading, "check_weights", said)
    told = check(on_folder(pictures(folder / "p", ant=2, bee=2)))
    assert told == ["a.pt: so", "b.pt: so"] and not recwarn


def test_a_size_of_blocks_that_is_none_is_told(folder, monkeypatch):
    monkeypatch.setenv("FEATPURITY_BLOCK_MIB", "64M")
    with pytest.raises(ValueError, match="FEATPURITY_BLOCK_MIB: expected a number .*'64M'"):
        check(load("mine"))


def test_a_folder_of_classes_is_read_before_anything_runs(folder):
    dataset = pictures(folder / "pictures", ant=0)
    with pytest.raises(ValueError, match="ant"):  # holds no picture
        check(on_folder(dataset))
    pictures(folder / "pictures", ant=2)
    with pytest.raises(ValueError, match=r"folder:.*pictures: 1 class; .*at least 2 are needed"):
        check(on_folder(dataset))
    pictures(folder / "pictures", bee=2)
    assert check(on_folder(dataset)) == []
    assert "4 images, 2 classes (ant, bee)" in "\n".join(plan(on_folder(dataset)))
    (folder / "pictures/bee/2.png").write_bytes(b"no picture")
    with pytest.raises(ValueError, match=r"pictures: 1 of 5 images cannot be read.*\n.*2.png"):
        check(on_folder(dataset))
    told = [f"{dataset}: 1 unreadable pictures are left out"]
    assert check(on_folder(dataset, unreadable="skip")) == told
    picture, exif = Image.open(folder / "pictures/ant/0.png"), Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    picture.save(folder / "pictures/bee/2.png", exif=exif)
    (told,) = check(on_folder(dataset))
    assert told.startswith(f"{dataset}: 1 pictures are measured as they are stored, lying")


def test_a_silhouette_that_is_not_defined_is_told(folder):
    dataset = pictures(folder / "single", ant=1, bee=1, cat=1)
    assert check(on_folder(dataset)) == [
        f"{dataset}: one picture a class, so that its silhouette is not defined"
    ]


def test_a_broken_archive_is_told_with_its_name(folder):
    (folder / "x.zip").write_bytes(b"PK\003\004broken")
    with pytest.raises(ValueError, match="x.zip is not a whole zip archive"):
        check(on_folder("folder:x.zip"))


def test_a_batch_that_has_to_be_cut_is_told(folder):
    few = load("mine", {"n_pairs": 795, "chapters": ["03_misalignment"]})
    assert ["1,024 pairs are cut to 795" in remark for remark in check(few)] == [True]
    assert check(load("mine", {"n_pairs": 1024, "chapters": ["03_misalignment"]})) == []


def test_a_card_that_is_not_here_is_told(folder, monkeypatch):
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    monkeypatch.setattr(check_module.shutil, "which", lambda name: None)
    assert check(load("mine", {"device": "cuda:0"})) == []
    with pytest.raises(ValueError, match="device: cuda:1, but PyTorch sees 1 of kind cuda here"):
        check(load("mine", {"device": "cuda:1"}))
    monkeypatch.setattr(check_module.shutil, "which", lambda name: name)  # of a cluster's nodes
    check(load("mine", {"device": "cuda:1"}))


@pytest.mark.parametrize(
    "results, message",
    [
        (".", "holds the checkout itself"),
        ("/", "holds the checkout itself"),
        ("notebooks/out", "lies in notebooks/, which is the checkout's"),
        ("a.pt", "is a file; expected a folder"),
    ],
)
def test_results_go_to_a_folder_of_their_own(folder, results, message):
    with pytest.raises(ValueError, match=f"results_dir: .*{message}"):
        check(load("mine", {"results_dir": results}))


def test_a_folder_that_no_run_wrote_is_no_folder_of_results(folder, capsys):
    mine = load("mine", {"results_dir": "thesis"})
    (folder / "thesis").mkdir()
    (folder / "thesis/.lock").touch()  # of a run that was killed as it began
    check(mine)
    (folder / "thesis/book").mkdir()
    for ask in [check, plan]:
        with pytest.raises(ValueError, match="results_dir: thesis holds book, and no profile.json"):
            ask(mine)
    assert main(["check", "mine", "results_dir=thesis"]) == 2
    assert "results of an older version: move them" in capsys.readouterr().err
    own_results(mine)
    check(mine)
    (folder / "out/store").mkdir(parents=True)  # of `featpurity embed`
    check(load("mine", {"results_dir": "out", "store_dir": "out/store"}))


def test_two_profiles_do_not_share_results(folder):
    own_results(load("mine"))
    check(load("mine"))
    (folder / "elsewhere").mkdir()
    other = folder / "elsewhere/mine.yaml"
    shutil.copy(folder / "profiles/mine.yaml", other)
    with pytest.raises(ValueError, match="results/mine/ holds the run of another profile, .*mine"):
        check(load(other))
    check(load(other, {"results_dir": "results/other"}))
    (folder / "profiles/mine.yaml").rename(folder / "profiles/renamed.yaml")
    check(load(other))  # nobody claims it any more


@pytest.mark.parametrize("shared", ["results/mine", "./results/mine/", "{folder}/results/mine"])
def test_two_profiles_of_a_folder_do_not_share_results_before_either_has_run(folder, shared):
    second = folder / "profiles/second.yaml"
    second.write_text(f"clip_models: [a.pt]\nresults_dir: {shared.format(folder=folder)}\n")
    with pytest.raises(ValueError, match="results/mine/ is also the results_dir of .*second.yaml"):
        check(load("mine"))
    check(load("mine", {"results_dir": "results/other"}))
    second.rename(folder / "profiles/mine.yml")  # the same name and another suffix
    with pytest.raises(ValueError, match="is also the results_dir of .*mine.yml"):
        check(load("mine"))
    second.with_name("mine.yml").write_text("services: {}\n")  # no profile
    second.with_name("broken.yaml").write_text("results_dir: [")
    check(load("mine"))


def test_a_single_model_is_a_profile(folder):
    assert Profile(clip_models=[]).models == ["scenes_laclip"]
    assert Profile(laclip_models=[], chapters=["02_neuron_pruning"]).models == ["scenes_clip"]
    with pytest.raises(ValueError, match="both empty"):
        Profile(clip_models=[], laclip_models=[])


def test_folders_of_a_profile_may_lie_in_the_home(folder, monkeypatch):
    monkeypatch.setenv("HOME", str(folder))
    assert load("mine", {"results_dir": "~/r"}).results_dir == f"{folder}/r"
    assert load("~/profiles/mine.yaml").name == "mine"


def test_a_profile_in_another_encoding_is_told(folder):
    (folder / "profiles/old.yaml").write_bytes("labels: {a.pt: größer}".encode("latin-1"))
    with pytest.raises(ValueError, match="old.yaml, line 1: .* expected text in UTF-8"):
        load("old")
    (folder / "profiles/new.yaml").write_bytes("epochs: 3".encode("utf-8-sig"))
    assert load("new").epochs == 3


@pytest.mark.parametrize(
    "text, value",
    [("data_root=2024", "2024"), ("data_root=", None), ("epochs=3", 3), ("ratios=[0, 1]", [0, 1])],
)
def test_settings_of_a_command_line_keep_texts(text, value):
    assert setting(text) == (text.partition("=")[0], value)


@pytest.mark.parametrize("model", ["ViT-B-32-quickgelu:openai", "local-dir:small", "scenes_clip"])
def test_kept_is_compared_with_every_model_whose_size_is_known(folder, model):
    shutil.copytree(names.BUNDLED / "scenes_clip", folder / "small")
    with pytest.raises(ValueError, match=rf"kept goes up to 5000, but {model} has \d+ neurons"):
        check(load("mine", {"clip_models": [model], "kept": [5000]}))


@pytest.mark.parametrize(
    "content, fault", [("{", "cut short, damaged"), ("[]", "expected a model's")]
)
def test_a_damaged_configuration_is_named(folder, content, fault):
    shutil.copytree(names.BUNDLED / "scenes_clip", folder / "small")
    (folder / "small/open_clip_config.json").write_text(content)
    with pytest.raises(ValueError, match=f"small/open_clip_config.json: {fault}"):
        check(load("mine", {"clip_models": ["local-dir:small"], "kept": [1]}))


def test_the_plan_tells_downloads_computing_and_what_is_missing(folder, capsys):
    assert (
        main(["plan", "mine", "datasets=[cifar10, imagenet]", "prompts=paper", "pairs=x.csv"]) == 0
    )
    said = capsys.readouterr().out
    for part in [
        "10,000 images, 10 classes; to download, about 170 MB",
        "To download: about 170 MB",
        "30 runs of 10 epochs",
        "imagenet: its photos have to be put",
        "x.csv: there is no such file",
    ]:
        assert part in said
    (folder / "there/cifar10/test").mkdir(parents=True)  # empty, so that it is not here
    assert catalog.find("cifar10", folder / "there").megabytes == 170
    for name in CIFAR10_CLASSES:
        (folder / "there/cifar10/test" / name).mkdir()
        Image.new("RGB", (4, 4)).save(folder / "there/cifar10/test" / name / "1.png")
    assert main(["plan", "mine", "datasets=[cifar10]", "prompts=paper", "data_root=there"]) == 0
    assert "To download: about 0 MB\n\nMissing\n  nothing" in capsys.readouterr().out


@pytest.mark.parametrize("chapter", FINETUNED)
def test_pairs_are_embedded_for_every_chapter_that_reads_what_is_fine_tuned(folder, chapter):
    one_model = {"clip_models": [], "laclip_models": ["b.pt"], "pairs": "scenes"}
    chosen = load("mine", one_model | {"chapters": [chapter, COMPARISON], "atlas_pairs": 2})
    said = "\n".join(plan(chosen))
    looked_at = 5_000 + 8_000 + 2 * (chapter == NEURONS)
    assert chosen.finetunes and "30 runs of 10 epochs" in said
    assert f" {looked_at:,} pictures through a tower" in said
    without = load("mine", {"chapters": [COMPARISON]})
    assert not without.finetunes and "fine-tuning" not in "\n".join(plan(without))


def test_the_plan_counts_the_pairs_that_are_there_and_each_picture_once(folder):
    pictures(folder / "two", ant=1, bee=1)
    rows = [f"two/ant/0.png,an ant {i}" for i in range(5)] + ["two/bee/0.png,a bee"]
    (folder / "pairs.csv").write_text("\n".join(["image,caption", *rows]))
    settings = {"pairs": "pairs.csv", "chapters": ["10_retrieval_and_probe", COMPARISON]}
    said = "\n".join(plan(load("mine", settings)))
    assert (
        " 10,004 pictures through a tower" in said
    )  # two models, two pictures with their captions
    said = "\n".join(plan(load("mine", settings | {"chapters": FINETUNED})))
    assert "30 runs of 10 epochs on 6 pairs" in said
    crops = settings | {"chapters": ["03_misalignment"], "augmented": True, "n_views": 3}
    assert " 5,018 pictures through a tower" in "\n".join(plan(load("mine", crops)))


def test_the_plan_counts_the_training_images_of_probes_and_says_what_they_are(folder):
    settings = {"datasets": ["cifar10", "gtsrb", "eurosat"], "prompts": "paper", "n_pairs": 10}
    settings |= {"pairs": "scenes", "chapters": ["10_retrieval_and_probe", COMPARISON]}
    said = "\n".join(plan(load("mine", settings)))
    tested, trained = 10_000 + 12_630 + 27_000 + 10, 50_000 + 26_640
    assert f" {2 * (tested + trained):,} pictures through a tower" in said
    assert "linear probes   on 50,000 training images of cifar10; 26,640 training images of" in said
    assert "gtsrb; half of the images of eurosat\n" in said
    assert "To download: about 540 MB" in said  # gtsrb's training images come apart
    less = "\n".join(plan(load("mine", settings | {"probe_on": "test"})))
    assert f" {2 * tested:,} pictures through a tower" in less and "about 353 MB" in less
    assert "linear probes   on half of the images of cifar10, gtsrb, eurosat\n" in less
    without = "\n".join(plan(load("mine", settings | {"chapters": [COMPARISON]})))
    assert f" {2 * (tested - 10):,} pictures" in without and "linear probes" not in without
    several = settings | {"datasets": ["voc2007"], "chapters": ["10_retrieval_and_probe"]}
    assert "linear probes" not in "\n".join(plan(load("mine", several)))


def test_models_that_see_training_images_share_jobs_with_one_another():
    models = [["a", "b"], ["b", "c"], ["d", "a", "b", "e"]]
    settings = dict(zip(["clip_models", "laclip_models", "ladder_models"], models))
    chapters = ["04_data_quality_ladder", "10_retrieval_and_probe", "01_clip_vs_laclip"]
    known = Profile(**settings, chapters=chapters, models_per_job=2)
    assert known.retrieving == ["a", "b", "b", "c"]
    assert sorted(map(sorted, known.jobs)) == [["a", "b"], ["c"], ["d", "e"]]
    alone = Profile(**settings, chapters=chapters[:1], models_per_job=2)
    assert alone.retrieving == [] and alone.jobs == [["d", "a"], ["b", "e"]]


@pytest.mark.parametrize("here", [None, "cifar10/test", "cifar10/train"])
def test_an_archive_of_data_and_pairs_is_downloaded_once(folder, here):
    for name in CIFAR10_CLASSES if here else []:
        (folder / "data" / here / name).mkdir(parents=True)
        Image.new("RGB", (4, 4)).save(folder / "data" / here / name / "1.png")
    settings = {"datasets": ["cifar10"], "prompts": "paper", "pairs": "photos"}
    assert "To download: about 170 MB" in "\n".join(plan(load("mine", settings)))


def test_settings_are_those_that_the_package_knows():
    known = {"kinds": walk.KINDS, "precision": extract.PRECISIONS}
    known |= {"preprocess": PREPROCESSINGS}
    for key, values in known.items():
        assert CHOICES[key] == list(values)
    assert SCENES == list(ATTRIBUTES)


def test_the_command_line_tells_errors_in_one_line(folder, capsys):
    assert main(["check", "mine"]) == 0 and "can run" in capsys.readouterr().out
    assert main(["check", "mine", "epochs=0"]) == 2
    assert (
        capsys.readouterr().err
        == "featpurity: profiles/mine.yaml: epochs must be at least 1, got 0\n"
    )
    shutil.copy(folder / "profiles/mine.yaml", folder / "profiles/demo.yaml")
    assert main(["page", "n_pairs=100"]) == 2
    assert f"make book PROFILE={folder}/profiles/demo.yaml builds it" in capsys.readouterr().err


def test_a_profile_is_found_from_any_folder_of_its_checkout(folder, capsys, monkeypatch):
    (folder / "notebooks").mkdir()
    (folder / "notebooks/pictures").mkdir()
    for name in ["mine", "profiles/mine.yaml", "../profiles/mine.yaml"]:
        monkeypatch.chdir(folder / "notebooks")
        assert main(["check", name, "--data-root", "pictures"]) == 0, capsys.readouterr().err
    monkeypatch.chdir(folder / "notebooks")
    assert main(["check", "mine", "--data-root", "photos"]) == 2
    assert "data_root: there is no folder" in capsys.readouterr().err


def test_outside_a_checkout_a_file_says_which(folder, capsys, monkeypatch, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    monkeypatch.chdir(elsewhere)
    for command in (["check", "mine"], ["merge", "mine", "--out", "all.csv"]):
        assert main(command) == 2
        assert f"{elsewhere} lies in no checkout of featpurity" in capsys.readouterr().err
    assert main(["page", str(folder / "profiles/mine.yaml")]) == 2
    said = capsys.readouterr().err
    assert f"{folder}/results/mine/book" in said and f"PROFILE={folder}/profiles/mine" in said


def test_swap_writes_the_named_file(tmp_path, capsys):
    captions = tmp_path / "captions.txt"
    captions.write_text("a big red dog\na big blue dog\na small red dog\na small blue dog\n")
    assert main(["swap", str(captions), "--ratio", "0.5", "--kind", "random"]) == 0
    assert "50.0% of 4 captions swapped" in capsys.readouterr().out
    written = (tmp_path / "captions_Cs50_random_simple.txt").read_text().splitlines()
    assert (
        sorted(written) == sorted(captions.read_text().splitlines())
        and written != captions.read_text().splitlines()
    )
    assert main(["swap", str(captions), "--ratio", "1.5"]) == 2
    assert main(["swap", str(captions), "--ratio", "0.5", "--out", str(tmp_path / "new")]) == 0
    assert (tmp_path / "new/captions_Cs50_similarity_simple.txt").is_file()


def test_the_paper_s_profile_names_what_is_known_and_what_is_missing(folder, capsys):
    paper = load(ROOT / "profiles/paper.yaml")
    assert set(paper.models) == {f"laclip:{name}" for name in laclip.URLS}
    said = "\n".join(plan(paper))
    assert re.search(
        r"laclip:cc3m_clip +LaCLIP's checkpoint, weights and optimizer; to download, at least 598 MB",
        said,
    )
    assert "cc3m/pairs.csv: there is no such file" in said and re.search(
        r"To download: at least [\d,]+ MB", said
    )
    with pytest.raises(FileNotFoundError, match="cc3m/pairs.csv"):
        check(paper)


PROFILES = sorted((ROOT / "profiles").glob("*.yaml"))


def test_models_that_are_not_trained_yet_are_named(folder):
    seeds = load(ROOT / "profiles/seeds.yaml")
    with pytest.raises(
        FileNotFoundError, match="checkpoints/seeds/scenes_clip_seed1: there is no "
    ):
        check(seeds)


@pytest.mark.parametrize("path", PROFILES, ids=lambda path: path.stem)
def test_the_plan_of_every_profile_has_sizes_and_says_what_is_missing(folder, path):
    profile = load(path, {"datasets": ["cifar10", "imagenet"], "prompts": "paper"})
    assert profile.name == path.stem
    said = "\n".join(plan(profile))
    assert re.search(r"To download: (about|at least) [\d,]+ MB", said)
    assert re.search(
        r"trunk features  \d+ models x 2 data sets, [\d,]+ pictures through a tower, [\d.e+]+ GB",
        said,
    )
    missing = said.partition("Missing\n")[2]
    assert "imagenet: its photos have to be put into" in missing
    folders = [name for name in profile.models if name.startswith("local-dir:")]
    assert missing.count("there is no such folder; put a model there") == len(folders)


@pytest.mark.parametrize("name", ["demo", "photos"])
def test_the_runs_of_the_book_draw_enough(name):
    """As many random orders and seeds as the chapters' bands and intervals stand for."""
    profile = load(ROOT / f"profiles/{name}.yaml")
    assert profile.n_random_orders >= 32 and len(profile.seeds) >= 3
    assert {0.0, 0.1, 0.3, 0.5, 0.8} <= set(profile.ratios) and set(profile.kinds) == {
        "similarity",
        "random",
    }


def test_the_owner_of_a_results_folder_is_noted_once(folder):
    mine = load("mine")
    own_results(mine)
    note = folder / mine.results_dir / OWNER
    before = note.stat().st_mtime_ns
    own_results(mine)
    assert note.stat().st_mtime_ns == before


def test_what_several_chapters_ask_of_the_pairs_is_one_pass():
    chapters = {"chapters": ["03_misalignment", "05_caption_filter", "10_retrieval_and_probe"]}
    passes = load("demo", chapters).pair_passes
    assert len({(one.n_pairs, one.crops) for one in passes}) == len(passes)
    whole = next(one for one in passes if one.crops is None)
    assert set(whole.models) >= {"scenes_clip", "scenes_laclip"}
    assert len(set(whole.models)) == len(whole.models)
