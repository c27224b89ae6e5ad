"""Pairs from a list of links: a local server has good, missing, slow and broken pictures for img2dataset to ask for."""

import io
import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec

import numpy as np
import pandas as pd
import pytest
from checkout import ROOT
from PIL import Image

from featpurity import load_pairs
from featpurity.data import download

COLOURS = {
    "red": (220, 20, 20),
    "green": (20, 180, 20),
    "blue": (20, 20, 220),
    "gold": (220, 180, 20),
}
OPTIONS = dict(timeout=1, processes=1, threads=4)
downloads = pytest.mark.skipif(
    find_spec("img2dataset") is None,
    reason="needs img2dataset (the optional extra cc3m), which wants pandas below 3 and so an environment of its own",
)


def picture(colour, size, kind="JPEG"):
    file = io.BytesIO()
    Image.new("RGB", size, COLOURS[colour]).save(file, kind)
    return file.getvalue()


PAGES = {
    "/red.jpg": picture("red", (600, 300)),
    "/green.png": picture("green", (64, 48), "PNG"),
    "/blue.jpg": picture("blue", (300, 600)),
    "/gold.jpg": picture("gold", (80, 80)),
    "/cut.jpg": picture("red", (300, 300))[:-400],
    "/junk.jpg": bytes(range(256)) * 4,
    "/page.jpg": b"<html>This picture has moved.</html>",
    "/private.jpg": picture("red", (40, 40)),
}
# A name, and what becomes of the link. The captions must survive quotes, commas and foreign letters.
LINKS = {
    "missing.jpg": "HTTP 404",
    "red.jpg": "picture",
    "slow.jpg": "timed out",
    "green.png": "picture",
    "cut.jpg": "not a readable picture",
    "junk.jpg": "not a readable picture",
    "page.jpg": "not a readable picture",
    "private.jpg": "not allowed by the site",
    "blue.jpg": "picture",
    "gone.jpg": "HTTP 410",
    "gold.jpg": "picture",
}
CAPTIONS = {
    "red.jpg": 'the "red, wide one',
    "green.png": 'a "small", green café',
    "blue.jpg": "# blue and tall",
    "gold.jpg": "null",
}


class Server(ThreadingHTTPServer):
    """Serves PAGES and notes what it was asked for; `slow` paths wait until the server is stopped."""

    daemon_threads, block_on_close = True, False

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked, self.stopped, self.slow = [], threading.Event(), {"/slow.jpg"}
        self.waiting = threading.Event()  # set once a slow path is asked for
        self.root = f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append(self.path)
        if self.path in self.server.slow:
            self.server.waiting.set()
            self.server.stopped.wait(60)
            return
        if self.path not in PAGES:
            self.send_error(410 if self.path == "/gone.jpg" else 404)
            return
        self.send_response(200)
        if self.path == "/private.jpg":
            self.send_header("X-Robots-Tag", "noai")
        self.send_header("Content-Length", len(PAGES[self.path]))
        self.end_headers()
        self.wfile.write(PAGES[self.path])

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield running
        running.stopped.set()
        running.shutdown()
        thread.join()


def write_list(path, urls, captions=CAPTIONS):
    names = [url.rpartition("/")[2] for url in urls]
    path.write_text(
        "".join(f"{captions.get(name, 'of ' + name)}\t{url}\n" for name, url in zip(names, urls)),
        encoding="utf-8",
    )
    return path


@pytest.fixture
def tsv(server, tmp_path):
    """The list of LINKS and one to a port that nobody listens to."""
    return write_list(
        tmp_path / "links.tsv",
        [*(f"{server.root}/{name}" for name in LINKS), "http://127.0.0.1:1/refused.jpg"],
    )


def counted(counts):
    return dict(zip(counts.reason, counts.links))


def colour_of(image):
    distances = {
        name: np.abs(np.asarray(image).reshape(-1, 3).mean(0) - colour).max()
        for name, colour in COLOURS.items()
    }
    assert min(distances.values()) < 8  # what JPEG may change
    return min(distances, key=distances.get)


def assert_right_pairs(root, names):
    """The pairs are those of `names` in order, every caption with its own picture."""
    pairs = load_pairs("cc3m/pairs.csv", root=root)
    assert pairs.captions == [CAPTIONS[name] for name in names]
    assert [colour_of(pairs.images[i]) for i in range(len(pairs))] == [
        name.partition(".")[0] for name in names
    ]
    return pairs


@downloads
def test_good_links_become_pairs_and_the_others_are_counted_by_reason(server, tsv, tmp_path):
    counts = download.fetch_pairs(tsv, tmp_path / "cc3m", n_pairs=100, **OPTIONS)
    expected = Counter(LINKS.values()) | {"connection failed": 1}
    assert counted(counts) == expected and counts.reason[0] == "picture"
    assert counts.share.tolist() == pytest.approx([links / 12 for links in counts.links])
    pairs = assert_right_pairs(tmp_path, ["red.jpg", "green.png", "blue.jpg", "gold.jpg"])
    sizes = [pairs.images[i].size for i in range(4)]
    assert sizes == [(512, 256), (64, 48), (256, 512), (80, 80)]  # smaller ones are not blown up
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "cc3m/links.csv"), counts)
    assert Counter(server.asked) == Counter(f"/{name}" for name in LINKS)

    # Once more: nothing is asked again, a lost picture leaves the pairs, and fewer pairs are the first ones.
    (tmp_path / "cc3m" / pd.read_csv(tmp_path / "cc3m/pairs.csv").image[1]).unlink()
    counts = download.fetch_pairs(tsv, tmp_path / "cc3m", n_pairs=2, **OPTIONS)
    assert len(server.asked) == len(LINKS)
    assert counted(counts) == expected | {"picture": 3, "lost from the disk": 1}
    assert_right_pairs(tmp_path, ["red.jpg", "blue.jpg"])
    with pytest.raises(
        ValueError, match="filled with .*'image_size': 256.* now asked for .*'image_size': 128"
    ):
        download.fetch_pairs(tsv, tmp_path / "cc3m", n_pairs=2, image_size=128, **OPTIONS)


@downloads
@pytest.mark.slow
def test_no_more_links_are_asked_than_the_pairs_need(server, tmp_path):
    names = [
        "red.jpg",
        "gone.jpg",
        "blue.jpg",
        "green.png",
        "gold.jpg",
        *(f"never{i}.jpg" for i in range(20)),
    ]
    tsv = write_list(tmp_path / "links.tsv", [f"{server.root}/{name}" for name in names])
    counts = download.fetch_pairs(tsv, tmp_path / "cc3m", n_pairs=2, shard_size=2, **OPTIONS)
    assert counted(counts) == {"picture": 3, "HTTP 410": 1}
    assert_right_pairs(tmp_path, ["red.jpg", "blue.jpg"])
    download.fetch_pairs(tsv, tmp_path / "cc3m", n_pairs=3, shard_size=2, **OPTIONS)
    assert sorted(server.asked) == sorted(
        f"/{name}" for name in names[:4]
    )  # what is there is enough


@downloads
@pytest.mark.slow
def test_a_list_of_dead_links_is_an_error_and_leaves_nothing_to_skip_later(server, tmp_path):
    tsv = write_list(tmp_path / "links.tsv", [f"{server.root}/{name}.jpg" for name in "abc"])
    for calls in [1, 2]:
        with pytest.raises(RuntimeError, match="none of 3 links gave a picture: {'HTTP 404': 3}"):
            download.fetch_pairs(tsv, tmp_path / "cc3m", n_pairs=2, **OPTIONS)
        assert len(server.asked) == 3 * calls and not (tmp_path / "cc3m/pairs.csv").exists()


@downloads
@pytest.mark.slow
def test_a_killed_download_goes_on(server, tmp_path):
    names = ["red.jpg", "missing.jpg", "blue.jpg", "slow.jpg", "gold.jpg"]
    tsv = write_list(tmp_path / "links.tsv", [f"{server.root}/{name}" for name in names])
    options = dict(n_pairs=4, shard_size=2, processes=1, threads=1, timeout=60)
    code = f"from featpurity.data.download import fetch_pairs\nif __name__ == '__main__': fetch_pairs({str(tsv)!r}, 'cc3m', **{options})"
    (tmp_path / "go.py").write_text(code)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, "go.py"],
        cwd=tmp_path,
        env=environment,
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    assert server.waiting.wait(300)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "cc3m/pairs.csv").exists()

    counts = download.fetch_pairs(tsv, tmp_path / "cc3m", **options | {"timeout": 1})
    assert counted(counts) == {"picture": 3, "HTTP 404": 1, "timed out": 1}
    assert_right_pairs(tmp_path, ["red.jpg", "blue.jpg", "gold.jpg"])
    assert (
        server.asked.count("/red.jpg") == server.asked.count("/missing.jpg") == 1
    )  # that shard was done
    assert server.asked.count("/slow.jpg") == 2


@downloads
@pytest.mark.slow
def test_the_notebook_runs_on_such_a_list(tsv, tmp_path, monkeypatch):
    import nbformat
    import papermill

    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    given = dict(tsv=str(tsv), data_root=str(tmp_path), n_pairs=3, shard_size=100, **OPTIONS)
    done = papermill.execute_notebook(
        ROOT / "notebooks/steps/fetch_cc3m.ipynb",
        tmp_path / "done.ipynb",
        parameters=given,
        kernel_name="python3",
        progress_bar=False,
        cwd=str(ROOT),
    )
    assert_right_pairs(tmp_path, ["red.jpg", "green.png", "blue.jpg"])
    outputs = [output for cell in done.cells for output in cell.get("outputs", [])]
    figures = [
        output.data
        for output in outputs
        if "application/vnd.plotly.v1+json" in output.get("data", {})
    ]
    bars = figures[0]["application/vnd.plotly.v1+json"]["data"][0]
    assert len(figures) == 2 and "HTTP 404" in bars["y"]
    assert nbformat.validate(done) is None


GOOD = b"a dog\thttp://example.org/1.jpg\n"


@pytest.mark.parametrize(
    "content, message",
    [
        (b"", "is empty; expected lines of a caption, a tab and a web address"),
        (b"caption\turl\n", "has a header and no links"),
        (
            GOOD + "caf\u00e9\thttp://example.org/2.jpg\n".encode("latin-1"),
            "line 2: byte 0xe9 is not UTF-8",
        ),
        (b"a d\0g\thttp://example.org/1.jpg\n", "line 1: a NUL byte"),
        (b"http://example.org/1.jpg\n", "line 1: got 1 columns"),
        (b"a\tdog\thttp://example.org/1.jpg\n", "line 1: got 3 columns"),
        (GOOD + b"a\tcat\thttp://example.org/2.jpg\n", "Expected 2 fields in line 2, saw 3"),
        (GOOD + b"a cat\n" + GOOD, "line 2: got 'a cat.t' .1 such lines"),
        (GOOD + b"\n" + GOOD, "line 2: got"),
        (b"http://example.org/1.jpg\ta dog\n", "line 1: got 'http"),
        (b"caption\turl\n" + GOOD + b"\thttp://example.org/2.jpg\n", "line 3: got"),
    ],
)
def test_a_list_that_is_none_is_refused_before_anything_is_written(content, message, tmp_path):
    (tmp_path / "links.tsv").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        download.fetch_pairs(tmp_path / "links.tsv", tmp_path / "cc3m", n_pairs=2)
    assert not (tmp_path / "cc3m").exists()


def test_a_list_is_read_as_it_is(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no list of links"):
        download.read_links(tmp_path / "links.tsv")
    captions = ['"', 'an "odd" one', "NA", "null", "one\u2028two", "#5", " x "]
    lines = "".join(f"{caption}\thttps://example.org/{i}\n" for i, caption in enumerate(captions))
    for header in ["", "caption\turl\n"]:
        (tmp_path / "links.tsv").write_text(header + lines, encoding="utf-8")
        links = download.read_links(tmp_path / "links.tsv")
        assert links.caption.tolist() == captions
        assert links.url.tolist() == [f"https://example.org/{i}" for i in range(len(captions))]


def test_pairs_from_elsewhere_are_not_overwritten_and_settings_are_checked(tmp_path):
    (tmp_path / "links.tsv").write_bytes(GOOD)
    (tmp_path / "pairs.csv").write_text("mine")
    with pytest.raises(FileExistsError, match="made by something else"):
        download.fetch_pairs(tmp_path / "links.tsv", tmp_path, n_pairs=2)
    assert (tmp_path / "pairs.csv").read_text() == "mine"
    with pytest.raises(ValueError, match="timeout must be a whole number of at least 1, got 0"):
        download.fetch_pairs(tmp_path / "links.tsv", tmp_path, n_pairs=2, timeout=0)


def test_a_missing_extra_says_how_to_install_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "img2dataset", None)
    (tmp_path / "links.tsv").write_bytes(GOOD)
    with pytest.raises(
        ImportError, match=r"virtual environment of its own .* pip install -e '\.\[cc3m\]'"
    ):
        download.fetch_pairs(tmp_path / "links.tsv", tmp_path / "cc3m", n_pairs=2)


@pytest.mark.parametrize(
    "status, message, expected",
    [
        ("success", None, "picture"),
        ("failed_to_resize", "Image decoding error", "not a readable picture"),
        ("failed_to_download", "HTTP Error 403: Forbidden", "HTTP 403"),
        ("failed_to_download", "<urlopen error timed out>", "timed out"),
        ("failed_to_download", "The read operation timed out", "timed out"),
        (
            "failed_to_download",
            "<urlopen error [Errno -2] Name or service not known>",
            "connection failed",
        ),
        (
            "failed_to_download",
            "Remote end closed connection without response",
            "connection failed",
        ),
        ("failed_to_download", "[Errno 104] Connection reset by peer", "connection failed"),
        (
            "failed_to_download",
            "IncompleteRead(10 bytes read, 20 more expected)",
            "connection failed",
        ),
        ("failed_to_download", "URL can't contain control characters", "other"),
        ("failed_to_download", "", "other"),
    ],
)
def test_a_message_becomes_a_reason(status, message, expected):
    assert download.reason(status, message) == expected
