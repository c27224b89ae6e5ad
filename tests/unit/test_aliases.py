"""Labels that stand for models and data sets in the notebooks of a run."""

import json

import pytest
from PIL import Image

from featpurity import files, load_dataset
from featpurity.data.prompts import prompt_set
from featpurity.models.names import BUNDLED, resolve


def test_a_label_leads_to_what_it_stands_for(tmp_path, monkeypatch):
    for name in ["ant", "bee"]:
        (tmp_path / name).mkdir()
        Image.new("RGB", (4, 4)).save(tmp_path / name / "1.png")
    model = f"local-dir:{BUNDLED / 'scenes_clip'}"
    aliases = {"photos of mine": f"folder:{tmp_path}", "mine": model}
    monkeypatch.setenv(files.ALIASES, json.dumps(aliases))
    assert resolve("mine").file == resolve("scenes_clip").file
    dataset = load_dataset("photos of mine")
    assert dataset.name == "photos of mine" and dataset.classes == ["ant", "bee"]
    assert files.meant("scenes_clip") == "scenes_clip"


def test_a_hidden_path_leads_to_its_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    place = tmp_path / "disk" / "store"
    place.mkdir(parents=True)
    monkeypatch.setenv(files.ALIASES, json.dumps({".../store": str(place), "store": "else"}))
    for find in [files.workspace, files.located, files.data_folder]:
        assert find(".../store") == place and find("store") != place
    (place / "own.txt").write_text("a photo of a {}\n")
    monkeypatch.setenv(files.ALIASES, json.dumps({".../own.txt": str(place / "own.txt")}))
    assert prompt_set(".../own.txt") == ["a photo of a {}"]


@pytest.mark.parametrize("find", [files.workspace, files.located, files.data_folder])
def test_a_hidden_path_of_another_run_is_refused_and_no_folder(tmp_path, monkeypatch, find):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"^\.\.\./results: .* give its own path"):
        find(".../results")
