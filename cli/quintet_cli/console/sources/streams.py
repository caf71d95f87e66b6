"""The stream: how far behind it is, and the newest windows."""

from __future__ import annotations

import time
from dataclasses import dataclass

from quintet.streaming.windows import Window
from quintet_cli.stage import Stage
from quintet_cli.stream_reader import StreamReader
from quintet_cli.stream_status import Status, status_of

__all__ = ["Streams", "read_stream"]

#: windows of a model, and entities of a window that are shown
WINDOWS = 5


@dataclass(frozen=True, slots=True)
class Streams:
    """The status, and the newest windows of each model that has some."""

    status: Status
    windows: list[Window]


def read_stream(stage: Stage) -> Streams | None:
    """The stream; None if no record was ever scored or refused."""
    reader, status = StreamReader(stage), status_of(stage, time.time())
    models = reader.models()
    if not models and not status.refused and not status.failures:
        return None
    return Streams(status, [window for one in models for window in reader.windows(one, WINDOWS)])
