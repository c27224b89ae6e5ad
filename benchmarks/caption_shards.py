"""Nearest captions in shards: the job that computes the vectors once, and one of the shards' jobs.

    python benchmarks/caption_shards.py CAPTIONS.txt    # without a file: generated captions

Both notebooks run as the workflow runs them, through papermill. Where there are fewer captions than
asked for, they are made as in `captions.py`.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd
from captions import enough_captions, source
from common import machine, markdown
from PIL import Image

STEPS = Path(__file__).resolve().parents[1] / "notebooks/steps"


def write_pairs(folder, captions, n_pictures=1000):
    """A CSV of pairs, each picture with many captions, as short work for the decoder as can be."""
    for i in range(n_pictures):
        Image.new("RGB", (4, 4), (i % 256, i // 256, 0)).save(folder / f"{i}.png")
    names = [f"{i % n_pictures}.png" for i in range(len(captions))]
    pd.DataFrame({"image": names, "caption": captions}).to_csv(folder / "pairs.csv", index=False)


def seconds_of(step, folder, **parameters):
    """How long a step takes as a job: the start of its kernel, its imports, its cells."""
    command = [sys.executable, "-m", "papermill", "--no-progress-bar", "--log-level", "ERROR"]
    command += [str(STEPS / f"{step}.ipynb"), str(folder / f"{step}.ipynb")]
    for key, value in {**parameters, "results_dir": folder / "results"}.items():
        command += ["-p", key, str(value)]
    start = time.perf_counter()
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    return time.perf_counter() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("captions", nargs="?", help="text file, one caption a line")
    parser.add_argument("--size", type=int, default=200_000)
    parser.add_argument("--shards", type=int, default=64)
    chosen = parser.parse_args()
    n, shards = chosen.size, chosen.shards
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        write_pairs(folder, enough_captions(chosen.captions, n))
        vectors = seconds_of("vectors", folder, pairs=folder / "pairs.csv", n_pairs=n)
        shard = seconds_of("neighbours", folder, caption_shards=shards, shard=shards // 2)
    row = {
        "captions": f"{n:,}",
        "source": source(chosen.captions, n),
        "shards": shards,
        "vectors, once (s)": f"{vectors:.1f}",
        "a shard (s)": f"{shard:.1f}",
        "all jobs (s)": f"{vectors + shards * shard:.0f}",
    }
    print(f"{machine()}\n\n{markdown([row])}")


if __name__ == "__main__":
    main()
