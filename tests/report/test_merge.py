"""One table over several profiles."""

from pathlib import Path

import pandas as pd
import pytest

from featpurity.cli import main
from featpurity.profile import Profile
from featpurity.report.merge import merged


@pytest.fixture
def runs(tmp_path, monkeypatch):
    """Two profiles that have run, in a checkout of their own."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "_toc.yml").touch()
    (tmp_path / "profiles").mkdir()
    for name, value in [("a", 0.5), ("b", 0.25)]:
        (tmp_path / f"profiles/{name}.yaml").touch()
        (tmp_path / f"results/{name}/tables").mkdir(parents=True)
        table = pd.DataFrame({"model": ["x"], "accuracy": [value]})
        table.to_csv(tmp_path / f"results/{name}/tables/01_accuracy.csv", index=False)
    return [Profile(name=name, results_dir=f"results/{name}") for name in "ab"]


def test_tables_of_profiles_stand_below_one_another(runs):
    table = merged(runs, "01_accuracy")
    assert table.profile.tolist() == ["a", "b"] and table.accuracy.tolist() == [0.5, 0.25]


def test_a_table_that_is_not_there_is_told_with_the_profile(runs):
    with pytest.raises(FileNotFoundError, match="profile a: .*did you mean '01_accuracy'"):
        merged(runs, "01_acuracy")


@pytest.mark.parametrize("content", ["", "a,b\n1,2\n1,2,3\n", "profile\nx\n"])
def test_a_table_that_is_none_is_told_with_its_file(runs, content):
    path = Path(runs[1].results_dir, "tables/01_accuracy.csv")
    path.write_text(content)
    with pytest.raises(ValueError, match="b/tables/01_accuracy.csv: not a table of a run"):
        merged(runs, "01_accuracy")
    with pytest.raises(ValueError, match="each profile once, got a twice"):
        merged([runs[0], runs[0]], "01_accuracy")


def test_the_command_writes_one_table(runs, capsys):
    assert main(["merge", "a", "b", "--table", "01_accuracy", "--out", "all.csv"]) == 0
    assert capsys.readouterr().out == "all.csv: 2 rows of 2 profiles\n"
    assert pd.read_csv("all.csv").equals(merged(runs, "01_accuracy"))


def test_files_are_found_and_written_from_any_folder_of_the_checkout(runs, tmp_path, monkeypatch):
    (tmp_path / "notebooks").mkdir()
    monkeypatch.chdir(tmp_path / "notebooks")
    command = ["merge", "profiles/a.yaml", "b", "--table", "01_accuracy", "--out", "all.csv"]
    assert main(command) == 0
    assert (tmp_path / "notebooks/all.csv").is_file()
