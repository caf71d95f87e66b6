"""A process that runs a function by AWS's own runtime client, and the Runtime API that it asks.

https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

__all__ = ["HOST", "Answer", "Call", "Process"]

HOST = "127.0.0.1"
#: the interpreter below the virtual environment
PYTHON = f"{sys.base_prefix}/bin/python3.13"


@dataclass(frozen=True)
class Call:
    """An invocation; `seconds` is how long it may take."""

    request_id: str
    arn: str
    trace: str
    payload: bytes
    seconds: float


@dataclass(frozen=True)
class Answer:
    """What came of a call, or of the start of a process."""

    payload: bytes
    error: bool = False


class Process:
    """One execution environment: it takes one call at a time, and ends with its first failure.

    The process sees the packages of `variables["PYTHONPATH"]` and none of this machine's, as in
    Lambda: what the layers lack is missing here too.
    """

    def __init__(self, handler: str, folder: Path, variables: Mapping[str, str], log: Path) -> None:
        self._api = _RuntimeApi()
        # -S: without the interpreter's own packages
        command = [PYTHON, "-S", "-m", "awslambdaric", handler]
        address = {"AWS_LAMBDA_RUNTIME_API": f"{HOST}:{self._api.server_address[1]}"}
        with log.open("ab") as written:
            self._child = subprocess.Popen(
                command,
                cwd=folder,
                env={**variables, **address},
                stdin=subprocess.DEVNULL,
                stdout=written,
                stderr=written,
            )
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        """Answer for the process when it ends."""
        code = self._child.wait()
        ended = _error("Runtime.ExitError", f"Runtime exited with error: exit status {code}")
        self._api.started.put(ended)
        self._api.answers.put(ended)
        self._api.shutdown()
        self._api.server_close()

    def wait_ready(self, seconds: float) -> Answer | None:
        """None when the process asks for its first call, else why it cannot start."""
        try:
            return self._api.started.get(timeout=seconds)
        except Empty:
            self.kill()
            return _error("Sandbox.Timedout", f"the function did not start in {seconds:g} seconds")

    def run(self, call: Call) -> Answer:
        """Hand a call over and wait for its answer; a process that takes too long is ended."""
        self._api.calls.put(call)
        try:
            return self._api.answers.get(timeout=call.seconds)
        except Empty:
            self.kill()
            text = f"Task timed out after {call.seconds:.2f} seconds"
            return _error("Sandbox.Timedout", f"RequestId: {call.request_id} Error: {text}")

    @property
    def over(self) -> bool:
        """Whether the process has ended."""
        return self._child.poll() is not None

    def kill(self) -> None:
        """End the process."""
        self._child.kill()
        self._child.wait()


class _RuntimeApi(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__((HOST, 0), _Handler)
        self.calls: SimpleQueue[Call] = SimpleQueue()
        self.answers: SimpleQueue[Answer] = SimpleQueue()
        self.started: SimpleQueue[Answer | None] = SimpleQueue()
        threading.Thread(target=self.serve_forever, daemon=True).start()


class _Handler(BaseHTTPRequestHandler):
    server: _RuntimeApi
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """The process asks for a call; its first question says that it has started."""
        self.server.started.put(None)
        call = self.server.calls.get()
        self.send_response(200)
        self.send_header("Lambda-Runtime-Aws-Request-Id", call.request_id)
        self.send_header("Lambda-Runtime-Invoked-Function-Arn", call.arn)
        self.send_header("Lambda-Runtime-Trace-Id", call.trace)
        self.send_header(
            "Lambda-Runtime-Deadline-Ms", str(int((time.time() + call.seconds) * 1000))
        )
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(call.payload)))
        self.end_headers()
        self.wfile.write(call.payload)

    def do_POST(self) -> None:
        """The process answers a call, or tells why it could not start."""
        answer = Answer(self._body(), error=self.path.endswith("/error"))
        at_start = self.path.endswith("/init/error")
        (self.server.started if at_start else self.server.answers).put(answer)
        self.send_response(202)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _body(self) -> bytes:
        """The body, which comes whole, or in chunks."""
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        chunks = []
        while size := int(self.rfile.readline(), 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(chunks)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: LocalStack logs the calls."""


def _error(kind: str, message: str) -> Answer:
    return Answer(json.dumps({"errorType": kind, "errorMessage": message}).encode(), error=True)
