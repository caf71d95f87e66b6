"""What becomes of a rollout by its verdict and the time: a function of what is stored.

https://docs.aws.amazon.com/step-functions/latest/dg/amazon-states-language-wait-state.html
"""

from __future__ import annotations

import math

from quintet.contract import RolloutRule
from quintet.rollouts import transitions
from quintet.rollouts.gates import Verdict
from quintet.rollouts.state import Rollout
from quintet.rollouts.store import Cause, Change, Stored

__all__ = ["BY", "POLL", "decide", "roll_back_if_bad", "seconds_to_next"]

#: who makes changes that nobody made by hand
BY = "gates"
#: a rollout is looked at as often, in seconds, or ten times a step if its steps are short
POLL = 60.0


def decide(stored: Stored, verdict: Verdict, rule: RolloutRule, now: float) -> Change | None:
    """The change that is due at `now` (epoch seconds), or None.

    A bad verdict rolls back in every phase, also while the rollout is paused; so does a candidate
    that was withdrawn. A broken router pauses. An ok goes on once the step has lasted long enough,
    from the last step to the promotion. Without evidence the rollout waits, and pauses after
    `max_minutes`. A promoted version is watched for `watch_minutes`.
    """
    rollout = stored.rollout
    if (change := roll_back_if_bad(stored, verdict, now)) is not None or rollout is None:
        return change
    lasted = (now - rollout.entered) / 60
    if rollout.phase == "watching":
        if lasted < rule.watch_minutes:
            return None
        return transitions.finish(stored, _cause(now, "watched for its time", verdict))
    if rollout.paused:
        return None
    if verdict.verdict == "ok":
        return None if lasted < rule.minutes else _go_on(stored, rollout, verdict, now)
    return _hold(stored, rollout, verdict, rule, now)


def roll_back_if_bad(stored: Stored, verdict: Verdict, now: float) -> Change | None:
    """The rollback of a rollout whose verdict is bad, or whose candidate was withdrawn."""
    rollout = stored.rollout
    if rollout is None:
        return None
    if rollout.candidate not in stored.route.versions:
        cause = _cause(now, f"version {rollout.candidate} was withdrawn", verdict)
        return transitions.roll_back(stored, cause)
    if verdict.verdict == "bad":
        return transitions.roll_back(stored, _cause(now, verdict.reason, verdict))
    return None


def seconds_to_next(rollout: Rollout, rule: RolloutRule, now: float) -> int:
    """Whole seconds until the rollout is looked at again, at least 1."""
    minutes = rule.watch_minutes if rollout.phase == "watching" else rule.minutes
    left = rollout.entered + 60 * minutes - now
    if left <= 0 or rollout.paused:  # a verdict, or somebody, is waited for
        left = 6 * rule.minutes
    return math.ceil(min(max(left, 1.0), POLL))


def _go_on(stored: Stored, rollout: Rollout, verdict: Verdict, now: float) -> Change:
    """To the next step, or from the last one to the promotion."""
    cause = _cause(now, f"{_where(rollout)}: every gate is ok", verdict)
    if rollout.step + 1 < len(rollout.steps):
        return transitions.advance(stored, cause)
    return transitions.promote(stored, cause, verdict=verdict.verdict)


def _hold(
    stored: Stored, rollout: Rollout, verdict: Verdict, rule: RolloutRule, now: float
) -> Change | None:
    """A pause, where the router is broken or evidence has been lacking for too long."""
    if verdict.verdict == "broken":
        reason = f"the router does not give the candidate its share: {verdict.reason}"
    elif now - rollout.entered >= 60 * rule.max_minutes:
        where = _where(rollout)
        reason = f"no verdict in {rule.max_minutes:g} minutes {where}: {verdict.reason}"
    else:
        return None
    return transitions.pause(stored, _cause(now, reason, verdict))


def _cause(now: float, reason: str, verdict: Verdict) -> Cause:
    return Cause(at=now, by=BY, reason=reason, evidence=verdict.to_dict())


def _where(rollout: Rollout) -> str:
    return "in shadow" if rollout.phase == "shadow" else f"at {100 * rollout.share:g} %"
