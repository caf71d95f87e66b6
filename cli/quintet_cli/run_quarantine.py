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
from quintet.batch.input_listing import folders
from quintet.batch.inputs import plan_of, sources_from
from quintet.batch.outputs import FILE
from quintet.batch.planning import KEEP, OUTPUT
from quintet.batch.plans import Plan
from quintet.batch.requests import passthrough_of
from quintet.batch.run_paths import REPLAY_OF, RunPaths, run_name
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
#: bytes that S3 takes in a key, and about what it takes in metadata beside the rest of ours:
#: https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingMetadata.html
LONGEST_KEY = 1024
LONGEST_KEEP = 1536


@dataclass(frozen=True, slots=True)
class RefusedRow:
    """One quarantined row; `number` counts in its file. `text` is None for one of Parquet.

    `file` is the file's key where the run has many, `replay` the replay that put the row back.
    No file may hold a row that is not `whole`.
    """

    file: str | None
    number: int
    text: bytes | None
    shown: str
    reasons: Sequence[Mapping[str, str]]
    replay: str | None
    whole: bool

    def fits(self, wanted: str) -> bool:
        """Whether it fits `file=KEY`, `row=NUMBER`, `field=NAME`, or a text that it holds."""
        name, _, value = wanted.partition("=")
        if name == "file":
            return self.file == value
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
        place = f"row {self.number}" if self.file is None else f"{self.file} row {self.number}"
        line = f"{place}  {'; '.join(reasons)}"
        if self.replay is not None:
            line += f"  (replayed before, by {self.replay})"
        if not self.whole:
            line += "  (cannot be replayed: it would make a whole file unreadable)"
        return line, f"  {self.shown}"


@dataclass(frozen=True, slots=True)
class Mark:
    """What says that rows of a file were put back, as which object.

    Its `version` is None until that is so. `file` is the key of their file in a run of many.

    It is written before the object: where a replay is killed in between, the next one does what
    the mark says. The same rows make the same bytes, and the object is put only once.
    """

    replay: str
    key: str
    rows: Sequence[int]
    version: str | None = None
    file: str | None = None


@dataclass(frozen=True)
class RunQuarantine:
    """The quarantine of a run that has a report; see `Place`."""

    folder: RunPaths
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
        gone = len(self._replayed())
        rows = self.report["counts"]["quarantined"]
        return Depth(rows - gone, f"{gone:,} replayed" if gone else "")

    def things(self) -> Generator[RefusedRow, None, None]:
        """See `Place.things`.

        Raises:
            StageError: the rows are gone, or not those that the run wrote.
        """
        replayed = self._replayed()
        for line in self._lines():
            text, file = text_of(line), line.get(FILE)
            yield RefusedRow(
                file,
                line["row"],
                text,
                line["text"] if text is not None else orjson.dumps(line["record"]).decode(),
                line["reasons"],
                replayed.get((file, line["row"])),
                self._rebuilders[file].takes(text),
            )

    def send_back(
        self, wanted: Callable[[Thing], bool], replay: str, pace: Pace
    ) -> Iterator[Outcome]:
        """See `Place.send_back`; as files, each of rows of one file and in the form that it had."""
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
            another = bool(chosen) and row.file != chosen[0].file
            if another or len(chosen) == most or size >= MOST_BYTES:
                number += 1
                yield self._sent(number, chosen, replay, pace)
                chosen, size = [], 0
            chosen.append(row)
            size += len(row.shown)
        if chosen:
            yield self._sent(number + 1, chosen, replay, pace)

    def _sent(self, number: int, rows: Sequence[RefusedRow], replay: str, pace: Pace) -> Outcome:
        pace.wait(len(rows))
        file = rows[0].file
        body = self._rebuilders[file].file((row.number, row.text) for row in rows)
        key = self._key(self._plans[file], f"replay-{replay}-{number}")
        mark = Mark(replay, key, [row.number for row in rows], file=file)
        self._marks.claim(number, mark)
        return self._put(number, mark, body)

    def _key(self, plan: Plan, name: str) -> str:
        """Where a replay of a file goes: below the folders that the run has read features of."""
        read = plan.scope != "key" or REPLAY_OF in plan.input.metadata
        below = folders(plan.input.key) if read else []
        parts = (self.folder.model, "replays", self.folder.run, *below, f"{name}.{plan.format}")
        key = "/".join(parts)
        if len(key.encode()) > LONGEST_KEY:
            raise StageError(
                f"S3 takes no key as long as that of a replay of {plan.input.key}; its rows stay"
            )
        return key

    def _finished(self, number: int, mark: Mark) -> Outcome:
        """Put the file of a mark whose replay ended before it had."""
        rows = set(mark.rows)
        found = [
            (line["row"], text_of(line))
            for line in self._lines()
            if line.get(FILE) == mark.file and line["row"] in rows
        ]
        return self._put(number, mark, self._rebuilders[mark.file].file(found))

    def _put(self, number: int, mark: Mark, body: bytes) -> Outcome:
        metadata = {REPLAY_OF: self.folder.run, **_asked(self._plans[mark.file])}
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
        if mark.file is not None:
            record[FILE] = mark.file
        told = f"follow it: quintet runs watch {self.folder.model} {run}"
        return Outcome(sent=len(mark.rows), record=record, told=told)

    def _replayed(self) -> dict[tuple[str | None, int], str]:
        """The replays of the rows that have a mark, by the rows' files and numbers."""
        marks = self._marks.all().values()
        return {(mark.file, row): mark.replay for mark in marks for row in mark.rows}

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
    def _plans(self) -> Mapping[str | None, Plan]:
        """The plan of each file, by its key; by None where the run has one file."""
        plan = self._plan
        if plan.scope == "key":
            return {None: plan}
        body = self.reader.store.get(self.folder.inputs)
        if body is None:
            raise StageError(f"run {plan.run} has no inputs.json any more; its rows stay")
        found: dict[str | None, Plan] = {}
        for source in sources_from(body, range(plan.files)).values():
            if source.input.key in found:
                raise StageError(
                    f"run {plan.run} has files {source.input.key} of two buckets, and its "
                    "quarantine does not tell them apart; its rows stay"
                )
            found[source.input.key] = plan_of(plan, source)
        return found

    @cached_property
    def _rebuilders(self) -> Mapping[str | None, Rebuilder]:
        inbox = S3Inbox(self.s3)
        return {file: Rebuilder(plan, inbox) for file, plan in self._plans.items()}


def _asked(plan: Plan) -> dict[str, str]:
    """The metadata that asks for scores of the form that those of a file have.

    Kept columns whose names metadata cannot say are not asked for.
    """
    asked: dict[str, str] = {OUTPUT: plan.output}
    pairs = [p for p in plan.keep if plan.format == "jsonl" or plan.columns.count(p[0]) == 1]
    text = ", ".join(f"{column}={name}" for column, name in pairs)
    if text.isascii() and len(text) <= LONGEST_KEEP and passthrough_of(text) == dict(pairs):
        asked[KEEP] = text
    return asked
