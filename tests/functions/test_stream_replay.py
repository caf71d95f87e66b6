"""`quintet dlq` on what a stream leaves behind, against moto: back once, in the bytes it had."""

from __future__ import annotations

import gzip
import itertools
import json
import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from tests.kits import models
from tests.kits.aws import client, moto_server
from tests.kits.streams import METER, NOW, SHARD, cache_of, data, reading, sequence, shard_batch
from typer.testing import CliRunner

from quintet.aws.stream_bucket import StreamBucket
from quintet.captures.store import MemoryCaptures
from quintet.errors import NotFound
from quintet.features import MemoryFeatures
from quintet.onnx_model import OnnxModel
from quintet.replay.aws.catalog import catalog_of
from quintet.replay.aws.stream import KinesisStream
from quintet.replay.items import Pace, ReplayDepth, ReplayError, matching
from quintet.replay.stream_quarantine import StreamQuarantine
from quintet.serving.model_cache import PublishedModel
from quintet.streaming.alerts import AlertNotifier
from quintet.streaming.checkpoints import MemoryCheckpoints
from quintet.streaming.decoding import decode
from quintet.streaming.latest import MemoryLatest
from quintet.streaming.model_rows import ShardBatch
from quintet.streaming.record_ids import MemoryScoredIds
from quintet.streaming.scorer import Scorer, ShardOutcome
from quintet.streaming.windows import MemoryWindows
from quintet_cli.app import app
from quintet_cli.stage import Stage
from quintet_local.sources.kinesis import Discard, Record
from quintet_local.sources.kinesis_events import Source, failure_key, failure_record

AT_ONCE = Pace(None)
MODEL = OnnxModel(METER, models.log_graph())
HOUR = "date=2027-01-15/hour=08"
_numbers = itertools.count(1)


@dataclass
class House:
    """A stage on moto with a stream and its bucket, which is scored in this process."""

    stage: Stage
    state: Path
    models: dict[str, PublishedModel] = field(default_factory=lambda: {"log": MODEL})
    checkpoints: MemoryCheckpoints = field(default_factory=MemoryCheckpoints)

    @property
    def name(self) -> str:
        return self.stage.outputs["EventsStreamName"]

    @property
    def bucket(self) -> str:
        return self.stage.outputs["StreamBucketName"]

    def shard_batch(self, *records: bytes, first: int = 0) -> ShardBatch:
        found = shard_batch(*records, first=first)
        found.shard = f"{self.name}/{SHARD}"
        return found

    def take(self, found: ShardBatch, checkpoints: MemoryCheckpoints | None = None) -> ShardOutcome:
        """What the stream's function does with records."""

        def model(name: str) -> PublishedModel:
            if name not in self.models:
                raise NotFound.of("model", "a published model", repr(name))
            return self.models[name]

        scorer = Scorer(
            decode=lambda these: decode(these, model, "log"),
            models=cache_of(*self.models.values()),
            features=MemoryFeatures(),
            sink=StreamBucket(self.stage.signed("s3"), self.bucket),
            checkpoints=checkpoints or self.checkpoints,
            ids=MemoryScoredIds(),
            latest=MemoryLatest(),
            alerts=AlertNotifier(_NoAlertState(), []),
            windows=MemoryWindows(),
            captures=MemoryCaptures(),
            clock=lambda: NOW + 1,
        )
        outcome = scorer.take(found, None)
        assert outcome.error is None
        return outcome

    def give_up(self, *records: bytes, first: int = 0) -> str:
        """Lambda's document of records that it gave up; its key."""
        given = self.shard_batch(*records, first=first)
        source = Source(
            "mapping", f"arn:aws:kinesis:us-east-1:123456789012:stream/{self.name}", "f", "r"
        )
        discarded = tuple(
            Record(s, k, d, NOW)
            for s, k, d in zip(given.sequences, given.keys, given.data, strict=True)
        )
        discard = Discard(discarded, "RetryAttemptsExhausted", 6, None, None)
        body = failure_record(source, SHARD, discard, NOW + 9, full=True)
        key = failure_key(source, SHARD, NOW + 9, uuid.uuid4())
        self.stage.client("s3").put_object(Bucket=self.bucket, Key=key, Body=json.dumps(body))
        return key

    def sent(self) -> list[tuple[str, bytes]]:
        """What is in the stream: partition keys and data."""
        kinesis = self.stage.client("kinesis")
        place = {"StreamName": self.name, "ShardId": SHARD}
        begin = kinesis.get_shard_iterator(**place, ShardIteratorType="TRIM_HORIZON")
        got = kinesis.get_records(ShardIterator=begin["ShardIterator"])["Records"]
        return [(record["PartitionKey"], record["Data"]) for record in got]

    def objects(self) -> dict[str, bytes]:
        s3 = self.stage.client("s3")
        listed = s3.list_objects_v2(Bucket=self.bucket).get("Contents", [])
        return {
            found["Key"]: s3.get_object(Bucket=self.bucket, Key=found["Key"])["Body"].read()
            for found in listed
        }

    def place(self, name: str = "StreamQuarantine") -> StreamQuarantine:
        stage = self.stage
        found = catalog_of(stage.name, stage.outputs, stage.client, stage.signed).named(name)
        assert isinstance(found, StreamQuarantine)
        return found

    def dlq(self, *words: str) -> str:
        result = CliRunner().invoke(
            app, ["dlq", *words, "--state", str(self.state)], env={"COLUMNS": "200"}
        )
        assert result.exit_code == 0, f"{result.output} {result.exception}"
        return result.output


class _NoAlertState:
    """No alert is looked for here."""

    def __getattr__(self, name: str) -> Any:
        return lambda *given: {}


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with moto_server() as found:
        yield found


@pytest.fixture
def house(url: str, tmp_path: Path) -> House:
    number = next(_numbers)
    outputs = {
        "StreamBucketName": f"replayed-{number}",
        "EventsStreamName": f"replayed-{number}",
        "ScoresBucketName": f"replayed-scores-{number}",
        "BatchScoringArn": "arn:aws:states:us-east-1:123456789012:stateMachine:batch",
    }
    for output in ("StreamBucketName", "ScoresBucketName"):
        client("s3", url).create_bucket(Bucket=outputs[output])
    client("kinesis", url).create_stream(StreamName=outputs["EventsStreamName"], ShardCount=1)
    told = {"api_url": "", "outputs": outputs, "endpoint_url": url}
    (tmp_path / "local.json").write_text(json.dumps(told))
    return House(Stage.open("local", tmp_path), tmp_path)


def rows(*bad: int, count: int = 4) -> list[dict[str, Any]]:
    """Rows of a record, of which the model refuses some."""
    return [reading(f"m{number}", 0.0 if number in bad else 2.0) for number in range(count)]


def sent_by(house: House, filters: list[str] | None = None, name: str = "r1") -> list[Any]:
    done = house.place().send_back(matching(filters or []), name, AT_ONCE)
    return [outcome.record["records"] for outcome in done if outcome.sent]


def test_a_record_of_an_unknown_model_is_scored_once_there_is_one(house: House) -> None:
    body = b'{ "model": "later", "records": [{"meter": "m1", "x": 2, "cost": 1, "state": "on"}] }'
    house.take(house.shard_batch(data(reading()), body, b"\xff\xfe"))
    output = house.dlq("replay", "StreamQuarantine", "--filter", "model=later")
    assert f"1 sent to {house.name}, 1 left in StreamQuarantine" in output
    assert house.sent() == [("key-1", body)]
    house.models["later"] = OnnxModel(models.renamed(METER, name="later"), models.log_graph())
    outcome = house.take(house.shard_batch(*(d for _, d in house.sent()), first=10))
    assert (outcome.rows, outcome.undecodable) == ({("later", 1): 1}, 0)
    address = re.search(r"record: s3://([^/]+)/(\S+)", output)
    assert address is not None
    s3 = house.stage.client("s3")
    record = json.load(s3.get_object(Bucket=address[1], Key=address[2])["Body"])
    told = {"status": "done", "place": "StreamQuarantine", "sent_to": house.name, "rate": 100}
    assert {name: record[name] for name in told} == told
    key = f"quarantine/{HOUR}/{house.name}.{SHARD}-{sequence(1)}.jsonl"
    assert record["sent"] == [
        {
            "mark": "replays/StreamQuarantine/00001.json",
            "records": [{"key": key, "sequence": sequence(1), "rows": None}],
        }
    ]


def test_rows_whose_record_was_scored_go_back_alone(house: House) -> None:
    house.take(house.shard_batch(data(*rows(1, 3)), data(*rows(0, 1, count=2)), data(*rows(2))))
    assert sent_by(house) == [
        [
            {"key": key, "sequence": sequence(number), "rows": some}
            for key in (f"quarantine/{HOUR}/{house.name}.{SHARD}-{sequence(0)}.jsonl",)
            for number, some in ((0, [1, 3]), (1, [0, 1]), (2, [2]))
        ]
    ]
    first, whole, last = house.sent()
    assert (first[0], json.loads(first[1])) == (
        "key-0",
        {"model": "log", "records": [rows(1, 3)[1], rows(1, 3)[3]]},
    )
    # none of its rows was scored: it goes as it was
    assert whole == ("key-1", data(*rows(0, 1, count=2)))
    assert json.loads(last[1]) == {"model": "log", "records": [rows(2)[2]]}
    # what is refused again is a new record's, and lies there anew
    house.take(house.shard_batch(*(d for _, d in house.sent()), first=10))
    assert house.place().depth() == ReplayDepth(5, "5 replayed")


def tensor(name: str, values: list[Any], shape: list[int], kind: str = "FP32") -> dict[str, Any]:
    return {"name": name, "shape": shape, "datatype": kind, "data": values}


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("packed", [False, True])
def test_rows_of_tensors_and_of_a_gzip_go_back_in_that_form(
    house: House, nested: bool, packed: bool
) -> None:
    def request(xs: list[float]) -> dict[str, Any]:
        count = len(xs)
        values: list[Any] = [[x] for x in xs] if nested else xs
        return {
            "id": "a",
            "inputs": [
                tensor("x", values, [count, 1]),
                tensor("meter", ["m"] * count, [count], "BYTES"),
                tensor("cost", [1.5] * count, [count]),
                tensor("state", ["on"] * count, [count], "BYTES"),
            ],
        }

    body = json.dumps(request([2.0, 0.0, 3.0])).encode()
    outcome = house.take(house.shard_batch(gzip.compress(body) if packed else body))
    assert outcome.refused == {("log", 1): 1}
    sent_by(house)
    ((_, got),) = house.sent()
    assert got.startswith(b"\x1f\x8b") is packed
    found = json.loads(gzip.decompress(got) if packed else got)
    expected = {**request([0.0]), "model": "log"}
    del expected["id"]  # it was that of all rows of the record
    assert found == expected
    again = house.take(house.shard_batch(got, first=10))
    assert (again.undecodable, again.refused) == (0, {("log", 1): 1})


def test_ls_and_show_tell_of_them_and_change_nothing(house: House) -> None:
    house.take(house.shard_batch(data(*rows(1)), b"\x1b]0;x", first=5))
    key = house.give_up(data(*rows()), data(reading("m9"), model="nobody"), first=20)
    s3 = house.stage.client("s3")
    s3.put_object(Bucket=house.bucket, Key="aws/lambda/other", Body=b"{}")
    before = house.objects()
    lines = [" ".join(line.split()) for line in house.dlq("ls").splitlines()[1:]]
    assert lines == [
        f"StreamQuarantine 2 rows {house.name}",
        f"StreamFailures 2 records 1 with nothing left to send {house.name}",
    ]
    row, text, whole, data_as_text = house.dlq("show", "StreamQuarantine").splitlines()
    assert row == (
        f"2027-01-15T08:00:00Z  {sequence(5)}  key key-5  log  row 1  logs: "
        "expected a finite output, got -inf"
    )
    assert text == '  {"model":"log","records":[{"meter":"m1","x":0.0,"cost":1.5,"state":"on"}]}'
    place = f"2027-01-15T08:00:00Z  {sequence(6)}  key key-6  no model  data: expected JSON in "
    assert (whole[: len(place)], data_as_text) == (place, "  \\x1b]0;x")
    shown = house.dlq("show", "StreamFailures", "--filter", "model=nobody").splitlines()
    assert shown == [
        f"2027-01-15T08:00:00Z  {sequence(21)}  key key-21  nobody  RetryAttemptsExhausted",
        f"  {data(reading('m9'), model='nobody').decode()}",
    ]
    assert "aws/lambda/other: no document of records" in house.dlq("show", "StreamFailures")
    assert key in house.objects()
    assert "2 of 3 records would go" in house.dlq("replay", "StreamFailures", "--dry-run")
    assert (house.objects(), house.sent()) == (before, [])


def test_filters_choose(house: House) -> None:
    house.take(house.shard_batch(data(*rows(1, 3)), b"broken", data(reading(x="no"))))
    things = list(house.place().items())
    chosen = {
        "row=3": [1],
        "row=None": [],
        "model=log": [0, 1, 3],
        "model=lo": [],
        "field=x": [3],
        "field=data": [2],
        f"sequence={sequence(1)}": [2],
        "key=key-2": [3],
        "key=key": [],
        "arrived=2027-01-15T08": [0, 1, 2, 3],
        "arrived=2027-01-16": [],
        '"m3"': [1],
        "broken": [2],
    }
    found = {
        text: [place for place, thing in enumerate(things) if thing.fits(text)] for text in chosen
    }
    assert found == chosen


def test_what_lambda_gave_up_goes_back_whole(house: House) -> None:
    records = [data(*rows()), b"\xff\xfe", gzip.compress(data(reading()))]
    house.give_up(*records)
    house.give_up(*records)  # a document may come twice
    assert house.place("StreamFailures").depth() == ReplayDepth(3)
    assert "3 sent to" in house.dlq("replay", "StreamFailures")
    assert house.sent() == [(f"key-{number}", body) for number, body in enumerate(records)]
    assert "0 sent to" in house.dlq("replay", "StreamFailures")
    assert house.place("StreamFailures").depth() == ReplayDepth(0, "3 replayed")


class Stops(BaseException):
    """The process was killed."""


def test_what_the_sink_has_of_a_record_does_not_go_again(house: House) -> None:
    scored, mixed, broken = data(*rows(count=2)), data(*rows(1, 2)), b"broken"
    # the invocation ended between the sink's two objects, and before its checkpoint
    records = house.shard_batch(scored, mixed, broken, first=3)
    house.take(records, MemoryCheckpoints())
    (kept,) = [key for key in house.objects() if key.startswith("quarantine/")]
    quarantine = house.objects()[kept]
    s3 = house.stage.client("s3")
    s3.delete_object(Bucket=house.bucket, Key=kept)
    house.give_up(scored, mixed, broken, data(reading("m7")), first=3)
    place = house.place("StreamFailures")
    assert [thing.goes for thing in place.items()] == [[], [1, 2], None, None]
    # with it, all is decided but the last
    s3.put_object(Bucket=house.bucket, Key=kept, Body=quarantine)
    place = house.place("StreamFailures")
    assert [thing.goes for thing in place.items()] == [[], [], [], None]
    s3.delete_object(Bucket=house.bucket, Key=kept)
    assert "3 sent to" in house.dlq("replay", "StreamFailures", "--again")
    alone = json.dumps({"model": "log", "records": rows(1, 2)[1:3]}, separators=(",", ":"))
    assert house.sent() == [
        ("key-4", alone.encode()),
        ("key-5", broken),
        ("key-6", data(reading("m7"))),
    ]


class Breaks:
    """A client of which one call ends the replay, before or after it is made."""

    def __init__(self, client: Any, call: str, after: bool, key: str = "") -> None:
        self._client, self._call, self._after, self._key = client, call, after, key

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._client, name)
        if name != self._call:
            return call

        def broken(**given: Any) -> Any:
            if self._key in given.get("Key", "") and self._after:
                call(**given)
            if self._key in given.get("Key", ""):
                raise Stops
            return call(**given)

        return broken


def broken(house: House, place: StreamQuarantine, call: str, after: bool) -> StreamQuarantine:
    """The place over a stream of which one call ends the replay."""
    client = Breaks(house.stage.client("kinesis"), call, after)
    return replace(place, stream=KinesisStream(house.name, client))


def test_a_killed_replay_of_rows_is_finished_after_a_while(house: House) -> None:
    house.take(house.shard_batch(data(*rows(1, 2)), b"broken", b"broken"))
    place = house.place()
    killed = broken(house, place, "put_records", after=False)
    with pytest.raises(Stops):
        [*killed.send_back(matching(["row=1"]), "killed", AT_ONCE)]
    told = r"^replay killed of StreamQuarantine is under way, or was killed: in 1\d\d s the next"
    with pytest.raises(ReplayError, match=told):
        [*place.send_back(matching([]), "next", AT_ONCE)]
    steps = [*replace(place, hold=0).send_back(matching(["row=2"]), "next", AT_ONCE)]
    assert [one["rows"] for step in steps if step.sent for one in step.record["records"]] == [
        [1],
        [2],
    ]
    sent = [json.loads(d)["records"] for _, d in house.sent()]
    assert sent == [[rows(1, 2)[1]], [rows(1, 2)[2]]]


def test_of_equal_records_as_many_go_as_there_were(house: House) -> None:
    house.take(house.shard_batch(b"broken", b"broken", b"broken"))
    for found in house.objects():
        if found.startswith("quarantine/"):
            body = house.objects()[found].replace(b"key-1", b"key-0").replace(b"key-2", b"key-0")
            house.stage.client("s3").put_object(Bucket=house.bucket, Key=found, Body=body)
    place = house.place()
    killed = broken(house, place, "put_records", after=False)
    with pytest.raises(Stops):
        [*killed.send_back(matching([]), "killed", AT_ONCE)]
    # one had gone
    house.stage.client("kinesis").put_record(
        StreamName=house.name, PartitionKey="key-0", Data=b"broken"
    )
    done, *_ = replace(place, hold=0).send_back(lambda thing: False, "next", AT_ONCE)
    assert (done.sent, house.sent()) == (3, [("key-0", b"broken")] * 3)


def test_a_killed_replay_of_what_was_deleted_stops_no_other(house: House) -> None:
    house.take(house.shard_batch(b"one"))
    place = house.place()
    killed = broken(house, place, "put_records", after=False)
    with pytest.raises(Stops):
        [*killed.send_back(matching([]), "killed", AT_ONCE)]
    (key,) = [key for key in house.objects() if key.startswith("quarantine/")]
    house.stage.client("s3").delete_object(Bucket=house.bucket, Key=key)
    house.take(house.shard_batch(b"two", first=5))
    done = [*replace(place, hold=0).send_back(matching([]), "next", AT_ONCE)]
    assert ([outcome.sent for outcome in done], house.sent()) == ([0, 1], [("key-5", b"two")])


def test_a_pace_cuts_what_goes_into_a_second_s(house: House) -> None:
    house.take(house.shard_batch(*(b"broken" for _ in range(5))))
    waits: list[float] = []
    pace = Pace(2, lambda: 0.0, waits.append)
    done = [*house.place().send_back(matching([]), "r1", pace)]
    assert [outcome.sent for outcome in done] == [2, 2, 1]
    assert waits == [pytest.approx(1.0), pytest.approx(2.0)]
