"""The files of a run, each as it was planned, and inputs.json, which lists them."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson

from quintet.batch.plans import FileFormat, Plan, Snapshot, dump
from quintet.contract import Contract, Scalar
from quintet.errors import BadInput, Refusal

__all__ = [
    "Source",
    "content",
    "inputs_document",
    "naming",
    "of_file",
    "plan_of",
    "sources_from",
    "with_constants",
]

#: what many files have in common is written once
LAYOUT = ("format", "gzip", "delimiter", "columns")
PINNED = ("bucket", "key", "version_id", "etag", "size")


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One file of a run. `constants` are the features that its folders say (`month=2026-01`)."""

    input: Snapshot
    format: FileFormat
    gzip: bool
    delimiter: str | None
    columns: tuple[str, ...]
    rows: int
    constants: Mapping[str, Scalar] = field(default_factory=dict)


def inputs_document(sources: Sequence[Source]) -> bytes:
    """inputs.json: every file with the version that was pinned."""
    layouts: dict[tuple[Any, ...], int] = {}
    files = []
    for source in sources:
        layout = layouts.setdefault(tuple(getattr(source, n) for n in LAYOUT), len(layouts))
        pinned = {name: getattr(source.input, name) for name in PINNED}
        rest = {"rows": source.rows, "constants": dict(source.constants), "layout": layout}
        files.append({**pinned, **rest})
    named = [dict(zip(LAYOUT, layout, strict=True)) for layout in layouts]
    return dump({"layouts": named, "files": files})


def sources_from(body: bytes | None, wanted: Collection[int] | None = None) -> dict[int, Source]:
    """Some files of inputs.json, by their positions, or all.

    Raises:
        BadInput: there is no inputs.json.
    """
    if body is None:
        raise BadInput.of("the run", "its inputs.json or history.json", "nothing; it was deleted")
    document = orjson.loads(body)
    found = {}
    for position in range(len(document["files"])) if wanted is None else wanted:
        file = document["files"][position]
        layout = document["layouts"][file["layout"]]
        found[position] = Source(
            input=Snapshot(**{name: file[name] for name in PINNED}),
            rows=file["rows"],
            constants=file["constants"],
            **{**layout, "columns": tuple(layout["columns"])},
        )
    return found


def content(snapshots: Sequence[Snapshot]) -> str:
    """One SHA-256 over which versions of which objects are scored."""
    digest = hashlib.sha256()
    for one in snapshots:
        version = one.version_id or ""
        digest.update("\0".join((one.bucket, one.key, version, one.etag, f"{one.size}\n")).encode())
    return digest.hexdigest()


def plan_of(plan: Plan, source: Source) -> Plan:
    """The plan as if the file were alone in its run, which is how readers read it."""
    return dataclasses.replace(
        plan,
        input=source.input,
        format=source.format,
        gzip=source.gzip,
        delimiter=source.delimiter,
        columns=source.columns,
        constants=source.constants,
    )


def with_constants(contract: Contract, constants: Mapping[str, Scalar]) -> Contract:
    """The contract by which a file without these columns reads as if each row had the values."""
    if not constants:
        return contract
    features = tuple(
        dataclasses.replace(feature, default=constants.get(feature.name, feature.default))
        for feature in contract.features
    )
    return dataclasses.replace(contract, features=features)


def of_file(key: str, error: BadInput) -> BadInput:
    """The same refusals, each with the file's name."""
    return BadInput(
        Refusal(r.row, key if r.field == "the file" else f"{key}: {r.field}", r.expected, r.got)
        for r in error.refusals
    )


@contextmanager
def naming(key: str) -> Iterator[None]:
    """Put the file's name into what is refused within."""
    try:
        yield
    except BadInput as error:
        raise of_file(key, error) from error
