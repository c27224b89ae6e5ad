"""What `make book` asks of its surroundings before anything runs; no notebook is run here."""

import os
import pwd

import pytest

import book


@pytest.fixture
def project(tmp_path, monkeypatch):
    """An empty checkout with a profile; Snakemake is not started."""
    (tmp_path / "profiles").mkdir()
    (tmp_path / "_toc.yml").touch()
    (tmp_path / "profiles/demo.yaml").write_text("chapters: [09_theory]\n")
    (tmp_path / "home").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv(book.CHECKED, "")
    monkeypatch.setenv("XDG_CACHE_HOME", "")  # so that it is put back
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(book.tempfile, "tempdir", str(tmp_path / "home"))
    monkeypatch.setattr(book, "run", lambda profile, options, lock: 0)
    return tmp_path


def read_only(monkeypatch, folder):
    real = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: real(path, mode) and path != folder)


def test_a_fresh_checkout_runs(project):
    assert book.main(["demo"]) == 0


@pytest.mark.parametrize("place", [".", ".snakemake", ".snakemake/log"])
def test_records_that_may_not_be_written_are_told_in_one_line(project, monkeypatch, capsys, place):
    (project / place).mkdir(parents=True, exist_ok=True)
    read_only(monkeypatch, project / place)
    if place == ".":
        (project / "store").mkdir()
    assert book.main(["demo"]) == 2
    (said,) = capsys.readouterr().err.splitlines()
    assert "Snakemake keeps its records there" in said and said.endswith(f"'{project / place}'")


def test_a_lock_of_another_user_is_told_in_one_line(project, monkeypatch, capsys):
    def refused(name, mode):
        raise PermissionError(13, "Permission denied", str(name))

    monkeypatch.setattr(book, "open", refused, raising=False)
    assert book.main(["demo"]) == 2
    assert capsys.readouterr().err.splitlines() == [
        f"[Errno 13] Permission denied: '{project}/results/demo/.lock'"
    ]


def test_a_plan_leaves_nothing_in_the_results(project, monkeypatch):
    command = book.command_for
    monkeypatch.setattr(book, "command_for", lambda *given: command(*given) and ["true"])
    assert book.main(["demo", "--plan"]) == 0
    assert not (project / "results").exists()


def test_without_a_home_a_folder_of_one_s_own_holds_the_cache(project, monkeypatch, capsys):
    def unknown(uid):
        raise KeyError

    monkeypatch.delenv("HOME")
    monkeypatch.setattr(pwd, "getpwuid", unknown)
    cache = project / f"home/featpurity-cache-{os.getuid()}"
    assert book.main(["demo"]) == 0
    assert os.environ["HOME"] == os.environ["XDG_CACHE_HOME"] == str(cache)
    assert cache.stat().st_mode & 0o777 == 0o700
    monkeypatch.delenv("HOME")
    monkeypatch.delenv("XDG_CACHE_HOME")
    cache.rmdir()
    cache.symlink_to(project)  # put there by somebody else
    assert book.main(["demo"]) == 2
    assert "expected a folder of your own" in capsys.readouterr().err
