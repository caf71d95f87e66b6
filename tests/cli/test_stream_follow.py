"""`quintet stream send --follow`: when all that was sent was seen."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from quintet_cli.stage import StageError
from quintet_cli.stream_follow import follow_sent
from quintet_cli.stream_reader import Scored
from quintet_cli.stream_tail import Refused, Seen


class Looks:
    """What each look sees; each of the last `alerts` looks awaits an alert still."""

    def __init__(self, *looks: list[Seen], alerts: int = 0) -> None:
        self.left = list(looks)
        self.alerts = alerts

    @property
    def awaits_alerts(self) -> bool:
        return 0 < len(self.left) <= self.alerts

    def look(self, now: float) -> Iterator[Seen]:
        yield from self.left.pop(0) if self.left else []


def scored(shard: int, *numbers: int) -> Seen:
    key = f"predictions/m/date=2026-12-01/hour=07/events.of.us.shardId-{shard:03}-{7:056}.parquet"
    return Scored(key, "m", {"sequence": [f"{number:056}" for number in numbers]})


def refused(shard: int, number: int) -> Seen:
    key = f"quarantine/date=2026-12-01/hour=07/events.of.us.shardId-{shard:03}-{7:056}.jsonl"
    return Refused(key, [{"sequence": f"{number:056}"}])


LAST = {"shardId-000": 9, "shardId-001": 4}


def test_it_ends_when_the_last_record_of_each_shard_was_scored_or_refused() -> None:
    looks = Looks([scored(0, 7, 8)], [scored(1, 4)], [scored(0)], [refused(0, 9)], [scored(0, 10)])
    found = list(follow_sent(looks, LAST, sleep=lambda _: None))
    assert (len(found), len(looks.left)) == (4, 1)


def test_a_later_record_of_the_shard_says_that_the_last_was_a_repeat() -> None:
    looks = Looks([scored(0, 10)], [scored(1, 3)], [scored(1, 5)], [])
    assert len(list(follow_sent(looks, LAST, sleep=lambda _: None))) == 3


def test_alerts_of_what_was_seen_are_awaited() -> None:
    looks = Looks([scored(0, 9), scored(1, 4)], [], [], [], alerts=3)
    list(follow_sent(looks, LAST, sleep=lambda _: None))
    assert looks.left == []


def test_a_minute_in_which_nothing_is_seen_is_told() -> None:
    now = iter(range(0, 1_000, 10))
    looks = Looks([], [], [scored(1, 4)])
    told = r"nothing was seen for 60 s, and not the last record of shardId-000: "
    with pytest.raises(StageError, match=told) as stuck:
        list(follow_sent(looks, LAST, clock=lambda: next(now), sleep=lambda _: None))
    assert stuck.value.command == "quintet stream status"
