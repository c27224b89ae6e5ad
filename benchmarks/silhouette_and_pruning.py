"""Our silhouette and pruning curve against the plain way, side by side in one run.

    python benchmarks/silhouette_and_pruning.py [--device cuda]

Prints a Markdown table. Silhouette: the size of Food-101's test split, 25,250 x 512 in 101 classes,
against scikit-learn's. Pruning: every k from 1 to 512 on 10,000 x 512 and 10 classes against
masking the embeddings and classifying them anew for 14 values of k.
"""

import argparse
import time

import torch
import torch.nn.functional as F
from common import machine, markdown
from sklearn.metrics import silhouette_score

from featpurity import pruning_curve, silhouette


def seconds(work, device, repeats):
    """Median wall-clock seconds of a call, after one call to warm up, and its last result."""
    result, times = work(), []
    for _ in range(repeats):
        start = time.perf_counter()
        result = work()
        if device != "cpu":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return sorted(times)[len(times) // 2], result


def clustered(n, d, n_classes, device):
    """Unit embeddings round n_classes random centres, their labels and the centres."""
    generator = torch.Generator().manual_seed(0)
    centres = F.normalize(torch.randn(n_classes, d, generator=generator), dim=1)
    labels = torch.randint(n_classes, (n,), generator=generator)
    embeddings = F.normalize(centres[labels] + 0.1 * torch.randn(n, d, generator=generator), dim=1)
    return embeddings.to(device), labels.to(device), centres.to(device)


def compare_silhouette(device):
    embeddings, labels, _ = clustered(25_250, 512, 101, device)
    features, classes = embeddings.double().cpu().numpy(), labels.cpu().numpy()
    start = time.perf_counter()
    plain = silhouette_score(features, classes, metric="cosine")
    plain_seconds = time.perf_counter() - start
    our_seconds, ours = seconds(lambda: silhouette(embeddings, labels), device, repeats=5)
    return (
        "silhouette, 25,250 x 512, 101 classes",
        plain_seconds,
        our_seconds,
        f"{abs(ours - plain):.1e}",
    )


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

    plain_seconds, masked = seconds(plain, device, repeats=9)
    our_seconds, curve = seconds(
        lambda: pruning_curve(embeddings, classes, labels, order), device, repeats=9
    )
    difference = (curve[torch.tensor(kept) - 1] - masked).abs().max().item()
    return (
        "accuracy, 10,000 x 512, 10 classes: all 512 k (plain: 14 k)",
        plain_seconds,
        our_seconds,
        f"{difference:.1e}",
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cpu")
    device = parser.parse_args().device
    rows = []
    for compare in (compare_silhouette, compare_pruning):
        name, plain_seconds, our_seconds, difference = compare(device)
        rows.append(
            {
                "what": name,
                "plain way (s)": f"{plain_seconds:.4f}",
                "ours (s)": f"{our_seconds:.4f}",
                "times faster": f"{plain_seconds / our_seconds:.1f}",
                "largest difference": difference,
            }
        )
    print(f"{machine()}\n\n{markdown(rows)}")
