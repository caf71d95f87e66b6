"""Requests a second through the local API: python -m benchmarks.http_load

Threads with one connection each send one record a request to the example model on the local
AWS: the figures include its API, its Lambda plane, predict's processes and the client, all on the
same cores.
"""

from __future__ import annotations

import http.client
import itertools
import json
import threading
import time
from urllib.parse import urlsplit

from benchmarks.online_setup import MODEL, records, served_model
from benchmarks.reports import milliseconds, options, report

SECONDS = 5.0
CLIENTS = (1, 4, 16)


def main() -> None:
    """Measure and report."""
    asked = options(__doc__, "http_load").parse_args()
    rows = []
    with served_model() as local:
        many = [json.dumps({"records": [record]}).encode() for record in records(500)]
        load(local.api_url, many, max(CLIENTS), 3.0)  # the processes are running by then
        # for one customer, each process reads the stored features once in 5 s
        for customers, bodies in (("many", many), ("one", many[:1])):
            for clients in CLIENTS:
                times, seconds = load(local.api_url, bodies, clients, SECONDS)
                rows.append(
                    {
                        "customers": customers,
                        "clients": clients,
                        "requests/s": round(len(times) / seconds, 1),
                        **milliseconds(times, 50, 95, 99),
                    }
                )
    report(
        "http_load",
        rows,
        f"{SECONDS:g} s each; one record a request; model {MODEL}",
        write=asked.write,
    )


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
