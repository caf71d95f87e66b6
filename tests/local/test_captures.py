"""Captures of all four paths on the local AWS, while a tenth of what writes them fails."""

from __future__ import annotations

import json
import math
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import urllib3
import yaml
from arro3 import core
from tests.kits import models
from tests.kits.aws import environ
from tests.kits.captures import records, table
from tests.kits.local_aws import FREE_PORTS, LocalAws, eventually, start_local_aws
from tests.kits.recommending import RANKER, ROWS, ranker_graph, show_run
from tests.kits.schemas import valid
from tests.kits.streams import METER, reading
from typer.testing import CliRunner

from quintet.aws.captures import CaptureBucket
from quintet.aws.client import AwsClient
from quintet.aws.features import entity_key
from quintet.batch.candidates import CandidateSet, packed
from quintet.captures.compaction import compact, redeliver
from quintet.captures.tables import read_parquet
from quintet.contract import Capture
from quintet.feedback.reading import read as read_feedback
from quintet.labels.table import Labels, put
from quintet_cli.app import app
from quintet_cli.stacks import StageError

CONTRACT = replace(METER, capture=Capture(days=30))
FAULTS = {
    "seed": 5,
    "calls": {"s3": {"errors": 0.1, "lost_replies": 0.1}},
    # within half a second of its begin, by when most have ended
    "kills": {"share": 1.0, "functions": ["Capture"]},
}
REQUESTS, JOBS, RECORDS, FILE_ROWS = 40, 10, 60, 300
#: recommendations, to so many users
ANSWERS, USERS = 45, 9


def quintet(local: LocalAws, *words: str) -> str:
    done = CliRunner().invoke(app, ["captures", *words, "--state", str(local.state)])
    assert done.exit_code == 0, f"{done.output} {done.exception}"
    return done.output


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAws]:
    folder = tmp_path_factory.mktemp("captures")
    plan = folder / "faults.yaml"
    plan.write_text(yaml.safe_dump(FAULTS))
    made = start_local_aws(
        folder / "state",
        parameters={"StreamModel": "log", "StreamBatchSize": "20"},
        options=(*FREE_PORTS, "--faults", str(plan)),
    )
    bucket, registry = (made.outputs[f"Registry{kind}Name"] for kind in ("Bucket", "Table"))
    models.publish(CONTRACT, made.client("s3"), made.client("dynamodb"), bucket, registry)
    yield made
    made.stop()


@pytest.fixture(scope="module")
def bucket(local: LocalAws) -> CaptureBucket:
    client = AwsClient("s3", environ=environ(local.endpoint_url))
    return CaptureBucket(client, local.outputs["CapturesBucketName"])


def post(local: LocalAws, body: Any, **headers: str) -> urllib3.BaseHTTPResponse:
    url = f"{local.api_url}/models/log/predict"
    return urllib3.request("POST", url, json=body, headers=headers, timeout=30)


@pytest.fixture(scope="module")
def served(local: LocalAws) -> Counter[tuple[str, str, int]]:
    """What was served, as (path, event, row); of a stream's event, the sequence number alone."""
    found: Counter[tuple[str, str, int]] = Counter()

    def warm() -> bool:  # loading the model may fail
        return post(local, {"records": [{"meter": "warm", "x": "no number"}]}).status == 400

    eventually(warm)
    for number in range(REQUESTS):
        rows = [{"meter": f"m{number}", "x": number + 1}, {"meter": "m0", "x": 2}]
        answer = post(local, {"records": rows})
        assert answer.status == 200, answer.data
        event = answer.headers["X-Quintet-Event"]
        found.update([("online", event, 0), ("online", event, 1)])
    for number in range(JOBS):
        body = {"records": [{"meter": f"m{number}", "x": 3}]}
        answer = post(local, body, Prefer="respond-async")
        assert answer.status == 202, answer.data
        assert answer.headers["X-Quintet-Event"] == answer.json()["id"]
        found["async", answer.json()["id"], 0] += 1
    put = local.client("kinesis").put_records(
        StreamName=local.outputs["EventsStreamName"],
        Records=[
            {"Data": json.dumps(reading(f"m{n}", n + 1)).encode(), "PartitionKey": "k"}
            for n in range(RECORDS)
        ],
    )
    found.update(("stream", one["SequenceNumber"], 0) for one in put["Records"])
    lines = "".join(f"m{number},{number + 1}\n" for number in range(FILE_ROWS))
    local.client("s3").put_object(
        Bucket=local.outputs["InboxBucketName"], Key="log/a.csv", Body=f"meter,x\n{lines}".encode()
    )
    found.update(("batch", "log/a.csv", row) for row in range(FILE_ROWS))
    return found


def captured(rows: core.Table) -> Counter[tuple[str, str, int]]:
    names = ("outcome", "path", "event", "record", "row")
    return Counter(
        (path, record or event, row)
        for outcome, path, event, record, row in records(rows, *names)
        if outcome == "scored"
    )


def test_captures_are_what_was_served(
    local: LocalAws, bucket: CaptureBucket, served: Counter[tuple[str, str, int]]
) -> None:
    """0 lost after retries, 0 twice after compaction."""

    def arrived() -> bool:
        time.sleep(0.5)
        redeliver(bucket, bucket)  # what was killed three times, as `compact` does
        return captured(table(bucket)) == served

    eventually(arrived, seconds=60)
    compact(bucket, bucket, time.time() + 7200)
    assert bucket.keys("raw/") == []
    tables = [
        read_parquet(stored.body) for stored in map(bucket.get, bucket.keys("captures/")) if stored
    ]
    assert sum((captured(rows) for rows in tables), Counter()) == served  # without the reader's own
    happened = _health(local)["faults"]["happened"]
    assert {"s3.error", "s3.lost_reply"} <= set(happened)
    refused = [row for row in records(table(bucket), "outcome", "refusals") if row[0] == "refused"]
    assert set(refused) == {("refused", "x: expected a number (float32)")}
    for x, first, second in records(table(bucket), "feature_x", "output_logs_0", "output_logs_1"):
        if x is not None:
            assert (first, second) == pytest.approx((math.log(x),) * 2, abs=1e-6)


def _health(local: LocalAws) -> dict[str, Any]:
    found: dict[str, Any] = urllib3.request(
        "GET", f"{local.endpoint_url}/_quintet/health", timeout=30
    ).json()
    return found


def test_the_command_reports_a_day(
    local: LocalAws, bucket: CaptureBucket, served: Counter[tuple[str, str, int]], tmp_path: Path
) -> None:
    today, page = datetime.now(UTC).date().isoformat(), tmp_path / "day.html"
    put(bucket, "log", Labels(np.array([b"a"]), np.array([b"1"]), np.array([time.time()])))
    words = ["monitor", "log", "--day", today, "--out", str(page), "--state", str(local.state)]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, f"{done.output} {done.exception}"
    assert (
        f"log on {today}: " in done.output
        and "drifting (moved on 2 of 3 days): none" in done.output
    )
    assert str(page) in done.output
    stored = bucket.get(f"daily/model=log/date={today}/report.json")
    assert stored is not None
    report = json.loads(stored.body)
    senders = {sender["sender"]: sender for sender in report["senders"]}
    assert senders["log/a.csv"]["rows"] == FILE_ROWS
    assert f"{FILE_ROWS}</td>" in page.read_text() and "log/a.csv" in page.read_text()
    assert [one["reason"] for one in report["reasons"]] == ["x: expected a number (float32)"]
    words[words.index(today)] = "2999-01-01"
    refused = CliRunner().invoke(app, words)
    assert isinstance(refused.exception, StageError)
    assert "day: expected a day until today" in str(refused.exception)
    answer = local.client("lambda").invoke(FunctionName=local.outputs["ReportDayName"])
    (found,) = json.loads(answer["Payload"].read())  # of yesterday
    assert (found["model"], found["rows"]["scored"]) == ("log", 0)


def test_functions_make_no_call_that_their_role_does_not_allow(
    local: LocalAws, served: Counter[tuple[str, str, int]]
) -> None:
    answer = local.client("lambda").invoke(FunctionName=local.outputs["CompactName"])
    assert set(json.loads(answer["Payload"].read())) >= {"hours", "redelivered", "expired"}
    assert _health(local)["not_allowed"] == []


def test_the_command_queries_shows_and_exports(
    local: LocalAws, served: Counter[tuple[str, str, int]], tmp_path: Path
) -> None:
    lines = quintet(local, "query", "log", "--format", "json").splitlines()
    counts = {(row["path"], row["outcome"]): row["rows"] for row in map(json.loads, lines)}
    assert counts["online", "scored"] == 2 * REQUESTS
    assert counts["batch", "scored"] == FILE_ROWS
    sql = "SELECT max(feature_x) AS x FROM captures WHERE path = 'stream'"
    assert json.loads(quintet(local, "query", "--sql", sql, "--format", "json")) == {"x": RECORDS}
    assert "300" in quintet(local, "query", "--sql", "SELECT max(feature_x) AS x FROM captures")
    event = next(event for path, event, _ in served if path == "online")
    shown = quintet(local, "show", event)
    assert f"event {event}" in shown
    assert shown.count("logs_0") == 2
    file = tmp_path / "log.parquet"
    assert f"rows of log written to {file}" in quintet(local, "export", "log", str(file)).replace(
        "\n", ""
    )
    assert captured(read_parquet(file.read_bytes())) == served


def test_an_entity_is_erased_from_all_paths(
    local: LocalAws, bucket: CaptureBucket, served: Counter[tuple[str, str, int]]
) -> None:
    before = captured(table(bucket))
    said = quintet(local, "erase", "m0", "--yes").splitlines()
    rows = REQUESTS + 1 + 3  # the second of each request, and the first of all paths
    assert said[0] == f"erased: {rows} rows ({rows} of log) in 2 objects"
    assert said[1].endswith("none has a row of m0")
    assert "may hold lines of m0 until 20" in said[2]
    assert f"delete-item --table-name {local.outputs['FeaturesTableName']}" in "\n".join(said)
    left = table(bucket)
    assert "m0" not in {entity for (entity,) in records(left, "entity")}
    assert captured(left) <= before
    assert before.total() - captured(left).total() == rows


def recommended(local: LocalAws) -> list[dict[str, Any]]:
    """Recommendations to users of whom the first has no candidates."""
    models.publish_graph(RANKER, ranker_graph(), ROWS, local.registry)
    client = AwsClient("dynamodb", environ=environ(local.endpoint_url))
    body = packed(np.arange(10, 30), np.arange(20, 0, -1))
    sets = [CandidateSet(f"u{number}", body) for number in range(1, USERS)]
    popular = {"": [40, 41, 42, 43]}
    table_name = local.outputs["CandidatesTableName"]
    show_run(client, table_name, "made", "r1", sets=sets, popular=popular, now=time.time())
    features = {"taste": {"N": "1"}, "taste@": {"N": str(time.time() - 60)}}
    for number in range(1, USERS):
        item = {"entity": {"S": entity_key("user", f"u{number}")}, **features}
        local.client("dynamodb").put_item(TableName=local.outputs["FeaturesTableName"], Item=item)
    found = []

    def asked(number: int) -> bool:
        url = f"{local.api_url}/models/ranker/recommendations/u{number % USERS}"
        answer = urllib3.request("POST", url, json={"items": [number % 5 + 1]}, timeout=30)
        assert answer.status in (200, 503), answer.data  # the model may not load at first
        found.extend([answer.json()] if answer.status == 200 else [])
        return answer.status == 200

    for number in range(ANSWERS):
        eventually(partial(asked, number))
    return found


def check_export(local: LocalAws, answers: list[dict[str, Any]]) -> None:
    """An export has each shown item once, as it was ranked, and the clicks on the first ones."""
    file = local.state / "shown.parquet"
    words = ("impressions", "export", "ranker", "--open", "--output", str(file))
    ran = CliRunner().invoke(app, [*words, "--state", str(local.state)])
    assert ran.exit_code == 0, ran.output
    assert f"feedback: {ANSWERS} rows count\n" in ran.output
    again = CliRunner().invoke(app, [*words, "--state", str(local.state), "--json"])
    assert valid("quintet impressions export", again.stdout)["file"] == str(file)
    rows = read_parquet(file.read_bytes())
    shown = {
        (answer["impression"], place, one["item"], place == 1)
        for answer in answers
        for place, one in enumerate(answer["items"], 1)
    }
    found = records(rows, "impression", "position", "item", "clicked")
    assert (set(found), len(found)) == (shown, len(shown))
    features = set(records(rows, "step", "feature_taste", "propensity"))
    assert features == {("reranked", 1.0, 1.0), ("popular", None, 1.0)}


def test_impressions_are_the_answers_and_their_feedback_counts_once(
    local: LocalAws, bucket: CaptureBucket
) -> None:
    """Feedback is sent until it is answered, and every third again; `compact` merges it all."""
    begun, asked, answers = time.time(), {}, recommended(local)
    assert Counter(answer["step"] for answer in answers) == {
        "reranked": ANSWERS - ANSWERS // USERS,
        "popular": ANSWERS // USERS,
    }

    def sent(body: Any) -> bool:
        answer = urllib3.request("POST", f"{local.api_url}/feedback", json=body, timeout=30)
        assert answer.status in (200, 503), answer.data
        return answer.status == 200

    for number, answer in enumerate(answers):
        shown, item = answer["impression"], answer["items"][0]["item"]
        moment = round(time.time(), 6)
        row = {"impression": shown, "item": item, "type": "click", "time": moment}
        asked[shown.encode(), item] = moment
        for _ in range(1 + (number % 3 == 0)):
            eventually(partial(sent, {"model": "ranker", "feedback": [row]}))

    def compacted() -> bool:  # at the next hour, if S3 failed twice
        done = local.client("lambda").invoke(FunctionName=local.outputs["CompactName"])
        return "FunctionError" not in done

    def impressions() -> Counter[str]:
        redeliver(bucket, bucket)
        rows = records(table(bucket), "event", "outcome")
        return Counter(event for event, outcome in rows if outcome == "recommended")

    eventually(lambda: impressions() == Counter(one["impression"] for one in answers), seconds=60)
    eventually(compacted)
    known = read_feedback(bucket, "ranker", begun - 3600, time.time())
    found = known.feedback
    keys = zip(found.impressions.tolist(), found.items.tolist(), strict=True)
    assert dict(zip(keys, found.times.tolist(), strict=True)) == pytest.approx(asked, abs=1e-5)
    assert (len(found), known.damaged) == (ANSWERS, [])
    assert len(bucket.keys("feedback/")) < ANSWERS
    names = ("event", "entity", "outcome", "impression", "feature_item")
    rows = [row for row in records(table(bucket), *names) if row[0] == answers[1]["impression"]]
    (shown,) = (json.loads(row[3]) for row in rows if row[2] == "recommended")
    assert (shown["user"], shown["items"]) == ("u1", [one["item"] for one in answers[1]["items"]])
    assert set(shown["items"]) <= {row[4] for row in rows if row[2] == "scored"}
    assert "\nimpression\n" in quintet(local, "show", answers[1]["impression"])
    check_export(local, answers)
    said = quintet(local, "erase", "u1", "--yes").splitlines()
    assert said[1].endswith("rows of feedback")  # repeats, too
    assert "u1" not in {entity for _, entity, *_ in records(table(bucket), *names)}
    left = read_feedback(bucket, "ranker", begun - 3600, time.time()).feedback
    assert len(left) == ANSWERS - ANSWERS // USERS
