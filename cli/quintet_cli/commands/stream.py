"""`quintet stream`: send records to the stream, and follow its results."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from quintet.aws.stream_sender import Entry, Sender, Sent
from quintet.contract import Contract
from quintet.errors import BadInput
from quintet.replay.stream_objects import FAILURES, QUARANTINE
from quintet.streaming.windows import Window
from quintet_cli.interrupts import INTERRUPTED, interruptible
from quintet_cli.options import StageName, State
from quintet_cli.registry import live_contract, route_of
from quintet_cli.results import Failed, prints, prints_lines
from quintet_cli.shapes import Sending
from quintet_cli.stacks import AGAIN
from quintet_cli.stage import DEFAULT_STATE, Stage, StageError
from quintet_cli.stream_files import Line, Packer, check_sizes, read_lines, read_records
from quintet_cli.stream_follow import follow_sent
from quintet_cli.stream_reader import StreamReader
from quintet_cli.stream_status import Status, status_of
from quintet_cli.stream_tail import Seen, Tail
from quintet_cli.terminal import Console
from quintet_cli.views.stream import (
    seen_lines,
    sending_bar,
    sent_lines,
    window_line,
    window_table,
)

__all__ = ["register", "send"]

POLL_SECONDS = 0.5
#: rows of each batch that are shown
ROWS = 5
#: records a second, far more than a stream accepts
MAX_RATE = 1_000_000

stream = typer.Typer(no_args_is_help=True, help="Send records to the stream; follow its results.")
console = Console(highlight=False)


def register(app: typer.Typer) -> None:
    """Add this module's commands to the `quintet` command."""
    app.add_typer(stream, name="stream")


@stream.command()
@prints(Sending)
def send(
    file: Annotated[
        Path,
        typer.Argument(help="JSONL, CSV or Parquet.", metavar="FILE", exists=True, dir_okay=False),
    ],
    model: Annotated[
        str | None,
        typer.Argument(help="The model; without it, the stack's StreamModel.", metavar="MODEL"),
    ] = None,
    *,
    rate: Annotated[
        float,
        typer.Option("--rate", help="Records a second; 0 for no limit.", min=0, max=MAX_RATE),
    ] = 0,
    key: Annotated[
        str | None,
        typer.Option(
            "--key", help="The field of the partition key; by default the model's entity."
        ),
    ] = None,
    now: Annotated[
        bool, typer.Option("--now", help="Set the time of each record to when it is sent.")
    ] = False,
    repeat: Annotated[
        bool, typer.Option("--repeat", help="Repeat the file until stopped.")
    ] = False,
    raw: Annotated[
        bool, typer.Option("--raw", help="Send the lines as they are, without checks.")
    ] = False,
    follow: Annotated[
        bool,
        typer.Option("--follow", help="Print what comes of them, until all are scored or refused."),
    ] = False,
    stage: StageName = "local",
    state: State = DEFAULT_STATE,
) -> Sending:
    """Send the records of a file to the stream, one Kinesis record each.

    Records are checked against the model's contract first; a file with a bad line is not sent.
    """
    opened = Stage.open(stage, state)
    if model and raw:
        route_of(opened, model)
    contract = live_contract(opened, model) if model and not raw else None
    packer = Packer(model, _time_of(contract) if now else None)
    try:
        arrival = math.inf if now else time.time()
        lines = (
            read_lines(file, key)
            if raw
            else read_records(file, contract, key, arrival, packer.time)
        )
        check_sizes(lines, packer, time.time())
    except BadInput as error:
        raise StageError(f"nothing was sent: {error}", command=AGAIN) from error
    tail = Tail(StreamReader(opened), model, time.time()) if follow else None
    sent, total = Sent(), None if repeat else len(lines)
    with interruptible() as stop, sending_bar(console) as bar:
        task = bar.add_task(file.name, total=total, rate="")
        kinesis, name = opened.client("kinesis"), opened.outputs["EventsStreamName"]
        sender = Sender(kinesis, name, sleep=stop.wait)
        entries = itertools.takewhile(lambda _: not stop.is_set(), _entries(lines, packer, repeat))
        for sent in sender.send(entries, rate):
            bar.update(task, completed=sent.records, rate=f"{sent.rate:,.0f}/s")
    for line in sent_lines(sent, file.name, model, unchecked=model is None and not raw):
        console.print(line, markup=False, soft_wrap=True)
    left = 0 if repeat else len(lines) - sent.records
    told: Sending = {"records": sent.records, "left": left}
    if stop.is_set() and not repeat:
        console.print(f"stopped: {left:,} were not sent", markup=False)
        raise Failed(told, INTERRUPTED, command="quintet stream status")
    if tail is not None:
        for seen in follow_sent(tail, sent.last):
            for line in seen_lines(seen, tail, ROWS):
                console.print(line, soft_wrap=True)
    return told


@stream.command()
@prints_lines(Seen)
def tail(
    model: Annotated[
        str | None, typer.Argument(help="One model; without it, all.", metavar="MODEL")
    ] = None,
    *,
    seconds: Annotated[
        float,
        typer.Option("--seconds", help="How long to follow, in seconds; 0 for no limit.", min=0),
    ] = 0,
    rows: Annotated[
        int, typer.Option("--rows", help="How many rows of each batch to show.", min=1)
    ] = ROWS,
    last: Annotated[
        int, typer.Option("--last", help="How many of the batches before to begin with.", min=0)
    ] = 3,
    stage: StageName = "local",
    state: State = DEFAULT_STATE,
) -> Iterator[Seen]:
    """Print predictions, refusals, alerts and windows of the stream as they arrive."""
    reader = StreamReader(Stage.open(stage, state))
    follow = Tail(reader, model, time.time(), last)
    whom = model or "all models"
    Console(stderr=True).print(f"following {whom} on {reader.name}; Ctrl-C ends", soft_wrap=True)
    deadline = time.monotonic() + seconds if seconds else math.inf
    with suppress(KeyboardInterrupt):
        while time.monotonic() < deadline:
            for seen in follow.look(time.time()):
                for line in seen_lines(seen, follow, rows):
                    console.print(line, soft_wrap=True)
                yield seen
            time.sleep(POLL_SECONDS)


@stream.command()
@prints(list[Window])
def windows(
    model: Annotated[str, typer.Argument(help="The model.", metavar="MODEL")],
    *,
    count: Annotated[int, typer.Option("--most", help="How many windows.", min=1)] = 5,
    rows: Annotated[int, typer.Option("--rows", help="How many entities of each.", min=1)] = 10,
    entity: Annotated[str | None, typer.Option("--entity", help="Only this entity.")] = None,
    stage: StageName = "local",
    state: State = DEFAULT_STATE,
) -> list[Window]:
    """List the newest windows of a model with their aggregates, parts summed."""
    reader = StreamReader(Stage.open(stage, state))
    found = list(reader.windows(model, count))
    if not found:
        declared = reader.contract(model).stream
        if declared is None or not declared.aggregates:
            raise StageError(
                f"the contract of {model} declares no aggregates: it has no windows",
                command="quintet models",
            )
        raise StageError(
            f"no window of {model} was stored yet; one is when it closes",
            command="quintet stream status",
        )
    for window in found:
        console.print(window_line(window), soft_wrap=True)
        console.print(window_table(window, entity, rows))
    return found


@stream.command()
@prints(Status)
def status(stage: StageName = "local", state: State = DEFAULT_STATE) -> Status:
    """Show the shards, the function's lag, and the refused and failed records."""
    found = status_of(Stage.open(stage, state), time.time())
    behind = "not known" if found.behind is None else f"{found.behind:.1f} s"
    lines = {
        "stream": found.stream,
        "shards": f"{found.open} open, {found.closed} closed",
        "behind": f"{behind}, at most in the last {found.minutes} minutes",
        "refused": f"{found.refused:,} objects of the last 24 hours below {QUARANTINE}",
        "given up": f"{found.failures:,} documents below {FAILURES}",
        "bucket": found.bucket,
    }
    for name, text in lines.items():
        console.print(f"{name:>10}  {text}", markup=False, soft_wrap=True)
    return found


def _time_of(contract: Contract | None) -> str:
    """Return the field that holds the time of a model's records.

    Raises:
        BadInput: the contract does not name one.
    """
    if contract is None or contract.time_key is None:
        raise BadInput.of("--now", "a model whose contract names the time of a record", "none")
    return contract.time_key


def _entries(lines: Sequence[Line], packer: Packer, repeat: bool) -> Iterator[Entry]:
    endless = itertools.cycle(lines) if repeat else lines
    return ((line.key, packer.pack(line, time.time())) for line in endless)
