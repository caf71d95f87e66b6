"""`python -m quintet_local`: a local AWS in this process; `quintet up --detach` starts it."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from quintet_local.failures import TRY, CannotStart, command_of
from quintet_local.faults import OFF, FaultError, load
from quintet_local.loopback import bypass_proxies
from quintet_local.run import run
from quintet_local.server import LocalAws, Settings
from quintet_local.strict import Strictness
from quintet_local.template import TemplateError


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m quintet_local")
    parser.add_argument("--template", type=Path, default=Settings.template)
    parser.add_argument("--state", type=Path, default=Settings.state)
    parser.add_argument("--port", type=int, default=Settings.port)
    parser.add_argument("--api-port", type=int, default=Settings.api_port)
    parser.add_argument("--parameter", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--faults", type=Path, metavar="FILE")
    parser.add_argument("--strict", action="store_true")
    parser.add_argument("--executions", type=int, metavar="N")
    parser.add_argument("--table-ramp", action="store_true")
    parser.add_argument("--fresh", action="store_true")
    given = parser.parse_args()
    bypass_proxies(os.environ)
    parameters = dict(text.partition("=")[::2] for text in given.parameter)
    try:
        settings = Settings(
            given.template,
            given.state,
            given.port,
            given.api_port,
            parameters,
            faults=load(given.faults) if given.faults else OFF,
            strict=Strictness(given.strict, given.executions, given.table_ramp),
            fresh=given.fresh,
        )
        run(settings, _ready)
    except (CannotStart, FaultError, OSError, TemplateError) as error:
        command = command_of(error)
        end = f"\n{TRY}{command}" if command else ""
        print(f"error: {error}{end}", file=sys.stderr, flush=True)
        os._exit(1)  # returning would hang: a half-started server still has threads


def _ready(local: LocalAws) -> None:
    print(f"ready: {local.endpoint_url} {local.api_url}", flush=True)


if __name__ == "__main__":
    main()
