"""A card for machines without one: its tensors say that they lie there, and do not mix with those of the processor.

Their numbers lie on the processor, where all is computed, so code that was written for a card runs as it would there,
fails where it would fail there, and what it takes to the processor is counted. Times mean nothing.
"""

import traceback
from contextlib import contextmanager

import pytest
import torch
from checkout import ROOT
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

aten = torch.ops.aten
# Where a card's tensor may be picked from or written to by places that lie on the processor.
BY_PLACE = {
    aten.index.Tensor,
    aten.index_put.default,
    aten.index_put_.default,
    aten._index_put_impl_.default,
    aten._unsafe_index.Tensor,
}
PACKAGE = str(ROOT / "featpurity")
HAVE_DEVICES = ("models.device", "models.load", "features.extract", "training.cached")


class OnCard(torch.Tensor):
    """A tensor that says it is on the card; `inside` holds its numbers."""

    @staticmethod
    def __new__(cls, inside):
        # PyTorch's own code is told another device, neither the processor's nor a card's, so that it asks here.
        about = dict(dtype=inside.dtype, strides=inside.stride(), device="meta")
        return torch.Tensor._make_wrapper_subclass(cls, inside.shape, **about)

    def __init__(self, inside):
        if inside.dtype == torch.float64 and self.device.type == "mps":
            raise TypeError("Cannot convert a MPS Tensor to float64 dtype")
        self.inside = inside

    @property
    def device(self):
        return Card.here.device

    def numpy(self):
        raise TypeError(f"can't convert {self.device} device type tensor to numpy")

    def __array__(self, *args, **kwargs):
        return self.numpy()

    def tolist(self):
        return self.cpu().tolist()

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        return Card.here.compute(func, args, kwargs or {})


class Card(TorchDispatchMode):
    """Computes what tensors of the card are asked for.

    Attributes
    ----------
    device : torch.device
    taken : list of (tuple of int, str)
        Shape of each tensor that went to the processor, and who asked for it.
    """

    here = None

    def __init__(self, device):
        super().__init__()
        self.device, self.taken = torch.device(device), []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return self.compute(func, args, kwargs or {})

    def compute(self, func, args, kwargs):
        tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
        ours = [tensor for tensor in tensors if isinstance(tensor, OnCard)]
        moves = func in (aten._to_copy.default, aten.copy_.default)
        if not moves:
            refuse_mixed(func, tensors, ours)
        to = torch.device(kwargs["device"]).type if kwargs.get("device") is not None else "meta"
        args_inside, kwargs = tree_map(_inside, (args, kwargs))
        if "device" in kwargs:
            kwargs["device"] = torch.device("cpu")
        found = func(*args_inside, **kwargs)
        if func is aten.copy_.default:
            if not isinstance(args[0], OnCard) and ours:
                self._note(ours[0])
            return args[0]
        if func is aten._local_scalar_dense.default or to == "cpu":
            if ours and isinstance(found, torch.Tensor):
                self._note(ours[0])
            return found
        if to == self.device.type or ours:
            same = {id(tensor.inside): tensor for tensor in ours}  # what is changed in place
            found = tree_map(lambda part: same.get(id(part), _on_card(part)), found)
        return found

    def _note(self, tensor):
        ours = [line for line in traceback.format_stack() if PACKAGE in line or "<string>" in line]
        self.taken.append((tuple(tensor.shape), "".join(ours[-3:])))


class _Calls(TorchFunctionMode):
    """What PyTorch decides before it comes to `Card`."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        if func is torch.Tensor.to and len(args) > 1 and isinstance(args[1], torch.Tensor):
            return args[0].to(args[1].device, args[1].dtype)
        if func in (torch.tensor, torch.as_tensor) and not isinstance(args[0], torch.Tensor):
            device = kwargs.pop("device", None)
            numbers = tree_map(lambda x: x.item() if isinstance(x, OnCard) else x, args[0])
            made = func(numbers, *args[1:], **kwargs)
            return made if device is None else made.to(device)
        return func(*args, **kwargs)


def refuse_mixed(func, tensors, ours):
    """What PyTorch says of tensors on two devices; single numbers may lie anywhere."""
    others = [tensor for tensor in tensors if not isinstance(tensor, OnCard) and tensor.ndim]
    first_is_ours = bool(tensors) and isinstance(tensors[0], OnCard)
    if ours and others and not (func in BY_PLACE and first_is_ours):
        raise RuntimeError(
            f"{func}: expected all tensors on one device, found {Card.here.device} and cpu"
        )


@contextmanager
def card(device="cuda:0"):
    """While it is open, "cuda:0" or "mps:0" is a device here; gives the `Card`."""
    params = torch.__future__.get_overwrite_module_params_on_conversion()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.cuda, "_lazy_init", lambda: None)
        for module in HAVE_DEVICES:
            patch.setattr(f"featpurity.{module}.pick_device", torch.device)
        torch.__future__.set_overwrite_module_params_on_conversion(True)
        Card.here = Card(device)
        try:
            with Card.here, _Calls():
                yield Card.here
        finally:
            torch.__future__.set_overwrite_module_params_on_conversion(params)


def _inside(value):
    return value.inside if isinstance(value, OnCard) else value


def _on_card(value):
    return OnCard(value) if isinstance(value, torch.Tensor) else value
