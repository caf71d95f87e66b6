"""Requests a second through the local API: python -m benchmarks.http_load

Threads with one connection each send one record a request to the example model on the local
AWS: the figures include its API, its Lambda plane, predict's processes and the client, all on the
same cores. Processor time of a request is given apart: of the local AWS's process (API, plane,
tables, logs, metrics) and of the functions' processes, with what they do with the logs.

The floor is the same HTTP server with a fixed response, under the same client: on a busy machine
it takes longer, too. A BatchGetItem reads the stored features of a customer.
"""

from __future__ import annotations

import asyncio
import csv
import http.client
import itertools
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from typing import Any
from urllib.parse import urlsplit

import psutil
from benchmarks.online_setup import MODEL, ROOT, environment, records, served_model
from benchmarks.reports import milliseconds, options, report
from tests.kits.local_aws import LocalAws

from quintet.aws.client import AwsClient
from quintet.aws.features import FeatureTable
from quintet_local.http1 import Request, Response, serve

SECONDS = 5.0
CLIENTS = (1, 4, 16)
#: seconds in which the logs of the last requests are passed on
SETTLE = 0.5


def main() -> None:
    """Measure and report."""
    asked = options(__doc__, "http_load").parse_args()
    rows = []
    many = [json.dumps({"records": [record]}).encode() for record in records(500)]
    with served_floor() as (url, server):
        rows.append({"request": "floor", "clients": 1, **measured(url, many, 1, server, [])})
    with served_model() as local:
        server = psutil.Process(local.process.pid)
        load(local.api_url, many, max(CLIENTS), 3.0)  # the processes are running by then
        functions = server.children(recursive=True)
        # for one customer, each process reads the stored features once in 5 s
        for customers, bodies in (("many customers", many), ("one customer", many[:1])):
            for clients in CLIENTS:
                found = measured(local.api_url, bodies, clients, server, functions)
                rows.append({"request": customers, "clients": clients, **found})
        rows.append({"request": "BatchGetItem", "clients": 1, **reads(local, server)})
    report(
        "http_load",
        rows,
        f"{SECONDS:g} s each; one record a request; model {MODEL}",
        write=asked.write,
    )


def measured(
    url: str,
    bodies: list[bytes],
    clients: int,
    server: psutil.Process,
    functions: list[psutil.Process],
) -> dict[str, Any]:
    """Rates and times of requests, and the processor time of one."""
    before = processor_time(server), sum(map(processor_time, functions))
    times, seconds = load(url, bodies, clients, SECONDS)
    time.sleep(SETTLE)
    after = processor_time(server), sum(map(processor_time, functions))
    return figures(times, seconds, *(b - a for a, b in zip(before, after, strict=True)))


def figures(times: list[float], seconds: float, server: float, functions: float) -> dict[str, Any]:
    """The row of a measurement, from all times and the processor seconds of both sides."""
    return {
        "requests/s": round(len(times) / seconds, 1),
        **milliseconds(times, 50, 95, 99),
        "server_ms": round(1000 * server / len(times), 3),
        "functions_ms": round(1000 * functions / len(times), 3),
    }


def processor_time(process: psutil.Process) -> float:
    """Seconds of processor time so far, of all threads; 0 when the process has ended."""
    try:
        used = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return float(used.user + used.system)


def reads(local: LocalAws, server: psutil.Process) -> dict[str, Any]:
    """Rates, times and processor time of reading customers' features from the local table."""
    with (ROOT / "models" / MODEL / "data/features.csv").open() as lines:
        (key, *names), *customers = itertools.islice(csv.reader(lines), 501)
    environ = environment(local)
    client = AwsClient("dynamodb", environ=environ)
    table = FeatureTable(client, environ["QUINTET_FEATURES_TABLE"], clock=time.time)
    before, started = processor_time(server), time.perf_counter()
    times: list[float] = []
    for customer, *_ in itertools.cycle(customers):
        begun = time.perf_counter()
        if begun > started + SECONDS:
            break
        found = table.fetch(key, [customer], names)
        times.append(time.perf_counter() - begun)
        assert found[customer].keys() == set(names)
    return figures(times, SECONDS, processor_time(server) - before, 0.0)


@contextmanager
def served_floor() -> Iterator[tuple[str, psutil.Process]]:
    """Serve a fixed response in a process of its own."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        process = get_context("fork").Process(target=_serve_fixed, args=(listener,), daemon=True)
        process.start()
        try:
            port = listener.getsockname()[1]
            yield f"http://127.0.0.1:{port}", psutil.Process(process.pid)
        finally:
            process.terminate()
            process.join()


def _serve_fixed(listener: socket.socket) -> None:
    async def answer(request: Request) -> Response:
        return Response(200, request.body)

    async def run() -> None:
        server = await serve(answer, listener, too_large=Response(413), max_body=1_000_000)
        await server.serve_forever()

    asyncio.run(run())


def load(url: str, bodies: list[bytes], clients: int, seconds: float) -> tuple[list[float], float]:
    """Return the times of all requests that `clients` threads completed, and the total time."""
    times: list[float] = []
    failures: list[int] = []
    until = time.perf_counter() + seconds

    def client(number: int) -> None:
        place = urlsplit(url)
        connection = http.client.HTTPConnection(place.hostname or "", place.port)
        mine = itertools.islice(itertools.cycle(bodies), number * 31, None)
        headers = {"Content-Type": "application/json"}
        while time.perf_counter() < until:
            started = time.perf_counter()
            connection.request("POST", f"/models/{MODEL}/predict", next(mine), headers)
            response = connection.getresponse()
            response.read()
            times.append(time.perf_counter() - started)
            if response.status != 200:
                failures.append(response.status)

    threads = [threading.Thread(target=client, args=(number,)) for number in range(clients)]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures, f"{len(failures)} requests failed: {sorted(set(failures))}"
    return times, time.perf_counter() - started


if __name__ == "__main__":
    main()
