"""What a batch run is: its name, its folder, its documents, and the ports it reads and writes."""

from __future__ import annotations

import dataclasses
import hashlib
import re
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import orjson

from quintet.errors import BadInput, NotFound

__all__ = [
    "REPLAY_OF",
    "Folder",
    "Inbox",
    "MemoryInbox",
    "MemoryStore",
    "Plan",
    "RefusedPlan",
    "Snapshot",
    "Store",
    "Unit",
    "changed",
    "dump",
    "plan_from",
    "run_name",
    "slug",
]

FileFormat = Literal["csv", "jsonl", "parquet"]
FORMATS: tuple[FileFormat, ...] = ("csv", "jsonl", "parquet")
#: the object metadata that names the run whose quarantined rows a file holds
REPLAY_OF = "quintet-replay-of"


# ---- names and places ------------------------------------------------------------------------


def slug(text: str, most: int = 80) -> str:
    """`text` in the characters that names of executions and folders may hold."""
    safe = re.sub(r"[^A-Za-z0-9_-]+", "-", text).strip("-")
    return safe[:most].strip("-") or "unnamed"


def run_name(bucket: str, key: str, version: str) -> str:
    """The name of the run that scores one version of one object: the same for every notice of it.

    Readable in front (model and file), unique by the hash behind; at most 80 characters, as
    Step Functions allows: https://docs.aws.amazon.com/step-functions/latest/apireference/API_StartExecution.html
    """
    model, _, rest = key.partition("/")
    stem = rest.rpartition("/")[2].partition(".")[0]
    digest = hashlib.sha256("\n".join((bucket, key, version)).encode()).hexdigest()
    return f"{slug(model, 24)}-{slug(stem, 24)}-{digest[:24]}"


@dataclass(frozen=True, slots=True)
class Folder:
    """Where everything of one run lies in the scores bucket."""

    model: str
    run: str

    @property
    def root(self) -> str:
        return f"runs/{slug(self.model)}/{self.run}/"

    @property
    def plan(self) -> str:
        return f"{self.root}plan.json"

    @property
    def units(self) -> str:
        return f"{self.root}units.json"

    @property
    def results(self) -> str:
        return f"{self.root}units/"

    def result(self, unit: int) -> str:
        return f"{self.results}{unit:05d}.json"

    def scores(self, unit: int, suffix: str) -> str:
        return f"{self.root}scores/part-{unit:05d}.{suffix}"

    @property
    def quarantines(self) -> str:
        return f"{self.root}quarantine/"

    def quarantine(self, unit: int) -> str:
        return f"{self.quarantines}part-{unit:05d}.jsonl"

    @property
    def replays(self) -> str:
        return f"{self.root}replays/"

    @property
    def report(self) -> str:
        return f"{self.root}report.json"

    @property
    def page(self) -> str:
        return f"{self.root}report.html"

    @property
    def manifest(self) -> str:
        return f"{self.root}manifest.json"


# ---- documents -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """One version of one object, as it was when the run was planned."""

    bucket: str
    key: str
    version_id: str | None
    etag: str
    size: int
    metadata: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """A slice of a run's input that one invocation scores: an item of units.json.

    `start` and `end` are bytes of the (unpacked) text, or row groups of a Parquet file.
    """

    run: str
    model: str
    unit: int
    start: int
    end: int
    first_row: int
    rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a run was pinned to: plan.json, written once. `columns` is a CSV's header."""

    run: str
    model: str
    version: int
    digest: str
    seal: str
    contract: str
    started: str
    code: str
    input: Snapshot
    format: FileFormat
    gzip: bool
    delimiter: str | None
    columns: tuple[str, ...]
    ignored: tuple[str, ...]
    output: FileFormat
    rows: int
    units: int
    notes: tuple[str, ...] = ()

    @property
    def folder(self) -> Folder:
        return Folder(self.model, self.run)


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedPlan:
    """Why a run cannot be: plan.json of a run that scores nothing."""

    run: str
    model: str
    started: str
    code: str
    bucket: str
    key: str
    version_id: str | None
    refusals: tuple[str, ...]

    @property
    def folder(self) -> Folder:
        return Folder(self.model, self.run)


def dump(document: Any) -> bytes:
    """A document as JSON: the same bytes for the same content."""
    if dataclasses.is_dataclass(document) and not isinstance(document, type):
        document = dataclasses.asdict(document)
    return orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS) + b"\n"


def plan_from(body: bytes) -> Plan | RefusedPlan:
    """A plan as `dump` wrote it."""
    data = orjson.loads(body)
    for name in ("columns", "ignored", "notes", "refusals"):
        if name in data:
            data[name] = tuple(data[name])
    if "refusals" in data:
        return RefusedPlan(**data)
    data["input"] = Snapshot(**data["input"])
    return Plan(**data)


# ---- ports -----------------------------------------------------------------------------------


class Inbox(Protocol):
    """Where dropped files are."""

    def snapshot(self, bucket: str, key: str, version_id: str | None) -> Snapshot:
        """The object as it is now. Raises NotFound when it is gone."""
        ...

    def read(self, snapshot: Snapshot, start: int, end: int) -> bytes:
        """The bytes from `start` to `end` of exactly that version.

        Raises:
            BadInput: the object was deleted or overwritten since.
            Transient: the store could not be read.
        """
        ...


class Store(Protocol):
    """Where the documents and results of runs are."""

    def get(self, key: str) -> bytes | None: ...

    def put(self, key: str, body: bytes) -> None: ...

    def keys(self, prefix: str) -> list[str]:
        """The keys that start with `prefix`, sorted."""
        ...


class MemoryInbox:
    """An inbox in memory; every put makes a version."""

    def __init__(self) -> None:
        self.versions: dict[tuple[str, str], list[tuple[Snapshot, bytes]]] = {}

    def put(
        self, bucket: str, key: str, body: bytes, metadata: dict[str, str] | None = None
    ) -> Snapshot:
        """Store an object, as a user would."""
        held = self.versions.setdefault((bucket, key), [])
        snapshot = Snapshot(
            bucket=bucket,
            key=key,
            version_id=f"v{len(held) + 1}",
            etag=hashlib.md5(body, usedforsecurity=False).hexdigest(),
            size=len(body),
            metadata=metadata or {},
        )
        held.append((snapshot, body))
        return snapshot

    def snapshot(self, bucket: str, key: str, version_id: str | None) -> Snapshot:
        """See `Inbox.snapshot`."""
        for snapshot, _ in reversed(self.versions.get((bucket, key), [])):
            if version_id in (None, snapshot.version_id):
                return snapshot
        raise NotFound.of("the file", f"{key} in the inbox", "nothing; it was deleted")

    def read(self, snapshot: Snapshot, start: int, end: int) -> bytes:
        """See `Inbox.read`."""
        for held, body in self.versions.get((snapshot.bucket, snapshot.key), []):
            if held.version_id == snapshot.version_id and held.etag == snapshot.etag:
                return body[start:end]
        raise changed(snapshot)


def changed(snapshot: Snapshot) -> BadInput:
    """The refusal of an object that is no longer what was planned."""
    return BadInput.of(
        "the file", f"{snapshot.key} as it was planned", "another; it was deleted or overwritten"
    )


class MemoryStore:
    """A store in memory."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}

    def get(self, key: str) -> bytes | None:
        """See `Store.get`."""
        return self.objects.get(key)

    def put(self, key: str, body: bytes) -> None:
        """See `Store.put`."""
        self.objects[key] = body

    def keys(self, prefix: str) -> list[str]:
        """See `Store.keys`."""
        return sorted(key for key in self.objects if key.startswith(prefix))
