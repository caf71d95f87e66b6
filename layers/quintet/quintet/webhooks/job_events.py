"""The event of a settled job: as a webhook, and in SageMaker's format."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import Any

import orjson

from quintet.jobs.job import EVENTS, Job

__all__ = ["channels", "sagemaker_body", "webhook_body", "webhook_id"]

#: Standard Webhooks advises payloads below 20 kB
MAX_WEBHOOK_BYTES = 20_000
#: SageMaker's notifications hold a response of at most 128 KB; SNS accepts messages up to 256 KB
MAX_SAGEMAKER_RESPONSE = 128_000
MAX_TEXT = 1_000


def channels(job: Job) -> list[str]:
    """The channels that a job's request asked for."""
    wanted = {"webhook": job.endpoint is not None, "sns": job.notify_topic}
    return [name for name, asked in wanted.items() if asked]


def webhook_id(job: Job) -> str:
    """The `webhook-id`: the same for every attempt and duplicate, so receivers can deduplicate.

    A job that a replay reopened ends again, which is a new event.
    """
    return f"job_{job.id}" + (f"_{job.reopened}" if job.reopened else "")


def webhook_body(job: Job) -> bytes:
    """A webhook's body, below 20 kB; a result that does not fit is left out.

    The body is the same for every attempt.
    """
    body = _webhook(job, _result(job))
    return body if len(body) < MAX_WEBHOOK_BYTES else _webhook(job, None)


def sagemaker_body(job: Job, region: str) -> str:
    """SageMaker's notification of an asynchronous inference.

    https://docs.aws.amazon.com/sagemaker/latest/dg/async-inference-check-predictions.html
    """
    body: dict[str, Any] = {
        "awsRegion": region,
        "eventTime": _moment(job.updated),
        "receivedTime": _moment(job.created),
        "invocationStatus": "Completed" if job.state == "DONE" else "Failed",
        "requestParameters": {
            "accept": job.request.headers.get("accept", ""),
            "contentType": job.request.content_type,
            "endpointName": job.model,
            "inputLocation": job.request.place or "",
        },
        "inferenceId": job.inference_id or job.id,
        "eventVersion": "1.0",
        "eventSource": "aws:sagemaker",
        "eventName": "InferenceResult",
    }
    if job.state != "DONE":
        detail = (job.problem or {}).get("detail")
        body["failureReason"] = str(detail or f"the job was {EVENTS[job.state]}")[:MAX_TEXT]
    if job.result is not None:
        body["responseParameters"] = {
            "contentType": job.result.content_type,
            "outputLocation": job.result.place or "",
        }
        content = base64.b64encode(job.result.body or b"").decode()
        if content and len(content) <= MAX_SAGEMAKER_RESPONSE:
            body["responseBody"] = {"content": content, "message": "", "encoding": "BASE64"}
    return orjson.dumps(body).decode()


def _webhook(job: Job, result: Any) -> bytes:
    data: dict[str, Any] = {
        "job": job.id,
        "state": job.state,
        "model": job.model,
        "version": job.version,
        "location": f"/jobs/{job.id}",
    }
    if job.inference_id:
        data["inference_id"] = job.inference_id
    if result is not None:
        data["result"] = result
    if job.problem is not None:
        data["error"] = _short(job.problem)
    return orjson.dumps(
        {"type": f"job.{EVENTS[job.state]}", "timestamp": _moment(job.updated), "data": data}
    )


def _result(job: Job) -> Any:
    """The job's inline result, if it is JSON and small enough; else None."""
    if job.result is None or job.result.body is None or job.result.size >= MAX_WEBHOOK_BYTES:
        return None
    if not job.result.content_type.startswith("application/json"):
        return None  # CSV or binary tensors: get them at the job's location
    try:
        return orjson.loads(job.result.body)
    except orjson.JSONDecodeError:  # JSON followed by binary tensors
        return None


def _short(problem: Any) -> dict[str, Any]:
    """A problem without its list of refusals, which is at the job's location."""
    return {
        name: value[:MAX_TEXT] if isinstance(value, str) else value
        for name, value in problem.items()
        if isinstance(value, str | int)
    }


def _moment(seconds: float) -> str:
    at = datetime.fromtimestamp(seconds, UTC)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
