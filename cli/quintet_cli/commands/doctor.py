"""`quintet doctor`: a smoke test of a stage."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import Annotated

import typer

from quintet_cli.commands.publish import publisher_of
from quintet_cli.doctor import Doctor, Finding, report
from quintet_cli.machine import machine_checks, stage_checks
from quintet_cli.options import StageName, State
from quintet_cli.project import project_folder
from quintet_cli.results import Failed, prints
from quintet_cli.stage import DEFAULT_STATE, Stage
from quintet_cli.terminal import Console
from quintet_local.state import State as LocalState

__all__ = ["register"]

console = Console(highlight=False)

#: without these a stage cannot be opened
NEEDED = {"credentials"}


def register(app: typer.Typer) -> None:
    """Add this module's command to the `quintet` command."""
    app.command()(doctor)


@prints(list[Finding])
def doctor(
    *,
    stage: StageName = "local",
    state: State = DEFAULT_STATE,
    package: Annotated[
        Path | None,
        typer.Option(
            "--package",
            help="The package to check with: by default models/tickets of the project.",
            exists=True,
            file_okay=False,
            show_default=False,
        ),
    ] = None,
    seconds: Annotated[int, typer.Option("--seconds", help="How long a pattern may take.")] = 300,
    report_file: Annotated[
        Path | None, typer.Option("--report", help="Write the findings to this file, as Markdown.")
    ] = None,
) -> list[Finding]:
    """Check this machine, and a stage: a model, a request, a job, a record, a file; clean up.

    Versions, ports, disk and the Python of `sam build` first; of a deployed stage also credentials,
    quotas, and whether it has this template. Each line that failed ends with what mends it.
    """
    began = datetime.now(UTC)
    findings = list(_before(stage, state))
    if not all(found.passes for found in findings if found.check in NEEDED):
        raise Failed(findings, command=None)
    opened = Stage.open(stage, state)
    package = package or project_folder() / "models/tickets"
    findings += Doctor(opened, publisher_of(opened), package, seconds).run(_say)
    if report_file is not None:
        report_file.write_text(report(opened, findings, began))
        console.print(f"report: {report_file}", markup=False, soft_wrap=True)
    if not all(found.passes for found in findings):
        raise Failed(findings, command=None)
    return findings


def _before(stage: str, state: Path) -> Iterator[Finding]:
    """Check the machine and a deployed stage's settings, and print each finding."""
    local, running = stage == "local", LocalState.read(state)
    runs_here = running is not None and running.health() is not None
    checks = [machine_checks(Path(), state, runs_here=runs_here, builds=not local)]
    if not local:
        import boto3  # no help of a command needs it

        template = project_folder() / "template.yaml"
        checks.append(stage_checks(boto3.Session().client, stage, template))
    for found in chain.from_iterable(checks):
        _say(found)
        yield found


def _say(found: Finding) -> None:
    mark = "[green]ok[/green]    " if found.ok else "[red]failed[/red]"
    if found.note and not found.ok:
        mark = "[yellow]note[/yellow]  "
    console.print(f"{mark} {found.check:<9}{found.seconds:6.1f} s  ", end="")
    console.print(found.saw, markup=False, soft_wrap=True)
