"""One built book of a kind for all tests of the pages."""

import os
import subprocess
import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

import npm_file
import pytest
import sample_book
import small_photos
import static_pictures
import yaml
from checkout import ROOT, snakemake

AXE = "4.14.1"
ADDRESS = "https://book.example/purity/"


@pytest.fixture(scope="session")
def axe():
    """The accessibility checker axe-core, as a script."""
    path = npm_file.fetch("axe-core", AXE, "axe.min.js")
    if path is None:
        pytest.skip("axe-core is not here and npm did not bring it: accessibility is not tested")
    return path.read_text("utf-8")


@pytest.fixture(scope="session")
def sample(tmp_path_factory):
    """The built book of made-up notebooks."""
    results = sample_book.write_results(tmp_path_factory.mktemp("sample") / "results")
    script = [sys.executable, ROOT / "workflow" / "stage_book.py", results]
    environment = os.environ | {"FEATPURITY_SITE": ADDRESS, "FEATPURITY_REPOSITORY": ADDRESS}
    subprocess.run([*script, "--chapters", *sample_book.RUN], check=True, env=environment)
    return results / "book" / "_build" / "html"


@pytest.fixture(scope="session")
def demo():
    """The demo profile's book; FEATPURITY_BOOK names another book's html folder."""
    if "FEATPURITY_BOOK" in os.environ:
        return Path(os.environ["FEATPURITY_BOOK"]).resolve()
    done = snakemake("demo")
    assert done.returncode == 0, done.stdout
    return ROOT / "results" / "demo" / "book" / "_build" / "html"


# What makes the photos profile a run of minutes; the other settings stay as they are. With the
# demo's, every chapter but the ladder's is run.
CUT_DOWN = {
    "chapters": [
        "01_clip_vs_laclip",
        "02_neuron_pruning",
        "03_misalignment",
        "05_caption_filter",
        "06_online_and_cached",
        "10_retrieval_and_probe",
        "11_neurons",
        "07_claims",
    ],
    "n_pairs": 100,
    "online_pairs": 64,
    "atlas_pairs": 60,
    "augmented": True,
    "n_views": 2,
    "ratios": [0.0, 0.8],
    "epochs": 1,
    "seeds": [0, 1],
    "spurious_captions": [0.2, 0.6],
    "n_random_orders": 4,
}


@pytest.fixture(scope="session")
def photos(tmp_path_factory):
    """The book of a cut-down run of the photos profile."""
    place = tmp_path_factory.mktemp("photos")
    for split, n in {"train": 300, "test": 200}.items():
        small_photos.write(place / "data" / split, n, split)
    whole = yaml.safe_load((ROOT / "profiles" / "photos.yaml").read_text("utf-8"))
    folders = {"data_root": "data", "results_dir": "photos", "store_dir": "store"}
    folders = {key: str(place / name) for key, name in folders.items()}
    (place / "profile.yaml").write_text(yaml.safe_dump(whole | CUT_DOWN | folders), "utf-8")
    done = snakemake(place / "profile.yaml")
    assert done.returncode == 0, done.stdout
    return place / "photos" / "book" / "_build" / "html"


class QuietServer(ThreadingHTTPServer):
    def handle_error(self, *_):
        """A page that was closed while it read something: nothing to say."""


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture(scope="session")
def address():
    """`address(scheme, book)`: where a book is read from; it has one server as long as the tests run."""
    servers = {}

    def serve(scheme, book):
        if scheme == "file":
            return book.as_uri()
        if book not in servers:
            servers[book] = QuietServer(("127.0.0.1", 0), partial(QuietHandler, directory=book))
            threading.Thread(target=servers[book].serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{servers[book].server_port}"

    yield serve
    for server in servers.values():
        server.shutdown()
        server.server_close()


class Visit:
    """A page of a browser with every other address blocked: what it asked for and complained about."""

    def __init__(self, context, base, book):
        self.base, self.book, self.faults, self.files = base, book, [], set()
        self.page = context.new_page()
        on = self.page.on
        on("console", lambda message: message.type == "error" and self.faults.append(message.text))
        on("pageerror", lambda error: self.faults.append(str(error)))
        on("requestfailed", lambda failed: self.faults.append(f"not loaded: {failed.url}"))
        on("response", lambda got: got.status >= 400 and self.faults.append(f"lacks {got.url}"))
        on("dialog", self.refuse)
        self.page.route("**/*", self.admit)

    def open(self, name):
        """Go to a page of the book, as one who comes from nowhere."""
        self.page.goto("about:blank")  # what the page before still asks for is no fault of this one
        self.faults.clear()
        self.files.clear()
        self.page.goto(f"{self.base}/{name}")

    def refuse(self, dialog):
        self.faults.append(f"opens a dialog: {dialog.message}")
        dialog.dismiss()

    def admit(self, route):
        url = route.request.url
        if url.startswith(self.base + "/"):
            self.files.add(self.book / unquote(urlsplit(url[len(self.base) + 1 :]).path))
        elif not url.startswith(("data:", "blob:")):
            self.faults.append(f"asks another host: {url}")
            return route.abort()
        route.continue_()

    def weight(self):
        """Bytes of all files that the page loaded."""
        return sum(file.stat().st_size for file in self.files if file.is_file())

    def draw_all(self):
        """Scroll through the page until every figure is drawn; their names and states."""
        return self.page.evaluate(static_pictures.DRAW_ALL)


@pytest.fixture
def visit(browser, address):
    """`visit(book, page, scheme, **context)`: a page in a fresh context of the browser."""
    contexts = []

    def open_page(book, name=None, scheme="http", **options):
        contexts.append(browser.new_context(**options))
        visited = Visit(contexts[-1], address(scheme, book), book)
        if name:
            visited.open(name)
        return visited

    yield open_page
    for context in contexts:
        context.close()
