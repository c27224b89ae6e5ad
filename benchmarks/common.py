"""What benchmarks share: the clock, and what each says of itself (machine, commit, a table)."""

import os
import platform
import subprocess
import time
from pathlib import Path

import torch


def machine():
    """One line: processor, cores, GPU if any, commit."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.is_file() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    parts = [
        names[0] if names else platform.processor() or platform.machine(),
        f"{len(os.sched_getaffinity(0))} cores, {torch.get_num_threads()} threads",
        *([torch.cuda.get_device_name()] if torch.cuda.is_available() else []),
    ]
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parent,
    ).stdout.strip()
    return f"{'; '.join(parts)}; torch {torch.__version__}; commit {commit or 'unknown'}"


def markdown(rows):
    """A markdown table of a list of dicts with the same keys."""
    lines = [
        list(rows[0]),
        ["---"] * len(rows[0]),
        *([str(value) for value in row.values()] for row in rows),
    ]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def now(device):
    """Seconds on the clock, once a card has done what it was given."""
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def seconds(run, device, repeats=3):
    """Shortest time of a run, after one to warm up."""
    times = []
    for _ in range(repeats + 1):
        start = now(device)
        run()
        times.append(now(device) - start)
    return min(times[1:])


def matmul_rate(device, size, kind=torch.float32):
    """Floating-point operations per second of a (size, size) product, the best of five."""
    a, b = (torch.randn(size, size, device=device, dtype=kind) for _ in range(2))
    return 2 * size**3 / seconds(lambda: a @ b, device, repeats=5)
