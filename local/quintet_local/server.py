"""The local AWS, composed: front, services, plane, API and event sources in one process."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from quintet_local import rest_api
from quintet_local.environment import Outcome
from quintet_local.front import Front
from quintet_local.gateway import Gateway
from quintet_local.http1 import Response, serve
from quintet_local.lambda_api import LambdaApi
from quintet_local.logs import Logs
from quintet_local.names import REGION
from quintet_local.plane import Limits, Plane
from quintet_local.runtime_api import RuntimeApi
from quintet_local.services import Services
from quintet_local.sources import sqs
from quintet_local.sources.drivers import SqsDriver
from quintet_local.stack import describe, plan
from quintet_local.template import Template, load

__all__ = ["HOST", "LocalAws", "Settings", "StartError"]

HOST = "127.0.0.1"
RUNTIME_BODY = 16 * 1024 * 1024
log = logging.getLogger(__name__)


class StartError(Exception):
    """The local AWS cannot start; the text says what to do."""


@dataclass(frozen=True)
class Settings:
    """Where to serve what; port 0 takes a free one."""

    template: Path = Path("template.yaml")
    state: Path = Path(".quintet")
    port: int = 4566
    api_port: int = 4567
    parameters: Mapping[str, str] = field(default_factory=dict)
    limits: Limits = Limits()


class LocalAws:
    """One running local AWS. `start` and `stop` are called from the main thread."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._scratch = Path(tempfile.mkdtemp(prefix="quintet-"))
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="plane", daemon=True)
        self._tasks: list[asyncio.Task[None]] = []
        self._servers: list[asyncio.Server] = []
        self.started = time.time()

    def start(self) -> None:
        """Serve everything.

        Raises:
            StartError: a port is taken.
            TemplateError: the template cannot be used.
        """
        settings = self._settings
        template = load(settings.template, settings.parameters)
        plan_ = plan(template)
        api_socket = _bind(settings.api_port, "--api-port")
        runtime_socket = _bind(0, "")
        self._front = _front(settings.port)
        self.endpoint_url = f"http://{HOST}:{self._front.port}"
        self.api_url = f"http://{HOST}:{api_socket.getsockname()[1]}"
        self._front.start()
        self._services = Services(self.endpoint_url, self._front.port)
        self._services.create(plan_)
        self.stack = describe(plan_, self._services.ref, self._services.attribute, self._scratch)
        self.logs = Logs(settings.state / "logs")
        self._plane = Plane(self.stack.functions, self.logs, self._scratch, settings.limits)
        self._front.join(LambdaApi(self._plane, self._invoke, self._invoke_later), self.health)
        self._thread.start()
        self._run(self._start_plane(api_socket, runtime_socket)).result()
        self.logs.start(self._services.client("logs"), self._services.client("cloudwatch"))
        self._services.finish(self.stack)
        self._write_state(template)

    def stop(self) -> None:
        """End the children, then everything else."""
        (self._settings.state / "local.json").unlink(missing_ok=True)
        self._run(self._stop_plane()).result(timeout=10)
        self.logs.stop()
        self._front.stop()
        shutil.rmtree(self._scratch, ignore_errors=True)

    def health(self) -> dict[str, Any]:
        """What runs, as the health page shows it."""
        return {
            "status": "running",
            "pid": os.getpid(),
            "endpoint_url": self.endpoint_url,
            "api_url": self.api_url,
            "environments": self._plane.status(),
        }

    @property
    def outputs(self) -> dict[str, str]:
        """The stack's outputs, the API's address being the local one."""
        api = self.stack.api
        remote = f"https://{api.api_id}.execute-api.{REGION}.amazonaws.com" if api else None
        outputs = {}
        for name, value in self.stack.outputs.items():
            if api and remote and value.startswith(remote):
                path = value.removeprefix(remote).removeprefix(f"/{api.stage}")
                value = self.api_url + path
            outputs[name] = value
        return outputs

    # in the plane's thread

    async def _start_plane(self, api_socket: socket.socket, runtime_socket: socket.socket) -> None:
        runtime = await serve(
            RuntimeApi(self._plane),
            runtime_socket,
            too_large=Response(413),
            max_body=RUNTIME_BODY,
        )
        self._servers.append(runtime)
        port = runtime_socket.getsockname()[1]
        self._plane.start(f"{HOST}:{port}", {"AWS_ENDPOINT_URL": self.endpoint_url})
        if (api := self.stack.api) is not None:
            gateway = Gateway(self._plane, api.routes, api.stage, api.api_id)
            server = await serve(
                gateway, api_socket, too_large=rest_api.TOO_LARGE, max_body=rest_api.MAX_BODY
            )
            self._servers.append(server)
        for mapping in self.stack.mappings:
            service = mapping.source_arn.split(":")[2]
            if service == "sqs":
                queue = mapping.source_arn.split(":")[-1]
                client = self._services.client("sqs")
                driver = SqsDriver(
                    self._plane,
                    client,
                    client.get_queue_url(QueueName=queue)["QueueUrl"],
                    mapping.source_arn,
                    mapping.function,
                    sqs.Config.of(mapping.properties),
                )
                self._tasks.append(asyncio.create_task(driver.run()))

    async def _stop_plane(self) -> None:
        for server in self._servers:
            server.close()
        for task in self._tasks:
            task.cancel()
        await self._plane.stop()

    # from the front's threads

    def _run(self, coroutine: Any) -> Future[Any]:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop)

    def _invoke(
        self, name: str, payload: bytes, qualifier: str | None, context: str | None
    ) -> Outcome:
        outcome: Outcome = self._run(self._plane.invoke(name, payload, qualifier, context)).result()
        return outcome

    def _invoke_later(
        self, name: str, payload: bytes, qualifier: str | None, context: str | None
    ) -> Outcome:
        self._plane.find(name, qualifier)
        self._run(self._plane.invoke(name, payload, qualifier, context))
        return Outcome(b"", "")

    def _write_state(self, template: Template) -> None:
        state = {
            "pid": os.getpid(),
            "endpoint_url": self.endpoint_url,
            "api_url": self.api_url,
            "outputs": self.outputs,
            "template": str(template.path),
            "started": self.started,
        }
        folder = self._settings.state
        folder.mkdir(parents=True, exist_ok=True)
        partial = folder / "local.json.partial"
        partial.write_text(json.dumps(state, indent=2) + "\n")
        partial.replace(folder / "local.json")


def _bind(port: int, option: str) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
    except OSError as error:
        listener.close()
        raise StartError(
            f"port {port} is taken; stop what holds it (`quintet down`?) or give {option} another, 0 for a free one"
        ) from error
    return listener


def _front(port: int) -> Front:
    _bind(port, "--port").close()
    return Front(HOST, port)
