"""Jobs on the local AWS, all of template.yaml: from Prefer: respond-async to their results."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from email.message import Message
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from arro3 import io as arrow_io
from tests.kits.local_aws import ROOT, LocalAws, eventually, start_local_aws
from typer.testing import CliRunner

from quintet_cli.app import app

TICKETS = ROOT / "models/tickets"
JOBS = 200
SECONDS = 90
PREDICT = "/models/tickets/predict"
OIP = "/v2/models/tickets/infer"


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAws]:
    """A local AWS with the tickets model published."""
    state = tmp_path_factory.mktemp("jobs")
    found = start_local_aws(state)
    published = CliRunner().invoke(app, ["publish", str(TICKETS), "--state", str(state)])
    assert published.exit_code == 0, published.output
    yield found
    found.stop()


@pytest.fixture(scope="module")
def texts() -> list[str]:
    table = arrow_io.read_parquet(TICKETS / "data/held_out.parquet").read_all()
    return [str(text) for text in table.column("text").to_pylist()[:JOBS]]


def ask(
    local: LocalAws,
    method: str,
    path: str,
    value: Any = None,
    headers: dict[str, str] | None = None,
) -> tuple[int, dict[str, str], Any]:
    """A request to the API; its status, headers and JSON."""
    body = None if value is None else json.dumps(value).encode()
    given = {"Content-Type": "application/json", **(headers or {})}
    request = urllib.request.Request(local.api_url + path, body, given, method=method)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, _lower(answer.headers), json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, _lower(error.headers), json.loads(error.read())


def _lower(headers: Message) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def submit(local: LocalAws, path: str, value: Any, **headers: str) -> str:
    """A job's id."""
    given = {"Prefer": "respond-async", **{k.replace("_", "-"): v for k, v in headers.items()}}
    status, answered, body = ask(local, "POST", path, value, given)
    assert status == 202, body
    assert answered["preference-applied"] == "respond-async"
    assert answered["location"].endswith(f"/jobs/{body['id']}")
    found: str = body["id"]
    return found


def settled(local: LocalAws, job: str) -> dict[str, Any]:
    """A job, once it has come to its end."""

    def look() -> dict[str, Any] | None:
        status, _, found = ask(local, "GET", f"/jobs/{job}")
        assert status == 200, found
        return None if found["state"] in ("ACCEPTED", "LEASED") else found

    return eventually(look, SECONDS)


def result(job: dict[str, Any]) -> Any:
    """The body of a job's result, from where it is."""
    assert job["state"] == "DONE", job
    if "url" not in job["result"]:
        return job["result"]["body"]
    with urllib.request.urlopen(job["result"]["url"], timeout=30) as answer:
        return json.loads(answer.read())


def records(*texts: str) -> dict[str, Any]:
    return {"records": [{"text": text} for text in texts]}


def alike(one: Any, other: Any) -> bool:
    """Whether two answers are equal, numbers to 1e-6."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(alike(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(alike, one, other))
    if isinstance(one, float):
        return bool(np.isclose(one, other, rtol=1e-6, atol=1e-6))
    return bool(one == other)


def tensor(text: str) -> dict[str, Any]:
    return {"inputs": [{"name": "text", "shape": [1], "datatype": "BYTES", "data": [text]}]}


def test_a_burst_of_jobs_is_done_and_answers_as_the_synchronous_path(
    local: LocalAws, texts: list[str]
) -> None:
    asked = [
        (OIP, tensor(text)) if number % 4 == 0 else (PREDICT, records(text))
        for number, text in enumerate(texts)
    ]
    with ThreadPoolExecutor(4) as pool:
        jobs = list(pool.map(lambda one: submit(local, *one), asked))
        answers = [answer for _, _, answer in pool.map(lambda o: ask(local, "POST", *o), asked)]
        found = list(pool.map(lambda job: settled(local, job), jobs))
    assert len(set(jobs)) == JOBS
    assert {job["state"] for job in found} == {"DONE"}
    differing = [
        number
        for number, (job, answer) in enumerate(zip(found, answers, strict=True))
        if not alike(result(job), answer)
    ]
    assert differing == []
    # several to a run: there were fewer invocations than jobs
    lines = [json.loads(line) for line in local.logs("Work").splitlines() if line[:1] == "{"]
    done = [line for line in lines if line.get("message") == "completed"]
    assert {line["job"] for line in done} == set(jobs)
    assert (
        len({line["function_request_id"] for line in done if "function_request_id" in line}) < JOBS
    )


def test_a_large_result_comes_from_s3(local: LocalAws, texts: list[str]) -> None:
    many = records(*(texts * 2)[:400])
    job = settled(local, submit(local, PREDICT, many))
    assert job["result"]["size"] > 64 * 1024 and "body" not in job["result"]
    assert alike(result(job), ask(local, "POST", PREDICT, many)[2])


def test_bad_requests_are_refused_now_and_make_no_job(local: LocalAws) -> None:
    before = ask(local, "GET", "/jobs")[2]
    status, _, problem = ask(
        local, "POST", PREDICT, {"records": [{"text": 3}]}, {"Prefer": "respond-async"}
    )
    assert (status, problem["errors"][0]["field"]) == (400, "text")
    assert ask(local, "GET", "/jobs")[2] == before


def test_sagemakers_asynchronous_client_finds_its_output(local: LocalAws, texts: list[str]) -> None:
    (bucket,) = [
        name
        for name in (b["Name"] for b in local.client("s3").list_buckets()["Buckets"])
        if "payloads" in name
    ]
    s3 = local.client("s3")
    one = texts[0].replace(",", " ").encode()
    # the type is the object's, as the serializers of SageMaker's SDK leave it, or the request's
    s3.put_object(Bucket=bucket, Key="inputs/one.csv", Body=one, ContentType="text/csv")
    s3.put_object(Bucket=bucket, Key="inputs/bad.json", Body=b'{"instances": [3]}')
    places = {}
    typed = {"X-Amzn-SageMaker-Content-Type": "application/json"}
    for key, named in (("one.csv", {}), ("bad.json", typed)):
        status, headers, answer = ask(
            local,
            "POST",
            "/endpoints/tickets/async-invocations",
            headers={"X-Amzn-SageMaker-InputLocation": f"s3://{bucket}/inputs/{key}", **named},
        )
        assert status == 202, answer
        places[key] = {
            end: urlsplit(headers[f"x-amzn-sagemaker-{end}location"]).path.lstrip("/")
            for end in ("output", "failure")
        }

    def read(key: str) -> Any:
        try:
            return json.loads(s3.get_object(Bucket=bucket, Key=key)["Body"].read())
        except s3.exceptions.NoSuchKey:
            return None

    found = eventually(lambda: read(places["one.csv"]["output"]), SECONDS)
    answer = ask(local, "POST", PREDICT, records(texts[0].replace(",", " ")))[2]
    assert alike(found, answer)
    failure = eventually(lambda: read(places["bad.json"]["failure"]), SECONDS)
    assert (failure["status"], failure["errors"][0]["field"]) == (400, "text")


def test_a_message_that_is_not_ours_reaches_the_dead_letters(local: LocalAws) -> None:
    sqs = local.client("sqs")
    urls: list[str] = sqs.list_queues()["QueueUrls"]
    (work,) = [url for url in urls if "WorkQueue" in url]
    (dead,) = [url for url in urls if "WorkDeadLetters" in url]
    sqs.send_message(QueueUrl=work, MessageBody="who is this?")

    def look() -> list[dict[str, Any]] | None:
        found: list[dict[str, Any]] | None = sqs.receive_message(QueueUrl=dead).get("Messages")
        return found

    (letter,) = eventually(look, SECONDS)
    assert letter["Body"] == "who is this?"
