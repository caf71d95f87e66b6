"""The loop of one execution environment: Lambda's Runtime API, with the standard library alone.

Runs as a script in a child process and imports nothing of ours, so a function sees only its own
code, its layers and the runtime's packages. The HTTP is hand-written because importing
`http.client` adds some 80 ms to a cold start.
https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
"""

from __future__ import annotations

import importlib
import json
import logging
import os
import socket
import sys
import threading
import time
import traceback
from types import SimpleNamespace
from typing import Any


class RuntimeClient:
    """The child's client of the Runtime API, over one keep-alive connection.

    A response goes out together with the request for the next invocation, which always follows:
    both ends wake up once for the two.
    """

    def __init__(self, address: str) -> None:
        authority, _, prefix = address.partition("/")
        host, _, port = authority.rpartition(":")
        self._head = f" /{prefix}/2018-06-01/runtime/" if prefix else " /2018-06-01/runtime/"
        self._host = f" HTTP/1.1\r\nHost: {authority}\r\n"
        self._socket = socket.create_connection((host, int(port)))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._reader = self._socket.makefile("rb")
        self._answer = b""

    def next(self) -> tuple[dict[str, str], bytes]:
        answer, self._answer = self._answer, b""
        self._socket.sendall(answer + self._request("GET", "invocation/next"))
        if answer:
            self._read()
        return self._read()

    def respond(self, request_id: str, body: bytes) -> None:
        self._answer = self._request("POST", f"invocation/{request_id}/response", body)

    def fail(self, request_id: str, error: dict[str, Any]) -> None:
        self._answer = self._request("POST", f"invocation/{request_id}/error", _dump(error))

    def init_failed(self, error: dict[str, Any]) -> None:
        self._socket.sendall(self._request("POST", "init/error", _dump(error)))
        self._read()

    def _request(self, method: str, path: str, body: bytes = b"") -> bytes:
        length = f"Content-Length: {len(body)}\r\n\r\n" if method == "POST" else "\r\n"
        return (method + self._head + path + self._host + length).encode() + body

    def _read(self) -> tuple[dict[str, str], bytes]:
        status = self._reader.readline()
        if not status:  # the server has gone, so this environment ends too
            os._exit(1)
        headers = {}
        while (line := self._reader.readline().decode("latin-1").rstrip("\r\n")) != "":
            name, _, value = line.partition(": ")
            headers[name.lower()] = value
        return headers, self._reader.read(int(headers.get("content-length", "0")))


class Context:
    """https://docs.aws.amazon.com/lambda/latest/dg/python-context.html"""

    def __init__(self, headers: dict[str, str]) -> None:
        environ = os.environ
        self.function_name = environ["AWS_LAMBDA_FUNCTION_NAME"]
        self.function_version = environ["AWS_LAMBDA_FUNCTION_VERSION"]
        self.memory_limit_in_mb = environ["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"]
        self.log_group_name = environ["AWS_LAMBDA_LOG_GROUP_NAME"]
        self.log_stream_name = environ["AWS_LAMBDA_LOG_STREAM_NAME"]
        self.invoked_function_arn = headers["lambda-runtime-invoked-function-arn"]
        self.aws_request_id = headers["lambda-runtime-aws-request-id"]
        self.identity = SimpleNamespace(cognito_identity_id=None, cognito_identity_pool_id=None)
        self.client_context = _client_context(headers.get("lambda-runtime-client-context"))
        self.tenant_id = None
        self._deadline_ms = int(headers["lambda-runtime-deadline-ms"])

    def get_remaining_time_in_millis(self) -> int:
        return max(0, self._deadline_ms - int(time.time() * 1000))

    def log(self, message: str) -> None:
        sys.stdout.write(message)


class LambdaLogHandler(logging.Handler):
    """Formats lines as Lambda's root handler does: level, time, request id, message."""

    request_id = ""

    def emit(self, record: logging.LogRecord) -> None:
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        head = f"[{record.levelname}]\t{stamp}.{int(record.msecs):03d}Z\t{self.request_id}\t"
        sys.stdout.write(head + self.format(record) + "\n")


def _client_context(text: str | None) -> Any:
    if not text:
        return None
    given = json.loads(text)
    return SimpleNamespace(
        client=given.get("client"), custom=given.get("custom"), env=given.get("env")
    )


def _dump(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "backslashreplace")


def _error(
    error: BaseException, request_id: str = "", *, kind: str = "", message: str = ""
) -> dict[str, Any]:
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if frame.filename != __file__]
    return {
        "errorMessage": message or str(error),
        "errorType": kind or type(error).__name__,
        "requestId": request_id,
        "stackTrace": traceback.format_list(own),
    }


def _load(path: str) -> Any:
    """Return the handler, or the error that Lambda reports for a missing one."""
    module_name, _, function_name = path.rpartition(".")
    module_name = module_name.replace("/", ".")
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        text = f"Unable to import module '{module_name}': {error}"
        return _error(error, kind="Runtime.ImportModuleError", message=text)
    except SyntaxError as error:
        text = f"Syntax error in module '{module_name}': {error}"
        return _error(error, kind="Runtime.UserCodeSyntaxError", message=text)
    except Exception as error:
        return _error(error)
    handler = getattr(module, function_name, None)
    if handler is None:
        text = f"Handler '{function_name}' missing on module '{module_name}'"
        return _error(AttributeError(text), kind="Runtime.HandlerNotFound")
    return handler


def _serve(client: RuntimeClient, handler: Any, log: LambdaLogHandler) -> None:
    while True:
        headers, body = client.next()
        request_id = log.request_id = headers["lambda-runtime-aws-request-id"]
        if trace := headers.get("lambda-runtime-trace-id"):
            os.environ["_X_AMZN_TRACE_ID"] = trace
        try:
            answer = handler(json.loads(body), Context(headers))
        except Exception as error:
            failure = _error(error, request_id)
            sys.stdout.write(_readable(failure))
            client.fail(request_id, failure)
            continue
        try:
            result = _dump(answer)
        except (TypeError, ValueError, RecursionError) as error:
            text = f"Unable to marshal response: {error}"
            failure = _error(error, request_id, kind="Runtime.MarshalError", message=text)
            client.fail(request_id, failure)
            continue
        client.respond(request_id, result)


def _readable(failure: dict[str, Any]) -> str:
    trace = "".join(failure["stackTrace"])
    return f"[ERROR] {failure['errorType']}: {failure['errorMessage']}\n{trace}"


def _die_with_the_server(pipe: int) -> None:
    os.read(pipe, 1)  # returns only when the server closes its end, for any reason
    os._exit(1)


def _watch() -> None:
    """Watch standard input, a pipe from the server; give the function an empty one instead."""
    pipe = os.dup(0)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    threading.Thread(target=_die_with_the_server, args=(pipe,), daemon=True).start()


def main() -> None:
    _watch()
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    sys.stderr.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    log = LambdaLogHandler()
    logging.getLogger().addHandler(log)
    client = RuntimeClient(os.environ["AWS_LAMBDA_RUNTIME_API"])
    handler = _load(os.environ["_HANDLER"])
    if isinstance(handler, dict):
        sys.stdout.write(_readable(handler))
        client.init_failed(handler)
        sys.exit(1)
    _serve(client, handler, log)


if __name__ == "__main__":
    main()
