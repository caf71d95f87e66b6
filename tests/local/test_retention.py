"""Records of a stream are kept as long as the stream says."""

from __future__ import annotations

from typing import Any

from moto.kinesis.models import Stream

from quintet_local import streams

HOUR = 3600


def stream_of(hours: int) -> Any:
    """A stream with two shards of the local AWS."""
    kind: Any = Stream  # abstract to mypy alone
    stream = kind("s", 2, None, hours, "123456789012", "us-east-1")
    half = 2**127
    stream.shards = {
        shard.shard_id: shard
        for shard in (streams.Shard(0, 0, half - 1), streams.Shard(1, half, 2**128 - 1))
    }
    return stream


def put(stream: Any, data: str, shard: int = 0) -> str:
    return streams.put_record(stream, "key", str(shard * 2**127), data)[0]


def age(shard: Any, seconds: float) -> None:
    """Let all records of a shard have arrived so many seconds earlier."""
    for record in shard.records.values():
        record.created_at -= seconds


def test_records_past_the_retention_are_dropped_from_every_shard() -> None:
    stream = stream_of(24)
    first, other = stream.shards.values()
    put(stream, "old")
    put(stream, "of another shard", shard=1)
    for shard in (first, other):
        age(shard, 25 * HOUR)
    kept = put(stream, "young")
    age(first, 23 * HOUR)
    put(stream, "new")
    found, last, _ = first.get_records("0", None)
    assert [record.data for record in found] == ["young", "new"]
    assert (first.get_records(kept, None)[0], last) == (found[1:], found[1].sequence_number)
    assert other.get_records("0", None)[0] == []


def test_a_shard_without_records_keeps_its_place() -> None:
    stream = stream_of(24)
    first, _ = stream.shards.values()
    begin = first.get_min_sequence_number()
    put(stream, "old")
    age(first, 25 * HOUR)
    put(stream, "elsewhere", shard=1)
    assert (first.get_records("0", None)[0], first.get_min_sequence_number()) == ([], begin)
    number = put(stream, "new")
    assert [r.data for r in first.get_records(str(begin), None)[0]] == ["new"]
    assert int(number) == first.get_max_sequence_number()


def test_a_longer_retention_keeps_them() -> None:
    stream = stream_of(48)
    first, _ = stream.shards.values()
    put(stream, "old")
    age(first, 25 * HOUR)
    put(stream, "new")
    assert [r.data for r in first.get_records("0", None)[0]] == ["old", "new"]
