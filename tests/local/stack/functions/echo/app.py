"""Does what its event says."""

from __future__ import annotations

import base64
import json
import os
import sys
import time
from typing import Any

STARTED = time.time()
calls = 0


def handler(event: dict[str, Any], context: Any) -> Any:
    global calls  # noqa: PLW0603
    calls += 1
    if "httpMethod" in event:
        return _http(event)
    do = event.get("do", "describe")
    if do == "raise":
        raise LookupError("as asked")
    if do == "exit":
        sys.exit(3)
    if do == "crash":
        os._exit(4)
    if do == "sleep":
        time.sleep(event["seconds"])
    if do == "eat":
        eaten = b"x" * (event["mb"] * 1024 * 1024)
        time.sleep(0.6)
        return len(eaten)
    if do == "print":
        print(event["text"])
    if do == "large":
        return "x" * event["bytes"]
    if do == "unserialisable":
        return {1, 2}
    if do == "shared":
        import shared  # type: ignore[import-not-found]

        return shared.ANSWER
    return {
        "calls": calls,
        "pid": os.getpid(),
        "request_id": context.aws_request_id,
        "version": context.function_version,
        "arn": context.invoked_function_arn,
        "remaining_ms": context.get_remaining_time_in_millis(),
        "memory": context.memory_limit_in_mb,
        "client_context": context.client_context and context.client_context.custom,
        "environment": {
            name: os.environ.get(name)
            for name in ("STAGE", "TABLE", "AWS_REGION", "AWS_LAMBDA_INITIALIZATION_TYPE", "TZ")
        },
        "tmp_is_own": os.environ["TMPDIR"] not in ("/tmp", ""),
    }


def _http(event: dict[str, Any]) -> Any:
    body = base64.b64decode(event["body"] or "")
    if body == b"malformed":
        return {"statusCode": "what", "body": "x"}
    if body == b"raise":
        raise LookupError("as asked")
    if body == b"binary":
        return {
            "statusCode": 201,
            "isBase64Encoded": True,
            "body": base64.b64encode(bytes(range(256))).decode(),
            "headers": {"Content-Type": "application/octet-stream"},
            "multiValueHeaders": {"X-Many": ["a", "b"]},
        }
    if body == b"huge":
        return {"statusCode": 200, "body": "x" * 7_000_000}
    return {"statusCode": 200, "body": json.dumps(event), "headers": {"X-Calls": str(calls)}}
