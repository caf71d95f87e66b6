"""`quintet stream`: put records onto the stream, and see what comes of them."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer
from rich import progress
from rich.console import Console

from quintet.contract import Contract
from quintet.errors import BadInput
from quintet_cli.features_cmd import live_contract
from quintet_cli.options import StageName, State
from quintet_cli.stage import DEFAULT_STATE, Stage
from quintet_cli.stream_files import Line, Packer, read_lines, read_records
from quintet_cli.stream_sender import Entry, Sender, Sent

__all__ = ["register", "send"]

stream = typer.Typer(no_args_is_help=True, help="Send records to the stream; see what comes.")
console = Console(highlight=False)


def register(app: typer.Typer) -> None:
    """Add this module's commands to the `quintet` command."""
    app.add_typer(stream, name="stream")


@stream.command()
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
        float, typer.Option("--rate", help="Records a second; 0 is as fast as it goes.", min=0)
    ] = 0,
    key: Annotated[
        str | None,
        typer.Option("--key", help="The field of the partition key; else the model's entity."),
    ] = None,
    now: Annotated[
        bool, typer.Option("--now", help="Set the time of each record to that of its sending.")
    ] = False,
    repeat: Annotated[
        bool, typer.Option("--repeat", help="Begin again at the end, until stopped.")
    ] = False,
    raw: Annotated[
        bool, typer.Option("--raw", help="Send the lines as they are, unchecked.")
    ] = False,
    stage: StageName = "local",
    state: State = DEFAULT_STATE,
) -> None:
    """Send the records of a file to the stream, one Kinesis record each.

    They are held to the model's contract first: a file with a bad line is not sent at all.
    """
    opened = Stage.open(stage, state)
    contract = live_contract(opened, model) if model and not raw else None
    packer = Packer(model, _time_of(contract) if now else None)
    lines = read_lines(file, key) if raw else read_records(file, contract, key)
    sender = Sender(opened.client("kinesis"), opened.outputs["EventsStreamName"])
    sent = Sent()
    total = None if repeat else len(lines)
    with suppress(KeyboardInterrupt), _bar() as bar:
        task = bar.add_task(file.name, total=total, rate="")
        for sent in sender.send(_entries(lines, packer, repeat), rate):
            bar.update(task, completed=sent.records, rate=f"{sent.rate:,.0f}/s")
    _print(sent, file, model)


def _time_of(contract: Contract | None) -> str:
    """The field that holds the time of a model's records.

    Raises:
        BadInput: there is none.
    """
    if contract is None or contract.stream is None or contract.stream.time is None:
        raise BadInput.of("--now", "a model whose contract names the time of a record", "none")
    return contract.stream.time


def _entries(lines: Sequence[Line], packer: Packer, repeat: bool) -> Iterator[Entry]:
    endless = itertools.cycle(lines) if repeat else lines
    return ((line.key, packer.pack(line, time.time())) for line in endless)


def _bar() -> progress.Progress:
    columns = (
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        progress.TextColumn("{task.fields[rate]}"),
        progress.TimeElapsedColumn(),
    )
    return progress.Progress(*columns, console=console, transient=True)


def _print(sent: Sent, file: Path, model: str | None) -> None:
    to = f" to {model}" if model else ""
    again = f", {sent.again:,} of them again" if sent.again else ""
    console.print(
        f"{sent.records:,} records of {file.name} sent{to} in {sent.seconds:.1f} s "
        f"({sent.rate:,.0f} a second, {sent.bytes / 1e6:.1f} MB{again})",
        markup=False,
        soft_wrap=True,
    )
    for shard, records in sorted(sent.shards.items()):
        console.print(f"  {shard}  {records:,}", markup=False)
