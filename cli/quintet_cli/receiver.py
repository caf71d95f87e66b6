"""A receiver of callbacks on this machine that verifies signatures, for tests and trials."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from standardwebhooks import Webhook, WebhookVerificationError

__all__ = ["Received", "Receiver", "receiving"]

MAX_BYTES = 1_000_000


@dataclass(frozen=True)
class Received:
    """A received callback; `verified` if one of the secrets signed it."""

    id: str
    verified: bool
    headers: dict[str, str]
    body: bytes

    @property
    def content(self) -> Any:
        """Return the parsed body."""
        return json.loads(self.body)


class Receiver:
    """Stores callbacks and responds: `answer` gives the status, by default 204 or 401."""

    def __init__(
        self, secrets: Sequence[str] = (), answer: Callable[[Received], int] | None = None
    ) -> None:
        self.secrets = list(secrets)
        self.received: list[Received] = []
        self._answer = answer or (lambda received: 204 if received.verified else 401)

    def take(self, headers: dict[str, str], body: bytes) -> int:
        """Verify and store a callback; return the status to respond with."""
        verified = any(_verifies(secret, headers, body) for secret in self.secrets)
        received = Received(headers.get("webhook-id", ""), verified, headers, body)
        self.received.append(received)
        return self._answer(received)


def _verifies(secret: str, headers: dict[str, str], body: bytes) -> bool:
    try:
        Webhook(secret).verify(body, headers, json_parse=False)
    except (WebhookVerificationError, ValueError):  # or the signature is not valid base64
        return False
    return True


@contextmanager
def receiving(receiver: Receiver, port: int = 0) -> Iterator[str]:
    """Serve a receiver on 127.0.0.1; yields its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            size = int(self.headers.get("content-length") or 0)
            if size > MAX_BYTES:
                self.send_error(413)
                return
            headers = {name.lower(): value for name, value in self.headers.items()}
            status = receiver.take(headers, self.rfile.read(size))
            self.send_response(status)
            if 300 <= status < 400:
                self.send_header("location", f"http://{self.headers['host']}/elsewhere")
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *arguments: object) -> None:
            """Log nothing: the caller reports what was received."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 128  # callbacks of a burst arrive all at once

    server = Server(("127.0.0.1", port), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
