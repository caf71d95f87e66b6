"""A stream's refused records, and how to send them back into the stream."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

from quintet.batch.stores import ObjectStore
from quintet.replay.items import Pace, ReplayDepth, ReplayError, ReplayOutcome
from quintet.replay.marks import MarkObjects, Marks
from quintet.replay.sink_index import SinkIndex
from quintet.replay.stream_marks import Outgoing, RecordMark, replayed_by
from quintet.replay.stream_objects import (
    FAILURES,
    QUARANTINE,
    Entry,
    EventStream,
    StreamObject,
    StreamObjects,
)
from quintet.replay.stream_records import (
    Bodies,
    QuarantinedRecord,
    Replayed,
    given_up,
    quarantined,
)

__all__ = ["StreamQuarantine", "stream_quarantines"]

#: limits of one step, under one mark: records and bytes
MAX_RECORDS = 500
MAX_BYTES = 4 << 20
#: `depth` counts only the newest objects, up to these numbers of objects and bytes
MAX_COUNTED = 1000
MAX_COUNTED_BYTES = 64 << 20
READERS = 8
#: how many seconds an unfinished mark belongs to the replay that wrote it
HOLD_SECONDS = 120


@dataclass(frozen=True)
class StreamQuarantine:
    """Objects of the stream bucket below `folder`, read by `parse`; see `ReplaySource`.

    `store` and `marked` are the same bucket, which also holds the marks.
    """

    name: str
    noun: str
    folder: str
    parse: Callable[[Bodies, Replayed], Iterator[list[QuarantinedRecord]]]
    objects: StreamObjects
    store: ObjectStore
    marked: MarkObjects
    stream: EventStream
    rate: float | None = 100
    hold: float = HOLD_SECONDS

    @property
    def destination(self) -> str:
        """See `ReplaySource`."""
        return self.stream.name

    @property
    def about(self) -> str:
        """See `ReplaySource`."""
        return self.stream.name

    def depth(self) -> ReplayDepth:
        """See `ReplaySource.depth`; if there are many objects, it counts only the newest."""
        listed = self.objects.list(self.folder)
        keys = sorted(_newest(listed))
        groups = self._groups(keys, self._marks.all())
        items = [item for group in groups for item in group]
        waiting = sum(not item.stays(again=False) for item in items)
        replayed = sum(item.replay is not None for item in items)
        notes = [f"{replayed:,} replayed"] if replayed else []
        if nothing := len(items) - waiting - replayed:
            notes.append(f"{nothing:,} with nothing left to send")
        if len(keys) < len(listed):
            notes.append(f"in the newest {len(keys):,} of {len(listed):,} objects")
        return ReplayDepth(waiting, ", ".join(notes))

    def items(self) -> Generator[QuarantinedRecord, None, None]:
        """See `ReplaySource.items`; ordered by key: by hour, or day, and shard."""
        for group in self._groups(self._keys(), self._marks.all()):
            yield from group

    def send_back(
        self, wanted: Callable[[Any], bool], replay: str, pace: Pace
    ) -> Iterator[ReplayOutcome]:
        """See `ReplaySource.send_back`; the wanted items of a record are sent as one record."""
        marks = self._marks.all()
        keys = self._keys()
        for number, mark in marks.items():
            if not mark.done:
                yield self._finish(number, mark, pace)
        number = max(marks, default=0)
        most = min(MAX_RECORDS, max(1, int(pace.rate))) if pace.rate else MAX_RECORDS
        going: list[Outgoing] = []
        size = 0
        for group in self._groups(keys, marks):
            chosen = [item for item in group if wanted(item)]
            if left := len(group) - len(chosen):
                yield ReplayOutcome(left=left)
            if not chosen:
                continue
            going.append(Outgoing.of(chosen))
            size += len(going[-1].entry[1])
            if len(going) == most or size >= MAX_BYTES:
                number += 1
                yield self._send(number, going, replay, pace)
                going, size = [], 0
        if going:
            yield self._send(number + 1, going, replay, pace)

    def _send(
        self, number: int, going: Sequence[Outgoing], replay: str, pace: Pace
    ) -> ReplayOutcome:
        pace.wait(len(going))
        mark = RecordMark(replay, [one.marked for one in going])
        self._marks.claim(number, mark)
        return self._put(number, mark, going, Counter())

    def _finish(self, number: int, mark: RecordMark, pace: Pace) -> ReplayOutcome:
        """Send the records of a mark that its replay did not send before it ended.

        Raises:
            ReplayError: that replay may still be running.
        """
        version = self._marks.version(number)
        if version.age < self.hold:
            rest = self.hold - version.age
            raise ReplayError(
                f"replay {mark.replay} of {self.name} is under way, or was killed: "
                f"in {rest:.0f} s the next one finishes it"
            )
        since = mark.since or version.written
        mark = RecordMark(mark.replay, mark.records, since)
        self._marks.take_over(number, mark, version)
        by_place = {(marked.shard, marked.sequence): marked for marked in mark.records}
        # records that have been deleted cannot be sent, and must not block the others
        there = set(self._keys())
        keys = [key for key in dict.fromkeys(m.key for m in mark.records) if key in there]
        going = [
            Outgoing.again(by_place[place], group)
            for group in self._groups(keys, {})
            if (place := (group[0].shard, group[0].sequence)) in by_place
        ]
        pace.wait(len(going))
        gone = self._in_stream(Counter(one.entry for one in going), since)
        return self._put(number, mark, going, gone)

    def _put(
        self, number: int, mark: RecordMark, going: Sequence[Outgoing], gone: Counter[Entry]
    ) -> ReplayOutcome:
        """Send the records that were not sent before, then settle the mark."""
        missing = []
        for one in going:
            if gone[one.entry]:
                gone[one.entry] -= 1
            else:
                missing.append(one.entry)
        self.stream.put(missing)
        self._marks.settle(number, RecordMark(mark.replay, mark.records, mark.since, done=True))
        records = [
            {"key": m.key, "sequence": m.sequence, "rows": m.rows and [*m.rows]}
            for m in mark.records
        ]
        record = {"mark": self._marks.key(number), "records": records}
        return ReplayOutcome(sent=sum(one.items for one in going), record=record)

    def _in_stream(self, wanted: Counter[Entry], since: float) -> Counter[Entry]:
        """The records among `wanted` that have arrived in the stream since `since`."""
        found: Counter[Entry] = Counter()
        if not wanted:
            return found
        for entry in self.stream.since(since):
            if found[entry] < wanted[entry]:
                found[entry] += 1
                if found == wanted:
                    break
        return found

    @cached_property
    def _marks(self) -> Marks[RecordMark]:
        root = f"replays/{self.name}/"
        return Marks(self.store, self.marked, root, RecordMark.read, self.name)

    def _keys(self) -> list[str]:
        return [found.key for found in self.objects.list(self.folder)]

    def _groups(
        self, keys: Sequence[str], marks: Mapping[int, RecordMark]
    ) -> Iterator[list[QuarantinedRecord]]:
        """The items of objects, grouped by record."""
        return self.parse(self._bodies(keys), replayed_by(marks.values()))

    def _bodies(self, keys: Sequence[str]) -> Bodies:
        with ThreadPoolExecutor(READERS) as pool:
            for start in range(0, len(keys), READERS):
                some = keys[start : start + READERS]
                yield from zip(some, pool.map(self.objects.read, some), strict=True)


def _newest(listed: Sequence[StreamObject]) -> Iterator[str]:
    """The keys of the newest objects, as many as `depth` counts."""
    size = 0
    newest = sorted(listed, key=lambda found: found.written, reverse=True)
    for found in newest[:MAX_COUNTED]:
        yield found.key
        size += found.size
        if size >= MAX_COUNTED_BYTES:
            return


def stream_quarantines(
    objects: StreamObjects, store: ObjectStore, marked: MarkObjects, stream: EventStream
) -> list[StreamQuarantine]:
    """The stream's quarantine, and the records that Lambda gave up."""
    failed = partial(given_up, SinkIndex(objects, stream.name))
    place = (objects, store, marked, stream)
    return [
        StreamQuarantine("StreamQuarantine", "rows", QUARANTINE, quarantined, *place),
        StreamQuarantine("StreamFailures", "records", FAILURES, failed, *place),
    ]
