"""Ask what a Slurm cluster can do before jobs go there, and say why a job ended."""

import re
import subprocess

ENDED = re.compile(r"SLURM status is: '(\w+)")  # a line of the executor plugin
REFUSED = re.compile(r"sbatch: error: (?:Batch job submission failed: )?(.+)")
ADVICE = {
    "OUT_OF_MEMORY": "too little memory: raise mem_mb_per_cpu in workflow/profiles/slurm",
    "TIMEOUT": "its time was up: raise runtime in workflow/profiles/slurm",
    "NODE_FAIL": "its node broke down: run again",
    "PREEMPTED": "another job took its place: run again",
    "CANCELLED": "it was cancelled",
}
CLOSED = ("down", "drain", "fail", "maint", "unk")  # states of nodes that take no jobs


def is_asked_for(options):
    """Whether Snakemake's options name the Slurm profile or executor."""
    return any("slurm" in option for option in options)


def status_options():
    """Options for watching jobs: without accounting, the plugin would wait for ever."""
    return [] if ask("sacct", "-n", "-X") is not None else ["--slurm-status-command", "squeue"]


def has_cards():
    """Whether any node of the cluster has a GPU; False without a cluster."""
    return "gpu" in (ask("sinfo", "-h", "-o", "%G") or "")


def closed_partitions():
    """Partitions where no node takes jobs: name -> states of its nodes."""
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
    """Why a job failed or was refused, from a line of the executor plugin; None for other lines."""
    if found := REFUSED.search(line):
        return f"Slurm took no job: {found[1]} (see workflow/profiles/slurm)"
    if found := ENDED.search(line):
        return f"a job ended as {found[1]}: {ADVICE.get(found[1], 'see its log')}"
    return None


def ask(*command):
    """The output of a Slurm command; None if it is missing or fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None
