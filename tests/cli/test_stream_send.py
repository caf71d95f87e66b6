"""`quintet stream send`: what is put onto the stream, how fast, and what is not."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.kits.aws import moto_server
from tests.kits.local_aws import eventually
from tests.kits.packages import package
from tests.kits.registries import RegistryServer, registry_on, release_of
from typer.testing import CliRunner

from quintet.aws.stream_sender import Sender
from quintet.errors import BadInput, TooLarge, Transient
from quintet_cli.app import app, main
from quintet_cli.stage import StageError
from quintet_cli.stream_files import Line, Packer, read_lines, read_records
from quintet_publish.kit import write_table

STREAM = """\
entity: sensor
stream:
  time: at
  window: 60
  aggregates: [{name: heard, how: count}, {name: noise, how: max, of: loud}]
"""


@pytest.fixture(scope="module")
def registry() -> Iterator[RegistryServer]:
    """A registry with a model `small` that has an entity and a stream."""
    with moto_server() as url:
        yield registry_on(url)


@pytest.fixture
def state(registry: RegistryServer, tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A state folder whose stage has a stream of two shards, of this test's own."""
    made = package(tmp_path / "package", extra=STREAM)
    registry.publisher.publish(release_of(made), created="2026-11-24T00:00:00Z")
    name = request.node.name.split("[")[0]
    registry.client("kinesis").create_stream(StreamName=name, ShardCount=2)
    folder = registry.state(tmp_path / "state")
    told = json.loads((folder / "local.json").read_text())
    told["outputs"]["EventsStreamName"] = name
    (folder / "local.json").write_text(json.dumps(told))
    return folder


def run(state: Path, *arguments: str) -> str:
    """The output of a command; what it raises is raised."""
    words = ["stream", *arguments, "--state", str(state)]
    result = CliRunner().invoke(app, words, env={"COLUMNS": "200"})
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


def on_the_stream(registry: RegistryServer, name: str) -> list[tuple[str, bytes]]:
    """Partition keys and data of all records, sorted."""
    kinesis = registry.client("kinesis")
    found = []
    for shard in kinesis.list_shards(StreamName=name)["Shards"]:
        iterator = kinesis.get_shard_iterator(
            StreamName=name, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
        )["ShardIterator"]
        records = kinesis.get_records(ShardIterator=iterator)["Records"]
        found += [(record["PartitionKey"], record["Data"]) for record in records]
    return sorted(found)


def write(path: Path, *lines: Any) -> Path:
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return path


def test_each_record_is_sent_under_its_entity_and_names_the_model(
    registry: RegistryServer, state: Path, tmp_path: Path
) -> None:
    records: list[dict[str, Any]] = [
        {"sensor": f"s{n % 3}", "at": 60.0 * n, "a": 1.0 * n, "loud": 3} for n in range(30)
    ]
    output = run(state, "send", str(write(tmp_path / "in.jsonl", *records)), "small")
    assert "30 records of in.jsonl sent to small" in output
    got = on_the_stream(registry, "test_each_record_is_sent_under_its_entity_and_names_the_model")
    assert [key for key, _ in got] == sorted(record["sensor"] for record in records)
    bodies = [json.loads(data) for _, data in got]
    assert {tuple(body) for body in bodies} == {("model", "records")}
    assert {body["model"] for body in bodies} == {"small"}
    sent = [record for body in bodies for record in body["records"]]
    assert sorted(sent, key=lambda record: float(record["at"])) == records


def test_a_file_with_bad_lines_is_not_sent(
    registry: RegistryServer, state: Path, tmp_path: Path
) -> None:
    good = {"sensor": "s1", "at": 1, "a": 1, "loud": 3}
    bad: list[dict[str, Any]] = [
        {**good, "a": "hot"},
        {**good, "c": 1},
        {"a": 1, "at": 1, "loud": 3},
        {**good, "at": "then"},
    ]
    path = write(tmp_path / "in.jsonl", good, *bad)
    with path.open("a") as more:
        more.write("{broken\n")
    with pytest.raises(StageError) as refused:
        run(state, "send", str(path), "small")
    assert str(refused.value).removeprefix("nothing was sent: ").split("; ") == [
        "line 2, a: expected a number (float32), got 'hot'",
        "line 3, c: expected one of a, b, sensor, got another field",
        "line 4, sensor: expected the entity key, got nothing",
        "line 5, at: expected a time: epoch seconds, or ISO 8601, got 'then'",
        "line 6: expected JSON in UTF-8 with finite numbers, got unexpected character, expected a "
        "string key: line 1 column 2 (char 1)",
    ]
    assert on_the_stream(registry, "test_a_file_with_bad_lines_is_not_sent") == []


def test_lines_that_are_wrong_alike_are_told_once(
    registry: RegistryServer, state: Path, tmp_path: Path
) -> None:
    good = {"sensor": "s1", "at": 1, "a": 1, "loud": 3}
    wide = [{**good, "c": n, "a": n if n else "hot"} for n in range(5_000)]
    with pytest.raises(StageError) as refused:
        run(state, "send", str(write(tmp_path / "in.jsonl", good, *wide)), "small")
    assert str(refused.value) == (
        "nothing was sent: "
        "line 2 and 4,999 like it, c: expected one of a, b, sensor, got another field; "
        "line 2, a: expected a number (float32), got 'hot'"
    )


def test_raw_lines_are_sent_as_they_are(
    registry: RegistryServer, state: Path, tmp_path: Path
) -> None:
    path = tmp_path / "in.txt"
    path.write_bytes(b'{"sensor": "s1"}\n\n\xff poison\n[]')
    run(state, "send", str(path), "--raw", "--key", "sensor")
    assert on_the_stream(registry, "test_raw_lines_are_sent_as_they_are") == [
        ("3", b"\xff poison"),
        ("4", b"[]"),
        ("s1", b'{"sensor": "s1"}'),
    ]


def test_without_a_model_records_go_bare(
    registry: RegistryServer, state: Path, tmp_path: Path
) -> None:
    path = write(tmp_path / "in.jsonl", {"id": 7, "x": 1})
    output = run(state, "send", str(path), "--key", "id")
    assert "1 records of in.jsonl sent in" in output
    assert (
        "unchecked: records that name no model are the stack's StreamModel's, or refused" in output
    )
    assert on_the_stream(registry, "test_without_a_model_records_go_bare") == [
        ("7", b'{"id":7,"x":1}')
    ]


def test_the_time_of_a_record_can_be_that_of_its_sending() -> None:
    packer = Packer("small", "at")
    number = packer.pack(Line("s", {"at": 5, "a": 1}), 1700000000.25)
    text = packer.pack(Line("s", {"at": "2011-01-01T00:00:00", "a": 1}), 1700000000.25)
    assert json.loads(number) == {"model": "small", "records": [{"at": 1700000000.25, "a": 1}]}
    (record,) = json.loads(text)["records"]
    assert record == {"at": "2023-11-14T22:13:20.250+00:00", "a": 1}


def test_records_without_a_time_are_sent_as_now(
    registry: RegistryServer, state: Path, tmp_path: Path
) -> None:
    path = write(tmp_path / "in.jsonl", {"sensor": "s", "a": 1, "loud": 3})
    with pytest.raises(StageError, match="line 1, at: expected a time"):
        run(state, "send", str(path), "small")
    run(state, "send", str(path), "small", "--now")
    ((_, data),) = on_the_stream(registry, "test_records_without_a_time_are_sent_as_now")
    (record,) = json.loads(data)["records"]
    assert record.pop("at") > 1.7e9
    assert record == {"sensor": "s", "a": 1, "loud": 3}


def test_a_model_without_times_cannot_be_sent_as_now(state: Path, tmp_path: Path) -> None:
    path = write(tmp_path / "in.jsonl", {"a": 1})
    with pytest.raises(BadInput, match="--now: expected a model"):
        run(state, "send", str(path), "--now")


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_tables_are_records(form: str, tmp_path: Path) -> None:
    path = tmp_path / f"in.{form}"
    if form == "csv":
        path.write_text("id,x,name\n7,1.5,\n8,2,b\n")
    else:
        columns = {"id": np.array([7, 8]), "x": np.array([1.5, 2.0])}
        write_table(path, {**columns, "name": np.array([None, "b"], dtype=object)})
    first, second = read_records(path, None, "id")
    assert first == Line("7", {"id": 7, "x": 1.5})
    assert second == Line("8", {"id": 8, "x": 2, "name": "b"})


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "in.jsonl: expected at least one record, got none"),
        (b"\n{}\n[1]\n", r"line 3: expected a JSON object, got \[1\]"),
        (b'{"a": 1, "a": 2}', "line 1: expected each key once, got 'a' twice"),
        (b"\xff", "line 1: expected JSON in UTF-8"),
    ],
)
def test_what_is_no_record_is_told_by_its_line(content: bytes, told: str, tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_bytes(content)
    with pytest.raises(BadInput, match=told):
        read_records(path, None, None)


def test_a_row_of_csv_with_other_cells_is_told_with_the_rest(tmp_path: Path) -> None:
    path = tmp_path / "in.csv"
    path.write_text("id,x\n7,1.5\n8\n9,2\n,3\n")
    with pytest.raises(BadInput) as refused:
        read_records(path, None, "id")
    assert str(refused.value).split("; ") == [
        "line 3: expected 2 cells, got another number of them",
        "line 5, id: expected a text or a whole number, the partition key, got nothing",
    ]


def test_a_line_that_is_too_large_keeps_the_others_from_being_sent(
    registry: RegistryServer, state: Path, tmp_path: Path
) -> None:
    path = tmp_path / "in.txt"
    path.write_bytes(b"[]\n" + b"x" * (1024 * 1024))
    with pytest.raises(StageError) as refused:
        run(state, "send", str(path), "--raw")
    assert str(refused.value) == (
        "nothing was sent: line 2: expected at most 1,048,576 bytes, the partition key with it, "
        "got 1,048,577"
    )
    name = "test_a_line_that_is_too_large_keeps_the_others_from_being_sent"
    assert on_the_stream(registry, name) == []


def test_what_ctrl_c_has_left_unsent_is_told(
    registry: RegistryServer, state: Path, tmp_path: Path
) -> None:
    path = write(tmp_path / "in.jsonl", *({"sensor": "s", "a": n, "at": n} for n in range(5000)))
    # whoever runs the tests in the background has children that do not heed it
    heed = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    command = [sys.executable, "-c", f"{heed}; from quintet_cli.app import main; main()"]
    words = ["stream", "send", str(path), "--rate", "20", "--state", str(state)]
    with subprocess.Popen([*command, *words], stdout=subprocess.PIPE, text=True) as process:
        eventually(lambda: on_the_stream(registry, "test_what_ctrl_c_has_left_unsent_is_told"), 90)
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=60)
    sent = len(on_the_stream(registry, "test_what_ctrl_c_has_left_unsent_is_told"))
    assert process.returncode == 130
    assert f"\nstopped: {5000 - sent:,} were not sent\n" in output
    assert output.startswith(f"{sent} records of in.jsonl sent in ")


def test_a_local_aws_that_was_killed_is_told_in_a_line(
    state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    told = json.loads((state / "local.json").read_text())
    (state / "local.json").write_text(json.dumps({**told, "endpoint_url": "http://127.0.0.1:9"}))
    path = write(tmp_path / "in.jsonl", {"a": 1})
    words = ["quintet", "stream", "send", str(path), "--state", str(state)]
    monkeypatch.setattr(sys, "argv", words)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 5
    assert capsys.readouterr().err == (
        f"error: the local AWS of {state}/ is not running any more: nothing answers at "
        f"http://127.0.0.1:9\ntry: quintet up --detach --state {state}\n"
    )


def test_an_empty_file_has_no_lines(tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_bytes(b"\n\n")
    with pytest.raises(BadInput, match="at least one line"):
        read_lines(tmp_path / "in.txt", None)


class Kinesis:
    """A stream that takes what it is told to take, and a clock that moves when somebody sleeps."""

    def __init__(self, refuse: int = 0) -> None:
        self.now = 0.0
        self.calls: list[tuple[float, list[bytes]]] = []
        self._refuse = refuse

    def put_records(self, StreamName: str, Records: list[dict[str, Any]]) -> dict[str, Any]:
        told: list[dict[str, str]] = []
        taken = []
        for position, record in enumerate(Records):
            if self._refuse and position % 2 != len(Records) % 2:
                self._refuse -= 1
                told.append({"ErrorCode": "ProvisionedThroughputExceededException"})
            else:
                shard = f"shard-{len(record['PartitionKey'])}"
                told.append({"ShardId": shard, "SequenceNumber": str(len(self.calls))})
                taken.append(record["Data"])
        self.calls.append((self.now, taken))
        return {"Records": told}

    def sender(self) -> Sender:
        return Sender(self, "s", clock=lambda: self.now, sleep=self._sleep)

    def _sleep(self, seconds: float) -> None:
        assert seconds >= 0
        self.now += seconds

    @property
    def taken(self) -> list[bytes]:
        return [data for _, batch in self.calls for data in batch]


def test_records_go_in_batches_of_at_most_500_and_5_megabytes() -> None:
    small, large = Kinesis(), Kinesis()
    *_, sent = small.sender().send(("k", b"x") for _ in range(1200))
    assert [len(batch) for _, batch in small.calls] == [500, 500, 200]
    assert (sent.records, sent.bytes, sent.shards) == (1200, 1200, {"shard-1": 1200})
    assert sent.last == {"shard-1": 2}
    [*_] = large.sender().send(("k", bytes(1_000_000)) for _ in range(12))
    assert [len(batch) for _, batch in large.calls] == [5, 5, 2]


@pytest.mark.parametrize("rate", [2.5, 40, 3_000, 20_000])
def test_records_are_put_at_a_steady_pace(rate: float) -> None:
    kinesis = Kinesis()
    records = int(rate * 4)
    *_, sent = kinesis.sender().send(((str(n), b"x") for n in range(records)), rate)
    assert sent.records == records
    before = 0
    for at, batch in kinesis.calls:
        before += len(batch)
        assert before <= at * rate + max(1, rate / 10) + 1
    assert abs(kinesis.now - 4) < max(1 / rate, 0.11)


def test_what_the_stream_refused_is_put_again() -> None:
    kinesis = Kinesis(refuse=400)
    entries = [("k", str(n).encode()) for n in range(700)]
    *_, sent = kinesis.sender().send(entries)
    assert sorted(kinesis.taken) == sorted(data for _, data in entries)
    assert (sent.records, sent.again) == (700, 400)


def test_a_stream_that_goes_on_refusing_is_given_up() -> None:
    kinesis = Kinesis(refuse=1_000_000)
    with pytest.raises(Transient, match="refused 1 records 10 times: ProvisionedThroughput"):
        list(kinesis.sender().send([("k", b"x")]))


def test_a_record_that_no_stream_takes_is_told() -> None:
    with pytest.raises(TooLarge, match="expected at most 1,048,576 bytes, got 1,048,577 bytes"):
        list(Kinesis().sender().send([("k", bytes(1024 * 1024))]))
