"""The table of a model: a pointer to the run that its readers see, moved atomically.

A run over a partition (`month=2026-01`) has its own table beside the model's. A run that succeeds
moves the pointer to itself unless a run that was started later has already done so, so an old run
that ends late never replaces a newer one. A replay does not move the pointer, because it has only
the refused rows of a run. An operator can move a pointer to any whole run; the next run moves it
on.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import orjson

from quintet.batch.plans import REPLAY_OF, RunPaths, dump, slug
from quintet.batch.stores import ConditionalObjects, ObjectStore
from quintet.errors import NotFound, Transient

__all__ = [
    "RUN",
    "current_run",
    "pointer_key",
    "read_manifest",
    "show_run",
    "shows_itself",
    "tables_of",
]

#: the mover of a pointer if no person moves it
RUN = "the run itself"
#: attempts to move a pointer when other writers are faster; each of them moves the pointer
ATTEMPTS = 20


def tables_of(model: str) -> str:
    """The prefix of a model's pointers."""
    return f"tables/{slug(model)}/"


def pointer_key(model: str, partition: str | None) -> str:
    """The key of the pointer of a model, or of one of its partitions."""
    folders = sorted(filter(None, (partition or "").split("/")))
    return tables_of(model) + "".join(f"{folder}/" for folder in folders) + "current.json"


def current_run(
    model: str, partition: str | None, cells: ConditionalObjects
) -> dict[str, Any] | None:
    """Read a pointer: the run, its manifest and the manifest's SHA-256, who moved it and when."""
    held = cells.read(pointer_key(model, partition))
    pointer: dict[str, Any] | None = orjson.loads(held[0]) if held else None
    return pointer


def shows_itself(folder: RunPaths, store: ObjectStore) -> bool:
    """Whether a run that succeeded moves its table's pointer; replays and trials wait for an
    operator.

    Raises:
        NotFound: the run has no manifest.
    """
    manifest = read_manifest(folder, store)
    return REPLAY_OF not in manifest["input"]["metadata"] and not manifest.get("trial")


def show_run(
    folder: RunPaths,
    *,
    store: ObjectStore,
    cells: ConditionalObjects,
    clock: Callable[[], datetime],
    by: str = RUN,
) -> dict[str, Any]:
    """Move a table's pointer to a run; return the pointer after that, to whichever run it points.

    A run moves it to itself only if it was started after every run that did so before; a person
    (`by`) moves it in any case.

    Raises:
        NotFound: the run has no manifest, or some of its files are gone.
        Transient: the store could not be read or written.
    """
    manifest = read_manifest(folder, store)
    if by != RUN:
        _check_files(folder, manifest, store)
    key = pointer_key(folder.model, manifest["partition"])
    for _ in range(ATTEMPTS):
        held = cells.read(key)
        stands = orjson.loads(held[0]) if held else None
        if stands and not _moves(stands, manifest, by):
            return dict(stands)
        moved = _pointer(folder, manifest, stands, clock(), by)
        if cells.swap(key, dump(moved), held[1] if held else None):
            return moved
    raise Transient(f"the pointer {key} is moved by too many at once")


def read_manifest(folder: RunPaths, store: ObjectStore) -> dict[str, Any]:
    """Read the manifest of a whole run, with the manifest's SHA-256.

    Raises:
        NotFound: the run has no manifest.
    """
    body = store.get(folder.manifest)
    if body is None:
        raise NotFound.of("run", f"a run of {folder.model} that has succeeded", folder.run[:80])
    manifest: dict[str, Any] = orjson.loads(body)
    sha256 = hashlib.sha256(body).hexdigest()
    return {**manifest, "partition": manifest.get("partition"), "sha256": sha256}


def _check_files(folder: RunPaths, manifest: dict[str, Any], store: ObjectStore) -> None:
    """Refuse a run whose files have been deleted."""
    there = set(store.keys(folder.root))
    if gone := [file["key"] for file in manifest["files"] if file["key"] not in there]:
        more = f" and {len(gone) - 1} more" if len(gone) > 1 else ""
        raise NotFound.of("run", f"all files of {folder.run}", f"no {gone[0]}{more}")


def _moves(stands: dict[str, Any], manifest: dict[str, Any], by: str) -> bool:
    """Whether the pointer moves to the run of a manifest."""
    if stands["run"] == manifest["run"]:
        return False
    return by != RUN or _moment(manifest["started"]) > _moment(stands["newest"])


def _moment(started: str) -> datetime:
    return datetime.fromisoformat(started)


def _pointer(
    folder: RunPaths,
    manifest: dict[str, Any],
    stands: dict[str, Any] | None,
    now: datetime,
    by: str,
) -> dict[str, Any]:
    """The pointer's document; `newest` is the start of the newest run it has ever pointed to."""
    starts = [manifest["started"], *([stands["newest"]] if stands else [])]
    taken: tuple[str, ...] = (
        *("model", "run", "version", "partition", "started", "scored", "quarantined", "sha256"),
    )
    if manifest.get("candidates"):
        taken = (*taken, "candidates")
    return {
        **{name: manifest[name] for name in taken},
        "manifest": folder.manifest,
        "moved": now.astimezone(UTC).isoformat(timespec="milliseconds"),
        "by": by,
        "before": stands["run"] if stands else None,
        "newest": max(starts, key=_moment),
    }
