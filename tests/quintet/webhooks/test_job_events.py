"""What callers are told of a job, as a webhook and in SageMaker's form."""

from __future__ import annotations

import base64
import json

from tests.kits.jobs import NOW, job

from quintet.jobs.job import Content
from quintet.webhooks.job_events import channels, sagemaker_body, webhook_body, webhook_id

RESULT = Content("application/json", 19, b'{"predictions":[1]}')
PROBLEM = {
    "type": "about:blank",
    "title": "Bad input",
    "status": 400,
    "detail": "row 0: amount: expected a number, got 'x'",
    "errors": [{"row": 0}],
}


def test_a_job_is_told_on_the_channels_that_it_asks_for() -> None:
    assert channels(job()) == []
    assert channels(job(endpoint="crm")) == ["webhook"]
    assert channels(job(notify_topic=True)) == ["sns"]
    assert channels(job(endpoint="crm", notify_topic=True)) == ["webhook", "sns"]


def test_a_webhook_names_the_job_and_holds_a_small_result() -> None:
    done = job(state="DONE", result=RESULT, updated=NOW + 1.25, inference_id="mine")
    assert webhook_id(done) == "job_j1"
    assert json.loads(webhook_body(done)) == {
        "type": "job.completed",
        "timestamp": "2027-01-15T08:00:01.250Z",
        "data": {
            "job": "j1",
            "state": "DONE",
            "model": "shop",
            "version": 3,
            "location": "/jobs/j1",
            "inference_id": "mine",
            "result": {"predictions": [1]},
        },
    }


def test_a_webhook_tells_why_a_job_failed_without_the_list_of_values() -> None:
    data = json.loads(webhook_body(job(state="FAILED", problem=PROBLEM)))
    assert data["type"] == "job.failed"
    assert data["data"]["error"] == {k: v for k, v in PROBLEM.items() if k != "errors"}


def test_expired_and_cancelled_jobs_are_told_by_their_own_types() -> None:
    for state, kind in (("EXPIRED", "job.expired"), ("CANCELLED", "job.cancelled")):
        assert json.loads(webhook_body(job(state=state)))["type"] == kind


def test_a_result_that_does_not_fit_stays_behind_its_location() -> None:
    for size in (19_000, 19_990, 25_000):
        body = json.dumps("x" * size).encode()
        done = job(state="DONE", result=Content("application/json", len(body), body))
        told = webhook_body(done)
        assert len(told) < 20_000
        assert ("result" in json.loads(told)["data"]) is (size == 19_000)


def test_a_result_that_is_no_json_or_elsewhere_stays_behind_its_location() -> None:
    for result in (
        Content("text/csv", 3, b"1,2"),
        Content("application/json", 3, b'{"\xff'),
        Content("application/json", 90_000, None, "s3://payloads/results/j1"),
    ):
        told = json.loads(webhook_body(job(state="DONE", result=result)))
        assert told["data"].keys() == {"job", "state", "model", "version", "location"}


def test_a_long_problem_is_cut() -> None:
    failed = job(state="FAILED", problem={"detail": "x" * 30_000, "status": 400})
    assert json.loads(webhook_body(failed))["data"]["error"] == {
        "detail": "x" * 1_000,
        "status": 400,
    }


# ---- SageMaker's form ---------------------------------------------------------------------------

INPUT = Content("text/csv", 9, None, "s3://inputs/a.csv", {"accept": "application/json"})


def test_a_completed_inference_is_told_in_sagemakers_form() -> None:
    output = Content("application/json", 19, RESULT.body, "s3://payloads/results/j1.out")
    done = job(
        state="DONE",
        form="sagemaker",
        request=INPUT,
        result=output,
        updated=NOW + 2,
        inference_id="mine",
    )
    assert json.loads(sagemaker_body(done, "eu-west-1")) == {
        "awsRegion": "eu-west-1",
        "eventTime": "2027-01-15T08:00:02.000Z",
        "receivedTime": "2027-01-15T08:00:00.000Z",
        "invocationStatus": "Completed",
        "requestParameters": {
            "accept": "application/json",
            "contentType": "text/csv",
            "endpointName": "shop",
            "inputLocation": "s3://inputs/a.csv",
        },
        "responseParameters": {
            "contentType": "application/json",
            "outputLocation": "s3://payloads/results/j1.out",
        },
        "responseBody": {
            "content": base64.b64encode(b'{"predictions":[1]}').decode(),
            "message": "",
            "encoding": "BASE64",
        },
        "inferenceId": "mine",
        "eventVersion": "1.0",
        "eventSource": "aws:sagemaker",
        "eventName": "InferenceResult",
    }


def test_a_failed_inference_is_told_with_its_reason() -> None:
    failed = json.loads(sagemaker_body(job(state="FAILED", problem=PROBLEM), "eu-west-1"))
    assert failed["invocationStatus"] == "Failed"
    assert failed["failureReason"] == PROBLEM["detail"]
    assert failed["inferenceId"] == "j1"
    assert failed.keys().isdisjoint({"responseParameters", "responseBody"})
    expired = json.loads(sagemaker_body(job(state="EXPIRED"), "eu-west-1"))
    assert expired["failureReason"] == "the job was expired"


def test_a_large_response_is_at_its_location_alone() -> None:
    body = b"x" * 96_001  # 128,004 in base64
    output = Content("text/csv", len(body), body, "s3://payloads/results/j1.out")
    told = json.loads(sagemaker_body(job(state="DONE", result=output), "eu-west-1"))
    assert "responseBody" not in told
    assert told["responseParameters"]["outputLocation"] == "s3://payloads/results/j1.out"
