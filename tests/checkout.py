"""The checkout under test, and its workflow as a reader would start it."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def snakemake(profile, *options):
    """Run the workflow on a profile; the finished process, with all it printed as `stdout`."""
    command = [sys.executable, "-m", "snakemake", "--nolock", "--config", f"profile={profile}"]
    return subprocess.run(
        [*command, *options],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=1500,
    )
