"""What is asked of a cluster, with commands that answer as Slurm's do."""

import pytest
import slurm


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


def test_the_profile_is_known_by_its_name():
    assert slurm.is_asked_for(["--workflow-profile", "workflow/profiles/slurm"])
    assert not slurm.is_asked_for(["--dry-run"])
