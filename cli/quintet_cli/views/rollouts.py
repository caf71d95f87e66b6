"""Rollouts in the terminal: the present state, the verdict of the gates, the history."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import RenderableType
from rich.markup import escape
from rich.table import Table

from quintet.rollouts.gates import GateRow, Verdict
from quintet.rollouts.store import Change
from quintet.rollouts.transitions import place_of, shown
from quintet_cli.rollouts import Promise, Report, on_stage
from quintet_cli.views.times import shown_time

__all__ = [
    "change_line",
    "history_table",
    "rollout_view",
    "standstill",
    "verdict_line",
]

_COLOURS = {"ok": "green", "bad": "red", "broken": "red", "no evidence": "yellow"}


def rollout_view(model: str, report: Report, stage: str) -> Iterator[RenderableType]:
    """The state of a model's rollout, the promise of the router, the gates, what to do next."""
    rollout = report.rollout
    if rollout is None:
        text = f"{model}: version {report.route['live']} is live; no rollout is in progress. "
        yield escape(on_stage(f"{text}`quintet rollout start {model} VERSION` begins one", stage))
        return
    step = f", step {rollout.step + 1} of {len(rollout.steps)}" if report.promise else ""
    why = f": {rollout.reason}" if rollout.reason else ""
    place = "is the one before" if rollout.phase == "watching" else "is live"
    yield escape(f"{model}: {shown(rollout)}{step}; version {rollout.live} {place}")
    yield escape(f"  {rollout.id}, started {shown_time(rollout.started)} by {rollout.by}{why}")
    if overrides := report.route.get("overrides"):
        named = ", ".join(f"{entity} = {version}" for entity, version in overrides.items())
        yield escape(f"  overrides: {named}")
    if report.promise is not None:
        yield from _promise_lines(report.promise)
    if report.verdict is not None:
        yield f"  verdict: {verdict_line(report.verdict)}"
        if report.verdict.rows:
            yield _gates(report.verdict.rows)
    if hint := standstill(model, report, stage):
        yield escape(hint)


def standstill(model: str, report: Report, stage: str) -> str:
    """The next step for a paused or stopped rollout; empty if it runs, or without a rollout."""
    if report.rollout is not None and report.rollout.paused:
        hint = (
            f"  `quintet rollout resume {model}` lets it go on, `quintet rollout rollback {model}` "
            "ends it"
        )
    elif report.running is False:
        hint = (
            "  no execution of the state machine is running, so that nothing goes on with it; "
            f"`quintet rollout resume {model}` starts one"
        )
    else:
        hint = ""
    return on_stage(hint, stage)


def verdict_line(verdict: Verdict) -> str:
    """A verdict in a line of markup."""
    why = f": {escape(verdict.reason)}" if verdict.reason else ""
    return f"[{_COLOURS[verdict.verdict]}]{verdict.verdict}[/]{why}"


def change_line(change: Change) -> str:
    """A change in a line."""
    return escape("  ".join(_cells(change)).rstrip())


def history_table(changes: Sequence[Change]) -> Table:
    """A row for each change of a route, oldest first."""
    heads = ("when", "event", "route", "by", "why")
    table = Table(*heads, box=None, header_style="dim", padding=(0, 2, 0, 0))
    for change in changes:
        table.add_row(*map(escape, _cells(change)))
    return table


def _cells(change: Change) -> tuple[str, str, str, str, str]:
    rollout = change.rollout
    live = f"version {change.after['live']} live"
    route = live if rollout is None else f"version {rollout.candidate} {place_of(rollout)}"
    cause = change.cause
    return shown_time(cause.at), f"{change.event:<11}", route, cause.by, cause.reason


def _promise_lines(promise: Promise) -> Iterator[str]:
    for name, some, of, word in (
        (
            "entities",
            promise.candidate_entities,
            promise.entities,
            f"{100 * promise.share:g} % promised, "
            + ("kept within 3 sd" if promise.kept else "[red]more than 3 sd away[/]"),
        ),
        ("rows", promise.candidate_rows, promise.rows, "not promised"),
    ):
        share = f"{100 * some / of:.1f} %" if of else "-"
        yield f"  {name}: {some:,} of {of:,} with the candidate ({share}; {word})"


def _gates(rows: Sequence[GateRow]) -> Table:
    table = Table(box=None, header_style="dim", padding=(0, 1, 0, 0))
    table.add_column("  gate", no_wrap=True)
    for head in ("live", "canary", "n", "needed", "evidence", "threshold"):
        table.add_column(head, justify="right", no_wrap=True)
    table.add_column("verdict")
    for row in rows:
        dry = " (dry run)" if row.dry_run else ""
        table.add_row(
            f"  {row.metric}",
            *("-" if value is None else f"{value:.4g}" for value in (row.live, row.canary)),
            f"{row.n:,}",
            f"{row.needed:,}" if row.needed else "",
            f"{row.evidence:.4g}",
            f"{row.threshold:.4g}",
            f"[{_COLOURS[row.verdict]}]{row.verdict}[/]{dry}",
        )
    return table
