"""The quarantine of a batch run: the rows it refused, and how to put them back into the inbox."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Protocol

import orjson

from quintet.batch.input_inspection import HEADER
from quintet.batch.input_listing import folders
from quintet.batch.outputs import FILE
from quintet.batch.planning import KEEP, OUTPUT
from quintet.batch.plans import REPLAY_OF, Plan, RunPaths, run_name
from quintet.batch.requests import passthrough_of
from quintet.batch.stores import InputBucket, MemoryInputBucket, ObjectStore
from quintet.errors import Refusal
from quintet.formats.quarantined import Quarantined, text_of
from quintet.replay.items import Pace, ReplayDepth, ReplayError, ReplayOutcome
from quintet.replay.marks import MarkObjects, Marks
from quintet.replay.quarantined_runs import QuarantinedRuns
from quintet.replay.row_files import Rebuilder

__all__ = ["MemoryReplayInbox", "ReplayInbox", "RowMark", "RunQuarantine"]

#: approximate bytes of rows per file; more rows become more files, each with its own run
MAX_BYTES = 64 << 20
#: with a rate limit, a file holds the rows of this many seconds
SECONDS = 60
#: S3's limit of a key in bytes, and about what it leaves for metadata besides our other fields:
#: https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingMetadata.html
MAX_KEY_BYTES = 1024
MAX_KEEP_BYTES = 1536


class ReplayInbox(Protocol):
    """The inbox that receives a replay's files; `bucket` is its name."""

    @property
    def bucket(self) -> str: ...

    def put_once(self, key: str, body: bytes, metadata: Mapping[str, str]) -> str:
        """Put an object unless its key exists; return the version id of the stored object."""
        ...


@dataclass(frozen=True)
class MemoryReplayInbox:
    """An inbox in memory."""

    inbox: MemoryInputBucket
    bucket: str

    def put_once(self, key: str, body: bytes, metadata: Mapping[str, str]) -> str:
        """See `ReplayInbox.put_once`."""
        if not (held := self.inbox.versions.get((self.bucket, key))):
            self.inbox.put(self.bucket, key, body, dict(metadata))
            held = self.inbox.versions[self.bucket, key]
        return str(held[-1][0].version_id)


@dataclass(frozen=True, slots=True)
class RefusedRow:
    """One quarantined row; `number` is its place in its file. `text` is None for a Parquet row.

    `file` is the key of its file if the run has many, `replay` the replay that put the row back.
    A row that is not `whole` cannot be part of any file.
    """

    file: str | None
    number: int
    text: bytes | None
    shown: str
    reasons: Sequence[Refusal]
    replay: str | None
    whole: bool

    def fits(self, wanted: str) -> bool:
        """Whether it fits `file=KEY`, `row=NUMBER`, `field=NAME`, or a text in it."""
        name, _, value = wanted.partition("=")
        if name == "file":
            return self.file == value
        if name == "row":
            return str(self.number) == value
        if name == "field":
            return any(reason.field == value for reason in self.reasons)
        return wanted in self.shown

    def stays(self, again: bool) -> bool:
        """Whether it was already put back (unless `again`), or cannot be part of any file."""
        return not self.whole or (self.replay is not None and not again)

    def lines(self) -> Sequence[str]:
        """Its number, the reasons for its refusal, and its content."""
        place = f"row {self.number}" if self.file is None else f"{self.file} row {self.number}"
        line = f"{place}  {'; '.join(map(str, self.reasons))}"
        if self.replay is not None:
            line += f"  (replayed before, by {self.replay})"
        if not self.whole:
            line += "  (cannot be replayed: it would make a whole file unreadable)"
        return line, f"  {self.shown}"


@dataclass(frozen=True, slots=True)
class RowMark:
    """The rows of a file that were put back, and the object that holds them.

    `version` is None until the object is put. `file` is their file's key in a run of many files.
    The mark is written before the object: if a replay is killed in between, the next one puts the
    object. The same rows make the same bytes, and the object is put only once.
    """

    replay: str
    key: str
    rows: Sequence[int]
    version: str | None = None
    file: str | None = None


@dataclass(frozen=True)
class RunQuarantine:
    """The quarantine of a run that has a report; see `ReplaySource`.

    `store` and `marked` are the scores bucket, `files` reads the run's own files, and `inbox`
    receives the new ones.
    """

    folder: RunPaths
    report: Mapping[str, Any]
    store: ObjectStore
    marked: MarkObjects
    files: InputBucket
    inbox: ReplayInbox
    noun: str = "rows"
    rate: float | None = None

    @property
    def name(self) -> str:
        """See `ReplaySource`."""
        return f"{self.folder.model}/{self.folder.run}"

    @property
    def destination(self) -> str:
        """See `ReplaySource`."""
        return f"s3://{self.inbox.bucket}/{self.folder.model}/"

    @property
    def about(self) -> str:
        """See `ReplaySource`; with the most frequent reason."""
        why = [f"{r['field']}: expected {r['expected']}" for r in self.report["reasons"][:1]]
        started = self.report["started"][:19].replace("T", " ")
        return "  ".join((started, self.report["input"]["key"], *why))

    def depth(self) -> ReplayDepth:
        """See `ReplaySource.depth`."""
        gone = len(self._replayed())
        rows = self.report["counts"]["quarantined"]
        return ReplayDepth(rows - gone, f"{gone:,} replayed" if gone else "")

    def items(self) -> Generator[RefusedRow, None, None]:
        """See `ReplaySource.items`.

        Raises:
            ReplayError: the rows are missing, or differ from those that the run wrote.
        """
        replayed = self._replayed()
        for found in self._refused():
            file, row, text = found.place.get(FILE), found.place["row"], _text(found)
            shown = orjson.dumps(found.original).decode() if text is None else text_of(text)
            whole = self._rebuilders[file].takes(text)
            replay = replayed.get((file, row))
            yield RefusedRow(file, row, text, shown, found.reasons, replay, whole)

    def send_back(
        self, wanted: Callable[[Any], bool], replay: str, pace: Pace
    ) -> Iterator[ReplayOutcome]:
        """See `ReplaySource.send_back`; the rows of a file become a file of the same format."""
        marks = self._marks.all()
        for number, mark in marks.items():
            if mark.version is None:
                yield self._finish(number, mark)
        number = max(marks, default=0)
        most = max(1, int(pace.rate * SECONDS)) if pace.rate else None
        chosen: list[RefusedRow] = []
        size = 0
        for row in self.items():
            if not wanted(row):
                yield ReplayOutcome(left=1)
                continue
            another = bool(chosen) and row.file != chosen[0].file
            if another or len(chosen) == most or size >= MAX_BYTES:
                number += 1
                yield self._send(number, chosen, replay, pace)
                chosen, size = [], 0
            chosen.append(row)
            size += len(row.shown)
        if chosen:
            yield self._send(number + 1, chosen, replay, pace)

    def _send(
        self, number: int, rows: Sequence[RefusedRow], replay: str, pace: Pace
    ) -> ReplayOutcome:
        pace.wait(len(rows))
        file = rows[0].file
        body = self._rebuilders[file].file((row.number, row.text) for row in rows)
        key = self._key(self._plans[file], f"replay-{replay}-{number}")
        mark = RowMark(replay, key, [row.number for row in rows], file=file)
        self._marks.claim(number, mark)
        return self._put(number, mark, body)

    def _key(self, plan: Plan, name: str) -> str:
        """The key of a file, below the folders from which the run read features."""
        read = plan.scope != "key" or REPLAY_OF in plan.input.metadata
        below = folders(plan.input.key) if read else []
        parts = (self.folder.model, "replays", self.folder.run, *below, f"{name}.{plan.format}")
        key = "/".join(parts)
        if len(key.encode()) > MAX_KEY_BYTES:
            raise ReplayError(
                f"S3 takes no key as long as that of a replay of {plan.input.key}; its rows stay"
            )
        return key

    def _finish(self, number: int, mark: RowMark) -> ReplayOutcome:
        """Put the file of a mark whose replay ended before it put the file."""
        rows = set(mark.rows)
        found = [
            (refused.place["row"], _text(refused))
            for refused in self._refused()
            if refused.place.get(FILE) == mark.file and refused.place["row"] in rows
        ]
        return self._put(number, mark, self._rebuilders[mark.file].file(found))

    def _put(self, number: int, mark: RowMark, body: bytes) -> ReplayOutcome:
        metadata = {REPLAY_OF: self.folder.run, **_metadata(self._plans[mark.file])}
        version = self.inbox.put_once(mark.key, body, metadata)
        self._marks.settle(number, replace(mark, version=version))
        run = run_name(self.inbox.bucket, mark.key, version)
        record = {"key": mark.key, "version_id": version, "run": run, "rows": [*mark.rows]}
        if mark.file is not None:
            record[FILE] = mark.file
        hint = f"follow it: quintet runs watch {self.folder.model} {run}"
        return ReplayOutcome(sent=len(mark.rows), record=record, hint=hint)

    def _replayed(self) -> dict[tuple[str | None, int], str]:
        """The replays of the rows that have a mark, by the rows' files and numbers."""
        marks = self._marks.all().values()
        return {(mark.file, row): mark.replay for mark in marks for row in mark.rows}

    @cached_property
    def _marks(self) -> Marks[RowMark]:
        def read(body: bytes) -> RowMark:
            return RowMark(**orjson.loads(body))

        return Marks(self.store, self.marked, self.folder.replays, read, self.name)

    def _refused(self) -> Iterator[Quarantined]:
        for file in self.report["files"]:
            if not file["key"].startswith(self.folder.quarantines):
                continue
            body = self.store.get(file["key"])
            if body is None or hashlib.sha256(body).hexdigest() != file["sha256"]:
                state = "gone" if body is None else "not what the run wrote"
                raise ReplayError(f"the quarantine of {self.name} is {state}: {file['key']}")
            yield from map(Quarantined.from_line, body.splitlines())

    @cached_property
    def _plans(self) -> Mapping[str | None, Plan]:
        return QuarantinedRuns(self.store).plans(self.folder)

    @cached_property
    def _rebuilders(self) -> Mapping[str | None, Rebuilder]:
        return {file: Rebuilder(plan, self.files) for file, plan in self._plans.items()}


def _text(refused: Quarantined) -> bytes | None:
    """The bytes of a row, without its line ending; None for a Parquet row."""
    return refused.original if isinstance(refused.original, bytes) else None


def _metadata(plan: Plan) -> dict[str, str]:
    """The metadata that requests scores in the same format as the original file's scores.

    A rebuilt CSV has a header, whatever the original and the model's other files have. Columns are
    passed through only if the metadata can hold their names.
    """
    asked: dict[str, str] = {OUTPUT: plan.output}
    if plan.format == "csv":
        asked[HEADER] = "first"
    pairs = [p for p in plan.keep if plan.format == "jsonl" or plan.columns.count(p[0]) == 1]
    text = ", ".join(f"{column}={name}" for column, name in pairs)
    if text.isascii() and len(text) <= MAX_KEEP_BYTES and passthrough_of(text) == dict(pairs):
        asked[KEEP] = text
    return asked
