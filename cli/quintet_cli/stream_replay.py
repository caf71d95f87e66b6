"""The places where a stream's refused records lie, and putting them back into the stream."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property, partial
from typing import Any

import orjson

from quintet_cli.refused import Depth, Outcome, Pace, Thing
from quintet_cli.replay_marks import Marks
from quintet_cli.stage import Stage, StageError
from quintet_cli.stream_lying import Bodies, Lying, Replayed, given_up, quarantined
from quintet_cli.stream_reader import FAILURES, QUARANTINE, StreamReader
from quintet_cli.stream_rows import alone
from quintet_cli.stream_sender import BATCH_RECORDS, Entry, Sender
from quintet_cli.stream_sunk import Sunk

__all__ = ["Mark", "Sent", "StreamPlace", "stream_places"]

#: what goes in one step, under one mark
MOST_BYTES = 4 << 20
#: the newest objects, up to so many and so many bytes, are counted for a listing
COUNTED = 1000
COUNTED_BYTES = 64 << 20
READERS = 8
#: a mark that was left unfinished is another replay's for so long
HOLD_SECONDS = 120
#: how far behind its mark a record may have come into the stream, and clocks may differ
REACH = timedelta(minutes=10)
SKEW = timedelta(seconds=5)
#: what a shard may be asked is five reads a second
READ_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Sent:
    """A record that was put back: the object it lies in, and its rows, None for all of it."""

    key: str
    shard: str
    sequence: str
    rows: Sequence[int] | None


@dataclass(frozen=True, slots=True)
class Mark:
    """What says that records were put back, `done` once that is so.

    It is written before they go. Where a replay is killed in between, the next one looks in the
    stream, from when the mark was first written, at `since`, for those that had gone.
    """

    replay: str
    records: Sequence[Sent]
    since: float | None = None
    done: bool = False

    @classmethod
    def read(cls, body: bytes) -> Mark:
        """A mark of its JSON."""
        found = orjson.loads(body)
        records = [Sent(**record) for record in found.pop("records")]
        return cls(records=records, **found)


@dataclass(frozen=True, slots=True)
class _Going:
    """A record about to go: what the mark says of it, how many things it stands for, itself."""

    sent: Sent
    things: int
    entry: Entry

    @classmethod
    def of(cls, chosen: Sequence[Lying]) -> _Going:
        """What is chosen of one record."""
        first = chosen[0]
        rows: Sequence[int] | None = None
        if first.goes is not None:
            rows = sorted({row for thing in chosen for row in thing.goes or ()})
        return cls._made(first, rows, len(chosen))

    @classmethod
    def again(cls, sent: Sent, there: Sequence[Lying]) -> _Going:
        """What a mark says of a record, of which all that lies there is given."""
        things = sum(sent.rows is None or thing.row in (None, *sent.rows) for thing in there)
        return cls._made(there[0], sent.rows, things)

    @classmethod
    def _made(cls, of: Lying, rows: Sequence[int] | None, things: int) -> _Going:
        data = of.data if rows is None else alone(of.data, rows, of.model)
        sent = Sent(of.key, of.shard, of.sequence, rows)
        return cls(sent, things, (of.partition_key, data))


@dataclass(frozen=True)
class StreamPlace:
    """Objects of the stream's bucket below `folder`, as `read` reads them; see `Place`."""

    name: str
    noun: str
    folder: str
    read: Callable[[Bodies, Replayed], Iterator[list[Lying]]]
    reader: StreamReader
    s3: Any
    kinesis: Any
    rate: float | None = 100
    hold: float = HOLD_SECONDS

    @property
    def source(self) -> str:
        """See `Place`."""
        return self.reader.name

    @property
    def about(self) -> str:
        """See `Place`."""
        return self.reader.name

    def depth(self) -> Depth:
        """See `Place.depth`; of the newest objects alone where there are many."""
        listed = self._listed()
        keys = sorted(_newest(listed))
        groups = self._groups(keys, self._marks.all())
        things = [thing for group in groups for thing in group]
        lying = sum(not thing.stays(again=False) for thing in things)
        replayed = sum(thing.replay is not None for thing in things)
        notes = [f"{replayed:,} replayed"] if replayed else []
        if nothing := len(things) - lying - replayed:
            notes.append(f"{nothing:,} with nothing left to send")
        if len(keys) < len(listed):
            notes.append(f"in the newest {len(keys):,} of {len(listed):,} objects")
        return Depth(lying, ", ".join(notes))

    def things(self) -> Generator[Lying, None, None]:
        """See `Place.things`; by key: by hour, or day, and shard."""
        for group in self._groups(self._keys(), self._marks.all()):
            yield from group

    def send_back(
        self, wanted: Callable[[Thing], bool], replay: str, pace: Pace
    ) -> Iterator[Outcome]:
        """See `Place.send_back`; what is wanted of one record as one record."""
        marks = self._marks.all()
        keys = self._keys()
        for number, mark in marks.items():
            if not mark.done:
                yield self._finished(number, mark, replay, pace)
        number = max(marks, default=0)
        most = min(BATCH_RECORDS, max(1, int(pace.rate))) if pace.rate else BATCH_RECORDS
        going: list[_Going] = []
        size = 0
        for group in self._groups(keys, marks):
            chosen = [thing for thing in group if wanted(thing)]
            if left := len(group) - len(chosen):
                yield Outcome(left=left)
            if not chosen:
                continue
            going.append(_Going.of(chosen))
            size += len(going[-1].entry[1])
            if len(going) == most or size >= MOST_BYTES:
                number += 1
                yield self._sent(number, going, replay, pace)
                going, size = [], 0
        if going:
            yield self._sent(number + 1, going, replay, pace)

    def _sent(self, number: int, going: Sequence[_Going], replay: str, pace: Pace) -> Outcome:
        pace.wait(len(going))
        mark = Mark(replay, [one.sent for one in going])
        self._marks.claim(number, mark)
        return self._put(number, mark, going, Counter())

    def _finished(self, number: int, mark: Mark, replay: str, pace: Pace) -> Outcome:
        """Put what a mark says, as far as its replay had not before it ended.

        Raises:
            StageError: that may be under way yet.
        """
        standing = self._marks.standing(number)
        if standing.age < self.hold:
            rest = self.hold - standing.age
            raise StageError(
                f"replay {mark.replay} of {self.name} is under way, or was killed: "
                f"in {rest:.0f} s the next one finishes it"
            )
        since = mark.since or standing.written.timestamp()
        mark = Mark(replay, mark.records, since)
        self._marks.take_over(number, mark, standing)
        by_place = {(sent.shard, sent.sequence): sent for sent in mark.records}
        # what was deleted since cannot be sent, and must not be in the way of the rest
        there = set(self._keys())
        keys = [key for key in dict.fromkeys(s.key for s in mark.records) if key in there]
        going = [
            _Going.again(by_place[place], group)
            for group in self._groups(keys, {})
            if (place := (group[0].shard, group[0].sequence)) in by_place
        ]
        pace.wait(len(going))
        gone = self._in_stream(Counter(one.entry for one in going), since)
        return self._put(number, mark, going, gone)

    def _put(
        self, number: int, mark: Mark, going: Sequence[_Going], gone: Counter[Entry]
    ) -> Outcome:
        """Put what had not gone before, and say so on the mark."""
        missing = []
        for one in going:
            if gone[one.entry]:
                gone[one.entry] -= 1
            else:
                missing.append(one.entry)
        for _ in Sender(self.kinesis, self.reader.name).send(missing):
            pass
        self._marks.settle(number, Mark(mark.replay, mark.records, mark.since, done=True))
        records = [
            {"key": s.key, "sequence": s.sequence, "rows": s.rows and [*s.rows]}
            for s in mark.records
        ]
        record = {"mark": f"{self._marks.root}{number:05d}.json", "records": records}
        return Outcome(sent=sum(one.things for one in going), record=record)

    def _in_stream(self, wanted: Counter[Entry], since: float) -> Counter[Entry]:
        """Those of the records that came into the stream after a moment, until they all did."""
        begin = datetime.fromtimestamp(since, UTC) - SKEW
        found: Counter[Entry] = Counter()
        for shard in self.reader.shards():
            place = {"StreamName": self.reader.name, "ShardId": shard["ShardId"]}
            iterator = self.kinesis.get_shard_iterator(
                **place, ShardIteratorType="AT_TIMESTAMP", Timestamp=begin
            )["ShardIterator"]
            while iterator and found != wanted:
                got = self.kinesis.get_records(ShardIterator=iterator)
                for record in got["Records"]:
                    entry = (record["PartitionKey"], record["Data"])
                    if found[entry] < wanted[entry]:
                        found[entry] += 1
                last = got["Records"][-1:]
                late = last and last[0]["ApproximateArrivalTimestamp"] > begin + REACH
                if late or not got.get("MillisBehindLatest"):
                    break
                iterator = got.get("NextShardIterator")
                time.sleep(READ_SECONDS)
        return found

    @cached_property
    def _marks(self) -> Marks[Mark]:
        root = f"replays/{self.name}/"
        return Marks(self.s3, self.reader.bucket, root, Mark.read, self.name)

    def _listed(self) -> list[dict[str, Any]]:
        pages = self.s3.get_paginator("list_objects_v2")
        return [
            found
            for page in pages.paginate(Bucket=self.reader.bucket, Prefix=self.folder)
            for found in page.get("Contents", [])
        ]

    def _keys(self) -> list[str]:
        return [found["Key"] for found in self._listed()]

    def _groups(self, keys: Sequence[str], marks: Mapping[int, Mark]) -> Iterator[list[Lying]]:
        """What lies in objects, record by record."""
        return self.read(self._bodies(keys), _replayed(marks))

    def _bodies(self, keys: Sequence[str]) -> Bodies:
        with ThreadPoolExecutor(READERS) as pool:
            for start in range(0, len(keys), READERS):
                some = keys[start : start + READERS]
                yield from zip(some, pool.map(self.reader.body, some), strict=True)


def _newest(listed: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """The keys of the newest objects, as many as are counted for a listing."""
    size = 0
    newest = sorted(listed, key=lambda found: found["LastModified"], reverse=True)
    for found in newest[:COUNTED]:
        yield found["Key"]
        size += found["Size"]
        if size >= COUNTED_BYTES:
            return


def _replayed(marks: Mapping[int, Mark]) -> Replayed:
    found: dict[tuple[str, str], dict[int | None, str]] = {}
    for mark in marks.values():
        for sent in mark.records:
            for row in (None,) if sent.rows is None else sent.rows:
                found.setdefault((sent.shard, sent.sequence), {})[row] = mark.replay
    return found


def stream_places(stage: Stage) -> list[StreamPlace]:
    """The stream's quarantine, and what Lambda gave up of it; none where a stage has no stream."""
    if "StreamBucketName" not in stage.outputs:
        return []
    reader, s3, kinesis = StreamReader(stage), stage.client("s3"), stage.client("kinesis")
    given = partial(given_up, Sunk(reader))
    return [
        StreamPlace("StreamQuarantine", "rows", QUARANTINE, quarantined, reader, s3, kinesis),
        StreamPlace("StreamFailures", "records", FAILURES, given, reader, s3, kinesis),
    ]
