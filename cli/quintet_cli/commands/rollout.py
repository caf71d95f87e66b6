"""`quintet rollout`: a new version beside the live one, step by step, and back."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Group
from rich.live import Live
from rich.markup import escape

from quintet.errors import Conflict
from quintet.rollouts import transitions
from quintet.rollouts.measures import rule_of
from quintet.rollouts.store import Change
from quintet_cli.commands.rehearse import rehearse
from quintet_cli.options import Model, Reason, StageName, State
from quintet_cli.results import Failed, prints
from quintet_cli.rollout_start import Asked, gates_needed, lost_gates, shares_of
from quintet_cli.rollouts import StageRollouts, on_stage
from quintet_cli.shapes import RolloutView
from quintet_cli.stage import DEFAULT_STATE, Stage
from quintet_cli.terminal import Console
from quintet_cli.views.rollouts import (
    change_line,
    history_table,
    rollout_view,
    standstill,
    verdict_line,
)

__all__ = ["register"]

POLL_SECONDS = 2.0

Version = Annotated[int, typer.Argument(help="The version to roll out.", metavar="VERSION")]

console = Console(highlight=False, soft_wrap=True)

group = typer.Typer(
    no_args_is_help=True, help="Roll out a version of a model step by step, and take it back."
)


def register(app: typer.Typer) -> None:
    """Add this module's commands to the `quintet` command."""
    for command in (start, status, watch, pause, resume, promote, rollback, rehearse, history):
        group.command()(command)
    app.add_typer(group, name="rollout")


@prints(Change)
def start(
    model: Model,
    version: Version,
    *,
    steps: Annotated[
        str | None,
        typer.Option(
            "--steps",
            help="Shares of the entities: 1%,10%,50%,100%. By default those of model.yaml.",
        ),
    ] = None,
    skip_shadow: Annotated[
        bool, typer.Option("--skip-shadow", help="Begin with the first step of the canary.")
    ] = False,
    override: Annotated[
        list[str] | None,
        typer.Option(
            "--override",
            help="An entity that the version answers from now on; may be repeated.",
            metavar="ENTITY",
        ),
    ] = None,
    overrides_only: Annotated[
        bool,
        typer.Option(
            "--overrides-only",
            help="Begin paused: with these entities alone until `quintet rollout resume`.",
        ),
    ] = False,
    reason: Reason = "",
    stage: StageName = "local",
    state: State = DEFAULT_STATE,
) -> Change:
    """Begin to roll out a version: in shadow, then as a canary for a growing share."""
    asked = Asked(
        version=version,
        steps=None if steps is None else shares_of(steps),
        skip_shadow=skip_shadow,
        entities=override or (),
        only=overrides_only,
    )
    with _opened(stage, state) as rollouts:
        change = rollouts.start(model, asked, reason)
    rollout = change.rollout
    assert rollout is not None
    console.print(f"[green]✓[/green] {escape(model)}: {transitions.shown(rollout)}; {rollout.id}")
    rule = rule_of(rollouts.contract(model, version, rollouts.stored(model)))
    if lost := lost_gates(rollout, rule):
        console.print(f"[yellow]![/yellow] rows have no pairs, so without {', '.join(lost)}")
    counts = gates_needed(rollout, rule)
    needs = ", ".join(f"{gate} {count:,}" for gate, count in counts.items())
    if needs:
        of = "rows (of crashes, errors and latency: entities)"
        console.print(f"  {of} before a gate is ok: {needs}")
    else:
        console.print("[yellow]![/yellow] no gate is on: it pauses without evidence")
    hint = on_stage(f"  `quintet rollout watch {model}` follows it", stage)
    console.print(escape(hint))
    return change


@prints(RolloutView)
def status(
    model: Model,
    *,
    stage: StageName = "local",
    state: State = DEFAULT_STATE,
) -> RolloutView:
    """Show the route of a model, its rollout, the gates, and what the candidate got."""
    report = StageRollouts(Stage.open(stage, state)).report(model)
    for part in rollout_view(model, report, stage):
        console.print(part)
    found: RolloutView = report.to_dict()  # type: ignore[assignment]
    return found


@prints(RolloutView)
def watch(model: Model, stage: StageName = "local", state: State = DEFAULT_STATE) -> RolloutView:
    """Follow a rollout until it ends, or show the one that just ended; exits with 1 if it was
    rolled back."""
    rollouts = StageRollouts(Stage.open(stage, state))
    rollout = rollouts.stored(model).rollout
    if rollout is None:
        last = _ended(rollouts.history(model))
        status(model, stage=stage, state=state)
    else:
        follow = _follow_live if console.is_terminal else _follow
        last = follow(rollouts, model, rollout.id, stage)
    if last is not None and last.event == "rolled back":
        raise Failed(_view(rollouts, model), command=f"quintet rollout status {model}")
    return _view(rollouts, model)


@prints(Change)
def pause(
    model: Model, reason: Reason = "", stage: StageName = "local", state: State = DEFAULT_STATE
) -> Change:
    """Let a rollout stand where it is; a bad verdict still rolls it back."""
    with _opened(stage, state) as rollouts:
        return _told(rollouts.change(model, transitions.pause, reason))


@prints(RolloutView)
def resume(
    model: Model, reason: Reason = "", stage: StageName = "local", state: State = DEFAULT_STATE
) -> RolloutView:
    """Let a paused rollout go on; the time of its step begins anew."""
    with _opened(stage, state) as rollouts:
        change, started = rollouts.resume(model, reason)
    if change is not None:
        _told(change)
    if started:
        console.print(
            f"[green]✓[/green] {escape(model)}: no execution was running; one goes on with it now"
        )
    return _view(rollouts, model)


@prints(Change)
def promote(
    model: Model,
    *,
    force: Annotated[
        bool, typer.Option("--force", help="Whatever the gates say; needs --reason.")
    ] = False,
    reason: Reason = "",
    stage: StageName = "local",
    state: State = DEFAULT_STATE,
) -> Change:
    """Make the candidate live now, if the gates say ok; the version before stays ready."""
    with _opened(stage, state) as rollouts:
        return _told(rollouts.promote(model, force=force, reason=reason))


@prints(Change)
def rollback(
    model: Model, reason: Reason = "", stage: StageName = "local", state: State = DEFAULT_STATE
) -> Change:
    """End a rollout with the version before, in any phase; it answers within five seconds."""
    with _opened(stage, state) as rollouts:
        return _told(rollouts.roll_back(model, reason))


@prints(list[Change])
def history(
    model: Model,
    *,
    stage: StageName = "local",
    state: State = DEFAULT_STATE,
) -> list[Change]:
    """List the changes of a model's route: when, who, why, on which evidence."""
    changes = StageRollouts(Stage.open(stage, state)).history(model)
    if not changes:
        console.print(f"no change of {escape(model)} is recorded")
        return changes
    wide = Console(highlight=False, width=max(console.width, 120))
    wide.print(history_table(changes))
    return changes


@contextmanager
def _opened(stage: str, state: Path) -> Iterator[StageRollouts]:
    """The rollouts of a stage; what they refuse names commands with the stage."""
    try:
        yield StageRollouts(Stage.open(stage, state))
    except Conflict as error:
        told = [one._replace(got=on_stage(one.got, stage)) for one in error.refusals]
        raise Conflict(told) from error


def _view(rollouts: StageRollouts, model: str) -> RolloutView:
    found: RolloutView = rollouts.report(model).to_dict()  # type: ignore[assignment]
    return found


def _told(change: Change) -> Change:
    console.print(f"[green]✓[/green] {escape(change.model)}: {change_line(change)}")
    return change


def _follow(rollouts: StageRollouts, model: str, id: str, stage: str) -> Change:
    """Print a line for each change, for each new verdict, and for what is to be done about a
    rollout that stands still, until it ends."""
    shown, verdict, hint = 0, "", ""
    while True:
        changes = _of(rollouts.history(model), id)
        for change in changes[shown:]:
            console.print(change_line(change))
        shown = len(changes)
        if changes[-1].rollout is None:
            return changes[-1]
        report = rollouts.report(model)
        found = report.verdict
        if found is not None and found.verdict != verdict:
            console.print(verdict_line(found))
            verdict = found.verdict
        if (now := standstill(model, report, stage)) != hint:
            hint = now
            if hint:
                console.print(escape(hint))
        time.sleep(POLL_SECONDS)


def _follow_live(rollouts: StageRollouts, model: str, id: str, stage: str) -> Change:
    """Show the state, again and again, until the rollout ends; then its changes."""
    wrapping = Console(highlight=False)
    with Live(console=wrapping, transient=True, auto_refresh=False) as live:
        while True:
            changes = _of(rollouts.history(model), id)
            if changes[-1].rollout is None:
                break
            view = rollout_view(model, rollouts.report(model), stage)
            live.update(Group(*view), refresh=True)
            time.sleep(POLL_SECONDS)
    for change in changes:
        console.print(change_line(change))
    return changes[-1]


def _ended(changes: list[Change]) -> Change | None:
    """Print the changes of the rollout that the newest change ended; the last, None without one."""
    id = (changes[-1].before or {}).get("rollout") if changes else None
    if id is None:
        return None
    for change in _of(changes, id):
        console.print(change_line(change))
    return changes[-1]


def _of(changes: list[Change], id: str) -> list[Change]:
    """The changes of one rollout."""
    return [one for one in changes if id in _ids(one)]


def _ids(change: Change) -> set[str | None]:
    return {fields.get("rollout") for fields in (change.before or {}, change.after)}
