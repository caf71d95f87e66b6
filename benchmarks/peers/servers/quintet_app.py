"""Quintet's handler behind a lean HTTP loop: python -m benchmarks.peers.servers.quintet_app PORT

A request becomes the event that API Gateway sends, its body in base64. The handler does all that it
does in Lambda but captures: routing, validation, the log line, metrics. The graph is $GRAPH.
"""

from __future__ import annotations

import asyncio
import base64
import os
import sys
from pathlib import Path
from typing import Any

import httptools
from benchmarks.in_memory import answering
from benchmarks.score_unit import contract_of
from tests.kits.models import event

PATH = "/v2/models/bench/infer"


class Connection(asyncio.Protocol):
    """One connection."""

    def __init__(self, answer: Any) -> None:
        self._answer = answer
        self._template = event("POST", PATH)

    def connection_made(self, transport: Any) -> None:
        self._transport, self._body = transport, b""
        self._parser = httptools.HttpRequestParser(self)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_begin(self) -> None:
        self._body = b""
        self._headers: dict[str, str] = {}

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.decode()] = value.decode()

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        body = base64.b64encode(self._body).decode()
        asked = {"headers": self._headers, "body": body, "isBase64Encoded": True}
        found = self._answer({**self._template, **asked})
        answer = found["body"]
        answer = base64.b64decode(answer) if found["isBase64Encoded"] else answer.encode()
        head = f"HTTP/1.1 {found['statusCode']} OK\r\ncontent-length: {len(answer)}\r\n"
        head += "".join(f"{name}: {value}\r\n" for name, value in found["headers"].items())
        self._transport.write(f"{head}\r\n".encode() + answer)


async def main(port: int) -> None:
    """Serve."""
    graph = Path(os.environ["GRAPH"]).read_bytes()
    loop, answer = asyncio.get_running_loop(), answering({"bench": (contract_of(30), graph)})
    server = await loop.create_server(lambda: Connection(answer), "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
