"""`make book` and `make plan`: the workflow on one profile, one run of each folder of results."""

import argparse
import fcntl
import json
import subprocess
import sys

from featpurity.files import workspace, write_text
from featpurity.profile import load

BUSY = 75  # exit status: another run is at work


def main(arguments=None):
    """Run Snakemake; its exit status, and as the last line what a reader has to know."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("profile", help="a name in profiles/ or a .yaml file")
    parser.add_argument("data_root", nargs="?", default="", help="folder of data sets")
    options, more = parser.parse_known_args(arguments)  # the others are Snakemake's
    settings = {"data_root": options.data_root} if options.data_root else {}
    try:
        profile = load(options.profile, settings)
    except (ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    results = workspace(profile.results_dir)
    results.mkdir(parents=True, exist_ok=True)
    with open(results / ".lock", "w") as lock:
        try:  # the lock ends with its owner, which Snakemake's own does not
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"Another run is at work in {profile.results_dir}: let it end.", file=sys.stderr)
            return BUSY
        return run(profile, settings, more)


def run(profile, settings, options):
    """Snakemake's run, and what it came to in one line."""
    config = workspace(profile.results_dir) / ".settings.json"  # digits and quotes stay text in it
    write_text(config, json.dumps({"profile": profile.file, **settings}))
    command = [sys.executable, "-m", "snakemake", "--nolock", *options, "--configfile", str(config)]
    running = subprocess.Popen(command)
    try:
        status = running.wait()
    except KeyboardInterrupt:
        running.wait()
        print("Stopped. Run the same again to go on from here.", file=sys.stderr)
        return 130
    if status == 0 and "--dry-run" not in options:
        page = workspace(profile.results_dir) / "book/_build/html/index.html"
        print(f"The book's first page: {page}")
    for line in failures(profile) if status else []:
        print(line, file=sys.stderr)
    return status


def failures(profile):
    """A line for each notebook that failed."""
    logs = workspace(profile.results_dir) / "logs"
    return [path.read_text(encoding="utf-8").strip() for path in sorted(logs.glob("*.failed"))]


if __name__ == "__main__":
    sys.exit(main())
