"""The events that a function and a destination receive from a stream, in Lambda's forms."""

from __future__ import annotations

import base64
import json
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from quintet_local.names import REGION
from quintet_local.sources.kinesis import Discard, Record, Window

__all__ = ["Source", "event", "failure_key", "failure_record"]


@dataclass(frozen=True, slots=True)
class Source:
    """The source of the records, with the mapping and the function."""

    mapping_id: str
    stream_arn: str
    function_arn: str
    role_arn: str
    window: int = 0


def event(
    source: Source,
    shard: str,
    records: tuple[Record, ...],
    window: Window | None = None,
    final: bool = False,
) -> dict[str, Any]:
    """Build the event of a call.

    https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-windows.html; the two flags are
    explained in https://docs.rs/aws_lambda_events/latest/aws_lambda_events/time_window/. AWS does
    not say whether the call that ends a window has records: here it has none.
    """
    found: dict[str, Any] = {"Records": [_record(source, shard, record) for record in records]}
    if window is not None:
        found |= {
            "window": {"start": _stamp(window.start), "end": _stamp(window.start + source.window)},
            "state": window.state,
            "shardId": shard,
            "eventSourceARN": source.stream_arn,
            # a window that ends early continues with an empty state: this is not its last call
            "isFinalInvokeForWindow": final and not window.early,
            "isWindowTerminatedEarly": final and window.early,
        }
    return found


def _record(source: Source, shard: str, record: Record) -> dict[str, Any]:
    return {
        "kinesis": {
            "kinesisSchemaVersion": "1.0",
            "partitionKey": record.partition_key,
            "sequenceNumber": record.sequence,
            "data": base64.b64encode(record.data).decode(),
            "approximateArrivalTimestamp": record.arrived,
        },
        "eventSource": "aws:kinesis",
        "eventVersion": "1.0",
        "eventID": f"{shard}:{record.sequence}",
        "eventName": "aws:kinesis:record",
        "invokeIdentityArn": source.role_arn,
        "awsRegion": REGION,
        "eventSourceARN": source.stream_arn,
    }


def failure_record(
    source: Source, shard: str, discard: Discard, now: float, *, full: bool
) -> dict[str, Any]:
    """Build the OnFailure destination's document; `full` includes the records, for S3 only.

    https://docs.aws.amazon.com/lambda/latest/dg/kinesis-on-failure-destination.html; the contexts
    for
    failures other than function errors, and for expired records, are as recorded from AWS in
    https://github.com/localstack/localstack/tree/main/tests/aws/services/lambda_/event_source_mapping
    """
    old = discard.condition == "RecordAgeExceeded"
    first, last = discard.records[0], discard.records[-1]
    found: dict[str, Any] = {
        "requestContext": {
            "requestId": str(uuid.uuid4()),
            "functionArn": source.function_arn,
            "condition": discard.condition,
            "approximateInvokeCount": 1 if old else discard.calls,
        },
        "version": "1.0",
        "timestamp": _stamp(now, "milliseconds"),
        "KinesisBatchInfo": {
            "shardId": shard,
            "startSequenceNumber": first.sequence,
            "endSequenceNumber": last.sequence,
            "approximateArrivalOfFirstRecord": _stamp(first.arrived, "milliseconds"),
            "approximateArrivalOfLastRecord": _stamp(last.arrived, "milliseconds"),
            "batchSize": len(discard.records),
            "streamArn": source.stream_arn,
        },
    }
    if (answer := discard.answer) is not None and not old:
        found["responseContext"] = {
            "statusCode": 200,
            "executedVersion": answer.version,
            "functionError": "Unhandled" if answer.error else None,
        }
    if full:
        # the page: "the payload field contains the original invocation record as an escaped
        # JSON string"
        found["payload"] = json.dumps(event(source, shard, discard.records, discard.window))
    return found


def failure_key(source: Source, shard: str, now: float, name: uuid.UUID) -> str:
    """Return `aws/lambda/<ESM-UUID>/<shardID>/YYYY/MM/DD/YYYY-MM-DDTHH.MM.SS-<Random UUID>`"""
    moment = datetime.fromtimestamp(now, UTC)
    folder = f"aws/lambda/{source.mapping_id}/{shard}/{moment:%Y/%m/%d}"
    return f"{folder}/{moment:%Y-%m-%dT%H.%M.%S}-{name}"


def _stamp(seconds: float, detail: str = "seconds") -> str:
    moment = datetime.fromtimestamp(seconds, UTC)
    return moment.isoformat(timespec=detail).replace("+00:00", "Z")
