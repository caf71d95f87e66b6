"""Notes of a report: what could not be computed, and features that no row has. Pure, no arro3."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from quintet.errors import Transient

__all__ = ["notes_of_defaults", "noting"]


@contextmanager
def noting(notes: list[str], what: str) -> Iterator[None]:
    """Add a note where `what` cannot be computed, whatever the reason.

    Raises:
        Transient: a store could not be read.
    """
    try:
        yield
    except Transient:
        raise
    except Exception as error:  # of numbers alone: they must not fail the rows they describe
        note = f"{what} could not be computed ({type(error).__name__})."
        if note not in notes:
            notes.append(note)


def notes_of_defaults(units: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """A note for each feature that no row of some file has, by `Defaults.document` of each unit."""
    files: dict[str, dict[str, Any]] = {}
    for unit in units:
        for key, found in unit.items():
            known = files.setdefault(key, {"rows": 0, "absent": found["absent"]})
            kept = known["absent"].items()
            known["absent"] = {name: one for name, one in kept if name in found["absent"]}
            known["rows"] += found["rows"]
    for name in sorted({name for found in files.values() for name in found["absent"]}):
        without = {key: found for key, found in sorted(files.items()) if name in found["absent"]}
        yield _note(name, without, len(files))


def _note(name: str, without: Mapping[str, Mapping[str, Any]], files: int) -> str:
    rows = sum(found["rows"] for found in without.values())
    first = next(iter(without))
    where = f"{len(without):,} of {files:,} files (first {first})" if first else "the file"
    known = [found["absent"][name] for found in without.values()]
    near = next((one["near"] for one in known if one["near"]), None)
    hint = f" Is it {near!r}, which is there?" if near else ""
    return (
        f"{name} was defaulted for all {rows:,} rows of {where}, as none has a value for it: "
        f"they were scored with {known[0]['default']!r}.{hint}"
    )
