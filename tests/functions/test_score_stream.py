"""score_stream, from Lambda's event to what is stored and sent, on moto's services."""

from __future__ import annotations

import base64
import json
import math
from typing import Any

import numpy as np
import pytest
from tests.functions.conftest import StreamAws
from tests.kits.streams import NOW, SHARD, data, event, reading, sequence

from quintet.aws import scored_ids
from quintet.aws.client import AwsClient
from quintet.aws.features import FeatureTable
from quintet.aws.scored_ids import ScoredIdTable
from quintet.errors import Transient
from quintet.streaming.record_ids import RETENTION_SECONDS, IdentifiedRows, MemoryScoredIds
from quintet.streaming.sequences import padded


def test_a_batch_is_scored_kept_and_gathered(
    stream_aws: StreamAws, capsys: pytest.CaptureFixture[str]
) -> None:
    records = [data(reading(x=2.0)), data(reading("m2", 9.0), reading("m2", 3.0)), b"{broken"]
    answer = stream_aws.handler(event(records, window=NOW), None)
    assert answer["batchItemFailures"] == []
    place = "date=2027-01-15/hour=08/events.shardId-000000000000-"
    assert stream_aws.objects() == [
        f"predictions/log/{place}{sequence(0)}.parquet",
        f"quarantine/{place}{sequence(2)}.jsonl",
    ]
    rows = stream_aws.predictions()
    assert [(r["sequence"], r["row"], r["meter"], r["arrived"]) for r in rows] == [
        (sequence(0), 0, "m1", NOW),
        (sequence(1), 0, "m2", NOW),
        (sequence(1), 1, "m2", NOW),
    ]
    assert [r["logs_0"] for r in rows] == pytest.approx([math.log(x) for x in (2, 9, 3)], rel=1e-6)
    assert {r["model_version"] for r in rows} == {1}
    (line,) = stream_aws.quarantine()
    assert base64.b64decode(line.pop("data")) == b"{broken"
    reasons = line.pop("reasons")
    assert line == {
        "shard": "events/shardId-000000000000",
        "sequence": sequence(2),
        "row": None,
        "model": None,
        "partition_key": "key-2",
        "arrived": NOW,
    }
    assert [(r["field"], r["expected"]) for r in reasons] == [
        ("data", "JSON in UTF-8 with finite numbers")
    ]
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    (scored,) = [line for line in lines if line.get("message") == "scored"]
    assert (scored["records"], scored["rows"]) == (3, {"log:1": 3})


def test_a_batch_that_comes_twice_is_stored_and_told_once(stream_aws: StreamAws) -> None:
    given = event([data(reading(x=9.0)), data(reading("m2")), b""], window=NOW)
    first = stream_aws.handler(given, None)
    kept = {key: stream_aws.body(key) for key in stream_aws.objects()}
    assert stream_aws.handler(given, None) == first
    assert {key: stream_aws.body(key) for key in stream_aws.objects()} == kept
    (alert,) = stream_aws.alerts()
    assert (alert["entity"], alert["id"]) == ("m1", f"events/{SHARD}/{sequence(0)}/0")
    assert stream_aws.latest("m1")["version"] == {"N": "1"}


def test_a_repeat_with_other_records_goes_on_behind_what_is_stored(stream_aws: StreamAws) -> None:
    records = [data(reading(f"m{n}")) for n in range(6)]
    stream_aws.handler(event(records[:4]), None)
    stream_aws.aws.client("dynamodb").delete_item(  # it ended before its checkpoint
        TableName=stream_aws.environ["QUINTET_STREAM_TABLE"],
        Key={"key": {"S": f"mark#events/{SHARD}"}, "part": {"S": "-"}},
    )
    stream_aws.handler(event(records), None)
    stream_aws.handler(event(records[2:], first=2), None)
    assert [row["sequence"] for row in stream_aws.predictions()] == [sequence(n) for n in range(6)]
    assert [key.rpartition("-")[2] for key in stream_aws.objects()] == [
        f"{sequence(0)}.parquet",
        f"{sequence(4)}.parquet",
    ]


def test_the_last_call_of_a_window_stores_it_and_serves_it_as_features(
    stream_aws: StreamAws,
) -> None:
    records = [data(reading(cost=2.0), reading(cost=3.0, state="off")), data(reading("m2"))]
    first = stream_aws.handler(event(records, window=NOW), None)
    answer = stream_aws.handler(event([], window=NOW, state=first["state"], final=True), None)
    assert answer == {"state": {}, "batchItemFailures": []}
    window = stream_aws.windows().read("log", NOW)
    assert window is not None
    expected = {"readings": 2, "x_sum": 4.0, "spent": 5.0, "state": "off"}
    assert window.entities["m1"] == expected
    table = stream_aws.environ["QUINTET_FEATURES_TABLE"]
    features = FeatureTable(AwsClient("dynamodb"), table, clock=lambda: NOW + 31)
    found = features.fetch("meter", ["m1"], list(expected))
    assert {name: value.value for name, value in found["m1"].items()} == expected
    assert {value.at for value in found["m1"].values()} == {NOW + 30}


@pytest.mark.parametrize("state", [None, "text", [1], {"foreign": {"x": 1}}, {"log": 3}])
def test_a_state_that_is_none_of_ours_is_begun_anew_and_told_of(
    stream_aws: StreamAws, state: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    given = event([data(reading())], window=NOW)
    fresh = stream_aws.handler(given, None)["state"]
    capsys.readouterr()
    answer = stream_aws.handler({**given, "state": state}, None)
    assert answer == {"state": fresh, "batchItemFailures": []}
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    lost = [line for line in lines if line.get("message") == "window state lost"]
    assert len(lost) == 1


def test_a_source_without_windows_is_scored(stream_aws: StreamAws) -> None:
    answer = stream_aws.handler(event([data(reading())]), None)
    assert answer == {"batchItemFailures": []}
    assert len(stream_aws.predictions()) == 1


@pytest.mark.parametrize("missing", ["BUCKET", "TABLE"])
def test_what_the_world_fails_at_comes_again_with_the_state_as_it_was(
    stream_aws: StreamAws, missing: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if missing == "BUCKET":
        stream_aws.aws.client("s3").delete_bucket(Bucket=stream_aws.bucket)
    else:
        table = stream_aws.environ["QUINTET_STREAM_TABLE"]
        stream_aws.aws.client("dynamodb").delete_table(TableName=table)
    records = [b"broken", data(reading()), data(reading())]
    answer = stream_aws.handler(event(records, first=7, window=NOW, state={"as": "it was"}), None)
    assert answer == {
        "state": {"as": "it was"},
        "batchItemFailures": [{"itemIdentifier": sequence(7)}],
    }
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    (told,) = [line for line in lines if line.get("message") == "to be tried again"]
    assert "arn:" not in told["reason"]


def test_a_window_that_cannot_be_stored_and_has_no_records_to_come_again_is_an_error(
    stream_aws: StreamAws,
) -> None:
    state = stream_aws.handler(event([data(reading())], window=NOW), None)["state"]
    table = stream_aws.environ["QUINTET_STREAM_TABLE"]
    stream_aws.aws.client("dynamodb").delete_table(TableName=table)
    with pytest.raises(Transient, match="dynamodb refused BatchWriteItem"):
        stream_aws.handler(event([], window=NOW, state=state, final=True), None)


def test_bad_rows_do_not_keep_their_neighbours_from_being_scored(stream_aws: StreamAws) -> None:
    rows = [reading(x=2.0), reading(x="two"), reading(x=0.0), reading(x=3.0)]
    stream_aws.handler(event([data(*rows), data({}, model="nosuch"), b"\xff"]), None)
    assert [(r["sequence"], r["row"]) for r in stream_aws.predictions()] == [
        (sequence(0), 0),
        (sequence(0), 3),
    ]
    lines = stream_aws.quarantine()
    assert [(n["sequence"], n["row"], n["model"], n["reasons"][0]["field"]) for n in lines] == [
        (sequence(0), 1, "log", "x"),
        (sequence(0), 2, "log", "logs"),
        (sequence(1), None, "nosuch", "model"),
        (sequence(2), None, None, "data"),
    ]
    assert [line["data"] is None for line in lines] == [False, True, False, False]


def test_a_row_with_an_id_that_comes_again_is_scored_once(
    stream_aws: StreamAws, capsys: pytest.CaptureFixture[str]
) -> None:
    records = [data({**reading(x=9.0), "id": "r1"}), data({**reading("m2", 9.0), "id": "r2"})]
    first = stream_aws.handler(event(records[:1], window=NOW), None)
    answer = stream_aws.handler(
        event([*records, *records], first=1, window=NOW, state=first["state"]), None
    )
    assert stream_aws.handler(event(records, first=1, window=NOW, state=first["state"]), None)
    stream_aws.handler(event([], window=NOW, state=answer["state"], final=True), None)
    assert [(row["sequence"], row["meter"]) for row in stream_aws.predictions()] == [
        (sequence(0), "m1"),
        (sequence(2), "m2"),
    ]
    assert stream_aws.quarantine() == []
    assert sorted(alert["entity"] for alert in stream_aws.alerts()) == ["m1", "m2"]
    window = stream_aws.windows().read("log", NOW)
    assert window is not None
    assert {m: found["readings"] for m, found in window.entities.items()} == {"m1": 1, "m2": 1}
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    scored = [line for line in lines if line.get("message") == "scored"]
    assert [line["repeated_rows"] for line in scored] == [0, 3, 0, 0]
    assert [line["rows"] for line in scored] == [{"log:1": 1}, {"log:1": 1}, {}, {}]


def identified(start: int, count: int, arrived: float) -> IdentifiedRows:
    numbers = np.arange(start, start + count, dtype=np.uint64)
    return IdentifiedRows(numbers, numbers + np.uint64(1000), np.full(count, arrived))


def test_scored_ids_are_read_back_as_in_memory(
    stream_aws: StreamAws, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scored_ids, "MAX_ROWS", 4)
    table, memory = stream_aws.environ["QUINTET_STREAM_TABLE"], MemoryScoredIds()
    warm = ScoredIdTable(AwsClient("dynamodb"), table, lambda: NOW)
    since = NOW - RETENTION_SECONDS
    assert len(warm.read("s/1", padded("5"), since)) == 0
    for number, arrived in enumerate((NOW - 9000, NOW - 4000, NOW - 10, NOW, NOW + 1)):
        last, rows = padded(str(10 * number)), identified(100 * number, 3 + 2 * number, arrived)
        for store in (warm, memory):
            store.add("s/1", last, rows)
            store.add("s/1", last, rows)  # the same again
            store.add("s/2", last, identified(7, 1, arrived))
        done = padded(str(max(0, 10 * number - 10)))  # the last one was not finished
        cold = ScoredIdTable(AwsClient("dynamodb"), table, lambda: NOW)
        for asked in (since, since - 1e6, since):
            expected = memory.read("s/1", done, asked)
            for found in (warm.read("s/1", done, asked), cold.read("s/1", done, asked)):
                inside = found.at(found.arrived >= asked)
                assert inside.ids.tolist() == expected.at(expected.arrived >= asked).ids.tolist()
                assert (inside.places - inside.ids == 1000).all()
    item = stream_aws.aws.client("dynamodb").get_item(
        TableName=table, Key={"key": {"S": "ids#s/1"}, "part": {"S": f"{padded('40')}.2"}}
    )["Item"]
    assert item["expires"] == {"N": str(int(NOW + 3 * RETENTION_SECONDS))}
