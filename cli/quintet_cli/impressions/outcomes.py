"""What became of shown items: the feedback that counts, and why other feedback does not. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quintet.captures.store import CaptureObjects
from quintet.feedback.reading import read
from quintet.feedback.table import TYPES, Feedback
from quintet.labels.ids import Index, event_times
from quintet_cli.impressions.logged import Shown
from quintet_cli.impressions.pairs import Pairs

__all__ = ["Outcomes", "feedback_on", "outcomes"]

DAY = 86_400.0

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Outcomes:
    """When each shown item first had feedback of a type, (shown,), NaN without any; and how many
    rows of feedback count, or do not and why."""

    first: dict[str, Floats]
    counts: dict[str, int]


def feedback_on(
    objects: CaptureObjects, model: str, since: float, until: float
) -> tuple[Feedback, list[str]]:
    """The feedback on impressions from `since` to before `until`, in epoch seconds, and on what is
    no impression; and the keys of objects that cannot be read. Raises Transient."""
    known = read(objects, model, since - DAY, float("inf"))
    at = event_times(known.feedback.impressions)
    asked = np.isnan(at) | ((at >= since) & (at < until))
    return known.feedback.some(asked), known.damaged


def outcomes(shown: Shown, feedback: Feedback, now: float) -> Outcomes:
    """Join impressions with their feedback.

    Feedback counts from its impression to the end of the window, if it names no other user than
    the impression's, and once the window is over at `now`: until then a click may still come.
    Of the feedback, each said once by each user, `counted` rows count, of which `repeated` were
    said by somebody else, too. Of the others,

    - `unknown_impression`: no captured impression has the id,
    - `open`: the window is not over,
    - `foreign_user`: it names another user,
    - `unknown_item`: the impression did not show the item,
    - `before`, `late`: it happened before the impression, or after the window.
    """
    answer = Index(shown.events).find(feedback.impressions)
    row = Pairs(shown.answer, shown.item).find(answer, feedback.items)
    # of unknown ones the last impression's, which their first reason makes meaningless
    starts, closes, users = (_at(one, answer) for one in (shown.times, shown.closes, shown.users))
    reasons = {
        "unknown_impression": answer < 0,
        "open": closes > now,
        "foreign_user": (feedback.users != b"") & (feedback.users != users),
        "unknown_item": row < 0,
        "before": feedback.times < starts,
        "late": feedback.times >= closes,
    }
    left = np.ones(len(answer), dtype=np.bool_)
    counts = {}
    for reason, so in reasons.items():
        counts[reason] = int(np.count_nonzero(left & so))
        left &= ~so
    first, distinct = {}, 0
    for name in TYPES:
        some = np.flatnonzero(left & (feedback.types == name.encode()))
        times = np.full(len(shown.item), np.inf)
        np.minimum.at(times, row[some], feedback.times[some])
        there = np.isfinite(times)
        distinct += int(np.count_nonzero(there))
        first[name] = np.where(there, times, np.nan)
    counted = int(np.count_nonzero(left))
    return Outcomes(first, {"counted": counted, "repeated": counted - distinct, **counts})


def _at(values: NDArray[Any], answer: Ints) -> NDArray[Any]:
    return values[answer] if len(values) else np.zeros(len(answer), values.dtype)
