"""runs: starts batch runs over HTTP, shows and lists them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from tests.kits.batch import csv_bytes, row
from tests.kits.batch_functions import MACHINE, BatchAws, Handler, event, function, serving

from quintet.batch.plans import RefusedPlan, RunPaths, dump, run_context
from quintet.errors import BadInput

PREFIX = "_data/tiny/month=2026-01/"
COUNTS = {"rows": 9, "scored": 8, "quarantined": 1, "fallback": 0, "unaccounted": 0}


@pytest.fixture(scope="module")
def aws() -> Iterator[BatchAws]:
    with serving() as found:
        found.publish()
        found.client("s3").put_object(
            Bucket="inbox", Key=f"{PREFIX}a.csv", Body=csv_bytes([row(n) for n in range(9)])
        )
        yield found
        for key in found.objects("runs/"):  # other modules count the runs of the model
            found.client("s3").delete_object(Bucket="scores", Key=key)


@pytest.fixture
def handler(aws: BatchAws, monkeypatch: pytest.MonkeyPatch) -> Iterator[Handler]:
    with function("runs", aws, monkeypatch) as found:
        yield found


def asked(handler: Handler, name: str, **changes: Any) -> tuple[int, dict[str, Any], Any]:
    """What a request comes to: the status, the headers, the body."""
    answer = handler({**event(name), **changes}, None)
    return answer["statusCode"], answer["headers"], json.loads(answer["body"])


def started(handler: Handler, **request: Any) -> tuple[int, dict[str, Any], Any]:
    given = {"model": "tiny", "prefix": PREFIX, **request}
    return asked(handler, "runs_start", body=json.dumps(given))


def shown(handler: Handler, model: str, run: str) -> tuple[int, dict[str, Any], Any]:
    return asked(handler, "runs_show", pathParameters={"proxy": f"{model}/{run}"})


def end(aws: BatchAws, run: str) -> None:
    """End an execution, as far as Step Functions is concerned."""
    arn = f"{MACHINE.replace('stateMachine', 'execution')}:{run}"
    aws.client("stepfunctions").stop_execution(executionArn=arn)


def report(aws: BatchAws, run: str, **changes: Any) -> None:
    """Leave a run's report, as report_run does."""
    found = {
        "run": run,
        "model": "tiny",
        "version": 3,
        "status": "succeeded",
        "cause": "",
        "started": "2026-11-20T08:00:00.000Z",
        "finished": "2026-11-20T08:01:00.000+00:00",
        "input": {"bucket": "inbox", "key": PREFIX, "version_id": None, "etag": "e"},
        "counts": COUNTS,
        "units": {"planned": 2, "done": 2, "failed": []},
        **changes,
    }
    aws.client("s3").put_object(
        Bucket="scores", Key=RunPaths(found["model"], run).report, Body=json.dumps(found).encode()
    )


def refused(run: str) -> RefusedPlan:
    """The least that a plan can be."""
    return RefusedPlan(
        run=run,
        model="tiny",
        started="2026-11-20T08:00:00.000Z",
        code="0",
        bucket="inbox",
        key=f"{PREFIX}a.csv",
        version_id=None,
        refusals=("amount: expected a column of that name, got none",),
    )


def test_a_run_is_started_once(aws: BatchAws, handler: Handler) -> None:
    status, headers, body = asked(handler, "runs_start")
    run = body["run"]
    assert (status, body) == (202, {"run": run, "model": "tiny", "status": "starting"})
    assert headers["Location"] == f"/dev/runs/tiny/{run}"
    assert int(headers["Retry-After"]) > 0
    arn = f"{MACHINE.replace('stateMachine', 'execution')}:{run}"
    found = aws.client("stepfunctions").describe_execution(executionArn=arn)
    assert json.loads(found["input"]) == {
        "bucket": "inbox",
        "model": "tiny",
        "owner": "arn:aws:iam::123456789012:user/ann",
        "partition": "month=2026-01",
        "prefix": "_data/tiny/",
        "version": 3,
    }
    assert asked(handler, "runs_start")[::2] == (202, body)


def test_a_member_that_is_null_is_absent(aws: BatchAws, handler: Handler) -> None:
    nulls = {"owner": None, "bucket": None, "key": None, "keep": None, "callback": None}
    assert started(handler, **nulls)[::2] == started(handler)[::2]


def test_a_start_answers_the_context_of_the_run(handler: Handler) -> None:
    _, headers, body = started(handler)
    assert headers["traceparent"] == run_context(body["run"])


def test_a_start_of_a_finished_run_shows_it(aws: BatchAws, handler: Handler) -> None:
    _, _, body = started(handler)
    end(aws, body["run"])
    report(aws, body["run"])
    status, headers, again = started(handler)
    assert (status, again["run"], again["status"]) == (200, body["run"], "succeeded")
    assert headers["Location"].endswith(body["run"])


def test_a_run_is_shown_from_its_start_to_its_report(aws: BatchAws, handler: Handler) -> None:
    _, _, body = started(handler, version=3, manifest=None, key=f"{PREFIX}a.csv", prefix=None)
    run = body["run"]
    status, headers, found = shown(handler, "tiny", run)
    assert (status, found["status"], found["units"]) == (200, "starting", None)
    assert "Retry-After" in headers
    folder = RunPaths("tiny", run)
    s3 = aws.client("s3")
    s3.put_object(Bucket="scores", Key=folder.plan, Body=dump(refused(run)))
    assert shown(handler, "tiny", run)[2]["status"] == "running"
    end(aws, run)
    assert shown(handler, "tiny", run)[2]["status"] == "stopped"
    report(aws, run)
    status, headers, found = shown(handler, "tiny", run)
    links = found.pop("links")
    assert found == {
        "run": run,
        "model": "tiny",
        "version": 3,
        "status": "succeeded",
        "cause": "",
        "started": "2026-11-20T08:00:00.000Z",
        "finished": "2026-11-20T08:01:00.000+00:00",
        "input": {"bucket": "inbox", "key": PREFIX, "version_id": None},
        "counts": COUNTS,
        "units": {"planned": 2, "done": 2},
    }
    assert "Retry-After" not in headers
    assert f"/scores/{folder.report}?" in links["report"]
    assert f"/scores/{folder.page}?" in links["page"]


def test_a_run_is_stopped(aws: BatchAws, handler: Handler) -> None:
    _, _, body = started(handler, version=3, prefix="_data/tiny/month=2026")
    run = body["run"]
    place = {"pathParameters": {"proxy": f"tiny/{run}"}}
    for _ in range(2):
        status, headers, found = asked(handler, "runs_stop", **place)
        assert (status, found["run"], found["status"]) == (202, run, "stopped")
        assert "Retry-After" not in headers
    arn = f"{MACHINE.replace('stateMachine', 'execution')}:{run}-x"
    counting = aws.client("stepfunctions").describe_execution(executionArn=arn)
    assert json.loads(counting["input"])["stop"] == run
    place["pathParameters"]["proxy"] = "tiny/none"
    assert asked(handler, "runs_stop", **place)[0] == 404


BOB = "arn:aws:iam::123456789012:user/bob"


def as_bob(handler: Handler, name: str, **changes: Any) -> tuple[int, dict[str, str], Any]:
    """One of the events, sent by another caller."""
    identity = {**event(name)["requestContext"]["identity"], "userArn": BOB}
    context = {**event(name)["requestContext"], "identity": identity}
    return asked(handler, name, requestContext=context, **changes)


def test_a_run_of_another_caller_is_not_there(aws: BatchAws, handler: Handler) -> None:
    _, _, body = started(handler, version=3, partition=None, prefix="_data/tiny/month")
    run = body["run"]
    place = {"pathParameters": {"proxy": f"tiny/{run}"}}
    folder = RunPaths("tiny", run)
    planned = replace(refused(run), owner="arn:aws:iam::123456789012:user/ann")
    listing = {"queryStringParameters": {"model": "tiny", "limit": "100"}}
    for step in ("starting", "planned", "reported"):
        if step == "planned":
            aws.client("s3").put_object(Bucket="scores", Key=folder.plan, Body=dump(planned))
        if step == "reported":
            report(aws, run)
        assert as_bob(handler, "runs_show", **place)[0] == 404
        assert as_bob(handler, "runs_stop", **place)[0] == 404
        assert shown(handler, "tiny", run)[0] == 200
        assert run not in [r["run"] for r in as_bob(handler, "runs_list", **listing)[2]["runs"]]
        mine = [r["run"] for r in asked(handler, "runs_list", **listing)[2]["runs"]]
        assert (run in mine) == (step != "starting")
    # the same request is a run of his own
    status, _, his = as_bob(handler, "runs_start")
    assert (status, his["run"] == asked(handler, "runs_start")[2]["run"]) == (202, False)


def test_a_run_of_the_stage_is_shown_and_not_stopped(aws: BatchAws, handler: Handler) -> None:
    request = {"bucket": "inbox", "key": "tiny/a.csv", "model": "tiny"}
    arn = aws.client("stepfunctions").start_execution(
        stateMachineArn=MACHINE, name="tiny-dropped", input=json.dumps(request)
    )["executionArn"]
    assert shown(handler, "tiny", "tiny-dropped")[0] == 200
    place = {"pathParameters": {"proxy": "tiny/tiny-dropped"}}
    status, _, body = asked(handler, "runs_stop", **place)
    assert (status, body["errors"][0]["got"]) == (409, "one of the stage")
    found = aws.client("stepfunctions").describe_execution(executionArn=arn)
    assert found["status"] == "RUNNING"


def test_a_firing_of_a_schedule_is_one_run_however_often_it_is_delivered(
    aws: BatchAws, handler: Handler
) -> None:
    fired = event("runs_scheduled")
    first = handler(fired, None)
    assert first["run"].startswith("tiny-20261101T050000Z-")
    assert handler(fired, None) == first
    end(aws, first["run"])
    assert handler(fired, None) == {**first, "new": False}
    arn = f"{MACHINE.replace('stateMachine', 'execution')}:{first['run']}"
    found = aws.client("stepfunctions").describe_execution(executionArn=arn)
    assert json.loads(found["input"]) == fired["request"]
    later = handler({**fired, "scheduled": "2026-12-01T06:00:00+01:00"}, None)
    assert later["run"].startswith("tiny-20261201T050000Z-")


@pytest.mark.parametrize(
    ("hours", "request_", "found"),
    [
        (0, {"prefix": "_data/d={year}-{month}-{day}/h={hour}/"}, "_data/d=2026-11-01/h=05/"),
        (24, {"prefix": "_data/month={year}-{month}/"}, "_data/month=2026-10/"),
        (-19, {"prefix": "_data/{year}{month}{day}"}, "_data/20261102"),
        (6, {"prefix": "_data/", "partition": "day={day}"}, "day=31"),
        (0, {"key": "_data/{year}.csv"}, "_data/2026.csv"),
        (0, {"manifest": "{month}.json"}, "11.json"),
    ],
)
def test_a_schedule_scores_what_is_of_its_date(
    aws: BatchAws, handler: Handler, hours: int, request_: dict[str, str], found: str
) -> None:
    fired = {**event("runs_scheduled"), "hours_back": hours}
    fired["request"] = {"model": "tiny", "bucket": "inbox", **request_}
    run = handler(fired, None)["run"]
    arn = f"{MACHINE.replace('stateMachine', 'execution')}:{run}"
    told = aws.client("stepfunctions").describe_execution(executionArn=arn)
    *_, dated = request_
    assert json.loads(told["input"]) == {**fired["request"], dated: found}


@pytest.mark.parametrize(
    ("changes", "refusal"),
    [
        (
            {"request": {"model": "tiny", "bucket": "inbox", "prefix": "a/{yaer}/"}},
            "request.prefix: expected in braces only year, month, day, hour, got 'yaer'",
        ),
        (
            {"hours_back": "24"},
            "hours_back: expected a whole number of hours, at most 87600, got '24'",
        ),
        (
            {"hours_back": 10**9},
            "hours_back: expected a whole number of hours, at most 87600, got 1000000000",
        ),
    ],
)
def test_a_schedule_of_no_date_fails_with_its_field(
    handler: Handler, changes: dict[str, Any], refusal: str
) -> None:
    with pytest.raises(BadInput, match=re.escape(refusal)):
        handler({**event("runs_scheduled"), **changes}, None)


@pytest.mark.parametrize(
    "changes",
    [
        {"scheduled": "<aws.scheduler.scheduled-time>"},
        {"scheduled": None},
        {"request": None},
        {"request": {"model": "tiny", "bucket": "inbox", "prefix": ""}},
    ],
)
def test_a_schedule_that_asks_for_nothing_fails_loudly(
    handler: Handler, changes: dict[str, Any]
) -> None:
    with pytest.raises(BadInput):
        handler({**event("runs_scheduled"), **changes}, None)


def test_the_newest_runs_come_first_page_by_page(aws: BatchAws, handler: Handler) -> None:
    for day in range(1, 6):
        folder = RunPaths("other", f"other-{9 - day}")
        started = f"2026-11-0{day}T08:00:00.000Z"
        body = dump(replace(refused(folder.run), started=started))
        aws.client("s3").put_object(Bucket="scores", Key=folder.plan, Body=body)
        if day < 5:
            report(aws, folder.run, model="other", started=started)
    seen, after = [], None
    while True:
        query = {"model": "other", "limit": "2", **({"next": after} if after else {})}
        status, _, body = asked(handler, "runs_list", queryStringParameters=query)
        assert status == 200
        seen.append([(found["run"], found["status"]) for found in body["runs"]])
        after = body["next"]
        if after is None:
            break
    assert [run for page in seen for run, _ in page] == [f"other-{n}" for n in range(4, 9)]
    assert [status for page in seen for _, status in page] == ["running", *["succeeded"] * 4]
    assert [len(page) for page in seen] == [2, 2, 1]


def test_a_model_without_runs_has_none(handler: Handler) -> None:
    query = {"model": "unheard-of"}
    found = asked(handler, "runs_list", queryStringParameters=query)
    assert found[::2] == (200, {"runs": [], "next": None})


@pytest.mark.parametrize(
    ("request_", "status", "text"),
    [
        ({"prefix": "_data/none/"}, 400, "files in _data/none/"),
        ({"key": "a"}, 400, "one of key, prefix, manifest"),
        ({"model": "none"}, 404, "unknown model"),
        ({"version": 7}, 404, "version 7"),
        ({"version": "3"}, 400, "version: expected a whole number"),
        ({"bucket": "not-ours"}, 400, "bucket: expected one that this stack may read"),
        ({"surprise": 1}, 400, "surprise"),
        ({"prefx": "a"}, 400, "got another field; do you mean prefix?"),
        ({"owner": "ann"}, 400, "owner: expected no such field"),
        ({"traceparent": "x"}, 400, "traceparent: expected no such field: it is a header"),
        ({"callback": "crm"}, 404, "callback: expected the id of a registered endpoint, got 'crm'"),
        ({"callback": "https://crm/"}, 404, "callback: expected the id of a registered endpoint"),
        (
            {"callback": 7},
            400,
            "callback: expected a string of at most 1,024 characters, got a number",
        ),
    ],
)
def test_what_cannot_be_started_is_refused(
    handler: Handler, request_: dict[str, Any], status: int, text: str
) -> None:
    found, headers, body = started(handler, **request_)
    assert (found, headers["Content-Type"]) == (status, "application/problem+json")
    assert text in body["detail"]


@pytest.mark.parametrize(
    "input_", [{"key": "runs/tiny/of-bob/scores/part-00000.csv"}, {"prefix": "runs/tiny/"}]
)
def test_no_run_scores_what_another_run_wrote(
    aws: BatchAws, handler: Handler, input_: dict[str, str]
) -> None:
    """The function's role may read it: it shows runs to their callers."""
    written = "runs/tiny/of-bob/scores/part-00000.csv"
    aws.client("s3").put_object(Bucket="scores", Key=written, Body=csv_bytes([row(1)]))
    body = json.dumps({"model": "tiny", "bucket": "scores", "keep": "*", **input_})
    status, _, refusal = asked(handler, "runs_start", body=body)
    text = "bucket: expected one that this stack may read, got another"
    assert (status, refusal["detail"]) == (400, text)


def test_an_endpoint_of_another_caller_is_not_there(aws: BatchAws, handler: Handler) -> None:
    item = {"endpoint": {"S": "bobs"}, "callers": {"SS": ["arn:aws:iam::123456789012:user/bob"]}}
    aws.client("dynamodb").put_item(TableName="batch-endpoints", Item=item)
    found, _, body = started(handler, callback="bobs")
    text = "callback: expected the id of a registered endpoint, got 'bobs'"
    assert (found, body["detail"]) == (404, text)


@pytest.mark.parametrize(
    "body", ["", "[]", "{", '{"model": "tiny", "model": "tiny"}', "x" * 99_999]
)
def test_what_is_no_request_is_refused(handler: Handler, body: str) -> None:
    assert asked(handler, "runs_start", body=body)[0] in (400, 413)


@pytest.mark.parametrize(
    ("model", "run"), [("tiny", "none"), ("tiny", "../../x"), ("Tiny", "a"), ("tiny", "a" * 200)]
)
def test_a_run_that_is_not_there_is_404(handler: Handler, model: str, run: str) -> None:
    assert shown(handler, model, run)[0] == 404


@pytest.mark.parametrize(
    "query", [None, {"model": "../x"}, {"model": "tiny", "limit": "0"}, {"model": "tiny", "x": "1"}]
)
def test_a_list_asked_for_in_another_way_is_refused(
    handler: Handler, query: dict[str, str] | None
) -> None:
    assert asked(handler, "runs_list", queryStringParameters=query)[0] == 400
