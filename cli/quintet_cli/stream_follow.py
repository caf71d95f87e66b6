"""Follow what was just sent to a stream, until all of it is scored or refused."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Protocol

from quintet_cli.stage import StageError
from quintet_cli.stream_reader import Scored
from quintet_cli.stream_tail import Refused, Seen

__all__ = ["follow_sent"]

POLL_SECONDS = 0.5
#: how long nothing may be seen
QUIET_SECONDS = 60.0


class Looking(Protocol):
    """A `Tail`, as far as it is needed here."""

    @property
    def awaits_alerts(self) -> bool:
        """See `Tail.awaits_alerts`."""

    def look(self, now: float) -> Iterator[Seen]:
        """See `Tail.look`."""


def follow_sent(
    tail: Looking,
    last: Mapping[str, int],
    *,
    clock: Callable[[], float] = time.time,
    sleep: Callable[[float], object] = time.sleep,
) -> Iterator[Seen]:
    """Yield what a tail sees until it has seen the `last` sequence number of each shard, and the
    alerts of what it saw.

    Raises:
        StageError: nothing was seen for a minute.
    """
    left, seen_at = dict(last), clock()
    while left or tail.awaits_alerts:
        for seen in tail.look(clock()):
            seen_at = clock()
            shard, number = _place(seen)
            if number >= left.get(shard, number + 1):
                del left[shard]
            yield seen
        if left and clock() > seen_at + QUIET_SECONDS:
            raise StageError(
                f"nothing was seen for {QUIET_SECONDS:.0f} s, and not the last record of "
                f"{', '.join(sorted(left))}: rows that repeat an id are left out, or the function "
                "is behind",
                command="quintet stream status",
            )
        sleep(POLL_SECONDS)


def _place(seen: Seen) -> tuple[str, int]:
    """The shard of an object, and the highest sequence number in it."""
    match seen:
        case Scored():
            numbers = seen.columns["sequence"]
        case Refused():
            numbers = [line["sequence"] for line in seen.lines]
        case _:
            return "", 0
    shard = seen.key.rsplit(".", 2)[1].rsplit("-", 1)[0]
    return shard, max(map(int, numbers), default=0)
