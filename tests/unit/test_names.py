"""Where files lie: what loads, what plans and what the workflow watches agree on it, from any folder."""

import shutil
from pathlib import Path

import open_clip
import pytest

from featpurity import load_model
from featpurity.data import catalog
from featpurity.data.datasets import load_dataset
from featpurity.models import laclip, names

SMALL = names.BUNDLED / "scenes_clip"


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty project, with a notebook's folder in it, where we are."""
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "_toc.yml").touch()
    monkeypatch.chdir(tmp_path / "notebooks")
    return tmp_path


def test_a_step_watches_the_files_its_model_is_read_from(here):
    folder = shutil.copytree(SMALL, here / "small")
    found = {"open_clip_model.safetensors", "open_clip_config.json", "bpe.txt.gz"}
    for source in [
        "scenes_clip",
        f"local-dir:{folder}",
        str(folder),
        str(folder / "open_clip_model.safetensors"),
    ]:
        paths = [Path(path) for path in names.files_of(source)]
        assert {path.name for path in paths} == found and all(path.is_file() for path in paths), (
            source
        )
        assert names.files_of(source)[0] == str(names.resolve(source).file)
    weights = here / "weights.pt"
    weights.touch()
    assert names.files_of(f"ViT-B-32:{weights}") == [str(weights)]
    weights.with_suffix(".json").touch()
    assert names.files_of(str(weights)) == [str(weights), str(weights.with_suffix(".json"))]
    assert (
        names.files_of("ViT-B-32:openai")
        == names.files_of("hf-hub:org/name")
        == names.files_of("scenes")
        == []
    )


@pytest.mark.parametrize("file", ["laion400m_clip.pt", "laion400m_clip_vitb32.pt"])
def test_a_published_file_in_place_is_not_to_be_downloaded(here, file):
    name = "laclip:laion400m_clip_vitb32"
    assert (
        names.files_of(name) == [] and names.resolve(name).megabytes > 600
    )  # ViT-B-32 has 151 million weights
    path = here / "checkpoints" / file
    path.parent.mkdir()
    path.touch()
    assert names.resolve(name).megabytes == 0
    assert names.files_of(name) == []  # to have it downloaded is no change of a run
    assert str(path) in names.resolve(name).what


def test_a_notebook_finds_the_project_s_data_and_checkpoints(here):
    assert laclip.file_of("cc3m_clip") == here / "checkpoints/cc3m_clip.pt"
    photo = here / "data/eurosat/test/Forest/a.png"
    photo.parent.mkdir(parents=True)
    load_dataset("scenes_shape")[0][0].save(photo)
    assert load_dataset("eurosat", download=False).images.source == here / "data/eurosat/test"
    assert catalog.find("eurosat").megabytes == 0


def test_what_hugging_face_s_cache_holds_is_not_to_be_downloaded(hub):
    published = open_clip.get_pretrained_cfg("ViT-B-32", "laion2b_s34b_b79k")["hf_hub"].rstrip("/")
    for name, repository in {
        "ViT-B-32:laion2b_s34b_b79k": published,
        "hf-hub:org/name": "org/name",
    }.items():
        assert names.resolve(name).megabytes != 0
        path = hub(repository, "open_clip_model.safetensors", b"weights")
        assert names.resolve(name).megabytes == 0 and str(path) in names.resolve(name).what


def test_a_name_that_stands_for_no_file_is_told(here):
    for ask in [load_model, names.resolve]:
        for empty in ["", " "]:
            with pytest.raises(ValueError, match="name of a model is empty"):
                ask(empty)
        with pytest.raises(FileNotFoundError, match=f"there is no file {here}/notebooks/nofile.pt"):
            ask("ViT-B-32:nofile.pt")
        with pytest.raises(FileNotFoundError, match=f"nofile.PT and no {here}/ck/nofile.PT$"):
            ask("ck/nofile.PT")
    (here / "weights.pt").touch()
    with pytest.raises(ValueError, match="unknown to open_clip: ViT-B32 .did you mean 'ViT-B-32'"):
        names.resolve("ViT-B32:weights.pt")
    (here / "bare").mkdir()
    (here / "bare/open_clip_config.json").touch()
    with pytest.raises(FileNotFoundError, match="expected a file of weights"):
        names.resolve(f"local-dir:{here / 'bare'}")


def test_a_record_says_what_a_name_stands_for(here, monkeypatch):
    monkeypatch.setenv("HOME", str(here))
    folder = shutil.copytree(SMALL, here / "models/small")
    weights = folder / "open_clip_model.safetensors"
    (here / "base.pt").touch()
    cases = {  # kind, file, architecture, tag, label, d
        "scenes_clip": ("bundled", SMALL / weights.name, None, "", "scenes_clip", 128),
        "local-dir:models/small": ("folder", weights, None, "", "small", 128),
        "~/models/small": ("folder", weights, None, "", "small", 128),
        "models/small/open_clip_model.safetensors": ("file", weights, None, "", weights.name, 128),
        "ViT-B-32:~/base.pt": ("file", here / "base.pt", "ViT-B-32", "", "ViT-B-32:base.pt", 512),
        "ViT-B-32:base.pt": ("file", here / "base.pt", "ViT-B-32", "", "ViT-B-32:base.pt", 512),
        "ViT-B-16:datacomp_l_s1b_b8k": (
            "open_clip",
            None,
            "ViT-B-16",
            "datacomp_l_s1b_b8k",
            "ViT-B-16:datacomp_l_s1b_b8k",
            512,
        ),
        "hf-hub:org/name": ("hf-hub", None, None, "org/name", "hf-hub:org/name", None),
        "laclip:cc3m_clip": (
            "laclip",
            here / "checkpoints/cc3m_clip.pt",
            None,
            "cc3m_clip",
            "laclip:cc3m_clip",
            None,
        ),
    }
    for folder in [here, here / "notebooks"]:  # a relative path means the same in both
        monkeypatch.chdir(folder)
        for name, (kind, file, *rest) in cases.items():
            found = names.resolve(name)
            told = [found.architecture, found.tag, found.label, found.d]
            assert (found.kind, told) == (kind, rest), name
            assert (found.file and found.file.resolve()) == (file and file.resolve()), name
            same = names.resolve(found.absolute).file
            assert same == (found.file and found.file.absolute()) and found.missing is None


def test_a_folder_of_several_files_of_weights_is_told(here):
    folder = shutil.copytree(SMALL, here / "small")
    (folder / "open_clip_model.safetensors").rename(folder / "epoch_1.pt")
    assert names.resolve(folder).file == folder / "epoch_1.pt"
    (folder / "epoch_2.PT").touch()
    with pytest.raises(
        ValueError, match="holds several files of weights: .*epoch_1.pt, epoch_2.PT"
    ):
        names.resolve(folder)


def test_a_model_may_lie_in_the_folder_we_are_in(here, monkeypatch):
    monkeypatch.chdir(shutil.copytree(SMALL, here / "small"))
    for name in [".", "local-dir:.", "./"]:
        assert (names.resolve(name).kind, names.resolve(name).label) == ("folder", "small")
