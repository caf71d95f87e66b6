"""What must hold of rollouts when nothing is left to happen."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from tests.simulation.scenarios.rollout_parts import ENTITIES, EVIDENCE, MODEL, RULE, TIDY

from quintet.rollouts.decisions import BY
from quintet.rollouts.notices import has_notice
from quintet.rollouts.state import Rollout
from quintet.rollouts.store import Change, with_fields
from quintet.serving.routing import assigned

if TYPE_CHECKING:
    from tests.simulation.scenarios.rollouts import Rollouts

__all__ = ["held"]


def held(world: Rollouts) -> Iterator[str]:
    """What does not hold, each as "name: what"."""
    history = world.store.history(MODEL)
    route, going = world.store.read(MODEL).route, None
    yield from _check_changes(world, history)
    if history and history[-1].rollout is not None:
        yield f"quiescence: {history[-1].rollout.id} is in progress, and nobody looks at it"
    if history and (route.live, route.canary) != (history[-1].after["live"], going):
        yield f"one live version: {route.live} and {route.canary}, not as the history says"
    stored = {(one.revision, one.event) for one in history}
    if invented := [one for one in world.told if (one.revision, one.event) not in stored]:
        yield f"told: {invented[0].event} at {invented[0].revision} was never made"
    notices = world.topic.sent
    if invented_too := notices.keys() - stored:
        yield f"notices: of {sorted(invented_too)[:2]}, which were never made"
    if any(count > 1 for count in notices.values()):
        world.reach("a notice was sent again")
    for one in history[-1:]:
        due = one.cause.by in (BY, "alarm") and has_notice(one)
        if due and (one.revision, one.event) not in notices:
            yield f"notices: nobody heard of {one.event} at {one.revision}"
    yield from _check_shares(world, history)


def _check_changes(world: Rollouts, history: list[Change]) -> Iterator[str]:
    """Every change follows from the one before, and from what was seen of the candidate."""
    going: Rollout | None = None
    for change in history:
        event, live = change.event, change.after["live"]
        where = f"{event} at {change.revision}"
        if (event == "started") != (going is None):
            yield f"one rollout at a time: {where} while {going and going.id} goes on"
            return
        if going is None:
            going = change.rollout
            continue
        wanted = going.live if event == "rolled back" or going.phase != "watching" else 0
        if event in ("promoted", "finished") or going.phase == "watching":
            wanted = going.live if event == "rolled back" else going.candidate
        if live != wanted:
            yield f"one live version: {live} after {where}, not {wanted}"
        quality, by_gates = world.quality(going.id), change.cause.by == BY
        lasted = change.cause.at - going.entered
        if by_gates and event in ("advanced", "promoted") and lasted < 60 * RULE.minutes:
            yield f"gates: {where} after {lasted:.0f} s"
        if change.cause.by == "alarm" and going.started > float(change.cause.reason):
            yield f"stop: {where}, of a rollout that began after its alarm"
        rows = EVIDENCE["bad"]
        assert rows is not None
        failed = world.evidence.read(MODEL, going.id).candidate_failed.sum()
        seen = failed == rows.candidate_failed.sum()
        if change.cause.reason == TIDY and quality == "bad" and seen:
            yield f"gates: {going.id} stood still on bad evidence"
        yield from _counted_once(change, quality)
        if by_gates and not _follows(world, change, quality, going.candidate):
            yield f"gates: {where} on {quality} evidence"
        if going.phase == "watching":
            ended = event == "rolled back"
            world.reach(f"a promoted version {'was rolled back' if ended else 'stayed'}")
        going = change.rollout


def _follows(world: Rollouts, change: Change, quality: str, candidate: int) -> bool:
    """Whether a change by gates follows from what was seen of the candidate."""
    if change.event == "promoted" and quality == "close":
        world.reach("a candidate just short of bad was promoted")
    if change.event in ("advanced", "promoted"):
        return quality in ("good", "close")
    return change.event != "rolled back" or quality == "bad" or candidate in world.withdrawn


def _check_shares(world: Rollouts, history: list[Change]) -> Iterator[str]:
    """An entity stays with the canary while its share grows; others begin the next rollout."""
    route, answered = world.store.read(MODEL).route, defaultdict[str, set[str]](set)
    firsts: dict[tuple[float, str], set[str]] = {}
    for change in history:
        if change.rollout is None or "canary" not in change.after:
            continue
        held = replace(with_fields(route, change.after), versions=route.versions)
        found = assigned(held, ENTITIES)
        canary = {
            ENTITIES[row]
            for choice, rows in found.items()
            if choice.route == "canary"
            for row in rows.tolist()
        }
        if lost := answered[change.rollout.id] - canary:
            yield f"sticky: {len(lost)} entities left the canary as its share grew"
        answered[change.rollout.id] |= canary
        firsts[change.rollout.share, change.rollout.id] = canary
    for (share, one), some in firsts.items():
        for (other_share, other), others in firsts.items():
            if share == other_share < 1 and one < other and len(some) > 10 and some == others:
                yield f"salt: {one} and {other} begin with the same entities"


def _counted_once(change: Change, quality: str) -> Iterator[str]:
    """No gate counts more rows than there were."""
    rows = EVIDENCE[quality]
    for row in (change.cause.evidence or {}).get("rows", ()):
        if row["n"] > (0 if rows is None else len(rows)):
            yield f"evidence: {row['metric']} counts {row['n']} rows at {change.revision}"
