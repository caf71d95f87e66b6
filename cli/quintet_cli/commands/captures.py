"""`quintet captures`: predictions as they were served."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from quintet.aws.captures import CaptureBucket
from quintet.captures.erasure import erase as erase_captures
from quintet.captures.queries import event_rows, find, load, online_time
from quintet.feedback.erasure import erase as erase_feedback
from quintet_cli.captures_files import check_form, joined, write_rows
from quintet_cli.captures_rows import records_of
from quintet_cli.captures_sql import SUMMARY, captures_view
from quintet_cli.captures_tail import CapturesTail
from quintet_cli.interrupts import interruptible
from quintet_cli.options import Model, StageName, State
from quintet_cli.registry import route_of
from quintet_cli.results import prints, prints_lines
from quintet_cli.shapes import Erasure, Written
from quintet_cli.since import moment
from quintet_cli.stage import DEFAULT_STATE, Stage, StageError
from quintet_cli.terminal import Console
from quintet_cli.views.captures import (
    erased_lines,
    event_view,
    row_line,
    rows_table,
    untouched_lines,
)

__all__ = ["arrival_of", "register"]

POLL_SECONDS = 1.0
#: within which a request's capture arrives
ARRIVAL_SECONDS = 60.0

captures = typer.Typer(no_args_is_help=True, help="Look at predictions as they were served.")
console = Console(highlight=False)

OneModel = Annotated[
    str | None, typer.Argument(help="One model; without it, all.", metavar="MODEL")
]
Since = Annotated[
    str,
    typer.Option("--since", help="From when on: 30m, 12h, 7d, or a time (ISO 8601)."),
]
Until = Annotated[str | None, typer.Option("--until", help="Until when: as --since.")]


class Format(StrEnum):
    """How rows are printed."""

    table = "table"
    json = "json"


def register(app: typer.Typer) -> None:
    """Add this module's commands to the `quintet` command."""
    app.add_typer(captures, name="captures")


@captures.command()
@prints(list[dict[str, Any]])
def query(
    model: OneModel = None,
    *,
    sql: Annotated[
        str,
        typer.Option("--sql", help="SQL over the view `captures`; by default a summary by model."),
    ] = SUMMARY,
    since: Since = "1d",
    until: Until = None,
    form: Annotated[Format, typer.Option("--format", help="How rows are printed.")] = Format.table,
    stage: StageName = "local",
    state: State = DEFAULT_STATE,
) -> list[dict[str, Any]]:
    """Run SQL over captures. Needs DuckDB: pip install 'quintet-serving[captures]'."""
    bucket = _bucket(stage, state, model)
    begin, end = moment(since, "--since"), moment(until, "--until")
    with captures_view(bucket, find(bucket, model, begin, end)) as connection:
        found = connection.execute(sql)
        names = [column[0] for column in found.description or ()]
        rows = found.fetchall()
    found_rows = [dict(zip(names, row, strict=True)) for row in rows]
    if form == Format.json:
        for row in found_rows:
            print(json.dumps(row, default=str))
    else:
        console.print(rows_table(names, rows))
    return found_rows


@captures.command()
@prints_lines(dict[str, Any])
def tail(
    model: OneModel = None,
    *,
    seconds: Annotated[
        float, typer.Option("--seconds", help="Stop after so many seconds; 0 for never.", min=0)
    ] = 0,
    stage: StageName = "local",
    state: State = DEFAULT_STATE,
) -> Iterator[dict[str, Any]]:
    """Follow captures as they arrive, one line for each row."""
    follow = CapturesTail(_bucket(stage, state, model), model, time.time())
    begun = time.monotonic()
    with interruptible() as stop:
        while not stop.is_set():
            for row in follow.look(time.time()):
                console.print(row_line(row), markup=False, soft_wrap=True)
                yield row
            if seconds and time.monotonic() - begun >= seconds:
                return
            stop.wait(POLL_SECONDS)


@captures.command()
@prints(list[dict[str, Any]])
def show(
    event: Annotated[str, typer.Argument(help="The event's id: X-Quintet-Event, or a job's id.")],
    *,
    model: Annotated[str | None, typer.Option("--model", help="Its model, if known.")] = None,
    stage: StageName = "local",
    state: State = DEFAULT_STATE,
) -> list[dict[str, Any]]:
    """Show an event with all of its rows; of a request that just came, wait for its capture."""
    bucket, arrives = _bucket(stage, state, model), arrival_of(event, time.time())
    while not (found := _rows_of(bucket, event, model)):
        if time.time() > arrives:
            raise StageError(
                f"no capture of {event}: its model's contract may not ask for captures, its rate "
                "may have left it out, or its days are over",
                command="quintet captures query",
            )
        time.sleep(POLL_SECONDS)
    for part in event_view(found):
        console.print(part, soft_wrap=True)
    return found


@captures.command()
@prints(Written)
def export(
    model: Model,
    file: Annotated[
        Path,
        typer.Argument(help="A .parquet, .csv or .jsonl file.", metavar="FILE"),
    ],
    *,
    since: Since = "1d",
    until: Until = None,
    stage: StageName = "local",
    state: State = DEFAULT_STATE,
) -> Written:
    """Write a model's captures to a file."""
    check_form(file)
    bucket = _bucket(stage, state, model)
    begin, end = moment(since, "--since"), moment(until, "--until")
    rows = joined(list(load(bucket, find(bucket, model, begin, end))))
    write_rows(file, rows)
    console.print(f"{rows.num_rows:,} rows of {model} written to {file}", markup=False)
    return {"file": str(file), "rows": rows.num_rows}


@captures.command()
@prints(Erasure)
def erase(
    entity: Annotated[str, typer.Argument(help="The entity, as it is in captures.")],
    *,
    models: Annotated[
        list[str] | None, typer.Option("--model", help="Only of this model; may be repeated.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    stage: StageName = "local",
    state: State = DEFAULT_STATE,
) -> Erasure:
    """Erase an entity's captures and feedback, prove that none is left, and say what else may hold
    it."""
    opened = Stage.open(stage, state)
    bucket = _bucket(stage, state)
    of = f"of {', '.join(models)}" if models else "of all models"
    if not yes and not typer.confirm(f"erase the captures of entity {entity!r} {of}?", err=True):
        raise typer.Exit(1)
    told = erase_feedback(bucket, entity, models or ())  # first: captures tell whose it is
    done = erase_captures(bucket, bucket, entity, models or ())
    days = int(opened.outputs["CaptureLogDays"])
    until = datetime.now(UTC).date() + timedelta(days=days)
    for line in (
        *erased_lines(done, told, entity, until),
        *untouched_lines(opened.outputs, entity),
    ):
        console.print(line, markup=False, soft_wrap=True)
    return {"entity": entity, "captures": asdict(done), "feedback": asdict(told)}


def arrival_of(event: str, now: float) -> float:
    """Until when an event's capture may arrive; an id may name a time to come, which nobody waits
    for.
    """
    return min(online_time(event) or 0, now) + ARRIVAL_SECONDS


def _rows_of(bucket: CaptureBucket, event: str, model: str | None) -> list[dict[str, Any]]:
    return [row for rows in event_rows(bucket, event, model) for row in records_of(rows)]


def _bucket(stage: str, state: Path, model: str | None = None) -> CaptureBucket:
    """The captures of a stage. Raises NotFound: it has no such model."""
    opened = Stage.open(stage, state)
    if model is not None:
        route_of(opened, model)
    return CaptureBucket(opened.signed("s3"), opened.outputs["CapturesBucketName"])
