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


def run_notebook(name, /, **settings):
    """The code cells of a notebook in plain Python, with other settings than its own."""
    from fingerprint import code_cells  # which torchrun's processes do not find, nor need

    parameters, *rest = code_cells(ROOT / "notebooks" / name)
    scope = {"display": lambda figure: None}  # as in a notebook, nothing to import
    exec(parameters, scope)
    scope |= settings
    for source in rest:
        exec(source, scope)
