"""Images per second: the model alone, decoding alone, and the pipeline of both; texts per second.

They are set against what the device can do, and against torchvision's plain loop.

The device's rate is that of one large matrix product in the same precision; the model's share of it
counts the floating-point operations of its matrix products, convolutions and attention. The weights
are untrained, which costs the same time. Run `python benchmarks/embeddings.py --help` for the
settings; the defaults suit two cores, or a card if there is one: then each process that decodes
makes eight batches, so that little of the model's work is left when the last is decoded. PyTorch
keeps two batches a process ahead, in shared memory.
"""

import argparse
import os
import tempfile
import time
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np
import open_clip
import torch
from common import machine, matmul_rate, seconds
from PIL import Image
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.data import DataLoader, Subset
from torch.utils.flop_counter import FlopCounterMode
from torchvision.datasets import ImageFolder

from featpurity.data.datasets import load_dataset
from featpurity.data.pairs import load_pairs
from featpurity.features import extract
from featpurity.models.load import load_model


def save_untrained(architecture, file):
    """Write an open_clip architecture's weights, without training."""
    torch.save(open_clip.create_model(architecture, load_weights=False).state_dict(), file)


def untrained(architecture, device):
    """An open_clip architecture without weights of worth, loaded as users load theirs."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "weights.pt"
        save_untrained(architecture, file)
        return load_model(f"{architecture}:{file}", device)


def operations(trunk, size, device):
    """Floating-point operations of an image trunk for one image, attention written out so that all
    is counted.
    """
    fused = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    with FlopCounterMode(display=False) as counter, torch.no_grad(), sdpa_kernel(SDPBackend.MATH):
        trunk(torch.zeros(1, 3, size, size, device=device))
    torch.backends.mha.set_fastpath_enabled(fused)
    return counter.get_total_flops()


def write_photos(folder, n, classes=10, distinct=2048):
    """JPEG files of the size of Food-101's, 512 x 384, with detail at all scales, as slow to read.

    Those beyond the distinct ones are hard links to them: files of their own to whoever decodes,
    which take no room.
    """
    rng = np.random.default_rng(0)
    layers = [
        Image.fromarray(rng.integers(0, 256, (384 // step, 512 // step, 3), dtype=np.uint8)).resize(
            (512, 384)
        )
        for step in (64, 16, 4, 1)
    ]
    photo = np.tensordot(
        [0.5, 0.25, 0.2, 0.05], np.stack([np.asarray(layer, dtype=float) for layer in layers]), 1
    )
    for i in range(n):
        path = folder / str(i % classes) / f"{i}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        if i < distinct:
            Image.fromarray(np.roll(photo, 7 * i, axis=1).astype(np.uint8)).save(path, quality=90)
        else:
            os.link(folder / str(i % distinct % classes) / f"{i % distinct}.jpg", path)


def plain_loop(photos, clip, tower, args, n):
    """Images per second of what one writes without this package: ImageFolder, DataLoader, tower."""
    pictures = Subset(ImageFolder(photos, clip.preprocess), range(n))
    loader = DataLoader(
        pictures, args.batch_size, num_workers=args.workers, pin_memory=args.device != "cpu"
    )
    start = time.perf_counter()
    for batch, _ in loader:
        tower(batch).cpu()
    return n / (time.perf_counter() - start)


def text_rates(clip, precision, turns, n=512):
    """Texts a second of open_clip's own pass over all places, and of ours; the mean length."""
    tokens = clip.tokenizer([texts[0] for texts in load_pairs("scenes", n_pairs=n).rewrites])
    towers = clip.trunks.encode_text, clip.text_trunk
    runs = [extract.runner(clip, tower, precision) for tower in towers]
    rounds = [partial(run, tokens) for run in runs]
    times = [[seconds(run, clip.device, repeats=1) for run in rounds] for _ in range(turns)]
    return *(n / median(column) for column in zip(*times)), tokens.argmax(1).float().mean() + 1


def main():
    card = torch.cuda.is_available()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--model", default="ViT-B-16" if card else "ViT-B-32", help="an open_clip architecture"
    )
    parser.add_argument("--device", default="cuda" if card else "cpu")
    parser.add_argument(
        "--precision", default="bf16" if card else "fp32", choices=list(extract.PRECISIONS)
    )
    parser.add_argument(
        "--images", type=int, help="left out, eight batches for each process that decodes"
    )
    parser.add_argument("--batch-size", type=int, default=256 if card else 32)
    parser.add_argument(
        "--workers", type=int, default=16 if card else 0, help="processes that decode"
    )
    parser.add_argument(
        "--photos", help="a folder of class folders; left out, photos are generated"
    )
    parser.add_argument(
        "--turns", type=int, default=3, help="runs of torchvision's loop and of the pipeline"
    )
    parser.add_argument(
        "--compile", action="store_true", help="prepare the tower with torch.compile"
    )
    args = parser.parse_args()
    images = args.images or 8 * max(args.workers, 1) * args.batch_size

    kind = extract.PRECISIONS[args.precision] or torch.float32
    clip = untrained(args.model, args.device)
    size = clip.preprocess(Image.new("RGB", (512, 384))).shape[-1]
    pinned = torch.device(args.device).type == "cuda"
    peak = matmul_rate(args.device, 8192 if pinned else 2048, kind)
    work = operations(clip.image_trunk, size, args.device)
    print(machine())
    ahead = 2 * args.workers * args.batch_size * 3 * size**2 * 4 / 1e9
    print(
        f"{args.model} on {args.device}, {args.precision}, batch {args.batch_size}, "
        f"{args.workers} workers, which keep {ahead:.1f} GB ahead"
    )
    print(
        f"one matrix product     {peak / 1e12:8.2f} TFLOP/s;  the trunk takes "
        f"{work / 1e9:.1f} GFLOP an image"
    )

    tower = extract.runner(clip, clip.image_trunk, args.precision, args.compile)
    batch = torch.randn(args.batch_size, 3, size, size, device=args.device)
    model_rate = args.batch_size / seconds(lambda: tower(batch), args.device)
    print(
        f"model alone            {model_rate:8.0f} images/s = {model_rate * work / peak:.0%} of "
        "that rate"
    )

    all_places, places_used, length = text_rates(clip, args.precision, args.turns)
    print(
        f"captions               {places_used:8.0f} texts/s, {places_used / all_places:.1f} times "
        f"as many as over all places of the tower; {length:.0f} tokens a text"
    )

    with tempfile.TemporaryDirectory() as folder:
        photos = Path(args.photos or Path(folder) / "photos")
        if not args.photos:
            write_photos(photos, images)
        data = load_dataset(f"folder:{photos}")
        data = data.subset(range(min(images, len(data))))

        start = time.perf_counter()
        extract.refuse_unreadable(data, Path(folder))
        opening_rate = len(data) / (time.perf_counter() - start)
        print(f"opening every file     {opening_rate:8.0f} images/s, once a data set")

        start = time.perf_counter()
        starts = range(0, len(data), args.batch_size)
        batches = [(at, min(at + args.batch_size, len(data))) for at in starts]
        for _ in extract.decoder([data.images], [batches], [clip.preprocess], args.workers, pinned):
            pass
        decoding_rate = len(data) / (time.perf_counter() - start)
        print(f"decoding alone         {decoding_rate:8.0f} images/s")

        plain, own = [], []
        for turn in range(args.turns):  # in turns, since a machine is never quite idle
            plain.append(plain_loop(photos, clip, tower, args, len(data)))
            start = time.perf_counter()
            extract.image_trunk_features(
                clip,
                data,
                Path(folder, f"store{turn}"),
                batch_size=args.batch_size,
                workers=args.workers,
                precision=args.precision,
                compiled=args.compile,
            )
            own.append(len(data) / (time.perf_counter() - start))
        plain_rate, rate = median(plain), median(own)
        slower = min(decoding_rate, model_rate)
        print(
            f"torchvision's loop     {plain_rate:8.0f} images/s, ImageFolder into the same tower\n"
            f"pipeline into store    {rate:8.0f} images/s = {rate / slower:.0%} of the slower of "
            f"the two, {rate / plain_rate:.2f} times torchvision's loop (medians of {args.turns})\n"
            f"{'':23}the model waits {max(0, 1 - rate / model_rate):.0%} of the time"
        )
        if not args.workers:
            serial = 1 / (1 / decoding_rate + 1 / model_rate)
            print(
                f"                       without workers they take turns, at best {serial:.0f} "
                f"images/s: {rate / serial:.0%}"
            )


if __name__ == "__main__":
    main()
