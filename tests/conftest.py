"""Fixtures that more than one test file uses."""

import pytest
import static_pictures
from checkout import ROOT


@pytest.fixture(scope="session")
def shared():
    """The folder of real photos, captions and reference numbers beside the checkout, where there is one."""
    folder = ROOT.parent / "shared"
    if not folder.is_dir():
        pytest.skip(f"needs the folder of real data at ../{folder.name}, which this machine lacks")
    return folder


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    """The user's cache stays as it is: digests of files go to a folder of the tests'."""
    folder = tmp_path_factory.getbasetemp() / "cache"
    monkeypatch.setenv("FEATPURITY_CACHE", str(folder))
    return folder


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """An empty cache of Hugging Face's and no network; `hub("ORG/NAME", "FILE", bytes)` puts a file there: its path."""
    from huggingface_hub import constants

    commit = "0" * 40
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)

    def publish(repository, file, content):
        folder = tmp_path / "hub" / f"models--{repository.replace('/', '--')}"
        path = folder / "snapshots" / commit / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        (folder / "refs").mkdir(exist_ok=True)
        (folder / "refs/main").write_text(commit)
        return path

    return publish


@pytest.fixture(scope="session")
def browser():
    """One browser for all tests that drive one: a process has one of Playwright's."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    path = static_pictures.browser_path()
    if path is None:
        pytest.skip("no Chromium on this machine: install chromium to test pages and panels")
    with playwright.sync_playwright() as running:
        chromium = running.chromium.launch(executable_path=path, args=static_pictures.FLAGS)
        yield chromium
        chromium.close()
