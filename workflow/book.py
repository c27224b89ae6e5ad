"""`make book` and `make plan`: the workflow on a profile, one run at a time per results folder."""

import argparse
import errno
import functools
import json
import os
import re
import signal
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import slurm

from featpurity.check import CHECKED, check, missing_of, sources_of
from featpurity.files import digest, lock, workspace, write_text
from featpurity.plan import plan
from featpurity.profile import load

BUSY, INTERRUPTED = 75, 130  # exit statuses: another run is active; Ctrl-C
STOPPED = "Stopped. Run the same again to go on from here."
JOB = re.compile(r"^Job \d+: (.*?)(?: \(log: .*\))?\nReason: (.*)$", re.M)  # of a dry run
REASONS = {  # in Snakemake's words, and in a reader's
    "Missing output files": "has not run, or its result is gone",
    "Params have changed": "its settings, its code or a file that it reads changed",
    "Code has changed": "the workflow changed",
    "Updated input files": "a file that it reads changed",
    "Set of input files has changed": "it reads other files",
    "Input files updated by another job": "what it reads is made again",
}


def main(arguments=None):
    """Run Snakemake; return its exit status and print, last, what the user has to know."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("profile", help="a name in profiles/ or a .yaml file")
    parser.add_argument("data_root", nargs="?", default="", help="folder of data sets")
    parser.add_argument("--plan", action="store_true", help="only tell what a run would do")
    options, more = parser.parse_known_args(arguments)  # the rest is for Snakemake
    settings = {"data_root": options.data_root} if options.data_root else {}
    try:
        find_a_cache()
        profile = load(options.profile, settings)
        if options.plan:
            print(*plan(profile), sep="\n", flush=True)
        else:
            for remark in check(profile):
                print(f"Note: {remark}", file=sys.stderr)
    except (ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(STOPPED, file=sys.stderr)
        return INTERRUPTED
    os.environ[CHECKED] = digest(profile.parameters())
    try:
        refuse_others_records(workspace(".snakemake"))
        return print_jobs(profile, more) if options.plan else run_alone(profile, more)
    except OSError as error:  # another user's folder, a full disk
        print(error, file=sys.stderr)
        return 2


def find_a_cache():
    """Find a place for the files that Snakemake and libraries keep in the home folder.

    If the home is unknown or cannot be written, it is a folder that nobody else can write.
    """
    try:
        home = Path.home()
    except RuntimeError:  # a user unknown to the system, as in a container
        home = None
    if home and (os.access(home, os.W_OK) or "XDG_CACHE_HOME" in os.environ):
        return
    cache = Path(tempfile.gettempdir(), f"featpurity-cache-{os.getuid()}")
    cache.mkdir(mode=0o700, exist_ok=True)
    status = cache.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o77:
        raise ValueError(
            f"{cache}: expected a folder of your own that others may not open, since the home "
            "cannot be written; set XDG_CACHE_HOME to another"
        )
    os.environ.setdefault("XDG_CACHE_HOME", str(cache))
    if home is None:
        os.environ["HOME"] = str(cache)


def refuse_others_records(records):
    """Raise PermissionError if Snakemake cannot keep its records of what has run."""
    folders = [records, *records.glob("*/")] if records.exists() else [records.parent]
    for folder in folders:
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(
                errno.EACCES,
                "Snakemake keeps its records there and may not write; take a checkout of your own",
                str(folder),
            )


def run_alone(profile, options):
    """Run the workflow unless another run uses its folder of results."""
    results = workspace(profile.results_dir)
    results.mkdir(parents=True, exist_ok=True)
    with open(results / ".lock", "w") as held:
        if not lock(held, wait=False):  # the lock ends with its owner, unlike Snakemake's own
            print(f"Another run is at work in {profile.results_dir}: let it end.", file=sys.stderr)
            return BUSY
        for failed in failures(profile):
            failed.unlink()
        return run(profile, options, held)


def command_for(profile, options, folder=None):
    """Snakemake's command line; settings go into a file, where digits and quotes stay text.

    The file has all settings, so that late jobs get those with which the run began.
    """
    config = Path(folder or workspace(profile.results_dir)) / ".settings.json"
    write_text(config, json.dumps({"profile": profile.file, **profile.parameters()}))
    return [sys.executable, "-m", "snakemake", "--nolock", *options, "--configfile", str(config)]


def print_jobs(profile, options):
    """Print which jobs would run, and why."""
    if missing_of(*sources_of(profile)):
        print("\nTo run\n  known when nothing is missing")
        return 0
    options = ["--dry-run", "--quiet", "host", *options]
    # In a folder of its own: an active run still reads its settings, and results may be a
    # colleague's.
    with tempfile.TemporaryDirectory() as folder:
        command = command_for(profile, options, folder)
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        print(done.stdout, file=sys.stderr)
        return done.returncode
    print("\nTo run")
    print("\n".join(to_run(done.stdout)) or "  nothing: all is there and as it was")
    return 0


def to_run(said):
    """Yield a line for each job in a dry run's output: what it is and why it would run."""
    for job, reason in JOB.findall(said):
        known = (text for words, text in REASONS.items() if reason.startswith(words))
        yield f"  {job}: {next(known, reason)}"


def run(profile, options, *held):
    """Run Snakemake, report the outcome in one line; it also holds the locks on files `held`."""
    on_cluster = slurm.is_asked_for(options)
    if on_cluster:
        options = [*options, *slurm.status_options()]
        for partition, state in slurm.closed_partitions().items():
            print(f"No node of partition {partition} takes jobs: {state}", file=sys.stderr)
    command = command_for(profile, options)
    for ending in (signal.SIGTERM, signal.SIGHUP):  # from a batch system, from a closing terminal
        if signal.getsignal(ending) is not signal.SIG_IGN:
            signal.signal(ending, signal.default_int_handler)
    # In its own process group it gets each signal once, whichever process the signal was for. Reset
    # SIGINT, as a shell's background jobs would inherit that they ignore it.
    heeded = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    running = subprocess.Popen(
        command,
        stderr=subprocess.PIPE if on_cluster else None,
        text=True,
        process_group=0,
        preexec_fn=heeded,
        pass_fds=[file.fileno() for file in held],
    )
    ended = []
    try:
        for line in running.stderr or []:
            print(line, end="", file=sys.stderr, flush=True)
            ended += filter(None, [slurm.why_ended(line)])
        status = running.wait()
    except KeyboardInterrupt:
        os.killpg(running.pid, signal.SIGINT)
        running.wait()
        print(STOPPED, file=sys.stderr)
        return INTERRUPTED
    if status == 0:
        page = workspace(profile.results_dir) / "book/_build/html/index.html"
        print(f"The book's first page: {page}")
    if status:
        log = f"The run failed: its logs lie in {profile.results_dir}/logs"
        ended += [path.read_text(encoding="utf-8").strip() for path in failures(profile)]
        ended = dict.fromkeys(filter(None, ended))  # a full disk leaves empty lines
        print(*(ended or [log]), sep="\n", file=sys.stderr)
    return status


def failures(profile):
    """The files, each with one line, of failed notebooks."""
    return sorted((workspace(profile.results_dir) / "logs").glob("*.failed"))


if __name__ == "__main__":
    sys.exit(main())
