"""Independent pieces of work side by side, each on a core of its own.

PyTorch divides each operation among the cores and waits for the last of them. Where operations take
a tenth of a millisecond that wait is a good part of the time, and most of it as soon as another
program takes a core now and then.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import torch


@contextmanager
def on_each_core(device: torch.device) -> Iterator[Callable]:
    """A `map` whose calls run side by side, with operations that stay on one core each.

    On a card, or where PyTorch has one core, it is the built-in `map`.
    """
    n_cores = torch.get_num_threads()
    if device.type != "cpu" or n_cores == 1:
        yield map
        return
    # The number of threads is one of the calling thread's own: that of others stays as it is.
    with ThreadPoolExecutor(n_cores, initializer=torch.set_num_threads, initargs=[1]) as cores:
        yield cores.map
