"""Labels: what pages and files show in place of paths."""

import pytest

from featpurity.labels import file_names, hidden, labels_of
from featpurity.report import display_names


def test_a_path_shows_its_end_and_nothing_of_the_disk():
    names = ["scenes_clip", "/disk/me/base.pt", "ViT-B-32:~/x/tuned.pt", "folder:/disk/photos/"]
    labels = labels_of(names)
    assert labels == dict(zip(names, ["scenes_clip", "base.pt", "tuned.pt", "photos"]))


def test_equal_ends_take_as_many_folders_as_tell_them_apart():
    labels = labels_of(["/a/one/e.pt", "/a/two/e.pt", "/b/two/e.pt", "f.pt"])
    assert list(labels.values()) == ["one/e.pt", "a/two/e.pt", "b/two/e.pt", "f.pt"]


def test_chosen_labels_win_and_are_no_one_else_s():
    chosen = {"scenes_clip": "CLIP", "/disk/x.pt": "mine", "not here": "?"}
    assert labels_of(["scenes_clip", "/disk/x.pt"], chosen) == {
        "scenes_clip": "CLIP",
        "/disk/x.pt": "mine",
    }
    with pytest.raises(ValueError, match="labels: a has an empty one"):
        labels_of(["a", "b"], {"a": " "})
    with pytest.raises(ValueError, match="a and b share the label 'A'"):
        labels_of(["a", "b"], {"a": "A", "b": "A"})


def test_no_label_is_that_of_all_data_sets_together():
    assert labels_of(["folder:/x/mean", "folder:/x/a"])["folder:/x/mean"] == "x/mean"
    assert display_names.of_datasets(["folder:mean"]) == {"folder:mean": "folder:mean"}
    with pytest.raises(ValueError, match="'mean' is the row over all data sets"):
        labels_of(["folder:/x/a"], {"folder:/x/a": "mean"})


def test_file_names_are_apart_and_stay_in_their_folder():
    names = file_names(["a-b", "a_b", "a b", "../up", "ViT:x", "..", "A-B"])
    assert len({name.casefold() for name in names.values()}) == len(names)
    assert names["ViT:x"] == "ViT_x"
    assert not any("/" in name or name.startswith(".") for name in names.values())


def test_paths_that_lead_out_of_the_project_show_their_ends():
    shown = hidden(["/disk/me/store", "results/demo", "../there/x.txt", "paper", None, "/b/store"])
    assert shown == {
        "/disk/me/store": ".../me/store",
        "../there/x.txt": ".../x.txt",
        "/b/store": ".../b/store",
    }
