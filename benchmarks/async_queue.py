"""Rows a second of `work` through the local AWS, one job an invocation and a hundred:
python -m benchmarks.async_queue

Two local stacks run side by side and differ only in WorkBatchSize. They take turns: jobs of one row
are in the table, their messages are sent, and the clock runs until the last job is settled. Queue,
event source, tables and invocations are the local AWS's own, so each call has its real cost there;
nothing is assumed. Both ways wait for that one process, so the report also shows the CPU time per
row of the environments of `work`.
"""

from __future__ import annotations

import statistics
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import psutil
from arro3 import io as arrow_io
from benchmarks.reports import options, report
from tests.kits.local_aws import ROOT, LocalAws, start_local_aws
from typer.testing import CliRunner

from quintet.aws.client import AwsClient
from quintet.aws.jobs import JobTable
from quintet.jobs.job import Content, Job
from quintet_cli.app import app
from quintet_publish.model_yaml import read_contract

MODELS = ("tickets", "digits")
GROUP = 100
#: of two cores, the local AWS uses one
PARAMETERS = {"WorkMaxConcurrency": "2", "WorkBatchSeconds": "1"}
PATIENCE = 300.0


@dataclass
class Stack:
    """A local stack with the models published."""

    local: LocalAws
    jobs: JobTable

    def processor_seconds(self) -> float:
        """Return the CPU time that the environments of `work` have used."""
        found = 0.0
        for child in psutil.Process(self.local.process.pid).children():
            if child.environ()["AWS_LAMBDA_FUNCTION_NAME"].endswith("-Work"):
                times = child.cpu_times()
                found += times.user + times.system
        return found

    def drained(self, jobs: Sequence[Job]) -> tuple[float, float]:
        """Return the seconds to drain the jobs, and the CPU seconds of `work` in that time.

        The time runs from the first message of the accepted jobs to the end of the last job.
        """
        for job in jobs:
            _, notice = self.jobs.accept(job)
            assert notice is not None
            self.jobs.sent(notice)
        sqs, url = self.local.client("sqs"), self.local.outputs["WorkQueueUrl"]
        entries = [
            {"Id": str(n), "MessageBody": orjson.dumps({"job": j.id, "event": "accepted"}).decode()}
            for n, j in enumerate(jobs)
        ]
        before, begun = self.processor_seconds(), time.time()
        for at in range(0, len(entries), 10):
            sqs.send_message_batch(QueueUrl=url, Entries=entries[at : at + 10])
        ends = []
        for job in reversed(jobs):  # wait for the last, which leaves a single check for most others
            while not (found := self.jobs.get(job.id)).settled:
                assert time.time() < begun + PATIENCE, f"{job.id} is {found.state}"
                time.sleep(0.5)
            assert found.state == "DONE"
            ends.append(found.updated)
        return max(ends) - begun, self.processor_seconds() - before


@contextmanager
def stack(batch: int, folder: Path) -> Iterator[Stack]:
    """Run a local stack whose `work` takes this many jobs an invocation."""
    parameters = {**PARAMETERS, "WorkBatchSize": str(batch)}
    local = start_local_aws(folder, parameters=parameters)
    try:
        for model in MODELS:
            given = ["publish", str(ROOT / "models" / model), "--state", str(folder)]
            result = CliRunner().invoke(app, given)
            assert result.exit_code == 0, result.output
        environ = {
            "AWS_ENDPOINT_URL": local.endpoint_url,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
        }
        client = AwsClient("dynamodb", environ=environ)
        yield Stack(local, JobTable(client, local.outputs["JobsTableName"], retention_days=15))
    finally:
        local.stop()


def bodies(model: str, count: int) -> list[bytes]:
    """Return requests of one row each, from the model's held-out rows."""
    package = ROOT / "models" / model
    feature = read_contract((package / "model.yaml").read_bytes()).features[0]
    table = arrow_io.read_parquet(package / "data/held_out.parquet").read_all()
    values: list[Any] = list(table.column(feature.name).to_pylist())
    if feature.shape:
        values = [np.reshape(value, feature.shape).tolist() for value in values]
    rows = (values[number % len(values)] for number in range(count))
    return [orjson.dumps({"records": [{feature.name: row}]}) for row in rows]


def made(model: str, count: int) -> list[Job]:
    """Create jobs that have not been accepted yet."""
    now = time.time()
    return [
        Job(
            id=uuid.uuid4().hex,
            owner="anonymous",
            model=model,
            version=1,
            form="records",
            request=Content("application/json", len(body), body),
            created=now,
            updated=now,
            deadline=now + 3600,
        )
        for body in bodies(model, count)
    ]


def compared(jobs: int, rounds: int) -> list[dict[str, Any]]:
    """Return each model's rows a second, and the CPU milliseconds of `work` per row, both ways."""
    speeds: dict[tuple[str, int], list[float]] = {}
    costs: dict[tuple[str, int], list[float]] = {}
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stacks:
        sides = {
            size: stacks.enter_context(stack(size, Path(folder) / str(size))) for size in (1, GROUP)
        }
        for side in sides.values():  # starts both environments, which load the models
            for model in MODELS:
                side.drained(made(model, 2 * GROUP))
        for _ in range(rounds):
            for model in MODELS:
                for size, side in sides.items():
                    seconds, busy = side.drained(made(model, jobs))
                    speeds.setdefault((model, size), []).append(jobs / seconds)
                    costs.setdefault((model, size), []).append(1000 * busy / jobs)
    median = statistics.median
    return [
        {
            "model": model,
            "one a time, rows/s": round(median(speeds[model, 1]), 1),
            f"{GROUP} a time, rows/s": round(median(speeds[model, GROUP]), 1),
            "gain": round(_gain(speeds[model, GROUP], speeds[model, 1]), 1),
            "one a time, ms/row of work": round(median(costs[model, 1]), 2),
            f"{GROUP} a time, ms/row of work": round(median(costs[model, GROUP]), 2),
            "gain of work": round(_gain(costs[model, 1], costs[model, GROUP]), 1),
        }
        for model in MODELS
    ]


def _gain(more: Sequence[float], less: Sequence[float]) -> float:
    return statistics.median(m / n for m, n in zip(more, less, strict=True))


def main() -> None:
    """Measure and report."""
    parser = options(__doc__, "async_queue")
    parser.add_argument("--jobs", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    rows = compared(given.jobs, given.rounds)
    report(
        "async_queue",
        rows,
        f"{given.rounds} rounds of {given.jobs} jobs, one row a job",
        write=given.write,
    )


if __name__ == "__main__":
    main()
