"""Jobs over HTTP: accepted by predict and submit, shown, listed and cancelled by submit."""

from __future__ import annotations

import json
from typing import Any
from urllib.request import urlopen

import pytest
from tests.functions.conftest import Ask, Handler, OnlineAws, fresh_handler
from tests.kits.models import Answer, event

from quintet.aws.client import AwsClient
from quintet.aws.jobs import JobTable
from quintet.jobs.job import Content, Job, JobOutcome

ASYNC = {"Content-Type": "application/json", "Prefer": "respond-async"}
GOOD = json.dumps({"records": [{"x": 3, "y": 1}]})
BAD = json.dumps({"records": [{"x": 3, "y": 1}, {"x": "three"}]})
OIP = '{"id": "7", "inputs": [{"name": "XY", "datatype": "FP32", "shape": [1, 2], "data": [3, 1]}]}'
ANN = "arn:aws:iam::123456789012:user/ann"
INVOKE = "/endpoints/log/async-invocations"
SM = "X-Amzn-SageMaker-"


@pytest.fixture(autouse=True)
def no_messages(online_aws: OnlineAws) -> None:
    """What earlier tests of the session sent is gone."""
    for queue in ("work", "notify"):
        messages(online_aws, queue)


@pytest.fixture
def jobs(online_aws: OnlineAws) -> JobTable:
    """The store behind the handlers."""
    client = AwsClient("dynamodb", environ=online_aws.environ)
    return JobTable(client, "jobs", retention_days=7)


def messages(aws: OnlineAws, queue: str) -> list[dict[str, Any]]:
    """Take what is in a queue."""
    sqs, found = aws.client("sqs"), []
    url = aws.queue(queue)
    while got := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
        for message in got:
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
            found.append(json.loads(message["Body"]))
    return found


def settle(jobs: JobTable, job: str, outcome: JobOutcome) -> Job:
    """What a worker does."""
    now = jobs.get(job).created
    leased = jobs.lease(job, "worker", now, 60)
    assert leased.lease is not None
    jobs.settle(job, leased.lease, outcome, now + 1)
    return jobs.get(job)


def posted(ask: Ask, **changes: Any) -> str:
    """The id of a job that was accepted."""
    headers = {**ASYNC, **changes.pop("headers", {})}
    answer = ask("POST", "/models/log/predict", changes.pop("body", GOOD), headers, **changes)
    assert answer.status == 202, answer.body
    found: str = answer.json()["id"]
    return found


# ---- acceptance ----------------------------------------------------------------------------


def test_a_request_that_prefers_it_becomes_a_job(
    predict: Ask, online_aws: OnlineAws, jobs: JobTable
) -> None:
    answer = predict("POST", "/models/log/predict", GOOD, ASYNC, caller=ANN)
    found = answer.json()
    assert answer.status == 202
    assert found == {"id": found["id"], "state": "ACCEPTED", "model": "log", "version": 1}
    assert answer.headers["Location"] == f"/test/jobs/{found['id']}"
    assert answer.headers["Preference-Applied"] == "respond-async"
    assert answer.headers["Retry-After"] == "1"
    job = jobs.get(found["id"], ANN)
    assert (job.form, job.model, job.version) == ("records", "log", 1)
    assert job.request == Content("application/json", len(GOOD), GOOD.encode())
    assert job.deadline == pytest.approx(job.created + 21_600)
    assert messages(online_aws, "work") == [{"job": job.id, "event": "accepted"}]
    assert job.id not in [event.job for event in jobs.outbox(job.created + 1)]


def test_inference_of_the_open_protocol_becomes_a_job(predict: Ask, jobs: JobTable) -> None:
    answer = predict("POST", "/v2/models/log/versions/1/infer", OIP, ASYNC)
    assert answer.status == 202
    assert jobs.get(answer.json()["id"]).form == "oip"


def test_what_does_not_infer_is_answered_at_once(predict: Ask) -> None:
    assert predict("GET", "/v2/models/log", headers=ASYNC).status == 200
    assert predict("POST", "/v2/repository/index", headers=ASYNC).status == 200


def test_preferences_are_read_one_by_one(predict: Ask) -> None:
    both = {**ASYNC, "Prefer": "return=minimal, Respond-Async; wait=10"}
    assert predict("POST", "/models/log/predict", GOOD, both).status == 202
    other = {**ASYNC, "Prefer": "not-respond-async"}
    assert predict("POST", "/models/log/predict", GOOD, other).status == 200


@pytest.mark.parametrize(
    ("path", "body", "expected"),
    [
        ("/models/log/predict", BAD, (400, "row 1: x: expected")),
        ("/models/log/predict", "{", (400, "body: expected JSON")),
        ("/models/nope/predict", GOOD, (404, "unknown model")),
        ("/models/log/versions/9/predict", GOOD, (404, "unknown model")),
        ("/v2/models/log/infer", OIP.replace("XY", "Z"), (400, "an unknown tensor")),
        ("/models/shop/predict", '{"records": [{"customer": "c", "amount": -1}]}', (400, "amount")),
    ],
)
def test_what_is_wrong_is_refused_before_there_is_a_job(
    predict: Ask, online_aws: OnlineAws, path: str, body: str, expected: tuple[int, str]
) -> None:
    answer = predict("POST", path, body, ASYNC)
    assert answer.status == expected[0]
    assert expected[1] in answer.body.decode()
    assert messages(online_aws, "work") == []


def test_partial_results_may_be_asked_for(predict: Ask) -> None:
    body = json.dumps({"records": [{"x": "three"}, {"x": 1}], "partial": True})
    assert predict("POST", "/models/log/predict", body, ASYNC).status == 202


def test_a_large_payload_goes_to_s3(predict: Ask, jobs: JobTable, online_aws: OnlineAws) -> None:
    body = GOOD[:-1] + " " * 140_000 + "}"
    job = jobs.get(posted(predict, body=body))
    assert job.request.body is None
    assert job.request.place == f"s3://payloads-bucket/payloads/{job.id}"
    stored = online_aws.client("s3").get_object(Bucket="payloads-bucket", Key=f"payloads/{job.id}")
    assert stored["Body"].read() == body.encode()


def test_the_same_key_and_payload_are_the_same_job(predict: Ask, online_aws: OnlineAws) -> None:
    key = {"Idempotency-Key": "order-1"}
    first = posted(predict, headers=key)
    assert posted(predict, headers=key) == first
    assert messages(online_aws, "work") == [{"job": first, "event": "accepted"}]
    # another caller's key is another key
    assert posted(predict, headers=key, caller=ANN) != first


def test_the_same_key_with_another_payload_is_unprocessable(predict: Ask) -> None:
    headers = {**ASYNC, "Idempotency-Key": "order-2"}
    assert predict("POST", "/models/log/predict", GOOD, headers).status == 202
    for path, body in (
        ("/models/log/predict", GOOD.replace("3", "4")),
        ("/models/log/versions/1/predict", GOOD),
        ("/v2/models/log/infer", OIP),
    ):
        assert predict("POST", path, body, headers).status == 422


def test_the_same_json_is_the_same_request_however_it_is_written(predict: Ask) -> None:
    headers = {**ASYNC, "Idempotency-Key": "order-3"}
    body = {"records": [{"x": 3.0}], "partial": True}
    turned = {name: body[name] for name in reversed(body)}
    ids = {
        predict("POST", "/models/log/predict", written, {**headers, **more}).json()["id"]
        for written, more in (
            (json.dumps(body), {}),
            (json.dumps(turned, indent=4), {}),
            (json.dumps(body), {"Accept": "application/json"}),
        )
    }
    assert len(ids) == 1


def test_a_key_leads_to_its_job_whatever_changed_since(
    predict: Ask, submit: Ask, online_aws: OnlineAws
) -> None:
    dynamodb, s3 = online_aws.client("dynamodb"), online_aws.client("s3")
    dynamodb.put_item(TableName="endpoints", Item={"endpoint": {"S": "soon-gone"}})
    headers = {"X-Quintet-Callback": "soon-gone", "Idempotency-Key": "order-4"}
    first = posted(predict, headers=headers)
    dynamodb.delete_item(TableName="endpoints", Key={"endpoint": {"S": "soon-gone"}})
    assert posted(predict, headers=headers) == first

    where = {"Bucket": "payloads-bucket", "Key": "inputs/soon-gone.csv"}
    s3.put_object(**where, Body=b"3,1\n")
    named = {
        f"{SM}InputLocation": "s3://payloads-bucket/inputs/soon-gone.csv",
        f"{SM}Content-Type": "text/csv",
        "Idempotency-Key": "order-5",
    }
    asked = submit("POST", INVOKE, "", named)
    s3.delete_object(**where)
    again = submit("POST", INVOKE, "", named)
    assert (again.status, again.json()) == (202, asked.json())


@pytest.mark.parametrize("key", ["", "x" * 256, "a\nb", "é"])
def test_a_key_that_is_none_is_refused(predict: Ask, key: str) -> None:
    headers = {**ASYNC, "Idempotency-Key": key}
    answer = predict("POST", "/models/log/predict", GOOD, headers)
    assert (answer.status, "Idempotency-Key" in answer.json()["detail"]) == (400, True)


def test_a_callback_names_a_registered_endpoint(
    predict: Ask, jobs: JobTable, online_aws: OnlineAws
) -> None:
    items: dict[str, Any] = {
        "crm": {},
        "gone": {"disabled": {"S": "it answered 410"}},
        "anns": {"callers": {"SS": [ANN, f"{ANN}-2"]}},
    }
    for name, more in items.items():
        item = {"endpoint": {"S": name}, **more}
        online_aws.client("dynamodb").put_item(TableName="endpoints", Item=item)
    assert jobs.get(posted(predict, headers={"X-Quintet-Callback": "crm"})).endpoint == "crm"
    for name, status in (("gone", 400), ("nope", 404), ("http://x", 404), ("", 404)):
        headers = {**ASYNC, "X-Quintet-Callback": name}
        assert predict("POST", "/models/log/predict", GOOD, headers).status == status
    anns = {**ASYNC, "X-Quintet-Callback": "anns"}
    assert jobs.get(posted(predict, headers=anns, caller=ANN)).endpoint == "anns"
    for caller in (f"{ANN}a", None):
        refused = predict("POST", "/models/log/predict", GOOD, anns, caller=caller)
        assert (refused.status, refused.json()["detail"]) == (
            404,
            "X-Quintet-Callback: expected the id of a registered endpoint, got 'anns'",
        )


def test_a_job_whose_message_was_not_sent_waits_in_the_outbox(
    online_aws: OnlineAws, jobs: JobTable, monkeypatch: pytest.MonkeyPatch, predict: Ask
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_SQS", "http://127.0.0.1:9")
    job = jobs.get(posted(predict))
    assert job.id in [event.job for event in jobs.outbox(job.created + 1)]


# ---- SageMaker's form ------------------------------------------------------------------------


def invoke(ask: Ask, body: str = "", caller: str | None = None, **headers: str) -> Answer:
    named = {f"{SM}{name.replace('_', '-')}": value for name, value in headers.items()}
    return ask("POST", INVOKE, body, named, caller=caller)


def test_an_inline_body_is_accepted(submit: Ask, jobs: JobTable, online_aws: OnlineAws) -> None:
    answer = invoke(
        submit, "3,1\n", Content_Type="text/csv", Accept="text/csv", Inference_Id="mine"
    )
    assert (answer.status, answer.json()) == (202, {"InferenceId": "mine"})
    (message,) = messages(online_aws, "work")
    job = jobs.get(message["job"])
    assert answer.headers[f"{SM}OutputLocation"] == f"s3://payloads-bucket/results/{job.id}"
    assert answer.headers[f"{SM}FailureLocation"] == f"s3://payloads-bucket/results/{job.id}.error"
    assert job.request == Content("text/csv", 4, b"3,1\n", headers={"accept": "text/csv"})
    assert (job.form, job.notify_topic, job.inference_id) == ("sagemaker", True, "mine")


def test_an_input_in_s3_is_accepted(submit: Ask, jobs: JobTable, online_aws: OnlineAws) -> None:
    online_aws.client("s3").put_object(Bucket="payloads-bucket", Key="inputs/a.csv", Body=b"3,1\n")
    place = "s3://payloads-bucket/inputs/a.csv"
    answer = invoke(submit, InputLocation=place, Content_Type="text/csv", RequestTTLSeconds="60")
    assert answer.status == 202
    (message,) = messages(online_aws, "work")
    job = jobs.get(message["job"])
    assert answer.json() == {"InferenceId": job.id}
    assert job.request == Content("text/csv", 4, place=place)
    assert job.deadline == pytest.approx(job.created + 60)


@pytest.mark.parametrize(
    ("stored", "named", "found"),
    [
        ("text/csv; charset=utf-8", {}, "text/csv"),  # as the serializers of SageMaker's SDK do
        ("application/x-npy", {}, "application/x-npy"),
        ("application/jsonlines", {"Content_Type": "text/csv"}, "text/csv"),
        ("binary/octet-stream", {}, ""),  # S3's default: JSON, as ever
        ("application/octet-stream", {}, ""),
    ],
)
def test_the_type_of_an_input_in_s3_is_the_objects_if_the_request_names_none(
    submit: Ask,
    jobs: JobTable,
    online_aws: OnlineAws,
    *,
    stored: str,
    named: dict[str, str],
    found: str,
) -> None:
    s3, place = online_aws.client("s3"), {"Bucket": "payloads-bucket", "Key": "inputs/typed"}
    s3.put_object(**place, Body=b"3,1\n", ContentType=stored)
    assert invoke(submit, InputLocation="s3://payloads-bucket/inputs/typed", **named).status == 202
    (message,) = messages(online_aws, "work")
    assert jobs.get(message["job"]).request.content_type == found


def test_an_input_of_200_mb_is_refused_when_it_is_named(submit: Ask, online_aws: OnlineAws) -> None:
    s3, place = online_aws.client("s3"), {"Bucket": "payloads-bucket", "Key": "inputs/huge"}
    s3.put_object(**place, Body=bytes(200_000_000))
    answer = invoke(submit, InputLocation="s3://payloads-bucket/inputs/huge")
    s3.delete_object(**place)
    text = "InputLocation: expected at most 20000000 bytes, got 200000000"
    assert (answer.status, answer.json()["Message"]) == (413, text)
    assert messages(online_aws, "work") == []


@pytest.mark.parametrize(
    ("named", "key"),
    [
        (
            {"S3OutputPathExtension": "team/2026/", "Filename": "out.csv"},
            "results/team/2026/{job}/out.csv",
        ),
        ({"S3OutputPathExtension": "it's(1)*!"}, "results/it's(1)*!/{job}"),
        ({"Filename": "out.csv"}, "results/{job}/out.csv"),
    ],
)
def test_a_result_has_the_names_that_its_caller_wants(
    submit: Ask, jobs: JobTable, online_aws: OnlineAws, named: dict[str, str], key: str
) -> None:
    answer = invoke(
        submit, "3,1\n", Content_Type="text/csv", InvocationTimeoutSeconds="30", **named
    )
    (message,) = messages(online_aws, "work")
    job = jobs.get(message["job"])
    place = f"s3://payloads-bucket/{key.format(job=job.id)}"
    assert answer.headers[f"{SM}OutputLocation"] == place
    assert answer.headers[f"{SM}FailureLocation"] == f"{place}.error"
    assert (f"s3://payloads-bucket/{job.result_key}", job.run_limit) == (place, 30)


def test_another_name_for_the_result_is_another_request(submit: Ask) -> None:
    first, again, other = (
        submit(
            "POST",
            INVOKE,
            "3,1\n",
            {f"{SM}Content-Type": "text/csv", f"{SM}Filename": name, "Idempotency-Key": "k"},
        )
        for name in ("a", "a", "b")
    )
    assert (first.status, again.status, other.status) == (202, 202, 422)
    assert first.json() == again.json()


@pytest.mark.parametrize(
    ("headers", "said"),
    [
        ({"InputLocation": "s3://payloads-bucket/inputs/none"}, "input: expected an object"),
        ({"InputLocation": "s3://payloads-bucket/inputs/empty"}, "InputLocation: expected"),
        ({"InputLocation": "s3://payloads-bucket/payloads/x"}, "InputLocation: expected"),
        ({"InputLocation": "s3://payloads-bucket/inputs/../x"}, "InputLocation: expected"),
        ({"InputLocation": "https://example.com/"}, "InputLocation: expected"),
        ({"RequestTTLSeconds": "59"}, "RequestTTLSeconds: expected 60 to 21600"),
        ({"InvocationTimeoutSeconds": "3601"}, "InvocationTimeoutSeconds: expected 1 to 3600"),
        ({"Filename": "a.b.c"}, "Filename: expected letters"),
        ({"Filename": "../x"}, "Filename: expected letters"),
        ({"Filename": "x" * 33}, "Filename: expected letters"),
        ({"S3OutputPathExtension": "a/../b"}, "S3OutputPathExtension: expected folders"),
        ({"S3OutputPathExtension": "/a"}, "S3OutputPathExtension: expected folders"),
        ({"S3OutputPathExtension": "s3://other/x"}, "S3OutputPathExtension: expected folders"),
        ({"S3OutputPathExtension": "x" * 513}, "S3OutputPathExtension: expected folders"),
        ({"Inference-Id": "x" * 65}, "InferenceId: expected"),
        ({"Accept": "image/png"}, "Accept: expected one of"),
        ({"Target-Variant": "v9"}, "unknown model"),
        ({}, "body: expected JSON"),
    ],
)
def test_what_sagemaker_would_refuse_is_refused(
    submit: Ask, online_aws: OnlineAws, headers: dict[str, str], said: str
) -> None:
    online_aws.client("s3").put_object(Bucket="payloads-bucket", Key="inputs/empty", Body=b"")
    named = {f"{SM}{name}": value for name, value in headers.items()}
    answer = submit("POST", INVOKE, "", named)
    assert answer.status in (400, 413, 415)
    assert answer.headers["x-amzn-errortype"] == "ValidationError"
    assert said in answer.json()["Message"]
    assert messages(online_aws, "work") == []


# ---- jobs over HTTP -------------------------------------------------------------------------


def test_an_open_job_is_shown(predict: Ask, submit: Ask, jobs: JobTable) -> None:
    job = jobs.get(posted(predict))
    answer = submit("GET", f"/jobs/{job.id}")
    assert (answer.status, answer.headers["Retry-After"]) == (200, "1")
    found = answer.json()
    assert found.keys() == {
        *("id", "state", "model", "version", "created", "updated", "deadline", "attempts"),
        "progress",
    }
    assert (found["id"], found["state"], found["attempts"]) == (job.id, "ACCEPTED", 0)


def test_a_job_says_how_far_it_is(predict: Ask, submit: Ask, jobs: JobTable) -> None:
    identity = posted(predict)

    def shown() -> tuple[str, str, int]:
        found = submit("GET", f"/jobs/{identity}").json()
        assert found["progress"]["since"] == found["updated"]
        return found["state"], found["progress"]["step"], found["attempts"]

    created = jobs.get(identity).created
    assert shown() == ("ACCEPTED", "waiting", 0)
    jobs.lease(identity, "w1", created - 100, 50)  # its worker died, and the lease ran out
    assert shown() == ("LEASED", "waiting", 1)
    lease = jobs.lease(identity, "w2", created, 3600).lease
    assert lease is not None
    assert shown() == ("LEASED", "running", 2)
    jobs.settle(identity, lease, JobOutcome(result=Content("text/csv", 0, b"")), created + 1)
    assert shown() == ("DONE", "ended", 2)


@pytest.mark.parametrize(
    ("result", "shown"),
    [
        (
            Content("application/json", 8, b'{"a": 1}'),
            {"content_type": "application/json", "size": 8, "body": {"a": 1}},
        ),
        (
            Content("text/csv", 4, b"1,2\n"),
            {"content_type": "text/csv", "size": 4, "body": "1,2\n"},
        ),
        (
            Content("application/octet-stream", 2, b"\x00\xff", headers={"L": "1"}),
            {
                "content_type": "application/octet-stream",
                "size": 2,
                "base64": "AP8=",
                "headers": {"L": "1"},
            },
        ),
    ],
)
def test_a_small_result_is_shown_inline(
    predict: Ask, submit: Ask, jobs: JobTable, result: Content, shown: dict[str, Any]
) -> None:
    identity = posted(predict)
    settle(jobs, identity, JobOutcome(result=result))
    answer = submit("GET", f"/jobs/{identity}")
    assert "Retry-After" not in answer.headers
    assert (answer.json()["state"], answer.json()["result"]) == ("DONE", shown)


def test_a_large_result_is_a_link(
    predict: Ask, submit: Ask, jobs: JobTable, online_aws: OnlineAws
) -> None:
    identity = posted(predict)
    body = b"1" * 100_000
    online_aws.client("s3").put_object(
        Bucket="payloads-bucket", Key=f"results/{identity}", Body=body
    )
    place = f"s3://payloads-bucket/results/{identity}"
    settle(jobs, identity, JobOutcome(result=Content("application/json", 100_000, place=place)))
    shown = submit("GET", f"/jobs/{identity}").json()["result"]
    assert (shown["size"], "body" in shown) == (100_000, False)
    with urlopen(shown["url"]) as found:
        assert found.read() == body


def test_a_failed_job_shows_its_problem(predict: Ask, submit: Ask, jobs: JobTable) -> None:
    identity = posted(predict)
    problem = {"type": "about:blank", "title": "Failed Dependency", "status": 424, "detail": "NaN"}
    settle(jobs, identity, JobOutcome(problem=problem))
    found = submit("GET", f"/jobs/{identity}").json()
    assert (found["state"], found["error"]) == ("FAILED", problem)


def test_a_cancelled_job_is_published_once(
    predict: Ask, submit: Ask, online_aws: OnlineAws
) -> None:
    identity = posted(predict)
    for _ in range(2):
        answer = submit("DELETE", f"/jobs/{identity}")
        assert (answer.status, answer.json()["state"]) == (200, "CANCELLED")
    assert messages(online_aws, "notify") == [
        {"type": "job", "job": identity, "event": "cancelled"}
    ]


def test_a_job_that_is_done_is_not_cancelled(predict: Ask, submit: Ask, jobs: JobTable) -> None:
    identity = posted(predict)
    settle(jobs, identity, JobOutcome(result=Content("text/csv", 0, b"")))
    answer = submit("DELETE", f"/jobs/{identity}")
    assert answer.status == 409
    assert answer.json()["detail"] == "job: expected one that is not settled, got DONE"


def test_others_jobs_are_not_found(predict: Ask, submit: Ask) -> None:
    identity = posted(predict, caller=ANN)
    for method in ("GET", "DELETE"):
        answer = submit(method, f"/jobs/{identity}", caller=f"{ANN}a")
        assert (answer.status, answer.headers["Content-Type"]) == (404, "application/problem+json")
    assert submit("GET", f"/jobs/{identity}", caller=ANN).json()["state"] == "ACCEPTED"


def test_the_sessions_of_a_role_are_one_caller(predict: Ask, submit: Ask) -> None:
    role = "arn:aws:sts::123456789012:assumed-role/shop"
    identity = posted(predict, caller=f"{role}/one")
    assert submit("GET", f"/jobs/{identity}", caller=f"{role}/two").status == 200
    assert submit("GET", f"/jobs/{identity}", caller=f"{role}2/one").status == 404


@pytest.mark.parametrize("identity", ["nope", "idem%23x%23y", "x" * 300])
def test_a_job_that_is_none_is_not_found(submit: Ask, identity: str) -> None:
    assert submit("GET", f"/jobs/{identity}").status == 404
    assert submit("DELETE", f"/jobs/{identity}").status == 404


def test_the_users_of_an_authoriser_have_their_own_jobs_and_nobody_has_any(
    online_aws: OnlineAws, monkeypatch: pytest.MonkeyPatch
) -> None:
    environ = {name: v for name, v in online_aws.environ.items() if name != "QUINTET_AUTH"}

    def ask(handler: Handler, user: str | None, method: str, path: str) -> Answer:
        body = GOOD if method == "POST" else ""
        asked = event(method, path, body, {"Prefer": "respond-async"})
        if user is not None:
            asked["requestContext"]["authorizer"] = {"claims": {"sub": user}}
        return Answer.of(handler(asked, None))

    with fresh_handler(environ, monkeypatch) as handler:
        job = ask(handler, "ann", "POST", "/models/log/predict").json()["id"]
        assert ask(handler, None, "POST", "/models/log/predict").status == 403
        assert ask(handler, None, "GET", "/v2").status == 403
    with fresh_handler(environ, monkeypatch, "submit") as handler:
        found = [ask(handler, user, "GET", f"/jobs/{job}").status for user in ("ann", "bob", None)]
        assert found == [200, 404, 403]
        ended = [ask(handler, user, "DELETE", f"/jobs/{job}").status for user in ("bob", None)]
        assert ended == [404, 403]


def test_a_callers_jobs_are_listed_in_pages(predict: Ask, submit: Ask) -> None:
    caller = "arn:aws:iam::123456789012:user/lister"
    made = [posted(predict, caller=caller) for _ in range(3)]
    submit("DELETE", f"/jobs/{made[0]}", caller=caller)
    first = submit("GET", "/jobs", query={"limit": "2", "model": "log"}, caller=caller).json()
    assert [job["id"] for job in first["jobs"]] == [made[2], made[1]]
    assert first["jobs"][0]["location"] == f"/test/jobs/{made[2]}"
    rest = submit("GET", "/jobs", query={"next": first["next"]}, caller=caller).json()
    assert ([job["id"] for job in rest["jobs"]], rest["next"]) == ([made[0]], None)
    found = submit("GET", "/jobs", query={"state": "CANCELLED"}, caller=caller).json()
    assert [(job["id"], job["state"]) for job in found["jobs"]] == [(made[0], "CANCELLED")]


@pytest.mark.parametrize(
    "query",
    [
        {"state": "OPEN"},
        {"limit": "0"},
        {"limit": "101"},
        {"next": "x"},
        {"model": "A"},
        {"a": "b"},
    ],
)
def test_a_query_that_is_none_is_refused(submit: Ask, query: dict[str, str]) -> None:
    answer = submit("GET", "/jobs", query=query)
    (name,) = query
    assert answer.status == 400
    assert answer.json()["errors"][0]["field"] == (name if name != "a" else "query")


def test_a_table_that_does_not_answer_is_transient(
    submit: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", "http://127.0.0.1:9")
    answer = submit("GET", "/jobs/some")
    assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
