"""How captures, and what an erasure did, are shown."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime
from typing import Any

from rich.table import Table
from rich.text import Text

from quintet.captures.erasure import Erased
from quintet.captures.tables import RECOMMENDED
from quintet.feedback.erasure import Erased as ErasedFeedback

__all__ = [
    "erased_lines",
    "event_parts",
    "event_view",
    "row_line",
    "row_outcome",
    "rows_table",
    "untouched_lines",
]

#: the columns of an event, the same for all of its rows
_EVENT = (
    "model",
    "version",
    "digest",
    "path",
    "route",
    "rate",
    "event_time",
    "served_at",
    "rows",
    "request_id",
    "trace_id",
    "caller",
    "job",
    "run",
    "record",
    "rollout",
    "cold",
    "load_ms",
    "decode_ms",
    "features_ms",
    "score_ms",
    "total_ms",
)
_ROW = ("outcome", "entity", "row_id", "fallback", "fallback_reason", "refusals", "failure")
#: the outputs in a line of `tail`
MOST_OUTPUTS = 4
#: the items of an impression in a line of `tail`
MOST_ITEMS = 10


def row_line(row: Mapping[str, Any]) -> str:
    """One row of a capture as a line."""
    number = "" if row["row"] is None else f" row {row['row']}"
    shadow = " shadow" if row["route"] == "shadow" else ""
    head = f"{row['served_at']:%H:%M:%S} {row['model']} v{row['version']} {row['path']}{shadow}"
    entity = f" {row['entity']}" if row["entity"] else ""
    return f"{head}{entity}  {row_outcome(row)}  {row['event']}{number}"


def row_outcome(row: Mapping[str, Any]) -> str:
    """What came of a row: its first outputs, the first items that were shown, or why not."""
    if row["outcome"] == RECOMMENDED:
        shown = json.loads(row["impression"])
        items = " ".join(map(str, shown["items"][:MOST_ITEMS]))
        return f"{shown['step']}: {items}" + (" ..." if len(shown["items"]) > MOST_ITEMS else "")
    if row["outcome"] != "scored":
        return f"{row['outcome']}: {row['refusals'] or row['failure'] or ''}"
    outputs = [
        f"{name.removeprefix('output_')}={_short(value)}"
        for name, value in row.items()
        if name.startswith("output_") and value is not None
    ]
    what = " ".join(outputs[:MOST_OUTPUTS]) + (" ..." if len(outputs) > MOST_OUTPUTS else "")
    return what + (f" fallback ({row['fallback_reason']})" if row["fallback"] else "")


def event_view(rows: Sequence[Mapping[str, Any]]) -> Iterator[Any]:
    """An event in the terminal: see `event_parts`."""
    for number, (title, pairs) in enumerate(event_parts(rows)):
        heading = title.startswith(("event", "row", "impression"))
        yield Text(f"\n{title}" if heading and number else title, style="bold" if heading else "")
        if pairs:
            yield _pairs(pairs)


def event_parts(rows: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """An event: what its rows have in common, then each row with its features and outputs.

    Each part is a title with names and values.
    """
    first = rows[0]
    yield f"event {first['event']}", _known(first, _EVENT)
    several = len({row["version"] for row in rows}) > 1
    for row in rows:
        if row["outcome"] == RECOMMENDED:
            shown = json.loads(row["impression"])
            yield "impression", [(name, _short(value)) for name, value in shown.items()]
            continue
        version = f", version {row['version']} ({row['route']})" if several else ""
        number = "-" if row["row"] is None else str(row["row"])
        yield f"row {number}{version}", _known(row, _ROW)
        for kind in ("feature", "output"):
            values = {
                name.removeprefix(f"{kind}_"): value
                for name, value in row.items()
                if name.startswith(f"{kind}_") and value is not None
            }
            if values:
                yield (
                    f"{kind}s",
                    [
                        (name, _aged(value, row.get(f"age_{name}"), row.get(f"known_{name}")))
                        for name, value in values.items()
                    ],
                )
        if row.get("sealed"):
            yield "sensitive features: sealed", []


def erased_lines(done: Erased, feedback: ErasedFeedback, entity: str, until: date) -> Iterator[str]:
    """What an erasure did, and what it proved."""
    if done.rows:
        by_model = ", ".join(f"{rows:,} of {model}" for model, rows in sorted(done.rows.items()))
        objects = _counted(done.objects, "object")
        yield f"erased: {_counted(done.rows.total(), 'row')} ({by_model}) in {objects}"
    else:
        yield f"no capture of {entity} was found"
    if feedback.rows:
        yield f"erased: {_counted(feedback.rows, 'row')} of feedback"
    yield f"proved: {_counted(done.proved, 'object')} read again, and none has a row of {entity}"
    if unreadable := [*done.unreadable, *feedback.unreadable]:
        yield (
            f"not read: {_counted(len(unreadable), 'object')} in the bucket of captures, "
            f"damaged; they may hold rows of {entity}: restore them and erase again, or delete them"
        )
        yield from (f"  {key}" for key in unreadable)
    yield (
        f"logs: the logs of predict, submit and work may hold lines of {entity} until {until}, and "
        "lines that CloudWatch Logs has not delivered yet become captures; erase again after it"
    )


def untouched_lines(outputs: Mapping[str, str], entity: str) -> Iterator[str]:
    """What an erasure does not touch, with the command that finds or deletes it."""
    yield "not touched, since the caller or the run decides how long these are kept:"
    for what, command in (
        (
            "payloads and results of jobs",
            f"aws s3 rm --recursive s3://{outputs['PayloadsBucketName']}/ (all of them)",
        ),
        (
            "files that were dropped, every version",
            f"aws s3api list-object-versions --bucket {outputs['InboxBucketName']}",
        ),
        (
            "scores and quarantine of runs",
            f"aws s3 ls --recursive s3://{outputs['ScoresBucketName']}/runs/",
        ),
        (
            "predictions and quarantine of the stream",
            f"aws s3 ls --recursive s3://{outputs['StreamBucketName']}/",
        ),
        (
            "stored features",
            f"aws dynamodb delete-item --table-name {outputs['FeaturesTableName']} --key "
            f'\'{{"entity": {{"S": "ENTITY_COLUMN#{entity}"}}}}\'',
        ),
        (
            "the history of stored features",
            f"aws s3 ls --recursive s3://{outputs['CapturesBucketName']}/features/",
        ),
        (
            "evidence of rollouts, by a hash of the entity and ids of events",
            f"aws s3 ls --recursive s3://{outputs['CapturesBucketName']}/rollouts/",
        ),
        (
            "labels, by ids of predictions",
            f"aws s3 ls --recursive s3://{outputs['CapturesBucketName']}/labels/",
        ),
        (
            "candidates, which expire some days after their run",
            f"aws dynamodb delete-item --table-name {outputs['CandidatesTableName']} --key "
            f'\'{{"user": {{"S": "MODEL#{entity}"}}, "run": {{"S": "RUN"}}}}\'',
        ),
        (
            "latest scores",
            f"aws dynamodb delete-item --table-name {outputs['ScoresTableName']} --key "
            f'\'{{"entity": {{"S": "MODEL#ENTITY_COLUMN#{entity}"}}}}\'',
        ),
    ):
        yield f"  {what}: {command}"


def rows_table(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> Table:
    """The result of a query: no value is cut."""
    table = Table(box=None)
    for name in names:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*map(_cell, row))
    return table


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.6g}"
    return f"{value:%Y-%m-%d %H:%M:%S}" if isinstance(value, datetime) else str(value)


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _known(row: Mapping[str, Any], names: Sequence[str]) -> list[tuple[str, str]]:
    return [(name, _short(row[name])) for name in names if row.get(name) is not None]


def _pairs(pairs: Sequence[tuple[str, str]]) -> Table:
    table = Table.grid(padding=(0, 2))
    for name, value in pairs:
        table.add_row(f"  {name}", value)
    return table


def _aged(value: Any, age: float | None, known: datetime | None) -> str:
    if age is None:
        return _short(value)
    if math.isnan(age):
        return f"{_short(value)}  (no stored value)"
    since = "" if known is None else f", in the store since {known:%Y-%m-%d %H:%M:%S}"
    return f"{_short(value)}  ({age:,.0f} s old{since})"


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    text = str(value)
    return text if len(text) <= 200 else f"{text[:200]}..."
