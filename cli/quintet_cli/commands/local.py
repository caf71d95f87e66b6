"""`quintet up`, `down` and `status`: the local AWS."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import psutil
import typer
from rich.console import Console
from rich.table import Table

from quintet_cli.stage import DEFAULT_STATE, StageError
from quintet_local.state import State

if TYPE_CHECKING:
    from quintet_local.server import LocalAws

__all__ = ["register"]

START_SECONDS = 120
STOP_SECONDS = 15

StateOption = Annotated[
    Path, typer.Option("--state", help="Folder of the state file and the functions' logs.")
]


def register(app: typer.Typer) -> None:
    """Add this module's commands to the `quintet` command."""
    app.command()(up)
    app.command()(down)
    app.command()(status)


def up(
    *,
    detach: Annotated[bool, typer.Option("--detach", "-d", help="Run in the background.")] = False,
    port: Annotated[int, typer.Option(help="Port of the AWS endpoint; 0 takes a free one.")] = 4566,
    api_port: Annotated[int, typer.Option(help="Port of the API; 0 takes a free one.")] = 4567,
    state: StateOption = DEFAULT_STATE,
    template: Annotated[Path, typer.Option(help="The SAM template to serve.")] = Path(
        "template.yaml"
    ),
    parameter: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="A template parameter.")
    ] = None,
    faults: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="A fault plan: what goes wrong, and how often."),
    ] = None,
) -> None:
    """Serve template.yaml on this machine: an AWS endpoint and the API."""
    parameters = dict(_parameter(text) for text in parameter or [])
    if detach:
        options = ["--template", str(template), "--port", str(port), "--api-port", str(api_port)]
        options += [f"--parameter={text}" for text in parameter or []]
        options += ["--faults", str(faults)] if faults else []
        _detached(state, options)
        return
    # the server's imports take a second: not for the other commands
    from quintet_local.faults import OFF, FaultError, load
    from quintet_local.run import run
    from quintet_local.server import Settings, StartError
    from quintet_local.template import TemplateError

    console = Console()
    console.print(f"starting the local AWS from {template} ...", highlight=False)
    try:
        plan = load(faults) if faults else OFF
        settings = Settings(template, state, port, api_port, parameters, faults=plan)
        run(settings, partial(_welcome, console))
    except (FaultError, StartError, TemplateError) as error:
        Console(stderr=True).print(f"[red]error:[/red] {error}", highlight=False, soft_wrap=True)
        os._exit(1)  # not by returning: a half-started server has threads
    except KeyboardInterrupt:
        os._exit(130)


def down(state: StateOption = DEFAULT_STATE) -> None:
    """Stop the local AWS that runs from the state folder."""
    console = Console()
    found = State.read(state)
    if found is None:
        console.print(f"no local AWS runs from {state}")
        return
    if found.health() is None:
        State.remove(state)
        console.print(f"the local AWS of {state} was not running any more")
        return
    os.kill(found.pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP_SECONDS
    while _runs(found.pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    if _runs(found.pid):
        os.kill(found.pid, signal.SIGKILL)  # its children end with it
        State.remove(state)
    console.print("the local AWS is stopped; what it held is gone")


def _runs(pid: int) -> bool:
    """Whether a process runs; one that has ended and that nobody waited for does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def status(state: StateOption = DEFAULT_STATE) -> None:
    """Show what runs: addresses, outputs, functions and their environments."""
    found = State.read(state)
    page = found.health() if found else None
    if page is None:
        raise StageError(f"no local AWS runs from {state}; start one with `quintet up --detach`")
    console = Console()
    _addresses(console, page)
    table = Table("function", "ready", "busy", "starting", "waiting calls", box=None)
    for name, counts in sorted(page["environments"].items()):
        values = (counts[key] for key in ("idle", "busy", "init", "waiting"))
        table.add_row(name, *(str(value) for value in values))
    console.print(table)
    if page["not_allowed"]:
        console.print("\n[bold]called, though the function's role does not allow it[/bold]")
        for line in page["not_allowed"]:
            console.print(f"  {line}", highlight=False, markup=False, soft_wrap=True)


def is_running(state: Path) -> bool:
    """Whether a local AWS answers from the state folder."""
    found = State.read(state)
    return found is not None and found.health() is not None


def _parameter(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise StageError(f"--parameter {text}: expected NAME=VALUE")
    return name, value


def _detached(state: Path, options: list[str]) -> None:
    state.mkdir(parents=True, exist_ok=True)
    output = state / "up.log"
    command = [sys.executable, "-m", "quintet_local", "--state", str(state), *options]
    console = Console()
    with output.open("wb") as sink, console.status("starting the local AWS ..."):
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        found = _wait_for(process, state)
    page = found.health() if found else None
    if page is None:
        process.kill()
        lines = output.read_text(errors="replace").strip().splitlines() or ["it did not start"]
        raise StageError(lines[-1].removeprefix("error: "))
    _addresses(console, page)
    _facts(console, page["not_honoured_compact"], state)
    console.print("[dim]`quintet status` shows it, `quintet down` stops it[/dim]")


def _wait_for(process: subprocess.Popen[bytes], state: Path) -> State | None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        found = State.read(state)
        if found is not None and found.pid == process.pid:
            return found
        time.sleep(0.05)
    return None


def _welcome(console: Console, local: LocalAws) -> None:
    page = local.health()
    _addresses(console, page)
    _facts(console, page["not_honoured_compact"], local.state)
    console.print("[dim]Ctrl-C stops it[/dim]")


def _addresses(console: Console, page: dict[str, Any]) -> None:
    rows = {"API": page["api_url"], "AWS endpoint": page["endpoint_url"]}
    rows |= {k: v for k, v in sorted(page["outputs"].items()) if v != page["api_url"]}
    for name, value in rows.items():
        # whole, whatever the terminal's width: these are for copying
        console.print(f"[bold]{name:<20}[/bold] {value}", highlight=False, soft_wrap=True)


def _facts(console: Console, not_honoured: list[str], state: Path) -> None:
    if not_honoured:
        console.print("\n[bold]in the template, but not honoured here[/bold]")
        for line in not_honoured:
            console.print(f"  {line}", highlight=False, markup=False, soft_wrap=True)
    text = f"\nlogs are in {state / 'logs'}/; all state is in memory and ends with it"
    console.print(text, highlight=False, soft_wrap=True)
