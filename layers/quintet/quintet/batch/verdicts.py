"""The final status of a run and its cause: succeeded, refused for its rows, failed or stopped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from quintet.batch.executions import STOPPED
from quintet.batch.plans import Plan

__all__ = ["Verdict", "ended", "verdict"]

#: Step Functions' error of a map with more failed children than it tolerates
EXCEEDED = "States.ExceedToleratedFailureThreshold"


class Verdict(NamedTuple):
    """A run's status and its cause, which is empty if the run succeeded."""

    status: str
    cause: str


def ended(failure: str | None) -> str:
    """The status of a run that could not score all of its rows."""
    return "stopped" if failure == STOPPED else "failed"


def verdict(
    plan: Plan,
    counts: Mapping[str, int],
    bad: Sequence[Mapping[str, Any]],
    reasons: Sequence[Mapping[str, Any]],
    failure: str | None,
) -> Verdict:
    """Decide on a run's status from its counts; `bad` are the results of failed units.

    `reasons` are the reasons of refused rows, most frequent first.
    """
    if cause := _loss(plan.units, counts["unaccounted"], bad, failure):
        return Verdict(ended(failure), cause)
    rows, refused = counts["rows"], counts["quarantined"]
    if rows and (refused == rows or refused > plan.max_refused * rows):
        return Verdict("refused", _refusal(plan, rows, refused, reasons))
    return Verdict("succeeded", "")


def _loss(units: int, lost: int, bad: Sequence[Mapping[str, Any]], failure: str | None) -> str:
    """Why rows have no result; empty if all rows have one."""
    if failure == STOPPED:
        return f"The run was stopped; {len(bad)} of {units} units and {lost} rows have no result."
    if bad:
        first = f"unit {bad[0]['unit']}: {bad[0]['reason']}"
        early = "Too many units failed, so the rest was left. " if failure == EXCEEDED else ""
        return (
            f"{early}{len(bad)} of {units} units failed; {lost} rows have no result. First, {first}"
        )
    if lost:
        return f"{lost} rows have no result."
    return f"The run was ended by an error ({failure})." if failure else ""


def _refusal(plan: Plan, rows: int, refused: int, reasons: Sequence[Mapping[str, Any]]) -> str:
    """Why a run is refused because of its rows, with the most frequent reason."""
    limit = "" if refused == rows else f", more than the model's max_refused ({plan.max_refused:g})"
    cause = f"{refused:,} of {rows:,} rows were refused{limit}."
    if reasons:
        first = reasons[0]
        got = [example["got"] for example in first["examples"][:1]]
        shown = f", got {got[0]}" if got else ""
        cause += f" Most often, {first['field']}: expected {first['expected']}{shown}."
    return cause
