"""A console that serves in this process, and a client that sends just the headers it is told."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlencode

import uvicorn
from tests.kits.local_aws import eventually

from quintet_cli.console.app import console_of
from quintet_cli.console.beside import listen, new_token
from quintet_cli.console.guard import Access
from quintet_cli.console.reads import Reads
from quintet_cli.stage import Stage

__all__ = ["Answer", "Served", "served"]


@dataclass(frozen=True)
class Answer:
    """A response."""

    status: int
    headers: Mapping[str, str]
    text: str


@dataclass(frozen=True)
class Served:
    """A console that serves."""

    access: Access

    @property
    def origin(self) -> str:
        """Its own origin."""
        return f"http://127.0.0.1:{self.access.port}"

    @property
    def cookie(self) -> dict[str, str]:
        """The header of a browser that was let in."""
        return {"Cookie": f"{self.access.cookie}={self.access.session}"}

    def send(
        self, method: str, path: str, headers: Mapping[str, str], body: str | None = None
    ) -> Answer:
        """Send a request with these headers, and a Host unless they have one."""
        connection = http.client.HTTPConnection("127.0.0.1", self.access.port, timeout=60)
        try:
            connection.request(method, path, body, dict(headers))
            answer = connection.getresponse()
            found = {name.lower(): value for name, value in answer.getheaders()}
            return Answer(answer.status, found, answer.read().decode())
        finally:
            connection.close()

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> Answer:
        """Get a page as a browser that was let in."""
        return self.send("GET", path, {**self.cookie, **(headers or {})})

    def post(self, path: str, fields: Mapping[str, str]) -> Answer:
        """Send a form as the console's own page does."""
        kind = {"Content-Type": "application/x-www-form-urlencoded", "Origin": self.origin}
        return self.send("POST", path, {**self.cookie, **kind}, urlencode(fields))


@contextmanager
def served(stage: Stage, reads: Reads | None = None) -> Iterator[Served]:
    """Serve the console of a stage on a free port."""
    listening = listen(0)
    access = Access(listening.getsockname()[1], new_token())
    app = console_of(stage, access, reads)
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", access_log=False))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    try:
        eventually(lambda: server.started, 60)
        yield Served(access)
    finally:
        server.should_exit = True
        thread.join(timeout=60)
