"""`quintet dlq`: look into the dead-letter queues, and put messages back to work."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from itertools import islice
from typing import Annotated

import typer
from botocore.exceptions import BotoCoreError, ClientError
from rich import progress
from rich.console import Console
from rich.table import Table

from quintet_cli.dead_letters import (
    DeadLetters,
    Jobs,
    Letter,
    Replayed,
    dead_letters,
    matcher,
    named,
    replay,
)
from quintet_cli.job_table import jobs_of
from quintet_cli.options import StageName, State
from quintet_cli.replay_audit import Audit, who
from quintet_cli.stage import DEFAULT_STATE, Stage, StageError

__all__ = ["pacer", "register"]

dlq = typer.Typer(no_args_is_help=True, help="See and replay dead letters.")
console = Console(highlight=False)

Queue = Annotated[str, typer.Argument(help="The queue, as `ls` names it.", metavar="QUEUE")]
Filters = Annotated[
    list[str] | None,
    typer.Option(
        "--filter",
        metavar="TEXT",
        help="job=ID, model=NAME, or text of the message; several must all fit.",
    ),
]


def register(app: typer.Typer) -> None:
    """Add this module's commands to the `quintet` command."""
    app.add_typer(dlq, name="dlq")


@dlq.command("ls")
def list_queues(stage: StageName = "local", state: State = DEFAULT_STATE) -> None:
    """List the stack's dead-letter queues and how much lies in each."""
    table = Table(box=None, header_style="dim")
    table.add_column("queue", no_wrap=True)
    table.add_column("messages", justify="right")
    table.add_column("being read", justify="right")
    table.add_column("comes from", overflow="fold")
    for queue in dead_letters(Stage.open(stage, state)):
        lying, held = queue.depth()
        table.add_row(queue.name, f"{lying:,}", f"{held:,}", queue.source)
    console.print(table)


@dlq.command()
def show(
    queue: Queue,
    filters: Filters = None,
    limit: Annotated[int, typer.Option(min=1, help="The most messages to show.")] = 20,
    stage: StageName = "local",
    state: State = DEFAULT_STATE,
) -> None:
    """Print messages of a queue, and what became of their jobs. They stay where they are."""
    opened = Stage.open(stage, state)
    found, jobs = named(opened, queue), jobs_of(opened)
    wanted = matcher(filters or [], jobs)
    shown = 0
    with closing(found.peek()) as letters:
        for letter in islice(filter(wanted, letters), limit):
            _show(letter, jobs)
            shown += 1
    if not shown:
        console.print(f"nothing that fits lies in {found.name}")


@dlq.command("replay")
def replay_letters(
    queue: Queue,
    *,
    filters: Filters = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be sent; change nothing.")
    ] = False,
    rate: Annotated[float, typer.Option(min=0.1, help="Messages a second, at most.")] = 20,
    stage: StageName = "local",
    state: State = DEFAULT_STATE,
) -> None:
    """Send messages back to the queue they came from; who did is recorded."""
    opened = Stage.open(stage, state)
    found, jobs = named(opened, queue), jobs_of(opened)
    wanted = matcher(filters or [], jobs)
    if dry_run:
        _dry_run(found, jobs, wanted)
        return
    audit = Audit(
        opened.client("s3"),
        opened.outputs["ScoresBucketName"],
        uuid.uuid4().hex[:12],
        found,
        who(opened),
        filters or [],
        rate,
    )
    audit.write("running")
    try:
        passed = _followed(audit, replay(found, jobs, wanted, audit.id, pacer(rate)))
        audit.write("done")
    except BaseException as error:
        audit.write("stopped")
        if isinstance(error, BotoCoreError | ClientError):
            sent = f"{len(audit.replayed)} messages were sent, the others lie where they lay"
            raise StageError(f"{error}; {sent}. Record: {audit.place}") from error
        raise
    reopened = sum(done.reopened for done in audit.replayed)
    console.print(
        f"{len(audit.replayed)} sent to {found.source}, {reopened} jobs reopened, "
        f"{passed} left in {found.name}"
    )
    console.print(f"record: {audit.place}", soft_wrap=True)


def _dry_run(queue: DeadLetters, jobs: Jobs, wanted: Callable[[Letter], bool]) -> None:
    letters = [*queue.peek()]
    fitting = [letter for letter in letters if wanted(letter)]
    for letter in fitting:
        _show(letter, jobs)
    console.print(f"{len(fitting)} of {len(letters)} messages would go to {queue.source}")


def _followed(audit: Audit, outcomes: Iterator[Replayed]) -> int:
    """Show a replay's progress and note what it sends; how many messages it left."""
    passed = 0
    columns = (
        progress.SpinnerColumn(),
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        progress.TimeElapsedColumn(),
    )
    with progress.Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(audit.queue.name, total=audit.queue.depth()[0])
        for done in outcomes:
            if done.sent_as is None:
                passed += 1
            else:
                audit.replayed.append(done)
            bar.advance(task)
    return passed


def pacer(
    rate: float,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Callable[[], None]:
    """A function that returns at most `rate` times a second, waiting where it must."""
    free = clock()

    def pace() -> None:
        nonlocal free
        now = clock()
        if free > now:
            sleep(free - now)
        free = max(free, now) + 1 / rate

    return pace


def _show(letter: Letter, jobs: Jobs) -> None:
    sent = datetime.fromtimestamp(letter.sent, UTC)
    line = f"{letter.id}  {sent:%Y-%m-%d %H:%M:%S}"
    if letter.job is not None:
        known = jobs.look(letter.job)
        line += f"  job {letter.job}: "
        line += f"{known.state} {known.model} {known.error}".rstrip() if known else "unknown"
    if letter.replay is not None:
        line += f"  (replayed before, by {letter.replay})"
    for text in (line, f"  {letter.body}"):
        # what a message holds is no markup, and is not wrapped
        console.print(text, markup=False, soft_wrap=True)
