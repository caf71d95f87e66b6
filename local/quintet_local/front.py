"""The AWS endpoint: the Lambda API and our health page in front of moto's services, on one port.

moto's own server opens a connection and a thread for every call, which takes longer than most
calls.
"""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from email.utils import formatdate
from typing import Any

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

from quintet_local.guard import guarded
from quintet_local.http1 import Request, Response, serve
from quintet_local.lambda_api import Answer
from quintet_local.permissions import Permissions, Statement
from quintet_local.state import HEALTH, PERMISSIONS
from quintet_local.wsgi import WsgiApplication, call, environ_of

__all__ = ["Front", "MotoServices"]

LambdaHandler = Callable[[str, str, str, dict[str, str], bytes], Answer | None]

#: concurrent calls; a long poll of a queue occupies one until it returns
THREADS = 64
LARGEST = 5 << 30  # limit of a single PUT to S3
TOO_LARGE = Response(413)


class MotoServices(DomainDispatcherApplication):
    """moto's services. Finds the service of each host once, not for each call."""

    def __init__(self) -> None:
        super().__init__(create_backend_app)
        self._found: dict[str | None, Any] = {}

    def get_backend_for_host(self, host: str | None) -> Any:
        """Return the service for a host name."""
        if host not in self._found:
            self._found[host] = super().get_backend_for_host(host)
        return self._found[host]


class Front:
    """Runs the AWS endpoint's server in a thread. The Lambda API joins when the plane is up."""

    def __init__(self, listener: socket.socket, services: WsgiApplication) -> None:
        self._services = services
        self._lambda: LambdaHandler | None = None
        self._health: Callable[[], dict[str, Any]] = lambda: {"status": "starting"}
        self._listener = listener
        self.port = int(listener.getsockname()[1])
        self._calls = ThreadPoolExecutor(THREADS, thread_name_prefix="front")
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="front", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def join(
        self,
        lambda_api: LambdaHandler,
        health: Callable[[], dict[str, Any]],
        allowed: Mapping[str, list[Statement]],
    ) -> None:
        """Add the Lambda API, the health page and the permission checks before the services."""
        self._services = self._permissions = Permissions(self._services, allowed)
        self._lambda = lambda_api
        self._health = health

    def refused(self) -> list[str]:
        """See `Permissions.refused`."""
        return self._permissions.refused()

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._calls.shutdown(wait=False, cancel_futures=True)

    def _run(self) -> None:
        self._loop.run_until_complete(
            serve(guarded(self._serve), self._listener, too_large=TOO_LARGE, max_body=LARGEST)
        )
        self._loop.run_forever()

    async def _serve(self, request: Request) -> Response:
        return await self._loop.run_in_executor(self._calls, self._answer, request)

    def _answer(self, request: Request) -> Response:
        path, _, query = request.target.partition("?")
        if path == HEALTH:
            return _page(self._health())
        if path == PERMISSIONS and self._lambda is not None:
            checked = self._permissions
            return _page({"used": checked.used(), "not_allowed": checked.refused()})
        if self._lambda is not None and path.startswith("/2015-03-31/"):
            headers = {name.lower(): value for name, value in request.headers}
            answer = self._lambda(request.method, path, query, headers, request.body)
            if answer is not None:
                status, more, body = answer
                return Response(status, body, [*more.items()])
        environ = environ_of(request, self.port)
        # moto's own routes reset and seed its services for any caller
        if environ["PATH_INFO"].lstrip("/").startswith("moto-api"):
            return Response(404)
        response = call(self._services, environ)
        response.headers.append(("Date", formatdate(usegmt=True)))
        return response


def _page(told: dict[str, Any]) -> Response:
    return Response(200, json.dumps(told).encode(), [("Content-Type", "application/json")])
