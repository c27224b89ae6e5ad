"""What is asked of a cluster, with commands that answer as Slurm's do: no cluster is needed, and none was tried."""

import re
import sys

import pytest
import slurm
import yaml
from checkout import ROOT

import book
from featpurity.profile import Profile


@pytest.fixture
def answers(tmp_path, monkeypatch):
    """Commands by name: what each prints, and its exit status; the others are missing."""
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")

    def put(name, text="", status=0):
        (tmp_path / name).write_text(f"#!/bin/sh\ncat <<'END'\n{text}\nEND\nexit {status}\n")
        (tmp_path / name).chmod(0o755)

    return put


def test_without_accounting_jobs_are_watched_with_squeue(answers):
    assert slurm.status_options() == ["--slurm-status-command", "squeue"]  # no sacct
    answers("sacct", "Slurm accounting storage is disabled", status=1)
    assert slurm.status_options() == ["--slurm-status-command", "squeue"]
    answers("sacct")
    assert slurm.status_options() == []


def test_a_card_is_asked_for_where_nodes_have_one(answers):
    assert not slurm.has_cards()
    answers("sinfo", "(null)")
    assert not slurm.has_cards()
    answers("sinfo", "(null)\ngpu:a100:4(S:0-1)")
    assert slurm.has_cards()


def test_partitions_that_take_no_job_are_told(answers):
    answers("sinfo", "cpu* idle\ncpu* drain\ngpu drain*\ngpu down")
    assert slurm.closed_partitions() == {"gpu": "down, drain*"}


@pytest.mark.parametrize(
    "status, why", [("OUT_OF_MEMORY", "raise mem_mb_per_cpu"), ("TIMEOUT", "raise runtime")]
)
def test_why_a_job_ended_is_one_line(status, why):
    said = slurm.why_ended(f"SLURM-job '7' failed, SLURM status is: '{status}'. For further ...")
    assert said.startswith(f"a job ended as {status}") and why in said
    assert slurm.why_ended("SLURM-job '7' submitted") is None


@pytest.mark.parametrize(
    "said",
    [
        "Memory specification can not be satisfied",
        "Batch job submission failed: Requested node configuration is not available",
        "Batch job submission failed: Requested time limit is invalid (missing or exceeds some limit)",
    ],
)
def test_why_a_job_was_not_taken_is_one_line(said):
    told = slurm.why_ended(f"The error message was sbatch: error: {said}\n")
    reason = said.removeprefix("Batch job submission failed: ")
    assert told == f"Slurm took no job: {reason} (see workflow/profiles/slurm)"


def test_what_needs_no_card_goes_to_a_partition_that_has_none():
    text = (ROOT / "workflow/Snakefile").read_text()
    parts = re.split(r"^(?:use rule \w+ as|rule) (\w+)", text, flags=re.M)[1:]
    rules = dict(zip(parts[::2], parts[1::2]))
    asking = {name for name, rule in rules.items() if "gpu=GPU" in rule}
    assert asking and len(rules) > len(asking)
    config = yaml.safe_load((ROOT / "workflow/profiles/slurm/config.yaml").read_text())
    without = {
        name for name, to in config["set-resources"].items() if to["slurm_partition"] == "cpu"
    }
    assert without == rules.keys() - asking - {"all"}


@pytest.mark.parametrize(
    "line, last",
    [
        (
            "SLURM-job '7' failed, SLURM status is: 'OUT_OF_MEMORY'. See",
            "a job ended as OUT_OF_MEMORY",
        ),
        ("SLURM-job '7' failed, SLURM status is: 'TIMEOUT'. See", "a job ended as TIMEOUT"),
        ("sbatch: error: Invalid partition name specified", "Slurm took no job: Invalid partition"),
    ],
)
def test_a_run_says_what_the_cluster_said(answers, tmp_path, monkeypatch, capsys, line, last):
    answers("sinfo", "gpu* drain\ncpu idle")
    asked = []

    def command(profile, options):
        asked.append(options)
        return [sys.executable, "-c", f"import sys; sys.exit({line!r})"]

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(book, "command_for", command)
    options = ["--workflow-profile", "workflow/profiles/slurm"]
    assert book.run(Profile(), options) == 1
    assert asked == [[*options, "--slurm-status-command", "squeue"]]  # there is no sacct
    first, *_, told = capsys.readouterr().err.splitlines()
    assert first == "No node of partition gpu takes jobs: drain" and told.startswith(last)


def test_the_profile_is_known_by_its_name():
    assert slurm.is_asked_for(["--workflow-profile", "workflow/profiles/slurm"])
    assert not slurm.is_asked_for(["--dry-run"])
