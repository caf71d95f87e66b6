"""The quarantine of a batch run: the rows it refused, and putting them back into the inbox."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import orjson
from botocore.exceptions import ClientError

from quintet.aws.blobs import S3Inbox
from quintet.batch.planning import OUTPUT
from quintet.batch.runs import REPLAY_OF, Folder, Plan, run_name
from quintet_cli.refused import Depth, Outcome, Pace, Thing
from quintet_cli.replay_files import Rebuilder, text_of
from quintet_cli.replay_marks import TAKEN, Marks
from quintet_cli.run_reader import RunReader
from quintet_cli.stage import StageError

__all__ = ["Mark", "RefusedRow", "RunQuarantine"]

#: about how much of rows one file holds: what is more goes as more files, each a run of its own
MOST_BYTES = 64 << 20
#: with a rate, a file holds the rows of so many seconds
SECONDS = 60


@dataclass(frozen=True, slots=True)
class RefusedRow:
    """One quarantined row; `number` counts in the run's file. `text` is None for one of Parquet.

    `replay` is the replay that put it back. No file may hold a row that is not `whole`.
    """

    number: int
    text: bytes | None
    shown: str
    reasons: Sequence[Mapping[str, str]]
    replay: str | None
    whole: bool

    def fits(self, wanted: str) -> bool:
        """Whether it fits `row=NUMBER`, `field=NAME` of a reason, or a text that it holds."""
        name, _, value = wanted.partition("=")
        if name == "row":
            return str(self.number) == value
        if name == "field":
            return any(reason["field"] == value for reason in self.reasons)
        return wanted in self.shown

    def stays(self, again: bool) -> bool:
        """Once it was put back, unless it is to go again; and if no file may hold it."""
        return not self.whole or (self.replay is not None and not again)

    def lines(self) -> Sequence[str]:
        """Its number, why it was refused, and itself."""
        reasons = (f"{r['field']}: expected {r['expected']}, got {r['got']}" for r in self.reasons)
        line = f"row {self.number}  {'; '.join(reasons)}"
        if self.replay is not None:
            line += f"  (replayed before, by {self.replay})"
        if not self.whole:
            line += "  (cannot be replayed: it would make a whole file unreadable)"
        return line, f"  {self.shown}"


@dataclass(frozen=True, slots=True)
class Mark:
    """What says that rows were put back, as which object. Its `version` is None until that is so.

    It is written before the object: where a replay is killed in between, the next one does what
    the mark says. The same rows make the same bytes, and the object is put only once.
    """

    replay: str
    key: str
    rows: Sequence[int]
    version: str | None = None


@dataclass(frozen=True)
class RunQuarantine:
    """The quarantine of a run that has a report; see `Place`."""

    folder: Folder
    report: Mapping[str, Any]
    reader: RunReader
    s3: Any
    inbox: str
    noun: str = "rows"
    rate: float | None = None

    @property
    def name(self) -> str:
        """See `Place`."""
        return f"{self.folder.model}/{self.folder.run}"

    @property
    def source(self) -> str:
        """See `Place`."""
        return f"s3://{self.inbox}/{self.folder.model}/"

    @property
    def about(self) -> str:
        """See `Place`; with the reason that most rows were refused for."""
        why = [f"{r['field']}: expected {r['expected']}" for r in self.report["reasons"][:1]]
        started = self.report["started"][:19].replace("T", " ")
        return "  ".join((started, self.report["input"]["key"], *why))

    def depth(self) -> Depth:
        """See `Place.depth`."""
        gone = len({row for mark in self._marks.all().values() for row in mark.rows})
        rows = self.report["counts"]["quarantined"]
        return Depth(rows - gone, f"{gone:,} replayed" if gone else "")

    def things(self) -> Generator[RefusedRow, None, None]:
        """See `Place.things`.

        Raises:
            StageError: the rows are gone, or not those that the run wrote.
        """
        replayed = {row: mark.replay for mark in self._marks.all().values() for row in mark.rows}
        for line in self._lines():
            text = text_of(line)
            yield RefusedRow(
                line["row"],
                text,
                line["text"] if text is not None else orjson.dumps(line["record"]).decode(),
                line["reasons"],
                replayed.get(line["row"]),
                self._rebuilder.takes(text),
            )

    def send_back(
        self, wanted: Callable[[Thing], bool], replay: str, pace: Pace
    ) -> Iterator[Outcome]:
        """See `Place.send_back`; as files, in the form that the run's own file had."""
        marks = self._marks.all()
        for number, mark in marks.items():
            if mark.version is None:
                yield self._finished(number, mark)
        number = max(marks, default=0)
        most = max(1, int(pace.rate * SECONDS)) if pace.rate else None
        chosen: list[RefusedRow] = []
        size = 0
        for row in self.things():
            if not wanted(row):
                yield Outcome(left=1)
                continue
            chosen.append(row)
            size += len(row.shown)
            if len(chosen) == most or size >= MOST_BYTES:
                number += 1
                yield self._sent(number, chosen, replay, pace)
                chosen, size = [], 0
        if chosen:
            yield self._sent(number + 1, chosen, replay, pace)

    def _sent(self, number: int, rows: Sequence[RefusedRow], replay: str, pace: Pace) -> Outcome:
        pace.wait(len(rows))
        body = self._rebuilder.file((row.number, row.text) for row in rows)
        name = f"replays/{self.folder.run}/replay-{replay}-{number}.{self._plan.format}"
        key = f"{self.folder.model}/{name}"
        mark = Mark(replay, key, [row.number for row in rows])
        self._marks.claim(number, mark)
        return self._put(number, mark, body)

    def _finished(self, number: int, mark: Mark) -> Outcome:
        """Put the file of a mark whose replay ended before it had."""
        rows = set(mark.rows)
        found = [(line["row"], text_of(line)) for line in self._lines() if line["row"] in rows]
        return self._put(number, mark, self._rebuilder.file(found))

    def _put(self, number: int, mark: Mark, body: bytes) -> Outcome:
        metadata = {REPLAY_OF: self.folder.run, OUTPUT: self._plan.output}
        place = {"Bucket": self.inbox, "Key": mark.key}
        try:
            put = self.s3.put_object(**place, Body=body, Metadata=metadata, IfNoneMatch="*")
        except ClientError as error:
            if error.response["Error"]["Code"] not in TAKEN:
                raise
            put = self.s3.head_object(**place)
        version = put["VersionId"]
        self._marks.settle(number, replace(mark, version=version))
        run = run_name(self.inbox, mark.key, version)
        record = {"key": mark.key, "version_id": version, "run": run, "rows": [*mark.rows]}
        told = f"follow it: quintet runs watch {self.folder.model} {run}"
        return Outcome(sent=len(mark.rows), record=record, told=told)

    @cached_property
    def _marks(self) -> Marks[Mark]:
        return Marks(
            self.s3,
            self.reader.bucket,
            self.folder.replays,
            lambda body: Mark(**orjson.loads(body)),
            self.name,
        )

    def _lines(self) -> Iterator[dict[str, Any]]:
        for file in self.report["files"]:
            if not file["key"].startswith(self.folder.quarantines):
                continue
            body = self.reader.store.get(file["key"])
            if body is None or hashlib.sha256(body).hexdigest() != file["sha256"]:
                state = "gone" if body is None else "not what the run wrote"
                raise StageError(f"the quarantine of {self.name} is {state}: {file['key']}")
            yield from map(orjson.loads, body.splitlines())

    @cached_property
    def _plan(self) -> Plan:
        plan = self.reader.plan(self.folder)
        if not isinstance(plan, Plan):
            raise StageError(f"run {self.folder.run} has no plan any more; its rows stay")
        return plan

    @cached_property
    def _rebuilder(self) -> Rebuilder:
        return Rebuilder(self._plan, S3Inbox(self.s3))
