"""Run a local AWS in this process until a signal ends it."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import threading
from collections.abc import Callable
from typing import NoReturn

from quintet_local.server import LocalAws, Settings
from quintet_local.state import claim

__all__ = ["run"]


def run(settings: Settings, ready: Callable[[LocalAws], None]) -> NoReturn:
    """Start, call `ready`, wait for SIGINT or SIGTERM, stop; this ends the process.

    Raises:
        FolderTaken, StartError, TemplateError: it cannot start.
    """
    folder = claim(settings.state)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    # moto warns on each Map that it ignores the tolerance; docs/local-aws.md says so too
    logging.getLogger("moto.stepfunctions").setLevel(logging.ERROR)
    stop = threading.Event()
    local = LocalAws(settings)
    try:
        local.start()
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
