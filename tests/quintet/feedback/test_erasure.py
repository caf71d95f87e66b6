"""A user's feedback is erased, also where only the impression says whose it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from tests.kits.captures import delivery, impression, impression_line_of
from tests.kits.models import NOW, SHELF

from quintet.captures.compaction import compact
from quintet.captures.delivery import deliver
from quintet.captures.store import MemoryCaptures
from quintet.contract import Capture
from quintet.errors import Transient
from quintet.feedback.erasure import Erased, erase
from quintet.feedback.intake import COLUMNS, checked
from quintet.feedback.reading import read
from quintet.feedback.table import put

CAPTURED = replace(SHELF, capture=Capture())


def filled(store: MemoryCaptures) -> MemoryCaptures:
    """Two users with two impressions each, one of them compacted; some feedback names its user."""
    for number, user in enumerate(("c1", "c2", "c1", "c2")):
        line = impression_line_of(f"i{number}", impression(user), contract=CAPTURED)
        deliver(delivery([line]), store)
        if number == 1:
            compact(store, store, NOW + 7200)
    say(store, "i0", "i1", "i2", "i3")
    say(store, "unknown", "i1", user="c1")
    return store


def say(store: MemoryCaptures, *impressions: str, user: str | None = None) -> None:
    rows = [(one, 5, "click", NOW, user) for one in impressions]
    sent = dict(zip(COLUMNS, zip(*rows, strict=True), strict=True))
    feedback, refusals = checked(sent, NOW)
    assert refusals == []
    put(store, "shelf", feedback)


def left(store: MemoryCaptures) -> list[tuple[bytes, bytes]]:
    found = read(store, "shelf", NOW - 1, NOW + 1).feedback
    return sorted(zip(found.impressions.tolist(), found.users.tolist(), strict=True))


def test_feedback_of_a_user_and_of_what_was_shown_to_them_is_erased() -> None:
    store = filled(MemoryCaptures())
    assert erase(store, "c1") == Erased(rows=4)
    assert left(store) == [(b"i1", b""), (b"i3", b"")]
    assert erase(store, "c1") == Erased()
    assert left(store) == [(b"i1", b""), (b"i3", b"")]


def test_only_the_named_models_feedback_is_erased() -> None:
    store = filled(MemoryCaptures())
    assert erase(store, "c1", ["other"]) == Erased()
    assert len(left(store)) == 6
    assert erase(store, "c1", ["other", "shelf"]).rows == 4


def test_what_arrives_meanwhile_is_erased_too_and_what_is_damaged_is_named() -> None:
    class Racing(MemoryCaptures):
        late: Callable[[], Any] | None = None

        def swap(self, key: str, body: bytes, tag: str | None) -> bool:
            """See `CaptureObjects.swap`."""
            late, self.late = self.late, None
            if late is not None:
                late()
            return super().swap(key, body, tag)

    store = Racing()
    filled(store)
    folder = next(iter(store.keys("feedback/"))).rpartition("/")[0]
    store.objects[f"{folder}/0.parquet"] = b"PAR1"
    store.late = lambda: say(store, "i2", "i3", user="c1")
    assert erase(store, "c1") == Erased(rows=6, unreadable=[f"{folder}/0.parquet"])
    del store.objects[f"{folder}/0.parquet"]
    assert left(store) == [(b"i1", b""), (b"i3", b"")]

    class Changing(MemoryCaptures):
        def swap(self, key: str, body: bytes, tag: str | None) -> bool:
            """See `CaptureObjects.swap`."""
            return key.startswith("captures/") and super().swap(key, body, tag)

    with pytest.raises(Transient, match="run the erasure again"):
        erase(filled(Changing()), "c1")
