"""Costs of a million of each pattern, from the template's sizes and the list prices."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from quintet.batch.costs import UNIT_TRANSITIONS, estimate, prices
from quintet.jobs.store import INLINE_REQUEST
from quintet_cli.sizing.assumed import (
    BATCH_MS,
    CALL_MS,
    JOB_LOG,
    JOB_MESSAGES,
    JOB_MS,
    JOB_READS,
    JOB_WRITES,
    PUT_THREADS,
    RECEIVER_MS,
    REQUEST_LOG,
)
from quintet_local.plan import Plan

__all__ = [
    "CALL_MS",
    "HANDLER_MS",
    "MILLION",
    "Line",
    "assumptions",
    "gigabytes",
    "invocations",
    "jobs_by_size",
    "million",
]

MILLION = 1_000_000

#: measured and rounded, see docs/benchmarks.md: ms of predict for one row in the records form; rows
#: a second of score_unit from Parquet
HANDLER_MS, PARQUET_ROWS = 0.6, 250_000
#: assumed: requests a second, of which X-Ray samples the first and 5 % of the others
PER_SECOND = 100
TRACED = (1 + 0.05 * (PER_SECOND - 1)) / PER_SECOND
#: the writes that bill each further kilobyte of a request in the item: three transactions, and the
#: record of the callback
REQUEST_WRITES = 7
#: bytes of a job's item without its request
ITEM_BYTES = 1_000
#: measured: bytes of a capture's line for one row of 30 features, and in the table; ms of `capture`
#: and of `compact` for a row
CAPTURE_LOG, CAPTURE_BYTES, CAPTURE_MS = 1_100, 130, 0.05
#: measured: ms of `compare` for a row, of objects of 100 rows
COMPARE_MS = 0.05
#: assumed: lines in one delivery of CloudWatch Logs
DELIVERED = 100
#: measured by benchmarks/candidates.py: users a second of a unit; counted: bytes of an item
CANDIDATE_USERS, CANDIDATE_BYTES = 2_500, 1_350
#: `candidates.nights` of 2, and a week
KEPT_NIGHTS = 9
#: bytes of a row of 30 features in Parquet: 1.2 GB for ten million, see docs/benchmarks.md
ROW_BYTES = 120


@dataclass(frozen=True)
class Line:
    """One line of a bill: its item, dollars, and how they are calculated."""

    what: str
    usd: float
    how: str


def million(of: Plan) -> dict[str, list[Line]]:
    """Return the cost of a million of each pattern, by pattern."""
    return {
        "Online: a million requests, one record each, stored features": _online(of),
        "Asynchronous: a million jobs, one record each, 100 together, with a callback": _jobs(of),
        "Streaming: a million records in full batches, each of a different entity": _stream(of),
        "Batch: a million rows of 30 features in Parquet": _batch(of),
        "Candidates: a million users, 200 items each": _candidates(of),
        "Captures: a million rows of 30 features, online, one in each request": _captures(of),
        "Rollouts: a million captured rows compared, in shadow": _compared(of),
        "Look-up: a million latest scores by entity": _get_scores(of),
    }


def _online(of: Plan) -> list[Line]:
    table = prices()
    ms = math.ceil(HANDLER_MS + CALL_MS)
    read = table["dynamodb"]["read_unit"] / 2
    return [
        *_front(MILLION),
        Line("Lambda", invocations(of, "Predict", MILLION, ms), f"{ms} ms"),
        Line("DynamoDB", MILLION * read, "one entity each, eventually consistent, uncached"),
        _logs(MILLION * REQUEST_LOG),
    ]


def _jobs(of: Plan) -> list[Line]:
    table = prices()
    accept, notify = math.ceil(HANDLER_MS + 3 * CALL_MS), RECEIVER_MS + 2 * CALL_MS
    batch = int(of.of_type("AWS::Lambda::EventSourceMapping")["WorkAccepted"]["BatchSize"])
    usd = invocations(of, "Predict", MILLION, accept)
    usd += invocations(of, "Work", MILLION / batch, batch * JOB_MS)
    usd += invocations(of, "Notify", MILLION, notify)
    writes = JOB_WRITES * table["dynamodb"]["write_unit"]
    return [
        *_front(MILLION),
        Line(
            "Lambda",
            usd,
            f"`predict` {accept} ms, `work` {JOB_MS}, `notify` {RECEIVER_MS + 2 * CALL_MS}",
        ),
        Line(
            "DynamoDB",
            MILLION * (writes + JOB_READS * table["dynamodb"]["read_unit"]),
            f"{JOB_WRITES} writes (transactions, indexes, outbox), {JOB_READS} reads",
        ),
        Line("SQS", MILLION * JOB_MESSAGES * table["sqs"]["request"], f"{JOB_MESSAGES} calls"),
        _logs(MILLION * (REQUEST_LOG + JOB_LOG)),
    ]


def jobs_by_size(sizes: Sequence[int]) -> list[Line]:
    """Return the DynamoDB and S3 costs of a million jobs by request size in kilobytes."""
    table = prices()
    lines = []
    for size in sizes:
        inline = size * 1000 <= INLINE_REQUEST
        kilobytes = math.ceil((ITEM_BYTES + inline * size * 1000) / 1024)
        writes = JOB_WRITES + REQUEST_WRITES * (kilobytes - 1)
        reads = JOB_READS * math.ceil(kilobytes / 4)
        usd = writes * table["dynamodb"]["write_unit"] + reads * table["dynamodb"]["read_unit"]
        how = f"{writes} writes, {reads} reads"
        if not inline:
            usd += table["s3"]["write"] + table["s3"]["read"]
            how += ", one write and one read of S3"
        lines.append(Line(f"{size} KB", MILLION * usd, how))
    return lines


def _stream(of: Plan) -> list[Line]:
    table = prices()
    source = of.of_type("AWS::Lambda::EventSourceMapping")["ScoreStreamArrived"]
    batches = MILLION / int(source["BatchSize"])
    # threads put the latest scores; in addition an object and some checkpoints
    ms = BATCH_MS + int(source["BatchSize"]) / PUT_THREADS * CALL_MS + 10 * CALL_MS
    return [
        Line("Kinesis", MILLION * table["kinesis"]["put_unit"], "records of up to 25 KB"),
        Line("Lambda", invocations(of, "ScoreStream", batches, ms), f"{ms:.0f} ms per batch"),
        Line(
            "DynamoDB",
            (MILLION + 10 * batches) * table["dynamodb"]["write_unit"],
            "the latest scores: one write per entity and batch",
        ),
        Line("S3", batches * 2 * table["s3"]["write"], "one object per batch, and quarantine"),
        _logs(batches * REQUEST_LOG),
    ]


def _batch(of: Plan) -> list[Line]:
    unit = int(of.template.parameters["UnitTargetBytes"])
    units = math.ceil(MILLION * ROW_BYTES / unit)
    memory = of.of_type("AWS::Lambda::Function")["ScoreUnit"]["MemorySize"]
    parts = estimate(units=units, busy_seconds=MILLION / PARQUET_ROWS, memory_mb=memory)["parts"]
    seconds = f"{units} units, {MILLION / PARQUET_ROWS:.1f} s of scoring in total"
    return [
        Line("Lambda", parts["lambda"], seconds),
        Line("Step Functions", parts["step_functions"], f"1 run, {UNIT_TRANSITIONS} per unit"),
        Line("S3", parts["s3"], "reads and writes of the units"),
    ]


def _candidates(of: Plan) -> list[Line]:
    table, memory = prices(), of.of_type("AWS::Lambda::Function")["ScoreUnit"]["MemorySize"]
    gigabyte_seconds = MILLION / CANDIDATE_USERS * memory / 1024
    kept = MILLION * CANDIDATE_BYTES * KEPT_NIGHTS / 1e9
    month = table["dynamodb"]["gb_month"] + table["dynamodb"]["recovery_gb_month"]
    return [
        Line(
            "Lambda",
            gigabyte_seconds * table["lambda"]["gb_second"],
            f"{CANDIDATE_USERS:,} users a second",
        ),
        Line("DynamoDB", MILLION * 2 * table["dynamodb"]["write_unit"], "2 write units a user"),
        Line("DynamoDB, a month", kept * month, f"{kept:.2g} GB, {KEPT_NIGHTS} nights kept"),
    ]


def _captures(of: Plan) -> list[Line]:
    s3, deliveries = prices()["s3"], MILLION / DELIVERED
    each = invocations(of, "Capture", deliveries, DELIVERED * CAPTURE_MS + CALL_MS)
    # compact reads and deletes (which is free) each object
    usd = (
        each
        + invocations(of, "Compact", 0, 0)
        + MILLION * CAPTURE_MS / 1000 * gigabytes(of, "Compact") * prices()["lambda"]["gb_second"]
    )
    days = MILLION * CAPTURE_BYTES / 1e9 * s3["gb_month"]
    return [
        _logs(MILLION * CAPTURE_LOG),
        Line("Lambda", usd, f"`capture` and `compact`, {CAPTURE_MS} ms a row each"),
        Line("S3", deliveries * (s3["write"] + s3["read"]), f"an object per {DELIVERED} lines"),
        Line("S3, a month", days, f"{MILLION * CAPTURE_BYTES / 1e9:.2g} GB"),
    ]


def _compared(of: Plan) -> list[Line]:
    """Each object of captures is read, and evidence and shadow captures are written."""
    table, objects = prices(), MILLION / DELIVERED
    ms = DELIVERED * COMPARE_MS + 3 * CALL_MS
    return [
        Line("SQS", objects * 3 * table["sqs"]["request"], f"a message per {DELIVERED} rows"),
        Line("Lambda", invocations(of, "Compare", objects, ms), f"{COMPARE_MS} ms a row, 3 calls"),
        Line("S3", objects * (table["s3"]["read"] + 2 * table["s3"]["write"]), "per message"),
    ]


def _get_scores(of: Plan) -> list[Line]:
    ms = math.ceil(HANDLER_MS + CALL_MS)
    return [
        *_front(MILLION),
        Line("Lambda", invocations(of, "GetScores", MILLION, ms), f"{ms} ms"),
        Line("DynamoDB", MILLION * prices()["dynamodb"]["read_unit"], "one consistent read each"),
        _logs(MILLION * REQUEST_LOG),
    ]


def _front(requests: int) -> Iterable[Line]:
    table = prices()
    yield Line("API Gateway", requests * table["api_gateway"]["request"], "REST API")
    traced = requests * TRACED * table["xray"]["trace"]
    yield Line(
        "X-Ray", traced, f"{TRACED:.1%} traced at {PER_SECOND} requests a second; all at one"
    )


def _logs(size: float) -> Line:
    usd = size / 1e9 * prices()["cloudwatch"]["log_gb"]
    return Line("logs", usd, f"{size / 1e9:.2g} GB ingested, metrics included")


def gigabytes(of: Plan, function: str) -> float:
    return int(of.of_type("AWS::Lambda::Function")[function]["MemorySize"]) / 1024


def invocations(of: Plan, function: str, calls: float, ms: float) -> float:
    table = prices()["lambda"]
    gb_seconds = calls * ms / 1000 * gigabytes(of, function)
    return float(calls * table["request"] + gb_seconds * table["gb_second"])


def assumptions() -> list[str]:
    """Return the assumptions behind the figures."""
    return [
        "- Measured ([benchmarks](benchmarks.md)), rounded, on a machine that is not Lambda: "
        f"{HANDLER_MS} ms of `predict` for one record, {JOB_MS} ms of `work` for one of 100 jobs, "
        f"{BATCH_MS} ms of `score_stream` for 1,000 records without its calls, "
        f"{PARQUET_ROWS:,} rows a second of `score_unit` from Parquet.",
        f"- Measured in the log files of the local AWS: {REQUEST_LOG:,} bytes a request, {JOB_LOG} "
        f"more a job.",
        f"- Assumed: {CALL_MS} ms for each call of DynamoDB, SQS or S3; {RECEIVER_MS} ms for a "
        f"callback's receiver; {PER_SECOND} requests a second, for X-Ray's sampling; no cold "
        f"starts.",
        f"- Counted in the code: {JOB_WRITES} writes, {JOB_READS} reads and {JOB_MESSAGES} calls "
        "of SQS per job.",
    ]
