"""Dropped files on the local AWS: from the notification to the report, all of template.yaml."""

from __future__ import annotations

import csv
import io
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from arro3 import core
from arro3 import io as arrow_io
from tests.kits.batch import crashing_parquet
from tests.kits.local_aws import LocalAws, start_local_aws
from typer.testing import CliRunner, Result

from quintet.batch.plans import RunPaths, run_name
from quintet.errors import BadInput, NotFound
from quintet_cli.app import app
from quintet_cli.run_reader import RunReader
from quintet_cli.stage import Stage
from quintet_publish.package import read_package

ROOT = Path(__file__).parents[2]
CUSTOMERS = ROOT / "models/churn/data/customers.csv"
SECONDS = 60


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAws]:
    """A local AWS whose units are small, with the churn model published."""
    state = tmp_path_factory.mktemp("drop-to-score")
    found = start_local_aws(state, parameters={"UnitTargetBytes": "60000"})
    assert quintet("publish", str(ROOT / "models/churn"), state=state).exit_code == 0
    yield found
    found.stop()


def quintet(*words: str, state: Path) -> Result:
    """Run the command in this process."""
    return CliRunner().invoke(app, [*words, "--state", str(state)])


@pytest.fixture(scope="module")
def reader(local: LocalAws) -> RunReader:
    return RunReader(Stage.open("local", local.state))


def put(local: LocalAws, key: str, body: bytes, **metadata: str) -> RunPaths:
    """Drop a file as any client of S3 does; where its run will be."""
    bucket = local.outputs["InboxBucketName"]
    s3 = local.client("s3")
    version = s3.put_object(Bucket=bucket, Key=key, Body=body, Metadata=metadata)["VersionId"]
    return RunPaths(key.partition("/")[0], run_name(bucket, key, version))


def finished(reader: RunReader, folder: RunPaths) -> dict[str, Any]:
    """The run's report, once it has one and its execution has ended."""
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        report = reader.report(folder)
        if report is not None and reader.ended(folder) is not None:
            return report
        time.sleep(0.1)
    raise AssertionError(f"{folder.run} did not end in {SECONDS} s")


def scores(reader: RunReader, folder: RunPaths) -> list[tuple[Any, ...]]:
    rows: list[tuple[Any, ...]] = []
    for key in reader.store.keys(f"{folder.root}scores/"):
        table = arrow_io.read_parquet(reader.store.get(key) or b"").read_all()
        rows += zip(*(table.column(name).to_pylist() for name in table.schema.names), strict=True)
    return rows


def test_a_dropped_file_comes_out_scored(local: LocalAws, reader: RunReader) -> None:
    body = CUSTOMERS.read_bytes()
    rows = len(list(csv.reader(io.StringIO(body.decode())))) - 1
    folder = put(local, "churn/Kunden März (1+1) & more.csv", body)
    report = finished(reader, folder)
    assert report["counts"] == {
        "rows": rows,
        "scored": rows,
        "quarantined": 0,
        "fallback": 0,
        "unaccounted": 0,
    }
    assert report["units"]["planned"] == report["units"]["done"] > 2
    assert reader.ended(folder) == "SUCCEEDED: no cause is given"
    found = scores(reader, folder)
    assert [row[0] for row in found] == list(range(rows))
    manifest = json.loads(reader.store.get(folder.manifest) or b"{}")
    assert (manifest["rows"], manifest["scored"], manifest["quarantined"]) == (rows, rows, 0)
    assert manifest["input"]["key"] == "churn/Kunden März (1+1) & more.csv"


def test_bad_rows_are_quarantined_and_good_ones_scored(local: LocalAws, reader: RunReader) -> None:
    lines = CUSTOMERS.read_text().splitlines()
    lines[7] = lines[7].rpartition(",")[0] + ",Narnia"
    lines[3000] = "17,too,short"
    folder = put(local, "churn/bad.csv", "\n".join(lines).encode())
    report = finished(reader, folder)
    assert (report["status"], report["counts"]["quarantined"]) == ("succeeded", 2)
    quarantined = [
        json.loads(line)
        for key in reader.store.keys(f"{folder.root}quarantine/")
        for line in (reader.store.get(key) or b"").splitlines()
    ]
    assert [(q["row"], q["text"]) for q in quarantined] == [(6, lines[7]), (2999, "17,too,short")]
    whole = {row[0]: row for row in scores(reader, folder)}
    assert set(whole) == set(range(len(lines) - 1)) - {6, 2999}


def test_a_duplicate_notice_starts_no_second_run(local: LocalAws, reader: RunReader) -> None:
    folder = put(local, "churn/twice.csv", CUSTOMERS.read_bytes()[:20_000].rpartition(b"\n")[0])
    first = finished(reader, folder)
    sqs, states = local.client("sqs"), local.client("stepfunctions")
    (url,) = [u for u in sqs.list_queues()["QueueUrls"] if "DropQueue" in u]
    bucket, source = first["input"]["bucket"], first["input"]
    for_s3 = {"bucket": {"name": bucket}, "object": {"key": "churn/twice.csv", "sequencer": "0"}}
    for_s3["object"]["versionId"] = source["version_id"]
    notice = {"Records": [{"eventName": "ObjectCreated:Put", "s3": for_s3}]}
    machine = {"stateMachineArn": local.outputs["BatchScoringArn"]}
    before = len(states.list_executions(**machine)["executions"])
    for _ in range(2):
        sqs.send_message(QueueUrl=url, MessageBody=json.dumps(notice))
    told = "already started"
    deadline = time.monotonic() + SECONDS
    while local.logs("Drop").count(told) < 2 and time.monotonic() < deadline:
        time.sleep(0.1)
    assert local.logs("Drop").count(told) == 2
    assert len(states.list_executions(**machine)["executions"]) == before
    assert reader.report(folder) == first


def test_two_files_at_once_are_two_runs(local: LocalAws, reader: RunReader) -> None:
    body = CUSTOMERS.read_bytes()
    folders = [put(local, f"churn/part {n}.csv", body) for n in (1, 2)]
    reports = [finished(reader, folder) for folder in folders]
    assert [report["status"] for report in reports] == ["succeeded", "succeeded"]
    assert scores(reader, folders[0]) == scores(reader, folders[1])


def test_a_partition_of_many_files_is_one_run(local: LocalAws, reader: RunReader) -> None:
    header, *lines = CUSTOMERS.read_bytes().splitlines(keepends=True)
    bucket, s3 = local.outputs["InboxBucketName"], local.client("s3")
    parts = {
        "month=2026-01/a b.csv": lines[:3000],
        "month=2026-01/b.csv": lines[3000:3010],
        "month=2026-01/c.csv": [],
        "month=2026-02/a.csv": lines,
        "_SUCCESS": None,
    }
    for name, part in parts.items():
        body = b"" if part is None else b"".join([header, *part])
        s3.put_object(Bucket=bucket, Key=f"_data/churn/{name}", Body=body)
    folder = RunPaths("churn", "churn-2026-01")
    request = {
        "model": "churn",
        "bucket": bucket,
        "prefix": "_data/churn/",
        "partition": "month=2026-01",
    }
    local.client("stepfunctions").start_execution(
        stateMachineArn=local.outputs["BatchScoringArn"], name=folder.run, input=json.dumps(request)
    )
    report = finished(reader, folder)
    assert (report["status"], report["cause"]) == ("succeeded", "")
    assert report["counts"]["rows"] == report["counts"]["scored"] == 3010
    assert [row[:2] for row in scores(reader, folder)] == [
        (f"_data/churn/month=2026-01/{name}", number)
        for name, rows in (("a b.csv", 3000), ("b.csv", 10))
        for number in range(rows)
    ]


@pytest.mark.parametrize(
    ("key", "body", "cause"),
    [
        ("nosuch/a.csv", b"a\n1\n", "model: expected a published model, got 'nosuch'"),
        ("churn/empty.csv", b"", "got an empty file (0 bytes)"),
        ("churn/cut.parquet", b"PAR1 and no footer", "a truncated file: its footer is missing"),
    ],
)
def test_what_cannot_be_scored_ends_in_a_report_that_says_so(
    local: LocalAws, reader: RunReader, key: str, body: bytes, cause: str
) -> None:
    folder = put(local, key, body)
    report = finished(reader, folder)
    assert report["status"] == "refused" and report["cause"].endswith(cause)
    assert reader.ended(folder) == f"FAILED: {report['cause']}"
    assert reader.store.get(folder.manifest) is None


def test_a_unit_that_crashes_fails_the_run_and_not_its_siblings(
    local: LocalAws, reader: RunReader
) -> None:
    done = put(local, "churn/whole.csv", CUSTOMERS.read_bytes())
    whole = finished(reader, done)
    # the same run planned under another name, with one unit that no function can take
    folder = RunPaths("churn", "churn-with-a-crash")
    plan = json.loads(reader.store.get(done.plan) or b"{}")
    units = [
        {**unit, "run": folder.run}
        for unit in json.loads(reader.store.get(done.document("units", plan["documents"])) or b"[]")
    ]
    units[1]["surprise"] = True
    reader.store.put(folder.document("units", None), json.dumps(units).encode())
    plan |= {"run": folder.run, "documents": None}
    reader.store.put(folder.plan, json.dumps(plan).encode())
    source = {name: whole["input"][name] for name in ("bucket", "key", "version_id")}
    local.client("stepfunctions").start_execution(
        stateMachineArn=local.outputs["BatchScoringArn"], name=folder.run, input=json.dumps(source)
    )
    report = finished(reader, folder)
    lost = units[1]["rows"]
    assert report["units"]["failed"] == [
        {
            "unit": 1,
            "first_row": units[1]["first_row"],
            "rows": lost,
            "reason": "it was ended by the error TypeError",
        }
    ]
    assert report["counts"]["scored"] == whole["counts"]["scored"] - lost
    assert report["counts"]["unaccounted"] == lost
    assert reader.ended(folder) == f"FAILED: {report['cause']}"
    assert reader.store.get(folder.manifest) is None


def test_a_file_that_crashes_the_reader_is_named_with_its_row_group(
    local: LocalAws, reader: RunReader
) -> None:
    contract = read_package(ROOT / "models/churn").contract
    kinds = dict.fromkeys(contract.by_name, core.DataType.float64())
    kinds |= {"customer_id": core.DataType.string(), "country": core.DataType.string()}
    rows = list(csv.DictReader(io.StringIO(CUSTOMERS.read_text())))[:40]
    typed = [
        {n: v if n in ("customer_id", "country") else float(v) for n, v in r.items()} for r in rows
    ]
    folder = put(
        local, "churn/crash.parquet", crashing_parquet(typed, 20, kinds, contract=contract)
    )
    report = finished(reader, folder)
    (failed,) = report["units"]["failed"]
    assert failed["reason"] == (
        f"{report['input']['key']}: row group 1: the reader crashed (SIGABRT); "
        "the file is damaged there"
    )
    assert report["status"] == "failed" and failed["reason"] in report["cause"]


def test_a_file_without_a_header_is_dropped_by_the_command(local: LocalAws, tmp_path: Path) -> None:
    _, *lines = CUSTOMERS.read_text().splitlines(keepends=True)
    file = tmp_path / "bare.csv"
    file.write_text("".join(line.partition(",")[2] for line in lines[:300]))
    refused = quintet("drop", str(file), "churn", state=local.state)
    assert refused.exit_code == 1
    assert "if the file has no header, say `header: none`" in " ".join(refused.output.split())
    dropped = quintet("drop", str(file), "churn", "--header", "none", state=local.state)
    assert dropped.exit_code == 0, dropped.output
    assert "300 rows = 300 scored + 0 quarantined" in dropped.output


def test_the_command_drops_follows_and_shows(local: LocalAws, tmp_path: Path) -> None:
    state = local.state
    options = ("--output", "csv", "--keep", "spend_365d=spent")
    dropped = quintet("drop", str(CUSTOMERS), "churn", *options, state=state)
    assert dropped.exit_code == 0, dropped.output
    assert "4,335 rows = 4,335 scored + 0 quarantined" in dropped.output
    run = dropped.output.split()[1]
    reader = RunReader(Stage.open("local", state))
    (first, *_) = reader.store.keys(f"{RunPaths('churn', run).root}scores/")
    found = csv.DictReader(io.StringIO((reader.store.get(first) or b"").decode()))
    given = csv.DictReader(io.StringIO(CUSTOMERS.read_text()))
    kept = [r["spent"] for r in found]
    assert kept == [r["spend_365d"] for r in given][: len(kept)]
    assert run in quintet("runs", "ls", "churn", state=state).output
    assert "succeeded" in quintet("runs", "show", "churn", run, state=state).output
    page = tmp_path / "page.html"
    assert quintet("runs", "report", "churn", run, "--out", str(page), state=state).exit_code == 0
    assert page.read_text().startswith("<!doctype html>")
    refused = tmp_path / "renamed.csv"
    refused.write_text(CUSTOMERS.read_text().replace("spend_365d", "Spend_365d", 1))
    failed = quintet("drop", str(refused), "churn", state=state)
    assert failed.exit_code == 1
    assert "spend_365d: expected a column of that name" in failed.output
    assert "is it 'Spend_365d'?" in failed.output
    watched = quintet("runs", "watch", "churn", run, state=state)
    assert watched.exit_code == 0


@pytest.mark.parametrize(
    "words",
    [
        ("drop", str(CUSTOMERS), "chrun"),
        ("runs", "show", "chrun"),
        ("runs", "show", "chrun", "r-1"),
        ("runs", "ls", "chrun"),
        ("table", "show", "chrun"),
        ("stream", "send", str(CUSTOMERS), "chrun"),
        ("stream", "send", str(CUSTOMERS), "chrun", "--raw"),
        ("rollout", "status", "chrun"),
    ],
)
def test_a_mistyped_model_is_refused_with_the_name_that_is_near(
    local: LocalAws, words: tuple[str, ...]
) -> None:
    before = objects(local)
    ran = quintet(*words, state=local.state)
    expected = "one published on stage local (is it 'churn'?)"
    assert isinstance(ran.exception, NotFound), ran.output
    assert str(ran.exception) == f"model: expected {expected}, got 'chrun'"
    assert objects(local) == before


def test_columns_that_the_scores_have_are_not_kept_twice(local: LocalAws) -> None:
    before = objects(local)
    ran = quintet("drop", str(CUSTOMERS), "churn", "--keep", "customer_id", state=local.state)
    expected = "names that no column of the scores has"
    assert isinstance(ran.exception, BadInput), ran.output
    assert str(ran.exception) == f"keep: expected {expected}, got 'customer_id'"
    assert objects(local) == before


def objects(local: LocalAws) -> int:
    """How many files were dropped so far."""
    pages = local.client("s3").list_object_versions(Bucket=local.outputs["InboxBucketName"])
    return len(pages.get("Versions", []))
