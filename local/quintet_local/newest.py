"""What is kept of what never ends: the newest, up to a bound.

moto keeps every log event, receipt handle, notification and execution; memory would grow with each
call.
"""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

__all__ = ["File", "Handles", "newest_events", "newest_notifications"]

#: characters of the lines of a log group; the older ones are in the function's file
GROUP = 8 * 1024 * 1024
#: receipt handles of messages that were deleted from a queue
HANDLES = 10_000
#: notifications of a topic; moto's own page lists them
NOTIFICATIONS = 100
#: bytes of a file
FILE = 32 * 1024 * 1024


class File:
    """A file of lines that grows to `most` bytes; the one before it is kept, at `older`."""

    def __init__(self, path: Path, most: int = FILE) -> None:
        self._path = path
        self._most = most
        self._file = path.open("ab", buffering=0)

    def write(self, lines: bytes) -> None:
        """Append lines. Raises OSError if they cannot be written."""
        if self._file.closed:  # the next could not be opened
            self._file = self._path.open("ab", buffering=0)
        elif self._file.tell() + len(lines) > self._most:
            self._file.close()
            self._path.replace(older(self._path))
            self._file = self._path.open("ab", buffering=0)
        self._file.write(lines)

    def close(self) -> None:
        """Close it."""
        self._file.close()


def older(path: Path) -> Path:
    """Where the lines go that were in a `File` before it was full."""
    return path.with_suffix(f".1{path.suffix}")


class Handles:
    """The receipt handles that were deleted last, in place of moto's set of all.

    Deleting by one of them again is no error.
    """

    def __init__(self, most: int = HANDLES) -> None:
        self._most = most
        self._kept: OrderedDict[str, None] = OrderedDict()

    def __contains__(self, handle: str) -> bool:
        return handle in self._kept

    def update(self, handles: Iterable[str]) -> None:
        """Add some."""
        for handle in handles:
            self._kept[handle] = None
        while len(self._kept) > self._most:
            self._kept.popitem(last=False)


def newest_events(put: Callable[[Any, Any], str], most: int = GROUP) -> Callable[[Any, Any], str]:
    """Wrap a log stream's PutLogEvents so that its group keeps `most` characters of lines."""
    lock = threading.Lock()

    def put_log_events(stream: Any, log_events: list[dict[str, Any]]) -> str:
        size = sum(len(event["message"]) for event in log_events)
        with lock:
            token = put(stream, log_events)
            arrived = vars(stream.log_group).setdefault("arrived", _Arrived(most))
            arrived.put(stream, len(log_events), size)
        return token

    return put_log_events


class _Arrived:
    """What arrived in a log group, in order: the stream, the number of lines, their characters."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._calls: deque[tuple[Any, int, int]] = deque()
        self._size = 0

    def put(self, stream: Any, count: int, size: int) -> None:
        self._calls.append((stream, count, size))
        self._size += size
        while self._size > self._most and len(self._calls) > 1:
            oldest, gone, less = self._calls.popleft()
            self._size -= less
            oldest.stored_bytes -= less
            oldest.events = oldest.events[gone:]  # a reader goes on with the list that it has


def newest_notifications(publish: Callable[..., str]) -> Callable[..., str]:
    """Wrap a topic's publishing so that moto keeps few of the notifications."""

    def publish_one(topic: Any, *args: Any, **named: Any) -> str:
        found = publish(topic, *args, **named)
        del topic.sent_notifications[:-NOTIFICATIONS]
        return found

    return publish_one
