"""A sweep of fine-tuned projections: counted operations against the rate of a large matrix product.

python benchmarks/sweep.py                       # B/16-sized features, a part of the steps,
extrapolated python benchmarks/sweep.py --pairs 100000 --epochs 10 [--device cuda]    # the whole
sweep
"""

import argparse
from types import SimpleNamespace

import numpy as np
import open_clip
import torch
from common import machine, markdown, matmul_rate, now
from torch.utils.flop_counter import FlopCounterMode

from featpurity.training.cached import sweep_projections


def count_trunks():
    """Operations of the two frozen trunks of ViT-B/16 for a pair, forward, as torch counts."""
    with torch.device("meta"):
        model = open_clip.CLIP(**open_clip.get_model_config("ViT-B-16"))
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            model(torch.empty(1, 3, 224, 224), torch.zeros(1, 77, dtype=torch.int64))
    return counter.get_total_flops()


def count_step(batch, width_image, width_text, d):
    """Operations of one step of one run: forward and weight gradients, the logits and their two
    gradients.
    """
    return 2 * 2 * batch * (width_image + width_text) * d + 3 * 2 * batch**2 * d


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--pairs", type=int, default=4096, help="measured; 100,000 are extrapolated"
    )
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--runs", type=int, default=40, help="5 ratios x 2 kinds x 4 seeds")
    parser.add_argument("--batch", type=int, default=1024)
    parser.add_argument(
        "--widths", type=int, nargs=3, default=[768, 512, 512], help="image, text, d"
    )
    parser.add_argument("--device", default="cpu")
    chosen = parser.parse_args()
    width_image, width_text, d = chosen.widths
    torch.manual_seed(0)
    shared = torch.randn(chosen.pairs, 64)
    images, texts = (shared @ torch.randn(64, width) for width in (width_image, width_text))
    clip = SimpleNamespace(
        image_neurons=torch.randn(d, width_image),
        text_neurons=torch.randn(d, width_text),
        image_bias=None,
        text_bias=None,
        logit_scale=100.0,
    )
    runs = [
        (np.random.default_rng(run).permutation(chosen.pairs), run % 4)
        for run in range(chosen.runs)
    ]
    options = dict(device=chosen.device, batch_size=chosen.batch)
    sweep_projections(
        clip, images[: chosen.batch], texts[: chosen.batch], [(None, 0)], epochs=1, **options
    )

    rate = matmul_rate(chosen.device, 4096 if chosen.device == "cpu" else 16384)
    start = now(chosen.device)
    sweep_projections(clip, images, texts, runs, epochs=chosen.epochs, progress=True, **options)
    seconds = now(chosen.device) - start
    rate = max(rate, matmul_rate(chosen.device, 4096 if chosen.device == "cpu" else 16384))
    step = count_step(chosen.batch, *chosen.widths)
    done = step * chosen.runs * chosen.epochs * (chosen.pairs // chosen.batch)
    whole = step * 40 * 10 * (100_000 // chosen.batch)
    trunks = count_trunks() * 100_000
    cached, online = whole + trunks, whole + trunks * 40 * 10
    print(
        f"{machine()}\n\n"
        + markdown(
            [
                {
                    "runs": chosen.runs,
                    "pairs": f"{chosen.pairs:,}",
                    "epochs": chosen.epochs,
                    "batch": chosen.batch,
                    "widths": "/".join(map(str, chosen.widths)),
                    "operations": f"{done:.2e}",
                    "seconds": f"{seconds:.1f}",
                    "GFLOP/s": f"{done / seconds / 1e9:.0f}",
                    "of matmul": f"{done / seconds / rate:.0%}",
                    "40 runs x 10 epochs x 100,000 (min)": f"{whole * seconds / done / 60:.1f}",
                    "online costs, trunks counted (times)": f"{online / cached:.0f}",
                }
            ]
        )
    )


if __name__ == "__main__":
    main()
