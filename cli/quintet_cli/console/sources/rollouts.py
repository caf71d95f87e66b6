"""Rollouts in progress with their gates, and the last changes of all routes."""

from __future__ import annotations

from dataclasses import dataclass

from quintet.rollouts.store import Change
from quintet.rollouts.transitions import place_of, shown
from quintet_cli.console.sources.models import routes_of
from quintet_cli.rollouts import Report, StageRollouts
from quintet_cli.stage import Stage
from quintet_cli.views.rollouts import standstill

__all__ = ["InProgress", "Rollouts", "read_rollouts"]

CHANGES = 15


@dataclass(frozen=True, slots=True)
class InProgress:
    """A rollout: what it is, what its gates say, and what to do if it stands still."""

    model: str
    report: Report
    title: str
    hint: str


@dataclass(frozen=True, slots=True)
class Rollouts:
    """The rollouts in progress, and changes, newest first, each with where it left the route."""

    in_progress: list[InProgress]
    changes: list[tuple[Change, str]]


def read_rollouts(stage: Stage) -> Rollouts | None:
    """The rollouts of a stage; None if no route was ever changed."""
    rollouts = StageRollouts(stage)
    in_progress, changes = [], []
    for route in routes_of(stage):
        changes += rollouts.history(route.model)
        report = rollouts.report(route.model) if route.rollout else None
        if report is not None and report.rollout is not None:
            hint = standstill(route.model, report, stage.name)
            title = shown(report.rollout)
            in_progress.append(InProgress(route.model, report, title, hint.strip()))
    newest = sorted(changes, key=lambda change: change.cause.at, reverse=True)[:CHANGES]
    if not newest and not in_progress:
        return None
    return Rollouts(in_progress, [(change, _left(change)) for change in newest])


def _left(change: Change) -> str:
    rollout = change.rollout
    if rollout is None:
        return f"version {change.after['live']} live"
    return f"version {rollout.candidate} {place_of(rollout)}"
