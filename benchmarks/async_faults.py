"""Jobs under injected faults: python -m benchmarks.async_faults --jobs 20000

Submits jobs to the local AWS while a seeded plan makes calls fail, throttle and lose their
responses, delivers messages twice and kills workers; then counts the outcomes of the jobs. Exits
with 1 if a job was lost, ended twice, ended wrongly or was announced under two ids.
"""

from __future__ import annotations

import http.client
import json
import sys
import tempfile
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import onnx
from benchmarks.reports import options, report
from numpy.typing import NDArray
from rich.progress import Progress
from tests.kits.local_aws import FREE_PORTS, ROOT, LocalAws, start_local_aws
from typer.testing import CliRunner

from quintet.jobs.job import SETTLED
from quintet_cli.app import app
from quintet_cli.receiver import Received, Receiver, receiving
from quintet_publish.kit import contract_of, predict, read_table

MODEL = "tickets"
NOTE = "10 % of the functions' calls fail, 5 % of the messages come twice, 20 % of work's calls die"
PACKAGE = ROOT / "models" / MODEL
ENDPOINT = "bench"
DIFFERENT = 100  # texts: each job has one of these
CLIENTS = 8
#: open jobs before clients wait: a queue that only grows shows nothing more
MOST_OPEN = 1_000
TRIES = 30
#: a killed worker's message returns after the queue's visibility timeout
PARAMETERS = {
    "WorkBatchSize": "20",
    "WorkTimeoutSeconds": "5",
    "WorkMaxConcurrency": "4",
}
#: 10 % of the calls have some fault
RATES = {"errors": 0.04, "throttles": 0.03, "lost_replies": 0.03}


def fault_plan(seed: int) -> dict[str, Any]:
    """Return the faults to inject."""
    return {
        "seed": seed,
        "calls": {"dynamodb": RATES, "s3": RATES, "sqs": RATES},
        "duplicates": 0.05,
        "kills": {"share": 0.2, "functions": ["Work"]},
    }


@dataclass(frozen=True)
class Found:
    """The outcome of the jobs. In a good run, all but the first five are 0."""

    jobs: int
    seconds: float
    states: dict[str, int]
    attempts: dict[str, int]
    happened: dict[str, int]
    #: keys that did not lead to exactly one job, jobs in no terminal state, jobs in the table that
    #: nobody submitted
    unanswered: int
    open: int
    surplus: int
    #: jobs that are DONE with a result other than the model's
    wrong: int
    #: jobs without a verified callback; with two ids; with callbacks for two outcomes
    unannounced: int
    announced_twice: int
    contradicted: int

    @property
    def good(self) -> bool:
        """Whether no job was lost, ended twice or wrongly, or had a wrong callback."""
        return not any(
            (
                self.unanswered,
                self.open,
                self.surplus,
                self.wrong,
                self.unannounced,
                self.announced_twice,
                self.contradicted,
            )
        )


class Submitter:
    """A correct client: it retries under the same key until it gets a response."""

    def __init__(self, local: LocalAws, bodies: Sequence[bytes], told: Sequence[Received]) -> None:
        self._told = told
        self._address = urlsplit(local.api_url).netloc
        self._bodies = bodies
        #: job ids by key
        self.ids: dict[str, set[str]] = {}
        self._lock = threading.Lock()

    def submit(self, number: int) -> None:
        """Submit a job; submit every twentieth a second time."""
        while len(self.ids) - len(self._told) > MOST_OPEN:
            time.sleep(0.1)
        key = f"key-{number}"
        for _ in range(1 + (number % 20 == 0)):
            identity = self._accepted(key, self._bodies[number % len(self._bodies)])
            with self._lock:
                self.ids.setdefault(key, set()).add(identity)

    def _accepted(self, key: str, body: bytes) -> str:
        headers = {
            "Content-Type": "application/json",
            "Prefer": "respond-async",
            "Idempotency-Key": key,
            "X-Quintet-Callback": ENDPOINT,
        }
        for _ in range(TRIES):
            status, answer = self._post(body, headers)
            if status == 202:
                return str(json.loads(answer)["id"])
            if status is not None and status < 500:
                break
            time.sleep(0.05)
        raise AssertionError(f"{key}: {status} {answer!r}")

    def _post(self, body: bytes, headers: dict[str, str]) -> tuple[int | None, bytes]:
        connection = http.client.HTTPConnection(self._address, timeout=60)
        try:
            connection.request("POST", f"/models/{MODEL}/predict", body, headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        except (OSError, http.client.HTTPException):
            return None, b""
        finally:
            connection.close()


def run(
    jobs: int,
    seed: int,
    state: Path,
    *,
    patience: float,
    show: bool = False,
    through: tuple[str, ...] = (),
) -> Found:
    """Submit the jobs under the seed's faults, wait until they end, and count.

    `through` is a command that becomes the local AWS.
    """
    state.mkdir(parents=True, exist_ok=True)
    plan = state / "faults.json"
    plan.write_text(json.dumps(fault_plan(seed)))
    options = (*FREE_PORTS, "--faults", str(plan))
    local = start_local_aws(state, parameters=PARAMETERS, options=options, through=through)
    receiver = Receiver()
    try:
        with receiving(receiver) as url:
            _quintet(local, "publish", str(PACKAGE))
            receiver.secrets.append(_secret(_quintet(local, "endpoints", "add", ENDPOINT, url)))
            return _measured(local, receiver, jobs, patience, show)
    finally:
        local.stop()


def _quintet(local: LocalAws, *arguments: str) -> str:
    """Run the `quintet` command."""
    result = CliRunner().invoke(app, [*arguments, "--state", str(local.state)])
    assert result.exit_code == 0, f"{arguments}: {result.output} {result.exception}"
    return result.output


def _secret(output: str) -> str:
    return next(word for word in output.split() if word.startswith("whsec_"))


def _measured(local: LocalAws, receiver: Receiver, jobs: int, patience: float, show: bool) -> Found:
    begun = time.monotonic()
    texts = read_table(PACKAGE / "data" / "held_out.parquet")["text"][:DIFFERENT]
    bodies = [json.dumps({"records": [{"text": text}]}).encode() for text in texts]
    submitter = Submitter(local, bodies, receiver.received)
    with Progress(disable=not show) as progress:
        submitted = progress.add_task("submitted", total=jobs)
        settled = progress.add_task("settled and told", total=jobs)
        with ThreadPoolExecutor(CLIENTS) as pool:
            for _ in pool.map(submitter.submit, range(jobs)):
                progress.advance(submitted)
        told, moved = 0, time.monotonic()
        while time.monotonic() < moved + patience:
            time.sleep(1)
            _replay(local)
            if len(receiver.received) != told:
                told, moved = len(receiver.received), time.monotonic()
            heard = {received.content["data"]["job"] for received in receiver.received[:told]}
            progress.update(settled, completed=len(heard))
            if len(heard) >= jobs and _at_rest(local):
                break
    seconds = time.monotonic() - begun
    return _found(
        local,
        ids=submitter.ids,
        items={item["job"]["S"]: item for item in _items(local)},
        received=receiver.received,
        expected=_expected(texts),
        seconds=seconds,
    )


def _replay(local: LocalAws) -> None:
    """Replay dead letters of work, as an operator would."""
    name = "ApproximateNumberOfMessages"
    url = local.outputs["WorkDeadLettersUrl"]
    got = local.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=[name])
    if int(got["Attributes"][name]):
        _quintet(local, "dlq", "replay", "work")


def _at_rest(local: LocalAws) -> bool:
    """Whether all activity has ended: a replayed job ends a second time."""
    counts = [
        "ApproximateNumberOfMessages",
        "ApproximateNumberOfMessagesNotVisible",
        "ApproximateNumberOfMessagesDelayed",
    ]
    for queue in ("WorkDeadLetters", "NotifyQueue"):  # WorkQueue may hold settled jobs
        url = local.outputs[f"{queue}Url"]
        got = local.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=counts)
        if any(int(got["Attributes"][count]) for count in counts):
            return False
    return all("outbox" not in item for item in _scanned(local))


def _items(local: LocalAws) -> list[dict[str, Any]]:
    """Return the jobs in the table, as they are stored."""
    return [item for item in _scanned(local) if "#" not in item["job"]["S"]]


def _scanned(local: LocalAws) -> Iterator[dict[str, Any]]:
    """Return all items of the table: open jobs and unsent notifications have an `outbox`."""
    pages = local.client("dynamodb").get_paginator("scan")
    for page in pages.paginate(TableName=local.outputs["JobsTableName"], ConsistentRead=True):
        yield from page["Items"]


def _expected(texts: NDArray[Any]) -> list[tuple[str, list[float]]]:
    """Return each text's label and probabilities, computed by the graph itself."""
    model = onnx.load(PACKAGE / "model.onnx")
    outputs = predict(model, contract_of(PACKAGE), {"text": texts})
    return list(zip(outputs["label"], outputs["probabilities"].tolist(), strict=True))


def _is_right(item: Mapping[str, Any], expected: tuple[str, list[float]]) -> bool:
    """Whether a job's result equals the graph's output."""
    (prediction,) = json.loads(bytes(item["result"]["M"]["body"]["B"]))["predictions"]
    label, probabilities = expected
    got = list(prediction["probabilities"].values())
    return bool(prediction["label"] == label and np.allclose(got, probabilities, rtol=0, atol=1e-6))


def _found(
    local: LocalAws,
    *,
    ids: Mapping[str, set[str]],
    items: Mapping[str, Mapping[str, Any]],
    received: Sequence[Received],
    expected: Sequence[tuple[str, list[float]]],
    seconds: float,
) -> Found:
    states = {job: item["state"]["S"] for job, item in items.items()}
    asked = {
        next(iter(found)): int(key.removeprefix("key-"))
        for key, found in ids.items()
        if len(found) == 1
    }
    done = [job for job in asked if states.get(job) == "DONE"]
    told: dict[str, set[str]] = {}
    bodies: dict[str, set[bytes]] = {}
    for callback in received:
        if callback.verified:
            told.setdefault(callback.content["data"]["job"], set()).add(callback.id)
            bodies.setdefault(callback.id, set()).add(callback.body)
    return Found(
        jobs=len(ids),
        seconds=round(seconds, 1),
        states=dict(Counter(states.values())),
        attempts=dict(sorted(Counter(item["attempts"]["N"] for item in items.values()).items())),
        happened=_happened(local),
        unanswered=len(ids) - len(asked) + len(asked.keys() - items.keys()),
        open=sum(state not in SETTLED for state in states.values()),
        surplus=len(items.keys() - asked.keys()),
        wrong=sum(not _is_right(items[job], expected[asked[job] % DIFFERENT]) for job in done),
        unannounced=len(items.keys() - told.keys()),
        announced_twice=sum(
            len(names) > 1 + int(items[job].get("reopened", {"N": "0"})["N"])
            for job, names in told.items()
            if job in items
        ),
        contradicted=sum(len(different) > 1 for different in bodies.values()),
    )


def _happened(local: LocalAws) -> dict[str, int]:
    with urllib.request.urlopen(f"{local.endpoint_url}/_quintet/health") as answer:
        counts: dict[str, int] = json.load(answer)["faults"]["happened"]
    return counts


def main() -> int:
    """Run the benchmark and report."""
    parser = options(__doc__, "async_faults")
    parser.add_argument("--jobs", type=int, default=2_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--patience", type=float, default=600, help="seconds without news")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = run(given.jobs, given.seed, Path(folder), patience=given.patience, show=True)
    result = {**asdict(found), "seed": given.seed, "good": found.good}
    report(
        "async_faults",
        [{"figure": k, "value": str(v)} for k, v in result.items()],
        NOTE,
        write=given.write,
    )
    return 0 if found.good else 1


if __name__ == "__main__":
    sys.exit(main())
