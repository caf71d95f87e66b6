"""The planned files of a run, and inputs.json, which lists them."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import orjson

from quintet.batch.plans import Plan, Snapshot, dump
from quintet.contract import Contract, Scalar
from quintet.errors import BadInput, Refusal
from quintet.formats.sources import Layout

__all__ = [
    "InputFile",
    "content",
    "inputs_document",
    "naming",
    "of_file",
    "plan_of",
    "sources_from",
    "with_constants",
]

PINNED = ("bucket", "key", "version_id", "etag", "size")


@dataclass(frozen=True, slots=True, kw_only=True)
class InputFile:
    """One file of a run. `constants` are the features from its folders (`month=2026-01`)."""

    input: Snapshot
    layout: Layout
    rows: int
    constants: Mapping[str, Scalar] = field(default_factory=dict)


def inputs_document(sources: Sequence[InputFile]) -> bytes:
    """Write inputs.json: every file with its pinned version; each distinct layout once."""
    layouts: dict[Layout, int] = {}
    files = []
    for source in sources:
        layout = layouts.setdefault(source.layout, len(layouts))
        pinned = {name: getattr(source.input, name) for name in PINNED}
        rest = {"rows": source.rows, "constants": dict(source.constants), "layout": layout}
        files.append({**pinned, **rest})
    return dump({"layouts": [*map(dataclasses.asdict, layouts)], "files": files})


def sources_from(body: bytes | None, wanted: Collection[int] | None = None) -> dict[int, InputFile]:
    """Read some files of inputs.json by their positions, or all.

    Raises:
        BadInput: inputs.json does not exist.
    """
    if body is None:
        raise BadInput.of("the run", "its inputs.json or history.json", "nothing; it was deleted")
    document = orjson.loads(body)
    layouts = [
        Layout(**{**layout, "columns": tuple(layout["columns"])}) for layout in document["layouts"]
    ]
    found = {}
    for position in range(len(document["files"])) if wanted is None else wanted:
        file = document["files"][position]
        found[position] = InputFile(
            input=Snapshot(**{name: file[name] for name in PINNED}),
            layout=layouts[file["layout"]],
            rows=file["rows"],
            constants=file["constants"],
        )
    return found


def content(snapshots: Sequence[Snapshot]) -> str:
    """One SHA-256 over the keys and versions of the objects to score."""
    digest = hashlib.sha256()
    for one in snapshots:
        version = one.version_id or ""
        digest.update("\0".join((one.bucket, one.key, version, one.etag, f"{one.size}\n")).encode())
    return digest.hexdigest()


def plan_of(plan: Plan, source: InputFile) -> Plan:
    """The plan for a run over only this file, as readers expect it."""
    return dataclasses.replace(
        plan,
        input=source.input,
        format=source.layout.format,
        gzip=source.layout.gzip,
        delimiter=source.layout.delimiter,
        columns=source.layout.columns,
        constants=source.constants,
    )


def with_constants(contract: Contract, constants: Mapping[str, Scalar]) -> Contract:
    """The contract for a file that lacks these columns: each row gets the constant values."""
    if not constants:
        return contract
    features = tuple(
        dataclasses.replace(feature, default=constants[feature.name], missing=None)
        if feature.name in constants
        else feature
        for feature in contract.features
    )
    return dataclasses.replace(contract, features=features)


def of_file(key: str, error: BadInput) -> BadInput:
    """Add the file's name to each refusal."""
    return BadInput(
        Refusal(r.row, key if r.field == "the file" else f"{key}: {r.field}", r.expected, r.got)
        for r in error.refusals
    )


@contextmanager
def naming(key: str) -> Iterator[None]:
    """Add the file's name to refusals raised in the block."""
    try:
        yield
    except BadInput as error:
        raise of_file(key, error) from error
