"""The X-Ray daemon of the local AWS: keeps the spans that functions send.

https://docs.aws.amazon.com/xray/latest/devguide/xray-daemon.html
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from quintet_local.newest import FILE, File, older

__all__ = ["SpanDaemon", "kept_spans"]

log = logging.getLogger(__name__)
NAME = "spans.jsonl"


class SpanDaemon(asyncio.DatagramProtocol):
    """Writes each document to `<folder>/spans.jsonl`, as it came, up to `most` bytes a file."""

    def __init__(self, folder: Path, most: int = FILE) -> None:
        self._file = File(folder / NAME, most)

    def datagram_received(self, data: bytes, addr: Any) -> None:
        """Keep the document after the datagram's header line."""
        _, _, document = data.partition(b"\n")
        try:
            self._file.write(document.replace(b"\n", b" ") + b"\n")
        except OSError as error:  # a full disk must not end the local AWS
            log.warning("a span cannot be written: %s", error)

    def connection_lost(self, exc: Exception | None) -> None:
        """Close the file when the endpoint is closed."""
        self._file.close()


def kept_spans(folder: Path) -> Iterator[dict[str, Any]]:
    """The documents kept in a folder, the oldest first; what is not JSON is skipped."""
    for path in (older(folder / NAME), folder / NAME):
        try:
            lines = path.read_bytes().splitlines()
        except FileNotFoundError:
            continue
        for line in lines:
            try:
                document = orjson.loads(line)
            except orjson.JSONDecodeError:
                continue
            if isinstance(document, dict) and isinstance(document.get("annotations"), dict):
                yield document
