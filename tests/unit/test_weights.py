"""Files that nobody vouches for: good ones load, bad ones are refused by name, and nothing in any of them runs."""

import argparse
import io
import os
import pickle
import subprocess
import sys
import tarfile
import warnings
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from featpurity.models.weights import _Inert, load_weights, read_weights
from featpurity.training.checkpoint import write_state


class Calls:
    """Pickles as a call of a function: what a hostile file holds."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def attacks(mark):
    """Objects that write the file `mark` when they are unpickled without care."""
    write = f"open({str(mark)!r}, 'w').close()"
    return {
        "os.system": Calls(os.system, f"touch {mark}"),
        "eval": Calls(eval, write),
        "exec": Calls(exec, write),
        "subprocess": Calls(subprocess.call, ["touch", str(mark)]),
        "popen": Calls(subprocess.Popen, ["touch", str(mark)]),
        "open": Calls(open, str(mark), "w"),
        "getattr": Calls(getattr, Calls(eval, write), "name"),
        "torch.load": Calls(torch.load, str(mark)),
    }


ATTACKS = list(attacks(Path("mark")))
PLACES = {
    "alone": lambda bad: bad,
    "a weight": lambda bad: {"state_dict": OrderedDict(good=torch.ones(2), bad=bad)},
    "the name of a weight": lambda bad: {
        "state_dict": {"good": torch.ones(2), Calls(str, bad): torch.ones(1)}
    },
    "args": lambda bad: {
        "state_dict": {"good": torch.ones(2)},
        "args": argparse.Namespace(model="CLIP", out=bad),
    },
    "deep in args": lambda bad: {
        "state_dict": {"good": torch.ones(2)},
        "args": argparse.Namespace(betas=(0.9, [argparse.Namespace(x={"y": bad})])),
    },
    "the optimiser": lambda bad: {
        "state_dict": {"good": torch.ones(2)},
        "optimizer": {"lr": [np.float64(1), bad]},
    },
}


def write_zip(content, path):
    torch.save(content, path)


def write_legacy(content, path):
    torch.save(content, path, _use_new_zipfile_serialization=False)


def write_raw(content, path):
    path.write_bytes(pickle.dumps(content, protocol=2))


@pytest.mark.parametrize("write", [write_zip, write_legacy, write_raw])
@pytest.mark.parametrize("place", PLACES)
def test_hostile_pickles_run_nothing(tmp_path, place, write):
    mark, path = tmp_path / "mark", tmp_path / "hostile.pt"
    for name, bad in attacks(mark).items():
        write(PLACES[place](bad), path)
        with pytest.raises(ValueError, match="hostile.pt: (refused|cut short)"):
            read_weights(path)
        assert not mark.exists(), name


@pytest.mark.parametrize("attack", ["os.system", "eval", "subprocess"])
def test_the_attacks_would_work_on_a_careless_reader(tmp_path, attack):
    mark = tmp_path / "mark"
    pickle.loads(pickle.dumps(attacks(mark)[attack]))
    assert mark.exists()


def test_pickles_in_disguise_run_nothing(tmp_path):
    mark, path = tmp_path / "mark", tmp_path / "disguised.pt"
    payload = pickle.dumps(attacks(mark)["os.system"], protocol=0)
    with tarfile.open(path, "w") as tar:  # PyTorch's oldest layout
        for name in ["sys_info", "pickle", "tensors", "storages"]:
            info = tarfile.TarInfo(name)
            info.size = len(payload)
            tar.addfile(info, io.BytesIO(payload))
    with pytest.raises(ValueError, match="disguised.pt"):
        read_weights(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", payload)
        archive.writestr("archive/version", "3")
    with pytest.raises(ValueError, match="disguised.pt"):
        read_weights(path)
    safe = tmp_path / "disguised.safetensors"
    safe.write_bytes(payload)
    with pytest.raises(ValueError, match="disguised.safetensors"):
        read_weights(safe)
    assert not mark.exists()


def test_the_stand_in_keeps_nothing():
    inert = _Inert("torch", key="value")
    inert.__setstate__({"state": 1})
    assert vars(inert) == {} and not callable(inert)


CONTENT = {
    "epoch": 3,
    "state_dict": OrderedDict(a=torch.randn(3, 4), b=torch.arange(3)),
    "best_acc1": 15.5,
    "optimizer": {"param_groups": [{"lr": np.float64(1e-5)}]},
    "args": argparse.Namespace(model="CLIP_VITB16", betas=(0.9, 0.98), lr=np.float64(0.1)),
}


@pytest.mark.parametrize("write", [write_zip, write_legacy])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_good_files_load(tmp_path, write, prefix):
    path, weights = tmp_path / "good.pt", CONTENT["state_dict"]
    write(CONTENT | {"state_dict": {prefix + name: value for name, value in weights.items()}}, path)
    found = read_weights(path)
    assert list(found) == ["a", "b"] and all(
        torch.equal(found[name], weights[name]) for name in weights
    )
    write(
        {
            prefix + name: nn.Parameter(value) if value.is_floating_point() else value
            for name, value in weights.items()
        },
        path,
    )
    assert torch.equal(read_weights(str(path))["a"], weights["a"])


WRAPPED = {  # how training code leaves the weights a and b
    "compiled": lambda weights: renamed(weights, "_orig_mod."),
    "distributed over compiled": lambda weights: {
        "state_dict": renamed(weights, "module._orig_mod.")
    },
    "compiled over distributed": lambda weights: {"model": renamed(weights, "_orig_mod.module.")},
    "one tower compiled": lambda weights: {"a": weights["a"], "_orig_mod.b": weights["b"]},
    "model": lambda weights: {"model": weights, "epoch": 3},
    "model_state_dict": lambda weights: {"model_state_dict": weights, "loss": 0.1},
    "one in another": lambda weights: {"model": {"state_dict": weights, "name": "ViT"}},
    "lightning": lambda weights: {"state_dict": renamed(weights, "model.")},
    "sharded": lambda weights: renamed(weights, "_fsdp_wrapped_module."),
    "layers sharded": lambda weights: renamed(weights, "module._fsdp_wrapped_module._orig_mod."),
}


def renamed(weights, prefix):
    return {prefix + name: value for name, value in weights.items()}


@pytest.mark.parametrize("wrapper", WRAPPED)
def test_weights_are_found_within_what_training_code_puts_around_them(tmp_path, wrapper):
    weights = CONTENT["state_dict"]
    torch.save(WRAPPED[wrapper](weights), tmp_path / "good.pt")
    found = read_weights(tmp_path / "good.pt")
    assert set(found) == {"a", "b"}
    assert all(torch.equal(found[name], weights[name]) for name in weights)


@pytest.mark.parametrize("prefix", ["model.", "model.clip_model.", "base_model.model."])
def test_a_model_within_a_model_is_taken_and_what_lies_beside_it_told(tmp_path, prefix):
    weights = {"logit_scale": torch.ones(1), "visual.proj": torch.ones(2), "a": torch.ones(3)}
    within = renamed(weights, prefix)
    torch.save({"state_dict": within | {"head.weight": torch.ones(4)}}, tmp_path / "good.pt")
    with pytest.warns(UserWarning, match=f"good.pt: .* under '{prefix}'; left out: head.weight"):
        assert read_weights(tmp_path / "good.pt").keys() == weights.keys()
    torch.save(within, tmp_path / "good.pt")
    with warnings.catch_warnings(action="error"):
        assert read_weights(tmp_path / "good.pt").keys() == weights.keys()


@pytest.mark.parametrize("first, second", [("model", "model_ema"), ("state_dict", "model")])
def test_two_models_in_one_file_are_refused(tmp_path, first, second):
    weights = CONTENT["state_dict"]
    both = {first: weights, second: renamed(weights, "module."), "rng": {"cpu": torch.ones(2)}}
    torch.save(both, tmp_path / "two.pt")
    with pytest.raises(ValueError, match=f"holds two models, under '{first}' and '{second}': save"):
        read_weights(tmp_path / "two.pt")


def test_a_parameter_called_model_is_no_wrapper(tmp_path):
    torch.save({"model": torch.ones(2), "module": torch.ones(1)}, tmp_path / "good.pt")
    assert set(read_weights(tmp_path / "good.pt")) == {"model", "module"}


@pytest.mark.parametrize("name", ["good.pt", "good.bin", "good", "good.SAFETENSORS", "good.ckpt"])
def test_the_content_tells_what_a_file_is_and_not_its_name(tmp_path, name):
    save_file({"a": torch.ones(2)}, tmp_path / name)
    assert torch.equal(read_weights(tmp_path / name)["a"], torch.ones(2))


def test_a_pickle_called_safetensors_is_told(tmp_path):
    torch.save({"a": torch.ones(2)}, tmp_path / "bad.safetensors")
    with pytest.raises(ValueError, match="bad.safetensors: cut short, damaged or no checkpoint"):
        read_weights(tmp_path / "bad.safetensors")


def test_floats_of_eight_bits_are_refused_by_name(tmp_path):
    save_file({"a": torch.ones(2).to(torch.float8_e4m3fn)}, tmp_path / "small.safetensors")
    with pytest.raises(ValueError, match="small.safetensors: 8-bit numbers in a; expected 16"):
        read_weights(tmp_path / "small.safetensors")


def test_safetensors_load(tmp_path):
    save_file({"module.a": torch.ones(2)}, tmp_path / "good.safetensors")
    assert torch.equal(read_weights(tmp_path / "good.safetensors")["a"], torch.ones(2))


def page(path):
    path.write_bytes(b"\n<!DOCTYPE html><html><title>Link expired</title></html>")


def cut_zip(path):
    write_zip(CONTENT, path)
    path.write_bytes(path.read_bytes()[:-300])


def cut_early(path):
    write_zip(CONTENT, path)
    path.write_bytes(path.read_bytes()[:100])


def cut_legacy(path):
    write_legacy(CONTENT, path)
    path.write_bytes(path.read_bytes()[:-20])


def scripted(path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TorchScript is on its way out
        torch.jit.script(nn.Linear(2, 2)).save(str(path))


def pointer(path):
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 605143884\n")


def compressed(path):
    """An archive of 100 kB whose one storage unpacks to 100 MB."""
    write_zip({"a": torch.zeros(25_000_000)}, path)
    with zipfile.ZipFile(path) as archive:
        members = {member.filename: archive.read(member) for member in archive.infolist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)


FAULTS = {
    "TorchScript": ("a TorchScript archive, which holds code and is not read", scripted),
    "LFS pointer": ("a pointer of Git LFS, not the weights themselves", pointer),
    "compressed": ("compressed, which no checkpoint of torch.save is", compressed),
    "expanded": (
        "claims more numbers than it stores in a",
        lambda path: torch.save({"a": torch.ones(1).expand(2_500_000_000)}, path),
    ),
    "overlapping": (
        "claims more numbers than it stores in a",
        lambda path: torch.save({"a": torch.ones(9).as_strided((1000, 9), (0, 1))}, path),
    ),
    "no memory behind it": (
        "expected tensors only in its state dict, not so a",
        lambda path: torch.save({"a": torch.empty(10**10, device="meta")}, path),
    ),
    "sparse": (
        "expected tensors only in its state dict, not so a",
        lambda path: torch.save({"a": torch.ones(2).to_sparse()}, path),
    ),
    "state of a training": (
        "the state of an unfinished training, to go on from, and no model",
        lambda path: write_state(path, identity={"a": "b"}, optimiser={}, history=[]),
    ),
    "web page": ("a web page, not a checkpoint", page),
    "cut zip": ("cut short or damaged", cut_zip),
    "cut early": ("cut short or damaged", cut_early),
    "cut legacy": ("cut short, damaged or no checkpoint", cut_legacy),
    "empty": ("cut short, damaged or no checkpoint", lambda path: path.write_bytes(b"")),
    "text": ("faulty.pt: ", lambda path: path.write_text("not a checkpoint at all\n" * 50)),
    "noise": ("faulty.pt: ", lambda path: path.write_bytes(bytes(range(256)) * 20)),
    "no dict": ("expected a state dict, got list", lambda path: torch.save([torch.ones(2)], path)),
    "nothing in it": (
        "expected a state dict, got dict",
        lambda path: torch.save({"state_dict": {}}, path),
    ),
    "no tensor": (
        "expected tensors only in its state dict, not so b",
        lambda path: torch.save({"state_dict": {"a": torch.ones(2), "b": "c"}}, path),
    ),
    "NaN": (
        "NaN or infinity in b",
        lambda path: torch.save({"a": torch.ones(2), "b": torch.tensor([1.0, torch.nan])}, path),
    ),
    "infinity": (
        "NaN or infinity in a, b, c and 1 more",
        lambda path: torch.save({name: torch.tensor([torch.inf]).half() for name in "abcd"}, path),
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_faulty_file_is_named_with_its_fault(tmp_path, fault):
    message, write = FAULTS[fault]
    write(tmp_path / "faulty.pt")
    with pytest.raises(ValueError, match=message) as error:
        read_weights(tmp_path / "faulty.pt")
    assert str(tmp_path / "faulty.pt") in str(error.value)


PEAK = """
import resource, sys
from featpurity.models.weights import read_weights
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000  # in MB
before = peak()
try:
    read_weights(sys.argv[1])
except ValueError:
    print(peak() - before)
"""


def test_claims_of_ten_gigabytes_take_no_memory(tmp_path):
    torch.save({"a": torch.ones(1).expand(2_500_000_000)}, tmp_path / "claims.pt")
    command = [sys.executable, "-c", PEAK, tmp_path / "claims.pt"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert float(done.stdout) < 100


def test_no_message_passes_on_advice_to_load_without_care(tmp_path):
    class Stranger:
        pass

    Stranger.__qualname__ = "Stranger"
    globals()["Stranger"] = Stranger
    writers = {
        "object": lambda path: torch.save(Stranger(), path),
        "module": lambda path: torch.save(nn.Linear(2, 2), path),
        "call": lambda path: torch.save(Calls(os.system, "true"), path),
        "script": scripted,
    }
    for name, write in writers.items():
        write(tmp_path / "bad.pt")
        with pytest.raises(ValueError) as error:
            read_weights(tmp_path / "bad.pt")
        told = str(error.value)
        assert "\n" not in told and len(told) < 400
        for advice in ["weights_only", "weights only", "trust", "safe_globals", "False"]:
            assert advice not in told, (name, told)


@pytest.mark.parametrize("keep", [0, 4, 12, -5])
def test_a_safetensors_file_cut_short_is_named(tmp_path, keep):
    path = tmp_path / "cut.safetensors"
    save_file({"a": torch.ones(20)}, path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ValueError, match="cut.safetensors: cut short"):
        read_weights(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="none.pt: there is no such file"):
        read_weights(tmp_path / "none.pt")


def test_weights_have_to_fit_the_model():
    model = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 2))
    good = {name: torch.full_like(value, 0.5) for name, value in model.state_dict().items()}
    load_weights(model, good, "f.pt")
    assert torch.equal(model[1].bias.detach(), torch.full((2,), 0.5))
    missing = {name: value for name, value in good.items() if name != "1.bias"}
    faults = {
        r"f.pt does not fit the model: it lacks 1.bias$": missing,
        r"it has 2.bias, which the model does not know$": good | {"2.bias": torch.ones(1)},
        r"it has another shape: 0.weight \(2, 2\) instead of \(2, 3\)$": good
        | {"0.weight": torch.ones(2, 2)},
        r"it lacks 1.bias; it has x, which": missing | {"x": torch.ones(1)},
    }
    for message, weights in faults.items():
        with pytest.raises(ValueError, match=message):
            load_weights(model, weights, "f.pt")
        assert torch.equal(model[0].bias.detach(), torch.full((2,), 0.5))


@pytest.mark.parametrize("idle", ["logit_bias", "input_resolution", "context_length", "vocab_size"])
def test_scalars_that_no_embedding_depends_on_may_be_left_over(idle):
    model = nn.Linear(2, 2)
    load_weights(model, model.state_dict() | {idle: torch.tensor(7)}, "f.pt")
    model.register_buffer(idle, torch.tensor(0))  # where the model knows it, it is read
    load_weights(model, model.state_dict() | {idle: torch.tensor(7)}, "f.pt")
    assert model.state_dict()[idle] == 7


@pytest.mark.parametrize("shape", [(), (1,)])
def test_a_scalar_may_have_one_axis_more_or_less(shape):
    model = nn.Module()
    model.logit_scale = nn.Parameter(torch.ones([1] if shape == () else []))
    load_weights(model, {"logit_scale": torch.full(shape, 3.0)}, "f.pt")
    assert model.logit_scale.item() == 3
