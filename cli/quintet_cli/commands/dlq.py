"""`quintet dlq`: look at what was refused, wherever it lies, and put it back."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Annotated

import typer
from botocore.exceptions import BotoCoreError, ClientError
from rich import progress
from rich.console import Console
from rich.table import Table

from quintet.errors import QuintetError
from quintet_cli.options import StageName, State
from quintet_cli.places import named, places
from quintet_cli.refused import Outcome, Pace, Place, Thing, fitting
from quintet_cli.replay_audit import Audit, who
from quintet_cli.stage import DEFAULT_STATE, Stage, StageError

__all__ = ["register"]

WIDTH = 200
#: what a terminal could take for commands; lines and tabs are left
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")

dlq = typer.Typer(
    no_args_is_help=True, help="See and replay what was refused: letters, rows, records."
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
            "Of messages job=ID or model=NAME, of rows row=NUMBER, field=NAME or file=KEY, of a "
            "stream's also model=, key=, sequence= or arrived=TIME, of all text; several must all "
            "fit."
        ),
    ),
]


def register(app: typer.Typer) -> None:
    """Add this module's commands to the `quintet` command."""
    app.add_typer(dlq, name="dlq")


@dlq.command("ls")
def list_places(stage: StageName = "local", state: State = DEFAULT_STATE) -> None:
    """List dead-letter queues, the stream's places and runs' quarantines; how much lies there."""
    table = Table(box=None, header_style="dim")
    table.add_column("name", no_wrap=True)
    table.add_column("there", justify="right")
    table.add_column("", no_wrap=True)
    table.add_column("from", no_wrap=True)
    for place in places(Stage.open(stage, state)):
        depth = place.depth()
        cells = (place.name, f"{depth.lying:,} {place.noun}", depth.note, place.about)
        table.add_row(*map(_harmless, cells))
    # names must come out whole, to be copied: the table may be wider than the terminal
    Console(highlight=False, markup=False, width=max(console.width, WIDTH)).print(table)


@dlq.command()
def show(
    name: Where,
    filters: Filters = None,
    limit: Annotated[int, typer.Option(min=1, help="The most to show.")] = 20,
    stage: StageName = "local",
    state: State = DEFAULT_STATE,
) -> None:
    """Print what lies in a place, and why. It stays there."""
    _, place, fits = _opened(name, filters, stage, state)
    with closing(place.things()) as things:
        shown = [_show(thing) for thing in islice(filter(fits, things), limit)]
    if not shown:
        console.print(f"nothing that fits lies in {place.name}")


@dlq.command()
def replay(
    name: Where,
    *,
    filters: Filters = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be sent; change nothing.")
    ] = False,
    rate: Annotated[
        float | None,
        typer.Option(
            min=0.1,
            help=(
                "How many a second, at most; unless told, 20 messages, 100 records of a stream, "
                "and rows of a run at once."
            ),
        ),
    ] = None,
    again: Annotated[
        bool, typer.Option("--again", help="Send rows and records, too, that were replayed before.")
    ] = False,
    stage: StageName = "local",
    state: State = DEFAULT_STATE,
) -> None:
    """Send messages, rows or records back to where they came from; who did is recorded."""
    opened, place, fits = _opened(name, filters, stage, state)

    def wanted(thing: Thing) -> bool:
        return fits(thing) and not thing.stays(again)

    if dry_run:
        _dry_run(place, wanted)
        return
    rate = rate or place.rate
    audit = Audit(
        opened.client("s3"),
        opened.outputs["ScoresBucketName"],
        uuid.uuid4().hex[:12],
        place,
        who(opened),
        filters or [],
        again,
        rate,
    )
    audit.write("running")
    try:
        left = _followed(audit, place.send_back(wanted, audit.id, Pace(rate)))
        audit.write("done")
    except BaseException as error:
        audit.write("stopped")
        if isinstance(error, BotoCoreError | ClientError | QuintetError | StageError):
            sent = f"{_sent(audit)} {place.noun} were sent, the others lie where they lay"
            raise StageError(f"{error}; {sent}. Record: {audit.address}") from error
        raise
    reopened = sum(outcome.reopened for outcome in audit.sent)
    jobs = f", {reopened} jobs reopened" if reopened else ""
    _plain(f"{_sent(audit)} sent to {place.source}{jobs}, {left} left in {place.name}")
    for outcome in audit.sent:
        if outcome.told:
            _plain(f"  {outcome.told}")
    _plain(f"record: {audit.address}")


def _opened(
    name: str, filters: list[str] | None, stage: str, state: Path
) -> tuple[Stage, Place, Callable[[Thing], bool]]:
    """A stage, one of its places, and what of that fits the filters."""
    opened = Stage.open(stage, state)
    return opened, named(opened, name), fitting(filters or [])


def _dry_run(place: Place, wanted: Callable[[Thing], bool]) -> None:
    count = would = 0
    with closing(place.things()) as things:
        for thing in things:
            count += 1
            if wanted(thing):
                _show(thing)
                would += 1
    _plain(f"{would} of {count} {place.noun} would go to {place.source}")


def _followed(audit: Audit, outcomes: Iterator[Outcome]) -> int:
    """Show a replay's progress and note what it sends; how many things it left."""
    left = 0
    columns = (
        progress.SpinnerColumn(),
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        progress.TimeElapsedColumn(),
    )
    with progress.Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(audit.place.name, total=audit.place.depth().lying)
        for outcome in outcomes:
            left += outcome.left
            if outcome.sent:
                audit.sent.append(outcome)
            bar.advance(task, outcome.sent + outcome.left)
    return left


def _sent(audit: Audit) -> int:
    return sum(outcome.sent for outcome in audit.sent)


def _show(thing: Thing) -> Thing:
    for line in thing.lines():
        _plain(line)
    return thing


def _plain(text: str) -> None:
    """A line as it is: what places hold is no markup and no command, and is not wrapped."""
    console.print(_harmless(text), markup=False, soft_wrap=True)


def _harmless(text: str) -> str:
    return CONTROL.sub(lambda found: repr(found[0])[1:-1], text)
