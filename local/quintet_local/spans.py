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

__all__ = ["SpanDaemon", "kept_spans"]

log = logging.getLogger(__name__)
FILE, OLDER = "spans.jsonl", "spans.1.jsonl"
#: bytes after which a new file begins; the one before is kept
MAX_BYTES = 32 * 1024 * 1024


class SpanDaemon(asyncio.DatagramProtocol):
    """Writes each document to `<folder>/spans.jsonl`, as it came."""

    def __init__(self, folder: Path, most: int = MAX_BYTES) -> None:
        self._folder = folder
        self._most = most
        self._file = (folder / FILE).open("ab")

    def datagram_received(self, data: bytes, addr: Any) -> None:
        """Keep the document after the datagram's header line."""
        _, _, document = data.partition(b"\n")
        try:
            if self._file.tell() + len(document) > self._most:
                self._file.close()
                (self._folder / FILE).replace(self._folder / OLDER)
                self._file = (self._folder / FILE).open("ab")
            self._file.write(document.replace(b"\n", b" ") + b"\n")
            self._file.flush()
        except OSError as error:  # a full disk must not end the local AWS
            log.warning("a span cannot be written: %s", error)

    def connection_lost(self, exc: Exception | None) -> None:
        """Close the file when the endpoint is closed."""
        self._file.close()


def kept_spans(folder: Path) -> Iterator[dict[str, Any]]:
    """The documents kept in a folder, the oldest first; what is not JSON is skipped."""
    for name in (OLDER, FILE):
        try:
            lines = (folder / name).read_bytes().splitlines()
        except FileNotFoundError:
            continue
        for line in lines:
            try:
                document = orjson.loads(line)
            except orjson.JSONDecodeError:
                continue
            if isinstance(document, dict) and isinstance(document.get("annotations"), dict):
                yield document
