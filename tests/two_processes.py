"""The toy training in two processes: this file, started by torchrun, trains in some ways into folders."""

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import torch
from checkout import ROOT
from toy_training import SETTINGS, ToyClip, toy_pairs

from featpurity.training import online
from featpurity.training.settings import plan_epoch

TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
ENVIRONMENT = os.environ | {
    "OMP_NUM_THREADS": "1",
    "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")]),
}
WAYS = {
    "plain": {"update_freq": 1, "train_logit_scale": False, "workers": 0},
    "parts, scale and workers": {"update_freq": 4, "train_logit_scale": True, "workers": 1},
}


def torchrun(*command, fails=False):
    """Start a command in two processes; what they said."""
    done = subprocess.run(
        [*TORCHRUN, *map(str, command)],
        env=ENVIRONMENT,
        timeout=900,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert bool(done.returncode) == fails, done.stdout[-4000:]
    return done.stdout


def train(folder, update_freq=1, train_logit_scale=False, workers=0, **options):
    """The toy training, in one process or in the group's."""
    settings = replace(SETTINGS, train_logit_scale=train_logit_scale)
    split = dict(update_freq=update_freq, workers=workers)
    return online.train(ToyClip(), *toy_pairs(), folder, settings, **split, **options)


def train_in_every_way(folder, rank):
    """Each of the ways, and one in which the second process does not see the first one's state."""
    for name, options in WAYS.items():
        trained = train(folder / name, **options)
        torch.save(list(trained[:2]), folder / name / f"{rank}.pt")
    own = folder / "apart" / str(rank) / "last.pt"
    try:
        train(own.parent, resume=own if own.is_file() else None)
    except ValueError as error:
        (folder / f"said by {rank}").write_text(str(error))


def kill_in_the_last_epoch(folder, rank):
    """A training that dies after two epochs at least one of which is on disk."""

    def plan(n, batch_size, seed, epoch):
        if epoch == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        return plan_epoch(n, batch_size, seed, epoch)

    online.plan_epoch = plan
    train(folder)


def go_on(folder, rank):
    """The training of the folder's state."""
    train(folder, resume=folder / "last.pt")


if __name__ == "__main__":
    torch.distributed.init_process_group("gloo")
    what, place = sys.argv[1:]
    globals()[what](Path(place), torch.distributed.get_rank())
    torch.distributed.destroy_process_group()
