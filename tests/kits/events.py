"""Events of events/ on a running local AWS: what they refer to, what is answered, what stays.

Whatever runs the functions (the local AWS, the emulator, `sam local`) is held to the same cases;
tests/kits/event_table.py has those of all events.
"""

from __future__ import annotations

import io
import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from arro3 import io as arrow_io
from tests.kits import batch, models
from tests.kits.aws import ROOT, environ
from tests.kits.local_aws import LocalAws
from tests.kits.registries import RegistryServer
from tests.kits.streams import METER, NOW, sequence
from tests.kits.workers import job

from quintet.aws.client import AwsClient
from quintet.aws.jobs import JobTable

__all__ = ["CASES", "Case", "event", "jobs", "plain", "prepare", "registry_of"]

JOB = "0190a5c2e7b04d6f8a1b2c3d4e5f6071"
RUN = "tiny-customers-0123456789abcdef01234567"
INBOX = "inbox"
ROWS = [batch.row(n, country="xx" if n == 7 else "de") for n in range(50)]
LOG_2, LOG_9 = 0.6931472, 2.1972246


@dataclass(frozen=True)
class Case:
    """A function's answer to an event, and what `look` then finds on the local AWS."""

    function: str
    event: str
    answer: Any
    look: Callable[[LocalAws], Any] = lambda local: None
    left: Any = None


def event(name: str) -> Any:
    """One of the events of events/."""
    return json.loads((ROOT / "events" / f"{name}.json").read_text())


def plain(value: Any) -> Any:
    """A value to be compared: bodies parsed, numbers to five digits."""
    if isinstance(value, dict):
        return {n: plain(_parsed(v) if n == "body" else v) for n, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return float(f"{value:.5g}") if isinstance(value, float) else value


def _parsed(body: Any) -> Any:
    """A body as JSON, or as it is when it is none."""
    try:
        return json.loads(body)
    except (TypeError, ValueError):
        return body


def prepare(local: LocalAws) -> None:
    """Put there what the cases refer to: models, a job, a file and the plan of its run."""
    registry, s3 = registry_of(local), local.client("s3")
    models.publish(METER, s3, local.client("dynamodb"), registry.bucket, registry.table)
    batch.publish(registry.publisher)
    s3.create_bucket(Bucket=INBOX)
    s3.put_object(Bucket=INBOX, Key="tiny/customers.csv", Body=batch.csv_bytes(ROWS))
    planned = local.client("lambda").invoke(
        FunctionName="quintet-local-PlanRun", Payload=json.dumps(event("plan_run_file")).encode()
    )
    assert "FunctionError" not in planned, planned["Payload"].read()
    now = time.time()
    times = {"created": now, "updated": now, "deadline": now + 3600}
    _, notice = jobs(local).accept(job(JOB, {"records": [{"x": 2.0}]}, **times))
    assert notice is not None
    jobs(local).sent(notice)  # the message is the event


def registry_of(local: LocalAws) -> RegistryServer:
    """Its registry."""
    names = (local.outputs[f"Registry{kind}Name"] for kind in ("Bucket", "Table"))
    return RegistryServer(local.endpoint_url, *names)


def jobs(local: LocalAws) -> JobTable:
    """Its jobs."""
    client = AwsClient("dynamodb", environ=environ(local.endpoint_url))
    return JobTable(client, local.outputs["JobsTableName"], retention_days=7)


def _job(local: LocalAws) -> Any:
    """The job's state and what was answered."""
    found = jobs(local).get(JOB)
    return found.state, json.loads(found.result.body or b"") if found.result else found.problem


def _files(local: LocalAws, output: str, prefix: str) -> dict[str, list[dict[str, Any]]]:
    """The Parquet and JSONL files of a bucket under a prefix, as rows."""
    s3, bucket = local.client("s3"), local.outputs[output]
    listed = s3.list_objects_v2(Bucket=bucket, Prefix=prefix).get("Contents", [])
    keys = [found["Key"] for found in listed if found["Key"].endswith((".parquet", ".jsonl"))]
    return {key: _rows(s3.get_object(Bucket=bucket, Key=key)["Body"].read()) for key in keys}


def _rows(content: bytes) -> list[dict[str, Any]]:
    if not content.startswith(b"PAR1"):
        return [json.loads(line) for line in content.splitlines()]
    found = arrow_io.read_parquet(io.BytesIO(content)).read_all()
    columns = {name: found[name].to_pylist() for name in found.column_names}
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _inputs_of_runs(local: LocalAws) -> list[Any]:
    """What the executions of the state machine were started with."""
    states, machine = local.client("stepfunctions"), local.outputs["BatchScoringArn"]
    found = states.list_executions(stateMachineArn=machine)["executions"]
    arns = [run["executionArn"] for run in found]
    return [json.loads(states.describe_execution(executionArn=arn)["input"]) for arn in arns]


def _scored(number: int) -> dict[str, Any]:
    """What the tiny model makes of a row of the file."""
    row = ROWS[number]
    score = 1 / (1 + math.exp(-row["amount"] * row["rate"] - row["visits"]))
    return {
        "row": number,
        "customer": row["customer"],
        "score": score,
        "parts_amount": row["amount"],
        "parts_visits": float(row["visits"]),
        "country_seen": "de",
        "model_version": 3,
    }


def _metered(number: int, meter: str, log: float) -> dict[str, Any]:
    """What the model of the stream makes of a record."""
    scores = {"logs_0": log, "logs_1": log, "model_version": 1}
    return {"sequence": sequence(number), "row": 0, "arrived": NOW, "meter": meter, **scores}


_PLACE = "date=2027-01-15/hour=08/events.shardId-000000000000"
_WINDOW = {
    "entity": "meter",
    "stream": asdict(METER.stream) if METER.stream else None,
    "length": 30.0,
    "first": sequence(0),
    "last": sequence(1),
    "greatest": NOW,
    "counters": [[NOW, 2, 0, 0, 0]],
    "starts": [NOW],
    "which": None,
    "entities": ["m1", "m2"],
    "columns": {
        "n": [1, 1],
        "sum:x": [2.0, 9.0],
        "sum:cost": [1.5, 1.5],
        "last:state": ["on", "on"],
        "time": [NOW, NOW],
        "sequence": [sequence(0), sequence(1)],
    },
}
_REFUSED = {"field": "country", "expected": "one of de, fr", "got": "'xx'"}

CASES = (
    Case(
        "Work",
        "work_jobs",
        {"batchItemFailures": []},
        _job,
        ("DONE", {"model": "log", "version": 1, "predictions": [{"logs": [LOG_2, LOG_2]}]}),
    ),
    Case(
        "ScoreStream",
        "score_stream_records",
        {"state": {"form": 1, "models": {"log": _WINDOW}}, "batchItemFailures": []},
        lambda local: _files(local, "StreamBucketName", "predictions/log/"),
        {
            f"predictions/log/{_PLACE}-{sequence(0)}.parquet": [
                _metered(0, "m1", LOG_2),
                _metered(1, "m2", LOG_9),
            ]
        },
    ),
    Case(
        "ScoreUnit",
        "score_unit_first",
        {"unit": 0, "status": "done", "rows": 50, "scored": 49, "quarantined": 1},
        lambda local: _files(local, "ScoresBucketName", f"runs/tiny/{RUN}/"),
        {
            f"runs/tiny/{RUN}/scores/part-00000.parquet": [
                _scored(n) for n, row in enumerate(ROWS) if row["country"] == "de"
            ],
            f"runs/tiny/{RUN}/quarantine/part-00000.jsonl": [
                {"row": 7, "text": "c7,1.75,0,xx,0.5", "reasons": [_REFUSED]}
            ],
        },
    ),
    Case(
        "Drop",
        "drop_put",
        {"batchItemFailures": []},
        _inputs_of_runs,
        [
            {
                "bucket": INBOX,
                "key": "tiny/My File (é+1).csv",
                "version_id": "096fKKXTRTtl3on89fVO.nfljtsv6qko",
                "model": "tiny",
            }
        ],
    ),
)
