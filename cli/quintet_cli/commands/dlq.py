"""`quintet dlq`: inspect refused messages, rows and records, and replay them."""

from __future__ import annotations

import re
from contextlib import closing
from itertools import islice
from typing import Annotated

import typer
from rich import progress
from rich.table import Table

from quintet.replay.items import ReplayItem
from quintet.replay.replays import Replay, ReplayRun
from quintet_cli.options import StageName, State
from quintet_cli.replaying import catalog_at, run_of
from quintet_cli.results import prints
from quintet_cli.shapes import Item, Place, Replayed
from quintet_cli.stage import DEFAULT_STATE, Stage
from quintet_cli.terminal import Console

__all__ = ["register"]

#: characters that a terminal may interpret as commands; line ends and tabs are kept
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")

dlq = typer.Typer(
    no_args_is_help=True, help="See and replay what was refused: messages, rows, records."
)
console = Console(highlight=False)

Where = Annotated[
    str,
    typer.Argument(
        help="A place as `ls` names it; a model means its newest run with quarantined rows.",
        metavar="NAME",
    ),
]
Filters = Annotated[
    list[str] | None,
    typer.Option(
        "--filter",
        metavar="TEXT",
        help=(
            "For messages job=ID or model=NAME; for rows row=NUMBER, field=NAME or file=KEY; for a "
            "stream's records also model=, key=, sequence= or arrived=TIME; for all of them text. "
            "If given several times, all must match."
        ),
    ),
]


def register(app: typer.Typer) -> None:
    """Add this module's commands to the `quintet` command."""
    app.add_typer(dlq, name="dlq")


@dlq.command("ls")
@prints(list[Place])
def list_sources(stage: StageName = "local", state: State = DEFAULT_STATE) -> list[Place]:
    """List dead-letter queues, the stream's failures and runs' quarantines, with their depth."""
    table = Table(box=None, header_style="dim")
    table.add_column("name")
    table.add_column("there", justify="right")
    table.add_column("")
    table.add_column("from")
    places: list[Place] = []
    for source in catalog_at(Stage.open(stage, state)).all():
        depth = source.depth()
        cells = (source.name, f"{depth.waiting:,} {source.noun}", depth.note, source.about)
        table.add_row(*map(_harmless, cells))
        place: Place = {
            "name": source.name,
            "waiting": depth.waiting,
            "noun": source.noun,
            "note": depth.note,
            "about": source.about,
        }
        places.append(place)
    Console(highlight=False, markup=False).print(table)
    return places


@dlq.command()
@prints(list[Item])
def show(
    name: Where,
    filters: Filters = None,
    limit: Annotated[int, typer.Option(min=1, help="The maximum number of items to show.")] = 20,
    stage: StageName = "local",
    state: State = DEFAULT_STATE,
) -> list[Item]:
    """Print what a place holds, and why. Nothing changes."""
    source = catalog_at(Stage.open(stage, state)).named(name)
    with closing(Replay(source, filters or []).items()) as items:
        shown = [_show(item) for item in islice(items, limit)]
    if not shown:
        console.print(f"nothing in {source.name} fits")
    return [{"lines": list(item.lines())} for item in shown]


@dlq.command()
@prints(Replayed)
def replay(
    name: Where,
    *,
    filters: Filters = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what would be sent; change nothing.")
    ] = False,
    rate: Annotated[
        float | None,
        typer.Option(
            min=0.1,
            help=(
                "The maximum items a second. Default: 20 messages, 100 records of a stream, all "
                "rows of a run at once."
            ),
        ),
    ] = None,
    again: Annotated[
        bool, typer.Option("--again", help="Also send rows and records that were replayed before.")
    ] = False,
    stage: StageName = "local",
    state: State = DEFAULT_STATE,
) -> Replayed:
    """Send messages, rows or records back to their source, and record the caller."""
    opened = Stage.open(stage, state)
    asked = Replay(catalog_at(opened).named(name), filters or [], again, rate)
    if dry_run:
        return _dry_run(asked)
    run = run_of(opened, asked)
    _follow(run)
    jobs = f", {run.reopened} jobs reopened" if run.reopened else ""
    source = asked.source
    _plain(f"{run.sent} sent to {source.destination}{jobs}, {run.left} left in {source.name}")
    for step in run.steps:
        if step.hint:
            _plain(f"  {step.hint}")
    _plain(f"record: {run.address}")
    return {
        "sent": run.sent,
        "left": run.left,
        "destination": source.destination,
        "record": run.address,
    }


def _dry_run(asked: Replay) -> Replayed:
    count = would = 0
    with closing(asked.preview()) as items:
        for item, wanted in items:
            count += 1
            if wanted:
                _show(item)
                would += 1
    source = asked.source
    _plain(f"{would} of {count} {source.noun} would go to {source.destination}")
    return {
        "sent": would,
        "left": count - would,
        "destination": source.destination,
        "record": None,
    }


def _follow(run: ReplayRun) -> None:
    """Run a replay, and show its progress."""
    columns = (
        progress.SpinnerColumn(),
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        progress.TimeElapsedColumn(),
    )
    source = run.replay.source
    with progress.Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(source.name, total=source.depth().waiting)
        for step in run.run():
            bar.advance(task, step.sent + step.left)


def _show(item: ReplayItem) -> ReplayItem:
    for line in item.lines():
        _plain(line)
    return item


def _plain(text: str) -> None:
    """Print a line unchanged: items may hold markup and control characters; no wrapping."""
    console.print(_harmless(text), markup=False, soft_wrap=True)


def _harmless(text: str) -> str:
    return CONTROL.sub(lambda found: repr(found[0])[1:-1], text)
