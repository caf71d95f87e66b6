"""One record over HTTP beside other servers: python -m benchmarks.peers.online [--rounds 5]

Each server answers the same request of the Open Inference Protocol (1 x 30 floats, JSON) from the
same graph of 100 trees, in one process where it can, on a core of its own; the client is on the
other. They run side by side and are asked in turn. The processor time is that of all of a server's
processes. Quintet's is its handler behind a lean loop: Lambda's own work is not in it.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from benchmarks.peers.environments import ROOT, SkippedPeer, python_of, variables_of
from benchmarks.reports import options, report, spread
from benchmarks.score_unit import make

SERVERS = Path(__file__).parent / "servers"
OURS = "Quintet's handler, lean loop"
TENSOR = {"name": "x", "shape": [1, 30], "datatype": "FP32"}
BODY = json.dumps({"inputs": [{**TENSOR, "data": [round(0.1 * n, 1) for n in range(30)]}]})
#: how long a server may take to answer first
START_SECONDS = 120
#: a server's environment, and its command after the interpreter's folder
PEERS: dict[str, tuple[str, Callable[[Path, int], list[str]]]] = {
    "FastAPI": (
        "fastapi",
        lambda bin_, port: [
            f"{bin_}/uvicorn", "fastapi_app:app", "--port", str(port), "--no-access-log"
        ],
    ),
    "MLServer": ("mlserver", lambda bin_, port: [f"{bin_}/mlserver", "start", "."]),
    "KServe": ("kserve", lambda bin_, port: [f"{bin_}/python", "kserve_app.py", str(port)]),
    "LitServe": ("litserve", lambda bin_, port: [f"{bin_}/python", "litserve_app.py", str(port)]),
    "BentoML": (
        "bentoml",
        lambda bin_, port: [f"{bin_}/bentoml", "serve", "bentoml_app:Peer", "--port", str(port)],
    ),
}  # fmt: skip


class Server:
    """A server that runs, and the requests it gets."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, path: str) -> None:
        self.process, self.path = psutil.Process(process.pid), path
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)

    def ask(self) -> bytes:
        """One request."""
        headers = {"Content-Type": "application/json"}
        self._connection.request("POST", self.path, BODY, headers)
        response = self._connection.getresponse()
        answer = response.read()
        if response.status != 200:
            raise OSError(f"status {response.status}: {answer[:200]!r}")
        return answer

    def close(self) -> None:
        """Close the connection; the next request opens another."""
        self._connection.close()

    def processor(self) -> float:
        """The processor time of its processes so far, in seconds."""
        found = 0
        for one in [self.process, *self.process.children(recursive=True)]:
            for thread in Path(f"/proc/{one.pid}/task").glob("*/schedstat"):
                found += int(thread.read_text().split()[0])
        return found / 1e9

    def block(self, seconds: float) -> tuple[float, float]:
        """Processor milliseconds a request, and the median time of one."""
        self.close()  # some servers close what was idle for five seconds
        self.ask()
        begun, times = self.processor(), []
        until = time.perf_counter() + seconds
        while (now := time.perf_counter()) < until:
            self.ask()
            times.append(time.perf_counter() - now)
        spent = self.processor() - begun
        return spent * 1000 / len(times), float(np.median(times)) * 1000


def free_port() -> int:
    """A port that is free now."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@contextmanager
def running(name: str, graph: Path) -> Iterator[Server]:
    """A server that has answered.

    Raises:
        SkippedPeer: it does not.
    """
    port, path = free_port(), "/v2/models/trees/infer"
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        if name == OURS:
            path = "/v2/models/bench/infer"
            command = [sys.executable, "-m", "benchmarks.peers.servers.quintet_app", str(port)]
            variables, where = dict(os.environ) | {"PYTHONPATH": str(ROOT)}, ROOT
        else:
            environment, made = PEERS[name]
            command = made(python_of(environment).parent, port)
            variables, where = variables_of(environment), folder
            for script in SERVERS.glob("*.py"):
                (folder / script.name).write_text(script.read_text())
            _settings_of_mlserver(folder, port)
        log = (folder / "log").open("w+b")
        cores = sorted(os.sched_getaffinity(0))
        process = subprocess.Popen(
            command,
            cwd=where,
            env=variables | {"GRAPH": str(graph)},
            stdout=subprocess.DEVNULL,
            stderr=log,
            start_new_session=True,
        )
        os.sched_setaffinity(process.pid, cores[-1:])
        try:
            yield _answering(name, Server(process, port, path), process, folder / "log")
        finally:
            # BentoML's workers have a session of their own
            started = psutil.Process(process.pid).children(recursive=True)
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            for one in started:
                with suppress(psutil.NoSuchProcess):
                    one.kill()


def _settings_of_mlserver(folder: Path, port: int) -> None:
    ports = {"http_port": port, "grpc_port": free_port(), "metrics_port": free_port()}
    settings = {**ports, "host": "127.0.0.1", "parallel_workers": 0, "debug": False}
    (folder / "settings.json").write_text(json.dumps(settings))
    model = {"name": "trees", "implementation": "mlserver_model.Peer"}
    (folder / "model-settings.json").write_text(json.dumps(model))


def _answering(name: str, server: Server, process: subprocess.Popen[bytes], log: Path) -> Server:
    until, last = time.monotonic() + START_SECONDS, ""
    while time.monotonic() < until and process.poll() is None:
        try:
            answer = json.loads(server.ask())
        except (OSError, http.client.HTTPException, ValueError) as error:
            last = str(error)
            server.close()
            time.sleep(0.3)
            continue
        assert len(answer["outputs"][0]["data"]) == 2, answer
        return server
    lines = log.read_text(errors="replace").strip().splitlines() or [""]
    raise SkippedPeer(f"{name} did not answer: {last or lines[-1][:200]}")


def main() -> None:
    """Measure and report."""
    parser = options(__doc__, "peers.online")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0, help="of a server in a round")
    parser.add_argument("--only", nargs="+", choices=PEERS, default=list(PEERS))
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as place, ExitStack() as stack:
        make(Path(place), 100)
        servers = {}
        for name in (OURS, *given.only):
            try:
                servers[name] = stack.enter_context(running(name, Path(place) / "model.onnx"))
            except SkippedPeer as error:
                print(f"skipped {name}: {error}")
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:1])
        found: dict[str, list[tuple[float, float]]] = {name: [] for name in servers}
        for turn in range(given.rounds + 1):
            for name, server in servers.items():
                measured = server.block(given.seconds)
                if turn:  # the first warms up
                    found[name].append(measured)
    rows: list[dict[str, Any]] = []
    for name, blocks in found.items():
        ratios = [one[0] / ours[0] for one, ours in zip(blocks, found[OURS], strict=True)]
        row = {"processor ms a request": spread([one[0] for one in blocks])}
        row |= {"of Quintet's": spread(ratios, 2), "p50 ms": spread([one[1] for one in blocks])}
        rows.append({"server": name, **row})
    note = f"{given.rounds} rounds of {given.seconds:g} s each, one client, 1 x 30 floats, JSON"
    report("peers_online", rows, note, write=given.write)


if __name__ == "__main__":
    main()
