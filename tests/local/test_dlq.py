"""Dead letters of the whole stack, replayed by the command: the functions take them."""

from __future__ import annotations

import json
import shutil
import time
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from arro3 import io as arrow_io
from tests.kits.local_aws import ROOT, LocalAws, eventually
from typer.testing import CliRunner

from quintet.batch.drops import Dropped
from quintet.batch.plans import RunPaths, run_name
from quintet.replay.stream_objects import QUARANTINE
from quintet_cli.app import app
from quintet_cli.run_reader import RunReader
from quintet_cli.stage import Stage
from quintet_cli.stream_reader import StreamReader
from quintet_local.sources.kinesis import Discard, Record
from quintet_local.sources.kinesis_events import Source, failure_key, failure_record


def quintet(local: LocalAws, *arguments: str) -> str:
    result = CliRunner().invoke(
        app, [*arguments, "--state", str(local.state)], env={"COLUMNS": "200"}
    )
    assert result.exit_code == 0, result.output
    return result.output


def dlq(local: LocalAws, *arguments: str) -> str:
    return quintet(local, "dlq", *arguments)


def notice(bucket: str, key: str) -> dict[str, Any]:
    entity = {"bucket": {"name": bucket}, "object": {"key": key, "sequencer": "1"}}
    return {"Records": [{"eventName": "ObjectCreated:Put", "s3": entity}]}


def test_every_dead_letter_queue_of_the_template_is_listed(local_aws: LocalAws) -> None:
    lines = [line.split() for line in dlq(local_aws, "ls").splitlines()[1:]]
    listed = {words[0] for words in lines if words[2:3] == ["messages"]}
    urls = local_aws.client("sqs").list_queues()["QueueUrls"]
    policies = [
        local_aws.client("sqs")
        .get_queue_attributes(QueueUrl=url, AttributeNames=["RedrivePolicy"])
        .get("Attributes", {})
        for url in urls
    ]
    targets = {
        json.loads(policy["RedrivePolicy"])["deadLetterTargetArn"].rsplit("-", 1)[-1]
        for policy in policies
        if policy
    }
    names = ("Compare", "Drop", "Notify", "Rollout", "Work")
    assert listed == {f"{name}DeadLetters" for name in names} == targets


def test_a_replayed_notification_starts_its_run(local_aws: LocalAws) -> None:
    bucket, sqs = local_aws.outputs["InboxBucketName"], local_aws.client("sqs")
    key = f"nothing-{time.time_ns()}/a.csv"
    body = json.dumps(notice(bucket, key))
    url = local_aws.outputs["DropDeadLettersUrl"]
    sent = sqs.send_message(QueueUrl=url, MessageBody=body)["MessageId"]
    model = key.partition("/")[0]
    assert body in dlq(local_aws, "show", "drop", "--filter", f"model={model}")
    output = dlq(local_aws, "replay", "drop", "--filter", f"model={model}")
    assert output.lstrip().startswith("1 sent to ")
    run = Dropped(bucket, key, None, "1").run
    eventually(lambda: run in local_aws.logs("Drop"))
    place = output.rsplit(maxsplit=1)[-1].removeprefix("s3://")
    scores, _, record_key = place.partition("/")
    record = json.load(local_aws.client("s3").get_object(Bucket=scores, Key=record_key)["Body"])
    assert scores == local_aws.outputs["ScoresBucketName"]
    assert record["who"]["arn"].startswith("arn:aws:")
    assert [(m["message"], m["job"]) for m in record["sent"]] == [(sent, None)]
    assert dlq(local_aws, "show", "drop", "--filter", f"model={model}").startswith("nothing")


def test_replayed_work_reaches_the_workers(local_aws: LocalAws) -> None:
    job = f"gone-{time.time_ns()}"
    body = json.dumps({"job": job, "event": "accepted"})
    url = local_aws.outputs["WorkDeadLettersUrl"]
    local_aws.client("sqs").send_message(QueueUrl=url, MessageBody=body)
    assert f"job {job}: unknown" in dlq(local_aws, "show", "work", "--filter", f"job={job}")
    output = dlq(local_aws, "replay", "work", "--filter", f"job={job}")
    assert "1 sent to quintet-local-WorkQueue, 0 left in WorkDeadLetters" in output
    # the job is not in the table: its message is acknowledged, with a line in the log
    eventually(lambda: job in local_aws.logs("Work"))


def strict_fraud(folder: Path) -> Path:
    """The fraud model as a package that refuses customers whose history is not stored."""
    package = folder / "strict"
    shutil.copytree(ROOT / "models/fraud", package)
    contract = (package / "model.yaml").read_text()
    contract = contract.replace("name: fraud", "name: strict-fraud")
    contract = contract.replace("max_refused: 0.2", "max_refused: 0.9")
    (package / "model.yaml").write_text(
        contract.replace("when_stale: fallback", "when_stale: refuse")
    )
    return package


def scored(reader: RunReader, folder: RunPaths) -> dict[str, int]:
    """The counts of a run, once it has a report."""
    report = eventually(lambda: reader.report(folder), 60)
    assert report["status"] == "succeeded", report
    counts: dict[str, int] = report["counts"]
    return {name: counts[name] for name in ("rows", "scored", "quarantined")}


def test_rows_are_scored_once_what_refused_them_is_healed(
    local_aws: LocalAws, tmp_path: Path
) -> None:
    quintet(local_aws, "publish", str(strict_fraud(tmp_path)))
    head = "customer_id;amount;lines;items;dearest;bulk;hour;weekday"
    lines = [f"{customer};{amount};3;12;5;4;10;1" for customer, amount in CUSTOMERS]
    quintet(local_aws, "features", "load", str(stored(tmp_path, "f1")), "--model", "strict-fraud")
    bucket, s3 = local_aws.outputs["InboxBucketName"], local_aws.client("s3")
    key, body = "strict-fraud/orders.csv", "\r\n".join([head, *lines]).encode()
    version = s3.put_object(Bucket=bucket, Key=key, Body=body)["VersionId"]
    folder = RunPaths("strict-fraud", run_name(bucket, key, version))
    reader = RunReader(Stage.open("local", local_aws.state))
    assert scored(reader, folder) == {"rows": 4, "scored": 1, "quarantined": 3}
    name = f"strict-fraud/{folder.run}"
    assert name in dlq(local_aws, "ls")
    assert "row 3  amount: expected " in dlq(local_aws, "show", "strict-fraud")

    quintet(
        local_aws, "features", "load", str(stored(tmp_path, "f2", "f3")), "--model", "strict-fraud"
    )
    output = dlq(local_aws, "replay", name, "--filter", "field=days_since_order")
    assert f"2 sent to s3://{bucket}/strict-fraud/, 1 left in {name}" in output
    (run,) = [line.split()[-1] for line in output.splitlines() if "quintet runs watch" in line]
    again = RunPaths("strict-fraud", run)
    assert scored(reader, again) == {"rows": 2, "scored": 2, "quarantined": 0}
    (part,) = reader.store.keys(f"{again.root}scores/")
    table = arrow_io.read_parquet(reader.store.get(part) or b"").read_all()
    assert table.column("customer_id").to_pylist() == ["f2", "f3"]
    replayed = reader.reported(again)["input"]
    assert replayed["metadata"]["quintet-replay-of"] == folder.run
    sent = s3.get_object(Bucket=bucket, Key=replayed["key"])["Body"].read().decode()
    assert sent.splitlines() == [head, lines[1], lines[2]]
    assert "0 sent to " in dlq(local_aws, "replay", name, "--filter", "field=days_since_order")


CUSTOMERS = (("f1", "12.5"), ("f2", "30"), ("f3", "7.25"), ("f1", "dear"))


def stored(folder: Path, *customers: str) -> Path:
    """A file of the history of customers."""
    source = (ROOT / "models/fraud/data/features.csv").read_text().splitlines()
    path = folder / f"{'-'.join(customers)}.csv"
    values = source[1].partition(",")[2]
    path.write_text("\n".join([source[0], *(f"{name},{values}" for name in customers)]))
    return path


def sensor(folder: Path, name: str) -> Path:
    """The sensor model under another name."""
    package = folder / name
    shutil.copytree(ROOT / "models/sensor", package)
    contract = (package / "model.yaml").read_text()
    (package / "model.yaml").write_text(contract.replace("name: sensor", f"name: {name}", 1))
    return package


def reading(name: str, room: str) -> bytes:
    """A record of one reading that happens now."""
    line = (ROOT / "models/sensor/data/readings.jsonl").open().readline()
    row = {**json.loads(line), "sensor": room, "at": datetime.now(UTC).isoformat()}
    return json.dumps({"model": name, "records": [row]}).encode()


def rooms(reader: StreamReader, name: str) -> list[str]:
    """The sensors of the predictions of a model."""
    keys = reader.keys(f"predictions/{name}/")
    return [room for key in keys for room in reader.scored(key).columns["sensor"]]


def test_a_streams_record_is_scored_once_its_model_is_there(
    local_aws: LocalAws, tmp_path: Path
) -> None:
    reader = StreamReader(Stage.open("local", local_aws.state))
    body = reading("late-sensor", "attic")
    local_aws.client("kinesis").put_record(StreamName=reader.name, PartitionKey="attic", Data=body)

    def refused() -> bool:
        lines = (line for key in reader.keys(QUARANTINE) for line in reader.refused(key))
        return any(line["model"] == "late-sensor" for line in lines)

    eventually(refused, 60)
    assert "key attic  late-sensor  model: expected " in dlq(local_aws, "show", "StreamQuarantine")
    quintet(local_aws, "publish", str(sensor(tmp_path, "late-sensor")))
    wanted = ("--filter", "model=late-sensor")
    output = dlq(local_aws, "replay", "StreamQuarantine", *wanted)
    assert f"1 sent to {reader.name}, " in output

    def healed() -> list[str]:
        # the function may take the model for unknown for a moment more, and refuse it again
        dlq(local_aws, "replay", "StreamQuarantine", *wanted)
        return rooms(reader, "late-sensor")

    assert eventually(healed, 60) == ["attic"]
    assert "0 sent to" in dlq(local_aws, "replay", "StreamQuarantine", *wanted)


def test_records_that_lambda_gave_up_are_scored_by_a_replay(
    local_aws: LocalAws, tmp_path: Path
) -> None:
    reader = StreamReader(Stage.open("local", local_aws.state))
    quintet(local_aws, "publish", str(sensor(tmp_path, "again-sensor")))
    (shard, *_) = (found["ShardId"] for found in reader.shards())
    given_up = tuple(
        Record(str(10**50 + number), room, reading("again-sensor", room), time.time())
        for number, room in enumerate(("cellar", "kitchen"))
    )
    kinesis = local_aws.client("kinesis")
    described = kinesis.describe_stream_summary(StreamName=reader.name)
    arn = described["StreamDescriptionSummary"]["StreamARN"]
    source = Source(str(uuid.uuid4()), arn, "function", "role")
    discard = Discard(given_up, "RetryAttemptsExhausted", 6, None, None)
    document = failure_record(source, shard, discard, time.time(), full=True)
    key = failure_key(source, shard, time.time(), uuid.uuid4())
    local_aws.client("s3").put_object(Bucket=reader.bucket, Key=key, Body=json.dumps(document))
    wanted = ("--filter", "model=again-sensor")
    assert dlq(local_aws, "show", "StreamFailures", *wanted).count("RetryAttemptsExhausted") == 2
    assert f"2 sent to {reader.name}, " in dlq(local_aws, "replay", "StreamFailures", *wanted)
    assert "0 sent to" in dlq(local_aws, "replay", "StreamFailures", *wanted)

    def all_of_them() -> list[str] | None:
        found = rooms(reader, "again-sensor")
        return found if len(found) >= len(given_up) else None

    assert sorted(eventually(all_of_them, 60)) == ["cellar", "kitchen"]
