"""`quintet up`, `down`, `status` and `env`: the local AWS."""

from __future__ import annotations

import os
import shlex
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

import typer

from quintet.errors import BadInput, shown
from quintet_cli.advice import again, placed
from quintet_cli.console.beside import running_url, start_beside
from quintet_cli.local_process import start, stop
from quintet_cli.project import project_folder
from quintet_cli.results import prints
from quintet_cli.shapes import Health, Stopped
from quintet_cli.stacks import NoStage
from quintet_cli.stage import DEFAULT_STATE, local_environment
from quintet_cli.terminal import Console, tell
from quintet_cli.views.local import eval_line, print_running, print_started, print_status
from quintet_local.state import State

__all__ = ["register"]

StateOption = Annotated[
    Path, typer.Option("--state", help="Folder of the state file and the functions' logs.")
]


class Auth(StrEnum):
    """How callers of the API are authenticated."""

    iam = "iam"
    keys = "keys"
    jwt = "jwt"


def register(app: typer.Typer) -> None:
    """Add this module's commands to the `quintet` command."""
    app.command()(up)
    app.command()(down)
    app.command()(status)
    app.command()(env)


def up(
    *,
    detach: Annotated[bool, typer.Option("--detach", "-d", help="Run in the background.")] = False,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port of the AWS endpoint; 0 takes a free one.")
    ] = 4566,
    api_port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port of the API; 0 takes a free one.")
    ] = 4567,
    state: StateOption = DEFAULT_STATE,
    template: Annotated[
        Path | None,
        typer.Option(
            help="The SAM template to serve: by default ./template.yaml, or the package's own.",
            show_default=False,
        ),
    ] = None,
    parameter: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="A template parameter.")
    ] = None,
    auth: Annotated[
        Auth | None,
        typer.Option(
            "--auth",
            help="Authenticate callers of the API as on AWS; without it anyone is answered.",
        ),
    ] = None,
    faults: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="A fault plan: which faults to inject, and how often."),
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Refuse templates and calls that AWS refuses.")
    ] = False,
    executions: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=1, help="With --strict: the account's concurrent executions."
        ),
    ] = None,
    table_ramp: Annotated[
        bool, typer.Option("--table-ramp", help="With --strict: throttle writes as new tables do.")
    ] = False,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Delete what is kept of an earlier one; start empty.")
    ] = False,
    with_console: Annotated[
        bool, typer.Option("--console/--no-console", help="Serve the console beside it.")
    ] = True,
    verbose: Annotated[
        bool, typer.Option("--verbose", help="Name each resource of which something is ignored.")
    ] = False,
) -> None:
    """Serve template.yaml on this machine: an AWS endpoint and the API."""
    if not strict and (executions or table_ramp):
        raise BadInput.of("--strict", "it, with --executions or --table-ramp", "neither")
    parameter = [*(parameter or []), *([f"ApiAuth={auth}"] if auth else [])]
    parameters = dict(_parameter(text) for text in parameter)
    template = template or project_folder() / "template.yaml"
    for file in filter(None, (template, faults)):
        file.stat()  # raises if it is missing; the error then names files beside it
    if detach:
        changed = parameter or faults or strict or fresh
        if not changed and (page := _running(state, template, port, api_port)):
            print_running(Console(), page, start_beside(state) if with_console else None)
            return
        options = ["--template", str(template), "--port", str(port), "--api-port", str(api_port)]
        options += [f"--parameter={text}" for text in parameter]
        options += ["--faults", str(faults)] if faults else []
        options += ["--strict"] if strict else []
        options += ["--executions", str(executions)] if executions else []
        options += ["--table-ramp"] if table_ramp else []
        options += ["--fresh"] if fresh else []
        console = Console()
        with console.status("starting the local AWS ..."):
            page = start(state, options)
        hint = (
            "`quintet status` shows it, `quintet down` stops it; "
            f"{eval_line(state)} lets AWS tools use it"
        )
        url = start_beside(state) if with_console else None
        print_started(console, page, state, hint, url, verbose=verbose)
        return
    # the server takes a second to import: spare the other commands that
    from quintet_local.failures import CannotStart, command_of
    from quintet_local.faults import OFF, FaultError, load
    from quintet_local.run import run
    from quintet_local.server import LocalAws, Settings
    from quintet_local.strict import Strictness
    from quintet_local.template import TemplateError

    console = Console()

    def ready(local: LocalAws) -> None:
        url = start_beside(local.state) if with_console else None
        hint = "Ctrl-C stops it"
        print_started(console, local.health(), local.state, hint, url, verbose=verbose)

    console.print(f"starting the local AWS from {template} ...", highlight=False)
    try:
        plan = load(faults) if faults else OFF
        strictness = Strictness(strict, executions, table_ramp)
        settings = Settings(
            template,
            state,
            port,
            api_port,
            parameters,
            faults=plan,
            strict=strictness,
            fresh=fresh,
        )
        run(settings, ready)
    except (CannotStart, FaultError, OSError, TemplateError) as error:
        words = sys.argv[1:]
        tell(str(error), placed(command_of(error) or again(words), words))
        os._exit(1)  # returning would hang: a half-started server still has threads
    except KeyboardInterrupt:
        os._exit(130)


@prints(Stopped)
def down(state: StateOption = DEFAULT_STATE) -> Stopped:
    """Stop the local AWS that runs from the state folder."""
    console = Console()
    found = State.read(state)
    if found is None:
        console.print(f"no local AWS runs from {state}")
        return {"stopped": False}
    if found.health() is None:
        State.remove(state)
        console.print(f"the local AWS of {state} was no longer running")
        return {"stopped": False}
    stop(found, state)
    console.print(
        f"the local AWS has stopped; `quintet up` starts it with its buckets and tables, kept in "
        f"{state}",
        highlight=False,
        soft_wrap=True,
    )
    return {"stopped": True}


@prints(Health)
def status(state: StateOption = DEFAULT_STATE) -> Health:
    """Show the local AWS: addresses, outputs, functions and their environments."""
    found = State.read(state)
    page = found.health() if found else None
    if page is None:
        raise NoStage(f"no local AWS runs from {state}", command="quintet up --detach")
    print_status(Console(), page, running_url(state))
    found_page: Health = page  # type: ignore[assignment]
    return found_page


@prints(dict[str, str])
def env(state: StateOption = DEFAULT_STATE) -> dict[str, str]:
    """Print shell exports for AWS tools to use the local AWS: `eval "$(quintet env)"`."""
    found = State.read(state)
    if found is None or found.health() is None:
        raise NoStage(f"no local AWS runs from {state}", command="quintet up --detach")
    print("unset AWS_PROFILE AWS_SESSION_TOKEN")
    variables = {**local_environment(found.endpoint_url), "API": found.api_url}
    if inbox := found.outputs.get("InboxBucketName"):
        variables["INBOX"] = inbox
    for name, value in variables.items():
        print(f"export {name}={shlex.quote(value)}")
    return variables


def _running(state: Path, template: Path, port: int, api_port: int) -> dict[str, Any] | None:
    """The health page of the local AWS that runs as asked; None if none or another one runs."""
    found = State.read(state)
    if found is None or Path(found.template).resolve() != template.resolve():
        return None
    asked = ((found.endpoint_url, port), (found.api_url, api_port))
    if any(wanted not in (0, urlsplit(url).port) for url, wanted in asked):
        return None
    return found.health()


def _parameter(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise BadInput.of("--parameter", "NAME=VALUE", shown(text))
    return name, value
