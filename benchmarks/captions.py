"""Nearest captions and swaps: ours against two plain ways, each in a process of its own.

    python benchmarks/captions.py CAPTIONS.txt       # without a file: generated captions, far more
    alike than real ones

Where there are fewer captions than asked for, all are made from them by joining the first half of
one caption to the second half of another. The dense way is what one writes first: dense vectors,
the whole similarity matrix in float32 by one product, then the 64 largest of each row; at 40,000
captions it needs some 10 GB. A smarter plain way multiplies the sparse vectors and makes only the
product dense.
"""

import argparse
import multiprocessing
import resource
import time

import numpy as np
import torch
from common import machine, markdown

from featpurity.captions.files import read_captions
from featpurity.captions.nearest import LISTED, similar_captions, tfidf
from featpurity.captions.nearest_blocks import similar_captions_by_blocks
from featpurity.captions.synthetic import make_captions, scene_facts
from featpurity.captions.walk import swap_pairs
from featpurity.data.scenes import sample


def enough_captions(path, n):
    """The first n captions of a file, or n made from halves of them."""
    captions = read_captions(path) if path else generated()
    if len(captions) >= n:
        return captions[:n]
    words, rng = [caption.split() for caption in captions], np.random.default_rng(0)
    pairs = rng.integers(len(captions), size=(n, 2))
    return [
        " ".join(words[a][: len(words[a]) // 2] + words[b][len(words[b]) // 2 :]) for a, b in pairs
    ]


def source(path, n):
    """What the n captions are, for the table."""
    have = len(read_captions(path) if path else generated())
    return ("real" if path else "generated") + ("" if n <= have else ", halves recombined")


def generated(n=20_000):
    """Two sentences about each of n generated pictures."""
    rewrites = make_captions([scene_facts(row) for row in sample(n, seed=1)], seed=1, n=2)[1]
    return [caption for both in rewrites for caption in both]


def ours(vectors, _):
    similar_captions(vectors)


def on_card(vectors, _):
    similar_captions_by_blocks(vectors, device="cuda")


def dense(vectors, _):
    vectors = torch.from_numpy(vectors.astype(np.float32).toarray())
    largest((vectors @ vectors.T).numpy())


def sparse(vectors, _):
    vectors = vectors.astype(np.float32)
    largest((vectors @ vectors.T).toarray())


def largest(similarity):
    for rows in np.array_split(similarity, max(1, len(similarity) // 1000)):
        np.argpartition(-rows, LISTED, axis=1)[:, :LISTED]


def swap(_, captions):
    swap_pairs(captions, 0.8)


def measure(way, path, n, answers):
    """Seconds of one way, and the peak memory of its process in GB: captions, vectors and libraries
    included.
    """
    captions = enough_captions(path, n)
    vectors = tfidf(captions)
    start = time.perf_counter()
    way(vectors, captions)
    seconds = time.perf_counter() - start
    answers.put((seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6))


def alone(way, path, n):
    context = multiprocessing.get_context("spawn")
    answers = context.Queue()
    process = context.Process(target=measure, args=(way, path, n, answers))
    process.start()
    process.join()
    if process.exitcode:
        raise SystemExit(f"{way.__name__} at {n:,} captions ended with status {process.exitcode}")
    return answers.get()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "captions", nargs="?", help="text file, one caption a line; generated ones without it"
    )
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 20_000, 40_000, 100_000])
    parser.add_argument(
        "--dense-up-to", type=int, default=40_000, help="that way needs 4 n^2 bytes and more"
    )
    parser.add_argument(
        "--device",
        choices=["cpu", "cuda"],
        default="cpu",
        help="where ours finds the nearest captions",
    )
    chosen = parser.parse_args()
    rows = []
    for n in chosen.sizes:
        seconds, memory = alone(on_card if chosen.device == "cuda" else ours, chosen.captions, n)
        row = {
            "captions": f"{n:,}",
            "source": source(chosen.captions, n),
            "nearest 64 (s)": f"{seconds:.2f}",
            "GB": f"{memory:.2f}",
            "us per caption": f"{1e6 * seconds / n:.0f}",
        }
        for way in (dense, sparse):
            plain, its_memory = (
                alone(way, chosen.captions, n) if n <= chosen.dense_up_to else (None, None)
            )
            row |= {
                f"{way.__name__} (s)": f"{plain:.1f}" if plain else "",
                f"{way.__name__} GB": f"{its_memory:.1f}" if plain else "",
                f"{way.__name__} / ours": f"{plain / seconds:.0f}" if plain else "",
            }
        swapped, _ = alone(swap, chosen.captions, n)
        rows.append(row | {"whole swap, ratio 0.8 (s)": f"{swapped:.1f}"})
    print(f"{machine()}\n\n{markdown(rows)}")


if __name__ == "__main__":
    main()
