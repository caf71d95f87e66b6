"""What a local AWS keeps: after `down`, after a kill at any moment, on a full disk."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from collections import deque
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws
from moto.dynamodb.models.dynamo_type import DynamoType
from tests.kits.local_aws import (
    FREE_PORTS,
    ROOT,
    LocalAws,
    LocalAwsFailed,
    eventually,
    start_local_aws,
)
from typer.testing import CliRunner

from quintet_cli.app import app
from quintet_local.keeping import Keeper
from quintet_local.kept import SCHEMA, Kept, KeptError

TEMPLATE = """
Transform: AWS::Serverless-2016-10-31
Resources:
  Plain: {Type: AWS::S3::Bucket}
  Versioned:
    Type: AWS::S3::Bucket
    Properties: {VersioningConfiguration: {Status: Enabled}}
  Key: {Type: AWS::KMS::Key, Properties: {KeyPolicy: {Version: "2012-10-17", Statement: []}}}
  Table:
    Type: AWS::DynamoDB::Table
    Properties:
      BillingMode: PAY_PER_REQUEST
      AttributeDefinitions:
        - {AttributeName: id, AttributeType: S}
        - {AttributeName: at, AttributeType: N}
      KeySchema: [{AttributeName: id, KeyType: HASH}, {AttributeName: at, KeyType: RANGE}]
Outputs:
  Plain: {Value: !Ref Plain}
  Versioned: {Value: !Ref Versioned}
  Key: {Value: !Ref Key}
  Table: {Value: !Ref Table}
"""


@pytest.fixture
def template(tmp_path: Path) -> Path:
    path = tmp_path / "template.yaml"
    path.write_text(TEMPLATE)
    return path


def fill(local: LocalAws) -> bytes:
    """Put objects and items of every kind; returns a data key, wrapped."""
    s3, dynamodb, names = local.client("s3"), local.client("dynamodb"), local.outputs
    plain, versioned = {"Bucket": names["Plain"]}, {"Bucket": names["Versioned"]}
    s3.put_object(**plain, Key="a b/é.txt", Body=b"old")
    s3.put_object(**plain, Key="a b/é.txt", Body=b"new", ContentType="text/plain")
    s3.put_object(**plain, Key="empty", Body=b"", Metadata={"Owner": "shop"}, Tagging="team=a")
    s3.put_object(**plain, Key="gone", Body=b"1")
    s3.delete_object(**plain, Key="gone")
    upload = s3.create_multipart_upload(**plain, Key="parts")["UploadId"]
    parts = []
    for number, body in ((1, b"x" * (5 << 20)), (2, b"y")):
        of = {**plain, "Key": "parts", "UploadId": upload, "PartNumber": number}
        parts.append({"PartNumber": number, "ETag": s3.upload_part(**of, Body=body)["ETag"]})
    s3.complete_multipart_upload(
        **plain, Key="parts", UploadId=upload, MultipartUpload={"Parts": parts}
    )
    for body in (b"1", b"2"):
        s3.put_object(**versioned, Key="kept", Body=body)
        s3.put_object(**versioned, Key="deleted", Body=body)
    s3.delete_object(**versioned, Key="deleted")
    s3.put_object_tagging(**versioned, Key="kept", Tagging={"TagSet": [{"Key": "a", "Value": "b"}]})
    table = {"TableName": names["Table"]}
    dynamodb.put_item(
        **table,
        Item=item("put", 1)
        | {"raw": {"B": b"\xff"}, "deep": {"M": {"of": {"L": [{"BS": [b"\x00", b"\x01"]}]}}}},
    )
    dynamodb.put_item(**table, Item=item("gone", 1))
    dynamodb.delete_item(**table, Key=item("gone", 1))
    for amount in ("1", "2"):
        dynamodb.update_item(
            **table,
            Key=item("updated", 2),
            UpdateExpression="ADD amount :by",
            ExpressionAttributeValues={":by": {"N": amount}},
        )
    dynamodb.batch_write_item(
        RequestItems={names["Table"]: [{"PutRequest": {"Item": item("batch", n)}} for n in (1, 2)]}
    )
    dynamodb.transact_write_items(
        TransactItems=[{"Put": {**table, "Item": item("transaction", 1)}}]
    )
    key = local.client("kms").generate_data_key(KeyId=names["Key"], KeySpec="AES_256")
    wrapped: bytes = key["CiphertextBlob"]
    return wrapped


def item(id: str, at: int) -> dict[str, Any]:
    return {"id": {"S": id}, "at": {"N": str(at)}}


def picture(local: LocalAws) -> dict[str, Any]:
    """Everything that the buckets and the table answer."""
    s3, dynamodb, names = local.client("s3"), local.client("dynamodb"), local.outputs
    seen: dict[str, Any] = {}
    for bucket in (names["Plain"], names["Versioned"]):
        listed = s3.list_object_versions(Bucket=bucket)
        seen[bucket] = [listed.get("Versions", []), listed.get("DeleteMarkers", [])]
        for one in listed.get("Versions", []):
            place = {"Bucket": bucket, "Key": one["Key"], "VersionId": one["VersionId"]}
            found = s3.get_object(**place)
            body, told = found.pop("Body").read(), found.pop("ResponseMetadata")
            told = {k: v for k, v in told["HTTPHeaders"].items() if k[:2] in ("x-", "et", "co")}
            told = {k: v for k, v in told.items() if "request" not in k and "-id-2" not in k}
            tags = s3.get_object_tagging(**place)["TagSet"]
            seen[f"{bucket}/{one['Key']}@{one['VersionId']}"] = [body, found, told, tags]
    items = dynamodb.scan(TableName=names["Table"])["Items"]
    seen["items"] = sorted(items, key=lambda one: (one["id"]["S"], one["at"]["N"]))
    return seen


@contextmanager
def running(state: Path, template: Path, *options: str) -> Iterator[LocalAws]:
    local = start_local_aws(state, template, options=(*FREE_PORTS, *options))
    try:
        yield local
    finally:
        local.stop()


def test_objects_items_and_keys_survive_a_stop_and_a_kill_until_a_fresh_start(
    tmp_path: Path, template: Path
) -> None:
    state = tmp_path / "state"
    with running(state, template) as local:
        wrapped = fill(local)
        before = picture(local)
        assert len(before) == 10
        names = ["batch", "batch", "put", "transaction", "updated"]
        assert [one["id"]["S"] for one in before["items"]] == names
        plain_key = local.client("kms").decrypt(CiphertextBlob=wrapped)["Plaintext"]

    with running(state, template) as local:
        assert picture(local) == before
        assert local.client("kms").decrypt(CiphertextBlob=wrapped)["Plaintext"] == plain_key
        s3, place = local.client("s3"), {"Bucket": local.outputs["Versioned"], "Key": "deleted"}
        (marker,) = s3.list_object_versions(Bucket=place["Bucket"])["DeleteMarkers"]
        s3.delete_object(**place, VersionId=marker["VersionId"])
        assert s3.get_object(**place)["Body"].read() == b"2"
        table = local.outputs["Table"]
        local.client("dynamodb").put_item(TableName=table, Item=item("later", 1))
        after = picture(local)
        eventually(lambda: "later" in kept_items(state))
        local.process.kill()

    with running(state, template) as local:
        assert picture(local) == after

    with running(state, template, "--fresh") as local:
        assert list(picture(local).values()) == [[[], []], [[], []], []]


def test_records_get_higher_numbers_than_before_even_if_the_clock_is_set_back(
    tmp_path: Path, template: Path
) -> None:
    state = tmp_path / "state"

    def number(local: LocalAws) -> int:
        """Of a new record."""
        kinesis, stream = local.client("kinesis"), {"StreamName": "readings"}
        kinesis.create_stream(**stream, ShardCount=1)
        kinesis.get_waiter("stream_exists").wait(**stream)
        return int(kinesis.put_record(**stream, Data=b"1", PartitionKey="a")["SequenceNumber"])

    with running(state, template) as local:
        first = number(local)
    with closing(sqlite3.connect(state / "kept.db")) as db, db:
        kept = "SELECT item FROM items WHERE name = 'sequence number'"
        assert [json.loads(row) for (row,) in db.execute(kept)] == [first]
        tomorrow = first + 86_400 * 10**39
        db.execute("UPDATE items SET item = ? WHERE name = 'sequence number'", (str(tomorrow),))
    with running(state, template) as local:
        assert number(local) > tomorrow


def kept_items(state: Path) -> list[str]:
    with closing(sqlite3.connect(state / "kept.db")) as db:
        return [json.loads(key)[0]["S"] for (key,) in db.execute("SELECT key FROM items")]


def test_what_another_version_kept_is_refused_with_the_command_that_mends_it(
    tmp_path: Path, template: Path
) -> None:
    Kept(tmp_path).close()
    path = tmp_path / "kept.db"
    with closing(sqlite3.connect(path)) as db:
        db.execute(f"PRAGMA user_version = {SCHEMA + 1}")
    with pytest.raises(LocalAwsFailed) as refused:
        start_local_aws(tmp_path, template)
    assert str(refused.value) == (
        f"error: {path} is of version {SCHEMA + 1}, this local AWS reads version {SCHEMA}; "
        "--fresh deletes what is kept and starts empty\ntry: quintet up --detach --fresh\n"
    )
    path.write_bytes(b"no database" * 100)
    with pytest.raises(KeptError) as damaged:
        Kept(tmp_path)
    assert str(damaged.value) == (
        f"{path} is damaged (file is not a database); --fresh deletes what is kept and starts empty"
    )


#: forks writers one after the other, and kills each at some moment. A writer checks what is kept,
#: then puts objects, each followed by an item that names it, and deletes items, then their objects
WRITERS = """
import itertools, os, random, signal, sys, time
from collections import deque
from pathlib import Path
from moto.dynamodb.models import dynamodb_backends
from moto.s3.models import s3_backends
from quintet_local import hooks
from quintet_local.keeping import Keeper
from quintet_local.kept import Kept
from quintet_local.names import ACCOUNT, REGION
from quintet_local.tables import ONE_CALL

def write(folder):
    keeper = Keeper(Kept(folder), ["bucket"], ["table"], changed, seconds=0.001)
    hooks.install_keeping(keeper.note)
    keeper.restore()
    items = dynamodb.tables["table"].items
    for name in (item.attrs["object"].value for item in items.values()):
        assert s3.get_object("bucket", name).value == name.encode() * 2000, name
    print(len(items), flush=True)
    os.write(checked, b"1")
    keeper.start()
    for n in itertools.count(max((int(key.value) for key in items), default=0) + 1):
        s3.put_object("bucket", f"o{n}", f"o{n}".encode() * 2000)
        changed.append("bucket")
        with ONE_CALL:
            dynamodb.put_item("table", {"id": {"S": str(n)}, "object": {"S": f"o{n}"}})
        if n > 50:
            with ONE_CALL:
                dynamodb.delete_item("table", {"id": {"S": str(n - 50)}})
            s3.delete_object("bucket", f"o{n - 50}")
            changed.append("bucket")

changed = deque()
s3, dynamodb = s3_backends[ACCOUNT]["aws"], dynamodb_backends[ACCOUNT][REGION]
s3.create_bucket("bucket", REGION)
dynamodb.create_table("table", schema=[{"AttributeName": "id", "KeyType": "HASH"}],
    attr=[{"AttributeName": "id", "AttributeType": "S"}], throughput=None, indexes=[],
    global_indexes=[], streams=None, billing_mode="PAY_PER_REQUEST", sse_specification=None,
    tags=[], deletion_protection_enabled=False, warm_throughput=None)
ready, checked = os.pipe()
moment = random.Random(7)
for _ in range(12):
    if not (writer := os.fork()):
        try:
            write(Path(sys.argv[1]))
        finally:
            os.write(checked, b"0")
    if os.read(ready, 1) == b"1":
        time.sleep(moment.uniform(0.02, 0.3))
    os.kill(writer, signal.SIGKILL)
    os.waitpid(writer, 0)
"""


def test_a_kill_while_writing_leaves_a_whole_snapshot(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WRITERS, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    first, *later = map(int, done.stdout.split())
    assert (first, len(later)) == (0, 11)
    # 50, the one just put, and one that each kill left undeleted
    assert max(later) in range(10, 51 + 12)


@mock_aws
def test_a_full_disk_is_said_once_and_what_is_due_is_kept_later(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    s3 = client("s3")
    s3.create_bucket(Bucket="full")
    kept, changed = Kept(tmp_path), deque[str]()
    keeper = Keeper(kept, ["full"], [], changed)
    s3.put_object(Bucket="full", Key="before", Body=b"1")
    changed.append("full")
    keeper.write()
    kept._db.execute("PRAGMA max_page_count = 20")
    for key in ("a", "b"):
        s3.put_object(Bucket="full", Key=key, Body=b"x" * 200_000)
        changed.append("full")
        keeper.write()
    assert s3.get_object(Bucket="full", Key="a")["Body"].read() == b"x" * 200_000
    assert [key for key, *_ in kept.objects("full")] == ["before"]
    kept._db.execute("PRAGMA max_page_count = 100000")
    keeper.write()
    assert [key for key, *_ in kept.objects("full")] == ["before", "a", "b"]
    path = tmp_path / "kept.db"
    assert caplog.messages == [
        f"{path} cannot be written (database or disk is full): changes are kept again once it "
        "can be",
        f"{path} is written again",
    ]
    kept.close()


class Racing(Kept):
    """Deletes an object while a snapshot that has listed it is written."""

    def put_object(self, bucket: str, key: str, *rest: Any) -> None:
        client("s3").delete_object(Bucket=bucket, Key="b")
        super().put_object(bucket, key, *rest)


def client(service: str) -> Any:
    make: Any = boto3.client
    return make(service, region_name="us-east-1")


@mock_aws
def test_an_object_deleted_during_a_snapshot_and_a_deleted_bucket_leave_the_rest(
    tmp_path: Path,
) -> None:
    s3, kept = client("s3"), Racing(tmp_path)
    keeper = Keeper(kept, ["raced", "deleted"], [], deque(["raced", "deleted"]))
    s3.create_bucket(Bucket="raced")
    for key in ("a", "b"):
        s3.put_object(Bucket="raced", Key=key, Body=b"1")
    keeper.write()
    assert [(key, content) for key, _, _, content in kept.objects("raced")] == [("a", b"1")]
    kept.close()


def create_orders() -> None:
    client("dynamodb").create_table(
        TableName="orders",
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "order", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "order", "KeyType": "HASH"}],
    )


@mock_aws
def test_the_last_item_of_a_table_and_those_of_a_deleted_table_are_not_kept(
    tmp_path: Path,
) -> None:
    create_orders()
    dynamodb, kept = client("dynamodb"), Kept(tmp_path)
    keeper = Keeper(kept, [], ["orders"], deque())
    place, key = ("orders", DynamoType({"S": "1"}), None), {"order": {"S": "1"}}
    for change in (
        partial(dynamodb.delete_item, TableName="orders", Key=key),
        partial(dynamodb.delete_table, TableName="orders"),
    ):
        dynamodb.put_item(TableName="orders", Item=key)
        keeper.note(place)
        keeper.write()
        assert list(kept.items("orders")) == [key]
        change()
        keeper.note(place)
        keeper.write()
        assert list(kept.items("orders")) == []
    kept.close()


@mock_aws
def test_items_without_the_key_that_a_table_has_now_are_refused(tmp_path: Path) -> None:
    create_orders()
    kept = Kept(tmp_path)
    kept.put_items([("orders", "[]", json.dumps({"id": {"S": "1"}}))])
    with pytest.raises(KeptError) as refused:
        Keeper(kept, [], ["orders"], deque()).restore()
    assert str(refused.value) == (
        f"{tmp_path}/kept.db has items of table orders without its key order, which the template "
        "names now; --fresh deletes what is kept and starts empty"
    )
    kept.close()


ASK = ("predict", "tickets", "--records", '{"text": "the zipper broke"}')


def test_a_published_model_answers_after_a_restart(tmp_path: Path) -> None:
    state = tmp_path / "state"
    with running(state, ROOT / "template.yaml"):
        quintet(state, "publish", str(ROOT / "models/tickets"))
        before = quintet(state, *ASK)
    with running(state, ROOT / "template.yaml"):
        after = quintet(state, *ASK)
    assert after == before


def quintet(state: Path, *words: str) -> str:
    result = CliRunner().invoke(app, [*words, "--state", str(state)])
    assert result.exit_code == 0, result.output
    return result.stdout
