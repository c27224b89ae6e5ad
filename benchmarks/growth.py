"""How time and memory of experiments 1 and 2 grow, and what they take at ImageNet's size.

    python benchmarks/growth.py [--device cuda]
    python benchmarks/growth.py --imagenet

Prints a Markdown table. The experiments run on random embeddings, without notebooks and figures:
first at a size to start from, then with one number after the other doubled; times are medians of
several rounds through all sizes, so that a slow minute of the machine is no size's. With --imagenet
they run once, for one model with 768 neurons on 50,000 images in 1,000 classes and two random
orders. Each run is a process of its own; memory is its largest resident size, once before the
experiments and once after them.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from statistics import median
from types import SimpleNamespace

import torch
import torch.nn.functional as F
from common import machine, markdown

from featpurity.experiments import clip_vs_laclip, pruning
from featpurity.experiments.inputs import Embedded, Inputs

BASE = dict(images=4000, neurons=256, classes=50, models=2, orders=8)
IMAGENET = dict(images=50_000, neurons=768, classes=1000, models=1, orders=2)
ROUNDS = 5
STEPS = {
    "accuracy and silhouette": lambda made, orders: clip_vs_laclip.compare(made, [], 0),
    "pruning": lambda made, orders: pruning.prune(made, orders, n_bootstrap=0),
}


class Data(SimpleNamespace):
    """As much of a data set as the experiments ask for."""

    def __len__(self):
        return len(self.labels)


def random_inputs(images, neurons, classes, models, device):
    """Models and one data set as the experiments take them, of random numbers."""
    draw = torch.Generator().manual_seed(0)
    labels = torch.arange(images) % classes
    data = Data(labels=labels, classes=range(classes), images_key="random")
    clips, embedded = {}, {}
    for model in map(str, range(models)):
        image, text = (torch.randn(neurons, 768, generator=draw).to(device) for _ in range(2))
        clips[model] = SimpleNamespace(d=neurons, image_neurons=image, text_neurons=text)
        centres = F.normalize(torch.randn(classes, neurons, generator=draw), dim=1)
        seen = torch.randn(images, neurons, generator=draw).mul_(3 / neurons**0.5)
        seen = F.normalize(seen.add_(centres[labels]), dim=1, out=seen)
        parts = (part.to(device) for part in (seen, centres, labels))
        embedded[model, "random"] = Embedded(*parts)
    return Inputs(clips, {"random": data}, embedded)


def gib():
    """The largest resident size of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def measure(size, device):
    """Seconds of each step, by the clock and of the processor, and memory, as a dict."""
    orders = size.pop("orders")
    warm_up = random_inputs(images=60, neurons=8, classes=3, models=1, device=device)
    for step in STEPS.values():
        step(warm_up, 2)
    made, found = random_inputs(**size, device=device), {}
    found["GiB before"] = gib()
    for name, step in STEPS.items():
        start, start_processor = time.perf_counter(), time.process_time()
        step(made, orders)
        found[name] = time.perf_counter() - start, time.process_time() - start_processor
    return found | {"GiB": gib()}


def in_a_process(size, device):
    """What `measure` finds for a size in a process of its own."""
    command = [sys.executable, __file__, "--device", device, "--size", json.dumps(size)]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)


def row(size, runs):
    """The row of a size: medians of its runs, and the most memory of any."""
    medians = {name: [median(both) for both in zip(*(run[name] for run in runs))] for name in STEPS}
    seconds = {
        f"{name} (s; of processor)": "{:.2f}; {:.2f}".format(*medians[name]) for name in STEPS
    }
    memory = {
        "embeddings made (GiB)": f"{max(run['GiB before'] for run in runs):.2f}",
        "at most (GiB)": f"{max(run['GiB'] for run in runs):.2f}",
    }
    return size | seconds | memory


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--imagenet", action="store_true")
    parser.add_argument("--size", type=json.loads, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.size:
        print(json.dumps(measure(options.size, options.device)))
        return
    doubled = [BASE | {key: 2 * value} for key, value in BASE.items()]
    sizes, rounds = ([IMAGENET], 1) if options.imagenet else ([BASE, *doubled], ROUNDS)
    found = [[in_a_process(size, options.device) for size in sizes] for _ in range(rounds)]
    print(f"{machine()}\n\n{markdown([row(*of_size) for of_size in zip(sizes, zip(*found))])}")


if __name__ == "__main__":
    main()
