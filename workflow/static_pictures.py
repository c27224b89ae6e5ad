"""Take a picture of every figure, for print, readers without JavaScript and shared links.

A browser opens the built pages and draws each figure as a reader sees it; plotly's own picture of
it is saved beside the page. This needs Chromium and playwright; if either is missing, the pages
have no pictures, and a line says so.
"""

import base64
import io
import shutil

from bs4 import BeautifulSoup
from PIL import Image

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run "
    "--disable-background-networking --disable-component-update --disable-sync"
).split()
SCALE, QUALITY, HEAVY = 1.25, 65, 60_000
# Scrolls through a page until every figure is drawn; returns their names and which were drawn.
DRAW_ALL = """async () => {
  const settled = (host) => host.dataset.state ? null : new Promise((done) => {
    new MutationObserver((_, observer) => {
      if (host.dataset.state) { observer.disconnect(); done(); }
    }).observe(host, { attributes: true });
  });
  const hosts = [...document.querySelectorAll("figure.featpurity-figure")];
  for (const host of hosts) { host.scrollIntoView(); await settled(host); }
  return hosts.map((host) => ({ name: host.dataset.figure,
    drawn: host.dataset.state === "drawn" && !!host.querySelector("svg.main-svg") }));
}"""
TAKE = """async (scale) => {
  const pictures = {};
  for (const host of document.querySelectorAll("figure[data-state='drawn']")) {
    const plot = host.querySelector(".plot");
    const figure = { data: plot.data, layout: { ...plot.layout, paper_bgcolor: "#ffffff" } };
    const size = { width: plot.clientWidth, height: plot.clientHeight, scale };
    pictures[host.dataset.figure] = await Plotly.toImage(figure, { format: "png", ...size });
  }
  return pictures;
}"""


def browser_path():
    """Chromium on this machine, or None."""
    return next(filter(None, map(shutil.which, BROWSERS)), None)


def add(site):
    """Put a picture of each figure into the built pages; return the names of those figures.

    Parameters
    ----------
    site : Path
        The folder of the built pages.
    """
    pages = [
        path for path in sorted(site.rglob("*.html")) if "data-figure=" in path.read_text("utf-8")
    ]
    if not pages:
        return []
    pictures = take(pages)
    folder = site / "_static" / "pictures"
    folder.mkdir(parents=True, exist_ok=True)
    sizes = {name: _save(data, folder / f"{name}.webp") for name, data in pictures.items()}
    for path in pages:
        _insert(path, sizes, "../" * len(path.relative_to(site).parents[:-1]))
    return list(sizes)


def take(pages):
    """Draw the figures of pages; return their pictures as data addresses by name."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        print("No static pictures of the figures: playwright is not installed.")
        return {}
    path = browser_path()
    if path is None:
        print("No static pictures of the figures: there is no Chromium on this machine.")
        return {}
    pictures = {}
    with sync_playwright() as running:
        browser = running.chromium.launch(executable_path=path, args=FLAGS)
        page = browser.new_page(viewport={"width": 1400, "height": 900}, color_scheme="light")
        for address in pages:
            page.goto(address.absolute().as_uri())
            page.evaluate(DRAW_ALL)
            pictures |= page.evaluate(TAKE, SCALE)
        browser.close()
    return pictures


def _save(address, path):
    """Write a picture; return its size in CSS pixels."""
    picture = Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2]))).convert("RGB")
    picture.save(path, quality=QUALITY)
    if path.stat().st_size > HEAVY:  # e.g. a matrix, whose cells look like noise
        picture.save(path, quality=QUALITY // 2)
    return round(picture.width / SCALE), round(picture.height / SCALE)


def _insert(path, sizes, up):
    """Put pictures where figures will be drawn; no alt text, as the words below describe them."""
    page = BeautifulSoup(path.read_text("utf-8"), "html.parser")
    for place, figure in enumerate(page.find_all("figure", attrs={"data-figure": True})):
        name = figure["data-figure"]
        if name not in sizes:
            continue
        width, height = sizes[name]
        still = {"class": "still", "src": f"{up}_static/pictures/{name}.webp", "alt": ""}
        still |= {"width": width, "height": height}
        still |= {"loading": "lazy"} if place else {"fetchpriority": "high"}
        figure.find(class_="canvas").insert(0, page.new_tag("img", attrs=still))
    path.write_text(str(page), "utf-8")
