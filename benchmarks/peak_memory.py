"""Run a command; its time, and the largest memory that it and all it started held (Linux).

    python benchmarks/peak_memory.py make book

Memory that several processes share counts once: it is the sum of their proportional set sizes,
taken twice a second.
"""

import os
import subprocess
import sys
import time
from pathlib import Path


def family(root):
    """The ids of a process and of all that come from it."""
    parents = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents.setdefault(int(status.read_text().rpartition(")")[2].split()[1]), []).append(
                int(status.parent.name)
            )
        except OSError:  # it has just ended
            continue
    found = [root]
    for process in found:
        found += parents.get(process, [])
    return found


def held(process):
    """Its proportional set size in kB; 0 when it has ended."""
    try:
        lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))


def measured(command, **options):
    """Run a command: exit status, seconds, seconds of processors, most GiB held.

    Options are subprocess.Popen's. Processors' seconds are of the command and of all it waited for.
    """
    start, before, peak = time.monotonic(), os.times(), 0
    running = subprocess.Popen(command, **options)
    while running.poll() is None:
        peak = max(peak, sum(map(held, family(running.pid))))
        time.sleep(0.5)
    after = os.times()
    busy = after.children_user + after.children_system
    busy -= before.children_user + before.children_system
    return running.returncode, time.monotonic() - start, busy, peak / 2**20


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    status, seconds, _, gib = measured(sys.argv[1:])
    print(f"{' '.join(sys.argv[1:])}: status {status}, {seconds:.1f} s, {gib:.2f} GiB at most")
    sys.exit(status)


if __name__ == "__main__":
    main()
