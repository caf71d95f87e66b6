"""Feedback as it comes: checked, or refused with its reasons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quintet.columns import MAX_ID_BYTES
from quintet.errors import Refusal, shown
from quintet.feedback.table import MAX_USER_BYTES, TYPES, Feedback
from quintet.labels.intake import AHEAD, in_bytes, in_seconds, untimely

__all__ = ["COLUMNS", "checked"]

#: the fields of feedback
COLUMNS = ("impression", "item", "type", "time", "user")
_MOST = 2**63 - 1


def checked(sent: Mapping[str, Sequence[Any]], now: float) -> tuple[Feedback, list[Refusal]]:
    """The feedback among rows, and why the other rows are refused, by row.

    `sent` are the columns `COLUMNS`. An impression is a text, an item an integer, a type one of
    `TYPES`, a time epoch seconds or ISO 8601, and a user a text or an integer. What has no time
    happened `now`, in epoch seconds, and nothing later; the user may be None. Whether there is such
    an impression is for readers to find out.
    """
    ids = in_bytes(sent["impression"], MAX_ID_BYTES, (str,))
    numbers, is_item = _numbers(sent["item"])
    kinds = in_bytes(sent["type"], MAX_ID_BYTES, (str,))
    moments = in_seconds([now if time is None else time for time in sent["time"]])
    who = in_bytes(sent["user"], MAX_USER_BYTES, (str, int))
    named = np.array([user is not None for user in sent["user"]], dtype=np.bool_)
    checks = (
        ("impression", ids != b"", f"the id of an impression, of 1 to {MAX_ID_BYTES} bytes"),
        ("item", is_item, "the number of an item, from 1"),
        ("type", np.isin(kinds, [one.encode() for one in TYPES]), "view, click or purchase"),
        ("time", moments <= now + AHEAD, ""),  # not of NaN
        (
            "user",
            (who != b"") | ~named,
            f"the key of a user, of 1 to {MAX_USER_BYTES:,} bytes, or none",
        ),
    )
    good = np.logical_and.reduce([fine for _, fine, _ in checks])
    refusals = []
    for row in np.flatnonzero(~good).tolist():
        for name, fine, expected in checks:
            if fine[row]:
                continue
            value = sent[name][row]
            if name == "time":
                refusals.append(untimely(row, moments[row], value))
            else:
                refusals.append(Refusal(row, name, expected, shown(value)))
    received = np.full(len(ids), now)
    return Feedback(ids, numbers, kinds, moments, received, who).some(good), refusals


def _numbers(items: Sequence[Any]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Numbers of items, (rows,), 0 of those that are none; and which are."""
    found = [
        item if isinstance(item, int) and not isinstance(item, bool) and 0 < item <= _MOST else 0
        for item in items
    ]
    numbers = np.array(found, dtype=np.int64)
    return numbers, numbers > 0
