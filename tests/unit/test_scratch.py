"""Training from scratch, in miniature: it learns, resumes, and writes what open_clip reads."""

import argparse
import json
from dataclasses import replace

import numpy as np
import open_clip
import pytest
import torch
from cards import WITHIN, accuracy_on_card
from checkout import ROOT
from open_clip.tokenizer import SimpleTokenizer
from safetensors import safe_open

from featpurity import load_model
from featpurity.captions.synthetic import ATTRIBUTES, make_captions, scene_facts
from featpurity.data.datasets import LabelledImages
from featpurity.data.scenes import Scenes
from featpurity.profile import load
from featpurity.training import bundled, model_card
from featpurity.training.bpe import learn_merges, write_merges
from featpurity.training.checkpoint import write_state
from featpurity.training.pretrain import add_arguments, run
from featpurity.training.scratch import Recipe, augmented, normalise, train

TINY = Recipe(
    image_size=32,
    vision={"layers": [1, 1, 1, 1], "width": 8, "head_width": 32},
    d=16,
    epochs=3,
    text={"width": 32, "heads": 2, "layers": 1, "context_length": 24},
    batch_size=16,
    warmup_steps=2,
    learning_rate=5e-3,
    text_learning_rate=5e-3,
    bf16=False,
)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Pictures, tokens and the tokenizer of a world of 64 scenes."""
    scenes = Scenes(64, seed=0, size=32)
    captions, rewrites, _ = make_captions([scene_facts(row) for row in scenes.attributes], 0, n=2)
    columns = [captions, *map(list, zip(*rewrites))]
    folder = tmp_path_factory.mktemp("bpe")
    write_merges(folder / "bpe.txt.gz", (text for column in columns for text in column))
    tokenizer = SimpleTokenizer(str(folder / "bpe.txt.gz"), context_length=24)
    tokens = np.stack([tokenizer(column).numpy() for column in columns], axis=1)
    return np.stack([np.asarray(scene) for scene in scenes]), tokens, tokenizer


def written_then_killed(*arguments, **state):
    write_state(*arguments, **state)
    raise KeyboardInterrupt


def same_weights(a, b):
    return all(torch.equal(a.state_dict()[name], b.state_dict()[name]) for name in a.state_dict())


def test_loss_falls_and_projections_are_as_wide_as_many(world):
    pictures, tokens, tokenizer = world
    model, history = train(TINY, pictures, tokens, tokenizer.vocab_size)
    assert len(history) == 3 and history[-1]["loss"] < history[0]["loss"] - 0.1
    assert model.visual.attnpool.c_proj.weight.shape == (
        16,
        256,
    ) and model.text_projection.shape == (32, 16)


def test_a_killed_training_goes_on_and_ends_up_the_same(world, tmp_path, monkeypatch):
    pictures, tokens, tokenizer = world
    whole, losses = train(TINY, pictures, tokens, tokenizer.vocab_size)
    with monkeypatch.context() as killed:
        killed.setattr("featpurity.training.scratch.write_state", written_then_killed)
        with pytest.raises(KeyboardInterrupt):
            train(TINY, pictures, tokens, tokenizer.vocab_size, tmp_path / "state.pt")
    resumed, resumed_losses = train(
        TINY, pictures, tokens, tokenizer.vocab_size, tmp_path / "state.pt"
    )
    assert [epoch["loss"] for epoch in losses] == [epoch["loss"] for epoch in resumed_losses]
    assert same_weights(whole, resumed)
    with pytest.raises(ValueError, match="another training"):
        train(TINY, pictures[::-1], tokens, tokenizer.vocab_size, tmp_path / "state.pt")


def test_pictures_and_captions_must_match(world):
    pictures, tokens, tokenizer = world
    with pytest.raises(ValueError, match="64 pictures and captions for 63"):
        train(TINY, pictures, tokens[1:], tokenizer.vocab_size)
    with pytest.raises(ValueError, match="batch of 16"):
        train(TINY, pictures[:9], tokens[:9], tokenizer.vocab_size)


def test_every_word_of_the_captions_is_one_token(world):
    tokenizer = world[2]
    for word in ["hourglass", "background", "mushroom", "checked"]:
        assert (tokenizer([word])[0] != 0).sum() == 3  # between start and end
    assert learn_merges(["abc abc", "ab ab"]) == [("a", "b"), ("a", "b</w>"), ("ab", "c</w>")]
    assert tokenizer(["a zebra, never seen"])[0].max() < tokenizer.vocab_size


def test_equal_captions_make_an_equal_file(tmp_path):
    for name in "ab":
        write_merges(tmp_path / name, ["one red star", "the blue moon"])
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


TINY_MAKING = dict(recipe=replace(TINY, epochs=1, text=TINY.text | {"width": 16}))


@pytest.fixture
def small_world(monkeypatch):
    """32 pictures to train on, twenty to test on."""
    monkeypatch.setattr(bundled, "N_SCENES", 32)
    monkeypatch.setattr(model_card, "load_dataset", lambda name, root: first_scenes(name))


def test_a_pair_is_written_as_open_clip_reads_it(tmp_path, small_world):
    making = dict(out=tmp_path, work=tmp_path / "work", **TINY_MAKING)
    folders = bundled.make_pairs("scenes", **making)
    assert [folder.name for folder in folders] == ["scenes_laclip", "scenes_clip"]
    for folder in folders:
        names = ["README.md", "bpe.txt.gz", "open_clip_config.json", "open_clip_model.safetensors"]
        assert sorted(file.name for file in folder.iterdir()) == names
        model, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{folder}")
        scene = Scenes(1, seed=4, size=32)[0]
        assert torch.allclose(preprocess(scene), normalise(np.array(scene)[None])[0], atol=1e-6)
        tokenizer = SimpleTokenizer(str(folder / "bpe.txt.gz"), context_length=24)
        tokens = tokenizer(["a red star", "a blue moon"])
        assert model.encode_text(tokens).shape == (2, 16)
        card = (folder / "README.md").read_text()
        for words in ["license: mit", "scenes_position", "Purity was not looked at"]:
            assert words in card
        config = json.loads((folder / "open_clip_config.json").read_text())
        assert config["preprocess_cfg"]["mean"] == [0.5] * 3
    assert not list((tmp_path / "work").iterdir())


def test_pairs_of_several_seeds_differ_and_are_made_once(tmp_path, small_world, monkeypatch):
    making = dict(out=tmp_path / "models", work=tmp_path / "work", **TINY_MAKING)
    trained = []

    def counted(recipe, *arguments, **options):
        if len(trained) == 3:
            raise KeyboardInterrupt
        trained.append(recipe.seed)
        return train(recipe, *arguments, **options)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(bundled, "train", counted)  # killed in the second half of the second pair
        bundled.make_pairs("scenes", [1, 2], **making)
    assert trained == [1, 1, 2]
    first = (tmp_path / "models/scenes_clip_seed1/open_clip_model.safetensors").read_bytes()
    folders = bundled.make_pairs("scenes", [1, 2], **making)
    assert [folder.name for folder in folders] == [
        f"scenes_{kind}_seed{seed}" for seed in (1, 2) for kind in ("laclip", "clip")
    ]
    assert (folders[1] / "open_clip_model.safetensors").read_bytes() == first
    assert not list((tmp_path / "work").iterdir())
    card = (folders[0] / "README.md").read_text()
    assert "`featpurity pretrain scenes --seeds 1 --out FOLDER`, seed 1" in card
    assert 'load_model("local-dir:PATH")' in card
    model, other = (load_model(f"local-dir:{folder}") for folder in folders[1::2])
    assert not torch.allclose(model.image_neurons, other.image_neurons, atol=1e-3)

    monkeypatch.setattr(bundled, "load_training", lambda *_: pytest.fail("all is made"))
    assert bundled.make_pairs("scenes", [2, 1], **making) == [*folders[2:], *folders[:2]]
    making["recipe"] = TINY
    with pytest.raises(ValueError, match="scenes_laclip_seed1 was made with other settings"):
        bundled.make_pairs("scenes", [1], **making)


def test_the_profile_of_seeds_names_what_is_trained_for_it():
    profile = ROOT / "profiles/seeds.yaml"
    (line,) = (line for line in profile.read_text().splitlines() if "featpurity pretrain" in line)
    seeds, out = line.split("--seeds ")[1].split(" --out ")
    for folder in ("clip", "laclip"):
        names = [f"local-dir:{out}/scenes_{folder}_seed{seed}" for seed in seeds.split()]
        assert getattr(load(profile), f"{folder}_models") == names and len(names) >= 5


def test_the_command_asks_for_what_it_was_told(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(
        bundled, "make_pairs", lambda *asks, **more: asked.append((asks, more)) or [tmp_path]
    )
    assert pretrain("scenes", "--seeds", 1, 2, "--out", tmp_path, "--epochs", 3, "--device", "cpu")
    (profile, seeds, _, out, recipe), more = asked[0]
    assert (profile, seeds, out, recipe.epochs) == ("scenes", [1, 2], str(tmp_path), 3)
    assert more == {"device": torch.device("cpu")}
    pretrain()
    assert [asks[0] for asks, _ in asked[1:]] == ["scenes", "photos"]
    assert asked[1][0][3] == bundled.BUNDLED


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["scenery"], "unknown profile scenery; expected some of scenes, photos"),
        (["scenes", "--seeds", 1, 2], "expected --out FOLDER"),
        (["scenes", "--seeds", 1, 1, "--out", "x"], "different numbers of 0 or more"),
        (["scenes", "--device", "cuda"], "cuda, but PyTorch sees 0 of kind cuda here"),
    ],
)
def test_a_command_that_cannot_be_is_told(monkeypatch, arguments, message):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(ValueError, match=message):
        pretrain(*arguments)


def pretrain(*arguments):
    """Run the command in this process."""
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return run(parser.parse_args(list(map(str, arguments))))


def first_scenes(name):
    """Twenty test pictures in place of all."""
    attribute = name.removeprefix("scenes_")
    scenes = Scenes(20, seed=1_000_001, size=32)
    labels = torch.from_numpy(scenes.attributes[:, list(ATTRIBUTES).index(attribute)].copy())
    return LabelledImages(name, ATTRIBUTES[attribute], labels, scenes, scenes.key)


def test_augmented_pictures_are_the_same_ones_moved(world):
    pixels = normalise(world[0][:40])
    moved = augmented(pixels, np.random.default_rng(0))
    assert moved.shape == pixels.shape and not torch.equal(moved, pixels)
    centre = pixels[:, :, 12:20, 12:20].mean(dim=(1, 2, 3)) - moved[:, :, 12:20, 12:20].mean(
        dim=(1, 2, 3)
    )
    assert centre.abs().median() < 0.5
    assert torch.equal(augmented(pixels, np.random.default_rng(0)), moved)


@pytest.mark.parametrize(
    "name",
    sorted(
        {"scenes_clip", "scenes_laclip"} | {folder.name for folder in bundled.BUNDLED.iterdir()}
    ),
)
def test_bundled_models_are_small_and_load(name):
    folder = bundled.BUNDLED / name
    assert sum(file.stat().st_size for file in folder.iterdir()) < 8e6
    model = open_clip.create_model(f"local-dir:{folder}")
    width, d = model.text_projection.shape
    assert d >= 128 and width >= d and model.visual.attnpool.c_proj.in_features >= d
    with safe_open(folder / "open_clip_model.safetensors", "pt") as file:
        kinds = {file.get_tensor(key).dtype for key in file.keys()}
    assert kinds - {torch.int64} == {torch.float16}  # batch norms count their batches
    assert all(p.dtype == torch.float32 and torch.isfinite(p).all() for p in model.parameters())


@pytest.mark.slow
@pytest.mark.parametrize("name", ["photos_laclip", "photos_clip"])
def test_models_of_photos_do_as_well_as_their_cards_say(name, shared):
    accuracy = model_card.measure(bundled.BUNDLED / name, "photos", shared / "data")
    on_card = accuracy_on_card(name)
    assert accuracy == pytest.approx({key: on_card[key] for key in accuracy}, abs=WITHIN)
