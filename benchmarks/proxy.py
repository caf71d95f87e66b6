"""Requests through `quintet proxy`, combined and not: python -m benchmarks.proxy

Clients on this machine send one record a request, of different customers, to the example model on
the local AWS: without a proxy, through one, and through one that combines. At 50 and 200 requests a
second they arrive at random (Poisson), and a time counts from when a request was due. "most" is as
many as 64 connections get answered. Clients, proxy, API and functions share the same cores.

Calls are what the proxy counted, invocations the log lines of `predict`. Dollars are for a million
requests at list prices with the assumptions of docs/costs.md: API Gateway, Lambda, X-Ray, logs and
the reads of stored features, without captures. Each prediction is compared with that of the record
by itself, without a proxy; "fell" counts those of the fallback rule, which a busy machine causes.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import orjson
from benchmarks.costs import stage
from benchmarks.costs_million import CALL_MS, HANDLER_MS, MILLION, invocations, million
from benchmarks.online_setup import MODEL, records, served_model
from benchmarks.reports import milliseconds, report
from tests.kits.local_aws import LocalAws

CONNECTIONS = 64
ONLINE = "Online: a million requests, one record each, stored features"
#: of a row after the first, in a call: 8 % of the instructions of a call of one row, see
#: docs/benchmarks.md
ROW_MS = 0.05
PATH = f"/models/{MODEL}/predict"
JSON = {"Content-Type": "application/json"}


#: sends records to an address for so many seconds
Run = Callable[[str, Sequence[bytes], float], Coroutine[Any, Any, "Load"]]


@dataclass
class Load:
    """What became of requests: their times in seconds, and their answers by record."""

    times: list[float] = field(default_factory=list)
    answers: list[tuple[int, dict[str, Any]]] = field(default_factory=list)
    seconds: float = 0.0


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=10, help="of each load")
    parser.add_argument("--rates", type=int, nargs="*", default=[50, 200], help="requests a second")
    parser.add_argument("--batch-ms", type=float, default=5)
    parser.add_argument("--batch-rows", type=int, default=64)
    parser.add_argument("--write", action="store_true", help="write benchmarks/results, too")
    asked = parser.parse_args()
    combining = ["--batch-ms", str(asked.batch_ms), "--batch-rows", str(asked.batch_rows)]
    ways = {"none": None, "passes on": [], f"combines, {asked.batch_ms:g} ms": combining}
    rows = []
    with served_model() as local:
        bodies = [orjson.dumps({"records": [record]}) for record in records(500)]
        asyncio.run(most(local.api_url, bodies, 3.0))  # the processes are running by then
        alone = predictions(asyncio.run(each_once(local.api_url, bodies)))
        for rate in (*asked.rates, 0):
            for way, options in ways.items():
                with proxied(local, options) as url:
                    before = called(local)
                    run = arriving(rate) if rate else most
                    load = asyncio.run(run(url, bodies, asked.seconds))
                    found = figures(load, called(local) - before, alone)
                    rows.append({"requests/s": rate or "most", "proxy": way, **found})
    note = f"{asked.seconds:g} s each; one record a request; model {MODEL}"
    report("proxy", rows, note, write=asked.write)


@contextmanager
def proxied(local: LocalAws, options: Sequence[str] | None) -> Iterator[str]:
    """The address of a proxy with these options; of the API without them."""
    if options is None:
        yield local.api_url
        return
    quintet = str(Path(sys.executable).with_name("quintet"))
    command = [quintet, "proxy", "--state", str(local.state), "--port", "0", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        found = re.match(r"http://127\.0\.0\.1:\d+", process.stdout.readline())
        assert found is not None
        yield found[0]
        process.send_signal(signal.SIGTERM)
        process.stdout.read()


def figures(load: Load, calls: int, alone: dict[int, Any]) -> dict[str, Any]:
    """The figures of one load, which took so many invocations."""
    many = len(load.times)
    return {
        "answered/s": round(many / load.seconds, 1),
        **milliseconds(load.times, 50, 95),
        "requests": many,
        "invocations": calls,
        "saved": f"{1 - calls / many:.0%}",
        "$ a million": round(dollars(calls / many), 2),
        **compared(load, alone),
    }


def called(local: LocalAws) -> int:
    """The invocations of `predict` that answered records until now."""
    return local.logs("Predict").count('"message":"predicted"')


async def ask(client: aiohttp.ClientSession, url: str, body: bytes) -> dict[str, Any]:
    """The answer to a request."""
    async with client.post(url + PATH, data=body, headers=JSON) as response:
        answer = await response.read()
        assert response.status == 200, answer
        found: dict[str, Any] = orjson.loads(answer)
        return found


def session() -> aiohttp.ClientSession:
    """A client with as many connections as it needs."""
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))


async def each_once(url: str, bodies: Sequence[bytes]) -> Load:
    """Each record by itself."""
    async with session() as client:
        found = [(n, await ask(client, url, body)) for n, body in enumerate(bodies)]
    return Load(answers=found)


def arriving(rate: int) -> Run:
    """A load of so many requests a second, at random moments."""

    async def run(url: str, bodies: Sequence[bytes], seconds: float) -> Load:
        load, draw = Load(), random.Random(rate)
        due = list[float]()
        at = draw.expovariate(rate)
        while at < seconds:
            due.append(at)
            at += draw.expovariate(rate)
        async with session() as client:
            started = time.perf_counter()

            async def one(number: int, moment: float) -> None:
                await asyncio.sleep(max(0.0, started + moment - time.perf_counter()))
                place = number % len(bodies)
                load.answers.append((place, await ask(client, url, bodies[place])))
                load.times.append(time.perf_counter() - started - moment)

            await asyncio.gather(*(one(n, moment) for n, moment in enumerate(due)))
            load.seconds = time.perf_counter() - started
        return load

    return run


async def most(url: str, bodies: Sequence[bytes], seconds: float) -> Load:
    """As many requests as `CONNECTIONS` callers get answered, each one after the other."""
    load = Load()
    async with session() as client:
        started = time.perf_counter()

        async def caller(number: int) -> None:
            while (begun := time.perf_counter()) < started + seconds:
                place = number % len(bodies)
                load.answers.append((place, await ask(client, url, bodies[place])))
                load.times.append(time.perf_counter() - begun)
                number += CONNECTIONS

        await asyncio.gather(*(caller(number) for number in range(CONNECTIONS)))
        load.seconds = time.perf_counter() - started
    return load


def predictions(load: Load) -> dict[int, Any]:
    """The prediction of each record, without the ages of its features, which time changes."""
    found = {}
    for number, answer in load.answers:
        (prediction,) = answer["predictions"]
        found[number] = {k: v for k, v in prediction.items() if k != "features_age_s"}
    return found


def compared(load: Load, alone: dict[int, Any]) -> dict[str, str]:
    """How the predictions compare with those of the records by themselves.

    Those of the fallback rule are counted apart: on busy cores, reads of the store time out.
    """
    equal, fallen, apart = 0, 0, 0.0
    for answer in load.answers:
        ((number, found),) = predictions(Load(answers=[answer])).items()
        if found["fallback"] != alone[number]["fallback"]:
            fallen += 1
            continue
        equal += found == alone[number]
        pairs = zip(numbers(found), numbers(alone[number]), strict=True)
        apart = max([apart, *(abs(one - other) for one, other in pairs)])
    share = equal / (len(load.answers) - fallen)
    return {"equal to the bit": f"{share:.1%}", "most apart": f"{apart:.1g}", "fell": str(fallen)}


def numbers(value: Any) -> list[float]:
    """The numbers in a prediction."""
    if isinstance(value, dict):
        return [number for name in sorted(value) for number in numbers(value[name])]
    return [float(value)] if isinstance(value, int | float) else []


def dollars(share: float) -> float:
    """The cost of a million requests that take so many calls each."""
    of, total = stage(), 0.0
    ms = math.ceil(HANDLER_MS + CALL_MS + ROW_MS * (1 / share - 1))
    for line in million(of)[ONLINE]:
        if line.what == "Lambda":
            total += invocations(of, "Predict", MILLION * share, ms)
        else:  # stored features are read for each row
            total += line.usd * (1 if line.what == "DynamoDB" else share)
    return total


if __name__ == "__main__":
    main()
