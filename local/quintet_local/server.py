"""The local AWS, composed: front, services, plane, API and event sources in one process."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import socket
import threading
import time
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from quintet.columns.names import suggestion
from quintet_local import api_errors, expiry, hooks, rest_api
from quintet_local.alarming import Alarming
from quintet_local.alarms import alarms_of
from quintet_local.calls import AsyncCalls
from quintet_local.environment import Outcome
from quintet_local.events import Events
from quintet_local.failures import AGAIN, CannotStart
from quintet_local.faults import OFF, FaultPlan, Faults
from quintet_local.faulty_calls import FaultyCalls
from quintet_local.front import Front, MotoServices
from quintet_local.gateway import Gateway
from quintet_local.guard import guarded
from quintet_local.honoured import compact, notices
from quintet_local.http1 import Response, serve
from quintet_local.keeping import BucketChanges, Keeper
from quintet_local.kept import Kept
from quintet_local.lambda_api import LambdaApi
from quintet_local.logs import Logs
from quintet_local.measures import Measures
from quintet_local.names import ACCOUNT, CREDENTIALS, REGION
from quintet_local.permissions import policies
from quintet_local.plan import Plan, plan
from quintet_local.plane import Limits, Plane
from quintet_local.reads import QuickReads
from quintet_local.runtime_api import RuntimeApi
from quintet_local.schedules import Schedules
from quintet_local.services import Services
from quintet_local.sources.checks import check_sources
from quintet_local.sources.drivers import SqsDriver, TimerDriver
from quintet_local.sources.kinesis_driver import KinesisDriver
from quintet_local.sources.kinesis_reads import KinesisReads
from quintet_local.spans import SpanDaemon
from quintet_local.stack import SourceMapping, Stack, describe
from quintet_local.state import State
from quintet_local.strict import LENIENT, Strictness
from quintet_local.targets import Targets
from quintet_local.template import load

__all__ = ["HOST", "LocalAws", "Settings", "StartError"]

HOST = "127.0.0.1"
#: this machine's name inside containers: Docker Desktop sets it, elsewhere a flag does
CONTAINERS_HOST = "host.docker.internal"
RUNTIME_BODY = 16 * 1024 * 1024
log = logging.getLogger(__name__)


class StartError(CannotStart):
    """A port is taken, or the plan of faults does not fit."""


@dataclass(frozen=True)
class Settings:
    """What to serve and where; port 0 takes a free one.

    `fresh` deletes the objects and items that are kept in the folder of the state.
    """

    template: Path = Path("template.yaml")
    state: Path = Path(".quintet")
    port: int = 4566
    api_port: int = 4567
    parameters: Mapping[str, str] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)
    faults: FaultPlan = OFF
    strict: Strictness = LENIENT
    fresh: bool = False


class LocalAws:
    """One running local AWS. `start` and `stop` are called from the main thread."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        # absolute: the functions run in folders of their own
        self._scratch = settings.state.absolute() / "scratch"
        self._faults = Faults(settings.faults)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="plane", daemon=True)
        self._tasks: list[asyncio.Task[None]] = []
        self._servers: list[asyncio.Server] = []
        self._spans: asyncio.BaseTransport | None = None
        self.started = time.time()

    def start(self) -> None:
        """Start all services; `write_state` then lets others find them.

        Raises:
            StartError: a port is taken, or the fault plan names an unknown function.
            KeptError: what was kept cannot be used.
            TemplateError: the template is not usable.
        """
        settings = self._settings
        template = load(settings.template, settings.parameters)
        shutil.rmtree(self._scratch, ignore_errors=True)  # left by a killed process
        api_socket = _bind(settings.api_port, "--api-port")
        runtime_socket = _bind(0, "")
        strict = settings.strict
        changes = BucketChanges(MotoServices())
        services = strict.before(QuickReads(changes))
        if self._faults.on:
            services = FaultyCalls(services, self._faults)
        self._front = Front(_bind(settings.port, "--port"), services)
        self.endpoint_url = f"http://{HOST}:{self._front.port}"
        self.api_url = f"http://{HOST}:{api_socket.getsockname()[1]}"
        plan_ = self._plan = plan(template, self.endpoint_url)
        self.stack = describe(plan_, self._scratch)
        _check_faults(settings.faults, self.stack)
        check_sources(plan_, self.stack)
        strict.check(plan_, self.stack)
        self.notices = notices(plan_)
        self.outputs = _outputs(plan_, self.stack, self.api_url)
        kept = Kept(settings.state, fresh=settings.fresh)
        buckets, tables = (
            [plan_.identities[name].ref for name in plan_.of_type(kind)]
            for kind in ("AWS::S3::Bucket", "AWS::DynamoDB::Table")
        )
        keeper = Keeper(kept, buckets, tables, changes.names)
        self._front.start()
        self._services = Services(self.endpoint_url, self._front.port)
        self._logs = Logs(settings.state / "logs")
        self._plane = Plane(
            self.stack.functions,
            self._logs,
            self._scratch,
            replace(settings.limits, executions=strict.executions),
            self._faults,
        )
        targets = Targets(self._services, self._call)
        delays = settings.limits.async_delays
        self._calls = AsyncCalls(self._plane, targets.send, targets.store, delays)
        hooks.install(self._call)
        if any(
            p.get("Protocol") == "lambda" for p in plan_.of_type("AWS::SNS::Subscription").values()
        ):
            hooks.install_sns(self._call)
        hooks.install_keeping(keeper.note)
        schedules = Schedules(targets.send)
        hooks.install_schedules(partial(self._loop.call_soon_threadsafe, schedules.refresh))
        lambda_api = LambdaApi(self._plane, self._invoke, self._submit)
        self._front.join(lambda_api, self.health, policies(plan_))
        self._thread.start()
        self._run(self._start_plane(runtime_socket)).result()
        self._services.make(plan_, self.stack.machines, kept.material)
        self.kept = keeper.restore()
        keeper.start()
        expiry.start()
        self._keeper = keeper
        self._logs.start(self.stack.filters, self._call)
        self._run(self._start_sources(api_socket, targets)).result()

    def write_state(self) -> None:
        """Write the file by which commands find this local AWS, use it and stop it."""
        State(
            pid=os.getpid(),
            endpoint_url=self.endpoint_url,
            api_url=self.api_url,
            outputs=self.outputs,
            template=str(self._plan.template.path),
            started=self.started,
        ).write(self._settings.state, self._environments())

    @property
    def state(self) -> Path:
        """Return the folder of the state file and the logs."""
        return self._settings.state

    def stop(self) -> None:
        """End the children, then everything else; what has changed is kept in any case."""
        State.remove(self._settings.state)
        try:
            self._run(self._stop_plane()).result(timeout=10)
            self._logs.stop()
            self._front.stop()
        finally:
            self._keeper.stop()
            shutil.rmtree(self._scratch, ignore_errors=True)

    def abandon(self) -> None:
        """Clean up after a failed start, so that no child process remains."""
        if self._thread.is_alive():
            self._run(self._stop_plane()).result(timeout=10)
        shutil.rmtree(self._scratch, ignore_errors=True)

    def health(self) -> dict[str, Any]:
        """Return the data of the health page."""
        return {
            "status": "running",
            "pid": os.getpid(),
            "endpoint_url": self.endpoint_url,
            "api_url": self.api_url,
            "outputs": self.outputs,
            "environments": self._plane.status(),
            "kept": self.kept,
            "faults": self._faults.report(),
            "not_allowed": self._front.refused(),
            "not_honoured": [asdict(notice) for notice in self.notices],
            "not_honoured_compact": compact(self.notices),
        }

    def _common(self) -> dict[str, str]:
        """Return the environment variables by which every function reaches the services here."""
        return {**CREDENTIALS, "AWS_ENDPOINT_URL": self.endpoint_url}

    def _environments(self) -> dict[str, dict[str, str]]:
        """Return each function's environment, with the addresses that a container can reach."""
        common = self._common()
        here = self.endpoint_url
        there = here.replace(HOST, CONTAINERS_HOST)
        return {
            f.logical_id: {
                name: value.replace(here, there)
                for name, value in {**common, **f.environment}.items()
            }
            for f in self.stack.functions.values()
        }

    # in the plane's thread

    async def _start_plane(self, runtime_socket: socket.socket) -> None:
        runtime = RuntimeApi(self._plane)
        server = await serve(
            runtime, runtime_socket, too_large=Response(413), max_body=RUNTIME_BODY
        )
        self._servers.append(server)
        port = runtime_socket.getsockname()[1]
        self._spans, _ = await self._loop.create_datagram_endpoint(
            partial(SpanDaemon, self._settings.state / "logs"), local_addr=(HOST, 0)
        )
        daemon = "{}:{}".format(*self._spans.get_extra_info("sockname"))
        self._plane.start(f"{HOST}:{port}", {**self._common(), "AWS_XRAY_DAEMON_ADDRESS": daemon})

    async def _start_sources(self, api_socket: socket.socket, targets: Targets) -> None:
        if (api := self.stack.api) is not None:
            # a deployed API shares answers with these pages, too
            origins = api.variables.get("CorsOrigins", "").split(",")
            gateway = guarded(Gateway(self._plane, api), origins)
            server = await serve(
                gateway,
                api_socket,
                too_large=api_errors.TOO_LARGE.response(api.responses),
                max_body=rest_api.MAX_BODY,
            )
            self._servers.append(server)
        for mapping in self.stack.mappings:
            _, _, service, _, _, name = mapping.source_arn.split(":")
            if service == "sqs":
                url = f"{self.endpoint_url}/{ACCOUNT}/{name}"
                client = self._services.client("sqs")
                driver = SqsDriver(self._plane, client, url, mapping, self._faults)
                self._tasks.append(asyncio.create_task(driver.run()))
            elif service == "kinesis":
                await self._start_stream(mapping, targets)
        alarms, composites, _ = alarms_of(self._plan)
        queues = {
            self._plan.identities[name].attributes["QueueName"]: self._plan.identities[name].ref
            for name in self._plan.of_type("AWS::SQS::Queue")
        }
        machines = [machine.arn for machine in self.stack.machines]
        measures = Measures(self._services.client, queues, machines, self._plane.errors)
        events = Events(self.stack.rules, targets.send)
        alarming = Alarming(self._services.client, alarms, composites, measures, events)
        self._tasks.append(asyncio.create_task(alarming.run()))
        for timer in self.stack.timers:
            self._tasks.append(asyncio.create_task(TimerDriver(timer, targets.send).run()))

    async def _start_stream(self, mapping: SourceMapping, targets: Targets) -> None:
        client = self._services.client
        clients = {"kinesis": KinesisReads(client("kinesis")), "cloudwatch": client("cloudwatch")}
        driver = KinesisDriver(self._plane, clients.__getitem__, mapping, self._faults, targets)
        await driver.start()
        self._tasks.append(asyncio.create_task(driver.run()))

    async def _stop_plane(self) -> None:
        for server in self._servers:
            server.close()
        for task in self._tasks:
            task.cancel()
        await self._plane.stop()
        if self._spans is not None:
            self._spans.close()

    # called from the front's threads

    def _run(self, coroutine: Any) -> Future[Any]:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop)

    def _invoke(
        self, name: str, payload: bytes, qualifier: str | None, context: str | None
    ) -> Outcome:
        outcome: Outcome = self._run(self._plane.invoke(name, payload, qualifier, context)).result()
        return outcome

    def _submit(
        self, name: str, payload: bytes, qualifier: str | None, context: str | None
    ) -> None:
        async def submit() -> None:
            self._calls.submit(name, payload, qualifier, context)

        self._run(submit()).result()

    def _call(self, name: str, payload: bytes) -> None:
        self._submit(name, payload, None, None)


def _outputs(plan: Plan, stack: Stack, api_url: str) -> dict[str, str]:
    """Return the stack's outputs, with the local API's address in place of the one on AWS."""
    api = stack.api
    if api is None:
        return plan.outputs
    remote = f"https://{api.api_id}.execute-api.{REGION}.amazonaws.com"
    staged = f"{remote}/{api.stage}"
    return {
        name: value.replace(staged, api_url).replace(remote, api_url)
        for name, value in plan.outputs.items()
    }


def _bind(port: int, option: str) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
    except OSError as error:
        listener.close()
        raise StartError(
            f"port {port} is taken; {option} takes another port (0: a free one)",
            command="quintet up --detach --port 0 --api-port 0",
        ) from error
    return listener


def _check_faults(plan: FaultPlan, stack: Stack) -> None:
    known = {function.logical_id for function in stack.functions.values()}
    unknown = sorted({*plan.kills.functions} - known)
    if unknown:
        raise StartError(
            f"the fault plan kills {', '.join(unknown)}: no such function"
            f"{suggestion(unknown[0], sorted(known))}",
            command=AGAIN,
        )
