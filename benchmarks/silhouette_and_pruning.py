"""Silhouette, its interval and pruning curves against the plain way, side by side in one run.

    python benchmarks/silhouette_and_pruning.py [--device cuda]

Prints a Markdown table of medians of alternating runs: the plain way and ours take turns, so that
whatever else the machine does falls on both. Silhouette against scikit-learn's, at 10,000 x 512 in
10 classes and at the size of Food-101's test split, 25,250 x 512 in 101. The standard error of the
silhouette from influences against 2,000 draws of the bootstrap at that size; the draws are timed
once, 20 of them. Pruning: every k from 1 to 512 on 10,000 x 512 and 10 classes against masking the
embeddings and classifying them anew for 14 values of k.
"""

import argparse
import statistics

import torch
import torch.nn.functional as F
from common import machine, markdown, now
from sklearn.metrics import silhouette_score

from featpurity import pruning_curve, silhouette
from featpurity.metrics.intervals import standard_error
from featpurity.metrics.silhouette import bootstrap_silhouettes, silhouette_influence

RUNS = 5
DRAWS, TIMED_DRAWS = 2000, 20


def seconds(work, device):
    """Wall-clock seconds of one call, and its result."""
    start = now(device)
    result = work()
    return now(device) - start, result


def alternating(plain, ours, device, runs=RUNS):
    """Median seconds of both ways over runs that take turns, and their last results."""
    ours()  # to warm up
    times = []
    for _ in range(runs):
        plain_time, expected = seconds(plain, device)
        our_time, found = seconds(ours, device)
        times.append((plain_time, our_time))
    return *map(statistics.median, zip(*times)), expected, found


def clustered(n, d, n_classes, device):
    """Unit embeddings round n_classes random centres, their labels and the centres."""
    generator = torch.Generator().manual_seed(0)
    centres = F.normalize(torch.randn(n_classes, d, generator=generator), dim=1)
    labels = torch.randint(n_classes, (n,), generator=generator)
    embeddings = F.normalize(centres[labels] + 0.1 * torch.randn(n, d, generator=generator), dim=1)
    return embeddings.to(device), labels.to(device), centres.to(device)


def compare_silhouette(n, n_classes, device):
    embeddings, labels, _ = clustered(n, 512, n_classes, device)
    features, classes = embeddings.double().cpu().numpy(), labels.cpu().numpy()
    plain_time, our_time, plain, ours = alternating(
        lambda: silhouette_score(features, classes, metric="cosine"),
        lambda: silhouette(embeddings, labels),
        device,
    )
    return f"silhouette, {n:,} x 512, {n_classes} classes", plain_time, our_time, abs(ours - plain)


def compare_interval(device):
    embeddings, labels, _ = clustered(25_250, 512, 101, device)
    plain_time, our_time, draws, error = alternating(
        lambda: bootstrap_silhouettes([embeddings], labels, TIMED_DRAWS),
        lambda: standard_error(silhouette_influence(embeddings, labels)),
        device,
        runs=3,
    )
    what = f"its standard error (plain: {DRAWS:,} draws, from {TIMED_DRAWS}), 25,250 x 512"
    difference = abs(error.item() - draws.std().item())
    return what, plain_time * DRAWS / TIMED_DRAWS, our_time, difference


def compare_pruning(device):
    embeddings, labels, classes = clustered(10_000, 512, 10, device)
    order = torch.randperm(512, generator=torch.Generator().manual_seed(1)).to(device)
    kept = [round(512 * i / 14) for i in range(1, 15)]

    def plain():
        curve = []
        for k in kept:
            mask = torch.zeros(512, device=device)
            mask[order[:k]] = 1
            curve.append(((embeddings * mask) @ classes.T).argmax(1).eq(labels).float().mean())
        return torch.stack(curve)

    plain_time, our_time, masked, curve = alternating(
        plain, lambda: pruning_curve(embeddings, classes, labels, order), device, runs=9
    )
    difference = (curve[torch.tensor(kept) - 1] - masked).abs().max().item()
    what = "accuracy, 10,000 x 512, 10 classes: all 512 k (plain: 14 k)"
    return what, plain_time, our_time, difference


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cpu")
    device = parser.parse_args().device
    compared = [
        compare_silhouette(10_000, 10, device),
        compare_silhouette(25_250, 101, device),
        compare_interval(device),
        compare_pruning(device),
    ]
    rows = [
        {
            "what": what,
            "plain way (s)": f"{plain_time:.4f}",
            "ours (s)": f"{our_time:.4f}",
            "times faster": f"{plain_time / our_time:.1f}",
            "difference": f"{difference:.1e}",
        }
        for what, plain_time, our_time, difference in compared
    ]
    print(f"{machine()}\n\n{markdown(rows)}")


if __name__ == "__main__":
    main()
