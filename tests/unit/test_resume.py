"""A damaged or hostile state of an unfinished training: it is named with its fault, and nothing in it runs."""

import os
import pickle

import pytest
import torch
from toy_training import OPTIONS, SETTINGS, ToyClip, make_clip, make_features, toy_pairs

from featpurity.training import online
from featpurity.training.cached import sweep_projections
from featpurity.training.checkpoint import read_state, write_state

IDENTITY = {"seed": 1}


class Hostile:
    """What runs a command when it is unpickled without care."""

    def __init__(self, mark):
        self.command = f"touch {mark}"

    def __reduce__(self):
        return os.system, (self.command,)


def cut(path, keep):
    write_state(path, identity=IDENTITY, weights=torch.ones(1000))
    path.write_bytes(path.read_bytes()[:keep])


FAULTS = {  # the fault told, and what writes it
    "cut by a little": ("cut short or damaged", lambda path, mark: cut(path, -300)),
    "cut early": ("cut short or damaged", lambda path, mark: cut(path, 100)),
    "empty": ("cut short, damaged or no checkpoint", lambda path, mark: path.write_bytes(b"")),
    "web page": ("a web page", lambda path, mark: path.write_text("<!DOCTYPE html><html></html>")),
    "text": ("damaged", lambda path, mark: path.write_text("no state at all\n" * 20)),
    "hostile": (
        "refused: more than weights",
        lambda path, mark: write_state(path, identity=IDENTITY, weights=Hostile(mark)),
    ),
    "hostile identity": (
        "refused: more than weights",
        lambda path, mark: write_state(path, identity=Hostile(mark)),
    ),
    "hostile, raw": (
        "refused: more than weights",
        lambda path, mark: path.write_bytes(
            pickle.dumps({"identity": IDENTITY, "weights": Hostile(mark)}, protocol=2)
        ),
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("name", ["last.pt", "sweep.pt"])
def test_a_damaged_state_is_named_with_its_fault_and_nothing_in_it_runs(tmp_path, name, fault):
    path, mark = tmp_path / name, tmp_path / "ran"
    message, write = FAULTS[fault]
    write(path, mark)
    with pytest.raises(ValueError, match=f"^{path}: .*{message}.*; move it away to train anew$"):
        read_state(path, IDENTITY, "cpu")
    assert read_state(path, IDENTITY, "cpu", overwrite=True) is None
    assert not mark.exists()


def test_the_hostile_state_would_run_for_a_careless_reader(tmp_path):
    FAULTS["hostile, raw"][1](tmp_path / "last.pt", tmp_path / "ran")
    pickle.loads((tmp_path / "last.pt").read_bytes())
    assert (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "content", [[torch.ones(2)], {"weights": torch.ones(2)}, {"identity": "one"}]
)
def test_a_file_of_something_else_is_no_state(tmp_path, content):
    torch.save(content, tmp_path / "last.pt")
    with pytest.raises(ValueError, match="last.pt is no state of an unfinished training; the weig"):
        read_state(tmp_path / "last.pt", IDENTITY, "cpu")
    assert read_state(tmp_path / "last.pt", IDENTITY, "cpu", overwrite=True) is None


def test_a_state_comes_back_and_outlives_its_file(tmp_path):
    path, weights = tmp_path / "last.pt", torch.arange(5.0)
    write_state(path, identity=IDENTITY, weights=weights, history=[{"epoch": 1, "loss": 0.5}])
    state = read_state(path, IDENTITY, "cpu")
    path.write_bytes(b"\0" * path.stat().st_size)  # in place: a mapped tensor would follow
    assert torch.equal(state["weights"], weights) and state["history"] == [
        {"epoch": 1, "loss": 0.5}
    ]
    with pytest.raises(FileNotFoundError, match="none.pt: there is no such file"):
        read_state(tmp_path / "none.pt", IDENTITY, "cpu", overwrite=True)


def sweep(folder, **options):
    return sweep_projections(
        make_clip(),
        *make_features(),
        [(None, 0)],
        checkpoint=folder / "state.pt",
        **OPTIONS,
        **options,
    )


def train(folder, **options):
    return online.train(
        ToyClip(), *toy_pairs(), folder, SETTINGS, resume=folder / "state.pt", **options
    )


@pytest.mark.parametrize("run", [sweep, train])
def test_a_training_over_a_damaged_state_is_one_anew(tmp_path, run):
    (tmp_path / "damaged").mkdir(), (tmp_path / "other").mkdir()
    for folder in ["damaged", "other"]:
        write_state(tmp_path / folder / "state.pt", identity={"seed": "another"})
    cut(tmp_path / "damaged/state.pt", -300)
    with pytest.raises(
        ValueError, match="damaged/state.pt: cut short or damaged.*; move it away to train anew$"
    ):
        run(tmp_path / "damaged")
    found, wanted = (run(tmp_path / folder, overwrite=True) for folder in ["damaged", "other"])
    assert (
        torch.equal(found[0], wanted[0])
        and torch.equal(found[1], wanted[1])
        and found[2].equals(wanted[2])
    )
