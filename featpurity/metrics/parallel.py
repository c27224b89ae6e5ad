"""Run independent pieces of work side by side, each on its own core.

PyTorch splits each operation over the cores and waits for the last of them. If an operation takes a
tenth of a millisecond, that wait is a good part of the time, and most of it once another program
takes a core now and then.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import torch

# Python starts one operation at a time: with operations of 0.1 ms, more threads would only wait.
MOST = 16


@contextmanager
def on_each_core(device: torch.device) -> Iterator[Callable]:
    """A `map` whose calls run side by side, each with its operations on one core.

    On a GPU, or where PyTorch has one core, it is the built-in `map`.
    """
    n_cores = min(torch.get_num_threads(), MOST)
    if device.type != "cpu" or n_cores == 1:
        yield map
        return
    # PyTorch's number of threads is set for the calling thread only: others keep theirs.
    with ThreadPoolExecutor(n_cores, initializer=torch.set_num_threads, initargs=[1]) as cores:
        yield cores.map
