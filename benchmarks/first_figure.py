"""How soon each page of a built book shows its first figure, in Chromium.

    python benchmarks/first_figure.py [results/demo/book/_build/html] [--slower 4] [--turns 5]

Every page with a figure is opened over http from this machine, with nothing cached, 1400 pixels
wide, and scrolled to its first figure. Prints a Markdown table, medians in milliseconds from the
start of loading: when anything is painted, when the largest part of the first screen is (a figure
stands there as a static picture at first), and when the figure is drawn and answers. A new window
loads parts of its own for a while; the page is opened after that, as in a browser that somebody
uses. --slower 4 leaves the browser a quarter of the processor.
"""

import argparse
import statistics
import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from common import machine, markdown
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "workflow"))
import static_pictures  # noqa: E402

WATCH = """
  window.seen = {};
  new MutationObserver(() => {
    if (document.querySelector("figure[data-state='drawn']")) seen.drawn ??= performance.now();
  }).observe(document, { attributes: true, subtree: true, attributeFilter: ["data-state"] });
  new PerformanceObserver((list) => {
    for (const { name, startTime } of list.getEntries()) seen[name] = startTime;
  }).observe({ type: "paint", buffered: true });
  new PerformanceObserver((list) => {
    for (const { startTime } of list.getEntries()) seen.largest = startTime;
  }).observe({ type: "largest-contentful-paint", buffered: true });
"""
AT_REST = 1500  # milliseconds after which a new window has loaded its own parts
COLUMNS = {"first-contentful-paint": "painted", "largest": "largest painted", "drawn": "drawn"}


class QuietHandler(SimpleHTTPRequestHandler):
    """A server that does not say what it serves."""

    def log_message(self, *_):
        pass


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    built = ROOT / "results/demo/book/_build/html"
    parser.add_argument("book", nargs="?", type=Path, default=built, help="a built book's folder")
    parser.add_argument("--slower", type=float, default=1, help="how many times slower")
    parser.add_argument("--turns", type=int, default=5, help="how often each page is opened")
    args = parser.parse_args()
    pages = [page for page in sorted(args.book.rglob("*.html")) if has_figure(page)]
    if not pages:
        parser.error(f"{args.book}: no page with a figure; `make book` builds one")
    handler = partial(QuietHandler, directory=args.book)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server, sync_playwright() as running:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        chromium = running.chromium.launch(
            executable_path=static_pictures.browser_path(), args=static_pictures.FLAGS
        )
        names = [page.relative_to(args.book).as_posix() for page in pages]
        found = {name: [] for name in names}
        for _ in range(args.turns):  # page after page, so that a busy moment meets all of them
            for name in names:
                address = f"http://127.0.0.1:{server.server_port}/{name}"
                found[name].append(open_page(chromium, address, args.slower))
        chromium.close()
        server.shutdown()
    rows = [
        {"page": name}
        | {
            title: round(statistics.median(turn[key] for turn in turns))
            for key, title in COLUMNS.items()
        }
        for name, turns in found.items()
    ]
    print(machine())
    print(f"milliseconds, medians of {args.turns}; processor slowed {args.slower:g} times\n")
    print(markdown(rows))


def has_figure(page):
    return "_static" not in page.parts and "data-figure=" in page.read_text("utf-8")


def open_page(chromium, address, slower):
    """What a fresh visitor sees when: milliseconds by the keys of `COLUMNS`."""
    context = chromium.new_context(viewport={"width": 1400, "height": 900})
    page = context.new_page()
    page.wait_for_timeout(AT_REST)
    page.add_init_script(WATCH)
    if slower > 1:
        context.new_cdp_session(page).send("Emulation.setCPUThrottlingRate", {"rate": slower})
    page.goto(address)
    page.evaluate("document.querySelector('figure.featpurity-figure').scrollIntoView()")
    page.wait_for_function("seen.drawn && seen.largest")
    seen = page.evaluate("seen")
    context.close()
    return seen


if __name__ == "__main__":
    main()
