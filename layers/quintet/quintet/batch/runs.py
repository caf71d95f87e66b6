"""What a batch run is: its name, its folder, its documents, and the ports it reads and writes."""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Protocol

import orjson

from quintet.contract import Scalar
from quintet.errors import BadInput, NotFound

__all__ = [
    "REPLAY_OF",
    "FileSlice",
    "Folder",
    "Inbox",
    "Listed",
    "MemoryInbox",
    "MemoryStore",
    "Plan",
    "RefusedPlan",
    "Snapshot",
    "Store",
    "Unit",
    "changed",
    "dump",
    "hashed_name",
    "plan_from",
    "run_name",
    "slug",
    "unit_from",
    "unreadable",
]

FileFormat = Literal["csv", "jsonl", "parquet"]
FORMATS: tuple[FileFormat, ...] = ("csv", "jsonl", "parquet")
#: the object metadata that names the run whose quarantined rows a file holds
REPLAY_OF = "quintet-replay-of"
#: how a run names its input: one object, all under a prefix, or those that a manifest lists
Scope = Literal["key", "prefix", "manifest"]


# ---- names and places ------------------------------------------------------------------------


def slug(text: str, most: int = 80) -> str:
    """`text` in the characters that names of executions and folders may hold."""
    safe = re.sub(r"[^A-Za-z0-9_-]+", "-", text).strip("-")
    return safe[:most].strip("-") or "unnamed"


def run_name(bucket: str, key: str, version: str) -> str:
    """The name of the run that scores one version of one object, whoever tells of it."""
    model, _, rest = key.partition("/")
    stem = rest.rpartition("/")[2].partition(".")[0]
    return hashed_name(model, stem, (bucket, key, version))


def hashed_name(model: str, hint: str, parts: Iterable[str]) -> str:
    """A run's name: readable in front, unique by the hash of `parts` behind.

    At most 74 characters, of the 80 that Step Functions allows:
    https://docs.aws.amazon.com/step-functions/latest/apireference/API_StartExecution.html
    """
    digest = hashlib.sha256("\n".join(parts).encode()).hexdigest()
    return f"{slug(model, 24)}-{slug(hint, 24)}-{digest[:24]}"


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
    def inputs(self) -> str:
        return f"{self.root}inputs.json"

    @property
    def history(self) -> str:
        return f"{self.root}history.json"

    @property
    def units(self) -> str:
        return f"{self.root}units.json"

    def redrive(self, execution: str) -> str:
        return f"{self.root}redrives/{execution}.json"

    @property
    def results(self) -> str:
        return f"{self.root}units/"

    def result(self, unit: int) -> str:
        return f"{self.results}{unit:05d}.json"

    @property
    def beats(self) -> str:
        return f"{self.root}beats/"

    def beat(self, unit: int) -> str:
        return f"{self.beats}{unit:05d}.json"

    def scores(self, unit: int, suffix: str, part: int = 0) -> str:
        return f"{self.root}scores/{_part(unit, part)}.{suffix}"

    @property
    def quarantines(self) -> str:
        return f"{self.root}quarantine/"

    def quarantine(self, unit: int, part: int = 0) -> str:
        return f"{self.quarantines}{_part(unit, part)}.jsonl"

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


def _part(unit: int, part: int) -> str:
    """The name of a file of a unit; those of one that writes several sort in their order."""
    return f"part-{unit:05d}" + (f"_{part:04d}" if part else "")


# ---- documents -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """One version of one object, as it was when the run was planned.

    Of many objects: `key` is their prefix or manifest, `etag` a SHA-256 over every object's
    version, `size` their sum; each is in inputs.json.
    """

    bucket: str
    key: str
    version_id: str | None
    etag: str
    size: int
    metadata: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class FileSlice:
    """Some rows of one file: `file` is its position in inputs.json, the rest is as in `Unit`."""

    file: int
    start: int
    end: int
    first_row: int
    rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """A slice of a run's input that one invocation scores: an item of units.json.

    `start` and `end` are bytes of the (unpacked) text, or row groups of a Parquet file. Where
    the run has many files, `slices` say what is scored, and `start` and `end` are 0.
    """

    run: str
    model: str
    unit: int
    start: int
    end: int
    first_row: int
    rows: int
    slices: tuple[FileSlice, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a run was pinned to: plan.json, written once.

    `columns` is a CSV's header, `constants` are the features that a file's folders say; each of
    many files has its own, in inputs.json. `keep` are the columns of the input that scores keep,
    with their names there. `features` are the files of stored features that the request names, as
    one; each is in history.json.
    """

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
    scope: Scope = "key"
    files: int = 1
    keep: tuple[tuple[str, str], ...] = ()
    partition: str | None = None
    constants: Mapping[str, Scalar] = field(default_factory=dict)
    features: Snapshot | None = None

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
    data["keep"] = tuple((column, name) for column, name in data.get("keep", ()))
    data["input"] = Snapshot(**data["input"])
    if data.get("features"):
        data["features"] = Snapshot(**data["features"])
    return Plan(**data)


def unit_from(item: Mapping[str, Any]) -> Unit:
    """A unit as an item of units.json says it."""
    slices = tuple(FileSlice(**part) for part in item.get("slices", ()))
    return Unit(**{**item, "slices": slices})


# ---- ports -----------------------------------------------------------------------------------


class Listed(NamedTuple):
    """An object as a listing shows it."""

    key: str
    size: int
    etag: str = ""


class Inbox(Protocol):
    """Where a run's files are."""

    def keys(self, bucket: str, prefix: str) -> Iterator[Listed]:
        """The objects whose keys start with `prefix`, in the order of their keys.

        Raises:
            BadInput: there is no such bucket, or it may not be read.
            Transient: it could not be listed.
        """
        ...

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

    def keys(self, bucket: str, prefix: str) -> Iterator[Listed]:
        """See `Inbox.keys`."""
        if bucket not in {name for name, _ in self.versions}:
            raise unreadable(bucket)
        for (name, key), held in sorted(self.versions.items()):
            if name == bucket and key.startswith(prefix) and held:
                yield Listed(key, held[-1][0].size, held[-1][0].etag)

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


def unreadable(bucket: str) -> BadInput:
    """The refusal of a bucket that is not there, or that the stack may not read."""
    return BadInput.of("bucket", "one that this stack may read", bucket[:63])


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
