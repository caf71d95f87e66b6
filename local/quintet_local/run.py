"""Run a local AWS in this process until a signal ends it."""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import NoReturn

from quintet_local import memory
from quintet_local.server import LocalAws, Settings
from quintet_local.state import claim

__all__ = ["run"]

#: seconds that a thread computes while others wait; by default 5 ms, several times a request
SWITCH = 0.0005
#: objects that come to be between two collections; by default 700
COLLECT = 10_000


def run(settings: Settings, ready: Callable[[LocalAws], None]) -> NoReturn:
    """Start, call `ready`, wait for SIGINT or SIGTERM, stop; this ends the process.

    Raises:
        FolderTaken, StartError, TemplateError: it cannot start.
    """
    folder = claim(settings.state)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    # moto warns on each Map that it ignores the tolerance; docs/local-aws.md says so too
    logging.getLogger("moto.stepfunctions").setLevel(logging.ERROR)
    memory.limit_arenas()
    stop = threading.Event()
    local = LocalAws(settings)
    gc.disable()  # it takes a sixth of the time to start, and finds nothing
    try:
        local.start()
        _tune()
        for signum in (signal.SIGINT, signal.SIGTERM):
            signal.signal(signum, lambda *_: stop.set())
        local.write_state()  # whoever finds it may stop it
    except BaseException:
        local.abandon()
        os.close(folder)
        raise
    ready(local)
    # with a timeout: a signal just before a wait without one would not end it
    while not stop.wait(0.5):
        pass
    with contextlib.suppress(Exception):
        local.stop()
    # threads may still block in a poll; none of them holds work to finish
    os._exit(0)


def _tune() -> None:
    """Keep requests from waiting for other threads and for the garbage collector.

    A full collection reads every object: of the 300,000 that starting left, most of them moto's
    and for good, it took 100 ms every thousand requests, and all threads waited.
    """
    sys.setswitchinterval(SWITCH)
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT)
    gc.enable()
    memory.start()
