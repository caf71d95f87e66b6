"""The proxy's server: on loopback alone, for clients of this machine and no page of a browser."""

from __future__ import annotations

import asyncio
import errno
import signal
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

import orjson
from aiohttp import web
from multidict import CIMultiDict

from quintet_cli.proxy.batcher import Batcher
from quintet_cli.proxy.messages import Answer, Asked, by_name, failed
from quintet_cli.proxy.upstream import SECONDS, Signer, Upstream
from quintet_cli.stacks import StageError
from quintet_local.guard import refusal

__all__ = ["HEALTH", "MAX_BODY", "Settings", "running", "serve"]

HOST = "127.0.0.1"
HEALTH = "/proxy/health"
#: API Gateway's limit of a request
MAX_BODY = 10 * 1024 * 1024
_STOP = (signal.SIGINT, signal.SIGTERM)


@dataclass(frozen=True, slots=True)
class Settings:
    """`batch_seconds` 0 combines nothing; `access` gets a line for each request."""

    stage: str
    port: int
    batch_seconds: float
    batch_rows: int
    access: Callable[[str], None] | None = None


class Proxy:
    """Answers requests of clients by those of the API."""

    def __init__(self, settings: Settings, upstream: Upstream) -> None:
        self._settings = settings
        self._upstream = upstream
        self._prefix = urlsplit(upstream.url).path
        self._requests = 0
        self._batcher = Batcher(
            upstream.send, seconds=settings.batch_seconds, rows=settings.batch_rows
        )

    async def handle(self, request: web.Request) -> web.Response:
        """Answer a request."""
        started = time.perf_counter()
        answer = _refused(request) or await self._answer(request)
        if self._settings.access is not None:
            took = (time.perf_counter() - started) * 1000
            combined = answer.headers.get("x-quintet-combined")
            how = f" combined in {combined}" if combined else ""
            self._settings.access(
                f"{request.method} {request.raw_path} {answer.status} {took:.1f} ms{how}"
            )
        headers = CIMultiDict(answer.headers)
        headers.pop("content-length", None)
        return web.Response(status=answer.status, body=answer.body, headers=headers)

    async def _answer(self, request: web.Request) -> Answer:
        if request.raw_path == HEALTH:
            return self._health()
        try:
            body = await request.read()
        except web.HTTPRequestEntityTooLarge:
            return failed(413, f"body: expected at most {MAX_BODY} bytes, got more")
        self._requests += 1
        path, headers = self._path(request.raw_path), by_name(request.headers.items())
        return await self._batcher.answer(Asked(request.method, path, headers, body))

    def _path(self, target: str) -> str:
        """The path below the stage: answers such as a job's location name the stage, too."""
        prefix = self._prefix
        if prefix and (target == prefix or target.startswith((f"{prefix}/", f"{prefix}?"))):
            return target[len(prefix) :] or "/"
        return target

    def _health(self) -> Answer:
        found = {
            "status": "ok",
            "stage": self._settings.stage,
            "upstream": self._upstream.url,
            "batch_ms": self._settings.batch_seconds * 1000,
            "batch_rows": self._settings.batch_rows if self._settings.batch_seconds else None,
            "requests": self._requests,
            "calls": self._upstream.calls,
        }
        return Answer(200, orjson.dumps(found), {"content-type": "application/json"})


def _refused(request: web.Request) -> Answer | None:
    """Refuse what a page in a browser may have sent: the proxy would sign it as the user's."""
    if why := refusal(request.headers.get):
        return failed(403, f"the proxy answers no web page: {why}")
    if not request.raw_path.startswith("/"):
        return failed(400, "path: expected one that begins with /, got a whole URL")
    return None


@asynccontextmanager
async def running(settings: Settings, url: str, signer: Signer) -> AsyncIterator[str]:
    """Serve, as a context; its value is the address. At its end, what is under way is answered.

    Raises:
        StageError: the port is taken.
    """
    async with Upstream(url, signer) as upstream:
        app = web.Application(client_max_size=MAX_BODY)
        app.router.add_route("*", "/{path:.*}", Proxy(settings, upstream).handle)
        runner = web.AppRunner(
            app,
            access_log=None,
            auto_decompress=False,  # bodies are passed on as they are
            handler_cancellation=True,  # the rows of a client that goes away are not sent
            shutdown_timeout=SECONDS,
        )
        await runner.setup()
        try:
            listener = _listener(settings.port)
            await web.SockSite(runner, listener, backlog=1024).start()
            yield f"http://{HOST}:{listener.getsockname()[1]}"
        finally:
            await runner.cleanup()


async def serve(
    settings: Settings, url: str, signer: Signer, started: Callable[[str], None]
) -> None:
    """Serve until SIGINT or SIGTERM; `started` gets the address. Raises as `running` does."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    async with running(settings, url, signer) as address:
        with suppress(NotImplementedError):  # Windows: KeyboardInterrupt ends it
            for number in _STOP:
                loop.add_signal_handler(number, stop.set)
        started(address)
        await stop.wait()
        for number in _STOP:  # a second one ends it at once
            loop.remove_signal_handler(number)


def _listener(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
    except OSError as error:
        listener.close()
        if error.errno != errno.EADDRINUSE:
            raise
        raise StageError(
            f"port {port} of {HOST} is taken", command="quintet proxy --port 0"
        ) from error
    return listener
