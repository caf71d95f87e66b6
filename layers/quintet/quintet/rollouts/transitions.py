"""How a route changes: pure functions from the stored route to a `Change`, which the store writes.

Each raises Conflict if the state does not allow the change; the message says what to do instead.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from quintet.errors import BadInput, Conflict, Refusal
from quintet.rollouts.state import Rollout
from quintet.rollouts.store import Cause, Change, Event, Stored, fields_of

__all__ = [
    "LEAST_SHARE",
    "MAX_OVERRIDES",
    "advance",
    "finish",
    "make_live",
    "pause",
    "place_of",
    "promote",
    "publish_first",
    "resume",
    "roll_back",
    "shown",
    "start",
]

#: of fewer entities than one in a million no gate ever has enough
LEAST_SHARE = 1e-6
#: overrides are read with every route, and are for testers rather than for a share of the users
MAX_OVERRIDES = 100
#: why a rollout is paused that begins with its overrides alone
HELD = "overrides only"


def publish_first(model: str, version: int, cause: Cause) -> Change:
    """Make the first version of a model live."""
    after = {"live": version, "revision": 1}
    return Change(model=model, event="published", cause=cause, before=None, after=after)


def make_live(stored: Stored, version: int, cause: Cause) -> Change:
    """Make a version live at once, without a rollout.

    Raises:
        UnknownModel: the version is not published, or was withdrawn.
        Conflict: a rollout is in progress.
    """
    route = stored.route
    if version not in route.versions:
        raise route.unknown(version)
    if stored.rollout is not None:
        raise _conflict(
            f"no rollout of {route.model} in progress",
            f"{shown(stored.rollout)}; `quintet rollout promote {route.model}` or "
            f"`quintet rollout rollback {route.model}` ends it",
        )
    return _change(stored, "made live", cause, {"live": version}, None)


def start(
    stored: Stored,
    candidate: int,
    cause: Cause,
    *,
    id: str,
    steps: Sequence[float],
    shadow: bool = True,
    paired: bool = True,
    overrides: Mapping[str, int] | None = None,
    held: bool = False,
) -> Change:
    """Begin a rollout: in shadow, or as a canary at the first step.

    `id` is unique among all rollouts, of letters, digits and hyphens. Without `paired`, gates that
    compare both versions' scores of a row are off. The entities of `overrides`
    are answered by their version from now on. `held` begins paused, with the overrides alone; a
    canary begins when it is resumed.

    Raises:
        UnknownModel: the candidate is not published, or was withdrawn.
        Conflict: another rollout is in progress, or the candidate is live.
        BadInput: the steps or the overrides are invalid.
    """
    route = stored.route
    if stored.rollout is not None:
        raise _conflict(
            f"no rollout of {route.model} in progress",
            f"{shown(stored.rollout)}; wait for its end, or end it with "
            f"`quintet rollout rollback {route.model}`",
        )
    if route.canary is not None or route.shadow is not None or route.overrides:
        raise _conflict(
            "a route without canary, shadow and overrides", "one that was not written by a rollout"
        )
    if candidate not in route.versions:
        raise route.unknown(candidate)
    if candidate == route.live:
        raise _conflict(
            "a version that is not live", f"{candidate}, which answers every request already"
        )
    _check_steps(steps)
    given = _checked_overrides(overrides or {}, {route.live, candidate})
    if held and not given:
        raise BadInput.of(
            "overrides", "at least one, as the rollout begins with them alone", "none"
        )
    quiet = shadow or held
    rollout = Rollout(
        id=id,
        model=route.model,
        live=route.live,
        candidate=candidate,
        phase="shadow" if quiet else "canary",
        steps=tuple(float(step) for step in steps),
        step=-1 if quiet else 0,
        started=cause.at,
        entered=cause.at,
        paused=HELD if held else "",
        by=cause.by,
        reason=cause.reason,
        paired=paired,
    )
    fields: dict[str, Any] = {"overrides": given} if given else {}
    if shadow:
        fields["shadow"] = candidate
    return _change(stored, "started", cause, fields | _canary(rollout), rollout)


def advance(stored: Stored, cause: Cause) -> Change:
    """Go on from shadow to the first step, or from a step to the next.

    Raises:
        Conflict: no rollout is in progress, it is paused, or it is at its last step.
    """
    rollout = _going_on(stored, "advances")
    if rollout.step + 1 >= len(rollout.steps):
        raise _conflict(
            "a rollout before its last step",
            f"{shown(rollout)}; `quintet rollout promote {rollout.model}` makes "
            f"version {rollout.candidate} live",
        )
    return _at_step(stored, "advanced", cause, rollout, rollout.step + 1)


def pause(stored: Stored, cause: Cause) -> Change:
    """Let the rollout stand where it is; a bad verdict still rolls it back.

    Raises:
        Conflict: no rollout is in progress, it is paused already, or its version was promoted.
    """
    rollout = _before_promotion(stored, "can be paused")
    if rollout.paused:
        raise _conflict(
            "a rollout that is not paused",
            f"{shown(rollout)}; `quintet rollout resume {rollout.model}` lets it go on",
        )
    paused = replace(rollout, paused=cause.reason or "by hand")
    return _change(stored, "paused", cause, _kept(stored), paused)


def resume(stored: Stored, cause: Cause) -> Change:
    """Let a paused rollout go on; the time of its step begins anew.

    A rollout that was held with its overrides alone, and has no shadow, becomes a canary.

    Raises:
        Conflict: no rollout is in progress, or it is not paused.
    """
    rollout = _before_promotion(stored, "can be resumed")
    if not rollout.paused:
        raise _conflict("a paused rollout", f"{shown(rollout)}, which goes on by itself")
    going = replace(rollout, paused="", entered=cause.at)
    if rollout.phase == "shadow" and stored.route.shadow is None:
        return _at_step(stored, "resumed", cause, going, 0)
    return _change(stored, "resumed", cause, _kept(stored), going)


def promote(stored: Stored, cause: Cause, *, verdict: str, force: bool = False) -> Change:
    """Make the candidate live; the version before stays ready until the rollout is finished.

    `verdict` is the latest verdict of the gates; anything but "ok" needs `force` and a reason.

    Raises:
        Conflict: no rollout is in progress, its version was promoted, or the verdict is not ok.
    """
    rollout = _before_promotion(stored, "can be promoted")
    if verdict != "ok" and not (force and cause.reason):
        got = f"{verdict!r}" + (" and no reason" if force else "")
        raise Conflict.of(
            "verdict",
            "'ok', or force with a reason",
            f"{got}; `quintet rollout status {rollout.model}` shows the gates, and "
            f"`quintet rollout promote {rollout.model} --force --reason ...` overrules them",
        )
    watching = replace(
        rollout, phase="watching", step=len(rollout.steps), entered=cause.at, paused=""
    )
    return _change(stored, "promoted", cause, {"live": rollout.candidate}, watching)


def roll_back(stored: Stored, cause: Cause) -> Change:
    """End a rollout of any phase with the version that was live before; the route is as it was.

    Raises:
        Conflict: no rollout is in progress.
    """
    rollout = _running(stored, "can be rolled back")
    return _change(stored, "rolled back", cause, {"live": rollout.live}, None)


def finish(stored: Stored, cause: Cause) -> Change:
    """End a rollout whose version was promoted; it stays live.

    Raises:
        Conflict: no rollout is in progress, or its version was not promoted.
    """
    rollout = _running(stored, "can be finished")
    if rollout.phase != "watching":
        raise _conflict("a rollout whose version was promoted", shown(rollout))
    return _change(stored, "finished", cause, {}, None)


def _change(
    stored: Stored, event: Event, cause: Cause, fields: dict[str, Any], rollout: Rollout | None
) -> Change:
    """A change to these fields, without the fields of a rollout that are not among them."""
    route = stored.route
    after = {"live": route.live, **fields, "revision": route.revision + 1}
    if rollout is not None:
        after |= {"rollout": rollout.id, "step": rollout.step}
    return Change(
        model=route.model,
        event=event,
        cause=cause,
        before=fields_of(route),
        after=after,
        rollout=rollout,
    )


def _at_step(stored: Stored, event: Event, cause: Cause, rollout: Rollout, step: int) -> Change:
    """The rollout as a canary at a step, with the overrides of the route."""
    there = replace(rollout, phase="canary", step=step, entered=cause.at)
    overrides = stored.route.overrides
    fields: dict[str, Any] = {"overrides": dict(overrides)} if overrides else {}
    return _change(stored, event, cause, fields | _canary(there), there)


def _canary(rollout: Rollout) -> dict[str, Any]:
    if rollout.phase != "canary":
        return {}
    return {"canary": rollout.candidate, "canary_share": rollout.share}


def _kept(stored: Stored) -> dict[str, Any]:
    return fields_of(stored.route)


def _running(stored: Stored, what: str) -> Rollout:
    if stored.rollout is None:
        model = stored.route.model
        raise _conflict(
            f"one of {model} that {what}",
            f"none in progress; `quintet rollout start {model} VERSION` begins one",
        )
    return stored.rollout


def _before_promotion(stored: Stored, what: str) -> Rollout:
    rollout = _running(stored, what)
    if rollout.phase == "watching":
        raise _conflict(
            f"one that {what}",
            f"{shown(rollout)}; it ends by itself, or with "
            f"`quintet rollout rollback {rollout.model}`",
        )
    return rollout


def _going_on(stored: Stored, what: str) -> Rollout:
    rollout = _before_promotion(stored, what)
    if rollout.paused:
        raise _conflict(
            f"one that {what}",
            f"{shown(rollout)}; `quintet rollout resume {rollout.model}` lets it go on",
        )
    return rollout


def _check_steps(steps: Sequence[float]) -> None:
    for before, share in zip((0.0, *steps), steps, strict=False):
        if not max(before, LEAST_SHARE) <= share <= 1 or share == before:
            expected = f"ascending shares from {LEAST_SHARE:f} to 1"
            raise BadInput.of("steps", expected, f"{share:g} after {before:g}")
    if not steps:
        raise BadInput.of("steps", "at least one share", "none")


def _checked_overrides(overrides: Mapping[str, int], versions: set[int]) -> dict[str, int]:
    if len(overrides) > MAX_OVERRIDES:
        raise BadInput.of("overrides", f"at most {MAX_OVERRIDES} entities", str(len(overrides)))
    if "" in overrides:
        raise BadInput.of("overrides", "entities of at least one character", "''")
    for entity, version in overrides.items():
        if version not in versions:
            raise BadInput.of(
                "overrides", f"the live version or the candidate for {entity!r}", str(version)
            )
    return dict(overrides)


def shown(rollout: Rollout) -> str:
    """A rollout for a message: "version 4 as canary at 10 %, paused (by hand)"."""
    paused = f", paused ({rollout.paused})" if rollout.paused not in ("", HELD) else ""
    return f"version {rollout.candidate} {place_of(rollout)}{paused}"


def place_of(rollout: Rollout) -> str:
    """Where the candidate is: "in shadow", "as canary at 10 %", "promoted and watched"."""
    if rollout.paused == HELD:
        return "with its overrides only"
    return {
        "shadow": "in shadow",
        "canary": f"as canary at {100 * rollout.share:g} %",
        "watching": "promoted and watched",
    }[rollout.phase]


def _conflict(expected: str, got: str) -> Conflict:
    return Conflict([Refusal(None, "rollout", expected, got)])
