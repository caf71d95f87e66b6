"""The batch states one after the other, as the state machine calls them, over moto."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from tests.kits.aws import environ, reached_by
from tests.kits.batch import csv_bytes, row
from tests.kits.batch_functions import MACHINE, BatchAws, event, function, serving

from quintet.aws.client import AwsClient
from quintet.aws.input_bucket import S3InputBucket
from quintet.aws.responses import AwsResponse
from quintet.aws.scores_bucket import S3ObjectStore
from quintet.batch.plans import RunPaths, run_context
from quintet.batch.stores import InputBucket, MemoryInputBucket, MemoryObjectStore, ObjectStore
from quintet.errors import BadInput, NotFound, Transient
from quintet_cli.run_reader import RunReader
from quintet_cli.stage import Stage

ROWS = [row(number, country="xx" if number == 7 else "de") for number in range(50)]
RUN = "tiny-customers-0123456789abcdef01234567"
ROOT = f"runs/tiny/{RUN}/"


@pytest.fixture(scope="module")
def aws() -> Iterator[BatchAws]:
    with serving() as found:
        found.publish()
        yield found


def call(
    name: str, request: dict[str, Any], aws: BatchAws, monkeypatch: pytest.MonkeyPatch
) -> dict[str, Any]:
    with function(name, aws, monkeypatch) as handler:
        return handler(request, None)


def run(aws: BatchAws, monkeypatch: pytest.MonkeyPatch, request: dict[str, Any]) -> dict[str, Any]:
    """A whole run; what the state machine would judge."""
    planned = call("plan_run", request, aws, monkeypatch)
    if planned["units"]:
        body = aws.client("s3").get_object(Bucket="scores", Key=planned["units_key"])["Body"]
        for unit in orjson.loads(body.read()):
            assert call("score_unit", unit, aws, monkeypatch)["status"] == "done"
    report = {"run": request["run"], "request": request["request"]}
    return call("report_run", report, aws, monkeypatch)


def test_a_file_is_planned_scored_and_reported(
    aws: BatchAws, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    s3 = aws.client("s3")
    s3.put_object(Bucket="inbox", Key="tiny/customers.csv", Body=csv_bytes(ROWS))
    request = event("plan_run_file")
    summary = run(aws, monkeypatch, request)
    counts = {"rows": 50, "scored": 49, "quarantined": 1, "fallback": 0, "unaccounted": 0}
    assert summary == {
        "run": RUN,
        "model": "tiny",
        "status": "succeeded",
        "cause": "",
        "report": f"{ROOT}report.json",
        "page": f"{ROOT}report.html",
        "counts": counts,
        "finished": summary["finished"],
        "seconds": summary["seconds"],
        "callback": None,
        "traceparent": run_context(RUN),
        "drift": {"compared": 0, "moved": 0},
    }
    found = aws.objects(ROOT)
    plan, manifest = (orjson.loads(found[f"{ROOT}{n}.json"]) for n in ("plan", "manifest"))
    version = s3.head_object(Bucket="inbox", Key="tiny/customers.csv")["VersionId"]
    assert (plan["input"]["version_id"], plan["version"]) == (version, 3)
    assert manifest["digest"] == plan["digest"]
    units = range(plan["units"])
    assert set(found) == {
        *(f"{ROOT}{name}" for name in ("plan.json", "manifest.json")),
        f"{ROOT}planned/{plan['documents']}/units.json",
        *(f"{ROOT}{name}" for name in ("report.json", "report.html")),
        *(f"{ROOT}units/{unit:05d}.json" for unit in units),
        *(f"{ROOT}scores/part-{unit:05d}.parquet" for unit in units),
        f"{ROOT}quarantine/part-00000.jsonl",
    }
    # logs hold ids and counts, and nothing of the rows
    out = capsys.readouterr().out
    assert '"scored"' in out and "c13" not in out and "xx" not in out
    # a second run under the same name changes nothing
    assert run(aws, monkeypatch, request) == summary
    assert aws.objects(ROOT) == found


def test_a_prefix_is_planned_scored_and_reported(
    aws: BatchAws, monkeypatch: pytest.MonkeyPatch
) -> None:
    s3 = aws.client("s3")
    for month in ("2026-01", "2026-02"):
        for part in ("a", "b"):
            key = f"_data/tiny/month={month}/{part}.csv"
            s3.put_object(Bucket="inbox", Key=key, Body=csv_bytes(ROWS))
    s3.put_object(Bucket="inbox", Key="_data/tiny/_SUCCESS", Body=b"")
    request = event("plan_run_prefix")
    root = f"runs/tiny/{request['run']}/"
    summary = run(aws, monkeypatch, request)
    counts = {"rows": 100, "scored": 98, "quarantined": 2, "fallback": 0, "unaccounted": 0}
    assert (summary["status"], summary["counts"]) == ("succeeded", counts)
    found = aws.objects(root)
    plan, manifest = (orjson.loads(found[f"{root}{n}.json"]) for n in ("plan", "manifest"))
    inputs = orjson.loads(found[f"{root}planned/{plan['documents']}/inputs.json"])
    keys = [f"_data/tiny/month=2026-01/{part}.csv" for part in ("a", "b")]
    assert [file["key"] for file in inputs["files"]] == keys
    versions = [s3.head_object(Bucket="inbox", Key=key)["VersionId"] for key in keys]
    assert [file["version_id"] for file in inputs["files"]] == versions
    assert manifest["input"]["key"] == "_data/tiny/"
    assert run(aws, monkeypatch, request) == summary
    assert aws.objects(root) == found


def test_a_request_that_is_none_ends_in_a_report_too(
    aws: BatchAws, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = {"run": "tiny-odd", "started": "2026-11-20T08:00:00.000Z", "request": {"model": "t"}}
    with pytest.raises(BadInput, match="input: expected one of key, prefix, manifest, got none"):
        call("plan_run", request, aws, monkeypatch)
    told = {"run": "tiny-odd", "request": request["request"], "failure": "BadInput"}
    summary = call("report_run", told, aws, monkeypatch)
    assert summary["cause"] == "The run could not be planned (BadInput)."


def test_an_unknown_model_ends_in_a_report_that_says_refused(
    aws: BatchAws, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = event("plan_run_unknown_model")
    summary = run(aws, monkeypatch, request)
    assert (summary["status"], summary["cause"]) == (
        "refused",
        "model: expected a published model, got 'nosuch'",
    )
    prefix = f"runs/nosuch/{request['run']}/"
    assert sorted(aws.objects(prefix)) == [
        f"{prefix}{name}" for name in ("plan.json", "report.html", "report.json")
    ]


def test_a_run_that_ended_before_its_plan_has_a_report(
    aws: BatchAws, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = {**event("report_run_failed"), "run": "tiny-never-planned"}
    summary = call("report_run", request, aws, monkeypatch)
    assert summary["status"] == "failed"
    assert summary["cause"] == "The run could not be planned (Sandbox.Timedout)."


@pytest.mark.parametrize("bucket", ["scores", "batch-registry"])
def test_a_list_of_files_leads_to_no_bucket_that_functions_keep_for_themselves(
    aws: BatchAws, monkeypatch: pytest.MonkeyPatch, bucket: str
) -> None:
    s3, held = aws.client("s3"), f"s3://{bucket}/of-bob/a.csv"
    s3.put_object(Bucket=bucket, Key="of-bob/a.csv", Body=csv_bytes(ROWS))
    s3.put_object(Bucket="inbox", Key="_lists/files.json", Body=orjson.dumps([held]))
    request = event("plan_run_prefix") | {"run": f"tiny-list-of-{bucket}"}
    request["request"] = {"bucket": "inbox", "model": "tiny", "manifest": "_lists/files.json"}
    found = run(aws, monkeypatch, request)
    text = "of-bob/a.csv: bucket: expected one that this stack may read, got another"
    assert (found["status"], found["cause"]) == ("refused", text)


def test_a_unit_of_no_run_is_refused(aws: BatchAws, monkeypatch: pytest.MonkeyPatch) -> None:
    unit = {**event("score_unit_first"), "run": "tiny-nothing"}
    with pytest.raises(NotFound, match="run: expected a planned run, got tiny-nothing"):
        call("score_unit", unit, aws, monkeypatch)


def test_a_unit_that_has_failed_is_a_failed_invocation_and_has_a_result(
    aws: BatchAws, monkeypatch: pytest.MonkeyPatch
) -> None:
    s3, key = aws.client("s3"), "tiny/gone.csv"
    version = s3.put_object(Bucket="inbox", Key=key, Body=csv_bytes(ROWS))["VersionId"]
    request = {"bucket": "inbox", "key": key, "version_id": version}
    planned = {"run": "tiny-gone", "started": "2026-11-20T08:00:00.000Z", "request": request}
    found = call("plan_run", planned, aws, monkeypatch)
    s3.delete_object(Bucket="inbox", Key=key, VersionId=version)
    unit = orjson.loads(aws.objects(found["units_key"])[found["units_key"]])[0]
    with pytest.raises(Exception, match="unit 0 of tiny-gone: the file") as raised:
        call("score_unit", unit, aws, monkeypatch)
    assert type(raised.value).__name__ == "UnitFailed"  # which the state machine does not retry
    ((_, body),) = aws.objects("runs/tiny/tiny-gone/units/").items()
    assert orjson.loads(body)["status"] == "failed"


def stage(aws: BatchAws) -> Stage:
    outputs = {"ScoresBucketName": "scores", "BatchScoringArn": MACHINE, "InboxBucketName": "inbox"}
    return Stage("test", "", outputs, aws.url)


# ---- the ports on S3 keep to what their in-memory versions do -----------------------------------


@pytest.fixture(params=["memory", "s3"])
def inbox(request: pytest.FixtureRequest, aws: BatchAws) -> tuple[InputBucket, Any]:
    if request.param == "memory":
        memory = MemoryInputBucket()
        return memory, memory.put
    s3 = aws.client("s3")

    def put(bucket: str, key: str, body: bytes, metadata: dict[str, str] | None = None) -> None:
        s3.put_object(Bucket=bucket, Key=key, Body=body, Metadata=metadata or {})

    return S3InputBucket(aws.signed("s3")), put


def test_inboxes_read_the_version_that_was_pinned(inbox: tuple[InputBucket, Any]) -> None:
    port, put = inbox
    key = "tiny/ü +&.csv"
    put("inbox", key, b"0123456789", {"quintet-output": "csv"})
    first = port.snapshot("inbox", key, None)
    put("inbox", key, b"other")
    assert (first.size, first.key, first.metadata) == (10, key, {"quintet-output": "csv"})
    assert port.read(first, 2, 5) == b"234"
    assert port.read(first, 8, 100) == b"89"
    assert port.read(first, 3, 3) == b""
    assert port.snapshot("inbox", key, first.version_id) == first
    with pytest.raises(BadInput, match="it was deleted or overwritten"):
        port.read(dataclasses.replace(first, etag="0" * 32), 0, 5)
    with pytest.raises(NotFound, match="expected tiny/none in the inbox, got nothing"):
        port.snapshot("inbox", "tiny/none", None)


def test_a_bucket_without_versions_is_held_to_its_etags(aws: BatchAws) -> None:
    s3 = aws.client("s3")
    s3.put_object(Bucket="scores", Key="plain/a.csv", Body=b"one")
    inbox = S3InputBucket(aws.signed("s3"))
    pinned = inbox.snapshot("scores", "plain/a.csv", None)
    assert (pinned.version_id, inbox.read(pinned, 0, 3)) == (None, b"one")
    s3.put_object(Bucket="scores", Key="plain/a.csv", Body=b"two")
    with pytest.raises(BadInput, match="it was deleted or overwritten"):
        inbox.read(pinned, 0, 3)


def test_a_bucket_that_may_not_be_read_is_refused(aws: BatchAws) -> None:
    bucket = S3InputBucket(Denied("s3", environ=environ(aws.url)))
    with pytest.raises(
        BadInput, match="bucket: expected one that this stack may read, got another"
    ):
        bucket.snapshot("b", "a.csv", None)
    with pytest.raises(
        BadInput, match="bucket: expected one that this stack may read, got another"
    ):
        list(bucket.keys("b", "a"))


class Denied(AwsClient):
    """A client whose caller may do nothing; a HEAD's response has no body."""

    def request(self, method: str, path: str, **_: Any) -> AwsResponse:
        """See `AwsClient.request`."""
        return AwsResponse(403, {}, b"" if method == "HEAD" else b"<Code>AccessDenied</Code>")


def test_inboxes_list_what_is_under_a_prefix_in_the_order_of_keys(
    inbox: tuple[InputBucket, Any],
) -> None:
    port, put = inbox
    names = [f"listed/{number:04d}" for number in range(1005)]
    for name in reversed(names):
        put("inbox", name, b"x" if name.endswith("7") else b"")
    put("inbox", "listed/0007", b"newer")
    put("inbox", "other/0001", b"x")
    found = list(port.keys("inbox", "listed/"))
    assert [item.key for item in found] == names
    assert [item.size for item in found[6:9]] == [0, 5, 0]
    assert [item.etag for item in found[6:9:2]] == [hashlib.md5(b"").hexdigest()] * 2
    assert list(port.keys("inbox", "nothing/")) == []
    for name in ("no-such-bucket", "no bucket/at all"):
        with pytest.raises(BadInput, match="bucket: expected one that this stack may read"):
            list(port.keys(name, ""))


@pytest.fixture(params=["memory", "s3"])
def store(request: pytest.FixtureRequest, aws: BatchAws) -> ObjectStore:
    return (
        MemoryObjectStore()
        if request.param == "memory"
        else S3ObjectStore(aws.signed("s3"), "scores")
    )


def test_stores_give_back_what_was_put(store: ObjectStore) -> None:
    assert store.get("stored/none.json") is None
    for number in (2, 1):
        store.put(f"stored/{number}.json", b"%d" % number)
    store.put("stored/1.json", b"again")
    assert store.get("stored/1.json") == b"again"
    assert store.keys("stored/") == ["stored/1.json", "stored/2.json"]
    assert store.keys("nothing/") == []


def test_a_bucket_that_cannot_be_reached_is_transient(aws: BatchAws, tmp_path: Path) -> None:
    gone = BatchAws("http://127.0.0.1:9")
    with pytest.raises(Transient, match="s3 did not answer"):
        S3ObjectStore(gone.signed("s3"), "scores").get("a")
    with pytest.raises(Transient, match="S3 answered NoSuchBucket"):
        S3ObjectStore(aws.signed("s3"), "no-such-bucket").put("a", b"")


def test_runs_are_listed_as_the_command_shows_them(
    aws: BatchAws, monkeypatch: pytest.MonkeyPatch
) -> None:
    aws.client("s3").put_object(Bucket="inbox", Key="tiny/customers.csv", Body=csv_bytes(ROWS))
    run(aws, monkeypatch, event("plan_run_file"))
    monkeypatch.setenv("AWS_ENDPOINT_URL", aws.url)
    reader = RunReader(stage(aws))
    assert RUN in reader.names("tiny")
    folder = RunPaths("tiny", RUN)  # other tests' runs were started at the same moment
    assert reader.newest("tiny").run in reader.names("tiny")
    (seen,) = reader.follow(folder)
    assert seen.report is not None and seen.plan is not None
    assert (seen.units, seen.rows) == (seen.report["units"]["planned"], 50)
    assert reader.ended(folder) is None


def test_the_rows_of_units_that_go_on_are_counted(
    aws: BatchAws, monkeypatch: pytest.MonkeyPatch
) -> None:
    reached_by(monkeypatch, aws.url)
    folder, s3 = RunPaths("other", "other-run"), aws.client("s3")
    for key, rows in ((folder.result(0), 30), (folder.beat(0), 20), (folder.beat(1), 7)):
        s3.put_object(Bucket="scores", Key=key, Body=json.dumps({"rows": rows}).encode())
    seen = next(RunReader(stage(aws)).follow(folder))
    assert (seen.units, seen.rows, seen.report) == (1, 37, None)
