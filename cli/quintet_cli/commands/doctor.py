"""`quintet doctor`: a smoke test of a stage."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from quintet_cli.commands.publish import publisher_of
from quintet_cli.doctor import Doctor, Finding, report
from quintet_cli.options import StageName, State
from quintet_cli.project import outdated, project_folder
from quintet_cli.results import Failed, prints
from quintet_cli.stage import DEFAULT_STATE, Stage
from quintet_cli.terminal import Console

__all__ = ["register"]

console = Console(highlight=False)


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
    """Check a stage: publish a model, predict, run a job, a stream record and a file; clean up."""
    opened = Stage.open(stage, state)
    if told := outdated(Path()):
        console.print(f"[yellow]note:[/yellow] {told}", soft_wrap=True)
    package = package or project_folder() / "models/tickets"
    began = datetime.now(UTC)
    findings = Doctor(opened, publisher_of(opened), package, seconds).run(_say)
    if report_file is not None:
        report_file.write_text(report(opened, findings, began))
        console.print(f"report: {report_file}", markup=False, soft_wrap=True)
    if not all(found.ok for found in findings):
        raise Failed(findings)
    return findings


def _say(found: Finding) -> None:
    mark = "[green]ok[/green]    " if found.ok else "[red]failed[/red]"
    console.print(f"{mark} {found.check:<9}{found.seconds:6.1f} s  ", end="")
    console.print(found.saw, markup=False, soft_wrap=True)
