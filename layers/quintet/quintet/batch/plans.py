"""A batch run: its name, the paths of its documents and results, its plan and its units."""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import orjson

from quintet.contract import Scalar
from quintet.formats.sources import FileFormat, Layout

__all__ = [
    "REPLAY_OF",
    "FileSlice",
    "Plan",
    "RefusedPlan",
    "RunPaths",
    "Scope",
    "Snapshot",
    "Unit",
    "dump",
    "hashed_name",
    "plan_from",
    "run_context",
    "run_name",
    "slug",
    "unit_from",
]

#: the scope of a run's input: one object, all under a prefix, or those that a manifest lists
Scope = Literal["key", "prefix", "manifest"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """One version of one object, pinned when the run was planned.

    For many objects, `key` is their prefix or manifest, `etag` a SHA-256 over every object's
    version, and `size` their sum; inputs.json lists each object.
    """

    bucket: str
    key: str
    version_id: str | None
    etag: str
    size: int
    metadata: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class FileSlice:
    """Some rows of one file: `file` is its position in inputs.json, the rest as in `Unit`."""

    file: int
    start: int
    end: int
    first_row: int
    rows: int
    first_line: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """A slice of a run's input that one invocation scores: an item of units.json.

    `start` and `end` are bytes of the (decompressed) text, or row groups of a Parquet file, and
    `first_line` is the number of the line at `start`. In a run over many files, `slices` hold
    the rows to score, and `start` and `end` are 0.
    """

    run: str
    model: str
    unit: int
    start: int
    end: int
    first_row: int
    rows: int
    first_line: int = 1
    slices: tuple[FileSlice, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The pinned model, input and options of a run: plan.json, written once.

    `columns` is a CSV's header, `constants` are the features from a file's folders; in a run over
    many files, each has its own, in inputs.json. `keep` are the passthrough columns, with their
    names in the scores. `features` combines the files of stored features that the request names;
    history.json lists each of them. `max_refused` is the share of rows that may be refused,
    `owner` the API caller who requested the run, `traceparent` the run's W3C context if the caller
    sent one. Readers do not see a run that is a `trial`. `documents` is the SHA-256 of units.json,
    inputs.json and history.json, in whose folder they are: a planner of the same run that found
    other files writes elsewhere. Plans without it have them beside plan.json.
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
    max_refused: float = 1.0
    owner: str | None = None
    traceparent: str | None = None
    trial: bool = False
    documents: str | None = None

    @property
    def folder(self) -> RunPaths:
        return RunPaths(self.model, self.run)

    @property
    def units_key(self) -> str:
        return self.folder.document("units", self.documents)

    @property
    def inputs_key(self) -> str:
        return self.folder.document("inputs", self.documents)

    @property
    def history_key(self) -> str:
        return self.folder.document("history", self.documents)

    @property
    def layout(self) -> Layout:
        """The layout of the file, in a run over a single file."""
        return Layout(self.format, self.gzip, self.delimiter, self.columns)


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedPlan:
    """The reasons why a run is refused: plan.json of a run that scores nothing."""

    run: str
    model: str
    started: str
    code: str
    bucket: str
    key: str
    version_id: str | None
    refusals: tuple[str, ...]
    owner: str | None = None

    @property
    def folder(self) -> RunPaths:
        return RunPaths(self.model, self.run)


def dump(document: Any) -> bytes:
    """Encode a document as JSON: the same content gives the same bytes."""
    if dataclasses.is_dataclass(document) and not isinstance(document, type):
        document = dataclasses.asdict(document)
    return orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS) + b"\n"


def plan_from(body: bytes) -> Plan | RefusedPlan:
    """Parse a plan that `dump` wrote."""
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


def unit_from(item: Mapping[str, Any], *, lenient: bool = False) -> Unit:
    """Parse a unit from an item of units.json; if `lenient`, ignore unknown fields."""
    if lenient:
        known = {field.name for field in dataclasses.fields(Unit)}
        item = {name: value for name, value in item.items() if name in known}
    slices = tuple(FileSlice(**part) for part in item.get("slices", ()))
    return Unit(**{**item, "slices": slices})


#: the object metadata that names the run whose quarantined rows a file holds
REPLAY_OF = "quintet-replay-of"


def slug(text: str, most: int = 80) -> str:
    """`text` reduced to the characters that are valid in names of executions and folders."""
    safe = re.sub(r"[^A-Za-z0-9_-]+", "-", text).strip("-")
    return safe[:most].strip("-") or "unnamed"


def run_name(bucket: str, key: str, version: str) -> str:
    """The name of the run for one version of one object, the same for every starter."""
    model, _, rest = key.partition("/")
    stem = rest.rpartition("/")[2].partition(".")[0]
    return hashed_name(model, stem, (bucket, key, version))


def run_context(run: str, trace: str = "") -> str:
    """The W3C context of a run: the span that starts it, which its other spans are under.

    It depends on the name alone, so that a repeated start has the same input. `trace` is the id of
    the caller's trace, if there is one.
    """
    digest = hashlib.sha256(f"trace of {run}".encode()).hexdigest()
    return f"00-{trace or digest[:32]}-{digest[32:48]}-01"


def hashed_name(model: str, hint: str, parts: Iterable[str]) -> str:
    """A run's name: a readable prefix, made unique by a hash of `parts`.

    At most 74 characters, of the 80 that Step Functions allows:
    https://docs.aws.amazon.com/step-functions/latest/apireference/API_StartExecution.html
    """
    digest = hashlib.sha256("\n".join(parts).encode()).hexdigest()
    return f"{slug(model, 24)}-{slug(hint, 24)}-{digest[:24]}"


@dataclass(frozen=True, slots=True)
class RunPaths:
    """The paths of one run in the scores bucket."""

    model: str
    run: str

    @property
    def root(self) -> str:
        return f"runs/{slug(self.model)}/{self.run}/"

    @property
    def plan(self) -> str:
        return f"{self.root}plan.json"

    def document(self, name: str, documents: str | None) -> str:
        """One of a plan's documents; see `Plan.documents`."""
        folder = f"{self.root}planned/{documents}/" if documents else self.root
        return f"{folder}{name}.json"

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
    """The name of a unit's file; the names of several files sort in the order of writing."""
    return f"part-{unit:05d}" + (f"_{part:04d}" if part else "")
