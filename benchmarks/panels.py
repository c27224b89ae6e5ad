"""How soon the live panels answer in a real JupyterLab, the drawing included.

    python benchmarks/panels.py [--turns 9]

An untrained ViT-B/32 (512 neurons) and 10,000 images of 10 classes with random embeddings. Each
control is changed again and again: a menu, a slider by the arrow keys, a field by Enter. Prints a
Markdown table: milliseconds from the event of the control to the last change below it, what the
kernel computes, the way there and back, and the drawing included; the median and the slowest. One
class name is new each time, and its prompt passes the text tower.
"""

import argparse
import statistics
import sys
import tempfile
from pathlib import Path

from common import machine, markdown
from embeddings import save_untrained
from PIL import Image
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "workflow"), str(ROOT / "tests")]
import static_pictures  # noqa: E402
from lab_server import WHOLE, jupyterlab, run_in_lab  # noqa: E402

DATA = """
import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from featpurity import explore, load_model

generator = torch.Generator().manual_seed(0)
clip = load_model("ViT-B-32:untrained.pt", device="cpu")
other = clip.with_projections(
    torch.randn(clip.image_neurons.shape, generator=generator),
    torch.randn(clip.text_neurons.shape, generator=generator),
)
images = F.normalize(torch.randn(10_000, clip.d, generator=generator), dim=1)
classes = F.normalize(torch.randn(10, clip.d, generator=generator), dim=1)
photo = Image.open("0.jpg")

class Photos:
    name, labels = "10,000 images", np.arange(10_000) % 10
    classes = [f"class {i}" for i in range(10)]

    def __getitem__(self, i):
        return Image.open(f"{i % 2}.jpg"), self.labels[i]
"""
PANELS = [
    "explore.heatmap(clip)",
    "explore.misalignment({('random', 0.0): clip, ('random', 0.8): other})",
    "explore.pruning(clip, images, classes, Photos())",
    "explore.neuron(clip, images, Photos())",
    "explore.zero_shot(clip, ['cat', 'dog'], 'a photo of a {}', photo)",
]
QUIET = 1000  # milliseconds without a change, after which an answer is whole
# Notes when a control of a cell was changed and when anything below it changed for the last time.
WATCH = """(cell) => {
  const seen = window.seen = {};
  const ask = () => { seen.asked = performance.now(); delete seen.answered; };
  for (const event of ["change", "keydown"]) cell.addEventListener(event, ask, true);
  const ofControls = ({ target }) => (target.parentElement ?? target)
    .closest(".widget-dropdown, .widget-slider, .widget-text, .widget-select");
  new MutationObserver((changes) => {
    if (!changes.every(ofControls)) seen.answered = performance.now();
  }).observe(cell, { subtree: true, childList: true, attributes: true, characterData: true });
}"""
ANSWERED = f"() => seen.answered && performance.now() - seen.answered > {QUIET}"


def choose(label, *options):
    """A hand that chooses the options of a menu in turn."""

    def act(cell, turn):
        cell.get_by_label(label, exact=True).select_option(options[turn % len(options)])

    return act


def slide(cell, turn):
    """A hand that moves a slider to the right and back."""
    cell.locator(".noUi-handle").press("ArrowLeft" if turn % 2 else "ArrowRight")


def slide_left(cell, turn):
    """A hand that moves a slider to the left, again and again."""
    cell.locator(".noUi-handle").press("ArrowLeft")


def type_name(cell, turn):
    """A hand that writes another third class into the field of class names."""
    field = cell.get_by_label("classes")
    field.fill(f"cat, dog, animal {turn}")
    field.press("Enter")


def switch_off(cell, turn):
    """A hand that chooses a neuron to switch off."""
    cell.get_by_label("switched off").select_option(index=turn % 10)


MOVES = [  # panel, control, hand
    ("heatmap", "tower", choose("tower", "text", "image")),
    ("heatmap", "order", choose("order", "purest first", "by index")),
    ("misalignment", "ratio", slide),
    ("pruning", "neurons kept", slide_left),
    ("pruning", "strategy", choose("strategy", "low_purity", "high_purity")),
    ("neuron", "purity rank", slide),
    ("zero_shot", "classes", type_name),
    ("zero_shot", "switched off", switch_off),
]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=9, help="how often each control is changed")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as running:
        folder = Path(folder)
        save_untrained("ViT-B-32", folder / "untrained.pt")
        for i in range(2):  # photographs of 512 x 384 pixels
            noise = Image.effect_noise((32, 24), 60 + 60 * i).resize((512, 384))
            noise.convert("RGB").save(folder / f"{i}.jpg")
        chromium = running.chromium.launch(
            executable_path=static_pictures.browser_path(), args=static_pictures.FLAGS
        )
        with jupyterlab(folder) as address:
            page = chromium.new_page(viewport=WHOLE)
            run_in_lab(page, address, folder, [DATA, *PANELS])
            page.get_by_label("classes").wait_for()
            rows = [measure(page, *move, args.turns) for move in MOVES]
        chromium.close()
    print(machine())
    print(f"milliseconds, {args.turns} changes of each control\n")
    print(markdown(rows))


def measure(page, panel, control, act, turns):
    """Change a control some times: a row of the table."""
    place = next(i for i, source in enumerate(PANELS, 1) if f"explore.{panel}(" in source)
    cell, times = page.locator(".jp-Notebook .jp-CodeCell").nth(place), []
    cell.evaluate(WATCH)
    for turn in range(turns + 1):  # one to warm up
        act(cell, turn)
        page.wait_for_function(ANSWERED)
        times.append(page.evaluate("seen.answered - seen.asked"))
    median, slowest = statistics.median(times[1:]), max(times[1:])
    return {"panel": panel, "control": control, "median": round(median), "slowest": round(slowest)}


if __name__ == "__main__":
    main()
