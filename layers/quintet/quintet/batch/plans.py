"""A batch run: its name, where its documents and results are, its plan, its units."""

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
    "run_name",
    "slug",
    "unit_from",
]

#: how a run names its input: one object, all under a prefix, or those that a manifest lists
Scope = Literal["key", "prefix", "manifest"]


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
    first_line: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """A slice of a run's input that one invocation scores: an item of units.json.

    `start` and `end` are bytes of the (unpacked) text, or row groups of a Parquet file, and
    `first_line` is the number of the line at `start`. Where the run has many files, `slices` say
    what is scored, and `start` and `end` are 0.
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
    """What a run was pinned to: plan.json, written once.

    `columns` is a CSV's header, `constants` are the features that a file's folders say; each of
    many files has its own, in inputs.json. `keep` are the columns of the input that scores keep,
    with their names there. `features` are the files of stored features that the request names, as
    one; each is in history.json. `max_refused` is the share of rows that may be refused,
    `owner` the caller of the API who asked for the run.
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

    @property
    def folder(self) -> RunPaths:
        return RunPaths(self.model, self.run)

    @property
    def layout(self) -> Layout:
        """How the only file of a run over one is written."""
        return Layout(self.format, self.gzip, self.delimiter, self.columns)


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
    owner: str | None = None

    @property
    def folder(self) -> RunPaths:
        return RunPaths(self.model, self.run)


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


def unit_from(item: Mapping[str, Any], *, lenient: bool = False) -> Unit:
    """A unit as an item of units.json says it; if `lenient`, without its unknown fields."""
    if lenient:
        known = {field.name for field in dataclasses.fields(Unit)}
        item = {name: value for name, value in item.items() if name in known}
    slices = tuple(FileSlice(**part) for part in item.get("slices", ()))
    return Unit(**{**item, "slices": slices})


#: the object metadata that names the run whose quarantined rows a file holds
REPLAY_OF = "quintet-replay-of"


def slug(text: str, most: int = 80) -> str:
    """`text` in the characters that names of executions and folders may hold."""
    safe = re.sub(r"[^A-Za-z0-9_-]+", "-", text).strip("-")
    return safe[:most].strip("-") or "unnamed"


def run_name(bucket: str, key: str, version: str) -> str:
    """The name of the run that scores one version of one object, whoever starts it."""
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
class RunPaths:
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
