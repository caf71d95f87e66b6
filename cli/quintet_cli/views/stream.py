"""The results of a stream in the terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

from rich import filesize, progress
from rich.markup import escape
from rich.table import Table

from quintet.aws.stream_sender import Sent
from quintet.contract import Contract
from quintet.streaming.alert import Alert
from quintet.streaming.windows import Window
from quintet_cli.stream_reader import Scored
from quintet_cli.stream_tail import Refused, Seen, Tail, past
from quintet_cli.terminal import Console
from quintet_cli.views.times import shown_time

__all__ = [
    "alert_line",
    "refused_lines",
    "scored_lines",
    "seen_lines",
    "sending_bar",
    "sent_lines",
    "window_line",
    "window_table",
]


def sending_bar(console: Console) -> progress.Progress:
    """Return a progress bar for sending a file."""
    columns = (
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        progress.TextColumn("{task.fields[rate]}"),
        progress.TimeElapsedColumn(),
    )
    return progress.Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    )


def sent_lines(sent: Sent, file: str, model: str | None, *, unchecked: bool) -> Iterator[str]:
    """Describe how many records were sent, and to which shards."""
    to = f" to {model}" if model else ""
    again = f", {sent.again:,} of them again" if sent.again else ""
    yield (
        f"{sent.records:,} records of {file} sent{to} in {sent.seconds:.1f} s "
        f"({sent.rate:,.0f} a second, {filesize.decimal(sent.bytes)}{again})"
    )
    for shard, records in sorted(sent.shards.items()):
        yield f"  {shard}  {records:,}"
    if unchecked:
        yield "  unchecked: records that name no model are the stack's StreamModel's, or refused"


def seen_lines(seen: Seen, follow: Tail, rows: int) -> Iterable[str]:
    """Return the lines for all that one poll of a stream found, at most `rows` rows of it."""
    match seen:
        case Scored():
            return scored_lines(seen, follow.contract(seen.model), rows)
        case Refused():
            return refused_lines(seen, rows)
        case Alert():
            return [alert_line(seen)]
        case _:
            return [window_line(seen)]


def scored_lines(scored: Scored, contract: Contract, most: int) -> Iterator[str]:
    """Return an object's predictions: rows past the threshold first, at most `most` in all."""
    flagged = past(contract, scored)
    chosen = [*flagged, *(row for row in range(scored.rows) if row not in set(flagged))][:most]
    outputs = scored.outputs
    for row in sorted(chosen):
        text = "  ".join(f"{name} {_value(values[row])}" for name, values in outputs.items())
        color = "red" if row in flagged else "default"
        version = scored.columns["model_version"][row]
        yield (
            f"[dim]{_time(scored.columns['arrived'][row])}[/dim]  "
            f"{scored.model} v{version}  [{color}]{escape(text)}[/{color}]"
        )
    if scored.rows > len(chosen):
        yield f"[dim]{'':8}  {scored.model}  and {scored.rows - len(chosen):,} more rows[/dim]"


def refused_lines(refused: Refused, most: int) -> Iterator[str]:
    """Return refused rows and records, with their first reasons."""
    for line in refused.lines[:most]:
        reason = line["reasons"][0]
        text = f"{reason['field']}: expected {reason['expected']}, got {reason['got']}"
        model = line["model"] or "no model"
        yield (
            f"[dim]{_time(line['arrived'])}[/dim]  {escape(model)}  "
            f"[yellow]refused[/yellow]  {escape(text)}"
        )
    if len(refused.lines) > most:
        yield f"[dim]{'':8}  and {len(refused.lines) - most:,} more refused[/dim]"


def alert_line(alert: Alert) -> str:
    """Return an alert as a line."""
    limit = f"above {alert.above:g}" if alert.above is not None else f"below {alert.below:g}"
    text = f"{alert.entity}: {alert.output} {_value(alert.value)} is {limit}"
    return (
        f"[dim]{_time(alert.at)}[/dim]  {alert.model}  [bold red]alert[/bold red]  {escape(text)}"
    )


def window_line(window: Window) -> str:
    """Return a window as a line: its start, its length, its counts."""
    counters = window.counters
    parts = [f"{counters.records:,} records", f"{len(window.entities):,} entities"]
    parts += [
        f"{count:,} {name}"
        for name, count in (
            ("late", counters.late),
            ("out of order", counters.out_of_order),
            ("in the future", counters.future),
        )
        if count
    ]
    parts.append(f"{window.parts} parts" if window.parts > 1 else "1 part")
    return (
        f"{'':8}  {window.model}  [cyan]window[/cyan]  "
        f"{shown_time(window.start)} + {window.length:g} s: {', '.join(parts)}"
    )


def window_table(window: Window, entity: str | None, most: int) -> Table:
    """Return a window's aggregates, one row per entity: of one entity, or of the first `most`."""
    chosen = {name: values for name, values in window.entities.items() if entity in (None, name)}
    names = dict.fromkeys(name for values in chosen.values() for name in values)
    table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0))
    table.add_column("")
    for name in names:
        table.add_column(name, justify="right")
    for key, values in list(chosen.items())[:most]:
        table.add_row(f"  {escape(key)}", *(_value(values.get(name)) for name in names))
    if len(chosen) > most:
        table.add_row(f"  [dim]and {len(chosen) - most:,} more[/dim]")
    return table


def _value(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else escape(str(value))


def _time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%H:%M:%S")
