"""Find what in a file ends the process that reads it, in a child process.

The Parquet reader is Rust: on some damage it aborts, which no handler of Python sees.
"""

from __future__ import annotations

import contextlib
import faulthandler
import multiprocessing
import time
import warnings
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import NamedTuple

__all__ = ["Crash", "first_crash"]

#: seconds after which a child that still reads is given up
PATIENCE = 240.0


class Crash(NamedTuple):
    """The number of the step that ended its process, and by which signal."""

    step: int
    signal: int


def first_crash(
    read: Callable[[int], None], steps: int, patience: float = PATIENCE
) -> Crash | None:
    """The first of some steps at which `read` ends its process; None if none does in time."""
    context = multiprocessing.get_context("fork")  # the child has all that the parent has open
    receiving, sending = context.Pipe(duplex=False)
    child = context.Process(target=_each, args=(read, steps, sending), daemon=True)
    with warnings.catch_warnings():  # of other threads, whose locks the reader does not use
        warnings.simplefilter("ignore", DeprecationWarning)
        child.start()
    sending.close()
    step, end = None, time.monotonic() + patience
    with receiving, contextlib.suppress(EOFError):
        while receiving.poll(max(0.0, end - time.monotonic())):
            step = receiving.recv()
    in_time = time.monotonic() < end
    if not in_time:
        child.kill()
    child.join()
    code = child.exitcode or 0
    return Crash(step, -code) if in_time and code < 0 and step is not None else None


def _each(read: Callable[[int], None], steps: int, sending: Connection) -> None:
    faulthandler.disable()  # the crash is looked for: no trace of it in the log
    for step in range(steps):
        sending.send(step)
        with contextlib.suppress(Exception):  # an error is no crash: the unit says it itself
            read(step)
