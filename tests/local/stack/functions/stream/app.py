"""Keeps every event it gets, and does what the records say."""

from __future__ import annotations

import base64
import json
import os
import time
from typing import Any

import boto3

s3 = boto3.client("s3")


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    kept = json.dumps({"function": context.function_name, "event": event})
    key = f"{os.environ['NAME']}/{time.time_ns():020d}-{context.aws_request_id}"
    s3.put_object(Bucket=os.environ["BUCKET"], Key=key, Body=kept.encode())
    state = event.get("state", {})
    for record in event["Records"]:
        data = base64.b64decode(record["kinesis"]["data"])
        if data == b"raise":
            raise LookupError("as asked")
        if data == b"report":
            failed = record["kinesis"]["sequenceNumber"]
            return {"state": state, "batchItemFailures": [{"itemIdentifier": failed}]}
        if data == b"grow":
            state["large"] = "x" * 1_100_000
        state["count"] = state.get("count", 0) + 1
    return {"state": state}
