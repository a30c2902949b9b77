"""How many of the machine's cores torch takes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def one_core(when: bool = True) -> Iterator[None]:
    """Let torch compute on this thread alone for a while.

    What a keystroke asks for is small: what several threads would gain is less than waking them
    and waiting for the last of them costs, which on a machine that is busy with something else is
    tens of milliseconds an operation. Changing the number costs a microsecond.

    Parameters
    ----------
    when : bool
        With False nothing is changed.
    """
    if not when:
        yield
        return
    with _of(1):
        yield


@contextmanager
def all_but_one() -> Iterator[None]:
    """Leave the window a core while it draws, and torch computes for longer than for a key.

    A product waits for the last of its threads, and that is the one whose core the window took: on
    two cores another layer of 1,024 tokens took 51 to 54 ms so, and 59 to 69 with both, when every
    map was made of torch's products. Those of most decoders are not any more, see engine/causal.py.
    """
    with _of(max(1, torch.get_num_threads() - 1)):
        yield


@contextmanager
def _of(threads: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
