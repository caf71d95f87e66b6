"""The AWS endpoint: the Lambda API and our health page before moto's services, on one port."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any

from moto.moto_server.werkzeug_app import (
    DomainDispatcherApplication,
    MotoRequestHandler,
    create_backend_app,
)
from werkzeug.serving import BaseWSGIServer, make_server

from quintet_local.faults import Faults
from quintet_local.faulty_calls import FaultyCalls
from quintet_local.lambda_api import Answer
from quintet_local.state import HEALTH

__all__ = ["Front"]

LambdaHandler = Callable[[str, str, str, dict[str, str], bytes], Answer | None]


class _QuietHandler(MotoRequestHandler):
    def log(self, type: str, message: str, *args: Any) -> None:
        """No line per request."""


class _Services(DomainDispatcherApplication):
    """moto's services. Which of them a host means is looked up once, not for each call."""

    def __init__(self) -> None:
        super().__init__(create_backend_app)
        self._found: dict[str | None, Any] = {}

    def get_backend_for_host(self, host: str | None) -> Any:
        """The service of a host's name."""
        if host not in self._found:
            self._found[host] = super().get_backend_for_host(host)
        return self._found[host]


class Front:
    """The server of the AWS endpoint. Lambda's part joins once the plane stands."""

    def __init__(self, host: str, port: int, faults: Faults) -> None:
        moto = _Services()
        self._services = FaultyCalls(moto, faults) if faults.on else moto
        self._lambda: LambdaHandler | None = None
        self._health: Callable[[], dict[str, Any]] = lambda: {"status": "starting"}
        self._server: BaseWSGIServer = make_server(
            host, port, self, threaded=True, request_handler=_QuietHandler
        )
        self.port = self._server.port
        self._thread = threading.Thread(
            target=self._server.serve_forever, name="front", daemon=True
        )

    def start(self) -> None:
        self._thread.start()

    def join(self, lambda_api: LambdaHandler, health: Callable[[], dict[str, Any]]) -> None:
        """Put the Lambda API and the health page in front."""
        self._lambda = lambda_api
        self._health = health

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        answer = self._answer(environ)
        if answer is None:
            response: Iterable[bytes] = self._services(environ, start_response)
            return response
        status, headers, body = answer
        start_response(
            f"{status} {HTTPStatus(status).phrase}",
            [*headers.items(), ("Content-Length", str(len(body)))],
        )
        return [body]

    def _answer(self, environ: dict[str, Any]) -> Answer | None:
        path = environ["PATH_INFO"]
        if path == HEALTH:
            body = json.dumps(self._health()).encode()
            return 200, {"Content-Type": "application/json"}, body
        if self._lambda is None or not path.startswith("/2015-03-31/"):
            return None
        length = int(environ.get("CONTENT_LENGTH") or 0)
        headers = {
            name[5:].replace("_", "-").lower(): value
            for name, value in environ.items()
            if name.startswith("HTTP_")
        }
        body = environ["wsgi.input"].read(length)
        return self._lambda(environ["REQUEST_METHOD"], path, environ["QUERY_STRING"], headers, body)
