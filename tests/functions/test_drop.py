"""drop: each dropped file starts one run, whatever SQS and S3 do; nothing is lost silently."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from tests.kits.batch_functions import MACHINE, BatchAws, Handler, event, function, serving

from quintet.batch.drops import Dropped, DropResult, dropped, start
from quintet.batch.executions import MemoryExecutions
from quintet.batch.plans import run_name
from quintet.errors import BadInput

KEY = "tiny/My File (é+1).csv"
VERSION = "096fKKXTRTtl3on89fVO.nfljtsv6qko"


@pytest.fixture(scope="module")
def aws() -> Iterator[BatchAws]:
    with serving() as found:
        yield found


@pytest.fixture
def handler(aws: BatchAws, monkeypatch: pytest.MonkeyPatch) -> Iterator[Handler]:
    with function("drop", aws, monkeypatch) as found:
        yield found


def executions(aws: BatchAws) -> dict[str, str]:
    states = aws.client("stepfunctions")
    found = states.list_executions(stateMachineArn=MACHINE)["executions"]
    return {
        run["name"]: states.describe_execution(executionArn=run["executionArn"])["input"]
        for run in found
    }


def test_a_dropped_file_starts_a_run_under_its_own_name(aws: BatchAws, handler: Handler) -> None:
    assert handler(event("drop_put"), None) == {"batchItemFailures": []}
    name = run_name("inbox", KEY, VERSION)
    assert json.loads(executions(aws)[name]) == {
        "bucket": "inbox",
        "key": KEY,
        "version_id": VERSION,
        "model": "tiny",
    }


def test_duplicates_start_nothing_twice(aws: BatchAws, handler: Handler) -> None:
    for _ in range(2):
        assert handler(event("drop_several"), None) == {"batchItemFailures": []}
    before = executions(aws)
    assert {run_name("inbox", f"tiny/{n}.csv", v) for n, v in (("a", "v1"), ("b", "v2"))} <= set(
        before
    )
    # and not once the run has ended either: Step Functions then refuses the name
    states = aws.client("stepfunctions")
    for run in states.list_executions(stateMachineArn=MACHINE)["executions"]:
        states.stop_execution(executionArn=run["executionArn"])
    assert handler(event("drop_several"), None) == {"batchItemFailures": []}
    assert executions(aws) == before


def test_the_test_event_of_s3_is_acknowledged(aws: BatchAws, handler: Handler) -> None:
    before = executions(aws)
    assert handler(event("drop_test_event"), None) == {"batchItemFailures": []}
    assert executions(aws) == before


def test_what_is_not_s3s_is_a_dead_letter_and_the_rest_is_started(
    aws: BatchAws, handler: Handler, capsys: pytest.CaptureFixture[str]
) -> None:
    sent = event("drop_not_ours")
    assert handler(sent, None) == {"batchItemFailures": []}
    assert aws.dead_letters("drop-dead") == [message["body"] for message in sent["Records"][:2]]
    assert run_name("inbox", "tiny/a.csv", VERSION) in executions(aws)
    assert "hello" not in capsys.readouterr().out


def test_a_state_machine_that_is_away_gives_the_message_back(
    aws: BatchAws, monkeypatch: pytest.MonkeyPatch
) -> None:
    with function("drop", aws, monkeypatch) as handler:
        monkeypatch.setenv("QUINTET_STATE_MACHINE_ARN", f"{MACHINE}-gone")
        assert len(handler(event("drop_put"), None)["batchItemFailures"]) == 1


def test_a_queue_of_dead_letters_that_is_away_gives_the_message_back(
    aws: BatchAws, monkeypatch: pytest.MonkeyPatch
) -> None:
    with function("drop", aws, monkeypatch) as handler:
        monkeypatch.setenv("QUINTET_DROP_DEAD_LETTERS_URL", f"{aws.url}/123456789012/gone")
        assert len(handler(event("drop_not_ours"), None)["batchItemFailures"]) == 2


def record(key: str, **other: str) -> str:
    item = {"key": key, **other}
    found = {"eventName": "ObjectCreated:Put", "s3": {"bucket": {"name": "b"}, "object": item}}
    return json.dumps({"Records": [found]})


@pytest.mark.parametrize(
    ("sent", "key"),
    [
        ("tiny/a+b.csv", "tiny/a b.csv"),
        ("tiny/a%2Bb.csv", "tiny/a+b.csv"),
        ("tiny/%C3%BC%20%26.csv", "tiny/ü &.csv"),
        ("tiny/100%25.csv", "tiny/100%.csv"),
    ],
)
def test_keys_are_decoded_from_their_form(sent: str, key: str) -> None:
    assert [found.key for found in dropped(record(sent))] == [key]


@pytest.mark.parametrize(
    "key", ["a.csv", "tiny/", "tiny/sub/", "/a.csv", "tiny", "_data/tiny/a.csv"]
)
def test_what_is_no_file_of_a_model_is_ignored(key: str) -> None:
    runs = MemoryExecutions()
    found = Dropped("inbox", key, "v1", "s")
    assert start(found, runs) == DropResult(found.run, "ignored")
    assert runs.held == {}


def test_versions_are_told_apart_where_the_bucket_keeps_none() -> None:
    runs = MemoryExecutions()
    first, second = (dropped(record("tiny/a.csv", sequencer=s))[0] for s in ("01", "02"))
    assert [start(found, runs).status for found in (first, second)] == ["started"] * 2
    assert len(runs.held) == 2


def test_a_notification_that_comes_again_starts_nothing_more() -> None:
    runs = MemoryExecutions()
    (found,) = dropped(record("tiny/a.csv"))
    assert start(found, runs) == DropResult(found.run, "started")
    assert start(found, runs).run == found.run  # Step Functions answers alike while it runs
    runs.ended(found.run, "SUCCEEDED")
    assert start(found, runs) == DropResult(found.run, "already started")
    assert len(runs.held) == 1


@pytest.mark.parametrize("body", ["", "[]", "1", "null", "{}", '{"Records": 1}', "{" * 5000])
def test_messages_that_are_not_s3s_are_refused(body: str) -> None:
    with pytest.raises(BadInput, match="expected an S3 event notification"):
        dropped(body)
