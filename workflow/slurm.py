"""What a Slurm cluster can do, asked before jobs go there, and why one of them ended."""

import re
import subprocess

ENDED = re.compile(r"SLURM status is: '(\w+)")  # as the executor plugin tells it
REFUSED = re.compile(r"sbatch: error: (?:Batch job submission failed: )?(.+)")
ADVICE = {
    "OUT_OF_MEMORY": "too little memory: raise mem_mb_per_cpu in workflow/profiles/slurm",
    "TIMEOUT": "its time was up: raise runtime in workflow/profiles/slurm",
    "NODE_FAIL": "its node broke down: run again",
    "PREEMPTED": "another job took its place: run again",
    "CANCELLED": "it was cancelled",
}
CLOSED = ("down", "drain", "fail", "maint", "unk")  # states of nodes that take no job


def is_asked_for(options):
    """Whether options of Snakemake name the Slurm profile or executor."""
    return any("slurm" in option for option in options)


def status_options():
    """Options with which jobs are watched: without accounting the driver would wait for ever."""
    return [] if ask("sacct", "-n", "-X") is not None else ["--slurm-status-command", "squeue"]


def has_cards():
    """Whether any node of the cluster has a GPU; no cluster has none."""
    return "gpu" in (ask("sinfo", "-h", "-o", "%G") or "")


def closed_partitions():
    """Partitions of which no node takes jobs: name -> state of its nodes."""
    states = {}
    for line in (ask("sinfo", "-h", "-o", "%P %t") or "").splitlines():
        partition, _, state = line.partition(" ")
        states.setdefault(partition.rstrip("*"), []).append(state)
    return {
        partition: ", ".join(sorted(set(found)))
        for partition, found in states.items()
        if all(state.startswith(CLOSED) for state in found)
    }


def why_ended(line):
    """What a line of the executor plugin says about a job that ended badly or was not taken; None
    for others.
    """
    if found := REFUSED.search(line):
        return f"Slurm took no job: {found[1]} (see workflow/profiles/slurm)"
    if found := ENDED.search(line):
        return f"a job ended as {found[1]}: {ADVICE.get(found[1], 'see its log')}"
    return None


def ask(*command):
    """What a command of Slurm prints; None where it is missing or fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None
