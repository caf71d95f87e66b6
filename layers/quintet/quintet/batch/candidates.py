"""Candidate sets: the items that a run found for each user, and the run whose sets readers see.

A set is written under its model, user and run, so that a unit that is retried writes the same
again. Readers go by the model's pointer, which moves to a whole run at once: they see the sets of
one run for all users, or those of the run before it.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from quintet.batch.plans import RunPaths
from quintet.batch.popular import merged_popular
from quintet.batch.stores import ConditionalObjects, ObjectStore
from quintet.batch.tables import RUN, current_run, read_manifest, show_run
from quintet.errors import BadInput

__all__ = [
    "CandidateSet",
    "CandidateSets",
    "MemoryCandidateSets",
    "candidate_notes",
    "expiry_note",
    "merged_candidates",
    "packed",
    "show_candidates",
    "unpacked",
]

#: days that sets are kept beyond the contract's nights, for a schedule that fails
SPARE_DAYS = 7
#: a report warns if readers' sets are deleted sooner than this
FEW_DAYS = 2
DAY = 86_400
#: characters of a user's key
MAX_USER = 512
#: the largest float16
MAX_SCORE = 65_504.0


class CandidateSet(NamedTuple):
    """A user's packed set, and the user's segment, "" without one."""

    user: str
    body: bytes
    segment: str = ""


class CandidateSets(Protocol):
    """The store of the sets."""

    def put(self, model: str, run: str, sets: Sequence[CandidateSet], expires: int) -> None:
        """Store sets of different users until `expires` (epoch seconds). Raises Transient."""
        ...

    def get(self, model: str, run: str, user: str, now: float) -> CandidateSet | None:
        """Return the set of a user in a run; None without one. Raises Transient."""
        ...


class MemoryCandidateSets:
    """Sets in memory."""

    def __init__(self) -> None:
        self.held: dict[tuple[str, str, str], tuple[CandidateSet, int]] = {}

    def put(self, model: str, run: str, sets: Sequence[CandidateSet], expires: int) -> None:
        """See `CandidateSets.put`."""
        self.held.update({(model, run, one.user): (one, expires) for one in sets})

    def get(self, model: str, run: str, user: str, now: float) -> CandidateSet | None:
        """See `CandidateSets.get`."""
        found, expires = self.held.get((model, run, user), (None, 0))
        return found if expires > now else None


def packed(ids: NDArray[Any], scores: NDArray[Any]) -> bytes:
    """Pack items, the best first, and their scores, (k,) each: k int32, then k float16."""
    limited = np.clip(scores, -MAX_SCORE, MAX_SCORE).astype("<f2")
    return bytes(ids.astype("<i4").tobytes() + limited.tobytes())


def unpacked(body: bytes) -> tuple[NDArray[np.int32], NDArray[np.float16]]:
    """The items and scores of a packed set, (k,) each."""
    size = len(body) // 6
    return np.frombuffer(body, "<i4", size), np.frombuffer(body, "<f2", size, size * 4)


COUNTS = ("users", "repeated", "empty", "skipped", "unknown_items", "write_units")


def merged_candidates(units: Iterable[Mapping[str, Any]]) -> dict[str, Any] | None:
    """The counts of a run from the documents of its units; None if it wrote no sets."""
    found = list(units)
    if not found:
        return None
    items, seen = found[0]["items"], np.zeros((found[0]["items"] + 8) // 8, dtype=np.uint8)
    for unit in found:
        seen |= np.frombuffer(base64.b64decode(unit["seen"]), dtype=np.uint8)
    shown = int(np.unpackbits(seen).sum())
    return {
        **{name: sum(unit[name] for unit in found) for name in COUNTS},
        "items": items,
        "listed_items": shown,
        "coverage": round(shown / items, 4),
        "expires": found[0]["expires"],
        **merged_popular(unit.get("popular", {}) for unit in found),
    }


def candidate_notes(found: Mapping[str, Any]) -> Iterator[str]:
    """What a report says of a run's sets, where something is missing."""
    if not found["users"]:
        yield "No user has candidates: readers keep those of the run that they see."
    if found["empty"]:
        yield f"{found['empty']:,} rows have no candidates: nothing was stored for their users."
    if found["skipped"]:
        why = f"it is missing or longer than {MAX_USER} characters"
        yield f"{found['skipped']:,} rows were not stored for want of a user's key: {why}."
    if found["repeated"]:
        yield f"{found['repeated']:,} rows repeat a user of their unit: the last one was stored."
    if found["unknown_items"]:
        known = f"the catalogue has the numbers 1 to {found['items']:,}"
        yield f"{found['unknown_items']:,} listed items were left out as unknown: {known}."


def show_candidates(
    folder: RunPaths,
    *,
    store: ObjectStore,
    cells: ConditionalObjects,
    clock: Callable[[], datetime],
    by: str = RUN,
    force: bool = False,
) -> dict[str, Any] | None:
    """Move a model's pointer to the sets of a run; return the pointer after that.

    It moves as `quintet.batch.tables.show_run` moves a table's. A run without any set does not
    move it unless `force`.

    Raises:
        NotFound: the run has not succeeded, or some of its files are gone.
        BadInput: a person (`by`) asks for a run without sets, or one whose sets have expired.
        Transient: the store could not be read or written.
    """
    manifest = read_manifest(folder, store)
    found = manifest.get("candidates")
    if by != RUN:
        _check(folder, found, clock().timestamp(), force)
    elif not found or not (found["users"] or force):
        return current_run(folder.model, manifest["partition"], cells)
    return show_run(folder, store=store, cells=cells, clock=clock, by=by)


def _check(folder: RunPaths, found: Mapping[str, Any] | None, now: float, force: bool) -> None:
    """Refuse a run whose sets readers would not find."""
    if found is None:
        raise BadInput.of("run", "a run of a model with `candidates`", folder.run)
    if not found["users"] and not force:
        raise BadInput.of("run", "a run with candidates of some user, or --force", "an empty run")
    if found["expires"] <= now:
        raise BadInput.of("run", "a run whose candidates are kept", f"expired {_day(found)}")


def expiry_note(pointer: Mapping[str, Any] | None, now: float) -> str | None:
    """A warning if the sets that readers see are deleted soon, or were."""
    found = (pointer or {}).get("candidates")
    if not pointer or not found or found["expires"] - now >= FEW_DAYS * DAY:
        return None
    verb = "are deleted after" if found["expires"] > now else "were deleted after"
    return (
        f"The candidates that readers see, of run {pointer['run']}, {verb} {_day(found)}: "
        "a new run must succeed."
    )


def _day(found: Mapping[str, Any]) -> str:
    moment = datetime.fromtimestamp(found["expires"], UTC)
    return moment.strftime("%Y-%m-%d %H:%M UTC")
