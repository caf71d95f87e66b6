"""Runs in the terminal: progress, reports, tables."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from itertools import islice
from typing import Any

from rich import progress
from rich.markup import escape
from rich.table import Table

from quintet.batch.plans import REPLAY_OF, Plan, RunPaths
from quintet.batch.popular import lists_of
from quintet.monitoring.drift import compared
from quintet_cli.results import Failed
from quintet_cli.run_reader import RunReader
from quintet_cli.shapes import RunLine, Started
from quintet_cli.stage import StageError
from quintet_cli.terminal import Console
from quintet_cli.views.times import shown_time

__all__ = [
    "POLL_SECONDS",
    "colored",
    "finish",
    "follow",
    "pace",
    "print_comparison",
    "print_pointers",
    "print_report",
    "print_runs",
    "run_lines",
    "table_name",
]

#: lists of a run's most listed items that a report shows, and items of each
SHOWN_LISTS, SHOWN_ITEMS = 4, 5
POLL_SECONDS = 0.5
#: polls between checks whether the execution has failed
PATIENCE = 20

console = Console(highlight=False)


def follow(reader: RunReader, folder: RunPaths) -> dict[str, Any]:
    """Show a run's progress until its report; return the report."""
    columns = (
        progress.SpinnerColumn(),
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        progress.TextColumn("{task.fields[rate]}"),
        progress.TimeElapsedColumn(),
    )
    first: tuple[float, int] | None = None
    with progress.Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("waiting for the run", total=None, rate="")
        for polls, seen in enumerate(reader.follow(folder)):
            if seen.report is not None:
                return seen.report
            if isinstance(seen.plan, Plan):
                first = first or (time.monotonic(), seen.rows)
                seconds, rows = time.monotonic() - first[0], seen.rows - first[1]
                rate = pace(rows, seen.plan.rows - seen.rows, seconds)
                total = seen.plan.units
                bar.update(task, description="units", total=total, completed=seen.units, rate=rate)
            if polls % PATIENCE == PATIENCE - 1 and (end := reader.ended(folder)):
                raise StageError(
                    f"run {folder.run} ended without a report: {end}",
                    command=f"quintet runs show {folder.model} {folder.run}",
                )
            time.sleep(POLL_SECONDS)
    raise AssertionError("a run is followed until its report")


def pace(rows: int, left: int, seconds: float) -> str:
    """Return a run's rate in rows a second, and the time left."""
    if rows <= 0 or seconds <= 0:
        return ""
    eta = timedelta(seconds=round(max(left, 0) * seconds / rows))
    return f"{rows / seconds:,.0f} rows/s, {eta} left"


def finish(found: dict[str, Any], started: Started) -> Started:
    """Print a report, which `started` then has; the command fails unless the run has succeeded."""
    print_report(found)
    started["report"] = found  # type: ignore[typeddict-item]
    if found["status"] != "succeeded":
        raise Failed(started, command=f"quintet runs show {started['model']} {started['run']}")
    return started


def colored(status: str) -> str:
    """Return a status in its color."""
    color = "green" if status == "succeeded" else "red"
    return f"[{color}]{status}[/{color}]"


def print_report(found: Mapping[str, Any]) -> None:
    """Print the report of a run."""
    counts = found["counts"]
    version = f" version {found['version']}" if "version" in found else ""
    took = f" in {found['seconds']:.1f} s" if found.get("seconds") is not None else ""
    console.print(f"{colored(found['status'])}  {found['model']}{version}{took}")
    if origin := found["input"].get("metadata", {}).get(REPLAY_OF):
        _plain(f"  replay of {origin}")
    if found["cause"]:
        _plain(f"  {found['cause']}")
    planned = "version" in found  # otherwise no row was checked
    if planned:
        lost = counts["unaccounted"]
        _plain(
            f"  {counts['rows']:,} rows = {counts['scored']:,} scored "
            f"+ {counts['quarantined']:,} quarantined"
            + (f" + {lost:,} without a result" if lost else "")
        )
    for reason in found.get("reasons", [])[:10]:
        text = f"  {reason['rows']:>8,}  {reason['field']}: expected {reason['expected']}"
        example = reason["examples"][0] if reason["examples"] else None
        if example:
            file = f"{example['file']}, " if "file" in example else ""
            text += f", got {example['got']} ({file}row {example['row']})"
        _plain(text)
    drift = found.get("drift") or {}
    for title, moved in compared(drift):
        if moved["moved"]:
            why = ", ".join(test["test"] for test in moved["tests"] if test["fires"])
            _plain(f"  {title} moved ({why}): effect {moved['effect']:.2f}")
    for note in (*drift.get("notes", ()), *_candidates(found), *found.get("notes", ())):
        _plain(f"  {note}")
    if cost := found.get("cost"):
        _plain(f"  about ${cost['usd']:.4f}: {cost['prices']}")
    if planned and found["status"] == "refused":
        _plain("  readers keep the scores that they have; correct the rows and drop them again")
    elif found["status"] != "succeeded":
        _plain(f"  to score what is missing: quintet runs redrive {found['model']} {found['run']}")
    _plain(f"  the report as a page: quintet runs report {found['model']} {found['run']}")


def _candidates(report: Mapping[str, Any]) -> Iterator[str]:
    """Lines on the candidates of a run that made some."""
    if found := report.get("candidates"):
        listed = f"{found['listed_items']:,} of {found['items']:,} items listed"
        yield f"candidates of {found['users']:,} users, {listed}"
        for name, users, items in islice(lists_of(found), SHOWN_LISTS):
            where = f"{users:,} users of segment {name}" if name else "all users"
            yield f"listed most to {where}: {', '.join(map(str, items[:SHOWN_ITEMS]))}"


def _plain(text: str) -> None:
    """Print a line unchanged: no markup, which files may hold, and no wrapping."""
    console.print(text, markup=False, soft_wrap=True)


def run_lines(reader: RunReader, model: str) -> list[RunLine]:
    """Return a line for each of a model's runs, the newest first."""
    seen = {pointer["run"] for pointer in reader.pointers(model)}
    lines = [_line(reader, RunPaths(model, name), seen) for name in reader.names(model)]
    return sorted(lines, key=lambda line: (line["started"], line["run"]), reverse=True)


def print_runs(lines: list[RunLine], model: str) -> None:
    """Print a table of a model's runs."""
    table = Table(box=None, header_style="dim")
    for name in ("started", "run", "status"):
        table.add_column(name)
    table.add_column("file")
    for name in ("rows", "scored", "quarantined"):
        table.add_column(name, justify="right")
    table.add_column("readers")
    for line in lines:
        status = line["status"]
        table.add_row(
            shown_time(line["started"]),
            line["run"],
            status if status in ("starting", "running") else colored(status),
            escape(line["file"]),
            *(_count(number) for number in (line["rows"], line["scored"], line["quarantined"])),
            "see it" if line["read"] else "",
        )
    console.print(table if lines else f"no runs of {model} yet")


def _count(number: int | None) -> str:
    return "" if number is None else f"{number:,}"


def _line(reader: RunReader, folder: RunPaths, seen: set[str]) -> RunLine:
    line: RunLine = {
        "started": "",
        "run": folder.run,
        "status": "starting",
        "file": "",
        "rows": None,
        "scored": None,
        "quarantined": None,
        "read": folder.run in seen,
    }
    if (report := reader.report(folder)) is not None:
        counts = report["counts"]
        line["started"], line["status"] = report["started"], report["status"]
        line["file"], line["rows"] = report["input"].get("key", ""), counts["rows"]
        line["scored"], line["quarantined"] = counts["scored"], counts["quarantined"]
    elif isinstance(plan := reader.plan(folder), Plan):
        line["started"], line["status"] = plan.started, "running"
        line["file"], line["rows"] = plan.input.key, plan.rows
    return line


def print_pointers(found: Sequence[Mapping[str, Any]], model: str) -> None:
    """Print a table of the run that each table's readers see."""
    lines = Table(box=None, header_style="dim")
    for name in ("table", "run", "version", "rows scored", "started", "moved", "by"):
        lines.add_column(name, justify="right" if name == "rows scored" else "left")
    for pointer in found:
        times = (shown_time(pointer[name]) for name in ("started", "moved"))
        version, rows = str(pointer["version"]), f"{pointer['scored']:,}"
        lines.add_row(table_name(pointer), pointer["run"], version, rows, *times, pointer["by"])
    console.print(lines if found else f"no run of {model} has succeeded yet")


def table_name(pointer: Mapping[str, Any]) -> str:
    """Return the table's name: the model's, or the partition's if it belongs to one."""
    return "/".join(filter(None, (pointer["model"], pointer["partition"])))


def print_comparison(found: Mapping[str, Any]) -> None:
    """Print what differs between the scores of two runs."""
    rows, (first, second) = found["rows"], found["versions"]
    console.print(
        f"[bold]{found['model']}[/bold]: version {first} ({found['runs'][0]}) and version {second} "
        f"({found['runs'][1]}), {rows['both']:,} rows scored by both",
        soft_wrap=True,
    )
    for name, version in (("only_first", first), ("only_second", second)):
        if rows[name]:
            console.print(f"  scored by version {version} alone: {rows[name]:,} rows")
    score = found["score"]
    if score is not None:
        in_sd = "" if score["shift_sd"] is None else f" ({score['shift_sd']:+.3g} sd)"
        before, after = score["mean"]
        console.print(
            f"  mean score: {before:.4g} and {after:.4g}, a shift of {score['shift']:+.4g}{in_sd}"
        )
        console.print(f"  largest difference of a row: {score['largest']:.4g}")
    labels = found["labels"]
    if labels is not None and labels["compared"]:
        console.print(
            f"  labels changed: {labels['changed']:,} of {labels['compared']:,} "
            f"({1 - labels['agreement']:.2%})"
        )
        for change in labels["changes"]:
            console.print(f"    {change['from']} to {change['to']}: {change['rows']:,}")
