"""Notices of changes that nobody made by hand: what happened, why, and what to do."""

from __future__ import annotations

from quintet.rollouts.state import Rollout
from quintet.rollouts.store import Change

__all__ = ["has_notice", "notice"]

#: what is told of each event, with what to do; of the others there are no notices
_TOLD = {
    "rolled back": (
        "was rolled back: version {live} answers every request again",
        "quintet rollout history {of} shows the verdict.",
    ),
    "paused": (
        "stands still: version {candidate} keeps its share",
        "quintet rollout status {of} shows the gates; quintet rollout resume {of} goes on, "
        "quintet rollout rollback {of} ends it.",
    ),
    "promoted": (
        "succeeded: version {candidate} answers every request",
        "quintet rollout rollback {of} brings version {live} back, as long as it is kept ready.",
    ),
}


def has_notice(change: Change) -> bool:
    """Whether a notice of a change is sent."""
    return change.event in _TOLD


def notice(rollout: Rollout, change: Change, stage: str) -> tuple[str, str]:
    """The subject (at most 100 ASCII characters) and the text of a change that `has_notice`.

    `rollout` is the one before the change.
    """
    names = {
        "of": f"{rollout.model} --stage {stage}",
        "live": rollout.live,
        "candidate": rollout.candidate,
    }
    what, to_do = (text.format_map(names) for text in _TOLD[change.event])
    subject = f"Quintet {stage}: {rollout.model} version {rollout.candidate} {change.event}"
    text = (
        f"The rollout of {rollout.model} from version {rollout.live} to {rollout.candidate} {what}."
        f"\nReason: {change.cause.reason} ({change.cause.by})\n{to_do}"
    )
    return subject[:100], text
