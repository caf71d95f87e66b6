"""`python -m quintet_local`: the local AWS in this process, until it is told to stop."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import threading
from pathlib import Path

from quintet_local.server import LocalAws, Settings, StartError
from quintet_local.template import TemplateError


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m quintet_local")
    parser.add_argument("--template", type=Path, default=Settings.template)
    parser.add_argument("--state", type=Path, default=Settings.state)
    parser.add_argument("--port", type=int, default=Settings.port)
    parser.add_argument("--api-port", type=int, default=Settings.api_port)
    parser.add_argument("--parameter", action="append", default=[], metavar="NAME=VALUE")
    given = parser.parse_args()
    parameters = dict(text.partition("=")[::2] for text in given.parameter)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    stop = threading.Event()
    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, lambda *_: stop.set())
    local = LocalAws(Settings(given.template, given.state, given.port, given.api_port, parameters))
    try:
        local.start()
    except (StartError, TemplateError) as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        os._exit(1)
    print(f"ready: {local.endpoint_url} {local.api_url}", flush=True)
    stop.wait()
    local.stop()
    # threads may still hang in a poll; nothing of them is worth waiting for
    os._exit(0)


if __name__ == "__main__":
    main()
