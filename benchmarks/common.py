"""What every benchmark says about itself: the machine, the commit, a table."""

import os
import platform
import subprocess
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
